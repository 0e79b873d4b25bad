"""Reading what a channel answered, before any channel's own rules apply.

Everything here must survive any bytes at all: an answer is outside input, and a connector's ``push`` never
raises.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime

from shared.channels.contract import HttpResponse

LONGEST_WAIT = timedelta(hours=1)
"""What a channel asks for beyond this is cut: a person should look long before."""

MAX_QUOTED = 200
"""Characters of a channel's own message that are passed on."""


def read_json(body: bytes) -> object | None:
    """Return the decoded answer, or None when it is not JSON."""
    try:
        value: object = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value


def mapping(value: object) -> Mapping[str, object]:
    """Return ``value`` if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def whole_number(value: object) -> int | None:
    """Return ``value`` if it is an integer; true and 3.0 are not."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def quoted(value: object) -> str:
    """Return a channel's own message, cut to a length fit for a case."""
    return value[:MAX_QUOTED] if isinstance(value, str) and value else "no message"


def retry_after(response: HttpResponse) -> timedelta | None:
    """Return how long the channel asks to wait, None when it does not say so readably.

    Seconds may be fractional (Shopify says ``2.0``). A date is taken relative to the answer's own ``Date``, so
    that two clocks are never compared.
    """
    text = response.headers.get("retry-after", "").strip()
    if not text:
        return None
    try:
        wait = timedelta(seconds=float(text))
    except (ValueError, OverflowError):
        wait_until, now = _http_date(text), _http_date(response.headers.get("date", ""))
        if wait_until is None or now is None:
            return None
        wait = wait_until - now
    return min(max(wait, timedelta(0)), LONGEST_WAIT)


def _http_date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return date if date.tzinfo is not None else None

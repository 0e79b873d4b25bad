"""The call that draws the write-path map: every handoff, what goes through it, and what it may write."""

from __future__ import annotations

from typing import Any

from functions.inventory_api.edge import WATCHERS, Asked, call, house
from shared.domain.events import instant
from shared.domain.handoffs import Times, WritePath
from shared.operations.write_paths import in_order
from shared.runtime.http import Answer, answer

Json = dict[str, Any]


@call("GET /v1/write-paths", WATCHERS)
def get_write_paths(_: Asked[Any]) -> Answer:
    """Show every handoff of the last 24 hours: its mechanism, rate, times, last failure and authority.

    Times are upper bounds of a fixed ladder, in milliseconds; null where there are none, or they lie above a day.
    """
    paths = [path_view(path) for path in in_order(house().write_paths.all())]
    return answer(200, {"paths": paths})


def path_view(path: WritePath) -> Json:
    """Show one handoff."""
    seen = path.seen
    failure = seen.last_failure
    return {
        "from": path.giver,
        "to": path.taker,
        "mechanism": path.mechanism,
        "bypasses_us": path.is_bypass,
        "every_s": None if path.every is None else int(path.every.total_seconds()),
        "authority": list(path.authority),
        "events_last_hour": seen.last_hour,
        "events_last_day": seen.last_day,
        "arriving_ms": _times(seen.arriving),
        "posting_ms": _times(seen.posting),
        "last_at": None if seen.last_at is None else instant(seen.last_at),
        "failures": seen.failures,
        "last_failure": None if failure is None else {"at": instant(failure.at), "reason": failure.reason},
    }


def _times(times: Times) -> Json:
    return {"count": times.count, **{f"p{percent}": times.at_most(percent) for percent in (50, 95, 99)}}

"""Any system that takes availability by a signed webhook. This is the contract its receiver implements.

**The request.** ``POST`` to ``options.url``, signed in the Standard Webhooks form (``webhook-id``,
``webhook-timestamp``, ``webhook-signature``), with an ``Idempotency-Key``; id and key stay the same when the
same batch is sent again::

    {"type": "stock.availability",
     "timestamp": "2026-11-02T08:15:30.000000Z",        the latest as_of of the batch
     "data": {"offers": [
       {"sku": "MUG-01", "external_id": "9001", "location": "L1",   the receiver's own ids
        "quantity": 12,                                 the whole number to show from now on, not a change
        "expected": 15,                                 what we believe it shows; null: we do not know
        "as_of": "2026-11-02T08:15:30.000000Z",
        "key": "0b7e..."}]}}                            the same for every attempt at this very number

**The answer.**

=====================================  ==================================================================
2xx, empty body                        every offer was taken
2xx, ``{"results": [...]}``            one result an offer, in any order; an offer without one is unknown
429; 503 with ``Retry-After``          nothing was written; come again after so many seconds
other 4xx                              nothing was written, and coming again is useless
3xx                                    not followed; nothing was written
408, other 5xx, anything else          unknown: we wait, read back where we can, and send the number then true
=====================================  ==================================================================

A result is ``{"external_id", "location", "status"}`` with ``status`` one of

* ``ok``: the number is shown now;
* ``stale`` (with ``observed``, the number shown): ``expected`` did not match, nothing was written;
* ``refused`` (with ``code`` and ``reason``): nothing was written, a person must change something.

A receiver that compares ``expected`` before it sets is declared ``fenced: true``; only then is a late request
harmless. A repeated ``Idempotency-Key`` must be answered as the first time, without a second effect.

**Reading back** (optional, ``options.read_back_url``): ``GET`` with the pairs as query, ``?external_id=9001&
location=L1&external_id=...``, signed over an empty body. The answer is ``{"levels": [{"external_id", "location",
"quantity"}]}``, one for each pair, ``quantity`` null where the item is not tracked.

Options: ``url``, ``read_back_url``, ``fenced``, ``batch_size`` (100), ``timeout_s`` (10). The addresses must be
https, unless they are on the machine itself.
"""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import urlencode

from shared.channels.answers import mapping, quoted, read_json, retry_after, whole_number
from shared.channels.contract import (
    ChannelError,
    Confirmed,
    Deferred,
    FetchedOrder,
    HttpRequest,
    HttpResponse,
    ListingAt,
    NoAnswerError,
    NotSentError,
    Offer,
    Outcome,
    Refused,
    Stale,
    Transport,
    Unknown,
)
from shared.channels.options import Secret, count_option, flag_option, url_option
from shared.channels.standard_webhooks import WebhookSigner
from shared.domain.events import instant
from shared.domain.stock import Quantity

KEY_SPACE: Final = uuid.UUID("c9c0a1de-52f1-5b7e-8a3b-1f0c8f6e2d94")
UNREACHED_WAIT: Final = timedelta(seconds=5)
THROTTLED_WAIT: Final = timedelta(seconds=2)
PAIRS_PER_READ: Final = 50

OPTIONS: Final = frozenset({"url", "read_back_url", "fenced", "batch_size", "timeout_s"})
"""What ``network.yaml`` may say under ``options``."""

REFUSING_STATUSES: Final[Mapping[int, tuple[str, str]]] = {
    401: ("unauthorized", "give the receiver this channel's secret, and check its clock"),
    403: ("unauthorized", "give the receiver this channel's secret, and check its clock"),
    404: ("not_found", "correct options.url"),
    410: ("not_found", "correct options.url, or remove the channel"),
    413: ("too_large", "lower options.batch_size"),
}


def _now() -> datetime:
    return datetime.now(UTC)


class SignedWebhookChannel:
    """A receiver of signed availability; implements ``ChannelConnector``.

    ``clock`` gives the time that is signed: receivers refuse a timestamp more than five minutes off.
    """

    def __init__(
        self,
        url: str,
        signer: WebhookSigner,
        transport: Transport,
        *,
        read_back_url: str | None = None,
        fenced: bool = False,
        batch_size: int = 100,
        timeout_s: float = 10.0,
        clock: Callable[[], datetime] = _now,
    ) -> None:
        self.batch_size = batch_size
        self.fenced = fenced
        self.reads_back = read_back_url is not None
        self._url = url
        self._signer = signer
        self._transport = transport
        self._read_back_url = read_back_url
        self._timeout_s = timeout_s
        self._clock = clock

    @classmethod
    def from_options(
        cls, options: Mapping[str, object], secret: Secret, transport: Transport
    ) -> SignedWebhookChannel:
        """Build from a channel's declared options.

        Raises
        ------
        ChannelOptionError
        """
        return cls(
            url_option(options, "url"),
            WebhookSigner(secret),
            transport,
            read_back_url=url_option(options, "read_back_url") if "read_back_url" in options else None,
            fenced=flag_option(options, "fenced"),
            batch_size=count_option(options, "batch_size", 100, most=1000),
            timeout_s=float(count_option(options, "timeout_s", 10, most=20)),
        )

    def push(self, offers: Sequence[Offer]) -> Sequence[Outcome]:
        """Publish the offers; exactly one outcome each, never raises."""
        repeated = Counter(_pair(offer.listing) for offer in offers)
        outcomes: list[Outcome] = [
            Refused(
                offer.listing,
                "duplicate_listing",
                "several offers are for this item and location",
                "map one SKU only to this item",
            )
            for offer in offers
            if repeated[_pair(offer.listing)] > 1
        ]
        ready = sorted(
            (offer for offer in offers if repeated[_pair(offer.listing)] == 1),
            key=lambda offer: _pair(offer.listing),
        )
        for start in range(0, len(ready), self.batch_size):
            outcomes.extend(self._push_batch(ready[start : start + self.batch_size]))
        return outcomes

    def read_back(self, listings: Sequence[ListingAt]) -> Mapping[ListingAt, Quantity | None]:
        """Return what the receiver says it shows.

        Raises
        ------
        ChannelError
            Also when the channel declares no way to read back; then it is useless to try again.
        """
        if self._read_back_url is None:
            reason = "the channel declares no options.read_back_url; what it shows cannot be read"
            raise ChannelError(reason, None)
        shown: dict[ListingAt, Quantity | None] = {}
        for start in range(0, len(listings), PAIRS_PER_READ):
            wanted = listings[start : start + PAIRS_PER_READ]
            levels = self._read_levels(self._read_back_url, [_pair(listing) for listing in wanted])
            for listing in wanted:
                if _pair(listing) not in levels:
                    reason = f"the answer lacks {listing.external_id} at {listing.external_location}"
                    raise ChannelError(reason, UNREACHED_WAIT)
                shown[listing] = levels[_pair(listing)]
        return shown

    def recent_orders(self, since: datetime) -> Sequence[FetchedOrder]:
        """Return nothing: a receiver of webhooks takes no orders from us to ask for."""
        return ()

    def _push_batch(self, offers: Sequence[Offer]) -> list[Outcome]:
        body = _body(offers)
        key = str(uuid.uuid5(KEY_SPACE, body.decode()))
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Idempotency-Key": key,
            **self._signer.headers(f"msg_{key}", self._clock(), body),
        }
        try:
            response = self._transport.send(HttpRequest("POST", self._url, headers, body, self._timeout_s))
        except NotSentError as failure:
            return [Deferred(offer.listing, UNREACHED_WAIT, str(failure)) for offer in offers]
        except NoAnswerError as failure:
            return [Unknown(offer.listing, str(failure)) for offer in offers]
        return judge(offers, response)

    def _read_levels(
        self, url: str, pairs: Sequence[tuple[str, str]]
    ) -> Mapping[tuple[str, str], Quantity | None]:
        query = urlencode(
            [item for pair in pairs for item in (("external_id", pair[0]), ("location", pair[1]))]
        )
        headers = self._signer.headers(f"msg_{uuid.uuid4()}", self._clock(), b"")
        address = f"{url}{'&' if '?' in url else '?'}{query}"
        try:
            response = self._transport.send(HttpRequest("GET", address, headers, b"", self._timeout_s))
        except (NotSentError, NoAnswerError) as failure:
            raise ChannelError(str(failure), UNREACHED_WAIT) from failure
        if response.status != 200:
            again = response.status in (408, 429) or response.status >= 500
            reason = f"the receiver answered HTTP {response.status} to reading back"
            raise ChannelError(reason, (retry_after(response) or UNREACHED_WAIT) if again else None)
        return _levels(response.body)


def _pair(listing: ListingAt) -> tuple[str, str]:
    return listing.external_id, listing.external_location


def _body(offers: Sequence[Offer]) -> bytes:
    """Write the batch so that the same offers are the same bytes."""
    entries = [
        {
            "sku": offer.listing.sku,
            "external_id": offer.listing.external_id,
            "location": offer.listing.external_location,
            "quantity": offer.quantity,
            "expected": offer.expected,
            "as_of": instant(offer.as_of),
            "key": offer.idempotency_key,
        }
        for offer in offers
    ]
    message = {
        "type": "stock.availability",
        "timestamp": max(instant(offer.as_of) for offer in offers),
        "data": {"offers": entries},
    }
    return json.dumps(message, separators=(",", ":")).encode()


def _levels(body: bytes) -> Mapping[tuple[str, str], Quantity | None]:
    levels = mapping(read_json(body)).get("levels")
    if not isinstance(levels, list):
        raise ChannelError('the answer to reading back is not {"levels": [...]}', UNREACHED_WAIT)
    shown: dict[tuple[str, str], Quantity | None] = {}
    for entry in levels:
        level = mapping(entry)
        quantity = level.get("quantity")
        if quantity is not None and whole_number(quantity) is None:
            raise ChannelError("a level's quantity is not a whole number", UNREACHED_WAIT)
        shown[_stated_pair(level)] = whole_number(quantity)
    return shown


def judge(offers: Sequence[Offer], response: HttpResponse) -> list[Outcome]:
    """Say what the receiver's answer means for each offer of the batch."""
    if 200 <= response.status < 300:
        return _judge_results(offers, response.body)
    return [_judge_status(offer, response) for offer in offers]


def _judge_status(offer: Offer, response: HttpResponse) -> Outcome:
    status, said = response.status, f"the receiver answered HTTP {response.status}"
    wait = retry_after(response)
    if status == 429 or (status == 503 and wait is not None):
        return Deferred(offer.listing, wait or THROTTLED_WAIT, said)
    if 300 <= status < 400:
        return Refused(offer.listing, "redirected", said, "set options.url to the address it moved to")
    if 400 <= status < 500 and status != 408:
        code, remedy = REFUSING_STATUSES.get(status, (f"http_{status}", "ask the receiver why it refuses"))
        return Refused(offer.listing, code, said, remedy)
    return Unknown(offer.listing, said)


def _judge_results(offers: Sequence[Offer], body: bytes) -> list[Outcome]:
    if not body.strip():
        return [Confirmed(offer.listing, offer.quantity) for offer in offers]
    stated = mapping(read_json(body)).get("results")
    results: dict[tuple[str, str], list[Mapping[str, object]]] = {}
    for entry in stated if isinstance(stated, list) else ():
        results.setdefault(_stated_pair(mapping(entry)), []).append(mapping(entry))
    return [_judge_result(offer, results.get(_pair(offer.listing), [])) for offer in offers]


def _judge_result(offer: Offer, results: Sequence[Mapping[str, object]]) -> Outcome:
    if len(results) != 1:
        return Unknown(offer.listing, f"the answer states {len(results)} results for this offer")
    result = results[0]
    match result.get("status"):
        case "ok":
            return Confirmed(offer.listing, offer.quantity)
        case "stale":
            return Stale(offer.listing, whole_number(result.get("observed")))
        case "refused":
            code = result.get("code")
            return Refused(
                offer.listing,
                code[:60] if isinstance(code, str) and code else "refused",
                quoted(result.get("reason")),
                "settle it with the receiver, or correct the listing",
            )
        case _:
            return Unknown(offer.listing, "the answer states no known status for this offer")


def _stated_pair(entry: Mapping[str, object]) -> tuple[str, str]:
    return str(entry.get("external_id")), str(entry.get("location"))

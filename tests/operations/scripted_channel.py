"""A channel in memory that implements the connector port, sells by itself, and misbehaves on request.

``answers`` holds what becomes of the next offers, one word each; when it is empty all goes well:

===========  ==================================================================================
lost         it is written, but no answer comes
unheard      it is not written, and no answer comes
late         no answer comes, and it is written when ``land`` is called (still compared there)
throttled    not written: come again in five seconds
refused      not written: a person must change something
mute         the number differs, and the answer does not say which it is
===========  ==================================================================================
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from shared.channels.contract import (
    ChannelError,
    Confirmed,
    Deferred,
    FetchedOrder,
    ListingAt,
    Offer,
    Outcome,
    Refused,
    Stale,
    Unknown,
)
from shared.domain.stock import Sku


@dataclass(slots=True)
class ScriptedChannel:
    """See the module. ``before`` runs when a push arrives, ``reading`` when it is read back."""

    levels: dict[Sku, int | None] = field(default_factory=dict)
    batch_size: int = 50
    fenced: bool = True
    reads_back: bool = True
    answers: deque[str] = field(default_factory=deque)
    down: bool = False
    before: Callable[[Sequence[Offer]], None] = lambda _offers: None
    reading: Callable[[], None] = lambda: None
    offered: list[Offer] = field(default_factory=list)
    written: list[tuple[Sku, int]] = field(default_factory=list)
    reads: int = 0
    waiting: list[Offer] = field(default_factory=list)
    orders: list[tuple[datetime, FetchedOrder]] = field(default_factory=list)
    keys: dict[str, Outcome] = field(default_factory=dict)

    def push(self, offers: Sequence[Offer]) -> Sequence[Outcome]:
        self.before(offers)
        self.offered += offers
        if self.down:
            return [Deferred(offer.listing, timedelta(seconds=5), "503") for offer in offers]
        return [self._answer(offer) for offer in offers]

    def _answer(self, offer: Offer) -> Outcome:
        word = self.answers.popleft() if self.answers else "ok"
        match word:
            case "lost":
                self._take(offer)
                return Unknown(offer.listing, "time-out")
            case "unheard":
                return Unknown(offer.listing, "time-out")
            case "late":
                self.waiting.append(offer)
                return Unknown(offer.listing, "time-out")
            case "throttled":
                return Deferred(offer.listing, timedelta(seconds=5), "429")
            case "refused":
                return Refused(offer.listing, "not_sold", "we do not sell it", "list it there first")
            case "mute":
                outcome = self._take(offer)
                return Stale(offer.listing) if isinstance(outcome, Stale) else outcome
        return self._take(offer)

    def _take(self, offer: Offer) -> Outcome:
        known = self.keys.get(offer.idempotency_key)
        if known is not None:
            return known
        outcome = self._write(offer)
        if isinstance(outcome, Confirmed):
            self.keys[offer.idempotency_key] = outcome
        return outcome

    def _write(self, offer: Offer) -> Outcome:
        sku = offer.listing.sku
        shown = self.levels.get(sku)
        if shown is None and sku in self.levels:
            return Refused(offer.listing, "not_tracked", "it is not tracked here", "track it")
        if self.fenced and offer.expected is not None and shown != offer.expected:
            return Stale(offer.listing, shown)
        self.levels[sku] = offer.quantity
        self.written.append((sku, offer.quantity))
        return Confirmed(offer.listing, offer.quantity)

    def land(self) -> None:
        """Let the late writes arrive."""
        late, self.waiting = self.waiting, []
        for offer in late:
            self._take(offer)

    def read_back(self, listings: Sequence[ListingAt]) -> Mapping[ListingAt, int | None]:
        if self.down:
            raise ChannelError("503", timedelta(seconds=5))
        self.reads += 1
        found = {listing: self.levels.get(listing.sku) for listing in listings}
        self.reading()
        return found

    def recent_orders(self, since: datetime) -> Sequence[FetchedOrder]:
        if self.down:
            raise ChannelError("503", timedelta(seconds=5))
        return [order for changed_at, order in self.orders if changed_at >= since]

"""Two channels in memory: a shop that compares before it sets, and sells by itself; and a market that simply sets.

Both lose answers, and let a request whose answer was lost take effect later, within their declared lateness. What
they show is known only here; Onecount knows what it is told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from infra.simulation.chaos import Chaos
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
from shared.domain.network import Channel
from shared.domain.stock import LocationId, Quantity, Sku, StockKey

LATENESS = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Manners:
    """How often a channel misbehaves, drawn for each seed."""

    lost: float
    unheard: float
    late: float
    throttled: float
    mute: float
    refused: float


def manners(random: Random) -> Manners:
    """Draw a channel's manners."""
    scale = random.choice((0.2, 1.0, 2.5))
    drawn = [scale * most * random.random() for most in (0.08, 0.05, 0.10, 0.08, 0.3, 0.01)]
    return Manners(*drawn)


class ChannelModel:
    """What a channel shows, and its API as a connector. ``offered`` is told of every number that reaches it."""

    batch_size = 20

    def __init__(
        self,
        declared: Channel,
        chaos: Chaos,
        *,
        fenced: bool,
        reads_back: bool,
        offered: Callable[[Channel, Offer], None],
        fetched: Callable[[FetchedOrder], None],
    ) -> None:
        self.declared = declared
        self.fenced = fenced
        self.reads_back = reads_back
        self.shows: dict[StockKey, Quantity] = {}
        self.broken_until = 0.0
        self.slowed_until = 0.0
        self.edited: set[StockKey] = set()
        self.orders: list[tuple[datetime, FetchedOrder]] = []
        self.moved: Callable[[StockKey], None] = lambda _key: None
        self._chaos = chaos
        self._manners = manners(chaos.random)
        self._offered = offered
        self._fetched = fetched
        self._answered: dict[str, Outcome] = {}

    # ---- what the outside world does ----------------------------------------------------------------------------

    def show(self, key: StockKey, quantity: Quantity) -> None:
        """Set what the channel shows."""
        self.shows[key] = quantity
        self.moved(key)

    def places(self, sku: Sku) -> list[StockKey]:
        """Return where the channel sells an item from."""
        return [StockKey(sku, LocationId(location)) for location in self.declared.locations]

    # ---- the connector ------------------------------------------------------------------------------------------

    def push(self, offers: Sequence[Offer]) -> Sequence[Outcome]:
        for offer in offers:
            self._offered(self.declared, offer)
        self._travel()
        if self._is_down():
            self._chaos.strike("channel down")
            if self._chaos.random.random() < 0.5:
                return [Deferred(offer.listing, timedelta(seconds=5), "503") for offer in offers]
            return [Unknown(offer.listing, "connection lost") for offer in offers]
        outcomes = [self._answer(offer) for offer in offers]
        self._travel()
        return outcomes

    def read_back(self, listings: Sequence[ListingAt]) -> Mapping[ListingAt, Quantity | None]:
        self._travel()
        if self._is_down():
            raise ChannelError("503", timedelta(seconds=5))
        found = {listing: self.shows.get(StockKey(listing.sku, listing.location), 0) for listing in listings}
        self._travel()
        return found

    def recent_orders(self, since: datetime) -> Sequence[FetchedOrder]:
        self._travel()
        if self._is_down():
            raise ChannelError("503", timedelta(seconds=5))
        found = [order for changed_at, order in self.orders if changed_at >= since]
        for order in found:
            self._fetched(order)
        return found

    def _travel(self) -> None:
        self._chaos.step()
        if self._chaos.active:
            self._chaos.scheduler.sleep(0.02 + 0.2 * self._chaos.random.random())

    def _is_down(self) -> bool:
        return self._chaos.scheduler.seconds < self.broken_until

    def _answer(self, offer: Offer) -> Outcome:
        known = self._answered.get(offer.idempotency_key)
        if known is not None:
            return known
        if not self._chaos.active:
            return self._take(offer)
        if self._chaos.scheduler.seconds < self.slowed_until:
            self._chaos.strike("channel throttled")
            return Deferred(offer.listing, timedelta(seconds=5), "429")
        drawn, at = self._chaos.random.random(), self._manners
        if drawn < (bound := at.lost):
            self._chaos.strike("channel's answer lost, written")
            self._take(offer)
            return Unknown(offer.listing, "time-out")
        if drawn < (bound := bound + at.unheard):
            self._chaos.strike("channel's answer lost, not written")
            return Unknown(offer.listing, "time-out")
        if drawn < (bound := bound + at.late):
            self._chaos.strike("channel's answer lost, written late")
            late = (LATENESS.total_seconds() - 3) * self._chaos.random.random()
            self._chaos.scheduler.after(late, lambda: self._land(offer))
            return Unknown(offer.listing, "time-out")
        if drawn < (bound := bound + at.throttled):
            self._chaos.strike("channel throttled")
            return Deferred(offer.listing, timedelta(seconds=5), "429")
        if drawn < bound + at.refused:
            self._chaos.strike("channel refused")
            return Refused(offer.listing, "busy", "it is being edited", "try again")
        outcome = self._take(offer)
        if isinstance(outcome, Stale) and self._chaos.random.random() < at.mute:
            return Stale(offer.listing)
        return outcome

    def _land(self, offer: Offer) -> None:
        if offer.idempotency_key not in self._answered:
            self._take(offer)

    def _take(self, offer: Offer) -> Outcome:
        key = StockKey(offer.listing.sku, offer.listing.location)
        shown = self.shows.get(key, 0)
        if self.fenced and offer.expected is not None and shown != offer.expected:
            return Stale(offer.listing, shown)
        self.show(key, offer.quantity)
        confirmed = Confirmed(offer.listing, offer.quantity)
        self._answered[offer.idempotency_key] = confirmed
        return confirmed

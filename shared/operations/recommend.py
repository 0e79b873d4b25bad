"""What should be transferred to a location, from the stock, the open transfers and how fast things sell.

How fast a stock key sells is read off its journal, as is whether it is a fast mover (decision 0008): the units that left
it within four weeks, as far back as its newest ``ENTRIES`` entries go; not what adjustments and transfers took, nor
what was undone.

Only a reading: whoever finds a proposal right requests it, and somebody approves that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.domain.events import MovementKind
from shared.domain.network import Replenishment
from shared.domain.replenish import Pace, Position, Proposal, Unmet, propose
from shared.domain.stock import Counter, EventKey, LocationId, Quantity, Sku, StockKey
from shared.operations.footprint import movements_that_stand
from shared.operations.stock_view import StockView
from shared.store.ledger import Ledger
from shared.store.ledger_items import JournalEntry
from shared.store.registry import Registry
from shared.store.table import Table
from shared.store.transfers import Transfers

WINDOW = timedelta(weeks=4)
"""How far back sales are read."""

ENTRIES = 100
"""Journal entries of a stock key that are read at most."""

_NO_SALES = frozenset({MovementKind.ADJUSTMENT, MovementKind.TRANSFER_SHIP})
"""Effects, as event keys end with them, that take units off hand and serve no customer."""

_OURS = "onecount/transfer/"
"""How the keys of our own movements begin that serve no customer."""


class NotReplenishedError(ValueError):
    """Nobody has declared from where the location is replenished."""


@dataclass(frozen=True, slots=True)
class Recommended:
    """Proposals for a location, shortages without one, and where to go on; None where that was all."""

    proposals: tuple[Proposal, ...]
    unmet: tuple[Unmet, ...]
    cursor: Sku | None


class Recommender:
    """Reads what should be transferred."""

    def __init__(self, table: Table, registry: Registry, clock: Callable[[], datetime]) -> None:
        self._ledger = Ledger(table)
        self._transfers = Transfers(table)
        self._view = StockView(table, registry, clock)
        self._registry = registry
        self._clock = clock

    def recommend(self, location: LocationId, after: Sku | None = None, limit: int = 50) -> Recommended:
        """Look at ``limit`` SKUs of a location, in order, and propose what should go there.

        Raises
        ------
        NotReplenishedError
        """
        network = self._registry.network()
        place = network.locations.get(location)
        if place is None or place.replenish is None or not place.replenish.routes:
            raise NotReplenishedError(f"nothing says from where {location!r} is replenished")
        rule = place.replenish
        skus, cursor = self._page(location, rule, after, limit)
        asked = self._asked_for(location)
        needs = {key.sku: one for key, one in self._positions(skus, location, asked).items()}
        givers: dict[StockKey, Position] = {}
        kept: dict[LocationId, Replenishment] = {}
        for route in rule.routes:
            givers |= self._positions(skus, route.origin, {})
            giver = network.locations.get(route.origin)
            if giver is not None and giver.replenish is not None:
                kept[route.origin] = giver.replenish
        items = self._registry.items.find(skus)
        prices = {sku: item.price for sku, item in items.items() if item.price is not None}
        proposals, unmet = propose(location, rule, needs, givers, kept, prices)
        return Recommended(tuple(proposals), tuple(unmet), cursor)

    def _page(
        self, location: LocationId, rule: Replenishment, after: Sku | None, limit: int
    ) -> tuple[list[Sku], Sku | None]:
        """Return SKUs that lie there, or of which a minimum should, and where to go on."""
        there = [key.sku for key in self._view.keys_at(location, after, limit + 1)]
        wanted = [sku for sku in rule.minimum if after is None or sku > after]
        skus = sorted({*there, *wanted})[: limit + 1]
        return (skus[:limit], skus[limit - 1]) if len(skus) > limit else (skus, None)

    def _asked_for(self, location: LocationId) -> dict[Sku, Quantity]:
        """Return the units that open transfers to a location still are to ship."""
        asked: dict[Sku, Quantity] = {}
        for transfer in self._transfers.open_to(location):
            for line in transfer.lines if transfer.closed is None else ():
                asked[line.sku] = asked.get(line.sku, 0) + transfer.figures(line.sku).unshipped
        return asked

    def _positions(
        self, skus: Iterable[Sku], location: LocationId, asked: dict[Sku, Quantity]
    ) -> dict[StockKey, Position]:
        rows = self._view.rows([StockKey(sku, location) for sku in skus])
        return {
            key: Position(
                row["available"],
                self.pace(key),
                row["incoming"],
                row["in_transit"],
                asked.get(key.sku, 0),
            )
            for key, row in rows.items()
        }

    def pace(self, key: StockKey) -> Pace:
        """Return how fast a stock key sells."""
        return pace_of(self._ledger.journal(key, limit=ENTRIES), self._clock())


def pace_of(entries: list[JournalEntry], now: datetime) -> Pace:
    """Say how fast units left for customers by the newest entries of a journal, newest first."""
    begin = now - WINDOW
    oldest = entries[-1].posted_at if entries else begin
    span = min(WINDOW, max(timedelta(days=1), now - oldest))
    sold = sum(
        -line.quantity
        for line in movements_that_stand(entries)
        if line.slot.counter is Counter.ON_HAND
        and line.quantity < 0
        and line.valid_at > begin
        and _serves_customers(line.event_key)
    )
    return Pace(sold, span)


def _serves_customers(key: EventKey) -> bool:
    return not key.startswith(_OURS) and not _NO_SALES & set(key.split("/")[-2:])

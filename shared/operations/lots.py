"""Lots that may not be sold: expired or recalled, their units are set on quality hold, wherever they lie.

The hold is an ordinary movement under a key of its own, made of the lot, its leaf and the length of the journal that
it was reckoned on, and posts on that length only: two who look at the same state post the same event, once, and who was
overtaken reckons again. It is level-triggered: what is on hold is brought to what is there, so units of the lot that
arrive later are withheld too (the sweep looks at a withheld lot every few minutes, and into a location only where its journal
has grown since all was on hold there).

Who counts what is on hold in all (``quality_hold`` of the whole location), or releases units of no lot, may know nothing of
a recall. What is then on hold in all is brought up to what is withheld, on the whole location's own leaf; never down, for
the rest may be somebody else's hold.

Only where a location keeps its lots apart (its ``grain``) are a lot's units known; the others are named.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import cast

from shared.domain.events import Leg, Movement, MovementKind, Origin
from shared.domain.network import Grain
from shared.domain.stock import (
    WHOLE,
    Counter,
    EventKey,
    Leaf,
    LocationId,
    MessageId,
    Quantity,
    Sku,
    SourceId,
    StockKey,
)
from shared.operations.facts import Fact, Outcome
from shared.operations.post import PostingContendedError
from shared.operations.telling import Teller
from shared.store.layout import part
from shared.store.ledger import Ledger, LedgerMovedError
from shared.store.ledger_items import Balance
from shared.store.lots import Lot, Lots
from shared.store.registry import Network, Registry
from shared.store.table import Table, TableError

LOOKED_AT_AGAIN = timedelta(minutes=5)
"""How long units of a withheld lot that have just arrived may be for sale, at most."""

TRIES = 12
"""Times that others may overtake who reckons the hold of one stock key, before it is left to the sweep."""

SWEEP_FOR = timedelta(seconds=25)
"""How long a sweep takes lots up; what is left is due in the next, and lots whose time has just come are first."""

LEAVES_AT_ONCE = 25
"""Bins of a lot that one transaction withholds: each is three writes, beside those of the whole."""

_ORIGIN = Origin(SourceId("onecount"), MessageId(""))
_KEEPS_LOTS = frozenset({Grain.LOT, Grain.BIN_LOT})
_BUSY = (PostingContendedError, LedgerMovedError)

log = logging.getLogger(__name__)


class LotsBusyError(Exception):
    """Some lots could not be withheld just now, and will be looked at again; the others were."""

    def __init__(self, lots: Sequence[str]) -> None:
        super().__init__("not withheld yet: " + ", ".join(lots))


@dataclass(frozen=True, slots=True)
class Withheld:
    """What withholding a lot did: units newly set on hold by location, and locations that do not keep lots apart."""

    lot: Lot
    units: Mapping[LocationId, Quantity]
    untold: tuple[LocationId, ...]


class LotDesk:
    """Declares lots and withholds those that may not be sold."""

    def __init__(
        self, table: Table, registry: Registry, teller: Teller, clock: Callable[[], datetime]
    ) -> None:
        self._lots = Lots(table)
        self._ledger = Ledger(table)
        self._registry = registry
        self._teller = teller
        self._clock = clock

    def set_expiry(self, sku: Sku, lot: str, expires_on: date, actor: str) -> Lot:
        """Say on which day a lot may be sold for the last time, by UTC; after it, it is withheld by itself."""
        self._lots.set_expiry(sku, lot, expires_on, sold_until(expires_on), actor, self._clock())
        return self._lots.find(sku, lot) or Lot(sku, lot, expires_on)

    def recall(self, sku: Sku, lot: str, reason: str, actor: str) -> Withheld:
        """Withhold a lot now and for good. Recalling it again withholds what has arrived since.

        The recall is written first: what a crash leaves undone, the sweep does.

        Raises
        ------
        PostingContendedError, LedgerMovedError
            When its units could not be withheld just now; the sweep will.
        """
        self._lots.recall(sku, lot, reason, actor, self._clock())
        return self._withhold(self._lots.find(sku, lot) or Lot(sku, lot))

    def sweep(self) -> int:
        """Withhold every lot that is due, as far as there is time; return how many units were set on hold.

        Raises
        ------
        LotsBusyError
            When some could not be withheld just now, after all others have been.
        """
        now, units, busy = self._clock(), 0, list[str]()
        for lot in self._lots.due(now):
            if self._clock() > now + SWEEP_FOR:
                log.warning("lots_left", extra={"next": lot.lot, "sku": lot.sku})
                break
            try:
                if is_withheld(lot, now):
                    units += sum(self._withhold(lot).units.values())
                elif lot.expires_on is not None:
                    self._lots.look_again(lot, sold_until(lot.expires_on))
            except (*_BUSY, TableError) as error:
                log.warning("lot_not_withheld", extra={"sku": lot.sku, "lot": lot.lot, "reason": str(error)})
                busy.append(f"{lot.lot} of {lot.sku}")
        if busy:
            raise LotsBusyError(busy)
        return units

    def _withhold(self, lot: Lot) -> Withheld:
        """Withhold a lot wherever it lies; what is busy at one location keeps it nowhere else from being withheld.

        A location where all was on hold when its journal was as long as it is now is not looked at.
        """
        network = self._registry.network()
        units: dict[LocationId, Quantity] = {}
        untold: list[LocationId] = []
        looked: dict[LocationId, int] = {}
        busy: PostingContendedError | LedgerMovedError | None = None
        keys = [StockKey(lot.sku, location) for location in network.locations]
        for key, balance in self._ledger.balances(keys).items():
            location = key.location
            if network.locations[location].grain not in _KEEPS_LOTS:
                if any(balance.totals.values()):
                    untold.append(location)
                continue
            try:
                held = (
                    None if lot.looked.get(location, 0) == balance.seq else self._hold(key, lot.lot, network)
                )
            except _BUSY as error:
                busy = error
                continue
            if held is None:
                looked[location] = balance.seq
            elif held:
                units[location] = held
        if busy is not None:
            raise busy
        self._lots.look_again(lot, self._clock() + LOOKED_AT_AGAIN, looked)
        return Withheld(lot, units, tuple(untold))

    def _hold(self, key: StockKey, lot: str, network: Network) -> Quantity | None:
        """Bring what is on hold of a lot to what is there; return by how much, and None where it was that already."""
        units, overtaken = 0, 0
        facts = self._reckon(key, lot)
        if not facts:
            return None
        while overtaken < TRIES:
            results = self._teller.post(facts[:LEAVES_AT_ONCE], network)
            posted = [result.fact for result in results if result.outcome is not Outcome.REFUSED]
            units += sum(leg.quantity for fact in posted for leg in cast(Movement, fact.event).legs)
            if len(posted) == len(facts):
                return units
            overtaken += not posted
            facts = self._reckon(key, lot)
        raise LedgerMovedError(str(key))

    def _reckon(self, key: StockKey, lot: str) -> list[Fact]:
        """Return the movements that bring what is on hold of a lot to what is there, one for each leaf, and the whole."""
        balance, leaves = self._leaves(key)
        changes: dict[Leaf, Quantity] = {}
        for leaf, counters in leaves.items():
            there = counters.get(Counter.ON_HAND, 0) - counters.get(Counter.DAMAGED, 0)
            if leaf.lot == lot and (change := max(0, there) - counters.get(Counter.QUALITY_HOLD, 0)):
                changes[leaf] = change
        on_hold = {
            leaf: counters.get(Counter.QUALITY_HOLD, 0) + changes.get(leaf, 0)
            for leaf, counters in leaves.items()
        }
        in_all = balance.totals.get(Counter.QUALITY_HOLD, 0) + sum(changes.values())
        if (lack := self._withheld(key.sku, lot, on_hold, in_all) - in_all) > 0:
            changes[WHOLE] = lack
        return [self._fact(key, leaf, change, balance.seq) for leaf, change in changes.items()]

    def _withheld(self, sku: Sku, lot: str, on_hold: Mapping[Leaf, Quantity], in_all: Quantity) -> Quantity:
        """Return the units on hold of the lots that may not be sold; others are asked for only where it matters."""
        units: defaultdict[str, Quantity] = defaultdict(int)
        for leaf, held in on_hold.items():
            if leaf.lot != WHOLE.lot:
                units[leaf.lot] += max(0, held)
        if sum(units.values()) <= in_all:
            return 0
        others = (self._lots.find(sku, other) for other in units if other != lot)
        now = self._clock()
        withheld = [lot, *(other.lot for other in others if other and is_withheld(other, now))]
        return sum(units[one] for one in withheld)

    def _fact(self, key: StockKey, leaf: Leaf, change: Quantity, seq: int) -> Fact:
        name = EventKey(f"onecount/lot/{part(key.sku)}/{key.location}/{leaf}/{seq}")
        kind = MovementKind.HOLD if change > 0 else MovementKind.RELEASE
        legs = (Leg(key.location, change, Counter.QUALITY_HOLD, leaf),)
        movement = Movement(name, key.sku, kind, legs, self._clock(), _ORIGIN)
        return Fact(movement, str(change), reckoned_on=seq)

    def _leaves(self, key: StockKey) -> tuple[Balance, dict[Leaf, dict[Counter, Quantity]]]:
        """Return a balance, and what lay on the leaves then."""
        for _ in range(TRIES):
            balance, leaves = self._ledger.balances([key])[key], self._ledger.leaves(key)
            if self._ledger.balances([key])[key].seq == balance.seq:
                return balance, leaves
        raise LedgerMovedError(str(key))


def is_withheld(lot: Lot, now: datetime) -> bool:
    """Whether a lot may not be sold any more."""
    return lot.recalled_at is not None or (lot.expires_on is not None and sold_until(lot.expires_on) <= now)


def sold_until(day: date) -> datetime:
    """Return the instant when the last day of sale is over."""
    return datetime.combine(day + timedelta(days=1), time(), UTC)

"""Checks lots at every commit: what is on hold of one that may not be sold is what lies there, and nobody else's is.

Which lots were recalled and until when each may be sold is known from what people said; which of it stands, from the
table. What the hold must be is worked out from the facts: what lies on each part of a lot, less what is damaged there.
What is set on hold of the whole makes up for what was counted, or released, of no lot: never more than lots hold.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple, cast

from infra.simulation.bins import NO_BIN, BinnedSlot
from infra.simulation.network import CELLAR
from infra.simulation.oracle import Leg, Moved, Oracle
from infra.simulation.tables import Change
from infra.simulation.verdicts import Invariant, Violation
from shared.domain.events import parse_instant
from shared.domain.stock import Counter, EventKey, LocationId, Quantity, Sku, StockKey
from shared.operations.lots import LOOKED_AT_AGAIN
from shared.store.ledger_items import unpack_lines
from shared.store.table import Item

OURS = "EVENT#onecount/lot/"


class LotName(NamedTuple):
    """A lot of an item."""

    sku: Sku
    lot: str

    @property
    def stock_key(self) -> StockKey:
        """Where it lies."""
        return StockKey(self.sku, CELLAR)


class _Named(NamedTuple):
    """What a movement that withholds is of: where, which part of it, and the lot; neither, where it is of the whole."""

    stock_key: StockKey
    part: str
    lot: str


class LotAuditor:
    """Listens to the commits of lots, of what moves there, and of what is withheld of them."""

    def __init__(self, oracle: Oracle, now: Callable[[], datetime]) -> None:
        self._oracle = oracle
        self._now = now
        self._recalled: dict[LotName, datetime] = {}
        self._days: defaultdict[LotName, set[date]] = defaultdict(set)
        self._items: dict[LotName, Item] = {}
        self._held_until: dict[LotName, datetime] = {}

    # ---- what the world tells -------------------------------------------------------------------------------------

    def recall(self, name: LotName, at: datetime) -> None:
        """Somebody recalls a lot."""
        self._recalled.setdefault(name, at)

    def recalled(self, name: LotName, since: datetime) -> None:
        """A recall was answered: all of the lot was withheld at some moment since it was asked for."""
        if "recalled_at" not in self._items.get(name, {}):
            raise Violation(Invariant.NOTHING_LOST, f"the recall of {name} was answered, and is nowhere")
        self._check_held(name, since)

    def set_expiry(self, name: LotName, day: date) -> None:
        """Somebody says on which day a lot may be sold for the last time."""
        self._days[name].add(day)

    def expiry_set(self, name: LotName) -> None:
        """A day was answered."""
        if "expires_on" not in self._items.get(name, {}):
            raise Violation(Invariant.NOTHING_LOST, f"the expiry of {name} was answered, and is nowhere")

    def due(self, at: datetime) -> set[LotName]:
        """Return the lots that a sweep must withhold: they may not be sold, and are listed to be looked at."""
        return {
            name for name in self.withheld(at) if parse_instant(str(self._items[name]["expiring_sk"])) <= at
        }

    def swept(self, due: Collection[LotName], since: datetime) -> None:
        """A sweep came to its end: what was due is withheld, at least as of when whoever else withheld it looked."""
        for name in sorted(self.withheld(since).intersection(due)):
            self._check_held(name, since - LOOKED_AT_AGAIN)

    # ---- what the ledger has taken --------------------------------------------------------------------------------

    def foretell(self, changes: Sequence[Change]) -> None:
        """Tell the oracle what the movements of a commit that withhold lots must be; note what was withheld so far."""
        if any(change.key.pk.startswith("BAL#") and CELLAR in change.key.pk for change in changes):
            self._held_until |= {name: self._now() for name in self._items if not self.loose(name)}
        lines = {
            line.event_key: line
            for change in changes
            if change.key.pk.startswith("JRN#") and change.new is not None
            for line in unpack_lines(cast(bytes, change.new["lines"]))
        }
        for key in _ours(changes):
            named, line = _named(key), lines.get(EventKey(key))
            since = min(filter(None, map(self._since, self._lots_of(named))), default=None)
            at = None if line is None else line.valid_at
            if line is None or since is None or at is None or not since <= at <= self._now():
                what = f"{key} withholds as of {at} what may be sold until {since}"
                raise Violation(Invariant.AUTHORITY, what)
            there, held = self._there(named.stock_key, named.part), self._held(named.stock_key, named.part)
            # How much the whole lacks depends on which lots are withheld just when it is reckoned.
            units = there - held if named.lot else line.quantity
            leg = Leg(named.stock_key, Counter.QUALITY_HOLD, units, named.part)
            self._oracle.tell("", Moved(key, at, (leg,)))

    def check(self, changes: Sequence[Change]) -> None:
        """After a commit whose sums are right: what was withheld is there, and lots stand as somebody said."""
        for named in map(_named, _ours(changes)):
            there, held = self._there(named.stock_key, named.part), self._held(named.stock_key, named.part)
            if not named.lot:
                parts = {part for name in self._lots_of(named) for part in self._parts(name)}
                there = sum(max(0, self._held(named.stock_key, part)) for part in parts)
                held = self._oracle.balance(named.stock_key, Counter.QUALITY_HOLD)
            if held > there or (named.lot and held < there):
                what = (
                    f"{held} of {named.part or 'all'} of {named.stock_key} are on hold, and {there} are there"
                )
                raise Violation(Invariant.CONSERVED, what, held - there)
        for change in changes:
            if change.key.pk.startswith("LOT#"):
                self._learn(change)

    def _lots_of(self, named: _Named) -> list[LotName]:
        """Return the lot that a movement withholds; or all that somebody wants to have withheld, for one of the whole."""
        if named.lot:
            return [LotName(named.stock_key.sku, named.lot)]
        wanted = {*self._recalled, *self._days}
        lots = (name for name in wanted if name.stock_key == named.stock_key)
        return sorted(name for name in lots if (since := self._since(name)) and since <= self._now())

    def _learn(self, change: Change) -> None:
        if change.new is None:
            raise Violation(Invariant.NOTHING_LOST, f"{change.key} was deleted")
        name, item = LotName(Sku(str(change.new["sku"])), str(change.new["lot"])), change.new
        if "recalled_at" in item and name not in self._recalled:
            raise Violation(Invariant.AUTHORITY, f"{name} is recalled, and nobody did that")
        if "expires_on" in item and date.fromisoformat(str(item["expires_on"])) not in self._days[name]:
            raise Violation(Invariant.AUTHORITY, f"{name} expires on {item['expires_on']!s}, as nobody said")
        stood = {} if change.old is None else change.old
        if "recalled_at" in stood and stood["recalled_at"] != item.get("recalled_at"):
            raise Violation(Invariant.NOTHING_LOST, f"the recall of {name} stands no more as it did")
        self._items[name] = item

    # ---- what must be true ----------------------------------------------------------------------------------------

    def withheld(self, at: datetime) -> set[LotName]:
        """Return the lots that may not be sold at an instant, as what is said of them stands now."""
        return {
            name
            for name, item in self._items.items()
            if "recalled_at" in item or ("expires_on" in item and str(item["expires_on"]) < f"{at:%Y-%m-%d}")
        }

    def loose(self, name: LotName) -> dict[str, Quantity]:
        """Return of which parts of a lot other than what is there is on hold, and how many units lack."""
        key = name.stock_key
        lack = {part: self._there(key, part) - self._held(key, part) for part in self._parts(name)}
        return {part: units for part, units in lack.items() if units}

    def lack(self, key: StockKey, at: datetime) -> Quantity:
        """Return how many fewer units of a stock key are on hold in all than lie there of lots that may not be sold."""
        lots = [name for name in self.withheld(at) if name.stock_key == key]
        must = sum(self._there(key, part) for name in lots for part in self._parts(name))
        return max(0, must - self._oracle.balance(key, Counter.QUALITY_HOLD))

    def _check_held(self, name: LotName, since: datetime) -> None:
        loose, until = self.loose(name), self._held_until.get(name)
        if loose and (until is None or until < since):
            what = f"{name} may not be sold, and was never withheld since {since:%d %H:%M:%S}: {loose} are not on hold"
            raise Violation(Invariant.NEVER_OVER_PROMISED, what, sum(loose.values()))

    def _since(self, name: LotName) -> datetime | None:
        """Return since when a lot may not be sold, by the first that anybody said of it; None: it may."""
        ends = [datetime.combine(day + timedelta(days=1), time(), UTC) for day in self._days[name]]
        return min([*ends, *(at for lot, at in self._recalled.items() if lot == name)], default=None)

    def _parts(self, name: LotName) -> Iterator[str]:
        """Yield the parts of a lot that were ever named, in whichever bin."""
        slots = (self._oracle.slots.get((name.stock_key, counter)) for counter in Counter)
        named = {part for slot in slots if isinstance(slot, BinnedSlot) for part in slot.bins()}
        yield from sorted(part for part in named if part.endswith(f"/{name.lot}"))

    def _there(self, key: StockKey, part: str) -> Quantity:
        """Return the units on a part that could be sold, if it were not withheld."""
        return max(0, self._lies(key, part, Counter.ON_HAND) - self._lies(key, part, Counter.DAMAGED))

    def _held(self, key: StockKey, part: str) -> Quantity:
        return self._lies(key, part, Counter.QUALITY_HOLD)

    def _lies(self, key: StockKey, part: str, counter: Counter) -> Quantity:
        slot = self._oracle.slots.get((key, counter))
        return slot.lies(part).units if isinstance(slot, BinnedSlot) else 0


def inspect_lots(lots: LotAuditor, now: datetime) -> None:
    """Raise if all is quiet, and of a lot that may not be sold anything is available, or held that is not there."""
    for name in sorted(lots.withheld(now)):
        if loose := lots.loose(name):
            what = f"all is quiet, and {name} may not be sold: {loose} are not on hold"
            raise Violation(Invariant.NEVER_OVER_PROMISED, what, sum(loose.values()))
        if lack := lots.lack(name.stock_key, now):
            what = f"all is quiet, and {lack} more of {name.stock_key} are available than may be sold"
            raise Violation(Invariant.NEVER_OVER_PROMISED, what, lack)


def _ours(changes: Sequence[Change]) -> Iterator[str]:
    """Yield the keys of the movements of a commit that withhold lots."""
    for change in changes:
        if change.key.pk.startswith(OURS):
            yield change.key.pk.removeprefix("EVENT#")


def _named(key: str) -> _Named:
    _, _, sku, location, *leaf, _ = key.split("/")
    stock_key = StockKey(Sku(sku), LocationId(location))
    return _Named(stock_key, "/".join(leaf), leaf[1]) if leaf[1:] else _Named(stock_key, NO_BIN, "")

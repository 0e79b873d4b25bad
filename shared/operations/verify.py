"""Verifying: prove that every balance is the sum of its journal, and that every unit is promised once.

For each stock key: the journal has every entry from 0 to ``seq``; each counter, of the whole and of every bin and lot,
is the sum of its lines, of its buckets, and what its clock says; what can be claimed is on hand less holds, damage, the open order
lines and what counts that wait withhold; each order line's ``open`` is the sum
of its history. The whole table is read once without stopping anyone; a key that looks wrong is then looked at by
itself, until two readings agree that nothing moved in between.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import cast

from shared.domain.ledger import Slot
from shared.domain.stock import (
    AVAILABLE_SIGN,
    WHOLE,
    Counter,
    Leaf,
    LocationId,
    Quantity,
    Sku,
    StockKey,
    parse_leaf,
)
from shared.store.layout import balance_key, bucket_partition, line_key, promise_key
from shared.store.ledger import JournalEntry, Ledger, clocks_of, entry
from shared.store.orders import Orders, order_line
from shared.store.table import Item, Table


@dataclass(frozen=True, slots=True)
class Discrepancy:
    """Something that does not add up: which stock key, what of it, what it must be and what it is."""

    key: StockKey
    what: str
    expected: Quantity
    found: Quantity


@dataclass(slots=True)
class Verified:
    """What was read, and what does not add up."""

    stock_keys: int = 0
    journal_entries: int = 0
    journal_lines: int = 0
    order_lines: int = 0
    discrepancies: list[Discrepancy] = field(default_factory=list)


@dataclass(slots=True)
class _Sums:
    """What was seen of one stock key."""

    seq: int = 0
    totals: dict[Counter, Quantity] = field(default_factory=dict)
    entries: int = 0
    clocks: dict[Slot, Quantity] = field(default_factory=dict)
    lines: defaultdict[Slot, Quantity] = field(default_factory=lambda: defaultdict(int))
    buckets: defaultdict[Slot, Quantity] = field(default_factory=lambda: defaultdict(int))
    available: Quantity = 0
    reserved: Quantity = 0
    withheld: Quantity = 0

    def discrepancies(self, key: StockKey) -> Iterable[Discrepancy]:
        if self.entries != self.seq:
            yield Discrepancy(key, "journal entries", self.seq, self.entries)
        wholes = {Slot(WHOLE, counter): self.totals.get(counter, 0) for counter in Counter}
        leaves = {slot for seen in (self.clocks, self.lines, self.buckets) for slot in seen} - wholes.keys()
        for slot, total in wholes.items():
            if self.lines[slot] != total:
                yield Discrepancy(key, f"{slot.counter} against its journal", self.lines[slot], total)
        for slot in [*wholes, *sorted(leaves)]:
            lines, name = (
                self.lines[slot],
                slot.counter if slot in wholes else f"{slot.counter} of {slot.leaf}",
            )
            if self.buckets[slot] != lines:
                yield Discrepancy(key, f"{name} against its buckets", lines, self.buckets[slot])
            if self.clocks.get(slot, 0) != lines:
                yield Discrepancy(key, f"{name} against its clock", lines, self.clocks.get(slot, 0))
        free = sum(sign * self.totals.get(counter, 0) for counter, sign in AVAILABLE_SIGN.items())
        claimable = free - self.reserved - self.withheld
        if claimable != self.available:
            yield Discrepancy(key, "available", claimable, self.available)


class Verifier:
    """Checks the ledger against itself."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._ledger = Ledger(table)
        self._orders = Orders(table)

    def verify(self, progress: Callable[[int], None] = lambda _: None) -> Verified:
        """Read the whole stock table and return what does not add up."""
        result = Verified()
        sums: defaultdict[StockKey, _Sums] = defaultdict(_Sums)
        for number, item in enumerate(self._table.scan(), start=1):
            self._add(item, sums, result)
            if number % 1000 == 0:
                progress(number)
        result.stock_keys = sum(1 for seen in sums.values() if seen.seq)
        for key, seen in sums.items():
            if any(seen.discrepancies(key)):
                result.discrepancies += self.recheck(key)
        return result

    def recheck(self, key: StockKey) -> list[Discrepancy]:
        """Check one stock key, reading it until it holds still."""
        found: list[Discrepancy] = []
        for _ in range(20):
            before = self._table.snapshot([balance_key(key), promise_key(key)])
            seen = self._sums_of(key, before.get(balance_key(key)), before.get(promise_key(key)))
            found = list(seen.discrepancies(key))
            if not found or self._table.snapshot([balance_key(key), promise_key(key)]) == before:
                return found
        return found

    def _sums_of(self, key: StockKey, balance: Item | None, claims: Item | None) -> _Sums:
        seen = _Sums()
        if balance is not None:
            _add_balance(seen, balance)
        seen.available = 0 if claims is None else cast(int, claims["available"])
        for recorded in self._ledger.entries(key, 0, seen.seq - 1):
            seen.entries += 1
            _add_lines(seen, recorded)
        for item in self._table.query(balance_key(key).pk, prefix="LEAF#"):
            _add_clocks(seen, item)
        for leaf in {WHOLE, *(slot.leaf for slot in [*seen.clocks, *seen.lines])}:
            for bucket in self._table.query(bucket_partition(key, leaf)):
                _add_bucket(seen, leaf, bucket)
        names = [line_key(line.order, line.line) for line in self._orders.of_stock_key(key)]
        for item in self._table.get_many(names).values():
            seen.reserved += order_line(item).holds.get(key.location, 0)
        return seen

    def _add(self, item: Item, sums: defaultdict[StockKey, _Sums], result: Verified) -> None:
        family, *rest = cast(str, item["pk"]).split("#")
        if family == "ORDER" and cast(str, item["sk"]).startswith("LINE#"):
            line = order_line(item)
            result.order_lines += 1
            for place, units in line.holds.items():
                sums[StockKey(line.stock_key.sku, place)].reserved += units
            held = sum(change.quantity for change in line.history)
            if held != line.open:
                what = f"history of order {line.order} line {line.line}"
                result.discrepancies.append(Discrepancy(line.stock_key, what, line.open, held))
            return
        if family not in ("BAL", "JRN", "BKT", "PROMISE"):
            return
        key = StockKey(Sku(_plain(rest[0])), LocationId(_plain(rest[1])))
        seen = sums[key]
        if family == "BAL" and item["sk"] == "-":
            _add_balance(seen, item)
        elif family == "BAL" and "leaf" in item:
            _add_clocks(seen, item)
        elif family == "JRN":
            recorded = entry(key, item)
            seen.entries += 1
            result.journal_entries += 1
            result.journal_lines += len(recorded.lines)
            _add_lines(seen, recorded)
        elif family == "BKT":
            _add_bucket(seen, WHOLE if rest[2] == "-" else parse_leaf(_plain(rest[2])), item)
        elif family == "PROMISE":
            seen.available += cast(int, item["available"])


def _add_balance(seen: _Sums, item: Item) -> None:
    seen.seq = cast(int, item["seq"])
    seen.withheld = cast(int, item.get("withheld", 0))
    seen.totals = {counter: cast(int, item.get(counter, 0)) for counter in Counter}
    _add_clocks(seen, item)


def _add_clocks(seen: _Sums, item: Item) -> None:
    seen.clocks |= {slot: clock.balance for slot, clock in clocks_of(item).items()}


def _add_lines(seen: _Sums, recorded: JournalEntry) -> None:
    for line in recorded.lines:
        for leaf in {WHOLE, line.slot.leaf}:
            seen.lines[Slot(leaf, line.slot.counter)] += line.quantity


def _add_bucket(seen: _Sums, leaf: Leaf, item: Item) -> None:
    for name, value in item.items():
        counter, _, minute = name.partition("|")
        if minute and "|" not in minute:
            seen.buckets[Slot(leaf, Counter(counter))] += cast(int, value)


def _plain(text: str) -> str:
    return text.replace("%23", "#").replace("%25", "%")

"""Everything that is stored about one stock key, item by item as it is found, beside what its journal makes of it.

An account is filled by a scan of the table, which finds the items of many keys in no order, or by reading one key's
own partitions. What the journal says is summed at once (see ``derived.py``), so that a long journal takes no room.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import cast

from shared.domain.ledger import (
    Clock,
    CountDocument,
    CountMark,
    Slot,
    Standing,
    Waiting,
    withheld_by,
)
from shared.domain.reservation import OrderLine, with_history
from shared.domain.stock import (
    AVAILABLE_SIGN,
    WHOLE,
    Counter,
    EventKey,
    Leaf,
    LocationId,
    Quantity,
    Sku,
    SourceId,
    StockKey,
    parse_leaf,
)
from shared.store.derived import Derived, Hour
from shared.store.layout import (
    ENTRIES_PER_BLOCK,
    balance_key,
    bucket_partition,
    count_document_key,
    count_partition,
    event_key,
    journal_block,
    line_key,
    part,
    plain,
    promise_key,
)
from shared.store.ledger_items import clocks_of, count_mark, standing_count, unpack_lines, waiting_count
from shared.store.orders import Orders, order_line
from shared.store.table import Item, Key, Table, Value

FAMILIES = frozenset({"BAL", "JRN", "BKT", "CNT", "CNTDOC", "PROMISE"})
"""The item families that belong to one stock key."""

_FREE = tuple((Slot(WHOLE, counter), sign) for counter, sign in AVAILABLE_SIGN.items() if sign)

UNREADABLE = (KeyError, ValueError, TypeError, AttributeError, IndexError, zlib.error)
"""What reading an item raises that somebody spoilt."""

_UNITS = frozenset({"available", "spare", "granted", "allotted", "kept", "set_aside"})
_TOTALS = frozenset({*map(str, Counter), "counts_waiting", "withheld"})

DECISION = EventKey("onecount/decision/")
UNDONE = EventKey("onecount/undo/")
"""How the events begin by which somebody decided about a count, or took it out again."""


@dataclass(slots=True)
class Account:
    """What is stored about one stock key.

    Attributes
    ----------
    journal
        What its entries say; those that cannot be read are in ``unreadable``.
    waiting
        The counts that wait; None where that was never written.
    promises
        Its promise counters by number.
    reserved, lines
        Units that order lines hold here, and which lines.
    unknown_events
        Of the events that it names, those that are not known as posted.
    damaged
        The items that cannot be read, and why.
    named
        The journal entries that events say they are in, as far as a scan has found these.
    """

    key: StockKey
    balance: Item | None = None
    leaves: dict[Leaf, Item] = field(default_factory=dict)
    waiting: list[Waiting] | None = None
    journal: Derived = field(default_factory=Derived)
    unreadable: list[int] = field(default_factory=list)
    buckets: dict[Hour, Item] = field(default_factory=dict)
    counts: defaultdict[Slot, list[Standing]] = field(default_factory=lambda: defaultdict(list))
    documents: dict[CountDocument, CountMark] = field(default_factory=dict)
    promises: dict[int, Item] = field(default_factory=dict)
    reserved: Quantity = 0
    lines: list[Key] = field(default_factory=list)
    unknown_events: set[EventKey] = field(default_factory=set)
    damaged: dict[Key, tuple[Item, str]] = field(default_factory=dict)
    named: dict[int, EventKey] = field(default_factory=dict)

    def add(self, item: Item) -> None:
        """Add an item of one of the ``FAMILIES``; one that cannot be read is in ``damaged``."""
        try:
            self._add(item)
        except UNREADABLE as error:
            self.spoil(item, error)

    def spoil(self, item: Item, error: Exception) -> None:
        """Note that an item cannot be read, and why."""
        why = f"lacks {error}" if isinstance(error, KeyError) else f"cannot be read: {error}"
        self.damaged[Key(cast(str, item["pk"]), cast(str, item["sk"]))] = (item, why)

    def _add(self, item: Item) -> None:
        family, _, _, *rest = cast(str, item["pk"]).split("#", 4)
        sk = cast(str, item["sk"])
        if family == "JRN":
            self._add_entry(item)
        elif family == "BKT":
            self.buckets[Hour(_leaf(rest[0]), sk)] = item
        elif family == "PROMISE":
            units = [name for name in item if name in _UNITS or name.startswith("set_aside|")]
            _demand_numbers(item, "available", *units)
            self.promises[int(sk)] = item
        elif family == "CNT":
            _demand_numbers(item, "variance", "quantity")
            self.counts[Slot(_leaf(rest[0]), Counter(rest[1]))].append(standing_count(item))
        elif family == "CNTDOC":
            source, document = sk.split("#")
            slot = Slot(_leaf(rest[0]), Counter(rest[1]))
            self.documents[CountDocument(slot, SourceId(plain(source)), plain(document))] = count_mark(item)
        elif sk == "-":
            _demand_numbers(item, "seq", *(name for name in item if name in _TOTALS))
            _demand_clocks(item)
            self.balance = item
        elif sk == "WAITING":
            self.waiting = [waiting_count(row) for row in cast("list[list[Value]]", item["counts"])]
        else:
            _demand_clocks(item)
            self.leaves[parse_leaf(cast(str, item["leaf"]))] = item

    def _add_entry(self, item: Item) -> None:
        seq = int(cast(str, item["sk"]))
        try:
            lines = unpack_lines(cast(bytes, item["lines"]))
            self.journal.add(seq, cast(str, item["posted_at"]), lines)
        except UNREADABLE:
            self.journal.seen(seq)
            self.unreadable.append(seq)

    @property
    def seq(self) -> int:
        """The journal's length, as the balance says; without a balance, as many entries as there are."""
        return self.journal.entries if self.balance is None else cast(int, self.balance["seq"])

    @property
    def withheld(self) -> Quantity:
        """Units that the counts which wait keep from being promised."""
        return withheld_by(self.waiting or ())

    @property
    def claimable(self) -> Quantity:
        """What its promise counters must have together."""
        sums = self.journal.sums
        free = sum(sign * sums.get(slot, 0) for slot, sign in _FREE)
        return free - self.reserved - self.withheld

    @property
    def available(self) -> Quantity:
        """What its promise counters have together."""
        return sum(cast(int, item["available"]) for item in self.promises.values())

    @property
    def clocks(self) -> dict[Slot, Clock]:
        """The clocks of the whole and of every bin and lot, as they are stored."""
        items = [*([] if self.balance is None else [self.balance]), *self.leaves.values()]
        return {slot: clock for item in items if "clocks" in item for slot, clock in clocks_of(item).items()}

    @property
    def standing(self) -> dict[CountDocument, CountMark]:
        """The version of each count document that stands."""
        return {
            CountDocument(slot, SourceId(count.source), count.document): count.mark
            for slot, counts in self.counts.items()
            for count in counts
            if count.document
        }

    @property
    def guards(self) -> dict[Key, Item]:
        """Balance and promise counters: while they are as they are here, so is everything else that posting writes."""
        items = {promise_key(self.key, k): item for k, item in self.promises.items()}
        items |= {at: item for at, (item, _) in self.damaged.items() if at.pk.startswith("PROMISE#")}
        at = balance_key(self.key)
        balance = self.damaged[at][0] if at in self.damaged else self.balance
        return items if balance is None else {at: balance, **items}

    @property
    def slots(self) -> set[Slot]:
        """Every slot that anything is stored of."""
        return {*self.journal.sums, *self.clocks, *self.counts, *(name.slot for name in self.documents)}


def readable_line(item: Item) -> OrderLine:
    """Read an order line, and make sure that what follows from its documents can be worked out."""
    line = order_line(item)
    _demand_numbers(item, "open")
    if (item["pk"], item["sk"]) != line_key(line.order, line.line):
        raise ValueError(f"it says that it is line {line.line} of order {line.order}")
    with_history(line)
    return line


def _demand_numbers(item: Item, *names: str) -> None:
    for name in names:
        if not isinstance(item[name], int):
            raise TypeError(f"{name} is {item[name]!r}, no number of units")


def _demand_clocks(item: Item) -> None:
    if "clocks" in item:
        clocks_of(item)


class Accounts:
    """Reads all that is stored about one stock key from its own partitions."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._orders = Orders(table)

    def read(self, key: StockKey, known: Account | None = None) -> tuple[Account, list[Item]]:
        """Return the account of a stock key, and its order lines.

        What a scan has seen of it is looked for too: a leaf or an entry that nothing else of the key names.
        """
        seen = Account(key)
        known = known or seen
        seen.named = known.named
        for item in self._of(balance_key(key).pk, promise_key(key).pk):
            seen.add(item)
        top = 0 if seen.balance is None else cast(int, seen.balance["seq"])
        self._read_journal(seen, max([top, *(n + 1 for n in (*known.journal.beyond(top), *known.named))]))
        slots = {*seen.slots, *known.slots, *(count.slot for count in seen.waiting or ())}
        leaves = {WHOLE, *seen.leaves, *seen.journal.leaves, *(hour.leaf for hour in known.buckets)}
        partitions = [
            *(bucket_partition(key, leaf) for leaf in leaves),
            *(count_partition(key, slot) for slot in slots),
            *(count_document_key(key, CountDocument(slot, SourceId("-"), "-")).pk for slot in slots),
        ]
        for item in self._of(*partitions):
            seen.add(item)
        listed = [name for names in self._orders.listed(key) for name in names]
        lines: list[Item] = []
        for item in self._table.get_many(list(dict.fromkeys([*listed, *known.lines]))).values():
            try:
                seen.reserved += readable_line(item).holds.get(key.location, 0)
            except UNREADABLE as error:
                seen.spoil(item, error)
            else:
                lines.append(item)
        for item in self._table.get_many([at for at in known.damaged if at.pk.startswith("EVENT#")]).values():
            try:
                entries_of(item)
            except UNREADABLE as error:
                seen.spoil(item, error)
        self._look_up_events(seen)
        return seen, lines

    def holds_still(self, account: Account) -> bool:
        """Whether nothing has been posted, reserved or released since an account was begun to be read."""
        keys = {balance_key(account.key), promise_key(account.key), *account.guards}
        return self._table.snapshot(sorted(keys)) == account.guards

    def _of(self, *partitions: str) -> Iterator[Item]:
        for partition in partitions:
            yield from self._table.query(partition)

    def _read_journal(self, seen: Account, length: int) -> None:
        """Read to the end of the block after the last that is known to be there."""
        first = 0
        while True:
            found = 0
            for item in self._table.query(journal_block(seen.key, first)):
                seen.add(item)
                found += 1
            first += ENTRIES_PER_BLOCK
            if first > length and not found:
                return

    def _look_up_events(self, seen: Account) -> None:
        named = [*seen.journal.events, *(count.mark.event_key for count in seen.waiting or ())]
        for start in range(0, len(named), 1000):
            some = {event_key(name): name for name in named[start : start + 1000]}
            found = self._table.get_many(list(some))
            seen.unknown_events |= {name for key, name in some.items() if key not in found}


def entries_of(item: Item) -> list[tuple[StockKey, int]]:
    """Return the journal entries that an event's own item names."""
    named = cast("list[tuple[str, str, int]]", item.get("entries", []))
    return [(StockKey(Sku(sku), LocationId(location)), seq) for sku, location, seq in named]


def owners(item: Item) -> set[str]:
    """Return the SKUs that an item of the ledger belongs to, as keys write them; of a kit's event its components."""
    family, *rest = cast(str, item["pk"]).split("#")
    if family in FAMILIES:
        return {rest[0]}
    if family == "EVENT":
        own = part(str(item.get("sku", "")))
        try:
            return {own, *(part(key.sku) for key, _ in entries_of(item))}
        except UNREADABLE:
            return {own}  # who proves that SKU names it
    if family != "ORDER" or item["sk"] == "-":
        return set()
    if "sku" in item:
        return {part(str(item["sku"]))}
    is_part = cast(str, item["sk"]).startswith("PART#")
    return (
        {str(item["order_lines_pk"]).split("#")[0]}
        if "order_lines_pk" in item
        else set()
        if is_part
        else {""}
    )


def stock_key_of_key(pk: str) -> StockKey:
    """Read the stock key from the partition key of an item of one of the ``FAMILIES``."""
    _, sku, location, *_ = pk.split("#")
    return StockKey(Sku(plain(sku)), LocationId(plain(location)))


def _leaf(text: str) -> Leaf:
    return WHOLE if text == "-" else parse_leaf(plain(text))

"""What a journal makes of its stock key: every number that is stored beside it, worked out anew from its entries.

The order in which entries are added does not matter, so that they can come as a scan of the table finds them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from shared.domain.events import instant
from shared.domain.ledger import Cause, Line, Slot
from shared.domain.stock import WHOLE, Counter, EventKey, Leaf, Quantity
from shared.store.layout import ENTRIES_PER_BLOCK
from shared.store.table import Item, Value

_COUNTERS = frozenset(map(str, Counter))


class Hour(NamedTuple):
    """One bucket: an hour of a leaf, as the bucket's sort key writes it."""

    leaf: Leaf
    hour: str


class Net(NamedTuple):
    """What happened to a counter in a minute, and the first and last entries that say so."""

    quantity: Quantity
    first_seq: int
    last_seq: int


Minutes = dict[str, Net]
"""By ``counter|minute``, as a bucket's attributes are named."""


@dataclass(slots=True)
class Derived:
    """Sums over the entries of one journal.

    Attributes
    ----------
    sums, newest
        Of each slot: the sum of its lines, and the valid time of the newest.
    buckets
        Net of each counter and minute, by leaf and hour.
    corrections
        Sum of the lines of a slot that counts made at an instant: together the variances of the counts that stand there.
    counted
        The counts that were accepted at an instant, standing or not.
    events
        Each event that a line names, with the first entry that does.
    last
        The newest entry: its number, when it was posted, and the earliest valid time in it.
    """

    entries: int = 0
    lines: int = 0
    sums: defaultdict[Slot, Quantity] = field(default_factory=lambda: defaultdict(int))
    newest: dict[Slot, datetime] = field(default_factory=dict)
    buckets: defaultdict[Hour, Minutes] = field(default_factory=lambda: defaultdict(dict))
    corrections: defaultdict[tuple[Slot, datetime], Quantity] = field(
        default_factory=lambda: defaultdict(int)
    )
    counted: defaultdict[tuple[Slot, datetime], set[EventKey]] = field(
        default_factory=lambda: defaultdict(set)
    )
    events: dict[EventKey, int] = field(default_factory=dict)
    last: tuple[int, str, str | None] = (-1, "", None)
    _seen: defaultdict[int, int] = field(default_factory=lambda: defaultdict(int))

    def add(self, seq: int, posted_at: str, lines: Sequence[Line]) -> None:
        """Add one entry; when it was posted is kept as it is written."""
        self.seen(seq)
        if seq > self.last[0]:
            earliest = min((line.valid_at for line in lines), default=None)
            self.last = (seq, posted_at, None if earliest is None else instant(earliest))
        self.lines += len(lines)
        for line in lines:
            self._add_line(seq, line)

    def seen(self, seq: int) -> None:
        """Note that an entry is there."""
        block, place = divmod(seq, ENTRIES_PER_BLOCK)
        self.entries += not self.has(seq)
        self._seen[block] |= 1 << place

    def missing(self, seq: int) -> Iterator[int]:
        """Yield the entries that are not there of those that a journal of a length has."""
        if self.entries != seq or next(self.beyond(seq), None) is not None:
            yield from (number for number in range(seq) if not self.has(number))

    def beyond(self, seq: int) -> Iterator[int]:
        """Yield the entries that are there although a journal of that length has none."""
        for block in sorted(self._seen):
            first = block * ENTRIES_PER_BLOCK
            if self._seen[block] >> max(0, seq - first):
                numbers = range(max(first, seq), first + ENTRIES_PER_BLOCK)
                yield from (number for number in numbers if self.has(number))

    def has(self, seq: int) -> bool:
        """Whether an entry is there."""
        block, place = divmod(seq, ENTRIES_PER_BLOCK)
        return bool(self._seen.get(block, 0) >> place & 1)

    @property
    def leaves(self) -> set[Leaf]:
        """The leaves that lines name."""
        return {slot.leaf for slot in self.sums}

    def _add_line(self, seq: int, line: Line) -> None:
        slot, quantity, valid_at, event_key, cause, _ = line
        stamp = instant(valid_at)
        name = f"{slot.counter}|{stamp[14:16]}"
        for leaf in (WHOLE,) if slot.leaf == WHOLE else (WHOLE, slot.leaf):
            counted = Slot(leaf, slot.counter)
            self.sums[counted] += quantity
            if counted not in self.newest or valid_at > self.newest[counted]:
                self.newest[counted] = valid_at
            minutes = self.buckets[Hour(leaf, stamp[:13])]
            known = minutes.get(name)
            minutes[name] = (
                Net(quantity, seq, seq)
                if known is None
                else Net(known.quantity + quantity, min(known.first_seq, seq), max(known.last_seq, seq))
            )
        if cause is not Cause.MOVEMENT:
            self.corrections[slot, valid_at] += quantity
            if cause is Cause.COUNT:
                self.counted[slot, valid_at].add(event_key)
        if seq < self.events.get(event_key, seq + 1):
            self.events[event_key] = seq


def bucket_attributes(minutes: Minutes) -> dict[str, Value]:
    """Return what a bucket that holds these minutes says."""
    attributes: dict[str, Value] = {}
    for name, net in minutes.items():
        attributes |= {name: net.quantity, f"{name}|lo": net.first_seq, f"{name}|hi": net.last_seq}
    return attributes


def bucket_nets(item: Item) -> Iterator[tuple[Counter, Quantity]]:
    """Read the net of each counter and minute of a stored bucket."""
    for name, value in item.items():
        counter, _, minute = name.partition("|")
        if minute and "|" not in minute and isinstance(value, int) and counter in _COUNTERS:
            yield Counter(counter), value

"""What a journal tells about a day of one place: counters that add up, and never change once they are written.

They are made from the journal, entry by entry from the first on, so each entry is counted exactly once however often
its announcement comes; whoever keeps the sums keeps with them how far they reach. A day is the UTC day of **posting**:
what is learnt late counts on the day on which it was learnt, so a day that is over stays as it was told.

===========================  =======================================================================================
counter                      of one source, at one location, on one day
===========================  =======================================================================================
``events``                   movements posted
``took``                     from when a movement happened, as its source says, until it was posted
``counted``, ``matched``     counts of what is on the shelf that were posted; those that said what the book said
``off``, ``net``             units by which they differed: without sign, and with it
``read``, ``agreed``,        the same for numbers that a system keeps and the book was posted from: rows of a snapshot
``read_off``
``adjusted``, ``up``,        adjustments by hand; units that they added, and took
``down``
``lost_EUR``,               units with a cost in euros that adjustments and counts of the shelf took off what is on
``gained_EUR``               hand, and added to it; ``lost_`` and ``gained_``: those without a cost
``lost_worth_EUR``,         what they are worth in millionths, at the cost that stood when they were counted here
``gained_worth_EUR``
``taken_back``               events that an undo took back, and units of recalled lots set on hold
===========================  =======================================================================================

A count **matches** when the book, as of the instant of the count and as it stood when the count was posted, said the
same number. A movement that comes later and explains the difference does not make it a match: until then the book was
wrong. The counts with which a stock key began (an opening) are compared with nothing, and not counted. What is **lost**
is otherwise: such a movement restates the count, and what the count had lost is gained again, so that the two together
come to what is gone for good.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import NamedTuple

from shared.domain.durations import Durations, bucket_of
from shared.domain.events import MovementKind, event_source
from shared.domain.ledger import Cause, Line, Opening, is_opened_by, opened_by
from shared.domain.money import Money
from shared.domain.network import MANUAL
from shared.domain.stock import Counter, EventKey, LocationId, Quantity, SourceId, StockKey

_UNDONE = "onecount/undo/"

_BY_HAND_OF_OURS = (_UNDONE, "onecount/lot/")
"""How the keys of events begin that somebody had us write: an undo, a recall."""

LOST, GAINED = "lost", "gained"

_PARTS = 5
"""Parts of an event key: source, document, line, kind, version."""

_TOOK = "t"
"""What a counter is named that stands for one step of how long events took; the step follows."""


class Place(NamedTuple):
    """Whose counters these are: one source's at one location on one day."""

    location: LocationId
    day: date
    source: SourceId


class Entry(NamedTuple):
    """What is read of a journal entry: when it was posted, and its lines."""

    posted_at: datetime
    lines: Sequence[Line]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a journal was counted: the entries, and with whose counts it began once that is known.

    ``opening`` is None before the first entry with lines; its source is empty where the journal began with no count.
    """

    entries: int = 0
    opening: Opening | None = None


@dataclass(slots=True)
class Counted:
    """What some entries of one journal add.

    ``variances`` are the mismatching counts among them by day: how many, and units off, without sign.
    """

    key: StockKey
    before: Progress
    after: Progress
    tallies: dict[Place, Tally[str]] = field(default_factory=dict)
    variances: dict[date, tuple[int, Quantity]] = field(default_factory=dict)

    @property
    def adds(self) -> bool:
        """Whether there is anything to add to any counter."""
        return bool(self.variances) or any(
            number for tally in self.tallies.values() for number in tally.values()
        )

    @property
    def has_losses(self) -> bool:
        """Whether units were lost or gained, which are to be valued."""
        return any(tally[name] for tally in self.tallies.values() for name in (LOST, GAINED))

    def value(self, cost: Money | None) -> None:
        """Say of lost and gained units in which currency one has its cost, if it has one, and what they are worth."""
        currency = "" if cost is None else cost.currency
        for tally in self.tallies.values():
            for name in (LOST, GAINED):
                if units := tally.pop(name, 0):
                    tally[f"{name}_{currency}"] = units
                    if cost is not None:
                        tally[f"{name}_worth_{cost.currency}"] = cost.micros * units


def count_entries(
    key: StockKey, before: Progress, entries: Sequence[Entry], is_physical: Callable[[SourceId], bool]
) -> Counted:
    """Count the next entries of a journal, in their order.

    ``is_physical`` says of a source whether its counts are of what is on the shelf, rather than what a system keeps.
    """
    counted, opening = Counted(key, before, before), before.opening
    for entry in entries:
        if opening is None and entry.lines:
            opening = opened_by(entry.lines) or (SourceId(""), entry.lines[0].valid_at)
        _count_movements(counted, entry)
        _count_losses(counted, entry, opening, is_physical)
        for line in entry.lines:
            is_count = line.cause is Cause.COUNT and line.slot.counter is Counter.ON_HAND
            if is_count and not (opening and is_opened_by(line, *opening)):
                _count_count(counted, entry, line, is_physical)
    counted.after = Progress(before.entries + len(entries), opening)
    return counted


def durations_of(tally: Tally[str]) -> Durations:
    """Read how long events took out of counters."""
    return Durations(
        {
            int(name[len(_TOOK) :]): count
            for name, count in tally.items()
            if name.startswith(_TOOK) and name[len(_TOOK) :].isdecimal()
        }
    )


def _count_movements(counted: Counted, entry: Entry) -> None:
    seen: dict[EventKey, datetime] = {}
    for line in entry.lines:
        if line.cause is not Cause.MOVEMENT:
            continue
        tally = _tally(counted, entry, line.event_key)
        if line.event_key not in seen:
            seen[line.event_key] = line.valid_at
            _count_event(tally, line, entry.posted_at)
        if event_source(line.event_key) == MANUAL.id:
            tally["up" if line.quantity > 0 else "down"] += abs(line.quantity)


def _count_losses(
    counted: Counted, entry: Entry, opening: Opening | None, is_physical: Callable[[SourceId], bool]
) -> None:
    for line in entry.lines:
        source = event_source(line.event_key)
        if line.cause is Cause.MOVEMENT:
            is_meant = is_adjustment(line.event_key)
        else:  # what restates or retracts a count carries its source and instant
            is_meant = is_physical(source) and (source, line.valid_at) != opening
        if is_meant and line.quantity and line.slot.counter is Counter.ON_HAND:
            name = LOST if line.quantity < 0 else GAINED
            _tally(counted, entry, line.event_key)[name] += abs(line.quantity)


def is_adjustment(event: EventKey) -> bool:
    """Whether the key of a movement says that it is an adjustment, or takes one back.

    It is one where somebody entered it, or its sender calls it that.
    """
    while event.startswith(_UNDONE):  # what takes an adjustment back is the reverse of one
        event = EventKey(event.removeprefix(_UNDONE))
    parts = event.split("/")
    return parts[0] == MANUAL.id or (len(parts) == _PARTS and parts[3] == MovementKind.ADJUSTMENT)


def _count_event(tally: Tally[str], line: Line, posted_at: datetime) -> None:
    if line.event_key.startswith(_BY_HAND_OF_OURS):
        tally["taken_back"] += 1
    elif event_source(line.event_key) == MANUAL.id:
        tally["adjusted"] += 1
    else:
        tally["events"] += 1
        tally[f"{_TOOK}{bucket_of(posted_at - line.valid_at)}"] += 1


def _count_count(counted: Counted, entry: Entry, line: Line, is_physical: Callable[[SourceId], bool]) -> None:
    tally, off = _tally(counted, entry, line.event_key), abs(line.quantity)
    if not is_physical(event_source(line.event_key)):
        tally.update(read=1, agreed=int(not off), read_off=off)
        return
    tally.update(counted=1, matched=int(not off), off=off, net=line.quantity)
    if off:
        day = entry.posted_at.date()
        counts, units = counted.variances.get(day, (0, 0))
        counted.variances[day] = counts + 1, units + off


def _tally(counted: Counted, entry: Entry, event: EventKey) -> Tally[str]:
    place = Place(counted.key.location, entry.posted_at.date(), event_source(event))
    return counted.tallies.setdefault(place, Tally())

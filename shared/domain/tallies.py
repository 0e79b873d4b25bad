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
===========  =======================================================================================

A count **matches** when the book, as of the instant of the count and as it stood when the count was posted, said the
same number. A movement that comes later and explains the difference does not make it a match: until then the book was
wrong. What is **lost** is otherwise: whatever restates a count or takes it out changes what that count had taken off or
added, so that all in all, in whichever order it came, it is what the counts that stand differ by.

The earliest count of each leaf that stands is its **opening** (``openings``): before it the book knows what moved, and not
what there was, so it is compared with nothing, and loses nothing. Where an earlier one comes later, or it is undone, the
opening moves, and what had been counted is made up for on that day::

    recorded first   98 @ 1:00    the opening: compared with nothing
    arrives late    100 @ 0:00    the opening now; of 1:00, two were lost
    undone          100 @ 0:00    98 @ 1:00 is the opening again: two are gained; that it was compared stays counted
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import chain
from typing import NamedTuple

from shared.domain.durations import Durations, bucket_of
from shared.domain.events import MovementKind, event_source
from shared.domain.ledger import Cause, Line
from shared.domain.money import Money
from shared.domain.network import MANUAL
from shared.domain.openings import (
    Changes,
    Firsts,
    Stands,
    after,
    changes_of,
    firsts_of,
    is_opening,
    moved,
    standing,
    touched,
)
from shared.domain.stock import WHOLE, Counter, EventKey, Leaf, LocationId, Quantity, SourceId, StockKey

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
    """How far a journal was counted.

    Attributes
    ----------
    firsts
        When the earliest count of the whole that stands was taken, and that of each leaf that is asked for.
    has_parts
        Whether any count so far was of a part of the location.
    """

    entries: int = 0
    firsts: Firsts = field(default_factory=dict)
    has_parts: bool = False


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
    def moved(self) -> dict[Leaf, datetime | None]:
        """The leaves whose first count is another than before, and when it was taken; None where none is left."""
        was, now = self.before.firsts, self.after.firsts
        return {leaf: now.get(leaf) for leaf in was.keys() | now.keys() if was.get(leaf) != now.get(leaf)}

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
    key: StockKey,
    before: Progress,
    entries: Sequence[Entry],
    earlier: Callable[[], Iterable[Sequence[Line]]],
    is_physical: Callable[[SourceId], bool],
) -> Counted:
    """Count the next entries of a journal, in their order.

    ``before`` must know the first counts of the ``leaves_counted`` of these entries. ``earlier`` reads the lines of each
    entry before them, and is called only where an opening moves that others followed. ``is_physical`` says of a source
    whether its counts are of what is on the shelf, rather than what a system keeps.
    """
    counted, progress = Counted(key, before, before), before
    for number, entry in enumerate(entries):
        _count_movements(counted, entry)
        changes = changes_of(entry.lines)
        moving = moved(progress.firsts, changes)
        stood: Stands = touched(changes)
        if _may_follow(progress, moving):
            stood = standing(chain(earlier(), (one.lines for one in entries[:number])))
        firsts = (progress.firsts, progress.firsts)
        if moving:
            firsts = _moved_firsts(progress.firsts, moving, stood, after(stood, changes))
        _count_counts(counted, entry, firsts, stood, changes, is_physical)
        asked = progress.firsts.keys() | moving
        progress = Progress(
            before.entries + number + 1,
            {leaf: at for leaf, at in firsts[1].items() if leaf in asked},
            progress.has_parts or any(count.leaf != WHOLE for count in changes),
        )
    counted.after = progress
    return counted


def leaves_counted(entries: Iterable[Sequence[Line]]) -> set[Leaf]:
    """Return the bins and lots of which the lines of any entry change a count of what is on hand."""
    return {count.leaf for lines in entries for count in changes_of(lines)} - {WHOLE}


def _may_follow(progress: Progress, moving: Collection[Leaf]) -> bool:
    """Whether counts that stood before may be openings now, or be it no more, as the first ones of some leaves move.

    None may where a leaf is counted for the first time; but a count of the whole is one of every leaf.
    """
    return any(leaf in progress.firsts or (leaf == WHOLE and progress.has_parts) for leaf in moving)


def _moved_firsts(
    known: Firsts, moving: Collection[Leaf], stood: Stands, stands: Stands
) -> tuple[Firsts, Firsts]:
    """Return the first counts of every leaf that is known or stood, before an entry and after it."""
    before = {**firsts_of(stood), **known}
    now = firsts_of(count for count in stands if count.leaf in moving)
    return before, {leaf: at for leaf, at in before.items() if leaf not in moving} | now


def durations_of(tally: Tally[str]) -> Durations:
    """Read how long events took out of counters."""
    return Durations(
        {
            int(name[len(_TOOK) :]): count
            for name, count in tally.items()
            if name.startswith(_TOOK) and name[len(_TOOK) :].isdecimal()
        }
    )


def _count_counts(
    counted: Counted,
    entry: Entry,
    firsts: tuple[Firsts, Firsts],
    stood: Stands,
    changes: Changes,
    is_physical: Callable[[SourceId], bool],
) -> None:
    """Count what an entry does to counts, by which of them stood; ``firsts`` are those before and after it."""
    stands = after(stood, changes)
    for count in stood.keys() | changes.keys():
        was_opening, is_opening_now = (is_opening(count.leaf, count.at, known) for known in firsts)
        was = 0 if was_opening else stood.get(count, 0)
        now = 0 if is_opening_now else stands.get(count, 0)
        is_shelf = is_physical(event_source(count.key))
        if is_shelf and now != was:
            _tally(counted, entry, count.key)[LOST if now < was else GAINED] += abs(now - was)
        if count in stands and not is_opening_now and (was_opening or count not in stood):
            _compare(counted, entry, count.key, now, is_shelf=is_shelf)


def _compare(counted: Counted, entry: Entry, count: EventKey, off: Quantity, *, is_shelf: bool) -> None:
    tally = _tally(counted, entry, count)
    if not is_shelf:
        tally.update(read=1, agreed=int(not off), read_off=abs(off))
        return
    tally.update(counted=1, matched=int(not off), off=abs(off), net=off)
    if off:
        day = entry.posted_at.date()
        counts, units = counted.variances.get(day, (0, 0))
        counted.variances[day] = counts + 1, units + abs(off)


def _count_movements(counted: Counted, entry: Entry) -> None:
    seen: set[EventKey] = set()
    for line in entry.lines:
        is_undo = line.cause is Cause.RETRACTED and line.event_key.startswith(_UNDONE)
        if line.cause is not Cause.MOVEMENT and not is_undo:
            continue
        tally = _tally(counted, entry, line.event_key)
        if line.event_key not in seen:
            seen.add(line.event_key)
            _count_event(tally, line, entry.posted_at)
        if line.cause is not Cause.MOVEMENT:
            continue
        if event_source(line.event_key) == MANUAL.id:
            tally["up" if line.quantity > 0 else "down"] += abs(line.quantity)
        if is_adjustment(line.event_key) and line.quantity and line.slot.counter is Counter.ON_HAND:
            tally[LOST if line.quantity < 0 else GAINED] += abs(line.quantity)


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


def _tally(counted: Counted, entry: Entry, event: EventKey) -> Tally[str]:
    place = Place(counted.key.location, entry.posted_at.date(), event_source(event))
    return counted.tallies.setdefault(place, Tally())

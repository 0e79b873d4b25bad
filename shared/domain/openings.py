"""Which counts of what is on hand stand by the lines of a journal, and which of them are the opening of their leaf.

Until somebody has counted a leaf, the book knows what moved there, and not what there was. So the earliest count of a leaf
that stands is its **opening**: it is compared with nothing, and loses nothing. A count of the whole location has said what
there is in every leaf together, so the first count of a leaf that comes after it is no opening. A count of a leaf says
nothing of the others: the first count of the whole is an opening, whatever was counted before::

    bin A  50 @ 1, 48 @ 4     whole  90 @ 3     bin B  40 @ 2, bin C 5 @ 5
    openings: A @ 1, B @ 2, the whole @ 3. Compared with what the book says: A @ 4, C @ 5

All counts of a leaf at the instant of its opening are its opening. Where an earlier one comes, or they are taken out, it
moves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, TypeAlias

from shared.domain.ledger import Cause, Line
from shared.domain.stock import WHOLE, Counter, EventKey, Leaf, Quantity

Firsts: TypeAlias = Mapping[Leaf, datetime]
"""The instant of the earliest count of each leaf that stands; of the whole, that of the whole alone."""


class CountAt(NamedTuple):
    """A count as it stands: of what, as of when, and which."""

    leaf: Leaf
    at: datetime
    key: EventKey


@dataclass(slots=True)
class Change:
    """What an entry does to a count: whether it stood before and stands after, and by how much its variance changes."""

    stood: bool
    stands: bool = True
    variance: Quantity = 0


Changes: TypeAlias = Mapping[CountAt, Change]
Stands: TypeAlias = Mapping[CountAt, Quantity]
"""Counts that stand, each with its variance."""


def is_opening(leaf: Leaf, at: datetime, firsts: Firsts) -> bool:
    """Whether a count of a leaf as of an instant, which stands, is the opening of its leaf."""
    return at == min((firsts[one] for one in (leaf, WHOLE) if one in firsts), default=None)


def firsts_of(counts: Iterable[CountAt]) -> dict[Leaf, datetime]:
    """Return the instant of the earliest of some counts of each leaf."""
    firsts: dict[Leaf, datetime] = {}
    for count in counts:
        firsts[count.leaf] = min(count.at, firsts.get(count.leaf, count.at))
    return firsts


def changes_of(lines: Iterable[Line]) -> dict[CountAt, Change]:
    """Return what the lines of an entry do to each count of what is on hand."""
    found: dict[CountAt, Change] = {}
    for line in lines:
        is_count = line.cause is Cause.COUNT
        name = line.event_key if is_count else line.of_count
        if line.slot.counter is Counter.ON_HAND and name:
            count = CountAt(line.slot.leaf, line.valid_at, name)
            change = found.setdefault(count, Change(stood=not is_count))
            change.variance += line.quantity
            change.stands = is_count or (change.stands and line.cause is not Cause.RETRACTED)
    return found


def touched(changes: Changes) -> dict[CountAt, Quantity]:
    """Return the counts that an entry changes, each with the variance before it, less what a count keeps throughout."""
    return {
        count: 0 if change.stands else -change.variance for count, change in changes.items() if change.stood
    }


def after(stood: Stands, changes: Changes) -> dict[CountAt, Quantity]:
    """Return the counts that stand after an entry, from those that stood before it."""
    stands = dict(stood)
    _apply(stands, changes)
    return stands


def standing(entries: Iterable[Iterable[Line]]) -> dict[CountAt, Quantity]:
    """Return the counts that stand after all entries of a journal."""
    stands: dict[CountAt, Quantity] = {}
    for lines in entries:
        _apply(stands, changes_of(lines))
    return stands


def moved(firsts: Firsts, changes: Changes) -> set[Leaf]:
    """Return the leaves whose earliest count is another now, or which have one for the first time."""
    return {
        count.leaf
        for count, change in changes.items()
        for first in [firsts.get(count.leaf)]
        if (change.stands and (first is None or count.at < first))
        or (not change.stands and count.at == first)
    }


def _apply(stands: dict[CountAt, Quantity], changes: Changes) -> None:
    for count, change in changes.items():
        if change.stands:
            stands[count] = stands.get(count, 0) + change.variance
        else:
            stands.pop(count, None)

"""When a system is known to have heard of an event: the first number of its that agrees, as of an instant at or after it.

What a number confirms is what the ledger knew up to its instant when the two were compared, less what an earlier number
had confirmed already::

    entries   0 .. 6 | 7  8  9      7 and 8 are new since the last number that agreed, 9 came after this comparison
    as of       T1        T2        an event of 5 that happened between T1 and T2 is new as well

Each event is confirmed once. What was there before the first number that agreed is the state that system began with.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from shared.domain.drift import Formula
from shared.domain.events import event_source
from shared.domain.ledger import Cause, Line
from shared.domain.stock import AVAILABLE_SIGN, Counter, EventKey, SourceId


class Confirmed(NamedTuple):
    """How far a system is known to have heard: of the first so many entries of a journal, what happened by ``as_of``."""

    as_of: datetime
    entries: int


class Posted(NamedTuple):
    """One journal entry: its number, and its lines."""

    seq: int
    lines: Sequence[Line]


def counters_of(formula: Formula) -> frozenset[Counter]:
    """Return the counters whose change a number of this meaning shows."""
    names = {term for _, term in formula.terms}
    by_available = bool(names & {"available", "available_to_promise"})
    return frozenset(
        counter for counter in Counter if counter in names or (by_available and AVAILABLE_SIGN[counter])
    )


def newly_confirmed(
    before: Confirmed, now: Confirmed, posted: Iterable[Posted], by: SourceId, counters: frozenset[Counter]
) -> list[timedelta]:
    """Return how long each event waited that a number confirms first; those that the system told itself are left out."""
    waited: dict[tuple[EventKey, datetime], timedelta] = {}
    for entry in posted:
        for line in entry.lines:
            was_known = entry.seq < before.entries and line.valid_at <= before.as_of
            is_known = entry.seq < now.entries and line.valid_at <= now.as_of
            is_meant = line.cause is Cause.MOVEMENT and line.slot.counter in counters
            if is_meant and is_known and not was_known and event_source(line.event_key) != by:
                waited[line.event_key, line.valid_at] = now.as_of - line.valid_at
    return list(waited.values())

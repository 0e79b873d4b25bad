"""Corrections that undo each other: when two systems, or a system and a person, keep putting one number right.

::

    09:00  wms counts   +3
    10:00  erp's batch  -3     first swing
    11:00  wms counts   +3     second
    12:00  erp's batch  -3     third: a loop

Each correction is right by itself, so none of them is an error to anybody; only that they swing is. A swing takes back
exactly what the correction before did: counts that are a little off one way and the other are noise, and a number that
is corrected always the same way is a leak, of which drift says where. Each bin or lot is a number of its own: goods that
are put from one to another, and told by counts of both, correct each of them once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise

from shared.domain.stock import WHOLE, Leaf, Quantity

KEPT = 12
"""Corrections of one leaf that are remembered: each has a memory of its own, so that no bin makes another's forgotten."""

APART = timedelta(microseconds=1)
"""What lies at least between two corrections of one leaf, so that those posted at one instant keep their order."""


@dataclass(frozen=True, slots=True)
class Damping:
    """From how many swings within what time corrections are a loop."""

    swings: int = 3
    within: timedelta = timedelta(hours=24)


@dataclass(frozen=True, slots=True, order=True)
class Correction:
    """A number was put right: when that was posted, by how much, by whom, by which event, and of which bin or lot."""

    at: datetime
    units: Quantity
    who: str
    event: str
    leaf: Leaf = WHOLE


def in_turn(new: Iterable[Correction], known: Iterable[Correction]) -> Iterator[Correction]:
    """Yield new corrections of one leaf, given in the order in which they happened, each behind the last and the known."""
    free = max((one.at + APART for one in known), default=None)
    for one in new:
        at = one.at if free is None else max(one.at, free)
        yield replace(one, at=at)
        free = at + APART


def remembered(
    known: Iterable[Correction], new: Iterable[Correction], since: datetime
) -> tuple[Correction, ...]:
    """Return the newest corrections of one leaf since an instant, oldest first; one that is known already counts once."""
    by_event = {(one.event, one.units): one for one in (*new, *known)}
    return tuple(sorted(one for one in by_event.values() if one.at >= since))[-KEPT:]


def swung_at(corrections: Sequence[Correction]) -> list[datetime]:
    """Return when a correction of one leaf took back exactly what the one before it had done, oldest first."""
    return [other.at for one, other in pairwise(corrections) if one.units == -other.units]


def is_loop(corrections: Sequence[Correction], rule: Damping, since: datetime | None = None) -> bool:
    """Whether the number of one leaf swings as often as the rule says, and has swung again since an instant."""
    swung = swung_at(corrections)
    return len(swung) >= rule.swings and (since is None or swung[-1] > since)

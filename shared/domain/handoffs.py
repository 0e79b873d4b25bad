"""Handoffs: who tells whom, by which mechanism, how often and how fast.

Times are kept as a histogram of integers over a fixed ladder of bounds, so that a handoff of a million events a day
costs a few numbers; a percentile is then known as "at most this bound".
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from shared.domain.stock import LocationId

_SECOND, _MINUTE, _HOUR = 1_000, 60_000, 3_600_000

LADDER_MS = (
    100,
    300,
    _SECOND,
    3 * _SECOND,
    10 * _SECOND,
    30 * _SECOND,
    _MINUTE,
    3 * _MINUTE,
    10 * _MINUTE,
    30 * _MINUTE,
    _HOUR,
    3 * _HOUR,
    12 * _HOUR,
    24 * _HOUR,
)
"""Upper bounds of the steps, in milliseconds; what takes longer than the last is on a step of its own."""

OURSELVES = "onecount"
"""The end of a handoff that is ours."""


@dataclass(frozen=True, slots=True)
class DeclaredPath:
    """A handoff that bypasses us and is known to: ``giver`` writes to ``taker``, every so often by a batch."""

    giver: str
    taker: str
    mechanism: str = ""
    every: timedelta | None = None


def step_of(time: timedelta) -> int:
    """Return on which step of the ladder a time lies; one below zero, where clocks differ, on the first."""
    return bisect_left(LADDER_MS, time / timedelta(milliseconds=1))


@dataclass(frozen=True, slots=True)
class Times:
    """How long a handoff took, by steps of the ladder."""

    steps: Mapping[int, int] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many were measured."""
        return sum(self.steps.values())

    def at_most(self, percent: int) -> int | None:
        """Return the bound in milliseconds below which so many per cent lie; None: above the ladder, or no times."""
        wanted, seen = -(-self.count * percent // 100), 0
        for step in sorted(self.steps):
            seen += self.steps[step]
            if wanted and seen >= wanted:
                return LADDER_MS[step] if step < len(LADDER_MS) else None
        return None


@dataclass(frozen=True, slots=True)
class Failure:
    """The last time that a handoff did not succeed."""

    at: datetime
    reason: str


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of one handoff in the last 24 hours.

    Attributes
    ----------
    last_hour, last_day
        Events handed over.
    arriving
        From when it happened, as its giver says, until we received it; nothing for what we hand over.
    posting
        From then until it was in the ledger; of what we hand over, until the other side confirmed it.
    failures
        Since the first that was ever seen.
    """

    last_hour: int = 0
    last_day: int = 0
    arriving: Times = field(default_factory=Times)
    posting: Times = field(default_factory=Times)
    last_at: datetime | None = None
    failures: int = 0
    last_failure: Failure | None = None


@dataclass(frozen=True, slots=True)
class WritePath:
    """One handoff of the map.

    Attributes
    ----------
    authority
        What it may write, in words, by the rules in force.
    is_bypass
        Whether it goes past us, and is declared.
    """

    giver: str
    taker: str
    mechanism: str
    authority: tuple[str, ...]
    seen: Seen
    is_bypass: bool = False
    every: timedelta | None = None


def authority_of(name: str, authorities: Mapping[LocationId, Sequence[str]]) -> tuple[str, ...]:
    """Say what a source may write: by location, the elements of which it is the authority."""
    if not authorities:
        return (f"{name} is believed nowhere: what it says is compared, never written",)
    return tuple(
        f"{' and '.join(elements)} at {location}" for location, elements in sorted(authorities.items())
    )

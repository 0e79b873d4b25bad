"""The match rate against counts of the shelf, day by day, and the gate that it opens: may a location be cut over?

A location may rely on Onecount alone after ``DAYS`` consecutive days, up to yesterday, each of which passes. A day
passes when something was counted, at least ``ENOUGH`` of it matched, and nobody intervened by hand. A day on which
nothing was counted proves nothing, so it does not pass; and what nobody could place at a location (a code mapped by
hand, a redrive) counts against every location.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta

from shared.domain.stock import LocationId, Quantity

DAYS = 7
"""Consecutive days that must pass."""

ENOUGH = 9_950
"""Match rate of a day that passes, in hundredths of a per cent: 99.5 %."""

INTERVENTIONS = ("adjustments", "taken_back", "case_actions", "codes_mapped", "redrives")
"""What counts as an intervention by hand."""


@dataclass(frozen=True, slots=True)
class Matches:
    """Numbers that were compared, those of them that matched, and units by which the others were off."""

    compared: int = 0
    matched: int = 0
    off: Quantity = 0

    @property
    def rate(self) -> int | None:
        """The share that matched in hundredths of a per cent, rounded down; None where nothing was compared."""
        return 10_000 * self.matched // self.compared if self.compared else None

    def __add__(self, other: Matches) -> Matches:
        return Matches(self.compared + other.compared, self.matched + other.matched, self.off + other.off)


@dataclass(frozen=True, slots=True)
class MatchDay:
    """One day of one location.

    Attributes
    ----------
    counts
        Counts of the shelf against the book.
    interventions
        By kind, those of ``INTERVENTIONS`` that there were.
    systems
        What the day's sweep found of each system's numbers, by the tolerance and latency that are declared for it.
    """

    location: LocationId
    day: date
    counts: Matches = Matches()
    interventions: Mapping[str, int] = field(default_factory=dict)
    systems: Mapping[str, Matches] = field(default_factory=dict)

    @property
    def shortcomings(self) -> tuple[str, ...]:
        """Why the day does not pass; empty where it does."""
        said: list[str] = []
        rate = self.counts.rate
        if rate is None:
            said.append("nothing was counted")
        elif rate < ENOUGH:
            said.append(
                f"{self.counts.matched} of {self.counts.compared} counts matched: {percent(rate)}, "
                f"{percent(ENOUGH)} are needed"
            )
        said += [f"{count} {kind.replace('_', ' ')}" for kind, count in self.interventions.items() if count]
        return tuple(said)


@dataclass(frozen=True, slots=True)
class Gate:
    """Whether a location may be cut over.

    Attributes
    ----------
    days_passed
        Consecutive days that passed, up to the last day that is over; at most ``DAYS``.
    counts
        All counts of the ``DAYS`` last days.
    why
        What is missing, in words with the figures; empty where it may.
    """

    location: LocationId
    last_day: date
    days_passed: int
    counts: Matches
    why: tuple[str, ...]

    @property
    def passes(self) -> bool:
        """Whether it may."""
        return not self.why


def gate(location: LocationId, days: Mapping[date, MatchDay], last_day: date, counts_waiting: int) -> Gate:
    """Judge a location by its days up to ``last_day``, and by how many of its counts wait for a decision."""
    window = [last_day - timedelta(days=ago) for ago in range(DAYS)]
    found = [days.get(day, MatchDay(location, day)) for day in window]
    passed = next((number for number, day in enumerate(found) if day.shortcomings), DAYS)
    why: list[str] = []
    if passed < DAYS:
        why.append(f"{passed} of {DAYS} days")
        why += [f"{one.day}: {', '.join(one.shortcomings)}" for one in found if one.shortcomings]
    if counts_waiting:
        why.append(f"counts that wait for a decision, and may not match: {counts_waiting}")
    return Gate(location, last_day, passed, sum((one.counts for one in found), Matches()), tuple(why))


def percent(rate: int) -> str:
    """Write hundredths of a per cent."""
    return f"{rate // 100}.{rate % 100:02} %"

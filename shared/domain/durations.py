"""How long things took, as a histogram that adds up: any two of them merge without loss, and a day is a few numbers.

The steps are fixed: below 8 ms each millisecond is its own, above it each power of two has four equal ones. So a
percentile is told as the upper bound of its step: never too low, and less than a quarter too high (1 hour is told as
at most 1 h 15 min). There is no longest duration.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

_EXACT = 8
"""Milliseconds below which each is a step of its own."""

_PARTS = 4
"""Steps of each power of two above."""


def bucket_of(time: timedelta) -> int:
    """Return the step of a duration; one below zero, where clocks differ, is on the first."""
    ms = max(0, time // timedelta(milliseconds=1))
    if ms < _EXACT:
        return ms
    shift = ms.bit_length() - _PARTS.bit_length()
    return shift * _PARTS + (ms >> shift)


def bound_ms(bucket: int) -> int:
    """Return the longest duration of a step, in whole milliseconds."""
    if bucket < _EXACT:
        return bucket
    shift = bucket // _PARTS - 1
    return ((bucket - shift * _PARTS + 1) << shift) - 1


@dataclass(frozen=True, slots=True)
class Durations:
    """How many things took how long, by step."""

    steps: Mapping[int, int] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """How many were measured."""
        return sum(self.steps.values())

    def at_most_ms(self, percent: int) -> int | None:
        """Return the bound below which so many per cent lie; None where nothing was measured."""
        wanted, seen = -(-self.count * percent // 100), 0
        for step in sorted(self.steps):
            seen += self.steps[step]
            if wanted and seen >= wanted:
                return bound_ms(step)
        return None

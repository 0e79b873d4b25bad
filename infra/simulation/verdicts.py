"""The invariants by number, and what is raised when one is broken."""

from __future__ import annotations

from enum import IntEnum


class Invariant(IntEnum):
    """The invariants of the design's section 4, by number."""

    ONCE = 1
    CONSERVED = 2
    NEVER_OVER_PROMISED = 3
    ORDER_DOES_NOT_MATTER = 4
    AUTHORITY = 5
    NOTHING_LOST = 6
    NEVER_STALE_OUT = 7
    ISOLATED = 8


class Violation(BaseException):
    """An invariant is broken; no ``except`` of the code under test may hide it. ``units`` is by how much."""

    def __init__(self, invariant: Invariant, what: str, units: int = 0) -> None:
        super().__init__(f"invariant {int(invariant)} ({invariant.name.lower()}): {what}")
        self.invariant = invariant
        self.what = what
        self.units = units

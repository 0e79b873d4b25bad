"""What could explain one system's difference on one stock key: each explanation says exactly which numbers it fits.

An explanation is a rule over numbers, made only if many keys prove it (``evidence``). Whether a single key fits is
exact: no tolerance, so that a rule that is off by one fits nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from infra.audit.deviations import Deviation
from infra.audit.slices import split_key
from infra.audit.written_numbers import Number


class Kind(StrEnum):
    """Why two systems differ, in one word a program can filter by."""

    PACK_FACTOR = "pack_factor"
    DEFINITION = "definition_mismatch"
    PLACE_LEFT_OUT = "place_left_out"
    OFFSET = "constant_offset"
    STALE = "stale_copy"
    PLACES = "location_mapping"
    PLACE_NOT_CARRIED = "place_not_carried"
    SWAPPED = "swapped_mapping"
    TRUNCATED = "truncated_export"
    CODE_FORMAT = "sku_code_format"
    NEGATIVE = "negative_stock"
    REPEATED = "repeated_rows"
    MISSING = "missing"
    UNEXPLAINED = "unexplained"


@dataclass(frozen=True, slots=True)
class Explanation:
    """A rule that fits some of one system's differences.

    Attributes
    ----------
    system
        Whose numbers it explains.
    factor, divides
        ``PACK_FACTOR``: the system says so many times the agreed number, or that part of it.
    fact, sign
        ``DEFINITION``, ``PLACE_LEFT_OUT``: which fact is taken off (-1) or added (+1). ``NEGATIVE``: whether the system
        itself is below zero (-1), or says 0 where what it was measured by is (+1).
    offset
        ``OFFSET``: what is added, cut at zero if it takes off.
    export
        ``STALE``: which older export.
    limit
        ``TRUNCATED``: the last SKU that the file has; ``sign`` is 1 where its SKUs ascend, -1 where they descend.
    place
        ``PLACE_NOT_CARRIED``: the place.
    hits, chance
        Keys that fit, and how many would by chance.
    compared
        Keys that the system and another have.
    """

    kind: Kind
    system: int
    factor: int = 0
    divides: bool = False
    fact: int = -1
    sign: int = 0
    offset: Number = 0
    export: int = -1
    limit: str = ""
    place: str = ""
    hits: int = 0
    chance: int = 0
    compared: int = 0

    def is_same_rule(self, other: Explanation) -> bool:
        """Say whether it is the same rule, however much was found for it."""
        return replace(self, hits=0, chance=0, compared=0) == replace(other, hits=0, chance=0, compared=0)

    @property
    def is_of_others(self) -> bool:
        """Whether what is odd stands in the numbers that the system was measured by, and not in its own."""
        return self.kind is Kind.NEGATIVE and self.sign > 0

    def fits(self, deviation: Deviation, place: str) -> bool:
        """Say whether it explains a difference; ``place`` is that of the key."""
        value = deviation.value
        if value is None:
            return self._fits_missing(deviation, place)
        agreed = deviation.agreed
        match self.kind:
            case Kind.PACK_FACTOR if self.divides:
                return value == agreed // self.factor and value != 0
            case Kind.PACK_FACTOR:
                return value == agreed * self.factor
            case Kind.DEFINITION | Kind.PLACE_LEFT_OUT:
                number = deviation.facts[self.fact]
                return number != 0 and value in (
                    agreed + self.sign * number,
                    max(0, agreed + self.sign * number),
                )
            case Kind.OFFSET:
                return value == agreed + self.offset or (
                    self.offset < 0 and value == 0 < agreed <= -self.offset
                )
            case Kind.STALE:
                return value == deviation.earlier[self.export]
            case Kind.NEGATIVE:
                return value < 0 <= agreed if self.sign < 0 else agreed < 0 == value
            case Kind.REPEATED:
                return _once_or_summed(deviation)
            case Kind.PLACES:
                return deviation.moved
            case _:
                return False

    def _fits_missing(self, deviation: Deviation, place: str) -> bool:
        match self.kind:
            case Kind.PLACES:
                return deviation.moved
            case Kind.TRUNCATED:
                sku = split_key(deviation.key)[0]
                return sku >= self.limit if self.sign > 0 else sku <= self.limit
            case Kind.PLACE_NOT_CARRIED:
                return place == self.place
            case _:
                return False

    def undone(self, value: Number, facts: tuple[Number, ...]) -> Number:
        """Put a number in the others' terms, as if the rule held for it; unchanged where it cannot be."""
        match self.kind:
            case Kind.PACK_FACTOR if self.divides:
                return value * self.factor
            case Kind.PACK_FACTOR:
                return value // self.factor if value % self.factor == 0 else value
            case Kind.DEFINITION | Kind.PLACE_LEFT_OUT:
                return value - self.sign * facts[self.fact]
            case Kind.OFFSET:
                return value - self.offset
            case _:
                return value


def _once_or_summed(deviation: Deviation) -> bool:
    rows = deviation.repeats
    return bool(rows) and deviation.agreed in (sum(rows), *(rows[:1] if len(set(rows)) == 1 else rows))

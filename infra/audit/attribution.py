"""Each difference given to the explanation that fits it; where two fit the same ones, both are kept.

For every difference it is noted which of the system's explanations fit; differences with the same set are counted
together, so that a million of them are a few dozen counts. Then the explanation that fits most takes what it fits,
the next one takes of the rest, and so on; one that has too little left to stand on is dropped, and what it fitted is
unexplained. Whatever fits nine tenths of what was taken is named beside it as fitting equally.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from infra.audit.deviations import Deviation
from infra.audit.evidence import FEWEST, FEWEST_ALIKE, TIMES_CHANCE
from infra.audit.explanations import Explanation, Kind
from infra.audit.slices import split_key
from infra.audit.tally import Example, Tally
from infra.audit.written_numbers import Number

_KEPT_FOR_SWAPS = 50_000
_EQUALLY = Fraction(9, 10)
_ALWAYS = {Kind.NEGATIVE, Kind.REPEATED, Kind.PLACE_NOT_CARRIED, Kind.PLACES}
_SURENESS = 7
"""How improbable a cut-off tail must be by chance, as a natural logarithm: one in a thousand."""


@dataclass
class Attributed:
    """An explanation with what was given to it.

    Attributes
    ----------
    alike
        Explanations that fit nine tenths or more of the same differences.
    partly
        Explanations that fit some of them, with how many.
    """

    explanation: Explanation
    tally: Tally
    alike: list[Explanation] = field(default_factory=list)
    partly: list[tuple[Explanation, int]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Unexplained:
    """A difference that no rule fits, kept to look for its mirror image."""

    example: Example
    net: Number
    value: Number
    agreed: Number


class Attribution:
    """The differences of one system."""

    def __init__(self, system: int, explanations: Sequence[Explanation]) -> None:
        self._system = system
        self._keys = 0
        self._explanations = explanations
        self._tallies: dict[tuple[int, bool], Tally] = {}
        self._left: list[Unexplained] = []
        self._chosen: dict[int, Explanation] = {}
        self._swapped: set[str] = set()

    def add(
        self,
        deviation: Deviation,
        values: tuple[Number | None, ...],
        price: Decimal | None,
        has_item: bool,
    ) -> int:
        """Count one difference; return which explanations fit it, as a set of bits.

        Parameters
        ----------
        has_item
            Whether the system has the SKU, be it at another place.
        """
        place = split_key(deviation.key)[1]
        mask = 0
        for bit, explanation in enumerate(self._explanations):
            if explanation.fits(deviation, place):
                mask |= 1 << bit
        units = deviation.difference if deviation.difference > 0 else -deviation.difference
        exposure = None if price is None else price * units
        example = Example(deviation.key, values, units, exposure)
        value = deviation.value
        if mask == 0 and value is not None and len(self._left) < _KEPT_FOR_SWAPS:
            self._left.append(Unexplained(example, deviation.difference, value, deviation.agreed))
        else:
            tally = self._tallies.setdefault((mask, value is None), Tally())
            tally.add(example, deviation.difference)
            if value is None:
                tally.places[place] += 1
                tally.elsewhere += has_item
        return mask

    def explanation_of(self, mask: int, missing: bool, key: str) -> Explanation:
        """Return what a difference was given to, once ``result`` has been called."""
        if mask in self._chosen:
            return self._chosen[mask]
        if missing:
            return Explanation(Kind.MISSING, self._system)
        return Explanation(Kind.SWAPPED if key in self._swapped else Kind.UNEXPLAINED, self._system)

    def result(self, keys: int) -> list[Attributed]:
        """Give every difference to an explanation; the last are missing keys, and what no explanation fits.

        Parameters
        ----------
        keys
            How many keys there are in all.
        """
        self._keys = keys
        rest = dict(self._tallies)
        found = []
        while (best := self._best(rest)) is not None:
            found.append(self._take(best, rest))
        pairs, by_chance = mirror_pairs(self._left)
        if pairs:
            found.append(self._swaps(pairs, by_chance))
        missing, unexplained = Tally(), Tally()
        for (_, is_missing), tally in rest.items():
            (missing if is_missing else unexplained).merge(tally)
        for one in self._left:
            if one.example.key not in self._swapped:
                unexplained.add(one.example, one.net)
        for kind, tally in ((Kind.MISSING, missing), (Kind.UNEXPLAINED, unexplained)):
            if tally.keys:
                found.append(Attributed(Explanation(kind, self._system), tally))
        return found

    def _swaps(self, pairs: Sequence[tuple[Unexplained, Unexplained]], by_chance: Fraction) -> Attributed:
        tally = Tally()
        for pair in pairs:
            for this, that in (pair, pair[::-1]):
                note = f"says {split_key(that.example.key)[0]}'s number"
                tally.add(replace(this.example, note=note), this.net)
                self._swapped.add(this.example.key)
        swaps = Explanation(Kind.SWAPPED, self._system, hits=len(pairs), chance=round(by_chance))
        return Attributed(swaps, tally)

    def _best(self, rest: Mapping[tuple[int, bool], Tally]) -> int | None:
        """Return the explanation that fits most of the rest, if it fits enough of it to stand."""
        counts = [
            (sum(tally.keys for (mask, _), tally in rest.items() if mask >> bit & 1), -bit)
            for bit in range(len(self._explanations))
        ]
        for count, minus_bit in sorted(counts, reverse=True):
            if count and self._stands(self._explanations[-minus_bit], count):
                return -minus_bit
        return None

    def _stands(self, one: Explanation, keys: int) -> bool:
        if one.kind in _ALWAYS:
            return True
        if one.kind is Kind.TRUNCATED:
            if any(missing and not mask for mask, missing in self._tallies):
                return (
                    False  # a key is missing before the last row: they are not missing because it ends there
                )
            missing = sum(tally.keys for (_, missing), tally in self._tallies.items() if missing)
            return keys >= FEWEST_ALIKE and keys * math.log(self._keys / missing) >= _SURENESS
        fewest = FEWEST_ALIKE if one.kind in (Kind.OFFSET, Kind.STALE) else FEWEST
        return keys >= max(fewest, TIMES_CHANCE * one.chance // 2)

    def _take(self, bit: int, rest: dict[tuple[int, bool], Tally]) -> Attributed:
        taken = Attributed(self._explanations[bit], Tally())
        also = [0] * len(self._explanations)
        for mask, missing in [of for of in rest if of[0] >> bit & 1]:
            tally = rest.pop((mask, missing))
            self._chosen[mask] = taken.explanation
            taken.tally.merge(tally)
            for other in range(len(self._explanations)):
                also[other] += tally.keys if other != bit and mask >> other & 1 else 0
        for other, keys in enumerate(also):
            explanation = self._explanations[other]
            if keys and self._stands(explanation, keys):
                if keys >= _EQUALLY * taken.tally.keys:
                    taken.alike.append(explanation)
                else:
                    taken.partly.append((explanation, keys))
        return taken


def mirror_pairs(
    left: Sequence[Unexplained],
) -> tuple[list[tuple[Unexplained, Unexplained]], Fraction]:
    """Find pairs of SKUs that say each other's number, if far more of them do than would by chance.

    How many would is known for each number from all the differences, so that pairs of rare numbers stand although
    everyday ones cross by chance: the pairs are taken from the rarest on, as long as they are far more than chance.

    Returns
    -------
    The pairs, and how many of them would be there by chance.
    """
    cells: dict[_Cell, list[Unexplained]] = {}
    for one in left:
        cells.setdefault(_Cell(split_key(one.example.key)[1], one.value, one.agreed), []).append(one)
    by_rarity: dict[Fraction, list[_Cell]] = {}
    for cell, chance in _chances(cells).items():
        by_rarity.setdefault(chance, []).append(cell)
    pairs: list[tuple[Unexplained, Unexplained]] = []
    expected = by_chance = Fraction(0)
    standing = 0
    for chance, alike in sorted(by_rarity.items()):
        for cell in alike:
            expected += chance * len(cells[cell]) / 2  # each pair is met twice
            if cell.value < cell.agreed:
                pairs += zip(_by_key(cells[cell]), _by_key(cells.get(cell.mirrored, ())), strict=False)
        more, more_by_chance = len(pairs) - standing, expected - by_chance
        # Commoner numbers are judged by themselves: the pairs of rare ones do not speak for them.
        if more and more >= TIMES_CHANCE * more_by_chance:
            standing, by_chance = len(pairs), expected
    return pairs[:standing], by_chance


class _Cell(NamedTuple):
    """Differences of one place with the same two numbers."""

    place: str
    value: Number
    agreed: Number

    @property
    def mirrored(self) -> _Cell:
        return self._replace(value=self.agreed, agreed=self.value)


def _chances(cells: Mapping[_Cell, Sequence[Unexplained]]) -> dict[_Cell, Fraction]:
    """Return how many mirror images a difference of each cell would have by chance, the same for a cell and its mirror.

    By chance an item has the other number, and is off by as much the other way, without the one leading to the
    other: the first is as frequent as items with that number, the second as differences of that size. Where small
    stock is off by little and large stock by much, pairs that miss it by one are the better measure; the larger holds.
    """
    numbers: Counter[tuple[str, Number]] = Counter()
    differences: Counter[tuple[str, Number]] = Counter()
    places: Counter[str] = Counter()
    for (place, value, agreed), ones in cells.items():
        numbers[place, agreed] += len(ones)
        differences[place, value - agreed] += len(ones)
        places[place] += len(ones)

    def chance(cell: _Cell) -> Fraction:
        place, value, agreed = cell
        mirrors = len(cells.get(cell.mirrored, ()))  # it is of other items that chance is made
        apart = numbers[place, value] * differences[place, agreed - value] - mirrors
        near = sum(
            len(cells.get(_Cell(place, agreed + up, value + down), ()))
            for up, down in ((1, 0), (-1, 0), (0, 1), (0, -1))
        )
        return max(Fraction(apart, places[place]), Fraction(near, 4))

    found = {cell: chance(cell) for cell in cells}
    return {cell: max(own, found.get(cell.mirrored, own)) for cell, own in found.items()}


def _by_key(ones: Sequence[Unexplained]) -> Iterator[Unexplained]:
    return iter(sorted(ones, key=lambda one: one.example.key))

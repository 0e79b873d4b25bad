"""What the differences of a whole system prove: which rules fit far more of them than chance would.

A rule is tried against its own near misses. If the shop is lower than the others by exactly what is reserved on 400
keys, and by one more or one less than that on 6, then 3 would fit by chance, and 400 is no chance. Small numbers
fit everything now and then; that is what this is for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction

from infra.audit.deviations import Deviation, Fact, Odd, Translate
from infra.audit.explanations import Explanation, Kind
from infra.audit.slices import split_key
from infra.audit.written_numbers import Number

FEWEST = 3
"""Keys that a rule must fit."""

FEWEST_ALIKE = 5
"""Keys that must differ by the same number, or say what an older export said."""

TIMES_CHANCE = 4
_LARGEST_FACTOR = 10_000
_MOST_COUNTED = 20_000
_MOST_OF_A_KIND = 6
_SHARE_OF_A_BUFFER = Fraction(1, 10)


def stands_out(hits: int, chance: Fraction | int, fewest: int) -> bool:
    """Say whether so many hits are more than chance."""
    return hits >= fewest and hits >= TIMES_CHANCE * chance


class Evidence:
    """What one system's differences show, collected one at a time.

    Parameters
    ----------
    places_not_carried
        Places of the other systems that this one does not have at all.
    """

    def __init__(
        self, system: int, facts: Sequence[Fact], older: int, places_not_carried: Iterable[str]
    ) -> None:
        self._system, self._facts, self._older = system, facts, older
        self._places = tuple(places_not_carried)
        self._compared = 0
        self._offsets: Counter[Number] = Counter()
        self._factors: Counter[tuple[int, bool]] = Counter()
        self._factor_of: dict[tuple[int, bool], set[Number]] = {}
        self._by_fact: Counter[tuple[int, int, int]] = Counter()
        self._by_older: Counter[tuple[int, int]] = Counter()
        self._moved = {True: 0, False: 0}

    def note(self, deviation: Deviation) -> None:
        """Look at one difference."""
        value, agreed = deviation.value, deviation.agreed
        if value is None:
            return
        difference = value - agreed
        self._offsets[difference] += 1
        if len(self._offsets) > _MOST_COUNTED:
            self._offsets = Counter(dict(self._offsets.most_common(_MOST_COUNTED // 2)))
        self._note_factor(value, agreed)
        for at, number in enumerate(deviation.facts):
            if number:
                for sign in (-1, 1):
                    missed = difference - sign * number
                    if missed in (-1, 0, 1):
                        self._by_fact[at, sign, abs(int(missed))] += 1
        for at, said in enumerate(deviation.earlier):
            if said is not None and said != agreed and (missed := value - said) in (-1, 0, 1):
                self._by_older[at, abs(int(missed))] += 1

    def note_places(self, odds: Sequence[Odd]) -> None:
        """Count the SKUs of a shard of which as much is there as agreed, but elsewhere; and those that miss it by one."""
        last, differences = "", list[Number]()
        for odd in (*odds, None):
            sku = "" if odd is None else split_key(odd.key)[0]
            if sku != last:
                if len(differences) > 1 and -1 <= (total := sum(differences)) <= 1:
                    self._moved[total == 0] += 1
                last, differences = sku, []
            if odd is not None:
                differences += [d.difference for d in odd.deviations if d.system == self._system]

    def note_shared(self, keys: int) -> None:
        """Note how many keys of a shard this system and another have."""
        self._compared += keys

    def explanations(self) -> list[Explanation]:
        """Return every rule that stands out, those of a kind with most hits first."""
        found = [*self._of_facts(), *self._of_factors(), *self._of_older(), *self._of_offsets()]
        moved, near = self._moved[True], self._moved[False]
        if moved and moved >= TIMES_CHANCE * Fraction(near, 2):
            found.append(Explanation(Kind.PLACES, self._system, hits=moved, chance=near // 2))
        found += [Explanation(Kind.PLACE_NOT_CARRIED, self._system, place=place) for place in self._places]
        found.append(Explanation(Kind.REPEATED, self._system))
        found += [Explanation(Kind.NEGATIVE, self._system, sign=sign) for sign in (-1, 1)]
        return found

    def _note_factor(self, value: Number, agreed: Number) -> None:
        if isinstance(value, Decimal) or isinstance(agreed, Decimal) or value * agreed <= 0:
            return
        divides = abs(agreed) > abs(value)
        small, large = (value, agreed) if divides else (agreed, value)
        factor, rest = divmod(large, small)
        if rest == 0 and factor <= _LARGEST_FACTOR:
            self._factors[factor, divides] += 1
            amounts = self._factor_of.setdefault((factor, divides), set())
            if len(amounts) < 2:
                amounts.add(agreed)

    def _of_factors(self) -> list[Explanation]:
        found = []
        for (factor, divides), hits in self._factors.most_common():
            near = [count for step in (-1, 1) if (count := self._factors[factor + step, divides])]
            chance = Fraction(sum(near), len(near) or 1)
            if stands_out(hits, chance, FEWEST) and len(self._factor_of[factor, divides]) > 1:
                found.append(
                    Explanation(
                        Kind.PACK_FACTOR,
                        self._system,
                        factor=factor,
                        divides=divides,
                        hits=hits,
                        chance=int(chance),
                        compared=self._compared,
                    )
                )
        return found[:_MOST_OF_A_KIND]

    def _of_facts(self) -> list[Explanation]:
        found = []
        for at, fact in enumerate(self._facts):
            for sign in (-1, 1):
                hits, near = self._by_fact[at, sign, 0], self._by_fact[at, sign, 1]
                if stands_out(hits, Fraction(near, 2), FEWEST):
                    kind = Kind.PLACE_LEFT_OUT if fact.place else Kind.DEFINITION
                    found.append(
                        Explanation(
                            kind,
                            self._system,
                            fact=at,
                            sign=sign,
                            hits=hits,
                            chance=near // 2,
                            compared=self._compared,
                        )
                    )
        return sorted(found, key=lambda one: -one.hits)[:_MOST_OF_A_KIND]

    def _of_older(self) -> list[Explanation]:
        return [
            Explanation(Kind.STALE, self._system, export=at, hits=hits, chance=near // 2)
            for at in range(self._older)
            if stands_out(
                hits := self._by_older[at, 0], Fraction(near := self._by_older[at, 1], 2), FEWEST_ALIKE
            )
        ]

    def _of_offsets(self) -> list[Explanation]:
        found = []
        for offset, hits in self._offsets.most_common(_MOST_OF_A_KIND):
            around = [offset + step for step in (-2, -1, 1, 2) if offset + step != 0]
            chance = Fraction(sum(self._offsets[one] for one in around), len(around))
            # A few sales on their way make many differences of one; a buffer is on every key, or far out of line.
            is_wide = hits >= _SHARE_OF_A_BUFFER * self._compared
            if stands_out(
                hits, chance if is_wide else 3 * chance, FEWEST_ALIKE if is_wide else 2 * FEWEST_ALIKE
            ):
                found.append(
                    Explanation(
                        Kind.OFFSET,
                        self._system,
                        offset=offset,
                        hits=hits,
                        chance=int(chance),
                        compared=self._compared,
                    )
                )
        return found


def is_wide(one: Explanation) -> bool:
    """Say whether a rule explains so much of a system that the rest has to be looked at by itself."""
    return one.compared > 0 and one.hits >= FEWEST_ALIKE and one.hits >= _SHARE_OF_A_BUFFER * one.compared


def systematic_rules(explanations: Mapping[int, Sequence[Explanation]]) -> dict[int, Explanation]:
    """Return the one rule of each system that fits a good part of its keys, if there is one: the one with most hits."""
    rules = {}
    for system, found in explanations.items():
        fitting = [one for one in found if is_wide(one)]
        if fitting:
            rules[system] = max(fitting, key=lambda one: one.hits)
    return rules


def in_others_terms(rules: Mapping[int, Explanation]) -> Translate | None:
    """Return how a system's number is heard by the others, given the rule that it follows as a whole."""
    if not rules:
        return None

    def translate(system: int, value: Number, facts: tuple[Number, ...]) -> Number:
        rule = rules.get(system)
        return value if rule is None else rule.undone(value, facts)

    return translate

"""What is counted of every shard when all rules are known: equal keys pair by pair, causes, the worst keys."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import combinations

from infra.audit.attribution import Attributed, Attribution
from infra.audit.deviations import Compared, Odd
from infra.audit.explanations import Explanation
from infra.audit.slices import Slice, split_key
from infra.audit.spelling import spelled_how
from infra.audit.tally import Example, Tally
from infra.audit.wording import in_short
from infra.audit.written_numbers import Number


@dataclass
class Respelled:
    """Codes of one system that match another's only when their spelling is ignored."""

    tally: Tally = field(default_factory=Tally)
    equal: int = 0


@dataclass
class Worst:
    """A stock key among the worst, with what is needed to name its likely cause later."""

    rank: tuple[Decimal, Number, str]
    example: Example
    masks: tuple[tuple[int, int, bool], ...]

    def __lt__(self, other: Worst) -> bool:
        return self.rank < other.rank


class Count:
    """Counts shards.

    Attributes
    ----------
    keys, equal, empty
        Stock keys that any system has; those of which all say the same number under the same code; those among them that
        are 0 in some systems and missing in the others: nothing is there either way.
    by_majority, by_first
        Differing keys with a number that most systems say, and those measured by the first system.
    both, same
        By pair of systems: keys that both have under the same code, and those with the same number.
    held, negative
        By system: its keys, and those below zero.
    ambiguous
        Codes that could be several others.
    respelled
        By system and difference in spelling.
    """

    def __init__(
        self, names: Sequence[str], explanations: Mapping[int, Sequence[Explanation]], most: int
    ) -> None:
        self._names, self._most = names, most
        self._attributions = [Attribution(number, explanations[number]) for number in range(len(names))]
        self._worst: list[Worst] = []
        self._pairs = list(combinations(range(len(names)), 2))
        self.keys = self.equal = self.empty = self.by_majority = self.by_first = self.ambiguous = 0
        self.both: Counter[tuple[int, int]] = Counter()
        self.same: Counter[tuple[int, int]] = Counter()
        self.held: Counter[int] = Counter()
        self.negative: Counter[int] = Counter()
        self.respelled: dict[tuple[int, str], Respelled] = {}

    def add(self, of: Slice, compared: Compared) -> None:
        """Count one shard."""
        self.ambiguous += of.ambiguous
        self.keys += compared.equal + len(compared.odd)
        for number, held in enumerate(of.systems):
            self.held[number] += len(held.quantities)
            self.negative[number] += sum([value < 0 for value in held.quantities.values()])
        self._add_pairs(of, compared)
        self._add_respelled(of)
        for odd in compared.odd:
            if not odd.deviations:
                self._add_empty(odd, of)
            else:
                self.by_majority += odd.majority
                self.by_first += not odd.majority
                self._add_odd(odd, of)

    def causes(self) -> list[Attributed]:
        """Return what the differences were given to; all shards must have been counted."""
        return [found for one in self._attributions for found in one.result(self.keys)]

    def worst(self) -> list[tuple[Example, list[str]]]:
        """Return the worst keys with each system's likely cause, once ``causes`` has been called."""
        return [
            (
                one.example,
                [
                    in_short(
                        self._attributions[system].explanation_of(mask, missing, one.example.key), self._names
                    )
                    for system, mask, missing in one.masks
                ],
            )
            for one in sorted(self._worst, reverse=True)
        ]

    def _add_pairs(self, of: Slice, compared: Compared) -> None:
        """Count pairs of systems; a key that one of them spells in its own way is not the same key."""
        spelled = [held.spelled for held in of.systems]
        respelled = set().union(*spelled)
        self.equal += compared.equal - len(respelled - {odd.key for odd in compared.odd})
        for one, other in self._pairs:
            mine, theirs = of.systems[one].quantities, of.systems[other].quantities
            both = same = compared.equal
            for odd in compared.odd:
                value = odd.values[one]
                if value is not None and (said := odd.values[other]) is not None:
                    both += 1
                    same += value == said
            apart = [
                key
                for key in spelled[one].keys() | spelled[other].keys()
                if key in mine
                and key in theirs
                and spelled[one].get(key, key) != spelled[other].get(key, key)
            ]
            self.both[one, other] += both - len(apart)
            self.same[one, other] += same - sum([mine[key] == theirs[key] for key in apart])

    def _add_empty(self, odd: Odd, of: Slice) -> None:
        """Count a key of which some systems say 0 and the others nothing: as the same, if under the same code."""
        if not any(odd.key in held.spelled for held in of.systems):
            self.equal += 1
            self.empty += 1

    def _add_respelled(self, of: Slice) -> None:
        for number, held in enumerate(of.systems):
            for key, written in held.spelled.items():
                sku, code = split_key(key)[0], split_key(written)[0]
                values = tuple([other.quantities.get(key) for other in of.systems])
                value = held.quantities[key]
                units = value if value > 0 else -value
                price = of.prices.get(sku)
                exposure = None if price is None else price * units
                counted = self.respelled.setdefault((number, spelled_how(sku, code)), Respelled())
                note = f"{code} in {self._names[number]}"
                counted.tally.add(Example(key, values, units, exposure, note), 0)
                counted.equal += any(value == other for at, other in enumerate(values) if at != number)

    def _add_odd(self, odd: Odd, of: Slice) -> None:
        sku = split_key(odd.key)[0]
        price = of.prices.get(sku)
        masks = tuple(
            [
                (
                    deviation.system,
                    self._attributions[deviation.system].add(
                        deviation, odd.values, price, sku in of.systems[deviation.system].skus
                    ),
                    deviation.value is None,
                )
                for deviation in odd.deviations
            ]
        )
        said = [value or 0 for value in odd.values]
        spread = max(said) - min(said)
        exposure = None if price is None else price * spread
        rank = (exposure or Decimal(0), spread, odd.key)
        if len(self._worst) < self._most:
            heapq.heappush(self._worst, Worst(rank, Example(odd.key, odd.values, spread, exposure), masks))
        elif self._worst and rank > self._worst[0].rank:
            heapq.heapreplace(self._worst, Worst(rank, Example(odd.key, odd.values, spread, exposure), masks))

"""The whole audit: learns what the files' differences prove, then gives each difference its likely cause.

The shards are gone through, one in memory at a time, until nothing new is learnt, and once more to count::

    pass 1   how codes are spelled, whether repeated rows add up, which rules stand out
    pass 2   only if pass 1 learnt something that changes what is compared: the rules again, knowing it
    last     count
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from infra.audit.attribution import Attributed
from infra.audit.counting import Count
from infra.audit.deviations import Compared, Fact, compare, facts_of
from infra.audit.evidence import Evidence, in_others_terms, is_wide, systematic_rules
from infra.audit.explanations import Explanation, Kind
from infra.audit.places import Grain
from infra.audit.proof import Role
from infra.audit.reading import Export
from infra.audit.row_order import RowOrder
from infra.audit.slices import Slice, Slices
from infra.audit.spelling import Lesson, Repeats
from infra.audit.tally import Example

Say = Callable[[str], None]
Rules = Mapping[int, Sequence[Explanation]]

_MOST_PASSES = 3
"""Passes that may learn something, before the one that counts."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was found, before it is put in words.

    Attributes
    ----------
    repeats
        By system, its keys with several rows.
    once
        Systems of which a repeated row was counted once.
    """

    grain: Grain
    facts: Sequence[Fact]
    count: Count
    causes: Sequence[Attributed]
    worst: Sequence[tuple[Example, list[str]]]
    repeats: Mapping[int, Repeats]
    once: set[int]
    has_prices: bool


class Audit:
    """Compares exports that were read.

    Parameters
    ----------
    exports
        The systems first, in the order they were named.
    most
        How many of the worst keys are kept.
    """

    def __init__(self, exports: Sequence[Export], grain: Grain, shards: int, most: int) -> None:
        systems = [export for export in exports if export.role is Role.SYSTEM]
        self._names = [export.system for export in systems]
        self._older = sum(1 for export in exports if export.role is Role.EARLIER)
        self._has_prices = any(export.layout.price is not None for export in exports)
        self._grain, self._most = grain, most
        self._places = [grain.places(number) for number in range(len(systems))]
        self._slices = Slices(exports, grain, shards)
        self._facts = facts_of(
            [[side.name for side in export.layout.sides] for export in systems],
            [[side.sign for side in export.layout.sides] for export in systems],
            {} if grain.by_place else {n: sorted(of) for n, of in enumerate(self._places) if len(of) > 1},
        )

    def run(self, say: Say) -> Outcome:
        """Go through the shards until nothing new is learnt, and count."""
        lesson, rules = self._learn(say)
        wide = _wide(rules)
        heard = in_others_terms(systematic_rules(wide))
        count = Count(self._names, rules, self._most)
        for shard in range(self._slices.count):
            of = self._slices.load(shard)
            count.add(of, compare(of, self._facts, heard))
        return Outcome(
            self._grain,
            self._facts,
            count,
            count.causes(),
            count.worst(),
            lesson.repeats,
            self._slices.once,
            self._has_prices,
        )

    def _learn(self, say: Say) -> tuple[Lesson, Rules]:
        """Return what was learnt first of the files themselves, and the rules of each system.

        Where one rule explains a good part of a system, the rest is looked at by itself: what is chance there was
        hidden by the many, and so was what is none.
        """
        lesson = Lesson()
        rules = self._prove({}, lesson)
        self._slices.once, self._slices.spelling = lesson.once, lesson.spelling
        again = bool(lesson.once or lesson.spelling.affixes)
        wide: Rules = {}
        for number in range(2, _MOST_PASSES + 1):
            found = _merged(wide, _wide(rules))
            if not again and found == wide:
                break
            wide, again = found, False
            say(f"looking again at what is left (pass {number})")
            rules = {
                system: [
                    *wide.get(system, ()),
                    *(one for one in those if not _is_among(one, wide.get(system, ()))),
                ]
                for system, those in self._prove(wide, None).items()
            }
        return lesson, rules

    def _prove(self, known: Rules, lesson: Lesson | None) -> dict[int, list[Explanation]]:
        """Collect evidence from every difference that no rule known so far fits."""
        everywhere = set().union(*self._places) if self._grain.by_place else set()
        evidence = [
            Evidence(number, self._facts, self._older, sorted(everywhere - places) if everywhere else ())
            for number, places in enumerate(self._places)
        ]
        orders = [RowOrder() for _ in evidence]
        heard = in_others_terms(systematic_rules(known))
        for shard in range(self._slices.count):
            of = self._slices.load(shard, note_faults=lesson is not None)
            if lesson is not None:
                lesson.note(of)
            for order, held in zip(orders, of.systems, strict=True):
                order.note(held.in_order, held.last_row)
            self._note(evidence, known, of, compare(of, self._facts, heard))
        found = {number: one.explanations() for number, one in enumerate(evidence)}
        for number, order in enumerate(orders):
            if (end := order.end()) is not None:
                found[number].append(Explanation(Kind.TRUNCATED, number, limit=end[0], sign=end[1]))
        return found

    def _note(self, evidence: Sequence[Evidence], known: Rules, of: Slice, compared: Compared) -> None:
        rules = [known.get(number, ()) for number in range(len(evidence))]
        shared = [compared.equal] * len(evidence)
        for odd in compared.odd:
            if len(odd.values) - odd.values.count(None) > 1:
                for number, value in enumerate(odd.values):
                    shared[number] += value is not None
            for deviation in odd.deviations:
                if not any(rule.fits(deviation, "") for rule in rules[deviation.system]):
                    evidence[deviation.system].note(deviation)
        for number, one in enumerate(evidence):
            one.note_shared(shared[number])
            if self._grain.by_place:
                one.note_places(compared.odd)


def _wide(rules: Rules) -> dict[int, list[Explanation]]:
    found = {system: [one for one in those if is_wide(one)] for system, those in rules.items()}
    return {system: those for system, those in found.items() if those}


def _merged(known: Rules, found: Rules) -> dict[int, list[Explanation]]:
    return {
        system: [
            *known.get(system, ()),
            *(o for o in found.get(system, ()) if not _is_among(o, known.get(system, ()))),
        ]
        for system in sorted({*known, *found})
    }


def _is_among(one: Explanation, known: Sequence[Explanation]) -> bool:
    return any(one.is_same_rule(other) for other in known)

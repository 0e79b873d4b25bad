"""Scores what Onecount says: one seed, and many, on all cores.

A seed is played with one fault; at its end the drift case of the faulty number is explained, and the first hypothesis
is compared with what was planted: the cause, and what is guilty (the event, the partner, the formula, the time). A seed
in which the fault never found its moment is drawn again. A clean seed has no fault: any drift case is a false alarm.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from multiprocessing import get_context

from infra.incidents.faults import KINDS
from infra.incidents.world import Truth, World
from shared.domain.cases import CaseKind, CaseStatus
from shared.domain.root_cause import Explanation, Hypothesis
from shared.operations.reconcile import drift_case

CLEAN = "clean"
ATTEMPTS = 8
"""Histories that are tried until a fault finds its moment."""

NOTHING_SAID = "no case"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one seed.

    Attributes
    ----------
    named
        The cause that stands first, or that no case was open.
    is_guilty_right
        Whether what is guilty was named: the event, or where there is none, what stands in its place.
    is_shared
        Whether another hypothesis has the same confidence as the first.
    false_alarms
        Of a clean seed: the drift cases that were opened.
    """

    kind: str
    seed: int
    named: str
    confidence: int
    is_guilty_right: bool
    is_shared: bool
    truth: Truth | None
    explanation: Explanation | None
    false_alarms: tuple[str, ...] = ()
    messages: int = 0
    mistakes: tuple[str, ...] = ()

    @property
    def is_cause_right(self) -> bool:
        """Whether the cause that stands first is what was planted."""
        return self.named == self.kind


def play(kind: str, seed: int) -> Verdict:
    """Play one seed with a fault of a kind, or ``clean``, and judge what is said of it.

    Raises
    ------
    KeyError
        When there is no such kind.
    LookupError
        When the fault finds its moment in no history of the seed.
    """
    if kind == CLEAN:
        world = World(seed * 100)
        world.play()
        alarms = tuple(f"{case.id}: {case.title}" for case in world.observer.drift_cases())
        return Verdict(
            kind, seed, CLEAN if not alarms else "alarm", 0, not alarms, False, None, None, alarms,
            world.observer.messages, _mistakes(world),
        )  # fmt: skip
    for attempt in range(ATTEMPTS):
        world = World(seed * 100 + attempt)
        KINDS[kind](world)
        world.play()
        truth = world.truth()
        if truth is not None:
            return _judged(world, truth, seed)
    raise LookupError(f"no history of seed {seed} has a moment for {kind}")


def _judged(world: World, truth: Truth, seed: int) -> Verdict:
    case = world.observer.cases.find(drift_case(truth.source, truth.key, truth.element))
    mistakes = _mistakes(
        world, CaseKind.UNDECLARED_WRITE_PATH
    )  # an old batch over many numbers is rightly one
    if case is None or case.status is not CaseStatus.OPEN:
        return Verdict(
            truth.kind,
            seed,
            NOTHING_SAID,
            0,
            False,
            False,
            truth,
            None,
            (),
            world.observer.messages,
            mistakes,
        )
    _, found = world.observer.explainer.of_subject(truth.key, truth.source, truth.element)
    first = found.first
    shared = len(found.hypotheses) > 1 and found.hypotheses[1].confidence == first.confidence
    return Verdict(
        truth.kind,
        seed,
        first.cause,
        first.confidence,
        names_the_guilty(first, truth),
        shared,
        truth,
        found,
        (),
        world.observer.messages,
        mistakes,
    )


def names_the_guilty(first: Hypothesis, truth: Truth) -> bool:
    """Whether a hypothesis blames what is guilty."""
    match truth.kind:
        case "definition_mismatch":
            return first.meaning in truth.meanings
        case "manual_override":
            if first.began is None:
                return False
            after, before = first.began
            return (after is None or after <= truth.struck_at) and truth.struck_at <= before
        case "mapping_swap":
            return first.partner == truth.partner and (
                not truth.events or not first.events or first.events == truth.events
            )
        case "posting_delay" | "stale_overwrite":
            return bool(first.events) and first.events[0] in truth.events[:1]
        case _:
            return set(first.events) == set(truth.events)


def _mistakes(world: World, *expected: CaseKind) -> tuple[str, ...]:
    return tuple(case.title for case in world.observer.other_cases() if case.kind not in expected)


@dataclass(slots=True)
class Score:
    """What many seeds came to."""

    verdicts: list[Verdict] = field(default_factory=list)
    wall_s: float = 0

    @property
    def kinds(self) -> list[str]:
        """The kinds that were played, faults first."""
        played = {verdict.kind for verdict in self.verdicts}
        return [kind for kind in (*KINDS, CLEAN) if kind in played]

    def of(self, kind: str) -> list[Verdict]:
        """Return the verdicts of one kind."""
        return [verdict for verdict in self.verdicts if verdict.kind == kind]

    @property
    def faulty(self) -> list[Verdict]:
        """The verdicts of seeds with a fault."""
        return [verdict for verdict in self.verdicts if verdict.kind != CLEAN]

    @property
    def cause_right(self) -> int:
        """Seeds of which the cause was named."""
        return sum(verdict.is_cause_right for verdict in self.faulty)

    @property
    def guilty_right(self) -> int:
        """Seeds of which the cause and the guilty event were named."""
        return sum(verdict.is_cause_right and verdict.is_guilty_right for verdict in self.faulty)

    @property
    def false_alarms(self) -> int:
        """Clean seeds with a drift case."""
        return sum(bool(verdict.false_alarms) for verdict in self.of(CLEAN))

    def confusion(self) -> dict[str, Counter[str]]:
        """Return how often each cause was named for each kind."""
        return {kind: Counter(verdict.named for verdict in self.of(kind)) for kind in self.kinds}

    def calibration(self) -> list[tuple[str, int, int]]:
        """Return for each band of confidence how many seeds fell in it, and how many of these were right."""
        bands: dict[int, list[Verdict]] = {}
        for verdict in self.faulty:
            if verdict.explanation is not None:
                bands.setdefault(min(90, verdict.confidence // 10 * 10), []).append(verdict)
        return [
            (f"{low} to {low + 9 if low < 90 else 100} %", len(found), sum(v.is_cause_right for v in found))
            for low, found in sorted(bands.items())
        ]


def campaign(
    jobs: Iterable[tuple[str, int]],
    processes: int | None = None,
    progress: Callable[[int], None] = lambda _done: None,
) -> Score:
    """Play many (kind, seed), each in a process of its own choosing, and score them."""
    started = time.perf_counter()
    score = Score()
    wanted = list(jobs)
    workers = processes or min(len(wanted) or 1, os.cpu_count() or 1)
    if workers == 1:
        for kind, seed in wanted:
            score.verdicts.append(play(kind, seed))
            progress(len(score.verdicts))
    else:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            for done in as_completed([pool.submit(play, kind, seed) for kind, seed in wanted]):
                score.verdicts.append(done.result())
                progress(len(score.verdicts))
    score.verdicts.sort(key=lambda verdict: (verdict.kind, verdict.seed))
    score.wall_s = time.perf_counter() - started
    return score

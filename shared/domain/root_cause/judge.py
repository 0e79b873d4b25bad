"""Judging: how well each suspect's prediction fits every statement the source has made.

A statement that is exactly as predicted speaks for a suspect; one that is off by what the source may not have seen
yet speaks a little less; any other speaks strongly against it. What is left after multiplying (prior times fit), as a
share of the whole, is the confidence. So suspects that fit equally well have equal confidence by construction, and a
suspect that would have been right by chance, because it could have explained any number, pays for that in its prior.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import exp, log

from shared.domain.drift import Formula
from shared.domain.root_cause.evidence import Account, Change, Mirror, Sibling
from shared.domain.root_cause.hypothesis import Explanation, Hypothesis, RootCause
from shared.domain.root_cause.numbers import (
    counted_in_motion,
    in_another_unit,
    meant_otherwise,
    on_another_key,
    set_by_hand,
    widened,
)
from shared.domain.root_cause.several_events import delayed, lost_together, overwritten
from shared.domain.root_cause.single_events import (
    doubled,
    lost,
    misread,
    not_let_go,
    still_held,
    unrecognised,
)
from shared.domain.root_cause.suspect import WEIGHTS, Suspect
from shared.domain.root_cause.telling import tell
from shared.domain.root_cause.timeline import Effort, Timeline, amount_of, coefficients
from shared.domain.stock import Quantity

MOST_UNSEEN = 16
"""Ways in which another stock key's difference may be posting delay in part that are tried."""

NAMED = 6
"""Hypotheses that are told."""

MOST_EQUAL = 20
"""Hypotheses that are told where so many fit equally well."""

LEAST = 0.02
"""The confidence below which a hypothesis is not told."""

EXACT = log(0.97)
SHARED_WITH_LAG = log(0.70)
BY_LAG = 0.28
WRONG = 0.02

ALIKE = 10
"""How many times better than another the best suspect of one kind may be before the other is forgotten."""

CHANGED_AGAIN = 0.3
"""How likely it is that an unexplained number changes once more between two statements."""

FINDERS: tuple[Callable[[Timeline], Iterator[Suspect]], ...] = (
    lost,
    doubled,
    misread,
    unrecognised,
    not_let_go,
    still_held,
    lost_together,
    delayed,
    overwritten,
    meant_otherwise,
    in_another_unit,
    set_by_hand,
    on_another_key,
    counted_in_motion,
)
"""All who name suspects."""


COUNTED_BY_HAND = (counted_in_motion, on_another_key, in_another_unit, still_held)
"""Those who name suspects where somebody counted: nothing was handed over that could be lost or doubled."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A suspect with its share of the whole."""

    suspect: Suspect
    share: float


def explain(account: Account) -> Explanation:
    """Return the ranked explanations of the newest statement's difference; none where there is no difference.

    Raises
    ------
    ValueError
        When the account has no statement: there is nothing to explain.
    """
    if not account.statements:
        raise ValueError(f"{account.source} has said nothing of {account.key}: there is nothing to explain")
    effort = Effort()
    timeline = Timeline(account, effort)
    if not timeline.drift:
        return Explanation(0, (), len(timeline.statements), len(timeline.changes), effort.done)
    finders = COUNTED_BY_HAND if account.is_counted_by_hand else FINDERS
    suspects = [suspect for find in finders for suspect in find(timeline)]
    verdicts = _verdicts(timeline, suspects)
    return Explanation(
        timeline.drift,
        tuple(_told(timeline, verdicts)),
        len(timeline.statements),
        len(timeline.changes),
        effort.done,
    )


def is_within_latency(account: Account) -> bool:
    """Whether the newest statement is off by no more than what the source may not have seen yet, as declared."""
    if not account.latency or not account.statements:
        return False
    timeline = Timeline(account, Effort())
    return timeline.drift != 0 and timeline.settled()[-1] == 0


def mirror_of(account: Account) -> Mirror:
    """Return an account as the possible mirror of another of the same source."""
    timeline = Timeline(account, Effort())
    drifts = [
        (said.as_of, [difference, *(difference + unseen for unseen in sorted(slack, key=abs)[:MOST_UNSEEN])])
        for said, difference, slack in zip(
            timeline.statements, timeline.differences, timeline.slacks, strict=True
        )
    ]
    return Mirror(account.key, drifts, [(m.event, m.at, m.amount) for m in timeline.moments])


def counted(changes: Sequence[Change], meaning: Formula, drift: Quantity) -> Iterator[Sibling]:
    """Say of a stock key's changes, oldest first, which a source that is off by ``drift`` has counted, if that is clear.

    All of them where it agrees; all but the last few where these add up to what it is off by.
    """
    weights = coefficients(meaning)
    amounts = [(change, amount) for change in changes if (amount := amount_of(change, weights))]
    left, known = -drift, len(amounts)
    while left and known:
        known -= 1
        left -= amounts[known][1]
    if left == 0:
        for position, (change, _) in enumerate(amounts):
            yield Sibling(change.event, change.at, position < known)


def _verdicts(timeline: Timeline, suspects: Iterable[Suspect]) -> list[Verdict]:
    weighed = [(suspect, log(suspect.prior) + _fit(timeline, suspect)) for suspect in suspects]
    weighed.append((_nobody(timeline), log(WEIGHTS[RootCause.UNEXPLAINED]) + _unguided(timeline)))
    best = max(weight for _, weight in weighed)
    merged: dict[object, tuple[Suspect, float, float]] = {}
    for suspect, weight in weighed:
        of = (
            suspect.cause,
            suspect.events,
            suspect.partner,
            suspect.cause is RootCause.DEFINITION_MISMATCH and suspect.detail,
        )
        share = exp(weight - best)
        known = merged.get(of)
        if known is None:
            merged[of] = (suspect, share, share)
        else:
            leader, other = (suspect, known[0]) if share > known[1] else (known[0], suspect)
            if min(share, known[1]) * ALIKE > max(share, known[1]):
                leader = replace(leader, detail=widened(leader.detail, other.detail))
            merged[of] = (leader, max(share, known[1]), known[2] + share)
    whole = sum(total for _, _, total in merged.values())
    found = [Verdict(suspect, total / whole) for suspect, _, total in merged.values()]
    return sorted(
        found, key=lambda verdict: (-round(verdict.share, 4), verdict.suspect.cause, verdict.suspect.events)
    )


def _fit(timeline: Timeline, suspect: Suspect) -> float:
    """Return the logarithm of how likely the statements are if the suspect is guilty."""
    timeline.effort.spend(len(timeline.statements))
    if suspect.beside is not None:
        timeline = suspect.beside
    fit = 0.0
    for index, shift in enumerate(suspect.shifts):
        if shift and timeline.statements[index].quantity == 0 and timeline.expected[index] + shift < 0:
            fit += SHARED_WITH_LAG
            continue
        left = timeline.differences[index] - shift
        if left and suspect.unsettled is not None and shift:
            start, end = suspect.unsettled
            if start <= timeline.statements[index].as_of < end and timeline.is_clean(index):
                left = timeline.differences[index]
        fit += _likely(timeline, index, left, suspect.scale if shift else Fraction(1))
    return fit


def _likely(timeline: Timeline, index: int, left: int, scale: Fraction) -> float:
    slack = timeline.slacks[index]
    if left == 0:
        return SHARED_WITH_LAG if slack else EXACT
    if -left / scale in slack:
        return log(BY_LAG / len(slack))
    return log(WRONG / timeline.scale)


def _nobody(timeline: Timeline) -> Suspect:
    return Suspect(RootCause.UNEXPLAINED, 1.0, [0] * len(timeline.statements))


def _unguided(timeline: Timeline) -> float:
    """Return how likely the statements are if the number simply changes at times, nobody knows why."""
    fit, off = 0.0, 0
    for index, difference in enumerate(timeline.differences):
        if timeline.is_possible(index, difference - off):
            fit += _likely(timeline, index, difference - off, Fraction(1))
        else:
            off = difference
            fit += log(CHANGED_AGAIN / timeline.scale)
    return fit


def _told(timeline: Timeline, verdicts: list[Verdict]) -> Iterator[Hypothesis]:
    """Tell the likeliest; of those that fit as well as the first none is left out, as far as ``MOST_EQUAL``."""
    equal = [one for one in verdicts if round(one.share, 4) == round(verdicts[0].share, 4)]
    likely = [verdict for verdict in verdicts if verdict.share >= LEAST] or equal
    for verdict in likely[: max(NAMED, min(len(equal), MOST_EQUAL))]:
        yield tell(timeline, verdict.suspect, round(verdict.share * 100))

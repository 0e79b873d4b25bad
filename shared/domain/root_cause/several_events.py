"""Suspects that blame several events at once: a small set of them, a batch, all since a feed stopped, or all of a kind.

Finding numbers that add up to a number is exponential in general. Here it is bounded: sets of up to three of the
newest changes (pairs by looking the complement up), and stretches of changes that follow each other, by their sums.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate, islice
from math import comb

from shared.domain.events import event_source
from shared.domain.root_cause.evidence import Nature
from shared.domain.root_cause.hypothesis import RootCause
from shared.domain.root_cause.references import reference_of
from shared.domain.root_cause.suspect import (
    WEIGHTS,
    Suspect,
    by_event,
    fading,
    fits_newest,
    from_onset,
    is_release,
    net,
    without,
)
from shared.domain.root_cause.timeline import Moment, Timeline
from shared.domain.stock import Quantity

MOST_IN_SETS = 48
"""Changes among which sets are looked for: the newest."""

MOST_FOUND = 60
"""Sets of one kind that are weighed; many that fit equally well say nothing anyway."""

SETS_OF = {2: 0.006, 3: 0.0015}
"""How likely a loss of so many events is that have nothing else in common."""

BATCH = 0.05
"""How likely it is that a stretch of events is lost together."""

KIND = 0.05
"""How likely it is that every event of one kind is lost from some instant on."""

LEAST_GAP = 0.01
"""The least time between two events, in usual waits, when a delay that began between them is weighed."""

ALIVE = 0.03
"""What it does to a delay that the source has counted newer events on other stock keys."""

SILENT, MOST_SILENT = 5, 3
"""What it does to a delay that the source has not counted a newer event elsewhere: for each, up to so many."""

SHORTEST_WAIT = timedelta(minutes=15)
"""The least that is taken for a source's usual latency when a delay is weighed."""

BATCHES_OLD_H = 12.0
"""Half of the batches that overwrite newer numbers are no older than so many hours."""

MOST_LANDINGS = 12
"""Places among the changes between two statements where an old batch may have landed."""

OLDEST_BATCH = timedelta(hours=72)
"""How old the data of a batch may be that overwrites newer numbers."""


@dataclass(frozen=True, slots=True)
class OldBatch:
    """An older state of the ledger: what it said, from the one instant until before the other."""

    since: datetime | None
    until: datetime
    quantity: Quantity


def lost_together(timeline: Timeline) -> Iterator[Suspect]:
    """Name pairs, triples and stretches of events that the source may never have counted."""
    events = list(by_event(timeline.window).values())[-MOST_IN_SETS:]
    amounts = [net(found, timeline.newest) for found in events]
    yield from _sets(timeline, events, amounts)
    yield from _stretches(timeline, events, amounts)
    yield from _kinds(timeline, events)


def _sets(
    timeline: Timeline, events: Sequence[tuple[Moment, ...]], amounts: Sequence[Quantity]
) -> Iterator[Suspect]:
    for size, weight in SETS_OF.items():
        prior = weight / max(1, comb(len(events), size))
        found = (
            chosen for target in timeline.targets for chosen in _adding_up(timeline, amounts, -target, size)
        )
        for chosen in islice(found, MOST_FOUND):
            moments = tuple(moment for position in chosen for moment in events[position])
            if not _are_the_last(timeline, moments):
                yield _missing(timeline, prior, moments)


def _adding_up(
    timeline: Timeline, amounts: Sequence[Quantity], total: Quantity, size: int
) -> Iterator[tuple[int, ...]]:
    """Yield sets of two or three positions whose amounts add up to a total; the newest first."""
    timeline.effort.spend(len(amounts) ** (size - 1))
    if size == 2:
        places: dict[Quantity, list[int]] = {}
        for position in reversed(range(len(amounts))):
            yield from ((position, other) for other in places.get(total - amounts[position], ()))
            places.setdefault(amounts[position], []).append(position)
        return
    for first in range(len(amounts)):
        rest = amounts[first + 1 :]
        for pair in _adding_up(timeline, rest, total - amounts[first], 2):
            yield (first, *(first + 1 + position for position in pair))


def _stretches(
    timeline: Timeline, events: Sequence[tuple[Moment, ...]], amounts: Sequence[Quantity]
) -> Iterator[Suspect]:
    """Name stretches of two and more that follow each other, as one lost batch holds them; the last one is no delay."""
    number = len(events)
    prior = BATCH / max(1, number * (number - 1) // 2)
    left, targets = MOST_FOUND, set(timeline.targets)
    timeline.effort.spend(number * number // 2)
    for first in range(number):
        total = amounts[first]
        for last in range(first + 1, number):
            total += amounts[last]
            if -total in targets and left:
                left -= 1
                moments = tuple(moment for found in events[first : last + 1] for moment in found)
                if not _are_the_last(timeline, moments):
                    yield _missing(timeline, prior, moments)


def _kinds(timeline: Timeline, events: Sequence[tuple[Moment, ...]]) -> Iterator[Suspect]:
    """Name kinds of events (returns, transfers, cancellations ...) of which the source may hear none any more."""
    kinds: dict[object, list[tuple[Moment, ...]]] = {}
    for found in events:
        kinds.setdefault(_kind(found[0]), []).append(found)
    for same in kinds.values():
        lost: list[Moment] = []
        for number, found in enumerate(reversed(same), start=1):
            lost = [*found, *lost]
            if number < 2 or not fits_newest(timeline, -net(lost, timeline.newest)):
                continue
            if not _are_the_last(timeline, lost):
                prior = KIND / (len(kinds) * len(same))
                yield _missing(timeline, prior, tuple(lost))


def _are_the_last(timeline: Timeline, moments: Sequence[Moment]) -> bool:
    """Whether nothing of the same tellers followed that was counted: then they are late rather than lost."""
    first = min(moment.at for moment in moments)
    tellers = {event_source(moment.event) for moment in moments}
    last = {
        m.event
        for m in timeline.moments
        if first <= m.at <= timeline.newest and event_source(m.event) in tellers
    }
    timeline.effort.spend(len(timeline.moments))
    return last == {moment.event for moment in moments}


def _kind(moment: Moment) -> object:
    reference = reference_of(moment.event)
    kind = "" if reference is None else reference.kind
    return (moment.change.nature, kind, moment.amount > 0)


def _missing(timeline: Timeline, prior: float, moments: tuple[Moment, ...]) -> Suspect:
    """Call a loss by what was lost: orders that were let go, counts, or events of any other kind."""
    moments = tuple(sorted(moments, key=lambda moment: moment.at))
    if all(is_release(moment.change) for moment in moments):
        cause = RootCause.RESERVATION_LEAK
    elif all(moment.change.nature is Nature.COUNT for moment in moments):
        cause = RootCause.COUNT_NOT_PROPAGATED
    else:
        cause = RootCause.MISSING_EVENT
    return Suspect(cause, prior, without(timeline, moments), moments)


def delayed(timeline: Timeline) -> Iterator[Suspect]:
    """Name instants since when the source may have heard nothing, of anybody or of one system that tells it.

    All that happened afterwards is still to come.
    """
    moments = [m for m in timeline.moments if m.at <= timeline.newest]
    tellers = {event_source(moment.event) for moment in moments}
    yield from _silent_since(timeline, moments, WEIGHTS[RootCause.POSTING_DELAY])
    for teller in sorted(tellers) if len(tellers) > 1 else ():
        told = [moment for moment in moments if event_source(moment.event) == teller]
        yield from _silent_since(timeline, told, WEIGHTS[RootCause.POSTING_DELAY] / len(tellers))


def _silent_since(timeline: Timeline, moments: Sequence[Moment], weight: float) -> Iterator[Suspect]:
    usual = max(timeline.latency, SHORTEST_WAIT)
    pending: Quantity = 0
    for position in reversed(range(len(moments))):
        oldest = moments[position]
        pending += oldest.amount
        over = (timeline.newest - oldest.at - timeline.latency) / usual
        if over <= 0 or not fits_newest(timeline, -pending):
            continue
        before = max(LEAST_GAP, (oldest.at - moments[position - 1].at) / usual) if position else 10.0
        chance = _still_silent(over) - _still_silent(over + before)
        late = tuple(moments[position:])
        chance *= _feed(timeline, late)
        yield Suspect(RootCause.POSTING_DELAY, weight * chance, without(timeline, late), late)
        lag = timeline.newest - oldest.at + timedelta(microseconds=1)
        shifts = [
            -sum(m.amount for m in moments if said.as_of - lag < m.at <= said.as_of)
            for said in timeline.statements
        ]
        timeline.effort.spend(len(moments) * len(shifts))
        yield Suspect(RootCause.POSTING_DELAY, weight * chance * 0.3, shifts, late)


def _feed(timeline: Timeline, late: Sequence[Moment]) -> float:
    """Weigh a delay by what the source knows of other stock keys: has it heard of anything newer there?"""
    tellers = {event_source(moment.event) for moment in late}
    newer = [
        sibling
        for sibling in timeline.account.siblings
        if event_source(sibling.event) in tellers
        and late[0].at < sibling.at <= timeline.newest - timeline.latency
    ]
    timeline.effort.spend(len(timeline.account.siblings))
    if any(sibling.is_counted for sibling in newer):
        return ALIVE
    return float(SILENT ** min(len(newer), MOST_SILENT))


def _still_silent(waits: float) -> float:
    """Return the share of delays that last longer than so many times the usual wait: a few last very long."""
    return 1 / (1 + waits / 6)


def overwritten(timeline: Timeline) -> Iterator[Suspect]:
    """Name older states of the ledger that the source may have gone back to: an old batch over newer numbers.

    The source must have known better: a statement of it had seen what the batch has not.
    """
    moments = timeline.moments
    times = [moment.at for moment in moments]
    start = timeline.course.at(times[0] - timedelta(microseconds=1)) if moments else 0
    values = [*accumulate((moment.amount for moment in moments), initial=start)]
    for onset in timeline.onsets:
        known_at = _knew_better(timeline, onset)
        if known_at is None:
            continue
        known = bisect_right(times, known_at)
        ages = {
            cut: fading((known_at - times[cut]).total_seconds() / 3600, BATCHES_OLD_H)
            for cut in range(bisect_right(times, known_at - OLDEST_BATCH), known)
        }
        first = bisect_right(times, timeline.statements[onset - 1].as_of - timeline.latency)
        last = min(first + MOST_LANDINGS, bisect_right(times, timeline.statements[onset].as_of))
        timeline.effort.spend(len(ages) * (last - first + 1))
        for landing in range(first, last + 1):
            for cut, weight in ages.items():
                if cut >= landing:
                    continue
                shift = values[cut] - values[landing]
                if not fits_newest(timeline, shift):
                    continue
                prior = WEIGHTS[RootCause.STALE_OVERWRITE] * weight / sum(ages.values()) / (last - first + 1)
                undone = tuple(moments[cut:landing])
                shifts = from_onset(timeline, onset, shift)
                yield Suspect(
                    RootCause.STALE_OVERWRITE,
                    prior,
                    shifts,
                    undone,
                    detail=OldBatch(times[cut - 1] if cut else None, times[cut], values[cut]),
                )


def _knew_better(timeline: Timeline, onset: int) -> datetime | None:
    """Return the instant of the last statement before a fault that agreed to the unit."""
    return next(
        (timeline.statements[i].as_of for i in reversed(range(onset)) if timeline.differences[i] == 0), None
    )

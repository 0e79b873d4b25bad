"""Suspects that blame one event: lost, doubled, misread, its document not recognised, not let go, undone but still held."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from fractions import Fraction

from shared.domain.root_cause.evidence import Change, Nature, Undone
from shared.domain.root_cause.hypothesis import RootCause
from shared.domain.root_cause.references import odd_ones, reference_of
from shared.domain.root_cause.suspect import (
    WEIGHTS,
    Suspect,
    by_event,
    fits_newest,
    from_onset,
    is_release,
    net,
    without,
)
from shared.domain.root_cause.timeline import Moment, Timeline, amount_of, coefficients
from shared.domain.stock import EventKey, Quantity, SourceId

DOUBLED_WITHIN_H = 0.5
"""Half of the events that are counted twice are so within so many hours."""

LEAST_CHANCE, LEAST_SPAN_H = 0.001, 0.25
"""What is too unlikely to be weighed; and the shortest time between two statements, in hours, that makes a difference."""


REPEATABLE = {Nature.COUNT: 0.1, Nature.RESERVED: 0.2, Nature.RELEASED: 0.2}
"""What it does to a doubling that the event is a state rather than a change: a count set twice is set once."""

OWN_ORDER = 0.1
"""What it does to the loss of an order that the source took it itself."""

RARE_TWIN = 0.05
"""How seldom two documents share their number by chance."""

STILL_HELD = 0.5
"""How likely a source is to go on holding what was undone here: it is not told."""

PACKED_OUT = 0.3
"""How much less often goods that leave are told by the pack than goods that come in."""


@dataclass(frozen=True, slots=True)
class ReadAs:
    """A quantity that was read by a pack factor too large or too small."""

    unit: str
    factor: Fraction


@dataclass(frozen=True, slots=True)
class OddReference:
    """A document that is written unlike its kin, or that the source knows under another name; how rare that is."""

    document: str
    share: float
    usual: str = ""
    twin: EventKey | None = None


def lost(timeline: Timeline) -> Iterator[Suspect]:
    """Name events that the source may never have counted."""
    events = by_event(timeline.window)
    counts = sum(1 for found in events.values() if found[0].change.nature is Nature.COUNT)
    plain = max(1, len(events) - counts)
    own = OWN_ORDER if timeline.account.takes_orders else 1.0
    for found in events.values():
        change = found[0].change
        if is_release(change) or not fits_newest(timeline, -net(found, timeline.newest)):
            continue
        shifts = without(timeline, found)
        if change.nature is Nature.COUNT:
            prior = WEIGHTS[RootCause.COUNT_NOT_PROPAGATED] / counts
            yield Suspect(RootCause.COUNT_NOT_PROPAGATED, prior, shifts, found)
        else:
            weight = WEIGHTS[RootCause.MISSING_EVENT] * (own if change.nature is Nature.RESERVED else 1.0)
            yield Suspect(RootCause.MISSING_EVENT, weight / plain, shifts, found)


def doubled(timeline: Timeline) -> Iterator[Suspect]:
    """Name events that the source may have counted twice, the second time between two of its statements.

    How likely that is for one event depends on how much later that was, and on how many events there are in such a time.
    """
    events = by_event([m for m in timeline.moments if m.at <= timeline.newest])
    for onset in timeline.onsets:
        for found in events.values():
            chance = REPEATABLE.get(found[0].change.nature, 1.0) * _doubled_by(timeline, found[0], onset)
            shift = net(found, timeline.newest)
            if chance < LEAST_CHANCE or not fits_newest(timeline, shift):
                continue
            prior = WEIGHTS[RootCause.DUPLICATE_EVENT] * chance
            shifts = from_onset(timeline, onset, shift)
            unsettled = (found[0].at, found[0].at + timeline.latency)
            yield Suspect(RootCause.DUPLICATE_EVENT, prior, shifts, found, unsettled)


def _doubled_by(timeline: Timeline, moment: Moment, onset: int) -> float:
    """Return how likely a second posting of an event falls between two statements, beside others of such a time."""
    by = _hours(timeline.statements[onset].as_of - moment.at)
    if by < 0:
        return 0.0
    since = _hours(timeline.statements[onset - 1].as_of - moment.at) if onset else 0.0
    span = max(by - max(0.0, since), LEAST_SPAN_H) if since < 0 or not onset else by - since
    apart = _hours(timeline.newest - timeline.moments[0].at) / len(timeline.moments)
    falls_there = _not_yet_doubled(max(0.0, since)) - _not_yet_doubled(by)
    return min(1.0, max(apart, LEAST_SPAN_H) / max(span, LEAST_SPAN_H)) * falls_there


def _not_yet_doubled(hours: float) -> float:
    """Return the share of second postings that come later: most come soon, when an answer was lost; a few much later."""
    return 1 / (1 + hours / DOUBLED_WITHIN_H)


def _hours(time: timedelta) -> float:
    return time.total_seconds() / 3600


def misread(timeline: Timeline) -> Iterator[Suspect]:
    """Name events whose quantity the source may have read by the case instead of the piece, or the other way round."""
    factors = [
        ReadAs(unit, factor)
        for unit, size in timeline.account.packs.items()
        for factor in (Fraction(size), Fraction(1, size))
    ]
    events = by_event([m for m in timeline.window if not is_release(m.change)])
    for found in events.values():
        amount = net(found, timeline.newest)
        for reading in factors:
            change = amount * (reading.factor - 1)
            if change.denominator != 1 or not fits_newest(timeline, int(change)):
                continue
            weight = WEIGHTS[RootCause.UNIT_MISMATCH] * (1.0 if amount > 0 else PACKED_OUT)
            prior = weight / (len(events) * len(factors))
            shifts = [int(-change_ * (reading.factor - 1)) for change_ in without(timeline, found)]
            unsettled = (found[0].at, found[0].at + timeline.latency)
            yield Suspect(RootCause.UNIT_MISMATCH, prior, shifts, found, unsettled, reading)


def unrecognised(timeline: Timeline) -> Iterator[Suspect]:
    """Name events that the source may have lost, or taken for others, because of how their document is written."""
    odd = _odd_references(timeline)
    events = {e: found for e, found in by_event(timeline.window).items() if e in odd}
    for event, found in events.items():
        amount = net(found, timeline.newest)
        share = odd[event].share
        prior = WEIGHTS[RootCause.DOCUMENT_REFERENCE] / (share * len(by_event(timeline.window)))
        if fits_newest(timeline, -amount):
            shifts = without(timeline, found)
            yield Suspect(RootCause.DOCUMENT_REFERENCE, prior, shifts, found, detail=odd[event])
        elif odd[event].twin is not None and fits_newest(timeline, amount):
            shifts = [-shift for shift in without(timeline, found)]
            unsettled = (found[0].at, found[0].at + timeline.latency)
            yield Suspect(RootCause.DOCUMENT_REFERENCE, prior, shifts, found, unsettled, odd[event])


def still_held(timeline: Timeline) -> Iterator[Suspect]:
    """Name events that were undone here, and that the source may go on counting.

    What it counted wrong itself, it has set by hand; of what another told, the taking back never arrived.
    """
    weights = coefficients(timeline.account.meaning)
    for undone in timeline.account.undone:
        moments = tuple(
            Moment(change, amount) for change in undone.did if (amount := amount_of(change, weights))
        )
        counted_it = is_own_count(undone, timeline.account.source)
        if timeline.account.is_counted_by_hand and not counted_it:
            continue
        if fits_newest(timeline, net(moments, timeline.newest)):
            cause = RootCause.MANUAL_OVERRIDE if counted_it else RootCause.MISSING_EVENT
            shifts = [-shift for shift in without(timeline, moments)]
            prior = STILL_HELD / len(timeline.account.undone)
            yield Suspect(cause, prior, shifts, moments, detail=undone)


def is_own_count(undone: Undone, source: SourceId) -> bool:
    """Whether what was undone is a count that the source itself had taken."""
    return undone.source == source and undone.did[0].nature is Nature.COUNT


def _odd_references(timeline: Timeline) -> dict[EventKey, OddReference]:
    written: dict[EventKey, OddReference] = {}
    natures = {m.event for m in timeline.moments if m.change.nature is Nature.MOVEMENT}
    for event, (usual, share) in odd_ones({*natures, *timeline.account.kin}).items():
        reference = reference_of(event)
        written[event] = OddReference("" if reference is None else reference.document, share, usual)
    theirs: Mapping[str, EventKey] = {
        found.digits: told.event
        for told in timeline.account.told
        if (found := reference_of(told.event)) is not None and found.digits
    }
    for event in natures:
        ours = reference_of(event)
        twin = None if ours is None else theirs.get(ours.digits)
        if ours is None or twin is None:
            continue
        named = reference_of(twin)
        if named is not None and named.document != ours.document:
            written[event] = OddReference(ours.document, RARE_TWIN, twin=twin)
    return written


def not_let_go(timeline: Timeline) -> Iterator[Suspect]:
    """Name orders whose reserved units the source may still hold, though they are cancelled, expired or shipped."""
    weight = coefficients(timeline.account.meaning).get("reserved", 0)
    if not weight:
        return
    exact = timeline.last_exact
    start = None if exact is None else timeline.statements[exact].as_of - timeline.latency
    released: list[tuple[Change, Quantity]] = [
        (change, weight * amount)
        for change in timeline.changes
        if (amount := change.amounts.get("reserved", 0)) < 0
        and change.at <= timeline.newest
        and (start is None or change.at > start)
    ]
    for change, amount in released:
        if fits_newest(timeline, -amount):
            moments = (Moment(change, amount),)
            prior = WEIGHTS[RootCause.RESERVATION_LEAK] / len(released)
            yield Suspect(RootCause.RESERVATION_LEAK, prior, without(timeline, moments), moments)

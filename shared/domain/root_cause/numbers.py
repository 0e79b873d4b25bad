"""Suspects that blame no event: the number means something else, has another unit, was set by hand, or is another key's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from fractions import Fraction
from itertools import combinations

from shared.domain.drift import Formula, Told, parse_formula
from shared.domain.root_cause.evidence import Mirror, Nature
from shared.domain.root_cause.hypothesis import RootCause
from shared.domain.root_cause.references import reference_of
from shared.domain.root_cause.single_events import ReadAs
from shared.domain.root_cause.suspect import WEIGHTS, Suspect, by_event, fits_newest, from_onset, without
from shared.domain.root_cause.timeline import Course, Moment, Timeline
from shared.domain.stock import EventKey, Quantity

MEANINGS = tuple(
    parse_formula(text)
    for text in (
        "on_hand",
        "available",
        "on_hand - quality_hold",
        "on_hand - damaged",
        "on_hand - quality_hold - damaged",
        "on_hand - reserved",
        "on_hand + incoming",
        "on_hand + in_transit",
        "available + incoming",
        "available + in_transit",
        "available - safety_stock",
        "on_hand - safety_stock",
    )
)
"""What a number of stock usually means, whatever was declared."""

COUNT_SPREAD = 10
"""The size of a variance from which on it is no chance that goods of just this size were moving nearby."""

STAYING = frozenset({"adjustment", "hold", "release", "damage"})
"""Kinds of events that move no goods."""

IN_MOTION = timedelta(minutes=45)
"""How long before or after a count goods may have been on their way past the counter."""

RARE_MIRROR = 20
"""How seldom another number is off by just as much the other way by chance: once in so many, if the number is large."""

USUAL_CHANGE = 20
"""Units by which half of the numbers that are set by hand change at most."""

ROUND = ((100, 6.0), (50, 4.0), (10, 2.0), (5, 1.2))
"""What setting a number by hand gains from leaving it round: a multiple, and how much more likely it is by hand."""


@dataclass(frozen=True, slots=True)
class SetByHand:
    """A number that was changed without any event: by how much, to what, and between which two statements."""

    change: Quantity
    to: Quantity
    after: datetime | None
    before: datetime
    told: Told | None = None


@dataclass(frozen=True, slots=True)
class Moving:
    """What was on its way while a count was taken."""

    moments: tuple[Moment, ...]
    count: EventKey | None = None


def widened(one: object, other: object) -> object:
    """Return what is told of two places where a number may have been set by hand: the time that holds both."""
    if not isinstance(one, SetByHand) or not isinstance(other, SetByHand):
        return one
    after = None if one.after is None or other.after is None else min(one.after, other.after)
    return replace(one, after=after, before=max(one.before, other.before))


def meant_otherwise(timeline: Timeline) -> Iterator[Suspect]:
    """Name other formulas that the source's number may follow."""
    seen: set[tuple[Quantity, ...]] = set()
    found: list[Formula] = []
    for meaning in MEANINGS:
        if any(term not in timeline.account.level for _, term in meaning.terms):
            continue
        course = Course(meaning, timeline.account, timeline.changes)
        timeline.effort.spend(len(timeline.statements))
        shifts = [
            course.at(said.as_of) - expected
            for said, expected in zip(timeline.statements, timeline.expected, strict=True)
        ]
        if tuple(shifts) not in seen and any(shifts):
            seen.add(tuple(shifts))
            found.append(meaning)
    nothing = [0] * len(timeline.statements)
    for meaning in found:
        beside = Timeline(replace(timeline.account, meaning=meaning), timeline.effort)
        if beside.explains(len(nothing) - 1, 0):
            prior = WEIGHTS[RootCause.DEFINITION_MISMATCH] / len(found)
            yield Suspect(RootCause.DEFINITION_MISMATCH, prior, nothing, detail=meaning, beside=beside)


def in_another_unit(timeline: Timeline) -> Iterator[Suspect]:
    """Name pack factors by which the whole number may be off, always or from some statement on."""
    packs = timeline.account.packs
    for unit, size in packs.items():
        for factor in (Fraction(size), Fraction(1, size)):
            whole = [int(expected * factor) - expected for expected in timeline.expected]
            if not timeline.statements[-1].quantity or not _is_scaled(timeline, factor, whole[-1]):
                continue
            for onset in dict.fromkeys([0, *timeline.onsets]):
                shifts = [shift if index >= onset else 0 for index, shift in enumerate(whole)]
                prior = WEIGHTS[RootCause.UNIT_MISMATCH] / (4 * len(packs))
                yield Suspect(
                    RootCause.UNIT_MISMATCH, prior, shifts, detail=ReadAs(unit, factor), scale=factor
                )


def _is_scaled(timeline: Timeline, factor: Fraction, shift: Quantity) -> bool:
    """Whether the newest number is a whole multiple, or part, of ours; one it has yet to see counts by the factor too."""
    timeline.effort.spend(1)
    if shift == 0 or timeline.expected[-1] * factor != timeline.expected[-1] + shift:
        return False
    left = Fraction(timeline.drift - shift) / factor
    return left == 0 or -left in timeline.slacks[-1]


def set_by_hand(timeline: Timeline) -> Iterator[Suspect]:
    """Name the places where the number may have been changed by somebody: any size fits, so each fits badly."""
    for onset in timeline.onsets:
        for change in dict.fromkeys((timeline.drift, timeline.differences[onset])):
            if not fits_newest(timeline, change):
                continue
            said = timeline.statements[onset]
            after = timeline.statements[onset - 1].as_of if onset else None
            told = _told(timeline, change, after, said.as_of)
            gain = 40.0 if told is not None else _gain(said.quantity)
            size = USUAL_CHANGE / (2 * (abs(change) + USUAL_CHANGE) ** 2)
            prior = WEIGHTS[RootCause.MANUAL_OVERRIDE] * gain * size
            yield Suspect(
                RootCause.MANUAL_OVERRIDE,
                prior,
                from_onset(timeline, onset, change),
                detail=SetByHand(change, said.quantity, after, said.as_of, told),
                named=() if told is None else (told.event,),
            )


def _gain(quantity: Quantity) -> float:
    return next((gain for multiple, gain in ROUND if quantity % multiple == 0), 0.8)


def _told(timeline: Timeline, change: Quantity, after: datetime | None, before: datetime) -> Told | None:
    """Return a movement that the source told of itself, of just this size and at just that time."""
    return next(
        (
            told
            for told in timeline.account.told
            if told.quantity == change
            and told.at <= before
            and (after is None or told.at > after - max(timeline.latency, timedelta(minutes=1)))
        ),
        None,
    )


def on_another_key(timeline: Timeline) -> Iterator[Suspect]:
    """Name stock keys whose number is off by as much the other way."""
    mirrors = timeline.account.mirrors
    for mirror in mirrors:
        shifts = _mirrored(timeline, mirror)
        if not fits_newest(timeline, shifts[-1]):
            continue
        began = next(said.as_of for said, shift in zip(timeline.statements, shifts, strict=True) if shift)
        moments = tuple(m for m in timeline.window if m.amount == -shifts[-1] and m.at <= began)[-1:]
        theirs = tuple(e for e, at, amount in mirror.changes if amount == shifts[-1] and at <= began)[-1:]
        prior = WEIGHTS[RootCause.MAPPING_SWAP] * min(RARE_MIRROR, 4 * abs(timeline.drift)) / len(mirrors)
        yield Suspect(
            RootCause.MAPPING_SWAP,
            prior,
            shifts,
            moments,
            partner=mirror.key,
            named=() if moments else theirs,
        )


def _mirrored(timeline: Timeline, mirror: Mirror) -> list[Quantity]:
    """Return the other key's differences with the sign turned, at the statements of this one."""
    timeline.effort.spend(len(timeline.statements) + len(mirror.drifts))
    shifts: list[Quantity] = []
    theirs = sorted(mirror.drifts, key=lambda drift: drift[0])
    position, latest = 0, [0]
    for index, said in enumerate(timeline.statements):
        is_newest = index == len(timeline.statements) - 1
        while position < len(theirs) and (is_newest or theirs[position][0] <= said.as_of):
            latest = list(theirs[position][1])
            position += 1
        difference = timeline.differences[index]
        fitting = (level for level in latest if timeline.is_possible(index, difference + level))
        shifts.append(-next(fitting, latest[0]))
    return shifts


def counted_in_motion(timeline: Timeline) -> Iterator[Suspect]:
    """Name goods on their way during a count: this statement's own, or the count behind the ledger's number."""
    yield from _this_count(timeline)
    counts = [m for m in timeline.window if m.change.nature is Nature.COUNT]
    for count in counts:
        near = _near(timeline, count.at)
        moving = [m for m in near if abs(m.amount) == abs(count.amount)]
        if not moving or not fits_newest(timeline, -count.amount):
            continue
        rare = min(1.0, abs(count.amount) / COUNT_SPREAD)
        prior = WEIGHTS[RootCause.COUNT_IN_MOTION] * rare / (len(counts) * len(near))
        yield Suspect(
            RootCause.COUNT_IN_MOTION,
            prior,
            without(timeline, (count,)),
            (count,),
            detail=Moving(tuple(moving), count.event),
        )


def _this_count(timeline: Timeline) -> Iterator[Suspect]:
    near = list(by_event(_near(timeline, timeline.newest)).values())[:12]
    sets = [*((one,) for one in near), *combinations(near, 2)]
    timeline.effort.spend(len(sets))
    for chosen in sets:
        moments = tuple(moment for found in chosen for moment in found)
        shift = sum(m.amount if m.at > timeline.newest else -m.amount for m in moments)
        if shift != timeline.drift:
            continue
        size = max(1, len(near)) if len(chosen) == 1 else 4 * len(sets)
        shifts = [0] * (len(timeline.statements) - 1) + [shift]
        prior = WEIGHTS[RootCause.COUNT_IN_MOTION] / size
        yield Suspect(RootCause.COUNT_IN_MOTION, prior, shifts, moments, detail=Moving(moments))


def _near(timeline: Timeline, at: datetime) -> list[Moment]:
    timeline.effort.spend(len(timeline.moments))
    return [
        m
        for m in timeline.moments
        if abs(m.at - at) <= IN_MOTION and m.change.nature is Nature.MOVEMENT and _travels(m)
    ]


def _travels(moment: Moment) -> bool:
    """Whether an event moves goods, as far as its key says what it is: a correction of the books moves none."""
    reference = reference_of(moment.event)
    return reference is None or reference.kind[1] not in STAYING

"""A suspect: one way in which a source's number may have gone wrong, with what it predicts for every statement.

Whoever names suspects says how likely each is before the statements are looked at (``prior``: the cause's own weight,
shared among all the events that it might have been) and by how much each statement would then be off (``shifts``).
``judge`` does the rest, for all causes alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from math import exp

from shared.domain.root_cause.evidence import Change, Nature
from shared.domain.root_cause.hypothesis import RootCause
from shared.domain.root_cause.timeline import Moment, Timeline
from shared.domain.stock import EventKey, Quantity, StockKey

WEIGHTS = {
    RootCause.MISSING_EVENT: 0.20,
    RootCause.DUPLICATE_EVENT: 0.14,
    RootCause.POSTING_DELAY: 0.14,
    RootCause.UNIT_MISMATCH: 0.08,
    RootCause.DEFINITION_MISMATCH: 0.08,
    RootCause.MANUAL_OVERRIDE: 0.08,
    RootCause.COUNT_NOT_PROPAGATED: 0.06,
    RootCause.DOCUMENT_REFERENCE: 0.06,
    RootCause.MAPPING_SWAP: 0.06,
    RootCause.STALE_OVERWRITE: 0.12,
    RootCause.RESERVATION_LEAK: 0.12,
    RootCause.COUNT_IN_MOTION: 0.08,
    RootCause.UNEXPLAINED: 0.01,
}
"""How common each cause is before anything is looked at; tuned in the incident lab on seeds 0 to 999."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """One explanation before it is judged.

    Attributes
    ----------
    shifts
        By how much each statement would be off; one for each statement of the timeline.
    moments
        The guilty changes, oldest first.
    unsettled
        From when to when the fault may not show yet, because the source may still lag.
    detail
        What the telling needs: a factor, a formula, an instant.
    beside
        The course that the number follows instead of the declared one; ``shifts`` are then from that.
    scale
        What the source multiplies everything by, also what it has yet to see.
    """

    cause: RootCause
    prior: float
    shifts: Sequence[Quantity]
    moments: tuple[Moment, ...] = ()
    unsettled: tuple[datetime, datetime] | None = None
    detail: object = None
    partner: StockKey | None = None
    beside: Timeline | None = None
    scale: Fraction = Fraction(1)
    named: tuple[EventKey, ...] = ()

    @property
    def events(self) -> tuple[EventKey, ...]:
        """The guilty events, each once."""
        return tuple(dict.fromkeys([*self.named, *(moment.event for moment in self.moments)]))


def by_event(moments: Sequence[Moment]) -> dict[EventKey, tuple[Moment, ...]]:
    """Gather what each event did; a late fact did one thing at its own time and another at the next count."""
    found: dict[EventKey, list[Moment]] = {}
    for moment in moments:
        found.setdefault(moment.event, []).append(moment)
    return {event: tuple(gathered) for event, gathered in found.items()}


def net(moments: Sequence[Moment], until: datetime) -> Quantity:
    """Return what changes did in all up to an instant."""
    return sum(moment.amount for moment in moments if moment.at <= until)


def without(timeline: Timeline, moments: Sequence[Moment]) -> list[Quantity]:
    """Return by how much each statement is off if the source never saw some changes."""
    timeline.effort.spend(len(timeline.statements) * len(moments))
    return [-net(moments, said.as_of) for said in timeline.statements]


def from_onset(timeline: Timeline, onset: int, shift: Quantity) -> list[Quantity]:
    """Return shifts of a fault that began between two statements and stays."""
    timeline.effort.spend(len(timeline.statements))
    return [shift if index >= onset else 0 for index in range(len(timeline.statements))]


def fits_newest(timeline: Timeline, shift: Quantity) -> bool:
    """Whether a shift explains the newest statement; what explains nothing is no suspect."""
    timeline.effort.spend(1)
    return shift != 0 and timeline.explains(len(timeline.statements) - 1, shift)


def fading(hours: float, half_life_h: float) -> float:
    """Return a weight that halves with every half-life."""
    return exp(-0.6931 * hours / half_life_h)


def is_release(change: Change) -> bool:
    """Whether a change does nothing but give reserved units back."""
    return change.nature is Nature.RELEASED and not any(
        amount for name, amount in change.amounts.items() if name != "reserved"
    )

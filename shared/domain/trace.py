"""A trace: the way of one fact across the systems, handoff by handoff, each with the time that it took.

::

    occurred --> received --> posted --> compared   (what each other system says since)
                                   |---> pushing --> confirmed   (on each channel)
                   '---> undone                  (where somebody took it back)

A step's time is counted from the step that handed over to it. Nothing here is measured anew: it is what was stored
on the way, so a step that nobody remembers any more is missing, and says so where that can be known.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from shared.domain.stock import StockKey


class Stage(StrEnum):
    """Where on its way a fact was."""

    OCCURRED = "occurred"
    RECEIVED = "received"
    POSTED = "posted"
    COMPARED = "compared"
    PUSHING = "pushing"
    CONFIRMED = "confirmed"
    UNDONE = "undone"


HANDED_BY = {
    Stage.RECEIVED: Stage.OCCURRED,
    Stage.POSTED: Stage.RECEIVED,
    Stage.COMPARED: Stage.OCCURRED,
    Stage.PUSHING: Stage.POSTED,
    Stage.CONFIRMED: Stage.PUSHING,
}
"""The stage from which each one's time is counted."""


@dataclass(frozen=True, slots=True)
class Step:
    """A fact reached a stage in a system.

    Attributes
    ----------
    took
        Since the stage that handed it over; None where that is not known. Below zero where clocks differ.
    """

    stage: Stage
    system: str
    at: datetime
    says: str
    key: StockKey | None = None
    took: timedelta | None = None


@dataclass(frozen=True, slots=True)
class Chain:
    """The way of one fact.

    Attributes
    ----------
    about
        The fact, in words: its event, or the push that carried it.
    message
        The raw message that brought it, where that is known.
    steps
        In order of time.
    notes
        What is not known, and why.
    cases
        Cases that are or were open about it.
    """

    about: str
    event: str
    message: str
    steps: tuple[Step, ...]
    notes: tuple[str, ...] = ()
    cases: tuple[tuple[str, str, str], ...] = ()

    @property
    def whole(self) -> timedelta | None:
        """From the first step to the last confirmation, or to the last step if there is none; an undoing hands nothing on."""
        steps = [step for step in self.steps if step.stage is not Stage.UNDONE]
        if not steps:
            return None
        ends = [step.at for step in steps if step.stage is Stage.CONFIRMED] or [steps[-1].at]
        return max(ends) - steps[0].at


@dataclass(frozen=True, slots=True)
class Trace:
    """Chains, and whether there are more than were followed."""

    chains: tuple[Chain, ...]
    more: bool = False


def in_time(steps: list[Step]) -> tuple[Step, ...]:
    """Put steps in order of time; of one instant, in the order of the way."""
    places = {stage: place for place, stage in enumerate(Stage)}
    return tuple(sorted(steps, key=lambda step: (step.at, places[step.stage], step.system)))

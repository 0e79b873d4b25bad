"""What an explanation says: causes, ranked, each with what speaks for it and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from shared.domain.stock import EventKey, Quantity, StockKey


class RootCause(StrEnum):
    """Why a source's number differs from the ledger's."""

    DUPLICATE_EVENT = "duplicate_event"
    MISSING_EVENT = "missing_event"
    POSTING_DELAY = "posting_delay"
    UNIT_MISMATCH = "unit_mismatch"
    DEFINITION_MISMATCH = "definition_mismatch"
    MANUAL_OVERRIDE = "manual_override"
    COUNT_NOT_PROPAGATED = "count_not_propagated"
    DOCUMENT_REFERENCE = "document_reference"
    MAPPING_SWAP = "mapping_swap"
    STALE_OVERWRITE = "stale_overwrite"
    RESERVATION_LEAK = "reservation_leak"
    COUNT_IN_MOTION = "count_in_motion"
    UNEXPLAINED = "unexplained"


class Sphere(StrEnum):
    """Whose kind of fault it is: of the systems' handoffs, of people and procedures, or not known."""

    INTEGRATION = "integration"
    PROCESS = "process"
    UNKNOWN = "unknown"


SPHERES = {
    RootCause.MANUAL_OVERRIDE: Sphere.PROCESS,
    RootCause.COUNT_IN_MOTION: Sphere.PROCESS,
    RootCause.UNEXPLAINED: Sphere.UNKNOWN,
}
"""Every cause that is not named here is an integration's."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """One thing that speaks for a hypothesis: an event, or a statement, at an instant, with a quantity."""

    what: str
    at: datetime | None = None
    quantity: Quantity | None = None
    event: EventKey | None = None


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """One explanation of a difference.

    Attributes
    ----------
    confidence
        Hundredths: its share among everything that was weighed, ``unexplained`` included.
    events
        The guilty events, oldest first; empty where no single event is to blame.
    partner
        The stock key that got what this one should have, or the other way round.
    meaning
        The formula that the number follows, where it follows another than was declared.
    began
        After which statement and by which the fault began, where no event says so.
    undone_at
        When the guilty event was undone here, where the source goes on holding it.
    said
        One sentence.
    remedy, confirm
        What to do about it, and what would prove or refute it.
    """

    cause: RootCause
    confidence: int
    said: str
    remedy: str
    confirm: str
    events: tuple[EventKey, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    partner: StockKey | None = None
    meaning: str = ""
    began: tuple[datetime | None, datetime] | None = None
    undone_at: datetime | None = None

    @property
    def fault(self) -> tuple[str, datetime] | None:
        """With what the fault began, an ``event`` or the first ``statement`` that differs, and when; None: not known."""
        if self.events:
            at = next((one.at for one in self.evidence if one.event == self.events[0] and one.at), None)
            return None if at is None else ("event", at)
        return None if self.began is None else ("statement", self.began[1])

    @property
    def sphere(self) -> Sphere:
        """Integration or process."""
        return SPHERES.get(self.cause, Sphere.INTEGRATION)


@dataclass(frozen=True, slots=True)
class Explanation:
    """Hypotheses, the most likely first; those that fit equally well have equal confidence and stand together.

    ``drift`` is what was explained; ``work`` counts the comparisons made, and is bounded whatever the history.
    """

    drift: Quantity
    hypotheses: Sequence[Hypothesis]
    statements: int
    changes: int
    work: int

    @property
    def first(self) -> Hypothesis:
        """The most likely one.

        Raises
        ------
        IndexError
            When nothing differs, so that there is nothing to explain.
        """
        return self.hypotheses[0]

    @property
    def equal(self) -> Sequence[Hypothesis]:
        """Those that fit as well as the first, it included."""
        return [one for one in self.hypotheses if one.confidence == self.first.confidence]

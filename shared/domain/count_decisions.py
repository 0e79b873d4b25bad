"""Decisions about counts that wait: what somebody says of one, and why that does not fit what the ledger says by now."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from shared.domain.events import instant
from shared.domain.ledger import CountDocument, CountMark, Slot
from shared.domain.stock import EventKey, Quantity


class NoLongerWaitsError(LookupError):
    """The count does not wait for a decision: it has been decided, overtaken or corrected."""


class ChangedSinceSeenError(Exception):
    """What the ledger said at the count's instant is no longer what the approver saw."""

    def __init__(self, seen: Quantity, known: Quantity) -> None:
        super().__init__(f"the ledger said {seen} as of the count when it was shown, and says {known} now")
        self.seen = seen
        self.known = known


class SeenNeededError(ValueError):
    """What a decision would change is beyond the limit, and it does not say which number was seen."""

    def __init__(self, known: Quantity, quantity: Quantity) -> None:
        super().__init__(f"the count says {quantity} where the ledger says {known} as of that instant")
        self.known = known


class InstantNeededError(ValueError):
    """A suspended count is decided by an instant within its window; any other count by none."""

    def __init__(self, window: tuple[datetime, datetime] | None) -> None:
        super().__init__(
            "only a suspended count is given an instant"
            if window is None
            else f"it was taken between {instant(window[0])} and {instant(window[1])}; give the instant"
        )
        self.window = window


@dataclass(frozen=True, slots=True)
class Decision:
    """What somebody decided about a count that waits.

    Attributes
    ----------
    accept
        False drops the count for good.
    seen
        The ledger's own number as of the count, as the approver saw it. Of a suspended count it need be said only where
        the count, taken ``at`` that instant, is beyond the limit.
    at
        For a suspended count: the exact instant at which it was taken.
    """

    count: EventKey
    accept: bool
    seen: Quantity | None = None
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Retraction:
    """Takes a count out again, as if it had never been taken: the compensation of a count that is undone.

    By its ``document`` it is found too where it is only kept beside another version.
    """

    key: EventKey
    slot: Slot
    mark: CountMark
    document: CountDocument | None

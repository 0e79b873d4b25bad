"""What happened to one stock key lately: what was sold where, what moved, what was shipped; and how fast that is.

Two figures say how much happens in a stretch of time, and both are whole units: what is **usual**, the average rounded
up, and what the **busiest** such stretch was. The average is over the time that is known, so a stock key that is a day
old is not taken for one that hardly moves.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from math import ceil

from shared.domain.stock import ChannelId, EventKey, Quantity, StockKey


@dataclass(frozen=True, slots=True)
class Moment:
    """So many units at one instant."""

    at: datetime
    units: Quantity


@dataclass(frozen=True, slots=True)
class Sold(Moment):
    """Units that an order took; ``channel`` is None where it came by none."""

    channel: ChannelId | None = None


@dataclass(frozen=True, slots=True)
class Change(Moment):
    """A change of what is on hand, by which event; ``kind`` is the event's own word (receipt, shipment, count ...)."""

    kind: str
    event: EventKey


@dataclass(frozen=True, slots=True)
class Activity:
    """What happened to a stock key from ``since`` to ``until``.

    Attributes
    ----------
    changes
        What movements changed that nobody has taken back, and by how much each count corrects what was known: as it
        stands now, so what was told late and had been counted already corrects nothing.
    opened_at
        When the earliest count that stands was taken: before it nobody knew what there was, so it corrects nothing. None
        where it was never counted.
    is_complete
        False where more happened than was read: then it begins later than ``since`` says.
    """

    key: StockKey
    since: datetime
    until: datetime
    sold: tuple[Sold, ...] = ()
    changes: tuple[Change, ...] = ()
    shipped: tuple[Change, ...] = ()
    is_complete: bool = True
    opened_at: datetime | None = None

    @property
    def known_for(self) -> timedelta:
        """How long it has been known: from the first that happened in that time."""
        begun = [] if self.opened_at is None else [self.opened_at]
        first = min((*begun, *(one.at for one in (*self.sold, *self.changes))), default=self.until)
        return max(timedelta(0), self.until - max(first, self.since))


@dataclass(frozen=True, slots=True)
class Pace:
    """How many units a stretch of time brings, usually and at its busiest."""

    usual: Quantity = 0
    busiest: Quantity = 0


def pace(moments: Iterable[Moment], stretch: timedelta, known_for: timedelta) -> Pace:
    """Say how many units a stretch of time brings, from what happened in the time that is known."""
    ordered = sorted(moments, key=lambda one: one.at)
    units = sum(one.units for one in ordered)
    usual = Fraction(units) * Fraction(stretch // _TICK, max(known_for, stretch) // _TICK)
    return Pace(ceil(usual), _busiest(ordered, stretch))


def _busiest(ordered: list[Moment], stretch: timedelta) -> Quantity:
    most = held = first = 0
    for one in ordered:
        held += one.units
        while one.at - ordered[first].at >= stretch:
            held -= ordered[first].units
            first += 1
        most = max(most, held)
    return most


_TICK = timedelta(microseconds=1)

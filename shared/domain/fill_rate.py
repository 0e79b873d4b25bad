"""Fill rate: of the units that orders asked for, those that the authority shipped within a week of the order.

A line is judged once, when it is old enough: by the first daily sweep of a UTC day before which ``GRACE`` whole days
have passed since the day it was ordered. It is then what it is then: units cancelled by that time were not asked for, and a
shipment counts by when it happened, whether or not it was heard of late.

====================  ================================================================================
counter               of one location and the day on which lines were ordered
====================  ================================================================================
``lines``, ``whole``  lines that asked for units; those of which every unit was shipped in time
``asked``, ``sent``   their units, and those shipped in time
``left_out``          stock keys with too many lines to be read
====================  ================================================================================

A line counts where it was first to be served from. A kit is asked for in its components, each a line of its own. What is
held for a transfer of our own nobody has ordered.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from shared.domain.reservation import OrderLine
from shared.domain.stock import LocationId

GRACE = timedelta(days=7)
"""How long after its order a unit is shipped in time."""

MOST_DAYS = 30
"""Days whose lines one sweep judges at most, where none has come by for long."""


@dataclass(frozen=True, slots=True)
class Due:
    """The days, both included, whose lines a sweep is the first to judge."""

    first: date
    last: date

    @property
    def since(self) -> datetime:
        """When the first of the days began."""
        return datetime(self.first.year, self.first.month, self.first.day, tzinfo=UTC)


def due(began: datetime, before: datetime | None) -> Due | None:
    """Return which days a sweep judges that began after another, or first of all; None where the other has judged them."""
    wait = GRACE + timedelta(days=1)
    last = began.astimezone(UTC).date() - wait
    first = last if before is None else before.astimezone(UTC).date() - wait + timedelta(days=1)
    return Due(max(first, last - timedelta(days=MOST_DAYS - 1)), last) if first <= last else None


def place_of(line: OrderLine) -> LocationId:
    """Return where a line was first to be served from."""
    return line.history[0].location if line.history else line.place.location


def judge(line: OrderLine, days: Due) -> tuple[date, Counter[str]] | None:
    """Return the day on which a line was ordered and what it adds to the counters; None where it adds nothing."""
    ordered_at, asked = line.ordered_at, line.taken
    if ordered_at is None or not asked or line.kit:
        return None
    day = ordered_at.astimezone(UTC).date()
    if not days.first <= day <= days.last:
        return None
    sent = sum(one.quantity for one in line.shipments.values() if one.at <= ordered_at + GRACE)
    sent = min(asked, max(0, sent))
    return day, Counter(lines=1, whole=int(sent == asked), asked=asked, sent=sent)

"""What a system in shadow would have done: the pure half of the shadow report.

For each listing of a channel the numbers are kept over time: ours (what it would have been sent) and theirs (what it
showed). An order that came while theirs stood above ours, for more units than ours still had, was an oversell that a
live channel would not have made::

    12:00   ours 3   theirs 10
    12:05   order A takes 2     ours still has 1
    12:06   order B takes 4     3 of them would not have been sold

Units that the channel's own orders took, and that were not in our number yet, are taken off it: the number was
written before we had heard of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.domain.ledger import CountMark, Slot
from shared.domain.reservation import OrderLine
from shared.domain.stock import ChannelId, EventKey, Quantity, StockKey


@dataclass(frozen=True, slots=True)
class Numbers:
    """From an instant on: what a listing would have been sent, and what it showed; None where that is not known."""

    at: datetime
    ours: Quantity | None
    theirs: Quantity | None

    def say_the_same_as(self, other: Numbers) -> bool:
        """Whether both are the same, at whatever instants."""
        return (self.ours, self.theirs) == (other.ours, other.theirs)

    @property
    def differ(self) -> bool:
        """Whether the channel would have been sent a number."""
        return self.ours is not None and self.ours != self.theirs

    @property
    def stand_above(self) -> bool:
        """Whether the channel offered more than we would have let it, as far as is known."""
        return self.ours is not None and (self.theirs is None or self.theirs > self.ours)


@dataclass(frozen=True, slots=True)
class Sale:
    """Units that one order line took: when they were ordered, and when we had heard of it."""

    order: str
    line: str
    at: datetime
    heard_at: datetime
    units: Quantity


@dataclass(frozen=True, slots=True)
class Prevented:
    """An oversell that would not have happened: of the units ordered, those that we would not have let be sold."""

    sale: Sale
    units: Quantity
    ours: Quantity
    theirs: Quantity | None


@dataclass(frozen=True, slots=True)
class Withheld:
    """An event that a source said and that was not posted: its kind, its units of the stock key, when it happened.

    ``part`` is what it counts where that is a bin or a lot, at a ``version`` of its document.
    """

    event: EventKey
    what: str
    units: Quantity
    at: datetime
    part: Slot | None = None
    version: str = ""

    @property
    def mark(self) -> CountMark:
        """Where a count stands in the order in which the ledger has them take each other's place."""
        return CountMark(self.at, self.version, self.event)


def sales_of(lines: Iterable[OrderLine], channel: ChannelId, key: StockKey) -> list[Sale]:
    """Return what the orders of a channel took of a stock key, in the order in which they did.

    A kit's line holds nothing itself; what it took is what was ordered.
    """
    found = [
        sale
        for line in lines
        if line.channel == channel and not line.part_of and line.stock_key.sku == key.sku
        for sale in _sales(line, key)
    ]
    return sorted(found, key=lambda sale: (sale.at, sale.order, sale.line))


def _sales(line: OrderLine, key: StockKey) -> Iterator[Sale]:
    if line.kit and line.ordered_at is not None:
        if line.stock_key == key:
            heard = [one.posted_at for one in line.brought.values() if one.posted_at is not None]
            yield Sale(
                line.order, line.line, line.ordered_at, min(heard, default=line.ordered_at), line.taken
            )
        return
    for held in line.history:
        if held.quantity > 0 and held.location == key.location:
            brought = line.brought.get(held.event_key)
            heard_at = held.at if brought is None or brought.posted_at is None else brought.posted_at
            yield Sale(line.order, line.line, held.at, heard_at, held.quantity)


def prevented(
    numbers: Sequence[Numbers], sales: Sequence[Sale], until: datetime | None = None
) -> Iterator[Prevented]:
    """Yield the oversells that would not have happened, of sales in order of time, up to an instant."""
    for number, sale in enumerate(sales):
        if until is not None and sale.at >= until:
            return
        stood = next((one for one in reversed(numbers) if one.at < sale.at), None)
        if stood is None or stood.ours is None or not stood.stand_above:
            continue
        unheard = sum(one.units for one in sales[:number] if one.heard_at > stood.at)
        over = sale.units - max(0, stood.ours - unheard)
        if over > 0:
            yield Prevented(sale, min(over, sale.units), stood.ours, stood.theirs)

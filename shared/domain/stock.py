"""The words every other module speaks: what is counted, where, and in which state.

A **stock key** is one SKU at one location. Inside a location stock lies on **leaves** (bin and lot); the leaf
``WHOLE`` stands for the location itself where it keeps neither. Each leaf carries five **counters**:

==============  ======================================================================
on_hand         units physically in the location, sellable or not
quality_hold    the part of on_hand that quality control has set aside
damaged         the part of on_hand that is damaged
incoming        expected from a supplier, not here yet
in_transit      sent to here from another of our locations, not here yet
==============  ======================================================================

``reserved`` is not a counter of the ledger: it is the sum of the open order lines, and ``available`` is
``on_hand - quality_hold - damaged - reserved``. Quantities are integers in the item's base unit.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NewType

Sku = NewType("Sku", str)
LocationId = NewType("LocationId", str)
SourceId = NewType("SourceId", str)
ChannelId = NewType("ChannelId", str)
EventKey = NewType("EventKey", str)
MessageId = NewType("MessageId", str)

Quantity = int
"""A whole number of base units, signed where a change is meant."""


class Counter(StrEnum):
    """A state that units of a leaf can be in; see the module's table."""

    ON_HAND = "on_hand"
    QUALITY_HOLD = "quality_hold"
    DAMAGED = "damaged"
    INCOMING = "incoming"
    IN_TRANSIT = "in_transit"


AVAILABLE_SIGN: dict[Counter, int] = {
    Counter.ON_HAND: 1,
    Counter.QUALITY_HOLD: -1,
    Counter.DAMAGED: -1,
    Counter.INCOMING: 0,
    Counter.IN_TRANSIT: 0,
}
"""How a change of each counter moves ``available``."""


@dataclass(frozen=True, slots=True, order=True)
class StockKey:
    """One SKU at one location: the unit in which stock is counted, promised and pushed."""

    sku: Sku
    location: LocationId

    def __str__(self) -> str:
        return f"{self.sku}@{self.location}"


@dataclass(frozen=True, slots=True, order=True)
class Leaf:
    """The place inside a location that a line belongs to: a bin, a lot, both, or the whole location."""

    bin: str = "-"
    lot: str = "-"

    def __str__(self) -> str:
        return "-" if self == WHOLE else f"{self.bin}/{self.lot}"


WHOLE = Leaf()


def why_no_name(part: str, name: str) -> tuple[str, str] | None:
    """Return why a ``bin`` or a ``lot`` cannot be called so, and the remedy; None where it can.

    What is written for units on no bin would be taken for the whole location, and count all of it.
    """
    if name == WHOLE.bin:
        return f"a dash stands for no {part}", f"name a {part}, or leave it out where there is none"
    if part == "bin" and "/" in name:
        return "holds a slash", "name bins without a slash"
    return None


def parse_leaf(text: str) -> Leaf:
    """Read what ``str(leaf)`` wrote."""
    bin_, _, lot = text.partition("/")
    return Leaf(bin_, lot or "-")

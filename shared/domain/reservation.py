"""Order lines: how many units of which stock key an order line still holds back from being promised.

An order line is state that documents add to, never a counter that deltas are applied to::

    open = max(0, ordered - cancelled - shipped)

``ordered`` follows the source's newest version. Cancellations and storefront fulfilments are kept by their own
document, shipments by the authority's event key, so that a document seen again counts once. Whichever document
comes first creates the line, so that a shipment before its order is no accident. Only the location's movement
authority ships: a storefront's ``fulfilled`` is its claim, remembered but freeing nothing.

A reservation made through our API is an order line of its own: ordered at once, cancelled when released.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from shared.domain.events import Demand, DemandEffect
from shared.domain.stock import ChannelId, EventKey, Quantity, StockKey


@dataclass(frozen=True, slots=True)
class Held:
    """One change of what a line holds: ``quantity`` more (or fewer, if negative) from ``at`` on."""

    at: datetime
    quantity: Quantity
    event_key: EventKey


@dataclass(frozen=True, slots=True)
class OrderLine:
    """One line of one order.

    Attributes
    ----------
    revision
        Counts the writes of this line; a change is valid only while it stays.
    applied
        Event key to effect hash of the demand events that are in this line.
    history
        Every change of ``open`` with its instant; their sum is ``open``.
    """

    order: str
    line: str
    stock_key: StockKey
    channel: ChannelId | None = None
    revision: int = 0
    ordered: Quantity = 0
    version: str = ""
    cancelled: Mapping[str, Quantity] = field(default_factory=dict)
    fulfilled: Mapping[str, Quantity] = field(default_factory=dict)
    shipped: Mapping[str, Quantity] = field(default_factory=dict)
    applied: Mapping[EventKey, str] = field(default_factory=dict)
    history: tuple[Held, ...] = ()

    @property
    def open(self) -> Quantity:
        """Units that the line holds back now."""
        return max(0, self.taken - sum(self.shipped.values()))

    @property
    def taken(self) -> Quantity:
        """Units that the order takes from stock in all: ordered and not cancelled."""
        return max(0, self.ordered - sum(self.cancelled.values()))


def merge_demand(line: OrderLine, demand: Demand, effect: str) -> OrderLine:
    """Add one document to a line. An older version of what is known changes nothing but is remembered.

    The line lies where its first order document says; a shipment that came before it, perhaps from elsewhere, only
    guessed that.
    """
    if not line.applied and demand.location is not None:
        line = replace(line, stock_key=StockKey(demand.sku, demand.location))
    applied = {**line.applied, demand.key: effect}
    if demand.effect is DemandEffect.ORDERED:
        if demand.version < line.version:
            return replace(line, applied=applied)
        merged = replace(line, applied=applied, ordered=demand.quantity, version=demand.version)
    elif demand.effect is DemandEffect.CANCELLED:
        merged = replace(
            line, applied=applied, cancelled={**line.cancelled, demand.document: demand.quantity}
        )
    else:
        merged = replace(
            line, applied=applied, fulfilled={**line.fulfilled, demand.document: demand.quantity}
        )
    if merged.channel is None:
        merged = replace(merged, channel=demand.channel)
    return _with_history(line, merged, demand.occurred_at, demand.key)


def ship(line: OrderLine, quantity: Quantity, at: datetime, key: EventKey) -> OrderLine:
    """Record units that the movement authority shipped for this line."""
    merged = replace(line, shipped={**line.shipped, key: quantity})
    return _with_history(line, merged, at, key)


def _with_history(before: OrderLine, after: OrderLine, at: datetime, key: EventKey) -> OrderLine:
    change = after.open - before.open
    if change == 0:
        return after
    return replace(after, history=(*after.history, Held(at, change, key)))


def held_as_of(line: OrderLine, at: datetime) -> Quantity:
    """Units that the line held at an instant, by when its documents say things happened."""
    return sum(held.quantity for held in line.history if held.at <= at)

"""Order lines: how many units of which stock key an order line still holds back from being promised.

An order line is state that documents add to, never a counter that deltas are applied to::

    open = max(0, ordered - cancelled - shipped)

``ordered`` follows the source's newest version. Cancellations and storefront fulfilments are kept by their own
document, shipments by the authority's event key, so that a document seen again counts once. Whichever document
comes first creates the line, so that a shipment before its order is no accident. Only the location's movement
authority ships: a storefront's ``fulfilled`` is its claim, remembered but freeing nothing.

What the line held at an instant is the same rule over the documents of that time, so it does not depend on the order
in which they reached us.

A reservation made through our API is an order line of its own: ordered at once, cancelled when released.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from shared.domain.events import Demand, DemandEffect
from shared.domain.stock import ChannelId, EventKey, Quantity, StockKey


@dataclass(frozen=True, slots=True, order=True)
class Stated:
    """What one document says of a line: ``quantity`` units, from ``at`` on."""

    at: datetime
    event_key: EventKey
    quantity: Quantity


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
    versions
        What was ordered, by source version: the newest stands.
    cancellations, fulfilments
        By document.
    shipments
        By the authority's event.
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
    versions: Mapping[str, Stated] = field(default_factory=dict)
    cancellations: Mapping[str, Stated] = field(default_factory=dict)
    fulfilments: Mapping[str, Stated] = field(default_factory=dict)
    shipments: Mapping[str, Stated] = field(default_factory=dict)
    applied: Mapping[EventKey, str] = field(default_factory=dict)
    history: tuple[Held, ...] = ()

    @property
    def ordered(self) -> Quantity:
        """Units ordered, by the newest version."""
        return self.versions[max(self.versions)].quantity if self.versions else 0

    @property
    def open(self) -> Quantity:
        """Units that the line holds back now."""
        return max(0, self.taken - _units(self.shipments.values()))

    @property
    def taken(self) -> Quantity:
        """Units that the order takes from stock in all: ordered and not cancelled."""
        return max(0, self.ordered - _units(self.cancellations.values()))


def merge_demand(line: OrderLine, demand: Demand, effect: str) -> OrderLine:
    """Add one document to a line. An older version than the newest changes the past, not what is open.

    The line lies where its first order document says; a shipment that came before it, perhaps from elsewhere, only
    guessed that.
    """
    if not line.applied and demand.location is not None:
        line = replace(line, stock_key=StockKey(demand.sku, demand.location))
    said = Stated(demand.occurred_at, demand.key, demand.quantity)
    match demand.effect:
        case DemandEffect.ORDERED:
            line = replace(line, versions=_with(line.versions, demand.version, said))
        case DemandEffect.CANCELLED:
            line = replace(line, cancellations=_with(line.cancellations, demand.document, said))
        case DemandEffect.FULFILLED:
            line = replace(line, fulfilments=_with(line.fulfilments, demand.document, said))
    return _with_history(
        replace(
            line,
            applied={**line.applied, demand.key: effect},
            channel=demand.channel if line.channel is None else line.channel,
        )
    )


def ship(line: OrderLine, quantity: Quantity, at: datetime, key: EventKey) -> OrderLine:
    """Record units that the movement authority shipped for this line."""
    return _with_history(
        replace(line, shipments=_with(line.shipments, key, Stated(at, key, quantity))),
    )


def _units(documents: Iterable[Stated]) -> Quantity:
    return sum(document.quantity for document in documents)


def _with(documents: Mapping[str, Stated], name: str, said: Stated) -> dict[str, Stated]:
    """Add a document; of two statements of one document the later one stands, whichever came first."""
    known = documents.get(name)
    return {**documents, name: said if known is None else max(said, known)}


def _with_history(line: OrderLine) -> OrderLine:
    """Work out anew what the line held at each instant: its ``open`` over the documents of that time."""
    kinds = (line.versions, line.cancellations, line.shipments)
    history: list[Held] = []
    held = 0
    for moment in sorted(document for kind in kinds for document in kind.values()):
        versions, cancellations, shipments = (
            {name: said for name, said in kind.items() if said <= moment} for kind in kinds
        )
        then = replace(line, versions=versions, cancellations=cancellations, shipments=shipments)
        if then.open != held:
            history.append(Held(moment.at, then.open - held, moment.event_key))
            held = then.open
    return replace(line, history=tuple(history))

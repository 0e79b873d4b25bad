"""Kits: an item that is sold as one and lies in the shelves as its components.

A kit has no stock of its own. What is ordered of it is **derived** for each component, and what can be sold of it is
derived from what can be sold of each of them::

    order line  1        2 x GIFT-BOX      keeps the order's documents; holds back nothing
    order line  1/TEA    4 x TEA           the same documents, each times 2; and its own shipments
    order line  1/MUG    2 x MUG           the same documents, each times 1; and its own shipments

    available of GIFT-BOX = min(available of TEA // 2, available of MUG // 1), at each location by itself

All lines of one kit line are written in one transaction with it: all or nothing.

**Which components.** Those in force when the order was placed (the earliest instant that any version of its line
carries), whenever the order arrives. Once taken they stay: a correction of the kit does not touch orders that are
there already. Only where a version comes to light that was placed before *other* terms began, the components are
those of then, so that every order of arrival ends alike.

**Shipments.** The warehouse ships components. Its shipment of TEA for order line 1 is one of line 1/TEA; one that
came before the order waits on line 1 and is handed to 1/TEA when the order says that line 1 is a kit.

A kit in a kit is refused where it is declared (``store/items.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from shared.domain.events import Leg, Movement
from shared.domain.items import Component, Item
from shared.domain.reservation import Documents, OrderLine, with_history
from shared.domain.stock import Quantity, Sku, StockKey


def component_line_id(line: str, component: Sku) -> str:
    """Name the order line of one component of a kit line."""
    return f"{line}/{component}"


@dataclass(frozen=True, slots=True)
class KitLine:
    """An order line of a kit, and the shipments of components that had come before it was known to be one."""

    line: OrderLine
    early: Mapping[Sku, Documents]


def as_kit_line(known: OrderLine, line: OrderLine, kit: Item) -> KitLine:
    """Settle which components an order line of a kit has; before it is ordered, for the time being.

    ``known`` is the line before the document was merged that made it ``line``. The history is worked out later.
    """
    early: dict[Sku, Documents] = {}
    if known.shipments and known.stock_key.sku != kit.sku:
        early[known.stock_key.sku] = known.shipments
        line = replace(line, shipments={})
    line = replace(line, stock_key=StockKey(kit.sku, line.stock_key.location))
    documents = (line.cancellations, line.fulfilments, line.unfulfilled, line.returns)
    said = (document.at for documents_of_kind in documents for document in documents_of_kind.values())
    at = line.ordered_at or min(said, default=None)
    if at is not None:
        terms = kit.at(at)
        if line.kit_from != terms.effective_from or not line.kit:
            line = replace(line, kit=terms.components, kit_from=terms.effective_from)
    return KitLine(line, early)


def component_line(known: OrderLine, kit_line: OrderLine, per_kit: Quantity, early: Documents) -> OrderLine:
    """Return a component's line as its kit line says now: the same documents times ``per_kit``, its own shipments.

    With 0 per kit it holds nothing: the component is not in the kit by the terms that count.
    """

    def times(documents: Documents) -> Documents:
        return {name: replace(said, quantity=said.quantity * per_kit) for name, said in documents.items()}

    shares = tuple((place, units * per_kit) for place, units in kit_line.shares) or known.shares
    return with_history(
        replace(
            known,
            stock_key=StockKey(known.stock_key.sku, kit_line.stock_key.location),
            channel=kit_line.channel,
            versions=times(kit_line.versions),
            cancellations=times(kit_line.cancellations),
            fulfilments=times(kit_line.fulfilments),
            unfulfilled=times(kit_line.unfulfilled),
            returns=times(kit_line.returns),
            shipments={**early, **known.shipments},
            shares=shares,
            applied=dict(kit_line.applied),
            part_of=kit_line.line,
        )
    )


def component_movements(movement: Movement, components: Iterable[Component]) -> list[Movement]:
    """Return what a movement of whole kits moves of each component, under the same event key."""
    return [
        replace(
            movement,
            sku=component.sku,
            legs=tuple(
                Leg(leg.location, leg.quantity * component.quantity, leg.counter, leg.leaf)
                for leg in movement.legs
            ),
        )
        for component in components
    ]


def components_at(kit: Item, at: datetime) -> tuple[Component, ...]:
    """Return the components of a kit at an instant; empty where it is none then."""
    return kit.at(at).components


def units_for(kits: Quantity, components: Iterable[Component]) -> dict[Sku, Quantity]:
    """Return the units of each component that a number of kits takes."""
    return {component.sku: component.quantity * kits for component in components}

"""Whose word moves stock: what an order's source says it shipped, or got back, at a location whose movements it owns.

Where a location only sends snapshots, its declared movement authority is the storefront, the OMS or the 3PL. Then a
fulfilment *is* the shipment: on hand goes down and the order line is served; the fulfilment called off takes that
back, and a refund's returned units come in. The next snapshot, taken later, contains all of it already, and the as-of
rule absorbs it. Anywhere else the same words are a claim on the order line, to be compared with what the authority
ships.

A fulfilment and its call-off are one pair, though the authority may change in between: the first of the two that is heard
says for both whether they are claims or move stock. What was only claimed never left, so its call-off brings nothing;
what left comes back, whoever is believed by then. A shipment that somebody has undone is back already: its call-off is a
claim. What was called off is back as well, and not undone again.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from shared.domain.events import Demand, DemandEffect, Leg, Movement, MovementKind
from shared.domain.network import Source
from shared.domain.reservation import OrderLine
from shared.domain.stock import EventKey
from shared.operations.facts import Fact
from shared.operations.footprint import undo_key
from shared.store.registry import Network

_MOVES = {
    DemandEffect.FULFILLED: (MovementKind.SHIPMENT, -1),
    DemandEffect.UNFULFILLED: (MovementKind.SHIPMENT, 1),
    DemandEffect.RETURNED: (MovementKind.RETURN, 1),
}


def moved_or_claimed(demand: Demand, source: Source, network: Network) -> Demand | Movement:
    """Return what an order document does, said by ``source``: a movement where it is the authority, else itself."""
    if demand.location is None or network.locations[demand.location].movements != source.id:
        return demand
    return as_movement(demand)


def sold_or_claimed(demand: Demand, network: Network) -> Demand | Movement:
    """Return what a fulfilment through our API does, said by the channel that reserved.

    It ships where the channel's own system is the movement authority, and where nobody is; else it is a claim.
    """
    place = None if demand.location is None else network.locations.get(demand.location)
    if place is None:
        return demand
    authority = None if place.movements is None else network.sources.get(place.movements)
    is_theirs = place.movements is None or (authority is not None and authority.channel == demand.channel)
    return as_movement(demand) if is_theirs else demand


def as_its_opposite(fact: Fact, lines: Collection[OrderLine]) -> Fact:
    """Return a fulfilment or its call-off as the claim or the movement that the other of the two is in its lines.

    ``lines`` are its own and those of the components of its kit. Where they do not know the other, the fact is as it was
    judged by itself; but what we were told to call off brings nothing, and will not leave: that may still be under way.
    """
    said = fact.event if isinstance(fact.event, Demand) else fact.said
    if said is None or said.opposite is None:
        return fact
    if any(said.opposite in line.applied for line in lines):
        return replace(fact, event=said, said=said)
    moved = [line for line in lines if said.opposite in line.shipments]
    if not moved:
        return replace(fact, event=replace(said, quantity=0)) if fact.is_entered else fact
    if not all(_is_undone(said.opposite, line) for line in moved):
        return replace(fact, event=as_movement(said), said=said)
    return replace(fact, event=said, said=said) if said.effect is DemandEffect.UNFULFILLED else fact


def is_standing(name: EventKey, lines: Collection[OrderLine]) -> bool:
    """Whether these lines know an event, and nobody has undone it."""
    return any(
        name in line.applied or (name in line.shipments and not _is_undone(name, line)) for line in lines
    )


def called_off(name: EventKey) -> str:
    """Say why a shipment is not made, or not undone: the event of this name has called it off."""
    return f"{name} has called it off, so its units are there"


def _is_undone(name: EventKey, line: OrderLine) -> bool:
    """Whether somebody has undone what an event moved of a line."""
    back = undo_key(name)
    return not {back, EventKey(f"{back}/{line.stock_key.sku}")}.isdisjoint(line.shipments)


def as_movement(demand: Demand) -> Demand | Movement:
    """Return the movement that a document of units shipped or returned describes; any other document as it is."""
    moves = _MOVES.get(demand.effect)
    if moves is None or demand.location is None:
        return demand
    kind, sign = moves
    legs = (Leg(demand.location, sign * demand.quantity),) if demand.quantity else ()
    line = (demand.order, demand.line)
    return Movement(demand.key, demand.sku, kind, legs, demand.occurred_at, demand.origin, line)


def moved_kind(demand: Demand) -> MovementKind:
    """Return what kind of movement an order document is where its word moves stock: shipped, or come back."""
    return _MOVES[demand.effect][0]

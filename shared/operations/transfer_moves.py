"""The movements by which a transfer is shipped, received and written off, under keys of the transfer and its call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import cast

from shared.domain.events import Leg, Movement, MovementKind, Origin, effect_hash
from shared.domain.network import Location
from shared.domain.stock import Counter, EventKey, LocationId, Quantity, Sku
from shared.domain.transfer import Effect, Transfer, effect_of, sums
from shared.operations.facts import Fact
from shared.operations.key_lengths import too_long
from shared.operations.reservation_items import ORIGIN
from shared.operations.transfer_calls import Part, RefusedTransferError, refuse_state

_KINDS = {
    Effect.SHIPPED: MovementKind.TRANSFER_SHIP,
    Effect.RECEIVED: MovementKind.TRANSFER_RECEIVE,
    Effect.LOST: MovementKind.ADJUSTMENT,
}


def movement_key(transfer: Transfer, sku: Sku, effect: Effect, name: str) -> EventKey:
    """Name the movement that one call makes of a SKU."""
    return EventKey(f"onecount/transfer/{transfer.id}/{sku}/{effect}/{name}")


def entered(
    transfer: Transfer,
    effect: Effect,
    part: Part,
    name: str,
    refs: Mapping[str, str],
    at: datetime,
    locations: Mapping[LocationId, Location],
) -> Fact:
    """Return what a person says of some units, as a fact that is judged when it is posted.

    Raises
    ------
    RefusedTransferError
        When units left or arrived, and a location is not declared any more.
    """
    if effect is not Effect.LOST:
        check_ends(transfer, locations)
    event = Movement(
        movement_key(transfer, part.sku, effect, name),
        part.sku,
        _KINDS[effect],
        _legs(transfer, effect, part, locations),
        at,
        Origin(ORIGIN.source, ORIGIN.message_id, tuple(sorted({**refs, "transfer": transfer.id}.items()))),
        (transfer.order, part.sku),
    )
    return Fact(event, effect_hash(event), is_entered=True)


def check_ends(transfer: Transfer, locations: Mapping[LocationId, Location]) -> None:
    """Refuse to move units between locations that are not both declared.

    Raises
    ------
    RefusedTransferError
    """
    for place in (transfer.origin, transfer.destination):
        if place not in locations:
            refuse_state(f"{place!r} is not declared any more", "declare it again, or close the transfer")


def check_lengths(
    transfer: Transfer, effect: Effect, parts: Sequence[Part], locations: Mapping[LocationId, Location]
) -> None:
    """Refuse units on leaves whose names fit no key of the tables.

    Raises
    ------
    RefusedTransferError
    """
    for number, part in enumerate(parts):
        event = entered(transfer, effect, part, "", {}, transfer.requested.at, locations).event
        if (fault := too_long(event, None)) is not None:
            raise RefusedTransferError(f"lines[{number}].{fault.field}", fault.reason, fault.remedy)


def units_of(facts: Iterable[Fact]) -> dict[Sku, Quantity]:
    """Return the units that some movements of a transfer are of, by SKU."""
    return sums(
        (fact.event.sku, effect[1]) for fact in facts if (effect := effect_of(cast(Movement, fact.event)))
    )


def what_stands(posted: Sequence[Fact], effect: Effect) -> str:
    """Say what of a call was posted before the rest was refused; nothing where nothing was."""
    if not posted:
        return ""
    units = ", ".join(f"{sku} {units}" for sku, units in units_of(posted).items())
    return f"; {len(posted)} lines of the same call are {effect} already, and stand: {units}"


def _legs(
    transfer: Transfer, effect: Effect, part: Part, locations: Mapping[LocationId, Location]
) -> tuple[Leg, ...]:
    arriving = transfer.destination
    if effect is Effect.SHIPPED:
        leaf = locations[transfer.origin].grain.of(part.leaf)
        leaving = Leg(transfer.origin, -part.units, leaf=leaf)
        return (leaving, Leg(arriving, part.units, Counter.IN_TRANSIT))
    off_the_way = Leg(arriving, -part.units, Counter.IN_TRANSIT)
    if effect is Effect.LOST:
        return (off_the_way,)
    return (off_the_way, Leg(arriving, part.units, leaf=locations[arriving].grain.of(part.leaf)))

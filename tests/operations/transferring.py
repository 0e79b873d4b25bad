"""Transfers of tea from east to west, as people and systems work them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import accumulate

from shared.domain.events import Leg, Movement, MovementKind
from shared.domain.money import parse_money
from shared.domain.rules import FourEyes, Rules
from shared.domain.stock import Counter as StockCounter
from shared.domain.stock import EventKey, MessageId, Quantity, Sku, StockKey
from shared.domain.transfer import Transfer
from shared.sources.registry import translator
from tests.operations.house import (
    EAST,
    NOON,
    ORIGIN,
    TEA,
    WEST,
    House,
    Interruption,
    movement,
    network,
)

AT_WEST = StockKey(TEA, WEST)
MUG = Sku("MUG")


def stocked(units: int = 10) -> House:
    """Return a house with so much tea in the east, an hour after it came."""
    house = House()
    house.post(movement("opening", 0, units))
    house.clock.advance(hours=1)
    return house


def requested(house: House, units: int = 6, key: str = "r", lead_time: timedelta | None = None) -> Transfer:
    """Let Ann request tea from east to west."""
    return house.transfers.request("ann", key, EAST, WEST, [(TEA, units)], "west runs out", lead_time)


def approved(house: House, units: int = 6, lead_time: timedelta | None = None) -> Transfer:
    """Let Ben approve what Ann requested."""
    return house.transfers.approve(requested(house, units, lead_time=lead_time).id, "ben", "a")


def shipped(house: House, units: int = 6, lead_time: timedelta | None = None) -> Transfer:
    """Let Cat ship all of what Ben approved."""
    return house.transfers.ship(approved(house, units, lead_time).id, "cat", "s")


def quantities(house: House, key: StockKey) -> tuple[Quantity, Quantity, Quantity]:
    """Return on hand, in transit and available of a stock key."""
    now = house.view.quantities(key)
    return now["on_hand"], now["in_transit"], now["available"]


def figures(transfer: Transfer) -> tuple[Quantity, ...]:
    """Return shipped, in transit, received and lost, of all lines."""
    all_of_it = transfer.figures()
    return all_of_it.shipped, all_of_it.in_transit, all_of_it.received, all_of_it.lost


def told(house: House, kind: str, units: int, by: str = "wms", **more: object) -> MessageId:
    """Let a system say its part of a transfer."""
    where = {"location": "east", "to_location": "west"} if kind == "transfer_ship" else {"location": "west"}
    body = {
        "type": f"stock.{kind}",
        "timestamp": "2026-11-01T12:30:00Z",
        "data": {
            "document": f"{kind}-{units}-{more['transfer']}",
            "lines": [{"line": "1", "sku": "TEA", "quantity": units, **where, **more}],
        },
    }
    name = house.store(by, body)
    house.applier.apply(name)
    return name


def undone(house: House, name: MessageId) -> None:
    """Let Ann undo a message."""
    message = house.inbox.load(name).message
    source = house.registry.network().sources[message.source]
    reports = translator(source.connector).translate(message, source)
    house.undoer.undo(reports, source, message, "ann", "sent twice", dry_run=False)


def written_off(house: House, made: Transfer, key: str = "c", by: str = "ben") -> Transfer:
    """Close a transfer and accept the loss of what is in transit."""
    return house.transfers.close(made.id, by, key, "burnt", accept_loss=True, may_write_off=True)


def once_written(house: House, then: Callable[[], object], number: int = 0) -> None:
    """Let something happen right after the n-th write from now on."""

    def strike(write: int, _: object) -> None:
        if write == number:
            house.stock.faults = Interruption()
            then()

    house.stock.faults = Interruption(after=strike)


def receipts(made: Transfer, skus: Sequence[Sku], count: int, key_length: int = 80) -> list[Movement]:
    """Return receipts of one unit each, as a system says them."""
    first = Movement(
        EventKey(""),
        TEA,
        MovementKind.TRANSFER_RECEIVE,
        (),
        NOON + timedelta(hours=1),
        ORIGIN,
        (made.order, ""),
    )
    legs = Leg(WEST, -1, StockCounter.IN_TRANSIT), Leg(WEST, 1)
    return [
        replace(
            first,
            key=EventKey(f"wms/{number}".ljust(key_length, "-")),
            sku=skus[number % len(skus)],
            legs=legs,
            occurred_at=first.occurred_at + timedelta(seconds=number),
        )
        for number in range(count)
    ]


def least_in_transit(house: House) -> Quantity:
    """Return the fewest units that were ever in transit to the west, by the ledger."""
    changes: defaultdict[datetime, Quantity] = defaultdict(int)
    for entry in house.ledger.journal(AT_WEST):
        for line in entry.lines:
            if line.slot.counter is StockCounter.IN_TRANSIT:
                changes[line.valid_at] += line.quantity
    return min(accumulate(changes[moment] for moment in sorted(changes)))


def careful(house: House, above: str = "20 EUR") -> None:
    """Price tea at 10 EUR, and ask for two people above an amount."""
    item = house.registry.items.find([TEA])[TEA]
    house.registry.items.change([(item, replace(item, price=parse_money("10 EUR")))])
    rules = Rules(FourEyes(parse_money(above), None))
    house.declare(replace(network(), rules=rules))
    house.registry.network(fresh=True)

"""What is written fits DynamoDB: an expression has 4 KB at most, beyond which the whole request is refused, for good."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from shared.domain.events import Leg
from shared.domain.network import Channel, Location
from shared.domain.stock import ChannelId, Counter, Sku, StockKey
from shared.operations.fulfil import Fulfiller
from shared.operations.reservations import Wanted
from shared.store.requests import parameters
from shared.store.table import Action
from tests.operations.house import EAST, WEST, WMS, House, Interruption, movement, network

LONGEST_EXPRESSION = 4096
EDI = ChannelId("edi")


def watched(house: House) -> list[int]:
    """Return the lengths of all update expressions that are written from now on."""
    lengths: list[int] = []

    def see(_n: int, actions: Sequence[Action]) -> None:
        lengths.extend(len(parameters(action).get("UpdateExpression", "")) for action in actions)

    house.stock.faults = Interruption(before=see)
    return lengths


def test_shortening_the_calls_of_a_reservation_is_a_write_that_dynamodb_takes() -> None:
    base = network(Channel(EDI, "scripted", {EAST: "1", WEST: "2"}, WEST))
    house = House(replace(base, locations={EAST: base.locations[EAST], WEST: Location(WEST, WMS, None)}))
    skus = [Sku(f"S{number}") for number in range(5)]
    house.post(*(movement(f"w-{sku}", 0, 100, key=StockKey(sku, WEST)) for sku in skus))
    made = house.reserver.reserve("k", "oms", EDI, [Wanted(sku, 100) for sku in skus])
    desk = Fulfiller(
        house.stock, house.registry, house.reserver, house.teller, house.clock, calls_size=25_000
    )
    lengths = watched(house)
    for number in range(360):
        desk.fulfil(made.id, f"f{number}", [Wanted(skus[number % 5], 1)])

    assert max(lengths) <= LONGEST_EXPRESSION
    assert len(lengths) > 360


def test_movements_of_two_counters_in_very_many_minutes_of_one_hour_are_a_write_that_dynamodb_takes() -> None:
    house = House()
    lengths = watched(house)
    counters = (Counter.ON_HAND, Counter.QUALITY_HOLD)
    legs = tuple(Leg(EAST, 1, counter) for counter in counters)
    house.post(*(replace(movement(f"e{n}", n, 1), legs=legs) for n in range(40)))

    assert max(lengths) <= LONGEST_EXPRESSION


def test_a_backlog_that_touches_more_of_one_hour_than_a_write_can_say_is_posted_in_parts() -> None:
    house = House()
    lengths = watched(house)
    counters = (Counter.ON_HAND, Counter.QUALITY_HOLD, Counter.INCOMING)
    legs = tuple(Leg(EAST, 1, counter) for counter in counters)
    house.post(*(replace(movement(f"e{n}", n, 1), legs=legs) for n in range(60)))

    assert max(lengths) <= LONGEST_EXPRESSION
    assert house.on_hand() == 60
    house.assert_exact()

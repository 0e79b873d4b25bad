"""The outage drill: what it would put at risk, reckoned by hand beside it, and that it changes nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from shared.domain.activity import Moment, Pace, pace
from shared.domain.drill import AtRisk, Risk
from shared.domain.network import Channel
from shared.domain.stock import ChannelId, SourceId
from shared.operations.drill import Drill, DrillDesk
from shared.sources.manual import ManualEntry
from shared.store.registry import Network
from tests.operations.house import EAST, KEY, NOON, SHOP, WMS, House, at, count, demand, movement, network
from tests.operations.test_undoing import told, undo

HOUR = timedelta(hours=1)
AMAZON = Channel(ChannelId("amazon"), "scripted", {EAST: "9"}, EAST)


def declared(**wms: object) -> Network:
    made = network(AMAZON)
    sources = {**made.sources, WMS: replace(made.sources[WMS], **wms)}  # type: ignore[arg-type]
    return Network(sources, made.locations, made.channels)


def sells(house: House, *orders: tuple[float, int, str]) -> None:
    for number, (minute, units, channel) in enumerate(orders):
        said = demand(f"d{number}", minute, units, f"{channel}/{number}")
        house.post(replace(said, channel=ChannelId(channel)))


def house_of(units: int, *orders: tuple[float, int, str], **wms: object) -> House:
    """A house that has so many units left after the orders of the last hours."""
    house = House(declared(**wms))
    house.list_on(SHOP, "TEA")
    house.list_on(AMAZON.id, "TEA")
    house.post(count("opening", -600, units + sum(quantity for _, quantity, _ in orders)))
    sells(house, *orders)
    return house


def desk(house: House) -> DrillDesk:
    return DrillDesk(house.stock, house.registry, house.clock)


def only(drill: Drill, risk: Risk) -> AtRisk:
    [row] = [row for row in drill.rows if row.risk is risk]
    return row


def test_a_channel_that_sells_on_oversells_what_others_take_meanwhile() -> None:
    house = house_of(4, (-600, 1, "shop"), (-90, 3, "shop"), (-80, 2, "amazon"))

    row = only(desk(house).of_channel(SHOP, HOUR), Risk.OVERSOLD)

    # it shows 4; its busiest hour is 3, that of others 2: 3 - (4 - 2) = 1
    assert (row.key, row.channel, row.usual, row.busiest) == (KEY, SHOP, 0, 1)
    assert "it shows 4 of 4 available" in row.why


def test_a_buffer_takes_the_risk_away() -> None:
    house = house_of(4, (-600, 1, "shop"), (-90, 3, "shop"), (-80, 2, "amazon"))
    buffered = replace(house.channels[SHOP], safety_stock=2)
    house.declare(Network({}, {}, {SHOP: buffered}))

    assert desk(house).of_channel(SHOP, HOUR).rows == ()


def test_a_channel_that_does_not_lower_its_own_number_sells_more_than_it_shows() -> None:
    house = house_of(1, (-600, 1, "amazon"), (-90, 1, "amazon"), (-80, 4, "amazon"))

    row = only(desk(house).of_channel(AMAZON.id, HOUR), Risk.OVERSOLD)

    assert row.busiest == 4
    assert row.why.endswith("it does not lower its own number")


def test_orders_that_do_not_arrive_wait_and_are_promised_twice() -> None:
    house = house_of(4, (-600, 1, "shop"), (-90, 3, "shop"), (-80, 2, "amazon"))

    drill = desk(house).of_source(SourceId("shopify"), HOUR)

    assert only(drill, Risk.ORDERS_DELAYED).busiest == 3
    assert only(drill, Risk.OVERSOLD).busiest == 1
    assert drill.units(Risk.ORDERS_DELAYED) == (1, 3)


def test_where_nobody_says_what_moved_losses_are_promised_still_and_receipts_not_yet() -> None:
    house = house_of(2, (-90, 3, "shop"))
    house.post(movement("wms/A-1/1/damage/1", -40, -2), movement("wms/GR-1/1/receipt/1", -30, 9))
    house.post(movement("wms/A-2/1/damage/1", -20, -7))

    drill = desk(house).of_source(WMS, HOUR)

    # 2 available; the busiest hour loses 9 and sells 3: all that is promised may be gone
    assert (only(drill, Risk.OVERSOLD).busiest, only(drill, Risk.NOT_PROMISED).busiest) == (2, 9)


def test_what_people_entered_by_hand_is_not_lost_with_a_source() -> None:
    house = house_of(2)
    house.post(movement("wms/GR-1/1/receipt/1", -35, 9))
    house.post(movement("onecount/transfer/T1/TEA/received/call", -30, 40))
    house.post(movement("onecount/transfer/T2/TEA/lost/call", -29, -20))
    house.manual_desk.enter(ManualEntry("adjustment", "TEA", "east", 70, "ann", "found"), "k1")
    house.manual_desk.enter(ManualEntry("count", "TEA", "east", 150, "ann", "counted"), "k2")

    drill = desk(house).of_source(WMS, HOUR)

    assert only(drill, Risk.NOT_PROMISED).busiest == 9
    assert drill.units(Risk.OVERSOLD) == (0, 0)


def test_how_long_is_known_is_said() -> None:
    house = house_of(2, (-90, 3, "shop"))
    assert desk(house).of_source(WMS, HOUR).known_for == timedelta(hours=10)
    assert desk(house).of_channel(SHOP, HOUR).known_for == timedelta(hours=10)


def test_neither_the_opening_stock_nor_what_was_undone_or_counted_already_arrives() -> None:
    house = House(declared())
    told(house, "count", "OPENING", 0, 2000)
    undo(house, told(house, "receipt", "R1", 20, 900))
    told(house, "count", "C1", 60, 1500)
    for number in range(10):
        told(house, "shipment", f"S{number}", 21 + number, 50)

    assert desk(house).of_source(WMS, HOUR).units(Risk.NOT_PROMISED) == (0, 0)


def test_a_stock_key_is_known_from_its_opening_on() -> None:
    house = House(declared())
    told(house, "count", "OPENING", 0, 2000)
    told(house, "receipt", "R1", 150, 6)

    # three hours are known: 6 units within them are 2 an hour
    assert only(desk(house).of_source(WMS, HOUR), Risk.NOT_PROMISED).usual == 2


def test_a_location_that_turns_stale_meanwhile_withholds_what_is_declared() -> None:
    house = house_of(10, freshness=timedelta(hours=1))
    house.declare(Network({}, {}, {SHOP: replace(house.channels[SHOP], stale_percent=50)}))
    house.store(
        "wms",
        {
            "type": "stock.count",
            "timestamp": at(-30).isoformat(),
            "data": {
                "document": "C",
                "lines": [{"line": "1", "sku": "TEA", "location": "east", "quantity": 10}],
            },
        },
    )
    house.settle()

    row = only(desk(house).of_source(WMS, HOUR), Risk.WITHHELD)

    assert (row.channel, row.busiest) == (SHOP, 5)
    assert "stale after 30 min" in row.why
    assert desk(house).of_source(WMS, timedelta(minutes=20)).units(Risk.WITHHELD) == (0, 0)


def test_a_drill_changes_nothing() -> None:
    house = house_of(4, (-600, 1, "shop"), (-90, 3, "shop"))
    before = sorted(map(str, house.stock.scan()))

    desk(house).of_channel(SHOP, HOUR)
    desk(house).of_source(SourceId("shopify"), HOUR)

    assert sorted(map(str, house.stock.scan())) == before


def test_more_stock_keys_than_are_read_are_told() -> None:
    house = house_of(4, (-600, 1, "shop"))
    house.post(count("mugs", -600, 5, key=type(KEY)(type(KEY.sku)("MUG"), EAST)))

    drill = desk(house).of_channel(SHOP, HOUR, most=1)

    assert not drill.is_complete


@pytest.mark.parametrize(
    ("moments", "expected"),
    [
        ((), Pace(0, 0)),
        (((0, 3),), Pace(1, 3)),
        (((0, 3), (59, 2)), Pace(1, 5)),
        (((0, 3), (60, 2)), Pace(1, 3)),
        (((0, 10), (300, 14)), Pace(3, 14)),
    ],
)
def test_a_pace_is_the_average_rounded_up_and_the_busiest_stretch(
    moments: tuple[tuple[float, int], ...], expected: Pace
) -> None:
    found = pace([Moment(NOON + timedelta(minutes=m), u) for m, u in moments], HOUR, timedelta(hours=10))
    assert found == expected

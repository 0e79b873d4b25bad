"""Recommendations are read from the stock, the open transfers and the journal, and do nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from shared.domain.events import Leg, Movement, MovementKind
from shared.domain.network import Replenishment, Route
from shared.domain.stock import EventKey, LocationId, Quantity, Sku, SourceId, StockKey
from shared.domain.transfer import TransferStatus
from shared.operations.recommend import ENTRIES, NotReplenishedError, Recommended, Recommender
from shared.operations.transfer_calls import Part
from tests.operations.house import EAST, KEY, NOON, ORIGIN, TEA, WEST, House, movement, network
from tests.operations.test_undoing import boxed, sold_boxes, told, undo

AT_WEST = StockKey(TEA, WEST)
MUG = Sku("MUG")
LEAD, WEEK = timedelta(days=2), timedelta(weeks=1)


def sold(house: House, key: StockKey, units: Quantity, days_ago: float, name: str = "shipment") -> None:
    at = NOON - timedelta(days=days_ago)
    event = Movement(
        EventKey(f"wms/{key}/{days_ago}/{name}/"),
        key.sku,
        MovementKind.SHIPMENT,
        (Leg(key.location, -units),),
        at,
        ORIGIN,
    )
    house.clock.now = at
    house.post(event)
    house.clock.now = NOON


@pytest.fixture
def house() -> House:
    rule = Replenishment(10, {MUG: 4}, (Route(EAST, LEAD, capacity=100),))
    declared = network()
    places = {**declared.locations, WEST: replace(declared.locations[WEST], replenish=rule)}
    house = House(replace(declared, locations=places))
    house.clock.now = NOON - timedelta(days=21)
    house.post(movement("east", -40_000, 200))
    house.post(replace(movement("west", -40_000, 43), legs=(Leg(WEST, 43),)))
    house.clock.now = NOON
    return house


def sells_two_a_day(house: House) -> None:
    for days_ago in range(20, 0, -1):
        sold(house, AT_WEST, 2, days_ago)


def recommended(house: House, after: Sku | None = None, limit: int = 50) -> Recommended:
    return Recommender(house.stock, house.registry, house.clock).recommend(WEST, after, limit)


def test_what_sells_out_before_it_could_arrive_is_recommended_with_its_numbers(house: House) -> None:
    sells_two_a_day(house)

    [proposal] = recommended(house).proposals

    [line] = proposal.lines
    needs, gives = line.shortage, line.excess
    assert (needs.position.available, needs.position.pace.units, needs.position.pace.span) == (
        3,
        40,
        3 * WEEK,
    )
    assert (needs.least, needs.target, needs.units) == (4, 23, 20)  # 40 in three weeks; for 2 and for 12 days
    assert (gives.position.available, gives.keeps, gives.units) == (200, 0, 200)
    assert (line.sku, line.quantity, line.limited_by) == (TEA, 20, "shortage")
    assert house.transfers.newest(10) == []


def test_adjustments_transfers_and_what_was_undone_are_no_sales(house: House) -> None:
    for name in ("adjustment", "transfer_ship"):
        sold(house, AT_WEST, 10, 5, name)
    house.post(
        replace(movement("onecount/undo/receipt", 0, -10), legs=(Leg(WEST, -10),)),
    )
    made = house.transfers.request("ann", "k", WEST, EAST, [(TEA, 5)], "east runs out")
    house.transfers.approve(made.id, "ben", "a")
    house.transfers.ship(made.id, "cat", "s")

    recommender = Recommender(house.stock, house.registry, house.clock)

    assert recommender.pace(AT_WEST).units == 0


def test_a_sale_that_was_undone_is_no_sale() -> None:
    house = House()
    told(house, "receipt", "R1", 0, 500)
    told(house, "shipment", "S1", 10, 3)
    mistake = told(house, "shipment", "S2", 20, 200)
    recommender = Recommender(house.stock, house.registry, house.clock)
    assert recommender.pace(KEY).units == 203

    undo(house, mistake)

    assert (recommender.pace(KEY).units, house.on_hand()) == (3, 497)


def test_whole_kits_that_were_undone_sold_no_components() -> None:
    plain = network()
    ours = replace(plain.locations[EAST], movements=SourceId("shopify"))
    house = boxed(replace(plain, locations={**plain.locations, EAST: ours}))
    shipped = sold_boxes(house, 3)
    recommender = Recommender(house.stock, house.registry, house.clock)
    assert recommender.pace(KEY).units == 6

    house.undoer.undo(*shipped, "ann", "sent twice", dry_run=False)

    assert recommender.pace(KEY).units == 0


def test_a_pace_is_of_four_weeks_at_most_and_of_the_newest_entries(house: House) -> None:
    recommender = Recommender(house.stock, house.registry, house.clock)
    sold(house, KEY, 7, 30)
    assert recommender.pace(KEY).units == 0

    for number in range(ENTRIES + 10):
        sold(house, KEY, 1, 2 - number / 1_000)

    pace = recommender.pace(KEY)
    assert pace.units == ENTRIES
    assert timedelta(days=1.9) < pace.span < timedelta(days=2)


def test_an_open_transfer_is_not_recommended_again_and_a_cancelled_one_is(house: House) -> None:
    sells_two_a_day(house)
    made = house.transfers.request("ann", "k", EAST, WEST, [(TEA, 20)], "recommended")
    assert made.lead_time == LEAD
    assert recommended(house).proposals == ()
    house.transfers.approve(made.id, "ben", "a")
    assert recommended(house).proposals == ()
    house.transfers.ship(made.id, "cat", "s", [Part(TEA, 12)])
    assert recommended(house).proposals == ()

    house.transfers.receive(made.id, "dan", "p")
    made = house.transfers.close(made.id, "ann", "c", "enough")

    assert made.status is TransferStatus.CLOSED
    assert recommended(house).proposals == ()
    house.post(replace(movement("gone", 0, -12), legs=(Leg(WEST, -12),), key=EventKey("manual/m/adjustment")))
    [proposal] = recommended(house).proposals
    assert proposal.lines[0].quantity == 20


def test_a_minimum_of_what_never_lay_there_is_short_too_and_unmet_where_nobody_has_it(house: House) -> None:
    house.post(replace(movement("mugs", 0, 3), sku=MUG))

    found = recommended(house)

    [proposal] = found.proposals
    assert [(line.sku, line.quantity, line.limited_by) for line in proposal.lines] == [(MUG, 3, "excess")]
    assert [(one.sku, one.units) for one in found.unmet] == [(MUG, 1)]


def test_pages_pass_every_sku_once(house: House) -> None:
    seen, after = list[Sku](), None
    for _ in range(3):
        found = recommended(house, after=after, limit=1)
        seen += [one.sku for one in found.unmet]
        after = found.cursor
        if after is None:
            break
    assert (seen, after) == ([MUG], None)


def test_a_location_without_ways_is_refused(house: House) -> None:
    recommender = Recommender(house.stock, house.registry, house.clock)
    for name in (EAST, LocationId("moon")):
        with pytest.raises(NotReplenishedError):
            recommender.recommend(name)

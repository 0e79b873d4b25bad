"""Listings of kits and of packs: what a channel is told follows every component, and is never a part of one."""

from __future__ import annotations

from fractions import Fraction

import pytest

from shared.domain.network import Channel, Listing
from shared.domain.stock import Sku, StockKey
from shared.operations.fan_out import Lane
from shared.operations.stock_view import StockView
from shared.store.registry import Network
from tests.operations.house import EAST, KEY, SHOP, TEA, House, count, demand, movement, network
from tests.operations.scripted_channel import ScriptedChannel
from tests.operations.test_kits import BOX, BOX_KEY, MUG_KEY, kit, post
from tests.operations.test_units import declare


def listed(*listings: Listing, **rules: object) -> House:
    declared = network(Channel(SHOP, "scripted", {EAST: "77"}, EAST, sells_down=True, **rules))  # type: ignore[arg-type]
    house = House(Network(declared.sources, declared.locations, declared.channels), skus=("TEA", "MUG"))
    house.registry.add_listings(listings)
    return house


def of(sku: str, unit: str = "") -> Listing:
    return Listing(SHOP, Sku(sku), f"id-{sku}", unit)


@pytest.fixture
def kits() -> House:
    house = listed(of("BOX"), of("TEA"))
    kit(house, {"TEA": 2, "MUG": 1})
    house.post(count("c1", -60, 20), count("c2", -60, 9, key=MUG_KEY))
    return house


def pushed(house: House, channel: ScriptedChannel) -> None:
    """Let everything flow until the channel has been told."""
    for _ in range(4):
        house.settle()
        house.push_due(channel)
        house.clock.advance(seconds=2)


def test_a_kit_is_listed_with_what_its_components_make(kits: House) -> None:
    shop = ScriptedChannel({BOX: 0, TEA: 0})

    pushed(kits, shop)

    assert shop.levels == {BOX: 9, TEA: 20}


def test_a_change_of_any_component_is_told_of_the_kit(kits: House) -> None:
    shop = ScriptedChannel({BOX: 0, TEA: 0})
    pushed(kits, shop)

    kits.post(movement("m1", 1, -4, key=MUG_KEY))
    pushed(kits, shop)
    assert shop.levels == {BOX: 5, TEA: 20}

    kits.post(movement("m2", 2, -13))
    pushed(kits, shop)
    assert shop.levels == {BOX: 3, TEA: 7}


def test_a_kit_that_can_no_longer_be_made_takes_the_urgent_lane(kits: House) -> None:
    kits.settle()
    kits.lanes.waiting.clear()

    kits.post(movement("m1", 1, -19))  # one TEA is left: still for sale itself, but no box is in it
    kits.settle()

    assert {(hint.sku, lane) for _, lane, hint in kits.lanes.waiting} == {
        (BOX, Lane.URGENT),
        (TEA, Lane.BULK),
    }


def test_a_kit_that_the_channel_sold_is_not_pushed_back_and_its_components_are_told(kits: House) -> None:
    shop = ScriptedChannel({BOX: 0, TEA: 0})
    pushed(kits, shop)
    shop.levels[BOX] = 7  # it sold two of them, and says so
    shop.written.clear()

    post(kits, demand("o", 1, 2, "O1", key=BOX_KEY))
    pushed(kits, shop)

    assert shop.levels == {BOX: 7, TEA: 16}
    assert shop.written == [(TEA, 16)]
    assert kits.open_cases() == []
    kits.assert_exact()


def test_the_stock_view_shows_a_kit_as_its_components_make_it(kits: House) -> None:
    kits.post(movement("m1", 1, -4, key=MUG_KEY))
    view = StockView(kits.stock, kits.registry, kits.clock)

    found = view.item(BOX)

    assert [(c.sku, c.quantity) for c in found.kit] == [("MUG", 1), ("TEA", 2)]
    (east,) = found.locations
    assert (east.quantities["available"], east.quantities["on_hand"]) == (5, 0)
    before = view.item(BOX, kits.clock())
    assert before.locations[0].quantities["available"] == 9
    assert found.channels is not None
    assert found.channels[0].promise.available_to_promise == 5


# ---- packs ------------------------------------------------------------------------------------------------------


@pytest.fixture
def cases() -> House:
    house = listed(of("TEA", "case"), safety_stock=2)
    declare(house, base_unit="each", packs={"case": Fraction(12)})
    house.post(count("c1", -60, 40))
    return house


def test_a_channel_that_sells_by_the_case_is_told_whole_cases(cases: House) -> None:
    shop = ScriptedChannel({TEA: 0})

    pushed(cases, shop)

    assert shop.levels == {TEA: 3}
    promise = StockView(cases.stock, cases.registry, cases.clock).promise_of(cases.channels[SHOP], KEY)
    assert promise.explanation == (("available", 40), ("safety_stock", -2), ("part_of_a_case", -2))


def test_a_case_that_the_channel_sold_is_twelve_units_and_not_pushed_back(cases: House) -> None:
    shop = ScriptedChannel({TEA: 0})
    pushed(cases, shop)
    shop.levels[TEA] = 2
    shop.written.clear()

    post(cases, demand("o", 1, 12, "O1"))
    pushed(cases, shop)

    assert (shop.levels, shop.written) == ({TEA: 2}, [])
    assert cases.open_cases() == []


def test_units_that_do_not_fill_a_case_push_nothing(cases: House) -> None:
    shop = ScriptedChannel({TEA: 0})
    pushed(cases, shop)
    shop.written.clear()

    cases.post(movement("m1", 1, 9))
    pushed(cases, shop)
    assert shop.written == []

    cases.post(movement("m2", 2, 1))
    pushed(cases, shop)
    assert shop.levels == {TEA: 4}


def test_an_unheard_answer_is_read_back_in_cases(cases: House) -> None:
    shop = ScriptedChannel({TEA: 0})
    shop.answers.append("lost")
    pushed(cases, shop)
    cases.clock.advance(minutes=5)
    pushed(cases, shop)

    assert shop.levels == {TEA: 3}
    assert cases.listings.states(SHOP, [StockKey(TEA, EAST)])[KEY].believed == 36

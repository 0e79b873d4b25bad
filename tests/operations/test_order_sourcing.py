"""Orders that name no location: owed where the channel's declared priority finds the units, and it stays so."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest

from shared.domain.events import MovementKind
from shared.domain.stock import Sku, StockKey
from tests.operations.house import EAST, KEY, SHOP, TEA, WEST, House, at, movement, network

MUG, AT_WEST = Sku("MUG"), StockKey(TEA, WEST)


@pytest.fixture
def house() -> House:
    declared = network()
    shop = replace(
        declared.channels[SHOP],
        locations={EAST: "77", WEST: "88"},
        demand_location=None,
        sourcing=(EAST, WEST),
    )
    house = House(replace(declared, channels={SHOP: shop}))
    house.clock.advance(hours=1)
    house.post(movement("te", -9, 3), movement("tw", -8, 5, key=AT_WEST))
    house.post(movement("mw", -7, 2, key=StockKey(MUG, WEST)))
    return house


def order(number: int, minute: float, *lines: tuple[int, str, int], **fields: Any) -> bytes:
    listed = [
        {"id": line, "sku": sku, "quantity": units, "current_quantity": units} for line, sku, units in lines
    ]
    body = {"id": number, "updated_at": at(minute).isoformat(), "line_items": listed, **fields}
    return json.dumps(body).encode()


def hear(house: House, body: bytes, topic: str = "orders/updated") -> None:
    house.store("shopify", body, **{"x-shopify-topic": topic})
    house.settle()


def test_a_whole_order_is_owed_where_all_of_it_is(house: House) -> None:
    hear(house, order(1, 0, (11, "TEA", 2), (12, "MUG", 1)))
    assert (house.available(), house.available(AT_WEST), house.available(StockKey(MUG, WEST))) == (3, 3, 1)
    house.assert_exact()


def test_a_line_is_split_and_served_share_by_share(house: House) -> None:
    hear(house, order(1, 0, (11, "TEA", 7)))
    assert (house.available(), house.available(AT_WEST)) == (0, 1)

    house.post(replace(movement("s", 5, -3), order_line=("shop/1", "11"), kind=MovementKind.SHIPMENT))
    assert (house.available(), house.available(AT_WEST)) == (0, 1)

    hear(house, order(1, 6, (11, "TEA", 7), cancelled_at=at(6).isoformat()), "orders/cancelled")
    assert (house.on_hand(), house.available(), house.available(AT_WEST)) == (0, 0, 5)
    house.assert_exact()


@pytest.mark.parametrize("which", [(7, -7), (-7, 7)])
def test_what_is_shipped_and_taken_back_leaves_each_share_where_it_was_in_any_order(
    house: House, which: tuple[int, int]
) -> None:
    hear(house, order(1, 0, (11, "TEA", 7)))
    for taken in which:
        moved = movement(f"s{taken}", 5 - taken / 5, -taken, order=("shop/1", "11"))
        house.post(replace(moved, kind=MovementKind.SHIPMENT))
    assert (house.available(), house.available(AT_WEST)) == (0, 1)
    house.assert_exact()


def test_orders_of_one_message_after_another_share_out_what_is_there(house: House) -> None:
    hear(house, order(1, 0, (11, "TEA", 3)))
    hear(house, order(2, 1, (21, "TEA", 4)))
    hear(house, order(3, 2, (31, "TEA", 2)))
    assert (house.available(), house.available(AT_WEST)) == (-1, 0)
    house.assert_exact()


def test_two_lines_of_one_item_share_its_places(house: House) -> None:
    hear(house, order(1, 0, (11, "TEA", 4), (12, "TEA", 4)))
    assert (house.available(), house.available(AT_WEST)) == (0, 0)
    house.assert_exact()


def test_a_later_version_stays_where_the_first_was_sourced(house: House) -> None:
    hear(house, order(1, 0, (11, "TEA", 5)))
    assert (house.available(), house.available(AT_WEST)) == (3, 0)
    house.post(movement("more", 1, 50))
    hear(house, order(1, 2, (11, "TEA", 4)))
    assert (house.available(), house.available(AT_WEST)) == (53, 1)
    house.assert_exact()


@pytest.mark.parametrize("which", list(permutations(range(3))))
def test_where_the_stock_does_not_change_every_order_of_the_documents_ends_alike(
    house: House, which: tuple[int, ...]
) -> None:
    documents = [
        (order(1, 0, (11, "TEA", 4)), "orders/create"),
        (order(1, 1, (11, "TEA", 4)), "orders/updated"),
        (order(1, 2, (11, "TEA", 4), cancelled_at=at(2).isoformat()), "orders/cancelled"),
    ]
    for index in which:
        hear(house, *documents[index])
    assert (house.available(KEY), house.available(AT_WEST)) == (3, 5)
    house.assert_exact()

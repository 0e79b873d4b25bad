"""The push protocol against the fake shop over real HTTP: its own refusals, its own compare-and-set, its own orders."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from infra.local.fake_channels import control
from infra.local.fake_channels.server import DEMO_TOKEN, FakeChannels
from infra.local.fake_channels.shop import Order
from shared.channels.contract import ChannelConnector
from shared.channels.registry import build_channel
from shared.channels.transport import HttpTransport
from shared.domain.network import Channel
from shared.domain.stock import Sku, StockKey
from tests.operations.house import EAST, SHOP, Clock, House, movement, network

ITEMS = [f"S{n}" for n in range(1, 4)]


class HttpShop:
    """A house, the fake shop, and the real connector between them."""

    def __init__(self, fake: FakeChannels, clock: Clock) -> None:
        self.fake = fake
        channel = Channel(
            SHOP,
            "shopify",
            {EAST: "77"},
            EAST,
            sells_down=True,
            calls_per_minute=100_000,
            options={"admin_url": fake.shopify_url, "api_version": "2026-10"},
        )
        declared = network(channel)
        self.house = House(declared, skus=ITEMS)
        self.house.clock.now = clock.now
        self.connector: ChannelConnector = build_channel(
            channel, json.dumps({"current": DEMO_TOKEN}), HttpTransport()
        )
        self.house.list_on(SHOP, *ITEMS)
        control.carry_out(
            fake,
            {
                "do": "create_items",
                "items": [
                    {"item_id": 1000 + n, "location_id": "77", "sku": sku, "quantity": 0}
                    for n, sku in enumerate(ITEMS)
                ],
            },
        )
        for n, sku in enumerate(ITEMS):
            self.house.post(movement(f"r{n}", 0, 10, key=StockKey(Sku(sku), EAST)))
        self.work()

    def work(self) -> None:
        for _ in range(10):
            self.house.settle()
            self.house.push_due(self.connector)

    def wait(self, seconds: float) -> None:
        self.house.clock.advance(seconds=seconds)
        self.work()

    def shown(self) -> list[int]:
        return [self.fake.shop.levels[str(1000 + n), "77"] for n in range(len(ITEMS))]

    def sell(self, item: int, units: int) -> Order:
        return self.fake.shop.place_order([(str(1000 + item), "77", units)])

    def move(self, item: int, units: int, name: str) -> None:
        self.house.post(movement(name, 1, units, key=StockKey(Sku(ITEMS[item]), EAST)))


@pytest.fixture
def shop() -> Iterator[HttpShop]:
    clock = Clock()
    with FakeChannels(clock=clock) as fake:
        yield HttpShop(fake, clock)


def test_the_first_push_reaches_every_listing(shop: HttpShop) -> None:
    assert shop.shown() == [10, 10, 10]


def test_an_unheard_sale_is_fetched_from_the_shop_and_the_others_are_confirmed(shop: HttpShop) -> None:
    shop.sell(1, 4)
    for item in range(3):
        shop.move(item, 5, f"m{item}")
    shop.work()
    assert shop.shown() == [15, 11, 15]
    assert shop.house.available(StockKey(Sku(ITEMS[1]), EAST)) == 11
    assert shop.house.open_cases() == []


@pytest.mark.parametrize("mode", ["lost", "late"])
def test_a_lost_answer_ends_with_the_number_of_then(shop: HttpShop, mode: str) -> None:
    control.carry_out(
        shop.fake, {"do": "fail", "channel": "shopify", "mode": mode, "count": 1, "seconds": 0.05}
    )
    shop.move(0, -3, "a")
    shop.work()
    shop.move(0, -7, "b")
    shop.work()
    written = [call for call in shop.fake.calls_of("shopify") if call.operation == "write"]
    shop.wait(25)
    assert len([call for call in shop.fake.calls_of("shopify") if call.operation == "write"]) == len(written)
    for _ in range(4):
        shop.wait(30)
    assert shop.shown() == [0, 10, 10]


def test_a_shop_that_is_down_is_caught_up_with(shop: HttpShop) -> None:
    control.carry_out(shop.fake, {"do": "fail", "channel": "shopify", "mode": "down"})
    for item in range(3):
        shop.move(item, item + 1, f"m{item}")
    shop.work()
    assert shop.shown() == [10, 10, 10]
    control.carry_out(shop.fake, {"do": "recover"})
    for _ in range(4):
        shop.wait(40)
    assert shop.shown() == [11, 12, 13]
    assert shop.house.open_cases() == []


def test_connections_that_are_refused_were_certainly_not_written(shop: HttpShop) -> None:
    control.carry_out(shop.fake, {"do": "refuse"})
    shop.move(0, 5, "a")
    shop.work()
    control.carry_out(shop.fake, {"do": "accept"})
    for _ in range(3):
        shop.wait(10)
    assert shop.shown() == [15, 10, 10]


def test_an_item_that_cannot_be_set_is_a_case_and_the_others_are_right(shop: HttpShop) -> None:
    control.carry_out(
        shop.fake,
        {
            "do": "fail",
            "channel": "shopify",
            "mode": "user_error",
            "count": 1,
            "code": "ITEM_NOT_STOCKED_AT_LOCATION",
            "entry": 1,
        },
    )
    for item in range(3):
        shop.move(item, 5, f"m{item}")
    shop.work()
    assert shop.house.open_cases() == ["push_refused"]
    assert sorted(shop.shown()) == [10, 15, 15]

"""What a channel shows is what we promise: never stale, and sent once, however many workers push at once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest

from shared.channels.contract import Offer
from shared.domain.network import Channel
from shared.domain.stock import Sku, StockKey
from shared.operations.fan_out import Hint, Lane
from shared.store.table import Action
from tests.operations.house import EAST, KEY, SHOP, TEA, Crash, House, Interruption, demand, movement, network
from tests.operations.scripted_channel import ScriptedChannel
from tests.operations.shop import Shop, shop_that_shows_all


@pytest.fixture
def shop() -> Shop:
    return shop_that_shows_all()


# ---- the plain road ---------------------------------------------------------------------------------------------


def test_the_first_push_compares_with_what_the_channel_shows() -> None:
    shop = Shop(units=10, shown=3)
    shop.work()
    assert [(offer.quantity, offer.expected) for offer in shop.channel.offered] == [(10, 3)]
    assert shop.shown == shop.believed == 10


def test_a_number_that_is_right_already_is_not_sent() -> None:
    shop = Shop(units=10, shown=10)
    shop.work()
    shop.house.lanes.send(Lane.BULK, [Hint(SHOP, TEA, shop.house.clock())] * 3)
    shop.work()
    assert shop.channel.offered == []


def test_a_change_is_sent_once_however_many_hints_come(shop: Shop) -> None:
    shop.house.post(movement("r", 1, 5))
    shop.house.lanes.send(Lane.BULK, [Hint(SHOP, TEA, shop.house.clock())] * 3)
    shop.work()
    assert shop.channel.written[1:] == [(TEA, 15)]


def test_the_number_is_read_after_the_slot_is_taken(shop: Shop) -> None:
    def sell_elsewhere(_n: int, actions: Sequence[Action]) -> None:
        if any("generation" in getattr(action, "set", {}) for action in actions):
            shop.house.stock.faults = None
            shop.house.post(movement("out", 2, -6))

    shop.house.post(movement("r", 1, 5))
    shop.house.settle()
    shop.house.stock.faults = Interruption(after=sell_elsewhere)
    shop.work()
    assert shop.shown == 9
    assert (TEA, 15) not in shop.channel.written


def test_a_promise_below_zero_shows_as_zero(shop: Shop) -> None:
    shop.house.post(movement("out", 1, -14))
    shop.work()
    assert shop.shown == 0


def test_safety_stock_is_withheld() -> None:
    shop = Shop()
    declared = network(Channel(SHOP, "scripted", {EAST: "77"}, EAST, sells_down=True, safety_stock=4))
    shop.house.declare(declared)
    shop.work()
    assert shop.shown == 6


def test_a_demand_that_posts_while_a_push_is_in_flight_is_looked_at_again(shop: Shop) -> None:
    def order(_offers: Sequence[Offer]) -> None:
        shop.channel.before = lambda _o: None
        shop.house.post(demand("d", 2, 4, "phone-1"))  # sold elsewhere: by telephone, say

    declared = network(Channel(SHOP, "scripted", {EAST: "77"}, EAST, calls_per_minute=100_000))
    shop.house.declare(declared)
    shop.channel.before = order
    shop.house.post(movement("r", 1, 5))
    shop.work()
    assert shop.shown == 11


def test_a_lost_stream_record_is_found_by_the_sweep(shop: Shop) -> None:
    shop.house.post(movement("r", 1, 5))
    shop.house.lose_stream()
    shop.work()
    assert shop.shown == 10
    shop.wait(seconds=61)
    assert shop.shown == 15


# ---- several workers --------------------------------------------------------------------------------------------


def test_two_pushers_that_race_on_one_listing_send_one_request(shop: Shop) -> None:
    def rival(_offers: Sequence[Offer]) -> None:
        shop.channel.before = lambda _o: None
        [later] = shop.house.pusher(shop.channel).push([TEA])
        assert "on its way" in later.reason

    shop.channel.before = rival
    shop.house.post(movement("r", 1, 5))
    shop.work()
    assert shop.channel.written[1:] == [(TEA, 15)]
    assert shop.shown == 15


def test_a_rival_that_takes_the_slot_between_our_look_and_our_taking_keeps_it(shop: Shop) -> None:
    def rival(n: int, _actions: Sequence[Action]) -> None:
        shop.house.stock.faults = None
        shop.house.pusher(shop.channel).push([TEA])

    shop.house.post(movement("r", 1, 5))
    shop.house.settle()
    shop.house.stock.faults = Interruption(before=rival)
    shop.wait(minutes=1)
    assert shop.channel.written[1:] == [(TEA, 15)]


def test_a_worker_that_was_frozen_does_not_free_the_slot_of_the_one_after_it(shop: Shop) -> None:
    """Ours answers long after its deadline; meanwhile another worker has the slot, and its request is on its way."""
    house, channel = shop.house, shop.channel

    def die(_offers: Sequence[Offer]) -> None:
        channel.before = look
        raise Crash

    def look(_offers: Sequence[Offer]) -> None:
        raise AssertionError("a third request started while the second one may be on its way")

    def freeze(_offers: Sequence[Offer]) -> None:
        house.clock.advance(seconds=200)
        channel.levels[TEA] = 4  # so that the answer to us is: stale
        house.post(movement("r2", 2, 20))
        channel.before = die
        with pytest.raises(Crash):
            house.pusher(channel).push([TEA])

    channel.before = freeze
    house.post(movement("r", 1, 5))
    house.settle()
    house.push_due(channel)

    inflight = house.listings.states(SHOP, [KEY])[KEY].inflight
    assert inflight is not None
    assert inflight.generation == 4  # the first look, the opening, ours, and the one after it


def test_no_request_is_started_when_its_slot_may_be_taken_for_lost() -> None:
    """Thirty listings one by one on a slow channel: the last ones must not go out beyond their deadline."""
    skus = [f"S{n}" for n in range(30)]
    house = House(skus=skus)
    house.list_on(SHOP, *skus)
    channel = ScriptedChannel({Sku(sku): 0 for sku in skus}, batch_size=1)
    late: list[Offer] = []

    def slow(offers: Sequence[Offer]) -> None:
        for offer in offers:
            key = StockKey(offer.listing.sku, EAST)
            inflight = house.listings.states(SHOP, [key])[key].inflight
            if inflight is None or house.clock() + timedelta(seconds=9) > inflight.deadline:
                late.append(offer)
        house.clock.advance(seconds=9)

    channel.before = slow
    for sku in skus:
        house.post(movement(f"r-{sku}", 0, 7, key=StockKey(Sku(sku), EAST)))
    for _ in range(40):
        house.settle()
        house.push_due(channel)
        house.clock.advance(seconds=5)
    assert late == []
    assert set(channel.levels.values()) == {7}

"""Phased rollout of channels: what is not live is sent nothing, and catches up when it goes live."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from shared.channels.contract import Offer
from shared.domain.network import Channel
from shared.domain.rollout import EVERYTHING, Mode, Rollout, Rule, Scope
from shared.domain.stock import StockKey
from shared.operations.rollout_desk import RolloutFieldError
from shared.store.registry import Network
from tests.operations.house import EAST, KEY, SHOP, TEA, House, count, movement
from tests.operations.rolling_out import MUG, desk, report, switch
from tests.operations.shop import Shop


@pytest.mark.parametrize("mode", [Mode.OBSERVE, Mode.SHADOW])
def test_a_channel_that_is_not_live_is_sent_nothing(mode: Mode) -> None:
    shop = Shop(units=10, shown=4)
    switch(shop.house, mode)

    shop.work()
    shop.house.post(movement("more", 1, 5))
    shop.wait(hours=1)

    assert shop.channel.offered == []
    assert shop.shown == 4
    assert shop.house.open_cases() == []


def test_a_channel_that_cannot_be_read_is_not_called_at_all_in_shadow() -> None:
    shop = Shop(units=10, shown=4, reads_back=False)
    switch(shop.house, Mode.SHADOW)

    shop.work()

    assert (shop.channel.offered, shop.channel.reads) == ([], 0)
    [tea] = [one for one in report(shop.house).listings if one.key == KEY]
    assert (tea.last.ours, tea.last.theirs) == (10, None)


def test_a_channel_in_shadow_that_is_down_fails_nobody_and_its_last_number_is_kept() -> None:
    shop = Shop(units=10, shown=4)
    switch(shop.house, Mode.SHADOW)
    shop.work()
    shop.channel.down = True
    shop.house.post(movement("more", 1, 5))
    shop.work()

    assert shop.house.lanes.waiting == []
    [tea] = [one for one in report(shop.house).listings if one.key == KEY]
    assert (tea.last.ours, tea.last.theirs) == (15, 4)


def test_going_live_sends_every_listing_in_scope_that_differs() -> None:
    shop = Shop(units=10, shown=4)
    shop.house.post(count("mugs", 0, 7, key=StockKey(MUG, EAST)))
    switch(shop.house, Mode.SHADOW)
    shop.wait(days=2)

    assert switch(shop.house, Mode.LIVE).queued == 2
    shop.work()

    assert sorted(shop.channel.written) == [("MUG", 7), ("TEA", 10)]
    assert shop.house.open_cases() == []


def test_going_live_with_one_sku_sends_that_one_alone() -> None:
    shop = Shop(units=10, shown=4)
    shop.house.post(count("mugs", 0, 7, key=StockKey(MUG, EAST)))
    switch(shop.house, Mode.SHADOW)
    shop.work()

    assert switch(shop.house, Mode.LIVE, Scope("MUG")).queued == 1
    shop.wait(hours=1)

    assert shop.channel.written == [("MUG", 7)]


def test_what_others_wrote_while_it_was_in_shadow_is_no_lead_when_it_goes_live_again() -> None:
    shop = Shop(units=10, shown=4)
    shop.work()
    assert shop.shown == 10
    switch(shop.house, Mode.SHADOW)
    shop.work()
    shop.channel.levels[TEA] = 3

    switch(shop.house, Mode.LIVE)
    shop.work()

    assert shop.shown == 10
    shop.wait(hours=1)
    assert shop.house.open_cases() == []


ALL_IN_SHADOW, TEA_LIVE = Rule(EVERYTHING, Mode.SHADOW), Rule(Scope("TEA"), Mode.LIVE)


def declare_rollout(house: House, *rules: Rule) -> None:
    declared = house.registry.network(fresh=True)
    channel = replace(declared.channels[SHOP], rollout=Rollout(rules))
    house.declare(replace(declared, channels={SHOP: channel}))


@pytest.mark.parametrize(
    "again",
    [
        lambda house: switch(house, Mode.LIVE),
        lambda house: switch(house, Mode.LIVE, Scope("TEA")),
        lambda house: declare_rollout(house, ALL_IN_SHADOW, TEA_LIVE, Rule(Scope("MUG"), Mode.LIVE)),
    ],
    ids=["to everything", "to the same", "by a file with one rule more"],
)
def test_widening_what_is_live_does_not_overwrite_a_sale_whose_order_is_late(
    again: Callable[[House], object],
) -> None:
    shop = Shop(units=10, shown=4)
    declare_rollout(shop.house, ALL_IN_SHADOW, TEA_LIVE)
    shop.wait(minutes=1)
    assert shop.shown == 10
    shop.house.clock.advance(hours=6)
    order = shop.orders.sell("TEA", 3)

    again(shop.house)
    shop.house.post(movement("more", 1, 1))
    shop.wait(seconds=5)
    assert shop.shown == 8

    shop.orders.hear(order)
    shop.wait(minutes=30)
    assert (shop.shown, shop.house.available(), shop.house.open_cases()) == (8, 8, [])


def test_a_known_lead_survives_a_moment_in_shadow() -> None:
    shop = Shop(units=10, shown=10)
    shop.work()
    shop.house.clock.advance(hours=6)
    order = shop.orders.sell("TEA", 3)
    shop.channel.orders.clear()
    shop.house.post(movement("more", 1, 1))
    shop.work()
    assert shop.shown == 8

    switch(shop.house, Mode.SHADOW)
    shop.work()
    switch(shop.house, Mode.LIVE)
    shop.work()
    assert shop.shown == 8

    shop.orders.hear(order)
    shop.wait(minutes=30)
    assert (shop.shown, shop.house.available(), shop.house.open_cases()) == (8, 8, [])


def test_hints_that_were_queued_before_it_went_back_send_nothing() -> None:
    shop = Shop(units=10, shown=4)
    shop.house.settle()
    assert shop.house.lanes.waiting

    switch(shop.house, Mode.SHADOW)
    shop.work()

    assert shop.channel.offered == []


def test_a_number_on_its_way_is_not_sent_when_the_channel_is_switched_back_before_its_turn() -> None:
    shop = Shop(units=10, shown=4)
    read = shop.channel.reads

    def switch_back() -> None:
        if shop.channel.reads == read + 1:
            switch(shop.house, Mode.SHADOW)

    shop.channel.reading = switch_back
    shop.work()

    assert shop.channel.offered == []
    switch(shop.house, Mode.LIVE)
    shop.wait(minutes=1)
    assert shop.shown == 10


def test_a_push_whose_answer_never_came_is_settled_when_the_channel_is_live_again() -> None:
    shop = Shop(units=10, shown=4)
    shop.channel.answers.append("late")

    def switch_back(_: Sequence[Offer]) -> None:
        switch(shop.house, Mode.SHADOW)

    shop.channel.before = switch_back
    shop.work()
    shop.channel.before = lambda _: None
    shop.house.post(movement("gone", 1, -9))
    shop.channel.land()
    shop.wait(hours=1)
    assert shop.shown == 10

    switch(shop.house, Mode.LIVE)
    shop.wait(minutes=5)

    assert shop.shown == 1


def test_a_switch_of_what_is_not_declared_names_what_is() -> None:
    house = House()
    with pytest.raises(RolloutFieldError, match="not a declared channel; declared: shop"):
        desk(house).switch("channel", "amazon", [EVERYTHING], Mode.LIVE, "ann")


@pytest.mark.parametrize(
    ("skus", "locations", "field"),
    [(["NOPE"], [], "skus"), (["T*A"], [], "skus"), ([], ["moon"], "locations")],
)
def test_a_scope_that_cannot_be_meant_is_refused_by_its_field(
    skus: list[str], locations: list[str], field: str
) -> None:
    with pytest.raises(RolloutFieldError) as refused:
        desk(House()).scopes(skus, locations)
    assert refused.value.field == field


def test_every_switch_is_kept_with_who_made_it() -> None:
    house = House()
    switch(house, Mode.SHADOW)
    switch(house, Mode.LIVE, Scope("TEA", EAST))

    first, second = house.registry.rollouts.history("channel", SHOP)

    assert (first.actor, first.changes) == ("ann", (("every SKU", "", "shadow"),))
    assert second.changes == (("TEA at east", "", "live"),)


def test_declaring_the_network_again_moves_no_mode_of_which_it_says_nothing() -> None:
    house = House()
    switch(house, Mode.SHADOW)
    declared = house.registry.network(fresh=True)
    house.declare(Network(declared.sources, declared.locations, {SHOP: Channel(SHOP, "scripted")}))

    assert house.registry.rollouts.of("channel", SHOP).mode_at(TEA, EAST) is Mode.SHADOW


def test_a_channel_that_was_taken_off_begins_live_when_it_is_declared_again() -> None:
    house = House()
    switch(house, Mode.SHADOW)
    declared = house.registry.network(fresh=True)
    house.registry.undeclare(Network({}, {}, {SHOP: declared.channels[SHOP]}))

    assert house.registry.rollouts.of("channel", SHOP).is_live

"""A push beside sales of the channel itself: none is overwritten or given away twice, heard of or not."""

from __future__ import annotations

import pytest

from tests.operations.house import KEY, SHOP, TEA, count, movement
from tests.operations.shop import Shop, shop_that_shows_all


@pytest.fixture
def shop() -> Shop:
    return shop_that_shows_all()


def test_its_own_sale_is_not_pushed_back(shop: Shop) -> None:
    shop.orders.hear(shop.orders.sell("TEA", 3))
    shop.work()
    assert shop.shown == shop.believed == 7
    assert len(shop.channel.offered) == 1


def test_its_own_sale_and_cancellation_are_not_pushed_back(shop: Shop) -> None:
    order = shop.orders.sell("TEA", 3)
    cancelled = shop.orders.cancel(order)
    shop.orders.hear(cancelled)
    shop.orders.hear(order)
    shop.work()
    assert shop.shown == shop.believed == 10
    assert len(shop.channel.offered) == 1


def test_a_sale_that_we_have_not_heard_of_is_neither_overwritten_nor_given_away(shop: Shop) -> None:
    order = shop.orders.sell("TEA", 3)
    shop.channel.orders.clear()  # and fetching does not find it yet
    shop.house.post(movement("r", 1, 5))
    shop.work()
    assert shop.shown == 12  # 15, less the 3 that it sold
    shop.orders.hear(order)
    shop.work()
    assert (shop.shown, shop.believed) == (12, 12)
    assert shop.house.available() == 12


def test_an_unheard_sale_is_fetched_and_resolves_exactly(shop: Shop) -> None:
    shop.orders.sell("TEA", 3)
    shop.house.post(movement("r", 1, 5))
    shop.work()
    assert shop.house.available() == 12
    assert shop.shown == shop.believed == 12
    state = shop.house.listings.states(SHOP, [KEY])[KEY]
    assert state.unexplained == 0


def test_a_webhook_that_was_lost_long_ago_is_fetched_too(shop: Shop) -> None:
    shop.orders.sell("TEA", 3)
    shop.wait(hours=5)
    shop.house.post(movement("r", 1, 5))
    shop.work()
    assert shop.house.available() == 12
    assert shop.shown == 12


def test_an_unheard_cancellation_never_raises_the_number_above_the_promise(shop: Shop) -> None:
    order = shop.orders.sell("TEA", 3)
    shop.orders.hear(order)
    shop.work()
    cancelled = shop.orders.cancel(order)
    shop.channel.orders.clear()
    shop.house.post(movement("r", 1, 5))
    shop.work()
    assert shop.shown == 12  # what we promise; the three that came back are not heard of yet
    shop.orders.hear(cancelled)
    shop.work()
    assert shop.shown == shop.believed == shop.house.available() == 15


def test_a_manual_edit_becomes_a_case_after_a_quarter_of_an_hour_and_our_number_stands_again(
    shop: Shop,
) -> None:
    shop.channel.levels[TEA] = 8
    shop.house.post(movement("r", 1, 5))
    shop.work()
    assert shop.shown == 13  # as if two were sold
    shop.wait(minutes=16)  # with no other change
    assert shop.house.open_cases() == ["channel_edited", "undeclared_write_path"]
    assert shop.shown == shop.believed == 15


def test_a_manual_edit_upwards_is_taken_back_at_once(shop: Shop) -> None:
    shop.channel.levels[TEA] = 99
    shop.house.post(movement("r", 1, 5))
    shop.work()
    assert shop.shown == 15
    shop.wait(minutes=16)
    assert shop.shown == 15


def test_a_cancellation_after_a_lead_was_explained_is_not_mistaken_for_the_lead(shop: Shop) -> None:
    order = shop.orders.sell("TEA", 3)
    shop.house.post(count("c", 1, 0))
    shop.work()  # stale; the order is fetched
    assert shop.shown == 0
    shop.orders.hear(shop.orders.cancel(order))  # the channel puts three up again, and there are none
    shop.work()
    assert shop.house.available() == 0
    assert shop.shown == 0


def test_a_sale_and_its_cancellation_that_are_heard_as_one_leave_no_lead(shop: Shop) -> None:
    order = shop.orders.sell("TEA", 3)
    shop.channel.orders.clear()
    shop.house.post(count("c", 1, 5))
    shop.work()
    assert shop.shown == 2
    shop.orders.hear(shop.orders.cancel(order))
    shop.work()
    assert shop.shown == shop.believed == 5
    assert shop.house.open_cases() == []


def test_a_sale_from_before_the_first_look_is_not_counted_twice() -> None:
    shop = Shop(units=10, shown=10)
    order = shop.orders.sell("TEA", 3)  # its webhook is on its way
    shop.work()
    assert shop.shown == 10  # we took the 7 for someone's old number
    shop.orders.hear(order)
    shop.work()
    assert shop.house.available() == shop.shown == 7


def test_a_sale_that_is_heard_after_its_lead_was_given_up_is_still_told_apart(shop: Shop) -> None:
    order = shop.orders.sell("TEA", 3)
    shop.channel.orders.clear()
    shop.house.post(movement("r", 1, 5))
    shop.wait(minutes=17)
    assert shop.house.open_cases() == ["channel_edited", "undeclared_write_path"]
    assert shop.shown == 15
    shop.orders.hear(order)
    shop.work()
    assert shop.house.available() == shop.shown == 12


def test_a_document_that_changes_nothing_has_nobody_looked_at(shop: Shop) -> None:
    order = shop.orders.sell("TEA", 3)
    shop.orders.hear(order)
    shop.work()
    reads, offers = shop.channel.reads, len(shop.channel.offered)
    shop.wait(hours=5)
    shop.orders.hear({**order, "updated_at": "2026-11-01T17:30:00Z"})
    shop.house.settle()
    assert shop.house.lanes.due() == []
    assert (shop.channel.reads, len(shop.channel.offered)) == (reads, offers)


def test_an_answer_that_does_not_say_the_number_is_followed_by_a_look(shop: Shop) -> None:
    shop.orders.sell("TEA", 3)
    shop.channel.answers.append("mute")
    shop.house.post(movement("r", 1, 5))
    shop.work()
    assert shop.shown == shop.believed == 12

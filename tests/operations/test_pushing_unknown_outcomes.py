"""Pushes whose outcome nobody knows, by a lost answer or a crash: the channel ends with the right number."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta

import pytest

from shared.channels.contract import Offer
from shared.operations.fan_out import Hint, Lane
from shared.store.table import Action, UnknownOutcomeError
from tests.operations.house import SHOP, TEA, Crash, Interruption, count, movement
from tests.operations.shop import Shop, shop_that_shows_all

LATENESS = timedelta(seconds=30)


@pytest.fixture
def shop() -> Shop:
    return shop_that_shows_all()


@pytest.mark.parametrize("word", ["lost", "unheard", "late"])
def test_after_an_unknown_outcome_nothing_is_sent_until_it_cannot_land_any_more(
    shop: Shop, word: str
) -> None:
    shop.channel.answers.append(word)
    shop.house.post(movement("r", 1, 5))
    shop.work()
    shop.house.post(count("c", 2, 0))
    shop.work()
    assert len(shop.channel.offered) == 2  # the opening one, and the lost one
    shop.house.clock.advance(seconds=LATENESS.total_seconds() - 1)
    shop.channel.land()
    shop.work()
    assert len(shop.channel.offered) == 2

    shop.wait(seconds=5)

    assert shop.shown == shop.believed == 0
    assert shop.channel.offered[2].expected in (10, 15)


@pytest.mark.parametrize("word", ["lost", "unheard", "late"])
def test_an_unknown_outcome_alone_ends_with_the_right_number(shop: Shop, word: str) -> None:
    shop.channel.answers.append(word)
    shop.house.post(movement("r", 1, 5))
    shop.work()
    shop.house.clock.advance(seconds=10)
    shop.channel.land()
    shop.wait(minutes=3)
    assert shop.shown == shop.believed == 15
    assert shop.house.open_cases() == []


def test_a_sale_that_hides_a_lost_request_is_told_from_it_when_it_is_heard(shop: Shop) -> None:
    # We send 7 of 10 and hear nothing; it was not written, but the channel sold 3: it shows 7 all the same.
    shop.channel.answers.append("unheard")
    shop.house.post(movement("out", 1, -3))
    shop.work()
    order = shop.orders.sell("TEA", 3)
    shop.channel.orders.clear()
    shop.wait(minutes=2)
    assert shop.shown == 7

    shop.orders.hear(order)
    shop.wait(minutes=2)

    assert shop.house.available() == 4
    assert shop.shown == 4


@pytest.mark.parametrize("word", ["lost", "unheard", "late"])
@pytest.mark.parametrize("heard", ["before", "after"])
def test_a_lost_request_beside_a_sale_ends_with_the_right_number(shop: Shop, word: str, heard: str) -> None:
    shop.channel.answers.append(word)
    shop.house.post(movement("out", 1, -3))
    shop.work()
    order = shop.orders.sell("TEA", 1)
    shop.channel.orders.clear()
    if heard == "before":
        shop.orders.hear(order)
        shop.work()
    shop.house.clock.advance(seconds=10)
    shop.channel.land()
    shop.wait(minutes=2)
    if heard == "after":
        shop.orders.hear(order)
    shop.wait(minutes=2)
    assert shop.house.available() == 6
    assert shop.shown == shop.believed
    assert shop.shown in (3, 6)  # where both stories leave something, the more cautious is believed
    shop.wait(minutes=20)
    assert shop.shown == shop.believed == 6


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("number", range(6))
def test_a_crash_at_any_write_of_a_push_ends_with_the_right_number(when: str, number: int) -> None:
    shop = Shop()
    shop.house.settle()

    def crash(n: int, _actions: Sequence[Action]) -> None:
        if n == number:
            shop.house.stock.faults = None
            raise Crash

    shop.house.stock.faults = Interruption(**{when: crash})
    with suppress(Crash):
        shop.house.push_due(shop.channel)
    shop.house.stock.faults = None
    shop.wait(minutes=5)
    assert shop.shown == shop.believed == 10
    assert shop.house.open_cases() == []


def test_a_crash_between_sending_and_settling_is_an_unknown_outcome(shop: Shop) -> None:
    def crash(_offers: Sequence[Offer]) -> None:
        shop.channel.before = lambda _o: None
        raise Crash

    shop.channel.before = crash
    shop.house.post(movement("r", 1, 5))
    shop.house.settle()
    with pytest.raises(Crash):
        shop.house.push_due(shop.channel)
    shop.house.post(movement("out", 2, -15))
    shop.house.lanes.send(Lane.URGENT, [Hint(SHOP, TEA, shop.house.clock())])
    shop.wait(seconds=80)
    assert len(shop.channel.offered) == 1  # still within 60 s and the lateness
    shop.wait(seconds=30)
    assert shop.shown == 0


@pytest.mark.parametrize("written", [True, False])
def test_an_unknown_outcome_of_our_own_table_ends_with_the_right_number(shop: Shop, written: bool) -> None:
    def silence(n: int, _actions: Sequence[Action]) -> None:
        if n == 0:
            shop.house.stock.faults = None
            raise UnknownOutcomeError

    shop.house.post(movement("r", 1, 5))
    shop.house.settle()
    shop.house.stock.faults = Interruption(**{"after" if written else "before": silence})
    with pytest.raises(UnknownOutcomeError):
        shop.house.push_due(shop.channel)
    shop.wait(minutes=3)
    assert shop.shown == 15


def test_a_channel_that_cannot_be_asked_is_pushed_again_after_an_unknown_outcome() -> None:
    shop = Shop(reads_back=False, fenced=False)
    shop.channel.answers.append("unheard")
    shop.work()
    assert shop.shown == 0
    shop.wait(minutes=2)
    assert shop.shown == 10

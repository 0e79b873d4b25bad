"""Pushes of many listings, and to channels that refuse, throttle or are down: said to fail, and made good."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest

from shared.channels.contract import Offer
from shared.domain.cases import CaseKind, CaseStatus
from shared.domain.stock import Sku, StockKey
from shared.operations.dead_letters import DeadLetter
from shared.operations.fan_out import Hint, Lane
from tests.operations.house import EAST, SHOP, TEA, House, movement
from tests.operations.scripted_channel import ScriptedChannel
from tests.operations.shop import Shop, shop_that_shows_all

LETTER = '{"channel":"shop","sku":"TEA","since":"2026-11-01T12:00:00.000000Z"}'


@pytest.fixture
def shop() -> Shop:
    return shop_that_shows_all()


def test_a_case_that_is_filed_while_a_push_is_on_its_way_is_closed_by_its_success(shop: Shop) -> None:
    house = shop.house

    def file(_offers: Sequence[Offer]) -> None:
        house.letters.queues["push-shop-bulk-dead"] = [DeadLetter("1", LETTER)]
        house.desk.file()

    shop.channel.before = file
    house.post(movement("r", 1, 5))
    shop.work()
    [case] = house.cases.list(CaseStatus.RESOLVED)
    assert (case.kind, house.open_cases()) == (CaseKind.PUSH_FAILED, [])


def many(count_: int = 120, **channel: object) -> tuple[House, ScriptedChannel]:
    skus = [f"S{n}" for n in range(count_)]
    house = House(skus=skus)
    house.list_on(SHOP, *skus)
    for sku in skus:
        house.post(movement(f"r-{sku}", 0, 7, key=StockKey(Sku(sku), EAST)))
    return house, ScriptedChannel({Sku(sku): 0 for sku in skus}, **channel)  # type: ignore[arg-type]


def test_one_stale_compare_in_a_batch_of_many_stops_none_of_the_others() -> None:
    house, channel = many()
    house.settle()
    house.push_due(channel)
    channel.levels[Sku("S50")] = 5
    for n in range(120):
        house.post(movement(f"q-{n}", 1, 3, key=StockKey(Sku(f"S{n}"), EAST)))
    house.settle()
    house.push_due(channel)
    assert [channel.levels[Sku(f"S{n}")] for n in range(120)] == [10] * 50 + [8] + [10] * 69


def test_a_refused_listing_is_a_case_and_the_others_are_confirmed() -> None:
    house, channel = many(5)
    channel.answers.extend(["ok", "ok", "refused"])
    house.settle()
    house.push_due(channel)
    assert sorted(level for level in channel.levels.values() if level is not None) == [0, 7, 7, 7, 7]
    [case] = house.cases.list(CaseStatus.OPEN)
    assert case.kind is CaseKind.PUSH_REFUSED

    house.case_desk.retry(case.id)
    house.push_due(channel)

    assert set(channel.levels.values()) == {7}
    assert house.open_cases() == []


def test_a_listing_that_the_channel_does_not_track_is_a_case() -> None:
    shop = Shop(shown=None)
    shop.work()
    assert shop.house.open_cases() == ["push_refused"]
    [case] = shop.house.cases.list(CaseStatus.OPEN)
    assert case.remedy.endswith("; then retry this case")
    shop.channel.levels[TEA] = 0
    shop.house.post(movement("r", 1, 5))
    shop.work()
    assert shop.shown == 15
    assert shop.house.open_cases() == []


def test_a_throttled_push_waits_and_then_sends_the_number_of_then(shop: Shop) -> None:
    shop.channel.answers.append("throttled")
    shop.house.post(movement("r", 1, 5))
    shop.work()
    assert shop.shown == 10
    shop.house.post(movement("out", 2, -6))
    shop.wait(seconds=20)
    assert shop.shown == 9
    assert (TEA, 15) not in shop.channel.written


def test_a_channel_that_is_down_is_said_to_fail_and_nobody_hammers_it(shop: Shop) -> None:
    shop.channel.down = True
    shop.house.post(movement("r", 1, 5))
    shop.house.settle()
    [later] = shop.house.push_due(shop.channel)
    assert later.failed
    asked_at = shop.house.clock()
    [again] = shop.house.pusher(shop.channel).push([TEA])
    assert again.failed
    assert shop.house.clock() - asked_at >= timedelta(seconds=5)  # it waited as long as it was told to
    shop.channel.down = False
    shop.wait(minutes=2)
    assert shop.shown == 15


def silent_since(shop: Shop) -> datetime | None:
    """Say since when the shop takes nothing, as whoever looks at the item is told."""
    channels = shop.house.view.item(TEA).channels
    assert channels is not None
    [channel] = [one for one in channels if one.location == EAST]
    return None if channel.silence is None else channel.silence.since


def test_a_channel_that_takes_nothing_is_seen_at_once_and_until_it_takes_something(shop: Shop) -> None:
    assert silent_since(shop) is None
    shop.channel.down = True
    shop.house.post(movement("r", 1, 5))
    shop.house.settle()
    went_down = shop.house.clock()

    shop.house.push_due(shop.channel)
    since = silent_since(shop)
    assert since is not None
    assert since - went_down < timedelta(seconds=1)
    shop.wait(minutes=2)
    assert silent_since(shop) == since

    shop.channel.down = False
    shop.wait(minutes=2)
    assert silent_since(shop) is None


def test_a_channel_that_refuses_one_listing_is_not_silent(shop: Shop) -> None:
    shop.channel.answers.append("refused")
    shop.house.post(movement("r", 1, 5))
    shop.house.settle()

    shop.house.push_due(shop.channel)

    assert silent_since(shop) is None


def test_a_dead_letter_becomes_a_case_that_the_redriven_push_closes(shop: Shop) -> None:
    shop.channel.down = True
    shop.house.post(movement("r", 1, 5))
    shop.house.settle()
    shop.house.lanes.due()
    shop.house.letters.queues["push-shop-bulk-dead"] = [DeadLetter("1", LETTER)]
    shop.house.sweep.run()
    shop.house.sweep.run()
    [case] = shop.house.cases.list(CaseStatus.OPEN)
    assert (case.kind, case.occurrences) == (CaseKind.PUSH_FAILED, 1)

    shop.channel.down = False
    shop.house.desk.redrive()
    shop.house.lanes.send(Lane.BULK, [Hint(SHOP, TEA, shop.house.clock())])
    shop.wait(minutes=1)

    assert shop.shown == 15
    assert shop.house.open_cases() == []

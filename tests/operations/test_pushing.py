"""What a channel shows is what we promise: never stale, never guessed, whatever is lost, late or sold meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta

import pytest

from shared.channels.contract import Offer
from shared.domain.cases import CaseKind, CaseStatus
from shared.domain.network import Channel
from shared.domain.stock import Sku, StockKey
from shared.operations.dead_letters import DeadLetter
from shared.operations.fan_out import Hint, Lane
from shared.store.table import Action, UnknownOutcomeError
from tests.operations.house import (
    EAST,
    KEY,
    SHOP,
    TEA,
    Crash,
    House,
    Interruption,
    count,
    demand,
    movement,
    network,
)
from tests.operations.scripted_channel import ScriptedChannel
from tests.operations.shop import Shop

LATENESS = timedelta(seconds=30)


LETTER = '{"channel":"shop","sku":"TEA","since":"2026-11-01T12:00:00.000000Z"}'


@pytest.fixture
def shop() -> Shop:
    shop = Shop()
    shop.work()
    assert shop.shown == 10
    return shop


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


# ---- sales of the channel itself --------------------------------------------------------------------------------


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


# ---- unknown outcomes -------------------------------------------------------------------------------------------


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


# ---- many at once, and channels in trouble ----------------------------------------------------------------------


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

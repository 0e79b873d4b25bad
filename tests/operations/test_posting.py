"""Posting to the ledger: once, all or nothing, whatever is repeated, refused, interrupted or done at the same time."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import permutations

import pytest

from shared.domain.events import Event, Leg, Movement, MovementKind, effect_hash
from shared.domain.stock import Counter, EventKey, LocationId, Sku, StockKey
from shared.operations.facts import Fact, Outcome, Result
from shared.operations.post import Poster, PostingContendedError
from shared.store.layout import balance_key
from shared.store.table import Action, UnknownOutcomeError, WriteConflictError
from tests.operations.house import (
    EAST,
    ORIGIN,
    SHOP,
    TEA,
    WEST,
    Crash,
    House,
    Interruption,
    at,
    cancelled,
    count,
    demand,
    fact,
    movement,
    shipment,
)

AT_WEST = StockKey(TEA, WEST)


def outcomes(results: Sequence[Result]) -> list[str]:
    return [str(result.outcome) for result in results]


def test_an_event_posts_once_however_often_it_comes() -> None:
    house = House()
    receipt = movement("r", 0, 10)

    first = house.post(receipt, receipt)
    again = house.post(receipt)

    assert sorted(outcomes(first)) == ["duplicate", "posted"]
    assert outcomes(again) == ["duplicate"]
    assert house.on_hand() == house.available() == 10
    house.assert_exact()


def test_the_same_key_with_another_effect_is_refused_and_named() -> None:
    house = House()
    house.post(movement("r", 0, 10))

    [result] = house.post(movement("r", 0, 11))

    assert result.outcome is Outcome.REFUSED
    assert "r" in result.reason
    assert house.on_hand() == 10
    house.assert_exact()


def test_a_conflicting_event_does_not_hold_back_its_neighbours() -> None:
    house = House()
    house.post(movement("r", 0, 10), demand("d", 1, 2, "1001"))

    results = house.post(movement("r", 0, 11), movement("s", 2, 5), demand("d2", 1, 3, "1002"))

    assert {result.fact.event.key: result.outcome for result in results} == {
        "r": Outcome.REFUSED,
        "s": Outcome.POSTED,
        "d2": Outcome.POSTED,
    }
    [refused] = [result for result in results if result.outcome is Outcome.REFUSED]
    assert refused.reason.endswith("a correction is an adjustment under a document of its own")
    assert (house.on_hand(), house.available()) == (15, 10)
    house.assert_exact()


@pytest.mark.parametrize("when", ["before", "after"])
def test_after_a_crash_around_the_write_doing_it_again_ends_exact(when: str) -> None:
    house = House()
    events: list[Event] = [
        movement("r", 0, 10),
        count("c", 1, 9),
        demand("d", 2, 3, "1001"),
        shipment("s", 3, 1, "1001"),
    ]

    def crash(_n: int, _actions: Sequence[Action]) -> None:
        raise Crash

    house.stock.faults = Interruption(**{when: crash})
    with pytest.raises(Crash):
        house.post(*events)
    house.stock.faults = None
    house.post(*events)

    assert (house.on_hand(), house.available()) == (8, 6)
    house.assert_exact()


@pytest.mark.parametrize("written", [True, False])
def test_an_answer_that_never_came_ends_as_posted_once(written: bool) -> None:
    house = House()

    def silence(number: int, _actions: Sequence[Action]) -> None:
        if number == 0:
            house.stock.faults = None
            raise UnknownOutcomeError

    house.stock.faults = Interruption(**{"after" if written else "before": silence})
    results = house.post(movement("r", 0, 10), count("c", 1, 9), demand("d", 2, 3, "1001"))

    assert outcomes(results) == ["posted", "posted", "posted"]
    assert (house.on_hand(), house.available()) == (9, 6)
    house.assert_exact()


def test_two_posters_that_interleave_on_one_stock_key_both_count() -> None:
    house = House()
    interrupted: list[int] = []

    def rival(number: int, _actions: Sequence[Action]) -> None:
        if len(interrupted) < 3:
            interrupted.append(number)
            faults, house.stock.faults = house.stock.faults, None
            n = len(interrupted)
            house.post(movement(f"rival-{n}", n, 5), demand(f"o-{n}", 1, 1, f"R{n}"))
            house.stock.faults = faults

    house.stock.faults = Interruption(before=rival)
    house.post(movement("mine", 0, 10), count("count", 2.5, 30), demand("d", 2, 3, "1001"))

    # 10 @ 0, rivals 5 @ 1, 2 and 3; the count of 30 @ 2:30 stands, then the third rival's 5.
    assert house.on_hand() == 35
    assert house.available() == 35 - 3 - 3
    house.assert_exact()


def test_a_rival_that_posts_the_same_events_leaves_them_posted_once() -> None:
    house = House()
    events: list[Event] = [movement("r", 0, 10), movement("q", 1, 4), demand("d", 2, 3, "1001")]

    def rival(number: int, _actions: Sequence[Action]) -> None:
        house.stock.faults = None
        house.post(*events[:2])

    house.stock.faults = Interruption(before=rival)
    results = house.post(*events)

    assert sorted(outcomes(results)) == ["duplicate", "duplicate", "posted"]
    assert (house.on_hand(), house.available()) == (14, 11)
    house.assert_exact()


def test_three_hundred_movements_of_one_key_take_few_transactions() -> None:
    house = House()
    house.stock.faults = faults = Interruption()

    results = house.post(*(movement(f"m{n}", n / 60, 1) for n in range(300)))

    assert outcomes(results) == ["posted"] * 300
    assert faults.writes <= 4
    assert house.on_hand() == 300
    house.assert_exact()


def test_movements_of_a_hundred_different_hours_are_split_to_fit() -> None:
    house = House()
    house.post(*(movement(f"m{n}", 60 * n, 1) for n in range(120)))
    assert house.on_hand() == 120
    house.assert_exact()


def test_many_keys_share_transactions_and_each_is_exact() -> None:
    skus = [f"S{n}" for n in range(40)]
    house = House(skus=skus)
    events: list[Event] = []
    for n, sku in enumerate(skus):
        key = StockKey(Sku(sku), EAST)
        events += [
            movement(f"r{n}", 0, 20, key=key),
            count(f"c{n}", 1, 15, key=key),
            demand(f"d{n}", 2, 4, f"O{n}", key=key),
            shipment(f"s{n}", 3, 1, f"O{n}", key=key),
        ]
    house.post(*events)

    for sku in skus:
        key = StockKey(Sku(sku), EAST)
        assert (house.on_hand(key), house.available(key)) == (14, 11)
    house.assert_exact()


def test_a_movement_between_two_locations_posts_to_both_or_to_none() -> None:
    house = House()
    legs = (Leg(EAST, -4), Leg(WEST, 4))
    transfer = Movement(EventKey("t"), TEA, MovementKind.TRANSFER_SHIP, legs, at(1), ORIGIN)
    house.post(movement("r", 0, 10))
    balances: list[tuple[int, int]] = []

    def look(_n: int, _actions: Sequence[Action]) -> None:
        balances.append((house.on_hand(), house.on_hand(AT_WEST)))

    house.stock.faults = Interruption(after=look)
    house.post(transfer)

    assert balances == [(6, 4)]
    house.assert_exact()


def test_a_movement_without_legs_is_remembered_and_moves_nothing() -> None:
    house = House()
    progress = movement("p", 0, 0, order=("1001", "1"), kind=MovementKind.PICK)

    assert outcomes(house.post(progress)) == ["posted"]
    assert outcomes(house.post(progress)) == ["duplicate"]
    assert house.on_hand() == 0
    house.assert_exact()


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_an_orders_documents_end_alike_in_every_order(order: tuple[int, ...]) -> None:
    events: list[Event] = [
        movement("opening", 0, 50),
        demand("ordered", 1, 10, "1001"),
        cancelled("cancelled", 2, 3, "1001"),
        shipment("shipped", 3, 5, "1001"),
    ]
    house = House()
    for index in order:
        house.post(events[index])
        house.post(events[index])

    assert (house.on_hand(), house.available()) == (45, 43)
    house.assert_exact()


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_an_order_shipped_from_another_location_ends_alike_in_every_order(order: tuple[int, ...]) -> None:
    events: list[Event] = [
        demand("ordered", 1, 10, "1001"),
        shipment("shipped", 3, 4, "1001", key=AT_WEST),
        cancelled("cancelled", 2, 1, "1001"),
    ]
    house = House()
    for index in order:
        house.post(events[index])

    assert (house.on_hand(), house.on_hand(AT_WEST)) == (0, -4)
    assert (house.available(), house.available(AT_WEST)) == (-5, -4)
    house.assert_exact()


def test_an_older_version_of_an_order_line_changes_nothing() -> None:
    house = House()
    house.post(demand("v2", 2, 3, "1001", version="2"))
    house.post(demand("v1", 1, 10, "1001", version="1"))
    assert house.available() == -3
    house.assert_exact()


def test_a_return_that_names_its_order_puts_the_units_up_for_sale_again() -> None:
    house = House()
    house.post(movement("r", 0, 10), demand("d", 1, 4, "1001"), shipment("s", 2, 4, "1001"))

    house.post(movement("back", 3, 2, order=("1001", "1"), kind=MovementKind.RETURN))

    assert (house.on_hand(), house.available()) == (8, 8)
    house.assert_exact()


def test_a_sale_and_a_receipt_that_cancel_out_still_have_the_channel_looked_at() -> None:
    # available stays as it was, but the channel has lowered its own number: it must be told the old one again.
    house = House()
    house.post(movement("r", 0, 10))
    house.list_on(SHOP, "TEA")
    house.settle()
    house.lanes.due()

    house.post(movement("r2", 1, 3), demand("d", 1, 3, "1001"))
    house.settle()

    assert house.available() == 10
    assert [hint.sku for hint in house.lanes.due()] == [TEA]


def test_a_shipment_that_overtakes_its_order_still_has_the_channel_looked_at() -> None:
    house = House()
    house.post(movement("r", 0, 10), shipment("s", 2, 3, "1001"))
    house.list_on(SHOP, "TEA")
    house.settle()
    house.lanes.due()

    house.post(demand("d", 1, 3, "1001"))
    house.settle()

    assert house.available() == 7
    assert [hint.sku for hint in house.lanes.due()] == [TEA]


def test_one_contended_stock_key_does_not_spoil_the_others() -> None:
    skus = [f"S{n}" for n in range(12)]
    house = House(skus=skus)
    hot = balance_key(StockKey(Sku("S5"), EAST))

    def conflict(_n: int, actions: Sequence[Action]) -> None:
        if any(action.key == hot for action in actions):
            raise WriteConflictError

    house.stock.faults = Interruption(before=conflict)
    with pytest.raises(PostingContendedError) as raised:
        house.post(*(movement(f"m-{sku}", 0, 1, key=StockKey(Sku(sku), EAST)) for sku in skus))
    house.stock.faults = None

    assert [fact.event.key for fact in raised.value.facts] == ["m-S5"]
    assert len(raised.value.posted) == 11
    assert [house.on_hand(StockKey(Sku(sku), EAST)) for sku in skus] == [1] * 5 + [0] + [1] * 6
    house.assert_exact()


def test_an_event_that_no_transaction_can_hold_is_refused_and_not_tried_for_ever() -> None:
    house = House()
    legs = tuple(Leg(LocationId(f"L{n}"), 1) for n in range(60))
    everywhere = Movement(EventKey("e"), TEA, MovementKind.ADJUSTMENT, legs, at(0), ORIGIN)

    [result] = house.poster.post([fact(everywhere)], house.registry.network())

    assert result.outcome is Outcome.REFUSED
    assert "60" in result.reason
    house.assert_exact()


def test_the_hash_ignores_who_sent_it_and_sees_what_it_does() -> None:
    one = movement("m", 0, 5)
    assert effect_hash(one) == effect_hash(replace(one, key=EventKey("other"), origin=ORIGIN))
    assert effect_hash(one) != effect_hash(movement("m", 0, 6))
    assert effect_hash(one) != effect_hash(movement("m", 1, 5))


@pytest.mark.parametrize(
    "sku",
    ["A#1", "A%231", "50% off/half", "tee:red size-9", "茶-α", "x" * 200, "a@b", "../..", "LINE#1", " "],
)
def test_any_identifier_keeps_its_own_stock(sku: str) -> None:
    house = House(skus=[sku])
    key = StockKey(Sku(sku), LocationId("no#rth/1"))
    other = StockKey(Sku(sku + "#"), LocationId("no"))
    house.post(
        movement("m", 0, 7, key=key),
        count("c", 1, 5, key=key),
        movement("n", 0, 3, key=other),
        demand("d", 2, 2, f"order#{sku}", key=key),
    )
    assert (house.on_hand(key), house.available(key), house.on_hand(other)) == (5, 3, 3)
    assert house.ledger.as_of(key, at(0.5))[Counter.ON_HAND] == 7
    house.assert_exact()


def test_keys_that_read_alike_side_by_side_keep_their_reservations_apart() -> None:
    # ("a@b", "c") and ("a", "b@c") must not share an index partition of order lines.
    house = House(skus=["a@b", "a"])
    one, other = StockKey(Sku("a@b"), LocationId("c")), StockKey(Sku("a"), LocationId("b@c"))
    house.post(movement("m", 0, 7, key=one), movement("n", 0, 9, key=other))
    house.post(demand("d", 5, 2, "1001", key=one))

    assert house.view.quantities(other, at(1))["reserved"] == 0
    assert house.view.quantities(one, at(1))["reserved"] == 0
    assert house.verifier.verify_key(other).discrepancies == []


def test_facts_keep_their_hash_as_sent() -> None:
    house = House()
    house.poster.post([Fact(movement("m", 0, 5), "as-sent")], house.registry.network())
    [again] = house.poster.post([Fact(movement("m", 0, 5), "as-sent")], house.registry.network())
    assert again.outcome is Outcome.DUPLICATE


def test_posters_that_race_in_threads_on_few_keys_end_exact_and_once() -> None:
    house = House()
    keys = [StockKey(TEA, EAST), StockKey(TEA, WEST), StockKey(Sku("MUG"), EAST)]
    house.post(*(movement(f"opening-{key}", 0, 1000, key=key) for key in keys))

    def work(number: int) -> int:
        posted = 0
        for step in range(6):
            key, name = keys[(number // 2 + step) % 3], f"{number // 2}-{step}"  # each event by two threads
            events: list[Event] = [
                movement(f"m-{name}", step + 1, 3, key=key),
                demand(f"d-{name}", step + 1, 2, f"O-{name}", key=key),
                shipment(f"s-{name}", step + 2, 1, f"O-{name}", key=key),
            ]
            while True:
                try:
                    posted += outcomes(house.post(*events)).count("posted")
                    break
                except PostingContendedError as error:
                    posted += outcomes(error.posted).count("posted")
        return posted

    with ThreadPoolExecutor(8) as threads:
        posted = sum(threads.map(work, range(16)))

    assert posted == 8 * 6 * 3
    assert sum(house.on_hand(key) for key in keys) == 3000 + 8 * 6 * (3 - 1)
    assert sum(house.available(key) for key in keys) == 3000 + 8 * 6 * (3 - 2)
    house.assert_exact()


def test_transactions_under_way_at_once_post_what_one_after_the_other_would_and_a_crash_loses_none() -> None:
    house = House()
    network = house.registry.network()
    keys = [StockKey(Sku(f"S{number}"), EAST) for number in range(150)]
    facts = [fact(count(f"c-{key.sku}", 0, 100, key=key)) for key in keys]
    facts += [fact(movement(f"m-{n}", n % 50 + 1, -1, key=keys[n % 7])) for n in range(700)]
    together = Poster(house.stock, house.clock, lambda _: None, lanes=4)

    def trouble(number: int, _actions: Sequence[Action]) -> None:
        if number == 3:
            raise Crash
        if number % 2:
            raise WriteConflictError

    house.stock.faults = Interruption(after=trouble)
    with pytest.raises(Crash):
        together.post(facts, network)
    house.stock.faults = None
    found = outcomes(together.post(facts, network))

    assert len(found) == 850
    assert set(found) <= {"posted", "duplicate"}
    assert [house.on_hand(key) for key in keys] == [0] * 7 + [100] * 143
    house.assert_exact()

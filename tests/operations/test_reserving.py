"""Reserving: all lines or none, each unit once, releasing always; and exact together with postings."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.network import Channel
from shared.domain.stock import ChannelId, LocationId, Sku, StockKey
from shared.operations.reservations import (
    IdempotencyConflictError,
    InsufficientStockError,
    InvalidReservationError,
    Reservation,
    ReservationBusyError,
    ReservationNotFoundError,
    ReservationStatus,
    Wanted,
)
from shared.store.table import Action, UnknownOutcomeError, WriteConflictError
from tests.operations.house import (
    EAST,
    KEY,
    SHOP,
    TEA,
    WEST,
    Crash,
    House,
    Interruption,
    at,
    count,
    demand,
    movement,
    network,
    shipment,
)

MUG = Sku("MUG")
EDI = ChannelId("edi")
SPLIT = Channel(EDI, "scripted", {EAST: "1", WEST: "2"}, EAST, safety_stock=3)


@pytest.fixture
def house() -> House:
    house = House(network(SPLIT))
    house.post(movement("tea", 0, 10), movement("mug", 0, 4, key=StockKey(MUG, EAST)))
    return house


def reserve(house: House, key: str, *lines: tuple[Sku, int], channel: ChannelId = SHOP) -> Reservation:
    return house.reserver.reserve(key, "oms", channel, [Wanted(sku, units) for sku, units in lines])


def test_every_line_is_reserved(house: House) -> None:
    made = reserve(house, "k", (TEA, 6), (MUG, 4))

    assert made.status is ReservationStatus.CONFIRMED
    assert [(line.stock_key.sku, line.open) for line in made.lines] == [(TEA, 6), (MUG, 4)]
    assert (house.available(), house.on_hand()) == (4, 10)
    house.assert_exact()


def test_one_line_that_cannot_be_covered_reserves_nothing_and_says_what_there_is(house: House) -> None:
    with pytest.raises(InsufficientStockError) as raised:
        reserve(house, "k", (TEA, 6), (MUG, 5), (Sku("NONE"), 1))

    said = [(short.sku, short.requested, short.available_to_promise) for short in raised.value.shortfalls]
    assert said == [(MUG, 5, 4), (Sku("NONE"), 1, 0)]
    assert house.available() == 10
    house.assert_exact()


def test_the_same_key_and_request_give_the_same_reservation(house: House) -> None:
    first = reserve(house, "k", (TEA, 6))
    assert reserve(house, "k", (TEA, 6)) == first
    assert house.available() == 4


def test_the_same_key_after_the_stock_is_gone_still_gives_the_first_answer(house: House) -> None:
    first = reserve(house, "k", (TEA, 10))
    assert reserve(house, "k", (TEA, 10)) == first


def test_the_same_key_for_another_request_is_a_conflict(house: House) -> None:
    reserve(house, "k", (TEA, 6))
    with pytest.raises(IdempotencyConflictError):
        reserve(house, "k", (TEA, 7))
    assert house.available() == 4


def test_the_same_key_of_another_caller_is_another_reservation(house: House) -> None:
    reserve(house, "k", (TEA, 6))
    house.reserver.reserve("k", "other", SHOP, [Wanted(TEA, 1)])
    assert house.available() == 3


def test_names_that_read_alike_side_by_side_are_another_request(house: House) -> None:
    one, other = StockKey(Sku("a|east"), LocationId("east|b")), StockKey(Sku("a"), LocationId("east|east|b"))
    house.declare(network(Channel(EDI, "scripted", {one.location: "1", other.location: "2"}, EAST)))
    for key in (one, other):
        house.post(movement(f"m-{key}", 0, 9, key=key))
    house.reserver.reserve("k", "oms", EDI, [Wanted(one.sku, 2, one.location)])
    with pytest.raises(IdempotencyConflictError):
        house.reserver.reserve("k", "oms", EDI, [Wanted(other.sku, 2, other.location)])


def test_lines_of_one_sku_are_summed_before_they_are_checked(house: House) -> None:
    with pytest.raises(InsufficientStockError):
        reserve(house, "k", (MUG, 3), (MUG, 3))
    made = reserve(house, "k2", (MUG, 2), (MUG, 2))
    assert [line.ordered for line in made.lines] == [4]
    house.assert_exact()


def test_safety_stock_is_withheld_from_the_channel_that_declares_it(house: House) -> None:
    with pytest.raises(InsufficientStockError) as raised:
        reserve(house, "k", (TEA, 8), channel=EDI)
    assert raised.value.shortfalls[0].available_to_promise == 7
    reserve(house, "k2", (TEA, 7), channel=EDI)
    reserve(house, "k3", (TEA, 3))
    assert house.available() == 0


def test_forty_five_lines_are_one_transaction() -> None:
    skus = [Sku(f"S{n}") for n in range(45)]
    house = House(skus=skus)
    house.post(*(movement(f"m{sku}", 0, 5, key=StockKey(sku, EAST)) for sku in skus))

    house.stock.faults = counted = Interruption()
    made = reserve(house, "k", *((sku, 1) for sku in skus))
    assert counted.writes == 1
    house.reserver.release(made.id)

    assert {house.available(StockKey(sku, EAST)) for sku in skus} == {5}
    house.assert_exact()


@pytest.mark.parametrize("location", [WEST, "moon"])
def test_a_location_that_the_channel_does_not_sell_from_is_refused(house: House, location: str) -> None:
    with pytest.raises(InvalidReservationError) as raised:
        house.reserver.reserve("k", "oms", SHOP, [Wanted(TEA, 1, LocationId(location))])
    assert raised.value.field == "lines[0].location"
    assert "east" in raised.value.remedy


@pytest.mark.parametrize("units", [0, -3])
def test_units_that_are_none_are_refused(house: House, units: int) -> None:
    with pytest.raises(InvalidReservationError) as raised:
        reserve(house, "k", (TEA, units))
    assert raised.value.field == "lines[0].quantity"
    assert house.available() == 10


def test_no_lines_are_refused(house: House) -> None:
    with pytest.raises(InvalidReservationError):
        reserve(house, "k")


def test_an_undeclared_channel_is_refused(house: House) -> None:
    with pytest.raises(InvalidReservationError):
        reserve(house, "k", (TEA, 1), channel=ChannelId("moon"))


def test_releasing_gives_everything_back_once(house: House) -> None:
    made = reserve(house, "k", (TEA, 6), (MUG, 4))

    released = house.reserver.release(made.id)
    again = house.reserver.release(made.id)

    assert released.status is again.status is ReservationStatus.RELEASED
    assert (house.available(), house.available(StockKey(MUG, EAST))) == (10, 4)
    house.assert_exact()


def test_releasing_works_below_zero_too(house: House) -> None:
    made = reserve(house, "k", (TEA, 6))
    house.post(count("c", 1, 0))
    assert house.available() == -6

    house.reserver.release(made.id)

    assert house.available() == 0
    house.assert_exact()


def test_what_was_shipped_of_a_reservation_is_not_given_back(house: House) -> None:
    made = reserve(house, "k", (TEA, 6))
    house.post(shipment("s", 1, 4, f"reservation/{made.id}"))
    assert (house.on_hand(), house.available()) == (6, 4)

    house.reserver.release(made.id)

    assert (house.on_hand(), house.available()) == (6, 6)
    house.post(shipment("s2", 2, 2, f"reservation/{made.id}"))  # it left after all
    assert (house.on_hand(), house.available()) == (4, 4)
    house.assert_exact()


def test_a_reservation_that_was_shipped_is_fulfilled(house: House) -> None:
    made = reserve(house, "k", (TEA, 6))
    house.post(shipment("s", 1, 6, f"reservation/{made.id}"))
    assert house.reserver.get(made.id).status is ReservationStatus.FULFILLED
    assert house.reserver.release(made.id).status is ReservationStatus.FULFILLED


def test_an_unknown_reservation_is_said_to_be_unknown(house: House) -> None:
    for ask in (house.reserver.get, house.reserver.release):
        with pytest.raises(ReservationNotFoundError):
            ask("none")


def test_thirty_two_threads_want_the_last_unit_and_one_gets_it(house: House) -> None:
    reserve(house, "most", (TEA, 9))

    def want(number: int) -> bool:
        try:
            reserve(house, f"k{number}", (TEA, 1))
        except InsufficientStockError:
            return False
        return True

    with ThreadPoolExecutor(32) as threads:
        got = list(threads.map(want, range(32)))

    assert sum(got) == 1
    assert house.available() == 0
    house.assert_exact()


def test_threads_that_reserve_release_and_post_at_once_end_exact(house: House) -> None:
    def work(number: int) -> None:
        try:
            made = reserve(house, f"k{number}", (TEA, 1 + number % 3), (MUG, 1))
        except InsufficientStockError:
            house.post(movement(f"r{number}", number, 2))
            return
        if number % 2:
            house.reserver.release(made.id)
        else:
            house.post(shipment(f"s{number}", number, 1, f"reservation/{made.id}"))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(40)))

    assert house.available() >= 0
    house.assert_exact()


@pytest.mark.parametrize("written", [True, False])
def test_an_answer_that_never_came_leaves_one_reservation(house: House, written: bool) -> None:
    def silence(_n: int, _actions: Sequence[Action]) -> None:
        house.stock.faults = None
        raise UnknownOutcomeError

    house.stock.faults = Interruption(**{"after" if written else "before": silence})
    made = reserve(house, "k", (TEA, 6))
    house.stock.faults = Interruption(**{"after" if written else "before": silence})
    released = house.reserver.release(made.id)

    assert made.status is ReservationStatus.CONFIRMED
    assert released.status is ReservationStatus.RELEASED
    assert house.available() == 10
    house.assert_exact()


@pytest.mark.parametrize("when", ["before", "after"])
def test_after_a_crash_the_same_request_ends_as_one_reservation(house: House, when: str) -> None:
    def crash(_n: int, _actions: Sequence[Action]) -> None:
        house.stock.faults = None
        raise Crash

    house.stock.faults = Interruption(**{when: crash})
    with pytest.raises(Crash):
        reserve(house, "k", (TEA, 6))
    reserve(house, "k", (TEA, 6))
    assert house.available() == 4
    house.assert_exact()


def test_a_table_that_stays_busy_is_said_to_be_busy_and_nothing_is_reserved(house: House) -> None:
    def conflict(_n: int, _actions: Sequence[Action]) -> None:
        raise WriteConflictError

    house.stock.faults = Interruption(before=conflict)
    with pytest.raises(ReservationBusyError):
        reserve(house, "k", (TEA, 6))
    house.stock.faults = None
    assert house.available() == 10


def test_the_last_unit_taken_by_a_posting_in_between_is_not_reserved_again(house: House) -> None:
    def sell(_n: int, _actions: Sequence[Action]) -> None:
        house.stock.faults = None
        house.post(demand("d", 1, 5, "1001"))

    house.stock.faults = Interruption(before=sell)
    with pytest.raises(InsufficientStockError):
        reserve(house, "k", (TEA, 6))
    assert house.available() == 5
    house.assert_exact()


steps = st.lists(
    st.tuples(
        st.sampled_from(["reserve", "release", "ship", "receive", "count", "order"]), st.integers(1, 6)
    ),
    max_size=25,
)


@settings(max_examples=150)
@given(steps)
def test_any_mixture_keeps_what_is_available_exact_and_never_promises_twice(
    drawn: list[tuple[str, int]],
) -> None:
    house = House(network(SPLIT))
    made: list[Reservation] = []
    for number, (step, units) in enumerate(drawn):
        before = house.available()
        if step == "reserve":
            channel, kept = (EDI, 3) if units % 2 else (SHOP, 0)
            try:
                made.append(reserve(house, f"k{number}", (TEA, units), channel=channel))
                assert before >= units + kept
            except InsufficientStockError:
                assert before < units + kept
        elif step == "release" and made:
            house.reserver.release(made[units % len(made)].id)
        elif step == "ship" and made:
            order = f"reservation/{made[units % len(made)].id}"
            house.post(shipment(f"s{number}", number, units, order))
        elif step == "receive":
            house.post(movement(f"r{number}", number, units))
        elif step == "count":
            house.post(count(f"c{number}", number, units * 2))
        elif step == "order":
            house.post(demand(f"d{number}", number, units, f"O{number}"))
        house.assert_exact()
    assert house.view.quantities(KEY, at(10_000))["available"] == house.available()

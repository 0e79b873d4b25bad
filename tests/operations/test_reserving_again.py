"""A reservation asked for again under its key: the answer follows what became of the attempt before."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest

from shared.domain.network import Channel
from shared.domain.stock import ChannelId, Sku, StockKey
from shared.operations.reservations import (
    InsufficientStockError,
    Reservation,
    ReservationBusyError,
    ReservationStatus,
    Wanted,
)
from shared.store.table import Action, UnknownOutcomeError, Update
from tests.operations.house import EAST, WEST, Crash, House, Interruption, movement, network

EDI = ChannelId("edi")
SKUS = [Sku(f"S{number:03}") for number in range(30)]


@pytest.fixture
def house() -> House:
    """Each item has one unit at either place: two of each make a long reservation, of 60 stock keys."""
    house = House(
        network(Channel(EDI, "scripted", {EAST: "1", WEST: "2"}, None, sourcing=(EAST, WEST))), SKUS
    )
    for sku in SKUS:
        house.post(*(movement(f"{at}/{sku}", 0, 1, key=StockKey(sku, at)) for at in (EAST, WEST)))
    return house


def reserve(
    house: House,
    units: int = 2,
    of_the_last: int | None = None,
    lifetime: timedelta | None = None,
    key: str = "k",
) -> Reservation:
    wanted = [*(Wanted(sku, units) for sku in SKUS[:-1]), Wanted(SKUS[-1], of_the_last or units)]
    return house.reserver.reserve(key, "oms", EDI, wanted, lifetime)


def restock(house: House) -> None:
    """Let one place have enough for all, so that the same request becomes a short reservation."""
    for sku in SKUS:
        house.post(movement(f"more/{sku}", 1, 10, key=StockKey(sku, EAST)))


def crash_after_a_chunk(house: House, lifetime: timedelta | None = None) -> None:
    def crash(number: int, _actions: Sequence[Action]) -> None:
        if number == 2:
            raise Crash

    house.stock.faults = Interruption(before=crash)
    with pytest.raises(Crash):
        reserve(house, lifetime=lifetime)
    house.stock.faults = None


def confirming(actions: Sequence[Action]) -> bool:
    return any(isinstance(a, Update) and a.set.get("status") == "confirmed" for a in actions)


def assert_taken(house: House, made: Reservation) -> None:
    assert made.status is ReservationStatus.CONFIRMED
    assert sum(line.open for line in made.lines) == 2 * len(SKUS)
    held = sum(house.view.quantities(StockKey(sku, at))["reserved"] for sku in SKUS for at in (EAST, WEST))
    assert held == 2 * len(SKUS)
    house.assert_exact()


def test_what_was_refused_as_a_long_reservation_is_made_as_a_short_one_once_there_is_stock(
    house: House,
) -> None:
    with pytest.raises(InsufficientStockError):
        reserve(house, of_the_last=3)
    restock(house)

    made = reserve(house, of_the_last=3)

    assert made.status is ReservationStatus.CONFIRMED
    assert sum(line.open for line in made.lines) == 2 * len(SKUS) + 1
    assert reserve(house, of_the_last=3).lines == made.lines
    house.assert_exact()
    house.reserver.release(made.id)
    house.assert_exact()


def test_a_short_one_waits_for_the_long_one_before_it_and_is_made_once_that_is_over(house: House) -> None:
    crash_after_a_chunk(house)
    restock(house)

    with pytest.raises(ReservationBusyError):
        reserve(house)
    house.clock.advance(minutes=2)

    assert_taken(house, reserve(house))
    assert_taken(house, reserve(house))


def test_a_long_one_waits_for_the_long_one_before_it_and_is_made_once_that_is_over(house: House) -> None:
    crash_after_a_chunk(house)
    with pytest.raises(ReservationBusyError):
        reserve(house)
    house.clock.advance(minutes=2)
    house.reserver.expire_due()
    assert_taken(house, reserve(house))


def test_giving_back_that_was_cut_short_is_completed_before_the_reservation_begins_anew(house: House) -> None:
    def crash(_number: int, actions: Sequence[Action]) -> None:
        if confirming(actions):
            raise Crash

    def crash_again(number: int, _actions: Sequence[Action]) -> None:
        if number == 1:
            raise Crash

    house.stock.faults = Interruption(before=crash)
    with pytest.raises(Crash):
        reserve(house)
    house.clock.advance(minutes=2)
    house.stock.faults = Interruption(before=crash_again)
    with pytest.raises(Crash):
        house.reserver.expire_due()
    house.stock.faults = None
    restock(house)

    assert_taken(house, reserve(house))


def test_a_released_reservation_repeats_its_first_answer(house: House) -> None:
    made = reserve(house)
    house.reserver.release(made.id)
    restock(house)
    assert reserve(house).status is ReservationStatus.RELEASED
    house.assert_exact()


def test_a_sweep_that_listed_it_while_it_was_pending_leaves_what_has_been_confirmed_since(
    house: House,
) -> None:
    for sku in SKUS:
        house.post(movement(f"one more/{sku}", 1, 1, key=StockKey(sku, EAST)))
        house.reserver.reserve(f"old/{sku}", "oms", EDI, [Wanted(sku, 1, EAST)], timedelta(seconds=10))

    def sweep(_number: int, confirmation: Sequence[Action]) -> None:
        if not confirming(confirmation):
            return

        def confirmed_in_between(_number: int, _actions: Sequence[Action]) -> None:
            house.stock.faults = None
            house.stock.write(confirmation)

        house.clock.advance(minutes=2)
        house.stock.faults = Interruption(before=confirmed_in_between)
        assert house.reserver.expire_due() == len(SKUS) + 1
        raise UnknownOutcomeError

    house.stock.faults = Interruption(before=sweep)
    assert_taken(house, reserve(house))


def test_a_reservation_whose_time_is_over_before_it_is_confirmed_is_given_back(house: House) -> None:
    def dawdle(number: int, _actions: Sequence[Action]) -> None:
        if number == 2:
            house.clock.advance(minutes=2)

    house.stock.faults = Interruption(before=dawdle)
    with pytest.raises(ReservationBusyError):
        reserve(house)
    house.stock.faults = None
    assert all(house.available(StockKey(sku, EAST)) == 1 for sku in SKUS)
    assert_taken(house, reserve(house))


def test_a_confirmation_without_an_answer_that_was_not_written_is_no_reservation(house: House) -> None:
    def lose(_number: int, actions: Sequence[Action]) -> None:
        if confirming(actions):
            house.stock.faults = None
            house.clock.advance(minutes=2)
            house.reserver.expire_due()
            raise UnknownOutcomeError

    house.stock.faults = Interruption(before=lose)
    with pytest.raises(ReservationBusyError):
        reserve(house)
    assert_taken(house, reserve(house))


def test_what_is_taken_in_many_steps_and_then_refused_is_given_back_to_the_last_unit() -> None:
    many = [Sku(f"M{number:03}") for number in range(100)]
    house = House(network(Channel(EDI, "scripted", {EAST: "1"}, EAST)), many)
    for sku in many[:-1]:
        house.post(movement(f"one/{sku}", 0, 1, key=StockKey(sku, EAST)))

    with pytest.raises(InsufficientStockError):
        house.reserver.reserve("k", "oms", EDI, [Wanted(sku, 1) for sku in many])

    assert [house.available(StockKey(sku, EAST)) for sku in many] == [1] * 99 + [0]
    house.assert_exact()


def test_lines_that_are_taken_while_a_giving_back_is_cut_short_are_given_back_too(house: House) -> None:
    def crash(_number: int, _actions: Sequence[Action]) -> None:
        raise Crash

    def release_meanwhile(number: int, chunk: Sequence[Action]) -> None:
        if number != 1:
            return

        def taken_first(_number: int, _actions: Sequence[Action]) -> None:
            house.stock.faults = None
            house.stock.write(chunk)
            house.stock.faults = Interruption(after=crash)

        house.stock.faults = Interruption(before=taken_first)
        house.reserver.release(chunk[0].key.pk.removeprefix("ORDER#reservation/"))

    house.stock.faults = Interruption(before=release_meanwhile)
    with pytest.raises(Crash):
        reserve(house)
    house.stock.faults = None

    house.clock.advance(minutes=2)
    house.reserver.expire_due()
    assert all(house.available(StockKey(sku, at)) == 1 for sku in SKUS for at in (EAST, WEST))
    house.assert_exact()


def test_a_request_that_finds_too_little_gives_back_its_own_attempt_only(house: House) -> None:
    """Its time is over and another request under the same key has the reservation: that one stands."""

    def overtaken(number: int, _actions: Sequence[Action]) -> None:
        if number != 2:
            return
        house.stock.faults = None
        house.clock.advance(minutes=2)
        house.reserver.expire_due()
        assert_taken(house, reserve(house))

    house.stock.faults = Interruption(before=overtaken)
    with pytest.raises(ReservationBusyError):
        reserve(house)
    assert_taken(house, reserve(house))

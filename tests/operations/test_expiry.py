"""A reservation with a lifetime gives its units back when the time is over: on a look, on need, and on the sweep."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest

from shared.domain.stock import StockKey
from shared.operations.reservations import (
    IdempotencyConflictError,
    InsufficientStockError,
    Reservation,
    ReservationBusyError,
    ReservationStatus,
    Wanted,
)
from shared.store.layout import order_key
from shared.store.table import Action, WriteConflictError
from tests.operations.house import EAST, SHOP, TEA, House, Interruption, movement, shipment

HOUR = timedelta(hours=1)


def stocked(units: int = 10) -> House:
    house = House()
    house.post(movement("opening", 0, units))
    return house


def reserve(house: House, key: str, units: int, lifetime: timedelta | None = HOUR) -> Reservation:
    return house.reserver.reserve(key, "oms", SHOP, [Wanted(TEA, units, EAST)], lifetime)


def test_a_reservation_holds_until_its_time_is_over_and_not_a_moment_longer() -> None:
    house = stocked()
    made = reserve(house, "k", 4)
    assert made.expires_at == house.clock() + HOUR
    house.clock.advance(minutes=59)
    assert house.reserver.get(made.id).status is ReservationStatus.CONFIRMED
    before = house.available()

    house.clock.advance(minutes=1)

    assert house.reserver.get(made.id).status is ReservationStatus.EXPIRED
    assert house.available() == before + 4
    house.assert_exact()


def test_the_sweep_gives_back_what_nobody_looks_at_once() -> None:
    house = stocked()
    for number in range(3):
        reserve(house, f"k{number}", 2)
    kept = reserve(house, "kept", 1, lifetime=None)
    house.clock.advance(hours=2)

    assert (house.reserver.expire_due(), house.reserver.expire_due()) == (3, 0)

    assert house.reserver.get(kept.id).status is ReservationStatus.CONFIRMED
    assert house.view.quantities(StockKey(TEA, EAST))["reserved"] == 1
    house.assert_exact()


def test_units_whose_time_is_over_are_promised_again_before_the_sweep_runs() -> None:
    house = stocked()
    withheld = house.channels[SHOP].safety_stock
    old = reserve(house, "old", 10 - withheld)
    with pytest.raises(InsufficientStockError):
        reserve(house, "early", 1)
    house.clock.advance(hours=1)

    fresh = reserve(house, "late", 10 - withheld)

    assert fresh.status is ReservationStatus.CONFIRMED
    assert house.reserver.get(old.id).status is ReservationStatus.EXPIRED
    house.assert_exact()


def test_what_was_shipped_or_released_before_has_nothing_left_to_expire() -> None:
    house = stocked()
    shipped, released = reserve(house, "shipped", 2), reserve(house, "released", 3)
    house.post(shipment("ship", 1, 2, f"reservation/{shipped.id}"))
    house.reserver.release(released.id)
    house.clock.advance(hours=2)

    house.reserver.expire_due()

    assert house.reserver.get(shipped.id).status is ReservationStatus.FULFILLED
    assert house.reserver.get(released.id).status is ReservationStatus.RELEASED
    assert (house.on_hand(), house.available()) == (8, 8)
    assert house.reserver.expire_due() == 0
    house.assert_exact()


def test_the_same_key_with_another_lifetime_is_another_request() -> None:
    house = stocked()
    reserve(house, "k", 1)
    with pytest.raises(IdempotencyConflictError):
        reserve(house, "k", 1, lifetime=2 * HOUR)


def test_a_crash_around_expiring_gives_back_once() -> None:
    for crash_before in (True, False):
        house = stocked()
        reserve(house, "k", 4)
        house.clock.advance(hours=2)

        def crash(_number: int, _actions: object) -> None:
            raise RuntimeError("crash")

        house.stock.faults = Interruption(before=crash) if crash_before else Interruption(after=crash)
        with pytest.raises(RuntimeError):
            house.reserver.expire_due()
        house.stock.faults = None

        house.reserver.expire_due()

        assert house.available() == 10
        house.assert_exact()


def with_a_busy_one(number: int) -> House:
    """Ten reservations of one unit are over, and others keep changing one of them."""
    house = stocked()
    made = [reserve(house, f"k{number}", 1) for number in range(10)]
    house.clock.advance(hours=2)
    busy = order_key(f"reservation/{made[number].id}")

    def refuse(_number: int, actions: Sequence[Action]) -> None:
        if any(action.key == busy for action in actions):
            raise WriteConflictError

    house.stock.faults = Interruption(before=refuse)
    return house


@pytest.mark.parametrize("number", range(10))
def test_one_that_cannot_be_given_back_just_now_keeps_no_other_from_it(number: int) -> None:
    house = with_a_busy_one(number)
    with pytest.raises(ReservationBusyError):
        house.reserver.expire_due()
    assert house.available() == 9

    house.stock.faults = None
    assert house.reserver.expire_due() == 1
    assert house.available() == 10
    house.assert_exact()


@pytest.mark.parametrize("number", range(10))
def test_a_stranger_gets_what_the_others_give_back_beside_a_busy_one(number: int) -> None:
    house = with_a_busy_one(number)
    assert reserve(house, "new", 9).status is ReservationStatus.CONFIRMED
    with pytest.raises(InsufficientStockError):
        reserve(house, "one more", 1)

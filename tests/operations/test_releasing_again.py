"""Units that were shipped for a reservation turn out never to have left: once it is over, each is everybody's again, once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest

from shared.domain.network import Channel
from shared.domain.stock import ChannelId, MessageId, Quantity
from shared.operations.reservations import Reservation, ReservationStatus, Wanted
from shared.operations.set_aside import SetAside
from shared.store.promises import standings
from shared.store.table import Action
from tests.operations.deliveries import body
from tests.operations.house import EAST, KEY, SHOP, TEA, House, Interruption, at, movement, network
from tests.operations.test_undoing import undo

SOON = timedelta(minutes=20)
EDI = ChannelId("edi")


@pytest.fixture
def house() -> House:
    house = House(network(Channel(EDI, "scripted", {EAST: "1"}, EAST)))
    house.post(movement("opening", 0, 10))
    house.clock.now = at(10)
    return house


def reserve(house: House, lifetime: timedelta | None = None, channel: ChannelId = SHOP) -> Reservation:
    return house.reserver.reserve("k", "oms", channel, [Wanted(TEA, 5, EAST)], lifetime)


def ship(house: House, made: Reservation, units: Quantity, name: str = "S1") -> MessageId:
    line = {"sku": "TEA", "quantity": units, "order": f"reservation/{made.id}", "order_line": "1"}
    left = house.store("wms", body("shipment", name, line, occurred_at=at(5)))
    house.applier.apply(left)
    return left


def test_releasing_again_gives_back_what_came_back_and_each_unit_once(house: House) -> None:
    made = reserve(house)
    first, second = ship(house, made, 1, "S1"), ship(house, made, 2, "S2")
    house.reserver.release(made.id)
    assert (house.on_hand(), house.available()) == (7, 7)
    for left, there in ((first, 8), (second, 10)):
        undo(house, left)
        house.clock.advance(minutes=5)
        for _ in range(2):
            assert house.reserver.release(made.id).status is ReservationStatus.RELEASED
            assert (house.on_hand(), house.available()) == (there, there)
            house.assert_exact()


def test_until_when_each_unit_was_held_stays_true(house: House) -> None:
    made = reserve(house)
    left = ship(house, made, 3)
    house.clock.now = at(20)
    house.reserver.release(made.id)
    undo(house, left)
    house.clock.now = at(40)
    house.reserver.release(made.id)
    (line,) = house.reserver.get(made.id).lines
    held = {
        minute: sum(one.quantity for one in line.history if one.at <= at(minute)) for minute in (15, 30, 45)
    }
    assert held == {15: 5, 30: 3, 45: 0}


@pytest.mark.parametrize("shipped", [3, 5])
def test_what_comes_back_after_the_end_is_given_back_by_the_next_look_of_the_expiry(
    house: House, shipped: Quantity
) -> None:
    made = reserve(house, SOON)
    left = ship(house, made, shipped)
    house.clock.now = at(40)
    house.reserver.expire_due()
    undo(house, left)
    assert (house.on_hand(), house.available()) == (10, 10 - shipped)

    assert (house.reserver.expire_due(), house.reserver.expire_due()) == (1, 0)

    assert house.available() == 10
    assert house.reserver.get(made.id).status is ReservationStatus.EXPIRED
    house.assert_exact()


@pytest.mark.parametrize("lifetime", [None, SOON])
def test_what_comes_back_to_a_reservation_that_still_stands_is_held_for_it(
    house: House, lifetime: timedelta | None
) -> None:
    made = reserve(house, lifetime)
    undo(house, ship(house, made, 3))

    assert house.reserver.expire_due() == 0
    assert (house.on_hand(), house.available()) == (10, 5)
    assert house.reserver.get(made.id).status is ReservationStatus.CONFIRMED


def test_an_expiry_that_comes_between_reading_and_writing_of_the_undo_is_seen_by_it(house: House) -> None:
    made = reserve(house, SOON)
    left = ship(house, made, 5)
    house.clock.now = at(40)

    def expire_first(_number: int, actions: Sequence[Action]) -> None:
        if any(action.key.pk.startswith("EVENT#onecount/undo/") for action in actions):
            house.stock.faults = None
            house.reserver.expire_due()

    house.stock.faults = Interruption(before=expire_first)
    undo(house, left)
    assert house.stock.faults is None
    house.reserver.expire_due()

    assert (house.on_hand(), house.available()) == (10, 10)
    house.assert_exact()


def test_what_was_set_aside_for_the_channel_goes_back_to_it(house: House) -> None:
    desk = SetAside(house.stock, house.registry, house.clock)
    desk.keep(EDI, KEY, 4)
    made = reserve(house, channel=EDI)
    left = ship(house, made, 3)
    house.reserver.release(made.id)
    assert standings(house.stock, [KEY])[KEY].set_aside == {EDI: 1}
    undo(house, left)

    house.reserver.expire_due()

    assert standings(house.stock, [KEY])[KEY].set_aside == {EDI: 4}
    assert house.available() == 10
    house.assert_exact()

"""Units that were set aside for a channel are everybody's again when it can claim them no more, whichever way it comes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from shared.domain.network import Channel
from shared.domain.stock import ChannelId, LocationId, StockKey
from shared.operations.reservations import InvalidReservationError, Reservation, Wanted
from shared.operations.set_aside import SetAside
from shared.operations.withdraw import give_back, withdraw
from shared.store.promises import standings
from shared.store.registry import Network
from tests.operations.house import EAST, KEY, SHOP, TEA, WEST, House, movement, network

EDI = ChannelId("edi")
AT_WEST = StockKey(TEA, WEST)


@pytest.fixture
def house() -> House:
    house = House(network(Channel(EDI, "scripted", {EAST: "1", WEST: "2"}, EAST)))
    house.post(movement("e", 0, 100), movement("w", 0, 100, key=AT_WEST))
    return house


def keep(house: House, key: StockKey, units: int) -> int:
    return SetAside(house.stock, house.registry, house.clock).keep(EDI, key, units)


def kept(house: House, key: StockKey) -> Mapping[ChannelId, int]:
    return standings(house.stock, [key])[key].set_aside


def reserved(house: House, key: StockKey, units: int) -> Reservation:
    return house.reserver.reserve("k", "oms", EDI, [Wanted(key.sku, units, key.location)])


def removed(house: House) -> None:
    declared = house.registry.network(fresh=True)
    withdraw(Network({}, {}, {EDI: declared.channels[EDI]}), house.stock, house.registry, house.clock)
    house.clock.advance(seconds=60)


def sells_from(house: House, locations: Mapping[LocationId, str]) -> None:
    declared = house.registry.network(fresh=True)
    edi = replace(declared.channels[EDI], locations=locations)
    house.declare(replace(declared, channels={**declared.channels, EDI: edi}))
    house.clock.advance(seconds=60)


@pytest.mark.parametrize("units", [30, 40, 60])
def test_what_a_reservation_of_a_removed_channel_holds_goes_back_to_all(house: House, units: int) -> None:
    keep(house, KEY, 40)
    made = reserved(house, KEY, units)
    removed(house)

    house.reserver.release(made.id)

    assert (house.available(), kept(house, KEY)) == (100, {})
    house.reserver.reserve("k2", "oms", SHOP, [Wanted(TEA, 100, EAST)])
    house.assert_exact()


def test_what_a_reservation_holds_at_a_location_that_was_taken_off_its_channel_goes_back_to_all(
    house: House,
) -> None:
    keep(house, AT_WEST, 40)
    made = reserved(house, AT_WEST, 30)
    sells_from(house, {EAST: "1"})
    keep(house, AT_WEST, 0)

    house.reserver.release(made.id)

    assert (house.available(AT_WEST), kept(house, AT_WEST)) == (100, {})
    house.assert_exact()


def test_where_its_channel_still_sells_it_goes_back_to_what_is_set_aside(house: House) -> None:
    keep(house, AT_WEST, 40)
    made = reserved(house, AT_WEST, 30)

    house.reserver.release(made.id)

    assert kept(house, AT_WEST) == {EDI: 40}


def test_units_kept_at_a_location_that_was_taken_off_the_channel_can_be_given_back_by_hand(
    house: House,
) -> None:
    keep(house, AT_WEST, 40)
    sells_from(house, {EAST: "1"})

    assert keep(house, AT_WEST, 0) == 40

    assert kept(house, AT_WEST) == {}


def test_nothing_can_be_kept_or_given_back_where_a_channel_neither_sells_nor_keeps(house: House) -> None:
    sells_from(house, {EAST: "1"})
    for units in (0, 5):
        with pytest.raises(InvalidReservationError, match="does not sell from 'west'"):
            keep(house, AT_WEST, units)


def test_units_kept_at_a_location_that_was_taken_off_are_given_back_with_the_channel(house: House) -> None:
    keep(house, AT_WEST, 40)
    sells_from(house, {EAST: "1"})

    removed(house)

    assert kept(house, AT_WEST) == {}
    house.assert_exact()


def test_what_a_channel_keeps_where_it_sells_no_more_is_found_and_given_back(house: House) -> None:
    keep(house, KEY, 10)
    keep(house, AT_WEST, 40)
    sells_from(house, {EAST: "1"})

    give_back(EDI, [WEST], house.stock, house.registry, house.clock)

    assert (kept(house, AT_WEST), kept(house, KEY)) == ({}, {EDI: 10})

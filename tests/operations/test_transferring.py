"""Transfers by hand: what left, arrived, is on the way or lost always adds up, and agrees with the ledger."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from shared.domain.cases import CaseKind, CaseStatus
from shared.domain.network import Grain, Location
from shared.domain.stock import Leaf, LocationId, Sku
from shared.domain.transfer import TransferStatus
from shared.operations.four_eyes import SamePersonError
from shared.operations.reservations import InsufficientStockError, UnknownItemError, Wanted
from shared.operations.set_aside import SetAside
from shared.operations.transfer_calls import Part, RefusedTransferError, WriteOffNotAllowedError
from shared.operations.withdraw import withdraw
from shared.store.registry import Network
from shared.store.transfers import place_of
from tests.operations.house import EAST, KEY, SHOP, TEA, WEST, WMS, House, movement, network
from tests.operations.transferring import (
    AT_WEST,
    MUG,
    approved,
    careful,
    figures,
    quantities,
    requested,
    shipped,
    stocked,
    written_off,
)


def test_from_request_to_receipt_in_parts() -> None:
    house = stocked()
    made = requested(house)
    assert (made.status, quantities(house, KEY)) == (TransferStatus.REQUESTED, (10, 0, 10))

    made = house.transfers.approve(made.id, "ben", "a")
    assert (made.status, quantities(house, KEY)) == (TransferStatus.APPROVED, (10, 0, 4))

    made = house.transfers.ship(made.id, "cat", "s", [Part(TEA, 5)])
    assert (made.status, figures(made)) == (TransferStatus.IN_TRANSIT, (5, 5, 0, 0))
    assert (quantities(house, KEY), quantities(house, AT_WEST)) == ((5, 0, 4), (0, 5, 0))

    made = house.transfers.receive(made.id, "dan", "p1", [Part(TEA, 2)])
    assert (made.status, figures(made)) == (TransferStatus.RECEIVING, (5, 3, 2, 0))
    assert quantities(house, AT_WEST) == (2, 3, 2)

    house.transfers.ship(made.id, "cat", "s2")
    made = house.transfers.receive(made.id, "dan", "p2")
    assert (made.status, figures(made)) == (TransferStatus.RECEIVED, (6, 0, 6, 0))
    assert (quantities(house, KEY), quantities(house, AT_WEST)) == ((4, 0, 4), (6, 0, 6))
    house.assert_exact()


def test_what_is_approved_is_promised_to_nobody_else() -> None:
    house = stocked()
    made = approved(house)

    with pytest.raises(InsufficientStockError):
        house.reserver.reserve("k", "bob", SHOP, [Wanted(TEA, 5, EAST)])

    house.transfers.close(made.id, "ann", "c", "not needed")
    house.reserver.reserve("k", "bob", SHOP, [Wanted(TEA, 5, EAST)])
    house.assert_exact()


@pytest.mark.parametrize("action", ["ship", "receive"])
def test_names_that_fit_no_key_are_refused_by_field_and_nothing_moves(action: str) -> None:
    declared = network()
    house = House(
        replace(
            declared,
            locations={
                name: replace(place, grain=Grain.BIN_LOT) for name, place in declared.locations.items()
            },
        )
    )
    house.post(movement("opening", 0, 10))
    house.clock.advance(hours=1)
    made = shipped(house) if action == "receive" else approved(house)
    wide = "\u8336" * 200
    parts = [Part(TEA, 1), Part(TEA, 1, Leaf(wide, wide))]

    with pytest.raises(RefusedTransferError, match="bytes") as refused:
        getattr(house.transfers, action)(made.id, "cat", "s2", parts)

    assert refused.value.field == "lines[1].bin"
    assert house.transfers.get(made.id) == made
    assert getattr(house.transfers, action)(made.id, "cat", "s3", [Part(TEA, 1)]) != made


def test_what_is_promised_already_cannot_be_transferred() -> None:
    house = stocked()
    house.reserver.reserve("k", "bob", SHOP, [Wanted(TEA, 5, EAST)])
    made = requested(house)

    with pytest.raises(InsufficientStockError) as refused:
        house.transfers.approve(made.id, "ben", "a")

    [short] = refused.value.shortfalls
    assert (short.requested, short.available_to_promise) == (6, 5)
    assert house.transfers.get(made.id).status is TransferStatus.REQUESTED
    house.assert_exact()


def test_units_set_aside_for_a_channel_are_not_transferred() -> None:
    house = stocked()
    SetAside(house.stock, house.registry, house.clock).keep(SHOP, KEY, 5)

    with pytest.raises(InsufficientStockError):
        approved(house)
    fits = requested(house, 5, "fits")
    assert house.transfers.approve(fits.id, "ben", "a").status is TransferStatus.APPROVED


def test_more_than_was_asked_for_cannot_be_shipped_and_no_more_than_is_in_transit_received() -> None:
    house = stocked()
    made = approved(house)

    with pytest.raises(RefusedTransferError, match="6 were asked for") as refused:
        house.transfers.ship(made.id, "cat", "s", [Part(TEA, 4), Part(TEA, 3)])
    assert refused.value.field == "lines"
    assert refused.value.remedy.startswith("ship 6 or fewer")

    house.transfers.ship(made.id, "cat", "s", [Part(TEA, 4)])
    with pytest.raises(RefusedTransferError, match="4 are in transit") as refused:
        house.transfers.receive(made.id, "dan", "p", [Part(TEA, 5)])
    assert "adjustment" in refused.value.remedy
    assert figures(house.transfers.get(made.id)) == (4, 4, 0, 0)
    house.assert_exact()


def test_nothing_moves_before_the_approval_and_after_the_end() -> None:
    house = stocked()
    made = requested(house)
    with pytest.raises(RefusedTransferError, match="not approved"):
        house.transfers.ship(made.id, "cat", "s")
    with pytest.raises(RefusedTransferError, match="nothing is in transit"):
        house.transfers.receive(made.id, "dan", "p")

    made = house.transfers.close(made.id, "ann", "c", "not needed")

    assert made.status is TransferStatus.CANCELLED
    with pytest.raises(RefusedTransferError, match="closed"):
        house.transfers.approve(made.id, "ben", "a")
    with pytest.raises(RefusedTransferError, match="closed"):
        house.transfers.ship(made.id, "cat", "s")


def test_closed_short_with_a_loss() -> None:
    house = stocked()
    made = shipped(house)
    house.transfers.receive(made.id, "dan", "p", [Part(TEA, 4)])

    with pytest.raises(RefusedTransferError, match="2 units are still in transit"):
        house.transfers.close(made.id, "ben", "c", "the lorry burnt", may_write_off=True)
    with pytest.raises(WriteOffNotAllowedError):
        house.transfers.close(made.id, "ben", "c", "the lorry burnt", accept_loss=True)
    for _ in range(2):
        made = house.transfers.close(
            made.id, "ben", "c", "the lorry burnt", accept_loss=True, may_write_off=True
        )

    assert (made.status, figures(made)) == (TransferStatus.CLOSED_SHORT, (6, 0, 4, 2))
    assert quantities(house, AT_WEST) == (4, 0, 4)
    house.assert_exact()


def test_closed_with_fewer_units_gives_back_what_was_held() -> None:
    house = stocked()
    made = approved(house)
    house.transfers.ship(made.id, "cat", "s", [Part(TEA, 4)])
    house.transfers.receive(made.id, "dan", "p")

    made = house.transfers.close(made.id, "ann", "c", "enough")

    assert (made.status, quantities(house, KEY)) == (TransferStatus.CLOSED, (6, 0, 6))
    house.assert_exact()


def test_above_the_four_eyes_amount_who_requested_it_cannot_approve_it_nor_write_it_off() -> None:
    house = stocked()
    careful(house)
    small, large = requested(house, 2, "small"), requested(house, 3, "large")

    assert house.transfers.approve(small.id, "ann", "a").approved is not None
    with pytest.raises(SamePersonError, match=r"30(\.00)? EUR"):
        house.transfers.approve(large.id, "ann", "a")
    house.transfers.approve(large.id, "ben", "a")
    house.transfers.ship(large.id, "ann", "s")
    with pytest.raises(SamePersonError, match="write them off"):
        house.transfers.close(large.id, "ann", "c", "burnt", accept_loss=True, may_write_off=True)
    closed = house.transfers.close(large.id, "ben", "c", "burnt", accept_loss=True, may_write_off=True)
    assert closed.status is TransferStatus.CLOSED_SHORT


def test_what_cannot_be_meant_names_its_field() -> None:
    house = stocked()
    ask = house.transfers.request
    with pytest.raises(RefusedTransferError, match="to: "):
        ask("ann", "k", EAST, EAST, [(TEA, 1)], "why")
    with pytest.raises(RefusedTransferError, match=r"lines\[1\].sku"):
        ask("ann", "k", EAST, WEST, [(TEA, 1), (TEA, 2)], "why")
    with pytest.raises(UnknownItemError):
        ask("ann", "k", EAST, WEST, [(Sku("NOPE"), 1)], "why")
    made = approved(house)
    with pytest.raises(RefusedTransferError, match="'MUG' is not in it"):
        house.transfers.ship(made.id, "cat", "s", [Part(MUG, 1)])
    with pytest.raises(RefusedTransferError, match="future"):
        house.transfers.ship(made.id, "cat", "s", at=house.clock() + timedelta(hours=1))


def test_one_that_is_overdue_is_a_case_with_its_amount_until_it_has_arrived() -> None:
    house = stocked()
    careful(house, "1000 EUR")
    made = shipped(house, lead_time=timedelta(hours=12))
    house.clock.advance(hours=11)
    house.transfer_watch.run()
    assert list(house.cases.open_of([CaseKind.TRANSFER_OVERDUE])) == []

    house.clock.advance(hours=2)
    house.transfer_watch.run()
    [case] = house.cases.open_of([CaseKind.TRANSFER_OVERDUE])
    assert (case.facts["units"], case.facts["value"], case.facts["sku"]) == (6, "60 EUR", "TEA")
    assert made.id in case.title

    house.transfers.receive(made.id, "dan", "p1", [Part(TEA, 4)])
    house.transfer_watch.run()
    assert house.cases.get(case.id).facts["units"] == 2

    house.transfers.receive(made.id, "dan", "p2")
    house.transfer_watch.run()
    assert house.cases.get(case.id).status is CaseStatus.RESOLVED


def test_the_newest_are_listed_first_in_pages() -> None:
    house = stocked()
    made = []
    for number in range(7):
        made.append(requested(house, 1, f"k{number}").id)
        house.clock.advance(minutes=1)

    first = house.transfers.newest(4)
    rest = house.transfers.newest(4, place_of(first[-1]))

    assert [one.id for one in [*first, *rest]] == made[::-1]


def test_what_is_approved_is_told_to_the_channels_at_once() -> None:
    house = stocked()
    house.list_on(SHOP, "TEA")
    house.settle()
    house.lanes.due()

    approved(house)
    house.settle()

    assert [(hint.channel, hint.sku) for hint in house.lanes.due()] == [(SHOP, TEA)]


def test_units_of_a_reservation_whose_time_is_over_can_be_transferred() -> None:
    house = stocked()
    house.reserver.reserve("k", "bob", SHOP, [Wanted(TEA, 8, EAST)], timedelta(minutes=1))
    house.clock.advance(minutes=2)

    assert approved(house).status is TransferStatus.APPROVED
    assert quantities(house, KEY) == (10, 0, 4)
    house.assert_exact()


def test_a_location_that_is_declared_no_more_can_neither_ship_nor_receive() -> None:
    house, north = stocked(), LocationId("north")
    house.declare(replace(network(), locations={**network().locations, north: Location(north, WMS, WMS)}))
    house.registry.network(fresh=True)
    gone = Network({}, {north: Location(north)}, {})
    made = house.transfers.request("ann", "r", EAST, north, [(TEA, 6)], "a new shop")
    house.transfers.approve(made.id, "ben", "a")
    house.transfers.ship(made.id, "cat", "s", [Part(TEA, 4)])
    withdraw(gone, house.stock, house.registry, house.clock)
    house.registry.network(fresh=True)

    for act in (house.transfers.ship, house.transfers.receive):
        with pytest.raises(RefusedTransferError, match="'north' is not declared any more") as refused:
            act(made.id, "cat", "again")
        assert "declare it again" in refused.value.remedy
    closed = written_off(house, made)

    assert (closed.status, figures(closed)) == (TransferStatus.CLOSED_SHORT, (4, 0, 0, 4))
    assert quantities(house, KEY) == (6, 0, 6)
    house.assert_exact()


def test_each_run_of_the_watch_says_how_many_are_late() -> None:
    house = stocked()
    shipped(house, lead_time=timedelta(hours=1))
    house.clock.advance(hours=2)

    assert [house.transfer_watch.run() for _ in range(2)] == [{"transfers_late": 1}] * 2

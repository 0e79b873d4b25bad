"""Transfers by hand: what left, arrived, is on the way or lost always adds up, and agrees with the ledger."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from shared.domain.cases import CaseKind, CaseStatus
from shared.domain.network import Location
from shared.domain.stock import LocationId, Sku
from shared.domain.transfer import Transfer, TransferStatus
from shared.operations.four_eyes import SamePersonError
from shared.operations.reservations import (
    IdempotencyConflictError,
    InsufficientStockError,
    UnknownItemError,
    Wanted,
)
from shared.operations.set_aside import SetAside
from shared.operations.transfer_calls import (
    Part,
    RefusedTransferError,
    WriteOffNotAllowedError,
)
from shared.operations.withdraw import withdraw
from shared.store.registry import Network
from shared.store.transfers import place_of
from tests.operations.house import (
    EAST,
    KEY,
    NOON,
    SHOP,
    TEA,
    WEST,
    WMS,
    Crash,
    House,
    Interruption,
    movement,
    network,
)
from tests.operations.transferring import (
    AT_WEST,
    MUG,
    approved,
    careful,
    figures,
    least_in_transit,
    once_written,
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


def test_each_call_counts_once_for_its_key_and_another_body_is_a_conflict() -> None:
    house = stocked()
    made = shipped(house)
    for _ in range(2):
        assert requested(house).id == made.id
        house.transfers.approve(made.id, "ben", "a")
        house.transfers.ship(made.id, "cat", "s")
        again = house.transfers.receive(made.id, "dan", "p", [Part(TEA, 2)])
    assert figures(again) == (6, 4, 2, 0)

    with pytest.raises(IdempotencyConflictError):
        house.transfers.receive(made.id, "dan", "p", [Part(TEA, 3)])
    with pytest.raises(IdempotencyConflictError):
        house.transfers.close(made.id, "dan", "p", "over")
    with pytest.raises(IdempotencyConflictError):
        requested(house, 7)
    house.assert_exact()


def test_all_that_is_open_means_what_it_meant_when_it_was_first_said() -> None:
    house = stocked()
    made = approved(house)
    house.transfers.ship(made.id, "cat", "s1", [Part(TEA, 2)])
    house.transfers.receive(made.id, "dan", "p")
    house.transfers.ship(made.id, "cat", "s2")

    made = house.transfers.receive(made.id, "dan", "p")

    assert figures(made) == (6, 4, 2, 0)


def test_what_is_approved_is_promised_to_nobody_else() -> None:
    house = stocked()
    made = approved(house)

    with pytest.raises(InsufficientStockError):
        house.reserver.reserve("k", "bob", SHOP, [Wanted(TEA, 5, EAST)])

    house.transfers.close(made.id, "ann", "c", "not needed")
    house.reserver.reserve("k", "bob", SHOP, [Wanted(TEA, 5, EAST)])
    house.assert_exact()


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


def test_a_transfer_of_several_items_is_held_whole_or_not_at_all() -> None:
    house = stocked()
    made = house.transfers.request("ann", "r", EAST, WEST, [(TEA, 6), (MUG, 1)], "west runs out")

    with pytest.raises(InsufficientStockError):
        house.transfers.approve(made.id, "ben", "a")
    assert quantities(house, KEY) == (10, 0, 10)

    house.post(replace(movement("mugs", 1, 3), sku=MUG))
    house.transfers.approve(made.id, "ben", "a")
    house.transfers.ship(made.id, "cat", "s")
    made = house.transfers.receive(made.id, "dan", "p", [Part(TEA, 6)])
    assert (made.status, figures(made)) == (TransferStatus.RECEIVING, (7, 1, 6, 0))
    made = house.transfers.receive(made.id, "dan", "p2")
    assert made.status is TransferStatus.RECEIVED
    house.assert_exact()


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


def test_a_closing_that_was_cut_short_is_finished_by_the_watch() -> None:
    house = stocked()
    made = shipped(house)

    def crash(_number: int, _: object) -> None:
        raise Crash

    house.stock.faults = Interruption(after=crash)  # the document is closed, and nothing written off yet
    with pytest.raises(Crash):
        house.transfers.close(made.id, "ben", "c", "burnt", accept_loss=True, may_write_off=True)
    house.stock.faults = Interruption()
    assert figures(house.transfers.get(made.id)) == (6, 6, 0, 0)

    house.transfer_watch.run()

    assert figures(house.transfers.get(made.id)) == (6, 0, 0, 6)
    assert list(house.cases.open_of([CaseKind.TRANSFER_OVERDUE])) == []
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


def test_what_had_not_left_by_then_cannot_have_arrived_then() -> None:
    house = stocked()
    made = approved(house)
    house.clock.advance(hours=3)
    hours = [NOON + timedelta(hours=hour) for hour in range(4)]
    house.transfers.ship(made.id, "cat", "s1", [Part(TEA, 4)], at=hours[1])
    house.transfers.ship(made.id, "cat", "s2", [Part(TEA, 2)], at=hours[3])
    receive = house.transfers.receive

    with pytest.raises(
        RefusedTransferError, match="at: TEA: 0 were in transit at 2026-11-01T12:00"
    ) as refused:
        receive(made.id, "dan", "r1", [Part(TEA, 1)], at=hours[0])
    assert (refused.value.field, refused.value.is_about_state) == ("at", False)
    assert "2026-11-01T13:00:00.000000Z, 2026-11-01T15:00:00.000000Z" in refused.value.reason
    with pytest.raises(RefusedTransferError, match="4 were in transit"):
        receive(made.id, "dan", "r2", [Part(TEA, 5)], at=hours[2])

    receive(made.id, "dan", "r3", [Part(TEA, 4)], at=hours[1])
    with pytest.raises(RefusedTransferError, match="0 were in transit"):
        receive(made.id, "dan", "r4", at=hours[2])
    assert receive(made.id, "dan", "r5").status is TransferStatus.RECEIVED
    house.assert_exact()


def shipped_twice(house: House) -> Transfer:
    """Ship four units an hour after noon and six three hours after, of ten; it is four then."""
    made = approved(house, 10)
    house.clock.advance(hours=3)
    house.transfers.ship(made.id, "cat", "s1", [Part(TEA, 4)], at=NOON + timedelta(hours=1))
    return house.transfers.ship(made.id, "cat", "s2", [Part(TEA, 6)], at=NOON + timedelta(hours=3))


def test_a_receipt_dated_back_leaves_enough_for_those_that_came_after_it() -> None:
    house = stocked()
    made = shipped_twice(house)
    house.transfers.receive(made.id, "dan", "p1", [Part(TEA, 3)], at=NOON + timedelta(hours=2.5))
    earlier = NOON + timedelta(hours=2)

    with pytest.raises(RefusedTransferError, match="and 1 of them at 2026-11-01T14:30:00") as refused:
        house.transfers.receive(made.id, "dan", "p2", [Part(TEA, 2)], at=earlier)

    assert refused.value.field == "at"
    assert refused.value.remedy.startswith("receive 1 or fewer at that instant")
    house.transfers.receive(made.id, "dan", "p3", [Part(TEA, 1)], at=earlier)
    house.transfers.receive(made.id, "dan", "p4", [Part(TEA, 6)], at=NOON + timedelta(hours=3))
    assert least_in_transit(house) == 0
    house.assert_exact()


def test_of_two_receipts_dated_back_at_once_the_second_is_judged_after_the_first() -> None:
    house = stocked()
    made = shipped_twice(house)

    def meanwhile() -> None:
        house.transfers.receive(made.id, "eve", "other", [Part(TEA, 4)], at=NOON + timedelta(hours=2.5))

    once_written(house, meanwhile)
    for _ in range(2):
        with pytest.raises(RefusedTransferError, match="and 0 of them at 2026-11-01T14:30:00") as refused:
            house.transfers.receive(made.id, "dan", "p", [Part(TEA, 4)], at=NOON + timedelta(hours=2))
        assert "another key" in refused.value.remedy

    assert figures(house.transfers.get(made.id)) == (10, 6, 4, 0)
    assert least_in_transit(house) == 0
    house.assert_exact()


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


def test_of_two_who_receive_the_same_units_at_once_one_is_refused() -> None:
    house = stocked()
    made = shipped(house)
    began = False

    def meanwhile(_: int, actions: object) -> None:
        nonlocal began
        if not began and "EVENT#" in str(actions):
            began = True
            house.transfers.receive(made.id, "eve", "other", [Part(TEA, 4)])

    house.stock.faults = Interruption(before=meanwhile)
    with pytest.raises(RefusedTransferError, match="2 are in transit"):
        house.transfers.receive(made.id, "dan", "p", [Part(TEA, 4)])

    assert figures(house.transfers.get(made.id)) == (6, 2, 4, 0)
    house.assert_exact()


def test_what_is_approved_is_told_to_the_channels_at_once() -> None:
    house = stocked()
    house.list_on(SHOP, "TEA")
    house.settle()
    house.lanes.due()

    approved(house)
    house.settle()

    assert [(hint.channel, hint.sku) for hint in house.lanes.due()] == [(SHOP, TEA)]


def test_a_call_that_was_refused_posts_nothing_later_and_says_the_same_again() -> None:
    house = stocked()
    made = approved(house)
    house.transfers.ship(made.id, "cat", "s1", [Part(TEA, 3)])
    once_written(house, lambda: house.transfers.receive(made.id, "eve", "other"))
    with pytest.raises(RefusedTransferError, match="0 are in transit"):
        house.transfers.receive(made.id, "dan", "p")
    house.transfers.ship(made.id, "cat", "s2", [Part(TEA, 3)])

    with pytest.raises(RefusedTransferError, match="0 are in transit") as again:
        house.transfers.receive(made.id, "dan", "p")

    assert (again.value.field, figures(house.transfers.get(made.id))) == ("lines", (6, 3, 3, 0))
    assert "another key" in again.value.remedy
    assert figures(house.transfers.receive(made.id, "dan", "p2")) == (6, 0, 6, 0)
    house.assert_exact()


def two_lines(house: House) -> Transfer:
    house.post(replace(movement("mugs", 1, 10), sku=MUG))
    made = house.transfers.request("ann", "r", EAST, WEST, [(TEA, 3), (MUG, 3)], "west runs out")
    house.transfers.approve(made.id, "ben", "a")
    return house.transfers.ship(made.id, "cat", "s")


def test_of_a_call_with_a_line_that_is_refused_nothing_is_posted() -> None:
    house = stocked()
    made = two_lines(house)
    once_written(house, lambda: house.transfers.receive(made.id, "eve", "other", [Part(MUG, 1)]))

    with pytest.raises(RefusedTransferError, match="MUG: 2 are in transit"):
        house.transfers.receive(made.id, "dan", "p")

    assert figures(house.transfers.get(made.id)) == (6, 5, 1, 0)
    house.assert_exact()


def test_the_rest_of_a_call_that_was_cut_short_is_judged_before_it_is_posted() -> None:
    house = stocked()
    made = two_lines(house)

    def crash() -> None:
        raise Crash

    once_written(house, crash)
    with pytest.raises(Crash):
        house.transfers.receive(made.id, "dan", "p")
    house.transfers.receive(made.id, "eve", "other", [Part(MUG, 1)])

    with pytest.raises(RefusedTransferError, match="MUG: 2 are in transit"):
        house.transfers.receive(made.id, "dan", "p")

    assert figures(house.transfers.get(made.id)) == (6, 5, 1, 0)


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

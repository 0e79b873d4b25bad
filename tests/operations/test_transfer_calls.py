"""Calls about a transfer: each counts once, whole or not at all, whoever else calls and wherever it was cut short."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shared.domain.cases import CaseKind
from shared.domain.transfer import Transfer, TransferStatus
from shared.operations.reservations import IdempotencyConflictError, InsufficientStockError
from shared.operations.transfer_calls import Part, RefusedTransferError
from tests.operations.house import EAST, KEY, TEA, WEST, Crash, House, Interruption, movement
from tests.operations.transferring import (
    MUG,
    approved,
    figures,
    once_written,
    quantities,
    requested,
    shipped,
    stocked,
)


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

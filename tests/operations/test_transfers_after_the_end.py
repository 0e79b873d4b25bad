"""Transfers that are closed, and what is told, undone or found of them after that."""

from __future__ import annotations

import pytest

from shared.domain.cases import CaseKind
from shared.domain.transfer import TransferStatus
from shared.operations.transfer_calls import (
    Part,
    RefusedTransferError,
    WriteOffNotAllowedError,
)
from tests.operations.house import (
    KEY,
    TEA,
    Interruption,
)
from tests.operations.transferring import (
    AT_WEST,
    approved,
    figures,
    quantities,
    shipped,
    stocked,
    told,
    undone,
    written_off,
)


@pytest.mark.parametrize("units", [2, 6], ids=["in parts", "whole"])
def test_an_undone_shipment_of_a_closed_transfer_holds_nothing(units: int) -> None:
    house = stocked()
    made = approved(house)
    if units < 6:
        told(house, "transfer_ship", 6 - units, transfer=made.id)
    shipment = told(house, "transfer_ship", units, transfer=made.id)
    written_off(house, made)

    undone(house, shipment)

    assert quantities(house, KEY) == (4 + units, 0, 4 + units)
    assert figures(house.transfers.get(made.id)) == (6 - units, -units, 0, 6)
    house.assert_exact()


def test_what_was_written_off_and_turns_out_never_to_have_left_is_a_case_that_closing_again_ends() -> None:
    house = stocked()
    made = approved(house)
    shipment = told(house, "transfer_ship", 6, transfer=made.id)
    written_off(house, made)
    undone(house, shipment)
    assert house.transfers.get(made.id).status is TransferStatus.IN_TRANSIT
    house.clock.advance(hours=2)
    house.transfer_watch.run()
    [case] = house.cases.open_of([CaseKind.TRANSFER_OVER_RECEIVED])
    assert case.facts["units"] == 6

    made = written_off(house, made, "again")

    assert (made.status, figures(made)) == (TransferStatus.CANCELLED, (0, 0, 0, 0))
    house.transfer_watch.run()
    assert house.open_cases() == []
    assert quantities(house, AT_WEST) == (0, 0, 0)
    house.assert_exact()


def test_what_arrived_and_is_said_never_to_have_left_is_closed_and_not_cancelled() -> None:
    house = stocked()
    made = approved(house)
    shipment = told(house, "transfer_ship", 4, transfer=made.id)
    told(house, "transfer_receive", 4, transfer=made.id)
    house.transfers.close(made.id, "ben", "c", "enough")
    undone(house, shipment)
    assert house.transfers.get(made.id).status is TransferStatus.RECEIVING

    made = written_off(house, made, "again")

    assert (made.status, figures(made)) == (TransferStatus.CLOSED, (0, 0, 4, -4))
    assert quantities(house, KEY) == (10, 0, 10)
    house.assert_exact()


def test_what_is_shipped_after_the_end_can_be_received() -> None:
    house = stocked()
    made = approved(house)
    house.transfers.close(made.id, "ben", "c", "not needed")
    told(house, "transfer_ship", 4, transfer=made.id)
    house.clock.advance(hours=1)
    house.transfer_watch.run()
    assert house.open_cases() == [CaseKind.TRANSFER_OVERDUE]

    made = house.transfers.receive(made.id, "dan", "p")

    assert (made.status, figures(made)) == (TransferStatus.CLOSED, (4, 0, 4, 0))
    house.transfer_watch.run()
    assert house.open_cases() == []
    with pytest.raises(RefusedTransferError, match="closed"):
        house.transfers.receive(made.id, "dan", "p2", [Part(TEA, 1)])
    house.assert_exact()


def test_what_is_shipped_after_the_end_can_be_written_off_too_however_often() -> None:
    house = stocked()
    made = approved(house)
    house.transfers.close(made.id, "ben", "c", "not needed")
    for units in (2, 3):
        told(house, "transfer_ship", units, transfer=made.id)
        with pytest.raises(WriteOffNotAllowedError):
            house.transfers.close(made.id, "ben", f"may-not-{units}", "burnt", accept_loss=True)
        for _ in range(2):
            made = written_off(house, made, f"c{units}")

    assert (made.status, figures(made)) == (TransferStatus.CLOSED_SHORT, (5, 0, 0, 5))
    assert quantities(house, KEY) == (5, 0, 5)
    with pytest.raises(RefusedTransferError, match="closed_short already"):
        written_off(house, made, "c-again")
    house.assert_exact()


def test_what_was_written_off_and_arrives_after_all_is_accepted_by_closing_again() -> None:
    house = stocked()
    made = written_off(house, shipped(house))
    told(house, "transfer_receive", 6, transfer=made.id)
    house.clock.advance(hours=2)
    house.transfer_watch.run()
    assert house.open_cases() == [CaseKind.TRANSFER_OVER_RECEIVED]

    made = written_off(house, made, "found")

    assert (made.status, figures(made)) == (TransferStatus.CLOSED, (6, 0, 6, 0))
    assert quantities(house, AT_WEST) == (6, 0, 6)
    house.transfer_watch.run()
    assert house.open_cases() == []
    house.assert_exact()


def test_nobody_has_accepted_the_loss_of_what_is_shipped_after_the_end() -> None:
    house = stocked()
    made = shipped(house, 3)

    def meanwhile(_number: int, _: object) -> None:
        house.stock.faults = Interruption()
        told(house, "transfer_receive", 3, transfer=made.id)
        told(house, "transfer_ship", 2, transfer=made.id)

    house.stock.faults = Interruption(after=meanwhile)  # the document is closed, and nothing written off yet
    written_off(house, made)

    assert figures(house.transfers.get(made.id)) == (5, 2, 3, 0)
    house.transfer_watch.run()
    assert house.open_cases() == [CaseKind.TRANSFER_OVERDUE]
    house.assert_exact()

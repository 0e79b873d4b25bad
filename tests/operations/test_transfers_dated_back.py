"""Receipts dated back: nothing arrives before it left, and what came later still has its units."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.domain.transfer import Transfer, TransferStatus
from shared.operations.transfer_calls import Part, RefusedTransferError
from tests.operations.house import NOON, TEA, House
from tests.operations.transferring import approved, figures, least_in_transit, once_written, stocked


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

"""How long it takes each system to have an event that happened: until its first number that agrees."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from shared.domain.drift import Observation
from shared.store.table import Action
from tests.operations.house import EAST, ERP, TEA, House, Interruption, at, movement
from tests.operations.kpi_days import opened, rows
from tests.operations.test_undoing import told, undo


@pytest.fixture
def house() -> House:
    return opened()


def says(house: House, minute: float, quantity: int) -> None:
    """Let the ERP say what it has of the tea."""
    house.clock.now = max(house.clock.now, at(minute))
    house.observations.record([Observation(ERP, TEA, EAST, "on_hand", quantity, at(minute))], house.clock())
    house.settle()


def confirmed(house: House) -> tuple[int, int]:
    """Return how many events the ERP confirmed, and the p50 in minutes, rounded down."""
    found = {row["system"]: row for row in rows(house, "event_to_each_system")}
    row = found.get("erp", {"count": 0, "p50_ms": 0})
    return int(str(row["count"])), int(str(row["p50_ms"])) // 60_000


def test_an_event_is_confirmed_by_the_first_number_as_of_then_or_later_that_agrees_to_the_unit_and_once(
    house: House,
) -> None:
    says(house, 6, 100)
    house.post(movement("wms/1/1/shipment/", 10, -2), movement("erp/2/1/shipment/", 11, -1))
    says(house, 9, 100)
    assert confirmed(house)[0] == 0
    says(house, 20, 100)
    assert confirmed(house)[0] == 0
    says(house, 70, 97)
    assert confirmed(house)[0] == 1
    assert 60 <= confirmed(house)[1] < 75
    says(house, 80, 97)
    assert confirmed(house)[0] == 1


def test_an_event_that_is_learnt_of_late_is_confirmed_by_the_next_number_that_has_it(house: House) -> None:
    says(house, 6, 100)
    house.post(movement("wms/1/1/shipment/", 10, -2))
    says(house, 30, 98)
    house.post(movement("wms/2/1/shipment/", 20, -5))
    house.settle()
    assert confirmed(house)[0] == 1
    says(house, 40, 93)
    assert confirmed(house)[0] == 2


def test_an_undo_is_no_event_of_the_past_that_a_system_hears_of(house: House) -> None:
    says(house, 6, 100)
    receipt = told(house, "receipt", "R", 10, 5)
    says(house, 190, 105)
    assert confirmed(house)[0] == 1
    house.clock.now = at(14_400)
    undo(house, receipt)
    house.settle()
    says(house, 14_401, 100)
    assert [row["count"] for row in rows(house, "event_to_each_system", days=12)] == [1]


def test_what_was_undone_before_a_system_had_it_was_never_confirmed(house: House) -> None:
    says(house, 6, 100)
    undo(house, told(house, "receipt", "R", 10, 5))
    house.post(movement("wms/1/1/shipment/", 185, -2))
    says(house, 190, 98)
    assert confirmed(house)[0] == 1
    assert confirmed(house)[1] < 7


def test_a_number_that_is_announced_twice_and_measured_by_two_at_once_confirms_once(house: House) -> None:
    says(house, 6, 100)
    house.post(movement("wms/1/1/shipment/", 10, -2))
    says(house, 30, 98)
    house.confirmer.observed([Observation(ERP, TEA, EAST, "on_hand", 98, at(30))])
    assert confirmed(house)[0] == 1

    house.post(movement("wms/2/1/shipment/", 31, -1))
    seen = Observation(ERP, TEA, EAST, "on_hand", 97, at(40))
    house.observations.record([seen], house.clock())
    begun: list[int] = []

    def another_measures(_number: int, actions: Sequence[Action]) -> None:
        if not begun and any(action.key.pk.startswith("CONFIRMED#") for action in actions):
            begun.append(1)
            house.confirmer.observed([seen])

    house.stock.faults = Interruption(before=another_measures)
    house.confirmer.observed([seen])
    assert begun
    assert confirmed(house)[0] == 2

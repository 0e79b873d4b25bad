"""The fill rate: what of the orders of some days was shipped within a week."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from shared.store.table import Action
from tests.operations.house import EAST, NOON, TEA, WEST, House, Interruption, at, cancelled, demand, shipment
from tests.operations.kpi_days import DAY, opened, rows


@pytest.fixture
def house() -> House:
    return opened()


def orders(house: House) -> None:
    """Five orders on the first day: one shipped whole, one in part, one too late, one cancelled in part, one never.

    And one on the second, that is never shipped.
    """
    week = 7 * 1440
    house.post(
        demand("shop/a/ordered", 6, 10, "A"),
        demand("shop/b/ordered", 6, 10, "B"),
        demand("shop/c/ordered", 6, 10, "C"),
        demand("shop/d/ordered", 6, 10, "D"),
        demand("shop/e/ordered", 6, 10, "E"),
        cancelled("shop/d/cancelled", 7, 4, "D"),
    )
    house.clock.now = at(1440)
    house.post(demand("shop/f/ordered", 1440, 10, "F"))
    house.clock.now = at(week + 60)
    house.post(
        shipment("wms/a/1/shipment/", 60, 10, "A"),
        shipment("wms/b/1/shipment/", 60, 7, "B"),
        shipment("wms/c/1/shipment/", week + 7, 10, "C"),
        shipment("wms/d/1/shipment/", week + 6, 6, "D"),
    )


def fill(house: House, days: int = 1) -> list[tuple[object, ...]]:
    names = ("location", "lines", "whole", "asked", "sent", "fill_rate", "keys_left_out")
    return [tuple(row[name] for name in names) for row in rows(house, "fill_rate", days)]


def test_orders_are_filled_by_what_was_shipped_within_a_week_of_those_not_cancelled(house: House) -> None:
    orders(house)
    house.drift_sweep.run()
    assert fill(house) == []
    house.clock.advance(days=1)
    house.drift_sweep.run()
    assert fill(house) == [("east", 5, 2, 46, 23, 5_000, 0)]
    house.drift_sweep.run()
    house.clock.advance(days=1)
    house.drift_sweep.run()
    assert fill(house) == [("east", 5, 2, 46, 23, 5_000, 0)]
    assert fill(house, days=2) == [("east", 6, 2, 56, 23, 10_000 * 23 // 56, 0)]


def test_units_held_for_a_transfer_of_our_own_are_no_order(house: House) -> None:
    house.post(demand("d1", 1, 5, "1001"))
    house.post(shipment("wms/s/1/shipment/", 3, 5, "1001"))
    asked = house.transfers.request("ann", "k", EAST, WEST, [(TEA, 10)], "west runs out")
    house.transfers.approve(asked.id, "ben", "a")
    house.clock.now = NOON + 8 * DAY
    house.settle()
    house.drift_sweep.run()
    assert fill(house, days=2) == [("east", 1, 1, 5, 5, 10_000, 0)]


def test_days_that_no_sweep_came_by_are_judged_by_the_next_and_each_line_once(house: House) -> None:
    orders(house)
    house.drift_sweep.run()
    house.clock.advance(days=12)
    begun: list[int] = []

    def another_passes(_number: int, actions: Sequence[Action]) -> None:
        if not begun and any("FILLED#" in action.key.pk for action in actions):
            begun.append(1)
            house.drift_sweep.run()

    house.stock.faults = Interruption(before=another_passes)
    house.drift_sweep.run()
    assert begun
    assert fill(house, days=2) == [("east", 6, 2, 56, 23, 10_000 * 23 // 56, 0)]

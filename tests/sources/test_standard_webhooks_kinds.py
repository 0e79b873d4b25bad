"""Holds, damage, returns by disposition, and transfers: what each type of message moves."""

from __future__ import annotations

from typing import Any

import pytest

from shared.domain.events import Leg
from shared.domain.stock import Counter, LocationId
from tests.sources.test_standard_webhooks import document, line, only_fault, only_movement

LEEDS, YORK = LocationId("LEEDS"), LocationId("YORK")


@pytest.mark.parametrize(
    ("type_", "fields", "legs"),
    [
        ("hold", {}, (Leg(LEEDS, 4, Counter.QUALITY_HOLD),)),
        ("release", {}, (Leg(LEEDS, -4, Counter.QUALITY_HOLD),)),
        ("damage", {}, (Leg(LEEDS, 4, Counter.DAMAGED),)),
        ("return", {"disposition": "sellable"}, (Leg(LEEDS, 4),)),
        ("return", {"disposition": "damaged"}, (Leg(LEEDS, 4), Leg(LEEDS, 4, Counter.DAMAGED))),
        ("return", {"disposition": "quality_hold"}, (Leg(LEEDS, 4), Leg(LEEDS, 4, Counter.QUALITY_HOLD))),
        ("transfer_ship", {"to_location": "YORK"}, (Leg(LEEDS, -4), Leg(YORK, 4, Counter.IN_TRANSIT))),
        ("transfer_receive", {}, (Leg(LEEDS, -4, Counter.IN_TRANSIT), Leg(LEEDS, 4))),
    ],
)
def test_each_type_moves_its_own_counters(type_: str, fields: dict[str, Any], legs: tuple[Leg, ...]) -> None:
    assert only_movement(document(f"stock.{type_}", line(**fields))).legs == legs


def test_a_disposition_that_nobody_knows_is_a_fault_that_lists_those_that_exist() -> None:
    fault = only_fault(document("stock.return", line(disposition="lost")))
    assert fault.field == "data.lines[0].disposition"
    assert "sellable, quality_hold, damaged" in fault.remedy


@pytest.mark.parametrize("fields", [{}, {"to_location": "LEEDS"}])
def test_a_transfer_needs_a_destination_that_is_somewhere_else(fields: dict[str, Any]) -> None:
    assert only_fault(document("stock.transfer_ship", line(**fields))).field == "data.lines[0].to_location"


def test_a_movement_that_names_a_transfer_of_ours_is_of_its_order() -> None:
    moved = only_movement(document("stock.transfer_receive", line(transfer="5f0c")))
    assert moved.order_line == ("transfer/5f0c", moved.sku)
    assert ("transfer", "5f0c") in moved.origin.refs


def test_what_moves_nothing_of_a_transfer_cannot_name_one() -> None:
    fault = only_fault(document("stock.receipt", line(transfer="5f0c")))
    assert fault.field == "data.lines[0].transfer"
    assert "transfer_receive" in fault.remedy

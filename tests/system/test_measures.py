"""Measures on the deployed template: what the streams deliver, several times and at once, is in the counters once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from infra.local.demo.stage import Stage

pytestmark = pytest.mark.system

SKUS = [f"SKU-{number:05}" for number in range(80, 92)]


def counts(world: Stage) -> tuple[int, int, int]:
    """Return the counts at the east that somebody entered, those that matched, and units off."""
    found = world.api("GET", "/v1/match-rate").body["counts"]
    rows = [one for one in found if (one["location"], one["source"]) == ("east", "manual")]
    return (
        sum(one["compared"] for one in rows),
        sum(one["matched"] for one in rows),
        sum(one["units_off"] for one in rows),
    )


def rows(world: Stage, name: str) -> list[dict[str, Any]]:
    [found] = [one for one in world.api("GET", "/v1/kpis").body["kpis"] if one["name"] == name]
    return list(found["rows"])


def test_counts_and_adjustments_of_many_items_at_once_are_measured_exactly(world: Stage) -> None:
    world.settle()
    compared, matched, off = counts(world)
    adjusted = sum(row["adjustments"] for row in rows(world, "manual_adjustments"))

    def one(number: int) -> None:
        sku, key = SKUS[number], f"measure-{number}"
        for step, quantity in enumerate((40, 40, 37)):
            counted = {"sku": sku, "location": "east", "quantity": quantity, "reason": "counted the shelf"}
            assert world.api("POST", "/v1/counts", counted, Idempotency_Key=f"{key}-{step}").status == 201
        moved = {"sku": sku, "location": "east", "quantity": -1, "reason": "broken in the aisle"}
        assert world.api("POST", "/v1/movements", moved, Idempotency_Key=f"{key}-m").status == 201

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(one, range(len(SKUS))))

    known = len(
        SKUS
    )  # the first count of each is what it begins with; the second matches, the third is off by 3
    world.until(
        "all are counted", lambda: counts(world), (compared + 2 * known, matched + known, off + 3 * known)
    )
    world.settle()
    assert counts(world) == (compared + 2 * known, matched + known, off + 3 * known)
    assert sum(row["adjustments"] for row in rows(world, "manual_adjustments")) == adjusted + known
    [gate] = [one for one in world.api("GET", "/v1/match-rate").body["cutover"] if one["location"] == "east"]
    assert (gate["passes"], gate["days_needed"]) == (False, 7)

"""The first count of a stock key: what is no surprise, since nothing was known of the item before."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shared.domain.events import Count
from shared.domain.network import Grain
from shared.domain.stock import WHOLE, Leaf
from shared.operations.facts import Outcome
from tests.operations.house import House, count, movement
from tests.operations.waiting_counts import LIMIT, careful


def leaf_count(name: str, minute: float, units: int, leaf: Leaf = WHOLE, element: str = "on_hand") -> Count:
    """Return a count of the WMS of one bin, or of one counter."""
    return replace(count(f"wms/{name}", minute, units), leaf=leaf, element=element)


@pytest.mark.parametrize(
    "further",
    [
        leaf_count("new-bin", 5, 1_000_000, Leaf("B-9", "-")),
        leaf_count("other-counter", 5, 1_000_000, element="damaged"),
        leaf_count("another-day", 5, 60, Leaf("B-2", "-"), "quality_hold"),
    ],
    ids=["a new bin", "another counter", "both"],
)
def test_a_bin_or_counter_that_was_never_named_is_no_opening_of_an_item_that_is_known(further: Count) -> None:
    house = House(careful(approve_beyond=LIMIT, grain=Grain.BIN))
    house.post(leaf_count("open", 0, 100, Leaf("B-1", "-")))

    [result] = house.post(further)

    assert result.outcome is Outcome.WAITS
    assert house.on_hand() == house.available() == 100
    house.assert_exact()


def test_an_opening_snapshot_posts_all_bins_and_counters_of_an_item_also_in_parts_with_movements_between() -> (
    None
):
    house = House(careful(approve_beyond=LIMIT, grain=Grain.BIN))

    house.post(leaf_count("a", 0, 100, Leaf("B-1", "-")), leaf_count("b", 0, 50, Leaf("B-2", "-")))
    house.post(movement("wms/pick", 2, -1))
    later = house.post(
        leaf_count("c", 0, 70, Leaf("B-3", "-")), leaf_count("d", 0, 20, Leaf("B-3", "-"), "damaged")
    )

    assert [result.outcome for result in later] == [Outcome.POSTED, Outcome.POSTED]
    assert (house.on_hand(), house.available()) == (219, 199)
    house.assert_exact()


def test_a_movement_before_the_first_count_makes_it_no_opening() -> None:
    house = House(careful(approve_beyond=LIMIT))
    house.post(movement("wms/receipt", -5, 10))

    [result] = house.post(leaf_count("c", 0, 500, element="damaged"))

    assert result.outcome is Outcome.WAITS

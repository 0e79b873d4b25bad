"""A source that goes over from totals to bins or lots: its last total is compared no more, in whatever order it is told."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from itertools import permutations

import pytest

from shared.domain.root_cause import Explanation
from shared.domain.stock import Sku, StockKey
from shared.operations.explain import NothingSaidError
from tests.operations.deliveries import body, deliver
from tests.operations.house import EAST, ERP, KEY, House, at, count, movement
from tests.operations.test_reconciling import says, the_case

MINUTES_OF_A_DAY = 24 * 60

FACTS = {"E": (0, 90), "E2": (40, 95), "B1": (41, None), "B2": (91, None)}
"""Totals and counts of a bin: after how many hours each was said, and the total."""


@pytest.fixture
def house() -> House:
    house = House()
    house.clock.advance(minutes=30)
    house.post(movement("opening", 0, 1000))
    return house


def tell(house: House, name: str, when: datetime, line: dict[str, object]) -> None:
    """Let the ERP state a number as of an instant, no earlier than that."""
    house.clock.now = max(house.clock.now, when)
    house.store("erp", body("count", name, {"sku": "TEA", **line}, occurred_at=when))
    house.settle()


def told_in_order(names: Sequence[str]) -> House:
    house = House()
    house.clock.now = at(30)
    house.post(count("wms/o/1/count/", 0, 100))
    for name in names:
        hours, total = FACTS[name]
        line: dict[str, object] = {"quantity": 100, "bin": "A"} if total is None else {"quantity": total}
        tell(house, name, at(60 * hours + 30), line)
    return house


def says_of_bins(house: House, document: str, minute: float, **said: int) -> None:
    lines = [{"sku": "TEA", "quantity": units, "bin": name} for name, units in said.items()]
    deliver(house, body("count", document, *lines, occurred_at=at(minute)), document, ERP)
    house.settle()


def test_a_total_is_compared_no_more_once_its_system_has_named_bins_alone_for_a_day(house: House) -> None:
    says(house, 900, 5)
    house.settle()
    house.clock.now = at(3 * MINUTES_OF_A_DAY)
    says_of_bins(house, "B-1", MINUTES_OF_A_DAY, A=600)
    house.drift_sweep.run()
    assert the_case(house) is not None, "it may say a total again today"

    says_of_bins(house, "B-2", MINUTES_OF_A_DAY + 5, B=400)
    house.clock.advance(days=1)
    house.drift_sweep.run()

    assert (the_case(house), house.reconciler.judge([KEY])) == (None, [])
    says(house, 950, 2 * MINUTES_OF_A_DAY)
    house.settle()
    case = the_case(house)
    assert case is not None
    assert case.facts["drift"] == -50


def test_a_system_that_says_bins_and_totals_is_compared_by_its_totals(house: House) -> None:
    for day in range(3):
        house.clock.now = at(day * MINUTES_OF_A_DAY + 60)
        says(house, 900, day * MINUTES_OF_A_DAY + 5)
        says_of_bins(house, f"B-{day}", day * MINUTES_OF_A_DAY + 30, A=600)
        house.drift_sweep.run()
        assert the_case(house) is not None


@pytest.mark.parametrize("names", list(permutations(FACTS)), ids="-".join)
def test_once_the_newest_bin_is_a_day_newer_than_the_newest_total_no_case_is_left_open_in_any_order(
    names: Sequence[str],
) -> None:
    house = told_in_order(names)
    house.drift_sweep.run()
    assert house.open_cases() == []
    [said] = house.observations.recall([(KEY, ERP, "on_hand")])
    assert (said.last.as_of, said.last.quantity, said.is_over) == (at(60 * 40 + 30), 95, True)
    house.assert_exact()


@pytest.mark.parametrize("names", list(permutations(["E", "B1", "E2"])), ids="-".join)
def test_a_total_is_compared_in_any_order_while_no_bin_is_a_day_newer(names: Sequence[str]) -> None:
    house = told_in_order(names)
    house.drift_sweep.run()
    case = the_case(house)
    assert case is not None
    assert case.facts["observed"] == 95


def test_bins_told_before_any_total_are_no_statement_of_it(house: House) -> None:
    says_of_bins(house, "B-1", 5, A=600)
    assert house.observations.of_sku(KEY.sku) == []
    assert house.observations.find([(KEY, ERP, "on_hand")]) == []
    assert house.view.item(KEY.sku).locations[0].comparisons == ()


def test_a_total_that_is_compared_no_more_is_neither_shown_nor_explained_until_a_newer_one_is_stated(
    house: House,
) -> None:
    def shown() -> list[tuple[int, int]]:
        compared = house.view.item(KEY.sku).locations[0].comparisons
        return [(one.observation.quantity, one.drift) for one in compared if one.observation.source == ERP]

    says(house, 900, 5)
    house.settle()
    assert (shown(), len(house.explainer.of_key(KEY))) == ([(900, -100)], 1)

    house.clock.now = at(3 * MINUTES_OF_A_DAY)
    says_of_bins(house, "B-1", 2 * MINUTES_OF_A_DAY, A=600)

    assert (shown(), house.explainer.of_key(KEY)) == ([], [])
    with pytest.raises(NothingSaidError, match="no total since it told of bins or lots alone"):
        house.explainer.of_subject(KEY, ERP, "on_hand")

    says(house, 950, 2 * MINUTES_OF_A_DAY + 5)
    house.settle()
    assert (shown(), len(house.explainer.of_key(KEY))) == ([(950, -50)], 1)


@pytest.mark.parametrize("goes_over", [False, True])
def test_a_total_that_is_compared_no_more_is_no_evidence_about_another_item(
    goes_over: bool,
) -> None:
    def explanation(*, beside: bool) -> Explanation:
        house = House()
        house.clock.now = at(3 * MINUTES_OF_A_DAY)
        mug = StockKey(Sku("MUG"), EAST)
        for key in (KEY, mug):
            house.post(movement(f"wms/GR-{key.sku}/1/receipt/", 0, 1000, key=key))
        house.post(movement("wms/S-1/1/shipment/", 20, -13), movement("wms/S-2/1/shipment/", 21, -7, key=mug))
        for minute, units in [(10, 1000), (25, 1000)]:
            says(house, units, minute)
        told: list[tuple[str, int, dict[str, object]]] = [
            (f"M-{minute}", minute, {"quantity": units}) for minute, units in [(10, 1000), (25, 993)]
        ]
        if goes_over:
            told.append(("M-B", 25 + MINUTES_OF_A_DAY, {"quantity": 1, "bin": "A"}))
        for name, minute, line in told if beside else told[2:]:
            tell(house, name, at(minute), {**line, "sku": "MUG"})
        house.settle()
        _, found = house.explainer.of_subject(KEY, ERP, "on_hand")
        return found

    assert (explanation(beside=True) == explanation(beside=False)) is goes_over

"""A stock key that is corrected back and forth is one case; one that is corrected one way is not."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from shared.domain.cases import CaseKind, CaseStatus
from shared.domain.damping import KEPT, Correction, Damping, remembered, swings
from shared.domain.events import instant
from shared.domain.rules import Rules
from tests.operations.house import NOON, House, at


def counted(house: House, number: int, quantity: int, source: str = "wms", kind: str = "count") -> None:
    """Let a system say what it counted just now, and apply it."""
    line = {"line": "1", "sku": "TEA", "location": "east", "quantity": quantity}
    data = {"document": f"C{number}", "lines": [line]}
    body = {"type": f"stock.{kind}", "timestamp": instant(house.clock()), "data": data}
    house.store(source, body, delivery=f"{source}{number}{kind}")
    house.settle()
    house.clock.advance(hours=1)


def loops(house: House) -> list[str]:
    return [c.title for c in house.cases.list(CaseStatus.OPEN) if c.kind is CaseKind.CORRECTION_LOOP]


def swung(house: House, times: int, first: int = 0) -> None:
    """Correct the same number up and down, an hour apart."""
    for number in range(first, first + times):
        counted(house, number, 100 if number % 2 == 0 else 97)


def test_corrections_that_undo_each_other_are_one_case_that_names_them() -> None:
    house = House()
    swung(house, 4)
    assert loops(house) == []
    swung(house, 2, first=4)
    assert loops(house) == ["TEA@east was corrected 5 times by wms, back and forth: -3 in all"]
    [case] = [c for c in house.cases.list(CaseStatus.OPEN) if c.kind is CaseKind.CORRECTION_LOOP]
    assert (case.facts["swings"], case.facts["units"]) == (4, 3)
    assert str(case.facts["correction_1"]).endswith(" wms -3 (wms/C1/1/count/)")
    house.assert_exact()


def test_the_first_count_and_counts_that_agree_correct_nothing() -> None:
    house = House()
    for number in range(10):
        counted(house, number, 100)
    assert [item for item in house.stock.scan() if str(item["pk"]).startswith("CORR#")] == []


def test_a_number_that_is_corrected_always_the_same_way_is_no_loop() -> None:
    house = House()
    for number in range(12):
        counted(house, number, 100 - 3 * number)
    assert loops(house) == []


def test_counts_that_are_a_little_off_one_way_and_the_other_are_no_loop() -> None:
    house = House()
    for number, quantity in enumerate((100, 97, 99, 96, 100, 98, 101)):
        counted(house, number, quantity)
    assert loops(house) == []


def test_adjustments_count_as_corrections_and_receipts_do_not() -> None:
    house = House()
    counted(house, 0, 100)
    for number in range(1, 6):
        counted(house, number, 3 if number % 2 else -3, kind="adjustment")
        counted(house, number, 5, kind="receipt")
    [title] = loops(house)
    assert title == "TEA@east was corrected 5 times by wms, back and forth: +3 in all"


def test_swings_further_apart_than_the_rule_says_are_no_loop() -> None:
    house = House()
    declared = house.registry.network(fresh=True)
    rule = Rules(damping=Damping(swings=2, within=timedelta(minutes=90)))
    house.declare(replace(declared, rules=rule))
    swung(house, 10)
    assert loops(house) == []


def test_while_it_swings_new_drift_is_counted_in_its_case_and_opens_no_other() -> None:
    house = House()
    swung(house, 6)
    for number in range(4):
        counted(house, number, 50 + number, "erp")
    kinds = [str(case.kind) for case in house.cases.list(CaseStatus.OPEN)]
    assert kinds == ["correction_loop"]
    [case] = house.cases.list(CaseStatus.OPEN)
    assert (case.facts["folded"], "erp says" in str(case.facts["last_folded"])) == (4, True)


def test_a_drift_that_was_open_before_goes_on_as_it_was() -> None:
    house = House()
    counted(house, 0, 100)
    counted(house, 1, 90, "erp")
    swung(house, 6, first=2)
    counted(house, 2, 80, "erp")
    found = {str(case.kind): case for case in house.cases.list(CaseStatus.OPEN)}
    assert set(found) == {"drift", "correction_loop"}
    assert found["drift"].facts["observed"] == 80


def test_a_loop_that_has_come_to_rest_closes_and_drift_is_a_case_again() -> None:
    house = House()
    swung(house, 6)
    house.clock.advance(hours=20)
    house.sweep.run()
    assert len(loops(house)) == 1
    house.clock.advance(hours=5)
    house.sweep.run()
    assert loops(house) == []
    counted(house, 9, 50, "erp")
    assert [str(case.kind) for case in house.cases.list(CaseStatus.OPEN)] == ["drift"]


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(-3, 3).filter(bool)), max_size=40))
def test_what_is_remembered_is_bounded_in_order_and_the_same_however_often_it_is_told(
    told: list[tuple[int, int]],
) -> None:
    corrections = [Correction(at(hour * 60), units, "wms", f"e{n}") for n, (hour, units) in enumerate(told)]
    kept = remembered((), corrections, NOON)
    assert kept == remembered(kept, corrections, NOON)
    assert len(kept) <= KEPT
    assert list(kept) == sorted(kept)
    assert 0 <= swings(kept) <= max(0, len(kept) - 1)
    assert swings([one for one in kept if one.units > 0]) == 0

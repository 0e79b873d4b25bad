"""A stock key that is corrected back and forth is one case; one that is corrected one way is not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.cases import CaseKind, CaseStatus
from shared.domain.damping import KEPT, Correction, Damping, remembered, swung_at
from shared.domain.events import MovementKind, instant
from shared.domain.rules import Rules
from shared.operations.damping import loop_case
from shared.operations.facts import Outcome, Result
from shared.store.table import Action
from tests.operations.deliveries import body
from tests.operations.house import KEY, NOON, House, Interruption, at, fact, movement
from tests.operations.test_undoing import bins


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


def adjusted_in_one_message(*units: int) -> House:
    house = House()
    counted(house, 0, 100)
    lines = [{"sku": "TEA", "quantity": quantity} for quantity in units]
    house.store("wms", body("adjustment", "J", *lines, occurred_at=house.clock()))
    house.settle()
    return house


def test_a_loop_within_one_message_is_seen_in_the_order_of_its_lines() -> None:
    title = "TEA@east was corrected 12 times by wms, back and forth: +0 in all"
    assert loops(adjusted_in_one_message(*[3, -3] * 6)) == [title]


def test_a_message_that_takes_back_all_at_once_what_it_added_is_no_loop() -> None:
    assert loops(adjusted_in_one_message(3, 3, 3, -3, -3, -3)) == []


@pytest.mark.parametrize("step", [1, -1])
def test_corrections_that_are_posted_together_stand_in_the_order_in_which_they_happened(step: int) -> None:
    house = House()
    counted(house, 0, 100)
    house.clock.advance(hours=2)
    units = [3, -3, 3, -3, 5, 5]
    told = [movement(f"wms/J{number}/1/adjustment/", number, n) for number, n in enumerate(units, start=10)]
    house.damper.corrected(house.post(*told[::step]))
    [case] = [c for c in house.cases.list(CaseStatus.OPEN) if c.kind is CaseKind.CORRECTION_LOOP]
    said = [str(case.facts[f"correction_{number}"]).split()[2] for number in range(1, 7)]
    assert (said, case.facts["swings"]) == (["+3", "-3", "+3", "-3", "+5", "+5"], 3)


def test_what_is_posted_later_at_the_same_instant_stands_behind_what_is_known() -> None:
    house = House()
    counted(house, 0, 100)
    for number, units in enumerate([-3, 3, -3, 3]):
        line = {"sku": "TEA", "quantity": units}
        house.store("wms", body("adjustment", f"J{9 - number}", line, occurred_at=house.clock()))
        house.settle()
    assert loops(house) == ["TEA@east was corrected 4 times by wms, back and forth: +0 in all"]


def test_of_two_who_correct_one_number_at_once_both_are_remembered() -> None:
    house = House()

    def correct(name: str, units: int) -> None:
        adjusted = movement(name, 0, units, kind=MovementKind.ADJUSTMENT)
        house.damper.corrected([Result(fact(adjusted), Outcome.POSTED)])

    def meet(_n: int, _actions: Sequence[Action]) -> None:
        house.stock.faults = None
        correct("first", 3)

    house.stock.faults = Interruption(before=meet)
    correct("second", -3)
    correct("third", 3)
    assert loops(house) == []
    correct("fourth", -3)
    assert len(loops(house)) == 1


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


def opened_in_bins(names: str) -> House:
    """A location told by bin, with 50 in each of some."""
    house = bins()
    counted_in_bins(house, "O", **dict.fromkeys(names, 50))
    house.clock.advance(minutes=1)
    return house


def counted_in_bins(house: House, document: str, **said: int) -> None:
    """Let the WMS say what it counted a moment ago in some bins, and apply it."""
    lines = [{"sku": "TEA", "quantity": quantity, "bin": name} for name, quantity in said.items()]
    taken = house.clock() - timedelta(seconds=30)
    house.applier.apply(house.store("wms", body("count", document, *lines, occurred_at=taken)))
    house.settle()


def swung_in_bin(house: House, name: str, times: int, first: int = 0, **others: int) -> None:
    """Correct the number of one bin up and down, 20 minutes apart, while others are counted too."""
    for number in range(first, first + times):
        house.clock.advance(minutes=20)
        off = {other: quantity + number for other, quantity in others.items()}
        counted_in_bins(house, f"{name}{number}", **{name: 60 if number % 2 == 0 else 50}, **off)


def test_a_loop_in_one_bin_is_seen_however_many_other_bins_are_corrected_meanwhile() -> None:
    house = opened_in_bins("ABCDEFGHIJKLMNOP")
    swung_in_bin(house, "A", 5, **dict.fromkeys("BCDEFGHIJKLMNOP", 51))
    assert loops(house) == ["A/- of TEA@east was corrected 5 times by wms, back and forth: +10 in all"]


def test_a_loop_does_not_come_to_rest_because_other_bins_are_corrected() -> None:
    house = opened_in_bins("ABCDEFGHIJKLMNOP")
    swung_in_bin(house, "A", 5)
    house.clock.advance(minutes=1)
    counted_in_bins(house, "R", **dict.fromkeys("BCDEFGHIJKLMNOP", 49))
    house.clock.now = at(150)
    house.damper.settle()
    assert len(loops(house)) == 1


def test_which_of_two_bins_in_a_loop_is_named_follows_from_their_swings_not_from_who_came_last() -> None:
    house = opened_in_bins("AB")
    swung_in_bin(house, "A", 6)
    swung_in_bin(house, "B", 4)
    assert loops(house) == ["A/- of TEA@east was corrected 6 times by wms, back and forth: +0 in all"]
    swung_in_bin(house, "B", 3, first=4)
    assert loops(house) == ["B/- of TEA@east was corrected 7 times by wms, back and forth: +10 in all"]


def test_a_case_stays_open_while_another_bin_than_the_one_it_names_is_in_a_loop() -> None:
    house = opened_in_bins("AB")
    swung_in_bin(house, "A", 6)
    house.clock.advance(hours=22)
    swung_in_bin(house, "B", 4)
    house.clock.advance(minutes=120 - house.clock.now.minute % 5)
    house.damper.settle()
    assert len(loops(house)) == 1
    house.clock.advance(hours=24)
    house.damper.settle()
    assert loops(house) == []


def test_a_loop_that_somebody_closed_opens_again_only_when_that_bin_swings_on() -> None:
    house = opened_in_bins("AB")
    swung_in_bin(house, "A", 6)
    house.cases.close(loop_case(KEY), "stopped it", house.clock(), by="ann")

    house.clock.advance(minutes=5)
    counted_in_bins(house, "B-1", B=51)
    assert loops(house) == []
    house.clock.advance(minutes=5)
    counted_in_bins(house, "A-1", A=49)
    assert loops(house) == []  # one unit less is news, not the swing back

    house.clock.advance(minutes=5)
    counted_in_bins(house, "A-2", A=50)
    assert loops(house) == ["A/- of TEA@east was corrected 8 times by wms, back and forth: +0 in all"]


def test_after_somebody_closed_one_bin_s_loop_that_of_another_bin_is_named_by_itself() -> None:
    house = opened_in_bins("AB")
    swung_in_bin(house, "A", 8)
    house.cases.close(loop_case(KEY), "stopped it", house.clock(), by="ann")
    swung_in_bin(house, "B", 4)
    assert loops(house) == ["B/- of TEA@east was corrected 4 times by wms, back and forth: +0 in all"]


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(-3, 3).filter(bool)), max_size=40))
def test_what_is_remembered_is_bounded_in_order_and_the_same_however_often_it_is_told(
    told: list[tuple[int, int]],
) -> None:
    corrections = [Correction(at(hour * 60), units, "wms", f"e{n}") for n, (hour, units) in enumerate(told)]
    kept = remembered((), corrections, NOON)
    assert kept == remembered(kept, corrections, NOON)
    assert len(kept) <= KEPT
    assert list(kept) == sorted(kept)
    assert 0 <= len(swung_at(kept)) <= max(0, len(kept) - 1)
    assert swung_at([one for one in kept if one.units > 0]) == []

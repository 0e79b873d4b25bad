"""Versions of a count document, stored: while one waits, the one that was accepted stands."""

from __future__ import annotations

import pytest

from shared.domain.cases import CaseKind, CaseStatus
from shared.domain.stock import Counter
from tests.operations.house import KEY, House, at
from tests.operations.open_cases import case_of
from tests.operations.waiting_counts import LIMIT, careful, counted, moved, tell


def test_a_count_document_is_corrected_by_its_next_version_at_another_time() -> None:
    house = House()
    tell(
        house,
        moved("receipt", "R1", 0, 10),
        counted("C1", 5, 60, version="9"),
        counted("C1", 3, 12, version="10"),
        moved("receipt", "R2", 4, 1),
    )
    assert house.on_hand() == 13
    house.assert_exact()


@pytest.fixture
def corrected() -> House:
    """A house where the first version of a count says 95 and stands, and the second says 5 and waits."""
    house = House(careful(approve_beyond=LIMIT))
    tell(house, moved("receipt", "R1", 0, 90), counted("C1", 5, 95, version="1"))
    tell(house, counted("C1", 5, 5, version="2"))
    return house


def test_a_version_that_waits_leaves_the_accepted_one_in_place_and_shows_the_ledger_without_it(
    corrected: House,
) -> None:
    assert corrected.on_hand() == corrected.available() == 95
    case = corrected.cases.get(case_of(corrected, CaseKind.COUNT_APPROVAL))
    assert (case.facts["quantity"], case.facts["known"]) == (5, 90)
    corrected.assert_exact()


def test_a_version_that_is_approved_replaces_the_accepted_one(corrected: House) -> None:
    corrected.case_desk.approve_count(case_of(corrected, CaseKind.COUNT_APPROVAL), "ann", seen=90)

    assert corrected.on_hand() == corrected.available() == 5
    assert corrected.ledger.as_of(KEY, at(4))[Counter.ON_HAND] == 90
    corrected.assert_exact()


def test_a_version_that_is_rejected_leaves_the_accepted_one(corrected: House) -> None:
    corrected.case_desk.reject_count(case_of(corrected, CaseKind.COUNT_APPROVAL), "typing error", "ann")

    assert corrected.on_hand() == corrected.available() == 95
    assert corrected.open_cases() == []
    corrected.assert_exact()


def test_a_third_version_closes_the_case_of_the_second(corrected: House) -> None:
    second = case_of(corrected, CaseKind.COUNT_APPROVAL)
    tell(corrected, counted("C1", 5, 7, version="3"))

    assert corrected.cases.get(second).status is CaseStatus.RESOLVED
    assert corrected.cases.get(case_of(corrected, CaseKind.COUNT_APPROVAL)).facts["quantity"] == 7
    assert corrected.on_hand() == 95
    corrected.assert_exact()


@pytest.mark.parametrize("last", ["1", "2"])
def test_versions_that_arrive_in_any_order_and_again_end_alike(last: str) -> None:
    house = House(careful(approve_beyond=LIMIT))
    tell(house, moved("receipt", "R1", 0, 90))
    said = {"1": counted("C1", 5, 95, version="1"), "2": counted("C1", 5, 5, version="2")}
    first = "1" if last == "2" else "2"
    tell(house, said[first], said[last], said[first], said[last])

    assert house.on_hand() == house.available() == 95
    assert house.cases.get(case_of(house, CaseKind.COUNT_APPROVAL)).facts["known"] == 90
    house.assert_exact()


def test_a_movement_that_lets_an_older_version_stand_lets_another_count_apply_and_closes_its_case() -> None:
    house = House(careful(approve_beyond=LIMIT))
    house.clock.now = at(60)
    tell(house, moved("receipt", "R1", 0, 100))
    tell(house, counted("C1", 2, 200, version="1"), counted("C1", 9, 900, version="2"))
    tell(house, counted("C2", 5, 217, version="1"))
    assert house.on_hand() == 100

    tell(house, moved("receipt", "R2", 1, 95))

    assert house.on_hand() == house.available() == 217
    house.assert_exact()
    house.case_desk.approve_count(case_of(house, CaseKind.COUNT_APPROVAL), "ann", seen=217)
    assert house.on_hand() == 900

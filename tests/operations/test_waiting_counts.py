"""Counts that wait, stored: their cases, what decides them, and what they withhold until then."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shared.domain.cases import CaseKind
from shared.domain.count_decisions import ChangedSinceSeenError
from shared.domain.events import Leg, Movement, MovementKind, Origin
from shared.domain.stock import EventKey, MessageId, SourceId
from shared.operations.case_desk import NotPossibleError
from shared.operations.count_desk import tell as tell_of_counts
from tests.domain import oracle
from tests.operations.house import EAST, KEY, House, at
from tests.operations.open_cases import case_of
from tests.operations.waiting_counts import LIMIT, careful, counted, hasty_clocks, moved, tell


def test_a_count_beyond_the_limit_is_a_case_with_both_numbers_and_applies_when_approved() -> None:
    house = House(careful(approve_beyond=LIMIT))
    tell(house, moved("receipt", "R1", 0, 100), counted("C1", 5, 60))

    case = house.cases.get(case_of(house, CaseKind.COUNT_APPROVAL))
    assert (case.facts["quantity"], case.facts["known"]) == (60, 100)
    assert house.on_hand() == 100

    house.case_desk.approve_count(case.id, "ann", seen=100)

    assert house.on_hand() == house.available() == 60
    assert house.cases.get(case.id).resolution == "accepted by ann"
    house.assert_exact()


def test_an_approval_is_bound_to_the_number_that_was_seen() -> None:
    house = House(careful(approve_beyond=LIMIT))
    tell(house, moved("receipt", "R1", 0, 100), counted("C1", 5, 60), moved("receipt", "R2", 2, 30))
    case = case_of(house, CaseKind.COUNT_APPROVAL)

    with pytest.raises(ChangedSinceSeenError):
        house.case_desk.approve_count(case, "ann", seen=100)

    assert house.on_hand() == 130
    assert house.cases.get(case).facts["known"] == 130
    house.case_desk.approve_count(case, "ann", seen=130)
    assert house.on_hand() == 60


def test_an_approved_correction_waits_no_more_although_it_is_dated_before_what_it_corrects() -> None:
    """Seed 763 of the simulation: what lay beneath the version that went was taken for newly waiting, so never settled."""
    house = House(careful(approve_beyond=LIMIT))
    tell(house, moved("receipt", "R1", 0, 100), counted("C1", 5, 99, version="1"))
    tell(house, counted("C1", 4, 60, version="2"))
    case = case_of(house, CaseKind.COUNT_APPROVAL)

    house.case_desk.approve_count(case, "ann", seen=100)

    assert house.on_hand() == 60
    assert house.poster.waiting(KEY) == []
    assert house.cases.get(case).resolution == "accepted by ann"
    house.assert_exact()


def test_an_approval_says_what_was_seen() -> None:
    house = House(careful(approve_beyond=LIMIT))
    tell(house, moved("receipt", "R1", 0, 100), counted("C1", 5, 60))
    with pytest.raises(NotPossibleError, match="seen"):
        house.case_desk.approve_count(case_of(house, CaseKind.COUNT_APPROVAL), "ann")


def test_a_case_closes_by_itself_when_a_late_movement_explains_the_count() -> None:
    house = House(careful(approve_beyond=LIMIT))
    tell(house, moved("receipt", "R1", 0, 100), counted("C1", 5, 60), moved("shipment", "S1", 2, 40))
    assert house.on_hand() == 60
    assert house.open_cases() == []


def test_a_rejected_count_stays_out_also_when_its_message_is_replayed() -> None:
    house = House(careful(approve_beyond=LIMIT))
    message = house.store(*counted("C1", 5, 60))
    tell(house, moved("receipt", "R1", 0, 100))
    house.applier.apply(message)
    house.case_desk.reject_count(case_of(house, CaseKind.COUNT_APPROVAL), "counted the wrong shelf", "ann")

    house.sweep.apply_again(message)
    house.settle()

    assert house.on_hand() == 100
    assert house.open_cases() == []
    house.assert_exact()


def test_a_suspended_count_withholds_the_lowest_outcome_until_its_instant_is_known() -> None:
    house = House(hasty_clocks())
    house.post(
        oracle.movement("opening", 0, 12),
        oracle.count("c", 8, 10, since=4),
        oracle.movement("ship", 6, -3, source="oms"),
    )
    assert (house.on_hand(oracle.KEY), house.available(oracle.KEY)) == (9, 7)
    assert house.view.quantities(oracle.KEY)["withheld"] == 2
    assert house.view.quantities(oracle.KEY)["reserved"] == 0
    house.assert_exact()


@pytest.mark.parametrize("minute", [-400_000, 0, 99])
def test_no_instant_but_one_of_its_window_decides_a_suspended_count(minute: float) -> None:
    house = House(hasty_clocks())
    house.clock.now = at(120)
    tell_suspended(house)
    case = case_of(house, CaseKind.COUNT_SUSPENDED)

    with pytest.raises(NotPossibleError, match="between"):
        house.case_desk.approve_count(case, "ann", at=at(minute - 10))

    house.case_desk.approve_count(case, "ann", at=at(5))
    assert house.on_hand() == house.available() == 7
    house.assert_exact()


def test_an_instant_is_refused_where_it_has_no_meaning_and_none_lies_in_the_future() -> None:
    house = House(careful(approve_beyond=LIMIT))
    tell(house, moved("receipt", "R1", 0, 100), counted("C1", 5, 60))
    case = case_of(house, CaseKind.COUNT_APPROVAL)
    for wrong in (at(-1), at(60 * 24 * 365 * 900)):
        with pytest.raises(NotPossibleError):
            house.case_desk.approve_count(case, "ann", seen=100, at=wrong)
    assert house.on_hand() == 100


def tell_suspended(house: House) -> None:
    """Let a count wait because the OMS ships while it is taken."""
    message = house.store(*counted("C1", 8, 10))
    tell(house, moved("receipt", "R0", 0, 12))
    house.applier.apply(message)
    legs = (Leg(EAST, -3),)
    origin = Origin(SourceId("oms"), message)
    shipped = Movement(EventKey("oms/S1"), KEY.sku, MovementKind.ADJUSTMENT, legs, at(7), origin)
    results = house.post(shipped)
    tell_of_counts(results, house.poster, house.cases, house.clock())


def test_a_count_that_comes_to_wait_for_another_reason_changes_its_case() -> None:
    plain = hasty_clocks()
    place = replace(plain.locations[EAST], approve_beyond=LIMIT)
    house = House(replace(plain, locations={**plain.locations, EAST: place}))
    house.clock.now = at(120)
    tell(house, moved("receipt", "R0", 0, 100), counted("C1", 8, 60))
    assert case_of(house, CaseKind.COUNT_APPROVAL)
    origin = Origin(SourceId("oms"), MessageId("m"))
    receipt = Movement(EventKey("oms/R"), KEY.sku, MovementKind.RECEIPT, (Leg(EAST, 300),), at(9), origin)
    tell_of_counts(house.post(receipt), house.poster, house.cases, house.clock())

    assert CaseKind.COUNT_APPROVAL not in house.open_cases()
    with pytest.raises(NotPossibleError, match="instant"):
        house.case_desk.approve_count(case_of(house, CaseKind.COUNT_SUSPENDED), "ann", seen=100)
    house.assert_exact()

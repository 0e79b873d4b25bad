"""Counts that wait, whatever is cut short, late or told again: each has the case it should have, and one decision."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import pytest

from shared.domain.cases import CaseKind, CaseStatus
from shared.domain.events import Leg, Movement, MovementKind, Origin
from shared.domain.stock import EventKey, MessageId, SourceId
from shared.operations.count_desk import show
from shared.operations.count_desk import tell as tell_of_counts
from shared.store.table import Action, UnknownOutcomeError
from tests.domain import oracle
from tests.operations.house import EAST, KEY, Crash, House, Interruption, at
from tests.operations.open_cases import case_of
from tests.operations.test_undoing import undo
from tests.operations.waiting_counts import LIMIT, careful, counted, hasty_clocks, moved, tell


def test_a_crash_between_posting_and_filing_does_not_lose_the_case() -> None:
    house = House(careful(approve_beyond=LIMIT))
    tell(house, moved("receipt", "R1", 0, 100))
    message = house.store(*counted("C1", 5, 60))

    def crash(_n: int, _actions: Sequence[Action]) -> None:
        raise Crash

    house.stock.faults = Interruption(after=crash)
    with pytest.raises(Crash):
        house.applier.apply(message)
    house.stock.faults = None
    house.applier.apply(message)

    assert house.cases.get(case_of(house, CaseKind.COUNT_APPROVAL)).facts["known"] == 100


@pytest.mark.parametrize("written", [True, False])
def test_a_decision_whose_answer_never_came_is_made_once(written: bool) -> None:
    house = House(careful(approve_beyond=LIMIT))
    tell(house, moved("receipt", "R1", 0, 100), counted("C1", 5, 60))

    def silence(_n: int, _actions: Sequence[Action]) -> None:
        house.stock.faults = None
        raise UnknownOutcomeError

    house.stock.faults = Interruption(**{"after" if written else "before": silence})
    house.case_desk.approve_count(case_of(house, CaseKind.COUNT_APPROVAL), "ann", seen=100)

    assert house.on_hand() == house.available() == 60
    house.assert_exact()


def test_two_documents_that_disagree_about_one_instant_are_a_case_also_after_a_crash() -> None:
    house = House()
    tell(house, counted("C1", 5, 60))
    other = house.store(*counted("C2", 5, 61))

    def crash(_n: int, _actions: Sequence[Action]) -> None:
        raise Crash

    house.stock.faults = Interruption(after=crash)
    with pytest.raises(Crash):
        house.applier.apply(other)
    house.stock.faults = None
    house.applier.apply(other)
    house.applier.apply(other)

    case = house.cases.get(case_of(house, CaseKind.COUNT_DISPUTED))
    assert {case.facts["one_says"], case.facts["other_says"]} == {60, 61}


def test_a_message_that_is_replayed_leaves_the_case_of_why_its_count_waits_by_now() -> None:
    """Seed 42 of the simulation: the replay told of the approval again, and closed the case of the suspension."""
    plain = hasty_clocks()
    place = replace(plain.locations[EAST], approve_beyond=LIMIT)
    house = House(replace(plain, locations={**plain.locations, EAST: place}))
    house.clock.now = at(120)
    tell(house, moved("receipt", "R0", 0, 100))
    message = house.store(*counted("C1", 8, 60))
    house.applier.apply(message)
    origin = Origin(SourceId("oms"), MessageId("m"))
    receipt = Movement(EventKey("oms/R"), KEY.sku, MovementKind.RECEIPT, (Leg(EAST, 300),), at(9), origin)
    tell_of_counts(house.post(receipt), house.poster, house.cases, house.clock())

    house.sweep.apply_again(message)

    assert house.open_cases() == [CaseKind.COUNT_SUSPENDED]


def test_whoever_tells_late_of_a_count_files_nothing_for_one_that_waits_no_more() -> None:
    """Seed 60 of the simulation: the count was explained while its case was still to be filed."""
    house = House(careful(approve_beyond=LIMIT))
    house.post(oracle.movement("opening", 0, 100))
    results = house.post(oracle.count("c", 5, 60))
    house.post(oracle.movement("ship", 2, -40))

    tell_of_counts(results, house.poster, house.cases, house.clock())

    assert house.on_hand(oracle.KEY) == 60
    assert house.open_cases() == []


def test_a_decision_cut_short_is_told_to_the_end_by_whoever_decides_again() -> None:
    """Seed 117 of the simulation: the older count had become history with the decision, and kept its case."""
    house = House(careful(approve_beyond=LIMIT))
    tell(house, moved("receipt", "R1", 0, 100), counted("C1", 5, 60), counted("C2", 3, 50))
    [newer] = [c.id for c in house.cases.list(CaseStatus.OPEN) if "C1" in c.id]

    def crash(_n: int, _actions: Sequence[Action]) -> None:
        raise Crash

    house.stock.faults = Interruption(after=crash)
    with pytest.raises(Crash):
        house.case_desk.approve_count(newer, "ann", seen=100)
    house.stock.faults = None
    house.case_desk.approve_count(newer, "ann", seen=100)

    assert house.on_hand() == 60
    assert house.open_cases() == []


def test_whoever_files_late_of_a_count_that_is_decided_meanwhile_leaves_no_case() -> None:
    house = House(careful(approve_beyond=LIMIT))
    tell(house, moved("receipt", "R1", 0, 100), counted("C1", 5, 60))
    case = case_of(house, CaseKind.COUNT_APPROVAL)
    seen = iter([100])

    def decide(_n: int, _actions: Sequence[Action]) -> None:
        for known in seen:
            house.case_desk.approve_count(case, "ann", seen=known)

    house.cases_table.faults = Interruption(before=decide)
    show(KEY, EventKey("wms/C1/1/count/"), house.poster, house.cases, house.clock())

    assert house.on_hand() == 60
    assert house.open_cases() == []


def cut_short(house: House) -> str:
    """Approve the newest of three counts, and crash behind it: the older ones are history, and have their cases still."""
    older = [counted("C2", 3, 50), counted("C3", 4, 40)]
    tell(house, moved("receipt", "R1", 0, 100), counted("C1", 5, 60), *older)
    [newest] = [c.id for c in house.cases.list(CaseStatus.OPEN) if "C1" in c.id]

    def crash(_n: int, _actions: Sequence[Action]) -> None:
        raise Crash

    house.stock.faults = Interruption(after=crash)
    with pytest.raises(Crash):
        house.case_desk.approve_count(newest, "ann", seen=100)
    house.stock.faults = None
    return newest


def test_a_replayed_message_does_not_close_the_case_of_a_decision_that_was_cut_short() -> None:
    house = House(careful(approve_beyond=LIMIT))
    newest = cut_short(house)
    tell(house, counted("C1", 5, 60))
    assert newest in [case.id for case in house.cases.list(CaseStatus.OPEN)]

    house.case_desk.approve_count(newest, "ann", seen=100)

    assert house.open_cases() == []


@pytest.mark.parametrize("closed", [0, 1, 2])
def test_a_decision_cut_short_is_told_to_the_end_although_another_that_goes_on_with_it_is_cut_short(
    closed: int,
) -> None:
    """Seed 94 of the simulation: the decision's own case was closed before those of the counts that it had settled."""
    house = House(careful(approve_beyond=LIMIT))
    newest = cut_short(house)
    other = next(c.id for c in house.cases.list(CaseStatus.OPEN) if "C2" in c.id)

    def crash(number: int, _actions: Sequence[Action]) -> None:
        if number == closed:
            raise Crash

    house.cases_table.faults = Interruption(after=crash)
    with pytest.raises(Crash):
        house.case_desk.approve_count(other, "bob", seen=100)
    house.cases_table.faults = None
    if house.cases.get(newest).status is CaseStatus.OPEN:
        house.case_desk.approve_count(newest, "ann", seen=100)

    assert house.open_cases() == []


def test_a_version_that_waits_again_after_a_rejection_that_was_cut_short_has_a_case_again() -> None:
    """Seed 4294 of the simulation: whoever came back to the rejection looked at open cases, not at what waits."""
    house = House(careful(approve_beyond=LIMIT))
    tell(house, moved("receipt", "R1", 0, 90), counted("C1", 5, 60, version="1"))
    tell(house, counted("C1", 5, 5, version="2"))
    newest = case_of(house, CaseKind.COUNT_APPROVAL)

    def crash(_n: int, _actions: Sequence[Action]) -> None:
        raise Crash

    house.stock.faults = Interruption(after=crash)
    with pytest.raises(Crash):
        house.case_desk.reject_count(newest, "typing error", "ann")
    house.stock.faults = None
    house.case_desk.reject_count(newest, "typing error", "ann")

    case = house.cases.get(case_of(house, CaseKind.COUNT_APPROVAL))
    assert (case.facts["quantity"], case.facts["known"]) == (60, 90)
    assert case.id != newest
    assert house.on_hand() == 90
    house.assert_exact()


@pytest.mark.parametrize("closed", [0, 1, 2])
def test_an_undo_that_was_cut_short_closes_every_case_that_it_settled_when_it_is_repeated(
    closed: int,
) -> None:
    """Seed 1887 of the simulation: what had been undone was passed over, with what nobody had been told of yet."""
    house = House(careful(approve_beyond=LIMIT))
    house.clock.now = at(120)
    tell(house, moved("receipt", "R0", -10, 10))
    message = house.store(*moved("receipt", "R1", 0, 100))
    house.applier.apply(message)
    tell(house, counted("C1", 5, 10), counted("C2", 6, 10))
    assert house.open_cases().count(CaseKind.COUNT_APPROVAL) == 2

    def crash(number: int, _actions: Sequence[Action]) -> None:
        if number == closed:
            raise Crash

    house.cases_table.faults = Interruption(before=crash)
    with suppress(Crash):
        undo(house, message)
    house.cases_table.faults = None
    undo(house, message)

    assert CaseKind.COUNT_APPROVAL not in house.open_cases()
    assert house.on_hand() == 10
    house.assert_exact()


@pytest.mark.parametrize("has_older", [False, True])
def test_an_undo_of_a_count_that_only_waits_says_when_it_is_repeated_what_waits_again(
    has_older: bool,
) -> None:
    house = House(careful(approve_beyond=LIMIT))
    house.clock.now = at(120)
    tell(house, moved("receipt", "R0", -10, 100))
    if has_older:
        tell(house, counted("C1", 5, 60, version="1"))
    message = house.store(*counted("C1", 5, 5, version="2"))
    house.applier.apply(message)
    newest = case_of(house, CaseKind.COUNT_APPROVAL)

    def crash(_n: int, _actions: Sequence[Action]) -> None:
        raise Crash

    house.stock.faults = Interruption(after=crash)
    with pytest.raises(Crash):
        undo(house, message)
    house.stock.faults = None
    undo(house, message)

    assert house.cases.get(newest).status is CaseStatus.RESOLVED
    waits = [house.cases.get(case_of(house, CaseKind.COUNT_APPROVAL)).facts["quantity"]] if has_older else []
    assert (waits, len(house.open_cases())) == ([60] * has_older, has_older)
    house.assert_exact()

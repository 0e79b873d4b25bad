"""Entries by hand: kept first, applied once, held beyond the location's limit, and undone or replayed like any message."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction

import pytest

from shared.domain.cases import CaseKind, CaseStatus
from shared.domain.item_changes import Declaration, changed
from shared.domain.items import Change
from shared.domain.network import MANUAL, Tolerance
from shared.domain.stock import MessageId, Sku, StockKey
from shared.operations.adjustments import AdjustmentChangedError
from shared.operations.case_desk import NotPossibleError
from shared.operations.manual_desk import EntryBusyError, RefusedEntryError
from shared.operations.reservations import IdempotencyConflictError, UnknownItemError
from shared.operations.undo import Undone
from shared.sources.contract import Report
from shared.sources.manual import CONNECTOR, ManualEntry
from shared.store.files import APPROVED
from shared.store.inbox import MessageStatus
from shared.store.layout import message_key
from shared.store.table import Action, Delete, ThrottledError, Update
from tests.operations.house import EAST, Crash, House, Interruption, at, count, movement, network
from tests.operations.test_kits import kit


@pytest.fixture
def house() -> House:
    house = House()
    house.post(count("wms/open", -60, 100))
    return house


def strict(percent: int = 10, units: int = 5) -> House:
    """Return a house whose east location lets nothing larger pass without an approver."""
    declared = network()
    limit = Tolerance(percent * 100, units)
    places = {**declared.locations, EAST: replace(declared.locations[EAST], approve_beyond=limit)}
    house = House(replace(declared, locations=places))
    house.post(count("wms/open", -60, 100))
    return house


def entry(quantity: int = -3, what: str = "adjustment", **more: str) -> ManualEntry:
    made = ManualEntry(what, "TEA", "east", quantity, "ann", "broken in the aisle")
    return replace(made, **more)  # type: ignore[arg-type]


def only_case(house: House) -> str:
    (case,) = house.cases.list(CaseStatus.OPEN)
    return case.id


def test_what_a_person_counts_first_of_an_item_waits_too_but_what_a_system_says_first_posts() -> None:
    house = strict()
    mug = StockKey(Sku("MUG"), EAST)
    entered = house.manual_desk.enter(entry(1_000_000, "count", sku="MUG"), "k1")

    assert entered.status == "held"
    assert house.on_hand(mug) == 0

    house.post(count("wms/first", 1, 500, key=mug))

    assert house.on_hand(mug) == 500
    assert house.open_cases() == ["count_approval"]


# ---- once -------------------------------------------------------------------------------------------------------


def test_an_adjustment_posts_at_once_although_another_system_is_believed_there(house: House) -> None:
    entered = house.manual_desk.enter(entry(-3), "k1")

    assert (entered.status, house.on_hand()) == ("posted", 97)
    assert house.open_cases() == []
    house.assert_exact()


def test_a_count_posts_as_of_when_it_was_taken_and_later_movements_survive_it(house: House) -> None:
    house.post(movement("wms/r1", -10, 20))

    entered = house.manual_desk.enter(entry(90, "count", at="2026-11-01T11:30:00.000000Z"), "k1")

    assert (entered.status, house.on_hand()) == ("posted", 110)


def test_the_ledger_says_who_and_why(house: House) -> None:
    entered = house.manual_desk.enter(entry(), "k1")

    stored = house.inbox.load(entered.message_id)
    (report,) = CONNECTOR.translate(stored.message, MANUAL)
    assert isinstance(report, Report)
    assert ("actor", "ann") in report.event.origin.refs
    assert ("reason", "broken in the aisle") in report.event.origin.refs
    assert stored.kind == "manual"


def test_the_same_key_and_entry_again_is_answered_as_before_and_changes_nothing(house: House) -> None:
    first = house.manual_desk.enter(entry(), "k1")
    house.clock.advance(hours=3)

    assert house.manual_desk.enter(entry(), "k1") == first
    assert house.on_hand() == 97


def test_the_same_key_for_another_entry_is_a_conflict(house: House) -> None:
    house.manual_desk.enter(entry(), "k1")

    with pytest.raises(IdempotencyConflictError):
        house.manual_desk.enter(entry(-4), "k1")

    assert house.on_hand() == 97


def test_two_people_may_use_the_same_key(house: House) -> None:
    house.manual_desk.enter(entry(), "k1")
    house.manual_desk.enter(entry(actor="ben"), "k1")

    assert house.on_hand() == 94


def test_a_key_that_comes_again_after_its_message_was_forgotten_cannot_post_twice(house: House) -> None:
    entered = house.manual_desk.enter(entry(), "k1")
    house.inbox_table.write([Delete(message_key(entered.message_id))])
    house.clock.advance(days=91)

    with pytest.raises(IdempotencyConflictError):
        house.manual_desk.enter(entry(-4), "k1")

    assert house.on_hand() == 97


@pytest.mark.parametrize("write", range(6))
def test_cut_short_anywhere_it_is_done_once_when_it_is_repeated(house: House, write: int) -> None:
    def crash(number: int, _: object) -> None:
        if number == write:
            raise Crash

    for key, table in {"k1": house.inbox_table, "k2": house.stock}.items():
        table.faults = Interruption(after=crash)
        with suppress(Crash):
            house.manual_desk.enter(entry(), key)
        table.faults = None
        house.manual_desk.enter(entry(), key)

    assert house.on_hand() == 94
    house.assert_exact()


def test_an_entry_whose_request_was_never_repeated_is_found_by_the_sweep(house: House) -> None:
    house.stock.faults = Interruption(before=_crash)
    with pytest.raises(Crash):
        house.manual_desk.enter(entry(), "k1")
    house.stock.faults = None

    house.clock.advance(minutes=2)
    house.sweep.run()

    assert house.on_hand() == 97


def _crash(_number: int, _actions: object) -> None:
    raise Crash


def test_what_cannot_be_applied_just_now_is_kept_and_posts_by_a_repetition(house: House) -> None:
    def throttle(_number: int, _actions: object) -> None:
        raise ThrottledError("slow down")

    house.stock.faults = Interruption(before=throttle)
    with pytest.raises(EntryBusyError):
        house.manual_desk.enter(entry(), "k1")
    house.stock.faults = None

    assert house.manual_desk.enter(entry(), "k1").status == "posted"
    assert house.on_hand() == 97


# ---- an approver ------------------------------------------------------------------------------------------------


def test_an_adjustment_beyond_the_limit_waits_and_posts_when_it_is_approved() -> None:
    house = strict()

    entered = house.manual_desk.enter(entry(-30), "k1")

    assert (entered.status, house.on_hand()) == ("held", 100)
    case = house.cases.get(str(entered.case_id))
    assert (case.kind, case.message_id) == (CaseKind.ADJUSTMENT_APPROVAL, entered.message_id)
    assert case.title == "ann adjusts on_hand of TEA@east by -30, with 100 on hand: it waits for an approver"
    assert case.facts["requested_by"] == "ann"

    assert house.case_desk.approve_file(case.id, "ben") == 1

    assert house.on_hand() == 70
    assert house.open_cases() == []
    house.assert_exact()


def packed(house: House, units: int) -> None:
    """Say how much a pallet of tea holds from now on."""
    [before] = house.registry.items.find([Sku("TEA")]).values()
    after = changed(
        before, Declaration(Sku("TEA"), packs={"pallet": Fraction(units)}), Change("ann", house.clock())
    )
    house.registry.items.change([(before, after)])


def test_an_adjustment_is_approved_for_the_base_units_that_were_seen() -> None:
    house = strict()
    packed(house, 48)
    case = str(house.manual_desk.enter(entry(1, unit="pallet"), "k1").case_id)
    packed(house, 480)

    with pytest.raises(AdjustmentChangedError, match=r"\+48 units when it was shown, and comes to \+480 now"):
        house.case_desk.approve_file(case, "ben")

    assert house.on_hand() == 100
    assert house.cases.get(case).facts["quantity"] == 480
    assert "+480" in house.cases.get(case).title
    with pytest.raises(AdjustmentChangedError):
        house.case_desk.approve_file(case, "ben", seen=48)
    assert house.case_desk.approve_file(case, "ben", seen=480) == 1
    assert house.on_hand() == 580
    house.assert_exact()


def test_an_approved_adjustment_that_comes_to_something_else_when_it_is_applied_waits_again() -> None:
    house = strict()
    packed(house, 48)
    entered = house.manual_desk.enter(entry(1, unit="pallet"), "k1")
    house.inbox.files.decide(entered.message_id, APPROVED, "ben", house.clock(), 48)  # and cut short
    packed(house, 480)

    house.sweep.apply_again(entered.message_id)

    assert house.on_hand() == 100
    assert house.cases.get(only_case(house)).facts["quantity"] == 480


def test_an_adjustment_that_is_small_enough_by_now_posts_by_itself_when_somebody_looks_at_it() -> None:
    house = strict()
    packed(house, 48)
    case = str(house.manual_desk.enter(entry(1, unit="pallet"), "k1").case_id)
    packed(house, 4)

    with pytest.raises(AdjustmentChangedError):
        house.case_desk.approve_file(case, "ben")

    assert (house.on_hand(), house.open_cases()) == (104, [])


@pytest.mark.parametrize(("what", "quantity"), [("adjustment", -50), ("count", 50)])
def test_who_never_got_an_answer_and_was_rejected_meanwhile_is_told_so(what: str, quantity: int) -> None:
    house = strict()
    house.inbox_table.faults = Interruption(before=_crash_at_the_answer)
    with suppress(Crash):
        house.manual_desk.enter(entry(quantity, what), "k1")
    house.inbox_table.faults = None
    case = only_case(house)
    if what == "count":
        house.case_desk.reject_count(case, "the wrong shelf", "ben")
    else:
        house.case_desk.reject_file(case, "the wrong shelf", "ben")

    for _ in range(2):
        entered = house.manual_desk.enter(entry(quantity, what), "k1")
        assert (entered.status, entered.case_id) == ("rejected", case)
    assert house.on_hand() == 100


def _crash_at_the_answer(_number: int, actions: Sequence[Action]) -> None:
    if any(isinstance(action, Update) and "answer" in action.defaults for action in actions):
        raise Crash


def test_one_within_the_limit_needs_nobody() -> None:
    house = strict()

    assert house.manual_desk.enter(entry(-10), "k1").status == "posted"


def test_the_first_answer_is_given_again_also_after_the_approval() -> None:
    house = strict()
    first = house.manual_desk.enter(entry(-30), "k1")
    house.case_desk.approve_file(str(first.case_id), "ben")

    assert house.manual_desk.enter(entry(-30), "k1") == first
    assert house.on_hand() == 70


@pytest.mark.parametrize("way", ["replay", "retry", "sweep"])
def test_no_other_way_leads_around_the_approver(way: str) -> None:
    house = strict()
    entered = house.manual_desk.enter(entry(-30), "k1")

    if way == "replay":
        house.sweep.apply_again(entered.message_id)
    elif way == "retry":
        house.case_desk.retry(str(entered.case_id))
    else:
        house.inbox.reopen(entered.message_id, house.clock())
        house.clock.advance(minutes=5)
        house.sweep.run()

    assert house.on_hand() == 100
    assert house.open_cases() == ["adjustment_approval"]


def test_a_rejected_adjustment_never_posts() -> None:
    house = strict()
    entered = house.manual_desk.enter(entry(-30), "k1")

    house.case_desk.reject_file(str(entered.case_id), "it was found again", "ben")
    house.sweep.apply_again(entered.message_id)

    assert house.on_hand() == 100
    assert house.open_cases() == []


def test_what_was_posted_before_is_no_matter_of_approval_when_it_is_replayed() -> None:
    house = strict()
    entered = house.manual_desk.enter(entry(-9), "k1")
    house.post(count("wms/recount", 5, 10))

    assert house.sweep.apply_again(entered.message_id) is MessageStatus.POSTED
    assert house.open_cases() == []


def test_a_count_beyond_the_limit_waits_like_any_count() -> None:
    house = strict()

    entered = house.manual_desk.enter(entry(50, "count"), "k1")

    assert (entered.status, house.on_hand()) == ("held", 100)
    case = house.cases.get(str(entered.case_id))
    assert (case.kind, case.facts["requested_by"]) == (CaseKind.COUNT_APPROVAL, "ann")
    house.case_desk.approve_count(case.id, "ben", 100)
    assert house.on_hand() == 50


# ---- undo and replay --------------------------------------------------------------------------------------------


def undone(house: House, message: MessageId) -> Undone:
    stored = house.inbox.load(message).message
    reports = CONNECTOR.translate(stored, MANUAL)
    return house.undoer.undo(reports, MANUAL, stored, "ben", "entered twice", dry_run=False)


@pytest.mark.parametrize("made", [entry(-3), entry(40, "count")])
def test_an_entry_is_undone_like_any_message(house: House, made: ManualEntry) -> None:
    entered = house.manual_desk.enter(made, "k1")

    assert undone(house, entered.message_id).events == 1

    assert house.on_hand() == 100
    house.assert_exact()


# ---- what is refused --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"location": "moon"}, "location"),
        ({"unit": "crate"}, "unit"),
        ({"at": "2026-11-01T13:00:00.000000Z"}, "at"),
        ({"sku": "SET"}, "sku"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_its_field_and_nothing_is_kept(
    house: House, said: dict[str, str], field: str
) -> None:
    kit(house, {"TEA": 2}, sku="SET")

    with pytest.raises(RefusedEntryError) as refused:
        house.manual_desk.enter(entry(-3, "adjustment", **said), "k1")

    assert refused.value.field == field
    assert refused.value.remedy
    assert house.open_cases() == []
    assert [*house.inbox.pending_since(at(1_000))] == []


def test_an_item_that_does_not_exist_is_refused(house: House) -> None:
    with pytest.raises(UnknownItemError):
        house.manual_desk.enter(entry(sku="NOPE"), "k1")

    assert house.open_cases() == []


def test_an_approver_is_told_that_a_case_of_another_kind_waits_for_nobody(house: House) -> None:
    house.store("wms", {"type": "stock.dance"})
    house.settle()

    with pytest.raises(NotPossibleError, match="waits for no approval"):
        house.case_desk.approve_file(only_case(house), "ben")

"""Counts that wait, stored: the same as the pure rules say, with their cases, their decisions and what they withhold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.cases import CaseKind, CaseStatus
from shared.domain.count_decisions import ChangedSinceSeenError
from shared.domain.events import Count, Leg, Movement, MovementKind, Origin
from shared.domain.ledger import Slot
from shared.domain.network import Grain, Tolerance
from shared.domain.stock import WHOLE, Counter, EventKey, Leaf, MessageId, SourceId
from shared.operations.case_desk import NotPossibleError
from shared.operations.count_desk import show
from shared.operations.count_desk import tell as tell_of_counts
from shared.operations.facts import Outcome
from shared.operations.post import count_rules
from shared.store.registry import Network
from shared.store.table import Action, UnknownOutcomeError, WriteConflictError
from tests.domain import oracle
from tests.domain.oracle import Book, Fact
from tests.operations.deliveries import body
from tests.operations.house import EAST, KEY, WMS, Crash, House, Interruption, at, count, movement, network

LIMIT = Tolerance(percent_hundredths=1_000, units=2)


def careful(**rules: Any) -> Network:
    """The tests' network with rules about counts at the east location."""
    plain = network()
    place = replace(plain.locations[EAST], **rules)
    return replace(plain, locations={**plain.locations, EAST: place})


def hasty_clocks(grain: Grain = Grain.LOCATION, forgiven: int = 0) -> Network:
    """The tests' network where the OMS's clock may be off, and the WMS counts whole minutes."""
    plain = careful(grain=grain, undecided_within=Tolerance(0, forgiven))
    oms = replace(plain.sources[WMS], id=SourceId("oms"), clock_skew=timedelta(minutes=2))
    wms = replace(plain.sources[WMS], coarsest_count=timedelta(minutes=4))
    return replace(plain, sources={**plain.sources, WMS: wms, oms.id: oms})


def tell(house: House, *bodies: tuple[str, dict[str, object]]) -> None:
    for source, said in bodies:
        house.applier.apply(house.store(source, said))
    house.settle()


def moved(kind: str, document: str, minute: float, units: int) -> tuple[str, dict[str, object]]:
    """Return what the WMS reports of a movement."""
    return "wms", body(kind, document, {"sku": "TEA", "quantity": units}, occurred_at=at(minute))


def counted(document: str, minute: float, units: int, **more: object) -> tuple[str, dict[str, object]]:
    """Return what the WMS reports of a cycle count."""
    return "wms", body("count", document, {"sku": "TEA", "quantity": units}, occurred_at=at(minute), **more)


def case_of(house: House, kind: CaseKind) -> str:
    [case] = [c.id for c in house.cases.list(CaseStatus.OPEN) if c.kind is kind]
    return case


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


facts = st.lists(
    st.one_of(
        st.tuples(
            st.just("move"),
            st.sampled_from([0, 1, 2.5, 59, 60, 61, 130]),
            st.integers(-9, 9),
            st.sampled_from(["wms", "oms"]),
            st.sampled_from([WHOLE, Leaf("A"), Leaf("#%")]),
        ),
        st.tuples(
            st.just("count"),
            st.sampled_from([1, 2, 3, 60, 62, 131]),
            st.integers(0, 30),
            st.sampled_from([0, 3, "x", "y"]),
            st.sampled_from([WHOLE, Leaf("A")]),
        ),
    ),
    max_size=9,
)


def made(drawn: Sequence[tuple[str, float, int, object, Leaf]]) -> list[Fact]:
    events: list[Fact] = []
    for i, (kind, minute, quantity, more, leaf) in enumerate(drawn):
        if kind == "move":
            events.append(oracle.movement(f"e{i}", minute, quantity, leaf, str(more)))
        elif isinstance(more, int):
            events.append(oracle.count(f"e{i}", minute, quantity, leaf=leaf, since=minute - more))
        else:
            events.append(oracle.count(f"e{i}", minute, quantity, str(i), leaf, str(more)))
    return events


@pytest.mark.parametrize("forgiven", [0, 1_000], ids=["suspends", "forgives"])
@settings(max_examples=120)
@given(facts, st.data())
def test_what_is_stored_is_what_the_pure_rules_say_whatever_interrupts_it(
    forgiven: int, drawn: list[tuple[str, float, int, object, Leaf]], data: st.DataObject
) -> None:
    declared = hasty_clocks(Grain.BIN, forgiven)
    house, book = House(declared), Book(count_rules(declared, EAST))
    rest = made(drawn)
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        batch, rest = rest[:size], rest[size:]
        trouble = data.draw(st.sampled_from([None, "before", "after"]))
        error = data.draw(st.sampled_from([UnknownOutcomeError, WriteConflictError]))

        def once(_n: int, _actions: Sequence[Action], error: type[Exception] = error) -> None:
            house.stock.faults = None
            raise error

        if trouble == "before" or (trouble == "after" and error is UnknownOutcomeError):
            house.stock.faults = Interruption(**{trouble: once})
        house.post(*batch)
        house.stock.faults = None
        book.post(batch)

    house.assert_exact()
    assert house.ledger.waiting(oracle.KEY) == list(book.waiting) if book.waiting else True
    assert house.available(oracle.KEY) == book.available
    for minute in (-1, 0, 0.5, 1, 2, 2.5, 3, 4, 59, 60, 61, 62, 100, 130, 131, 999):
        stored = house.ledger.as_of(oracle.KEY, at(minute))[Counter.ON_HAND]
        assert stored == book.as_of(oracle.SLOT, at(minute))
    leaves = house.ledger.leaves(oracle.KEY)
    for leaf in (Leaf("A"), Leaf("#%")):
        stored = leaves.get(leaf, {}).get(Counter.ON_HAND, 0)
        assert stored == book.as_of(Slot(leaf, Counter.ON_HAND), at(999))


# ---- what an attack found ---------------------------------------------------------------------------------------


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


# ---- the first count of a stock key -----------------------------------------------------------------------------


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


# ---- versions of one document ------------------------------------------------------------------------------------


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

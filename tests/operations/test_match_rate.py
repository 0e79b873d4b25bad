"""The match rate by day, what was done by hand, and the gate that says whether a location may be cut over."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from shared.domain.cases import Case, CaseKind, Fact
from shared.domain.drift import Observation
from shared.domain.match_rate import DAYS, Gate
from shared.domain.rollout import EVERYTHING, Mode
from shared.domain.stock import LocationId, Sku, StockKey
from shared.operations.drift_sweep import EACH_DAY
from shared.operations.match_desk import LOOKED_UP, MatchDesk, MatchReport
from shared.operations.rollout_desk import RolloutDesk
from shared.store.tallies import Tallies
from tests.operations.house import EAST, ERP, KEY, NOON, WEST, WMS, House, count, movement
from tests.operations.test_losses_any_history import undo
from tests.operations.test_undoing import bins, told

FIRST = NOON.date()
TODAY = FIRST + timedelta(days=DAYS)


def desk(house: House) -> MatchDesk:
    return MatchDesk(
        Tallies(house.stock), house.cases, house.registry, house.view, house.reconciler, house.clock
    )


def report(house: House, first: date = FIRST, last: date = TODAY) -> MatchReport:
    return desk(house).report(first, last)


def the_gate(house: House, location: LocationId = EAST) -> Gate:
    [found] = [one for one in report(house).gates if one.location == location]
    return found


def a_day(house: House, number: int, counted: int = 1, wrong: int = 0) -> None:
    """On a day, so many counts of which so many are wrong by one; on hand ends as it began."""
    house.clock.now = NOON + timedelta(days=number)
    for step in range(counted):
        minute = number * 1440 - 60 + step
        house.post(count(f"wms/c{number}/{step}/count/", minute, 100 + (1 if step < wrong else 0)))
        if step < wrong:
            house.post(movement(f"wms/m{number}/{step}/adjustment/", minute + 0.5, -1))
    house.settle()


@pytest.fixture
def house() -> House:
    """Seven days on each of which the tea was counted twice and found right; it is the eighth day."""
    house = House()
    house.post(count("wms/opening/1/count/", -120, 100))
    for number in range(DAYS):
        a_day(house, number, counted=2)
    house.clock.now = NOON + timedelta(days=DAYS)
    return house


def test_seven_days_that_pass_open_the_gate(house: House) -> None:
    found = the_gate(house)
    assert (found.passes, found.days_passed, found.counts.rate) == (True, DAYS, 10_000)


def test_a_location_where_nothing_was_counted_proves_nothing(house: House) -> None:
    found = the_gate(house, WEST)
    assert not found.passes
    assert found.why[0] == "0 of 7 days"
    assert found.why[1] == f"{TODAY - timedelta(days=1)}: nothing was counted"
    assert len(found.why) == 1 + DAYS


def test_today_does_not_count_before_it_is_over(house: House) -> None:
    a_day(house, DAYS, counted=2, wrong=2)
    assert the_gate(house).passes
    house.clock.advance(days=1)
    assert the_gate(house).days_passed == 0


@pytest.mark.parametrize(("counted", "wrong", "passes"), [(200, 1, True), (199, 1, False)])
def test_a_day_needs_99_and_a_half_per_cent(counted: int, wrong: int, passes: bool) -> None:
    house = House()
    house.post(count("wms/opening/1/count/", -120, 100))
    for number in range(DAYS):
        a_day(house, number, counted=counted if number == 3 else 1, wrong=wrong if number == 3 else 0)
    house.clock.now = NOON + timedelta(days=DAYS)
    found = the_gate(house)
    assert found.passes is passes
    if not passes:
        assert found.days_passed == 3
        day = NOON.date() + timedelta(days=3)
        assert found.why == ("3 of 7 days", f"{day}: 198 of 199 counts matched: 99.49 %, 99.50 % are needed")


def test_an_adjustment_by_hand_breaks_the_row_at_its_location_alone(house: House) -> None:
    house.clock.now = NOON + timedelta(days=5)
    house.post(movement("manual/m1/movement", 5 * 1440, -1))
    house.settle()
    house.clock.now = NOON + timedelta(days=DAYS)
    found = the_gate(house)
    assert (found.days_passed, found.why[0]) == (1, "1 of 7 days")
    assert found.why[1] == f"{NOON.date() + timedelta(days=5)}: 1 adjustments"
    assert not any("adjustments" in why for why in the_gate(house, WEST).why)


@pytest.mark.parametrize("source", ["wms", "files"])
def test_each_count_that_was_undone_breaks_the_row_once_whatever_was_counted(
    house: House, source: str
) -> None:
    house.clock.now = NOON + timedelta(days=4)
    wrong = [
        count(f"{source}/wrong/{line}/count/", 4 * 1440 + 1, 77, key=StockKey(Sku(sku), EAST))
        for line, sku in enumerate(("TEA", "MUG"))
    ]
    house.post(*wrong)
    house.settle()
    assert [undo(house, one) for one in wrong] == [True, True]
    assert not undo(house, wrong[0])
    house.settle()
    house.clock.now = NOON + timedelta(days=DAYS)
    day = next(one for one in report(house).days if one.day == FIRST + timedelta(days=4))
    assert day.interventions == {"taken_back": 2}
    assert not the_gate(house).passes


def test_a_code_mapped_by_hand_counts_against_every_location(house: House) -> None:
    house.clock.now = NOON + timedelta(days=6)
    name = unknown_code(house)
    house.case_desk.map(name, Sku("TEA"), "ann")
    house.clock.advance(days=1)
    for location in (EAST, WEST):
        assert any("1 codes mapped" in why for why in the_gate(house, location).why)
    assert not any("redrives" in why for why in the_gate(house).why)


def test_a_code_mapped_past_its_case_counts_as_well(house: House) -> None:
    house.clock.now = NOON + timedelta(days=6)
    house.cases.close(unknown_code(house), "mapped", house.clock())
    house.clock.advance(days=1)
    assert any("1 codes mapped" in why for why in the_gate(house).why)


def unknown_code(house: House) -> str:
    """Open the case of a code that a message waits for; return its id."""
    now = house.clock()
    facts: dict[str, Fact] = {"source": "erp", "kind": "sku", "code": "X", "events": 1}
    case = Case(
        "unknown_code:erp:sku:X", CaseKind.UNKNOWN_CODE, "t", "r", now, now, facts, house.store("erp", {})
    )
    house.cases.file(case)
    return case.id


def test_a_case_that_somebody_retried_is_a_redrive_and_one_that_closed_by_itself_is_nothing(
    house: House,
) -> None:
    now = house.clock.now = NOON + timedelta(days=6)
    for number, by in (("1", "ann"), ("2", "onecount")):
        house.cases.file(Case(f"message_failed:{number}", CaseKind.MESSAGE_FAILED, "t", "r", now, now))
        house.cases.close(f"message_failed:{number}", "retried", now, by=by)
    house.clock.advance(days=1)
    assert any("1 redrives" in why for why in the_gate(house).why)


def test_dead_letters_that_were_sent_again_count_against_every_location(house: House) -> None:
    Tallies(house.stock).redrove(3, TODAY - timedelta(days=1))
    assert any("3 redrives" in why for why in the_gate(house).why)
    assert any("3 redrives" in why for why in the_gate(house, WEST).why)


def test_an_approval_changed_stock_and_a_rejection_did_not(house: House) -> None:
    now = house.clock.now = NOON + timedelta(days=6)
    facts: dict[str, Fact] = {"sku": "TEA", "location": "east"}
    for number, why in (("1", "accepted by ann"), ("2", "rejected by ann: wrong shelf")):
        case = f"count_approval:{number}"
        house.cases.file(Case(case, CaseKind.COUNT_APPROVAL, "t", "r", now, now, facts))
        house.cases.close(case, why, now, by="ann")
    house.clock.advance(days=1)
    assert any("1 case actions" in why for why in the_gate(house).why)
    assert not any("case actions" in why for why in the_gate(house, WEST).why)


def test_counts_that_wait_for_a_decision_keep_the_gate_shut(house: House) -> None:
    now = house.clock()
    facts: dict[str, Fact] = {"sku": "TEA", "location": "east"}
    house.cases.file(Case("count_approval:x", CaseKind.COUNT_APPROVAL, "t", "r", now, now, facts))
    found = the_gate(house)
    assert (found.passes, found.days_passed) == (False, DAYS)
    assert found.why == ("counts that wait for a decision, and may not match: 1",)


def test_the_rate_is_told_by_location_and_source_of_the_days_that_were_asked_for(house: House) -> None:
    a_day(house, DAYS, counted=4, wrong=1)
    found = report(house, TODAY, TODAY)
    [(place, matches)] = found.counts.items()
    assert (place, matches.compared, matches.matched, matches.off) == ((EAST, WMS), 4, 3, 1)
    assert matches.rate == 7_500
    assert [(one.day, one.location) for one in found.days] == [(TODAY, EAST), (TODAY, WEST)]


def says(house: House, sku: str, quantity: int) -> None:
    seen = Observation(ERP, Sku(sku), EAST, "on_hand", quantity, house.clock())
    house.observations.record([seen], house.clock())
    house.settle()


def test_each_system_is_measured_apart_by_its_tolerance_and_to_the_unit() -> None:
    house = House()
    house.post(movement("wms/r/1/receipt/", -5, 1000))
    house.post(movement("wms/r/2/receipt/", -5, 1000, key=StockKey(Sku("MUG"), EAST)))
    says(house, "TEA", 1004)
    says(house, "MUG", 900)
    [found] = report(house).systems
    assert (found.source, found.location, found.day) == (ERP, EAST, None)
    assert (found.matches.compared, found.matches.matched, found.equal) == (2, 1, 0)


def test_a_system_that_names_bins_alone_is_told_as_compared_with_nothing() -> None:
    house = bins()
    told(house, "count", "C1", 0, 50, bin="A")
    switched = RolloutDesk(house.registry, house.lanes, house.clock)
    switched.switch("source", WMS, [EVERYTHING], Mode.SHADOW, "ann")
    told(house, "count", "C2", 1, 7, bin="A")
    house.drift_sweep.run()
    [found] = report(house).systems
    assert (found.source, found.location, found.matches.rate) == (WMS, EAST, None)


def test_of_many_stock_keys_the_newest_sweep_tells() -> None:
    house = House(skus=[f"S{number}" for number in range(LOOKED_UP)])
    for number in range(LOOKED_UP):
        house.post(movement(f"wms/r{number}/1/receipt/", -5, 10, key=StockKey(Sku(f"S{number}"), EAST)))
    house.post(movement("wms/r/1/receipt/", -5, 10))
    says(house, "TEA", 10)
    house.drift_sweep.run()
    house.clock.now = NOON + EACH_DAY
    [found] = report(house).systems
    assert (found.source, found.matches.compared, found.matches.matched) == (ERP, 1, 1)
    assert found.day == NOON.date()
    [day] = [one for one in report(house).days if one.systems]
    assert (day.day, day.location, day.systems[ERP].rate) == (NOON.date(), EAST, 10_000)


def test_looking_changes_nothing(house: House) -> None:
    says(house, "TEA", 7)
    before = len(house.stock.changes_since()), house.open_cases(), house.on_hand(KEY)
    report(house)
    assert (len(house.stock.changes_since()), house.open_cases(), house.on_hand(KEY)) == before

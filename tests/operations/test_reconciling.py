"""Drift: a case that opens with both numbers, follows them, and closes by itself."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.domain.cases import Case, CaseStatus
from shared.domain.drift import Observation
from shared.domain.network import Location, Source
from shared.domain.stock import Sku, SourceId, StockKey
from shared.operations.reconcile import UNDECLARED, drift_case
from shared.store.registry import Network
from tests.operations.deliveries import body, deliver
from tests.operations.house import EAST, ERP, KEY, NOON, TEA, WMS, House, at, cancelled, demand, movement


@pytest.fixture
def house() -> House:
    house = House()
    house.clock.advance(minutes=30)
    house.post(movement("opening", 0, 1000))
    return house


def says(
    house: House, quantity: int, minute: float, *, source: SourceId = ERP, element: str = "on_hand"
) -> None:
    """Let a source state a number."""
    line = {"sku": "TEA", "quantity": quantity, "counter": element}
    document = f"C-{minute}-{quantity}-{element}"
    deliver(house, body("count", document, line, occurred_at=at(minute)), document.replace(".", "_"), source)


def the_case(house: House) -> Case | None:
    found = house.cases.list(CaseStatus.OPEN)
    assert len(found) <= 1
    return found[0] if found else None


def test_a_difference_opens_a_case_with_both_numbers(house: House) -> None:
    says(house, 900, 5)
    house.settle()
    case = the_case(house)
    assert case is not None
    assert (case.facts["observed"], case.facts["expected"], case.facts["drift"]) == (900, 1000, -100)
    assert "900" in case.title
    assert "1000" in case.title


def test_the_case_follows_the_numbers_and_closes_when_they_agree(house: House) -> None:
    says(house, 900, 5)
    house.settle()
    says(house, 950, 6)
    house.settle()
    case = the_case(house)
    assert case is not None
    assert case.facts["drift"] == -50

    says(house, 1000, 7)
    house.settle()
    assert the_case(house) is None


def test_the_case_of_a_source_that_is_declared_no_more_closes_and_says_so(house: House) -> None:
    says(house, 900, 5)
    house.settle()
    kept = the_case(house)
    assert kept is not None
    house.sweep.run()
    assert house.cases.get(kept.id).status is CaseStatus.OPEN
    house.registry.undeclare(Network({ERP: house.registry.network().sources[ERP]}, {}, {}))
    house.clock.advance(minutes=1)

    assert house.sweep.run()["drift_of_undeclared_sources"] == 1

    gone = house.cases.get(kept.id)
    assert (gone.status, gone.resolution) == (CaseStatus.RESOLVED, UNDECLARED)
    house.post(movement("more", 6, 1))
    house.settle()
    house.sweep.run()
    assert house.cases.get(kept.id).occurrences == gone.occurrences
    assert the_case(house) is None


@pytest.mark.parametrize(("quantity", "drifts"), [(995, False), (1005, False), (994, True), (1006, True)])
def test_half_a_per_cent_is_forgiven(house: House, quantity: int, drifts: bool) -> None:
    says(house, quantity, 5)
    house.settle()
    assert (the_case(house) is not None) is drifts


def test_the_ledger_is_asked_for_the_instant_of_the_observation(house: House) -> None:
    house.post(movement("later", 10, -400))
    says(house, 1000, 5)
    house.settle()
    assert the_case(house) is None


def test_a_late_movement_closes_the_case_that_it_explains(house: House) -> None:
    says(house, 900, 5)
    house.settle()
    house.post(movement("late", 4, -100))
    house.settle()
    assert the_case(house) is None


def test_a_late_movement_opens_the_case_that_it_causes(house: House) -> None:
    says(house, 1000, 5)
    house.settle()
    assert the_case(house) is None

    house.post(movement("late", 4, -100))
    house.settle()

    case = the_case(house)
    assert case is not None
    assert case.facts["drift"] == 100


def test_a_movement_after_the_observation_opens_nothing(house: House) -> None:
    says(house, 1000, 5)
    house.settle()
    house.post(movement("later", 6, -100))
    house.settle()
    assert the_case(house) is None


def test_an_older_statement_that_arrives_late_changes_nothing(house: House) -> None:
    says(house, 1000, 7)
    house.settle()
    says(house, 900, 5)
    house.settle()
    assert the_case(house) is None
    assert [said.last.quantity for said in house.observations.of_sku(TEA)] == [1000]


@pytest.mark.parametrize("source", [WMS, ERP])
@pytest.mark.parametrize("order", [(1, 2), (2, 1), (1, 2, 1)])
def test_a_correction_to_an_earlier_instant_is_what_its_source_says_in_any_order(
    house: House, source: SourceId, order: tuple[int, ...]
) -> None:
    said = {1: (900, 15), 2: (1000, 5)}
    for version in order:
        quantity, minute = said[version]
        line = {"sku": "TEA", "quantity": quantity}
        house.store(source, body("count", "C#1", line, occurred_at=at(minute), version=str(version)))
        house.settle()
    house.clock.advance(hours=2)

    [verdict] = house.reconciler.again([KEY])

    assert (verdict.seen.quantity, verdict.seen.as_of, verdict.agrees) == (1000, at(5), True)
    assert house.open_cases() == []
    [kept] = house.observations.of_sku(TEA)
    assert kept.statements[-1].quantity == 1000


def test_of_two_documents_the_later_instant_is_what_its_source_says(house: House) -> None:
    for document, version, quantity, minute in (("A", 9, 900, 5), ("A1", 1, 1000, 6), ("A", 8, 800, 4)):
        line = {"sku": "TEA", "quantity": quantity}
        house.store(ERP, body("count", document, line, occurred_at=at(minute), version=str(version)))
    house.settle()
    assert [said.last.quantity for said in house.observations.of_sku(TEA)] == [1000]


def test_a_document_without_versions_goes_on_being_heard(house: House) -> None:
    for day, quantity in ((1, 900), (2, 1000), (3, 950)):
        seen = Observation(ERP, TEA, EAST, "on_hand", quantity, at(day), document="daily")
        house.observations.record([seen], house.clock())
    assert [said.last.quantity for said in house.observations.of_sku(TEA)] == [950]


def test_two_versions_in_one_batch_leave_the_later_one(house: House) -> None:
    seen = [
        Observation(ERP, TEA, EAST, "on_hand", quantity, at(minute), version, "C")
        for quantity, minute, version in ((1000, 5, "2"), (900, 15, "1"))
    ]
    house.observations.record(seen, house.clock())
    assert [said.last for said in house.observations.of_sku(TEA)] == [seen[0]]


def test_an_older_and_a_newer_statement_in_one_batch_leave_the_newer_ones_verdict(house: House) -> None:
    says(house, 900, 5)
    says(house, 1000, 6)
    house.settle()
    assert the_case(house) is None


def test_a_record_of_an_older_statement_that_comes_after_the_newer_one_changes_nothing(house: House) -> None:
    says(house, 1000, 6)
    house.settle()
    stale = Observation(ERP, TEA, EAST, "on_hand", 900, at(5))
    house.reconciler.observed([stale])
    assert the_case(house) is None


def test_an_observation_whose_record_was_lost_is_found_by_the_sweep(house: House) -> None:
    says(house, 900, 5)
    house.settle()
    house.cases.close(drift_case(ERP, KEY, "on_hand"), "x", NOON)
    says(house, 800, 6)
    for pending in house.inbox.pending_since(house.clock()):
        house.applier.apply(pending)
    house.lose_stream()
    house.clock.advance(seconds=61)
    house.sweep.run()
    case = the_case(house)
    assert case is not None
    assert case.facts["drift"] == -200
    assert list(house.observations.not_compared_since(house.clock())) == []


def test_what_is_available_is_compared_with_the_reservations_of_that_instant(house: House) -> None:
    house.post(demand("d", 3, 40, "1001"))
    house.post(cancelled("x", 8, 40, "1001"))
    says(house, 960, 5, element="available")
    house.settle()
    assert the_case(house) is None
    says(house, 1000, 9, element="available")
    house.settle()
    assert the_case(house) is None


def test_a_late_order_closes_the_drift_that_its_absence_had_opened(house: House) -> None:
    says(house, 960, minute=5, element="available")
    house.settle()
    case = drift_case(ERP, KEY, "available")
    assert house.cases.get(case).status is CaseStatus.OPEN

    house.post(demand("late order", 3, 40, "O-1"))
    house.settle()

    assert house.cases.get(case).status is CaseStatus.RESOLVED


def test_a_negative_ledger_is_compared_too(house: House) -> None:
    house.post(movement("out", 1, -1010))
    says(house, 0, 5)
    house.settle()
    case = the_case(house)
    assert case is not None
    assert case.facts["drift"] == 10


def test_sources_and_elements_have_cases_of_their_own(house: House) -> None:
    says(house, 900, 5)
    says(house, 900, 5, element="available")
    house.settle()
    assert house.open_cases() == ["drift", "drift"]


def test_a_meaning_that_cannot_be_read_holds_up_no_other_observation(house: House) -> None:
    broken = Source(SourceId("broken"), "standard_webhooks", meaning={"on_hand": "on_hand * 2"})
    erp = Source(ERP, "standard_webhooks", meaning={"on_hand": "on_hand"})
    house.declare(Network({broken.id: broken, erp.id: erp}, {EAST: Location(EAST, WMS, WMS)}, {}))
    says(house, 900, 5, source=broken.id)
    says(house, 900, 6)
    house.settle()
    house.clock.advance(seconds=61)
    house.sweep.run()
    case = the_case(house)
    assert case is not None
    assert case.facts["source"] == ERP


def test_a_case_that_an_operator_ignored_opens_again_only_when_the_source_speaks_again(house: House) -> None:
    says(house, 900, 5)
    house.settle()
    case = the_case(house)
    assert case is not None
    house.case_desk.ignore(case.id, "known", "ann")
    house.post(movement("r", 20, 5))
    house.settle()
    assert the_case(house) is None
    says(house, 890, 6)
    house.settle()
    assert the_case(house) is not None


def test_a_thousand_observations_in_one_batch_are_each_judged() -> None:
    house = House(skus=[f"S{n}" for n in range(1000)])
    house.clock.advance(minutes=30)
    house.post(*(movement(f"m{n}", 0, 100, key=StockKey(Sku(f"S{n}"), EAST)) for n in range(1000)))
    lines = [{"sku": f"S{n}", "quantity": 90 if n % 100 == 0 else 100} for n in range(1000)]
    deliver(house, body("count", "C", *lines, occurred_at=NOON + timedelta(minutes=5)), source="erp")
    house.settle()
    assert house.open_cases() == ["drift"] * 10 + ["undeclared_write_path"]
    assert list(house.observations.not_compared_since(house.clock())) == []

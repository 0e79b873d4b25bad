"""A drift case says which handoff probably failed; latency and tolerances decide what is drift at all."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from shared.domain.cases import Case, CaseKind, CaseStatus
from shared.domain.events import instant
from shared.domain.items import Item
from shared.domain.money import parse_money
from shared.domain.network import Tolerance
from shared.domain.root_cause import RootCause
from shared.domain.stock import MessageId, Sku, SourceId, StockKey
from shared.operations.explain import NothingSaidError
from shared.operations.reconcile import drift_case
from shared.store.observations import KEPT, TOLD_PLACES
from shared.store.registry import Network
from tests.operations.deliveries import body, deliver
from tests.operations.house import (
    EAST,
    ERP,
    KEY,
    NOON,
    TEA,
    WMS,
    House,
    at,
    cancelled,
    demand,
    movement,
    network,
)
from tests.operations.test_undoing import undo
from tests.operations.waiting_counts import hasty_clocks

SUBJECT = (KEY, ERP, "on_hand")


def says(
    house: House, quantity: int, minute: float, *, source: SourceId = ERP, element: str = "on_hand"
) -> None:
    """Let a source state a number of the tea at an instant, now."""
    house.clock.now = max(house.clock.now, at(minute))
    line = {"sku": "TEA", "quantity": quantity, "counter": element}
    document = f"C-{minute}-{quantity}-{element}"
    deliver(house, body("count", document, line, occurred_at=at(minute)), document.replace(".", "_"), source)
    house.settle()


def happens(house: House, name: str, minute: float, quantity: int) -> None:
    house.clock.now = max(house.clock.now, at(minute))
    house.post(movement(name, minute, quantity))
    house.settle()


def erp_with(**rules: object) -> Network:
    """Return the tests' network with other rules for the ERP."""
    declared = network()
    erp = replace(declared.sources[ERP], **rules)  # type: ignore[arg-type]
    return replace(declared, sources={**declared.sources, ERP: erp})


def the_case(house: House, element: str = "on_hand") -> Case | None:
    found = house.cases.find(drift_case(ERP, KEY, element))
    return found if found is not None and found.status is CaseStatus.OPEN else None


@pytest.fixture
def house() -> House:
    """The ERP agrees twice; a receipt follows that it never counts, and a shipment that it does."""
    house = House()
    happens(house, "wms/R-1/1/receipt/", 0, 1000)
    says(house, 1000, 30)
    happens(house, "wms/S-1/1/shipment/", 40, -30)
    says(house, 970, 60)
    return house


# ---- what a source used to say ------------------------------------------------------------------------------------


def test_what_a_source_said_before_is_remembered_with_its_instants(house: House) -> None:
    [said] = house.observations.recall([SUBJECT])
    assert [(one.quantity, one.as_of) for one in said.statements] == [(1000, at(30)), (970, at(60))]


def test_no_more_statements_are_remembered_than_are_looked_at(house: House) -> None:
    for number in range(KEPT + 20):
        says(house, 970, 61 + number)
    [said] = house.observations.recall([SUBJECT])
    assert KEPT <= len(said.statements) <= KEPT + 1
    assert said.statements[-1].as_of == at(61 + KEPT + 19)


def test_an_older_statement_that_comes_late_is_not_remembered_in_the_wrong_place(house: House) -> None:
    says(house, 999, 45)
    [said] = house.observations.recall([SUBJECT])
    assert [one.as_of for one in said.statements] == [at(30), at(60)]


def test_what_the_authority_counted_begins_anew(house: House) -> None:
    says(house, 970, 70, source=WMS)
    says(house, 960, 80, source=WMS)
    [said] = house.observations.recall([(KEY, WMS, "on_hand")])
    assert [one.quantity for one in said.statements] == [960]


# ---- causes in cases ----------------------------------------------------------------------------------------------


def lose_a_receipt(house: House) -> None:
    happens(house, "wms/R-2/1/receipt/", 70, 50)
    happens(house, "wms/S-2/1/shipment/", 80, -7)
    says(house, 963, 120)


def test_a_case_names_the_cause_the_guilty_event_and_the_remedy(house: House) -> None:
    lose_a_receipt(house)
    case = the_case(house)
    assert case is not None
    assert case.facts["cause"] == RootCause.MISSING_EVENT
    assert case.facts["guilty_event"] == "wms/R-2/1/receipt/"
    assert (case.facts["fault_from"], case.facts["fault_at"]) == ("event", instant(at(70)))
    assert "never counted wms/R-2/1/receipt/" in case.title
    assert "send the event to erp again" in case.remedy
    assert str(case.facts["hypothesis_1"]).startswith(
        f"{case.facts['confidence']} % missing_event (integration)"
    )


def test_a_case_whose_causes_fit_equally_well_names_them_all_and_asks_which_it_was(house: House) -> None:
    happens(house, "wms/S-7/1/shipment/", 80, -7)
    happens(house, "wms/S-8/1/shipment/", 80.5, -7)
    says(house, 963, 120)
    case = the_case(house)
    assert case is not None
    assert case.facts["fit_equally"] == 2
    for shipment in ("S-7", "S-8"):
        assert f"never counted wms/{shipment}/1/shipment/" in case.title
    assert case.remedy.startswith("find out which it was: ")


def test_the_cause_follows_the_numbers(house: House) -> None:
    lose_a_receipt(house)
    says(house, 1063, 130)
    case = the_case(house)
    assert case is not None
    assert case.facts["drift"] == 50
    assert case.facts["cause"] != RootCause.MISSING_EVENT


def test_a_cancelled_order_that_still_holds_units_is_named_by_its_cancellation(house: House) -> None:
    says(house, 970, 61, element="available")
    house.post(demand("shopify/order/1001/1/ordered/1", 65, 40, "1001"))
    says(house, 930, 70, element="available")
    house.post(cancelled("shopify/order/1001/1/cancelled/cancel", 75, 40, "1001"))
    says(house, 930, 120, element="available")
    case = the_case(house, "available")
    assert case is not None
    assert case.facts["cause"] == RootCause.RESERVATION_LEAK
    assert case.facts["guilty_event"] == "shopify/order/1001/1/cancelled/cancel"


def adjusts(house: House, document: str, quantity: int, minute: float) -> None:
    """Let the ERP, which nobody believes, tell of a correction of its own."""
    house.clock.now = max(house.clock.now, at(minute))
    line = {"sku": "TEA", "quantity": quantity}
    deliver(house, body("adjustment", document, line, occurred_at=at(minute)), document, ERP)
    house.settle()


def test_a_correction_that_the_source_told_of_itself_is_the_guilty_event(house: House) -> None:
    adjusts(house, "ADJ-7", 31, 70)
    adjusts(house, "ADJ-7", 31, 70)
    says(house, 1001, 80)
    case = the_case(house)
    assert case is not None
    assert case.facts["cause"] == RootCause.MANUAL_OVERRIDE
    assert case.facts["guilty_event"] == "erp/ADJ-7/1/adjustment/"


def test_what_was_told_is_remembered_once_each_and_no_more_than_has_room(house: House) -> None:
    for number in range(200):
        adjusts(house, f"ADJ-{number}", 1, 70)
    told = house.observations.told(KEY, ERP)
    assert 40 < len(told) <= TOLD_PLACES
    adjusts(house, "ADJ-199", 1, 70)
    assert house.observations.told(KEY, ERP) == told


def test_a_source_that_said_nothing_has_no_difference_to_explain(house: House) -> None:
    with pytest.raises(NothingSaidError, match="files has said nothing"):
        house.explainer.of_subject(KEY, SourceId("files"), "on_hand")


def test_every_source_that_differs_at_a_stock_key_is_explained_and_those_that_agree_are_left_out(
    house: House,
) -> None:
    says(house, 1013, 119, element="available")
    lose_a_receipt(house)
    found = house.explainer.of_key(KEY)
    assert [one.observation.element for one, _ in found] == ["on_hand"]


def test_units_booked_on_another_item_name_that_item(house: House) -> None:
    mug = StockKey(Sku("MUG"), EAST)
    house.post(movement("wms/R-7/1/receipt/", 1, 400, key=mug))
    both(house, 970, 400, 65)
    happens(house, "wms/R-2/1/receipt/", 70, 60)
    both(house, 970, 460, 95)
    both(house, 970, 460, 120)
    case = the_case(house)
    assert case is not None
    assert case.facts["cause"] == RootCause.MAPPING_SWAP
    assert "MUG@east" in case.title


def both(house: House, tea: int, mug: int, minute: float) -> None:
    """Let the ERP state the tea and the mug in one document."""
    house.clock.now = max(house.clock.now, at(minute))
    lines = [{"sku": "TEA", "quantity": tea}, {"sku": "MUG", "quantity": mug}]
    deliver(house, body("count", f"B-{minute}", *lines, occurred_at=at(minute)), f"B-{minute}", ERP)
    house.settle()


# ---- latency and tolerances ---------------------------------------------------------------------------------------


def test_a_difference_that_the_declared_latency_allows_is_no_case(house: House) -> None:
    house.declare(erp_with(latency=timedelta(minutes=20)))
    happens(house, "wms/R-2/1/receipt/", 70, 50)
    says(house, 970, 80)
    assert the_case(house) is None


def test_a_difference_beyond_the_declared_latency_is_a_case(house: House) -> None:
    house.declare(erp_with(latency=timedelta(minutes=20)))
    happens(house, "wms/R-2/1/receipt/", 70, 50)
    says(house, 970, 91)
    case = the_case(house)
    assert case is not None
    assert case.facts["drift"] == -50


def test_an_open_case_closes_when_what_is_left_is_posting_delay_within_limits(house: House) -> None:
    house.declare(erp_with(latency=timedelta(minutes=20)))
    happens(house, "wms/R-2/1/receipt/", 70, 50)
    says(house, 970, 91)
    happens(house, "wms/S-2/1/shipment/", 100, -9)
    says(house, 1020, 110)
    assert the_case(house) is None


def test_what_the_authority_may_not_have_told_yet_waits_for_the_sweep(house: House) -> None:
    declared = network()
    wms = replace(declared.sources[WMS], latency=timedelta(minutes=2))
    house.declare(replace(declared, sources={**declared.sources, WMS: wms}))
    says(house, 940, 70)
    assert the_case(house) is None
    house.clock.advance(minutes=3)
    house.sweep.run()
    case = the_case(house)
    assert case is not None
    assert case.facts["drift"] == -30


def test_a_movement_that_arrives_within_the_authoritys_latency_opens_no_case(house: House) -> None:
    declared = network()
    wms = replace(declared.sources[WMS], latency=timedelta(minutes=2))
    house.declare(replace(declared, sources={**declared.sources, WMS: wms}))
    says(house, 940, 70)
    house.clock.advance(seconds=40)
    house.post(movement("wms/S-2/1/shipment/", 69, -30))
    house.clock.advance(minutes=3)
    house.settle()
    house.sweep.run()
    assert house.open_cases() == []


@pytest.mark.parametrize(
    ("rules", "drifts"),
    [
        ({}, True),
        ({"tolerance": Tolerance(percent_hundredths=100)}, True),
        ({"tolerance": Tolerance(percent_hundredths=110)}, False),
        ({"tolerance": Tolerance(percent_hundredths=0, units=10)}, False),
        ({"tolerance": Tolerance(percent_hundredths=0, units=9)}, True),
        ({"class_tolerances": {"bulk": Tolerance(0, 10)}}, False),
        ({"class_tolerances": {"bulk": Tolerance(0, 9)}, "tolerance": Tolerance(0, 10)}, True),
        ({"class_tolerances": {"fine": Tolerance(0, 9)}, "tolerance": Tolerance(0, 10)}, False),
        ({"tolerance": Tolerance(0, 0, parse_money("25 EUR"))}, False),
        ({"tolerance": Tolerance(0, 0, parse_money("24.99 EUR"))}, True),
        ({"tolerance": Tolerance(0, 0, parse_money("1000 USD"))}, True),
        ({"tolerance": Tolerance(0, 10, parse_money("1 EUR"))}, False),
        ({"class_tolerances": {"bulk": Tolerance(0, 0, parse_money("25 EUR"))}}, False),
    ],
)
def test_the_sources_rule_decides_what_is_forgiven_first_that_for_the_items_class(
    house: House, rules: dict[str, object], drifts: bool
) -> None:
    house.registry.items.change(
        [(Item(TEA), Item(TEA, item_class="bulk", price=parse_money("2.50 EUR"), version=1, changed_at=NOON))]
    )
    house.declare(erp_with(**rules))
    says(house, 960, 70)
    assert (the_case(house) is not None) is drifts


def test_the_locations_rule_counts_where_the_source_has_none(house: House) -> None:
    declared = network()
    east = replace(declared.locations[EAST], tolerance=Tolerance(0, 10))
    house.declare(replace(declared, locations={**declared.locations, EAST: east}))
    says(house, 960, 70)
    assert the_case(house) is None
    says(house, 959, 71)
    assert the_case(house) is not None


def test_a_value_forgives_nothing_of_an_item_whose_price_is_not_known(house: House) -> None:
    house.declare(erp_with(tolerance=Tolerance(0, 0, parse_money("1000 EUR"))))
    says(house, 960, 70)
    assert the_case(house) is not None


def test_one_fault_behind_many_differences_explains_the_first_of_them_and_files_them_all() -> None:
    skus = [f"S{n}" for n in range(60)]
    house = House(skus=skus)
    house.clock.advance(minutes=30)
    house.post(*(movement(f"m{n}", 0, 100, key=StockKey(Sku(sku), EAST)) for n, sku in enumerate(skus)))
    lines = [{"sku": sku, "quantity": 90} for sku in skus]
    deliver(house, body("count", "C", *lines, occurred_at=at(5)), source="erp")
    house.settle()
    cases = [case for case in house.cases.list(CaseStatus.OPEN) if case.kind is CaseKind.DRIFT]
    assert len(cases) == 60
    assert sum("cause" in case.facts for case in cases) == 40


# ---- what was undone ----------------------------------------------------------------------------------------------


def reported(
    house: House, kind: str, document: str, minute: float, quantity: int, **more: object
) -> MessageId:
    """Let the WMS tell of something that happened at a minute, and apply it."""
    house.clock.now = max(house.clock.now, at(minute))
    line = {"sku": "TEA", "quantity": quantity, **more}
    message = house.store("wms", body(kind, document, line, occurred_at=at(minute)))
    house.settle()
    return message


def drift_of(house: House, source: SourceId) -> Case:
    return house.cases.get(drift_case(source, KEY, "on_hand"))


def undone(house: House, message: MessageId) -> None:
    house.clock.now = at(300)
    undo(house, message)
    house.settle()


def test_an_authority_that_still_says_what_its_undone_count_said_is_told_so_and_not_of_a_lost_count() -> None:
    house = House()
    reported(house, "count", "GOOD", 0, 2000)
    undone(house, reported(house, "count", "BAD", 120, 1500))
    case = drift_of(house, WMS)
    assert (case.facts["cause"], case.facts["guilty_event"]) == ("manual_override", "wms/BAD/1/count/")
    assert (case.facts["fault_at"], case.facts["undone_at"]) == (instant(at(120)), instant(at(300)))
    assert (
        "wms still holds the number of its own count wms/BAD/1/count/, which was undone by ann at "
        "2026-11-01 17:00:00" in case.title
    )
    assert case.remedy == "correct the number in wms, or have the location counted again"


def test_what_moved_since_an_undone_count_does_not_hide_it() -> None:
    house = House()
    reported(house, "count", "GOOD", 0, 2000)
    mistake = reported(house, "count", "BAD", 120, 1500)
    reported(house, "shipment", "EARLY", 100, 7)  # late: what the count said has seen it already
    reported(house, "shipment", "S", 130, 40)
    undone(house, mistake)
    assert house.on_hand() == 1953
    assert drift_of(house, WMS).facts["guilty_event"] == "wms/BAD/1/count/"


def test_a_corrected_count_that_was_undone_is_named_where_its_first_version_stands_again() -> None:
    house = House(hasty_clocks())
    reported(house, "count", "GOOD", 0, 100)
    house.clock.now = at(125)
    for version, minute, quantity in (("1", 110, 98), ("2", 120, 50)):
        told = body(
            "count", "C", {"sku": "TEA", "quantity": quantity}, occurred_at=at(minute), version=version
        )
        mistake = house.store("wms", told)
        house.settle()
    undone(house, mistake)
    assert house.on_hand() == 98
    case = drift_of(house, WMS)
    assert (case.facts["drift"], case.facts["cause"]) == (-48, "manual_override")
    assert case.facts["guilty_event"] == "wms/C/1/count/2"


def test_another_system_that_took_over_what_was_undone_since_is_said_not_to_have_heard_of_that() -> None:
    house = House()
    reported(house, "receipt", "R-1", 0, 1000)
    mistake = reported(house, "receipt", "R-2", 10, 50)
    says(house, 1050, 30)
    undone(house, mistake)
    house.clock.advance(hours=1)
    house.sweep.run()
    case = drift_of(house, ERP)
    assert (case.facts["cause"], case.facts["guilty_event"]) == ("missing_event", "wms/R-2/1/receipt/")
    assert "erp still holds wms/R-2/1/receipt/, which was undone by ann at" in case.title
    assert case.remedy.startswith("take it back in erp too")


def test_after_a_count_was_undone_a_count_that_never_arrived_is_still_named() -> None:
    house = House()
    reported(house, "count", "GOOD", 0, 2000)
    says(house, 2000, 10)
    undone(house, reported(house, "count", "BAD", 20, 1500))
    reported(house, "count", "NEW", 310, 1900)
    reported(house, "shipment", "S", 315, 5)
    says(house, 1995, 320)
    case = drift_of(house, ERP)
    assert (case.facts["cause"], case.facts["guilty_event"]) == ("count_not_propagated", "wms/NEW/1/count/")

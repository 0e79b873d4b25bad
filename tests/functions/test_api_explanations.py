"""Why a number differs, over the API."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from functions.apply_messages.handler import handle as apply_messages
from functions.reconcile_stock.handler import handle as reconcile
from shared.domain.cases import Case, CaseKind
from shared.store.cases import Cases
from tests.functions.calls import api, webhook
from tests.functions.conftest import Aws

NOW = datetime.now(UTC)


def told(aws: Aws, type_: str, document: str, quantity: int, minutes_ago: float) -> None:
    """Deliver a report of the tea, apply it, and compare."""
    line = {"line": "1", "sku": "TEA", "location": "east", "quantity": quantity}
    at = (NOW - timedelta(minutes=minutes_ago)).isoformat()
    webhook(
        "wms",
        {"type": f"stock.{type_}", "timestamp": at, "data": {"document": document, "lines": [line]}},
    )
    apply_messages({"Records": aws.images("inbox", "MSG#")}, None)
    reconcile({"Records": [*aws.images("stock", "OBS#"), *aws.images("stock", "BAL#")]}, None)


def differing(aws: Aws) -> dict[str, Any]:
    """A count comes that lacks the last of two receipts; return the drift case."""
    told(aws, "receipt", "GR-1", 20, 60)
    told(aws, "count", "C-1", 20, 50)
    told(aws, "receipt", "GR-2", 13, 40)
    told(aws, "receipt", "GR-3", 5, 30)
    told(aws, "count", "C-2", 25, 20)
    [case] = api("GET /v1/cases").body["cases"]
    return dict(case)


def test_a_drift_case_is_explained_with_the_guilty_event_its_evidence_and_the_remedy(aws: Aws) -> None:
    case = differing(aws)
    said = api(f"GET /v1/cases/{case['id']}/explanation", scopes="viewer")
    assert said.status == 200
    assert (said.body["observed"], said.body["expected"], said.body["drift"]) == (25, 38, -13)
    first = said.body["hypotheses"][0]
    assert (first["cause"], first["events"]) == ("missing_event", ["wms/GR-2/1/receipt/"])
    assert (first["sphere"], first["evidence"][0]["quantity"]) == ("integration", 13)
    assert first["remedy"]
    assert first["confirm"]


def test_the_case_itself_names_what_the_explanation_says_first(aws: Aws) -> None:
    case = differing(aws)
    assert case["facts"]["cause"] == "missing_event"
    assert case["facts"]["guilty_event"] == "wms/GR-2/1/receipt/"


def test_every_source_that_differs_at_a_stock_key_is_explained(aws: Aws) -> None:
    differing(aws)
    said = api("GET /v1/explanations", query={"sku": "TEA", "location": "east"}, scopes="viewer")
    assert [one["source"] for one in said.body["explanations"]] == ["wms"]


def test_a_stock_key_where_all_agree_has_no_explanations(aws: Aws) -> None:
    said = api("GET /v1/explanations", query={"sku": "TEA", "location": "east"})
    assert (said.status, said.body) == (200, {"explanations": []})


def test_an_unknown_item_is_told(aws: Aws) -> None:
    assert api("GET /v1/explanations", query={"sku": "NOPE", "location": "east"}).status == 404


def test_a_case_about_no_difference_is_refused(aws: Aws) -> None:
    Cases(aws.table("cases")).file(Case("held:x", CaseKind.HELD, "t", "r", NOW, NOW, {}))
    said = api("GET /v1/cases/held:x/explanation")
    assert (said.status, said.body["remedy"]) == (409, "explain a case of kind drift")


def test_a_case_whose_source_said_nothing_that_is_kept_is_told(aws: Aws) -> None:
    facts = {"source": "wms", "sku": "TEA", "location": "east", "element": "on_hand"}
    Cases(aws.table("cases")).file(Case("drift:x", CaseKind.DRIFT, "t", "r", NOW, NOW, facts))
    assert api("GET /v1/cases/drift:x/explanation").status == 404


def test_explanations_are_for_those_who_watch(aws: Aws) -> None:
    assert (
        api("GET /v1/explanations", query={"sku": "TEA", "location": "east"}, scopes="reserver").status == 403
    )


def test_where_drift_comes_from_is_told_by_site_handoff_and_cause(aws: Aws) -> None:
    differing(aws)
    said = api("GET /v1/drift", scopes="viewer")
    assert said.status == 200
    assert (said.body["cases"], said.body["open"], said.body["units"]) == (1, 1, 13)
    counted = {"cases": 1, "open": 1, "units": 13, "share": 100}
    assert said.body["sites"] == [{"site": "east", **counted}]
    assert said.body["causes"] == [{"cause": "missing_event", **counted}]
    assert said.body["paths"][0]["site"] == "east"


def test_a_drift_case_that_was_closed_before_the_instant_asked_about_is_left_out(aws: Aws) -> None:
    case = differing(aws)
    Cases(aws.table("cases")).close(case["id"], "recounted", NOW)
    later = (NOW + timedelta(minutes=1)).isoformat()
    assert api("GET /v1/drift", query={"since": later}).body["cases"] == 0
    assert api("GET /v1/drift").body["cases"] == 1


def test_drift_since_an_instant_without_a_zone_is_refused(aws: Aws) -> None:
    said = api("GET /v1/drift", query={"since": "2026-11-01T12:00:00"})
    assert (said.status, said.body["field"]) == (400, "since")

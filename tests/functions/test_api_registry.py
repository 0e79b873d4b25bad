"""Master data through the API: who may change it, what is kept of each change, and what is refused by its field."""

from __future__ import annotations

import pytest

from tests.functions.calls import api
from tests.functions.conftest import Aws

CASES = {
    "base_unit": "each",
    "packs": {"case": "12", "half": "1/2"},
    "description": "Earl Grey",
    "owner": "buying",
}


def test_an_item_is_declared_and_shown_with_who_changed_what(aws: Aws) -> None:
    assert api("PUT /v1/registry/items/TEA", CASES, subject="ann").status == 200

    said = api("PUT /v1/registry/items/TEA", {**CASES, "packs": {"case": "10"}}, subject="bob").body

    assert said["terms"] == [
        {"effective_from": None, "base_unit": "each", "packs": {"case": "10"}, "components": []}
    ]
    assert (said["version"], said["description"], said["owner"]) == (2, "Earl Grey", "buying")
    assert [change["actor"] for change in said["history"]] == ["ann", "bob"]
    assert said["history"][1]["changes"][0]["after"] == "base unit each; case = 10"
    assert api("GET /v1/registry/items/TEA", scopes="viewer").body == said


def test_any_sku_is_reached_and_a_dated_change_begins_there(aws: Aws) -> None:
    dated = {"base_unit": "each", "packs": {"case": "6"}, "effective_from": "2030-01-01T00:00:00Z"}

    assert api("PUT /v1/registry/items", dated, query={"sku": "A/B #1"}).status == 200

    terms = api("GET /v1/registry/items", query={"sku": "A/B #1"}).body["terms"]
    assert [one["effective_from"] for one in terms] == [None, "2030-01-01T00:00:00.000000Z"]
    assert [one["packs"] for one in terms] == [{}, {"case": "6"}]


@pytest.mark.parametrize("scope", ["viewer", "operator", "approver", "reserver"])
def test_only_an_admin_changes_master_data(aws: Aws, scope: str) -> None:
    assert api("PUT /v1/registry/items/TEA", CASES, scopes=scope).status == 403
    where = {"source": "wms", "kind": "sku", "code": "X"}
    assert api("PUT /v1/registry/cross-references", {"sku": "TEA"}, query=where, scopes=scope).status == 403


def test_a_kit_is_declared_and_its_components_know_it(aws: Aws) -> None:
    box = {"components": [{"sku": "TEA", "quantity": 2}]}

    assert api("PUT /v1/registry/items/BOX", box).status == 200

    assert api("GET /v1/registry/items/TEA").body["lies_in"] == ["BOX"]
    refused = api("PUT /v1/registry/items/CRATE", {"components": [{"sku": "BOX", "quantity": 1}]})
    assert (refused.status, refused.body["field"]) == (400, "components")
    assert "remedy" in refused.body
    assert api("GET /v1/registry/items/CRATE").status == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"base_unit": "g"}, "base_unit"),
        ({"base_unit": "each", "packs": {"case": "twelve"}}, "packs.case"),
        ({"base_unit": "each", "packs": {"each": "2"}}, "pack:each"),
        ({"base_unit": "each", "components": [{"sku": "TEA", "quantity": 1}]}, "components"),
        ({"base_unit": "each", "components": [{"sku": "NOBODY", "quantity": 1}]}, "components"),
        ({"base_unit": "each", "components": [{"sku": "A/B #1", "quantity": 0}]}, "components.0.quantity"),
        ({"bas_unit": "each"}, "bas_unit"),
        ({"effective_from": "2030-01-01T00:00:00"}, "effective_from"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_its_field(aws: Aws, body: object, field: str) -> None:
    api("PUT /v1/registry/items/TEA", CASES)

    refused = api("PUT /v1/registry/items/TEA", body)

    assert (refused.status, refused.body["field"]) == (400, field)
    assert api("GET /v1/registry/items/TEA").body["version"] == 1


def test_an_item_that_changed_meanwhile_is_not_overwritten(aws: Aws) -> None:
    api("PUT /v1/registry/items/TEA", CASES)

    stale = api("PUT /v1/registry/items/TEA", {**CASES, "description": "Other", "version": 0})

    assert (stale.status, stale.body["type"]) == (409, "urn:onecount:problem:changed_meanwhile")
    assert api("PUT /v1/registry/items/TEA", {**CASES, "description": "Other", "version": 1}).status == 200


def test_a_code_is_mapped_with_the_pack_that_it_is_printed_on(aws: Aws) -> None:
    where = {"source": "wms", "kind": "upc", "code": "501"}
    api("PUT /v1/registry/cross-references", {"sku": "TEA"}, query=where, subject="ann")

    said = api(
        "PUT /v1/registry/cross-references", {"sku": "TEA", "unit": "case"}, query=where, subject="bob"
    ).body

    assert said["terms"] == [{"effective_from": None, "sku": "TEA", "unit": "case"}]
    assert [change["actor"] for change in said["history"]] == ["ann", "bob"]
    assert api("GET /v1/registry/cross-references", query=where, scopes="viewer").body == said
    assert api("GET /v1/registry/cross-references", query={**where, "code": "502"}).status == 404
    for body, query in (({"sku": "NOBODY"}, where), ({"sku": "TEA"}, {**where, "source": "nobody"})):
        assert api("PUT /v1/registry/cross-references", body, query=query).status == 400


def test_price_and_cost_are_declared_apart_and_a_bad_amount_is_refused_by_its_field(aws: Aws) -> None:
    said = api("PUT /v1/registry/items/TEA", {**CASES, "price": "12.50 EUR", "cost": "7.10 EUR"}).body
    assert (said["price"], said["cost"]) == ("12.50 EUR", "7.10 EUR")
    for field in ("price", "cost"):
        refused = api("PUT /v1/registry/items/TEA", {**CASES, field: "7,10"})
        assert (refused.status, refused.body["field"]) == (400, field)
        assert refused.body["remedy"]

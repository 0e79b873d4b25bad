"""Recalls and expiry through the API."""

from __future__ import annotations

import pytest

from tests.functions.calls import api
from tests.functions.conftest import Aws


def test_a_recall_says_what_it_set_on_hold_and_where_lots_are_not_kept(aws: Aws) -> None:
    said = api("POST /v1/lots/recall", {"sku": "TEA", "lot": "L1", "reason": "glass"}, scopes="operator")

    assert said.status == 200
    assert (said.body["set_on_hold"], said.body["recalled_by"]) == ({}, "ann")
    assert said.body["not_told_apart"] == []


def test_an_expiry_is_kept(aws: Aws) -> None:
    said = api("PUT /v1/lots", {"sku": "TEA", "lot": "L1", "expires_on": "2027-03-31"})

    assert (said.status, said.body) == (200, {"sku": "TEA", "lot": "L1", "expires_on": "2027-03-31"})


@pytest.mark.parametrize(
    "day", [1728000000, "1728000000", "2027-03-31T00:00:00Z", "1999-12-31", "2027-02-30"]
)
def test_a_last_day_that_is_not_written_as_a_day_is_refused(aws: Aws, day: object) -> None:
    refused = api("PUT /v1/lots", {"sku": "TEA", "lot": "L1", "expires_on": day})
    assert (refused.status, refused.body["field"]) == (400, "expires_on")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"sku": "TEA", "lot": "-", "reason": "glass"}, "lot"),
        ({"sku": "TEA", "lot": "", "reason": "glass"}, "lot"),
        ({"sku": "TEA", "lot": "L1", "reason": ""}, "reason"),
        ({"sku": "TEA", "lot": "L1", "reason": "  \t "}, "reason"),
    ],
)
def test_a_recall_that_cannot_be_meant_is_refused_by_its_field(aws: Aws, body: object, field: str) -> None:
    refused = api("POST /v1/lots/recall", body)
    assert (refused.status, refused.body["field"]) == (400, field)


def test_only_an_operator_recalls_and_only_what_is_an_item(aws: Aws) -> None:
    body = {"sku": "TEA", "lot": "L1", "reason": "glass"}
    assert api("POST /v1/lots/recall", body, scopes="viewer").status == 403
    assert api("POST /v1/lots/recall", {**body, "sku": "NOBODY"}).status == 404

"""Transfers over the API: who may do what, what is answered, and what is refused by its field."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from shared.domain.money import parse_money
from shared.domain.network import Location, Replenishment, Route
from shared.domain.rules import FourEyes, Rules
from shared.domain.stock import LocationId, Sku
from tests.functions.calls import Said, api
from tests.functions.conftest import Aws
from tests.functions.test_doors import stocked

WANTED = {
    "from": "east",
    "to": "west",
    "lines": [{"sku": "TEA", "quantity": 6}],
    "reason": "west runs out",
}


@pytest.fixture
def two_sites(aws: Aws) -> Aws:
    declared = aws.registry.network(fresh=True)
    west = LocationId("west")
    rules = Rules(FourEyes(parse_money("10000 EUR"), 50))
    aws.registry.declare(
        replace(declared, locations={**declared.locations, west: Location(west)}, rules=rules)
    )
    stocked(aws, 100)
    return aws


def act(
    transfer: str,
    action: str,
    body: object = None,
    key: str | None = None,
    *,
    scopes: str = "operator",
    subject: str = "cat",
) -> Said:
    key = action if key is None else key
    return api(
        f"POST /v1/transfers/{transfer}/{action}", body, scopes=scopes, subject=subject, Idempotency_Key=key
    )


def requested(quantity: int = 6, key: str = "r") -> Said:
    wanted = {**WANTED, "lines": [{"sku": "TEA", "quantity": quantity}]}
    return api("POST /v1/transfers", wanted, scopes="operator", subject="ann", Idempotency_Key=key)


def approved(quantity: int = 6) -> str:
    name = str(requested(quantity).body["id"])
    assert act(name, "approve", scopes="approver", subject="ben").status == 200
    return name


@pytest.mark.parametrize("part", ["bin", "lot"])
def test_a_dash_is_no_bin_and_no_lot(two_sites: Aws, part: str) -> None:
    name = approved()

    said = act(name, "ship", {"lines": [{"sku": "TEA", "quantity": 1, part: "-"}]})

    assert (said.status, said.body["field"]) == (400, f"lines.0.{part}")
    assert "leave it out" in said.body["detail"]


def test_from_the_request_to_a_loss(two_sites: Aws) -> None:
    made = requested()
    assert (made.status, made.body["status"], made.headers["Location"]) == (
        201,
        "requested",
        f"/v1/transfers/{made.body['id']}",
    )
    name = made.body["id"]

    assert act(name, "approve", scopes="approver").body["status"] == "approved"
    assert api("GET /v1/stock/TEA").body["locations"][0]["available"] == 94
    assert act(name, "ship").body["status"] == "in_transit"
    part = act(name, "receive", {"lines": [{"sku": "TEA", "quantity": 4}]})
    assert (part.body["received"], part.body["in_transit"]) == (4, 2)
    burnt = {"reason": "the lorry burnt", "accept_loss": True}
    assert act(name, "close", burnt, scopes="operator").status == 403
    done = act(name, "close", burnt, scopes="approver", subject="ben").body

    assert (done["status"], done["shipped"], done["received"], done["lost"], done["in_transit"]) == (
        "closed_short",
        6,
        4,
        2,
        0,
    )
    assert done["closed"]["reason"] == "the lorry burnt"
    assert [one["effect"] for one in done["movements"]] == ["shipped", "received", "lost"]
    assert api(f"GET /v1/transfers/{name}", scopes="viewer").body == done
    assert api("GET /v1/transfers", scopes="viewer").body == {"transfers": [done], "cursor": None}


def test_the_same_key_gives_the_same_answer_and_another_body_is_409(two_sites: Aws) -> None:
    name = approved()
    assert requested().status == 201
    assert requested(7).body["type"] == "urn:onecount:problem:idempotency_conflict"
    first = act(name, "ship", {"lines": [{"sku": "TEA", "quantity": 2}]}, "k")
    again = act(name, "ship", {"lines": [{"sku": "TEA", "quantity": 2}]}, "k")
    assert (again.status, again.body) == (200, first.body)
    assert act(name, "ship", {"lines": [{"sku": "TEA", "quantity": 3}]}, "k").status == 409
    assert act(name, "receive", None, "k").status == 409


def test_an_over_receipt_is_refused_with_the_numbers_and_the_remedy(two_sites: Aws) -> None:
    name = approved()
    act(name, "ship", {"lines": [{"sku": "TEA", "quantity": 5}]})

    said = act(name, "receive", {"lines": [{"sku": "TEA", "quantity": 6}]})

    assert (said.status, said.body["field"]) == (400, "lines")
    assert "5 are in transit" in said.body["detail"]
    assert "adjustment" in said.body["remedy"]


def test_where_it_stands_forbids_what_makes_no_sense(two_sites: Aws) -> None:
    name = requested().body["id"]
    early = act(name, "ship")
    assert (early.status, early.body["field"]) == (409, "transfer")
    assert "approve" in early.body["remedy"]
    assert act(name, "close", {"reason": "not needed"}).body["status"] == "cancelled"
    assert act(name, "approve", scopes="approver").status == 409
    assert act("nope", "ship").status == 404
    assert api("GET /v1/transfers/nope").status == 404


@pytest.mark.parametrize("said", ["yes", "true", 1, "on"])
def test_a_loss_is_accepted_by_true_alone(two_sites: Aws, said: object) -> None:
    name = approved()
    act(name, "ship")

    refused = act(name, "close", {"reason": "burnt", "accept_loss": said}, scopes="approver", subject="ben")

    assert (refused.status, refused.body["field"]) == (400, "accept_loss")
    assert api(f"GET /v1/transfers/{name}").body["in_transit"] == 6


def test_above_the_four_eyes_amount_another_person_must_approve(two_sites: Aws) -> None:
    name = requested(60).body["id"]

    own = act(name, "approve", scopes="approver operator", subject="ann")
    assert (own.status, own.body["type"]) == (409, "urn:onecount:problem:not_possible")
    assert "60 units" in own.body["detail"]
    assert "ONECOUNT_TOKEN" in own.body["remedy"]
    assert "onecount token --scope approver" in own.body["remedy"]
    assert act(name, "approve", scopes="approver", subject="ben").status == 200


def test_more_than_is_left_cannot_be_approved_and_the_answer_says_how_many_are(two_sites: Aws) -> None:
    name = requested(101).body["id"]

    said = act(name, "approve", scopes="approver", subject="ben")

    assert (said.status, said.body["type"]) == (409, "urn:onecount:problem:insufficient_stock")
    assert said.body["lines"] == [{"sku": "TEA", "location": "east", "requested": 101, "available": 100}]
    assert said.body["remedy"]


@pytest.mark.parametrize(
    ("change", "status", "field"),
    [
        ({"to": "east"}, 400, "to"),
        ({"from": "moon"}, 400, "from"),
        ({"lines": []}, 400, "lines"),
        ({"lines": [{"sku": "NOPE", "quantity": 1}]}, 422, "lines"),
        ({"lines": [{"sku": "TEA", "quantity": 0}]}, 400, "lines.0.quantity"),
        ({"lines": [{"sku": "TEA", "quantity": 1.5}]}, 400, "lines.0.quantity"),
        ({"lines": [{"sku": "TEA", "quantity": 1}] * 2}, 400, "lines[1].sku"),
        ({"reason": ""}, 400, "reason"),
        ({"lead_time_h": 0}, 400, "lead_time_h"),
        ({"why": "x"}, 400, "why"),
    ],
)
def test_what_cannot_be_meant_names_its_field(
    two_sites: Aws, change: dict[str, Any], status: int, field: str
) -> None:
    said = api("POST /v1/transfers", {**WANTED, **change}, scopes="operator", Idempotency_Key="k")

    assert (said.status, said.body.get("field")) == (status, field)
    assert said.body["remedy"]
    assert api("GET /v1/transfers").body["transfers"] == []


def test_who_may_do_what(two_sites: Aws) -> None:
    name = approved()
    for scopes in ("viewer", "reserver", "approver"):
        assert api("POST /v1/transfers", WANTED, scopes=scopes, Idempotency_Key="x").status == 403
        assert act(name, "ship", scopes=scopes).status == 403
        assert act(name, "receive", scopes=scopes).status == 403
    for scopes in ("viewer", "reserver", "operator"):
        assert act(name, "approve", scopes=scopes).status == 403
    assert act(name, "ship", key="").body["field"] == "Idempotency-Key"
    assert api("GET /v1/transfers", query={"cursor": "x"}).body["field"] == "cursor"


def test_lists_go_on_where_the_page_before_ended(two_sites: Aws) -> None:
    made = [requested(1, f"k{number}").body["id"] for number in range(5)]

    first = api("GET /v1/transfers", query={"limit": "3"}).body
    rest = api("GET /v1/transfers", query={"limit": "3", "cursor": first["cursor"]}).body

    found = [one["id"] for one in (*first["transfers"], *rest["transfers"])]
    assert (sorted(found), rest["cursor"]) == (sorted(made), None)


def test_a_recommendation_says_its_numbers_and_is_requested_like_any_transfer(two_sites: Aws) -> None:
    declared = two_sites.registry.network(fresh=True)
    west = LocationId("west")
    rule = Replenishment(
        10,
        {Sku("TEA"): 12, Sku("MUG"): 3},
        (Route(LocationId("east"), timedelta(hours=48), parse_money("80 EUR")),),
    )
    places = {**declared.locations, west: Location(west, replenish=rule)}
    two_sites.registry.declare(replace(declared, locations=places))

    said = api("GET /v1/transfers/recommendations", scopes="viewer", query={"location": "west"}).body

    [proposal] = said["recommendations"]
    [line] = proposal["lines"]
    assert (proposal["lead_time_h"], proposal["cost"], proposal["worth"]) == (48, "80 EUR", None)
    assert (line["sku"], line["quantity"], line["limited_by"]) == ("TEA", 12, "shortage")
    assert (line["shortage"]["minimum"], line["shortage"]["units"], line["excess"]["available"]) == (
        12,
        12,
        100,
    )
    assert "0 available, 0 incoming, 0 in transit, 0 on open transfers, against 12" in line["why"]
    [unmet] = said["unmet"]
    assert (unmet["sku"], unmet["units"]) == ("MUG", 3)
    [east] = unmet["others"]
    assert (east["from"], east["quantity"], east["limited_by"]) == ("east", 0, "excess")
    assert (east["excess"]["available"], east["excess"]["keeps"], east["excess"]["cover_days"]) == (0, 0, 10)
    assert unmet["why"].endswith(
        "east has 0 available, sells 0.0 a day and keeps 0 for 10 days, so it can give 0"
    )
    assert api("GET /v1/transfers").body["transfers"] == []

    made = api("POST /v1/transfers", proposal["request"], scopes="operator", Idempotency_Key="k").body
    assert (made["status"], made["lead_time_h"]) == ("requested", 48)
    again = api("GET /v1/transfers/recommendations", query={"location": "west"}).body
    assert again["recommendations"] == []


def test_what_another_location_keeps_for_itself_is_said_where_it_gives_none(two_sites: Aws) -> None:
    declared = two_sites.registry.network(fresh=True)
    east, west = LocationId("east"), LocationId("west")
    rule = Replenishment(10, {Sku("TEA"): 12}, (Route(east, timedelta(hours=48)),))
    keeps = Replenishment(21, {Sku("TEA"): 180})
    places = {
        **declared.locations,
        west: Location(west, replenish=rule),
        east: replace(declared.locations[east], replenish=keeps),
    }
    two_sites.registry.declare(replace(declared, locations=places))

    said = api("GET /v1/transfers/recommendations", query={"location": "west"}).body

    [unmet] = said["unmet"]
    assert (
        "east has 100 available, sells 0.0 a day and keeps its minimum of 180, so it can give 0"
        in unmet["why"]
    )
    assert unmet["others"][0]["excess"]["minimum"] == 180


def test_a_location_that_is_replenished_from_nowhere_says_what_to_declare(two_sites: Aws) -> None:
    said = api("GET /v1/transfers/recommendations", query={"location": "east"})
    assert (said.status, said.body["field"]) == (400, "location")
    assert "replenish" in said.body["remedy"]
    assert api("GET /v1/transfers/recommendations").body["field"] == "location"

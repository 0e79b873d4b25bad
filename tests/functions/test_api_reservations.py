"""Reservations by the API: fulfilled in parts, units set aside, and why each line comes from where it does."""

from __future__ import annotations

import pytest

from shared.domain.stock import Sku, StockKey
from shared.store.layout import promise_key
from tests.functions.calls import api
from tests.functions.conftest import EAST, Aws
from tests.functions.test_api_edge import RESERVE, stocked

SET_ASIDE = {"channel": "shop", "sku": "TEA", "location": "east", "units": 4}


def test_a_fulfilment_is_said_once_for_each_key_and_shown_with_the_reservation(aws: Aws) -> None:
    stocked(aws, 20)
    made = api("POST /v1/reservations", RESERVE, Idempotency_Key="k")
    path = f"{made.headers['Location']}/fulfil"
    part = {"lines": [{"sku": "TEA", "quantity": 2}]}

    first = api(f"POST {path}", part, Idempotency_Key="f")
    again = api(f"POST {path}", part, Idempotency_Key="f")
    other = api(f"POST {path}", {"lines": [{"sku": "TEA", "quantity": 1}]}, Idempotency_Key="f")

    assert (first.status, again.body) == (200, first.body)
    assert (other.status, other.body["type"]) == (409, "urn:onecount:problem:idempotency_conflict")
    assert first.body["lines"][0]["shipped"] + first.body["lines"][0]["claimed"] == 2
    rest = api(f"POST {path}", Idempotency_Key="g")
    assert rest.body["lines"][0]["shipped"] + rest.body["lines"][0]["claimed"] == 5


def test_more_than_is_reserved_cannot_be_fulfilled_nor_by_another_client(aws: Aws) -> None:
    stocked(aws, 20)
    made = api("POST /v1/reservations", RESERVE, scopes="reserver", subject="ann", Idempotency_Key="k")
    path = f"POST {made.headers['Location']}/fulfil"

    other = api(path, {"lines": []}, scopes="reserver", subject="bob", Idempotency_Key="f")
    more = api(path, {"lines": [{"sku": "TEA", "quantity": 6}]}, Idempotency_Key="f")
    keyless = api(path, {"lines": []})

    assert (other.status, other.body["type"]) == (403, "urn:onecount:problem:not_yours")
    assert (more.status, more.body["field"]) == (400, "lines[0].quantity")
    assert (keyless.status, keyless.body["field"]) == (400, "Idempotency-Key")
    assert api("POST /v1/reservations/none/fulfil", {"lines": []}, Idempotency_Key="f").status == 404


def test_what_was_fulfilled_by_mistake_is_called_off_under_its_key_by_who_may_say_so(aws: Aws) -> None:
    stocked(aws, 20)
    made = api("POST /v1/reservations", RESERVE, scopes="reserver", subject="ann", Idempotency_Key="k")
    path = f"{made.headers['Location']}/fulfil"
    api(f"POST {path}", scopes="reserver", subject="ann", Idempotency_Key="f")

    other = api(f"DELETE {path}", scopes="reserver", subject="bob", Idempotency_Key="f")
    unknown = api(f"DELETE {path}", Idempotency_Key="g")
    off = api(f"DELETE {path}", scopes="reserver", subject="ann", Idempotency_Key="f")
    again = api(f"POST {path}", scopes="reserver", subject="ann", Idempotency_Key="f")

    assert (other.status, other.body["type"]) == (403, "urn:onecount:problem:not_yours")
    assert (unknown.status, unknown.body["field"]) == (400, "Idempotency-Key")
    assert off.status == 200
    assert {line["claimed"] for line in off.body["lines"]} == {0}
    assert (again.status, again.body["field"]) == (400, "Idempotency-Key")


def test_units_set_aside_are_named_in_the_explanation(aws: Aws) -> None:
    stocked(aws, 20)
    said = api("POST /v1/set-aside", SET_ASIDE)
    assert (said.status, said.body["before"]) == (200, 0)
    assert api("POST /v1/set-aside", SET_ASIDE).body["before"] == 4

    found = api("GET /v1/availability", query={"channel": "shop", "sku": "TEA"}).body["locations"][0]
    named = {step["what"]: step["quantity"] for step in found["explanation"]}
    assert (named["set_aside"], named["set_aside_for_it"]) == (-4, 4)
    assert found["stale"] is False


@pytest.mark.parametrize("units", [0, 4])
def test_what_is_no_item_cannot_be_set_aside(aws: Aws, units: int) -> None:
    said = api("POST /v1/set-aside", {**SET_ASIDE, "sku": "TEEE", "units": units})
    assert (said.status, said.body["type"]) == (422, "urn:onecount:problem:unknown_item")
    assert (said.body["field"], said.body["skus"]) == ("sku", ["TEEE"])
    assert aws.table("stock").get(promise_key(StockKey(Sku("TEEE"), EAST))) is None


def test_what_cannot_be_set_aside_is_refused_by_its_field(aws: Aws) -> None:
    stocked(aws, 3)
    short = api("POST /v1/set-aside", SET_ASIDE)
    nowhere = api("POST /v1/set-aside", {**SET_ASIDE, "location": "moon"})
    assert (short.status, short.body["lines"][0]["available_to_promise"]) == (409, 3)
    assert (nowhere.status, nowhere.body["field"]) == (400, "location")
    assert api("POST /v1/set-aside", SET_ASIDE, scopes="reserver").status == 403

"""Entering stock by hand over the API: who may, what is answered, and what is refused by its field."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from shared.domain.network import Grain, Tolerance
from tests.functions.calls import Said, api
from tests.functions.conftest import EAST, Aws
from tests.functions.test_doors import on_hand, stocked

ADJUST = {"sku": "TEA", "location": "east", "quantity": -3, "reason": "broken in the aisle"}
COUNT = {"sku": "TEA", "location": "east", "quantity": 90, "reason": "counted the shelf"}


def enter(
    call: str, body: object, key: str = "k1", *, scopes: str = "operator", subject: str = "ann"
) -> Said:
    return api(f"POST /v1/{call}", body, scopes=scopes, subject=subject, Idempotency_Key=key)


def careful(aws: Aws) -> None:
    declared = aws.registry.network(fresh=True)
    place = replace(declared.locations[EAST], approve_beyond=Tolerance(1_000, 5))
    aws.registry.declare(replace(declared, locations={EAST: place}))


def test_an_adjustment_is_posted_and_its_message_says_who_did_it(aws: Aws) -> None:
    stocked(aws, 100)

    said = enter("movements", ADJUST, subject="ann")

    assert (said.status, said.body["status"], said.body["case"]) == (201, "posted", None)
    assert on_hand(aws) == 97
    message = api(f"GET /v1/messages/{said.body['message_id']}").body
    assert (message["source"], message["kind"], message["events"][0]["outcome"]) == (
        "manual",
        "manual",
        "posted",
    )
    assert '"actor": "ann"' in message["body"]


def test_an_adjustment_of_nothing_is_refused_in_our_own_words(aws: Aws) -> None:
    stocked(aws, 100)

    said = enter("movements", {**ADJUST, "quantity": 0})

    assert (said.status, said.body["field"]) == (400, "quantity")
    assert "it changes nothing; send a number that is not 0" in said.body["detail"]
    assert "Value error" not in said.body["detail"]


def test_a_reason_of_blanks_is_none(aws: Aws) -> None:
    stocked(aws, 100)

    said = enter("movements", {**ADJUST, "reason": "  \t "})

    assert (said.status, said.body["field"], on_hand(aws)) == (400, "reason", 100)


@pytest.mark.parametrize("call", ["movements", "counts"])
@pytest.mark.parametrize(("part", "name"), [("bin", "-"), ("lot", "-"), ("bin", "A/1")])
def test_what_stands_for_no_bin_is_none_and_is_refused_by_its_field(
    aws: Aws, call: str, part: str, name: str
) -> None:
    declared = aws.registry.network(fresh=True)
    place = replace(declared.locations[EAST], grain=Grain.BIN_LOT)
    aws.registry.declare(replace(declared, locations={EAST: place}))
    stocked(aws, 100)

    said = enter(call, {**COUNT, "quantity": 5, part: name})

    assert (said.status, said.body["field"], on_hand(aws)) == (400, part, 100)


def test_a_count_is_posted(aws: Aws) -> None:
    stocked(aws, 100)

    assert enter("counts", COUNT).status == 201

    assert on_hand(aws) == 90


def test_the_same_key_and_body_gives_the_first_answer_and_another_body_409(aws: Aws) -> None:
    stocked(aws, 100)
    first = enter("movements", ADJUST)

    assert (enter("movements", ADJUST).status, enter("movements", ADJUST).body) == (201, first.body)
    other = enter("movements", {**ADJUST, "quantity": -4})
    assert (other.status, other.body["type"]) == (409, "urn:onecount:problem:idempotency_conflict")
    assert enter("counts", COUNT).status == 409
    assert on_hand(aws) == 97


def test_beyond_the_limit_it_is_held_and_an_approver_lets_it_pass(aws: Aws) -> None:
    careful(aws)
    stocked(aws, 100)

    held = enter("movements", {**ADJUST, "quantity": -30}, subject="ann")

    assert (held.status, held.body["status"], on_hand(aws)) == (202, "held", 100)
    case = held.body["case"]
    assert api(f"POST /v1/cases/{case}/approve", scopes="operator").status == 403
    done = api(f"POST /v1/cases/{case}/approve", scopes="approver", subject="ben")
    assert (done.status, done.body["case"]["status"], on_hand(aws)) == (200, "resolved", 70)
    assert enter("movements", {**ADJUST, "quantity": -30}, subject="ann").body == held.body


def test_a_held_one_is_rejected_and_a_posted_one_undone(aws: Aws) -> None:
    careful(aws)
    stocked(aws, 100)
    held = enter("movements", {**ADJUST, "quantity": -30})
    posted = enter("movements", ADJUST, "k2")

    reject = api(f"POST /v1/cases/{held.body['case']}/reject", {"reason": "found again"}, scopes="approver")
    undo = api(f"POST /v1/messages/{posted.body['message_id']}/undo", {"reason": "entered twice"})

    assert (reject.status, reject.body["case"]["status"]) == (200, "resolved")
    assert (undo.status, undo.body["events"]) == (200, 1)
    assert on_hand(aws) == 100


@pytest.mark.parametrize("scopes", ["viewer", "reserver", "approver"])
@pytest.mark.parametrize("call", ["movements", "counts"])
def test_only_an_operator_may(aws: Aws, call: str, scopes: str) -> None:
    assert enter(call, ADJUST, scopes=scopes).status == 403


@pytest.mark.parametrize(
    ("call", "body", "status", "field"),
    [
        ("movements", {**ADJUST, "quantity": 0}, 400, "quantity"),
        ("movements", {**ADJUST, "quantity": 1.5}, 400, "quantity"),
        ("movements", {**ADJUST, "quantity": "3"}, 400, "quantity"),
        ("movements", {**ADJUST, "reason": ""}, 400, "reason"),
        ("movements", {name: value for name, value in ADJUST.items() if name != "reason"}, 400, "reason"),
        ("movements", {**ADJUST, "location": "moon"}, 400, "location"),
        ("movements", {**ADJUST, "sku": "NOPE"}, 422, "sku"),
        ("movements", {**ADJUST, "counter": "incoming"}, 400, "counter"),
        ("movements", {**ADJUST, "bin": "A/1"}, 400, "bin"),
        ("movements", {**ADJUST, "unit": "crate"}, 400, "unit"),
        ("movements", {**ADJUST, "occurred_at": "2026-11-01T06:00:00"}, 400, "occurred_at"),
        ("movements", {**ADJUST, "occurred_at": "2999-11-01T06:00:00Z"}, 400, "occurred_at"),
        ("movements", {**ADJUST, "occurred_at": 1_700_000_000}, 400, "occurred_at"),
        ("movements", {**ADJUST, "occurred_at": "1700000000"}, 400, "occurred_at"),
        ("counts", {**COUNT, "counted_at": 1_700_000_000.5}, 400, "counted_at"),
        ("movements", {**ADJUST, "why": "x"}, 400, "why"),
        ("counts", {**COUNT, "quantity": -1}, 400, "quantity"),
        ("counts", {**COUNT, "counted_at": "2999-11-01T06:00:00Z"}, 400, "counted_at"),
        ("counts", {**COUNT, "occurred_at": "2026-11-01T06:00:00Z"}, 400, "occurred_at"),
    ],
)
def test_what_cannot_be_meant_names_its_field_and_keeps_nothing(
    aws: Aws, call: str, body: Any, status: int, field: str
) -> None:
    said = enter(call, body)

    assert (said.status, said.body.get("field")) == (status, field)
    assert said.body["remedy"]
    assert aws.images("inbox", "MSG#") == []
    assert api("GET /v1/cases").body["cases"] == []


@pytest.mark.parametrize("key", ["", "x" * 201, "a\nb"])
def test_an_entry_needs_an_idempotency_key(aws: Aws, key: str) -> None:
    said = enter("movements", ADJUST, key)

    assert (said.status, said.body["field"]) == (400, "Idempotency-Key")


def test_nobody_can_send_webhooks_as_the_source_of_entries_by_hand(aws: Aws) -> None:
    from tests.functions.calls import webhook

    assert webhook("manual", {"type": "stock.receipt"}).status == 404

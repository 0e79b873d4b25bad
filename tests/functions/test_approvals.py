"""Decisions of an approver over the API: counts that wait, and messages that are undone."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from functions.inventory_api.edge import house
from shared.domain.events import instant
from shared.domain.messages import Message
from shared.domain.network import Grain, Tolerance
from shared.domain.rules import FourEyes, Rules
from shared.domain.stock import MessageId
from shared.runtime.wiring import House
from shared.store.inbox import message_id
from tests.functions.calls import api
from tests.functions.conftest import EAST, WMS, Aws

NOW = datetime.now(UTC)


def careful(aws: Aws) -> None:
    """Let counts at the east location wait beyond ten per cent."""
    declared = aws.registry.network(fresh=True)
    place = replace(declared.locations[EAST], counts=WMS, approve_beyond=Tolerance(percent_hundredths=1_000))
    aws.registry.declare(replace(declared, locations={**declared.locations, EAST: place}))


def told(kind: str, document: str, minutes_ago: int, units: int, **more: str) -> MessageId:
    """Let the WMS report something, and apply it."""
    at = instant(NOW - timedelta(minutes=minutes_ago))
    line = {"line": "1", "sku": "TEA", "location": "east", "quantity": units, **more}
    said = {"type": f"stock.{kind}", "timestamp": at, "data": {"document": document, "lines": [line]}}
    raw = json.dumps(said).encode()
    name = message_id(WMS, document, raw)
    rooms: House = house()
    rooms.inbox.store(Message(name, WMS, raw, NOW, {}))
    rooms.applier.apply(name)
    return name


def on_hand() -> Any:
    return api("GET /v1/stock/TEA").body["locations"][0]["on_hand"]


def waiting(kind: str = "count_approval") -> str:
    [case] = api("GET /v1/cases", query={"kind": kind}).body["cases"]
    return str(case["id"])


def test_a_count_is_approved_with_the_number_that_was_seen(aws: Aws) -> None:
    careful(aws)
    told("receipt", "R1", 60, 100)
    told("count", "C1", 30, 50)
    case = waiting()
    assert on_hand() == 100

    assert api(f"POST /v1/cases/{case}/approve", scopes="approver").status == 409
    stale = api(f"POST /v1/cases/{case}/approve", {"seen": 99}, scopes="approver")
    assert (stale.status, stale.body["type"].rsplit(":")[-1], stale.body["known"]) == (
        409,
        "changed_since_seen",
        100,
    )
    done = api(f"POST /v1/cases/{case}/approve", {"seen": 100}, scopes="approver")

    assert (done.status, done.body["case"]["status"], on_hand()) == (200, "resolved", 50)
    assert api(f"POST /v1/cases/{case}/approve", {"seen": 100}, scopes="approver").status == 409


def test_a_count_is_rejected_with_a_reason(aws: Aws) -> None:
    careful(aws)
    told("receipt", "R1", 60, 100)
    told("count", "C1", 30, 50)
    case = waiting()

    assert api(f"POST /v1/cases/{case}/reject", {}, scopes="approver").status == 400
    done = api(f"POST /v1/cases/{case}/reject", {"reason": "wrong shelf"}, scopes="approver")

    assert (done.status, on_hand()) == (200, 100)
    assert "wrong shelf" in done.body["case"]["resolution"]


def test_a_change_above_the_declared_size_is_answered_202_until_a_second_person_approves(aws: Aws) -> None:
    careful(aws)
    aws.registry.declare(replace(aws.registry.network(fresh=True), rules=Rules(FourEyes(units=10))))
    told("receipt", "R1", 60, 100)
    told("count", "C1", 30, 50)
    case = waiting()

    first = api(f"POST /v1/cases/{case}/approve", {"seen": 100}, scopes="approver")
    assert (first.status, first.body["needs"], on_hand()) == (202, "the approval of a second person", 100)
    assert [said["by"] for said in first.body["case"]["approvals"]] == ["ann"]
    again = api(f"POST /v1/cases/{case}/approve", {"seen": 100}, scopes="approver")
    assert (again.status, "second person" in again.body["detail"]) == (409, True)
    second = api(f"POST /v1/cases/{case}/approve", {"seen": 100}, scopes="approver", subject="ben")
    assert (second.status, second.body["case"]["status"], on_hand()) == (200, "resolved", 50)


def test_only_an_approver_decides(aws: Aws) -> None:
    careful(aws)
    told("receipt", "R1", 60, 100)
    message = told("count", "C1", 30, 50)
    case = waiting()
    for path, body in (
        (f"cases/{case}/approve", {"seen": 100}),
        (f"cases/{case}/reject", {"reason": "wrong shelf"}),
        (f"messages/{message}/undo", {"reason": "sent twice"}),
    ):
        assert api(f"POST /v1/{path}", body, scopes="operator").status == 403


def test_a_message_is_undone_after_a_dry_run(aws: Aws) -> None:
    message = told("receipt", "R1", 60, 100)
    wanted = {"reason": "sent for another warehouse"}

    shown = api(f"POST /v1/messages/{message}/undo", {**wanted, "dry_run": True}, scopes="approver")
    assert (shown.status, shown.body["events"], on_hand()) == (200, 1, 100)
    assert shown.body["moved"] == [
        {"sku": "TEA", "location": "east", "counter": "on_hand", "before": 100, "after": 0}
    ]
    done = api(f"POST /v1/messages/{message}/undo", wanted, scopes="approver")
    again = api(f"POST /v1/messages/{message}/undo", wanted, scopes="approver")

    assert (done.body["events"], again.body["events"], again.body["already"], on_hand()) == (1, 0, 1, 0)
    assert done.body["next"] is None


@pytest.mark.parametrize("beyond", [1, 10**9, 2**63])
def test_a_part_of_a_message_that_there_is_not_is_not_undone(aws: Aws, beyond: int) -> None:
    message = told("receipt", "R1", 60, 100)

    said = api(
        f"POST /v1/messages/{message}/undo", {"reason": "sent twice", "next": beyond}, scopes="approver"
    )

    assert (said.status, said.body["field"], on_hand()) == (400, "next", 100)


def test_undoing_more_than_one_person_may_is_asked_for_by_one_and_done_by_another(aws: Aws) -> None:
    aws.registry.declare(replace(aws.registry.network(fresh=True), rules=Rules(FourEyes(units=50))))
    small, large = told("receipt", "R1", 60, 50), told("receipt", "R2", 60, 51)
    wanted = {"reason": "sent for another warehouse"}
    assert api(f"POST /v1/messages/{small}/undo", wanted, scopes="approver").status == 200

    first = api(f"POST /v1/messages/{large}/undo", wanted, scopes="approver")
    assert (first.status, first.body["case"]["kind"], on_hand()) == (202, "undo_approval", 51)
    assert "1 events, 51 units; it changes 51 units, above 50" in first.body["case"]["title"]
    again = api(f"POST /v1/messages/{large}/undo", {**wanted, "next": 1}, scopes="approver")
    assert (again.status, "another approver" in again.body["detail"]) == (409, True)
    dry = api(f"POST /v1/messages/{large}/undo", {**wanted, "dry_run": True}, scopes="approver")
    assert (dry.status, on_hand()) == (200, 51)
    second = api(f"POST /v1/messages/{large}/undo", wanted, scopes="approver", subject="ben")
    assert (second.status, second.body["events"], on_hand()) == (200, 1, 0)
    assert api("GET /v1/cases", query={"kind": "undo_approval"}).body["cases"] == []


@pytest.mark.parametrize("kind", ["hold", "damage", "release"])
def test_undoing_what_only_changed_what_may_be_sold_needs_two_people_as_well(aws: Aws, kind: str) -> None:
    aws.registry.declare(replace(aws.registry.network(fresh=True), rules=Rules(FourEyes(units=50))))
    told("receipt", "R1", 60, 100)
    small, large = told(kind, "H1", 50, 50), told(kind, "H2", 40, 51)
    wanted = {"reason": "another pallet was meant"}
    assert api(f"POST /v1/messages/{small}/undo", wanted, scopes="approver").status == 200

    asked = api(f"POST /v1/messages/{large}/undo", wanted, scopes="approver")

    assert asked.status == 202
    assert "1 events, 51 units; it changes 51 units, above 50" in asked.body["case"]["title"]


def test_units_that_came_damaged_are_no_more_units_to_undo_than_came(aws: Aws) -> None:
    aws.registry.declare(replace(aws.registry.network(fresh=True), rules=Rules(FourEyes(units=50))))
    small, large = (told("return", f"R{n}", 60, n, disposition="damaged") for n in (50, 51))
    wanted = {"reason": "sent for another warehouse"}
    assert api(f"POST /v1/messages/{small}/undo", wanted, scopes="approver").status == 200

    asked = api(f"POST /v1/messages/{large}/undo", wanted, scopes="approver")

    assert (asked.status, "it changes 51 units, above 50" in asked.body["case"]["title"]) == (202, True)


def test_a_message_that_is_not_there_is_not_undone(aws: Aws) -> None:
    said = api("POST /v1/messages/nothing/undo", {"reason": "sent twice"}, scopes="approver")
    assert said.status == 404


def test_bins_are_shown_now_and_as_of_then(aws: Aws) -> None:
    declared = aws.registry.network(fresh=True)
    place = replace(declared.locations[EAST], grain=Grain.BIN)
    aws.registry.declare(replace(declared, locations={**declared.locations, EAST: place}))
    told("receipt", "R1", 60, 10, bin="A-1")
    told("receipt", "R2", 30, 5, bin="B-2")
    told("hold", "H1", 10, 2, bin="A-1")

    [here] = api("GET /v1/stock/TEA").body["locations"]
    assert here["leaves"] == [
        {"bin": "A-1", "lot": "-", "on_hand": 10, "quality_hold": 2, "damaged": 0},
        {"bin": "B-2", "lot": "-", "on_hand": 5, "quality_hold": 0, "damaged": 0},
    ]
    then = instant(NOW - timedelta(minutes=45))
    [before] = api("GET /v1/stock", query={"sku": "TEA", "as_of": then}).body["locations"]
    assert [(leaf["bin"], leaf["on_hand"]) for leaf in before["leaves"]] == [("A-1", 10), ("B-2", 0)]

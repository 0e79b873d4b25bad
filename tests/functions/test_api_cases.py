"""Cases and messages over the API: lists without an end, decisions in bulk, and what became of each event."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from functions.apply_messages.handler import handle as apply_messages
from shared.domain.cases import Case, CaseKind, CaseStatus
from shared.domain.messages import Message
from shared.domain.stock import MessageId, Sku, SourceId
from shared.store.cases import Cases
from shared.store.inbox import Inbox
from tests.functions.calls import api, webhook
from tests.functions.conftest import Aws
from tests.functions.test_api_edge import every

NOW = datetime.now(UTC)


def opened(aws: Aws, number: int, kind: CaseKind = CaseKind.DRIFT, source: str = "wms") -> list[str]:
    """Open cases, all at one instant, as one bad file does."""
    cases = Cases(aws.table("cases"))
    names = [f"{kind}:{source}:{n}" for n in range(number)]
    for name in names:
        cases.file(Case(name, kind, "t", "r", NOW, NOW, {"source": source}))
    return names


def receipt(sku: str = "TEA", document: str = "GR-1", quantity: int = 10, **data: Any) -> dict[str, Any]:
    line = {"line": "1", "sku": sku, "location": "east", "quantity": quantity}
    stamp = (NOW - timedelta(minutes=5)).isoformat()
    return {
        "type": "stock.receipt",
        "timestamp": stamp,
        "data": {"document": document, "lines": [line], **data},
    }


def delivered(aws: Aws, body: object) -> str:
    """Deliver a webhook, and apply it."""
    said = webhook("wms", body)
    apply_messages({"Records": aws.images("inbox", "MSG#")}, None)
    return str(said.body["message_id"])


# ---- lists ------------------------------------------------------------------------------------------------------


def test_cases_that_were_opened_at_one_instant_are_listed_page_by_page_each_once(aws: Aws) -> None:
    names = opened(aws, 23)
    found = [case["id"] for case in every("GET /v1/cases", "cases", limit="5")]
    assert sorted(found) == sorted(names)


def test_a_list_that_fits_one_page_has_no_cursor(aws: Aws) -> None:
    opened(aws, 5)
    page = api("GET /v1/cases", query={"limit": "5"}).body
    assert (len(page["cases"]), page["cursor"]) == (5, None)


def test_cases_are_listed_by_kind_and_by_what_they_are_about(aws: Aws) -> None:
    opened(aws, 7, CaseKind.DRIFT, "erp")
    opened(aws, 6, CaseKind.DRIFT, "wms")
    opened(aws, 5, CaseKind.HELD, "wms")
    found = every("GET /v1/cases", "cases", limit="2", kind="drift", source="wms")
    assert {case["id"] for case in found} == {f"drift:wms:{n}" for n in range(6)}
    assert len(every("GET /v1/cases", "cases", limit="4", kind="held")) == 5
    assert every("GET /v1/cases", "cases", status="resolved") == []


# ---- in bulk ----------------------------------------------------------------------------------------------------

IGNORE = {"action": "ignore", "kind": "drift", "source": "wms", "reason": "counted on Sunday"}


def test_all_cases_of_a_kind_are_counted_first_and_then_ignored(aws: Aws) -> None:
    names = opened(aws, 12)
    others = opened(aws, 3, CaseKind.HELD)
    dry = api("POST /v1/cases/actions", {**IGNORE, "dry_run": True}).body
    assert dry == {"matched": 12, "done": 0, "refused": {}, "cursor": None}
    assert len(api("GET /v1/cases").body["cases"]) == 15

    done = api("POST /v1/cases/actions", IGNORE, scopes="operator").body
    assert (done["matched"], done["done"], done["cursor"]) == (12, 12, None)
    assert {case["id"] for case in api("GET /v1/cases").body["cases"]} == set(others)
    ignored = api("GET /v1/cases", query={"status": "ignored"}).body["cases"]
    assert {case["id"] for case in ignored} == set(names)
    assert {case["resolution"] for case in ignored} == {"ignored by ann: counted on Sunday"}


def test_retrying_in_bulk_posts_what_can_be_posted_and_names_what_cannot_be_retried(aws: Aws) -> None:
    delivered(aws, receipt("NEW-1", "GR-1"))
    delivered(aws, receipt("NEW-2", "GR-2"))
    opened(aws, 1, CaseKind.UNKNOWN_CODE, "elsewhere")
    aws.registry.add_items([Sku("NEW-1")])
    done = api("POST /v1/cases/actions", {"action": "retry", "kind": "unknown_code"}).body
    assert (done["matched"], done["done"]) == (3, 2)
    assert list(done["refused"]) == ["unknown_code:elsewhere:0"]
    assert api("GET /v1/stock", query={"sku": "NEW-1"}).body["locations"][0]["on_hand"] == 10
    still = {case["id"] for case in api("GET /v1/cases").body["cases"]}
    assert still == {"unknown_code:wms:sku:NEW-2", "unknown_code:elsewhere:0"}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"action": "map", "kind": "drift"}, "action"),
        ({"action": "ignore", "kind": "drift"}, "reason"),
        ({"action": "retry", "kind": "drift", "reason": "because"}, "reason"),
        ({"action": "retry"}, "kind"),
        ({"action": "retry", "kind": "nonsense"}, "kind"),
        ({"action": "retry", "kind": "drift", "cursor": "x"}, "cursor"),
    ],
)
def test_a_decision_in_bulk_that_cannot_be_meant_names_its_field(
    aws: Aws, body: dict[str, str], field: str
) -> None:
    said = api("POST /v1/cases/actions", body)
    assert (said.status, said.body["field"]) == (400, field)


def test_only_an_operator_decides_in_bulk(aws: Aws) -> None:
    assert api("POST /v1/cases/actions", IGNORE, scopes="viewer approver reserver").status == 403


# ---- among people -----------------------------------------------------------------------------------------------


def test_a_case_is_assigned_spoken_about_and_raised_and_shows_all_of_it(aws: Aws) -> None:
    [case] = opened(aws, 1)
    path, due = f"POST /v1/cases/{case}", (NOW + timedelta(hours=1)).isoformat()
    assert api(f"{path}/assign", {"owner": "ben", "due_at": due}, scopes="operator").status == 200
    assert api(f"{path}/comment", {"text": "looks like the batch"}, scopes="approver").status == 200
    assert api(f"{path}/escalate", {"reason": "the shop is live"}, scopes="operator").status == 200

    shown = api(f"GET /v1/cases/{case}", scopes="viewer").body
    assert (shown["owner"], shown["overdue"], shown["escalated_at"] is None) == ("ben", False, False)
    assert [(deed["by"], deed["action"]) for deed in shown["deeds"]] == [
        ("ann", "assign"),
        ("ann", "comment"),
        ("ann", "escalate"),
    ]
    assert shown["exposure"]["ranked_by"] == "hours open"
    assert len(api("GET /v1/cases", query={"owner": "ben"}).body["cases"]) == 1
    assert api("GET /v1/cases", query={"owner": "-", "overdue": "true"}).body["cases"] == []


@pytest.mark.parametrize(
    ("action", "body", "field"),
    [
        ("assign", {}, "owner"),
        ("assign", {"owner": "ben", "due_at": "2026-11-01T00:00:00"}, "due_at"),
        ("comment", {"text": ""}, "text"),
        ("escalate", {"reason": "\x00\x01\x02"}, "reason"),
    ],
)
def test_an_action_that_cannot_be_meant_names_its_field(
    aws: Aws, action: str, body: dict[str, str], field: str
) -> None:
    [case] = opened(aws, 1)
    said = api(f"POST /v1/cases/{case}/{action}", body)
    assert (said.status, said.body["field"]) == (400, field)


def test_nobody_acts_on_a_case_who_may_only_look(aws: Aws) -> None:
    [case] = opened(aws, 1)
    for action, body in (("assign", {"owner": "ben"}), ("comment", {"text": "hello"})):
        assert api(f"POST /v1/cases/{case}/{action}", body, scopes="viewer reserver").status == 403


def test_the_work_queue_shows_what_belongs_together_in_one_group(aws: Aws) -> None:
    opened(aws, 7, CaseKind.DRIFT, "erp")
    opened(aws, 2, CaseKind.HELD, "wms")
    said = api("GET /v1/work-queue", scopes="viewer").body
    assert [(group["about"], group["cases"]) for group in said["groups"]] == [
        (["drift", "erp"], 7),
        (["held", "wms"], 2),
    ]
    assert len(said["groups"][0]["first"]) == 5
    assert (said["more_groups"], said["looked_at"], said["is_all"]) == (0, 9, True)
    only = api("GET /v1/work-queue", query={"kind": "held"}).body["groups"]
    assert [group["about"] for group in only] == [["held", "wms"]]
    assert api("GET /v1/work-queue", query={"overdue": "maybe"}).body["field"] == "overdue"


# ---- retrying ---------------------------------------------------------------------------------------------------


def test_a_case_that_is_retried_in_vain_is_as_old_as_before(aws: Aws) -> None:
    delivered(aws, receipt("NEW-1"))
    [before] = api("GET /v1/cases").body["cases"]
    assert api(f"POST /v1/cases/{before['id']}/retry").status == 200
    [after] = api("GET /v1/cases").body["cases"]
    assert (after["status"], after["opened_at"]) == ("open", before["opened_at"])


def test_a_case_whose_cause_comes_back_after_it_was_closed_is_new(aws: Aws) -> None:
    cases = Cases(aws.table("cases"))
    case = Case("drift:wms:1", CaseKind.DRIFT, "t", "r", NOW, NOW)
    cases.file(case)
    cases.close(case.id, "agrees again", NOW, CaseStatus.RESOLVED)
    later = NOW + timedelta(days=3)
    cases.file(Case(case.id, CaseKind.DRIFT, "t", "r", later, later))
    assert cases.get(case.id).opened_at == later


# ---- messages ---------------------------------------------------------------------------------------------------


def test_a_message_says_what_became_of_each_event_and_where(aws: Aws) -> None:
    body = receipt()
    lines = body["data"]["lines"]
    lines.append({"line": "2", "sku": "NOVEL", "location": "east", "quantity": 3})
    lines.append({"line": "3", "sku": "TEA", "location": "east", "quantity": "many"})
    said = api(f"GET /v1/messages/{delivered(aws, body)}").body
    assert [event["outcome"] for event in said["events"]] == ["posted", "unknown_code", "fault"]
    posted, unknown, fault = said["events"]
    assert posted["stock_keys"] == [{"sku": "TEA", "location": "east"}]
    assert (posted["quantity"], posted["what"], posted["event"]) == (10, "receipt", posted["event"])
    assert "NOVEL" in unknown["reason"]
    assert "lines[2].quantity" in fault["reason"]
    assert said["more_events"] is False


def test_a_message_whose_event_another_message_brought_says_which(aws: Aws) -> None:
    first = delivered(aws, receipt())
    second = delivered(aws, {**receipt(), "note": "sent again"})
    [event] = api(f"GET /v1/messages/{second}").body["events"]
    assert (event["outcome"], first in event["reason"]) == ("duplicate", True)
    other = delivered(aws, receipt(quantity=11))
    assert api(f"GET /v1/messages/{other}").body["events"][0]["outcome"] == "conflict"


def test_an_event_of_the_future_and_one_not_applied_yet_are_told_apart(aws: Aws) -> None:
    soon = (NOW + timedelta(days=2)).isoformat()
    held = delivered(aws, receipt(document="GR-2", occurred_at=soon))
    assert api(f"GET /v1/messages/{held}").body["events"][0]["outcome"] == "held"
    waiting = webhook("wms", receipt(document="GR-3")).body["message_id"]
    assert api(f"GET /v1/messages/{waiting}").body["events"][0]["outcome"] == "not_posted"


def test_an_event_in_a_unit_that_the_item_does_not_have_says_what_it_waits_for(aws: Aws) -> None:
    body = receipt()
    body["data"]["lines"][0]["unit"] = "pallet"
    [event] = api(f"GET /v1/messages/{delivered(aws, body)}").body["events"]
    assert (event["outcome"], "pallet" in event["reason"]) == ("waits_for_unit", True)


def kept(aws: Aws, body: bytes) -> str:
    from shared.runtime.aws import S3Archive

    message = Message(MessageId("m1"), SourceId("wms"), body, NOW, {}, "application/json")
    Inbox(aws.table("inbox"), S3Archive(aws.s3, "archive")).store(message)
    return message.id


@pytest.mark.parametrize(
    "body",
    [
        b"\x01" * 5_000_000,
        ("\N{TEAPOT}" * 1_250_000).encode(),
        ("a" + "\N{LATIN SMALL LETTER E WITH ACUTE}" * 2_000_000).encode(),
        b"{}",
        b"",
    ],
)
def test_a_long_body_comes_in_parts_that_a_lambda_may_answer(aws: Aws, body: bytes) -> None:
    name, parts, offset = kept(aws, body), [], 0
    while True:
        said = api(f"GET /v1/messages/{name}", query={"offset": str(offset)}).body
        assert len(json.dumps(said)) < 5_900_000
        assert said["body_bytes"] == len(body)
        parts.append(said["body"])
        if "next_offset" not in said:
            break
        offset = said["next_offset"]
    assert "".join(parts).encode() == body


def test_a_part_behind_the_end_or_of_bytes_that_are_no_text_is_answered(aws: Aws) -> None:
    name = kept(aws, b"\x80" * 600_000)
    assert api(f"GET /v1/messages/{name}", query={"offset": "0"}).body["next_offset"] > 499_990
    assert api(f"GET /v1/messages/{name}", query={"offset": "900000"}).body["body"] == ""


# ---- the write-path map -----------------------------------------------------------------------------------------


def test_the_map_of_handoffs_counts_what_came_and_says_by_what_right(aws: Aws) -> None:
    delivered(aws, receipt())
    paths = api("GET /v1/write-paths", scopes="viewer").body["paths"]
    assert [(path["from"], path["to"]) for path in paths] == [
        ("wms", "onecount"),
        ("files", "onecount"),
        ("onecount", "shop"),
    ]
    wms = paths[0]
    assert (wms["events_last_hour"], wms["authority"]) == (1, ["movements at east"])
    arriving = wms[
        "arriving_ms"
    ]  # it happened before this module was loaded; how long ago is not ours to say
    assert arriving["count"] == 1
    assert arriving["p50"] == arriving["p95"] == arriving["p99"] >= 600_000
    assert wms["posting_ms"]["count"] == 1
    assert wms["last_failure"] is None


# ---- dead letters -----------------------------------------------------------------------------------------------


def test_a_dead_letter_is_foretold_and_sent_by_itself(aws: Aws) -> None:
    url = aws.sqs.get_queue_url(QueueName="push-shop-bulk-dead")["QueueUrl"]
    for sku in ("TEA", "MUG"):
        body = json.dumps({"channel": "shop", "sku": sku, "since": NOW.isoformat()})
        aws.sqs.send_message(QueueUrl=url, MessageBody=body)

    told = api("POST /v1/dead-letters/redrive", {"dry_run": True}, scopes="operator").body
    assert {one["about"]: one["would"] for one in told["letters"]} == {
        "push of TEA to shop": "nothing: the channel does not list it",
        "push of MUG to shop": "nothing: the channel does not list it",
    }
    assert told["left"] == 2
    [tea] = [one for one in told["letters"] if "TEA" in one["about"]]
    one = {"queue": tea["queue"], "letter": tea["letter"]}
    assert api("POST /v1/dead-letters/redrive", one).body == {"redriven": {tea["queue"]: 1}, "left": 1}
    assert [hint["sku"] for hint in aws.waiting("push-shop-bulk")] == ["TEA"]
    assert api("POST /v1/dead-letters/redrive", one).status == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"letter": "x"}, "letter"),
        ({"queue": "nothing"}, "queue"),
        ({"per_second": 0}, "per_second"),
        ({"most": 100_000}, "most"),
        ({"dry_run": "yes"}, "dry_run"),
    ],
)
def test_a_redrive_that_cannot_be_meant_names_its_field(aws: Aws, body: dict[str, Any], field: str) -> None:
    said = api("POST /v1/dead-letters/redrive", body)
    assert (said.status, said.body["field"]) == (400, field)


# ---- the trace --------------------------------------------------------------------------------------------------


def test_a_message_is_followed_and_what_cannot_be_followed_is_said(aws: Aws) -> None:
    message = delivered(aws, receipt())
    [chain] = api("GET /v1/trace", query={"message": message}, scopes="viewer").body["chains"]
    assert [step["stage"] for step in chain["steps"]] == ["occurred", "received", "posted"]
    assert chain["steps"][1]["took_ms"] >= 300_000
    assert api("GET /v1/trace", query={"event": chain["event"]}).body["chains"][0]["message_id"] == message
    assert len(api("GET /v1/trace", query={"sku": "TEA", "location": "east"}).body["chains"]) == 1


@pytest.mark.parametrize(
    ("query", "status", "field"),
    [
        ({}, 400, "event"),
        ({"order": "none"}, 404, None),
        ({"event": "none"}, 404, None),
        ({"sku": "NOTHING"}, 404, None),
        ({"message": "none"}, 404, None),
        ({"push": "1", "sku": "TEA", "location": "east"}, 400, "channel"),
        ({"push": "1", "sku": "TEA", "location": "east", "channel": "shop"}, 404, None),
        ({"event": "e", "order": "o"}, 400, "order"),
    ],
)
def test_a_trace_that_cannot_be_meant_or_is_of_nothing_says_so(
    aws: Aws, query: dict[str, str], status: int, field: str | None
) -> None:
    said = api("GET /v1/trace", query=query)
    assert (said.status, said.body.get("field")) == (status, field)

"""Each function by the event that Lambda hands it: what it does, what it answers, and what it gives back."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from time import sleep
from typing import Any

import boto3
import pytest

from functions.apply_messages.handler import handle as apply_messages
from functions.collect_failures.handler import handle as collect_failures
from functions.fan_out_changes.handler import handle as fan_out
from functions.ingest_file.handler import handle as ingest_file
from functions.push_channel.handler import handle as push_channel
from functions.reconcile_stock.handler import handle as reconcile
from shared.domain.events import Leg, Movement, MovementKind, Origin, effect_hash
from shared.domain.items import Code, Reference
from shared.domain.listing import ListingState
from shared.domain.network import Listing
from shared.domain.stock import ChannelId, Counter, EventKey, MessageId, Sku, StockKey
from shared.operations.facts import Fact
from shared.operations.ingest import CHUNK
from shared.store.listings import Listings
from shared.store.registry import Network
from tests.functions.calls import api, queue_record, webhook
from tests.functions.conftest import EAST, WMS, Aws

TEA = StockKey(Sku("TEA"), EAST)
NOW = datetime.now(UTC)


def receipt(document: str = "GR-1", sku: str = "TEA", quantity: int = 10) -> dict[str, Any]:
    line = {"line": "1", "sku": sku, "location": "east", "quantity": quantity}
    stamp = (NOW - timedelta(minutes=5)).isoformat()
    return {"type": "stock.receipt", "timestamp": stamp, "data": {"document": document, "lines": [line]}}


def stocked(aws: Aws, units: int, sku: str = "TEA") -> None:
    legs = (Leg(EAST, units),)
    event = Movement(
        EventKey(f"opening-{sku}"), Sku(sku), MovementKind.RECEIPT, legs, NOW, Origin(WMS, MessageId("m"))
    )
    aws.poster.post([Fact(event, effect_hash(event))], Network({}, {}, {}))


def on_hand(aws: Aws) -> int:
    return aws.ledger.balances([TEA])[TEA].totals[Counter.ON_HAND]


# ---- webhooks ---------------------------------------------------------------------------------------------------


def test_a_webhook_is_accepted_once_and_then_a_duplicate(aws: Aws) -> None:
    first, second = webhook("wms", receipt()), webhook("wms", receipt())
    assert (first.status, first.body["status"]) == (202, "accepted")
    assert (second.status, second.body["status"]) == (200, "duplicate")
    assert second.body["message_id"] == first.body["message_id"]

    apply_messages({"Records": aws.images("inbox", "MSG#")}, None)
    assert on_hand(aws) == 10


def test_a_body_that_the_gateway_encoded_is_read(aws: Aws) -> None:
    raw = json.dumps(receipt()).encode()
    assert webhook("wms", raw, encode=True).status == 202


@pytest.mark.parametrize(
    ("source", "body", "headers", "status", "name"),
    [
        ("nobody", {}, {}, 404, "unknown_source"),
        ("files", {}, {}, 404, "unknown_source"),
        ("wms", {}, {"webhook_signature": "v1,AAAA"}, 401, "not_authentic"),
        ("wms", {}, {"WEBHOOK_TIMESTAMP": "1000000000"}, 401, "not_authentic"),
        ("wms", b"x" * 100_001, {}, 413, "body_too_large"),
        ("wms", b"{}", {"content_encoding": "gzip"}, 415, "bad_encoding"),
    ],
)
def test_what_cannot_be_taken_is_a_problem_with_its_name(
    aws: Aws, source: str, body: object, headers: dict[str, Any], status: int, name: str
) -> None:
    said = webhook(source, body, **headers)
    assert (said.status, said.body["type"]) == (status, f"urn:onecount:problem:{name}")
    assert said.headers["Content-Type"] == "application/problem+json"
    assert said.body["detail"]


def test_a_gzip_bomb_is_refused(aws: Aws) -> None:
    said = webhook("wms", gzip.compress(b"\0" * 50_000_000), encode=True, content_encoding="gzip")
    assert said.status == 413


@pytest.mark.parametrize("body", [b"{", b"null", b'{"type": "stock.dance"}'])
def test_a_signed_body_that_is_malformed_is_accepted_and_becomes_a_case(aws: Aws, body: bytes) -> None:
    assert webhook("wms", body).status == 202
    webhook("wms", receipt())
    assert apply_messages({"Records": aws.images("inbox", "MSG#")}, None) == {"batchItemFailures": []}
    assert on_hand(aws) == 10
    [case] = api("GET /v1/cases").body["cases"]
    assert case["kind"] == "bad_message"
    assert api(f"GET /v1/messages/{case['message_id']}").body["body"] == body.decode()


def test_a_message_that_cannot_be_kept_is_503_so_that_the_sender_tries_again(aws: Aws) -> None:
    aws.dynamodb.delete_table(TableName="oc-inbox")
    answer = webhook("wms", receipt())
    assert (answer.status, answer.body["type"]) == (503, "urn:onecount:problem:busy")
    assert "oc-inbox" not in json.dumps(answer.body)


def test_a_record_of_a_message_that_is_gone_holds_up_no_other(aws: Aws) -> None:
    webhook("wms", receipt())
    gone = {"dynamodb": {"Keys": {"pk": {"S": "MSG#gone"}, "sk": {"S": "-"}}}}
    apply_messages({"Records": [gone, *aws.images("inbox", "MSG#")]}, None)
    assert on_hand(aws) == 10


# ---- files ------------------------------------------------------------------------------------------------------


def announced(key: str, size: int = 30) -> dict[str, Any]:
    return {
        "Records": [
            {
                "eventTime": NOW.isoformat(),
                "s3": {"object": {"key": key, "size": size, "versionId": None, "sequencer": "01"}},
            }
        ]
    }


@dataclass(frozen=True, slots=True)
class Run:
    """What Lambda tells of the time that is left."""

    left_ms: int = 900_000

    def get_remaining_time_in_millis(self) -> int:
        return self.left_ms


def test_a_file_that_needs_another_run_is_given_back_to_come_at_once_and_goes_on(aws: Aws) -> None:
    text = "sku,qty\n" + "TEA,many\n" * CHUNK + "TEA,40\n"
    aws.s3.put_object(Bucket="drops", Key="files/stock_20260101.csv", Body=text.encode())
    url = aws.sqs.get_queue_url(QueueName="drops")["QueueUrl"]
    body = json.dumps(announced("files/stock_20260101.csv"))
    aws.sqs.send_message(QueueUrl=url, MessageBody=body)
    [message] = aws.sqs.receive_message(QueueUrl=url, VisibilityTimeout=5400)["Messages"]
    record = queue_record(body, 1, "drops") | {"receiptHandle": message["ReceiptHandle"]}

    answer = ingest_file({"Records": [record]}, Run(left_ms=10_000))

    assert answer == {"batchItemFailures": [{"itemIdentifier": "m1"}]}
    assert on_hand(aws) == 0
    [again] = aws.sqs.receive_message(QueueUrl=url, WaitTimeSeconds=2)["Messages"]
    record |= {"receiptHandle": again["ReceiptHandle"]}
    assert ingest_file({"Records": [record]}, Run()) == {"batchItemFailures": []}
    assert on_hand(aws) == 40


def test_a_dropped_file_is_read_and_what_is_not_there_is_given_back(aws: Aws) -> None:
    aws.s3.put_object(Bucket="drops", Key="files/stock 20260101.csv", Body=b"sku,qty\nTEA,40\n")
    answer = ingest_file(
        {
            "Records": [
                queue_record({"Event": "s3:TestEvent"}, 1),
                queue_record(announced("files/stock+20260101.csv"), 2),
                queue_record(announced("files/gone_20260101.csv"), 3),
            ]
        },
        Run(),
    )
    assert answer == {"batchItemFailures": [{"itemIdentifier": "m3"}]}
    assert on_hand(aws) == 40


@pytest.mark.parametrize(
    "body", ["not json", "[]", '{"Records": [{}]}', '{"Records": [{"s3": {"object": {}}}]}']
)
def test_a_notification_that_cannot_be_read_is_given_back_alone(aws: Aws, body: str) -> None:
    aws.s3.put_object(Bucket="drops", Key="files/stock_20260101.csv", Body=b"sku,qty\nTEA,40\n")
    good = queue_record(announced("files/stock_20260101.csv"), 2)
    answer = ingest_file({"Records": [queue_record(body, 1), good]}, Run())
    assert answer == {"batchItemFailures": [{"itemIdentifier": "m1"}]}
    assert on_hand(aws) == 40


# ---- streams ----------------------------------------------------------------------------------------------------


def test_a_changed_promise_is_hinted_to_the_channel_that_sells_it(aws: Aws) -> None:
    aws.registry.add_listings([Listing(ChannelId("shop"), Sku("TEA"), "9001")])
    stocked(aws, 20)
    fan_out({"Records": aws.images("stock", "PROMISE#")}, None)
    [hint] = aws.waiting("push-shop-urgent")
    assert (hint["channel"], hint["sku"]) == ("shop", "TEA")


def test_a_difference_becomes_a_drift_case(aws: Aws) -> None:
    stocked(aws, 20)
    said = receipt()
    said["type"], said["data"]["lines"][0]["quantity"] = "stock.count", 7
    said["data"]["occurred_at"] = (NOW + timedelta(seconds=1)).isoformat()
    webhook("wms", said)
    apply_messages({"Records": aws.images("inbox", "MSG#")}, None)
    reconcile({"Records": [*aws.images("stock", "OBS#"), *aws.images("stock", "BAL#")]}, None)
    [case] = api("GET /v1/cases").body["cases"]
    assert (case["kind"], case["facts"]["drift"]) == ("drift", -13)


# ---- pushing ----------------------------------------------------------------------------------------------------


def hint(sku: str, since: datetime, channel: str = "shop") -> dict[str, str]:
    return {"channel": channel, "sku": sku, "since": since.isoformat().replace("+00:00", "Z")}


def in_queue(aws: Aws, *bodies: object) -> list[dict[str, Any]]:
    """Send bodies to the bulk lane and receive them as a batch, with receipts that are good."""
    url = aws.sqs.get_queue_url(QueueName="push-shop-bulk")["QueueUrl"]
    for body in bodies:
        text = body if isinstance(body, str) else json.dumps(body)
        aws.sqs.send_message(QueueUrl=url, MessageBody=text)
    found = aws.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
    return [
        {
            **queue_record(message["Body"]),
            "messageId": message["Body"],
            "receiptHandle": message["ReceiptHandle"],
        }
        for message in found
    ]


def test_a_channel_that_does_not_answer_gets_time_and_then_its_hints_are_given_back(aws: Aws) -> None:
    aws.registry.add_listings([Listing(ChannelId("shop"), Sku("TEA"), "9001")])
    stocked(aws, 20)
    patient = in_queue(aws, hint("TEA", datetime.now(UTC)))
    assert push_channel({"Records": patient}, None) == {"batchItemFailures": []}

    tired = in_queue(aws, hint("TEA", NOW - timedelta(minutes=16)))
    [failed] = push_channel({"Records": tired}, None)["batchItemFailures"]
    assert json.loads(failed["itemIdentifier"])["sku"] == "TEA"


def test_a_try_is_counted_for_an_outcome_that_is_unknown_but_only_once_it_can_be_known(aws: Aws) -> None:
    shop = ChannelId("shop")
    aws.registry.add_listings([Listing(shop, Sku("TEA"), "9001")])
    stocked(aws, 20)
    unheard, at = (ListingState(external_id="9001"), 18), datetime.now(UTC)
    Listings(aws.table("stock")).take(shop, {TEA: unheard}, at, at)
    tired = in_queue(aws, hint("TEA", NOW - timedelta(minutes=16)))

    [failed] = push_channel({"Records": tired}, None)["batchItemFailures"]

    assert json.loads(failed["itemIdentifier"])["sku"] == "TEA"
    sleep(1.5)  # longer than a hint waits that a channel just failed
    assert (
        aws.waiting("push-shop-bulk") == []
    )  # neither sent anew, which would forget its tries, nor back already


def test_hints_that_cannot_be_read_are_given_back_alone(aws: Aws) -> None:
    records = in_queue(aws, "not json", "[]", '{"channel": "shop"}', hint("UNLISTED", NOW))
    failed = {
        item["itemIdentifier"] for item in push_channel({"Records": records}, None)["batchItemFailures"]
    }
    assert len(failed) == 3
    assert not any("UNLISTED" in name for name in failed)


def test_hints_of_a_channel_that_was_removed_are_let_go(aws: Aws) -> None:
    records = in_queue(aws, hint("TEA", NOW, "removed"))

    assert push_channel({"Records": records}, None)["batchItemFailures"] == []


# ---- the sweep --------------------------------------------------------------------------------------------------


def test_the_sweep_files_dead_letters_and_lets_go_of_stream_failures(aws: Aws) -> None:
    dead = aws.sqs.get_queue_url(QueueName="push-shop-bulk-dead")["QueueUrl"]
    aws.sqs.send_message(QueueUrl=dead, MessageBody=json.dumps(hint("TEA", NOW)))
    failures = aws.sqs.get_queue_url(QueueName="fan-out-changes-failures")["QueueUrl"]
    aws.sqs.send_message(QueueUrl=failures, MessageBody='{"DDBStreamBatchInfo": {}}')
    found = collect_failures({}, None)
    assert (found["dead_letters"], found["stream_failures"]) == (1, 1)
    [case] = api("GET /v1/cases").body["cases"]
    assert case["kind"] == "push_failed"
    assert aws.waiting("fan-out-changes-failures") == []


# ---- the API ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "allowed"),
    [
        ("GET /v1/stock/TEA", {"viewer", "reserver", "operator", "approver", "admin"}),
        ("GET /v1/cases", {"viewer", "operator", "approver", "admin"}),
        ("GET /v1/dead-letters", {"viewer", "operator", "approver", "admin"}),
        ("POST /v1/dead-letters/redrive", {"operator", "admin"}),
        ("POST /v1/reservations", {"reserver", "admin"}),
        ("POST /v1/cases/x/ignore", {"operator", "admin"}),
    ],
)
def test_a_call_needs_one_of_its_scopes(aws: Aws, call: str, allowed: set[str]) -> None:
    for scope in ("viewer", "reserver", "operator", "approver", "admin", "", "administrator"):
        assert (api(call, scopes=scope).status != 403) is (scope in allowed), scope


def test_stock_is_told_by_location_and_channel(aws: Aws) -> None:
    aws.registry.add_listings([Listing(ChannelId("shop"), Sku("TEA"), "9001")])
    stocked(aws, 20)
    said = api("GET /v1/stock/TEA")
    [location], [channel] = said.body["locations"], said.body["channels"]
    assert (said.status, location["on_hand"], location["available"]) == (200, 20, 20)
    assert channel["available_to_promise"] == 18
    steps = channel["explanation"]
    assert sum(step["quantity"] for step in steps) == 18


def test_an_item_whose_code_needs_escaping_is_found(aws: Aws) -> None:
    stocked(aws, 20, "A/B #1")
    said = api("GET /v1/stock/A%2FB%20%231")
    assert (said.status, said.body["sku"]) == (200, "A/B #1")
    journal = api("GET /v1/stock/A%2FB%20%231/journal", query={"location": "east"})
    assert [line["quantity"] for line in journal.body["entries"][0]["lines"]] == [20]


@pytest.mark.parametrize(
    ("call", "query", "field"),
    [
        ("GET /v1/stock", {}, "location"),
        ("GET /v1/stock", {"location": "east", "limit": "0"}, "limit"),
        ("GET /v1/stock", {"location": "east", "limit": "201"}, "limit"),
        ("GET /v1/stock", {"location": "east", "limit": "x"}, "limit"),
        ("GET /v1/stock", {"location": "east", "limit": "9" * 5000}, "limit"),
        ("GET /v1/stock/TEA", {"as_of": "yesterday"}, "as_of"),
        ("GET /v1/stock/TEA", {"as_of": "2026-11-01T12:00:00"}, "as_of"),
        ("GET /v1/stock/TEA", {"as_of": "0001-01-01T00:00:00+14:00"}, "as_of"),
        ("GET /v1/stock/TEA", {"as_of": "0001-01-01T00:00:00Z"}, "as_of"),
        ("GET /v1/stock/TEA", {"as_of": "9999-12-31T23:59:59-14:00"}, "as_of"),
        ("GET /v1/stock/TEA/journal", {"location": "east", "cursor": "x"}, "cursor"),
        ("GET /v1/stock/TEA/journal", {"location": "east", "cursor": "9" * 5000}, "cursor"),
        ("GET /v1/availability", {"sku": "TEA"}, "channel"),
        ("GET /v1/availability", {"channel": "moon", "sku": "TEA"}, "channel"),
        ("GET /v1/cases", {"status": "lost"}, "status"),
    ],
)
def test_a_query_that_cannot_be_meant_names_its_field(
    aws: Aws, call: str, query: dict[str, str], field: str
) -> None:
    stocked(aws, 20)
    said = api(call, query=query)
    assert (said.status, said.body.get("field")) == (400, field)
    assert said.body["remedy"]


@pytest.mark.parametrize(
    "call",
    ["GET /v1/stock/NOTHING", "GET /v1/cases/none", "GET /v1/messages/none", "GET /v1/reservations/none"],
)
def test_what_is_not_there_is_said_not_to_be_there(aws: Aws, call: str) -> None:
    assert (api(call).status, api(call).body["type"]) == (404, "urn:onecount:problem:not_found")


def test_an_unknown_call_is_a_problem_too(aws: Aws) -> None:
    assert api("GET /v1/nothing").status == 404


RESERVE = {"channel": "shop", "lines": [{"sku": "TEA", "quantity": 5}]}


def test_a_reservation_is_made_shown_and_released(aws: Aws) -> None:
    stocked(aws, 20)
    made = api("POST /v1/reservations", RESERVE, Idempotency_Key="k")
    again = api("POST /v1/reservations", RESERVE, idempotency_key="k")
    assert made.status == 201
    assert again.body["id"] == made.body["id"]
    assert api(f"GET {made.headers['Location']}").body["status"] == "confirmed"
    assert api("GET /v1/stock/TEA").body["locations"][0]["reserved"] == 5
    assert api(f"DELETE {made.headers['Location']}").body["status"] == "released"
    assert api("GET /v1/stock/TEA").body["locations"][0]["available"] == 20


def test_a_reservation_that_cannot_be_covered_says_what_there_is(aws: Aws) -> None:
    stocked(aws, 20)
    wanted = {"channel": "shop", "lines": [{"sku": "TEA", "quantity": 19}]}
    said = api("POST /v1/reservations", wanted, Idempotency_Key="k")
    assert (said.status, said.body["type"]) == (409, "urn:onecount:problem:insufficient_stock")
    assert said.body["lines"][0]["available_to_promise"] == 18


def test_an_idempotency_key_for_another_request_is_a_conflict(aws: Aws) -> None:
    stocked(aws, 20)
    api("POST /v1/reservations", RESERVE, Idempotency_Key="k")
    other = {"channel": "shop", "lines": [{"sku": "TEA", "quantity": 6}]}
    said = api("POST /v1/reservations", other, Idempotency_Key="k")
    assert (said.status, said.body["type"]) == (409, "urn:onecount:problem:idempotency_conflict")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (None, "body"),
        ("{", "body"),
        ("[]", "body"),
        ({}, "channel"),
        ({"channel": "shop", "lines": []}, "lines"),
        ({"channel": "shop", "lines": [{"sku": "TEA", "quantity": 0}]}, "lines.0.quantity"),
        ({"channel": "shop", "lines": [{"sku": "TEA", "quantity": -1}]}, "lines.0.quantity"),
        ({"channel": "shop", "lines": [{"sku": "TEA", "quantity": 1.5}]}, "lines.0.quantity"),
        ({"channel": "shop", "lines": [{"sku": "TEA", "quantity": "5"}]}, "lines.0.quantity"),
        ({"channel": "shop", "lines": [{"sku": "TEA", "quantity": True}]}, "lines.0.quantity"),
        ({"channel": "shop", "lines": [{"sku": "", "quantity": 1}]}, "lines.0.sku"),
        ({"channel": "shop", "lines": [{"sku": "TEA", "quantity": 1}], "colour": "red"}, "colour"),
        ({"channel": "moon", "lines": [{"sku": "TEA", "quantity": 1}]}, "channel"),
        (
            {"channel": "shop", "lines": [{"sku": "TEA", "quantity": 1, "location": "moon"}]},
            "lines[0].location",
        ),
    ],
)
def test_a_reservation_that_cannot_be_meant_names_its_field(aws: Aws, body: object, field: str) -> None:
    said = api("POST /v1/reservations", body, Idempotency_Key="k")
    assert (said.status, said.body.get("field")) == (400, field)


@pytest.mark.parametrize("key", [None, "", "x" * 201])
def test_a_reservation_needs_an_idempotency_key(aws: Aws, key: str | None) -> None:
    headers: dict[str, Any] = {} if key is None else {"Idempotency_Key": key}
    said = api("POST /v1/reservations", RESERVE, **headers)
    assert (said.status, said.body["field"]) == (400, "Idempotency-Key")


def test_a_case_is_mapped_retried_and_ignored(aws: Aws) -> None:
    webhook("wms", receipt(sku="NEW/1"))
    apply_messages({"Records": aws.images("inbox", "MSG#")}, None)
    [case] = api("GET /v1/cases").body["cases"]
    assert api(f"GET /v1/cases/{case['id']}").body["kind"] == "unknown_code"
    assert api(f"POST /v1/cases/{case['id']}/dance", {}).status == 404
    assert api(f"POST /v1/cases/{case['id']}/map", {}).body["field"] == "sku"
    assert api(f"POST /v1/cases/{case['id']}/map", {"sku": "NOTHING"}).status == 409
    done = api(f"POST /v1/cases/{case['id']}/map", {"sku": "TEA"})
    assert (done.status, done.body["replayed"], done.body["case"]["status"]) == (200, 1, "resolved")
    assert on_hand(aws) == 10
    assert api(f"POST /v1/cases/{case['id']}/ignore", {"reason": "no"}).body["field"] == "reason"


def test_a_code_that_others_keep_mapping_is_answered_409(aws: Aws) -> None:
    packs, is_contended = count(), False

    def somebody_else_maps(**_: object) -> None:
        if is_contended:
            reference = Reference(Sku("TEA"), f"pack of {next(packs)}")
            aws.registry.map_codes({Code(WMS, "sku", "OLD-1"): reference}, "bob")

    boto3._get_default_session().events.register(
        "before-call.dynamodb.TransactWriteItems", somebody_else_maps
    )
    webhook("wms", receipt(sku="OLD-1"))
    apply_messages({"Records": aws.images("inbox", "MSG#")}, None)
    [case] = api("GET /v1/cases").body["cases"]
    is_contended = True

    said = api(f"POST /v1/cases/{case['id']}/map", {"sku": "TEA"})

    assert (said.status, said.body["type"]) == (409, "urn:onecount:problem:changed_meanwhile")
    assert "OLD-1" in said.body["detail"]


def test_a_replay_of_what_was_posted_says_that_it_was_there_already(aws: Aws) -> None:
    message = webhook("wms", receipt()).body["message_id"]
    apply_messages({"Records": aws.images("inbox", "MSG#")}, None)

    said = api(f"POST /v1/messages/{message}/replay").body

    assert (said["status"], said["outcomes"]) == ("posted", {"duplicate": 1})


def test_stock_is_listed_page_by_page(aws: Aws) -> None:
    for n in range(7):
        stocked(aws, n + 1, f"S{n}")
    seen, cursor = [], None
    for _ in range(5):
        query = {"location": "east", "limit": "3"} | ({"cursor": cursor} if cursor else {})
        page = api("GET /v1/stock", query=query).body
        seen += [row["sku"] for row in page["stock"]]
        cursor = page["cursor"]
        if cursor is None:
            break
    assert seen == [f"S{n}" for n in range(7)]


def test_dead_letters_are_counted_and_redriven(aws: Aws) -> None:
    dead = aws.sqs.get_queue_url(QueueName="push-shop-bulk-dead")["QueueUrl"]
    aws.sqs.send_message(QueueUrl=dead, MessageBody="x")
    assert api("GET /v1/dead-letters").body["queues"]["push-shop-bulk-dead"] == 1
    assert api("POST /v1/dead-letters/redrive", {"queue": "none"}).status == 400
    assert api("POST /v1/dead-letters/redrive", {"queue": "push-shop-bulk-dead"}).body["redriven"] == {
        "push-shop-bulk-dead": 1
    }

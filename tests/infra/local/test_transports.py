"""What the rest of Onecount relies on in the embedded runtime, tried on it: one small stack, real transports.

When a new version of the runtime changes one of these, this is where it shows.
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any, TypeVar

import pytest

from infra.local.runtime import LocalRuntime

pytestmark = pytest.mark.system
Found = TypeVar("Found")


def eventually(look: Callable[[], Found | None], *, within_seconds: float = 20.0) -> Found:
    deadline = time.monotonic() + within_seconds
    while time.monotonic() < deadline:
        found = look()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"not seen within {within_seconds} s")


def seen(runtime: LocalRuntime, kind: str, prefix: str = "") -> list[dict[str, Any]]:
    answer = runtime.client("dynamodb").query(
        TableName="onecount-local-seen",
        KeyConditionExpression="pk = :kind",
        ExpressionAttributeValues={":kind": {"S": kind}},
        ConsistentRead=True,
    )
    items = [{name: next(iter(value.values())) for name, value in item.items()} for item in answer["Items"]]
    return [item for item in items if item["sk"].startswith(prefix)]


def put_work(runtime: LocalRuntime, pk: str, *sks: str, **fields: dict[str, str]) -> None:
    """Write items in one transaction, so that the pump finds them in one batch."""
    items = [{"pk": {"S": pk}, "sk": {"S": sk}, **fields} for sk in sks]
    runtime.client("dynamodb").transact_write_items(
        TransactItems=[{"Put": {"TableName": "onecount-local-work", "Item": item}} for item in items]
    )


def messages(runtime: LocalRuntime, queue: str) -> list[dict[str, Any]]:
    sqs = runtime.client("sqs")
    url = sqs.get_queue_url(QueueName=f"onecount-local-{queue}")["QueueUrl"]
    received = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
    for message in received:
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return [json.loads(message["Body"]) for message in received]


def http(url: str, *, token: str | None = None, body: bytes | None = None) -> tuple[int, dict[str, Any]]:
    headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {token}"} if token else {})
    try:
        with urllib.request.urlopen(
            urllib.request.Request(url, data=body, headers=headers), timeout=20
        ) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


class TestStreams:
    def test_a_change_reaches_its_function_as_lambda_would_hand_it_over(self, running: LocalRuntime) -> None:
        put_work(running, "change", "x", blob={"B": b"\x00\xff"}, count={"N": "5"})  # type: ignore[dict-item]

        (item,) = eventually(lambda: seen(running, "stream", "change/x"))

        record = json.loads(item["record"])
        assert record["eventName"] == "INSERT"
        assert record["eventSource"] == "aws:dynamodb"
        assert record["eventSourceARN"].startswith(
            "arn:aws:dynamodb:us-east-1:000000000000:table/onecount-local-work/"
        )
        assert record["dynamodb"]["NewImage"]["blob"] == {"B": "AP8="}
        assert record["dynamodb"]["NewImage"]["count"] == {"N": "5"}
        assert isinstance(record["dynamodb"]["ApproximateCreationDateTime"], int)

    def test_what_the_filter_rejects_is_not_delivered(self, running: LocalRuntime) -> None:
        put_work(running, "filtered", "x")
        running.settle()
        put_work(running, "filtered", "x", again={"S": "yes"})
        running.settle()

        assert len(seen(running, "begun", "filtered/x@")) == 1

    @pytest.mark.parametrize(("fault", "error"), [("poison", "Unhandled"), ("reported", None)])
    def test_one_bad_record_is_isolated_and_reported_and_every_other_is_delivered(
        self, running: LocalRuntime, fault: str, error: str | None
    ) -> None:
        good = ["a", "b", "c", "x", "y", "z"]
        put_work(running, f"among-{fault}", *good[:3], fault, *good[3:])

        told = eventually(lambda: messages(running, "stream-failures-dead"))[0]

        running.settle()
        assert [item["sk"].rpartition("/")[2] for item in seen(running, "stream", f"among-{fault}/")] == good
        assert told["requestContext"]["condition"] == "RetryAttemptsExhausted"
        assert told["responseContext"]["functionError"] == error
        assert told["DDBStreamBatchInfo"]["batchSize"] == 1
        assert (
            told["DDBStreamBatchInfo"]["startSequenceNumber"]
            == told["DDBStreamBatchInfo"]["endSequenceNumber"]
        )

    def test_a_pump_killed_between_call_and_checkpoint_delivers_again(self, running: LocalRuntime) -> None:
        put_work(running, "crash", "x", sleep={"N": "0.5"})
        eventually(lambda: seen(running, "begun", "crash/x@"))

        running.kill_pump()
        running.start_pump()

        eventually(lambda: len(seen(running, "begun", "crash/x@")) == 2)
        running.settle()
        assert len(seen(running, "begun", "crash/x@")) == 2

    def test_a_restarted_pump_resumes_and_repeats_nothing(self, running: LocalRuntime) -> None:
        put_work(running, "resume", "before")
        running.settle()

        running.kill_pump()
        put_work(running, "resume", "while-down")
        running.start_pump()
        running.settle()

        assert len(seen(running, "begun", "resume/before@")) == 1
        assert len(seen(running, "begun", "resume/while-down@")) == 1


class TestQueues:
    def test_only_the_failed_message_comes_back_and_ends_as_a_dead_letter(
        self, running: LocalRuntime
    ) -> None:
        sqs = running.client("sqs")
        url = sqs.get_queue_url(QueueName="onecount-local-tasks")["QueueUrl"]
        bodies = [
            {"kind": "task", "id": "good"},
            {"kind": "task", "id": "bad", "bad": True},
            {"kind": "other", "id": "filtered"},
        ]
        sqs.send_message_batch(
            QueueUrl=url,
            Entries=[
                {"Id": str(number), "MessageBody": json.dumps(body)} for number, body in enumerate(bodies)
            ],
        )

        dead = eventually(lambda: messages(running, "tasks-dead"))

        assert dead == [{"kind": "task", "id": "bad", "bad": True}]
        assert [item["sk"] for item in seen(running, "queue")] == ["bad#1", "bad#2", "good#1"]

    def test_a_dropped_file_is_announced_and_others_are_not(self, running: LocalRuntime) -> None:
        objects = running.client("s3")
        objects.put_object(Bucket=running.info.bucket, Key="elsewhere/file.csv", Body=b"x")
        objects.put_object(Bucket=running.info.bucket, Key="drop/legacy-wms/stock 1.csv", Body=b"sku,qty\n")

        announced: list[dict[str, Any]] = []

        def look() -> bool:
            announced.extend(one for one in messages(running, "dropped") if "Records" in one)
            return bool(announced)

        eventually(look)
        (event,) = announced
        assert event["Records"][0]["s3"]["object"]["key"] == "drop/legacy-wms/stock+1.csv"
        assert event["Records"][0]["s3"]["object"]["sequencer"]


class TestHttp:
    def test_a_webhook_arrives_byte_for_byte(self, running: LocalRuntime) -> None:
        status, said = http(running.webhook_url("modern-wms"), body=b'{"qty": 1}\xff\n')

        assert status == 200
        assert said["base64"] is True
        assert said["body"] == "eyJxdHkiOiAxff8K"
        assert said["parameters"] == {"source": "modern-wms"}

    def test_a_token_of_the_local_issuer_opens_the_api_and_its_scopes_reach_the_function(
        self, running: LocalRuntime
    ) -> None:
        token = running.token(["viewer", "operator"], subject="ann")

        status, said = http(f"{running.api_url}/v1/stock/A", token=token)

        assert status == 200
        assert said["authorizer"]["scope"] == "viewer operator"
        assert said["authorizer"]["principalId"] == "ann"
        assert said["path"] == "/v1/stock/A"

    def test_no_expired_or_forged_token_opens_it(self, running: LocalRuntime) -> None:
        url = f"{running.api_url}/v1/stock/A"
        expired = running.token(["viewer"], lifetime=timedelta(seconds=-60))
        header, claims, signature = running.token(["viewer"]).split(".")
        forged = ".".join((header, claims, signature[::-1]))

        assert http(url)[0] in (401, 403)
        assert http(url, token=expired)[0] == 403
        assert http(url, token=forged)[0] == 403

    def test_functions_find_shared_in_their_layer_and_nothing_of_ours_leaks(
        self, running: LocalRuntime
    ) -> None:
        _, said = http(running.webhook_url("x"), body=b"{}")

        assert said["PYTHONPATH"] is None
        assert len(said["shared"]) == 1
        assert "layer_0" in said["shared"][0]

    def test_workers_are_used_again(self, running: LocalRuntime) -> None:
        def call(_: int) -> int:
            return int(http(running.webhook_url("x"), body=b"{}")[1]["worker"])

        with ThreadPoolExecutor(4) as pool:
            workers = set(pool.map(call, range(24)))

        assert len(workers) <= 5


class TestSecrets:
    def test_a_generated_secret_heeds_its_exclusions_and_can_be_replaced(self, running: LocalRuntime) -> None:
        generated = running.secret("source", "modern-wms")

        running.set_secret("source", "modern-wms", "rotated")

        assert len(generated) == 40
        assert generated.isalnum()
        assert running.secret("source", "modern-wms") == "rotated"
        stored = running.client("secretsmanager").get_secret_value(
            SecretId="onecount/local/source/modern-wms"
        )
        assert json.loads(stored["SecretString"])["previous"] == generated


def test_what_the_runtime_lacks_is_removed_and_named(running: LocalRuntime) -> None:
    assert running.info.removed == ["NotHere (AWS::CloudWatch::CompositeAlarm): no alarms on alarms"]
    assert "NotHereArn" not in running.outputs

"""The path under stress, on the deployed template: races, duplicates, poison, crashes, outages, redrive."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

import pytest

from infra.local.demo.stage import Answer, Stage
from infra.local.fake_channels.control import carry_out
from shared.domain.digest import DigestTime
from shared.domain.rules import Rules
from shared.operations.verify import Verifier
from shared.store.dynamodb import DynamoTable
from shared.store.layout import daily_key
from shared.store.registry import Registry
from shared.store.table import Delete

pytestmark = pytest.mark.system


def receive(world: Stage, name: str, sku: str, quantity: int, *, minutes_ago: int = 1) -> Answer:
    happened = datetime.now(UTC) - timedelta(minutes=minutes_ago)
    line = {"line": "1", "sku": sku, "location": "east", "quantity": quantity}
    data = {"document": name, "occurred_at": happened.isoformat(), "lines": [line]}
    return world.webhook("modern-wms", "receipt", data, f"msg-{name}")


def has(world: Stage, sku: str, on_hand: int, within_s: float = 30) -> None:
    world.until(f"{sku} on hand", lambda: world.stock(sku)["on_hand"], on_hand, within_s=within_s)


def verified(world: Stage) -> None:
    table = DynamoTable(world.runtime.client("dynamodb"), world.runtime.info.tables["stock"])
    assert [str(found) for found in Verifier(table).verify().discrepancies] == []


def test_of_32_concurrent_reservations_of_the_last_unit_exactly_one_is_made(world: Stage) -> None:
    receive(world, "R-RACE", "SKU-00110", 6)
    has(world, "SKU-00110", 6)
    body = {"channel": "marketplace", "lines": [{"sku": "SKU-00110", "quantity": 1}]}

    def reserve(number: int) -> Answer:
        return world.api("POST", "/v1/reservations", body, Idempotency_Key=f"race-{number}")

    with ThreadPoolExecutor(32) as callers:
        answers = list(callers.map(reserve, range(32)))

    statuses = sorted(answer.status for answer in answers)
    assert statuses == [201] + [409] * 31
    refused = next(answer.body for answer in answers if answer.status == 409)
    assert refused["lines"] == [
        {"sku": "SKU-00110", "location": "east", "requested": 1, "available_to_promise": 0}
    ]
    stock = world.stock("SKU-00110")
    assert (stock["reserved"], stock["available"]) == (1, 5)  # 5 are the marketplace's safety stock
    verified(world)


def test_a_reservation_is_idempotent_and_released_once(world: Stage) -> None:
    receive(world, "R-IDEM", "SKU-00111", 20)
    has(world, "SKU-00111", 20)
    body = {"channel": "marketplace", "lines": [{"sku": "SKU-00111", "quantity": 3}]}
    first = world.api("POST", "/v1/reservations", body, Idempotency_Key="idem-1")
    again = world.api("POST", "/v1/reservations", body, Idempotency_Key="idem-1")
    other = {"channel": "marketplace", "lines": [{"sku": "SKU-00111", "quantity": 4}]}
    conflict = world.api("POST", "/v1/reservations", other, Idempotency_Key="idem-1")
    assert (first.status, again.status, conflict.status) == (201, 201, 409)
    assert first.body["id"] == again.body["id"]
    assert world.stock("SKU-00111")["available"] == 17
    for _ in range(2):
        released = world.api("DELETE", f"/v1/reservations/{first.body['id']}")
        assert (released.status, released.body["status"]) == (200, "released")
    assert world.stock("SKU-00111")["available"] == 20


def test_the_same_message_five_times_at_once_posts_once(world: Stage) -> None:
    with ThreadPoolExecutor(5) as senders:
        answers = list(senders.map(lambda _: receive(world, "R-DUP", "SKU-00112", 7), range(5)))
    assert {answer.status for answer in answers} <= {200, 202}
    has(world, "SKU-00112", 7)
    world.runtime.settle()
    assert world.stock("SKU-00112")["on_hand"] == 7


def test_a_poison_message_between_others_is_isolated_and_becomes_a_case(world: Stage) -> None:
    receive(world, "R-POISON-1", "SKU-00113", 1)
    world.runtime.client("dynamodb").put_item(
        TableName=world.runtime.info.tables["inbox"],
        Item={
            "pk": {"S": "MSG#poison"},
            "sk": {"S": "-"},
            "kind": {"S": "webhook"},
            "source": {"S": "modern-wms"},
            "body": {"B": b"this is not what was stored"},
            "headers": {"M": {}},
            "content_type": {"S": "application/json"},
            "received_at": {"S": "2026-01-05T10:00:00.000000Z"},
            "status": {"S": "pending"},
            "attempts": {"N": "0"},
            "pending_pk": {"S": "pending#0"},
            "pending_sk": {"S": "2026-01-05T10:00:00.000000Z"},
        },
    )
    receive(world, "R-POISON-2", "SKU-00113", 2)
    has(world, "SKU-00113", 3)

    def case() -> object:
        return world.api("GET", "/v1/cases/message_failed:poison").body.get("status")

    world.until("the case", case, "open", within_s=60)


def test_a_crash_between_posting_and_acknowledging_posts_once(world: Stage) -> None:
    """The pump is killed again and again while messages flow: whatever it had not noted is delivered once more."""
    for number in range(12):
        receive(world, f"R-CRASH-{number}", "SKU-00114", 1)
        if number % 3 == 0:
            world.runtime.kill_pump()
            world.runtime.start_pump()
    has(world, "SKU-00114", 12)
    world.runtime.settle()
    assert world.stock("SKU-00114")["on_hand"] == 12
    entries = world.api("GET", "/v1/stock/SKU-00114/journal?location=east&limit=200").body["entries"]
    keys = [line["event_key"] for entry in entries for line in entry["lines"]]
    assert len(keys) == len(set(keys)) == 12
    verified(world)


def test_after_an_outage_and_two_redrives_the_channel_shows_the_ledgers_numbers(world: Stage) -> None:
    skus = [f"SKU-{number:05d}" for number in range(21, 71)]
    for number, sku in enumerate(skus):
        receive(world, f"R-OUT-A-{sku}", sku, 10 + number)
    world.until("settled", lambda: [world.shop_shows(sku) for sku in skus], [8 + n for n in range(50)])
    carry_out(world.channels, {"do": "fail", "channel": "shopify", "mode": "down"})
    with ThreadPoolExecutor(4) as senders:
        list(senders.map(lambda sku: receive(world, f"R-OUT-B-{sku}", sku, 100), skus))

    def dead() -> int:
        queues = world.api("GET", "/v1/dead-letters").body["queues"]
        return sum(int(number) for queue, number in queues.items() if "shopify" in queue)

    world.until("dead letters", lambda: dead() >= 50, True)
    before = {sku: len(world.shop_writes(sku)) for sku in skus}
    carry_out(world.channels, {"do": "recover", "channel": "shopify"})
    world.api("POST", "/v1/dead-letters/redrive", {})
    world.api("POST", "/v1/dead-letters/redrive", {})

    wanted = [108 + n for n in range(50)]
    world.until("the shop's numbers", lambda: [world.shop_shows(sku) for sku in skus], wanted)
    world.runtime.settle()
    assert dead() == 0
    pushed = [world.shop_writes(sku)[before[sku] :] for sku in skus]
    assert [[write["quantity"] for write in writes] for writes in pushed] == [[number] for number in wanted]


def test_a_push_whose_answer_is_lost_is_read_back_before_anything_else_is_sent(world: Stage) -> None:
    sku = "SKU-00075"
    receive(world, "R-LOST-1", sku, 10)
    world.until("the shop shows", lambda: world.shop_shows(sku), 8)
    world.runtime.settle()
    carry_out(world.channels, {"do": "fail", "channel": "shopify", "mode": "lost", "count": 1})
    receive(world, "R-LOST-2", sku, 5)
    world.until("written, though we did not hear", lambda: world.shop_shows(sku), 13)
    receive(world, "R-LOST-3", sku, 1)
    world.until("the shop shows", lambda: world.shop_shows(sku), 14)
    assert [write["quantity"] for write in world.shop_writes(sku)] == [8, 13, 14]


def test_the_six_orders_of_facts_end_alike_through_webhook_and_file(world: Stage) -> None:
    """opening 102, -2 at 12:02, snapshot 100 as of 12:03, -1 at 12:04, in six orders, each delivered twice."""
    base = (datetime.now(UTC) - timedelta(hours=5)).replace(second=0, microsecond=0)

    def tell(which: int, sku: str) -> None:
        at = base + timedelta(minutes=(0, 2, 3, 4)[which])
        if which == 2:
            world.drop(
                "legacy-wms", f"six-{sku}_{at:%Y%m%dT%H%M}.csv", f"Item,Site,On Hand\n{sku},EAST DC,100\n"
            )
            return
        kind, quantity = [("receipt", 102), ("pick", 2), ("", 0), ("pick", 1)][which]
        line = {"line": "1", "sku": sku, "location": "east", "quantity": quantity}
        data = {"document": f"six-{sku}-{which}", "occurred_at": at.isoformat(), "lines": [line]}
        for delivery in ("a", "b"):
            world.webhook("modern-wms", kind, data, f"six-{sku}-{which}-{delivery}")

    orders = [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 1, 3), (1, 3, 0, 2), (2, 3, 1, 0), (0, 2, 3, 1)]
    skus = [f"SKU-{number:05d}" for number in range(120, 126)]
    for position in range(4):
        for sku, order in zip(skus, orders, strict=True):
            tell(order[position], sku)
        world.runtime.settle()

    for sku in skus:
        has(world, sku, 99)
        history = [world.stock(sku, base + timedelta(minutes=m))["on_hand"] for m in (0, 2, 3, 4)]
        assert history == [102, 100, 100, 99]
    verified(world)


def test_the_digest_of_the_day_reaches_whoever_has_subscribed_once(world: Stage) -> None:
    sns, sqs = world.runtime.client("sns"), world.runtime.client("sqs")
    (topic,) = [one["TopicArn"] for one in sns.list_topics()["Topics"] if one["TopicArn"].endswith("-alerts")]
    inbox = sqs.create_queue(QueueName="team-chat")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=inbox, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    tables = world.runtime.info.tables
    registry = Registry(DynamoTable(world.runtime.client("dynamodb"), tables["registry"]))
    declared = registry.network(fresh=True)
    registry.declare(replace(declared, rules=Rules(digest=DigestTime(time(0)))))
    cases = DynamoTable(world.runtime.client("dynamodb"), tables["cases"])
    cases.write([Delete(daily_key("digest"))])  # an earlier test's sweep may have sent today's

    def told() -> list[str]:
        world.sweep()
        found = sqs.receive_message(QueueUrl=inbox, MaxNumberOfMessages=10, VisibilityTimeout=0)
        return [json.loads(message["Body"])["Subject"] for message in found.get("Messages", [])]

    world.until("the digest", lambda: [subject[:15] for subject in told()], ["Onecount local:"], within_s=60)
    assert len(told()) == 1
    registry.declare(declared)

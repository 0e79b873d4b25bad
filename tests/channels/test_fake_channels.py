"""The fake channel server as the demo uses it: commands over HTTP, webhooks out, a process of its own."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from infra.local.fake_channels.server import FakeChannels
from shared.channels.contract import HttpRequest
from shared.channels.transport import HttpTransport
from tests.channels.arrange import LOCATION, Bench, offer

SECRET = "app-secret"
LINE = {"item_id": 1000, "location_id": LOCATION, "quantity": 2}


class Inbox:
    """A webhook endpoint that keeps what it gets, in order."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        inbox = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                inbox.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(202)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/webhooks/shop"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def topics(self) -> list[str]:
        return [headers["x-shopify-topic"] for headers, _ in self.got]


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    made = Inbox()
    yield made
    made.server.shutdown()
    made.server.server_close()


def command(url: str, do: str, **facts: Any) -> tuple[int, dict[str, Any]]:
    body = json.dumps({"do": do, **facts}).encode()
    response = HttpTransport().send(HttpRequest("POST", url, {"Content-Type": "application/json"}, body))
    return response.status, json.loads(response.body)


def test_an_order_takes_its_units_and_is_delivered_signed_as_often_as_told(shop: Bench, inbox: Inbox) -> None:
    shop.stock(5)
    deliver = {"url": inbox.url, "secret": SECRET, "times": 3}

    status, said = command(shop.fake.control_url, "place_order", lines=[LINE], deliver=deliver)

    assert (status, said["statuses"]) == (200, [202] * 6)
    assert shop.levels(1) == [3]
    assert inbox.topics() == ["orders/create"] * 3 + ["inventory_levels/update"] * 3
    for headers, body in inbox.got:
        digest = base64.b64encode(hmac.new(SECRET.encode(), body, hashlib.sha256).digest()).decode()
        assert headers["x-shopify-hmac-sha256"] == digest
    assert len({headers["x-shopify-webhook-id"] for headers, _ in inbox.got}) == 2
    assert json.loads(inbox.got[0][1])["line_items"][0]["sku"] == "SKU-0"
    assert json.loads(inbox.got[3][1])["available"] == 3


def test_deliveries_can_come_back_to_front(shop: Bench, inbox: Inbox) -> None:
    shop.stock(5)
    deliver = {"url": inbox.url, "secret": SECRET, "reversed": True}

    command(shop.fake.control_url, "place_order", lines=[LINE], deliver=deliver)

    assert inbox.topics() == ["inventory_levels/update", "orders/create"]


def test_a_cancelled_order_gives_its_units_back_and_is_newer_than_the_order(
    shop: Bench, inbox: Inbox
) -> None:
    shop.stock(5)
    _, placed = command(shop.fake.control_url, "place_order", lines=[LINE])
    deliver = {"url": inbox.url, "secret": SECRET}

    _, said = command(shop.fake.control_url, "cancel_order", order=placed["order"]["id"], deliver=deliver)

    assert shop.levels(1) == [5]
    assert inbox.topics()[0] == "orders/cancelled"
    assert said["order"]["updated_at"] > placed["order"]["updated_at"]
    assert said["order"]["line_items"][0]["current_quantity"] == 0


def test_our_own_push_comes_back_as_a_webhook_when_told(shop: Bench, inbox: Inbox) -> None:
    shop.stock(5)
    command(shop.fake.control_url, "behave", echo={"url": inbox.url, "secret": SECRET})

    shop.connector.push([offer(0, 9, expected=5)])
    command(shop.fake.control_url, "settle")

    ((headers, body),) = inbox.got
    assert headers["x-shopify-topic"] == "inventory_levels/update"
    assert (json.loads(body)["inventory_item_id"], json.loads(body)["available"]) == (1000, 9)


def test_the_control_port_answers_while_connections_are_refused(shop: Bench) -> None:
    command(shop.fake.control_url, "refuse")
    status, _ = command(shop.fake.control_url, "accept")

    channels_port = f"http://127.0.0.1:{shop.fake.port}/_control"
    assert status == 200
    assert command(channels_port, "clear_calls")[0] == 200


def test_what_was_asked_and_what_is_held_can_be_inspected(shop: Bench, partner: Bench) -> None:
    shop.stock(5)
    pushed = offer(0, 9)
    shop.connector.push([pushed])
    partner.connector.push([pushed])
    shop.fail("down", count=2)

    response = HttpTransport().send(HttpRequest("GET", shop.fake.control_url, {}, b""))

    seen = json.loads(response.body)
    assert [(call["channel"], call["outcome"]) for call in seen["calls"]] == [
        ("shopify", "written"),
        ("partner", "ok"),
    ]
    assert seen["calls"][0]["quantities"] == [
        {"item": "1000", "location": LOCATION, "quantity": 9, "change_from": None}
    ]
    assert seen["levels"]["shopify"] == [{"item_id": "1000", "location_id": LOCATION, "quantity": 9}]
    assert seen["levels"]["partner"] == [{"item_id": "1000", "location_id": LOCATION, "quantity": 9}]
    assert seen["faults"][0]["mode"] == "down"


@pytest.mark.parametrize(
    ("do", "facts", "named"),
    [
        ("dance", {}, "dance"),
        ("fail", {"mode": "sulk"}, "sulk"),
        ("fail", {}, "mode"),
        ("place_order", {"lines": [{**LINE, "item_id": 9}]}, "9"),
        ("place_order", {}, "lines"),
        ("cancel_order", {"order": 1}, "1"),
        ("set_levels", {"levels": [{**LINE, "item_id": 9}]}, "9"),
        ("behave", {"compares": True}, "compares"),
    ],
)
def test_a_wrong_command_is_refused_naming_what_is_wrong(
    shop: Bench, do: str, facts: dict[str, Any], named: str
) -> None:
    status, said = command(shop.fake.control_url, do, **facts)

    assert status == 400
    assert named in said["error"]


def test_recovering_lifts_the_faults_of_one_channel(shop: Bench, fake: FakeChannels) -> None:
    shop.stock(5)
    shop.fail("down")
    fake_partner_fault = {"channel": "partner", "mode": "down"}
    command(fake.control_url, "fail", **fake_partner_fault)

    command(fake.control_url, "recover", channel="shopify")

    assert [fault.channel for fault in fake.faults.active()] == ["partner"]


def test_it_runs_as_a_process_of_its_own_and_ends_when_asked() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "infra.local.fake_channels"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        where = json.loads(process.stdout.readline())
        status, _ = command(where["control"], "clear_calls")
        assert status == 200
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=10)
    assert process.returncode == 0

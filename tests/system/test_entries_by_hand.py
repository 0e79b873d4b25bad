"""Entries by hand on the deployed template: posted once however often they are sent at once, seen by the channels."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from infra.local.demo.stage import Answer, Stage

pytestmark = pytest.mark.system

SKU = "SKU-00077"


def on_hand(world: Stage) -> int:
    answer = world.api("GET", f"/v1/stock?sku={SKU}")
    return next((int(x["on_hand"]) for x in answer.body["locations"] if x["location"] == "east"), 0)


def test_an_entry_that_is_sent_many_times_at_once_is_posted_once_and_answered_alike(world: Stage) -> None:
    counted = {"sku": SKU, "location": "east", "quantity": 40, "reason": "counted the shelf"}
    assert world.api("POST", "/v1/counts", counted, Idempotency_Key="system-count").status == 201
    adjusted = {"sku": SKU, "location": "east", "quantity": -3, "reason": "broken in the aisle"}

    def adjust(_: int) -> Answer:
        return world.api("POST", "/v1/movements", adjusted, Idempotency_Key="system-adjust")

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(adjust, range(8)))

    assert {answer.status for answer in answers} <= {201, 503}
    done = adjust(0)
    assert done.status == 201
    assert all(answer.body == done.body for answer in answers if answer.status == 201)
    assert on_hand(world) == 37
    other = world.api("POST", "/v1/movements", {**adjusted, "quantity": -4}, Idempotency_Key="system-adjust")
    assert other.status == 409

    undone = world.api(
        "POST", f"/v1/messages/{done.body['message_id']}/undo", {"reason": "entered by mistake"}
    )
    assert (undone.status, undone.body["events"], on_hand(world)) == (200, 1, 40)
    world.runtime.settle()

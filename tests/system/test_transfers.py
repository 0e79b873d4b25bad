"""A transfer on the deployed template: received by many at once, and never more than was shipped."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from infra.local.demo.stage import Answer, Stage

pytestmark = pytest.mark.system

SKU = "SKU-00081"


def stock(world: Stage, location: str) -> dict[str, Any]:
    found = world.api("GET", f"/v1/stock/{SKU}").body["locations"]
    return next((row for row in found if row["location"] == location), {})


def test_many_receive_a_transfer_at_once_and_exactly_what_was_shipped_arrives(world: Stage) -> None:
    counted = {"sku": SKU, "location": "east", "quantity": 50, "reason": "counted the shelf"}
    assert world.api("POST", "/v1/counts", counted, Idempotency_Key="transfer-count").status == 201
    wanted = {
        "from": "east",
        "to": "hub",
        "lines": [{"sku": SKU, "quantity": 20}],
        "reason": "the hub runs out",
    }
    made = world.api("POST", "/v1/transfers", wanted, Idempotency_Key="transfer").body
    path = f"/v1/transfers/{made['id']}"
    assert world.api("POST", f"{path}/approve", {}, Idempotency_Key="ok").body["status"] == "approved"
    assert stock(world, "east")["available"] == 30
    assert world.api("POST", f"{path}/ship", {}, Idempotency_Key="ship").body["in_transit"] == 20

    def receive(number: int) -> Answer:
        part = {"lines": [{"sku": SKU, "quantity": 4}]}
        for _ in range(10):
            said = world.api("POST", f"{path}/receive", part, Idempotency_Key=f"part-{number}")
            if said.status != 503:
                break
        return said

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(receive, range(8)))

    assert sorted(answer.status for answer in answers) == [200] * 5 + [400] * 3
    done = world.api("GET", path).body
    assert (done["status"], done["shipped"], done["received"], done["in_transit"]) == ("received", 20, 20, 0)
    assert (stock(world, "east")["on_hand"], stock(world, "hub")["on_hand"]) == (30, 20)
    assert stock(world, "hub")["in_transit"] == 0
    world.runtime.settle()

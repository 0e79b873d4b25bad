"""Phased rollout on the deployed template: a shop in shadow is written to by nobody, and catches up when it goes live."""

from __future__ import annotations

import pytest

from infra.local.demo.stage import Stage

pytestmark = pytest.mark.system

SKU = "SKU-00078"
PATH = "/v1/registry/rollouts/channel/shopify"


def test_an_item_in_shadow_is_reported_and_not_written_until_it_goes_live(world: Stage) -> None:
    shadow = {"mode": "shadow", "skus": [SKU]}
    switched = world.api("PUT", PATH, shadow).body
    assert (switched["queued"], switched["is_complete"]) == (1, True)
    before = world.shop_shows(SKU)
    counted = {"sku": SKU, "location": "east", "quantity": 50, "reason": "counted the shelf"}
    assert world.api("POST", "/v1/counts", counted, Idempotency_Key="rollout-count").status == 201
    units = world.api("GET", f"/v1/availability?channel=shopify&sku={SKU}").body["available_to_promise"]

    def reported() -> list[tuple[int | None, int | None]]:
        [found] = world.api("GET", "/v1/shadow-report").body["channels"]
        return [(row["ours"], row["theirs"]) for row in found["most_apart"] if row["sku"] == SKU]

    world.until("the report has what would be sent", reported, [(units, before)])
    world.settle()
    assert (world.shop_shows(SKU), world.shop_writes(SKU)) == (before, [])
    assert world.api("GET", "/v1/drills/outage?channel=shopify&minutes=60").body["looked_at"] > 0

    assert world.api("PUT", PATH, {"mode": "live", "skus": [SKU]}).body["is_live"]

    world.until("the shop shows it", lambda: world.shop_shows(SKU), units)
    world.settle()
    assert len(world.shop_writes(SKU)) == 1
    history = world.api("GET", PATH).body["history"]
    assert [(change["actor"], change["changes"][0]["after"]) for change in history] == [
        ("demo", "shadow"),
        ("demo", "live"),
    ]

"""Phased rollout over the API: who may switch, what is shown and kept of it, and what shadow came to."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from functions.apply_messages.handler import handle as apply_messages
from shared.domain.network import Grain, Listing
from shared.domain.rollout import Mode, Scope
from shared.domain.stock import ChannelId, Sku
from shared.store.rollouts import CHANNEL
from tests.functions.calls import api, webhook
from tests.functions.conftest import EAST, WMS, Aws

SHADOW = {"mode": "shadow"}
NOON = datetime(2026, 11, 2, 12, 0, tzinfo=UTC)


def test_a_switch_is_shown_with_who_made_it(aws: Aws) -> None:
    assert api("PUT /v1/registry/rollouts/source/wms", SHADOW, subject="ann").status == 200
    narrow = {"mode": "live", "skus": ["TEA"], "locations": ["east"]}

    said = api("PUT /v1/registry/rollouts/source/wms", narrow, subject="bob").body

    assert [(rule["skus"], rule["location"], rule["mode"]) for rule in said["rules"]] == [
        ("*", None, "shadow"),
        ("TEA", "east", "live"),
    ]
    assert (said["is_live"], said["is_complete"]) == (False, True)
    shown = api("GET /v1/registry/rollouts/source/wms", scopes="viewer").body
    assert [change["actor"] for change in shown["history"]] == ["ann", "bob"]
    systems = api("GET /v1/registry/rollouts", scopes="viewer").body["systems"]
    assert [one["name"] for one in systems if not one["is_live"]] == ["wms"]


@pytest.mark.parametrize("scope", ["viewer", "operator", "approver", "reserver"])
def test_only_an_admin_switches(aws: Aws, scope: str) -> None:
    assert api("PUT /v1/registry/rollouts/source/wms", SHADOW, scopes=scope).status == 403


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("source/nobody", SHADOW, "name"),
        ("table/wms", SHADOW, "system"),
        ("source/wms", {"mode": "off"}, "mode"),
        ("source/wms", {**SHADOW, "skus": ["NOPE"]}, "skus"),
        ("source/wms", {**SHADOW, "skus": ["A*B"]}, "skus"),
        ("source/wms", {**SHADOW, "locations": ["moon"]}, "locations"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_its_field(
    aws: Aws, path: str, body: dict[str, object], field: str
) -> None:
    said = api(f"PUT /v1/registry/rollouts/{path}", body)
    assert (said.status, said.body["field"]) == (400, field)
    assert said.body["remedy"]


def test_what_a_source_in_shadow_would_have_posted_is_reported(aws: Aws) -> None:
    api("PUT /v1/registry/rollouts/source/wms", SHADOW)
    line = {"line": "1", "sku": "TEA", "location": "east", "quantity": 20}
    data = {"document": "GR-1", "lines": [line]}
    webhook("wms", {"type": "stock.receipt", "timestamp": "2026-11-01T12:00:00Z", "data": data})
    apply_messages({"Records": aws.images("inbox", "MSG#")}, None)

    said = api("GET /v1/shadow-report", scopes="viewer").body

    [found] = said["sources"]
    assert found["would_have_posted"] == [{"what": "receipt", "events": 1, "units": 20}]
    assert (found["most"][0]["sku"], found["is_complete"]) == ("TEA", True)
    assert api("GET /v1/stock/TEA").body["locations"] == []


def test_what_a_source_in_shadow_says_of_bins_is_put_beside_the_ledger(aws: Aws) -> None:
    declared = aws.registry.network(fresh=True)
    east = replace(declared.locations[EAST], grain=Grain.BIN, counts=WMS)
    aws.registry.declare(replace(declared, locations={EAST: east}))

    api("PUT /v1/registry/rollouts/source/wms", SHADOW)
    where = {"sku": "TEA", "location": "east", "counted_at": "2026-11-01T11:00:00Z", "reason": "counted"}
    for bin_, units in (("A", 5), ("B", 9)):
        body = {**where, "bin": bin_, "quantity": units}
        assert api("POST /v1/counts", body, scopes="operator", Idempotency_Key=bin_).status == 201
    lines = [
        {"line": bin_, "sku": "TEA", "location": "east", "quantity": units, "bin": bin_}
        for bin_, units in (("A", 5), ("B", 7), ("C", 1))
    ]
    data = {"document": "C-1", "lines": lines}
    webhook("wms", {"type": "stock.count", "timestamp": "2026-11-01T12:00:00Z", "data": data})
    apply_messages({"Records": aws.images("inbox", "MSG#")}, None)

    [found] = api("GET /v1/shadow-report", scopes="viewer").body["sources"]

    parts = found["parts"]
    assert [parts[name] for name in ("said", "compared", "equal", "not_in_ledger")] == [3, 2, 1, 1]
    [apart] = parts["most_apart"]
    assert (apart["bin"], apart["theirs"], apart["ours"]) == ("B", 7, 9)


def test_a_report_of_what_is_not_declared_is_refused(aws: Aws) -> None:
    said = api("GET /v1/shadow-report", query={"channel": "nobody"})
    assert (said.status, said.body["field"]) == (400, "channel")


def test_where_all_is_live_nothing_is_reported(aws: Aws) -> None:
    assert api("GET /v1/shadow-report").body == {"sources": [], "channels": []}


def test_stock_shows_the_mode_of_a_channel_the_moment_after_another_environment_switched_it(aws: Aws) -> None:
    aws.registry.add_listings([Listing(ChannelId("shop"), Sku("TEA"), "9001")])
    assert modes_shown() == {"live"}

    aws.registry.rollouts.change(
        CHANNEL, "shop", lambda known: known.switched(Scope(), Mode.SHADOW), "ann", NOON
    )

    assert modes_shown() == {"shadow"}


def modes_shown() -> set[str]:
    return {one["mode"] for one in api("GET /v1/stock", query={"sku": "TEA"}).body["channels"]}

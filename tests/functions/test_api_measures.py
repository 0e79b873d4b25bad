"""How well it goes, over the API and as metrics."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from functions.apply_messages.handler import handle as apply_messages
from functions.push_channel.handler import handle as push_channel
from functions.reconcile_stock.handler import handle as reconcile
from shared.domain.network import Listing
from shared.domain.stock import ChannelId, Sku
from tests.functions.calls import api, webhook
from tests.functions.conftest import Aws
from tests.functions.test_doors import hint, in_queue, stocked

NOW = datetime.now(UTC)


def received(aws: Aws, quantity: int, minutes_ago: float) -> None:
    """Have the WMS receive some tea."""
    line = {"line": "1", "sku": "TEA", "location": "east", "quantity": quantity}
    at = (NOW - timedelta(minutes=minutes_ago)).isoformat()
    webhook("wms", {"type": "stock.receipt", "timestamp": at, "data": {"document": "GR-1", "lines": [line]}})
    apply_messages({"Records": aws.images("inbox", "MSG#")}, None)


def counted(quantity: int, key: str) -> None:
    """Have somebody count the tea now."""
    body = {"sku": "TEA", "location": "east", "quantity": quantity, "reason": "counted the shelf"}
    assert api("POST /v1/counts", body, Idempotency_Key=key).status == 201


def flow(aws: Aws) -> None:
    reconcile({"Records": [*aws.images("stock", "OBS#"), *aws.images("stock", "BAL#")]}, None)


def metrics(said: str) -> list[dict[str, Any]]:
    """Return the lines of a log that are metrics."""
    lines = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    return [line for line in lines if "_aws" in line]


def test_the_match_rate_tells_counts_systems_days_and_the_gate(aws: Aws) -> None:
    received(aws, 20, 60)
    counted(20, "opening")
    counted(18, "k1")
    counted(18, "k2")
    flow(aws)
    said = api("GET /v1/match-rate", scopes="viewer")
    assert said.status == 200
    matched = {"compared": 2, "matched": 1, "rate": 5000, "units_off": 2}
    assert said.body["counts"] == [{"location": "east", "source": "manual", **matched}]
    assert said.body["snapshots"] == []
    [today] = [day for day in said.body["days"] if day["compared"]]
    assert (today["location"], today["rate"], today["interventions"]) == ("east", 5000, {})
    [gate] = [one for one in said.body["cutover"] if one["location"] == "east"]
    assert (gate["passes"], gate["days_passed"], gate["days_needed"], gate["why"][0]) == (
        False,
        0,
        7,
        "0 of 7 days",
    )


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"from": "yesterday"}, "from"),
        ({"to": "2026-02-30"}, "to"),
        ({"from": "2026-03-02", "to": "2026-03-01"}, "from"),
        ({"from": "2026-01-01", "to": "2026-12-31"}, "from"),
        ({"since": "2026-01-01"}, "'since'"),
        ({"to": "0001-01-01"}, "to"),
        ({"from": "9999-12-31", "to": "9999-12-31"}, "to"),
    ],
)
def test_days_that_cannot_be_meant_are_refused_by_field(aws: Aws, query: dict[str, str], field: str) -> None:
    said = api("GET /v1/match-rate", query=query)
    assert (said.status, said.body["field"]) == (400, field)
    assert said.body["remedy"]


def test_what_is_counted_is_published_as_metrics_of_few_dimensions_and_once(
    aws: Aws, capsys: pytest.CaptureFixture[str]
) -> None:
    received(aws, 20, 60)
    counted(20, "opening")
    counted(18, "k1")
    capsys.readouterr()
    flow(aws)
    flow(aws)
    found = metrics(capsys.readouterr().out)
    assert {line["_aws"]["CloudWatchMetrics"][0]["Namespace"] for line in found} == {"Onecount"}
    [took] = [line for line in found if "EventToPosting" in line]
    assert (took["source"], took["_aws"]["CloudWatchMetrics"][0]["Dimensions"]) == (
        "wms",
        [["stage", "source"]],
    )
    since_ms = (datetime.now(UTC) - NOW + timedelta(hours=1)) // timedelta(milliseconds=1)
    assert 3_600_000 <= took["EventToPosting"][0] <= 1.25 * since_ms
    [counts] = [line for line in found if "Counts" in line]
    assert (counts["location"], counts["Counts"], "Matches" in counts) == ("east", [1.0], False)


def test_dead_letters_that_an_operator_sends_again_are_an_intervention_of_the_day(aws: Aws) -> None:
    aws.sqs.send_message(
        QueueUrl=aws.sqs.get_queue_url(QueueName="push-shop-bulk-dead")["QueueUrl"], MessageBody="{}"
    )
    assert api("POST /v1/dead-letters/redrive").body["redriven"]
    days = api("GET /v1/match-rate").body["days"]
    assert {day["day"]: day["interventions"] for day in days if day["location"] == "east"}[
        str(datetime.now(UTC).date())
    ] == {"redrives": 1}


def test_a_push_that_fails_is_published_by_channel(aws: Aws, capsys: pytest.CaptureFixture[str]) -> None:
    aws.registry.add_listings([Listing(ChannelId("shop"), Sku("TEA"), "9001")])
    stocked(aws, 20)
    waiting = in_queue(aws, hint("TEA", NOW))
    capsys.readouterr()
    push_channel({"Records": waiting}, None)
    [failed] = metrics(capsys.readouterr().out)
    assert (failed["channel"], failed["PushesFailed"], "PushLatency" in failed) == ("shop", [1.0], False)


def test_the_key_figures_are_told_with_what_is_not_measured(aws: Aws) -> None:
    received(aws, 20, 60)
    counted(20, "opening")
    counted(18, "k1")
    flow(aws)
    said = api("GET /v1/kpis", scopes="viewer")
    assert said.status == 200
    found = {one["name"]: one for one in said.body["kpis"]}
    [took] = found["event_to_posting"]["rows"]
    assert (took["source"], took["count"]) == ("wms", 1)
    assert found["match_rate"]["rows"] == [{"location": "east", "counts": 1, "matched": 0, "rate": 0}]
    assert (found["backorders_by_sync"]["rows"], bool(found["backorders_by_sync"]["not_measured"])) == (
        [],
        True,
    )
    assert found["oversells"] == {**found["oversells"], "rows": [], "not_measured": None}


def test_a_reservation_that_is_refused_for_want_of_stock_is_published_by_channel(
    aws: Aws, capsys: pytest.CaptureFixture[str]
) -> None:
    stocked(aws, 2)
    body = {"channel": "shop", "lines": [{"sku": "TEA", "location": "east", "quantity": 3}]}
    capsys.readouterr()
    assert api("POST /v1/reservations", body, Idempotency_Key="k").status == 409
    [refused] = metrics(capsys.readouterr().out)
    assert (refused["channel"], refused["ReservationsRefused"]) == ("shop", [1.0])

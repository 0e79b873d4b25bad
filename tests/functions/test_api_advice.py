"""Advice over the API."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from functions.apply_messages.handler import handle as apply_messages
from tests.functions.calls import api, webhook
from tests.functions.conftest import Aws


@pytest.mark.parametrize("topic", ["buffers", "counts", "movements", "sites"])
def test_each_topic_is_answered_for_whoever_watches(aws: Aws, topic: str) -> None:
    said = api(f"GET /v1/advice/{topic}", scopes="viewer")
    assert (said.status, said.body["topic"], said.body["is_complete"]) == (200, topic, True)


def test_what_to_count_next_says_why(aws: Aws) -> None:
    line = {"line": "1", "sku": "TEA", "location": "east", "quantity": 200}
    data = {"document": "GR-1", "lines": [line]}
    at = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    webhook("wms", {"type": "stock.receipt", "timestamp": at, "data": data})
    apply_messages({"Records": aws.images("inbox", "MSG#")}, None)

    said = api("GET /v1/advice/counts", query={"limit": "1"}).body

    assert said["by"].startswith("1 in 100 units that moved")
    [row] = said["rows"]
    assert (row["moved"], row["expected"], row["why"][:13]) == (200, 2, "never counted")


def test_a_topic_that_is_none_names_those_that_are(aws: Aws) -> None:
    said = api("GET /v1/advice/horoscope")
    assert (said.status, said.body["field"]) == (400, "topic")
    assert "buffers, counts, movements, sites" in said.body["remedy"]

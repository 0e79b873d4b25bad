"""The guide names everything that a sender may say, and its samples are read without a fault."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import pytest
from pydantic import BaseModel

from infra.cli.item_file import ItemFile, ItemRow
from infra.network_file import read_network
from shared.domain.events import Event, MovementKind
from shared.domain.messages import Message
from shared.domain.network import Source
from shared.domain.stock import Counter, MessageId, SourceId
from shared.sources.contract import DroppedFile, Report
from shared.sources.csv_snapshot import CsvSnapshot
from shared.sources.snapshot_layout import AsOf, GuardLimits, SnapshotLayout
from shared.sources.standard_webhooks import StandardWebhooks

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "infra/guides/send-stock.md").read_text(encoding="utf-8")
SAMPLES = ROOT / "infra/local/samples"
NETWORK = read_network(ROOT / "infra/local/network.yaml")
NOON = datetime(2025, 1, 6, 12, 0, tzinfo=UTC)


def named() -> set[str]:
    """Every word in the first column of the guide's tables."""
    cells = re.findall(r"^\| ([^|]+) \|", GUIDE, flags=re.MULTILINE)
    return {word for cell in cells for word in re.findall(r"`([^`]+)`", cell)}


def test_every_kind_of_movement_has_a_row() -> None:
    assert {f"stock.{kind}" for kind in MovementKind} | {"stock.count"} <= named()


@pytest.mark.parametrize("model", [SnapshotLayout, AsOf, GuardLimits])
def test_every_option_of_a_file_has_a_row(model: type[BaseModel]) -> None:
    assert {field.alias or name for name, field in model.model_fields.items()} <= named()


def test_every_field_that_the_webhook_reads_has_a_row() -> None:
    code = (ROOT / "shared/sources/standard_webhooks.py").read_text(encoding="utf-8")
    calls = r"(?:line|data|body)\.(?:text|text_or|quantity|measured|number_or_text|has|moment|items)\(\s*\"(\w+)\""
    read = set(re.findall(calls, code))

    assert {"quantity", "lot", "to_location", "occurred_at"} <= read
    assert read <= {name.removeprefix("data.") for name in named()}
    assert all(f"`{counter}`" in GUIDE for counter in (Counter.QUALITY_HOLD, Counter.DAMAGED))


def source(name: str) -> Source:
    return NETWORK.sources[SourceId(name)]


def events(reports: object) -> list[Event]:
    assert isinstance(reports, list)
    assert all(isinstance(report, Report) for report in reports), reports
    return [report.event for report in reports]


def message(name: str, body: bytes) -> Message:
    return Message(MessageId("m"), SourceId(name), body, NOON, {})


@pytest.mark.parametrize(
    "body",
    [
        (SAMPLES / "receipt.json").read_text(encoding="utf-8"),
        re.findall(r"```json\n(.*?)```", GUIDE, flags=re.DOTALL)[0],
    ],
)
def test_the_sample_of_a_webhook_is_read(body: str) -> None:
    wms = source("modern-wms")

    reports = list(StandardWebhooks().translate(message("modern-wms", body.encode()), wms))

    assert len(events(reports)) == len(json.loads(body)["data"]["lines"])


def test_the_sample_of_a_file_is_read() -> None:
    [path] = SAMPLES.glob("stock_*.csv")
    wms = source("legacy-wms")
    dropped = DroppedFile(f"legacy-wms/{path.name}", NOON, "1")

    with path.open("rb") as content:
        found = events(list(CsvSnapshot().read(content, dropped, message("legacy-wms", b""), wms)))

    assert len(found) == 3
    assert {event.location for event in found} == {"EAST DC"}  # type: ignore[union-attr]


def test_the_sample_of_items_is_read_and_names_every_item_of_the_others() -> None:
    rows = list(ItemFile(BytesIO((SAMPLES / "items.csv").read_bytes()), NETWORK).rows())

    assert all(isinstance(row, ItemRow) for row in rows)
    skus = {row.sku for row in rows if isinstance(row, ItemRow)}
    sent = {line["sku"] for line in json.loads((SAMPLES / "receipt.json").read_text())["data"]["lines"]}
    assert sent <= skus

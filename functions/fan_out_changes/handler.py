"""The stock table's stream, seen as: something became, or ceased to be, available. Tells the channels to look."""

from __future__ import annotations

from functools import cache
from typing import Any

from shared.operations.fan_out import FanOut, change_of
from shared.runtime.ground import now
from shared.runtime.logging import log_to_stdout
from shared.runtime.pipeline import Pipeline
from shared.runtime.settings import FanOutChangesSettings
from shared.store.attributes import item_from_image

log_to_stdout("fan_out_changes")


@cache
def fan_out() -> FanOut:
    return Pipeline(FanOutChangesSettings.read()).fan_out


def handle(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Queue the hints of a batch of stream records."""
    changes = []
    for record in event["Records"]:
        images = record["dynamodb"]
        old = images.get("OldImage")
        changes.append(change_of(item_from_image(images["NewImage"]), item_from_image(old) if old else None))
    fan_out().changed(changes, now())
    return {"batchItemFailures": []}

"""The stock table's stream, seen as: someone said a number, or the ledger or a promise moved.

Keeps drift cases true; then counts what was posted, which holds up nothing and publishes what it has counted.
"""

from __future__ import annotations

from functools import cache
from typing import Any, cast

from shared.domain.stock import StockKey
from shared.runtime.logging import log_to_stdout
from shared.runtime.metrics import publish_counted
from shared.runtime.pipeline import Pipeline
from shared.runtime.settings import ReconcileStockSettings
from shared.store.attributes import item_from_image
from shared.store.ledger_items import moved_of
from shared.store.observations import observation

log_to_stdout("reconcile_stock")


@cache
def pipeline() -> Pipeline:
    return Pipeline(ReconcileStockSettings.read())


def handle(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Compare what a batch of stream records says; the first that fails is where the stream starts again."""
    moved, seen, lengths = [], [], dict[StockKey, int]()
    for record in event["Records"]:
        item = item_from_image(record["dynamodb"]["NewImage"])
        if str(item["pk"]).startswith("OBS#"):
            seen.append(observation(item))
        else:
            moved.append(moved_of(item))
        if str(item["pk"]).startswith("BAL#"):
            key, length = moved[-1].key, cast(int, item["seq"])
            lengths[key] = max(length, lengths.get(key, 0))
    pipeline().confirmer.observed(seen)
    pipeline().reconciler.moved(moved)
    publish_counted(pipeline().stage, pipeline().event_counter.grown(lengths))
    return {"batchItemFailures": []}

"""The stock table's stream, seen as: someone said a number, or the ledger or a promise moved. Keeps drift cases true."""

from __future__ import annotations

from functools import cache
from typing import Any

from shared.operations.reconcile import Reconciler
from shared.runtime.logging import log_to_stdout
from shared.runtime.settings import ReconcileStockSettings
from shared.runtime.wiring import House
from shared.store.attributes import item_from_image
from shared.store.ledger_items import moved_of
from shared.store.observations import observation

log_to_stdout("reconcile_stock")


@cache
def reconciler() -> Reconciler:
    return House(ReconcileStockSettings.read()).reconciler


def handle(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Compare what a batch of stream records says; the first that fails is where the stream starts again."""
    moved, seen = [], []
    for record in event["Records"]:
        item = item_from_image(record["dynamodb"]["NewImage"])
        if str(item["pk"]).startswith("OBS#"):
            seen.append(observation(item))
        else:
            moved.append(moved_of(item))
    reconciler().observed(seen)
    reconciler().moved(moved)
    return {"batchItemFailures": []}

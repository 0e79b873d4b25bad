"""The inbox's stream: applies each new message. A message that fails stays pending or becomes a case, never a retry
of its neighbours."""

from __future__ import annotations

from functools import cache
from typing import Any

from shared.domain.stock import MessageId
from shared.operations.apply_message import MessageApplier
from shared.runtime.logging import log_to_stdout
from shared.runtime.pipeline import Pipeline
from shared.runtime.settings import ApplyMessagesSettings

log_to_stdout("apply_messages")


@cache
def applier() -> MessageApplier:
    return Pipeline(ApplyMessagesSettings.read()).applier


def handle(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Apply every message of a batch of stream records."""
    keys = [record["dynamodb"]["Keys"]["pk"]["S"] for record in event["Records"]]
    applier().apply_each(MessageId(key.removeprefix("MSG#")) for key in keys)
    return {"batchItemFailures": []}

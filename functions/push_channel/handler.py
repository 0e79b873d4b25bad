"""A channel's queue of hints: publishes the numbers that are true now.

A channel that fails us is given time: its hints go back to the queue, later, without using up a retry, until they
have waited for the channel's declared patience. After that SQS counts the tries, and the dead-letter queue takes
what is left. A try is counted for a push whose outcome is unknown too, or a channel that only ever answers with
errors would be waited for without end; it waits until the outcome can be known, so that a hint that was redriven
meanwhile does not die of looking.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from functools import cache
from math import ceil
from typing import Any

from shared.channels.registry import ChannelOptionError, UnknownConnectorError
from shared.domain.stock import ChannelId, Sku
from shared.operations.fan_out import Hint, Lane
from shared.operations.push import Later
from shared.runtime.ground import now
from shared.runtime.logging import log_to_stdout
from shared.runtime.metrics import publish_pushes
from shared.runtime.pipeline import Pipeline, UnknownChannelError
from shared.runtime.queues import read_hint
from shared.runtime.settings import PushChannelSettings

RETRY_AFTER_S = 1
"""How soon a hint that has run out of patience is tried again, until SQS declares it dead."""

log_to_stdout("push_channel")
log = logging.getLogger(__name__)


@cache
def pipeline() -> Pipeline:
    return Pipeline(PushChannelSettings.read())


def handle(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Push every SKU that a batch of hints names, each channel by itself; give back what has waited too long."""
    records: defaultdict[ChannelId, defaultdict[Sku, list[tuple[Hint, dict[str, Any]]]]]
    records = defaultdict(lambda: defaultdict(list))
    failed: list[dict[str, str]] = []
    for record in event["Records"]:
        try:
            hint = read_hint(record["body"])
        except (ValueError, KeyError, TypeError):
            log.error("not_a_hint", extra={"body": record["body"][:1000]})
            failed.append({"itemIdentifier": record["messageId"]})
        else:
            records[hint.channel][hint.sku].append((hint, record))
    for channel, by_sku in records.items():
        try:
            pusher = pipeline().pusher(channel)
            announced = {sku: min(hint.since for hint, _ in waiting) for sku, waiting in by_sku.items()}
            laters = pusher.push(by_sku, announced)
            publish_pushes(pipeline().stage, channel, pusher.waited, sum(later.failed for later in laters))
            for later in laters:
                failed += _put_off(channel, later, by_sku[later.sku])
        except UnknownChannelError:  # taken out of the network: nothing is published there any more
            log.info("hints_of_removed_channel", extra={"channel": channel, "skus": len(by_sku)})
        except (UnknownConnectorError, ChannelOptionError) as error:
            log.error("channel_misdeclared", extra={"channel": channel, "reason": str(error)})
            failed += [record for waiting in by_sku.values() for record in _give_back(waiting)]
    return {"batchItemFailures": failed}


def _put_off(
    channel: ChannelId, later: Later, waiting: list[tuple[Hint, dict[str, Any]]]
) -> list[dict[str, str]]:
    since = min(hint.since for hint, _ in waiting)
    declared = pipeline().registry.network().channels.get(channel)
    if declared is None:  # taken out of the network while we pushed
        return []
    log.info(
        "push_put_off",
        extra={"channel": channel, "sku": later.sku, "reason": later.reason, "failed": later.failed},
    )
    wait = max(1, ceil(later.after.total_seconds()))
    if not later.failed or now() - since < declared.patience:
        lane = Lane.URGENT if waiting[0][1]["eventSourceARN"].endswith(Lane.URGENT) else Lane.BULK
        pipeline().lanes.send(lane, [Hint(channel, later.sku, since)], wait)
        return []
    return _give_back(waiting, wait if later.in_doubt else RETRY_AFTER_S)


def _give_back(
    waiting: list[tuple[Hint, dict[str, Any]]], after_s: int = RETRY_AFTER_S
) -> list[dict[str, str]]:
    """Let SQS count another try."""
    for _, record in waiting:
        pipeline().retries.after(record["eventSourceARN"], record["receiptHandle"], after_s)
    return [{"itemIdentifier": record["messageId"]} for _, record in waiting]

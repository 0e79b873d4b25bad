"""Telling a stream mapping's failure destination what was given up, as AWS does: which records, not their content.

Only S3 gets the records too. A queue or topic must find them again by shard and sequence number, within 24 hours.
"""

from __future__ import annotations

import json
import logging
import uuid
from datetime import UTC, datetime

from infra.local.clients import client
from infra.local.stream_core import Discard, MappingSettings, failure_record

log = logging.getLogger("stream_pump")


class Destinations:
    """Where given-up records are reported: SQS, SNS, or S3 (which also gets the whole event)."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint

    def send(self, settings: MappingSettings, shard_id: str, discard: Discard) -> None:
        """Report ``discard``; the caller repeats it if this raises."""
        if settings.on_failure is None:
            log.warning(
                "%s gave up %d records and has no failure destination",
                settings.id,
                len(discard.batch.records),
            )
            return
        now = datetime.now(UTC)
        first, last = discard.batch.records[0], discard.batch.records[-1]
        record = failure_record(
            settings,
            shard_id,
            discard,
            request_id=str(uuid.uuid4()),
            now=now.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            arrivals=(_instant(first.created_at), _instant(last.created_at)),
        )
        service, name = settings.on_failure.split(":")[2], settings.on_failure.rsplit(":", 1)[1]
        if service == "sqs":
            queues = client("sqs", self._endpoint)
            url = queues.get_queue_url(QueueName=name)["QueueUrl"]
            queues.send_message(QueueUrl=url, MessageBody=json.dumps(record))
        elif service == "sns":
            client("sns", self._endpoint).publish(TopicArn=settings.on_failure, Message=json.dumps(record))
        else:
            record["payload"] = {"Records": [one.event for one in discard.batch.records]}
            key = f"aws/lambda/{settings.id}/{shard_id}/{now:%Y/%m/%d}/{now:%Y-%m-%dT%H.%M.%S}-{uuid.uuid4()}"
            client("s3", self._endpoint).put_object(Bucket=name, Key=key, Body=json.dumps(record).encode())


def _instant(epoch_seconds: float) -> str:
    return datetime.fromtimestamp(epoch_seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

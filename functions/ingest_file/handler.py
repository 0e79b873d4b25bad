"""The drop bucket's queue: reads each file that a source dropped.

A file that needs longer than one run is given back to the queue at once, and the next run reads on behind the last
row that was recorded. Each announcement has five runs; after them it is a dead letter, and the sweep reads on.
"""

from __future__ import annotations

import logging
from functools import cache
from typing import Any, Protocol

from shared.operations.ingest import FileUnfinishedError
from shared.operations.notifications import NotificationError, drops
from shared.operations.post import PostingContendedError
from shared.runtime.logging import log_to_stdout
from shared.runtime.pipeline import Pipeline
from shared.runtime.settings import IngestFileSettings
from shared.store.table import TableError

log_to_stdout("ingest_file")
log = logging.getLogger(__name__)

GOES_ON_AFTER_S = 1
"""How soon the next run reads on."""


class Context(Protocol):
    """What Lambda tells a run of itself."""

    def get_remaining_time_in_millis(self) -> int: ...


@cache
def pipeline() -> Pipeline:
    return Pipeline(IngestFileSettings.read())


def handle(event: dict[str, Any], context: Context) -> dict[str, Any]:
    """Read the files that a batch of S3 notifications announces; give back those that must be tried again."""
    failed = []
    for record in event["Records"]:
        try:
            for drop in drops(record["body"]):
                pipeline().ingester.ingest(drop, lambda: context.get_remaining_time_in_millis() / 1000)
        except FileUnfinishedError as error:
            log.info("file_goes_on", extra={"row": error.row})
            pipeline().retries.after(record["eventSourceARN"], record["receiptHandle"], GOES_ON_AFTER_S)
            failed.append({"itemIdentifier": record["messageId"]})
        except (NotificationError, TableError, PostingContendedError, OSError) as error:
            log.warning("file_deferred", extra={"reason": str(error)})
            failed.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failed}

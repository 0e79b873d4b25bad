"""What S3 says of new files, as it lies in the drop queue and in its dead letters."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import unquote_plus

from shared.operations.ingest import Drop


class NotificationError(ValueError):
    """A message of the queue is no S3 notification; after its tries it becomes a dead letter, and so a case."""


def drops(body: str) -> list[Drop]:
    """Read an S3 notification; the test event that S3 sends on set-up announces nothing.

    Raises
    ------
    NotificationError
    """
    try:
        return [_drop(record) for record in json.loads(body).get("Records", [])]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NotificationError(f"not an S3 notification: {type(error).__name__} {error}") from error


def _drop(record: Mapping[str, Any]) -> Drop:
    found = record["s3"]["object"]
    return Drop(
        key=unquote_plus(found["key"]),
        version=found.get("versionId") or "",
        sequencer=found.get("sequencer") or "",
        size=int(found.get("size") or 0),
        written_at=datetime.fromisoformat(record["eventTime"]),
    )

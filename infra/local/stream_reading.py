"""GetRecords for the stream pump, straight on the wire.

A pump reads every change of every table, and its filters reject most of them. Through boto3 the parsing alone (a
Python object, a timestamp with its zone, for every attribute) took more processor time than all consumers
together. The wire's JSON is already what a function is handed, so it is read as it is. And the mappings of one
stream follow it closely together, so a page is read once for all of them.
"""

from __future__ import annotations

import json
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import urllib3
from botocore.exceptions import ClientError, ConnectionClosedError, EndpointConnectionError

from infra.local.server import CREDENTIALS, REGION
from infra.local.stream_core import StreamRecord

PAGE_RECORDS = 1_000
PAGES_KEPT = 4
POLL_SECONDS = 0.05
"""How long a quiet stream is left alone: half of it is the pump's own share of the latency."""

BUSY_POLL_SECONDS = 0.15
"""How soon one is read on in which something was: AWS takes 0.25. Each reading costs the runtime as much as a write."""

_SERVICE = "DynamoDBStreams_20120810"
_HEADERS = {
    "Content-Type": "application/x-amz-json-1.0",
    "X-Amz-Target": f"{_SERVICE}.GetRecords",
    # The embedded runtime routes by the credential's scope and checks no signature.
    "Authorization": (
        f"AWS4-HMAC-SHA256 Credential={CREDENTIALS['aws_access_key_id']}/20260101/{REGION}/dynamodb/aws4_request,"
        " SignedHeaders=host, Signature=0"
    ),
}


class StreamReader:
    """Reads pages of records; one connection, for one thread."""

    def __init__(self, endpoint: str, *, timeout_seconds: float = 60.0) -> None:
        self._endpoint = endpoint
        self._connection = urllib3.connection_from_url(
            endpoint, maxsize=1, retries=False, timeout=urllib3.Timeout(timeout_seconds, connect=5)
        )

    def get_records(self, iterator: str) -> tuple[list[dict[str, Any]], str | None]:
        """Return the records behind an iterator, as on the wire, and the next iterator (None: the shard ended).

        Raises
        ------
        ClientError
            If the service refuses; an iterator that expired, for example.
        EndpointConnectionError, ConnectionClosedError
            If it does not answer.
        """
        body = json.dumps({"ShardIterator": iterator, "Limit": PAGE_RECORDS}).encode()
        try:
            answer = self._connection.request("POST", "/", body=body, headers=_HEADERS)
        except urllib3.exceptions.NewConnectionError as error:
            raise EndpointConnectionError(endpoint_url=self._endpoint, error=error) from error
        except urllib3.exceptions.HTTPError as error:
            raise ConnectionClosedError(endpoint_url=self._endpoint, error=error) from error
        said = _object(answer.data)
        if answer.status != 200 or "Records" not in said:
            kind = str(said.get("__type", answer.status)).rpartition("#")[2]
            reason = str(said.get("message") or said.get("Message") or "")
            raise ClientError({"Error": {"Code": kind, "Message": reason}}, "GetRecords")
        following = said.get("NextShardIterator")
        return said["Records"], None if following is None else str(following)


@dataclass(frozen=True, slots=True)
class Page:
    """Records as a function is handed them, and the iterator behind them (None: the shard ended).

    Attributes
    ----------
    read_at
        Epoch seconds when reading began: everything that was written before is in this page or came before it.
    end
        Where the next page begins, as ``SharedStream.read`` takes it; the page's own beginning if it is empty.
    """

    events: tuple[dict[str, Any], ...]
    following: str | None
    read_at: float
    end: str


class SharedStream:
    """One stream, of which a page is read once for all mappings that want it; safe to share between threads."""

    def __init__(self, endpoint: str, stream_arn: str) -> None:
        self._reader = StreamReader(endpoint)
        self._arn = stream_arn
        self._pages: OrderedDict[tuple[str, str], Page] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, shard_id: str, position: str, iterator: str) -> Page:
        """Return the page behind ``iterator``.

        Parameters
        ----------
        position
            What the iterator stands behind, the same for every mapping that has come so far: a sequence number, or
            the name of the beginning.

        Raises
        ------
        ClientError, EndpointConnectionError, ConnectionClosedError
            As ``StreamReader.get_records``.
        """
        with self._lock:
            kept = self._pages.get((shard_id, position))
            now = time.time()
            if kept is not None and (kept.events or now < kept.read_at + POLL_SECONDS):
                return kept
            raw, following = self._reader.get_records(iterator)
            events = tuple(lambda_event(one, self._arn) for one in raw)
            end = events[-1]["dynamodb"]["SequenceNumber"] if events else position
            page = self._pages[shard_id, position] = Page(events, following, now, end)
            self._pages.move_to_end((shard_id, position))
            while len(self._pages) > PAGES_KEPT:
                self._pages.popitem(last=False)
            return page


def _object(raw: bytes) -> dict[str, Any]:
    try:
        said = orjson.loads(raw)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def lambda_event(raw: Mapping[str, Any], stream_arn: str) -> dict[str, Any]:
    """Return a record of GetRecords as Lambda hands it to a function; binary values are base64 in both."""
    change = raw["dynamodb"]
    moment = {"ApproximateCreationDateTime": int(change["ApproximateCreationDateTime"])}
    return {**raw, "dynamodb": {**change, **moment}, "eventSourceARN": stream_arn}


def stream_record(event: Mapping[str, Any], hash_key: str, *, passes: bool) -> StreamRecord:
    """Return what the pump's rules need to know of a record; of what no function gets that is next to nothing."""
    change = event["dynamodb"]
    return StreamRecord(
        sequence=change["SequenceNumber"],
        created_at=float(change["ApproximateCreationDateTime"]),
        key=json.dumps(change["Keys"].get(hash_key), sort_keys=True) if passes else "",
        event=event,
        size_bytes=len(orjson.dumps(event)) if passes else 0,
    )

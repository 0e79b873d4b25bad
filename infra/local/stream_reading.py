"""GetRecords for the stream pump, straight on the wire.

A pump reads every change of every table, and its filters reject most of them. Through boto3 the parsing alone (a
Python object, a timestamp with its zone, for every attribute) took more processor time than all consumers
together. The wire's JSON is already what a function is handed, so it is read as it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import urllib3
from botocore.exceptions import ClientError, ConnectionClosedError, EndpointConnectionError

from infra.local.server import CREDENTIALS, REGION
from infra.local.stream_core import StreamRecord

PAGE_RECORDS = 1_000
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


def _object(raw: bytes) -> dict[str, Any]:
    try:
        said = json.loads(raw)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def lambda_event(raw: Mapping[str, Any], stream_arn: str) -> dict[str, Any]:
    """Return a record of GetRecords as Lambda hands it to a function; binary values are base64 in both."""
    change = raw["dynamodb"]
    moment = {"ApproximateCreationDateTime": int(change["ApproximateCreationDateTime"])}
    return {**raw, "dynamodb": {**change, **moment}, "eventSourceARN": stream_arn}


def stream_record(event: Mapping[str, Any], hash_key: str, *, passes: bool) -> StreamRecord:
    """Return what the pump's rules need to know of a record; what no function gets is not measured."""
    change = event["dynamodb"]
    return StreamRecord(
        sequence=change["SequenceNumber"],
        created_at=float(change["ApproximateCreationDateTime"]),
        key=json.dumps(change["Keys"].get(hash_key), sort_keys=True),
        event=event,
        size_bytes=len(json.dumps(event)) if passes else 0,
    )

"""A stream service that does what the embedded runtime never does: split shards, expire iterators, throttle.

It speaks the wire protocols of DynamoDB Streams, Lambda's Invoke and SQS as far as the pump uses them, so that the
pump is tested through its real clients.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

Answer = tuple[int, dict[str, str], Any]
SHARD_PREFIX = "shardId-00000000000000000000-"
_FIRST_SEQUENCE = 10**20


def sequence_on_wire(number: int) -> str:
    """A sequence number of the length that real ones have."""
    return str(_FIRST_SEQUENCE + number)


def number_of(sequence: str) -> int:
    """The short number that a test gave it."""
    return int(sequence) - _FIRST_SEQUENCE


@dataclass
class Shard:
    parent: str | None = None
    closed: bool = False
    records: list[dict[str, Any]] = field(default_factory=list)


class RefusedError(Exception):
    """An error answer of the service, by its AWS name."""


@dataclass
class StreamService:
    """One stream, one function, one queue.

    Attributes
    ----------
    function
        Given the event of an invocation, its answer; raise ``RefusedError("TooManyRequestsException")`` to throttle.
    invoked
        The sequence numbers of every invocation that reached the function.
    """

    function: Callable[[dict[str, Any]], Any] = lambda event: None
    shards: dict[str, Shard] = field(default_factory=dict)
    invoked: list[list[int]] = field(default_factory=list)
    messages: list[dict[str, Any]] = field(default_factory=list)
    expire_next_read: bool = False
    pages_read: int = 0
    refuse_messages: int = 0
    endpoint: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, shard: str, number: int, key: str = "k", *, event_name: str = "INSERT") -> None:
        """Append a change."""
        change = {
            "ApproximateCreationDateTime": 1_795_000_000,
            "Keys": {"pk": {"S": key}, "sk": {"S": str(number)}},
            "NewImage": {"pk": {"S": key}, "sk": {"S": str(number)}},
            "SequenceNumber": sequence_on_wire(number),
            "SizeBytes": 10,
            "StreamViewType": "NEW_AND_OLD_IMAGES",
        }
        self.shards[shard].records.append(
            {
                "eventID": str(number),
                "eventName": event_name,
                "eventSource": "aws:dynamodb",
                "dynamodb": change,
            }
        )

    @property
    def delivered(self) -> list[int]:
        return [number for batch in self.invoked for number in batch]

    def answer(self, path: str, target: str, body: bytes) -> Answer:
        """Answer one request."""
        said = json.loads(body or b"{}")
        try:
            if path.endswith("/invocations"):
                return self._invoke(said)
            action = target.rpartition(".")[2]
            return 200, {}, getattr(self, f"_{action}")(said)
        except RefusedError as refused:
            name = str(refused)
            throttled = 429 if name == "TooManyRequestsException" else 400
            return throttled, {"x-amzn-errortype": name}, {"__type": name, "message": name}

    def _invoke(self, event: dict[str, Any]) -> Answer:
        try:
            result = self.function(event)
        except RuntimeError as error:
            self._note(event)
            return 200, {"x-amz-function-error": "Unhandled"}, {"errorMessage": str(error)}
        self._note(event)
        return 200, {}, result

    def _note(self, event: dict[str, Any]) -> None:
        with self.lock:
            self.invoked.append([number_of(one["dynamodb"]["SequenceNumber"]) for one in event["Records"]])

    def _DescribeStream(self, said: dict[str, Any]) -> dict[str, Any]:  # noqa: N802 - the wire's names
        if not self.shards:
            raise RefusedError("ResourceNotFoundException")
        names = [SHARD_PREFIX + name for name in self.shards]
        start = names.index(said["ExclusiveStartShardId"]) + 1 if "ExclusiveStartShardId" in said else 0
        page = names[start : start + 1]
        listed = [{"ShardId": name, "SequenceNumberRange": {}} for name in page]
        for entry in listed:
            parent = self.shards[str(entry["ShardId"]).removeprefix(SHARD_PREFIX)].parent
            if parent:
                entry["ParentShardId"] = SHARD_PREFIX + parent
        keys = [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}]
        description: dict[str, Any] = {"StreamArn": said["StreamArn"], "Shards": listed, "KeySchema": keys}
        if start + 1 < len(names):
            description["LastEvaluatedShardId"] = page[0]
        return {"StreamDescription": description}

    def _GetShardIterator(self, said: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        shard, kind = said["ShardId"].removeprefix(SHARD_PREFIX), said["ShardIteratorType"]
        records = self.shards[shard].records
        position = len(records) if kind == "LATEST" else 0
        if kind == "AFTER_SEQUENCE_NUMBER":
            sequences = [record["dynamodb"]["SequenceNumber"] for record in records]
            if said["SequenceNumber"] not in sequences:
                raise RefusedError("TrimmedDataAccessException")
            position = sequences.index(said["SequenceNumber"]) + 1
        return {"ShardIterator": f"{shard}|{position}"}

    def _GetRecords(self, said: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        if self.expire_next_read:
            self.expire_next_read = False
            raise RefusedError("ExpiredIteratorException")
        name, position = said["ShardIterator"].split("|")
        if name not in self.shards:
            raise RefusedError("ResourceNotFoundException")
        shard = self.shards[name]
        page = shard.records[int(position) :]
        self.pages_read += bool(page)
        following = int(position) + len(page)
        if shard.closed and following == len(shard.records):
            return {"Records": page}
        return {"Records": page, "NextShardIterator": f"{name}|{following}"}

    def _GetQueueUrl(self, said: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        return {"QueueUrl": f"{self.endpoint}/000000000000/{said['QueueName']}"}

    def _SendMessage(self, said: dict[str, Any]) -> dict[str, Any]:  # noqa: N802
        if self.refuse_messages:
            self.refuse_messages -= 1
            raise RefusedError("RequestThrottled")
        self.messages.append(json.loads(said["MessageBody"]))
        return {"MessageId": "1"}


@contextmanager
def serving(service: StreamService) -> Iterator[StreamService]:
    """Serve on a free port of 127.0.0.1."""

    class Door(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            status, headers, content = service.answer(
                unquote(self.path), self.headers.get("X-Amz-Target", ""), body
            )
            raw = json.dumps(content).encode()
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(raw))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
            """Silence."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    server.daemon_threads = True
    service.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()

"""The inbox: every raw message exactly as it came, kept before anyone is told that we have it.

A message is ``pending`` from its first write and listed as such until its outcome is known, so that a lost stream
record is found by a sweep. Bodies are compressed; one that is too large for an item lies in the archive.

=========  ==============================================================
pending    stored, not applied yet (or tried and to be tried again)
posted     every event of it is in the ledger, or knowingly needs no posting
parked     some of it waits for an operator: a case holds it
=========  ==============================================================
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol, cast

from shared.domain.events import instant, parse_instant
from shared.domain.messages import Message
from shared.domain.stock import MessageId, SourceId
from shared.store.files import Files
from shared.store.layout import SHARDS, message_key, shard
from shared.store.table import (
    Absent,
    AttributeAbsent,
    Equals,
    Exists,
    Item,
    Put,
    Table,
    Update,
    Value,
    WriteRefusedError,
)

KEPT_FOR = timedelta(days=90)
LARGEST_ITEM_BODY = 256_000
"""Bytes of a compressed body that an item holds; a larger one goes to the archive."""


class MessageStatus(StrEnum):
    """How far a message has come; see the module's table."""

    PENDING = "pending"
    POSTED = "posted"
    PARKED = "parked"


class Archive(Protocol):
    """Keeps bodies that are too large for an item."""

    def put(self, name: str, body: bytes) -> None:
        """Store ``body``; storing the same name again replaces it."""
        ...

    def get(self, name: str) -> bytes:
        """Return a stored body.

        Raises
        ------
        OSError
            When it cannot be fetched.
        """
        ...


class MessageNotFoundError(LookupError):
    """The message is not in the inbox: the id is wrong, or it was deleted 90 days after it came."""


class UnreadableMessageError(ValueError):
    """The stored message is damaged: it cannot be read back as what was put in."""


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message with where it stands; ``pending_since`` is None unless it waits to be applied."""

    message: Message
    status: MessageStatus
    attempts: int
    kind: str
    pending_since: str | None


def message_id(source: SourceId, delivery: str, body: bytes) -> MessageId:
    """Name a delivery so that the same one gets the same name: source, delivery id, and the bytes themselves.

    A delivery id that comes back with other bytes is another message; the events in it decide what is new.
    """
    digest = hashlib.blake2b(digest_size=16)
    for piece in (source.encode(), delivery.encode(), body):
        digest.update(len(piece).to_bytes(8, "big"))
        digest.update(piece)
    return MessageId(digest.hexdigest())


class Inbox:
    """Stores messages and where they stand."""

    def __init__(self, table: Table, archive: Archive) -> None:
        self._table = table
        self._archive = archive

    @property
    def files(self) -> Files:
        """What is known of dropped files beside their messages."""
        return Files(self._table)

    def store(self, message: Message, kind: str = "webhook") -> bool:
        """Keep a message; return False when it is here already."""
        packed = zlib.compress(message.body, 6)
        attributes: dict[str, Value] = {
            "kind": kind,
            "source": message.source,
            "headers": dict(message.headers),
            "content_type": message.content_type,
            "received_at": instant(message.received_at),
            "status": MessageStatus.PENDING,
            "attempts": 0,
            "expires_at": int((message.received_at + KEPT_FOR).timestamp()),
            "pending_pk": f"pending#{shard(message.id)}",
            "pending_sk": instant(message.received_at),
        }
        if len(packed) > LARGEST_ITEM_BODY:
            self._archive.put(f"messages/{message.id}", packed)
            attributes["archived"] = True
        else:
            attributes["body"] = packed
        try:
            self._table.write([Put(message_key(message.id), attributes, (Absent(),))])
        except WriteRefusedError:
            return False
        return True

    def load(self, message_id: MessageId) -> StoredMessage:
        """Return a message.

        Raises
        ------
        MessageNotFoundError, UnreadableMessageError
        OSError
            When its body lies in the archive and cannot be fetched just now.
        """
        item = self._table.get(message_key(message_id))
        if item is None:
            raise MessageNotFoundError(f"message {message_id} is not in the inbox")
        try:
            return self._read(message_id, item)
        except (zlib.error, KeyError, ValueError, TypeError) as error:
            raise UnreadableMessageError(f"message {message_id}: {type(error).__name__}: {error}") from error

    def mark(
        self, message_id: MessageId, status: MessageStatus, outcomes: dict[str, int], since: str | None
    ) -> bool:
        """Record what became of a message, and take it off the list of pending ones.

        ``since`` is ``pending_since`` as it was when the message was read. What is to be parked but has been reopened
        since stays pending, and False is returned: the case that it was parked on may be closed already.
        """
        unchanged = AttributeAbsent("pending_sk") if since is None else Equals("pending_sk", since)
        parks = status is MessageStatus.PARKED
        update = Update(
            message_key(message_id),
            set={"status": status, "outcomes": dict(outcomes)},
            remove=("pending_pk", "pending_sk"),
            conditions=(Exists(), unchanged) if parks else (Exists(),),
        )
        try:
            self._table.write([update])
        except WriteRefusedError:
            if not parks:
                raise
            return False
        return True

    def is_posted(self, message_id: MessageId) -> bool:
        """Whether all of a message is done, and nobody has asked for it to be applied again."""
        item = self._table.get(message_key(message_id))
        return item is not None and item["status"] == MessageStatus.POSTED and "pending_sk" not in item

    def outcomes(self, message_id: MessageId) -> dict[str, int]:
        """Return what became of a message's events when it was last applied, each outcome with how many."""
        item = self._table.get(message_key(message_id))
        return {} if item is None else dict(cast("dict[str, int]", item.get("outcomes", {})))

    def answer(self, message_id: MessageId) -> str | None:
        """Return what whoever entered a message was answered; None before that."""
        item = self._table.get(message_key(message_id))
        return None if item is None else cast("str | None", item.get("answer"))

    def keep_answer(self, message_id: MessageId, answer: str) -> str:
        """Keep what whoever entered a message is answered, unless there is an answer already; return the one kept."""
        first = Update(message_key(message_id), defaults={"answer": answer}, conditions=(Exists(),))
        self._table.write([first])
        return self.answer(message_id) or answer

    def reopen(self, message_id: MessageId, at: datetime) -> bool:
        """Put a message back on the list of pending ones; return False when it is here no more.

        Whoever applies it again does so first: then a crash in between leaves it to the sweep.
        """
        pending: dict[str, Value] = {
            "status": MessageStatus.PENDING,
            "pending_pk": f"pending#{shard(message_id)}",
            "pending_sk": instant(at),
            "begun": 0,
        }
        try:
            self._table.write([Update(message_key(message_id), set=pending, conditions=(Exists(),))])
        except WriteRefusedError:
            return False
        return True

    def attempts(self, message_id: MessageId) -> int:
        """Return how many attempts at a message have failed for a passing reason."""
        item = self._table.get(message_key(message_id))
        return 0 if item is None else cast(int, item["attempts"])

    def waiting_since(self, message_id: MessageId) -> str | None:
        """Return since when a message waits to be applied; None when it does not."""
        item = self._table.get(message_key(message_id))
        return None if item is None else cast("str | None", item.get("pending_sk"))

    def attempted(self, message_id: MessageId) -> None:
        """Count an attempt that failed for a passing reason."""
        self._table.write([Update(message_key(message_id), add={"attempts": 1}, conditions=(Exists(),))])

    def begun(self, message_id: MessageId) -> int:
        """Count that a sweep begins with a message, before it does; return how often sweeps had begun before.

        What ends the process that works on it (a time-out, memory) leaves no other trace. Files are not counted: a
        sweep reads on in them for as long as it may, and keeps how far it got.
        """
        item = self._table.get(message_key(message_id))
        if item is None or item["kind"] == "file":
            return 0
        before = cast(int, item.get("begun", 0))
        self._table.write([Update(message_key(message_id), add={"begun": 1}, conditions=(Exists(),))])
        return before

    def pending_since(self, before: datetime, limit: int = 100) -> Iterator[MessageId]:
        """Yield messages that have been pending since before an instant, oldest first within each shard."""
        for number in range(SHARDS):
            keys = self._table.query_index("pending", f"pending#{number}", last=instant(before), limit=limit)
            for key in keys:
                yield MessageId(key.pk.removeprefix("MSG#"))

    def _read(self, message_id: MessageId, item: Item) -> StoredMessage:
        packed = (
            self._archive.get(f"messages/{message_id}") if item.get("archived") else cast(bytes, item["body"])
        )
        message = Message(
            message_id,
            SourceId(cast(str, item["source"])),
            zlib.decompress(packed),
            parse_instant(cast(str, item["received_at"])),
            cast("dict[str, str]", item["headers"]),
            cast(str, item["content_type"]),
        )
        return StoredMessage(
            message,
            MessageStatus(cast(str, item["status"])),
            cast(int, item["attempts"]),
            cast(str, item["kind"]),
            cast("str | None", item.get("pending_sk")),
        )


def received(
    inbox: Table, source: str | None, since: datetime, until: datetime
) -> Iterator[tuple[str, MessageId]]:
    """Yield (received_at, message) of a window, of one source or of all, in no order; reads the whole inbox."""
    first, last = instant(since), instant(until)
    for item in inbox.scan():
        at = cast(str, item.get("received_at", ""))  # what has none is no message
        if first <= at <= last and source in (None, item["source"]):
            yield at, MessageId(cast(str, item["pk"]).removeprefix("MSG#"))

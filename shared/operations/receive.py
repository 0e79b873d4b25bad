"""Receiving a webhook: prove who sent it, keep the raw bytes, and only then say that we have it.

Nothing is understood here. A correctly signed body that turns out to be malformed is accepted all the same: it is
stored, and becomes a case, because senders unsubscribe whoever refuses.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from shared.domain.messages import Message
from shared.domain.stock import MessageId, SourceId
from shared.sources.contract import AuthenticationError, Request
from shared.sources.registry import UnknownConnectorError, webhook_connector
from shared.store.inbox import Inbox, message_id
from shared.store.registry import Registry

PIECE = 1 << 16
"""Bytes handed to zlib at a time."""

MOST_MEMBERS = 256
"""Members that one gzip body may have. Who compresses in parallel or appends makes one for some 64 KB or more."""


class Secrets(Protocol):
    """Hands out the secrets of a source or channel that are valid just now, newest first."""

    def of(self, kind: str, name: str) -> tuple[str, ...]:
        """Return the current secret and, while it is being rotated, the previous one; empty when there is none."""
        ...


class UnknownSourceError(LookupError):
    """No source of that name takes webhooks."""

    def __init__(self, source: str) -> None:
        super().__init__(f"no source {source!r} takes webhooks; declare it in network.yaml and apply")


class BodyTooLargeError(ValueError):
    """The body, as sent or inflated, is larger than the limit."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"the body is larger than {limit} bytes; send smaller messages")
        self.limit = limit


class BadEncodingError(ValueError):
    """The body is not what its Content-Encoding says."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """The message's id, and whether it was here already."""

    message_id: MessageId
    duplicate: bool


class Receiver:
    """Authenticates and stores deliveries."""

    def __init__(
        self,
        inbox: Inbox,
        registry: Registry,
        secrets: Secrets,
        clock: Callable[[], datetime],
        max_body_bytes: int,
    ) -> None:
        self._inbox = inbox
        self._registry = registry
        self._secrets = secrets
        self._clock = clock
        self._max_body_bytes = max_body_bytes

    def receive(self, source_id: str, headers: Mapping[str, str], raw: bytes) -> Receipt:
        """Take one delivery; header names are in lower case.

        Raises
        ------
        UnknownSourceError, BodyTooLargeError, BadEncodingError, AuthenticationError
        """
        source = self._registry.network().sources.get(SourceId(source_id))
        if source is None:
            source = self._registry.network(fresh=True).sources.get(SourceId(source_id))
        if source is None:
            raise UnknownSourceError(source_id)
        try:
            connector = webhook_connector(source.connector)
        except UnknownConnectorError as error:
            raise UnknownSourceError(source_id) from error
        body = inflate(raw, headers.get("content-encoding", ""), self._max_body_bytes)
        secrets = self._secrets.of("source", source_id)
        if not secrets:
            raise AuthenticationError(f"source {source_id} has no secret yet")
        now = self._clock()
        delivery = connector.authenticate(Request(headers, body), secrets, now, source)
        message = Message(
            message_id(source.id, delivery.id, body),
            source.id,
            body,
            now,
            delivery.headers,
            headers.get("content-type", "application/json"),
        )
        return Receipt(message.id, duplicate=not self._inbox.store(message))


def inflate(raw: bytes, encoding: str, limit: int) -> bytes:
    """Undo a Content-Encoding without ever holding more than ``limit`` bytes, in time linear in what was sent.

    It runs before anyone is authenticated, so its work is bounded too: zlib copies what it is handed and did not
    use, hence pieces, and at most ``MOST_MEMBERS`` members, each of which can cost one piece twice.

    Raises
    ------
    BodyTooLargeError, BadEncodingError
    """
    if len(raw) > limit:
        raise BodyTooLargeError(limit)
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return raw
    if name not in ("gzip", "deflate"):
        raise BadEncodingError(f"Content-Encoding {name!r} is not supported; send gzip or none")
    view, at = memoryview(raw), 0
    body = bytearray()
    for _ in range(MOST_MEMBERS if name == "gzip" else 1):  # gzip alone has members (RFC 1952)
        at = _inflate_member(view, at, name, limit, body)
        if at == len(view):
            return bytes(body)
    if name == "gzip":
        raise BadEncodingError(f"the gzip body has more than {MOST_MEMBERS} members; compress it as one")
    raise BadEncodingError(f"something follows the {name} body")


def _inflate_member(view: memoryview, at: int, name: str, limit: int, body: bytearray) -> int:
    """Inflate what begins at ``at`` onto ``body``; return where the next member begins."""
    inflater = zlib.decompressobj(wbits=47 if name == "gzip" else 15)
    while not inflater.eof:
        piece = view[at : at + PIECE]
        if not piece:
            raise BadEncodingError(f"the {name} body is cut short")
        try:
            body += inflater.decompress(piece, limit + 1 - len(body))
        except zlib.error as error:
            raise BadEncodingError(f"the body is not {name}: {error}") from error
        if len(body) > limit:
            raise BodyTooLargeError(limit)
        at += len(piece)
    return at - len(inflater.unused_data)

"""What a sending system's module must offer, and the words it answers in.

A connector is pure: it authenticates a request from its bytes and the secrets it is handed, and translates a
message into events. It reads no table, no clock and no network. Events leave it **in the sender's own codes**
(its item codes and location codes); the codes are resolved later, in bulk, against the registry, so that an
unknown code parks one event instead of failing a batch, and the effect hash covers what was sent.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import BinaryIO, Protocol

from shared.domain.events import Event, effect_hash
from shared.domain.messages import Message
from shared.domain.network import Source
from shared.domain.units import Measure

REPLAY_WINDOW = timedelta(minutes=5)
"""How far a signed timestamp may be from now (Standard Webhooks recommends five minutes)."""


@dataclass(frozen=True, slots=True)
class Request:
    """A webhook request as it came: header names in lower case, the body's raw bytes (already inflated)."""

    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Delivery:
    """An authenticated request: the sender's delivery id and the headers worth keeping for the translator."""

    id: str
    headers: Mapping[str, str]


class AuthenticationError(Exception):
    """The request is not proven to come from the source: ``reason`` says why, without quoting any secret."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Fault:
    """One part of a message that cannot become an event.

    Attributes
    ----------
    code
        Stable name of the cause: ``malformed``, ``missing_field``, ``invalid_field``, ``unsupported``.
    field
        Path of the offending field (``data.lines[3].quantity``) or column.
    reason, remedy
        For an operator: what is wrong, and what to do about it.
    row
        Row number within a file, counted from 1 with the header as row 1.
    """

    code: str
    field: str
    reason: str
    remedy: str
    row: int | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """One event in the sender's codes.

    ``code_kind`` says which of the sender's code spaces the item code is from (``sku``, ``inventory_item_id``).
    ``measure`` is the unit that it names, in its own word, and how its quantities are written; None where it names
    none and they are whole. ``further`` are quantities of a count in other units, which are to be added.
    """

    event: Event
    code_kind: str = "sku"
    row: int | None = None
    measure: Measure | None = None
    further: tuple[tuple[int, Measure], ...] = ()

    @property
    def effect(self) -> str:
        """A digest of what the report would do, by codes, quantity and unit as they were sent."""
        effect = effect_hash(self.event)
        if self.measure is None and not self.further:
            return effect
        measure = self.measure or Measure()
        said = f"{effect}\x1f{measure.unit}\x1f{measure.places}"
        for quantity, other in self.further:
            said += f"\x1f{quantity}\x1f{other.unit}\x1f{other.places}"
        return hashlib.blake2b(said.encode(), digest_size=12).hexdigest()


class Translator(Protocol):
    """Whatever says what a stored message reports."""

    def translate(self, message: Message, source: Source) -> Iterable[Report | Fault]:
        """Say what the message reports. Never raises for bad input: what cannot be read is a ``Fault``."""
        ...


class WebhookConnector(Translator, Protocol):
    """A source that calls our webhook URL."""

    def authenticate(
        self, request: Request, secrets: Sequence[str], now: datetime, source: Source
    ) -> Delivery:
        """Prove that ``request`` comes from ``source``; every secret in ``secrets`` is valid just now.

        Raises
        ------
        AuthenticationError
            When no secret fits, a header is missing, or the signed time is outside the replay window.
        """
        ...


@dataclass(frozen=True, slots=True)
class DroppedFile:
    """A file that a source dropped: its name and when it was written, which orders corrections of one document."""

    name: str
    written_at: datetime
    sequencer: str


class FileConnector(Protocol):
    """A source that drops files."""

    def read(
        self, content: BinaryIO, file: DroppedFile, message: Message, source: Source
    ) -> Iterator[Report | Fault]:
        """Yield each row's report or fault, streaming. Never raises for bad input."""
        ...

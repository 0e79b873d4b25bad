"""A message is one raw delivery: exactly the bytes a sender gave us, before anyone understood them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from shared.domain.stock import MessageId, SourceId

FETCHED_AT = "onecount-fetched-at"
"""The header of a message that we fetched ourselves: when we began to. No sender's header is kept under this name."""


@dataclass(frozen=True, slots=True)
class Message:
    """One raw delivery of one source.

    ``headers`` have lower-case names and hold only those the translator may need: no signature, no token.
    """

    id: MessageId
    source: SourceId
    body: bytes
    received_at: datetime
    headers: Mapping[str, str]
    content_type: str = "application/json"

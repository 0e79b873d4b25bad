"""Cases: work items for an operator, one per cause however often it shows.

A case's id is made from what is wrong, not from when it was noticed, so filing it twice is a no-op and the
thing's own success can resolve it: ``unknown_code:modern-wms:sku:ABC-1``, ``drift:erp:SKU-7:east:on_hand``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TypeAlias
from urllib.parse import quote

from shared.domain.stock import MessageId

Fact: TypeAlias = "str | int | bool | None"


class CaseKind(StrEnum):
    """What is wrong, in one word an operator can filter by."""

    BAD_MESSAGE = "bad_message"
    BAD_ROWS = "bad_rows"
    UNKNOWN_CODE = "unknown_code"
    UNKNOWN_CODES = "unknown_codes"
    SUSPICIOUS_SNAPSHOT = "suspicious_snapshot"
    UNIT = "unit"
    KIT_STOCK = "kit_stock"
    CONFLICT = "conflict"
    HELD = "held"
    ORDER_DISPUTED = "order_disputed"
    POSTING_DELAY = "posting_delay"
    OVERSOLD = "oversold"
    TRANSFER_OVERDUE = "transfer_overdue"
    TRANSFER_OVER_RECEIVED = "transfer_over_received"
    TRANSFER_MISNAMED = "transfer_misnamed"
    STALE_SOURCE = "stale_source"
    ADJUSTMENT_APPROVAL = "adjustment_approval"
    COUNT_APPROVAL = "count_approval"
    COUNT_SUSPENDED = "count_suspended"
    COUNT_DISPUTED = "count_disputed"
    UNBINNED_STOCK = "unbinned_stock"
    DRIFT = "drift"
    MESSAGE_FAILED = "message_failed"
    PUSH_FAILED = "push_failed"
    PUSH_REFUSED = "push_refused"
    CHANNEL_EDITED = "channel_edited"
    UNDECLARED_WRITE_PATH = "undeclared_write_path"
    CORRECTION_LOOP = "correction_loop"
    UNDO_APPROVAL = "undo_approval"
    DEAD_LETTER = "dead_letter"


class CaseStatus(StrEnum):
    """Where a case stands."""

    OPEN = "open"
    RESOLVED = "resolved"
    IGNORED = "ignored"


OURSELVES = "onecount"
"""Who has done what nobody decided: a cause that went away closes its case by itself."""

RETRIED = "retried"
"""The resolution of a case that was retried; if it then fails again, it goes on as the case it was."""

LONGEST_PART = 200
"""Characters of one part of a subject that a case's id spells out; of a longer one, the rest becomes a digest."""


def case_id(kind: CaseKind, *subject: str) -> str:
    """Name a case by its kind and what it is about, in characters that a URL path takes as they are."""
    return ":".join([kind, *map(_part, subject)])


def _part(text: str) -> str:
    raw = text.encode("utf-8", "surrogatepass")
    written = quote(raw, safe="@-_.").replace("%", "=")
    if len(written) <= LONGEST_PART:
        return written
    return f"{written[:LONGEST_PART]}~{hashlib.blake2b(raw, digest_size=12).hexdigest()}"


@dataclass(frozen=True, slots=True)
class Approval:
    """One person's word on exactly one state of what waits; on another state it says nothing."""

    by: str
    at: datetime
    state: str


@dataclass(frozen=True, slots=True)
class Deed:
    """One thing that was done about a case: who, when, and why or what."""

    at: datetime
    by: str
    action: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class Case:
    """One work item.

    Attributes
    ----------
    title
        One line that says what happened, with the numbers.
    remedy
        What the operator can do about it.
    facts
        The figures behind the title.
    message_id
        The raw message that it came from, if one did; it can be read and replayed.
    occurrences
        How often it has been filed while open.
    owner
        Who has taken it on; empty for nobody.
    due_at
        When it is to be decided, where that was agreed; else its kind's time counts.
    escalated_at
        When it was raised because nobody had decided it in time, or because somebody asked for that.
    approvals
        Who has approved what waits, where one person's word is not enough.
    is_told
        Whether people were alerted that it was raised.
    closed_at
        When it was closed, whatever is said about it since; None while it is open.
    """

    id: str
    kind: CaseKind
    title: str
    remedy: str
    opened_at: datetime
    updated_at: datetime
    facts: Mapping[str, Fact] = field(default_factory=dict)
    message_id: MessageId | None = None
    status: CaseStatus = CaseStatus.OPEN
    occurrences: int = 1
    resolution: str = ""
    owner: str = ""
    due_at: datetime | None = None
    escalated_at: datetime | None = None
    approvals: tuple[Approval, ...] = ()
    is_told: bool = False
    closed_at: datetime | None = None

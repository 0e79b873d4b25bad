"""Entries by hand: an adjustment or a count, kept before it is acknowledged, and applied at once.

An entry is a message of the source ``manual``, which is believed everywhere: whoever enters it has the right to, and
says why. The message's id is made from who entered it and the Idempotency-Key::

    check     what cannot be meant is refused by its field, and nothing is kept
    keep      the message, once; the same key with another body is a conflict
    apply     like any message; beyond the location's limit it waits for an approver, in a case
    answer    is kept with the message, and given again to whoever repeats the request

Cut short between any two steps, it goes on when the request is repeated, or when the sweep finds the message.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from shared.domain.cases import CaseKind, case_id
from shared.domain.messages import Message
from shared.domain.network import MANUAL
from shared.domain.stock import EventKey, MessageId, Sku
from shared.operations.adjustments import adjustment_case_id
from shared.operations.apply_message import MessageApplier
from shared.operations.facts import Outcome
from shared.operations.post import Poster
from shared.operations.reservations import IdempotencyConflictError, UnknownItemError
from shared.operations.resolve import Resolution, resolve
from shared.sources.manual import CONNECTOR, COUNT, ManualEntry, manual_key
from shared.store.cases import Cases
from shared.store.files import REJECTED
from shared.store.inbox import Inbox, MessageNotFoundError, MessageStatus, message_id
from shared.store.registry import Registry

KIND = "manual"
"""The kind of message that an entry is."""


_REJECTED = "rejected "
"""How the answer of an entry that was rejected begins; the case follows, whose id has no space."""


class RefusedEntryError(ValueError):
    """An entry cannot be meant: names the field, the reason and the remedy. Nothing was kept."""

    def __init__(self, field: str, reason: str, remedy: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field, self.reason, self.remedy = field, reason, remedy


class EntryBusyError(Exception):
    """The entry is kept and could not be applied just now; repeating the request is safe."""


@dataclass(frozen=True, slots=True)
class Entered:
    """What became of an entry: posted, held in a case, or rejected by whoever decided that case."""

    message_id: MessageId
    event_key: EventKey
    case_id: str | None
    is_rejected: bool = False

    @property
    def status(self) -> str:
        """``posted``, ``held`` or ``rejected``."""
        if self.is_rejected:
            return "rejected"
        return "posted" if self.case_id is None else "held"


class ManualDesk:
    """Takes entries by hand."""

    def __init__(
        self,
        inbox: Inbox,
        registry: Registry,
        applier: MessageApplier,
        poster: Poster,
        cases: Cases,
        clock: Callable[[], datetime],
    ) -> None:
        self._inbox = inbox
        self._registry = registry
        self._applier = applier
        self._poster = poster
        self._cases = cases
        self._clock = clock

    def enter(self, entry: ManualEntry, key: str) -> Entered:
        """Keep and apply an entry, once for each key of its actor.

        Raises
        ------
        RefusedEntryError, UnknownItemError
            When it cannot be meant; nothing was kept.
        IdempotencyConflictError
            When the key was used for another entry.
        EntryBusyError
            When it is kept and could not be applied just now.
        """
        name = message_id(MANUAL.id, json.dumps([entry.actor, key]), b"")
        message = Message(name, MANUAL.id, entry.written(), self._clock(), {})
        kept = self._kept(name)
        if kept is None:
            self._check(message)
            self._inbox.store(message, KIND)
            kept = self._kept(name) or message
        if kept.body != message.body:
            raise IdempotencyConflictError(key)
        answered = self._inbox.answer(name)
        if answered is None:
            self._applier.apply(name)
            answered = self._inbox.keep_answer(name, self._became(kept, entry))
        is_rejected = answered.startswith(_REJECTED)
        return Entered(name, manual_key(kept), answered.removeprefix(_REJECTED) or None, is_rejected)

    def _kept(self, name: MessageId) -> Message | None:
        try:
            return self._inbox.load(name).message
        except MessageNotFoundError:
            return None

    def _became(self, message: Message, entry: ManualEntry) -> str:
        """Return the open case that an entry waits in, empty where it is posted, marked where it was rejected in it."""
        status, outcomes = self._inbox.load(message.id).status, self._inbox.outcomes(message.id)
        if status is MessageStatus.PENDING:
            raise EntryBusyError(message.id)
        if outcomes.get(Outcome.REFUSED):
            raise IdempotencyConflictError(message.id)  # it was used for another entry, long ago
        key = manual_key(message)
        if outcomes.get(REJECTED):
            return _REJECTED + adjustment_case_id(key)
        waits = self._cases.which_open(
            [
                adjustment_case_id(key),
                case_id(CaseKind.COUNT_APPROVAL, key),
                case_id(CaseKind.COUNT_SUSPENDED, key),
            ]
        )
        for case in waits if entry.what == COUNT else ():
            self._cases.amend(case, {"requested_by": entry.actor, "reason": entry.reason}, self._clock())
        if not waits and status is MessageStatus.PARKED:
            raise EntryBusyError(message.id)  # something changed since it was checked; its case says what
        if not waits and entry.what == COUNT and self._poster.is_rejected(key):
            kinds = (CaseKind.COUNT_APPROVAL, CaseKind.COUNT_SUSPENDED)
            known = self._cases.find_many(case_id(kind, key) for kind in kinds)
            return (
                _REJECTED + max(known, key=lambda case: case.closed_at or case.opened_at).id
                if known
                else _REJECTED
            )
        return next(iter(waits), "")

    def _check(self, message: Message) -> None:
        network = self._registry.network()
        reports = CONNECTOR.translate(message, MANUAL)
        _refuse(resolve(reports, MANUAL, self._registry, network, self._clock()), list(network.locations))


def _refuse(found: Resolution, locations: list[str]) -> None:
    """Refuse what would only wait in a case: whoever enters it is there to correct it."""
    for code in found.unknown:
        if code.kind == "location":
            listed = ", ".join(locations)
            raise RefusedEntryError("location", f"{code.code!r} is not declared", f"use one of: {listed}")
        raise UnknownItemError([Sku(code.code)], "sku")
    for fault in found.faults:
        raise RefusedEntryError(fault.field, fault.reason, fault.remedy)
    for waiting in found.unmeasured:
        raise RefusedEntryError(waiting.field, waiting.reason, waiting.remedy)
    if found.kit_stock:
        reason = "a kit has no stock of its own"
        raise RefusedEntryError("sku", reason, "enter its components")
    if found.held:
        raise RefusedEntryError("at", "it lies in the future", "give an instant that has been")

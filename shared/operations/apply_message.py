"""Applying a stored message: translate it, record what it says, and mark where it stands.

A message that fails for a passing reason stays pending, and the sweep tries it again; one that keeps failing, or
that shows a fault of our own, becomes a case with the message attached. Either way its neighbours go on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import datetime

from shared.domain.cases import Case, CaseKind, case_id
from shared.domain.handoffs import OURSELVES
from shared.domain.messages import Message
from shared.domain.network import MANUAL
from shared.domain.stock import MessageId
from shared.operations.post import PostingContendedError
from shared.operations.record import Recorder
from shared.sources.registry import translator
from shared.store.cases import Cases
from shared.store.files import APPROVED, REJECTED
from shared.store.inbox import Inbox, MessageNotFoundError, MessageStatus, UnreadableMessageError
from shared.store.registry import Registry
from shared.store.table import TableError

ATTEMPTS = 5
"""Tries after which a message that keeps failing for passing reasons becomes a case."""

BEGUN = 5
"""Sweeps that may begin with a message and not come to an end with it, before it becomes a case."""

_FAULT_OF_OURS = "retry the case; if it fails again, tell whoever runs Onecount: this is a fault of ours"
_DECLARE_OR_IGNORE = "declare the source again and retry the case, or ignore it with a reason"

log = logging.getLogger(__name__)


class _UndeclaredSourceError(LookupError):
    """Whoever sent a message has been taken out of the network since."""


class MessageApplier:
    """Applies stored messages, each as often as anyone likes, with the effect of once."""

    def __init__(
        self,
        inbox: Inbox,
        registry: Registry,
        recorder: Recorder,
        cases: Cases,
        clock: Callable[[], datetime],
    ) -> None:
        self._inbox = inbox
        self._registry = registry
        self._recorder = recorder
        self._cases = cases
        self._clock = clock

    def apply(self, message_id: MessageId) -> MessageStatus:
        """Apply one message; never raises for what is wrong with the message itself.

        Raises
        ------
        MessageNotFoundError, TableError
            When it cannot be read just now.
        """
        status = self._apply(message_id)
        self._recorder.traffic.write()
        return status

    def _apply(self, message_id: MessageId) -> MessageStatus:
        try:
            stored = self._inbox.load(message_id)
        except UnreadableMessageError as error:
            log.exception("message_unreadable", extra={"message_id": message_id})
            return self._give_up(message_id, str(error), self._inbox.waiting_since(message_id))
        except OSError as error:
            since = self._inbox.waiting_since(message_id)
            return self._defer(message_id, self._inbox.attempts(message_id), str(error), since)
        since, sender = stored.pending_since, stored.message.source
        try:
            status = self._record(stored.message, since)
        except (TableError, PostingContendedError) as error:
            return self._defer(message_id, stored.attempts, str(error), since, sender)
        except _UndeclaredSourceError as error:
            return self._give_up(message_id, str(error), since, sender, _DECLARE_OR_IGNORE)
        except Exception as error:
            log.exception("message_failed", extra={"message_id": message_id})
            reason = f"{type(error).__name__} while it was applied"
            return self._give_up(message_id, reason, since, sender)
        self._cases.close(failed_case(message_id), "applied", self._clock())
        return status

    def gave_up(self, message_id: MessageId) -> bool:
        """Count that a sweep begins with a message; one that sweeps keep beginning and never end becomes a case.

        Raises
        ------
        TableError
            When that cannot be counted just now; then it is not begun either.
        """
        if self._inbox.begun(message_id) < BEGUN:
            return False
        reason = f"{BEGUN} sweeps began with it and none came to an end"
        self._give_up(message_id, reason, self._inbox.waiting_since(message_id))
        return True

    def apply_each(self, message_ids: Iterable[MessageId]) -> None:
        """Apply some messages; one that cannot even be read is left to the sweep and holds up nobody."""
        for message_id in message_ids:
            try:
                self._apply(message_id)
            except (MessageNotFoundError, TableError) as error:
                log.warning("message_left_to_sweep", extra={"message_id": message_id, "reason": str(error)})
        self._recorder.traffic.write()

    def _record(self, message: Message, since: str | None) -> MessageStatus:
        source = self._registry.network().source(message.source)
        if source is None:
            source = self._registry.network(fresh=True).source(message.source)
        if source is None:
            raise _UndeclaredSourceError(f"source {message.source} is not declared any more")
        kept = self._inbox.files.kept(message.id) if source.id == MANUAL.id else None
        if kept is not None and kept.decision == REJECTED:
            self._inbox.mark(message.id, MessageStatus.POSTED, {REJECTED: 1}, since)
            return MessageStatus.POSTED
        reports = translator(source.connector).translate(message, source)
        approved = kept.units if kept is not None and kept.decision == APPROVED else None
        recorded = self._recorder.record(reports, source, message, approved=approved)
        status = MessageStatus.PARKED if recorded.case_ids else MessageStatus.POSTED
        if not self._inbox.mark(message.id, status, recorded.outcomes, since):
            return MessageStatus.PENDING
        log.info("message_applied", extra={"message_id": message.id, "status": status, **recorded.outcomes})
        return status

    def _defer(
        self, message_id: MessageId, attempts: int, reason: str, since: str | None, source: str = ""
    ) -> MessageStatus:
        """Leave a message pending, to be tried again; after too many tries it becomes a case."""
        self._inbox.attempted(message_id)
        log.warning("message_deferred", extra={"message_id": message_id, "reason": reason})
        if attempts + 1 < ATTEMPTS:
            return MessageStatus.PENDING
        return self._give_up(message_id, reason, since, source)

    def _give_up(
        self,
        message_id: MessageId,
        reason: str,
        since: str | None,
        source: str = "",
        remedy: str = _FAULT_OF_OURS,
    ) -> MessageStatus:
        if self._inbox.is_posted(message_id):  # a stream that delivers again what has been done long ago
            log.warning("posted_delivered_again", extra={"message_id": message_id, "reason": reason})
            return MessageStatus.POSTED
        now = self._clock()
        if source:
            self._recorder.traffic.failed(source, OURSELVES, reason)
        self._cases.file(
            Case(
                id=failed_case(message_id),
                kind=CaseKind.MESSAGE_FAILED,
                title=f"a message of {source or 'an unknown source'} could not be applied: {reason}",
                remedy=remedy,
                opened_at=now,
                updated_at=now,
                facts={"source": source, "reason": reason},
                message_id=message_id,
            )
        )
        parked = self._inbox.mark(message_id, MessageStatus.PARKED, {"failed": 1}, since)
        return MessageStatus.PARKED if parked else MessageStatus.PENDING


def failed_case(message_id: MessageId) -> str:
    """Name the case of a message that could not be applied."""
    return case_id(CaseKind.MESSAGE_FAILED, message_id)

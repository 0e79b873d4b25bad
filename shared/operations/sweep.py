"""Sweeping: find the work that no event announced, or whose announcement failed, and do it.

What a stream record says can always be rebuilt from the tables: a message not marked posted, a stock key still
marked dirty, an observation not compared. So a stream record that is lost, or given up, costs a minute. What a
stream consumer gave up carries only shard and sequence numbers; by the time it is read here, the sweep has done its
work, and it is logged and let go.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from shared.domain.cases import Case, CaseKind
from shared.domain.stock import MessageId
from shared.operations.apply_message import ATTEMPTS, MessageApplier, failed_case
from shared.operations.dead_letters import DeadLetterDesk
from shared.operations.fan_out import FanOut
from shared.operations.ingest import FileIngester
from shared.operations.post import PostingContendedError
from shared.operations.reconcile import Reconciler
from shared.store.cases import Cases
from shared.store.inbox import Inbox, MessageStatus
from shared.store.table import TableError

UNDISTURBED = timedelta(seconds=60)
"""How long work is left to the streams before the sweep takes it."""

READING_TAKES = timedelta(minutes=16)
"""How long a file may be read for before the sweep reads it again: longer than a function may run."""

log = logging.getLogger(__name__)


class StreamFailures(Protocol):
    """The queues that receive what a stream consumer gave up."""

    def take(self) -> Iterable[str]:
        """Yield and remove each failure record."""
        ...


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep found to do."""

    messages: int
    stock_keys: int
    observations: int
    dead_letters: int
    stream_failures: int


class Sweep:
    """Does what was left undone, and files what cannot be done."""

    def __init__(
        self,
        inbox: Inbox,
        applier: MessageApplier,
        ingester: FileIngester,
        fan_out: FanOut,
        reconciler: Reconciler,
        desk: DeadLetterDesk,
        failures: StreamFailures,
        cases: Cases,
        clock: Callable[[], datetime],
    ) -> None:
        self._inbox = inbox
        self._applier = applier
        self._ingester = ingester
        self._fan_out = fan_out
        self._reconciler = reconciler
        self._desk = desk
        self._failures = failures
        self._cases = cases
        self._clock = clock

    def run(self, undisturbed: timedelta = UNDISTURBED) -> Swept:
        """Sweep once."""
        now = self._clock()
        messages = [*self._inbox.pending_since(now - undisturbed)]
        for message in messages:
            self.apply_again(message, now)
        changes = [*self._fan_out.dirty_since(now - undisturbed)]
        self._fan_out.changed(changes, now)
        observations = [*self._reconciler.waiting(now - undisturbed)]
        self._reconciler.observed(observations)
        failures = 0
        for record in self._failures.take():
            failures += 1
            log.warning("stream_failure", extra={"record": record[:2000]})
        swept = Swept(len(messages), len(changes), len(observations), self._desk.file(), failures)
        log.info(
            "swept",
            extra={
                "pending_messages": swept.messages,
                "dirty_stock_keys": swept.stock_keys,
                "observations": swept.observations,
                "dead_letters": swept.dead_letters,
                "stream_failures": swept.stream_failures,
            },
        )
        return swept

    def apply_again(self, message_id: MessageId, now: datetime) -> MessageStatus:
        """Apply a message of either kind again, wherever it stands."""
        stored = self._inbox.load(message_id)
        if stored.kind != "file":
            return self._applier.apply(message_id)
        if stored.status is MessageStatus.PENDING and now - stored.message.received_at < READING_TAKES:
            return MessageStatus.PENDING
        return self.read_again(message_id)

    def read_again(self, message_id: MessageId) -> MessageStatus:
        """Read a file again; one that cannot be read after several tries becomes a case."""
        stored = self._inbox.load(message_id)
        try:
            return self._ingester.ingest_again(stored.message)
        except (TableError, PostingContendedError, OSError) as error:
            self._inbox.attempted(message_id)
            if stored.attempts + 1 < ATTEMPTS:
                return MessageStatus.PENDING
            now = self._clock()
            title = f"a file of {stored.message.source} could not be read: {error}"
            remedy = "see that the file is still in the drop bucket, then retry the case"
            case = Case(
                failed_case(message_id), CaseKind.MESSAGE_FAILED, title, remedy, now, now, {}, message_id
            )
            self._cases.file(case)
            self._inbox.mark(message_id, MessageStatus.PARKED, {"failed": 1})
            return MessageStatus.PARKED

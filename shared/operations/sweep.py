"""Sweeping: find the work that no event announced, or whose announcement failed, and do it.

What a stream record says can always be rebuilt from the tables: a message not marked posted, a stock key still
marked dirty, an observation not compared. So a stream record that is lost, or given up, costs a minute. What a
stream consumer gave up carries only shard and sequence numbers; by the time it is read here, the sweep has done its
work, and it is logged and let go.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Protocol

from shared.domain.cases import Case, CaseKind
from shared.domain.stock import MessageId
from shared.operations.alerts import AlertDesk
from shared.operations.apply_message import ATTEMPTS, MessageApplier, failed_case
from shared.operations.dead_letters import DeadLetterDesk
from shared.operations.fan_out import FanOut
from shared.operations.ingest import RESERVE_S, FileIngester, FileUnfinishedError
from shared.operations.parts import each_part
from shared.operations.post import PostingContendedError
from shared.operations.reconcile import Reconciler
from shared.operations.release import Releaser
from shared.operations.unbinned_stock import UnbinnedWatch
from shared.store.cases import Cases
from shared.store.inbox import Inbox, MessageNotFoundError, MessageStatus, UnreadableMessageError
from shared.store.registry import Registry
from shared.store.table import TableError

UNDISTURBED = timedelta(seconds=60)
"""How long work is left to the streams before the sweep takes it."""

READING_TAKES = timedelta(minutes=16)
"""How long nothing may be heard of a file's reading before the sweep reads on: longer than a function may run."""

READS_FOR_S = 20.0
"""Seconds that one reading of a file may take here, where others wait; it goes on at the next sweep."""

log = logging.getLogger(__name__)


class StreamFailures(Protocol):
    """The queues that receive what a stream consumer gave up."""

    def take(self) -> Iterable[str]:
        """Yield and remove each failure record."""
        ...


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
        registry: Registry,
        alerts: AlertDesk,
        unbinned: UnbinnedWatch,
        clock: Callable[[], datetime],
    ) -> None:
        self._alerts = alerts
        self._unbinned = unbinned
        self._releaser = Releaser(cases, inbox, registry, self.apply_again, clock)
        self._inbox = inbox
        self._applier = applier
        self._ingester = ingester
        self._fan_out = fan_out
        self._reconciler = reconciler
        self._desk = desk
        self._failures = failures
        self._cases = cases
        self._clock = clock

    def run(self, undisturbed: timedelta = UNDISTURBED) -> dict[str, int]:
        """Sweep once; return how much of each kind was found.

        Raises
        ------
        PartsFailedError
            When some part failed, after all others have been done.
        """
        before = self._clock() - undisturbed
        found = each_part(
            {
                "released_messages": self._releaser.run,
                "pending_messages": lambda: self._messages(before),
                "files_waiting_for_codes": self._files_waiting_for_codes,
                "dirty_stock_keys": lambda: self._stock_keys(before),
                "observations": lambda: self._observations(before),
                "stream_failures": self._stream_failures,
                "escalated_cases": self._alerts.escalate,
                "digests": self._alerts.digest,
                "loops_at_rest": self._reconciler.settle_loops,
                "drift_of_undeclared_sources": self._reconciler.settle_undeclared,
                "totals_known_again": self._unbinned.settle,
                "dead_letters": self._desk.file,
            }
        )
        log.info("swept", extra={"found": found})
        return found

    def _messages(self, before: datetime) -> int:
        messages = [*self._inbox.pending_since(before)]
        for message in messages:
            try:
                if not self._is_being_read(message) and not self._applier.gave_up(message):
                    self.apply_again(message)
            except (TableError, MessageNotFoundError, OSError) as error:
                log.warning("message_not_swept", extra={"message_id": message, "reason": str(error)})
        return len(messages)

    def _files_waiting_for_codes(self) -> int:
        released = 0
        for message in [*self._inbox.files.waiting()]:
            try:
                released += self._ingester.release(message)
            except MessageNotFoundError:
                self._inbox.files.forget(message)  # it came more than 90 days ago, and is gone
            except (TableError, PostingContendedError, UnreadableMessageError, OSError) as error:
                log.warning("file_not_released", extra={"message_id": message, "reason": str(error)})
        return released

    def _stock_keys(self, before: datetime) -> int:
        changes = [*self._fan_out.dirty_since(before)]
        self._fan_out.changed(changes, self._clock())
        return len(changes)

    def _observations(self, before: datetime) -> int:
        observations = [*self._reconciler.waiting(before)]
        self._reconciler.observed(observations)
        return len(observations)

    def _stream_failures(self) -> int:
        failures = 0
        for record in self._failures.take():
            failures += 1
            log.warning("stream_failure", extra={"record": record[:2000]})
        return failures

    def _is_being_read(self, message_id: MessageId) -> bool:
        """Whether a pending message is a file whose reading may still go on."""
        try:
            stored = self._inbox.load(message_id)
        except (UnreadableMessageError, OSError):
            return False
        if stored.kind != "file":
            return False
        since = self._clock() - READING_TAKES
        if self._inbox.files.kept(message_id).at is None:
            return stored.message.received_at > since
        return self._ingester.is_being_read(message_id, since)

    def apply_again(self, message_id: MessageId) -> MessageStatus:
        """Apply a message of either kind again, wherever it stands."""
        try:
            kind = self._inbox.load(message_id).kind
        except (UnreadableMessageError, OSError):
            return self._applier.apply(message_id)
        return self.read_again(message_id) if kind == "file" else self._applier.apply(message_id)

    def read_again(self, message_id: MessageId) -> MessageStatus:
        """Read a file again; one that cannot be read after several tries becomes a case."""
        stored, begun = self._inbox.load(message_id), self._clock()

        def seconds_left() -> float:
            return RESERVE_S + READS_FOR_S - (self._clock() - begun).total_seconds()

        try:
            return self._ingester.ingest_again(stored.message, seconds_left)
        except FileUnfinishedError:
            return MessageStatus.PENDING
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
            parked = self._inbox.mark(message_id, MessageStatus.PARKED, {"failed": 1}, stored.pending_since)
            return MessageStatus.PARKED if parked else MessageStatus.PENDING

"""Ingesting a dropped file: a message like any other, read in chunks, each row an event of its own.

The file stays in the drop bucket and its inbox record points at that exact version. Rows are recorded in chunks;
a crash between two chunks costs a re-reading and nothing else, because each row posts once.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import BinaryIO, Protocol

from shared.domain.cases import Case, CaseKind, case_id
from shared.domain.messages import Message
from shared.domain.network import Source
from shared.domain.stock import SourceId
from shared.operations.apply_message import failed_case
from shared.operations.post import PostingContendedError
from shared.operations.record import Recorder
from shared.sources.contract import DroppedFile, Fault, Report
from shared.sources.registry import file_connector
from shared.store.cases import Cases
from shared.store.inbox import Inbox, MessageStatus, message_id
from shared.store.registry import Network, Registry
from shared.store.table import TableError

CHUNK = 1000
"""Rows that are recorded together."""

KEPT_FAULTS = 1000
"""Bad rows of one file that are kept until its case is filed; the rest are counted."""

LARGEST_FILE = 512 * 1024 * 1024
"""Bytes; a larger file is refused with a case rather than read half."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Drop:
    """One version of one object in the drop bucket.

    ``sequencer`` orders the versions of one key, as S3 gives it.
    """

    key: str
    version: str
    sequencer: str
    size: int
    written_at: datetime


class Drops(Protocol):
    """The drop bucket."""

    def open(self, key: str, version: str) -> BinaryIO:
        """Return the object's bytes as a stream."""
        ...


class FileIngester:
    """Reads dropped files into the ledger."""

    def __init__(
        self,
        inbox: Inbox,
        registry: Registry,
        recorder: Recorder,
        cases: Cases,
        drops: Drops,
        clock: Callable[[], datetime],
    ) -> None:
        self._inbox = inbox
        self._registry = registry
        self._recorder = recorder
        self._cases = cases
        self._drops = drops
        self._clock = clock

    def ingest(self, drop: Drop) -> MessageStatus:
        """Take a newly dropped file: remember it, then read it.

        Raises
        ------
        PostingContendedError, TableError
            When rows could not be posted just now; ingesting again goes on where it stopped.
        """
        pointer = json.dumps(
            {
                "key": drop.key,
                "version": drop.version,
                "sequencer": drop.sequencer,
                "size": drop.size,
                "written_at": drop.written_at.isoformat(),
            }
        )
        source = self._source_of(drop.key)
        name = SourceId("unknown") if source is None else source.id
        message = Message(
            message_id(name, f"{drop.key}#{drop.version}#{drop.sequencer}", b""),
            name,
            pointer.encode(),
            self._clock(),
            {},
        )
        self._inbox.store(message, kind="file")
        return self._read_or_give_up(message, drop, source)

    def ingest_again(self, message: Message) -> MessageStatus:
        """Read a file again that was remembered before."""
        said = json.loads(message.body)
        written_at = datetime.fromisoformat(said["written_at"])
        drop = Drop(said["key"], said["version"], said["sequencer"], said["size"], written_at)
        return self._read_or_give_up(message, drop, self._source_of(drop.key))

    def _read_or_give_up(self, message: Message, drop: Drop, source: Source | None) -> MessageStatus:
        """Read a file; one that shows a fault of ours becomes a case at once, and holds up no other."""
        since = self._inbox.waiting_since(message.id)
        try:
            return self._read(message, drop, source, since)
        except (TableError, PostingContendedError, OSError):
            raise
        except Exception as error:
            log.exception("file_failed", extra={"message_id": message.id})
            now, reason = self._clock(), f"{type(error).__name__} while it was read"
            self._cases.file(
                Case(
                    id=failed_case(message.id),
                    kind=CaseKind.MESSAGE_FAILED,
                    title=f"file {drop.key} could not be read: {reason}",
                    remedy="retry the case; if it fails again, tell whoever runs Onecount: this is a fault of ours",
                    opened_at=now,
                    updated_at=now,
                    facts={"key": drop.key, "reason": reason},
                    message_id=message.id,
                )
            )
            return self._park(message, {"failed": 1}, since)

    def _read(self, message: Message, drop: Drop, source: Source | None, since: str | None) -> MessageStatus:
        if source is None:
            return self._refuse(message, drop, "no source drops files under this prefix", since)
        if drop.size > LARGEST_FILE:
            reason = f"it has {drop.size} bytes, more than {LARGEST_FILE}"
            return self._refuse(message, drop, reason, since)
        file = DroppedFile(drop.key.rsplit("/", 1)[-1], drop.written_at, drop.sequencer)
        outcomes: dict[str, int] = {}
        faults: list[Fault] = []
        faulty = 0
        parked = False
        with self._drops.open(drop.key, drop.version) as content:
            rows = file_connector(source.connector).read(content, file, message, source)
            for chunk in _chunks(rows):
                reports = [row for row in chunk if isinstance(row, Report)]
                faulty += len(chunk) - len(reports)
                faults += [row for row in chunk if isinstance(row, Fault)][: KEPT_FAULTS - len(faults)]
                recorded = self._recorder.record(reports, source, message)
                parked = parked or bool(recorded.case_ids)
                for outcome, number in recorded.outcomes.items():
                    outcomes[outcome] = outcomes.get(outcome, 0) + number
        if faults:
            recorded = self._recorder.record(faults, source, message, unlisted=faulty - len(faults))
            outcomes |= recorded.outcomes | {"faults": faulty}
        status = MessageStatus.PARKED if parked or faults else MessageStatus.POSTED
        if not self._inbox.mark(message.id, status, outcomes, since):
            return MessageStatus.PENDING
        self._cases.close(failed_case(message.id), "read", self._clock())
        log.info("file_read", extra={"message_id": message.id, "status": status, **outcomes})
        return status

    def _source_of(self, key: str) -> Source | None:
        """Find the file source whose declared prefix the object lies under; the longest prefix wins."""
        for fresh in (False, True):
            network: Network = self._registry.network(fresh=fresh)
            fitting = [
                source
                for source in network.sources.values()
                if (p := prefix_of(source)) and key.startswith(p)
            ]
            if fitting:
                return max(fitting, key=lambda source: len(prefix_of(source) or ""))
        return None

    def _refuse(self, message: Message, drop: Drop, reason: str, since: str | None) -> MessageStatus:
        now = self._clock()
        self._cases.file(
            Case(
                id=case_id(CaseKind.BAD_MESSAGE, "file", message.id),
                kind=CaseKind.BAD_MESSAGE,
                title=f"file {drop.key} was not read: {reason}",
                remedy="declare a source whose `drop` is this prefix, or split the file; then retry the case",
                opened_at=now,
                updated_at=now,
                facts={"key": drop.key, "size": drop.size, "reason": reason},
                message_id=message.id,
            )
        )
        return self._park(message, {"refused": 1}, since)

    def _park(self, message: Message, outcomes: dict[str, int], since: str | None) -> MessageStatus:
        parked = self._inbox.mark(message.id, MessageStatus.PARKED, outcomes, since)
        return MessageStatus.PARKED if parked else MessageStatus.PENDING


def prefix_of(source: Source) -> str | None:
    """Return the prefix of the drop bucket that a file source writes under."""
    drop = source.options.get("drop")
    return drop if isinstance(drop, str) else None


def _chunks(rows: Iterable[Report | Fault]) -> Iterator[list[Report | Fault]]:
    iterator = iter(rows)
    while chunk := list(islice(iterator, CHUNK)):
        yield chunk

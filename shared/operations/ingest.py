"""Ingesting a dropped file: a message like any other, read in chunks, each row an event of its own.

The file stays in the drop bucket and its inbox record points at that exact version::

    survey    the whole file is looked through first: a snapshot that seems cut short or emptied is held, unapplied
    read      rows are recorded in chunks, and after each chunk how far it got; a run whose time is up ends there,
              and the next reads on behind it
    wait      rows with a code that stands for nothing of ours are set aside, by code
    release   as codes are mapped, by whatever road, the rows that wait for them are recorded

Many unknown codes in one file are one fault, so they are one case: above ``CODES_APART`` it lists them with their
rows. A crash at any point costs a re-reading of one chunk and nothing else, because each row posts once.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import BinaryIO, Protocol

from shared.domain.handoffs import OURSELVES
from shared.domain.messages import Message
from shared.domain.network import Source
from shared.domain.snapshot_guard import kind_of_file, suspicions
from shared.domain.stock import MessageId, SourceId
from shared.operations.apply_message import failed_case
from shared.operations.file_cases import (
    broken_case,
    codes_case,
    codes_case_id,
    refused_case,
    suspicious_case,
)
from shared.operations.file_reading import Reading, codes_of, known_of, reading_of
from shared.operations.post import PostingContendedError
from shared.operations.record import Recorder, unknown_code_case, unknown_code_cases
from shared.sources.contract import DroppedFile, Fault, FileConnector, Report
from shared.sources.registry import file_connector
from shared.sources.surveyor import Surveyor
from shared.store.cases import Cases
from shared.store.files import APPROVED, REJECTED, WaitingCode
from shared.store.inbox import Inbox, MessageStatus, message_id
from shared.store.registry import Code, Network, Registry
from shared.store.table import TableError

CHUNK = 1000
"""Rows that are recorded together."""

LARGEST_FILE = 64 * 1024 * 1024
"""Bytes, some two million rows: what the runs that one announcement is given can post, with room to spare. A larger
file is refused with a case rather than read half."""

RESERVE_S = 60.0
"""Seconds that must be left for another chunk to be begun: enough to record it and to say how far we got."""

CODES_APART = 20
"""Unknown codes of one file that are a case each; more are one case of the file."""

RELEASED_AT_ONCE = 500
"""Codes whose rows one reading releases, so that it ends in time; the next goes on."""


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


class FileUnfinishedError(Exception):
    """Time is up, and the file is read up to ``row``: ingesting it again reads on from there."""

    def __init__(self, row: int) -> None:
        super().__init__(f"time is up at row {row}; the next run reads on")
        self.row = row


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
        self._files = inbox.files
        self._registry = registry
        self._recorder = recorder
        self._cases = cases
        self._drops = drops
        self._clock = clock

    def ingest(self, drop: Drop, seconds_left: Callable[[], float] = lambda: math.inf) -> MessageStatus:
        """Take a newly dropped file: remember it, then read it.

        Raises
        ------
        PostingContendedError, TableError
            When rows could not be posted just now; ingesting again goes on where it stopped.
        FileUnfinishedError
            When fewer than ``RESERVE_S`` are left; ingesting again goes on where it stopped.
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
        message = Message(
            self.message_of(drop),
            _name(source),
            pointer.encode(),
            self._clock(),
            {},
        )
        self._inbox.store(message, kind="file")
        return self._read_or_give_up(message, drop, source, seconds_left)

    def message_of(self, drop: Drop) -> MessageId:
        """Name the message under which a dropped file is remembered."""
        source = self._source_of(drop.key)
        return message_id(_name(source), f"{drop.key}#{drop.version}#{drop.sequencer}", b"")

    def ingest_again(
        self, message: Message, seconds_left: Callable[[], float] = lambda: math.inf
    ) -> MessageStatus:
        """Read a file again that was remembered before; where rows wait for codes alone, only those.

        Raises
        ------
        PostingContendedError, TableError, FileUnfinishedError
            As ``ingest``.
        """
        drop = _drop_of(message)
        return self._read_or_give_up(message, drop, self._source_of(drop.key), seconds_left)

    def reports(self, message: Message, source: Source) -> Iterator[Report | Fault]:
        """Yield what a file says, row by row, whatever became of it.

        Raises
        ------
        OSError
            When the file is gone or cannot be read just now.
        """
        return self._rows(message, _drop_of(message), source)

    def is_being_read(self, message_id: MessageId, since: datetime) -> bool:
        """Whether a file has been read on since an instant, and its reader has not said that it stops there."""
        kept = self._files.kept(message_id)
        reading = kept.reading or {"complete": True}
        return kept.at is not None and kept.at >= since and not (reading["complete"] or reading.get("paused"))

    def release(self, message_id: MessageId) -> int:
        """Record the rows of a file whose codes have been mapped since; return how many codes those were.

        Raises
        ------
        MessageNotFoundError, UnreadableMessageError, PostingContendedError, TableError, OSError
        """
        stored = self._inbox.load(message_id)
        drop = _drop_of(stored.message)
        source = self._source_of(drop.key)
        reading = None if source is None else self._reading(stored.message, source)
        if source is not None and reading is None:
            self._files.forget(message_id)  # all of it is done
        if source is None or reading is None or not reading.complete:
            return 0  # whoever reads it now will see the mapping
        known = self._mapped(reading, source)
        if known or not reading.codes:
            self._release(stored.message, drop, source, reading, known, stored.pending_since)
        return len(known)

    def _read_or_give_up(
        self, message: Message, drop: Drop, source: Source | None, seconds_left: Callable[[], float]
    ) -> MessageStatus:
        """Read a file; one that shows a fault of ours becomes a case at once, and holds up no other."""
        since = self._inbox.waiting_since(message.id)
        try:
            return self._read(message, drop, source, since, seconds_left)
        except (TableError, PostingContendedError, OSError, FileUnfinishedError):
            raise
        except Exception as error:
            log.exception("file_failed", extra={"message_id": message.id})
            reason = f"{type(error).__name__} while it was read"
            self._cases.file(broken_case(message.id, drop.key, reason, self._clock()))
            self._recorder.traffic.failed(message.source, OURSELVES, reason)
            return self._park(message, {"failed": 1}, since)
        finally:
            self._recorder.traffic.write()

    def _read(
        self,
        message: Message,
        drop: Drop,
        source: Source | None,
        since: str | None,
        seconds_left: Callable[[], float],
    ) -> MessageStatus:
        if source is None:
            return self._refuse(message, drop, "no source drops files under this prefix", since)
        if drop.size > LARGEST_FILE:
            reason = f"it has {drop.size} bytes, more than {LARGEST_FILE}"
            return self._refuse(message, drop, reason, since)
        reading = self._reading(message, source)
        if reading is not None and reading.complete and not reading.left_something:
            return self._release(message, drop, source, reading, self._mapped(reading, source), since)
        if reading is None or reading.complete:
            held = self._held_back(message, drop, source, since)
            if held is not None:
                return held
            if reading is not None:
                self._settle(message, reading.codes)
            reading = Reading()
        behind = reading.row
        rows = (row for row in self._rows(message, drop, source) if row.row is None or row.row > behind)
        for chunk in _chunks(rows):
            self._record(chunk, reading, message, source)
            if seconds_left() < RESERVE_S:
                self._files.keep(message.id, reading.as_value() | {"paused": True}, self._clock())
                raise FileUnfinishedError(reading.row)
        return self._finish(message, drop, source, reading, since)

    def _rows(self, message: Message, drop: Drop, source: Source) -> Iterator[Report | Fault]:
        with self._drops.open(drop.key, drop.version) as content:
            yield from file_connector(source.connector).read(content, _file(drop), message, source)

    def _reading(self, message: Message, source: Source) -> Reading | None:
        """Return what an earlier run left of a file's reading."""
        kept = self._files.kept(message.id).reading
        return None if kept is None else reading_of(kept, [*self._files.codes(message.id)], source)

    def _record(
        self, chunk: list[Report | Fault], reading: Reading, message: Message, source: Source
    ) -> None:
        """Record a chunk but for the rows that must wait for a code, and remember how far that got."""
        reports = [row for row in chunk if isinstance(row, Report)]
        used = {code for report in reports for code in codes_of(report, source) if code is not None}
        known = known_of(used, source, self._registry, self._registry.network())
        ready: list[Report | Fault] = []
        waiting: list[tuple[Code, int]] = []
        for report in reports:
            unknown = [code for code in codes_of(report, source) if code is not None and code not in known]
            if unknown:
                waiting.append((unknown[0], report.row or 0))
            else:
                ready.append(report)
        recorded = self._recorder.record(ready, source, message)
        reading.add(recorded.outcomes)
        reading.parked = reading.parked or bool(recorded.case_ids)
        reading.note([row for row in chunk if isinstance(row, Fault)])
        now = self._clock()
        self._files.keep_codes(message.id, reading.wait(waiting), now)
        reading.row = max((row.row or 0 for row in chunk), default=reading.row)
        self._files.keep(message.id, reading.as_value(), now)

    def _finish(
        self, message: Message, drop: Drop, source: Source, reading: Reading, since: str | None
    ) -> MessageStatus:
        """File what the whole file came to, and say where it stands."""
        if reading.faults:
            unlisted = reading.faulty - len(reading.faults)
            self._recorder.record(reading.faults, source, message, unlisted=unlisted)
            reading.outcomes["faults"] = reading.faulty
        reading.complete = True
        reading.many = len(reading.codes) > CODES_APART
        if reading.codes:
            self._files.keep(message.id, reading.as_value(), self._clock())
            # Filed first, so that whoever maps a code from now on finds this file waiting for it.
            self._file_codes(message, drop, source, reading)
            return self._release(message, drop, source, reading, self._mapped(reading, source), since)
        return self._conclude(message, source, reading, since)

    def _conclude(
        self, message: Message, source: Source, reading: Reading, since: str | None
    ) -> MessageStatus:
        """Say where a file stands that was read to its end; the list of those that wait loses it last of all."""
        if reading.codes:
            return self._mark(message, reading, since)
        self._take_off(codes_case_id(source.id, message.id), message.id, self._clock())
        status = self._mark(message, reading, since)
        self._files.keep(message.id, None, self._clock())
        self._files.forget(message.id)
        return status

    def _mark(self, message: Message, reading: Reading, since: str | None) -> MessageStatus:
        waiting = sum(code.rows for code in reading.codes.values()) + reading.further_rows
        parked = bool(reading.parked or reading.faulty or waiting)
        status = MessageStatus.PARKED if parked else MessageStatus.POSTED
        outcomes = reading.outcomes | ({"unknown": waiting} if waiting else {})
        if not self._inbox.mark(message.id, status, outcomes, since):
            return MessageStatus.PENDING
        self._cases.close(failed_case(message.id), "read", self._clock())
        log.info("file_read", extra={"message_id": message.id, "status": status, **outcomes})
        return status

    # ---- a snapshot that is not believed --------------------------------------------------------------------

    def _held_back(
        self, message: Message, drop: Drop, source: Source, since: str | None
    ) -> MessageStatus | None:
        """Look a file through before anything of it is believed; None when it may be read."""
        decision = self._files.kept(message.id).decision
        if decision == REJECTED:
            self._inbox.mark(message.id, MessageStatus.POSTED, {REJECTED: 1}, since)
            return MessageStatus.POSTED
        connector: FileConnector = file_connector(source.connector)
        if not isinstance(connector, Surveyor):
            return None
        with self._drops.open(drop.key, drop.version) as content:
            survey = connector.survey(content, _file(drop), message, source)
        if survey is None or survey.guard is None:
            return None
        kind = kind_of_file(_file(drop).name)
        reasons = suspicions(survey, self._files.accepted(source.id, kind))
        if reasons and decision != APPROVED:
            self._cases.file(suspicious_case(message.id, drop.key, source, reasons, self._clock()))
            return self._park(message, {"held": 1}, since)
        rank = f"{drop.written_at.isoformat()}#{drop.sequencer}"
        self._files.accept(source.id, kind, message.id, rank, survey.places)
        return None

    # ---- codes that nobody has mapped -----------------------------------------------------------------------

    def _file_codes(self, message: Message, drop: Drop, source: Source, reading: Reading) -> None:
        """File what waits for codes: a case for each of a few, one case of the file for many."""
        if reading.many:
            self._cases.file(codes_case(message.id, drop.key, source, reading, self._clock()))
            return
        unknown = {code: waiting.rows for code, waiting in reading.codes.items()}
        for case in unknown_code_cases(unknown, message, self._clock()):
            self._cases.file(case)

    def _mapped(self, reading: Reading, source: Source) -> set[Code]:
        """Return some of the codes that rows wait for and that stand for something now."""
        network = self._registry.network(fresh=True)
        known = known_of(reading.codes, source, self._registry, network)
        return set(islice((code for code in reading.codes if code in known), RELEASED_AT_ONCE))

    def _release(
        self,
        message: Message,
        drop: Drop,
        source: Source,
        reading: Reading,
        known: set[Code],
        since: str | None,
    ) -> MessageStatus:
        """Record the rows that waited for codes which are known now; those of them that miss another wait for that."""
        if known:
            codes = {code: waiting for code, waiting in reading.codes.items() if code in known}
            for code in known:
                del reading.codes[code]
            released = (
                row
                for row in self._rows(message, drop, source)
                if isinstance(row, Report) and not known.isdisjoint(codes_of(row, source))
            )
            last = reading.row
            for chunk in _chunks(released):
                self._record(chunk, reading, message, source)
            reading.row = last
            self._settle(message, codes)
        if reading.further_rows and not reading.codes:
            # More codes than were remembered: the sweep reads all of it again, and finds the others.
            self._inbox.reopen(message.id, self._clock())
            self._files.keep(message.id, None, self._clock())
            return MessageStatus.PENDING
        if reading.codes:
            self._files.keep(message.id, reading.as_value(), self._clock())
            self._file_codes(message, drop, source, reading)
        return self._conclude(message, source, reading, since)

    def _settle(self, message: Message, codes: dict[Code, WaitingCode]) -> None:
        """Take a file off what it does not wait for any more."""
        now = self._clock()
        for code in codes:
            self._take_off(unknown_code_case(code), message.id, now)
        self._files.settle_codes(message.id, codes.values())

    def _take_off(self, case: str, message: MessageId, now: datetime) -> None:
        if message in self._cases.parked(case):
            self._cases.unpark(case, message)
            if next(self._cases.parked(case), None) is None:
                self._cases.close(case, "mapped", now)

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
        self._cases.file(refused_case(message.id, drop.key, drop.size, reason, self._clock()))
        return self._park(message, {"refused": 1}, since)

    def _park(self, message: Message, outcomes: dict[str, int], since: str | None) -> MessageStatus:
        parked = self._inbox.mark(message.id, MessageStatus.PARKED, outcomes, since)
        return MessageStatus.PARKED if parked else MessageStatus.PENDING


def _name(source: Source | None) -> SourceId:
    return SourceId("unknown") if source is None else source.id


def prefix_of(source: Source) -> str | None:
    """Return the prefix of the drop bucket that a file source writes under."""
    drop = source.options.get("drop")
    return drop if isinstance(drop, str) else None


def _drop_of(message: Message) -> Drop:
    said = json.loads(message.body)
    written_at = datetime.fromisoformat(said["written_at"])
    return Drop(said["key"], said["version"], said["sequencer"], said["size"], written_at)


def _file(drop: Drop) -> DroppedFile:
    return DroppedFile(drop.key.rsplit("/", 1)[-1], drop.written_at, drop.sequencer)


def _chunks(rows: Iterable[Report | Fault]) -> Iterator[list[Report | Fault]]:
    """Part rows into chunks; what one row says stays together, for a reading goes on behind a whole row."""
    chunk: list[Report | Fault] = []
    for row in rows:
        if len(chunk) >= CHUNK and row.row != chunk[-1].row:
            yield chunk
            chunk = []
        chunk.append(row)
    if chunk:
        yield chunk

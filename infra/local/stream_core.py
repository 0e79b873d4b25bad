"""What a stream consumer does next: the rules of a Lambda event source mapping on a DynamoDB stream, pure.

Given the records read, the results of the calls made and the time, this says which batch to invoke, which to
give up, and how far a shard is checkpointed. It does no I/O, so that every rule has a test; ``stream_pump`` is
the shell around it.

Rules (AWS Lambda developer guide, "Process DynamoDB records with Lambda")
--------------------------------------------------------------------------
* Records of one partition key stay in order: a shard has ``parallelization`` lanes, a key always takes the same
  lane, a lane has one batch under way at a time.
* A batch goes when it is full (records or 6 MB) or when its oldest record has waited for the window.
* A failed batch is retried at most ``max_retries`` times, then given up (``RetryAttemptsExhausted``). With bisect
  it is split in two instead, which does not count towards the retries; only a single record exhausts them.
* A partial response completes everything before the lowest failed record and retries from there; with bisect that
  too is a split and does not count.
* Records older than ``max_age_seconds`` are given up before they are sent (``RecordAgeExceeded``).
* A call that never reached the function (throttled, no connection) counts for nothing and is tried again.
* The checkpoint is the last record before the first one that is not finished. What is finished behind it is
  delivered again after a crash: at least once, never not at all.

::

    read -> [filtered out] ----------------------------> finished
         -> lane buffer -> batch -> invoke -> succeeded -> finished
                             ^        |-> failed: split / retry
                             |        '-> exhausted -> destination -> finished
                             '-- too old ------------> destination -> finished
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

PAYLOAD_LIMIT_BYTES = 6_000_000
BACKOFF_FIRST_SECONDS = 0.1
BACKOFF_LIMIT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class MappingSettings:
    """One event source mapping, as the template declares it.

    Attributes
    ----------
    max_retries, max_age_seconds
        ``None``: no limit.
    on_failure
        ARN of the queue, topic or bucket that is told what was given up.
    """

    id: str
    function_arn: str
    stream_arn: str
    batch_size: int = 100
    window_seconds: float = 0.0
    parallelization: int = 1
    bisect: bool = False
    reports_failures: bool = False
    max_retries: int | None = None
    max_age_seconds: float | None = None
    from_latest: bool = False
    filters: tuple[str, ...] = ()
    on_failure: str | None = None

    @classmethod
    def from_api(cls, mapping: Mapping[str, Any]) -> MappingSettings:
        """Read a mapping as ``ListEventSourceMappings`` describes it (-1 means no limit there)."""
        retries = int(mapping.get("MaximumRetryAttempts", -1))
        age = int(mapping.get("MaximumRecordAgeInSeconds", -1))
        destination = (mapping.get("DestinationConfig") or {}).get("OnFailure") or {}
        return cls(
            id=mapping["UUID"],
            function_arn=mapping["FunctionArn"],
            stream_arn=mapping["EventSourceArn"],
            batch_size=int(mapping.get("BatchSize", 100)),
            window_seconds=float(mapping.get("MaximumBatchingWindowInSeconds", 0)),
            parallelization=int(mapping.get("ParallelizationFactor", 1)),
            bisect=_truth(mapping.get("BisectBatchOnFunctionError", False)),
            reports_failures="ReportBatchItemFailures" in mapping.get("FunctionResponseTypes", []),
            max_retries=None if retries < 0 else retries,
            max_age_seconds=None if age < 0 else float(age),
            from_latest=mapping.get("StartingPosition") == "LATEST",
            filters=tuple(one["Pattern"] for one in (mapping.get("FilterCriteria") or {}).get("Filters", [])),
            on_failure=destination.get("Destination"),
        )


@dataclass(frozen=True, slots=True)
class StreamRecord:
    """One change, as the function will see it in ``Records``.

    Attributes
    ----------
    created_at
        Epoch seconds at which the change was made.
    key
        What must stay in order: the partition key of the item, as text.
    """

    sequence: str
    created_at: float
    key: str
    event: Mapping[str, Any]
    size_bytes: int = 0


class GivenUp(Enum):
    """Why records go to the failure destination, in AWS's words."""

    RETRIES = "RetryAttemptsExhausted"
    AGE = "RecordAgeExceeded"


class FunctionError(Enum):
    """How an invocation that did not complete its batch ended."""

    UNHANDLED = "Unhandled"
    PARTIAL = None
    """The function answered, but reported records that failed."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Records that go together, and what has happened to them.

    Attributes
    ----------
    failures
        Failed calls that count towards the retries (a split does not).
    calls
        All calls that reached the function with the first of these records.
    """

    records: tuple[StreamRecord, ...]
    failures: int = 0
    calls: int = 0
    last_error: FunctionError | None = None

    @property
    def sequences(self) -> tuple[str, ...]:
        return tuple(record.sequence for record in self.records)


@dataclass(frozen=True, slots=True)
class Invoke:
    """Call the function with this batch."""

    batch: Batch


@dataclass(frozen=True, slots=True)
class Discard:
    """Tell the failure destination that these records are given up."""

    batch: Batch
    reason: GivenUp


Step = Invoke | Discard


@dataclass(frozen=True, slots=True)
class Succeeded:
    """All of the batch is done (an invocation), or its failure is on record (a discard)."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The function raised, timed out, or answered something that is no answer."""


@dataclass(frozen=True, slots=True)
class PartlyFailed:
    """The function reported failed records; ``first`` is the position of the lowest."""

    first: int


@dataclass(frozen=True, slots=True)
class NotReached:
    """Throttled or no connection: as if it had not been tried."""


Outcome = Succeeded | Failed | PartlyFailed | NotReached


def judge_answer(answer: Any, batch: Batch, *, reports_failures: bool) -> Outcome:
    """What a function's answer means for its batch.

    Without ``ReportBatchItemFailures`` any answer is success. With it: nothing, an empty object, a null or empty
    list are success; an identifier that is missing, empty or not of this batch fails the whole batch.
    """
    if not reports_failures or answer is None or answer == {}:
        return Succeeded()
    if not isinstance(answer, dict) or "batchItemFailures" not in answer:
        return Failed()
    reported = answer["batchItemFailures"]
    if reported is None or reported == []:
        return Succeeded()
    if not isinstance(reported, list):
        return Failed()
    positions = {sequence: position for position, sequence in enumerate(batch.sequences)}
    failed = [
        positions.get(str(one.get("itemIdentifier"))) if isinstance(one, dict) else None for one in reported
    ]
    known = [position for position in failed if position is not None]
    return PartlyFailed(min(known)) if len(known) == len(failed) else Failed()


class Lane:
    """Batches of one lane, strictly one after the other."""

    def __init__(self, settings: MappingSettings) -> None:
        self._settings = settings
        self._arrived: deque[tuple[float, StreamRecord]] = deque()
        self._again: deque[Batch] = deque()
        self._under_way: Step | None = None
        self._not_before = 0.0
        self._backoff = BACKOFF_FIRST_SECONDS

    def __len__(self) -> int:
        """Records not finished yet."""
        under_way = len(self._under_way.batch.records) if self._under_way else 0
        return len(self._arrived) + sum(len(batch.records) for batch in self._again) + under_way

    def add(self, record: StreamRecord, now: float) -> None:
        """Queue a record behind all that came before it."""
        self._arrived.append((now, record))

    def next_step(self, now: float) -> Step | None:
        """What to do now, if anything; its outcome must be given to ``complete``."""
        if self._under_way is not None or now < self._not_before:
            return None
        if not self._again:
            batch = self._form_batch(now)
            if batch is None:
                return None
            self._again.append(batch)
        self._under_way = self._step_for(self._again.popleft(), now)
        return self._under_way

    def wakes_at(self, now: float) -> float | None:
        """When ``next_step`` is worth asking again without news; ``None`` if only news can change it."""
        if self._under_way is not None or not (self._again or self._arrived):
            return None
        if self._again:
            return max(now, self._not_before)
        return max(self._not_before, self._arrived[0][0] + self._settings.window_seconds)

    def complete(self, outcome: Outcome, now: float) -> tuple[str, ...]:
        """Take the outcome of the step under way; the sequences it finished, in order."""
        step, self._under_way = self._under_way, None
        if step is None:
            raise ValueError("no step is under way in this lane")
        batch = step.batch
        if isinstance(outcome, Succeeded):
            self._backoff, self._not_before = BACKOFF_FIRST_SECONDS, 0.0
            return batch.sequences
        if isinstance(outcome, NotReached) or isinstance(step, Discard):
            self._again.appendleft(batch)
            self._wait(now)
            return ()
        finished: tuple[str, ...] = ()
        if isinstance(outcome, PartlyFailed):
            finished = batch.sequences[: outcome.first]
            batch = replace(batch, records=batch.records[outcome.first :])
        self._put_back(batch, outcome, advanced=bool(finished), now=now)
        return finished

    def _put_back(self, batch: Batch, outcome: Failed | PartlyFailed, *, advanced: bool, now: float) -> None:
        error = FunctionError.PARTIAL if isinstance(outcome, PartlyFailed) else FunctionError.UNHANDLED
        batch = replace(batch, calls=batch.calls + 1, last_error=error)
        if self._settings.bisect and advanced:
            self._again.appendleft(batch)
        elif self._settings.bisect and len(batch.records) > 1:
            middle = len(batch.records) // 2
            self._again.appendleft(replace(batch, records=batch.records[middle:]))
            self._again.appendleft(replace(batch, records=batch.records[:middle]))
        else:
            self._again.appendleft(replace(batch, failures=batch.failures + 1))
            self._wait(now)

    def _wait(self, now: float) -> None:
        self._not_before = now + self._backoff
        self._backoff = min(self._backoff * 2, BACKOFF_LIMIT_SECONDS)

    def _form_batch(self, now: float) -> Batch | None:
        if not self._arrived:
            return None
        records: list[StreamRecord] = []
        size = 0
        for _, record in self._arrived:
            if len(records) == self._settings.batch_size or (
                records and size + record.size_bytes > PAYLOAD_LIMIT_BYTES
            ):
                break
            records.append(record)
            size += record.size_bytes
        full = len(records) == self._settings.batch_size or len(records) < len(self._arrived)
        if not full and now < self._arrived[0][0] + self._settings.window_seconds:
            return None
        for _ in records:
            self._arrived.popleft()
        return Batch(tuple(records))

    def _step_for(self, batch: Batch, now: float) -> Step:
        limit = self._settings.max_age_seconds
        if limit is not None:
            old = 0
            while old < len(batch.records) and batch.records[old].created_at + limit < now:
                old += 1
            if old:
                if old < len(batch.records):
                    self._again.appendleft(replace(batch, records=batch.records[old:]))
                return Discard(replace(batch, records=batch.records[:old]), GivenUp.AGE)
        retries = self._settings.max_retries
        if retries is not None and batch.failures > retries:
            return Discard(batch, GivenUp.RETRIES)
        return Invoke(batch)


class Progress:
    """How far one shard is finished, when its lanes finish out of order."""

    def __init__(self, checkpoint: str | None = None) -> None:
        self.checkpoint = checkpoint
        self._open: deque[str] = deque()
        self._finished: set[str] = set()

    def started(self, sequence: str) -> None:
        """A record was read, in stream order."""
        self._open.append(sequence)

    def finished(self, sequences: Iterable[str]) -> bool:
        """Records are done; whether the checkpoint moved."""
        self._finished.update(sequences)
        before = self.checkpoint
        while self._open and self._open[0] in self._finished:
            self.checkpoint = self._open.popleft()
            self._finished.discard(self.checkpoint)
        return self.checkpoint != before

    @property
    def all_finished(self) -> bool:
        return not self._open


@dataclass(slots=True)
class ShardConsumer:
    """One shard of one mapping: what was read of it, in lanes."""

    shard_id: str
    settings: MappingSettings
    progress: Progress
    lanes: tuple[Lane, ...] = field(init=False)
    last_read: str | None = field(init=False)

    def __post_init__(self) -> None:
        self.last_read = self.progress.checkpoint
        self.lanes = tuple(Lane(self.settings) for _ in range(self.settings.parallelization))

    def accept(self, record: StreamRecord, now: float, *, passes: bool) -> None:
        """Take a record in stream order; the filter's rejects are done at once.

        Records that were read before (a renewed iterator, a checkpoint the stream no longer knows) are dropped.
        """
        if self.last_read is not None and int(record.sequence) <= int(self.last_read):
            return
        self.last_read = record.sequence
        self.progress.started(record.sequence)
        if passes:
            self.lanes[lane_of(record.key, len(self.lanes))].add(record, now)
        else:
            self.progress.finished((record.sequence,))

    @property
    def waiting(self) -> int:
        """Records read and not finished."""
        return sum(len(lane) for lane in self.lanes)


def lane_of(key: str, lanes: int) -> int:
    """Which lane a partition key takes: always the same one, also in another process."""
    return zlib.crc32(key.encode()) % lanes


def readable_shards(parents: Mapping[str, str | None], finished: Iterable[str]) -> list[str]:
    """The shards that may be read now: not finished, and no parent of theirs is still being read.

    ``parents`` maps every listed shard to its parent; a parent that is no longer listed has been trimmed.
    """
    done = set(finished)
    return [
        shard
        for shard, parent in parents.items()
        if shard not in done and (parent is None or parent not in parents or parent in done)
    ]


def failure_record(
    settings: MappingSettings,
    shard_id: str,
    discard: Discard,
    *,
    request_id: str,
    now: str,
    arrivals: tuple[str, str],
) -> dict[str, Any]:
    """What the failure destination is told, in AWS's form: which records, not their content."""
    batch = discard.batch
    record: dict[str, Any] = {
        "requestContext": {
            "requestId": request_id,
            "functionArn": settings.function_arn,
            "condition": discard.reason.value,
            "approximateInvokeCount": batch.calls,
        },
        "responseContext": {
            "statusCode": 200,
            "executedVersion": "$LATEST",
            "functionError": batch.last_error.value if batch.last_error else None,
        },
        "version": "1.0",
        "timestamp": now,
        "DDBStreamBatchInfo": {
            "shardId": shard_id,
            "startSequenceNumber": batch.records[0].sequence,
            "endSequenceNumber": batch.records[-1].sequence,
            "approximateArrivalOfFirstRecord": arrivals[0],
            "approximateArrivalOfLastRecord": arrivals[1],
            "batchSize": len(batch.records),
            "streamArn": settings.stream_arn,
        },
    }
    return record


def _truth(value: Any) -> bool:
    return value is True or str(value).lower() == "true"

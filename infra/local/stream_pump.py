"""The stream pump: runs the template's DynamoDB-stream event source mappings with their real settings.

The embedded runtime has such mappings but ignores retries, bisect, partial responses, windows, parallel lanes and
the failure destination, and invokes in its single poll thread. So the deployer creates those mappings disabled and
notes them in ``mappings.json``; this process does what AWS's poller would do, by public APIs only (DescribeStream,
GetShardIterator, GetRecords, Invoke), one thread for each mapping. The rules are in ``stream_core``.

    python -m infra.local.stream_pump STATE_FOLDER [--parent PID]

A checkpoint is written after the batches it covers are finished. Killed in between, the next pump delivers them
again: at least once. Where the stream no longer knows the checkpoint (a runtime that was killed goes back to what
it last saved) it goes on from the oldest record that there is, and drops what the checkpoint covers.
"""

from __future__ import annotations

import json
import logging
import queue
import signal
import sys
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import orjson
from botocore.exceptions import BotoCoreError, ClientError

from infra.local.checkpoints import Checkpoints
from infra.local.clients import client
from infra.local.event_pattern import EventPattern
from infra.local.failure_destinations import Destinations
from infra.local.processes import end_with_parent
from infra.local.state import StateDirectory, read_json, write_json
from infra.local.stream_core import (
    Discard,
    Failed,
    Invoke,
    Lane,
    MappingSettings,
    NotReached,
    Outcome,
    Progress,
    ShardConsumer,
    Step,
    Succeeded,
    judge_answer,
    readable_shards,
)
from infra.local.stream_reading import (
    BUSY_POLL_SECONDS,
    PAGE_RECORDS,
    POLL_SECONDS,
    SharedStream,
    stream_record,
)

READ_AHEAD_RECORDS = 5_000
_SHARD_REFRESH_SECONDS = 20.0
_TROUBLE_PAUSE_SECONDS = 0.5
_STATUS_SECONDS = 0.2
_INVOKE_TIMEOUT_SECONDS = 910.0

log = logging.getLogger("stream_pump")


@dataclass(slots=True)
class Counters:
    """What ``status`` and ``settle`` want to know of a mapping."""

    function: str
    waiting: int = 0
    calls: int = 0
    failed_calls: int = 0
    given_up_records: int = 0
    caught_up_at: float = 0.0
    trouble: str = ""


@dataclass(slots=True)
class _OpenShard:
    consumer: ShardConsumer
    iterator: str | None
    position: str
    """What the iterator stands behind."""
    next_read: float = 0.0
    read_started: float = 0.0


@dataclass(frozen=True, slots=True)
class _Done:
    shard_id: str
    lane: Lane
    step: Step
    outcome: Outcome


class MappingPump:
    """One mapping: its shards, its lanes, its checkpoints. All but the calls themselves happens in one thread."""

    def __init__(
        self,
        settings: MappingSettings,
        endpoint: str,
        checkpoints: Checkpoints,
        stream: SharedStream | None = None,
    ) -> None:
        self.settings = settings
        self.counters = Counters(function=settings.function_arn.rsplit(":", 1)[1])
        self._checkpoints = checkpoints
        self._streams = client("dynamodbstreams", endpoint)
        self._stream = stream or SharedStream(endpoint, settings.stream_arn)
        self._functions = client("lambda", endpoint, read_timeout_seconds=_INVOKE_TIMEOUT_SECONDS, attempts=1)
        self._destinations = Destinations(endpoint)
        self._filters = [EventPattern(text) for text in settings.filters]
        self._shards: dict[str, _OpenShard] = {}
        self._done: queue.SimpleQueue[_Done] = queue.SimpleQueue()
        self._hash_key = ""
        self._next_refresh = 0.0

    def run(self, stop: threading.Event) -> None:
        """Pump until told to stop; a runtime that is away is waited for."""
        workers = max(4, 2 * self.settings.parallelization)
        with ThreadPoolExecutor(workers, thread_name_prefix=self.counters.function) as pool:
            while not stop.is_set():
                try:
                    self._turn(pool)
                    self.counters.trouble = ""
                except (BotoCoreError, ClientError) as error:
                    trouble = f"{type(error).__name__}: {error}"
                    if trouble != self.counters.trouble:
                        log.warning("%s: %s", self.counters.function, trouble)
                    self.counters.trouble = trouble
                    stop.wait(_TROUBLE_PAUSE_SECONDS)
        self._take_all()

    def _turn(self, pool: ThreadPoolExecutor) -> None:
        now = time.time()
        if now >= self._next_refresh:
            self._open_shards()
            self._next_refresh = now + _SHARD_REFRESH_SECONDS
        for shard_id, shard in list(self._shards.items()):
            if now >= shard.next_read:
                self._read(shard_id, shard)
            for lane in shard.consumer.lanes:
                step = lane.next_step(time.time())
                if step is not None:
                    pool.submit(self._carry_out, shard_id, lane, step)
        self._count()
        self._wait_for_news()

    def _open_shards(self) -> None:
        parents: dict[str, str | None] = {}
        start: str | None = None
        while True:
            request = {"StreamArn": self.settings.stream_arn} | (
                {"ExclusiveStartShardId": start} if start else {}
            )
            description = self._streams.describe_stream(**request)["StreamDescription"]
            parents.update({one["ShardId"]: one.get("ParentShardId") for one in description["Shards"]})
            start = description.get("LastEvaluatedShardId")
            if start is None:
                break
        self._hash_key = next(
            key["AttributeName"] for key in description["KeySchema"] if key["KeyType"] == "HASH"
        )
        for shard_id in readable_shards(parents, self._checkpoints.closed):
            if shard_id not in self._shards:
                self._open_shard(shard_id)

    def _open_shard(self, shard_id: str) -> None:
        checkpoint = self._checkpoints.of(shard_id)
        from_latest = self.settings.from_latest and self._checkpoints.is_fresh
        found = self._iterator(shard_id, checkpoint, "LATEST" if from_latest else "TRIM_HORIZON")
        consumer = ShardConsumer(shard_id, self.settings, Progress(checkpoint))
        self._shards[shard_id] = _OpenShard(consumer, *found)

    def _iterator(self, shard_id: str, after: str | None, otherwise: str) -> tuple[str, str]:
        """Return an iterator, and the position that it stands behind."""
        request = {"StreamArn": self.settings.stream_arn, "ShardId": shard_id}
        if after is not None:
            try:
                answer = self._streams.get_shard_iterator(
                    **request, ShardIteratorType="AFTER_SEQUENCE_NUMBER", SequenceNumber=after
                )
                return str(answer["ShardIterator"]), after
            except ClientError as error:
                if _code(error) not in ("TrimmedDataAccessException", "ValidationException"):
                    raise
                log.warning(
                    "%s: the stream no longer knows %s; reading on from its oldest record", shard_id, after
                )
        answer = self._streams.get_shard_iterator(**request, ShardIteratorType=otherwise)
        # The end is another one a moment later, so nobody else stands there.
        position = f"{otherwise}/{self.settings.id}" if otherwise == "LATEST" else otherwise
        return str(answer["ShardIterator"]), position

    def _read(self, shard_id: str, shard: _OpenShard) -> None:
        if shard.iterator is None or shard.consumer.waiting >= READ_AHEAD_RECORDS:
            self._close_if_finished(shard_id, shard)
            return
        try:
            page = self._stream.read(shard_id, shard.position, shard.iterator)
        except ClientError as error:
            if _code(error) not in ("ExpiredIteratorException", "TrimmedDataAccessException"):
                raise
            found = self._iterator(shard_id, shard.consumer.last_read, "TRIM_HORIZON")
            shard.iterator, shard.position = found
            return
        shard.iterator, shard.position = page.following, page.end
        for event in page.events:
            passes = not self._filters or any(one.matches(event) for one in self._filters)
            record = stream_record(event, self._hash_key, passes=passes)
            shard.consumer.accept(record, page.read_at, passes=passes)
        if page.events:
            self._note(shard_id, shard.consumer.progress.checkpoint)
        else:
            shard.read_started = page.read_at
        if len(page.events) < PAGE_RECORDS:
            shard.next_read = page.read_at + (BUSY_POLL_SECONDS if page.events else POLL_SECONDS)

    def _close_if_finished(self, shard_id: str, shard: _OpenShard) -> None:
        shard.next_read = time.time() + POLL_SECONDS
        if shard.iterator is None and shard.consumer.progress.all_finished:
            self._checkpoints.close(shard_id)
            del self._shards[shard_id]
            self._next_refresh = 0.0

    def _carry_out(self, shard_id: str, lane: Lane, step: Step) -> None:
        """In a worker thread: do the step, hand its outcome back."""
        outcome: Outcome = NotReached()
        try:
            if isinstance(step, Invoke):
                outcome = self._invoke(step)
            else:
                self._destinations.send(self.settings, shard_id, step)
                outcome = Succeeded()
        except (BotoCoreError, ClientError) as error:
            log.warning("%s was not reached: %s", self.counters.function, error)
        finally:
            self._done.put(_Done(shard_id, lane, step, outcome))

    def _invoke(self, step: Invoke) -> Outcome:
        event = {"Records": [record.event for record in step.batch.records]}
        answer = self._functions.invoke(
            FunctionName=self.settings.function_arn,
            InvocationType="RequestResponse",
            Payload=orjson.dumps(event),
        )
        payload = answer["Payload"].read()
        if answer.get("FunctionError"):
            log.warning("%s failed: %s", self.counters.function, payload[:500].decode(errors="replace"))
            return Failed()
        try:
            said = json.loads(payload or b"null")
        except json.JSONDecodeError:
            return Failed()
        return judge_answer(said, step.batch, reports_failures=self.settings.reports_failures)

    def _wait_for_news(self) -> None:
        """Until an outcome arrives, a lane wakes, or a shard is to be read; then take all outcomes there are."""
        now = time.time()
        moments = [shard.next_read for shard in self._shards.values()]
        moments += [
            wake
            for shard in self._shards.values()
            for lane in shard.consumer.lanes
            if (wake := lane.wakes_at(now)) is not None
        ]
        patience = min([*moments, now + POLL_SECONDS]) - now
        try:
            self._take(self._done.get(timeout=max(patience, 0.0005)))
        except queue.Empty:
            return
        self._take_all()

    def _take_all(self) -> None:
        while not self._done.empty():
            self._take(self._done.get())

    def _take(self, done: _Done) -> None:
        if isinstance(done.step, Discard):
            self.counters.given_up_records += len(done.step.batch.records) * isinstance(
                done.outcome, Succeeded
            )
        elif not isinstance(done.outcome, NotReached):
            self.counters.calls += 1
            self.counters.failed_calls += not isinstance(done.outcome, Succeeded)
        finished = done.lane.complete(done.outcome, time.time())
        shard = self._shards.get(done.shard_id)
        if (
            shard is not None
            and done.lane in shard.consumer.lanes
            and shard.consumer.progress.finished(finished)
        ):
            self._note(done.shard_id, shard.consumer.progress.checkpoint)

    def _note(self, shard_id: str, checkpoint: str | None) -> None:
        if checkpoint is not None and checkpoint != self._checkpoints.of(shard_id):
            self._checkpoints.note(shard_id, checkpoint)

    def _count(self) -> None:
        self.counters.waiting = sum(shard.consumer.waiting for shard in self._shards.values())
        if not self.counters.waiting and self._shards:
            self.counters.caught_up_at = min(shard.read_started for shard in self._shards.values())


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def pump(state: StateDirectory, stop: threading.Event) -> None:
    """Run every mapping noted in ``state`` until ``stop`` is set, publishing what they do."""
    noted = read_json(state.mappings)
    pumps: list[MappingPump] = []
    streams: dict[str, SharedStream] = {}
    for described in noted.get("mappings", []):
        settings = MappingSettings.from_api(described)
        checkpoints = Checkpoints(state.checkpoints / f"{settings.id}.json", settings.stream_arn)
        if settings.stream_arn not in streams:
            streams[settings.stream_arn] = SharedStream(noted["endpoint"], settings.stream_arn)
        pumps.append(MappingPump(settings, noted["endpoint"], checkpoints, streams[settings.stream_arn]))
    threads = [
        threading.Thread(target=one.run, args=(stop,), name=one.counters.function, daemon=True)
        for one in pumps
    ]
    for thread in threads:
        thread.start()
    while not stop.is_set() and all(thread.is_alive() for thread in threads):
        _publish(state, pumps)
        stop.wait(_STATUS_SECONDS)
    stop.set()
    for thread in threads:
        thread.join(timeout=10)
    _publish(state, pumps)


def _publish(state: StateDirectory, pumps: Iterable[MappingPump]) -> None:
    counters = {one.settings.id: one.counters for one in pumps}
    described = {
        mapping: {name: getattr(counter, name) for name in Counters.__slots__}
        for mapping, counter in counters.items()
    }
    write_json(state.pump_status, {"written_at": time.time(), "mappings": described})


def main() -> None:
    logging.basicConfig(format="%(asctime)s %(message)s", level=logging.INFO)
    logging.getLogger("botocore").setLevel(logging.WARNING)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    arguments = sys.argv[1:]
    if "--parent" in arguments:
        parent = int(arguments[arguments.index("--parent") + 1])
        threading.Thread(target=end_with_parent, args=(parent,), daemon=True).start()
    pump(StateDirectory(Path(arguments[0])), stop)


if __name__ == "__main__":
    main()

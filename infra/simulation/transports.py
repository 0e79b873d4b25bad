"""What carries work to the functions: queues with receives and dead letters, and streams, each with its vices.

A queue delivers at least once, in any order, and shows what nobody finished again after its visibility timeout.
A stream delivers each shard in order, one invocation at a time, repeats a batch that failed, gives it up after some
retries, and now and then loses a batch altogether (a consumer that was broken for longer than a stream remembers).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Generic, TypeVar

from infra.simulation.chaos import Actor, Chaos, Crash
from infra.simulation.scheduler import Scheduler
from infra.simulation.tables import Change
from shared.operations.dead_letters import DeadLetter
from shared.store.memory import StreamRecord
from shared.store.table import TableError

Body = TypeVar("Body")


@dataclass(slots=True)
class Entry(Generic[Body]):
    """One message of a queue, with how often it was received."""

    id: str
    body: Body
    receives: int = 0


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """How a queue and its consumer are set."""

    batch_size: int
    concurrency: int
    timeout_s: float
    visibility_s: float
    window_s: float = 0.02
    max_receives: int = 5


class Queue(Generic[Body]):
    """One queue and the function that consumes it; ``consume`` returns the ids of what must be tried again."""

    def __init__(
        self,
        name: str,
        scheduler: Scheduler,
        chaos: Chaos,
        settings: QueueSettings,
        consume: Callable[[Sequence[Entry[Body]]], Collection[str]],
    ) -> None:
        self.name = name
        self._scheduler = scheduler
        self._chaos = chaos
        self._settings = settings
        self._consume = consume
        self._ready: list[Entry[Body]] = []
        self._running = 0
        self._sent = 0
        self.outstanding = 0
        self.dead: dict[str, Entry[Body]] = {}

    def send(self, body: Body, delay_s: float = 0) -> None:
        """Queue a message."""
        self._sent += 1
        self.outstanding += 1
        self._show(Entry(f"{self.name}-{self._sent}", body), delay_s)

    def redrive(self, letter: str | None = None) -> int:
        """Move the dead letters back, or one of them; return how many."""
        letters = [entry for name, entry in self.dead.items() if letter in (None, name)]
        for entry in letters:
            del self.dead[entry.id]
            self.send(entry.body)
        return len(letters)

    def _show(self, entry: Entry[Body], delay_s: float) -> None:
        jitter = 3 * self._chaos.random.random() ** 4 if self._chaos.active else 0.0
        self._scheduler.after(delay_s + 0.01 + jitter, lambda: self._arrived(entry))

    def _arrived(self, entry: Entry[Body]) -> None:
        if entry.receives >= self._settings.max_receives:
            self.dead[entry.id] = entry
            self.outstanding -= 1
            return
        self._ready.append(entry)
        if self._running < self._settings.concurrency:
            self._running += 1
            self._scheduler.after(self._settings.window_s, self._invoke)

    def _invoke(self) -> None:
        batch, self._ready = (
            self._ready[: self._settings.batch_size],
            self._ready[self._settings.batch_size :],
        )
        if batch:
            self._run(batch)
        if self._ready:
            self._scheduler.after(0.02, self._invoke)
        else:
            self._running -= 1

    def _run(self, batch: Sequence[Entry[Body]]) -> None:
        for entry in batch:
            entry.receives += 1
        self._scheduler.actor = Actor(self.name, self._scheduler.seconds + self._settings.timeout_s)
        try:
            failed = self._consume(batch)
        except (Crash, TableError, OSError):
            again, wait = list(batch), self._settings.visibility_s
        else:
            again, wait = [entry for entry in batch if entry.id in failed], 1.0
            if self._chaos.happens(0.02, "queue message delivered twice"):
                again = list(batch)
        self._scheduler.actor = None
        self.outstanding -= len(batch) - len(again)
        for entry in again:
            self._show(entry, wait)


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """How a stream's consumer is set."""

    shards: int
    window_s: float = 0.05
    timeout_s: float = 60
    batch_size: int = 100
    max_retries: int = 5


class Stream:
    """One consumer of a table's stream: ``wants`` is its filter, ``consume`` its function."""

    def __init__(
        self,
        name: str,
        scheduler: Scheduler,
        chaos: Chaos,
        settings: StreamSettings,
        wants: Callable[[Change], bool],
        record: Callable[[Change], StreamRecord],
        consume: Callable[[Sequence[StreamRecord]], None],
        give_up: Callable[[str], None],
    ) -> None:
        self.name = name
        self._scheduler = scheduler
        self._chaos = chaos
        self._settings = settings
        self._wants = wants
        self._record = record
        self._consume = consume
        self._give_up = give_up
        self._shards: list[list[Change]] = [[] for _ in range(settings.shards)]
        self._polling = [False] * settings.shards
        self._number_of: dict[str, int] = {}

    @property
    def outstanding(self) -> int:
        """Records that are still to be delivered."""
        return sum(map(len, self._shards))

    def tell(self, changes: Sequence[Change]) -> None:
        """Take note of a commit: its records show at different times, each key in its own order."""
        for change in changes:
            if self._wants(change):
                shard = self._number_of.setdefault(change.key.pk, len(self._number_of)) % len(self._shards)
                self._shards[shard].append(change)
                if not self._polling[shard]:
                    self._polling[shard] = True
                    self._scheduler.after(self._delay(), partial(self._poll, shard))

    def _delay(self) -> float:
        if not self._chaos.active:
            return self._settings.window_s
        return (
            self._settings.window_s
            + 0.3 * self._chaos.random.random()
            + 40 * self._chaos.random.random() ** 24
        )

    def _poll(self, shard: int) -> None:
        changes = self._shards[shard][: self._settings.batch_size]
        if self._chaos.happens(0.012, "stream batch lost"):
            self._chaos.counted["stream records lost"] += len(changes)
        else:
            self._deliver([self._record(change) for change in changes])
        del self._shards[shard][: len(changes)]
        if self._shards[shard]:
            self._scheduler.after(0.05, lambda: self._poll(shard))
        else:
            self._polling[shard] = False

    def _deliver(self, batch: Sequence[StreamRecord]) -> None:
        for attempt in range(self._settings.max_retries + 1):
            self._scheduler.actor = Actor(self.name, self._scheduler.seconds + self._settings.timeout_s)
            try:
                self._consume(batch)
            except (Crash, TableError, OSError):
                self._chaos.strike("stream batch delivered again after a failure")
            else:
                if not self._chaos.happens(0.02, "stream batch delivered twice"):
                    break
            finally:
                self._scheduler.actor = None
            self._scheduler.actor = self.name
            self._scheduler.sleep(0.5 * 2**attempt)
            self._scheduler.actor = None
        else:
            self._chaos.strike("stream batch given up")
            self._give_up(f"{self.name}: {len(batch)} records")


class DeadLetterShelf:
    """The dead letters of every queue, as the desk sees them."""

    def __init__(self, chaos: Chaos) -> None:
        self._chaos = chaos
        self._queues: dict[str, tuple[Queue[object], Callable[[object], str]]] = {}

    def add(self, queue: Queue[object], written: Callable[[object], str]) -> None:
        """Let the desk see a queue; ``written`` is the text of one body."""
        self._queues[queue.name] = (queue, written)

    def names(self) -> Sequence[str]:
        return list(self._queues)

    def counts(self) -> dict[str, int]:
        self._chaos.step()
        return {name: len(queue.dead) for name, (queue, _) in self._queues.items()}

    def peek(self, queue: str) -> Iterator[DeadLetter]:
        self._chaos.step()
        found, written = self._queues[queue]
        for entry in list(found.dead.values()):
            yield DeadLetter(entry.id, written(entry.body))

    def redrive(self, queue: str, until: datetime, most: int, per_second: int) -> int:
        self._chaos.step()
        return self._queues[queue][0].redrive()

    def redrive_one(self, queue: str, letter: str, until: datetime) -> bool:
        self._chaos.step()
        return self._queues[queue][0].redrive(letter) == 1


class Silence:
    """People whom no history has: what they are told is lost."""

    def tell(self, subject: str, text: str) -> None:
        return


class FailureLog:
    """What stream consumers gave up."""

    def __init__(self) -> None:
        self.records: list[str] = []

    def take(self) -> Iterator[str]:
        while self.records:
            yield self.records.pop()

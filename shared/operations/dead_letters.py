"""Dead letters: what is left after every retry, shown as cases and sent through the same path again.

A dead letter stays in its queue, so that AWS's own redrive works on it too; its case is filed from a copy. Sending
it again is always safe: posting is once-only, and a push reads the number when it sends.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from shared.domain.cases import Case, CaseKind, case_id
from shared.domain.stock import ChannelId, Sku, StockKey
from shared.store.cases import Cases
from shared.store.listings import Listings
from shared.store.registry import Registry

REDRIVE_FOR = timedelta(seconds=15)
"""How long one call goes on redriving: whoever called is waiting for the answer."""

MOST_AT_ONCE = 10_000
"""Dead letters that one call sends again, unless it is told a smaller number."""

PER_SECOND = 100
"""Dead letters that are sent again in a second, unless another rate is asked for: what follows them takes its time."""

LARGEST_COPY = 20_000
"""Characters of a dead letter that its case keeps."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One message in a dead-letter queue."""

    id: str
    body: str


class DeadLetterQueues(Protocol):
    """All dead-letter queues, by name."""

    def names(self) -> Sequence[str]:
        """Return the names of all dead-letter queues."""
        ...

    def counts(self) -> dict[str, int]:
        """Return how many messages each queue holds, about."""
        ...

    def peek(self, queue: str) -> Iterable[DeadLetter]:
        """Yield messages of a queue without taking them away, each once."""
        ...

    def redrive(self, queue: str, until: datetime, most: int, per_second: int) -> int:
        """Move messages back to where they died, no faster than that; return how many.

        It ends when there are none, when ``most`` are moved, or when the time is up.
        """
        ...

    def redrive_one(self, queue: str, letter: str, until: datetime) -> bool:
        """Move one message back to where it died; return whether it was there."""
        ...


class DeadLetterDesk:
    """Files a case for each dead letter, and sends dead letters again."""

    def __init__(
        self,
        queues: DeadLetterQueues,
        cases: Cases,
        listings: Listings,
        registry: Registry,
        clock: Callable[[], datetime],
    ) -> None:
        self._queues = queues
        self._cases = cases
        self._listings = listings
        self._registry = registry
        self._clock = clock

    def counts(self) -> dict[str, int]:
        """Return how many dead letters each queue holds, about."""
        return self._queues.counts()

    def redrive(
        self, queue: str | None = None, *, most: int = MOST_AT_ONCE, per_second: int = PER_SECOND
    ) -> dict[str, int]:
        """Send dead letters of one queue, or of all, through their path again; return how many of each.

        Stops after ``REDRIVE_FOR``, or after ``most``; ``counts`` then says what is left for the next call.
        """
        moved: dict[str, int] = {}
        until = self._clock() + REDRIVE_FOR
        for name, waiting in self._queues.counts().items():
            left = most - sum(moved.values())
            if waiting and left > 0 and name == (queue or name) and self._clock() < until:
                moved[name] = self._queues.redrive(name, until, left, per_second)
        return moved

    def redrive_one(self, queue: str, letter: str) -> bool:
        """Send one dead letter through its path again; return whether it was there."""
        return self._queues.redrive_one(queue, letter, self._clock() + REDRIVE_FOR)

    def file(self) -> int:
        """File the case of every dead letter; return how many there are."""
        found = 0
        for queue in self._queues.names():
            for letter in self._queues.peek(queue):
                found += 1
                self._file(queue, letter)
        return found

    def _file(self, queue: str, letter: DeadLetter) -> None:
        """File a letter's case, once: what an operator says about it stands while the letter lies there."""
        hint = hint_of(letter)
        channel = None if hint is None else self._registry.network().channels.get(hint.channel)
        if hint is None or channel is None:
            unnamed = self._unnamed(queue, letter)
            if self._cases.find(unnamed.id) is None:
                self._cases.file(unnamed)
            return
        case = push_failed_case(hint.channel, hint.sku)
        if self._cases.has_part(case, letter.id):
            return
        now = self._clock()
        self._cases.file(
            Case(
                id=case,
                kind=CaseKind.PUSH_FAILED,
                title=f"the quantity of {hint.sku} could not be pushed to {channel.id}; it may show an old number",
                remedy="see that the channel answers, then redrive the dead letters",
                opened_at=now,
                updated_at=now,
                facts={
                    "channel": channel.id,
                    "sku": hint.sku,
                    "queue": queue,
                    "letter": letter.id,
                },
            )
        )
        # The listing is told of its case once that is there, or a success in between would find nothing to close; and
        # the letter is noted last, so that whoever is cut short before it files it again.
        for location in channel.locations:
            self._listings.trouble(channel.id, StockKey(hint.sku, location))
        self._cases.add_part(case, letter.id, now)

    def _unnamed(self, queue: str, letter: DeadLetter) -> Case:
        now = self._clock()
        return Case(
            id=case_id(CaseKind.DEAD_LETTER, queue, letter.id),
            kind=CaseKind.DEAD_LETTER,
            title=f"a message of {queue} failed every time it was tried",
            remedy="mend what made it fail, then redrive the dead letters",
            opened_at=now,
            updated_at=now,
            facts={"queue": queue, "letter": letter.id, "body": letter.body[:LARGEST_COPY]},
        )


def push_failed_case(channel: ChannelId, sku: Sku) -> str:
    """Name the case of a SKU that could not be pushed to a channel."""
    return case_id(CaseKind.PUSH_FAILED, channel, sku)


class PushHint(NamedTuple):
    """What a dead letter of a push queue is about."""

    channel: ChannelId
    sku: Sku


def hint_of(letter: DeadLetter) -> PushHint | None:
    """Read a dead letter as a push hint, if it is one."""
    try:
        said = json.loads(letter.body)
        channel, sku = said["channel"], said["sku"]
    except (ValueError, KeyError, TypeError):
        return None
    if not (isinstance(channel, str) and isinstance(sku, str) and sku):
        return None
    return PushHint(ChannelId(channel), Sku(sku))

"""Plays one seed: what happens is told to Onecount and carried to those who follow; they state their numbers; one is wrong."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from itertools import count
from random import Random

from infra.incidents.history import HOURS, KEYS, Happening, Historian
from infra.incidents.network import START, STOCKTAKE
from infra.incidents.observer import Observer
from infra.incidents.systems import Carried, Follower, followers
from shared.domain.stock import SourceId, StockKey

END = START + timedelta(hours=HOURS)


@dataclass(frozen=True, slots=True)
class Truth:
    """What was planted: known to the generator alone.

    Attributes
    ----------
    events
        The guilty events; empty where none is.
    partner
        The stock key that a fault of mapping is shared with.
    struck_at
        When the source's number went wrong.
    meanings
        What the number really means, in every way of writing it that comes to the same here.
    """

    kind: str
    source: SourceId
    element: str
    key: StockKey
    struck_at: datetime
    events: tuple[str, ...] = ()
    partner: StockKey | None = None
    meanings: tuple[str, ...] = ()


class World:
    """The network of one seed, before and while it is played."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)  # noqa: S311
        self.observer = Observer()
        self.followers = {follower.id: follower for follower in followers()}
        self.historian = Historian(self.random)
        self.history = self.historian.draw()
        self.truth: Callable[[], Truth | None] = lambda: None
        self.end = END
        self.counted_out: set[StockKey] = set()
        self.true_levels: dict[StockKey, dict[str, int]] = {key: {} for key in KEYS}
        self.on_shelf: dict[StockKey, int] = dict.fromkeys(KEYS, 0)
        self._due: list[tuple[datetime, int, Callable[[], None]]] = []
        self._number = count()

    @property
    def now(self) -> datetime:
        """The present instant."""
        return self.observer.now

    def schedule(self, at: datetime, action: Callable[[], None]) -> None:
        """Let something be done at an instant."""
        heapq.heappush(self._due, (at, next(self._number), action))

    def struck(self, truth: Callable[[], Truth | None], least: timedelta, most: timedelta) -> None:
        """Note that the fault has struck; the seed ends some time later, after ``least`` and before ``most``."""
        self.truth = truth
        self.end = min(END, self.now + least + (most - least) * self.random.random())

    def play(self) -> None:
        """Play to the end."""
        self._schedule_history()
        self._schedule_statements()
        self._schedule_spot_counts()
        at = START
        while at < END:
            at += timedelta(minutes=2)
            self.schedule(at, self.observer.sweep)
        while self._due and self._due[0][0] <= self.end:
            at, _, action = heapq.heappop(self._due)
            self.observer.now = at
            action()
            self.observer.settle()

    def _schedule_history(self) -> None:
        for happening in self.history:
            self.schedule(happening.at, partial(self._move, happening))
            told = timedelta(seconds=self.random.uniform(1, 20 if happening.is_of_shop else 75))
            self.schedule(happening.at + told, partial(self.observer.hear, happening))
            for follower in self.followers.values():
                if follower.cares(happening):
                    at = follower.arrival(happening, self.random)
                    carried = Carried(at, happening.key, happening.amounts, happening)
                    self.schedule(at, partial(self._carry, follower, carried))

    def _move(self, happening: Happening) -> None:
        self.on_shelf[happening.key] += happening.amounts.get("on_hand", 0)
        levels = self.true_levels[happening.key]
        for name, amount in happening.amounts.items():
            levels[name] = levels.get(name, 0) + amount

    def _carry(self, follower: Follower, carried: Carried) -> None:
        for handed in follower.tamper(carried):
            if handed.at <= self.now:
                follower.take(handed)
            else:
                self.schedule(handed.at, partial(follower.take, handed))

    def _schedule_statements(self) -> None:
        for follower in self.followers.values():
            at = START + timedelta(minutes=45) + follower.says_every * self.random.random()
            while at < END:
                self.schedule(at, partial(self._state, follower))
                at += follower.says_every * self.random.uniform(0.9, 1.1)

    def _state(self, follower: Follower) -> None:
        numbers = {key: follower.number(key) for key in KEYS if key.location in follower.places}
        follower.said_at = self.now
        follower.off_before = follower.off
        follower.off = {key: number - self._sound(follower, key) for key, number in numbers.items()}
        self._say(follower.id, follower.element, numbers)

    def _sound(self, follower: Follower, key: StockKey) -> int:
        """Return what a follower would say if it knew everything and had no fault."""
        declared = next(sound.meaning for sound in followers() if sound.id == follower.id)
        return sum(sign * self.true_levels[key].get(name, 0) for name, sign in declared.items())

    def _say(self, source: SourceId, element: str, numbers: dict[StockKey, int]) -> None:
        at, document = self.now, f"N-{next(self._number)}"
        hear = partial(self.observer.hear_statement, source, element, document, numbers, at)
        self.schedule(at + timedelta(seconds=self.random.uniform(1, 15)), hear)

    def _schedule_spot_counts(self) -> None:
        at = START + timedelta(hours=1)
        while at < END:
            at += timedelta(hours=self.random.uniform(0.5, 2))
            self.schedule(at, partial(self.spot_count, self.random.choice(KEYS)))

    def spot_count(self, key: StockKey, off: int = 0) -> None:
        """Count one shelf, ``off`` by what is counted wrong; what lies there is in the shelf, whatever the books say."""
        if key not in self.counted_out:
            self._say(STOCKTAKE, "on_hand", {key: self.on_shelf[key] + off})

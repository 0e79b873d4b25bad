"""Those who follow the warehouse: each with its own state, fed by its own handoff, saying its own number.

A handoff carries each happening once, after its own delay. A fault is a **tampering**: it sees what is about to be
carried and says what is carried instead.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import TypeAlias

from infra.incidents.history import Happening
from infra.incidents.network import EAST, ERP, PLANNER, START, WEBSHOP
from shared.domain.stock import SourceId, StockKey

Levels: TypeAlias = "dict[str, int]"


@dataclass(frozen=True, slots=True)
class Carried:
    """What a handoff hands over: changes of one stock key, at an instant."""

    at: datetime
    key: StockKey
    amounts: dict[str, int]
    happening: Happening


Tampering: TypeAlias = "Callable[[Carried], Sequence[Carried]]"


def untouched(carried: Carried) -> Sequence[Carried]:
    """Carry what is to be carried."""
    return [carried]


@dataclass(slots=True)
class Follower:
    """A system that follows.

    Attributes
    ----------
    element
        What it calls its number.
    meaning
        The signed quantities that its number adds up, as it was built.
    batch
        How far the runs of its handoff lie apart; None: a stream.
    says_every
        Time between two statements, more or less.
    scale
        What its number is multiplied by when it is said; 1 in a sound system.
    seen
        What it has taken over, in order.
    said_at, off, off_before
        When it last stated its numbers, and how far each was from the truth of that instant; and the time before.
    """

    id: SourceId
    element: str
    meaning: dict[str, int]
    batch: timedelta | None
    says_every: timedelta
    places: tuple[str, ...]
    tamper: Tampering = untouched
    scale: dict[StockKey, int] = field(default_factory=dict)
    levels: defaultdict[StockKey, defaultdict[str, int]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(int))
    )
    seen: list[Carried] = field(default_factory=list)
    said_at: datetime = START
    off: dict[StockKey, int] = field(default_factory=dict)
    off_before: dict[StockKey, int] = field(default_factory=dict)

    def cares(self, happening: Happening) -> bool:
        """Whether its own number would be touched."""
        return happening.key.location in self.places

    def arrival(self, happening: Happening, random: Random) -> datetime:
        """Return when its handoff brings something over: with the next batch, or after a little while."""
        if happening.is_of_shop and self.id == WEBSHOP:
            return happening.at
        if self.batch is None:
            return happening.at + timedelta(seconds=random.uniform(5, 240))
        told = happening.at + timedelta(seconds=random.uniform(1, 20))
        runs = (told - START) // self.batch + 1
        return START + runs * self.batch + timedelta(seconds=random.uniform(20, 90))

    def take(self, carried: Carried) -> None:
        """Take over what was carried."""
        self.seen.append(carried)
        for name, amount in carried.amounts.items():
            self.levels[carried.key][name] += amount

    def number(self, key: StockKey) -> int:
        """Return what it says of a stock key."""
        levels = self.levels[key]
        whole = sum(sign * levels[name] for name, sign in self.meaning.items())
        return whole * self.scale.get(key, 1)

    def effect(self, happening: Happening) -> int:
        """Return by how much a happening moves its number, if all goes well."""
        return sum(sign * happening.amounts.get(name, 0) for name, sign in self.meaning.items())


def followers() -> list[Follower]:
    """Return the systems that follow, all sound."""
    everywhere = ("east", "west")
    return [
        Follower(ERP, "on_hand", {"on_hand": 1}, timedelta(minutes=15), timedelta(minutes=60), everywhere),
        Follower(PLANNER, "on_hand", {"on_hand": 1}, None, timedelta(minutes=70), everywhere),
        Follower(
            WEBSHOP,
            "available",
            {"on_hand": 1, "quality_hold": -1, "reserved": -1},
            timedelta(minutes=5),
            timedelta(minutes=30),
            (EAST,),
        ),
    ]

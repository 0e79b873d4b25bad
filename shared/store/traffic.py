"""Traffic in the ``stock`` table: small integers for each handoff and hour, added up and never scanned.

An hour of the day has one item for each handoff; the next day it is begun anew. So the last 24 hours of a handoff are at
most 25 items, whatever goes through it; one more for each day is kept for good. What was seen is kept in memory and written once for a batch of work; it is a measurement,
so what a crash loses of it is lost, and a table that is busy never holds up the work that was measured.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import cast

from shared.domain.durations import Durations, bucket_of
from shared.domain.events import instant, parse_instant
from shared.domain.handoffs import Failure, Seen, Times, step_of
from shared.store.layout import traffic_day_key, traffic_key
from shared.store.table import (
    AnyOf,
    AttributeAbsent,
    Equals,
    Item,
    LessThan,
    Put,
    Table,
    TableError,
    Update,
    WriteRefusedError,
)

LONGEST_REASON = 200
"""Characters of a failure that are kept."""

_DAY = timedelta(days=1)

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Noted:
    """What was seen of one handoff since it was last written."""

    numbers: Counter[str] = field(default_factory=Counter)
    last_at: datetime | None = None
    failures: int = 0
    failure: Failure | None = None
    waited: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class TrafficDay:
    """What went through a handoff on one UTC day.

    ``waited`` is from when a change was announced until the other side confirmed it; of what we hand over alone.
    """

    day: date
    events: int
    failures: int
    waited: Durations


class Traffic:
    """Notes what goes through each handoff, and reads it back."""

    def __init__(self, table: Table, clock: Callable[[], datetime]) -> None:
        self._table = table
        self._clock = clock
        self._noted: dict[tuple[str, str], _Noted] = {}

    def passed(
        self,
        giver: str,
        taker: str,
        events: int,
        *,
        arriving: timedelta | None = None,
        posting: timedelta | None = None,
        waited: timedelta | None = None,
    ) -> None:
        """Note that events were handed over, and how long that took; ``waited`` since what they follow was announced."""
        noted = self._noted.setdefault((giver, taker), _Noted())
        noted.numbers["events"] += events
        if arriving is not None:
            noted.numbers[f"a{step_of(arriving)}"] += 1
        if posting is not None:
            noted.numbers[f"p{step_of(posting)}"] += 1
        if waited is not None:
            noted.waited[f"w{bucket_of(waited)}"] += 1
        noted.last_at = self._clock()

    def failed(self, giver: str, taker: str, reason: str) -> None:
        """Note that a handoff did not succeed."""
        noted = self._noted.setdefault((giver, taker), _Noted())
        noted.failures += 1
        noted.failure = Failure(self._clock(), reason[:LONGEST_REASON])

    def write(self) -> None:
        """Write what was noted; whatever the table says, the work that was measured goes on."""
        noted, self._noted = self._noted, {}
        for (giver, taker), one in noted.items():
            try:
                self._write(giver, taker, one)
            except TableError as error:
                log.warning(
                    "traffic_not_written", extra={"giver": giver, "taker": taker, "reason": str(error)}
                )

    def _write(self, giver: str, taker: str, noted: _Noted) -> None:
        told = {} if noted.last_at is None else {"last_at": instant(noted.last_at)}
        if noted.failure is not None:
            told |= {"failed_at": instant(noted.failure.at), "failure": noted.failure.reason}
        failures = {"failures": noted.failures} if noted.failures else {}
        self._table.write([Update(traffic_key(giver, taker), set=told, add=failures)])
        of_day = {"events": noted.numbers["events"], **failures, **noted.waited}
        day = str((noted.last_at or self._clock()).date())
        self._table.write([Update(traffic_day_key(giver, taker, day), add=of_day)])
        if noted.last_at is None:
            return
        hour = instant(noted.last_at)[:13]
        key = traffic_key(giver, taker, hour[11:])
        try:
            self._table.write([Update(key, add=noted.numbers, conditions=(Equals("hour", hour),))])
        except WriteRefusedError:
            older = AnyOf((AttributeAbsent("hour"), LessThan("hour", hour)))
            try:
                self._table.write([Put(key, {"hour": hour, **noted.numbers}, (older,))])
            except WriteRefusedError:  # somebody else began the hour meanwhile
                self._table.write([Update(key, add=noted.numbers, conditions=(Equals("hour", hour),))])

    def seen(self, giver: str, taker: str) -> Seen:
        """Return what was seen of a handoff in the last 24 hours."""
        now = self._clock()
        key = traffic_key(giver, taker)
        last: Item = self._table.get(key) or {}
        hours = [item for item in self._table.query(key.pk, prefix="H") if _began(item) > now - _DAY]
        recent = instant(now - timedelta(hours=1))[:13]
        failed_at = cast("str | None", last.get("failed_at"))
        last_at = cast("str | None", last.get("last_at"))
        return Seen(
            sum(_events(item) for item in hours if str(item["hour"]) > recent),
            sum(_events(item) for item in hours),
            _times(hours, "a"),
            _times(hours, "p"),
            None if last_at is None else parse_instant(last_at),
            cast(int, last.get("failures", 0)),
            None if failed_at is None else Failure(parse_instant(failed_at), cast(str, last["failure"])),
        )

    def days(self, giver: str, taker: str, first: date, last: date) -> list[TrafficDay]:
        """Return what went through a handoff on some days, both ends included; a day without anything is left out."""
        ends = [traffic_day_key(giver, taker, str(day)).sk for day in (first, last)]
        found = self._table.query(traffic_key(giver, taker).pk, first=ends[0], last=ends[1])
        return [
            TrafficDay(
                date.fromisoformat(cast(str, item["sk"])[1:]),
                _events(item),
                cast(int, item.get("failures", 0)),
                Durations(dict(_steps(item, "w"))),
            )
            for item in found
        ]


def _events(item: Item) -> int:
    return cast(int, item.get("events", 0))


def _began(item: Item) -> datetime:
    return parse_instant(f"{cast(str, item['hour'])}:00:00.000000Z")


def _times(hours: list[Item], letter: str) -> Times:
    steps: Counter[int] = Counter()
    for item in hours:
        for step, count in _steps(item, letter):
            steps[step] += count
    return Times(steps)


def _steps(item: Item, letter: str) -> Iterator[tuple[int, int]]:
    for name, value in item.items():
        if name[0] == letter and name[1:].isdecimal():
            yield int(name[1:]), cast(int, value)

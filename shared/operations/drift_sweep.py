"""Sweeping drift: compare every number with the ledger on schedule, those of fast movers each hour, the rest each day.

A comparison follows from an event: someone said a number, or the ledger moved. The sweep finds what no event will ever
announce: a stream record that was lost, a rule or a meaning that was declared anew, a case that was never filed.

How fast a stock key moves is read off its journal: it is a **fast mover** when its ``OFTEN``-th newest entry is younger
than a day. The daily sweep, which passes every stock key, marks those that are and unmarks those that no longer are;
the hourly one reads the marks alone. So neither costs more than it must, and nothing has to be declared.

The daily sweep is also the last net of the counters of the day (it has them count what no stream record announced), and
takes the measure of every system: how many of its numbers it compared, and how many agreed. These are written with the
cursor, in one transaction, so that each number of a sweep is in them once. So is what the stock of each location is worth
at its items' costs, each stock key as it stood when the sweep came by; and how the orders were filled that are old enough.

A sweep of a million stock keys takes longer than a function may run. Each run goes on where the last one ended, notes
how far it came after each batch, and a batch that is swept twice does no harm.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import islice
from typing import cast

from shared.domain.events import instant, parse_instant
from shared.domain.fill_rate import due
from shared.domain.inventory_value import worth_of
from shared.domain.stock import Counter as CounterOf
from shared.domain.stock import StockKey
from shared.domain.tallies import Place
from shared.operations.counting_events import EventCounter
from shared.operations.fill_sweep import filled
from shared.operations.reconcile import Reconciler, Verdict
from shared.store.layout import (
    SHARDS,
    balance_key,
    entry_key,
    fast_index,
    fast_key,
    key_of,
    shard,
    sweep_key,
)
from shared.store.ledger import LedgerMovedError
from shared.store.registry import Registry
from shared.store.table import (
    Action,
    AttributeAbsent,
    Delete,
    Equals,
    Item,
    Key,
    Put,
    Table,
    Update,
    Value,
    WriteRefusedError,
)
from shared.store.tallies import agreement_actions, filled_actions, worth_actions

OFTEN = 24
"""Journal entries in a day from which on a stock key is a fast mover: one an hour."""

EACH_HOUR, EACH_DAY = timedelta(hours=1), timedelta(days=1)

BATCH = 50
"""Stock keys that are swept at once."""

RESERVE_S = 15.0
"""Seconds that a run keeps for the batch it is at."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Swept:
    """What one run did: stock keys passed and numbers compared, hourly and daily; how many keys were marked anew."""

    fast: int = 0
    rest: int = 0
    numbers: int = 0
    turned: int = 0


class DriftSweep:
    """Compares everything on schedule."""

    def __init__(
        self,
        table: Table,
        registry: Registry,
        reconciler: Reconciler,
        counter: EventCounter,
        clock: Callable[[], datetime],
    ) -> None:
        self._counter = counter
        self._table = table
        self._registry = registry
        self._reconciler = reconciler
        self._clock = clock

    def run(self, seconds_left: Callable[[], float] = lambda: RESERVE_S + 1) -> Swept:
        """Sweep what is due, fast movers first, as far as the time goes; the next run goes on."""
        state = self._table.get(sweep_key()) or {}
        fast = self._hourly(state, seconds_left)
        rest = self._daily(state, seconds_left)
        return Swept(fast.fast, rest.rest, fast.numbers + rest.numbers, rest.turned)

    def _hourly(self, state: dict[str, Value], seconds_left: Callable[[], float]) -> Swept:
        now, passed, numbers = self._clock(), 0, 0
        if not _is_due(state.get("hourly_at"), EACH_HOUR, now):
            return Swept()
        at = cast(str, state.get("hourly_cursor") or "")
        for number, batch in self._marked(at):
            if seconds_left() < RESERVE_S:
                return Swept(fast=passed, numbers=numbers)
            numbers += len(self._compare(batch))
            passed += len(batch)
            self._note(hourly_cursor=f"{number}#{_place(batch[-1])}")
        self._note(hourly_at=instant(now), hourly_cursor="")
        return Swept(fast=passed, numbers=numbers)

    def _marked(self, after: str) -> Iterator[tuple[int, list[StockKey]]]:
        """Yield the fast movers behind a cursor, in batches of one shard each."""
        begun, _, place = after.partition("#")
        for number in range(int(begun or 0), SHARDS):
            first = f"{place}\x00" if after and number == int(begun) else ""
            listed = self._table.query_index("observed", fast_index(number), first=first)
            while batch := [key_of(key.pk) for key in islice(listed, BATCH)]:
                yield number, batch

    def _daily(self, state: dict[str, Value], seconds_left: Callable[[], float]) -> Swept:
        now, passed, numbers, turned = self._clock(), 0, 0, 0
        began = state.get("daily_began")
        if began is None:
            if not _is_due(state.get("daily_at"), EACH_DAY, now):
                return Swept()
            began = instant(now)
            self._note(daily_began=began)
        last = state.get("daily_at")
        days = due(parse_instant(cast(str, began)), None if last is None else parse_instant(cast(str, last)))
        day, cursor = parse_instant(cast(str, began)).date(), cast("str | None", state.get("daily_cursor"))
        for place, batch in self._all(cursor or ""):
            if seconds_left() < RESERVE_S:
                return Swept(rest=passed, numbers=numbers, turned=turned)
            found = self._table.get_many([at for key in batch for at in (balance_key(key), fast_key(key))])
            turned += self._mark(batch, found, now)
            worth = self._worth(batch, found)
            self._counter.all_of(batch)
            verdicts = self._compare(batch)
            numbers += len(verdicts)
            passed += len(batch)
            reached = f"{place}#{batch[-1].sku}"
            measured = [
                *agreement_actions(_agreement(verdicts, day)),
                *worth_actions(batch[0].location, day, worth),
                *filled_actions(batch[0].location, {} if days is None else filled(self._table, batch, days)),
            ]
            if not self._came_to(reached, cast(str, began), cursor, measured):
                log.info("swept_by_another", extra={"place": place})
                return Swept(rest=passed, numbers=numbers, turned=turned)
            cursor = reached
        self._table.write(
            [Update(sweep_key(), set={"daily_at": began}, remove=("daily_began", "daily_cursor"))]
        )
        return Swept(rest=passed, numbers=numbers, turned=turned)

    def _all(self, after: str) -> Iterator[tuple[str, list[StockKey]]]:
        """Yield every stock key behind a cursor, in batches of one location and shard each."""
        begun = tuple(after.split("#", 2)) if after else ("", "", "")
        for location in sorted(self._registry.network().locations):
            for number in range(SHARDS):
                place = (location, str(number))
                if place < begun[:2]:
                    continue
                first = f"{begun[2]}\x00" if place == begun[:2] else ""
                listed = self._table.query_index("by_location", f"{location}#{number}", first=first)
                while batch := [key_of(key.pk) for key in islice(listed, BATCH)]:
                    yield f"{location}#{number}", batch

    def _came_to(self, reached: str, began: str, cursor: str | None, measured: Sequence[Action]) -> bool:
        """Note how far the daily sweep came, with what it measured since; False if another run has gone on meanwhile."""
        since = AttributeAbsent("daily_cursor") if cursor is None else Equals("daily_cursor", cursor)
        note = Update(
            sweep_key(), set={"daily_cursor": reached}, conditions=(Equals("daily_began", began), since)
        )
        try:
            self._table.write([note, *measured])
        except WriteRefusedError:
            return False
        return True

    def _compare(self, batch: Sequence[StockKey]) -> list[Verdict]:
        """Compare a batch; a stock key that moves too fast to be read is left to its own events, and stops no sweep."""
        try:
            return self._reconciler.again(batch)
        except LedgerMovedError:
            if len(batch) == 1:
                log.info("too_busy_to_sweep", extra={"sku": batch[0].sku, "location": batch[0].location})
                return []
            return [verdict for key in batch for verdict in self._compare([key])]

    def _worth(self, keys: Sequence[StockKey], found: Mapping[Key, Item]) -> Counter[str]:
        """Add up what some stock keys of one location are worth."""
        held = {
            key: cast(int, found[balance_key(key)].get(CounterOf.ON_HAND, 0))
            for key in keys
            if balance_key(key) in found
        }
        items = self._registry.items.find(key.sku for key, units in held.items() if units)
        return worth_of(
            (units, items[key.sku].cost if key.sku in items else None) for key, units in held.items()
        )

    def _mark(self, keys: Sequence[StockKey], found: Mapping[Key, Item], now: datetime) -> int:
        """Mark the fast movers among some stock keys, and unmark those that are none; return how many turned."""
        newest = {
            key: cast(int, found[balance_key(key)].get("seq", 0)) for key in keys if balance_key(key) in found
        }
        decisive = {key: entry_key(key, seq - OFTEN) for key, seq in newest.items() if seq >= OFTEN}
        entries = self._table.get_many(list(decisive.values())) if decisive else {}
        fast = {
            key
            for key, at in decisive.items()
            if at in entries and now - parse_instant(cast(str, entries[at]["posted_at"])) <= EACH_DAY
        }
        marked = {key for key in keys if fast_key(key) in found}
        actions: list[Action] = [Delete(fast_key(key)) for key in marked - fast]
        actions += [Put(fast_key(key), _mark_of(key)) for key in fast - marked]
        if actions:
            self._table.write(actions)
        return len(actions)

    def _note(self, **fields: Value) -> None:
        self._table.write([Update(sweep_key(), set=fields)])


def _mark_of(key: StockKey) -> dict[str, Value]:
    return {"observed_pk": fast_index(shard(key.sku)), "observed_sk": _place(key)}


def _place(key: StockKey) -> str:
    """Return where a fast mover stands among those of its shard."""
    return fast_key(key).pk


def _agreement(verdicts: Iterable[Verdict], day: date) -> dict[Place, Counter[str]]:
    """Add up what was found of the systems' numbers; what it is too early to judge is left out."""
    found: defaultdict[Place, Counter[str]] = defaultdict(Counter)
    for one in verdicts:
        if one.agrees is not None:
            tally = found[Place(one.seen.location, day, one.seen.source)]
            tally.update(compared=1, agreed=int(one.agrees), equal=int(one.is_equal))
    return dict(found)


def _is_due(last: object, every: timedelta, now: datetime) -> bool:
    return last is None or now - parse_instant(cast(str, last)) >= every

"""Confirming: how long it takes from an event until each connected system says a number that has it in it.

Behind the comparison and never inside it: what a system says is compared as ever, and only then is measured what an
equal number confirms. How far a system is known to have heard is written in one transaction with the counters, on
condition that nobody has counted those events meanwhile; so a batch that comes again adds nothing. Whatever the table says
to that, nothing is raised: the next number that agrees measures what is left, and then as later.
"""

from __future__ import annotations

import logging
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import NamedTuple, cast

from shared.domain.confirmation import Confirmed, Posted, counters_of, newly_confirmed
from shared.domain.drift import Observation, parse_formula
from shared.domain.durations import bucket_of
from shared.domain.events import instant, parse_instant
from shared.domain.stock import StockKey
from shared.operations.footprint import movements_that_stand
from shared.operations.reconcile import Reconciler
from shared.store.bulk import write_each
from shared.store.layout import confirmed_key, confirmed_tally_key
from shared.store.ledger import Ledger
from shared.store.ledger_items import Balance, JournalEntry
from shared.store.registry import Registry
from shared.store.table import (
    Absent,
    Action,
    Equals,
    Item,
    Key,
    Table,
    TableError,
    ThrottledError,
    Update,
    WriteConflictError,
    WriteRefusedError,
)

MOST_ENTRIES = 400
"""Journal entries, the newest, among which one number confirms events."""

RECORDED_LATE = timedelta(minutes=10)
"""How much earlier than it happened something may at most be posted: clocks differ."""

TOGETHER = 25
"""Numbers that are measured in one transaction."""

ATTEMPTS = 6
"""Times that one transaction is tried: others add to the same day."""

log = logging.getLogger(__name__)


class _News(NamedTuple):
    """What one number confirms: how far its system is known to have heard then, and the counters that it adds to."""

    goes_on: Update
    tally: Key
    steps: Counter[str]


class Confirmer:
    """Compares what systems say, and measures what that confirms."""

    def __init__(
        self,
        table: Table,
        registry: Registry,
        reconciler: Reconciler,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._table = table
        self._ledger = Ledger(table)
        self._registry = registry
        self._reconciler = reconciler
        self._pause = pause

    def observed(self, observations: Sequence[Observation]) -> None:
        """Compare what these sources say now; an equal number confirms what had been posted before that."""
        balances = self._ledger.balances({StockKey(seen.sku, seen.location) for seen in observations})
        verdicts = self._reconciler.observed(observations)
        try:
            self._measure([one.seen for one in verdicts if one.is_equal], balances)
        except TableError as error:
            log.warning("not_confirmed", extra={"numbers": len(verdicts), "reason": str(error)})

    def _measure(self, equal: Sequence[Observation], balances: Mapping[StockKey, Balance]) -> None:
        known = self._table.get_many([confirmed_key(seen) for seen in equal])
        began, news = list[Update](), list[_News]()
        for seen in equal:
            balance = balances[StockKey(seen.sku, seen.location)]
            now = Confirmed(seen.as_of, balance.seq)
            found = known.get(confirmed_key(seen))
            if found is None:
                began.append(_began(seen, now))
                continue
            before = _confirmed(found)
            nothing_new = now.entries == before.entries and balance.is_settled_at(before.as_of)
            if now.as_of <= before.as_of or now.entries < before.entries or nothing_new:
                continue
            steps = Counter(f"t{bucket_of(one)}" for one in self._waited(seen, balance.key, before, now))
            tally = confirmed_tally_key(seen.source, str(seen.as_of.date()), seen.location)
            news.append(_News(_goes_on(seen, before, now), tally, steps))
        write_each(self._table, began)
        for first in range(0, len(news), TOGETHER):
            self._add(news[first : first + TOGETHER])

    def _waited(self, seen: Observation, key: StockKey, before: Confirmed, now: Confirmed) -> list[timedelta]:
        """Return how long events waited that a number confirms; not what was undone, nor the undoing: both are as if never."""
        meaning = self._registry.network().sources[seen.source].meaning[seen.element]
        entries: list[JournalEntry] = []
        top, wanted = now.entries, now.entries - before.entries + 1
        while top > 0 and len(entries) < MOST_ENTRIES:
            page = self._ledger.journal(key, before_seq=top, limit=min(wanted, 100))
            entries += page
            if not page:
                break
            top, wanted = page[-1].seq, 100
            if top < before.entries and page[-1].posted_at + RECORDED_LATE < before.as_of:
                break
        stand = {line.event_key for line in movements_that_stand(entries)}
        posted = [Posted(one.seq, [line for line in one.lines if line.event_key in stand]) for one in entries]
        return newly_confirmed(before, now, posted, seen.source, counters_of(parse_formula(meaning)))

    def _add(self, news: list[_News]) -> None:
        """Add what some numbers confirm, in one transaction; leave out those that somebody else has measured meanwhile."""
        for attempt in range(ATTEMPTS):
            try:
                if news:
                    self._table.write(_actions(news))
            except WriteRefusedError as refused:
                at_fault = {refusal.action.key for refusal in refused.refusals}
                news = [one for one in news if one.goes_on.key not in at_fault]
            except (WriteConflictError, ThrottledError):
                self._pause(random.uniform(0.5, 1) * 0.02 * 2**attempt)  # noqa: S311 - no secret depends on it
            else:
                return
        log.info("confirming_gave_way", extra={"numbers": len(news)})


def _actions(news: Sequence[_News]) -> list[Action]:
    sums: defaultdict[Key, Counter[str]] = defaultdict(Counter)
    for one in news:
        sums[one.tally].update(one.steps)
    return [
        *(one.goes_on for one in news),
        *(Update(tally, add=dict(steps)) for tally, steps in sums.items() if steps),
    ]


def _confirmed(item: Item) -> Confirmed:
    return Confirmed(parse_instant(cast(str, item["as_of"])), cast(int, item["entries"]))


def _began(seen: Observation, now: Confirmed) -> Update:
    return Update(
        confirmed_key(seen),
        set={"as_of": instant(now.as_of), "entries": now.entries},
        conditions=(Absent(),),
    )


def _goes_on(seen: Observation, before: Confirmed, now: Confirmed) -> Update:
    return Update(
        confirmed_key(seen),
        set={"as_of": instant(now.as_of), "entries": now.entries},
        conditions=(Equals("as_of", instant(before.as_of)), Equals("entries", before.entries)),
    )

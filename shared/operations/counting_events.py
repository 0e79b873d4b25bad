"""Counting: what was posted becomes counters of the day, behind the posting and never inside it.

The stream says that a journal has grown; what is counted is the journal itself, from where the counters end. So a
batch that comes twice adds nothing, one that is lost is made up for by the next posting to its stock key or by the
daily sweep, and counting that fails holds up nobody: a measurement is never worth a delay. Posting itself writes
nothing more for it.

A first entry that adds nothing, as the count with which a stock key begins, is not written down: the next posting begins
there again.

The price: for each stock key of a batch a read of two small items, many in one request, and a conditional write; one write
for each location and source of the batch; a read of the item where units were lost or gained, for its cost; a small item
for each bin or lot that is counted, read then and written the first time; and where an opening moves (an earlier count
comes late, or the opening is undone), or the whole is first counted after bins were, a read of the whole journal.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from shared.domain.network import MANUAL, Source
from shared.domain.stock import SourceId, StockKey
from shared.domain.tallies import Counted, Entry, Progress, count_entries, leaves_counted
from shared.sources.registry import FILE_CONNECTORS
from shared.store.ledger import Ledger
from shared.store.ledger_items import JournalEntry
from shared.store.registry import Registry
from shared.store.table import (
    MAX_ACTIONS,
    Table,
    TableError,
    ThrottledError,
    WriteConflictError,
    WriteRefusedError,
)
from shared.store.tallies import Tallies

TOGETHER = 25
"""Stock keys that are counted in one transaction."""

ENTRIES = 200
"""Journal entries of one stock key that are counted at once."""

ROUNDS = 5
"""How often in a row a journal is gone on with; the sweep counts what is left."""

ATTEMPTS = 6
"""Times that one transaction is tried: others add to the same day."""

KEEPS_LEVELS = FILE_CONNECTORS | {"shopify"}
"""Connectors whose numbers are what a system keeps, unless their source is declared to be counted by hand."""

NOTHING = Entry(datetime.min.replace(tzinfo=UTC), ())
"""Stands for an entry that is not there: `verify` says so, and the counters go on."""

log = logging.getLogger(__name__)


def is_physical(source: Source) -> bool:
    """Whether the counts of a source are of what is on the shelf, rather than of what a system keeps."""
    return source.counted_by_hand or source.connector not in KEEPS_LEVELS


class EventCounter:
    """Keeps the counters of each day."""

    def __init__(
        self,
        table: Table,
        registry: Registry,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._table = table
        self._ledger = Ledger(table)
        self._tallies = Tallies(table)
        self._registry = registry
        self._pause = pause

    def grown(self, lengths: Mapping[StockKey, int]) -> list[Counted]:
        """Count journals up to the lengths that they have reached; return what was added.

        Whatever the table says, nothing is raised: what could not be counted now is counted later.
        """
        done: list[Counted] = []
        for _ in range(ROUNDS):
            try:
                added = self._count(lengths)
            except TableError as error:
                log.warning("not_counted", extra={"stock_keys": len(lengths), "reason": str(error)})
                break
            done += added
            if not any(lengths[one.key] > one.after.entries for one in added):
                break
        return done

    def all_of(self, keys: Sequence[StockKey]) -> list[Counted]:
        """Count what is left of some journals; for the sweep, that passes every stock key."""
        return self.grown({key: balance.seq for key, balance in self._ledger.balances(keys).items()})

    def _count(self, lengths: Mapping[StockKey, int]) -> list[Counted]:
        """Count the next entries of those journals that are longer than was counted; return what that added."""
        behind = [
            (key, progress)
            for key, progress in self._tallies.progress(lengths).items()
            if progress.entries < lengths[key]
        ]
        done: list[Counted] = []
        for first in range(0, len(behind), TOGETHER):
            counted = self._next(dict(behind[first : first + TOGETHER]), lengths)
            done += self._add([one for one in counted if _is_kept(one, lengths[one.key])])
        return done

    def _next(self, behind: Mapping[StockKey, Progress], lengths: Mapping[StockKey, int]) -> list[Counted]:
        """Return what the next entries of some journals add, valued."""
        sources = self._registry.network().sources
        spans = {
            key: range(before.entries, min(lengths[key], before.entries + ENTRIES))
            for key, before in behind.items()
        }
        found = self._ledger.entries_of(spans)
        known = self._with_first_counts(behind, found)
        counted = [
            self._counted(key, before, found[key], spans[key], sources) for key, before in known.items()
        ]
        lost = [one for one in counted if one.has_losses]
        items = self._registry.items.find({one.key.sku for one in lost}) if lost else {}
        for one in lost:
            one.value(items[one.key.sku].cost if one.key.sku in items else None)
        return counted

    def _with_first_counts(
        self, behind: Mapping[StockKey, Progress], found: Mapping[StockKey, Mapping[int, JournalEntry]]
    ) -> dict[StockKey, Progress]:
        """Return how far journals were counted, with the first counts of the leaves that the next entries count."""
        leaves = {key: leaves_counted(one.lines for one in found[key].values()) for key in behind}
        firsts = self._tallies.first_counts(leaves)
        return {
            key: replace(before, firsts={**before.firsts, **firsts[key]}) for key, before in behind.items()
        }

    def _counted(
        self,
        key: StockKey,
        before: Progress,
        known: Mapping[int, JournalEntry],
        span: range,
        sources: Mapping[SourceId, Source],
    ) -> Counted:
        """Return what the next entries of a journal add, as many of them as fit into one transaction."""
        while True:
            entries = [
                Entry(known[seq].posted_at, known[seq].lines) if seq in known else NOTHING for seq in span
            ]
            counted = count_entries(
                key,
                before,
                entries,
                lambda: (one.lines for one in self._ledger.entries(key, 0, before.entries - 1)),
                lambda name: is_physical(sources.get(name, MANUAL)),
            )
            if len(span) == 1 or len(self._tallies.actions([counted])) <= MAX_ACTIONS:
                return counted
            span = span[: len(span) // 2]

    def _add(self, counted: Sequence[Counted]) -> list[Counted]:
        """Add what some journals' entries add; leave out those that somebody else counts meanwhile."""
        waiting = list(counted)
        for attempt in range(ATTEMPTS):
            actions = self._tallies.actions(waiting)
            if len(actions) > MAX_ACTIONS and len(waiting) > 1:
                middle = len(waiting) // 2
                return [*self._add(waiting[:middle]), *self._add(waiting[middle:])]
            try:
                if waiting:
                    self._table.write(actions)
            except WriteRefusedError as refused:
                at_fault = {refusal.action.key for refusal in refused.refusals}
                waiting = [one for one in waiting if self._tallies.actions([one])[0].key not in at_fault]
            except (WriteConflictError, ThrottledError):
                self._pause(random.uniform(0.5, 1) * 0.02 * 2**attempt)  # noqa: S311 - no secret depends on it
            else:
                return waiting
        log.info("counting_gave_way", extra={"stock_keys": len(waiting)})
        return []


def _is_kept(one: Counted, length: int) -> bool:
    """Whether it is written down how far a journal was counted: not where its one entry adds nothing."""
    return one.adds or one.after.entries < length or one.after.entries > 1

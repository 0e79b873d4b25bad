"""Reading what happened lately to stock keys: their order lines and their journal, bounded, and nothing is written.

Which stock keys: fast movers first (they are marked, see ``drift_sweep.py``), then the rest of the locations in order of
SKU, as many as the reader is asked for; whoever reports from them says when there were more.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime, timedelta
from itertools import islice

from shared.domain.activity import Activity, Change, Sold
from shared.domain.drill import COUNTED
from shared.domain.ledger import Cause
from shared.domain.openings import Firsts, firsts_of, is_opening, standing
from shared.domain.reservation import OrderLine
from shared.domain.stock import Counter, EventKey, Leaf, LocationId, Quantity, StockKey
from shared.operations.footprint import movements_that_stand
from shared.store.layout import SHARDS, fast_index, key_of
from shared.store.ledger import Ledger
from shared.store.ledger_items import JournalEntry
from shared.store.orders import Orders
from shared.store.table import Table
from shared.store.tallies import Tallies

LOOK_BACK = timedelta(days=7)
"""How far back is looked: a week has every weekday once."""

MOST_KEYS = 200
"""Stock keys that are read for one answer: each costs some ten reads."""

MOST_LINES = 500
"""Order lines of one stock key that are read."""

MOST_ENTRIES = 300
"""Journal entries of one stock key that are read, the newest."""

SHIPPED = "shipment"
"""The kind of a change by which units left for an order."""

_PAGE = 100


class ActivityReader:
    """Reads what happened to stock keys."""

    def __init__(self, table: Table, clock: Callable[[], datetime]) -> None:
        self._table = table
        self._ledger = Ledger(table)
        self._orders = Orders(table)
        self._tallies = Tallies(table)
        self._clock = clock

    def keys(self, locations: Collection[LocationId], most: int = MOST_KEYS) -> tuple[list[StockKey], bool]:
        """Return stock keys of some locations, fast movers first, and whether those are all."""
        found = list(islice(self._candidates(locations), most + 1))
        return found[:most], len(found) <= most

    def _candidates(self, locations: Collection[LocationId]) -> Iterator[StockKey]:
        seen = set[StockKey]()
        for key in self._listed(locations):
            if key not in seen:
                seen.add(key)
                yield key

    def _listed(self, locations: Collection[LocationId]) -> Iterator[StockKey]:
        for number in range(SHARDS):
            marked = (key_of(at.pk) for at in self._table.query_index("observed", fast_index(number)))
            yield from (key for key in marked if key.location in locations)
        for location in sorted(locations):
            for number in range(SHARDS):
                yield from (
                    key_of(at.pk) for at in self._table.query_index("by_location", f"{location}#{number}")
                )

    def of(self, key: StockKey, look_back: timedelta = LOOK_BACK) -> Activity:
        """Return what happened to a stock key lately."""
        now = self._clock()
        since = now - look_back
        entries, complete = self._entries(key, since)
        changed = self._orders.of_stock_key(key, changed_since=since)
        # What left by a transfer is in the journal.
        lines = list(islice((line for line in changed if not line.is_of_a_transfer), MOST_LINES + 1))
        sold = [one for line in lines[:MOST_LINES] for one in _sold(line, key) if one.at >= since]
        shipped = [
            Change(one.at, one.quantity, SHIPPED, one.event_key)
            for line in lines[:MOST_LINES]
            for one in line.shipments.values()
            if one.at >= since and one.location in ("", key.location)
        ]
        firsts = self._first_counts(key, entries)
        found = (*_moved(entries), *_corrected(entries, firsts))
        changes = tuple(change for change in found if change.at >= since)
        is_complete = complete and len(lines) <= MOST_LINES
        return Activity(
            key,
            since,
            now,
            tuple(sold),
            changes,
            tuple(shipped),
            is_complete,
            min(firsts.values(), default=None),
        )

    def _first_counts(self, key: StockKey, entries: Sequence[JournalEntry]) -> dict[Leaf, datetime]:
        """Return the instant of the earliest count of each leaf that stands.

        What was not read of the journal is known by how far its counters have come (``domain/tallies.py``).
        """
        read = firsts_of(standing(entry.lines for entry in reversed(entries)))
        if entries and entries[-1].seq > 0:
            for leaf, at in self._tallies.all_first_counts(key).items():
                read[leaf] = min(at, read.get(leaf, at))
        return read

    def _entries(self, key: StockKey, since: datetime) -> tuple[list[JournalEntry], bool]:
        """Return the newest journal entries back to an instant, and whether those are all."""
        found: list[JournalEntry] = []
        before: int | None = None
        while len(found) < MOST_ENTRIES:
            page = self._ledger.journal(key, before_seq=before, limit=_PAGE)
            found += page
            if not page or page[-1].seq == 0 or page[-1].posted_at < since:
                return found, True
            before = page[-1].seq
        return found, False


def _sold(line: OrderLine, key: StockKey) -> Iterator[Sold]:
    for held in line.history:
        if held.quantity > 0 and held.location == key.location:
            yield Sold(held.at, held.quantity, line.channel)


def _moved(entries: Sequence[JournalEntry]) -> Iterator[Change]:
    """Yield what movements changed on hand and nobody took back, leaves of one event together."""
    found: defaultdict[tuple[EventKey, datetime], Quantity] = defaultdict(int)
    for line in movements_that_stand(entries):
        if line.slot.counter is Counter.ON_HAND:
            found[line.event_key, line.valid_at] += line.quantity
    for (event, at), units in found.items():
        if units:
            yield Change(at, units, kind_of(event), event)


def _corrected(entries: Sequence[JournalEntry], firsts: Firsts) -> Iterator[Change]:
    """Yield by how much the counts of each instant correct what was on hand, as they stand now; not openings.

    A late movement that a count had seen is a line of that count's instant, as is what takes a count out again: only
    all of them together say what the count corrects. Where the count itself was not read, they say nothing.
    """
    units: defaultdict[datetime, Quantity] = defaultdict(int)
    counted: dict[datetime, EventKey] = {}
    for line in (line for entry in entries for line in entry.lines):
        if line.cause is Cause.MOVEMENT or line.slot.counter is not Counter.ON_HAND:
            continue
        if not is_opening(line.slot.leaf, line.valid_at, firsts):
            units[line.valid_at] += line.quantity
            if line.cause is Cause.COUNT:
                counted.setdefault(line.valid_at, line.event_key)
    for at, event in counted.items():
        if units[at]:
            yield Change(at, units[at], COUNTED, event)


def kind_of(event: EventKey) -> str:
    """Return a movement's own word for what it does, the last but one part of its key."""
    parts = event.split("/")
    return parts[-2] if len(parts) >= _KEY_PARTS else "movement"


_KEY_PARTS = 5
"""Parts of a movement's key: source, document, line, effect, version."""

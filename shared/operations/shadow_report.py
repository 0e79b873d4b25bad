"""The shadow report: what a source or channel would have done since it is in shadow, read from what was kept.

Of a channel: which listings it would have been sent another number than they show, and the orders by which it
oversold what a live channel would not have offered, which were found as they came (``rehearse.py``); those of the last
minutes are looked for again, for an index may have lagged behind. Of a source: the events that it would have posted, by kind and by
stock key; and, as drift compares totals alone, its last number of each bin and lot beside the ledger's as of the same
instant. Reading is bounded by ``MOST_READ`` stock keys; more are said to be left out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice, pairwise

from shared.domain.ledger import Slot
from shared.domain.rollout import Mode
from shared.domain.shadow import Numbers, Prevented, Withheld, prevented
from shared.domain.stock import ChannelId, Quantity, SourceId, StockKey
from shared.store.ledger import Ledger
from shared.store.registry import Registry
from shared.store.rollouts import CHANNEL
from shared.store.shadows import KEPT_OVERSELLS, PLACES, Rehearsed, Shadows
from shared.store.table import Table

MOST_READ = 50_000
"""Stock keys of one system that are read."""

MOST_PARTS = 1_000
"""Bins and lots that are compared: each costs a read or two."""

JUST_NOW = timedelta(minutes=5)
MOST_AGAIN = 100
"""Listings that changed just now whose orders are read once more."""


@dataclass(frozen=True, slots=True)
class ShadowListing:
    """One listing: its mode now, its numbers as they were last kept, and how many it would have been sent."""

    key: StockKey
    mode: Mode
    last: Numbers
    pushes: int

    @property
    def apart(self) -> Quantity:
        """Units by which what it shows stands above what it would be sent; 0 where one is not known."""
        if self.last.ours is None or self.last.theirs is None:
            return 0
        return self.last.theirs - self.last.ours


@dataclass(frozen=True, slots=True)
class ChannelShadow:
    """What a channel would have been sent; ``listings`` the furthest apart first, ``oversells`` in order of time."""

    channel: ChannelId
    listings: tuple[ShadowListing, ...]
    oversells: tuple[tuple[StockKey, Prevented], ...]
    is_complete: bool

    @property
    def prevented_units(self) -> Quantity:
        return sum(one.units for _, one in self.oversells)


@dataclass(frozen=True, slots=True)
class Posting:
    """What a source would have posted of one stock key; ``is_complete`` unless it said more than is kept."""

    key: StockKey
    events: tuple[Withheld, ...]
    is_complete: bool


@dataclass(frozen=True, slots=True)
class Part:
    """What a source last said of a bin or lot, and what the ledger says as of then; None: it was never posted to."""

    key: StockKey
    slot: Slot
    at: datetime
    theirs: Quantity
    ours: Quantity | None


@dataclass(frozen=True, slots=True)
class SourceShadow:
    """What a source would have posted: events and units by kind, and stock keys, those with most events first.

    ``parts`` are its last numbers of bins and lots.
    """

    source: SourceId
    kinds: dict[str, tuple[int, Quantity]]
    postings: tuple[Posting, ...]
    is_complete: bool
    parts: tuple[Part, ...] = ()


class ShadowDesk:
    """Reads shadow reports."""

    def __init__(self, table: Table, registry: Registry, clock: Callable[[], datetime]) -> None:
        self._shadows = Shadows(table)
        self._ledger = Ledger(table)
        self._registry = registry
        self._clock = clock

    def of_channel(self, channel: ChannelId) -> ChannelShadow:
        """Report what a channel that is or was in shadow would have been sent."""
        rollout = self._registry.rollouts.of(CHANNEL, channel)
        kept = self._shadows.rehearsed(channel)
        listings, oversells = list[ShadowListing](), list[tuple[StockKey, Prevented]]()
        is_complete = True
        again = 0
        for one in islice(kept, MOST_READ):
            rule = rollout.rule_of(one.key.sku, one.key.location)
            until = None if rule.version == one.version else rule.since
            listings.append(ShadowListing(one.key, rule.mode, one.numbers[-1], _pushes(one.numbers)))
            found = {(each.sale.order, each.sale.line, each.sale.at): each for each in one.oversells}
            if self._clock() - one.numbers[-1].at <= JUST_NOW and again < MOST_AGAIN:
                again += 1
                newly = self._oversells(channel, one, until)
                found |= {(each.sale.order, each.sale.line, each.sale.at): each for each in newly}
            oversells += ((one.key, each) for each in found.values())
            is_complete = is_complete and len(one.oversells) < KEPT_OVERSELLS
        listings.sort(key=lambda row: (-abs(row.apart), row.key.sku, row.key.location))
        oversells.sort(key=lambda row: (row[1].sale.at, row[1].sale.order, row[1].sale.line))
        return ChannelShadow(
            channel, tuple(listings), tuple(oversells), is_complete and next(kept, None) is None
        )

    def _oversells(self, channel: ChannelId, one: Rehearsed, until: datetime | None) -> list[Prevented]:
        if not any(numbers.stand_above for numbers in one.numbers):
            return []
        sales = self._shadows.sales(channel, one.key, one.numbers[0].at)
        return list(prevented(one.numbers, sales, until))

    def of_source(self, source: SourceId) -> SourceShadow:
        """Report what a source that is or was in shadow would have posted."""
        kept = self._shadows.withheld(source)
        postings = [
            Posting(key, tuple(events), len(events) < PLACES) for key, events in islice(kept, MOST_READ)
        ]
        kinds: defaultdict[str, list[Withheld]] = defaultdict(list)
        for posting in postings:
            for event in posting.events:
                kinds[event.what].append(event)
        postings.sort(key=lambda row: (-len(row.events), row.key.sku, row.key.location))
        parts = list(islice(self._shadows.parts(source), MOST_PARTS + 1))
        return SourceShadow(
            source,
            {what: (len(events), sum(e.units for e in events)) for what, events in sorted(kinds.items())},
            tuple(postings),
            next(kept, None) is None
            and all(posting.is_complete for posting in postings)
            and len(parts) <= MOST_PARTS,
            tuple(self._parts(parts[:MOST_PARTS])),
        )

    def _parts(self, said: Sequence[tuple[StockKey, Withheld]]) -> Iterator[Part]:
        """Put numbers of bins and lots beside the ledger as of their own instants."""
        by_key: defaultdict[StockKey, list[tuple[Slot, Withheld]]] = defaultdict(list)
        for key, one in said:
            if one.part is not None:
                by_key[key].append((one.part, one))
        for key, numbers in by_key.items():
            ours = self._ledger.parts_as_of(key, [(slot, one.at) for slot, one in numbers])
            for slot, one in numbers:
                yield Part(key, slot, one.at, one.units, ours.get((slot, one.at)))


def _pushes(numbers: Sequence[Numbers]) -> int:
    """Count the numbers that it would have been sent: the first if it showed another, then each that was new."""
    first = numbers[0].differ
    return first + sum(now.ours is not None and now.ours != before.ours for before, now in pairwise(numbers))

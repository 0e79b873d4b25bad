"""Advice, read from what the house has measured: unusual movements, buffers, what to count next, how reliable sites are.

Which case to take first is ranked elsewhere (``work_queue.py``). Reading only: no advice changes a number, a rule or a
case, and each row carries the figures that it rests on. At most ``MOST_KEYS`` stock keys are read, fast movers first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from shared.domain.activity import Activity, pace
from shared.domain.advice import (
    BufferAdvice,
    ErrorRate,
    KeyBuffer,
    Latency,
    SiteReliability,
    ToCount,
    Unusual,
    buffer_advice,
    error_rate,
    ranked_sites,
    ranked_to_count,
    to_count,
    unusual_movements,
)
from shared.domain.availability import Standing, promise
from shared.domain.cases import CaseKind, CaseStatus
from shared.domain.handoffs import OURSELVES, Times
from shared.domain.ledger import Slot
from shared.domain.network import Channel
from shared.domain.stock import WHOLE, Counter, LocationId, Quantity, Sku, StockKey
from shared.domain.transfer import Effect, Transfer
from shared.operations.activity import MOST_KEYS, ActivityReader
from shared.operations.drift_desk import DriftDesk
from shared.operations.promises import Promises
from shared.store.cases import EVERY_PAGE, Cases
from shared.store.ledger import Ledger
from shared.store.registry import Network, Registry
from shared.store.table import Table
from shared.store.traffic import Traffic
from shared.store.transfers import Transfers

RECENT = timedelta(days=7)
"""How far back a movement may lie to be told as unusual."""

KNOWN_FOR = timedelta(days=28)
"""How far back is read of what is usual, of counts, of drift and of transfers."""

MOST_TRANSFERS = 500

_OF_95, _BUFFERS = 95, ("safety_stock", "buffer_percent", "components_withheld")

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Advice(Generic[Row]):
    """Advice on one topic: its rows, the first to look at first, and how many stock keys were looked at, or sites.

    ``is_complete`` is false where there were more than were read.
    """

    rows: tuple[Row, ...]
    looked_at: int
    is_complete: bool = True
    by: str = ""


class Adviser:
    """Reads advice."""

    def __init__(self, table: Table, registry: Registry, cases: Cases, clock: Callable[[], datetime]) -> None:
        self._registry = registry
        self._cases = cases
        self._clock = clock
        self._reader = ActivityReader(table, clock)
        self._ledger = Ledger(table)
        self._promises = Promises(table, registry, clock)
        self._traffic = Traffic(table, clock)
        self._transfers = Transfers(table)

    def movements(self, most: int = MOST_KEYS) -> Advice[Unusual]:
        """Return unusual movements of the last days, the furthest off first."""
        keys, is_complete = self._reader.keys(self._registry.network().locations, most)
        since = self._clock() - RECENT
        found = [one for activity in self._of(keys) for one in unusual_movements(activity, since)]
        found.sort(key=lambda one: (-one.times, one.key.sku, one.key.location, one.event))
        return Advice(tuple(found), len(keys), is_complete)

    def counts(self, most: int = MOST_KEYS) -> Advice[ToCount]:
        """Return which stock keys to count next."""
        keys, is_complete = self._reader.keys(self._registry.network().locations, most)
        drifts, read = self._open_drift(), list(self._of(keys))
        drifting = [key for key in drifts if key not in set(keys)]
        read += self._of(drifting)
        rate = error_rate(read)
        rows = ranked_to_count(self._to_count(read, drifts, rate))
        return Advice(tuple(rows), len(read), is_complete, str(rate))

    def _to_count(
        self, read: Sequence[Activity], drifts: dict[StockKey, Quantity], rate: ErrorRate
    ) -> Iterator[ToCount]:
        balances = self._ledger.balances(activity.key for activity in read)
        items = self._registry.items.find({activity.key.sku for activity in read})
        slot = Slot(WHOLE, Counter.ON_HAND)
        for activity in read:
            clock = balances[activity.key].clocks.get(slot)
            last = None if clock is None or clock.last_count is None else clock.last_count.as_of
            item = items.get(activity.key.sku)
            price = None if item is None else item.price
            yield to_count(activity, last, drifts.get(activity.key, 0), price, rate)

    def _open_drift(self) -> dict[StockKey, Quantity]:
        """Return by how many units other systems differ in open cases, the most that one of them does."""
        found: dict[StockKey, Quantity] = {}
        cursor: str | None = None
        while True:
            page = self._cases.page(CaseStatus.OPEN, EVERY_PAGE, cursor)
            for case in page.cases:
                drift = case.facts.get("drift")
                if case.kind is CaseKind.DRIFT and isinstance(drift, int):
                    key = StockKey(Sku(str(case.facts["sku"])), LocationId(str(case.facts["location"])))
                    found[key] = max(found.get(key, 0), abs(drift))
            cursor = page.cursor
            if cursor is None:
                return found

    def buffers(self, most: int = MOST_KEYS) -> Advice[BufferAdvice]:
        """Return what buffer each channel needs by its measured latency and what others sell, the shortest first."""
        network = self._registry.network()
        places = {place for channel in network.channels.values() for place in channel.locations}
        keys, is_complete = self._reader.keys(places, most)
        activities = {activity.key: activity for activity in self._of(keys)}
        standings = self._promises.standings(keys)
        rows = [
            self._buffer_of(channel, network, activities, standings) for channel in network.channels.values()
        ]
        rows.sort(key=lambda row: (-len(row.short), row.channel))
        return Advice(tuple(rows), len(keys), is_complete)

    def _buffer_of(
        self,
        channel: Channel,
        network: Network,
        activities: dict[StockKey, Activity],
        standings: dict[StockKey, Standing],
    ) -> BufferAdvice:
        latency = self._latency(channel, network)
        if latency is None:
            return buffer_advice(channel.id, None, channel.safety_stock, [])
        here = [key for key in activities if key.location in channel.locations]
        listed = self._registry.listings(channel.id, dict.fromkeys(key.sku for key in here))
        found = [
            KeyBuffer(
                key,
                _others(activities[key], channel, latency.whole),
                _withheld(standings[key], channel),
            )
            for key in here
            if key.sku in listed
        ]
        return buffer_advice(channel.id, latency, channel.safety_stock, found)

    def _latency(self, channel: Channel, network: Network) -> Latency | None:
        """Return how long a sale on another channel takes to be seen on this one; None where it was not measured."""
        pushed = _at_95(self._traffic.seen(OURSELVES, channel.id).posting)
        sources = [one for one in network.sources.values() if one.channel not in (None, channel.id)]
        seen = [self._traffic.seen(source.id, OURSELVES) for source in sources]
        heard = [
            (arrives, posts)
            for one in seen
            if (arrives := _at_95(one.arriving)) is not None and (posts := _at_95(one.posting)) is not None
        ]
        if pushed is None:
            return None
        # Where nobody else brings orders, what is reserved through the API is in the ledger at once.
        arrives, posts = max(heard, key=sum_of, default=(timedelta(0), timedelta(0)))
        return Latency((("heard in", arrives), ("posted in", posts), ("pushed in", pushed)))

    def sites(self) -> Advice[SiteReliability]:
        """Return how far each site can be relied upon, the least first."""
        now = self._clock()
        sites = {place: SiteReliability(place) for place in self._registry.network().locations}
        for tally in DriftDesk(self._cases, self._registry).report(now - KNOWN_FOR).sites:
            site = LocationId(tally.names[0])
            known = sites.get(site, SiteReliability(site))
            sites[site] = replace(
                known, drift_cases=tally.cases, drift_units=tally.units, drift_share=tally.share_hundredths
            )
        transfers = self._transfers.newest(MOST_TRANSFERS)
        by_origin: defaultdict[LocationId, list[Transfer]] = defaultdict(list)
        for transfer in transfers:
            if transfer.shipped_at is not None and transfer.shipped_at >= now - KNOWN_FOR:
                by_origin[transfer.origin].append(transfer)
        for site, sent in by_origin.items():
            lost = [transfer.figures().lost for transfer in sent]
            sites[site] = replace(
                sites.get(site, SiteReliability(site)),
                transfers=len(sent),
                short=sum(units > 0 for units in lost),
                lost=sum(lost),
                late=sum(is_late(transfer, now) for transfer in sent),
            )
        return Advice(tuple(ranked_sites(sites.values())), len(sites), len(transfers) < MOST_TRANSFERS)

    def _of(self, keys: Iterable[StockKey]) -> Iterator[Activity]:
        return (self._reader.of(key, KNOWN_FOR) for key in keys)


def sum_of(times: tuple[timedelta, timedelta]) -> timedelta:
    """Return how long two steps take together."""
    return times[0] + times[1]


def is_late(transfer: Transfer, now: datetime) -> bool:
    """Whether anything of a transfer arrived after the time that its way takes, or has not arrived by then."""
    shipped_at = transfer.shipped_at
    if shipped_at is None or transfer.lead_time is None:
        return False
    due = shipped_at + transfer.lead_time
    arrived = [one.at for one in transfer.moves.values() if one.effect is Effect.RECEIVED]
    return any(at > due for at in arrived) or (now > due and transfer.figures().in_transit > 0)


def _others(activity: Activity, channel: Channel, within: timedelta) -> Quantity:
    """Return the most units that others than a channel sold within one latency."""
    sold = [one for one in activity.sold if one.channel != channel.id]
    return pace(sold, within, activity.known_for).busiest


def _withheld(standing: Standing, channel: Channel) -> Quantity:
    """Return the units that the channel's buffers withhold now."""
    return -sum(units for what, units in promise(standing, channel).explanation if what in _BUFFERS)


def _at_95(times: Times) -> timedelta | None:
    bound = times.at_most(_OF_95)
    return None if bound is None else timedelta(milliseconds=bound)

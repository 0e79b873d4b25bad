"""The outage drill: which promises an outage of one handoff would put at risk, by what is known now. Read-only.

Of a source everything that it is believed about stops at once: the orders of its channel, movements, counts, and with
them the freshness of the locations where it counts. Kits are judged by their components, which are what runs out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast

from shared.domain.activity import Activity
from shared.domain.drill import (
    AtRisk,
    Risk,
    Stand,
    authority_silent,
    channel_silent,
    orders_unheard,
    promise_withheld,
)
from shared.domain.events import parse_instant
from shared.domain.handoffs import OURSELVES, Seen
from shared.domain.network import Channel, Source
from shared.domain.stock import ChannelId, LocationId, Quantity, Sku, SourceId, StockKey
from shared.operations.activity import MOST_KEYS, ActivityReader
from shared.operations.promises import Promises
from shared.store.layout import believed_key
from shared.store.listings import Listings
from shared.store.registry import Network, Registry
from shared.store.table import Table
from shared.store.traffic import Traffic


@dataclass(frozen=True, slots=True)
class Drill:
    """What an outage puts at risk.

    Attributes
    ----------
    rows
        The most units first.
    seen
        What went through the handoff in the last 24 hours.
    looked_at, is_complete
        How many stock keys were looked at, and whether those are all that the outage concerns.
    known_for
        How long the one of them has been known that is known longest: where that is shorter than the outage, the usual is
        the busiest.
    """

    kind: str
    name: str
    lasting: timedelta
    rows: tuple[AtRisk, ...]
    seen: Seen
    looked_at: int
    is_complete: bool
    known_for: timedelta

    def units(self, risk: Risk) -> tuple[Quantity, Quantity]:
        """Return how many units one risk is about: usually, and at most."""
        of_it = [row for row in self.rows if row.risk is risk]
        return sum(row.usual for row in of_it), sum(row.busiest for row in of_it)


class DrillDesk:
    """Plays outages."""

    def __init__(self, table: Table, registry: Registry, clock: Callable[[], datetime]) -> None:
        self._table = table
        self._registry = registry
        self._clock = clock
        self._reader = ActivityReader(table, clock)
        self._promises = Promises(table, registry, clock)
        self._traffic = Traffic(table, clock)

    def of_channel(self, name: ChannelId, lasting: timedelta, most: int = MOST_KEYS) -> Drill:
        """Play that a channel takes nothing for a while."""
        channel = self._registry.network().channels[name]
        keys, is_complete = self._reader.keys(channel.locations, most)
        listed = self._registry.listings(name, dict.fromkeys(key.sku for key in keys))
        sold = [key for key in keys if key.sku in listed]
        states = Listings(self._table).states(name, sold)
        stands = list(self._stands(sold))
        rows = [
            row
            for stand in stands
            if (row := channel_silent(stand, channel, states[stand.key].believed, lasting)) is not None
        ]
        seen = self._traffic.seen(OURSELVES, name)
        return Drill(
            "channel", name, lasting, _ranked(rows), seen, len(sold), is_complete, _known_for(stands)
        )

    def of_source(self, name: SourceId, lasting: timedelta, most: int = MOST_KEYS) -> Drill:
        """Play that nothing of a source arrives for a while."""
        network = self._registry.network()
        source = network.sources[name]
        believed = [
            place.id for place in network.locations.values() if name in (place.counts, place.movements)
        ]
        demand = network.channels.get(source.channel) if source.channel is not None else None
        places = dict.fromkeys([*believed, *(demand.locations if demand else ())])
        keys, is_complete = self._reader.keys(places, most)
        stale_in = self._stale_in(source, believed)
        stands = list(self._stands(keys))
        rows = [
            row for stand in stands for row in self._of_key(stand, source, demand, network, stale_in, lasting)
        ]
        seen = self._traffic.seen(name, OURSELVES)
        return Drill("source", name, lasting, _ranked(rows), seen, len(keys), is_complete, _known_for(stands))

    def _of_key(
        self,
        stand: Stand,
        source: Source,
        demand: Channel | None,
        network: Network,
        stale_in: dict[LocationId, timedelta],
        lasting: timedelta,
    ) -> Iterator[AtRisk]:
        place = network.locations[stand.key.location]
        if demand is not None:
            yield from orders_unheard(stand, demand.id, lasting)
        counts, movements = place.counts == source.id, place.movements == source.id
        if counts or movements:
            yield from authority_silent(stand, lasting, counts=counts, movements=movements)
        if counts and place.id in stale_in:
            for listing in self._registry.listings_of([stand.key.sku])[stand.key.sku]:
                channel = network.channels[listing.channel]
                if place.id not in channel.locations:
                    continue
                row = promise_withheld(stand, channel, stale_in[place.id], lasting)
                if row is not None:
                    yield row

    def _stands(self, keys: Sequence[StockKey]) -> Iterator[Stand]:
        standings = self._promises.standings(keys)
        for key in keys:
            activity: Activity = self._reader.of(key)
            yield Stand(key, standings[key], activity)

    def _stale_in(self, source: Source, locations: Sequence[LocationId]) -> dict[LocationId, timedelta]:
        """Return in how long each location's counts would be stale if the source fell silent now."""
        if source.freshness is None:
            return {}
        found: dict[LocationId, timedelta] = {}
        for location in locations:
            item = self._table.get(believed_key(source.id, location)) or {}
            said = cast("str | None", item.get("as_of"))
            if said is not None:
                found[location] = parse_instant(said) + source.freshness - self._clock()
        return found


def _known_for(stands: Sequence[Stand]) -> timedelta:
    return max((stand.activity.known_for for stand in stands), default=timedelta(0))


def _ranked(rows: Sequence[AtRisk]) -> tuple[AtRisk, ...]:
    def rank(row: AtRisk) -> tuple[int, int, Sku, LocationId]:
        return -row.busiest, -row.usual, row.key.sku, row.key.location

    return tuple(sorted(rows, key=rank))

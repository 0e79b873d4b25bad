"""What promises are made from: what is available, what is set aside, and whether the location's counts are fresh.

A source whose ``freshness`` is declared must speak of a location at least that often; while it does not, what we
know there is stale, and each channel withholds its declared share (``stale_percent``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import cast

from shared.domain.availability import Standing
from shared.domain.events import parse_instant
from shared.domain.stock import LocationId, StockKey
from shared.store.layout import heard_key
from shared.store.promises import standing_of, standings
from shared.store.registry import Registry
from shared.store.table import Item, Table

REMEMBERED = timedelta(seconds=5)
"""How long what was found of a location's freshness is believed without looking again."""


class Promises:
    """Reads what promises are made from."""

    def __init__(self, table: Table, registry: Registry, clock: Callable[[], datetime]) -> None:
        self._table = table
        self._registry = registry
        self._clock = clock
        self._known: dict[LocationId, tuple[datetime, bool]] = {}

    def standings(self, keys: Iterable[StockKey]) -> dict[StockKey, Standing]:
        """Return what a promise on each stock key is made from, now."""
        keys = list(keys)
        found = standings(self._table, keys)
        stale = self.stale(key.location for key in keys)
        return {
            key: Standing(standing.available, standing.set_aside, key.location in stale)
            for key, standing in found.items()
        }

    def read(self, key: StockKey, item: Item | None) -> Standing:
        """Read a promise counter that is at hand."""
        return standing_of(item, is_stale=bool(self.stale([key.location])))

    def stale(self, locations: Iterable[LocationId]) -> set[LocationId]:
        """Return those locations whose counts are older than their source's declared freshness."""
        now, network = self._clock(), self._registry.network()
        found: set[LocationId] = set()
        unknown: dict[LocationId, timedelta] = {}
        for location in dict.fromkeys(locations):
            place = network.locations.get(location)
            source = None if place is None or place.counts is None else network.sources.get(place.counts)
            if source is None or source.freshness is None:
                continue
            at, is_stale = self._known.get(location, (None, False))
            if at is None or now - at > REMEMBERED:
                unknown[location] = source.freshness
            elif is_stale:
                found.add(location)
        if unknown:
            keys = {heard_key(network.locations[place].counts or "", place): place for place in unknown}
            heard = self._table.get_many(list(keys))
            for key, location in keys.items():
                said = heard.get(key)
                is_stale = said is None or now - parse_instant(cast(str, said["as_of"])) > unknown[location]
                self._known[location] = (now, is_stale)
                if is_stale:
                    found.add(location)
        return found

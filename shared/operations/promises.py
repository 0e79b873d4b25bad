"""What promises are made from: what is available, what is set aside, and whether the location's counts are fresh.

A source whose ``freshness`` is declared must speak of a location at least that often; while it does not, what we
know there is stale, and each channel withholds its declared share (``stale_percent``). What it says where it is not live
changes nothing that we know, and makes nothing fresh.

A kit's promise is made from those of its components. They are read in one go, each consistently but not all at one
instant: the number was true of each component when it was read, and whatever changes one of them after that marks the
kit's listings dirty, so that they are looked at again. A reservation of a kit never rests on the derived number; it
claims every component, in one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import cast

from shared.domain.availability import Pack, Part, Standing, whole_kits
from shared.domain.events import parse_instant
from shared.domain.items import Component
from shared.domain.items import Item as MasterItem
from shared.domain.kits import components_at
from shared.domain.network import Listing
from shared.domain.stock import LocationId, Sku, StockKey
from shared.domain.units import UnknownUnitError
from shared.store.layout import believed_key
from shared.store.promises import standing_of, standings
from shared.store.registry import Registry
from shared.store.table import Item, Table

REMEMBERED = timedelta(seconds=5)
"""How long what was found of a location's freshness, or of an item, is believed without looking again."""

MOST_REMEMBERED = 10_000
"""Items that are remembered at once."""


class Promises:
    """Reads what promises are made from."""

    def __init__(self, table: Table, registry: Registry, clock: Callable[[], datetime]) -> None:
        self._table = table
        self._registry = registry
        self._clock = clock
        self._known: dict[LocationId, tuple[datetime, bool]] = {}
        self._items: dict[Sku, tuple[datetime, MasterItem | None]] = {}

    def standings(
        self, keys: Iterable[StockKey], packs: Mapping[Sku, Pack] | None = None
    ) -> dict[StockKey, Standing]:
        """Return what a promise on each stock key is made from, now; of a kit, that of its components.

        ``packs`` are those in which a channel sells some items.
        """
        keys = list(keys)
        kits = self.kits(key.sku for key in keys)
        parts = {StockKey(c.sku, key.location) for key in keys for c in kits.get(key.sku, ())}
        found = standings(self._table, {*keys, *parts})
        stale = self.stale(key.location for key in keys)
        plain = {key: replace(standing, is_stale=key.location in stale) for key, standing in found.items()}
        made = {key: _of_kit(key, kits[key.sku], plain) if key.sku in kits else plain[key] for key in keys}
        for key in keys:
            if packs and key.sku in packs:
                made[key] = replace(made[key], pack=packs[key.sku])
        return made

    def kits(self, skus: Iterable[Sku]) -> dict[Sku, tuple[Component, ...]]:
        """Return the components of those of some items that are kits now."""
        now = self._clock()
        items = self._registry.items.find(dict.fromkeys(skus))
        return {sku: parts for sku, item in items.items() if (parts := components_at(item, now))}

    def remembered_kits(self, skus: Iterable[Sku]) -> dict[Sku, tuple[Component, ...]]:
        """Return the components of those of some items that are kits, as they were at most ``REMEMBERED`` ago."""
        now, items = self._clock(), self._remembered(skus)
        return {sku: parts for sku, item in items.items() if (parts := components_at(item, now))}

    def remembered_hot(self, skus: Iterable[Sku]) -> set[Sku]:
        """Return those of some items that are declared hot, as they were at most ``REMEMBERED`` ago."""
        return {sku for sku, item in self._remembered(skus).items() if item.is_hot}

    def _remembered(self, skus: Iterable[Sku]) -> dict[Sku, MasterItem]:
        now = self._clock()
        if len(self._items) > MOST_REMEMBERED:
            self._items.clear()
        wanted = dict.fromkeys(skus)
        old = [sku for sku in wanted if sku not in self._items or now - self._items[sku][0] > REMEMBERED]
        found = self._registry.items.find(old) if old else {}
        self._items |= {sku: (now, found.get(sku)) for sku in old}
        return {sku: item for sku in wanted if (item := self._items[sku][1]) is not None}

    def packs(self, listings: Iterable[Listing]) -> dict[Sku, Pack]:
        """Return the pack of each listing that is sold by one; of one whose unit the item has no more, none."""
        sold = {listing.sku: listing.unit for listing in listings if listing.unit}
        items = self._registry.items.find(sold) if sold else {}
        found: dict[Sku, Pack] = {}
        for sku, item in items.items():
            with suppress(UnknownUnitError):
                factor = item.at(self._clock()).units.factor(sold[sku])
                if factor.denominator == 1:
                    found[sku] = Pack(sold[sku], factor.numerator)
        return found

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
            keys = {believed_key(network.locations[place].counts or "", place): place for place in unknown}
            heard = self._table.get_many(list(keys))
            for key, location in keys.items():
                said = heard.get(key)
                is_stale = said is None or now - parse_instant(cast(str, said["as_of"])) > unknown[location]
                self._known[location] = (now, is_stale)
                if is_stale:
                    found.add(location)
        return found


def _of_kit(key: StockKey, components: Sequence[Component], found: Mapping[StockKey, Standing]) -> Standing:
    parts = tuple(
        Part(component.sku, component.quantity, found[StockKey(component.sku, key.location)])
        for component in components
    )
    return Standing(whole_kits(parts), is_stale=any(part.standing.is_stale for part in parts), parts=parts)

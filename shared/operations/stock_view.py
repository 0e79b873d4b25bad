"""What is true of an item: our quantities as of any instant, every source's number beside them, every channel's.

Balance and promise of a stock key are read at one instant, so the figures of one location always add up.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import cast

from shared.domain.availability import Promise, promise
from shared.domain.drift import Comparison, Formula, FormulaError, Observation, parse_formula
from shared.domain.events import instant, parse_instant
from shared.domain.items import Component
from shared.domain.ledger import Slot
from shared.domain.listing import ListingState
from shared.domain.network import Channel, Grain
from shared.domain.rollout import Mode
from shared.domain.stock import WHOLE, ChannelId, Counter, Leaf, LocationId, Quantity, Sku, SourceId, StockKey
from shared.operations.promises import Promises
from shared.store.layout import SHARDS, balance_key, count_partition, promise_key
from shared.store.ledger import Ledger, LedgerMovedError
from shared.store.listings import Listings, Paces, Silence
from shared.store.observations import Observations, Said
from shared.store.orders import Orders
from shared.store.promises import READS, allotted, with_allotments
from shared.store.registry import Network, Registry
from shared.store.rollouts import CHANNEL
from shared.store.table import MAX_ACTIONS, Item, Table

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LocationStock:
    """One stock key: its canonical quantities as of ``as_of``, and what each source says beside them.

    ``leaves`` are the bins and lots that were ever named there, where the location keeps any apart.
    """

    key: StockKey
    as_of: datetime
    counted_as_of: datetime | None
    quantities: Mapping[str, Quantity]
    comparisons: tuple[Comparison, ...]
    leaves: Mapping[Leaf, Mapping[Counter, Quantity]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ChannelStock:
    """What one channel may sell of a stock key, what it was last known to show, and whether it takes nothing now.

    ``mode`` is how far its rollout is there at this moment: unless it is live nothing is sent to it.
    """

    channel: ChannelId
    location: LocationId
    promise: Promise
    listing: ListingState
    silence: Silence | None = None
    mode: Mode = Mode.LIVE


@dataclass(frozen=True, slots=True)
class ItemStock:
    """Everything about one SKU; ``channels`` is None as of an instant: what may be sold is a matter of now.

    ``kit`` is its components where it is a kit: its quantities are then derived from theirs.
    """

    sku: Sku
    locations: tuple[LocationStock, ...]
    channels: tuple[ChannelStock, ...] | None
    kit: tuple[Component, ...] = ()


class UnknownSkuError(LookupError):
    """Neither an item nor ever posted to."""


class StockView:
    """Reads stock, its history and the promises made on it."""

    def __init__(self, table: Table, registry: Registry, clock: Callable[[], datetime]) -> None:
        self._table = table
        self._ledger = Ledger(table)
        self._orders = Orders(table)
        self._observations = Observations(table)
        self._listings = Listings(table)
        self._paces = Paces(table)
        self._promises = Promises(table, registry, clock)
        self._registry = registry
        self._clock = clock

    def item(self, sku: Sku, as_of: datetime | None = None) -> ItemStock:
        """Return an item at every location, now or as of an instant.

        As of an instant there are no channels in it, and no observation that is newer.

        Raises
        ------
        UnknownSkuError
        """
        network = self._registry.network()
        recalled = self._observations.of_sku(sku)
        balances = self._ledger.balances(StockKey(sku, location) for location in network.locations)
        seen_at = {said.last.location for said in recalled}
        kit = self._promises.kits([sku]).get(sku, ())
        parts = self._ledger.balances(
            StockKey(c.sku, location) for c in kit for location in network.locations
        )
        seen_at |= {key.location for key, balance in parts.items() if balance.seq}
        keys = [key for key, balance in balances.items() if balance.seq or key.location in seen_at]
        if not keys and not self._registry.is_item(sku):
            raise _unknown(sku)
        if as_of is not None:
            recalled = [said for said in recalled if said.last.as_of <= as_of]
        locations = tuple(
            self._location(key, as_of, [said for said in recalled if said.last.location == key.location])
            for key in keys
        )
        channels = None if as_of is not None else tuple(self._channels(sku, network))
        return ItemStock(sku, locations, channels, kit)

    def unknown(self, skus: Iterable[Sku]) -> list[Sku]:
        """Return those of some SKUs that are no item and that nothing was ever posted to."""
        locations = self._registry.network().locations
        left = [sku for sku in dict.fromkeys(skus) if not self._registry.is_item(sku)]
        balances = {balance_key(StockKey(sku, location)): sku for sku in left for location in locations}
        posted = {balances[key] for key in self._table.get_many(list(balances))}
        return [sku for sku in left if sku not in posted]

    def must_know(self, sku: Sku) -> None:
        """Make sure that a SKU is an item, or was ever posted to.

        Raises
        ------
        UnknownSkuError
        """
        if self.unknown([sku]):
            raise _unknown(sku)

    def quantities(self, key: StockKey, as_of: datetime | None = None) -> dict[str, Quantity]:
        """Return the canonical quantities of a stock key, now (at one instant) or as of an instant."""
        now = self.rows([key])[key]
        if not any(now.values()):
            kit = self._promises.kits([key.sku]).get(key.sku)
            if kit:
                return self._quantities_of_kit(key.location, kit, as_of)
        if as_of is None:
            return now
        counters = self._ledger.as_of(key, as_of)
        reserved = now["reserved"] - self._orders.reserved_change_after(key, as_of)
        return _named(counters, reserved)

    def _quantities_of_kit(
        self, location: LocationId, kit: Sequence[Component], as_of: datetime | None
    ) -> dict[str, Quantity]:
        """Return those of a kit: it has no stock, and as many are available as its components make."""
        available = min(
            self.quantities(StockKey(c.sku, location), as_of)["available"] // c.quantity for c in kit
        )
        return {**_named(dict.fromkeys(Counter, 0), 0), "available": available}

    def compare(self, recalled: Iterable[Said]) -> list[Comparison]:
        """Put what sources last said beside the ledger as of their own instants.

        Left out is what has no declared meaning, and the total of a source that has gone over to bins or lots: whoever
        compares, explains or shows does it through here, and all of them compare it no more.
        """
        network = self._registry.network()
        meant: list[tuple[Observation, Formula]] = []
        for seen in (said.last for said in recalled if not said.is_over):
            source = network.sources.get(seen.source)
            meaning = None if source is None else source.meaning.get(seen.element)
            if meaning is None:
                continue
            try:
                meant.append((seen, parse_formula(meaning)))
            except FormulaError as error:  # whoever declared it went past the checks of `apply`
                log.error("meaning_not_understood", extra={"source_id": seen.source, "reason": str(error)})
        balances = self._ledger.balances(StockKey(seen.sku, seen.location) for seen, _ in meant)
        comparisons = []
        for seen, formula in meant:
            key = StockKey(seen.sku, seen.location)
            balance = balances[key]
            if not formula.uses_reservations and balance.is_settled_at(seen.as_of):
                quantities = {str(counter): quantity for counter, quantity in balance.totals.items()}
            else:
                quantities = self._as_of_now_or_then(key, seen.as_of)
            channel = network.channels.get(network.sources[seen.source].channel or ChannelId(""))
            quantities["safety_stock"] = 0 if channel is None else channel.safety_stock
            quantities["available_to_promise"] = (
                max(0, quantities.get("available", 0))
                if channel is None
                else self._promised_then(key, quantities.get("available", 0), channel)
            )
            freshness = network.sources[seen.source].freshness
            is_stale = freshness is not None and self._clock() - seen.as_of > freshness
            comparisons.append(Comparison(seen, formula.text, formula.evaluate(quantities), is_stale))
        return comparisons

    def compared_elements(self) -> list[tuple[SourceId, str]]:
        """Return every number that some source reports and whose meaning is declared."""
        sources = self._registry.network().sources.values()
        return [(source.id, element) for source in sources for element in source.meaning]

    def compared_places(self) -> Iterator[tuple[LocationId, SourceId]]:
        """Yield where which source has said a number, of those of which any number is compared."""
        for source in self._registry.network().sources.values():
            if source.meaning:
                yield from ((place, source.id) for place in sorted(self._observations.places(source.id)))

    def _promised_then(self, key: StockKey, available: Quantity, channel: Channel) -> Quantity:
        """What was promised when so much was available, by what is set aside and how fresh the counts are now."""
        standing = self._promises.standings([key])[key]
        return promise(replace(standing, available=available), channel).available_to_promise

    def rows(self, keys: Sequence[StockKey]) -> dict[StockKey, dict[str, Quantity]]:
        """Return the quantities of many stock keys; balance and promise of each are of one instant."""
        rows: dict[StockKey, dict[str, Quantity]] = {}
        for start in range(0, len(keys), MAX_ACTIONS // 2):
            some = keys[start : start + MAX_ACTIONS // 2]
            found = self._table.snapshot([at for key in some for at in (balance_key(key), promise_key(key))])
            rows |= {
                key: _quantities(found.get(balance_key(key)), found.get(promise_key(key))) for key in some
            }
            rows |= {key: self._row_of_hot(key) for key in some if allotted(found.get(promise_key(key)))}
        return rows

    def _row_of_hot(self, key: StockKey) -> dict[str, Quantity]:
        """Return the quantities of a hot stock key: nothing was posted to it while its counters were read."""
        balance, claims = self._table.get(balance_key(key)), None
        for _ in range(READS):
            before = balance
            claims = with_allotments(self._table, key, self._table.get(promise_key(key)))
            balance = self._table.get(balance_key(key))
            if balance == before:
                break
        return _quantities(balance, claims)

    def promise_of(self, channel: Channel, key: StockKey) -> Promise:
        """Return what a channel may sell of a stock key, read consistently; in whole packs, where it sells by them."""
        packs = self._promises.packs(self._registry.listings(channel.id, [key.sku]).values())
        return promise(self._promises.standings([key], packs)[key], channel)

    def keys_at(self, location: LocationId, after: Sku | None, limit: int) -> Iterator[StockKey]:
        """Yield the stock keys of a location in order of SKU; read through an index that may lag behind."""
        first = "" if after is None else f"{after}\x00"
        skus = sorted(
            key.pk.split("#")[1].replace("%23", "#").replace("%25", "%")
            for number in range(SHARDS)
            for key in self._table.query_index(
                "by_location", f"{location}#{number}", first=first, limit=limit
            )
        )
        yield from (StockKey(Sku(sku), location) for sku in skus[:limit])

    def _as_of_now_or_then(self, key: StockKey, as_of: datetime) -> dict[str, Quantity]:
        for _ in range(3):
            try:
                return self.quantities(key, as_of)
            except LedgerMovedError:
                continue
        return self.quantities(key, as_of)

    def _location(self, key: StockKey, as_of: datetime | None, recalled: list[Said]) -> LocationStock:
        counted = self._counted(key, as_of)
        comparisons = self.compare(recalled)
        quantities = self.quantities(key, as_of)
        place = self._registry.network().locations.get(key.location)
        grain = Grain.LOCATION if place is None else place.grain
        leaves = {} if grain is Grain.LOCATION else self._ledger.leaves(key, as_of)
        return LocationStock(key, as_of or self._clock(), counted, quantities, tuple(comparisons), leaves)

    def _counted(self, key: StockKey, as_of: datetime | None) -> datetime | None:
        """Return as of when a stock key was last counted, up to an instant."""
        slot = Slot(WHOLE, Counter.ON_HAND)
        clock = self._ledger.balances([key])[key].clocks.get(slot)
        newest = None if clock is None or clock.last_count is None else clock.last_count.as_of
        if newest is None or as_of is None or newest <= as_of:
            return newest
        last = f"{instant(as_of)}$"  # just behind every count of that very instant, whose keys go on with a #
        counts = self._table.query(count_partition(key, slot), last=last, descending=True, limit=1)
        return next((parse_instant(cast(str, count["as_of"])) for count in counts), None)

    def _channels(self, sku: Sku, network: Network) -> Iterator[ChannelStock]:
        listings = self._registry.listings_of([sku]).get(sku, [])
        silences = self._paces.silences(listing.channel for listing in listings)
        for listing in listings:
            channel = network.channels[listing.channel]
            keys = [StockKey(sku, location) for location in channel.locations]
            states = self._listings.states(channel.id, keys)
            rollout = self._registry.rollouts.of(
                CHANNEL, channel.id
            )  # as a push asks for it, not as remembered
            for key in keys:
                promised = self.promise_of(channel, key)
                silence = silences.get(channel.id)
                mode = rollout.mode_at(key.sku, key.location)
                yield ChannelStock(channel.id, key.location, promised, states[key], silence, mode)


def _unknown(sku: Sku) -> UnknownSkuError:
    return UnknownSkuError(f"there is no item {sku!r}; import it, or map the code to one that is")


def _quantities(balance: Item | None, claims: Item | None) -> dict[str, Quantity]:
    counters = {counter: 0 if balance is None else cast(int, balance.get(counter, 0)) for counter in Counter}
    withheld = 0 if balance is None else cast(int, balance.get("withheld", 0))
    claimable = 0 if claims is None else cast(int, claims["available"])
    reserved = counters[Counter.ON_HAND] - _withdrawn(counters) - withheld - claimable
    return {**_named(counters, reserved), "withheld": withheld}


def _named(counters: Mapping[Counter, Quantity], reserved: Quantity) -> dict[str, Quantity]:
    available = counters[Counter.ON_HAND] - _withdrawn(counters) - reserved
    named = {str(counter): quantity for counter, quantity in counters.items()}
    return {**named, "reserved": reserved, "available": available}


def _withdrawn(counters: Mapping[Counter, Quantity]) -> Quantity:
    return counters[Counter.QUALITY_HOLD] + counters[Counter.DAMAGED]

"""The registry: the declared network and the master data, as ``onecount apply`` and ``items import`` wrote them.

The network is small and read often, so it is remembered for a short while; codes and listings are read when they
are needed, because a mapping must count the moment it is made.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, cast

from shared.domain.items import Change, Code, Reference, in_force
from shared.domain.items import Item as Declared
from shared.domain.money import parse_money
from shared.domain.network import MANUAL, Channel, Grain, Listing, Location, Source, Tolerance
from shared.domain.rollout import Rollout
from shared.domain.rules import Rules
from shared.domain.stock import ChannelId, LocationId, Sku, SourceId
from shared.store.channel_ids import ChannelIds, channel_index
from shared.store.items import Items, read_item
from shared.store.layout import SHARDS, cross_reference_key, item_key, listing_key
from shared.store.references import References, read_references
from shared.store.replenish import read_replenish, replenish_words
from shared.store.rollouts import CHANNEL, SOURCE, Rollouts, System
from shared.store.rules import read_rules, rules_text
from shared.store.table import Delete, Item, Key, Put, Table, Update

__all__ = ["REMEMBERED_S", "Code", "Known", "Network", "Registry"]

REMEMBERED_S = 20.0
"""How long a declared source, location or channel is believed without looking again."""


@dataclass(frozen=True, slots=True)
class Network:
    """Everything that is declared."""

    sources: Mapping[SourceId, Source]
    locations: Mapping[LocationId, Location]
    channels: Mapping[ChannelId, Channel]
    rules: Rules = field(default_factory=Rules)

    def source(self, name: SourceId) -> Source | None:
        """Return a declared source, or that of entries by hand, which nobody declares."""
        return MANUAL if name == MANUAL.id else self.sources.get(name)


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a code: the item that it stands for now, and what it stood for at any time."""

    references: tuple[Reference, ...]
    items: Mapping[Sku, Declared]

    def at(self, instant: datetime) -> tuple[Reference, Declared]:
        """Return what the code stood for at an instant, and that item."""
        reference = in_force(self.references, instant)
        return reference, self.items.get(reference.sku, Declared(reference.sku))


class Registry:
    """Reads and writes master data."""

    def __init__(self, table: Table, clock: Callable[[], float] = time.monotonic) -> None:
        self._table = table
        self._clock = clock
        self._network: tuple[float, Network] | None = None
        self.items = Items(table)
        self.references = References(table)
        self.channel_ids = ChannelIds(table)
        self.rollouts = Rollouts(table)

    def network(self, *, fresh: bool = False) -> Network:
        """Return the declared network; at most ``REMEMBERED_S`` old unless ``fresh``."""
        now = self._clock()
        if self._network is None or fresh or now - self._network[0] > REMEMBERED_S:
            rollouts = self.rollouts.all()
            sources = (_rolled_out(_source(item), rollouts) for item in self._table.query("SOURCE"))
            locations = (_location(item) for item in self._table.query("LOCATION"))
            channels = (_rolled_out(_channel(item), rollouts) for item in self._table.query("CHANNEL"))
            self._network = (
                now,
                Network(
                    {source.id: source for source in sources},
                    {location.id: location for location in locations},
                    {channel.id: channel for channel in channels},
                    read_rules(self._table.get(Key("RULES"))),
                ),
            )
        return self._network[1]

    def declare(self, network: Network) -> None:
        """Write the rules and every source, location and channel of ``network``; what is gone from it stays.

        So does the mode of those of which it says none. A mode is written first: what begins in shadow is never live.

        Raises
        ------
        RolloutBusyError
        """
        for (kind, name), rollout in _said_rollouts(network).items():
            self.rollouts.declare(kind, name, rollout, _APPLY, datetime.now(UTC))
        times = self._taken_off(network.channels)
        puts = [
            Put(Key("RULES"), {"declared": rules_text(network.rules)}),
            *(Put(Key("SOURCE", s.id), {"declared": _source_text(s)}) for s in network.sources.values()),
            *(
                Put(Key("LOCATION", x.id), {"declared": _location_text(x)})
                for x in network.locations.values()
            ),
            *(
                Put(Key("CHANNEL", c.id), {"declared": _channel_text(c, times.get(c.id, {}))})
                for c in network.channels.values()
            ),
        ]
        for put in puts:
            self._table.write([put])
        self._network = None

    def undeclare(self, gone: Network) -> None:
        """Take every source, location and channel of ``gone`` off; items, codes and listings stay."""
        for channel in gone.channels.values():
            self._take_off(channel.id, channel.locations)
        names = [
            *(Key("SOURCE", source) for source in gone.sources),
            *(Key("LOCATION", location) for location in gone.locations),
            *(Key("CHANNEL", channel) for channel in gone.channels),
        ]
        for name in names:
            self._table.write([Delete(name)])
        # Whoever is declared anew begins live, unless its declaration says otherwise.
        for system in self.rollouts.all().keys() & _systems(gone):
            self.rollouts.declare(*system, Rollout(), _APPLY, datetime.now(UTC))
        self._network = None

    def _taken_off(self, said: Mapping[ChannelId, Channel]) -> dict[ChannelId, dict[str, int]]:
        """Count what channels that are declared anew leave out; return how often each of their locations was."""
        for known in map(_channel, self._table.query("CHANNEL")) if said else ():
            if known.id in said:
                self._take_off(known.id, known.locations.keys() - said[known.id].locations.keys())
        found = self._table.get_many([_taken_off_key(channel) for channel in said])
        times = {channel: found.get(_taken_off_key(channel), {}) for channel in said}
        return {
            channel: {
                name.removeprefix(_AT): cast(int, value)
                for name, value in item.items()
                if name.startswith(_AT)
            }
            for channel, item in times.items()
        }

    def _take_off(self, channel: ChannelId, locations: Iterable[LocationId]) -> None:
        """Count that a channel sells at some locations no more: what it shows there is anybody's from then on."""
        counted = {f"{_AT}{location}": 1 for location in locations}
        if counted:
            self._table.write([Update(_taken_off_key(channel), add=counted)])

    def skus(self, codes: Iterable[Code]) -> dict[Code, Sku]:
        """Return the SKU that each code which is known stands for in its newest terms."""
        return {code: known.references[-1].sku for code, known in self.known(codes).items()}

    def known(self, codes: Iterable[Code]) -> dict[Code, Known]:
        """Return what is known of each code: by cross-reference, else as a SKU of ours.

        A source that declares ``maps_codes`` has its own codes, and only cross-references count.
        """
        wanted = list(dict.fromkeys(codes))
        references = {cross_reference_key(c.source, c.kind, c.code): c for c in wanted}
        sources = self.network().sources
        own = {
            item_key(Sku(c.code)): c
            for c in wanted
            if c.kind == "sku" and not (c.source in sources and sources[c.source].maps_codes)
        }
        found = self._table.get_many([*references, *own])
        items = {Sku(own[key].code): read_item(item) for key, item in found.items() if key in own}
        known = {own[key]: Known((Reference(Sku(own[key].code)),), items) for key in own if key in found}
        mapped = {code: read_references(found[key]) for key, code in references.items() if key in found}
        missing = {one.sku for terms in mapped.values() for one in terms} - items.keys()
        items |= self.items.find(missing) if missing else {}
        return known | {code: Known(terms, items) for code, terms in mapped.items()}

    def is_item(self, sku: Sku) -> bool:
        """Whether the SKU is one of ours."""
        return self._table.get(item_key(sku)) is not None

    def add_items(self, skus: Iterable[Sku]) -> None:
        """Make SKUs known; one that is known already stays as it is."""
        self.items.add(skus)

    def map_codes(
        self, codes: Mapping[Code, Sku | Reference], owner: str, change: Change | None = None
    ) -> int:
        """Write cross-references, each in the place of what was there; return how many changed.

        Raises
        ------
        ReferenceChangedError
            When somebody else changed one of them meanwhile; those written by then stay.
        """
        wanted = {code: to if isinstance(to, Reference) else Reference(to) for code, to in codes.items()}
        return self.references.change(wanted, owner, change or Change(owner, datetime.now(UTC)))

    def add_listings(self, listings: Iterable[Listing]) -> None:
        """Write which channel sells which item under which id; one id of a channel is one item's.

        Raises
        ------
        ListingTakenError
            When ids are other items'; every other listing is written.
        ListingChangedError
            When others keep changing the same listings; those written by then stay.
        """
        self.channel_ids.write(listings)

    def listings_of(self, skus: Iterable[Sku]) -> dict[Sku, list[Listing]]:
        """Return the declared channels that sell each item."""
        channels = self.network().channels
        keys = {listing_key(sku, channel): (sku, channel) for sku in skus for channel in channels}
        found: dict[Sku, list[Listing]] = {sku: [] for sku, _ in keys.values()}
        for key, item in self._table.get_many(list(keys)).items():
            sku, channel = keys[key]
            found[sku].append(_listing(channel, sku, item))
        return found

    def listings(self, channel: ChannelId, skus: Iterable[Sku]) -> dict[Sku, Listing]:
        """Return the listings of some items on one channel."""
        keys = {listing_key(sku, channel): sku for sku in skus}
        return {
            keys[key]: _listing(channel, keys[key], item)
            for key, item in self._table.get_many(list(keys)).items()
        }

    def skus_of_channel(self, channel: ChannelId) -> Iterator[Sku]:
        """Yield every item that a channel sells; read through an index that may lag behind."""
        for number in range(SHARDS):
            for key in self._table.query_index("by_channel", channel_index(channel, number)):
                yield Sku(key.pk.removeprefix("LISTING#").replace("%23", "#").replace("%25", "%"))


_Acts = TypeVar("_Acts", Source, Channel)

_AT = "at|"
_APPLY = "apply"


def _systems(network: Network) -> dict[System, Source | Channel]:
    sources = {(SOURCE, str(source.id)): source for source in network.sources.values()}
    return sources | {(CHANNEL, str(channel.id)): channel for channel in network.channels.values()}


def _said_rollouts(network: Network) -> dict[System, Rollout]:
    return {system: one.rollout for system, one in _systems(network).items() if one.rollout is not None}


def _rolled_out(one: _Acts, rollouts: Mapping[System, Rollout]) -> _Acts:
    kind = SOURCE if isinstance(one, Source) else CHANNEL
    return replace(one, rollout=rollouts.get((kind, str(one.id))))


def _taken_off_key(channel: ChannelId) -> Key:
    return Key("TAKEN_OFF", channel)


def _listing(channel: ChannelId, sku: Sku, item: Item) -> Listing:
    return Listing(channel, sku, cast(str, item["external_id"]), cast(str, item.get("unit", "")))


def _source_text(source: Source) -> str:
    return json.dumps(
        {
            "connector": source.connector,
            "meaning": dict(source.meaning),
            "locations": dict(source.locations),
            "maps_codes": source.maps_codes,
            "channel": source.channel,
            "future_skew_s": int(source.future_skew.total_seconds()),
            "clock_skew_s": int(source.clock_skew.total_seconds()),
            "coarsest_count_s": int(source.coarsest_count.total_seconds()),
            "freshness_s": None if source.freshness is None else int(source.freshness.total_seconds()),
            "latency_s": int(source.latency.total_seconds()),
            "tolerance": None if source.tolerance is None else _tolerance_text(source.tolerance),
            "class_tolerances": {
                name: _tolerance_text(tolerance) for name, tolerance in source.class_tolerances.items()
            },
            "counted_by_hand": source.counted_by_hand,
            "options": dict(source.options),
        },
        sort_keys=True,
    )


def _source(item: Item) -> Source:
    said = json.loads(cast(str, item["declared"]))
    return Source(
        id=SourceId(cast(str, item["sk"])),
        connector=said["connector"],
        meaning=said["meaning"],
        locations={code: LocationId(ours) for code, ours in said["locations"].items()},
        maps_codes=said["maps_codes"],
        channel=said["channel"],
        future_skew=timedelta(seconds=said["future_skew_s"]),
        options=said["options"],
        clock_skew=timedelta(seconds=said.get("clock_skew_s", 0)),
        coarsest_count=timedelta(seconds=said.get("coarsest_count_s", 0)),
        freshness=timedelta(seconds=said["freshness_s"]) if said.get("freshness_s") else None,
        latency=timedelta(seconds=said.get("latency_s", 0)),
        tolerance=_tolerance(said["tolerance"]) if said.get("tolerance") else None,
        class_tolerances={
            name: _tolerance(tolerance) for name, tolerance in said.get("class_tolerances", {}).items()
        },
        counted_by_hand=said.get("counted_by_hand", False),
    )


def _location_text(location: Location) -> str:
    said: dict[str, object] = {
        "counts": location.counts,
        "movements": location.movements,
        "grain": location.grain,
        "undecided_within": _tolerance_text(location.undecided_within),
        "posting_delay_s": int(location.posting_delay.total_seconds()),
    }
    if location.approve_beyond is not None:
        said["approve_beyond"] = _tolerance_text(location.approve_beyond)
    if location.tolerance is not None:
        said["tolerance"] = _tolerance_text(location.tolerance)
    if location.replenish is not None:
        said["replenish"] = replenish_words(location.replenish)
    return json.dumps(said, sort_keys=True)


def _tolerance_text(tolerance: Tolerance) -> list[int | str]:
    worth = [] if tolerance.value is None else [str(tolerance.value)]
    return [tolerance.percent_hundredths, tolerance.units, *worth]


def _tolerance(said: Sequence[Any]) -> Tolerance:
    percent, units, *worth = said
    return Tolerance(percent, units, parse_money(worth[0]) if worth else None)


def _location(item: Item) -> Location:
    said = json.loads(cast(str, item["declared"]))
    return Location(
        LocationId(cast(str, item["sk"])),
        said["counts"],
        said["movements"],
        Grain(said.get("grain", Grain.LOCATION)),
        Tolerance(*said["approve_beyond"]) if "approve_beyond" in said else None,
        Tolerance(*said.get("undecided_within", (0, 0))),
        timedelta(seconds=said.get("posting_delay_s", 86_400)),
        _tolerance(said["tolerance"]) if "tolerance" in said else None,
        read_replenish(said.get("replenish")),
    )


def _channel_text(channel: Channel, times_taken_off: Mapping[str, int]) -> str:
    return json.dumps(
        {
            "connector": channel.connector,
            "locations": dict(channel.locations),
            "demand_location": channel.demand_location,
            "sells_down": channel.sells_down,
            "safety_stock": channel.safety_stock,
            "buffer_percent": channel.buffer_percent,
            "cap": channel.cap,
            "sourcing": list(channel.sourcing),
            "priority": channel.priority,
            "stale_percent": channel.stale_percent,
            "lateness_s": int(channel.lateness.total_seconds()),
            "patience_s": int(channel.patience.total_seconds()),
            "calls_per_minute": channel.calls_per_minute,
            "options": dict(channel.options),
            "times_taken_off": {
                place: times_taken_off[place] for place in channel.locations if place in times_taken_off
            },
        },
        sort_keys=True,
    )


def _channel(item: Item) -> Channel:
    said = json.loads(cast(str, item["declared"]))
    return Channel(
        id=ChannelId(cast(str, item["sk"])),
        connector=said["connector"],
        locations={LocationId(ours): theirs for ours, theirs in said["locations"].items()},
        demand_location=said["demand_location"],
        sells_down=said["sells_down"],
        safety_stock=said["safety_stock"],
        buffer_percent=said["buffer_percent"],
        cap=said["cap"],
        sourcing=tuple(LocationId(place) for place in said.get("sourcing", ())),
        priority=said.get("priority", 100),
        stale_percent=said.get("stale_percent", 0),
        lateness=timedelta(seconds=said["lateness_s"]),
        patience=timedelta(seconds=said["patience_s"]),
        calls_per_minute=said["calls_per_minute"],
        options=said["options"],
        times_taken_off={
            LocationId(place): times for place, times in said.get("times_taken_off", {}).items()
        },
    )

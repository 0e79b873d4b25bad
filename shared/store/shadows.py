"""What systems in shadow came to, in the ``stock`` table: one item for each stock key, listed by system.

Of a channel the numbers over time, ours and theirs; of a source the events that were not posted, each in a place of its
own among a few by its event key, so that telling it again changes nothing. Both are bounded, whatever happens; what is
written for a report is no part of the ledger.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast
from zlib import crc32

from shared.domain.events import instant, parse_instant
from shared.domain.shadow import Numbers, Withheld
from shared.domain.stock import ChannelId, EventKey, LocationId, Sku, SourceId, StockKey
from shared.store.bulk import write_each
from shared.store.layout import SHARDS, plain, shadow_key, shadow_partition
from shared.store.rollouts import CHANNEL, SOURCE
from shared.store.table import Absent, Equals, Item, Key, Put, Table, Update, Value

KEPT_NUMBERS = 200
"""Changes of one listing's numbers that are remembered, the newest."""

PLACES = 128
"""Events of one stock key that are remembered of a source."""

_EVENT = "e"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """The numbers of one listing, oldest first, in the rollout's version with which they began."""

    key: StockKey
    numbers: tuple[Numbers, ...]
    version: int = 0


class Shadows:
    """Stores and reads what would have been done."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def rehearse(self, channel: ChannelId, found: Mapping[StockKey, tuple[Numbers, int]]) -> None:
        """Keep the numbers of some listings as they are now, each with its rollout's version, where they changed.

        Another version begins anew. Where somebody else kept them meanwhile, theirs stand: the next look sees.
        """
        keys = {shadow_key(CHANNEL, channel, key): key for key in found}
        known = self._table.get_many(list(keys))
        puts = []
        for at, key in keys.items():
            now, version = found[key]
            item = known.get(at)
            before = () if item is None or item["version"] != version else _rehearsed(item).numbers
            if before and (before[-1].ours, before[-1].theirs) == (now.ours, now.theirs):
                continue
            rows: list[Value] = [_row(one) for one in (*before, now)[-KEPT_NUMBERS:]]
            changes = 1 if item is None else cast(int, item["changes"]) + 1
            unchanged = Absent() if item is None else Equals("changes", changes - 1)
            said: dict[str, Value] = {"numbers": rows, "version": version, "changes": changes}
            puts.append(Put(at, said, (unchanged,)))
        write_each(self._table, puts)

    def rehearsed(self, channel: ChannelId) -> Iterator[Rehearsed]:
        """Yield what is kept of a channel's listings."""
        yield from map(_rehearsed, self._items(CHANNEL, channel))

    def last_shown(self, channel: ChannelId, keys: Iterable[StockKey]) -> dict[StockKey, int | None]:
        """Return what each of some listings last showed, where it was ever read."""
        wanted = {shadow_key(CHANNEL, channel, key): key for key in keys}
        found = self._table.get_many(list(wanted))
        return {wanted[at]: _rehearsed(item).numbers[-1].theirs for at, item in found.items()}

    def withhold(self, source: SourceId, events: Iterable[tuple[StockKey, Withheld]]) -> None:
        """Note events of a source that were not posted."""
        notes: dict[Key, dict[str, Value]] = {}
        for key, one in events:
            place = f"{_EVENT}{crc32(one.event.encode()) % PLACES}"
            said: list[Value] = [one.event, one.what, one.units, instant(one.at)]
            notes.setdefault(shadow_key(SOURCE, source, key), {})[place] = said
        write_each(self._table, [Update(at, set=places) for at, places in notes.items()])

    def withheld(self, source: SourceId) -> Iterator[tuple[StockKey, list[Withheld]]]:
        """Yield what a source would have posted of each stock key, the oldest first."""
        for item in self._items(SOURCE, source):
            rows = [cast("list[Any]", value) for name, value in item.items() if _is_place(name)]
            events = [
                Withheld(EventKey(event), what, units, parse_instant(at)) for event, what, units, at in rows
            ]
            yield _key(item), sorted(events, key=lambda one: (one.at, one.event))

    def _items(self, kind: str, name: str) -> Iterator[Item]:
        for number in range(SHARDS):
            yield from self._table.query(shadow_partition(kind, name, number))


def _is_place(name: str) -> bool:
    return name.startswith(_EVENT) and name.removeprefix(_EVENT).isdecimal()


def _key(item: Item) -> StockKey:
    sku, location = cast(str, item["sk"]).split("#")
    return StockKey(Sku(plain(sku)), LocationId(plain(location)))


def _row(one: Numbers) -> list[Value]:
    return [instant(one.at), one.ours, one.theirs]


def _rehearsed(item: Item) -> Rehearsed:
    rows = cast("list[tuple[str, int | None, int | None]]", item["numbers"])
    numbers = tuple(Numbers(parse_instant(at), ours, theirs) for at, ours, theirs in rows)
    return Rehearsed(_key(item), numbers, cast(int, item["version"]))

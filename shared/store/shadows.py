"""What systems in shadow came to, in the ``stock`` table: one item for each stock key, listed by system.

Of a channel the numbers over time, ours and theirs, and the oversells that were found; of a source the events that were not posted, each in a place of its
own among a few by its event key, so that telling it again changes nothing. Both are bounded, whatever happens. Its last
number of each bin and lot has an item to itself: one that gave way would be compared with nothing, and nobody would know.
What is written for a report is no part of the ledger.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, cast
from zlib import crc32

from shared.domain.events import instant, parse_instant
from shared.domain.ledger import CountMark, Slot
from shared.domain.shadow import Numbers, Prevented, Sale, Withheld, sales_of
from shared.domain.stock import (
    ChannelId,
    Counter,
    EventKey,
    LocationId,
    Quantity,
    Sku,
    SourceId,
    StockKey,
    parse_leaf,
)
from shared.store.bulk import write_each
from shared.store.layout import SHARDS, count_rank, plain, shadow_key, shadow_part_key, shadow_partition
from shared.store.orders import Orders
from shared.store.rollouts import CHANNEL, SOURCE
from shared.store.table import (
    Absent,
    AnyOf,
    AttributeAbsent,
    Equals,
    Item,
    Key,
    LessThan,
    Put,
    Table,
    Update,
    Value,
)

KEPT_NUMBERS = 200
"""Changes of one listing's numbers that are remembered, the newest."""

KEPT_OVERSELLS = 200
"""Oversells of one listing that are remembered, the newest."""

PLACES = 128
"""Events of one stock key that are remembered of a source."""

PART = "part"
"""Stands for a kind of system in the keys of numbers of bins and lots."""

_EVENT = "e"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """The numbers of one listing, oldest first, in the rollout's version with which they began.

    ``available`` is what was available at the last of them; ``oversells`` would have been prevented, oldest first.
    """

    key: StockKey
    numbers: tuple[Numbers, ...]
    version: int = 0
    available: Quantity = 0
    oversells: tuple[Prevented, ...] = ()


class Shadows:
    """Stores and reads what would have been done."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._orders = Orders(table)

    def rehearse(self, channel: ChannelId, found: Iterable[Rehearsed]) -> list[Rehearsed]:
        """Keep the newest numbers of some listings, where anything changed; return those of which less is available now.

        Another version of the rollout begins anew, but for the oversells. Where somebody else kept them meanwhile, theirs
        stand: the next look sees.
        """
        wanted = {shadow_key(CHANNEL, channel, one.key): one for one in found}
        known = self._table.get_many(list(wanted))
        puts, fell = list[Put](), list[Rehearsed]()
        for at, now in wanted.items():
            item = known.get(at)
            before = None if item is None else _rehearsed(item)
            is_same = before is not None and before.version == now.version
            numbers = before.numbers if before is not None and is_same else ()
            changed = not numbers or not numbers[-1].say_the_same_as(now.numbers[-1])
            if before is not None and not changed and before.available == now.available:
                continue
            kept = (*numbers, *now.numbers)[-KEPT_NUMBERS:] if changed else numbers
            after = replace(now, numbers=kept, oversells=before.oversells if before is not None else ())
            changes = 0 if item is None else cast(int, item["changes"])
            unchanged = Absent() if item is None else Equals("changes", changes)
            puts.append(Put(at, {**_written(after), "changes": changes + 1}, (unchanged,)))
            if before is not None and is_same and now.available < before.available:
                fell.append(after)
        write_each(self._table, puts)
        return fell

    def sales(self, channel: ChannelId, key: StockKey, since: datetime) -> list[Sale]:
        """Return what the orders of a channel took of a stock key that changed since an instant, oldest first."""
        return sales_of(self._orders.of_stock_key(key, changed_since=since), channel, key)

    def oversold(self, channel: ChannelId, one: Rehearsed, found: Iterable[Prevented]) -> None:
        """Keep oversells of a listing beside those that were found before, each once."""
        known = {_identity(each): each for each in (*one.oversells, *found)}
        newest = sorted(known.values(), key=lambda each: (each.sale.at, each.sale.order, each.sale.line))
        rows: list[Value] = [_oversell_row(each) for each in newest[-KEPT_OVERSELLS:]]
        at = shadow_key(CHANNEL, channel, one.key)
        self._table.write([Update(at, set={"oversells": rows}, add={"changes": 1})])

    def rehearsed(self, channel: ChannelId) -> Iterator[Rehearsed]:
        """Yield what is kept of a channel's listings."""
        yield from map(_rehearsed, self._items(CHANNEL, channel))

    def last_shown(self, channel: ChannelId, keys: Iterable[StockKey]) -> dict[StockKey, int | None]:
        """Return what each of some listings last showed, where it was ever read."""
        wanted = {shadow_key(CHANNEL, channel, key): key for key in keys}
        found = self._table.get_many(list(wanted))
        return {wanted[at]: _rehearsed(item).numbers[-1].theirs for at, item in found.items()}

    def withhold(self, source: SourceId, events: Iterable[tuple[StockKey, Withheld]]) -> None:
        """Note events of a source that were not posted; of each bin and lot its last number by itself."""
        notes: dict[Key, dict[str, Value]] = {}
        parts: dict[Key, tuple[CountMark, Update]] = {}
        for key, one in events:
            place = f"{_EVENT}{crc32(one.event.encode()) % PLACES}"
            said: list[Value] = [one.event, one.what, one.units, instant(one.at)]
            notes.setdefault(shadow_key(SOURCE, source, key), {})[place] = said
            if one.part is not None:
                update = _part_update(source, key, one, one.part)
                if update.key not in parts or parts[update.key][0] < one.mark:
                    parts[update.key] = (one.mark, update)
        newest = [update for _, update in parts.values()]
        write_each(self._table, [*(Update(at, set=places) for at, places in notes.items()), *newest])

    def withheld(self, source: SourceId) -> Iterator[tuple[StockKey, list[Withheld]]]:
        """Yield what a source would have posted of each stock key, the oldest first."""
        for item in self._items(SOURCE, source):
            rows = [cast("list[Any]", value) for name, value in item.items() if _is_place(name)]
            events = [
                Withheld(EventKey(event), what, units, parse_instant(at)) for event, what, units, at in rows
            ]
            yield _key(item), sorted(events, key=lambda one: (one.at, one.event))

    def parts(self, source: SourceId) -> Iterator[tuple[StockKey, Withheld]]:
        """Yield what a source last said of each bin and lot, in no order."""
        yield from map(_part, self._items(PART, source))

    def _items(self, kind: str, name: str) -> Iterator[Item]:
        for number in range(SHARDS):
            yield from self._table.query(shadow_partition(kind, name, number))


def _part_update(source: SourceId, key: StockKey, one: Withheld, part: Slot) -> Update:
    """Return the write that keeps a number of a bin or lot, unless one is kept that stands behind it in the ledger's order."""
    at, rank = instant(one.at), count_rank(one.mark)
    return Update(
        shadow_part_key(source, key, part),
        set={
            "sku": key.sku,
            "location": key.location,
            "leaf": str(part.leaf),
            "counter": part.counter,
            "event": one.event,
            "what": one.what,
            "units": one.units,
            "at": at,
            "version": one.version,
            "rank": rank,
        },
        conditions=(AnyOf((AttributeAbsent("at"), LessThan("at", at), LessThan("rank", rank))),),
    )


def _part(item: Item) -> tuple[StockKey, Withheld]:
    sku, location, leaf, counter = (cast(str, item[name]) for name in ("sku", "location", "leaf", "counter"))
    said = Withheld(
        EventKey(cast(str, item["event"])),
        cast(str, item["what"]),
        cast(int, item["units"]),
        parse_instant(cast(str, item["at"])),
        Slot(parse_leaf(leaf), Counter(counter)),
        cast(str, item.get("version", "")),
    )
    return StockKey(Sku(sku), LocationId(location)), said


def _is_place(name: str) -> bool:
    return name.startswith(_EVENT) and name.removeprefix(_EVENT).isdecimal()


def _key(item: Item) -> StockKey:
    sku, location = cast(str, item["sk"]).split("#")
    return StockKey(Sku(plain(sku)), LocationId(plain(location)))


def _row(one: Numbers) -> list[Value]:
    return [instant(one.at), one.ours, one.theirs]


def _written(one: Rehearsed) -> dict[str, Value]:
    return {
        "numbers": [_row(numbers) for numbers in one.numbers],
        "version": one.version,
        "available": one.available,
        "oversells": [_oversell_row(each) for each in one.oversells],
    }


def _identity(one: Prevented) -> tuple[str, str, datetime]:
    return one.sale.order, one.sale.line, one.sale.at


def _oversell_row(one: Prevented) -> list[Value]:
    sale = one.sale
    told: list[Value] = [sale.order, sale.line, instant(sale.at), instant(sale.heard_at), sale.units]
    return [*told, one.units, one.ours, one.theirs]


def _oversell(row: list[Any]) -> Prevented:
    order, line, at, heard_at, ordered, units, ours, theirs = row
    return Prevented(
        Sale(order, line, parse_instant(at), parse_instant(heard_at), ordered), units, ours, theirs
    )


def _rehearsed(item: Item) -> Rehearsed:
    rows = cast("list[tuple[str, int | None, int | None]]", item["numbers"])
    return Rehearsed(
        _key(item),
        tuple(Numbers(parse_instant(at), ours, theirs) for at, ours, theirs in rows),
        cast(int, item["version"]),
        cast(int, item["available"]),
        tuple(_oversell(row) for row in cast("list[list[Any]]", item["oversells"])),
    )

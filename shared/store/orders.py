"""Order lines in the ``stock`` table: read, merge purely, and write back if the line is still as it was read.

The line is its own idempotency item: it remembers the event keys applied to it and what each did. It is listed under
the stock key where it lies; for every other location where it holds units, or ever has, a ``PART`` beside it lists it
there too. While units are claimed as shipped that the authority has said nothing of, it is listed under ``claimed``,
and under ``disputed`` while one of its documents was told with two contents.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import cast

from shared.domain.availability import Standing
from shared.domain.events import instant, parse_instant
from shared.domain.items import Component
from shared.domain.reservation import Brought, Held, OrderLine, Stated
from shared.domain.stock import ChannelId, EventKey, LocationId, MessageId, Quantity, Sku, StockKey
from shared.store.layout import SHARDS, line_key, order_key, part, shard
from shared.store.promises import standings
from shared.store.table import Absent, Check, Condition, Equals, Item, Key, Put, Table, Value

_KINDS = ("versions", "cancellations", "fulfilments", "unfulfilled", "returns", "shipments")

CLOCK_SKEW = timedelta(minutes=10)
"""How much earlier than it happened, at most, a change can have been recorded."""


LINE_SIZE = 320_000
"""Bytes that a line may grow to; an item of the table holds 400 KB, and the rest is for what takes back or calls off."""

TOGETHER_SIZE = 3_000_000
"""Bytes of the lines that one transaction writes; it holds 4 MB."""


class Orders:
    """Reads of order lines."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def lines(self, wanted: Mapping[tuple[str, str], StockKey]) -> dict[tuple[str, str], OrderLine]:
        """Return each wanted (order, line); one that is unknown comes empty, at the stock key given for it."""
        keys = {line_key(*name): name for name in wanted}
        found = self._table.get_many(list(keys))
        return {
            name: order_line(found[key]) if key in found else OrderLine(*name, wanted[name])
            for key, name in keys.items()
        }

    def order(self, order: str) -> list[OrderLine]:
        """Return all lines of one order, in order of line id."""
        return [order_line(item) for item in self._table.query(order_key(order).pk, prefix="LINE#")]

    def headers(self, orders: Iterable[str]) -> dict[str, Item]:
        """Return what is stored of some orders beside their lines, of those that have such an item."""
        keys = {order_key(order): order for order in orders}
        return {keys[key]: item for key, item in self._table.get_many(list(keys)).items()} if keys else {}

    def of_stock_key(self, key: StockKey, *, changed_since: datetime | None = None) -> Iterator[OrderLine]:
        """Yield the lines that concern a stock key, read through an index that may lag behind."""
        for names in self.listed(key, changed_since=changed_since):
            for item in self._table.get_many(names).values():
                yield order_line(item)

    def listed(self, key: StockKey, *, changed_since: datetime | None = None) -> Iterator[list[Key]]:
        """Yield the keys of the lines that an index lists under a stock key, some at a time."""
        first = "" if changed_since is None else instant(changed_since)
        for number in range(SHARDS):
            found = self._table.query_index("order_lines", _index_key(key, number), first=first)
            yield list(dict.fromkeys(Key(name.pk, f"LINE#{name.sk.split('#')[1]}") for name in found))

    def standings(self, keys: Iterable[StockKey]) -> dict[StockKey, Standing]:
        """Return what stands of some stock keys for orders to be served from."""
        return standings(self._table, keys)

    def claimed_before(self, before: datetime) -> Iterator[OrderLine]:
        """Yield lines with units that somebody claimed as shipped before an instant, and the authority did not."""
        yield from self._watched("claimed", instant(before))

    def disputed(self) -> Iterator[OrderLine]:
        """Yield lines of which one document was told with two contents."""
        yield from self._watched("disputed", None)

    def _watched(self, why: str, last: str | None, limit: int = 1000) -> Iterator[OrderLine]:
        for number in range(SHARDS):
            names = list(self._table.query_index("expiring", f"{why}#{number}", last=last, limit=limit))
            for item in self._table.get_many(names).values():
                yield order_line(item)

    def reserved_change_after(self, key: StockKey, at: datetime) -> Quantity:
        """Return by how much ``reserved`` of a stock key has changed since an instant."""
        return sum(
            held.quantity
            for line in self.of_stock_key(key, changed_since=at - CLOCK_SKEW)
            for held in line.history
            if held.at > at and held.location == key.location
        )


def line_put(line: OrderLine, changed_at: datetime) -> Put:
    """Write a merged line, on condition that nobody changed it since it was read."""
    place, claimed = line.place, line.claimed
    attributes: dict[str, Value] = {
        "order": line.order,
        "line": line.line,
        "sku": place.sku,
        "location": place.location,
        "home": line.stock_key.location,
        "channel": line.channel,
        "revision": line.revision + 1,
        **{kind: _written(getattr(line, kind)) for kind in _KINDS},
        "applied": {str(key): effect for key, effect in line.applied.items()},
        "brought": {
            str(key): [one.message, instant(one.posted_at or changed_at)] for key, one in line.brought.items()
        },
        "history": [[instant(h.at), h.quantity, h.event_key, h.location] for h in line.history],
        "shares": [list(share) for share in line.shares],
        "dedicated": line.dedicated,
        "open": line.open,
        "order_lines_pk": line_index(line),
        "order_lines_sk": instant(changed_at),
    }
    if line.kit_from is not None:
        attributes["kit"] = [[component.sku, component.quantity] for component in line.kit]
        attributes["kit_from"] = instant(line.kit_from)
    if line.part_of:
        attributes["part_of"] = line.part_of
    if line.disputed:
        attributes["expiring_pk"] = f"disputed#{shard(line.order)}"
        attributes["expiring_sk"] = instant(changed_at)
    elif claimed is not None:
        attributes["expiring_pk"] = f"claimed#{shard(line.order)}"
        attributes["expiring_sk"] = instant(claimed.since)
    return Put(line_key(line.order, line.line), attributes, (_as_read(line),))


def line_index(line: OrderLine) -> str:
    """Return the index key under which a line is listed where it lies."""
    return _index_key(line.place, shard(line.order))


def is_listed(item: Item | None, index: str) -> bool:
    """Whether a line, or its ``PART``, is listed under an index key, since whatever instant."""
    return item is not None and item.get("order_lines_pk") == index and "order_lines_sk" in item


def line_check(line: OrderLine) -> Check:
    """Demand that nobody changed a line since it was read."""
    return Check(line_key(line.order, line.line), (_as_read(line),))


def _as_read(line: OrderLine) -> Condition:
    return Equals("revision", line.revision) if line.revision else Absent()


def line_size(line: OrderLine) -> int:
    """Return how many bytes a line takes, roughly, and would take if each of its documents changed what it holds."""
    documents = sum(
        _size(name, said.location, said.fetched, "" if name == said.event_key else said.event_key)
        for kind in _KINDS
        for name, said in getattr(line, kind).items()
    )
    came = sum(_size(key, effect) for key, effect in line.applied.items())
    came += sum(_size(key, one.message) for key, one in line.brought.items())
    holding = (line.versions, line.cancellations, line.shipments)
    longest = sum(_size(said.event_key, said.location) for kind in holding for said in kind.values())
    history = sum(_size(held.event_key, held.location) for held in line.history)
    return documents + came + max(history, longest)


def _size(*texts: str) -> int:
    """Return the bytes of one entry: its texts, an instant, a number, and what lists take for themselves."""
    return 45 + sum(len(text) if text.isascii() else len(text.encode()) for text in texts)


def line_puts(line: OrderLine, changed_at: datetime) -> list[Put]:
    """Write a merged line, and list it under every other location that it concerns."""
    elsewhere = sorted(line.places - {line.place.location})
    return [line_put(line, changed_at), *(_part_put(line, location, changed_at) for location in elsewhere)]


def _part_put(line: OrderLine, location: LocationId, changed_at: datetime) -> Put:
    key = line_key(line.order, line.line)
    part_key = Key(key.pk, f"PART#{key.sk.removeprefix('LINE#')}#{part(location)}")
    there = StockKey(line.stock_key.sku, location)
    listed = {"order_lines_pk": _index_key(there, shard(line.order)), "order_lines_sk": instant(changed_at)}
    return Put(part_key, listed)


def order_line(item: Item) -> OrderLine:
    """Read a stored order line."""
    history = cast("list[tuple[str, int, str, str]]", item["history"])
    shares = cast("list[tuple[str, int]]", item["shares"])
    channel = cast("str | None", item["channel"])
    kit = cast("list[tuple[str, int]]", item.get("kit", []))
    kit_from = cast("str | None", item.get("kit_from"))
    return OrderLine(
        order=cast(str, item["order"]),
        line=cast(str, item["line"]),
        stock_key=StockKey(Sku(cast(str, item["sku"])), LocationId(cast(str, item["home"]))),
        channel=None if channel is None else ChannelId(channel),
        revision=cast(int, item["revision"]),
        applied={EventKey(key): effect for key, effect in cast("dict[str, str]", item["applied"]).items()},
        history=tuple(
            Held(parse_instant(at), quantity, EventKey(key), LocationId(location))
            for at, quantity, key, location in history
        ),
        dedicated=cast(int, item.get("dedicated", 0)),
        shares=tuple((LocationId(location), units) for location, units in shares),
        kit=tuple(Component(Sku(sku), quantity) for sku, quantity in kit),
        kit_from=None if kit_from is None else parse_instant(kit_from),
        part_of=cast(str, item.get("part_of", "")),
        brought={
            EventKey(key): Brought(MessageId(message), parse_instant(at))
            for key, (message, at) in cast("dict[str, tuple[str, str]]", item.get("brought", {})).items()
        },
        **{kind: _documents(item[kind]) for kind in _KINDS},
    )


def _written(documents: Mapping[str, Stated]) -> Value:
    return {
        name: [
            instant(said.at),
            "" if name == said.event_key else said.event_key,
            said.quantity,
            said.location,
            said.fetched,
            *([said.after] if said.after else []),
        ]
        for name, said in documents.items()
    }


def _documents(value: Value) -> dict[str, Stated]:
    said = cast("dict[str, tuple[str, str, int, str, str, *tuple[int, ...]]]", value)
    return {
        name: Stated(parse_instant(at), EventKey(key or name), units, location, fetched, *after)
        for name, (at, key, units, location, fetched, *after) in said.items()
    }


def _index_key(key: StockKey, number: int) -> str:
    return f"{part(key.sku)}#{part(key.location)}#{number}"

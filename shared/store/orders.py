"""Order lines in the ``stock`` table: read, merge purely, and write back if the line is still as it was read.

The line is its own idempotency item: it remembers the event keys applied to it and what each did.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import cast

from shared.domain.events import instant, parse_instant
from shared.domain.reservation import Held, OrderLine, Stated
from shared.domain.stock import ChannelId, EventKey, LocationId, Quantity, Sku, StockKey
from shared.store.layout import SHARDS, line_key, order_key, part, shard
from shared.store.table import Absent, Equals, Item, Put, Table, Value

CLOCK_SKEW = timedelta(minutes=10)
"""How much earlier than it happened, at most, a change can have been recorded."""


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

    def of_stock_key(self, key: StockKey, *, changed_since: datetime | None = None) -> Iterator[OrderLine]:
        """Yield the lines that concern a stock key, read through an index that may lag behind."""
        first = "" if changed_since is None else instant(changed_since)
        for number in range(SHARDS):
            names = list(self._table.query_index("order_lines", _index_key(key, number), first=first))
            for item in self._table.get_many(names).values():
                yield order_line(item)

    def reserved_change_after(self, key: StockKey, at: datetime) -> Quantity:
        """Return by how much ``reserved`` of a stock key has changed since an instant."""
        return sum(
            held.quantity
            for line in self.of_stock_key(key, changed_since=at - CLOCK_SKEW)
            for held in line.history
            if held.at > at
        )


def line_put(line: OrderLine, changed_at: datetime) -> Put:
    """Write a merged line, on condition that nobody changed it since it was read."""
    condition = Equals("revision", line.revision) if line.revision else Absent()
    attributes: dict[str, Value] = {
        "order": line.order,
        "line": line.line,
        "sku": line.stock_key.sku,
        "location": line.stock_key.location,
        "channel": line.channel,
        "revision": line.revision + 1,
        "versions": _written(line.versions),
        "cancellations": _written(line.cancellations),
        "fulfilments": _written(line.fulfilments),
        "shipments": _written(line.shipments),
        "applied": {str(key): effect for key, effect in line.applied.items()},
        "history": [[instant(h.at), h.quantity, h.event_key] for h in line.history],
        "open": line.open,
        "order_lines_pk": _index_key(line.stock_key, shard(line.order)),
        "order_lines_sk": instant(changed_at),
    }
    return Put(line_key(line.order, line.line), attributes, (condition,))


def order_line(item: Item) -> OrderLine:
    """Read a stored order line."""
    history = cast("list[tuple[str, int, str]]", item["history"])
    channel = cast("str | None", item["channel"])
    return OrderLine(
        order=cast(str, item["order"]),
        line=cast(str, item["line"]),
        stock_key=StockKey(Sku(cast(str, item["sku"])), LocationId(cast(str, item["location"]))),
        channel=None if channel is None else ChannelId(channel),
        revision=cast(int, item["revision"]),
        versions=_documents(item["versions"]),
        cancellations=_documents(item["cancellations"]),
        fulfilments=_documents(item["fulfilments"]),
        shipments=_documents(item["shipments"]),
        applied={EventKey(key): effect for key, effect in cast("dict[str, str]", item["applied"]).items()},
        history=tuple(Held(parse_instant(at), quantity, EventKey(key)) for at, quantity, key in history),
    )


def _written(documents: Mapping[str, Stated]) -> Value:
    return {name: [instant(said.at), said.event_key, said.quantity] for name, said in documents.items()}


def _documents(value: Value) -> dict[str, Stated]:
    said = cast("dict[str, tuple[str, str, int]]", value)
    return {name: Stated(parse_instant(at), EventKey(key), units) for name, (at, key, units) in said.items()}


def _index_key(key: StockKey, number: int) -> str:
    return f"{part(key.sku)}#{part(key.location)}#{number}"

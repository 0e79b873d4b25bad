"""Transfers in the ``stock`` table: one item for each, written only while it is as it was read.

All are listed under ``transfer`` in the index ``order_lines``, the newest last; those whose units should have arrived by
some instant, or have not been explained since, also under ``transfer`` in the index ``expiring``, by that instant. Those that are not over are listed by
their destination in the index ``by_location``, beside its stock keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import cast

from shared.domain.events import instant, parse_instant
from shared.domain.stock import EventKey, LocationId, Quantity, Sku
from shared.domain.transfer import OVER, Effect, Moved, Transfer, TransferLine, Word
from shared.store.layout import SHARDS, shard, transfer_key
from shared.store.table import Absent, Equals, Item, Put, Table, Value


class Transfers:
    """Reads of transfers."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def find(self, ids: Iterable[str]) -> dict[str, Transfer]:
        """Return those of some transfers that exist."""
        found = self._table.get_many([transfer_key(one) for one in dict.fromkeys(ids)])
        return {one.id: one for one in map(_transfer, found.values())}

    def newest(self, limit: int, before: str | None = None) -> list[Transfer]:
        """Return the newest transfers, or those before the place that ``place_of`` says; the index may lag behind."""
        found: list[Transfer] = []
        for number in range(SHARDS):
            keys = list(
                self._table.query_index(
                    "order_lines", f"transfer#{number}", last=before, descending=True, limit=limit + 1
                )
            )
            found += map(_transfer, self._table.get_many(keys).values())
        places = sorted(((place_of(one), one) for one in found), key=lambda entry: entry[0], reverse=True)
        return [one for place, one in places if before is None or place < before][:limit]

    def open_to(self, destination: LocationId) -> Iterator[Transfer]:
        """Yield transfers to a location that are not over; read through an index that may lag behind."""
        for number in range(SHARDS):
            keys = list(self._table.query_index("by_location", _open_to(destination, number)))
            yield from map(_transfer, self._table.get_many(keys).values())

    def due(self, at: datetime, limit: int = 1000) -> Iterator[Transfer]:
        """Yield transfers that are to be looked at by an instant: units are late, or unexplained; read through an index that may lag behind."""
        for number in range(SHARDS):
            keys = list(
                self._table.query_index("expiring", f"transfer#{number}", last=instant(at), limit=limit)
            )
            yield from map(_transfer, self._table.get_many(keys).values())


def place_of(transfer: Transfer) -> str:
    """Return where a transfer stands in the list of all."""
    return f"{instant(transfer.requested.at)}#{transfer.id}"


def transfer_put(transfer: Transfer) -> Put:
    """Write a transfer, on condition that nobody changed it since it was read."""
    instants = [at for at in (transfer.due_at, transfer.unexplained_at) if at is not None]
    attributes: dict[str, Value] = {
        "transfer": transfer.id,
        "from": transfer.origin,
        "to": transfer.destination,
        "lines": [[line.sku, line.quantity] for line in transfer.lines],
        "requested": _word_value(transfer.requested),
        "approved": _word_value(transfer.approved),
        "closed": _word_value(transfer.closed),
        "lead_time_s": None if transfer.lead_time is None else transfer.lead_time // timedelta(seconds=1),
        "closings": transfer.closings,
        "written_off": {str(sku): units for sku, units in transfer.written_off.items()},
        "moves": {
            str(key): [
                one.sku,
                one.effect,
                one.units,
                instant(one.at),
                *([instant(one.until)] if one.until else []),
            ]
            for key, one in transfer.moves.items()
        },
        "calls": dict(transfer.calls),
        "revision": transfer.revision + 1,
        "order_lines_pk": f"transfer#{shard(transfer.id)}",
        "order_lines_sk": place_of(transfer),
    }
    if transfer.status not in OVER:
        attributes["by_location_pk"] = _open_to(transfer.destination, shard(transfer.id))
        attributes["by_location_sk"] = place_of(transfer)
    if instants:
        attributes |= {"expiring_pk": f"transfer#{shard(transfer.id)}", "expiring_sk": instant(min(instants))}
    condition = Equals("revision", transfer.revision) if transfer.revision else Absent()
    return Put(transfer_key(transfer.id), attributes, (condition,))


def _open_to(destination: LocationId, number: int) -> str:
    """Name the partition of open transfers to a location; no location's own begins with a ``#``."""
    return f"#transfer#{destination}#{number}"


def _word_value(word: Word | None) -> Value:
    return None if word is None else [word.by, instant(word.at), word.why]


def _word(value: Value) -> Word | None:
    if value is None:
        return None
    by, at, why = cast("tuple[str, str, str]", value)
    return Word(by, parse_instant(at), why)


def _moved(sku: str, effect: str, units: Quantity, at: str, until: str | None = None) -> Moved:
    return Moved(
        Sku(sku), Effect(effect), units, parse_instant(at), None if until is None else parse_instant(until)
    )


def _transfer(item: Item) -> Transfer:
    lines = cast("list[tuple[str, Quantity]]", item["lines"])
    moves = cast("Mapping[str, tuple[str, str, Quantity, str]]", item["moves"])
    lead_time_s = cast("int | None", item["lead_time_s"])
    return Transfer(
        cast(str, item["transfer"]),
        LocationId(cast(str, item["from"])),
        LocationId(cast(str, item["to"])),
        tuple(TransferLine(Sku(sku), units) for sku, units in lines),
        cast(Word, _word(item["requested"])),
        _word(item["approved"]),
        _word(item["closed"]),
        None if lead_time_s is None else timedelta(seconds=lead_time_s),
        cast(int, item.get("closings", 0 if item["closed"] is None else 1)),
        {Sku(sku): units for sku, units in cast("Mapping[str, Quantity]", item["written_off"]).items()},
        {EventKey(key): _moved(*written) for key, written in moves.items()},
        dict(cast("Mapping[str, str]", item["calls"])),
        cast(int, item["revision"]),
    )

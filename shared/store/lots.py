"""Lots in the ``stock`` table: until when each may be sold, and which are recalled.

A lot that has an end is listed under ``lot`` in the index ``expiring`` by the instant when it is to be looked at next:
its last day's end, or for one that is withheld already a little later each time, because more of it may arrive.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import zip_longest
from typing import cast

from shared.domain.events import instant, parse_instant
from shared.domain.stock import LocationId, Sku
from shared.store.layout import SHARDS, lot_key, shard
from shared.store.table import (
    AttributeAbsent,
    Condition,
    Equals,
    Item,
    Key,
    Table,
    Update,
    Value,
    WriteRefusedError,
)

_NEW, _AGAIN = "lot", "withheld"
"""Where lots are listed that are to be looked at for the first time, and those that are withheld already."""

_AT_ONCE = 100
"""Lots that are read at once; whoever looks at them may have no time for more."""


@dataclass(frozen=True, slots=True)
class Lot:
    """One lot of an item.

    ``expires_on`` is the last day on which it may be sold, by UTC; ``recalled_at``, ``by`` and ``reason`` say when it
    was recalled, by whom and why. ``looked`` is how long the journal of each location was when all of it was on hold.
    """

    sku: Sku
    lot: str
    expires_on: date | None = None
    recalled_at: datetime | None = None
    by: str = ""
    reason: str = ""
    looked: Mapping[LocationId, int] = field(default_factory=dict)


class Lots:
    """Reads and writes of lots."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def find(self, sku: Sku, lot: str) -> Lot | None:
        """Return a lot if anything was ever said of it."""
        item = self._table.get(lot_key(sku, lot))
        return None if item is None else _lot(item)

    def set_expiry(
        self, sku: Sku, lot: str, expires_on: date, due: datetime, actor: str, now: datetime
    ) -> None:
        """Say until when a lot may be sold; ``due`` is when it is to be looked at, and ``now`` where it is recalled."""
        said: dict[str, Value] = {"expires_on": expires_on.isoformat(), "expiry_by": actor}
        try:
            self._write(sku, lot, said, due, conditions=(AttributeAbsent("recalled_at"),))
        except WriteRefusedError:
            self._write(sku, lot, said, now)

    def recall(self, sku: Sku, lot: str, reason: str, actor: str, at: datetime) -> None:
        """Say that a lot is recalled; saying it again changes the reason alone."""
        self._write(sku, lot, {"reason": reason, "by": actor}, at, {"recalled_at": instant(at)})

    def look_again(self, lot: Lot, at: datetime, looked: Mapping[LocationId, int] | None = None) -> None:
        """List a lot to be looked at again, unless something was said of it since it was read: that listed it itself.

        One that is withheld is listed apart, with what was ``looked`` at.
        """
        as_read = (
            _stands("recalled_at", None if lot.recalled_at is None else instant(lot.recalled_at)),
            _stands("expires_on", None if lot.expires_on is None else lot.expires_on.isoformat()),
        )
        said: dict[str, Value] = (
            {} if looked is None else {"looked": {str(place): length for place, length in looked.items()}}
        )
        with suppress(WriteRefusedError):
            self._write(
                lot.sku, lot.lot, said, at, conditions=as_read, listed=_NEW if looked is None else _AGAIN
            )

    def due(self, at: datetime, limit: int = 200) -> Iterator[Lot]:
        """Yield lots that are to be looked at by an instant: first those whose time has come, then those looked at before.

        Of either the oldest come first, more or less. They are read through an index that may lag behind; those looked at
        before are read first, for what is said of one of them meanwhile lists it among the others.
        """
        again, new = self._listed(_AGAIN, at, limit), self._listed(_NEW, at, limit)
        keys = list(dict.fromkeys([*new, *again]))
        for start in range(0, len(keys), _AT_ONCE):
            some = keys[start : start + _AT_ONCE]
            found = self._table.get_many(some)
            yield from (_lot(found[key]) for key in some if key in found)

    def _listed(self, listed: str, at: datetime, limit: int) -> list[Key]:
        """Return the lots of a listing that are to be looked at by an instant, of each shard one in turn."""
        of_shards = [
            list(self._table.query_index("expiring", f"{listed}#{number}", last=instant(at), limit=limit))
            for number in range(SHARDS)
        ]
        return [key for together in zip_longest(*of_shards) for key in together if key is not None]

    def _write(
        self,
        sku: Sku,
        lot: str,
        said: dict[str, Value],
        due: datetime,
        defaults: dict[str, Value] | None = None,
        conditions: Sequence[Condition] = (),
        listed: str = _NEW,
    ) -> None:
        marks: dict[str, Value] = {
            "expiring_pk": f"{listed}#{shard(sku + lot)}",
            "expiring_sk": instant(due),
        }
        written = {"sku": sku, "lot": lot, **said, **marks}
        self._table.write(
            [Update(lot_key(sku, lot), set=written, defaults=defaults or {}, conditions=tuple(conditions))]
        )


def _stands(name: str, value: str | None) -> Condition:
    return AttributeAbsent(name) if value is None else Equals(name, value)


def _lot(item: Item) -> Lot:
    expires_on = cast("str | None", item.get("expires_on"))
    recalled_at = cast("str | None", item.get("recalled_at"))
    return Lot(
        Sku(cast(str, item["sku"])),
        cast(str, item["lot"]),
        None if expires_on is None else date.fromisoformat(expires_on),
        None if recalled_at is None else parse_instant(recalled_at),
        cast(str, item.get("by", "")),
        cast(str, item.get("reason", "")),
        cast("dict[LocationId, int]", item.get("looked", {})),
    )

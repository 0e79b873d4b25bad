"""What each source last said of each stock key.

Only a newer statement replaces an older one. Each lists itself as not compared in the same write, so that a
comparison whose announcement was lost is found by a sweep.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import TypeAlias, cast

from shared.domain.drift import Observation
from shared.domain.events import instant, parse_instant
from shared.domain.stock import LocationId, Sku, SourceId, StockKey
from shared.store.bulk import write_each
from shared.store.layout import SHARDS, heard_key, observation_key, shard
from shared.store.table import (
    AnyOf,
    AttributeAbsent,
    Equals,
    Item,
    LessThan,
    Table,
    Update,
    Value,
)

NOTED_EVERY = timedelta(seconds=10)
"""How much newer a source's word on a location must be to be noted again."""

Subject: TypeAlias = "tuple[StockKey, SourceId, str]"
"""What an observation is about: a stock key, by whom, and which element of it."""


class Observations:
    """Stores and reads observations."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._noted: dict[tuple[SourceId, LocationId], datetime] = {}

    def record(
        self, observations: Sequence[Observation], at: datetime, agreed: Collection[Observation] = ()
    ) -> None:
        """Keep each observation unless something newer is known of its subject.

        Those in ``agreed`` are what the ledger says itself, and do not wait for a comparison.
        """
        newest: dict[tuple[str, str, str, str], Observation] = {}
        for seen in observations:
            subject = (seen.sku, seen.location, seen.source, seen.element)
            known = newest.get(subject)
            if known is None or _rank(seen) >= _rank(known):
                newest[subject] = seen
        write_each(self._table, [_update(seen, at, seen in agreed) for seen in newest.values()])
        self._heard(observations)

    def _heard(self, observations: Iterable[Observation]) -> None:
        """Note how far each source has spoken of each location; not oftener than every ``NOTED_EVERY``."""
        newest: dict[tuple[SourceId, LocationId], datetime] = {}
        for seen in observations:
            told = (seen.source, seen.location)
            newest[told] = max(seen.as_of, newest.get(told, seen.as_of))
        news = {
            told: as_of
            for told, as_of in newest.items()
            if told not in self._noted or as_of - self._noted[told] >= NOTED_EVERY
        }
        updates = [
            Update(
                heard_key(*told),
                set={"as_of": instant(as_of)},
                conditions=(AnyOf((AttributeAbsent("as_of"), LessThan("as_of", instant(as_of)))),),
            )
            for told, as_of in news.items()
        ]
        if updates:
            write_each(self._table, updates)
            self._noted |= news

    def of_sku(self, sku: Sku) -> list[Observation]:
        """Return what every source last said of an item, at every location."""
        pk = observation_key(sku, LocationId(""), SourceId(""), "").pk
        return [observation(item) for item in self._table.query(pk)]

    def find(self, subjects: Collection[Subject]) -> list[Observation]:
        """Return what is known of some subjects: (stock key, source, element)."""
        keys = [observation_key(key.sku, key.location, source, element) for key, source, element in subjects]
        return [observation(item) for item in self._table.get_many(keys).values()]

    def compared(self, observations: Sequence[Observation]) -> None:
        """Take observations off the list of those to compare, but for those that newer ones have replaced."""
        updates = {
            update.key: update
            for seen in observations
            for update in [
                Update(
                    observation_key(seen.sku, seen.location, seen.source, seen.element),
                    set={"compared": True},
                    remove=("observed_pk", "observed_sk"),
                    conditions=(Equals("rank", _rank(seen)),),
                )
            ]
        }
        write_each(self._table, list(updates.values()))

    def not_compared_since(self, before: datetime, limit: int = 100) -> Iterator[Observation]:
        """Yield observations that have waited for their comparison since before an instant."""
        for number in range(SHARDS):
            keys = list(
                self._table.query_index("observed", f"observed#{number}", last=instant(before), limit=limit)
            )
            for item in self._table.get_many(keys).values():
                yield observation(item)


def observation(item: Item) -> Observation:
    """Read a stored observation."""
    return Observation(
        SourceId(cast(str, item["source"])),
        Sku(cast(str, item["sku"])),
        LocationId(cast(str, item["location"])),
        cast(str, item["element"]),
        cast(int, item["quantity"]),
        parse_instant(cast(str, item["as_of"])),
        cast(str, item["version"]),
    )


def _rank(seen: Observation) -> str:
    return f"{instant(seen.as_of)}#{seen.version}"


def _update(seen: Observation, at: datetime, agreed: bool) -> Update:
    written: dict[str, Value] = {
        "source": seen.source,
        "sku": seen.sku,
        "location": seen.location,
        "element": seen.element,
        "quantity": seen.quantity,
        "as_of": instant(seen.as_of),
        "version": seen.version,
        "rank": _rank(seen),
        "received_at": instant(at),
    }
    marks: dict[str, Value] = {"observed_pk": f"observed#{shard(seen.sku)}", "observed_sk": instant(at)}
    return Update(
        observation_key(seen.sku, seen.location, seen.source, seen.element),
        set={**written, "compared": True} if agreed else {**written, **marks},
        remove=tuple(marks) if agreed else ("compared",),
        conditions=(AnyOf((AttributeAbsent("rank"), LessThan("rank", _rank(seen)))),),
    )

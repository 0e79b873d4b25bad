"""What each source last said of each stock key.

Only a newer statement replaces an older one; of two versions of one document the later version is the newer, whatever
their instants, as it is in the ledger. Each lists itself as not compared in the same write, so that a
comparison whose announcement was lost is found by a sweep.

The item also keeps the numbers said before, added in the same write: root cause asks what a source *used* to say. They
are cut to the newest ``KEPT`` when the statement is compared, which nobody can do to a newer one by mistake. A
statement that the ledger was posted from begins anew: what was said before it was settled by it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias, cast
from zlib import crc32

from shared.domain.drift import Observation, Statement, Told
from shared.domain.events import Movement, instant, parse_instant
from shared.domain.stock import Counter, EventKey, LocationId, Sku, SourceId, StockKey
from shared.store.bulk import write_each
from shared.store.layout import SHARDS, believed_key, heard_key, observation_key, part, plain, shard, told_key
from shared.store.table import (
    AnyOf,
    AtLeast,
    AttributeAbsent,
    Condition,
    Equals,
    Item,
    Key,
    LessThan,
    Table,
    Update,
    Value,
)

NOTED_EVERY = timedelta(seconds=10)
"""How much newer a source's word on a location must be to be noted again."""

Subject: TypeAlias = "tuple[StockKey, SourceId, str]"
"""What an observation is about: a stock key, by whom, and which element of it."""


TOLD_PLACES = 64
"""Movements of one stock key that are remembered of a source which is not believed."""

GONE_OVER = timedelta(days=1)
"""How much newer a number of a bin or lot must be for a total to be no more what its source says."""

KEPT = 50
"""Statements of one number that are remembered."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Said:
    """What a source last said, and its statements up to that, oldest first; and whether it waits to be compared.

    ``is_over`` is whether it has gone over to numbers of bins or lots since: the newest of them is newer by ``GONE_OVER``,
    whatever came first.
    """

    last: Observation
    statements: tuple[Statement, ...]
    waits: bool = False
    is_over: bool = False


class Observations:
    """Stores and reads observations."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._noted: dict[Key, datetime] = {}

    def record(
        self,
        observations: Sequence[Observation],
        at: datetime,
        agreed: Collection[Observation] = (),
        withheld: Collection[Observation] = (),
        partial: Sequence[Observation] = (),
    ) -> None:
        """Keep each observation unless something newer is known of its subject.

        Those in ``agreed`` are what the ledger says itself, and do not wait for a comparison. Those ``withheld`` would have
        counted, were their source live there: they make no promise fresh. Of those in ``partial``, numbers of a bin or a
        lot, only that the source has spoken is noted, and beside its total as of when.
        """
        newest: dict[tuple[str, str, str, str], Observation] = {}
        for seen in observations:
            subject = (seen.sku, seen.location, seen.source, seen.element)
            known = newest.get(subject)
            if known is None or _is_newer(seen, known):
                newest[subject] = seen
        write_each(self._table, [_update(seen, at, seen in agreed) for seen in newest.values()])
        self._heard([*observations, *partial], withheld)
        self._told_of_parts(partial)

    def _told_of_parts(self, partial: Iterable[Observation]) -> None:
        """Note as of when some sources last told of a bin or a lot, also where they have stated no total yet.

        It stands beside the total, so that whoever reads one reads both, and nothing else decides who has gone over.
        """
        newest: dict[Key, datetime] = {}
        for seen in partial:
            key = observation_key(seen.sku, seen.location, seen.source, seen.element)
            newest[key] = max(seen.as_of, newest.get(key, seen.as_of))
        write_each(
            self._table,
            [
                Update(
                    key,
                    set={"parts_at": instant(as_of)},
                    conditions=(AnyOf((AttributeAbsent("parts_at"), LessThan("parts_at", instant(as_of)))),),
                )
                for key, as_of in newest.items()
            ],
        )

    def _heard(self, observations: Iterable[Observation], withheld: Collection[Observation]) -> None:
        """Note how far each source has spoken of each location; not oftener than every ``NOTED_EVERY``."""
        newest: dict[Key, datetime] = {}
        for seen in observations:
            told = (seen.source, seen.location)
            for key in [heard_key(*told), *(() if seen in withheld else [believed_key(*told)])]:
                newest[key] = max(seen.as_of, newest.get(key, seen.as_of))
        news = {
            key: as_of
            for key, as_of in newest.items()
            if key not in self._noted or as_of - self._noted[key] >= NOTED_EVERY
        }
        updates = [
            Update(
                key,
                set={"as_of": instant(as_of)},
                conditions=(AnyOf((AttributeAbsent("as_of"), LessThan("as_of", instant(as_of)))),),
            )
            for key, as_of in news.items()
        ]
        if updates:
            write_each(self._table, updates)
            self._noted |= news

    def places(self, source: SourceId) -> set[LocationId]:
        """Return the locations of which a source ever said a number, also where that was of a bin or a lot."""
        heard = self._table.query(heard_key(source, LocationId("")).pk)
        return {LocationId(plain(cast(str, item["sk"]))) for item in heard}

    def of_sku(self, sku: Sku) -> list[Said]:
        """Return what every source last said of an item, at every location."""
        pk = observation_key(sku, LocationId(""), SourceId(""), "").pk
        return [said(item) for item in self._table.query(pk) if _has_total(item)]

    def find(self, subjects: Collection[Subject]) -> list[Observation]:
        """Return what is known of some subjects: (stock key, source, element)."""
        return [said.last for said in self.recall(subjects)]

    def recall(self, subjects: Collection[Subject]) -> list[Said]:
        """Return what is known of some subjects, with what was said before."""
        keys = [observation_key(key.sku, key.location, source, element) for key, source, element in subjects]
        return [said(item) for item in self._table.get_many(keys).values() if _has_total(item)]

    def tell(self, movements: Iterable[Movement]) -> None:
        """Note movements by sources that are not believed: they changed their own numbers, and nothing of ours.

        Each has a place of its own among a few, by its event key: telling it again changes nothing, and an older one
        gives way now and then.
        """
        notes: dict[Key, dict[str, Value]] = {}
        for event in movements:
            for leg in event.legs:
                if leg.counter is Counter.ON_HAND:
                    at = told_key(event.sku, leg.location, event.origin.source)
                    place = f"told{crc32(event.key.encode()) % TOLD_PLACES}"
                    notes.setdefault(at, {})[place] = [event.key, instant(event.occurred_at), leg.quantity]
        write_each(self._table, [Update(at, set=told) for at, told in notes.items()])

    def told(self, key: StockKey, source: SourceId) -> list[Told]:
        """Return movements of a stock key that a source told of without being believed, oldest first."""
        item = self._table.get(told_key(key.sku, key.location, source)) or {}
        rows = [cast("list[Any]", value) for name, value in item.items() if name.startswith("told")]
        found = [Told(EventKey(event), parse_instant(at), quantity) for event, at, quantity in rows]
        return sorted(found, key=lambda told: (told.at, told.event))

    def compared(self, recalled: Sequence[Said]) -> None:
        """Take observations off the list of those to compare, but for those that newer ones have replaced."""
        updates = {
            update.key: update
            for one in recalled
            for seen in [one.last]
            for update in [
                Update(
                    observation_key(seen.sku, seen.location, seen.source, seen.element),
                    set={"compared": True, "said": _packed(one.statements[-KEPT:])},
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
        plain(cast(str, item.get("edition", "#")).partition("#")[0]),
    )


def _has_total(item: Item) -> bool:
    """Whether a total was ever stated; else only bins or lots were, and nothing can be read of it."""
    return "rank" in item


def said(item: Item) -> Said:
    """Read a stored observation with the statements before it."""
    last = observation(item)
    numbers = cast("list[int]", item.get("said", []))
    known = {
        _EPOCH + timedelta(microseconds=numbers[n]): numbers[n + 1] for n in range(0, len(numbers) - 1, 2)
    }
    known[last.as_of] = last.quantity
    statements = tuple(Statement(known[at], at) for at in sorted(known) if at <= last.as_of)
    parts_at = item.get("parts_at")
    is_over = isinstance(parts_at, str) and parse_instant(parts_at) - last.as_of >= GONE_OVER
    return Said(last, statements, "observed_pk" in item, is_over)


def _packed(statements: Sequence[Statement]) -> list[int]:
    """Write statements as pairs of numbers: microseconds since 1970, and the quantity."""
    return [
        number
        for one in statements
        for number in ((one.as_of - _EPOCH) // timedelta(microseconds=1), one.quantity)
    ]


def _rank(seen: Observation) -> str:
    return f"{instant(seen.as_of)}#{seen.version}"


def _is_newer(seen: Observation, known: Observation) -> bool:
    if seen.document and seen.document == known.document and seen.version != known.version:
        return seen.version > known.version
    return _rank(seen) >= _rank(known)


def _edition(document: str, version: str) -> str:
    return f"{part(document)}#{version}"


def _newer(seen: Observation) -> tuple[Condition, ...]:
    """Return the conditions on which an observation replaces what is known: ``_is_newer``, as a table judges it."""
    unknown, later = AttributeAbsent("rank"), LessThan("rank", _rank(seen))
    if not seen.document:
        return (AnyOf((unknown, later)),)
    mine = _edition(seen.document, seen.version)
    first, behind = _edition(seen.document, ""), f"{part(seen.document)}$"
    is_earlier = LessThan("edition", mine)
    return (
        AnyOf((AttributeAbsent("edition"), is_earlier, Equals("edition", mine), AtLeast("edition", behind))),
        AnyOf((unknown, later, is_earlier)),
        AnyOf((unknown, later, AtLeast("edition", first))),
    )


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
    now = _packed([Statement(seen.quantity, seen.as_of)])
    marks: dict[str, Value] = {"observed_pk": f"observed#{shard(seen.sku)}", "observed_sk": instant(at)}
    gone = tuple(marks) if agreed else ("compared",)
    if seen.document:
        written["edition"] = _edition(seen.document, seen.version)
    else:
        gone = (*gone, "edition")
    return Update(
        observation_key(seen.sku, seen.location, seen.source, seen.element),
        set={**written, "compared": True, "said": now} if agreed else {**written, **marks},
        append={} if agreed else {"said": now},
        remove=gone,
        conditions=_newer(seen),
    )

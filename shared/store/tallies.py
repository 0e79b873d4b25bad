"""Counters of each day in the ``stock`` table, and how far each journal is in them.

Both are written in one transaction on condition that nobody else has counted those entries meanwhile, so an entry is
counted once whatever is redelivered, retried or cut short::

    TALLIED   entries 17 -> 19, if it is still 17
    TALLY     ADD what the entries 17 and 18 add

With them goes when a bin or lot was first counted, which changes what an entry adds: an item for each, read where one of
its counts is posted, and written where that moves.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import cast

from shared.domain.events import instant, parse_instant
from shared.domain.handoffs import OURSELVES
from shared.domain.stock import WHOLE, Leaf, LocationId, Quantity, Sku, SourceId, StockKey, parse_leaf
from shared.domain.tallies import Counted, Place, Progress
from shared.store.layout import (
    agreed_key,
    confirmed_tally_key,
    filled_key,
    first_count_key,
    off_key,
    plain,
    sweep_key,
    tallied_key,
    tally_key,
    worth_key,
)
from shared.store.table import (
    Absent,
    Action,
    Condition,
    Delete,
    Equals,
    Item,
    Put,
    Table,
    Update,
    Value,
)

LEAF = "LEAF#"
"""How the sort keys of what is kept of a leaf begin."""

LAST = "$"
"""Behind every sort key of a day: they go on with ``#``."""


@dataclass(frozen=True, slots=True)
class Off:
    """Counts of a stock key on one day that did not match: how many, and units off, without sign."""

    day: date
    key: StockKey
    counts: int
    units: Quantity


EVERYWHERE = LocationId("")
"""Stands for what is about no location in particular."""


class Tallies:
    """Adds to the counters, and reads them."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def progress(self, keys: Iterable[StockKey]) -> dict[StockKey, Progress]:
        """Return how far each journal was counted."""
        wanted = {tallied_key(key): key for key in keys}
        found = self._table.get_many(list(wanted))
        return {key: _progress(found.get(at)) for at, key in wanted.items()}

    def first_counts(self, leaves: Mapping[StockKey, Iterable[Leaf]]) -> dict[StockKey, dict[Leaf, datetime]]:
        """Return when the earliest count of some bins and lots of each stock key was taken, of those that have any."""
        wanted = {first_count_key(key, leaf): (key, leaf) for key, some in leaves.items() for leaf in some}
        firsts: dict[StockKey, dict[Leaf, datetime]] = {key: {} for key in leaves}
        for at, item in (self._table.get_many(list(wanted)) if wanted else {}).items():
            key, leaf = wanted[at]
            firsts[key][leaf] = parse_instant(cast(str, item["at"]))
        return firsts

    def all_first_counts(self, key: StockKey) -> dict[Leaf, datetime]:
        """Return when the earliest count of the whole and of each bin and lot of a stock key was taken."""
        whole = dict(self.progress([key])[key].firsts)
        parts = self._table.query(tallied_key(key).pk, prefix=LEAF)
        return whole | {
            parse_leaf(plain(cast(str, item["sk"]).removeprefix(LEAF))): parse_instant(cast(str, item["at"]))
            for item in parts
        }

    def actions(self, counted: Sequence[Counted]) -> list[Action]:
        """Return the writes that add what some journals' entries add; they belong into one transaction."""
        sums: defaultdict[Place, Counter[str]] = defaultdict(Counter)
        actions: list[Action] = []
        for one in counted:
            actions += [_advance(one), *_first_counts(one)]
            actions += [
                Update(off_key(one.key, str(day)), add={"counts": counts, "units": units})
                for day, (counts, units) in one.variances.items()
            ]
            for place, tally in one.tallies.items():
                sums[place].update(tally)
        for place, tally in sums.items():
            add = {name: number for name, number in tally.items() if number}
            actions.append(Update(tally_key(place.location, str(place.day), place.source), add=add))
        return actions

    def redrove(self, letters: int, day: date) -> None:
        """Note that somebody had dead letters sent again."""
        self._table.write([Update(tally_key(EVERYWHERE, str(day), OURSELVES), add={"redriven": letters})])

    def between(self, location: LocationId, first: date, last: date) -> Iterator[tuple[Place, Counter[str]]]:
        """Yield the counters of a location from one day to another, both included."""
        found = self._table.query(tally_key(location, "", "").pk, first=str(first), last=f"{last}{LAST}")
        for item in found:
            day, source = _day_and(item)
            yield Place(location, day, SourceId(source)), numbers_of(item)

    def first_compared(self, location: LocationId, last: date) -> date | None:
        """Return the first day, up to one, on which a count of the shelf was compared with the book at a location."""
        days = (place.day for place, tally in self.between(location, date.min, last) if tally["counted"])
        return next(days, None)

    def off(self, location: LocationId, first: date, last: date) -> Iterator[Off]:
        """Yield the stock keys of a location whose counts did not match, day by day."""
        pk = off_key(StockKey(Sku(""), location), "").pk
        for item in self._table.query(pk, first=str(first), last=f"{last}{LAST}"):
            day, sku = _day_and(item)
            numbers = numbers_of(item)
            yield Off(day, StockKey(Sku(sku), location), numbers["counts"], numbers["units"])

    def agreement(
        self, location: LocationId, first: date, last: date
    ) -> Iterator[tuple[Place, Counter[str]]]:
        """Yield what each day's sweep found of each system's numbers at a location."""
        pk = agreed_key(location, "", "").pk
        for item in self._table.query(pk, first=str(first), last=f"{last}{LAST}"):
            day, source = _day_and(item)
            yield Place(location, day, SourceId(source)), numbers_of(item)

    def worth(self, location: LocationId, first: date, last: date) -> tuple[date, Counter[str]] | None:
        """Return what the newest sweep of some days found a location's stock to be worth; None if none did.

        A sweep that is still under way is left out.
        """
        swept = (self._table.get(sweep_key()) or {}).get("daily_at")
        if swept is None:
            return None
        last = min(last, parse_instant(cast(str, swept)).date())
        pk = worth_key(location, "").pk
        for item in self._table.query(pk, first=str(first), last=str(last), descending=True, limit=1):
            return date.fromisoformat(cast(str, item["sk"])), numbers_of(item)
        return None

    def filled(self, location: LocationId, first: date, last: date) -> Iterator[Counter[str]]:
        """Yield how a location's orders of some days were filled, each day that was judged."""
        for item in self._table.query(filled_key(location, "").pk, first=str(first), last=str(last)):
            yield numbers_of(item)

    def confirmed(self, source: SourceId, first: date, last: date) -> Iterator[Counter[str]]:
        """Yield how long events waited until a source confirmed them, by the day and location of its numbers."""
        pk = confirmed_tally_key(source, "", LocationId("")).pk
        for item in self._table.query(pk, first=str(first), last=f"{last}{LAST}"):
            yield numbers_of(item)


def agreement_actions(tallies: Mapping[Place, Counter[str]]) -> list[Action]:
    """Return the writes that add what a sweep has found of some systems' numbers."""
    return [
        Update(agreed_key(place.location, str(place.day), place.source), add=dict(tally))
        for place, tally in tallies.items()
    ]


def worth_actions(location: LocationId, day: date, sums: Mapping[str, int]) -> list[Action]:
    """Return the writes that add what a sweep has found some stock of a location to be worth."""
    add = {name: number for name, number in sums.items() if number}
    return [Update(worth_key(location, str(day)), add=add)] if add else []


def filled_actions(location: LocationId, found: Mapping[date, Counter[str]]) -> list[Action]:
    """Return the writes that add how some order lines of a location were filled."""
    return [Update(filled_key(location, str(day)), add=dict(one)) for day, one in found.items()]


def numbers_of(item: Item) -> Counter[str]:
    """Return the counters of an item."""
    return Counter({name: value for name, value in item.items() if isinstance(value, int)})


def _advance(one: Counted) -> Update:
    opening = one.after.firsts.get(WHOLE)
    said: dict[str, Value] = {
        "entries": one.after.entries,
        "opening": None if opening is None else instant(opening),
    }
    if one.after.has_parts:
        said["has_parts"] = True
    unmoved: Condition = Equals("entries", one.before.entries) if one.before.entries else Absent()
    return Update(tallied_key(one.key), set=said, conditions=(unmoved,))


def _first_counts(one: Counted) -> Iterator[Action]:
    for leaf, at in one.moved.items():
        if leaf != WHOLE:
            place = first_count_key(one.key, leaf)
            yield Delete(place) if at is None else Put(place, {"at": instant(at)})


def _progress(item: Item | None) -> Progress:
    if item is None:
        return Progress()
    opening = item.get("opening")
    if isinstance(opening, list):  # as it was once written: with the source before it
        opening = opening[1]
    # Where bins were counted before each had an opening of its own, it is that of all: they count as opened with it.
    firsts = {WHOLE: parse_instant(opening)} if isinstance(opening, str) else {}
    return Progress(cast(int, item["entries"]), firsts, "has_parts" in item)


def _day_and(item: Item) -> tuple[date, str]:
    day, _, name = cast(str, item["sk"]).partition("#")
    return date.fromisoformat(day), plain(name)

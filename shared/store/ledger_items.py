"""The ledger's items as they are stored, and what they say: balances, entries, counts that stand, and counts that wait.

Each is written and read here and nowhere else, so that the two cannot differ.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from shared.domain.events import instant, parse_instant
from shared.domain.ledger import (
    NO_COUNT,
    Cause,
    Clock,
    CountMark,
    Line,
    Slot,
    Standing,
    Waiting,
    Why,
)
from shared.domain.stock import (
    WHOLE,
    Counter,
    EventKey,
    LocationId,
    Quantity,
    Sku,
    SourceId,
    StockKey,
    parse_leaf,
)
from shared.store.table import (
    Item,
    Value,
)


@dataclass(frozen=True, slots=True)
class Balance:
    """A stock key as it stands: totals of all leaves, the clocks of the whole, and the journal's length.

    ``withheld`` are the units that counts which wait keep from being promised.
    """

    key: StockKey
    seq: int
    totals: Mapping[Counter, Quantity]
    clocks: Mapping[Slot, Clock]
    counts_waiting: int = 0
    withheld: Quantity = 0

    def is_settled_at(self, at: datetime) -> bool:
        """Whether nothing is known to have happened after an instant, so that the totals are those of then."""
        return all(clock.last_valid_at is None or clock.last_valid_at <= at for clock in self.clocks.values())


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """One posting as it was recorded."""

    key: StockKey
    seq: int
    posted_at: datetime
    lines: Sequence[Line]


@dataclass(frozen=True, slots=True)
class Moved:
    """A stock key that was posted to: what it was from ``since`` on has changed; None where nothing has."""

    key: StockKey
    since: datetime | None


NEVER_ACCEPTED, ACCEPTED_BEFORE = "never accepted", "accepted before"
"""What is kept of a count that stands as history: whether it had stood by itself before."""


def pack_lines(lines: Iterable[Line]) -> bytes:
    """Write journal lines compactly; ``unpack_lines`` reads them."""
    rows = [
        [
            line.slot.counter,
            str(line.slot.leaf),
            line.quantity,
            instant(line.valid_at),
            line.event_key,
            line.cause,
            *([line.of_count] if line.of_count else ()),
        ]
        for line in lines
    ]
    return zlib.compress(json.dumps(rows, separators=(",", ":")).encode(), 6)


def unpack_lines(packed: bytes) -> list[Line]:
    """Read what ``pack_lines`` wrote."""
    return [
        Line(
            Slot(WHOLE if leaf == "-" else parse_leaf(leaf), Counter(counter)),
            quantity,
            parse_instant(valid_at),
            EventKey(key),
            Cause(cause),
            EventKey(count[0]) if count else NO_COUNT,
        )
        for counter, leaf, quantity, valid_at, key, cause, *count in json.loads(zlib.decompress(packed))
    ]


def entry(key: StockKey, item: Item) -> JournalEntry:
    """Read a journal entry."""
    return JournalEntry(
        key,
        int(cast(str, item["sk"])),
        parse_instant(cast(str, item["posted_at"])),
        unpack_lines(cast(bytes, item["lines"])),
    )


def stock_key_of(item: Item) -> StockKey:
    """Read whose balance or promise an item is."""
    return StockKey(Sku(cast(str, item["sku"])), LocationId(cast(str, item["location"])))


def moved_of(item: Item) -> Moved:
    """Read what the latest posting to a balance did to its past."""
    since = cast("str | None", item.get("touched_from"))
    return Moved(stock_key_of(item), None if since is None else parse_instant(since))


def count_mark(item: Item) -> CountMark:
    """Read the mark of an accepted count."""
    return CountMark(
        parse_instant(cast(str, item["as_of"])),
        cast(str, item["version"]),
        EventKey(cast(str, item["event_key"])),
    )


def mark_value(mark: CountMark) -> dict[str, Value]:
    """Write the mark of a count; ``count_mark`` reads it."""
    return {"as_of": instant(mark.as_of), "version": mark.version, "event_key": mark.event_key}


def standing_count(item: Item) -> Standing:
    """Read an accepted count."""
    return Standing(
        count_mark(item),
        cast(int, item["variance"]),
        cast(int, item["quantity"]),
        cast(str, item["source"]),
        cast(str, item.get("document", "")),
        None if item.get("said") is None else _said(cast("list[str]", item["said"])),
        tuple(waiting_count(row) for row in cast("list[list[Value]]", item.get("spare", []))),
        "history" in item,
        item.get("history") == ACCEPTED_BEFORE,
    )


def waiting_value(count: Waiting) -> list[Value]:
    return [
        str(count.slot.leaf),
        count.slot.counter,
        mark_value(count.mark),
        count.quantity,
        count.source,
        count.document,
        [instant(at) for at in count.said],
        count.why,
        count.known,
        list(count.outcomes),
        count.was_accepted,
        count.is_decided,
        [waiting_value(spare) for spare in count.spare],
    ]


def waiting_count(row: Sequence[Any]) -> Waiting:
    """Read one of the counts that wait for a decision."""
    leaf, counter, mark, quantity, source, document, said, why, known, outcomes, was_accepted, *more = row
    is_decided, spare = more or (False, [])
    return Waiting(
        Slot(WHOLE if leaf == "-" else parse_leaf(leaf), Counter(counter)),
        count_mark(mark),
        quantity,
        SourceId(source),
        document,
        _said(said),
        Why(why),
        known,
        (outcomes[0], outcomes[1]),
        was_accepted,
        is_decided,
        tuple(waiting_count(one) for one in spare),
    )


def _said(ends: Sequence[str]) -> tuple[datetime, datetime]:
    return parse_instant(ends[0]), parse_instant(ends[1])


def clocks_of(item: Item) -> dict[Slot, Clock]:
    """Read the clocks of a balance, or of a leaf."""
    leaf = parse_leaf(cast(str, item["leaf"])) if "leaf" in item else WHOLE
    clocks = cast("dict[str, Value]", item["clocks"])
    return {Slot(leaf, Counter(counter)): _clock(value) for counter, value in clocks.items()}


def clock_value(clock: Clock) -> Value:
    """Write a clock; ``clocks_of`` reads those of an item."""
    mark = clock.last_count
    return [
        clock.balance,
        None if clock.last_valid_at is None else instant(clock.last_valid_at),
        None if mark is None else [instant(mark.as_of), mark.version, mark.event_key],
    ]


def _clock(value: Value) -> Clock:
    balance, valid_at, mark = cast("tuple[int, str | None, list[str] | None]", value)
    return Clock(
        balance,
        None if valid_at is None else parse_instant(valid_at),
        None if mark is None else CountMark(parse_instant(mark[0]), mark[1], EventKey(mark[2])),
    )


def balance_of(key: StockKey, item: Item | None) -> Balance:
    if item is None:
        return Balance(key, 0, dict.fromkeys(Counter, 0), {})
    totals = {counter: cast(int, item.get(counter, 0)) for counter in Counter}
    return Balance(
        key,
        cast(int, item["seq"]),
        totals,
        clocks_of(item),
        cast(int, item.get("counts_waiting", 0)),
        cast(int, item.get("withheld", 0)),
    )

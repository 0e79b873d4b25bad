"""What each event did to a stock key, put together from its journal, as root cause asks for it.

What was undone is told apart from what happened. Its lines and those that took them back stand in the journal for ever;
put beside a source's statements as they are, they would look like events that nobody ever heard of::

    BAD counts 1500 where there are 2000      -500 at 12:00   BAD
    it is undone                              +500 at 12:00   onecount/undo/BAD, of the count BAD

So every line of an event that was undone, or that took one back, is given to the count that it restates or retracts,
else to the event undone; and so is every line that restated a count undone. Then what was undone adds up to nothing, and
what remains is as if it had never been.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from shared.domain.ledger import Cause, Line
from shared.domain.root_cause import Change, Nature
from shared.domain.stock import EventKey, Quantity, Sku
from shared.operations.footprint import done_by, retracts, taken_back
from shared.store.account import UNDONE
from shared.store.ledger_items import JournalEntry


@dataclass(slots=True)
class _Gathered:
    """What one event did at one instant, while it is put together from lines and order lines."""

    nature: Nature
    posted_at: datetime
    order: str
    amounts: defaultdict[str, Quantity]


@dataclass(frozen=True, slots=True)
class TakenBack:
    """An event that was undone by the event ``name``, when that was, and what it had done by then."""

    event: EventKey
    name: EventKey
    at: datetime
    did: tuple[Change, ...]


def changes_of(
    sku: Sku,
    entries: Iterable[JournalEntry],
    held: Iterable[tuple[str, datetime, Quantity, EventKey]],
    since: datetime,
    until: datetime,
) -> list[Change]:
    """Put together what each event did: its journal lines of all leaves, and the units it reserved or let go."""
    found: dict[tuple[EventKey, datetime], _Gathered] = {}
    oldest_first = sorted(entries, key=lambda entry: entry.seq)
    undone = taken_back({line.event_key for entry in oldest_first for line in entry.lines}, sku)
    for entry in oldest_first:
        for line in entry.lines:
            event = _whose(line, undone)
            is_count = line.cause in (Cause.COUNT, Cause.RETRACTED) or event == line.of_count
            nature = Nature.COUNT if is_count else Nature.MOVEMENT
            gathered = found.setdefault(
                (event, line.valid_at), _Gathered(nature, entry.posted_at, "", defaultdict(int))
            )
            gathered.amounts[line.slot.counter] += line.quantity
    for order, at, quantity, event in held:
        nature = Nature.RESERVED if quantity > 0 else Nature.RELEASED
        gathered = found.setdefault((event, at), _Gathered(nature, at, order, defaultdict(int)))
        gathered.amounts["reserved"] += quantity
        gathered.order = order
    return [
        Change(event, one.nature, at, one.posted_at, dict(one.amounts), one.order)
        for (event, at), one in sorted(found.items(), key=_when)
        if since <= at <= until
    ]


def undone_of(
    sku: Sku, entries: Iterable[JournalEntry], since: datetime, until: datetime
) -> Iterator[TakenBack]:
    """Yield what was undone of what was true between two instants, the newest undoing first."""
    newest_first = sorted(entries, key=lambda entry: entry.seq, reverse=True)
    undone = taken_back({line.event_key for entry in newest_first for line in entry.lines}, sku)
    for entry in newest_first:
        for name in dict.fromkeys(
            line.event_key for line in entry.lines if line.event_key.startswith(UNDONE)
        ):
            nature = Nature.COUNT if retracts(entry.lines, name) else Nature.MOVEMENT
            did = tuple(
                Change(
                    undone[name], nature, line.valid_at, entry.posted_at, {line.slot.counter: -line.quantity}
                )
                for line in sorted(done_by(entry, name), key=lambda line: line.valid_at)
                if since <= line.valid_at <= until
            )
            if did:
                yield TakenBack(undone[name], name, entry.posted_at, did)


def _whose(line: Line, undone: Mapping[EventKey, EventKey]) -> EventKey:
    """Say to which event a line belongs, as if what was undone had never been."""
    taken_back_by_it = undone.get(line.event_key)
    if line.of_count and (taken_back_by_it is not None or line.of_count in undone):
        return line.of_count
    return taken_back_by_it or line.event_key


def _when(item: tuple[tuple[EventKey, datetime], _Gathered]) -> tuple[datetime, EventKey]:
    (event, at), _ = item
    return at, event

"""What an event did to the ledger, read from its own item and from the journal entries that this names.

What a message reports is in its sender's codes, and what these stand for, who is believed at a location and how finely
it is told may all have been put right since. None of that changes what was written. So whoever takes an event back, or
says what became of it, asks here, by nothing but its key::

    EVENT#key   the SKU that it was posted for, the message that brought it, its entries as (sku, location, seq)
    JRN         the lines that it wrote there: slot, quantity, instant
    CNT, BAL    how a count stands or waits now: the decision about it may have come after its own entry
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import timedelta
from typing import cast

from shared.domain.events import Count
from shared.domain.ledger import Cause, CountMark, Line, Slot
from shared.domain.network import Grain
from shared.domain.stock import Counter, EventKey, LocationId, Sku, SourceId, StockKey
from shared.store.account import UNDONE
from shared.store.ledger import Ledger
from shared.store.ledger_items import JournalEntry
from shared.store.table import Item

OURS = SourceId("onecount")

UNDOES, UNDONE_BY, UNDONE_BECAUSE = "undoes", "undone_by", "undone_because"
"""The references of an event that takes another back: which one, who did it, and why."""

_ANY_COUNTER = frozenset(Counter)


def undo_key(key: EventKey) -> EventKey:
    """Name the event that takes another back."""
    return EventKey(f"{UNDONE}{key}")


def decision_key(count: EventKey) -> EventKey:
    """Name the event that a decision about a count is in the ledger."""
    return EventKey(f"onecount/decision/{count}")


def undo_keys(key: EventKey, item: Item) -> dict[Sku, EventKey]:
    """Name the events that take another back, by SKU: of whole kits each component has one of its own.

    ``item`` is what the ledger keeps of the event. The names follow from it alone, so they stay what they are.
    """
    posted_for = Sku(cast(str, item["sku"]))
    moved = list(dict.fromkeys(at.sku for at in touched(item)))
    if not moved or moved == [posted_for]:
        return {posted_for: undo_key(key)}
    return {sku: EventKey(f"{undo_key(key)}/{sku}") for sku in moved}


def touched(item: Item) -> list[StockKey]:
    """Return the stock keys that an event was posted to."""
    return list(dict.fromkeys(StockKey(sku, location) for sku, location, _ in _entries(item)))


def lines_of(ledger: Ledger, key: EventKey, item: Item) -> list[tuple[StockKey, Line]]:
    """Return what an event wrote, from the journal entries that it stands in."""
    return [
        (at, line)
        for sku, location, seq in _entries(item)
        for at in [StockKey(sku, location)]
        for entry in ledger.entries(at, seq, seq)
        for line in entry.lines
        if line.event_key == key
    ]


def standing_count(
    ledger: Ledger, event: Count, at: StockKey, lines: Sequence[tuple[StockKey, Line]], within: timedelta
) -> tuple[Slot, CountMark] | None:
    """Return where and how a count stands or waits; None where it does not: it was corrected or rejected.

    ``lines`` are those that it wrote when it was posted. ``within`` is how far from its own time it was probably
    decided to have been taken; it is found wherever it is.
    """
    wrote = [line.slot for _, line in lines if line.cause is Cause.COUNT]
    slots = list(dict.fromkeys([*wrote, *_likely_slots(event)]))
    return ledger.find_count(at, event.key, slots, (event.as_of - within, event.as_of + within))


def movements_that_stand(entries: Sequence[JournalEntry]) -> Iterator[Line]:
    """Yield the lines of movements in entries of one stock key, without those taken back and what took them back.

    What takes a movement back stands in the same journal, behind it: the newest entries have it if they have the
    movement.
    """
    lines = [
        (entry.key.sku, line) for entry in entries for line in entry.lines if line.cause is Cause.MOVEMENT
    ]
    backs = {line.event_key for _, line in lines if line.event_key.startswith(UNDONE)}
    for sku, line in lines:
        back = undo_key(line.event_key)
        if not line.event_key.startswith(UNDONE) and not backs & {back, f"{back}/{sku}"}:
            yield line


def retracts(lines: Iterable[Line], name: EventKey) -> bool:
    """Whether the event of a name, in lines of a journal entry, is the undoing of a count."""
    return any(
        line.event_key == name == undo_key(line.of_count) and line.cause is Cause.RETRACTED for line in lines
    )


def done_by(entry: JournalEntry, event: EventKey) -> Sequence[Line]:
    """Return what an event did in a journal entry.

    A count is undone by an entry of its own, so what comes to stand in its place there is the undoing's work too.
    """
    if retracts(entry.lines, event):
        return entry.lines
    return [line for line in entry.lines if line.event_key == event]


def taken_back(events: Collection[EventKey], sku: Sku) -> dict[EventKey, EventKey]:
    """Return of the events of one item's journal those that took another back, with that; and that with itself."""
    found: dict[EventKey, EventKey] = {}
    for name in events:
        if name.startswith(UNDONE):
            base = EventKey(name.removeprefix(UNDONE))
            whole = EventKey(
                base.removesuffix(f"/{sku}")
            )  # of a kit's event each component is taken back by itself
            base = whole if base not in events and whole in events else base
            found[name] = found[base] = base
    return found


def _likely_slots(event: Count) -> Iterator[Slot]:
    """Yield where a count may have been taken, by any grain that the location may have had."""
    counters = [Counter(event.element)] if event.element in _ANY_COUNTER else list(Counter)
    for grain in Grain:
        for counter in counters:
            yield Slot(grain.of(event.leaf), counter)


def _entries(item: Item) -> list[tuple[Sku, LocationId, int]]:
    return [
        (Sku(sku), LocationId(location), seq)
        for sku, location, seq in cast("list[tuple[str, str, int]]", item["entries"])
    ]

"""What an operator must hear of a posting: counts that wait, are settled or disputed, and how it is kept with the event.

The notes are stored in the same transaction as what they tell of, so that telling may be repeated after a crash.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from shared.domain.events import instant
from shared.domain.ledger import Cause, Posting, Waiting
from shared.domain.stock import WHOLE, Counter, EventKey, LocationId, Sku, StockKey
from shared.operations.facts import Note, NoteKind
from shared.store.table import Item, Value


def waiting_note(key: StockKey, count: Waiting) -> Note:
    """Return what an operator must hear of a count that waits."""
    leaf = "" if count.slot.leaf == WHOLE else f" on {count.slot.leaf}"
    facts: dict[str, str | int] = {
        "why": count.why,
        "slot": f"{count.slot.counter}{leaf}",
        "quantity": count.quantity,
        "as_of": instant(count.said[1]),
        "since": instant(count.said[0]),
        "known": count.known,
        "lowest": count.outcomes[0],
        "highest": count.outcomes[1],
    }
    return Note(NoteKind.WAITS, count.mark.event_key, key, facts)


def notes_of(posting: Posting) -> list[Note]:
    """Return what an operator must hear of a posting."""
    key = posting.key
    notes = [waiting_note(key, count) for count in posting.began_to_wait]
    notes += [Note(NoteKind.SETTLED, count, key) for count in posting.settled]
    for dispute in posting.disputes:
        one, other = sorted([(dispute.event_key, dispute.quantity), (dispute.other, dispute.other_quantity)])
        facts: dict[str, str | int] = {
            "one": one[0],
            "one_says": one[1],
            "other": other[0],
            "other_says": other[1],
        }
        notes.append(Note(NoteKind.DISPUTED, one[0], key, facts))
    applied = {(line.slot, line.event_key) for line in posting.lines if line.cause is Cause.COUNT}
    return notes + [
        Note(NoteKind.PART_CORRECTED, count.mark.event_key, key, {"units": count.variance})
        for count in (posting.counts if posting.expected_seq else ())
        if count.variance and count.slot.leaf != WHOLE and count.slot.counter is Counter.ON_HAND
        if (count.slot, count.mark.event_key) in applied
    ]


def rows_of(notes: Iterable[Note]) -> list[Value]:
    """Return notes as they are stored with an event or a decision."""
    return [[note.kind, note.count, note.key.sku, note.key.location, dict(note.facts)] for note in notes]


def notes_in(item: Item) -> list[Note]:
    """Return what was noted with an event that is in the ledger."""
    return [
        Note(NoteKind(kind), EventKey(count), StockKey(Sku(sku), LocationId(location)), facts)
        for kind, count, sku, location, facts in cast("list[list[Any]]", item.get("notes", []))
    ]

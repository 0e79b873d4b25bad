"""What the ledger knows of one fact before it is traced on: what it did where, who brought it, and who took it back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import cast

from shared.domain.events import DemandEffect, instant, parse_instant
from shared.domain.ledger import Cause, Line
from shared.domain.reservation import OrderLine
from shared.domain.stock import (
    AVAILABLE_SIGN,
    Counter,
    EventKey,
    LocationId,
    MessageId,
    Quantity,
    StockKey,
)
from shared.operations.footprint import UNDOES, UNDONE_BECAUSE, UNDONE_BY, decision_key, done_by, undo_keys
from shared.operations.message_view import EventOutcome
from shared.store.account import UNDONE, entries_of
from shared.store.inbox import StoredMessage
from shared.store.layout import event_key
from shared.store.ledger import Ledger
from shared.store.orders import Orders
from shared.store.table import Item, Table

MOST_KEYS = 8
"""Stock keys of one event that are followed."""


@dataclass(frozen=True, slots=True)
class TracedFact:
    """What is known of one fact before it is followed on."""

    about: str
    event: str
    message: MessageId | None
    source: str
    occurred_at: datetime | None
    posted_at: datetime | None
    keys: tuple[tuple[StockKey, str], ...]
    """Each stock key that it concerns, and what it did there in words."""
    notes: tuple[str, ...] = ()
    transfer: str = ""
    """The transfer that it names."""
    undoings: tuple[Undoing, ...] = ()
    available: Mapping[StockKey, Quantity] = field(default_factory=dict)
    """By how much it changed what is available, where that is known: what changed nothing is carried by no push."""


@dataclass(frozen=True, slots=True)
class Undoing:
    """An event that took another back: its own item in the ledger, when it was posted, and what it did where."""

    name: EventKey
    item: Item
    at: datetime
    did: Mapping[StockKey, Sequence[Line]]


class TracedFacts:
    """Finds what is known of facts."""

    def __init__(self, table: Table, ledger: Ledger, orders: Orders) -> None:
        self._table = table
        self._ledger = ledger
        self._orders = orders

    def posted(self, key: EventKey) -> TracedFact | None:
        """Return what is known of a movement, a count or an undoing; None of what is not in the ledger."""
        item = self._table.get(event_key(key))
        if item is None:
            return None
        posted_at = parse_instant(cast(str, item["posted_at"]))
        did = self._did(key, item)
        is_undoing = key.startswith(UNDONE)
        undoings = () if is_undoing else tuple(self._undoings(key, item))
        occurred = [line.valid_at for lines in did.values() for line in lines]
        named = [(name, of) for name, of in _refs(item) if name not in _OF_UNDOING]
        refs = ", ".join(f"{name} {of}" for name, of in named[:5])
        return TracedFact(
            f"{key}{f' ({refs})' if refs else ''}",
            key,
            MessageId(cast(str, item["message_id"])) or None,
            cast(str, item["source"]),
            posted_at if is_undoing else min(occurred, default=None),
            posted_at,
            tuple((at, moved_words(lines)) for at, lines in did.items()),
            (
                *(() if did else ("it is known, and moved nothing when it came",)),
                *((_takes_back(key, item),) if is_undoing else map(_undone, undoings)),
            ),
            dict(named).get("transfer", ""),
            undoings,
            {at: _freed(lines) for at, lines in did.items()},
        )

    def _did(self, key: EventKey, item: Item) -> dict[StockKey, Sequence[Line]]:
        """Return what an event did to each stock key: when it was posted, and when it was decided about if it waited."""
        found: defaultdict[StockKey, list[Line]] = defaultdict(list)
        for name in (key, decision_key(key)):
            posted = item if name == key else self._table.get(event_key(name)) or {}
            for at, seq in entries_of(posted)[:MOST_KEYS]:
                for entry in self._ledger.entries(at, seq, seq):
                    found[at] += done_by(entry, key)
            if any(found.values()):
                break
        return dict(found)

    def _undoings(self, key: EventKey, item: Item) -> Iterator[Undoing]:
        """Yield the events that took an event back: of whole kits, one for each component."""
        names = undo_keys(key, item).values()
        found = self._table.get_many([event_key(name) for name in names])
        for name in names:
            back = found.get(event_key(name))
            if back is not None:
                at = parse_instant(cast(str, back["posted_at"]))
                yield Undoing(name, back, at, self._did(name, back))

    def of_outcome(self, event: EventOutcome, stored: StoredMessage) -> TracedFact:
        """Return what is known of an event of a message: what the ledger holds, else why it holds nothing."""
        posted = self.posted(event.key) if event.key and event.order_line is None else None
        said = event.outcome + (f": {event.reason}" if event.reason else "")
        if posted is not None:
            notes = (said,) if event.outcome in ("waits", "rejected") else posted.notes
            return replace(posted, message=stored.message.id, notes=notes)
        at = None if event.at is None else parse_instant(event.at)
        posted_at = None
        did = _Did(tuple((key, _asked(event.what, event.quantity)) for key in event.stock_keys))
        if event.order_line is not None and event.stock_keys:
            line = self._orders.lines({event.order_line: event.stock_keys[0]})[event.order_line]
            brought = line.brought.get(event.key)
            posted_at = None if brought is None else brought.posted_at
            if at is not None and event.key in line.applied:
                did = _did_to(line, event.key, at, did)
        item = self._table.get(event_key(event.key)) if event.outcome == "undone" else None
        undoings = () if item is None else tuple(self._undoings(event.key, item))
        return TracedFact(
            f"{event.what} of {event.code}",
            event.key,
            stored.message.id,
            stored.message.source,
            at,
            posted_at,
            did.says,
            () if event.outcome == "posted" else tuple(map(_undone, undoings)) or (said,),
            undoings=undoings,
            available=did.available,
        )

    def of_line(self, line: OrderLine) -> Iterator[TracedFact]:
        """Yield what each document said of a line, oldest first, then what the authority shipped."""
        told = {
            "ordered": line.versions,
            "cancelled": line.cancellations,
            "fulfilled": line.fulfilments,
            "fulfilment called off": line.unfulfilled,
            "returned": line.returns,
        }
        rows = [
            (said.at, what, document, said)
            for what, documents in told.items()
            for document, said in sorted(documents.items())
        ]
        rows.sort(key=lambda row: row[0])  # of one instant, an order comes before what became of it
        for at, what, document, said in rows:
            brought = line.brought.get(said.event_key)
            place = LocationId(said.location) if said.location else line.place.location
            asked = _Did(((StockKey(line.stock_key.sku, place), _asked(what, said.quantity)),))
            did = _did_to(line, said.event_key, at, asked)
            yield TracedFact(
                f"order {line.order}, line {line.line}: {what} {said.quantity} ({document or 'no document id'})",
                said.event_key,
                None if brought is None or not brought.message else brought.message,
                line.channel or "",
                at,
                None if brought is None else brought.posted_at,
                did.says,
                available=did.available,
            )
        for said in sorted(line.shipments.values()):
            fact = self.posted(said.event_key)
            if fact is not None:
                about = f"order {line.order}, line {line.line}: shipped {said.quantity}"
                yield replace(fact, about=about, available=_beside(line, said.event_key, fact.available))


@dataclass(frozen=True, slots=True)
class _Did:
    """What a document of an order did to each stock key, in words and, where that is known, to what is available."""

    says: tuple[tuple[StockKey, str], ...]
    available: Mapping[StockKey, Quantity] = field(default_factory=dict)


def _held_by(line: OrderLine, event: EventKey) -> dict[StockKey, Quantity]:
    """Return by how much an event changed what a line holds, and where."""
    changes = defaultdict[StockKey, Quantity](int)
    for held in line.history:
        if held.event_key == event:
            changes[StockKey(line.stock_key.sku, held.location)] += held.quantity
    return {key: units for key, units in changes.items() if units}


def _did_to(line: OrderLine, event: EventKey, at: datetime, asked: _Did) -> _Did:
    """Return what a document changed of what a line holds, which may be less than it asked.

    Of a kit, whose components hold the units, what it asked; as of one of several documents of one instant, whose
    changes are one.
    """
    documents = (line.versions, line.cancellations, line.shipments)
    at_once = {one.event_key for kind in documents for one in kind.values() if one.at == at}
    if line.kit or at_once - {event}:
        return asked
    changes = _held_by(line, event)
    if changes:
        says = tuple((key, f"{units:+d}") for key, units in changes.items())
        return _Did(says, {key: -units for key, units in changes.items()})
    held = sum(one.quantity for one in line.history if one.at <= at)
    nothing = f"nothing moved: the line held {held} then"
    return _Did(tuple((key, nothing) for key, _ in asked.says), {key: 0 for key, _ in asked.says})


def _beside(
    line: OrderLine, event: EventKey, available: Mapping[StockKey, Quantity]
) -> dict[StockKey, Quantity]:
    """Return what a shipment changed of what is available, beside what its order line held for it."""
    released = _held_by(line, event)
    return {key: units - released.get(key, 0) for key, units in available.items()}


def _freed(lines: Sequence[Line]) -> Quantity:
    """Return by how much journal lines change what is available."""
    return sum(AVAILABLE_SIGN[line.slot.counter] * line.quantity for line in lines)


_ASKS_LESS = frozenset({DemandEffect.CANCELLED, DemandEffect.FULFILLED})


def _asked(what: str, units: Quantity | None) -> str:
    """Say by how many units an event asks more of a stock key, or less."""
    return "" if units is None else f"{-units if what in _ASKS_LESS else units:+d}"


def moved_words(lines: Sequence[Line]) -> str:
    """Name each counter that moved: units of one are none of another, so they are never added up."""
    own, whole = defaultdict[Counter, Quantity](int), defaultdict[Counter, Quantity](int)
    for line in lines:
        whole[line.slot.counter] += line.quantity
        own[line.slot.counter] += 0 if line.cause is Cause.RESTATED else line.quantity
    said = [
        f"{counter} {own[counter]:+d}"
        + (
            ""
            if own[counter] == whole[counter]
            else f" ({whole[counter]:+d} in all: a count since had seen it)"
        )
        for counter in Counter
        if counter in whole
    ]
    return ", ".join(said) or "nothing moved"


_OF_UNDOING = frozenset({UNDOES, UNDONE_BY, UNDONE_BECAUSE})


def _refs(item: Item) -> list[tuple[str, str]]:
    return cast("list[tuple[str, str]]", item["refs"])


def _takes_back(name: EventKey, item: Item) -> str:
    """Say what an undoing took back, for whom and why, as far as that is kept."""
    refs = dict(_refs(item))
    event = refs.get(UNDOES, name.removeprefix(UNDONE))
    message = f", which message {item['message_id']} had brought" if item["message_id"] else ""
    return f"{refs.get(UNDONE_BY, 'it')} took back {event}{message}{_why(item)}"


def _undone(back: Undoing) -> str:
    """Say what took an event back, when, who did it and why, as far as that is kept, and what it moved."""
    moved = "; ".join(f"{key}: {moved_words(lines)}" for key, lines in back.did.items()) or "nothing"
    at = instant(back.at)
    by = dict(_refs(back.item)).get(UNDONE_BY)
    who = f" by {by}" if by else ""
    return f"it was undone{who} at {at}, which moved {moved} (event {back.name}){_why(back.item)}"


def _why(item: Item) -> str:
    refs = dict(_refs(item))
    return f": {refs[UNDONE_BECAUSE]}" if UNDONE_BECAUSE in refs else ""

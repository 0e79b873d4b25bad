"""Tracing: follow an event, a message, an order, a push or an item across the systems, from what is stored.

=========  ================================================================================
asked for  what is followed
=========  ================================================================================
event      one movement or count that is in the ledger
message    each event of a webhook
order      each document of each line, as its line remembers it
push       a number that a channel took, and the postings that it carried there
sku        the newest postings of an item, at each location
=========  ================================================================================

Everything is bounded: at most ``MOST_CHAINS`` are followed, each by its own keys; nothing is scanned. Raw messages are
kept for 90 days and a listing remembers its newest pushes, so an old fact has a shorter chain.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import cast

from shared.domain.cases import CaseKind, CaseStatus, case_id
from shared.domain.events import DemandEffect, instant, parse_instant
from shared.domain.ledger import Cause, Line
from shared.domain.listing import KEPT_PUSHES, ListingState, Push
from shared.domain.network import Channel
from shared.domain.reservation import OrderLine
from shared.domain.rollout import Mode
from shared.domain.stock import (
    ChannelId,
    Counter,
    EventKey,
    LocationId,
    MessageId,
    Quantity,
    Sku,
    SourceId,
    StockKey,
)
from shared.domain.trace import Chain, Stage, Step, Trace, in_time
from shared.domain.transfer import order_name
from shared.operations.apply_message import failed_case
from shared.operations.dead_letters import push_failed_case
from shared.operations.footprint import UNDOES, UNDONE_BECAUSE, UNDONE_BY, done_by, undo_keys
from shared.operations.message_view import EventOutcome, MessageView
from shared.operations.post import decision_key
from shared.operations.push import push_case
from shared.operations.reconcile import drift_case
from shared.operations.stock_view import StockView
from shared.operations.transfer_names import misnamed_case_id
from shared.store.account import UNDONE, entries_of
from shared.store.cases import Cases
from shared.store.inbox import Inbox, MessageNotFoundError, StoredMessage, UnreadableMessageError
from shared.store.layout import event_key
from shared.store.ledger import Ledger
from shared.store.ledger_items import JournalEntry
from shared.store.listings import Listings, Paces
from shared.store.observations import Observations
from shared.store.orders import Orders
from shared.store.registry import Registry
from shared.store.rollouts import CHANNEL
from shared.store.table import Item, Table

MOST_CHAINS = 20
"""Chains of one answer."""

MOST_KEYS = 8
"""Stock keys of one event that are followed to the channels."""

NEWEST = 5
"""Postings of one stock key that are followed when an item is asked for."""

CARRIED = 60
"""Journal entries that are searched for what one push carried."""


class NothingToTraceError(LookupError):
    """What was asked for left no trace: it is unknown, or was not posted."""


@dataclass(frozen=True, slots=True)
class _Fact:
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
    undoings: tuple[_Undoing, ...] = ()


@dataclass(frozen=True, slots=True)
class _Undoing:
    """An event that took another back: its own item in the ledger, when it was posted, and what it did where."""

    name: EventKey
    item: Item
    at: datetime
    did: Mapping[StockKey, Sequence[Line]]


class Tracer:
    """Follows facts."""

    def __init__(
        self,
        table: Table,
        inbox: Inbox,
        cases: Cases,
        registry: Registry,
        view: StockView,
        messages: MessageView,
    ) -> None:
        self._table = table
        self._inbox = inbox
        self._cases = cases
        self._registry = registry
        self._view = view
        self._messages = messages
        self._ledger = Ledger(table)
        self._orders = Orders(table)
        self._listings = Listings(table)
        self._paces = Paces(table)
        self._observations = Observations(table)

    # ---- what is asked for ----------------------------------------------------------------------------------

    def event(self, key: EventKey) -> Trace:
        """Follow one event that is in the ledger.

        Raises
        ------
        NothingToTraceError
        """
        fact = self._posted(key)
        if fact is None:
            raise NothingToTraceError(
                f"no movement or count {key!r} is in the ledger; what an order says is found by its order"
            )
        return Trace((self._followed(fact),))

    def message(self, message: MessageId) -> Trace:
        """Follow every event of a message.

        Raises
        ------
        MessageNotFoundError, UnreadableMessageError
        """
        stored = self._inbox.load(message)
        found = self._messages.events(stored)
        if found is None or not found.events:
            what = "a file: ask for one of its events, or for an item" if found is None else "no events"
            fact = _Fact(f"message {message}", "", message, stored.message.source, None, None, (), (what,))
            return Trace((self._followed(fact),))
        facts = [self._of_outcome(event, stored) for event in found.events[:MOST_CHAINS]]
        return Trace(self._all(facts), found.more or len(found.events) > MOST_CHAINS)

    def order(self, order: str) -> Trace:
        """Follow what every document said of an order.

        Raises
        ------
        NothingToTraceError
        """
        lines = next(filter(None, map(self._orders.order, self._orders_named(order))), [])
        if not lines:
            raise NothingToTraceError(f"there is no order {order!r}")
        facts = [fact for line in lines for fact in self._of_line(line)]
        return Trace(self._all(facts[:MOST_CHAINS]), len(facts) > MOST_CHAINS)

    def _orders_named(self, order: str) -> Iterator[str]:
        """Yield what an order may be called here: as it is, or as a reservation, a transfer or a channel's order of that id."""
        yield order
        yield f"reservation/{order}"
        yield order_name(order)
        for channel in self._registry.network().channels:
            yield f"{channel}/{order}"

    def push(self, channel: ChannelId, key: StockKey, generation: int | None) -> Trace:
        """Follow a number that a channel took, the newest unless a generation is named, and what it carried there.

        Raises
        ------
        NothingToTraceError
        """
        state = self._listings.states(channel, [key])[key]
        meant = [one for one in state.pushes if generation in (None, one.generation)]
        if not meant:
            known = ", ".join(str(one.generation) for one in state.pushes) or "none"
            raise NothingToTraceError(
                f"{channel} has not taken such a push of {key}; remembered are generations {known}"
            )
        push = meant[-1]
        earlier = [one for one in state.pushes if one.generation < push.generation]
        since = earlier[-1].taken_at if earlier else None
        entries = self._carried(key, since, push)
        carried = [self._posted(event) for event in _events(entries)]
        facts = [fact for fact in carried if fact is not None]
        steps = _push_steps(channel, key, push, None)
        notes = () if facts else ("it carried no posting that is remembered: a rule, or a sale, changed it",)
        about = f"push {push.generation} of {key} to {channel}"
        head = Chain(about, "", "", in_time(steps), notes, self._case_states(_push_cases(channel, key)))
        return Trace((head, *self._all(facts[: MOST_CHAINS - 1])), len(facts) >= MOST_CHAINS)

    def sku(self, sku: Sku, location: LocationId | None) -> Trace:
        """Follow the newest postings of an item, at one location or at each.

        Raises
        ------
        UnknownSkuError
        """
        self._view.must_know(sku)
        places = list(self._registry.network().locations) if location is None else [location]
        entries = [
            entry
            for place in places[:MOST_CHAINS]
            for entry in self._ledger.journal(StockKey(sku, place), limit=NEWEST)
        ]
        entries.sort(key=lambda entry: entry.posted_at, reverse=True)
        keys = _events(entries)
        found = [self._posted(key) for key in keys[:MOST_CHAINS]]
        return Trace(self._all([fact for fact in found if fact is not None]), len(keys) > MOST_CHAINS)

    # ---- what is known of a fact ----------------------------------------------------------------------------

    def _posted(self, key: EventKey) -> _Fact | None:
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
        return _Fact(
            f"{key}{f' ({refs})' if refs else ''}",
            key,
            MessageId(cast(str, item["message_id"])) or None,
            cast(str, item["source"]),
            posted_at if is_undoing else min(occurred, default=None),
            posted_at,
            tuple((at, _moved(lines)) for at, lines in did.items()),
            (
                *(() if did else ("it is known, and moved nothing when it came",)),
                *((_takes_back(key, item),) if is_undoing else map(_undone, undoings)),
            ),
            dict(named).get("transfer", ""),
            undoings,
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

    def _undoings(self, key: EventKey, item: Item) -> Iterator[_Undoing]:
        """Yield the events that took an event back: of whole kits, one for each component."""
        names = undo_keys(key, item).values()
        found = self._table.get_many([event_key(name) for name in names])
        for name in names:
            back = found.get(event_key(name))
            if back is not None:
                at = parse_instant(cast(str, back["posted_at"]))
                yield _Undoing(name, back, at, self._did(name, back))

    def _of_outcome(self, event: EventOutcome, stored: StoredMessage) -> _Fact:
        """Return what is known of an event of a message: what the ledger holds, else why it holds nothing."""
        posted = self._posted(event.key) if event.key and event.order_line is None else None
        said = event.outcome + (f": {event.reason}" if event.reason else "")
        if posted is not None:
            notes = (said,) if event.outcome in ("waits", "rejected") else posted.notes
            return replace(posted, message=stored.message.id, notes=notes)
        at = None if event.at is None else parse_instant(event.at)
        posted_at = None
        if event.order_line is not None and event.stock_keys:
            line = self._orders.lines({event.order_line: event.stock_keys[0]})[event.order_line]
            brought = line.brought.get(event.key)
            posted_at = None if brought is None else brought.posted_at
        item = self._table.get(event_key(event.key)) if event.outcome == "undone" else None
        undoings = () if item is None else tuple(self._undoings(event.key, item))
        return _Fact(
            f"{event.what} of {event.code}",
            event.key,
            stored.message.id,
            stored.message.source,
            at,
            posted_at,
            tuple((key, _asked(event.what, event.quantity)) for key in event.stock_keys),
            () if event.outcome == "posted" else tuple(map(_undone, undoings)) or (said,),
            undoings=undoings,
        )

    def _of_line(self, line: OrderLine) -> Iterator[_Fact]:
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
            yield _Fact(
                f"order {line.order}, line {line.line}: {what} {said.quantity} ({document or 'no document id'})",
                said.event_key,
                None if brought is None or not brought.message else brought.message,
                line.channel or "",
                at,
                None if brought is None else brought.posted_at,
                ((StockKey(line.stock_key.sku, place), _asked(what, said.quantity)),),
            )
        for said in sorted(line.shipments.values(), key=lambda one: one.at):
            fact = self._posted(said.event_key)
            if fact is not None:
                yield replace(fact, about=f"order {line.order}, line {line.line}: shipped {said.quantity}")

    def _carried(self, key: StockKey, since: datetime | None, push: Push) -> list[JournalEntry]:
        """Return the postings between the push before and this one."""
        until = push.taken_at or push.confirmed_at
        return [
            entry
            for entry in self._ledger.journal(key, limit=CARRIED)
            if entry.posted_at <= until and (since is None or entry.posted_at > since)
        ]

    # ---- following it on ------------------------------------------------------------------------------------

    def _all(self, facts: Iterable[_Fact]) -> tuple[Chain, ...]:
        return tuple(self._followed(fact) for fact in facts)

    def _followed(self, fact: _Fact) -> Chain:
        steps: list[Step] = []
        notes = list(fact.notes)
        is_told = not fact.event.startswith(UNDONE)  # an undoing was told by nobody
        received_at = self._received(fact.message, notes) if fact.message and is_told else None
        if fact.occurred_at is not None:
            steps.append(Step(Stage.OCCURRED, fact.source, fact.occurred_at, "says when it happened"))
        if received_at is not None:
            took = None if fact.occurred_at is None else received_at - fact.occurred_at
            steps.append(Step(Stage.RECEIVED, "onecount", received_at, f"from {fact.source}", None, took))
        keys = fact.keys[:MOST_KEYS]
        if fact.posted_at is not None:
            took = None if received_at is None else fact.posted_at - received_at
            steps += [
                Step(
                    Stage.POSTED,
                    "ledger",
                    fact.posted_at,
                    f"{key}: {moved}" if moved else str(key),
                    key,
                    took,
                )
                for key, moved in keys
            ] or [Step(Stage.POSTED, "ledger", fact.posted_at, "nothing moved", None, took)]
        for back in fact.undoings:
            moved = {key: _moved(lines) for key, lines in back.did.items()}
            steps += [
                Step(Stage.UNDONE, "ledger", back.at, f"{key}: {says}", key) for key, says in moved.items()
            ] or [Step(Stage.UNDONE, "ledger", back.at, "nothing moved")]
        for key, _ in keys:
            steps += self._statements(key, fact)
            if fact.posted_at is not None:
                steps += self._pushes(key, fact.posted_at, notes)
        cases = self._case_states(self._case_names(fact))
        return Chain(fact.about, fact.event, fact.message or "", in_time(steps), tuple(notes), cases)

    def _received(self, message: MessageId, notes: list[str]) -> datetime | None:
        try:
            return self._inbox.load(message).message.received_at
        except (MessageNotFoundError, UnreadableMessageError, OSError):
            notes.append("its raw message is not kept any more, so nobody knows when it was received")
            return None

    def _statements(self, key: StockKey, fact: _Fact) -> Iterator[Step]:
        """Yield the first number that each other system has said of a stock key since."""
        if fact.occurred_at is None:
            return
        subjects = [
            (key, source, element)
            for source, element in self._view.compared_elements()
            if source != fact.source
        ]
        for said in self._observations.recall(subjects):
            since = [one for one in said.statements if one.as_of >= fact.occurred_at]
            if since:
                first = min(since, key=lambda one: one.as_of)
                seen = said.last
                says = f"says {first.quantity} {seen.element}"
                yield Step(
                    Stage.COMPARED, seen.source, first.as_of, says, key, first.as_of - fact.occurred_at
                )

    def _pushes(self, key: StockKey, posted_at: datetime, notes: list[str]) -> Iterator[Step]:
        """Yield the first push of each channel's listing that began after the posting."""
        listed = self._registry.listings_of([key.sku])[key.sku]
        channels = self._registry.network().channels
        for listing in listed:
            if key.location not in channels[listing.channel].locations:
                continue
            state = self._listings.states(listing.channel, [key])[key]
            later = [one for one in state.pushes if one.taken_at is not None and one.taken_at >= posted_at]
            if not later:
                notes.append(self._not_pushed(channels[listing.channel], key, state, posted_at))
                continue
            if later[0] is state.pushes[0] and len(state.pushes) == KEPT_PUSHES:
                notes.append(
                    f"{listing.channel} was told at the latest then: only its newest pushes are kept"
                )
            yield from _push_steps(listing.channel, key, later[0], posted_at)

    def _not_pushed(self, channel: Channel, key: StockKey, state: ListingState, posted_at: datetime) -> str:
        """Say why a channel has taken no number since a posting, as far as that is known."""
        failures = (push_case(CaseKind.PUSH_REFUSED, key, channel.id), push_failed_case(channel.id, key.sku))
        for case in self._cases.find_many(failures):
            if case.status is not CaseStatus.RESOLVED:
                return f"{channel.id} has taken nothing of {key} since: {case.title} (case {case.id}, {case.status})"
        mode = self._registry.rollouts.of(CHANNEL, channel.id).mode_at(key.sku, key.location)
        if mode is not Mode.LIVE:
            return f"{channel.id} is sent nothing of {key}: it is {mode} there"
        if state.inflight is not None:
            until = instant(state.inflight.deadline)
            return f"{channel.id} is just being told of {key}; without an answer by {until} nobody knows what it took"
        meant = self._view.promise_of(channel, key).available_to_promise
        if state.believed == meant:
            if state.shown_at is not None and state.shown_at >= posted_at:
                return f"{channel.id} showed the right number of {key} when it was read"
            return f"{channel.id} was sent nothing of {key} since: its number did not change"
        shows = "nobody knows what it shows" if state.believed is None else f"it shows {state.believed}"
        waits = f"{channel.id} has not been told of {key} yet: {shows}, and {meant} may be sold there"
        silence = self._paces.silences([channel.id]).get(channel.id)
        return (
            waits
            if silence is None
            else f"{waits}; it fails since {instant(silence.since)}: {silence.reason}"
        )

    # ---- cases ----------------------------------------------------------------------------------------------

    def _case_names(self, fact: _Fact) -> list[str]:
        """Name every case that can be open about a fact: their ids are made from what they are about."""
        names: list[str] = []
        if fact.message is not None:
            kinds = (CaseKind.BAD_MESSAGE, CaseKind.BAD_ROWS, CaseKind.HELD)
            names += [case_id(kind, fact.source, fact.message) for kind in kinds]
            names += [failed_case(fact.message), case_id(CaseKind.UNDO_APPROVAL, fact.message)]
        names += [case_id(kind, fact.event) for kind in _OF_ONE_EVENT]
        elements = self._view.compared_elements()
        for key, _ in fact.keys[:MOST_KEYS]:
            names.append(case_id(CaseKind.OVERSOLD, key.sku, key.location))
            if fact.transfer:
                names.append(misnamed_case_id(SourceId(fact.source), fact.transfer, key.location))
            names += [drift_case(source, key, element) for source, element in elements]
            for channel in self._registry.network().channels:
                names += _push_cases(channel, key)
        return names

    def _case_states(self, names: Sequence[str]) -> tuple[tuple[str, str, str], ...]:
        found = self._cases.find_many(dict.fromkeys(names))
        return tuple((case.id, str(case.status), case.title) for case in found)


_OF_ONE_EVENT = (CaseKind.COUNT_APPROVAL, CaseKind.COUNT_SUSPENDED, CaseKind.ADJUSTMENT_APPROVAL)


def _push_cases(channel: ChannelId, key: StockKey) -> list[str]:
    kinds = (CaseKind.PUSH_REFUSED, CaseKind.CHANNEL_EDITED)
    return [push_failed_case(channel, key.sku), *(push_case(kind, key, channel) for kind in kinds)]


def _push_steps(channel: ChannelId, key: StockKey, push: Push, posted_at: datetime | None) -> list[Step]:
    steps: list[Step] = []
    if push.taken_at is not None:
        took = None if posted_at is None else push.taken_at - posted_at
        says = f"push {push.generation} of {push.quantity}"
        steps.append(Step(Stage.PUSHING, channel, push.taken_at, says, key, took))
    took = None if push.taken_at is None else push.confirmed_at - push.taken_at
    steps.append(Step(Stage.CONFIRMED, channel, push.confirmed_at, f"took {push.quantity}", key, took))
    return steps


_ASKS_LESS = frozenset({DemandEffect.CANCELLED, DemandEffect.FULFILLED})


def _asked(what: str, units: Quantity | None) -> str:
    """Say by how many units an event asks more of a stock key, or less."""
    return "" if units is None else f"{-units if what in _ASKS_LESS else units:+d}"


def _moved(lines: Sequence[Line]) -> str:
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


def _undone(back: _Undoing) -> str:
    """Say what took an event back, when, who did it and why, as far as that is kept, and what it moved."""
    moved = "; ".join(f"{key}: {_moved(lines)}" for key, lines in back.did.items()) or "nothing"
    at = instant(back.at)
    by = dict(_refs(back.item)).get(UNDONE_BY)
    who = f" by {by}" if by else ""
    return f"it was undone{who} at {at}, which moved {moved} (event {back.name}){_why(back.item)}"


def _why(item: Item) -> str:
    refs = dict(_refs(item))
    return f": {refs[UNDONE_BECAUSE]}" if UNDONE_BECAUSE in refs else ""


def _events(entries: Sequence[JournalEntry]) -> list[EventKey]:
    return list(dict.fromkeys(line.event_key for entry in entries for line in entry.lines))

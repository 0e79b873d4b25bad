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

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from shared.domain.cases import Case, CaseKind, CaseStatus, case_id
from shared.domain.events import instant
from shared.domain.listing import KEPT_PUSHES, ListingState, Push
from shared.domain.network import Channel
from shared.domain.rollout import Mode
from shared.domain.stock import (
    ChannelId,
    EventKey,
    LocationId,
    MessageId,
    Sku,
    SourceId,
    StockKey,
)
from shared.domain.trace import Chain, Stage, Step, Trace, in_time
from shared.domain.transfer import order_name
from shared.operations.apply_message import failed_case
from shared.operations.dead_letters import push_failed_case
from shared.operations.message_view import MessageView
from shared.operations.push import push_case
from shared.operations.reconcile import drift_case
from shared.operations.stock_view import StockView
from shared.operations.traced_facts import MOST_KEYS, TracedFact, TracedFacts, moved_words
from shared.operations.transfer_names import misnamed_case_id
from shared.store.account import UNDONE
from shared.store.cases import Cases
from shared.store.inbox import Inbox, MessageNotFoundError, UnreadableMessageError
from shared.store.ledger import Ledger
from shared.store.ledger_items import JournalEntry
from shared.store.listings import Listings, Paces
from shared.store.observations import Observations
from shared.store.orders import Orders
from shared.store.registry import Registry
from shared.store.rollouts import CHANNEL
from shared.store.table import Table

MOST_CHAINS = 20
"""Chains of one answer."""

NEWEST = 5
"""Postings of one stock key that are followed when an item is asked for."""

CARRIED = 60
"""Journal entries that are searched for what one push carried."""


class NothingToTraceError(LookupError):
    """What was asked for left no trace: it is unknown, or was not posted."""


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
        self._facts = TracedFacts(table, self._ledger, self._orders)
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
        fact = self._facts.posted(key)
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
            fact = TracedFact(
                f"message {message}", "", message, stored.message.source, None, None, (), (what,)
            )
            return Trace((self._followed(fact),))
        facts = [self._facts.of_outcome(event, stored) for event in found.events[:MOST_CHAINS]]
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
        facts = [fact for line in lines for fact in self._facts.of_line(line)]
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
        carried = [self._facts.posted(event) for event in _events(entries)]
        facts = [fact for fact in carried if fact is not None]
        steps = _push_steps(channel, key, push, None)
        notes = () if facts else ("it carried no posting that is remembered: a rule, or a sale, changed it",)
        about = f"push {push.generation} of {key} to {channel}"
        cases = self._cases_since(_push_cases(channel, key), _begin(steps))
        head = Chain(about, "", "", in_time(steps), notes, _shown(cases))
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
        found = [self._facts.posted(key) for key in keys[:MOST_CHAINS]]
        return Trace(self._all([fact for fact in found if fact is not None]), len(keys) > MOST_CHAINS)

    def _carried(self, key: StockKey, since: datetime | None, push: Push) -> list[JournalEntry]:
        """Return the postings between the push before and this one."""
        until = push.taken_at or push.confirmed_at
        return [
            entry
            for entry in self._ledger.journal(key, limit=CARRIED)
            if entry.posted_at <= until and (since is None or entry.posted_at > since)
        ]

    # ---- following it on ------------------------------------------------------------------------------------

    def _all(self, facts: Iterable[TracedFact]) -> tuple[Chain, ...]:
        return tuple(self._followed(fact) for fact in facts)

    def _followed(self, fact: TracedFact) -> Chain:
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
            moved = {key: moved_words(lines) for key, lines in back.did.items()}
            steps += [
                Step(Stage.UNDONE, "ledger", back.at, f"{key}: {says}", key) for key, says in moved.items()
            ] or [Step(Stage.UNDONE, "ledger", back.at, "nothing moved")]
        for key, _ in keys:
            steps += self._statements(key, fact)
            if fact.posted_at is not None and fact.available.get(key) != 0:
                steps += self._pushes(key, fact.posted_at, notes)
        cases = [
            *self._cases.find_many(_own_cases(fact)),
            *self._cases_since(self._cases_of_keys(fact), _begin(steps)),
        ]
        return Chain(fact.about, fact.event, fact.message or "", in_time(steps), tuple(notes), _shown(cases))

    def _received(self, message: MessageId, notes: list[str]) -> datetime | None:
        try:
            return self._inbox.load(message).message.received_at
        except (MessageNotFoundError, UnreadableMessageError, OSError):
            notes.append("its raw message is not kept any more, so nobody knows when it was received")
            return None

    def _statements(self, key: StockKey, fact: TracedFact) -> Iterator[Step]:
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

    def _cases_of_keys(self, fact: TracedFact) -> list[str]:
        """Name every case that can be open about the stock keys of a fact, whatever it came from."""
        names: list[str] = []
        elements = self._view.compared_elements()
        for key, _ in fact.keys[:MOST_KEYS]:
            names.append(case_id(CaseKind.OVERSOLD, key.sku, key.location))
            if fact.transfer:
                names.append(misnamed_case_id(SourceId(fact.source), fact.transfer, key.location))
            names += [drift_case(source, key, element) for source, element in elements]
            for channel in self._registry.network().channels:
                names += _push_cases(channel, key)
        return names

    def _cases_since(self, names: Iterable[str], begin: datetime | None) -> Iterator[Case]:
        """Yield the cases of some names, but for those that were over before a chain began: they are of other facts."""
        for case in self._cases.find_many(dict.fromkeys(names)):
            over = None if case.status is CaseStatus.OPEN else case.closed_at or case.updated_at
            if begin is None or over is None or over >= begin:
                yield case


def _own_cases(fact: TracedFact) -> list[str]:
    """Name every case that can be about a fact itself, or its message: their ids are made from what they are about."""
    names = [case_id(kind, fact.event) for kind in _OF_ONE_EVENT]
    if fact.message is not None:
        kinds = (CaseKind.BAD_MESSAGE, CaseKind.BAD_ROWS, CaseKind.HELD)
        names += [case_id(kind, fact.source, fact.message) for kind in kinds]
        names += [failed_case(fact.message), case_id(CaseKind.UNDO_APPROVAL, fact.message)]
    return names


def _begin(steps: Iterable[Step]) -> datetime | None:
    return min((step.at for step in steps), default=None)


def _shown(cases: Iterable[Case]) -> tuple[tuple[str, str, str], ...]:
    return tuple((case.id, str(case.status), case.title) for case in cases)


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


def _events(entries: Sequence[JournalEntry]) -> list[EventKey]:
    return list(dict.fromkeys(line.event_key for entry in entries for line in entry.lines))

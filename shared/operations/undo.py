"""Undo: take back what one message or file did, by compensating entries; the journal only ever grows.

The message is translated again to learn which events it carries, and what each did is read from the journal entries
that its own item names, never assumed. Each event is compensated by an event of its own (``onecount/undo/<key>``), so
undoing twice, or being interrupted in the middle, is harmless:

===========  ================================================================================================
movement     the same legs with the opposite sign at the same instant; a count since then had seen the goods, and
             stands, as with any late fact; of whole kits, one event for each component (``.../SKU``), as each moved
count        retracted, as if it had never been taken; one that corrected an earlier version stays, as nothing
             would stand in its place
order        not undone here: cancel the order at its source, which lets its units go
===========  ================================================================================================

What another message brought first is that message's, and stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import islice
from typing import cast

from shared.domain.events import Count, Demand, Event, Leg, Movement, Origin, instant
from shared.domain.fold import Retraction, fold
from shared.domain.ledger import Cause, Line, count_slot
from shared.domain.messages import Message
from shared.domain.network import Source
from shared.domain.stock import Counter, EventKey, LocationId, Quantity, Sku, SourceId, StockKey
from shared.operations.count_desk import show_all, tell
from shared.operations.facts import Fact, Outcome, stock_keys
from shared.operations.post import Poster, count_rules
from shared.operations.resolve import resolve
from shared.sources.contract import Fault, Report
from shared.store.cases import Cases
from shared.store.layout import event_key
from shared.store.ledger import Ledger
from shared.store.registry import Network, Registry
from shared.store.table import Absent, Item, Put, Table

CHUNK = 500
"""Reports that are undone together."""

OURS = SourceId("onecount")


@dataclass(frozen=True, slots=True)
class Moved:
    """One counter of a stock key, before and after."""

    key: StockKey
    counter: Counter
    before: Quantity
    after: Quantity


@dataclass(slots=True)
class Undone:
    """What undoing did, or would do.

    Attributes
    ----------
    events
        Events that are compensated.
    already
        Events that had been undone before.
    kept
        Event key to the reason why it stays.
    moved
        Counters that change; in a dry run by what the ledger says now.
    next
        The report to go on with, where the time was up before the last.
    """

    events: int = 0
    already: int = 0
    kept: dict[EventKey, str] = field(default_factory=dict)
    moved: list[Moved] = field(default_factory=list)
    next: int | None = None


@dataclass(slots=True)
class _Steps:
    """What one chunk is compensated by."""

    movements: list[Fact] = field(default_factory=list)
    retractions: dict[StockKey, list[Retraction]] = field(default_factory=dict)

    def of(self, key: StockKey) -> list[Movement | Retraction]:
        here = [
            fact.event
            for fact in self.movements
            if isinstance(fact.event, Movement) and key in stock_keys(fact.event)
        ]
        return [*here, *self.retractions.get(key, [])]

    def keys(self) -> list[StockKey]:
        moved = [key for fact in self.movements for key in stock_keys(fact.event)]
        return list(dict.fromkeys([*moved, *self.retractions]))


class Undoer:
    """Undoes messages."""

    def __init__(
        self,
        table: Table,
        registry: Registry,
        poster: Poster,
        cases: Cases,
        clock: Callable[[], datetime],
    ) -> None:
        self._table = table
        self._ledger = Ledger(table)
        self._registry = registry
        self._poster = poster
        self._cases = cases
        self._clock = clock

    def undo(
        self,
        reports: Iterable[Report | Fault],
        source: Source,
        message: Message,
        actor: str,
        reason: str,
        *,
        dry_run: bool,
        first: int = 0,
        until: datetime | None = None,
    ) -> Undone:
        """Undo what a message reported from the ``first`` report on, or say what that would do.

        Raises
        ------
        PostingContendedError
            When others kept changing the same stock keys; undoing again goes on where it stopped.
        """
        done, network = Undone(), self._registry.network()
        given = islice((report for report in reports if isinstance(report, Report)), first, None)
        while chunk := list(islice(given, CHUNK)):
            if until is not None and self._clock() >= until:
                done.next = first
                break
            first += len(chunk)
            resolution = resolve(chunk, source, self._registry, network, self._clock())
            steps = self._steps(resolution.facts, message, actor, reason, network, done)
            self._foresee(steps, network, done)
            if not dry_run:
                self._carry_out(steps, network, done)
        return done

    def _steps(
        self,
        facts: Sequence[Fact],
        message: Message,
        actor: str,
        reason: str,
        network: Network,
        done: Undone,
    ) -> _Steps:
        found = self._table.get_many([event_key(fact.event.key) for fact in facts])
        ours = {fact.event.key: undo_keys(fact.event, found.get(event_key(fact.event.key))) for fact in facts}
        undone = self._table.get_many([event_key(key) for keys in ours.values() for key in keys.values()])
        steps = _Steps()
        for fact in facts:
            event, item = fact.event, found.get(event_key(fact.event.key))
            if isinstance(event, Demand):
                done.kept[event.key] = "an order is undone by cancelling it at its source"
            elif item is None:
                done.kept[event.key] = "it is not in the ledger"
            elif item["message_id"] != message.id:
                done.kept[event.key] = f"message {cast(str, item['message_id'])} brought it first"
            elif all(event_key(key) in undone for key in ours[event.key].values()):
                done.already += 1
            elif isinstance(event, Movement):
                lines = list(self._lines(item, event, Cause.MOVEMENT))
                for sku, key in ours[event.key].items():
                    of_sku = [(at, line) for at, line in lines if at.sku == sku]
                    back = _compensation(replace(event, key=key, sku=sku), of_sku, message, actor, reason)
                    is_component = fact.is_component or fact.kit is not None
                    steps.movements.append(Fact(back, "undo", is_component=is_component))
                done.events += 1
            elif any(self._lines(item, event, Cause.RETRACTED)):
                done.kept[event.key] = (
                    "it corrected an earlier version, which would not stand again; send a newer one"
                )
            else:
                self._retract(event, network, steps, done)
        return steps

    def _retract(self, event: Count, network: Network, steps: _Steps, done: Undone) -> None:
        key, slot = StockKey(event.sku, event.location), count_slot(event)
        mark = self._ledger.find_count(key, event, count_rules(network, event.location).widest)
        if mark is None:
            done.kept[event.key] = "the count does not stand any more: it was corrected or rejected"
            return
        steps.retractions.setdefault(key, []).append(Retraction(undo_key(event.key), slot, mark))
        done.events += 1

    def _lines(self, item: Item, event: Movement | Count, cause: Cause) -> Iterator[tuple[StockKey, Line]]:
        """Yield what an event wrote for a cause, from the journal entries that it stands in."""
        for sku, location, seq in cast("list[tuple[str, str, int]]", item["entries"]):
            key = StockKey(Sku(sku), LocationId(location))
            for entry in self._ledger.entries(key, seq, seq):
                for line in entry.lines:
                    if line.event_key == event.key and line.cause is cause:
                        yield key, line

    def _foresee(self, steps: _Steps, network: Network, done: Undone) -> None:
        for key, balance in self._ledger.balances(steps.keys()).items() if steps.keys() else ():
            events = steps.of(key)
            state = self._ledger.state(balance, events, count_rules(network, key.location))
            for counter, change in fold(state, events).deltas.items():
                if change:
                    before = balance.totals[counter]
                    done.moved.append(Moved(key, counter, before, before + change))

    def _carry_out(self, steps: _Steps, network: Network, done: Undone) -> None:
        results = self._poster.post(steps.movements, network) if steps.movements else []
        tell(results, self._poster, self._cases, self._clock())
        for result in results:
            if result.outcome is Outcome.REFUSED:
                done.events -= 1
                done.kept[result.fact.event.key] = result.reason
        for key, retractions in steps.retractions.items():
            for retraction in retractions:
                record = _record(retraction, key, self._clock())
                posting = self._poster.amend(key, network, record, [retraction])
                show_all(key, posting, self._poster, self._cases, self._clock())


def undo_key(key: EventKey) -> EventKey:
    """Name the event that takes another back."""
    return EventKey(f"{OURS}/undo/{key}")


def undo_keys(event: Event, item: Item | None) -> dict[Sku, EventKey]:
    """Name the events that take another back, by SKU: of whole kits each component has one of its own.

    ``item`` is what the ledger keeps of the event, which says what it moved.
    """
    entries = [] if item is None else cast("list[tuple[str, str, int]]", item["entries"])
    moved = dict.fromkeys(Sku(sku) for sku, _, _ in entries)
    if not moved or list(moved) == [event.sku]:
        return {event.sku: undo_key(event.key)}
    return {sku: EventKey(f"{undo_key(event.key)}/{sku}") for sku in moved}


def _compensation(
    event: Movement,
    lines: Iterable[tuple[StockKey, Line]],
    message: Message,
    actor: str,
    reason: str,
) -> Movement:
    legs = tuple(Leg(key.location, -line.quantity, line.slot.counter, line.slot.leaf) for key, line in lines)
    refs = tuple(sorted({**dict(event.origin.refs), "undone_by": actor, "undone_because": reason}.items()))
    return Movement(
        event.key,
        event.sku,
        event.kind,
        legs,
        event.occurred_at,
        Origin(OURS, message.id, refs),
        event.order_line,
    )


def _record(retraction: Retraction, key: StockKey, now: datetime) -> Put:
    return Put(
        event_key(retraction.key),
        {
            "effect": "undo",
            "sku": key.sku,
            "source": OURS,
            "message_id": "",
            "refs": [["undoes", retraction.mark.event_key]],
            "posted_at": instant(now),
            "entries": [],
        },
        (Absent(),),
    )

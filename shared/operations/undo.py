"""Undo: take back what one message or file did, by compensating entries; the journal only ever grows.

The message is translated again to learn which events it carries, and that is all: what each did, and to which stock
key, is read from the ledger (``footprint.py``), never concluded from what its codes stand for today or from who is
believed there now. Each event is compensated by an event of its own (``onecount/undo/<key>``), so undoing twice, or
being interrupted in the middle, is harmless:

===========  ================================================================================================
movement     the same legs with the opposite sign at the same instant; a count since then had seen the goods, and
             stands, as with any late fact; of whole kits, one event for each component (``.../SKU``), as each moved.
             A shop's shipment that the shop has called off is back already, and stays
count        retracted, as if it had never been taken, and the earlier version of its document stands again; where that
             was not kept, and nobody has undone it, the count stays, as nothing would stand in its place. While it
             only waits, or is kept beside another version, it is dropped, and never stands again. What was history
             beneath it and never approved is judged, and may wait for an approver from then on
order        not undone here: cancel the order at its source, which lets its units go
===========  ================================================================================================

What another message brought first is that message's, and stays. Of every event it is said what was undone, or why not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import cast

from shared.domain.count_decisions import Retraction
from shared.domain.events import Count, Demand, DemandEffect, Event, Leg, Movement, Origin, Refs, instant
from shared.domain.fold import fold
from shared.domain.ledger import Cause, CountDocument, Line, Slot
from shared.domain.messages import Message
from shared.domain.network import Source
from shared.domain.stock import Counter, EventKey, Quantity, Sku, StockKey
from shared.operations.amending import Amender, TooManyCountsError
from shared.operations.count_rules import count_rules
from shared.operations.facts import Fact, Note, Outcome, stock_keys
from shared.operations.footprint import (
    OURS,
    UNDOES,
    UNDONE_BECAUSE,
    UNDONE_BY,
    lines_of,
    standing_count,
    touched,
    undo_key,
    undo_keys,
)
from shared.operations.fulfilments import called_off, moved_kind
from shared.operations.posting_notes import notes_in
from shared.operations.resolve import our_order, why_not_posted
from shared.operations.telling import Teller
from shared.sources.contract import Fault, Report
from shared.store.layout import event_key
from shared.store.ledger import Ledger
from shared.store.registry import Network, Registry
from shared.store.table import Absent, Item, Put, Table

_NOTHING_STANDS = "it corrected an earlier version, which would not stand again; send a newer one"

CHUNK = 500
"""Reports that are undone together."""


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
    waits
        Counts that come to wait for a decision: what is undone covered them, or explained them.
    next
        The report to go on with, where the time was up before the last.
    """

    events: int = 0
    already: int = 0
    kept: dict[EventKey, str] = field(default_factory=dict)
    moved: list[Moved] = field(default_factory=list)
    waits: list[EventKey] = field(default_factory=list)
    next: int | None = None


@dataclass(slots=True)
class _Steps:
    """What one chunk is compensated by."""

    movements: list[Fact] = field(default_factory=list)
    retractions: dict[StockKey, list[Retraction]] = field(default_factory=dict)
    noted: list[Note] = field(default_factory=list)
    """What was noted with events that are undone already: whoever undid them may have been cut short before saying it."""
    unfinished: list[EventKey] = field(default_factory=list)
    """Records of what is undone already and left counts to wait, for there were more than fit a transaction."""

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


class NoSuchReportError(LookupError):
    """The message does not have as many reports as were to be passed over."""


class Undoer:
    """Undoes messages."""

    def __init__(
        self,
        table: Table,
        registry: Registry,
        amender: Amender,
        teller: Teller,
        clock: Callable[[], datetime],
    ) -> None:
        self._table = table
        self._ledger = Ledger(table)
        self._registry = registry
        self._amender = amender
        self._teller = teller
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
        NoSuchReportError
            When there is nothing from ``first`` on.
        """
        done, network, begin = Undone(), self._registry.network(), first
        given = islice((report for report in reports if isinstance(report, Report)), first, None)
        while chunk := list(islice(given, CHUNK)):
            if until is not None and self._clock() >= until:
                done.next = first
                break
            first += len(chunk)
            steps = self._steps(chunk, source, message, actor, reason, network, done)
            self._foresee(steps, network, done)
            if not dry_run:
                self._carry_out(steps, actor, reason, message, network, done)
        if begin and first == begin and done.next is None:
            raise NoSuchReportError(f"the message has no more than {begin} reports")
        return done

    def _steps(
        self,
        reports: Sequence[Report],
        source: Source,
        message: Message,
        actor: str,
        reason: str,
        network: Network,
        done: Undone,
    ) -> _Steps:
        events = {report.event.key: report.event for report in reports}
        found = self._table.get_many([event_key(key) for key in events])
        items = {key: found[event_key(key)] for key in events if event_key(key) in found}
        absent = [report for report in reports if report.event.key not in items]
        done.kept |= why_not_posted(absent, source, self._registry, network, self._clock()) if absent else {}
        ours = {key: undo_keys(key, item) for key, item in items.items()}
        undone = self._table.get_many([event_key(name) for names in ours.values() for name in names.values()])
        components = self._components(ours)
        call_offs = self._call_offs(events, message)
        steps = _Steps()
        for key, item in items.items():
            if item["message_id"] != message.id:
                done.kept[key] = f"message {cast(str, item['message_id'])} brought it first"
                continue
            if all(event_key(name) in undone for name in ours[key].values()):
                done.already += 1
                for name in ours[key].values():
                    record = undone[event_key(name)]
                    if record.get("unfinished"):
                        steps.unfinished.append(name)
                    else:
                        steps.noted += notes_in(record)
                continue
            call_off, stands = call_offs.get(key, (None, False))
            if call_off is not None and stands:
                done.kept[key] = called_off(call_off)
                continue
            event, lines = events[key], lines_of(self._ledger, key, item)
            if isinstance(event, Count):
                self._retract(event, item, lines, network, steps, done)
                continue
            is_component = len(ours[key]) > 1 or item["sku"] not in ours[key] or item["sku"] in components
            for sku, name in ours[key].items():
                of_sku = [(at, line) for at, line in lines if at.sku == sku and line.cause is Cause.MOVEMENT]
                back = _compensation(event, name, sku, of_sku, message, _refs(key, actor, reason))
                steps.movements.append(Fact(back, "undo", is_component=is_component, unless=call_off))
            done.events += 1
        return steps

    def _call_offs(
        self, events: Mapping[EventKey, Event], message: Message
    ) -> dict[EventKey, tuple[EventKey, bool]]:
        """Name what may call off the shipments of a message, and say whether it has and stands.

        What this message calls off itself is left out: of that, both are undone.
        """
        names = {
            key: event.opposite
            for key, event in events.items()
            if isinstance(event, Demand) and event.effect is DemandEffect.FULFILLED and event.opposite
        }
        found = self._table.get_many([event_key(name) for name in names.values()]) if names else {}
        call_offs: dict[EventKey, tuple[EventKey, bool]] = {}
        for key, name in names.items():
            item = found.get(event_key(name))
            if item is None:
                call_offs[key] = (name, False)
            elif item["message_id"] != message.id:
                backs = [event_key(back) for back in undo_keys(name, item).values()]
                call_offs[key] = (name, not self._table.get_many(backs))
        return call_offs

    def _components(self, ours: Mapping[EventKey, Mapping[Sku, EventKey]]) -> set[Sku]:
        """Return those of the items that moved that lie in a kit, or are one, at some time."""
        skus = {sku for names in ours.values() for sku in names}
        items = self._registry.items.find(skus) if skus else {}
        return {sku for sku, item in items.items() if item.is_component or item.kit_components}

    def _retract(
        self,
        event: Count,
        item: Item,
        lines: Sequence[tuple[StockKey, Line]],
        network: Network,
        steps: _Steps,
        done: Undone,
    ) -> None:
        (at,) = touched(item)
        within = max(count_rules(network, at.location).widest, event.as_of - (event.since or event.as_of))
        found = standing_count(self._ledger, event, at, lines, within)
        if found is None:
            done.kept[event.key] = "the count does not stand any more: it was corrected or rejected"
            return
        slot, mark = found
        if self._has_lost_a_version(event, at, slot, within):
            done.kept[event.key] = _NOTHING_STANDS
            return
        document = CountDocument(slot, event.origin.source, event.document) if event.document else None
        steps.retractions.setdefault(at, []).append(Retraction(undo_key(event.key), slot, mark, document))
        done.events += 1

    def _has_lost_a_version(self, event: Count, at: StockKey, slot: Slot, within: timedelta) -> bool:
        """Whether a count took one out that nobody has undone, and that is not there to stand again."""
        replaced = self._ledger.replaced_by(at, slot, event, within)
        undone = self._table.get_many([event_key(undo_key(other)) for other in replaced]) if replaced else {}
        likely = (event.as_of - within, event.as_of + within)
        return any(
            self._ledger.find_count(at, other, [slot], likely) is None
            for other in replaced
            if event_key(undo_key(other)) not in undone
        )

    def _foresee(self, steps: _Steps, network: Network, done: Undone) -> None:
        for key, balance in self._ledger.balances(steps.keys()).items() if steps.keys() else ():
            events = steps.of(key)
            state = self._ledger.state(balance, events, count_rules(network, key.location))
            posting = fold(state, events)
            done.waits += [count.mark.event_key for count in posting.began_to_wait]
            for counter, change in posting.deltas.items():
                if change:
                    before = balance.totals[counter]
                    done.moved.append(Moved(key, counter, before, before + change))

    def _carry_out(
        self, steps: _Steps, actor: str, reason: str, message: Message, network: Network, done: Undone
    ) -> None:
        self._teller.again(steps.unfinished, network)
        self._teller.noted(steps.noted)
        results = self._teller.post(steps.movements, network) if steps.movements else []
        for result in results:
            if result.outcome is Outcome.REFUSED:
                done.events -= 1
                done.kept[result.fact.event.key] = result.reason
        for key, retractions in steps.retractions.items():
            for retraction in retractions:
                refs = _refs(retraction.mark.event_key, actor, reason)
                record = _record(retraction, key, refs, message, self._clock())
                try:
                    posting = self._amender.amend(key, network, record, [retraction])
                except TooManyCountsError as error:
                    done.events -= 1
                    done.kept[retraction.mark.event_key] = str(error)
                    continue
                self._teller.amended(key, retraction.key, posting)


def _compensation(
    event: Movement | Demand,
    name: EventKey,
    sku: Sku,
    lines: Sequence[tuple[StockKey, Line]],
    message: Message,
    refs: Refs,
) -> Movement:
    """Return the opposite of what an event moved of one item, at the instant and on the leaves where it did."""
    if isinstance(event, Movement):
        kind, order_line = event.kind, event.order_line
    else:  # an order's document, said by who was the authority for movements there
        kind, order_line = moved_kind(event), (our_order(event), event.line)
    return Movement(
        name,
        sku,
        kind,
        tuple(Leg(key.location, -line.quantity, line.slot.counter, line.slot.leaf) for key, line in lines),
        next((line.valid_at for _, line in lines), event.occurred_at),
        Origin(OURS, message.id, tuple(sorted({**dict(event.origin.refs), **dict(refs)}.items()))),
        order_line,
    )


def _refs(undone: EventKey, actor: str, reason: str) -> Refs:
    """Return what is kept with an event that takes another back: which one, who did it, and why."""
    return ((UNDOES, undone), (UNDONE_BECAUSE, reason), (UNDONE_BY, actor))


def _record(retraction: Retraction, key: StockKey, refs: Refs, message: Message, now: datetime) -> Put:
    return Put(
        event_key(retraction.key),
        {
            "effect": "undo",
            "sku": key.sku,
            "source": OURS,
            "message_id": message.id,
            "refs": [list(ref) for ref in refs],
            "posted_at": instant(now),
            "entries": [],
        },
        (Absent(),),
    )

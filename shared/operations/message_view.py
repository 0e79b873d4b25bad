"""What became of each event of a message: read from the ledger, not remembered, so it is true of now.

The message is translated again, exactly as when it was applied, and every event is looked for by its key, whatever its
codes stand for by now. Nothing is written.

==============  ========================================================================================
outcome         means
==============  ========================================================================================
posted          in the ledger, from this message
waits           a count that changes nothing until somebody decides about it
rejected        a count that waited, and that somebody decided never to apply
undone          it was in the ledger, and was taken back by compensating entries
duplicate       in the ledger, but another message brought it first
conflict        in the ledger with another effect; this one was refused
compared        a number of someone who is not the authority: put beside the ledger, changes nothing
noted           a number of one bin or lot of someone who is not the authority: compared with nothing
told            a movement by someone who is not the authority: noted, changes nothing
unknown_code    its code stands for nothing of ours; it waits in a case for the mapping
waits_for_unit  its quantity cannot be said in whole base units; it waits for the item to be changed
kit_stock       it speaks of stock of a kit, which has none of its own
held            dated in the future
fault           cannot be read
not_posted      none of these: it is still to be applied, or its message failed
==============  ========================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import cast

from shared.domain.events import Count, Demand, Event, Movement, instant
from shared.domain.network import Source
from shared.domain.stock import EventKey, StockKey
from shared.operations.count_desk import waiting_case
from shared.operations.facts import Fact, claimed_line_of, correction_of, stock_keys
from shared.operations.footprint import decision_key, touched, undo_keys
from shared.operations.resolve import Resolution, resolve
from shared.sources.contract import Fault, Report
from shared.sources.registry import FILE_CONNECTORS, translator
from shared.store.inbox import StoredMessage
from shared.store.layout import event_key
from shared.store.ledger import Ledger
from shared.store.orders import Orders
from shared.store.registry import Registry
from shared.store.table import Item, Table

SHOWN = 100
"""Events of one message that are shown, at most."""


@dataclass(frozen=True, slots=True)
class EventOutcome:
    """One event of a message, and what became of it.

    Attributes
    ----------
    key
        The event's business identity; empty for what could not be read.
    what
        The kind of event (receipt, count, ordered ...).
    stock_keys
        What it concerns, in our codes where they are known; else ``code`` is the sender's.
    outcome, reason
        See the module's table.
    order_line
        The order line that it is about, where it is one of an order's documents.
    """

    key: EventKey
    what: str
    code: str
    stock_keys: tuple[StockKey, ...]
    quantity: int | None
    at: str | None
    outcome: str
    reason: str = ""
    order_line: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class MessageEvents:
    """The events of a message in their order; ``more`` says that some were left out."""

    events: tuple[EventOutcome, ...]
    more: bool


class MessageView:
    """Explains messages."""

    def __init__(self, table: Table, registry: Registry, clock: Callable[[], datetime]) -> None:
        self._table = table
        self._orders = Orders(table)
        self._ledger = Ledger(table)
        self._registry = registry
        self._clock = clock

    def events(self, stored: StoredMessage) -> MessageEvents | None:
        """Return what became of each event; None for a file, or where the source is declared no more."""
        message = stored.message
        source = self._registry.network().source(message.source)
        if source is None or stored.kind == "file" or source.connector in FILE_CONNECTORS:
            return None
        reports = list(islice(translator(source.connector).translate(message, source), SHOWN + 1))
        outcomes = tuple(self._outcome(report, source, stored) for report in reports[:SHOWN])
        return MessageEvents(outcomes, more=len(reports) > SHOWN)

    def _outcome(self, report: Report | Fault, source: Source, stored: StoredMessage) -> EventOutcome:
        if isinstance(report, Fault):
            reason = f"{report.field}: {report.reason}; {report.remedy}"
            return EventOutcome(EventKey(""), "", "", (), None, None, "fault", reason)
        network = self._registry.network()
        resolution = resolve([report], source, self._registry, network, self._clock())
        event, fact = report.event, next(iter(resolution.facts), None)
        item = self._table.get(event_key(event.key))
        withheld = next(iter(resolution.withheld), None)
        ours = fact.event if fact else withheld.event if withheld else next(iter(resolution.held), None)
        keys = tuple((touched(item) if item else ()) or (stock_keys(ours) if ours else ()))
        in_order = self._in_order(fact) if fact and not item else None
        found = self._as_posted(report, item, stored, keys) if item else in_order
        outcome, reason = found or _unposted(resolution)
        seen = next(iter([*resolution.observations, *resolution.partial]), None)
        return EventOutcome(
            key=event.key,
            what=str(
                event.kind
                if isinstance(event, Movement)
                else event.effect
                if isinstance(event, Demand)
                else f"count of {event.element}"
            ),
            code=event.sku,
            stock_keys=keys or (() if seen is None else (StockKey(seen.sku, seen.location),)),
            quantity=sum(leg.quantity for leg in event.legs)
            if isinstance(event, Movement)
            else event.quantity,
            at=instant(event.as_of if isinstance(event, Count) else event.occurred_at),
            outcome=outcome,
            reason=reason,
            order_line=claimed_line_of(ours) if ours and (in_order or isinstance(ours, Demand)) else None,
        )

    def _in_order(self, fact: Fact) -> tuple[str, str] | None:
        """Return how its order line holds an order's document, if it does: also one that would be a movement today."""
        event, name = fact.event, claimed_line_of(fact.event)
        if name is None or not (keys := stock_keys(event)):
            return None
        applied = self._orders.lines({name: keys[0]})[name].applied.get(event.key)
        if applied is None:
            return None
        return ("posted", "") if applied == fact.effect else ("conflict", _another_effect(event))

    def _as_posted(
        self, report: Report, item: Item, stored: StoredMessage, keys: Sequence[StockKey]
    ) -> tuple[str, str]:
        """Return how the ledger holds an event that it knows."""
        if item["effect"] != report.effect:
            return "conflict", _another_effect(report.event)
        if self._table.get_many([event_key(name) for name in undo_keys(report.event.key, item).values()]):
            return "undone", "it was taken back by compensating entries; a replay changes nothing"
        if item["message_id"] != stored.message.id:
            return "duplicate", f"message {cast(str, item['message_id'])} brought it first"
        undecided = (
            self._undecided_or_rejected(report.event, keys) if isinstance(report.event, Count) else None
        )
        return undecided or ("posted", "")

    def _undecided_or_rejected(self, count: Count, keys: Sequence[StockKey]) -> tuple[str, str] | None:
        """Say that a count waits, or who rejected it; None where it does neither."""
        decision = self._table.get(event_key(decision_key(count.key)))
        if decision is not None and decision["effect"] == "reject":
            said = dict(cast("list[tuple[str, str]]", decision["refs"]))
            because = f": {said['because']}" if said["because"] else ""
            return "rejected", f"by {said['decided_by']} at {cast(str, decision['posted_at'])}{because}"
        for waiting in (one for key in keys for one in self._ledger.waiting(key)):
            if waiting.mark.event_key == count.key:
                case = waiting_case(waiting.why, count.key)
                return "waits", f"it changes nothing until it is decided: case {case}"
        return None


def _another_effect(event: Event) -> str:
    return f"the ledger has this event with another effect; {correction_of(event)}"


def _unposted(resolution: Resolution) -> tuple[str, str]:
    if resolution.unknown:
        code = next(iter(resolution.unknown))
        return "unknown_code", f"{code.kind} {code.code!r} stands for nothing of ours"
    if resolution.unmeasured:
        return "waits_for_unit", resolution.unmeasured[0].reason
    if resolution.kit_stock:
        return "kit_stock", "a kit has no stock of its own; report its components"
    if resolution.held:
        return "held", "it is dated in the future"
    if resolution.withheld:
        return "withheld", "its source is not live there; once it is, replay the message to post it"
    if resolution.told:
        return "told", "its source is not the authority for movements there"
    if resolution.observations and not resolution.facts:
        return "compared", "its source is not the authority for counts there"
    if resolution.partial and not resolution.facts:
        return "noted", "it names a bin or a lot: only numbers of a whole location are compared"
    return "not_posted", ""

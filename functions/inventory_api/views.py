"""What the API answers: domain objects as plain JSON."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from shared.domain.availability import Promise
from shared.domain.cases import Case, Deed
from shared.domain.drift import Comparison
from shared.domain.events import instant
from shared.domain.exposure import Exposure, Group
from shared.domain.items import Component
from shared.domain.rules import Rules
from shared.domain.stock import Counter, Leaf, Quantity
from shared.operations.message_view import EventOutcome, MessageEvents
from shared.operations.reservations import Reservation
from shared.operations.stock_view import ChannelStock, ItemStock, LocationStock
from shared.store.ledger_items import JournalEntry

Json = dict[str, Any]

_ON_LEAVES = (Counter.ON_HAND, Counter.QUALITY_HOLD, Counter.DAMAGED)


def item_view(item: ItemStock) -> Json:
    """Show an item; without ``channels`` where it is shown as of an instant."""
    promised = {} if item.channels is None else {"channels": [channel_view(c) for c in item.channels]}
    return {
        "sku": item.sku,
        "locations": [location_view(location) for location in item.locations],
        **promised,
        **({"kit": [component_view(component) for component in item.kit]} if item.kit else {}),
    }


def location_view(stock: LocationStock) -> Json:
    return {
        "location": stock.key.location,
        **stock.quantities,
        "counted_as_of": None if stock.counted_as_of is None else instant(stock.counted_as_of),
        "as_of": instant(stock.as_of),
        "leaves": [leaf_view(leaf, counters) for leaf, counters in sorted(stock.leaves.items())],
        "sources": [comparison_view(comparison) for comparison in stock.comparisons],
    }


def leaf_view(leaf: Leaf, counters: Mapping[Counter, Quantity]) -> Json:
    """Show what lies on a bin or lot; what it does not name is a dash."""
    said = {counter: counters.get(counter, 0) for counter in _ON_LEAVES}
    return {"bin": leaf.bin, "lot": leaf.lot, **{str(counter): units for counter, units in said.items()}}


def comparison_view(comparison: Comparison) -> Json:
    seen = comparison.observation
    return {
        "source": seen.source,
        "element": seen.element,
        "meaning": comparison.meaning,
        "quantity": seen.quantity,
        "as_of": instant(seen.as_of),
        "expected": comparison.expected,
        "drift": comparison.drift,
        "stale": comparison.is_stale,
    }


def channel_view(stock: ChannelStock) -> Json:
    state = stock.listing
    return {
        "channel": stock.channel,
        "location": stock.location,
        **promise_view(stock.promise),
        "shown": state.believed,
        "confirmed_at": None if state.shown_at is None else instant(state.shown_at),
        "in_flight": state.inflight is not None,
        "mode": stock.mode,
        "silent_since": None if stock.silence is None else instant(stock.silence.since),
        "silent_because": None if stock.silence is None else stock.silence.reason,
    }


def promise_view(promise: Promise) -> Json:
    """Say what may be sold, why it is not more, and of which components or in which packs."""
    said: Json = {
        "available_to_promise": promise.available_to_promise,
        "stale": promise.is_stale,
        "explanation": explanation_view(promise),
    }
    if promise.parts:
        said["components"] = [
            {
                "sku": part.sku,
                "per_kit": part.per_kit,
                "kits": part.kits,
                "left_over": part.left_over,
                "available_to_promise": part.promise.available_to_promise,
                "explanation": explanation_view(part.promise),
            }
            for part in promise.parts
        ]
    if promise.pack is not None:
        count = promise.available_to_promise // promise.pack.size
        said["pack"] = {"unit": promise.pack.unit, "of": promise.pack.size, "quantity": count}
    return said


def component_view(component: Component) -> Json:
    return {"sku": component.sku, "quantity": component.quantity}


def explanation_view(promise: Promise) -> list[Json]:
    return [{"what": what, "quantity": quantity} for what, quantity in promise.explanation]


def journal_view(entry: JournalEntry) -> Json:
    return {
        "seq": entry.seq,
        "posted_at": instant(entry.posted_at),
        "lines": [
            {
                "counter": line.slot.counter,
                "leaf": str(line.slot.leaf),
                "quantity": line.quantity,
                "valid_at": instant(line.valid_at),
                "event_key": line.event_key,
                "cause": line.cause,
            }
            for line in entry.lines
        ],
    }


def case_view(case: Case, rules: Rules, now: datetime) -> Json:
    return {
        "id": case.id,
        "kind": case.kind,
        "status": case.status,
        "title": case.title,
        "remedy": case.remedy,
        "opened_at": instant(case.opened_at),
        "updated_at": instant(case.updated_at),
        "occurrences": case.occurrences,
        "facts": dict(case.facts),
        "message_id": case.message_id,
        "resolution": case.resolution,
        "owner": case.owner,
        "due_at": instant(rules.due_at(case)),
        "overdue": rules.is_overdue(case, now),
        "escalated_at": None if case.escalated_at is None else instant(case.escalated_at),
        "approvals": [{"by": a.by, "at": instant(a.at), "state": a.state} for a in case.approvals],
    }


def deed_view(deed: Deed) -> Json:
    return {"at": instant(deed.at), "by": deed.by, "action": deed.action, "why": deed.why}


def exposure_view(found: Exposure) -> Json:
    """Show what stands at risk; money is written as text, so that no cent is lost on the way."""
    return {
        "ranked_by": found.ranked_by,
        "units": found.units,
        "value": None if found.value is None else str(found.value),
        "weight": str(found.weight),
    }


def group_view(group: Group, shown: int, rules: Rules, now: datetime) -> Json:
    """Show cases of one cause: all of them in numbers, the weightiest in full."""
    return {
        "about": list(group.about),
        "cases": len(group.members),
        "ranked_by": group.ranked_by,
        "weight": str(group.weight),
        "units": group.units,
        "values": [str(value) for value in group.values],
        "oldest": instant(min(one.case.opened_at for one in group.members)),
        "overdue": sum(rules.is_overdue(one.case, now) for one in group.members),
        "first": [
            {**case_view(one.case, rules, now), "exposure": exposure_view(one.exposure)}
            for one in group.members[:shown]
        ],
    }


def body_part(body: bytes, offset: int, longest: int) -> Json:
    """Show the text of a part of a body; no character is cut in two, and what is not UTF-8 is replaced."""
    end = min(len(body), offset + longest)
    while offset < end < len(body) and end > offset + longest - 4 and body[end] & 0xC0 == 0x80:
        end -= 1
    left = {"next_offset": end} if end < len(body) else {}
    return {"body": body[offset:end].decode("utf-8", "replace"), "body_bytes": len(body), **left}


def events_view(found: MessageEvents | None) -> Json:
    """Show what became of a message's events; nothing for a file, whose rows are too many."""
    if found is None:
        return {}
    return {"events": [event_view(event) for event in found.events], "more_events": found.more}


def event_view(event: EventOutcome) -> Json:
    return {
        "event": event.key,
        "what": event.what,
        "code": event.code,
        "stock_keys": [{"sku": key.sku, "location": key.location} for key in event.stock_keys],
        "quantity": event.quantity,
        "at": event.at,
        "outcome": event.outcome,
        "reason": event.reason,
    }


def reservation_view(reservation: Reservation) -> Json:
    return {
        "id": reservation.id,
        "channel": reservation.channel,
        "status": reservation.status,
        "created_at": instant(reservation.created_at),
        "expires_at": None if reservation.expires_at is None else instant(reservation.expires_at),
        "lines": [
            {
                "sku": line.stock_key.sku,
                "location": line.stock_key.location,
                "quantity": line.ordered,
                "open": line.open,
                "shipped": line.shipped,
                "claimed": 0 if line.claimed is None else line.claimed.units,
            }
            for line in reservation.lines
        ],
        "explanation": list(reservation.explanation),
    }

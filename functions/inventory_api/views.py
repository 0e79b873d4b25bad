"""What the API answers: domain objects as plain JSON."""

from __future__ import annotations

from typing import Any

from shared.domain.availability import Promise
from shared.domain.cases import Case
from shared.domain.drift import Comparison
from shared.domain.events import instant
from shared.operations.reserve import Reservation
from shared.operations.stock_view import ChannelStock, ItemStock, LocationStock
from shared.store.ledger import JournalEntry

Json = dict[str, Any]


def item_view(item: ItemStock) -> Json:
    return {
        "sku": item.sku,
        "locations": [location_view(location) for location in item.locations],
        "channels": [channel_view(channel) for channel in item.channels],
    }


def location_view(stock: LocationStock) -> Json:
    return {
        "location": stock.key.location,
        **stock.quantities,
        "counted_as_of": None if stock.counted_as_of is None else instant(stock.counted_as_of),
        "as_of": instant(stock.as_of),
        "sources": [comparison_view(comparison) for comparison in stock.comparisons],
    }


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
    }


def channel_view(stock: ChannelStock) -> Json:
    state = stock.listing
    return {
        "channel": stock.channel,
        "location": stock.location,
        "available_to_promise": stock.promise.available_to_promise,
        "explanation": explanation_view(stock.promise),
        "shown": state.believed,
        "confirmed_at": None if state.shown_at is None else instant(state.shown_at),
        "in_flight": state.inflight is not None,
    }


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


def case_view(case: Case) -> Json:
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
            }
            for line in reservation.lines
        ],
    }

"""Adjustments by hand that are larger than a location allows without an approver.

A count beyond the limit waits in the ledger; a movement never waits there. So an adjustment waits as its message: it
is parked on a case, and posts when an approver has decided. Who replays the message comes here again, and what is in
the ledger already is no matter of approval any more.

The approval is of a number of base units. "One pallet" that came to 48 when it was shown and comes to 480 by now, because
the item's pack was corrected, waits again.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from shared.domain.cases import Case, CaseKind, case_id
from shared.domain.count_decisions import ChangedSinceSeenError
from shared.domain.events import Movement
from shared.domain.messages import Message
from shared.domain.network import MANUAL
from shared.domain.stock import Counter, EventKey, Quantity, StockKey
from shared.operations.facts import Fact
from shared.operations.post import Poster
from shared.operations.resolve import resolve
from shared.sources.manual import CONNECTOR
from shared.store.registry import Network, Registry


class AdjustmentChangedError(ChangedSinceSeenError):
    """An adjustment comes to another number of base units than the approver saw."""

    def __init__(self, seen: Quantity, now: Quantity) -> None:
        Exception.__init__(
            self, f"the adjustment came to {seen:+d} units when it was shown, and comes to {now:+d} now"
        )
        self.seen, self.known = seen, now


def parted(
    facts: Sequence[Fact], poster: Poster, network: Network, approved: Quantity | None
) -> tuple[list[Fact], list[tuple[Movement, Quantity]]]:
    """Part facts into those that may be posted, and movements that need an approver, with what is on hand now.

    A movement of the ``approved`` number of base units needs none any more.
    """
    free: list[Fact] = []
    waiting: list[tuple[Movement, Quantity]] = []
    for fact in facts:
        event = fact.event
        on_hand = None
        if isinstance(event, Movement) and [leg.quantity for leg in event.legs] != [approved]:
            on_hand = _beyond_limit(event, poster, network)
        if on_hand is None or poster.is_known(event.key):
            free.append(fact)
        elif isinstance(event, Movement):
            waiting.append((event, on_hand))
    return free, waiting


def adjustment_case_id(key: EventKey) -> str:
    """Name the case of an adjustment that waits for an approver."""
    return case_id(CaseKind.ADJUSTMENT_APPROVAL, key)


def comes_to(message: Message, registry: Registry, now: datetime) -> Quantity | None:
    """Return how many base units an adjustment comes to now; None where nobody can say."""
    reports = CONNECTOR.translate(message, MANUAL)
    facts = resolve(reports, MANUAL, registry, registry.network(), now).facts
    legs = [leg for fact in facts if isinstance(fact.event, Movement) for leg in fact.event.legs]
    return legs[0].quantity if len(legs) == 1 else None


def adjustment_case(movement: Movement, on_hand: Quantity, message: Message, now: datetime) -> Case:
    """Say that an adjustment waits, with what it would change."""
    (leg,) = movement.legs
    key, refs = StockKey(movement.sku, leg.location), dict(movement.origin.refs)
    return Case(
        adjustment_case_id(movement.key),
        CaseKind.ADJUSTMENT_APPROVAL,
        f"{refs['actor']} adjusts {leg.counter} of {key} by {leg.quantity:+d}, with {on_hand} on hand: it waits for an "
        "approver",
        "approve it if it is right, or reject it with a reason",
        now,
        now,
        {
            "sku": movement.sku,
            "location": leg.location,
            "counter": leg.counter,
            "quantity": leg.quantity,
            "on_hand": on_hand,
            "requested_by": refs["actor"],
            "reason": refs["reason"],
            "event_key": movement.key,
        },
        message.id,
    )


def _beyond_limit(movement: Movement, poster: Poster, network: Network) -> Quantity | None:
    """Return what is on hand where a movement is larger than its location allows; None where it is not."""
    for leg in movement.legs:
        place = network.locations.get(leg.location)
        limit = None if place is None else place.approve_beyond
        if limit is not None:
            on_hand = poster.balance(StockKey(movement.sku, leg.location)).totals[Counter.ON_HAND]
            if limit.is_exceeded(leg.quantity, of=on_hand):
                return on_hand
    return None

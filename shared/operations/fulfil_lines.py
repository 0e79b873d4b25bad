"""What callers say has left of reservations, judged in the transaction that posts it.

Judged against the lines as they are when they are written: of two calls that fulfil the same units at once, or one
after the other was cut short, one is refused, and so is one that a release came before.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from shared.domain.events import Demand, DemandEffect, Event, Movement
from shared.domain.reservation import OrderLine
from shared.domain.stock import EventKey, Quantity
from shared.operations.facts import Fact, order_legs, order_line_of
from shared.operations.reservation_items import PREFIX


def beyond_what_is_open(
    facts: Sequence[Fact], lines: Mapping[tuple[str, str], OrderLine]
) -> dict[EventKey, str]:
    """Say which of them are refused, and why: of one reservation all that this batch holds, or nothing.

    What is in its line already is not judged: it is told again.
    """
    said = defaultdict[str, dict[EventKey, tuple[tuple[str, str], Quantity]]](dict)
    for fact in facts:
        name = order_line_of(fact.event) if fact.is_entered else None
        if name is None or not name[0].startswith(PREFIX) or _is_in(lines[name], fact.event.key):
            continue
        said[name[0]][fact.event.key] = name, _units_that_left(fact.event)
    refused: dict[EventKey, str] = {}
    for parts in said.values():
        wanted = Counter[tuple[str, str]]()
        for name, units in parts.values():
            wanted[name] += units
        why = [
            f"{units} of line {name[1]} are to leave, and only {lines[name].releasable} are open and not fulfilled yet"
            for name, units in wanted.items()
            if units > lines[name].releasable
        ]
        refused |= dict.fromkeys(parts, "; ".join(why)) if why else {}
    return refused


def _is_in(line: OrderLine, key: EventKey) -> bool:
    return key in line.applied or key in line.shipments


def _units_that_left(event: Event) -> Quantity:
    if isinstance(event, Movement):
        return -sum(leg.quantity for leg in order_legs(event))
    return event.quantity if isinstance(event, Demand) and event.effect is DemandEffect.FULFILLED else 0

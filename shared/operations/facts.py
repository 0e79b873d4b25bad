"""What posting works on: facts (events in our own codes, with the hash of what they do), and what became of each.

Kept apart from ``post.py`` because the rules of stock and those of order lines both speak of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from shared.domain.events import Demand, Event, Leg, Movement, MovementKind
from shared.domain.items import Item
from shared.domain.stock import Counter, EventKey, Leaf, Quantity, StockKey
from shared.domain.transfer import PREFIX

FULFILS_ORDERS = frozenset({MovementKind.PICK, MovementKind.SHIPMENT})
"""Movements that hand an order line its units. A return that names its order owes the customer nothing again."""


class Outcome(StrEnum):
    """What became of one event; a count that waits is in the ledger and changes nothing until it is decided."""

    POSTED = "posted"
    WAITS = "waits"
    DUPLICATE = "duplicate"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Fact:
    """An event in our own codes, with the hash of its effect as it was sent.

    ``kit`` is its item where that is a kit at some time; ``is_component`` says that the item lies in kits, so that a
    shipment of it may be one of a kit's order line. What ``is_entered`` of a transfer or a reservation is somebody's word
    to us, which is posted only as far as that allows; a source's is posted as it comes. ``is_dated``: the instant was
    named with it.
    ``said`` is the order's document that the event is made of, which may move stock or be a claim.
    What was ``reckoned_on`` a length of its stock key's journal is posted while the journal has that length, or refused.
    A shipment, and what takes it back, is posted ``unless`` its order line knows the event that has called it off.
    """

    event: Event
    effect: str
    kit: Item | None = None
    is_component: bool = False
    is_entered: bool = False
    is_dated: bool = False
    reckoned_on: int | None = None
    said: Demand | None = None
    unless: EventKey | None = None


class NoteKind(StrEnum):
    """What an operator must hear of a posting."""

    WAITS = "waits"
    SETTLED = "settled"
    DISPUTED = "disputed"
    PART_CORRECTED = "part_corrected"


@dataclass(frozen=True, slots=True)
class Note:
    """Something about counts that came of a posting: it is kept with the event, so that telling it may be repeated."""

    kind: NoteKind
    count: EventKey
    key: StockKey
    facts: Mapping[str, str | int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one fact, why where it was refused, and what else came of it.

    ``corrected`` is by how much a count put right what was known before, of which leaf; nothing for the first of a
    stock key. ``remedy`` is what to do about a refusal that another document of the sender does not mend.
    """

    fact: Fact
    outcome: Outcome
    reason: str = ""
    notes: tuple[Note, ...] = ()
    corrected: tuple[tuple[StockKey, Leaf, Quantity], ...] = ()
    remedy: str = ""


def compare(fact: Fact, known_effect: str, notes: Sequence[Note] = (), *, uncertain: bool) -> Result:
    """Judge a fact whose key is in the ledger already; after an unknown outcome our own key is our success."""
    if known_effect == fact.effect:
        return Result(fact, Outcome.POSTED if uncertain else Outcome.DUPLICATE, notes=tuple(notes))
    return Result(
        fact,
        Outcome.REFUSED,
        f"event {fact.event.key} is in the ledger already with another effect; {correction_of(fact.event)}",
    )


def correction_of(event: Event) -> str:
    """Say how what is posted of an event is corrected; another version of a movement would move the stock again."""
    if isinstance(event, Movement):
        return "a correction is an adjustment under a document of its own"
    return "a correction needs a new version"


def stock_keys(event: Event) -> list[StockKey]:
    """Return the stock keys that an event concerns."""
    if isinstance(event, Movement):
        return [
            StockKey(event.sku, location) for location in dict.fromkeys(leg.location for leg in event.legs)
        ]
    if isinstance(event, Demand):
        return [] if event.location is None else [StockKey(event.sku, event.location)]
    return [StockKey(event.sku, event.location)]


def order_line_of(event: Event) -> tuple[str, str] | None:
    """Return the order line, as (order, line), that an event says something of."""
    if isinstance(event, Demand):
        return (event.order, event.line)
    if isinstance(event, Movement) and event.legs and event.kind in FULFILS_ORDERS:
        return event.order_line
    if isinstance(event, Movement) and event.kind is MovementKind.TRANSFER_SHIP and event.legs:
        order = "" if event.order_line is None else event.order_line[0]
        return (order, event.sku) if order.startswith(PREFIX) else None
    return None


def claimed_line_of(event: Event) -> tuple[str, str] | None:
    """Return the order line that may know an event already: as a claim, if its source was no authority when it said it."""
    if isinstance(event, Movement) and event.kind is MovementKind.RETURN:
        return event.order_line
    return order_line_of(event)


def order_legs(event: Movement) -> list[Leg]:
    """Return the legs that take units from an order line: not those by which a transfer puts them on their way."""
    return [leg for leg in event.legs if leg.counter is not Counter.IN_TRANSIT]

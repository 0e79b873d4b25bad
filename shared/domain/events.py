"""The canonical events: all that a translator may produce, and all that the ledger understands.

================  ==================================================  =====================================
kind              says                                                examples
================  ==================================================  =====================================
``Movement``      a signed change between states or locations         receipt, pick, shipment, adjustment
``Count``         an absolute quantity as of an instant               cycle count, snapshot row, level update
``Demand``        what one order document says of one order line      order placed, cancelled, fulfilled
================  ==================================================  =====================================

Every event carries its **event key**, the business identity ``source/document/line/effect/version`` and never
the transport's delivery id, so that the same fact is the same event by whichever road it comes. The **effect
hash** covers what the event would do and nothing else: the same key with another effect is a conflict, while a
newer translator that words the same effect anew is not.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from shared.domain.stock import (
    WHOLE,
    ChannelId,
    Counter,
    EventKey,
    Leaf,
    LocationId,
    MessageId,
    Quantity,
    Sku,
    SourceId,
)

Refs = tuple[tuple[str, str], ...]
"""Document references for the trace, as sorted pairs: ``("order", "1001"), ("shipment", "S-7")``."""


class MovementKind(StrEnum):
    """Why stock moved; the field's own words (GS1 CBV business steps where one exists)."""

    RECEIPT = "receipt"
    PUTAWAY = "putaway"
    PICK = "pick"
    PACK = "pack"
    SHIPMENT = "shipment"
    RETURN = "return"
    ADJUSTMENT = "adjustment"
    HOLD = "hold"
    RELEASE = "release"
    DAMAGE = "damage"
    TRANSFER_SHIP = "transfer_ship"
    TRANSFER_RECEIVE = "transfer_receive"


@dataclass(frozen=True, slots=True)
class Leg:
    """One signed change of one counter of one leaf at one location."""

    location: LocationId
    quantity: Quantity
    counter: Counter = Counter.ON_HAND
    leaf: Leaf = WHOLE


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an event came from: the source, the raw message, and the documents it names."""

    source: SourceId
    message_id: MessageId
    refs: Refs = ()


@dataclass(frozen=True, slots=True)
class Movement:
    """A signed change of stock of one SKU at ``occurred_at``.

    ``order_line`` names the order line that a pick or shipment fulfils, as ``(order id, line id)``.
    """

    key: EventKey
    sku: Sku
    kind: MovementKind
    legs: tuple[Leg, ...]
    occurred_at: datetime
    origin: Origin
    order_line: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Count:
    """An absolute ``quantity`` of one counter of one leaf, true at ``as_of``.

    ``element`` is what the number means to the source that sent it (``on_hand`` or ``available`` ...). Whether a
    count changes the ledger or is only compared with it is decided by the declared authority, not by the event.
    ``since`` is given where the clock is coarse: the count was taken at some instant from ``since`` to ``as_of``.
    ``document`` names one line of one count document: a later ``version`` of it, compared as text, takes the place of
    an earlier one whatever its ``as_of``, once it is accepted; with ``since``, one that says the same number again adds
    nothing. Counts without a document stand for themselves.
    """

    key: EventKey
    sku: Sku
    location: LocationId
    quantity: Quantity
    as_of: datetime
    origin: Origin
    element: str = "on_hand"
    leaf: Leaf = WHOLE
    version: str = ""
    document: str = ""
    since: datetime | None = None


class DemandEffect(StrEnum):
    """What an order document says of an order line."""

    ORDERED = "ordered"
    CANCELLED = "cancelled"
    FULFILLED = "fulfilled"
    UNFULFILLED = "unfulfilled"
    RETURNED = "returned"


@dataclass(frozen=True, slots=True)
class Demand:
    """State, not a delta: what one document says of one order line at a source version.

    ``ordered`` carries the whole ordered quantity of the line at ``version``: an older version is ignored. The others
    carry the units of one document, so that the same refund saved four times counts once: ``cancelled`` of a
    cancellation, or of a refund of units not yet shipped; ``fulfilled`` of a fulfilment, and ``unfulfilled`` of the
    same fulfilment called off; ``returned`` of a refund whose units the sender says are back.

    Attributes
    ----------
    is_assumed
        Whether the location is ours to choose: the document names none.
    fetched_at
        When we began to fetch the document ourselves; None where it was sent to us.
    opposite
        The event by which the same fulfilment is called off, or of a call-off, the one that it calls off.
    """

    key: EventKey
    sku: Sku
    channel: ChannelId
    order: str
    line: str
    effect: DemandEffect
    quantity: Quantity
    occurred_at: datetime
    origin: Origin
    location: LocationId | None = None
    document: str = ""
    version: str = ""
    is_assumed: bool = False
    fetched_at: datetime | None = None
    opposite: EventKey | None = None


Event = Movement | Count | Demand


def event_source(key: EventKey) -> SourceId:
    """Return the source that an event key begins with."""
    return SourceId(key.partition("/")[0])


def instant(value: datetime) -> str:
    """Write an aware instant the one way the ledger stores it: UTC, microseconds, sortable as text.

    Raises
    ------
    ValueError
        When ``value`` has no time zone; a naive time is never guessed.
    """
    if value.tzinfo is None:
        raise ValueError(f"{value.isoformat()} has no time zone")
    return value.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def parse_instant(text: str) -> datetime:
    """Read what ``instant`` wrote."""
    return datetime.fromisoformat(text)


def effect_hash(event: Event) -> str:
    """Return a short digest of what ``event`` would do: codes, quantities and times, nothing of its transport."""
    match event:
        case Movement():
            legs = sorted(f"{leg.location}|{leg.leaf}|{leg.counter}|{leg.quantity}" for leg in event.legs)
            parts = ["movement", event.sku, event.kind, instant(event.occurred_at), *legs]
            parts.extend(event.order_line or ())
        case Count():
            parts = [
                "count",
                event.sku,
                event.location,
                str(event.leaf),
                event.element,
                str(event.quantity),
                instant(event.since or event.as_of),
            ]
        case Demand():
            parts = [
                "demand",
                event.sku,
                event.order,
                event.line,
                event.effect,
                str(event.quantity),
                event.document,
                event.version,
                event.location or "",
            ]
    return hashlib.blake2b("\x1f".join(parts).encode(), digest_size=12).hexdigest()

"""What people enter by hand: one adjustment or one count, with who says so and why.

There is no sender outside: the API writes the entry into the inbox as a message of the source ``manual`` (see
``operations/manual_desk.py``), so that it is kept, replayed and undone like any other. Its event key is made from the
message's own id, which is made from who entered it and the Idempotency-Key: ``manual/{message}/{adjustment|count}``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime

from shared.domain.events import Count, Leg, Movement, MovementKind, Origin, parse_instant
from shared.domain.messages import Message
from shared.domain.network import Source
from shared.domain.stock import WHOLE, Counter, EventKey, Leaf, LocationId, Sku
from shared.domain.units import Measure
from shared.sources.contract import Fault, Report
from shared.sources.reading import event_key

ADJUSTMENT, COUNT = "adjustment", "count"


@dataclass(frozen=True, slots=True)
class ManualEntry:
    """One entry as it is kept.

    Attributes
    ----------
    what
        ``adjustment``: ``quantity`` is a signed change; ``count``: it is what is there.
    at
        When it happened or was counted, ISO 8601 with a time zone; empty: when it was entered.
    unit
        The unit of ``quantity``; empty: the base unit.
    """

    what: str
    sku: str
    location: str
    quantity: int
    actor: str
    reason: str
    counter: str = Counter.ON_HAND
    bin: str = WHOLE.bin
    lot: str = WHOLE.lot
    unit: str = ""
    at: str = ""

    def written(self) -> bytes:
        """Return the body of the message that keeps the entry; the same entry gives the same bytes."""
        return json.dumps(asdict(self), sort_keys=True, ensure_ascii=False).encode()


class Manual:
    """Reads what ``ManualEntry.written`` wrote."""

    def translate(self, message: Message, source: Source) -> Iterable[Report | Fault]:
        """Say what was entered: one movement or one count."""
        entry = ManualEntry(**json.loads(message.body))
        return [Report(_event(entry, message, source), measure=Measure(entry.unit) if entry.unit else None)]


def manual_key(message: Message) -> EventKey:
    """Return the key of the one event of a manual entry."""
    return event_key(message.source, message.id, ManualEntry(**json.loads(message.body)).what)


def _event(entry: ManualEntry, message: Message, source: Source) -> Movement | Count:
    refs = (("actor", entry.actor), ("reason", entry.reason))
    origin, key = Origin(source.id, message.id, refs), manual_key(message)
    sku, location, leaf = Sku(entry.sku), LocationId(entry.location), Leaf(entry.bin, entry.lot)
    at: datetime = parse_instant(entry.at) if entry.at else message.received_at
    if entry.what == COUNT:
        return Count(key, sku, location, entry.quantity, at, origin, element=entry.counter, leaf=leaf)
    leg = Leg(location, entry.quantity, Counter(entry.counter), leaf)
    return Movement(key, sku, MovementKind.ADJUSTMENT, (leg,), at, origin)


CONNECTOR = Manual()

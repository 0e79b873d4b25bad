"""Movements that name a transfer which they are none of: posted as their source says, and a case, for no document has them.

A source's word is posted as it comes (see ``transfer_lines.py``). Where the transfer that it names is not there, is of
other items or goes elsewhere, no transfer would ever say what became of the units: they would be in transit for good, or
fewer than none would be, and nobody would hear of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from shared.domain.cases import Case, CaseKind, case_id
from shared.domain.events import Event, Movement
from shared.domain.messages import Message
from shared.domain.stock import EventKey, Quantity
from shared.domain.transfer import effect_of, misfit, transfer_of
from shared.operations.footprint import undo_key
from shared.store.layout import event_key
from shared.store.table import Table
from shared.store.transfers import Transfers


@dataclass(frozen=True, slots=True)
class Misnamed:
    """A movement, the transfer that it names, and why it is none of it."""

    event: Movement
    transfer: str
    why: str

    @property
    def units(self) -> Quantity:
        """The units that it says left, arrived or are lost."""
        _, units = effect_of(self.event) or ("", 0)
        return abs(units)


def find_misnamed(table: Table, events: Iterable[Event]) -> list[Misnamed]:
    """Return those of some posted events that name a transfer which they are none of, and that nobody has undone."""
    named = [
        (event, name) for event in events if (name := transfer_of(event)) and isinstance(event, Movement)
    ]
    transfers = Transfers(table).find(name for _, name in named) if named else {}
    found: list[Misnamed] = []
    for event, name in named:
        transfer = transfers.get(name)
        why = "there is no such transfer" if transfer is None else misfit(transfer, event)
        if why is not None and not is_undone(table, event.key):
            found.append(Misnamed(event, name, why))
    return found


def is_undone(table: Table, event: EventKey) -> bool:
    """Whether somebody has undone a movement."""
    return table.get(event_key(undo_key(event))) is not None


def misnamed_case(found: list[Misnamed], message: Message, now: datetime) -> Case:
    """Return the case of a message whose movements name transfers wrongly; it closes when the message is undone."""
    first = found[0]
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    event, (effect, _) = first.event, effect_of(first.event) or ("moved", 0)
    return Case(
        case_id(CaseKind.TRANSFER_MISNAMED, message.source, message.id),
        CaseKind.TRANSFER_MISNAMED,
        f"{event.key} says that {first.units} of {event.sku} are {effect} of transfer {first.transfer!r}: {first.why}{more}",
        f"they are posted, and no transfer has them: undo the message (onecount undo {message.id}) and have "
        f"{message.source} tell it under a new document with the right transfer, SKU and location, or without a transfer; "
        "ignore the case where the movement is right and belongs to none",
        now,
        now,
        {
            "source": message.source,
            "event_key": event.key,
            "transfer": first.transfer,
            "sku": event.sku,
            "location": event.legs[0].location,
            "why": first.why,
            "events": len(found),
            "units": sum(one.units for one in found),
        },
        message.id,
    )

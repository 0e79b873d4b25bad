"""Movements that name a transfer which they are none of: posted as their source says, and a case, for no document has them.

A source's word is posted as it comes (see ``transfer_lines.py``). Where the transfer that it names is not there, is of
other items or goes elsewhere, no transfer would ever say what became of the units: they would be in transit for good, or
fewer than none would be, and nobody would hear of it. One that leaves from elsewhere than the transfer's origin is in its
document, as units on the way, and just as wrong: what the origin holds for them stays there.

There is one case for each source, transfer and location, and it knows every event that it stands for. An event is told
once: sent again, it opens no case that somebody has closed::

    the event is noted with the case     untold: who is cut short here files the case when it is done again
    the case is filed
    the event is noted as told           from here on a repetition files nothing
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from shared.domain.cases import RETRIED, Case, CaseKind, CaseStatus, Fact, case_id
from shared.domain.events import Event, Movement, instant, parse_instant
from shared.domain.messages import Message
from shared.domain.stock import EventKey, LocationId, Quantity, SourceId
from shared.domain.transfer import effect_of, misfit, transfer_of, wrong_origin
from shared.operations.footprint import undo_keys
from shared.store.cases import CaseEvent, Cases
from shared.store.layout import event_key
from shared.store.table import Table
from shared.store.transfers import Transfers

MESSAGES_SHOWN = 5
"""Messages that a case names; all are parked on it."""

ALL_UNDONE = "all that it stands for was undone"


@dataclass(frozen=True, slots=True)
class Misnamed:
    """A movement, the transfer that it names, and why it is none of it; ``is_in_it``: its document has the units."""

    event: Movement
    transfer: str
    why: str
    is_in_it: bool = False

    @property
    def units(self) -> Quantity:
        """The units that it says left, arrived or are lost."""
        _, units = effect_of(self.event) or ("", 0)
        return abs(units)

    @property
    def location(self) -> LocationId:
        """Where it says that they left, arrived or are missed."""
        return self.event.legs[0].location


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
        elsewhere = None if transfer is None else wrong_origin(transfer, event)
        if why is not None or elsewhere is not None:
            found.append(Misnamed(event, name, why or elsewhere or "", is_in_it=why is None))
    undone = undone_of(table, [one.event.key for one in found])
    return [one for one in found if one.event.key not in undone]


def undone_of(table: Table, events: Iterable[EventKey]) -> set[EventKey]:
    """Return those of some posted events that somebody has undone; one of whole kits, of every component."""
    names = {event: event_key(event) for event in events}
    items = table.get_many(list(names.values())) if names else {}
    backs = {
        event: [event_key(back) for back in undo_keys(event, items[key]).values()]
        for event, key in names.items()
        if key in items
    }
    found = table.get_many([key for keys in backs.values() for key in keys]) if backs else {}
    return {event for event, keys in backs.items() if all(key in found for key in keys)}


def misnamed_case_id(source: SourceId, transfer: str, location: LocationId) -> str:
    """Name the case of what a source says at a location of a transfer that it names wrongly."""
    return case_id(CaseKind.TRANSFER_MISNAMED, source, transfer, location)


def tell_misnamed(found: Iterable[Misnamed], message: Message, cases: Cases, now: datetime) -> list[str]:
    """File the cases of movements that a message brought and that name transfers wrongly; return those that are open."""
    by_case: dict[str, list[Misnamed]] = {}
    for one in found:
        by_case.setdefault(misnamed_case_id(message.source, one.transfer, one.location), []).append(one)
    for name, those in by_case.items():
        known = cases.find(name)
        told = cases.told_of(name, [one.event.key for one in those])
        fresh = [one for one in those if one.event.key not in told]
        was_retried = known is not None and known.resolution == RETRIED
        if fresh or was_retried:
            events = [CaseEvent(one.event.key, one.units, now, is_told=False) for one in fresh]
            cases.add_events(name, events)
            cases.file(_misnamed_case(name, fresh, those[0], message, known, now))
            cases.add_events(name, [replace(event, is_told=True) for event in events])
    return sorted(cases.which_open(by_case))


def judge_misnamed(known: Case, table: Table, cases: Cases, now: datetime) -> None:
    """Close an open case when all that it stands for is undone; else bring its figures up to date.

    Of two messages that are told at once, one may have filed its figures without the other's.
    """
    since = _since(known.facts)
    units = {one.event: one.units for one in cases.events(known.id) if since is None or one.added_at > since}
    standing = units.keys() - undone_of(table, units)
    figures: dict[str, Fact] = {"events": len(standing), "units": sum(units[event] for event in standing)}
    if not standing:
        cases.close(known.id, ALL_UNDONE, now, seen=known.occurrences)
    elif any(known.facts[name] != figure for name, figure in figures.items()):
        cases.amend(known.id, figures, now)


def _misnamed_case(
    name: str, fresh: list[Misnamed], first: Misnamed, message: Message, known: Case | None, now: datetime
) -> Case:
    """Return a case with what a message adds to it; what it stood for when it was closed is not in its figures."""
    before: Mapping[str, Fact] = {}
    begun: dict[str, Fact] = {}
    if known is not None and (known.status is CaseStatus.OPEN or known.resolution == RETRIED):
        before = known.facts
        begun = {"since": before["since"]} if "since" in before else {}
    elif known is not None and known.closed_at is not None:
        begun = {"since": instant(min(known.closed_at, now - timedelta(microseconds=1)))}
    numbers = {"events": len(fresh), "units": sum(one.units for one in fresh)}
    events, units = (number + int(before.get(figure) or 0) for figure, number in numbers.items())
    listed = [one for one in str(before.get("messages") or "").split(", ") if one]
    messages = ", ".join(list(dict.fromkeys([message.id, *listed]))[:MESSAGES_SHOWN])
    event, (effect, _) = first.event, effect_of(first.event) or ("moved", 0)
    has_them = "the transfer has them all the same" if first.is_in_it else "no transfer has them"
    more = f" (and {events - 1} more)" if events > 1 else ""
    return Case(
        name,
        CaseKind.TRANSFER_MISNAMED,
        f"{event.key} says that {first.units} of {event.sku} are {effect} of transfer {first.transfer!r}: {first.why}{more}",
        f"they are posted, and {has_them}: undo each message (onecount undo {message.id}; the case lists them) and have "
        f"{message.source} tell it under a new document with the right transfer, SKU and location, or without a transfer; "
        "ignore the case where the movement is right and belongs to none",
        now,
        now,
        {
            "source": message.source,
            "event_key": event.key,
            "transfer": first.transfer,
            "sku": event.sku,
            "location": first.location,
            "why": first.why,
            "events": events,
            "units": units,
            "messages": messages,
            **begun,
        },
        message.id,
    )


def _since(facts: Mapping[str, Fact]) -> datetime | None:
    since = facts.get("since")
    return None if since is None else parse_instant(str(since))

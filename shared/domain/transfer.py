"""Transfers: one document for stock that goes from one location of ours to another, from the request to its end.

What people decide (requested, approved, closed) is written into the document. What happened is never: of each line,
``shipped``, ``received`` and ``lost`` are the sums of the movements in the ledger that name it, kept here by their
event key, in the transaction that posts them. So a movement that is told again counts once, whoever tells it, and::

    shipped = received + in transit + lost        of each line, always

where ``in transit`` is what those same movements hold in the destination's counter of that name. A source that knows
the transfer's id says its part of it in its own messages, also before the approval, after the end, or in the wrong
order: what is true is posted, and the document follows. What a person enters is judged first (``why_not``).

The document is bounded, however much is told of it: the oldest movements are added up, by line and effect, where all of
them would take more than ``MOVES_SIZE``. The ledger has each, and knows one that is told again.

A transfer that was closed is over while nothing is in transit. What a message brings after that can be received, or the
transfer closed once more: it holds nothing, and nothing is shipped by hand any more.

============  =================================================================================================
status        says
============  =================================================================================================
requested     somebody wants it; nothing is held
approved      the origin's stock is held for it; nothing has left
in_transit    units have left; none has arrived (or it is closed, and units that were written off turn out not to have left)
receiving     some have arrived; some are on the way, or still to be shipped
received      all that was asked for has left and arrived, or was written off before the rest left
cancelled     closed before anything left
closed        closed with fewer units than were asked for, none of them lost
closed_short  closed, and what never arrived is written off as lost
============  =================================================================================================
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from shared.domain.events import Movement, MovementKind, instant
from shared.domain.stock import Counter, EventKey, LocationId, Quantity, Sku

PREFIX = "transfer/"
"""How the name of a transfer's order begins."""

OUT_OF_ORDER = timedelta(hours=1)
"""How long what arrived may be known before what left: messages of two systems overtake each other."""

MOVES_SIZE = 60_000
"""Bytes that movements take in a document, before the older of them are added up; an item of the table holds 400 KB."""


class Effect(StrEnum):
    """What a movement is to a transfer."""

    SHIPPED = "shipped"
    RECEIVED = "received"
    LOST = "lost"


class TransferStatus(StrEnum):
    """Where a transfer stands; see the module."""

    REQUESTED = "requested"
    APPROVED = "approved"
    IN_TRANSIT = "in_transit"
    RECEIVING = "receiving"
    RECEIVED = "received"
    CANCELLED = "cancelled"
    CLOSED = "closed"
    CLOSED_SHORT = "closed_short"


OVER = frozenset(
    {
        TransferStatus.RECEIVED,
        TransferStatus.CANCELLED,
        TransferStatus.CLOSED,
        TransferStatus.CLOSED_SHORT,
    }
)
"""Where nothing is left to be done."""


@dataclass(frozen=True, slots=True)
class TransferLine:
    """So many base units of one SKU; a transfer names each SKU once."""

    sku: Sku
    quantity: Quantity


@dataclass(frozen=True, slots=True)
class Word:
    """What somebody decided: who, when, and why where that was said."""

    by: str
    at: datetime
    why: str = ""


@dataclass(frozen=True, slots=True)
class Moved:
    """What one movement in the ledger did to a line; fewer than 0 units take back what another did.

    ``until`` is when the last was, where it stands for several that were added up.
    """

    sku: Sku
    effect: Effect
    units: Quantity
    at: datetime
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Figures:
    """What has become of a line's units."""

    requested: Quantity
    shipped: Quantity
    received: Quantity
    lost: Quantity

    @property
    def in_transit(self) -> Quantity:
        """Units that left and have not been heard of since; fewer than 0 where more arrived than are said to have left."""
        return self.shipped - self.received - self.lost

    @property
    def unshipped(self) -> Quantity:
        """Units that are still to leave."""
        return max(0, self.requested - self.shipped)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a person's movement cannot be meant, and what to do."""

    field: str
    reason: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Transfer:
    """One transfer.

    Attributes
    ----------
    moves
        What movements in the ledger did, by event key; the oldest of many added up by line and effect.
    calls
        Idempotency key (as a digest) to what it was used for, and what that meant.
    lead_time
        How long the way takes, where that is known: from the first shipment on, it is overdue after that.
    closings
        How often it was closed: once more where units were in transit after the end.
    written_off
        What is still to be written off of each SKU since it was closed last; fewer than 0 where more arrived than left.
    revision
        Counts the writes; a change is valid only while it stays.
    """

    id: str
    origin: LocationId
    destination: LocationId
    lines: tuple[TransferLine, ...]
    requested: Word
    approved: Word | None = None
    closed: Word | None = None
    lead_time: timedelta | None = None
    closings: int = 0
    written_off: Mapping[Sku, Quantity] = field(default_factory=dict)
    moves: Mapping[EventKey, Moved] = field(default_factory=dict)
    calls: Mapping[str, str] = field(default_factory=dict)
    revision: int = 0

    @property
    def order(self) -> str:
        """The order by which it holds stock at its origin."""
        return order_name(self.id)

    def figures(self, sku: str | None = None) -> Figures:
        """Return what has become of the units of a line, or of all lines together."""
        moved = {
            effect: sum(
                one.units for one in self.moves.values() if one.effect is effect and sku in (None, one.sku)
            )
            for effect in Effect
        }
        wanted = sum(one.quantity for one in self.lines if sku in (None, one.sku))
        return Figures(wanted, moved[Effect.SHIPPED], moved[Effect.RECEIVED], moved[Effect.LOST])

    @property
    def status(self) -> TransferStatus:
        """Where it stands, by what was decided and what moved."""
        all_lines = [self.figures(line.sku) for line in self.lines]
        is_on_the_way = any(one.in_transit for one in all_lines)
        if self.closed is not None and not is_on_the_way:
            if any(one.lost > 0 for one in all_lines):
                return TransferStatus.CLOSED_SHORT
            has_moved = any(one.shipped or one.received for one in all_lines)
            return TransferStatus.CLOSED if has_moved else TransferStatus.CANCELLED
        if any(one.received for one in all_lines):
            is_done = not is_on_the_way and not any(one.unshipped for one in all_lines)
            return TransferStatus.RECEIVED if is_done else TransferStatus.RECEIVING
        if any(one.shipped for one in all_lines) or self.closed is not None:
            return TransferStatus.IN_TRANSIT
        return TransferStatus.REQUESTED if self.approved is None else TransferStatus.APPROVED

    @property
    def shipped_at(self) -> datetime | None:
        """When the first units left."""
        return min((one.at for one in self.moves.values() if one.effect is Effect.SHIPPED), default=None)

    @property
    def due_at(self) -> datetime | None:
        """When what is on the way should have arrived; None where nothing is, or nobody said how long it takes.

        What is closed should have ended there and then.
        """
        if not any(self.figures(line.sku).in_transit > 0 for line in self.lines):
            return None
        if self.closed is not None:
            return self.closed.at
        shipped_at = self.shipped_at
        return None if shipped_at is None or self.lead_time is None else shipped_at + self.lead_time

    @property
    def unexplained_at(self) -> datetime | None:
        """When it has been long enough that more arrived than is said to have left; None where that is not so."""
        if not any(self.figures(line.sku).in_transit < 0 for line in self.lines):
            return None
        received = [one.at for one in self.moves.values() if one.effect is not Effect.SHIPPED]
        return max(received, default=self.requested.at) + OUT_OF_ORDER

    def line(self, sku: str) -> TransferLine | None:
        """Return the line of a SKU."""
        return next((line for line in self.lines if line.sku == sku), None)


def order_name(transfer: str) -> str:
    """Name the order by which a transfer holds stock, and by which movements say that they are of it."""
    return PREFIX + transfer


def transfer_of(event: object) -> str | None:
    """Return the id of the transfer that an event moves units of."""
    if not isinstance(event, Movement) or event.order_line is None or effect_of(event) is None:
        return None
    order, _ = event.order_line
    return order.removeprefix(PREFIX) if order.startswith(PREFIX) else None


def effect_of(event: Movement) -> tuple[Effect, Quantity] | None:
    """Say what a movement is to the transfer that it names: what left, what arrived, or what never will."""
    sent = sum(leg.quantity for leg in event.legs if leg.counter is Counter.IN_TRANSIT)
    match event.kind:
        case MovementKind.TRANSFER_SHIP:
            return Effect.SHIPPED, sent
        case MovementKind.TRANSFER_RECEIVE:
            return Effect.RECEIVED, -sent
        case MovementKind.ADJUSTMENT if sent:
            return Effect.LOST, -sent
    return None


def add_movement(transfer: Transfer, event: Movement) -> Transfer:
    """Add what a movement did; one that is in it already changes nothing, nor does one that does not fit (``misfit``)."""
    effect = effect_of(event)
    if effect is None or event.key in transfer.moves or misfit(transfer, event) is not None:
        return transfer
    moved = Moved(event.sku, *effect, event.occurred_at)
    return replace(
        transfer,
        moves=_bounded(transfer, {**transfer.moves, event.key: moved}),
        written_off=_still_to_write_off(transfer.written_off, moved),
    )


def misfit(transfer: Transfer, event: Movement) -> str | None:
    """Say why a movement that names a transfer is none of it: another item, or another destination; None where it is."""
    if transfer.line(event.sku) is None:
        return f"it is of {', '.join(line.sku for line in transfer.lines)}, not of {event.sku}"
    on_the_way = {leg.location for leg in event.legs if leg.counter is Counter.IN_TRANSIT}
    if on_the_way != {transfer.destination}:
        return f"it goes to {transfer.destination}, not to {', '.join(sorted(on_the_way))}"
    return None


def wrong_origin(transfer: Transfer, event: Movement) -> str | None:
    """Say that units of a transfer left elsewhere than at its origin; they are on the way all the same."""
    left = {leg.location for leg in event.legs if leg.counter is Counter.ON_HAND}
    if event.kind is MovementKind.TRANSFER_SHIP and left - {transfer.origin}:
        return f"it leaves {transfer.origin}, not {', '.join(sorted(left))}"
    return None


def _bounded(transfer: Transfer, moves: dict[EventKey, Moved]) -> dict[EventKey, Moved]:
    """Return movements, the older of them added up where they take too much room: from half of it on."""
    if sum(map(_size, moves.items())) <= MOVES_SIZE:
        return moves
    sums_of: dict[EventKey, Moved] = {}
    kept: dict[EventKey, Moved] = {}
    room = MOVES_SIZE // 2
    numbers = {line.sku: number for number, line in enumerate(transfer.lines, start=1)}
    for key, moved in sorted(moves.items(), key=lambda entry: (entry[1].at, entry[0]), reverse=True):
        earlier = EventKey(f"onecount/transfer/{transfer.id}/{numbers[moved.sku]}/{moved.effect}/earlier")
        room -= _size((key, moved)) if key != earlier else 0
        if key != earlier and room >= 0:
            kept[key] = moved
        else:
            known = sums_of.get(earlier)
            sums_of[earlier] = moved if known is None else _added(known, moved)
    return sums_of | kept


def _added(one: Moved, other: Moved) -> Moved:
    """Add up two movements: since when the first left counts, and until when the last arrived."""
    at = (min if one.effect is Effect.SHIPPED else max)(one.at, other.at)
    until = max(one.until or one.at, other.until or other.at)
    return replace(one, units=one.units + other.units, at=at, until=until)


def _size(entry: tuple[EventKey, Moved]) -> int:
    key, moved = entry
    return 60 + len(key.encode()) + len(moved.sku.encode())


def _still_to_write_off(written_off: Mapping[Sku, Quantity], moved: Moved) -> dict[Sku, Quantity]:
    """Return what is left to be written off: less by what arrives, or is written off, and never more."""
    left = dict(written_off)
    most = left.pop(moved.sku, 0)
    after = most + (moved.units if moved.effect is Effect.SHIPPED else -moved.units)
    still = min(most, max(0, after)) if most > 0 else max(most, min(0, after))
    return {**left, moved.sku: still} if still else left


def why_not(
    transfer: Transfer, effect: Effect, units: Mapping[Sku, Quantity], at: datetime | None = None
) -> Refusal | None:
    """Say why a person cannot mean that so many units of some SKUs left, arrived or are lost; None where they can.

    Where the person names the instant at which they arrived, so many must have been in transit from then until now.
    Only what a person says is held to that: the clocks of two systems may be apart.
    """
    if (refusal := _wrong_time(transfer, effect)) is not None:
        return refusal
    for name, wanted in units.items():
        if transfer.line(name) is None:
            known = ", ".join(line.sku for line in transfer.lines)
            return Refusal("lines", f"{name!r} is not in it", f"use one of: {known}")
        figures = transfer.figures(name)
        if effect is Effect.SHIPPED and wanted > figures.unshipped:
            return Refusal(
                "lines",
                f"{name}: {figures.requested} were asked for and {figures.shipped} have left, so no {wanted} can",
                f"ship {figures.unshipped} or fewer, and request another transfer for more",
            )
        if effect is Effect.LOST and wanted < min(0, figures.in_transit):
            return Refusal(
                "lines",
                f"{name}: {max(0, -figures.in_transit)} arrived that nobody said had left, not {-wanted}",
                f"accept {max(0, -figures.in_transit)} or fewer",
            )
        if effect is not Effect.SHIPPED and wanted > figures.in_transit:
            return Refusal(
                "lines",
                f"{name}: {figures.in_transit} are in transit ({figures.shipped} left, {figures.received} arrived, "
                f"{figures.lost} lost), so no {wanted} can arrive",
                f"receive {max(0, figures.in_transit)} or fewer; enter what came beyond that as an adjustment, with its "
                "reason",
            )
    return _why_not_then(transfer, units, at) if at is not None and effect is Effect.RECEIVED else None


def _why_not_then(transfer: Transfer, units: Mapping[Sku, Quantity], at: datetime) -> Refusal | None:
    for name, wanted in units.items():
        of_it = sorted((one for one in transfer.moves.values() if one.sku == name), key=lambda one: one.at)
        added_up = max((one.until for one in of_it if one.until is not None), default=at)
        if added_up > at:
            return Refusal(
                "at",
                f"{name}: its movements until {instant(added_up)} are kept added up, which does not say how many were in "
                f"transit at {instant(at)}",
                "give a later instant, or leave it out for now",
            )
        then, least, when = _in_transit_since(of_it, at)
        if wanted > then:
            left = sorted({one.at for one in of_it if one.effect is Effect.SHIPPED})
            had_left = sum(one.units for one in of_it if one.effect is Effect.SHIPPED and one.at <= at)
            return Refusal(
                "at",
                f"{name}: {then} were in transit at {instant(at)} ({had_left} had left by then, units left at "
                f"{', '.join(map(instant, left[-_LEFT_SHOWN:]))}), so no {wanted} can have arrived",
                "give an instant after they left; leave it out for now",
            )
        if wanted > least:
            return Refusal(
                "at",
                f"{name}: {then} were in transit at {instant(at)}, and {least} of them at {instant(when)}, for others have "
                f"arrived or are lost since; so no {wanted} can have arrived before that",
                f"receive {max(0, least)} or fewer at that instant, or give a later one; leave it out for now",
            )
    return None


def _in_transit_since(of_it: Iterable[Moved], at: datetime) -> tuple[Quantity, Quantity, datetime]:
    """Return what was in transit at an instant, the fewest that were from then on, and when; movements come in time."""
    running, by_instant = 0, dict[datetime, Quantity]()
    for one in of_it:
        running += one.units if one.effect is Effect.SHIPPED else -one.units
        by_instant[max(at, one.at)] = running
    then = by_instant.setdefault(at, 0)
    when = min(by_instant, key=lambda moment: (by_instant[moment], moment))
    return then, by_instant[when], when


_LEFT_SHOWN = 3
"""Instants at which units left that a refusal names, the newest."""


def _wrong_time(transfer: Transfer, effect: Effect) -> Refusal | None:
    is_on_the_way = any(transfer.figures(line.sku).in_transit > 0 for line in transfer.lines)
    if effect is Effect.LOST or (effect is Effect.RECEIVED and is_on_the_way):
        return None
    if transfer.closed is not None:
        return Refusal(
            "transfer",
            f"it is closed since {transfer.closed.at.isoformat(timespec='seconds')}, by {transfer.closed.by}",
            "request another transfer, or enter what turned up as an adjustment, with its reason",
        )
    if effect is Effect.SHIPPED and transfer.approved is None:
        return Refusal("transfer", "it is not approved yet", "have an approver approve it first")
    return None


def sums(parts: Iterable[tuple[Sku, Quantity]]) -> dict[Sku, Quantity]:
    """Add up units by SKU."""
    found: dict[Sku, Quantity] = {}
    for sku, units in parts:
        found[sku] = found.get(sku, 0) + units
    return found

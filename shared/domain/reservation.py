"""Order lines: how many units of which stock key an order line still holds back from being promised.

An order line is state that documents add to, never a counter that deltas are applied to::

    open = max(0, ordered - cancelled - shipped)

``ordered`` follows the source's newest version. Cancellations, fulfilments and returns are kept by their own
document, shipments by the authority's event key, so that a document seen again counts once, whoever repeats it.
Whichever document comes first creates the line, so that a shipment before its order is no accident. Only the
location's movement authority ships: a storefront's ``fulfilled`` is its claim, remembered but freeing nothing, and
its ``returned`` puts nothing back.

**One document, two contents.** Two statements of one order in the same second carry the same version. None is
refused: of the two the one that we fetched ourselves stands (the later fetch), else the later instant, else the
larger quantity, so every order of arrival ends alike; until a fetch or a newer version decides, the line is
``disputed``.

**Where it lies.** At the location that its newest version names; where none names one, at the ``shares`` that
sourcing gave it, else at home. An order that moves takes what it holds along. Units shipped elsewhere are not owed
here any more.

What the line held at an instant, and where, is the same rule over the documents of that time, so it depends neither on
the order in which they reached us nor on that of the maps that keep them: a stored map has none.

A reservation made through our API is an order line of its own: ordered at once, cancelled when released.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import groupby
from operator import itemgetter

from shared.domain.events import Demand, DemandEffect, instant
from shared.domain.items import Component
from shared.domain.stock import ChannelId, EventKey, LocationId, MessageId, Quantity, StockKey
from shared.domain.transfer import PREFIX


@dataclass(frozen=True, slots=True, order=True)
class Stated:
    """What one document says of a line: ``quantity`` units, from ``at`` on.

    Attributes
    ----------
    location
        The location that the document names, or where the authority shipped; empty where it names none.
    fetched
        When we fetched it ourselves, as ``instant`` writes it; empty where it was sent to us.
    after
        Of a claim made through our API, the units that the authority had shipped before, of which it does not speak.
    """

    at: datetime
    event_key: EventKey
    quantity: Quantity
    location: str = ""
    fetched: str = ""
    after: Quantity = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Held:
    """One change of what a line holds at a location: ``quantity`` more (fewer, if negative) from ``at`` on."""

    at: datetime
    quantity: Quantity
    event_key: EventKey
    location: LocationId


@dataclass(frozen=True, slots=True)
class Claimed:
    """Units that somebody without authority says were shipped, and of which the authority has said nothing."""

    units: Quantity
    since: datetime
    location: LocationId


@dataclass(frozen=True, slots=True)
class Brought:
    """Which message brought an event, and when it was posted; None until it is."""

    message: MessageId
    posted_at: datetime | None = None


Documents = Mapping[str, Stated]


@dataclass(frozen=True, slots=True)
class OrderLine:
    """One line of one order.

    Attributes
    ----------
    stock_key
        Its SKU, and its home: where it lies while no version names a location.
    revision
        Counts the writes of this line; a change is valid only while it stays.
    versions
        What was ordered, by source version: the newest stands.
    cancellations, fulfilments, unfulfilled, returns
        By document.
    shipments
        By the authority's event.
    shares
        The locations that sourcing chose, with the units that each serves; empty: all from home.
    dedicated
        Units that it took of what is set aside for its channel.
    applied
        Event key to effect hash of the demand events that are in this line; of several, joined by ``|``.
    history
        Every change of what it holds with its instant; their sum is ``open``.
    kit, kit_from
        The components of its item where that is a kit, and from when the terms hold that say so: such a line holds
        nothing itself, the lines of its components do (see ``kits.py``).
    part_of
        The line whose kit it is a component of; empty for a line of the order itself.
    brought
        Event key to where it came from, for the trace alone.
    """

    order: str
    line: str
    stock_key: StockKey
    channel: ChannelId | None = None
    revision: int = 0
    versions: Documents = field(default_factory=dict)
    cancellations: Documents = field(default_factory=dict)
    fulfilments: Documents = field(default_factory=dict)
    shipments: Documents = field(default_factory=dict)
    applied: Mapping[EventKey, str] = field(default_factory=dict)
    history: tuple[Held, ...] = ()
    unfulfilled: Documents = field(default_factory=dict)
    returns: Documents = field(default_factory=dict)
    shares: tuple[tuple[LocationId, Quantity], ...] = ()
    dedicated: Quantity = 0
    kit: tuple[Component, ...] = ()
    kit_from: datetime | None = None
    part_of: str = ""
    brought: Mapping[EventKey, Brought] = field(default_factory=dict)

    @property
    def is_of_a_transfer(self) -> bool:
        """Whether it holds units for a transfer of our own: nobody has bought them."""
        return self.order.startswith(PREFIX)

    @property
    def ordered(self) -> Quantity:
        """Units ordered, by the newest version."""
        return self.versions[max(self.versions)].quantity if self.versions else 0

    @property
    def ordered_at(self) -> datetime | None:
        """When it was first ordered, as far as we have heard."""
        return min((said.at for said in self.versions.values()), default=None)

    @property
    def shipped(self) -> Quantity:
        """Units that the authority shipped."""
        return _units(self.shipments.values())

    @property
    def open(self) -> Quantity:
        """Units that the line holds back now, wherever; none where the lines of a kit's components do."""
        return 0 if self.kit else max(0, self.taken - self.shipped)

    @property
    def taken(self) -> Quantity:
        """Units that the order takes from stock in all: ordered and not cancelled."""
        return max(0, self.ordered - _units(self.cancellations.values()))

    @property
    def kept(self) -> Quantity:
        """Units that the order's channel has taken off its own number: those taken, less those that it put back."""
        return self.taken - _units(self.returns.values())

    @property
    def releasable(self) -> Quantity:
        """Units that can be promised to somebody else: those held back, but for those that are said to have left."""
        return max(0, self.open - self._said_to_have_left)

    @property
    def given_back(self) -> Quantity:
        """Units that go back to what is set aside for its channel when all that can be is released."""
        return min(self.releasable, max(0, self.dedicated - self.shipped - self._said_to_have_left))

    @property
    def _said_to_have_left(self) -> Quantity:
        claimed = self.claimed
        return 0 if claimed is None else claimed.units

    @property
    def place(self) -> StockKey:
        """Where the line lies now, or the most of it."""
        return StockKey(self.stock_key.sku, self._named() or self._given())

    @property
    def holds(self) -> dict[LocationId, Quantity]:
        """Units held back at each location; together they are ``open``."""
        named = self._named()
        if named is not None or not self.shares:
            return {named or self._given(): self.open} if self.open else {}
        served = dict.fromkeys(dict(self.shares), 0)
        for shipment in self.shipments.values():
            if shipment.location in served:
                served[LocationId(shipment.location)] += shipment.quantity
        return _fitted(_left(self.shares, served), self._given(), self.open)

    @property
    def places(self) -> set[LocationId]:
        """Every location where the line holds units or ever has."""
        return {self.place.location, *(held.location for held in self.history)}

    @property
    def claimed(self) -> Claimed | None:
        """What somebody says has left beyond what the authority has shipped; None where nothing.

        A storefront repeats what the authority shipped; what is claimed through our API comes on top of that, and was
        open then.
        """
        shipped = self._shipped_by_authority
        said_in_all, since, place = 0, None, ""
        for name, said in sorted(self.fulfilments.items(), key=lambda entry: entry[1]):
            called_off = self.unfulfilled.get(name)
            units = max(0, said.quantity - (0 if called_off is None else called_off.quantity))
            said_in_all = max(said_in_all, min(said.after, shipped)) + units
            if units and said_in_all > shipped:
                since, place = since or said.at, place or said.location
        if any(said.after for said in self.fulfilments.values()):
            said_in_all = min(said_in_all, self.taken)
        waiting = said_in_all - shipped
        if since is None or waiting <= 0 or self.kit:
            return None
        return Claimed(waiting, since, LocationId(place) if place else self.place.location)

    @property
    def _shipped_by_authority(self) -> Quantity:
        """Units that left by other words than those of our API, which moved stock while nobody was the authority."""
        ours = f"onecount/{self.order}/"
        return _units(said for name, said in self.shipments.items() if not name.startswith(ours))

    @property
    def disputed(self) -> tuple[str, ...]:
        """Documents of which two contents are known and neither was fetched: which is right is not known."""
        newest = {max(self.versions): self.versions[max(self.versions)]} if self.versions else {}
        kinds = (newest, self.cancellations, self.fulfilments, self.unfulfilled, self.returns)
        return tuple(
            sorted(
                said.event_key
                for kind in kinds
                for said in kind.values()
                if not said.fetched and "|" in self.applied.get(said.event_key, "")
            )
        )

    def _named(self) -> LocationId | None:
        named = [version for version, said in self.versions.items() if said.location]
        return LocationId(self.versions[max(named)].location) if named else None

    def _given(self) -> LocationId:
        return self.shares[0][0] if self.shares else self.stock_key.location


def knows(line: OrderLine, demand: Demand, effect: str) -> bool:
    """Whether a document is in the line already, and would add nothing to it: its code may stand for another item now."""
    if effect not in line.applied.get(demand.key, "").split("|") or _names_another_item(line, demand):
        return False
    documents, name = _kind(line, demand.effect), _name(demand)
    return _with(documents, name, _stated(demand))[name] == documents[name]


def merge_demand(line: OrderLine, demand: Demand, effect: str) -> OrderLine:
    """Add one document to a line; see ``add_demand``."""
    return with_history(add_demand(line, demand, effect))


def add_demand(line: OrderLine, demand: Demand, effect: str, *, is_entered: bool = False) -> OrderLine:
    """Add one of several documents to a line, whose history is worked out when all are in it. An older version than the newest changes the past, not what is open.

    What ``is_entered`` through our API is said of what is open, and not of what has been shipped by then.

    A line's home is where its first order or cancellation that names no location says; a shipment or a claim that
    came before it, perhaps from elsewhere, only guessed that. Its item is the newest version's: until it is ordered, what
    the first document says.
    """
    if demand.location is not None and _says_home(line, demand):
        sku = line.stock_key.sku if line.versions or line.cancellations else demand.sku
        line = replace(line, stock_key=StockKey(sku, demand.location))
    said = replace(_stated(demand), after=line._shipped_by_authority if is_entered else 0)
    documents = _with(_kind(line, demand.effect), _name(demand), said)
    known = line.applied.get(demand.key, "")
    effects = sorted({*known.split("|"), effect} - {""})
    line = replace(
        line,
        applied={**line.applied, demand.key: "|".join(effects)},
        channel=demand.channel if line.channel is None else line.channel,
        brought={demand.key: Brought(demand.origin.message_id), **line.brought},
    )
    match demand.effect:
        case DemandEffect.ORDERED:
            line = replace(line, versions=documents)
            if documents[demand.version] == said and _names_another_item(line, demand):
                line = replace(line, stock_key=StockKey(demand.sku, line.stock_key.location), kit=())
        case DemandEffect.CANCELLED:
            line = replace(line, cancellations=documents)
        case DemandEffect.FULFILLED:
            line = replace(line, fulfilments=documents)
        case DemandEffect.UNFULFILLED:
            line = replace(line, unfulfilled=documents)
        case DemandEffect.RETURNED:
            line = replace(line, returns=documents)
    return line


def _names_another_item(line: OrderLine, demand: Demand) -> bool:
    """Whether a document is the line's newest version, and not of the line's item."""
    is_version = demand.effect is DemandEffect.ORDERED
    return is_version and demand.version == max(line.versions) and demand.sku != line.stock_key.sku


def ship(line: OrderLine, quantity: Quantity, at: datetime, key: EventKey, location: str = "") -> OrderLine:
    """Record units that the movement authority shipped for this line; fewer than 0 were taken back."""
    return with_history(add_shipment(line, quantity, at, key, location))


def add_shipment(
    line: OrderLine, quantity: Quantity, at: datetime, key: EventKey, location: str = ""
) -> OrderLine:
    """Record one of several shipments, see ``ship``; the history is worked out when all are in the line."""
    return replace(line, shipments=_with(line.shipments, key, Stated(at, key, quantity, location)))


def source(line: OrderLine, shares: Iterable[tuple[LocationId, Quantity]]) -> OrderLine:
    """Give a line the locations that serve it."""
    return with_history(replace(line, shares=tuple(shares)))


def with_history(line: OrderLine) -> OrderLine:
    """Work out anew what the line held at each instant, and where: its ``holds`` over the documents of that time."""
    history: list[Held] = []
    held: dict[LocationId, Quantity] = {}
    running = _Running(line)
    kinds = (
        (line.versions, running.order),
        (line.cancellations, running.cancel),
        (line.shipments, running.ship),
    )
    documents = [(said, add, name) for kind, add in kinds for name, said in kind.items()]
    documents.sort(key=itemgetter(0))
    for moment, at_once in groupby(documents, key=itemgetter(0)):
        for _, add, name in at_once:
            add(name)
        then = running.holds
        for place in sorted({*held, *then}):
            change = then.get(place, 0) - held.get(place, 0)
            if change:
                history.append(Held(moment.at, change, moment.event_key, place))
        held = then
    return replace(line, history=tuple(history))


class _Running:
    """What a line holds as its documents are added in time: kept as sums, so that each costs the same.

    ``holds`` is ``OrderLine.holds`` of the line with the documents that were added.
    """

    def __init__(self, line: OrderLine) -> None:
        self._line = line
        self._version: str | None = None
        self._named: str | None = None
        self._cancelled = self._shipped = 0
        self._given = line.shares[0][0] if line.shares else line.stock_key.location
        self._served = dict.fromkeys(dict(line.shares), 0)

    def order(self, name: str) -> None:
        """Add a version."""
        if self._version is None or name > self._version:
            self._version = name
        if self._line.versions[name].location and (self._named is None or name > self._named):
            self._named = name

    def cancel(self, name: str) -> None:
        """Add a cancellation."""
        self._cancelled += self._line.cancellations[name].quantity

    def ship(self, name: str) -> None:
        """Add a shipment."""
        said = self._line.shipments[name]
        self._shipped += said.quantity
        if said.location in self._served:
            self._served[LocationId(said.location)] += said.quantity

    @property
    def holds(self) -> dict[LocationId, Quantity]:
        """Units held back at each location now."""
        line = self._line
        ordered = 0 if self._version is None else line.versions[self._version].quantity
        still = 0 if line.kit else max(0, max(0, ordered - self._cancelled) - self._shipped)
        if self._named is None and line.shares:
            return _fitted(_left(line.shares, self._served), self._given, still)
        place = self._given if self._named is None else LocationId(line.versions[self._named].location)
        return {place: still} if still else {}


def _left(
    shares: Iterable[tuple[LocationId, Quantity]], served: Mapping[LocationId, Quantity]
) -> dict[LocationId, Quantity]:
    """Return what is left of each share after the units that were shipped there, less those taken back, in any order."""
    return {place: max(0, units - max(0, served[place])) for place, units in shares}


def _fitted(
    held: dict[LocationId, Quantity], given: LocationId, total: Quantity
) -> dict[LocationId, Quantity]:
    """Make shares hold ``total`` together: what is missing lies at ``given``, what is too much goes from the last."""
    surplus = sum(held.values()) - total
    held[given] += max(0, -surplus)
    for place in reversed(held):
        less = min(held[place], max(0, surplus))
        held[place] -= less
        surplus -= less
    return {place: units for place, units in held.items() if units}


def _stated(demand: Demand) -> Stated:
    names_place = not demand.is_assumed and demand.effect is not DemandEffect.CANCELLED
    return Stated(
        demand.occurred_at,
        demand.key,
        demand.quantity,
        demand.location if names_place and demand.location is not None else "",
        "" if demand.fetched_at is None else instant(demand.fetched_at),
    )


def _says_home(line: OrderLine, demand: Demand) -> bool:
    known = (*line.versions.values(), *line.cancellations.values())
    if any(not said.location for said in known):
        return False
    return demand.effect is DemandEffect.CANCELLED or (
        demand.effect is DemandEffect.ORDERED and demand.is_assumed
    )


def _kind(line: OrderLine, effect: DemandEffect) -> Documents:
    return {
        DemandEffect.ORDERED: line.versions,
        DemandEffect.CANCELLED: line.cancellations,
        DemandEffect.FULFILLED: line.fulfilments,
        DemandEffect.UNFULFILLED: line.unfulfilled,
        DemandEffect.RETURNED: line.returns,
    }[effect]


def _name(demand: Demand) -> str:
    return demand.version if demand.effect is DemandEffect.ORDERED else demand.document


def _units(documents: Iterable[Stated]) -> Quantity:
    return sum(document.quantity for document in documents)


def _with(documents: Documents, name: str, said: Stated) -> dict[str, Stated]:
    """Add a document; of two statements of one document the better one stands, whichever came first."""
    known = documents.get(name)
    return {**documents, name: said if known is None else max(said, known, key=_rank)}


def _rank(said: Stated) -> tuple[str, datetime, Quantity, str, EventKey]:
    return (said.fetched, said.at, said.quantity, said.location, said.event_key)

"""Items: the master data of one SKU, with who declared it and from when it counts.

What describes an item (its name, its class) is simply replaced. What decides what a number *means* (its base unit,
its packs, its components if it is a kit) are its **terms**, and those are kept by the instant from which they hold::

    terms    case = 12 from the beginning     case = 10 from 1 December
             ---------------------------------|--------------------------->
    30 November, "3 case" -> 36               2 December, "3 case" -> 30     in whichever order they arrive

A change without an instant corrects the terms in force, also for what waits from before; a change with one begins
new terms there. An event is read by the terms of its own time, so arriving late changes nothing.

Cross-references, a source's own codes for items, have terms in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction
from typing import Protocol, TypeVar

from shared.domain.money import Money
from shared.domain.stock import Quantity, Sku, SourceId
from shared.domain.units import Units

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
"""From when the first terms hold: nothing that is counted is older."""


class _Dated(Protocol):
    @property
    def effective_from(self) -> datetime: ...


_Terms = TypeVar("_Terms", bound=_Dated)


@dataclass(frozen=True, slots=True, order=True)
class Component:
    """Units of one SKU that are in one kit."""

    sku: Sku
    quantity: Quantity


@dataclass(frozen=True, slots=True)
class Terms:
    """What an item's numbers mean from an instant on. An item with components is a kit."""

    effective_from: datetime = BEGINNING
    base_unit: str = ""
    packs: Mapping[str, Fraction] = field(default_factory=dict)
    components: tuple[Component, ...] = ()

    @property
    def units(self) -> Units:
        """The units that can be named of it."""
        return Units(self.base_unit, self.packs)


@dataclass(frozen=True, slots=True)
class Item:
    """One item of the master.

    Attributes
    ----------
    terms
        In order of ``effective_from``; the first hold from the beginning.
    is_hot
        Whether so many reservations are expected at once that it needs more than one promise counter.
    owner
        The team or system that answers for it.
    version
        Counts its changes; 0 is an item that was only ever named.
    changed_by, changed_at
        The last change: who made it and when.
    price
        What one base unit sells for; None: not known. It ranks cases, and nothing else depends on it.
    cost
        What one base unit stands in the books for, by whoever declares it (the ERP); None: not known. Stock is valued
        at it, and nothing else depends on it.
    is_component
        Whether it lies in a kit at some time.
    """

    sku: Sku
    description: str = ""
    item_class: str = ""
    tracks_lots: bool = False
    tracks_expiry: bool = False
    is_hot: bool = False
    terms: tuple[Terms, ...] = (Terms(),)
    owner: str = ""
    version: int = 0
    changed_by: str = ""
    changed_at: datetime | None = None
    price: Money | None = None
    cost: Money | None = None
    is_component: bool = field(default=False, compare=False)

    def at(self, instant: datetime) -> Terms:
        """Return the terms in force at an instant."""
        return in_force(self.terms, instant)

    @property
    def kit_components(self) -> frozenset[Sku]:
        """Every SKU that is a component of it at any time; empty where it never is a kit."""
        return frozenset(component.sku for terms in self.terms for component in terms.components)


@dataclass(frozen=True, slots=True)
class Reference:
    """What a source's code stands for from an instant on: an item, and the unit that the code is printed on.

    A case has another barcode than the piece in it: its ``unit`` is then ``case``.
    """

    sku: Sku
    unit: str = ""
    effective_from: datetime = BEGINNING


@dataclass(frozen=True, slots=True)
class Change:
    """Who changes master data, and when."""

    actor: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Code:
    """A source's own name for an item: ``kind`` is the code space (sku, inventory_item_id, upc)."""

    source: SourceId
    kind: str
    code: str


def in_force(terms: Sequence[_Terms], at: datetime) -> _Terms:
    """Return the terms in force at an instant: the last that began by then, else the first."""
    found = terms[0]
    for one in terms:
        if one.effective_from <= at:
            found = one
    return found


def with_terms(terms: Sequence[_Terms], new: _Terms) -> tuple[_Terms, ...]:
    """Return terms with ``new`` among them, in the place of those that began at the same instant, if any did."""
    kept = [one for one in terms if one.effective_from != new.effective_from]
    return tuple(sorted([*kept, new], key=lambda one: one.effective_from))

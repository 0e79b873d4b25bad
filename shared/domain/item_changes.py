"""Changing an item: what a declaration makes of it, or why it cannot be.

A declaration says some things of one item; what it leaves out stays. These would make numbers that are in the ledger
mean something else, and are refused: another base unit, and a kit in which a kit lies.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from fractions import Fraction
from typing import TypeVar

from shared.domain.items import Change, Component, Item, Terms, with_terms
from shared.domain.money import Money
from shared.domain.stock import Sku
from shared.domain.units import factor_text

_T = TypeVar("_T")

MOST_COMPONENTS = 20
"""Components of one kit: an order line of it is written in one transaction."""

MOST_TERMS = 100
"""Instants at which the terms of one item may have changed."""


class InvalidItemError(ValueError):
    """A declaration cannot be meant: names the item, the field, the reason and the remedy."""

    def __init__(self, sku: Sku, field: str, reason: str, remedy: str) -> None:
        super().__init__(f"{sku}: {field}: {reason}")
        self.sku, self.field, self.reason, self.remedy = sku, field, reason, remedy


@dataclass(frozen=True, slots=True)
class Declaration:
    """What is said of one item; None says nothing.

    Attributes
    ----------
    packs
        Factors by unit, beside those that it has; None takes a unit away.
    is_whole
        Whether packs, a price and a cost that are not named are taken away.
    effective_from
        From when base unit, packs and components hold; None corrects the terms in force.
    """

    sku: Sku
    description: str | None = None
    item_class: str | None = None
    tracks_lots: bool | None = None
    tracks_expiry: bool | None = None
    is_hot: bool | None = None
    owner: str | None = None
    base_unit: str | None = None
    packs: Mapping[str, Fraction | None] = field(default_factory=dict)
    components: tuple[Component, ...] | None = None
    is_whole: bool = False
    effective_from: datetime | None = None
    price: Money | None = None
    cost: Money | None = None


def changed(item: Item, said: Declaration, change: Change) -> Item:
    """Return the item as declared: itself where nothing changes.

    Raises
    ------
    InvalidItemError
    """
    terms = _terms(item, said, change)
    then = replace(
        item,
        description=_or(said.description, item.description),
        item_class=_or(said.item_class, item.item_class),
        tracks_lots=_or(said.tracks_lots, item.tracks_lots),
        tracks_expiry=_or(said.tracks_expiry, item.tracks_expiry),
        is_hot=_or(said.is_hot, item.is_hot),
        owner=_or(said.owner, item.owner),
        price=said.price if said.is_whole else _or(said.price, item.price),
        cost=said.cost if said.is_whole else _or(said.cost, item.cost),
        terms=item.terms if terms == item.at(terms.effective_from) else with_terms(item.terms, terms),
    )
    if then == item:
        return item
    if len(then.terms) > MOST_TERMS:
        raise InvalidItemError(
            item.sku,
            "effective_from",
            f"its terms changed {MOST_TERMS} times already",
            "correct those in force, without an effective_from",
        )
    return replace(then, version=item.version + 1, changed_by=change.actor, changed_at=change.at)


def _terms(item: Item, said: Declaration, change: Change) -> Terms:
    before = item.at(said.effective_from or change.at)
    base = _or(said.base_unit, before.base_unit)
    packs = {} if said.is_whole else dict(before.packs)
    for unit, factor in said.packs.items():
        if factor is None:
            packs.pop(unit, None)
        else:
            packs[unit] = factor
    components = before.components if said.components is None else tuple(sorted(said.components))
    terms = Terms(said.effective_from or before.effective_from, base, packs, components)
    if (base, packs, components) == (before.base_unit, before.packs, before.components):
        return before
    _check(item, terms)
    return terms


def _check(item: Item, terms: Terms) -> None:
    known = {one.base_unit for one in item.terms if one.base_unit} - {terms.base_unit}
    if known:
        raise InvalidItemError(
            item.sku,
            "base_unit",
            f"is {known.pop()!r}, and what is in the ledger is counted in it",
            "declare a pack of that unit, or a new item that is counted in another",
        )
    if terms.base_unit in terms.packs:
        raise InvalidItemError(
            item.sku, f"pack:{terms.base_unit}", "is the base unit itself", "leave it out: it is 1"
        )
    _check_components(item.sku, terms.components)


def _check_components(sku: Sku, components: tuple[Component, ...]) -> None:
    skus = [component.sku for component in components]
    if sku in skus:
        raise InvalidItemError(sku, "components", "the kit is in itself", "name what lies in it")
    if len(set(skus)) != len(skus):
        raise InvalidItemError(sku, "components", "one SKU is named twice", "name each once, with its number")
    if any(component.quantity < 1 for component in components):
        raise InvalidItemError(
            sku, "components", "one is there less than once", "name 1 or more units of each"
        )
    if len(components) > MOST_COMPONENTS:
        raise InvalidItemError(
            sku, "components", f"it has {len(components)}", f"a kit has at most {MOST_COMPONENTS}"
        )


def differences(before: Item, after: Item) -> Iterator[tuple[str, str, str]]:
    """Yield what a change changed, as (field, before, after) in words for the audit."""
    for name in ("description", "item_class", "tracks_lots", "tracks_expiry", "is_hot", "owner"):
        old, new = getattr(before, name), getattr(after, name)
        if old != new:
            yield name, str(old), str(new)
    for name, was, now in (("price", before.price, after.price), ("cost", before.cost, after.cost)):
        if was != now:
            yield name, "" if was is None else str(was), "" if now is None else str(now)
    old_terms, new_terms = ({one.effective_from: one for one in item.terms} for item in (before, after))
    for at in sorted({*old_terms, *new_terms}):
        old_one, new_one = old_terms.get(at), new_terms.get(at)
        if old_one != new_one:
            yield f"terms from {at.isoformat()}", _words(old_one), _words(new_one)


def _words(terms: Terms | None) -> str:
    if terms is None:
        return ""
    packs = [f"{unit} = {factor_text(factor)}" for unit, factor in sorted(terms.packs.items())]
    parts = [f"{component.quantity} x {component.sku}" for component in terms.components]
    return "; ".join([f"base unit {terms.base_unit or '-'}", *packs, *parts])


def _or(said: _T | None, before: _T) -> _T:
    return before if said is None else said

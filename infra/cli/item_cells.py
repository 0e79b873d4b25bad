"""What the cells of one row of an item file declare of the item itself; an empty cell says nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from fractions import Fraction
from typing import Protocol

from shared.domain.item_changes import Declaration
from shared.domain.items import Component
from shared.domain.money import BadMoneyError, Money, parse_money
from shared.domain.stock import Sku
from shared.domain.units import BadFactorError, parse_factor
from shared.sources.reading import aware, identifier, refuse, shown

DETAILS = (
    "description",
    "class",
    "owner",
    "tracks_lots",
    "tracks_expiry",
    "hot",
    "base_unit",
    "components",
    "effective_from",
    "price",
    "cost",
)
"""Columns without a colon that are read."""

LONGEST_DESCRIPTION = 1_000


class Places(Protocol):
    """Where the columns are."""

    @property
    def packs(self) -> Mapping[int, str]: ...
    @property
    def details(self) -> Mapping[str, int]: ...


def declaration(sku: Sku, columns: Places, cells: Sequence[str]) -> Declaration:
    """Return what a row declares of its item.

    Raises
    ------
    UnreadableError
    """
    said = {name: cells[at] for name, at in columns.details.items() if cells[at]}
    description = said.get("description")
    if description is not None and len(description) > LONGEST_DESCRIPTION:
        reason = f"has {len(description)} characters"
        refuse("invalid_field", "description", reason, f"write at most {LONGEST_DESCRIPTION}")
    return Declaration(
        sku,
        description=description,
        item_class=_name(said, "class"),
        tracks_lots=_flag(said, "tracks_lots"),
        tracks_expiry=_flag(said, "tracks_expiry"),
        is_hot=_flag(said, "hot"),
        owner=_name(said, "owner"),
        base_unit=_name(said, "base_unit"),
        packs={unit: _factor(cells[at], unit) for at, unit in columns.packs.items() if cells[at]},
        components=_components(said.get("components")),
        effective_from=_instant(said.get("effective_from")),
        price=_money(said, "price"),
        cost=_money(said, "cost"),
    )


def _name(said: Mapping[str, str], column: str) -> str | None:
    return identifier(said[column], column) if column in said else None


def _flag(said: Mapping[str, str], column: str) -> bool | None:
    if column not in said:
        return None
    found = {"yes": True, "no": False}.get(said[column].lower())
    if found is None:
        refuse("invalid_field", column, f"{shown(said[column])} is neither yes nor no", "write yes or no")
    return found


def _factor(text: str, unit: str) -> Fraction:
    try:
        return parse_factor(text)
    except BadFactorError as error:
        refuse("invalid_field", f"pack:{unit}", str(error), "write how many base units one holds")


def _components(text: str | None) -> tuple[Component, ...] | None:
    if text is None:
        return None
    if text == "-":
        return ()
    found = []
    for part in text.split(";"):
        sku, equals, units = part.strip().rpartition("=")
        if not equals or not units.strip().isdecimal() or len(units) > 9 or not units.isascii():
            refuse(
                "invalid_field",
                "components",
                f"{shown(part.strip())} is no component",
                "write SKU=units, several with a semicolon between them (TEA=2; MUG=1), or - for none",
            )
        found.append(Component(Sku(identifier(sku.strip(), "components")), int(units)))
    return tuple(found)


def _money(said: Mapping[str, str], column: str) -> Money | None:
    if column not in said:
        return None
    try:
        return parse_money(said[column])
    except BadMoneyError as error:
        refuse("invalid_field", column, str(error), "write the amount of a base unit and its currency")


def _instant(text: str | None) -> datetime | None:
    return None if text is None else aware(text, "effective_from")

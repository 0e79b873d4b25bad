"""Items in the ``registry`` table: the item itself, one entry for each of its changes, and the kits it lies in.

========================  =====================================================================
``ITEM#sku``  ``-``       the item with all its terms, and whether it is a kit or lies in one
``ITEM#sku``  ``V#n``     its n-th change: who, when, and what was there before
``ITEM#sku``  ``KIT#k``   the item is a component of kit ``k`` at some time
========================  =====================================================================

A change carries the condition that the item is as it was read, and for a kit that none of its components is a kit
and that it is itself in none: so two changes made at once cannot put a kit into a kit between them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import cast

from shared.domain.events import instant, parse_instant
from shared.domain.item_changes import differences
from shared.domain.items import BEGINNING, Component, Terms
from shared.domain.items import Item as Declared
from shared.domain.money import parse_money
from shared.domain.stock import Sku
from shared.domain.units import factor_text
from shared.store.audit import Audited, audit_put, read_audit
from shared.store.layout import item_key, kit_key, version_key
from shared.store.table import (
    Action,
    AttributeAbsent,
    Condition,
    Equals,
    Exists,
    Item,
    Put,
    Table,
    Update,
    Value,
    WriteRefusedError,
)

ITEMS_AT_ONCE = 45
"""Items without components that are written together: two actions each."""


class ItemChangedError(Exception):
    """An item was changed by somebody else meanwhile, or a component of a kit is none any more; read again."""

    def __init__(self, sku: Sku) -> None:
        super().__init__(f"item {sku!r} was changed meanwhile")
        self.sku = sku


class Items:
    """Reads and changes of the item master."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def find(self, skus: Iterable[Sku]) -> dict[Sku, Declared]:
        """Return those of some items that are known."""
        keys = {item_key(sku): sku for sku in skus}
        return {keys[key]: read_item(item) for key, item in self._table.get_many(list(keys)).items()}

    def add(self, skus: Iterable[Sku]) -> None:
        """Make SKUs known; one that is known already stays as it is."""
        updates = {sku: Update(item_key(sku), defaults={"sku": sku}) for sku in skus}
        actions = list(updates.values())
        for start in range(0, len(actions), 100):
            self._table.write(actions[start : start + 100])

    def change(self, changes: Sequence[tuple[Declared, Declared]]) -> None:
        """Write items as (before, after), each with the entry that says what changed.

        Raises
        ------
        ItemChangedError
            When one of them is no longer as it was before; those written by then stay.
        """
        changes = [pair for pair in changes if pair[0] != pair[1]]
        plain = [pair for pair in changes if not (pair[0].kit_components | pair[1].kit_components)]
        for start in range(0, len(plain), ITEMS_AT_ONCE):
            chunk = plain[start : start + ITEMS_AT_ONCE]
            self._write([action for pair in chunk for action in _actions(*pair)], chunk)
        for before, after in changes:
            if before.kit_components | after.kit_components:
                self._write(_kit_actions(before, after), [(before, after)])

    def _write(self, actions: Sequence[Action], pairs: Sequence[tuple[Declared, Declared]]) -> None:
        try:
            self._table.write(actions)
        except WriteRefusedError as refused:
            if self.find(after.sku for _, after in pairs) == {after.sku: after for _, after in pairs}:
                return  # a write whose answer never came: it had been written
            pk = refused.refusals[0].action.key.pk
            raise ItemChangedError(Sku(pk.removeprefix("ITEM#"))) from refused

    def history(self, sku: Sku) -> list[Audited]:
        """Return the changes of an item, oldest first."""
        return [read_audit(item) for item in self._table.query(item_key(sku).pk, prefix="V#")]

    def kits_with(self, skus: Iterable[Sku]) -> dict[Sku, list[Sku]]:
        """Return the kits that each item is a component of at some time; items in none are left out."""
        keys = {item_key(sku): sku for sku in skus}
        found: dict[Sku, list[Sku]] = {}
        for key, item in self._table.get_many(list(keys)).items():
            if "in_kits" in item:
                kits = self._table.query(key.pk, prefix="KIT#")
                found[keys[key]] = [Sku(cast(str, kit["kit"])) for kit in kits]
        return found


def _actions(before: Declared, after: Declared, *more: Condition) -> list[Action]:
    key, version = item_key(after.sku), after.version
    same = Equals("version", before.version) if before.version else AttributeAbsent("version")
    at = after.changed_at or BEGINNING
    return [
        Update(key, set=_attributes(after), conditions=(same, *more)),
        audit_put(version_key(key, version), version, after.changed_by, at, differences(before, after)),
    ]


def _kit_actions(before: Declared, after: Declared) -> list[Action]:
    actions = _actions(before, after, AttributeAbsent("in_kits"))
    for component in sorted(after.kit_components - before.kit_components):
        in_kit = (Exists(), AttributeAbsent("is_kit"))
        actions.append(Update(item_key(component), set={"in_kits": True}, conditions=in_kit))
        actions.append(Put(kit_key(component, after.sku), {"kit": after.sku}))
    return actions


def _attributes(item: Declared) -> dict[str, Value]:
    attributes: dict[str, Value] = {
        "sku": item.sku,
        "description": item.description,
        "item_class": item.item_class,
        "tracks_lots": item.tracks_lots,
        "tracks_expiry": item.tracks_expiry,
        "is_hot": item.is_hot,
        "owner": item.owner,
        "version": item.version,
        "changed_by": item.changed_by,
        "changed_at": None if item.changed_at is None else instant(item.changed_at),
        "price": None if item.price is None else str(item.price),
        "cost": None if item.cost is None else str(item.cost),
        "terms": [_written(terms) for terms in item.terms],
    }
    return attributes | ({"is_kit": True} if item.kit_components else {})


def _written(terms: Terms) -> Value:
    return {
        "from": instant(terms.effective_from),
        "base_unit": terms.base_unit,
        "packs": {unit: factor_text(factor) for unit, factor in terms.packs.items()},
        "components": [[component.sku, component.quantity] for component in terms.components],
    }


def read_item(item: Item) -> Declared:
    """Read a stored item; one that was only ever named has nothing but its SKU."""
    sku = Sku(cast(str, item["sku"]))
    is_component = "in_kits" in item
    if "terms" not in item:
        return Declared(sku, is_component=is_component)
    changed_at = cast("str | None", item["changed_at"])
    price, cost = (cast("str | None", item.get(name)) for name in ("price", "cost"))
    return Declared(
        sku=sku,
        description=cast(str, item["description"]),
        item_class=cast(str, item["item_class"]),
        tracks_lots=cast(bool, item["tracks_lots"]),
        tracks_expiry=cast(bool, item["tracks_expiry"]),
        is_hot=cast(bool, item.get("is_hot", False)),
        terms=tuple(_read(one) for one in cast("list[Mapping[str, Value]]", item["terms"])),
        owner=cast(str, item["owner"]),
        version=cast(int, item["version"]),
        changed_by=cast(str, item["changed_by"]),
        changed_at=None if changed_at is None else parse_instant(changed_at),
        price=None if price is None else parse_money(price),
        cost=None if cost is None else parse_money(cost),
        is_component=is_component,
    )


def _read(said: Mapping[str, Value]) -> Terms:
    packs = cast("dict[str, str]", said["packs"])
    components = cast("list[tuple[str, int]]", said["components"])
    return Terms(
        effective_from=parse_instant(cast(str, said["from"])),
        base_unit=cast(str, said["base_unit"]),
        packs={unit: Fraction(factor) for unit, factor in packs.items()},
        components=tuple(Component(Sku(sku), quantity) for sku, quantity in components),
    )

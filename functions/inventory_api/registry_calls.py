"""Calls about master data: items with their units, packs and components, and what the sources' codes stand for.

Reading is for whoever watches; changing is for ``admin``. Each change is kept with who made it and when. What waited
for a code or a unit is applied within a minute of its declaration.
"""

from __future__ import annotations

import logging
from fractions import Fraction
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from functions.inventory_api import registry_views
from functions.inventory_api.edge import WATCHERS, Asked, RefusedError, call, changed_meanwhile, house
from functions.inventory_api.requests import Instant, InvalidFieldError, Name, Request, Units
from shared.domain.item_changes import Declaration
from shared.domain.items import BEGINNING, Change, Code, Component, Item, Reference
from shared.domain.money import BadMoneyError, Money, parse_money
from shared.domain.stock import Sku, SourceId
from shared.domain.units import BadFactorError, parse_factor
from shared.operations.master_data import MasterData
from shared.operations.stock_view import UnknownSkuError
from shared.runtime.ground import now
from shared.runtime.http import Answer, answer
from shared.store.items import ItemChangedError

ADMINS: tuple[str, ...] = ("admin",)

log = logging.getLogger(__name__)

Text = Annotated[str, StringConstraints(max_length=1000)]
Label = Annotated[str, StringConstraints(max_length=200)]
Factor = Annotated[str, StringConstraints(max_length=40)]


class KitComponent(Request):
    """Units of one SKU in one kit."""

    sku: Name
    quantity: Units


class ItemRequest(Request):
    """The whole of an item; what is left out is empty.

    With ``effective_from``, base unit, packs and components hold from then on; without it, those in force are
    corrected. With ``version``, the item is changed only if that is still its version. ``price`` is what a
    base unit sells for (``12.50 EUR``), ``cost`` what it stands in the books for; stock is valued at its cost.
    """

    description: Text = ""
    item_class: Label = ""
    owner: Label = ""
    tracks_lots: bool = False
    tracks_expiry: bool = False
    hot: bool = False
    base_unit: Label = ""
    packs: Annotated[dict[Name, Factor], Field(max_length=50, default_factory=dict)]
    components: Annotated[list[KitComponent], Field(max_length=20, default_factory=list)]
    effective_from: Instant | None = None
    version: Annotated[int, Field(strict=True, ge=0)] | None = None
    price: Annotated[str, StringConstraints(max_length=40)] | None = None
    cost: Annotated[str, StringConstraints(max_length=40)] | None = None


class ReferenceRequest(Request):
    """What a code stands for: an item, and the pack that the code is printed on if it is one."""

    sku: Name
    unit: Label = ""
    owner: Label = ""
    effective_from: Instant | None = None


@call("GET /v1/registry/items", WATCHERS, query=("sku",))
def get_item_of_query(asked: Asked[Any]) -> Answer:
    """Show one item, named by ``sku``."""
    return _item(Sku(asked.query.required("sku")))


@call("GET /v1/registry/items/<sku>", WATCHERS)
def get_item(asked: Asked[Any]) -> Answer:
    """Show one item with its units, components and every change that was made to it."""
    return _item(Sku(asked.path["sku"]))


@call("PUT /v1/registry/items", ADMINS, query=("sku",), body=ItemRequest)
def put_item_of_query(asked: Asked[ItemRequest]) -> Answer:
    """Declare the whole of an item, named by ``sku``."""
    return _declare(Sku(asked.query.required("sku")), asked)


@call("PUT /v1/registry/items/<sku>", ADMINS, body=ItemRequest)
def put_item(asked: Asked[ItemRequest]) -> Answer:
    """Declare the whole of an item."""
    return _declare(Sku(asked.path["sku"]), asked)


@call("GET /v1/registry/cross-references", WATCHERS, query=("source", "kind", "code"))
def get_reference(asked: Asked[Any]) -> Answer:
    """Show what a source's code stands for, and every change that was made to it."""
    return _reference(_code(asked))


@call(
    "PUT /v1/registry/cross-references",
    ADMINS,
    query=("source", "kind", "code"),
    body=ReferenceRequest,
)
def put_reference(asked: Asked[ReferenceRequest]) -> Answer:
    """Say what a source's code stands for."""
    code, said = _code(asked), asked.body
    sku = Sku(said.sku)
    if code.source not in house().registry.network().sources:
        raise InvalidFieldError("source", f"{code.source!r} is not declared", "use a declared source")
    if not house().registry.is_item(sku):
        raise InvalidFieldError("sku", f"{sku!r} is not an item", "declare it first, or name one that is")
    reference = Reference(sku, said.unit, said.effective_from or BEGINNING)
    owner = said.owner or asked.client
    house().registry.map_codes({code: reference}, owner, Change(asked.client, now()))
    log.info("code_mapped", extra={"source_id": code.source, "kind": code.kind, "actor": asked.client})
    return _reference(code)


def _item(sku: Sku) -> Answer:
    items = house().registry.items
    item = items.find([sku]).get(sku)
    if item is None:
        raise UnknownSkuError(f"there is no item {sku!r}; import it, or declare it")
    lies_in = items.kits_with([sku]).get(sku, [])
    return answer(200, registry_views.item_view(item, lies_in, items.history(sku)))


def _declare(sku: Sku, asked: Asked[ItemRequest]) -> Answer:
    said = asked.body
    known = house().registry.items.find([sku]).get(sku, Item(sku))
    if said.version not in (None, known.version):
        raise RefusedError(changed_meanwhile(f"the item has version {known.version}, not {said.version}"))
    declaration = Declaration(
        sku,
        description=said.description,
        item_class=said.item_class,
        tracks_lots=said.tracks_lots,
        tracks_expiry=said.tracks_expiry,
        is_hot=said.hot,
        owner=said.owner,
        base_unit=said.base_unit,
        packs={unit: _factor(unit, text) for unit, text in said.packs.items()},
        components=tuple(Component(Sku(part.sku), part.quantity) for part in said.components),
        is_whole=True,
        effective_from=said.effective_from,
        price=_money("price", said.price),
        cost=_money("cost", said.cost),
    )
    master = MasterData(house().registry, house().ledger, house().lanes, now)
    try:
        judged = master.declare([declaration], asked.client)
    except ItemChangedError as error:
        raise RefusedError(changed_meanwhile(str(error))) from error
    for refused in judged.refused:
        raise InvalidFieldError(refused.field, refused.reason, refused.remedy)
    log.info("item_declared", extra={"sku": sku, "actor": asked.client})
    return _item(sku)


def _factor(unit: str, text: str) -> Fraction:
    try:
        return parse_factor(text)
    except BadFactorError as error:
        raise InvalidFieldError(f"packs.{unit}", str(error), "write how many base units one holds") from error


def _money(field: str, text: str | None) -> Money | None:
    try:
        return None if text is None else parse_money(text)
    except BadMoneyError as error:
        raise InvalidFieldError(field, str(error), "write an amount and its currency") from error


def _code(asked: Asked[Any]) -> Code:
    source, kind, code = (asked.query.required(name) for name in ("source", "kind", "code"))
    if "#" in kind:
        raise InvalidFieldError("kind", "it holds a #", "use a kind such as sku or upc")
    return Code(SourceId(source), kind, code)


def _reference(code: Code) -> Answer:
    references = house().registry.references
    found = references.find({code: None}).get(code)
    if found is None:
        raise UnknownSkuError(f"{code.source} has no cross-reference for {code.kind} {code.code!r}")
    return answer(200, registry_views.reference_view(found, references.history(code)))

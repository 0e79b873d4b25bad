"""What Shopify's order documents say: orders, refunds and fulfilments, each wherever it is told.

An order carries its refunds and fulfilments along; ``refunds/create`` and ``fulfillments/*`` tell them again. Each is
an event under its own document's id (the refund's line, the fulfilment and its line), so it counts once, whoever
repeats it and in whatever order.

**What an order line asks for** (``ordered``, state at the order's ``updated_at``):

* ``current_quantity`` where sent (what was ordered, less what was removed or refunded), else ``quantity``.
* A refund of units that had been **shipped** lowers ``current_quantity`` as well, while they still count as
  shipped with us; taken alone that would free units which the rest of the order waits for. So where the body also
  says what is fulfilled and still fulfillable, the larger of the two readings holds: never less than is owed.
* Refunds that the same body lists as ``cancel`` are added again, because they are events of their own: a refund that
  overtakes its order, and one that the order repeats, take the same units off once.
* A line that Shopify does not track (``variant_inventory_management`` null) reserves nothing if it has no SKU (a
  custom item) or needs no shipping (a gift card, a download). Untracked at Shopify but with a SKU and shipped, it
  does take our stock. A missing ``variant_inventory_management`` counts as tracked.

**A refund line**, by its ``restock_type``:

===============  =========================================================================================
cancel           units that had not been shipped: ``cancelled``, document ``refund/ID of the refund's line``
return           units that had been: ``returned`` to ``location_id``, which the movement authority must confirm
no_restock       nothing by itself: the order's own numbers say whether the units are still wanted
legacy_restock   as ``no_restock``
===============  =========================================================================================

**A fulfilment** is ``fulfilled`` at its ``location_id``; where its status says that it came to nothing
(``cancelled``, ``error``, ``failure``) it is ``unfulfilled`` besides, so that both may come in any order. Whether it
moves stock is decided by the location's movement authority, not here. One without an id cannot be told from others
and only serves to read the order's lines.

**A cancelled order** (``cancelled_at`` set, or topic ``orders/cancelled``) reports its ``ordered`` too, so that a
cancellation which overtakes the creation works, and ``cancelled`` with the line's whole ``quantity`` as document
``cancel``. Not ``fulfillable_quantity``: that is 0 already once the cancellation restocked, and it changes between
deliveries, while ``quantity`` does not, so every repetition is the same event. What is cancelled twice, by refund and
with the order, is clipped to what was ordered; Shopify lets only unfulfilled orders be cancelled.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from shared.domain.events import Demand, DemandEffect, Origin, instant
from shared.domain.messages import FETCHED_AT, Message
from shared.domain.network import Source
from shared.domain.stock import ChannelId, LocationId, Sku
from shared.sources.contract import Fault, Report
from shared.sources.reading import Fields, UnreadableError, aware, event_key, parse_json, refuse

ORDER_TOPICS = frozenset({"orders/create", "orders/updated", "orders/cancelled"})
REFUND_TOPICS = frozenset({"refunds/create"})
FULFILMENT_TOPICS = frozenset({"fulfillments/create", "fulfillments/update"})
_FULFILMENTS_THAT_COUNT = frozenset({"pending", "open", "success"})
_OPPOSITES = {
    DemandEffect.FULFILLED: DemandEffect.UNFULFILLED,
    DemandEffect.UNFULFILLED: DemandEffect.FULFILLED,
}


@dataclass(frozen=True, slots=True)
class _Order:
    """What all events of one message share. ``codes`` names the items of lines that the order itself lists."""

    source: Source
    channel: ChannelId
    id: str
    told_at: datetime
    origin: Origin
    fetched_at: datetime | None
    codes: Mapping[str, tuple[str, str]]
    stockless: frozenset[str]


def read_order(message: Message, source: Source, topic: str) -> Iterator[Report | Fault]:
    """Yield what an order says of its lines, its refunds and its fulfilments.

    Raises
    ------
    UnreadableError
        When the order as a whole cannot be read.
    """
    body = Fields(parse_json(message.body), "")
    order = _order(body, "id", message, source)
    lines = body.items("line_items")
    order = replace(order, codes=_codes(lines), stockless=_stockless(lines))
    cancelled_at = body.moment("cancelled_at") if body.has("cancelled_at") else None
    if cancelled_at is None and topic == "orders/cancelled":
        cancelled_at = order.told_at
    fulfilments = list(_objects(body, "fulfillments")) if body.has("fulfillments") else None
    refunds = list(_objects(body, "refunds")) if body.has("refunds") else []
    fulfilled = None if fulfilments is None else _fulfilled(fulfilments)
    removed = _removed(refunds)
    for index, value in enumerate(lines):
        yield from _each(
            partial(_ordered, order, value, f"line_items[{index}]", fulfilled, removed, cancelled_at)
        )
    for refund in refunds:
        yield from _refund(order, refund)
    for fulfilment in fulfilments or ():
        yield from _fulfilment(order, fulfilment)


def read_refund(message: Message, source: Source) -> Iterator[Report | Fault]:
    """Yield what a refund takes off its order.

    Raises
    ------
    UnreadableError
    """
    body = Fields(parse_json(message.body), "")
    yield from _refund(_order(body, "order_id", message, source), body)


def read_fulfilment(message: Message, source: Source) -> Iterator[Report | Fault]:
    """Yield what a fulfilment says was shipped.

    Raises
    ------
    UnreadableError
    """
    body = Fields(parse_json(message.body), "")
    yield from _fulfilment(_order(body, "order_id", message, source), body)


def _order(body: Fields, name: str, message: Message, source: Source) -> _Order:
    if source.channel is None:
        refuse(
            "invalid_field",
            "source.channel",
            "is not declared, so nobody can say which channel's promise these orders use",
            "declare the channel that this shop sells through",
        )
    order_id = body.number_or_text(name)
    fetched_at = message.headers.get(FETCHED_AT)
    return _Order(
        source=source,
        channel=source.channel,
        id=order_id,
        told_at=_told_at(body, message),
        origin=Origin(source.id, message.id, (("order", order_id),)),
        fetched_at=None if fetched_at is None else aware(fetched_at, FETCHED_AT),
        codes={},
        stockless=frozenset(),
    )


def _told_at(body: Fields, message: Message) -> datetime:
    """Return a document's version: its own ``updated_at``, or when it was made, or when Shopify triggered it."""
    triggered_at = message.headers.get("x-shopify-triggered-at")
    if body.has("updated_at"):
        return body.moment("updated_at")
    if body.has("created_at") and body.has("order_id"):
        return body.moment("created_at")
    return aware(triggered_at, "x-shopify-triggered-at") if triggered_at else body.moment("updated_at")


def _demand(
    order: _Order,
    line_id: str,
    code: str,
    effect: DemandEffect,
    quantity: int,
    at: datetime,
    *,
    document: str = "",
    version: str = "",
    location: str | None = None,
) -> Demand:
    names = partial(event_key, order.source.id, "order", order.id, line_id)
    opposite = _OPPOSITES.get(effect)
    return Demand(
        key=names(effect, document or version),
        sku=Sku(code),
        channel=order.channel,
        order=order.id,
        line=line_id,
        effect=effect,
        quantity=quantity,
        occurred_at=at,
        origin=order.origin,
        location=None if location is None else LocationId(location),
        document=document,
        version=version,
        is_assumed=location is None,
        fetched_at=order.fetched_at,
        opposite=None if opposite is None else names(opposite, document),
    )


# ---- order lines --------------------------------------------------------------------------------------------------


def _ordered(
    order: _Order,
    value: object,
    path: str,
    fulfilled: Mapping[str, int] | None,
    removed: Mapping[str, int],
    cancelled_at: datetime | None,
) -> list[Report]:
    line = Fields(value, path)
    if _takes_no_stock(line):
        return []
    (code, code_kind), line_id = _code(line), line.number_or_text("id")
    shipped = None if fulfilled is None else fulfilled.get(line_id, 0)
    asked = min(line.quantity("quantity"), _asked_for(line, shipped) + removed.get(line_id, 0))
    version = instant(order.told_at)
    found = [_demand(order, line_id, code, DemandEffect.ORDERED, asked, order.told_at, version=version)]
    if cancelled_at is not None:
        whole = line.quantity("quantity")
        found.append(
            _demand(order, line_id, code, DemandEffect.CANCELLED, whole, cancelled_at, document="cancel")
        )
    return [Report(demand, code_kind) for demand in found]


def _asked_for(line: Fields, fulfilled: int | None) -> int:
    """Return how many units the order wants of this line, shipped ones included; see the module."""
    quantity = line.quantity("quantity")
    current = line.quantity("current_quantity") if line.has("current_quantity") else quantity
    if fulfilled is None or not line.has("fulfillable_quantity"):
        return current
    owed = fulfilled + line.quantity("fulfillable_quantity")
    return max(current, min(quantity, owed))


def _takes_no_stock(line: Fields) -> bool:
    tracked = line.values.get("variant_inventory_management", "shopify")
    has_sku = line.values.get("sku") not in (None, "")
    ships = line.values.get("requires_shipping") is not False
    return tracked in (None, "") and not (has_sku and ships)


def _code(line: Fields) -> tuple[str, str]:
    if line.values.get("sku") not in (None, ""):
        return line.text("sku"), "sku"
    if not line.has("variant_id"):
        refuse(
            "missing_field",
            line.where("sku"),
            "the line has neither a SKU nor a variant",
            "give the product's variant a SKU in Shopify, or correct the order's line there",
        )
    return line.number_or_text("variant_id"), "variant_id"


def _codes(lines: Sequence[object]) -> dict[str, tuple[str, str]]:
    """Return the item code of each line that has one; a line that cannot be read is a fault of its own elsewhere."""
    found: dict[str, tuple[str, str]] = {}
    for value in lines:
        try:
            line = Fields(value, "line_items")
            found[line.number_or_text("id")] = _code(line)
        except UnreadableError:
            continue
    return found


def _stockless(lines: Sequence[object]) -> frozenset[str]:
    found = set()
    for value in lines:
        if isinstance(value, dict):
            line = Fields(value, "line_items")
            if line.has("id") and _takes_no_stock(line):
                found.add(str(line.values["id"]))
    return frozenset(found)


# ---- refunds ------------------------------------------------------------------------------------------------------


def _refund(order: _Order, refund: Fields) -> Iterator[Report | Fault]:
    for line in _objects(refund, "refund_line_items", at_least_empty=True):
        yield from _each(partial(_refunded, order, refund, line))


def _refunded(order: _Order, refund: Fields, line: Fields) -> list[Report]:
    restock, line_id = line.text_or("restock_type", "no_restock"), line.number_or_text("line_item_id")
    if restock not in ("cancel", "return") or line_id in order.stockless:
        return []
    item = Fields(line.values.get("line_item"), line.where("line_item")) if line.has("line_item") else line
    if line.has("line_item") and _takes_no_stock(item):
        return []
    code, code_kind = order.codes.get(line_id) or _code(item)
    effect = DemandEffect.CANCELLED if restock == "cancel" else DemandEffect.RETURNED
    demand = _demand(
        order,
        line_id,
        code,
        effect,
        line.quantity("quantity"),
        refund.moment("created_at"),
        document=f"refund/{line.number_or_text('id')}",
        location=line.number_or_text("location_id")
        if restock == "return" and line.has("location_id")
        else None,
    )
    return [Report(demand, code_kind)]


def _removed(refunds: list[Fields]) -> dict[str, int]:
    """Return the units of each line that the order's own refunds cancelled before they were shipped."""
    units: dict[str, int] = {}
    for refund in refunds:
        for line in _objects(refund, "refund_line_items", at_least_empty=True):
            if line.values.get("restock_type") == "cancel":
                line_id = line.number_or_text("line_item_id")
                units[line_id] = units.get(line_id, 0) + line.quantity("quantity")
    return units


# ---- fulfilments --------------------------------------------------------------------------------------------------


def _fulfilled(fulfilments: list[Fields]) -> dict[str, int]:
    units: dict[str, int] = {}
    for fulfilment in fulfilments:
        if _counts(fulfilment):
            for line in _objects(fulfilment, "line_items"):
                line_id = line.number_or_text("id")
                units[line_id] = units.get(line_id, 0) + line.quantity("quantity")
    return units


def _counts(fulfilment: Fields) -> bool:
    return fulfilment.text_or("status", "success") in _FULFILMENTS_THAT_COUNT


def _fulfilment(order: _Order, fulfilment: Fields) -> Iterator[Report | Fault]:
    if not fulfilment.has("id"):
        return
    lines: dict[str, list[Fields]] = {}
    for line in _objects(fulfilment, "line_items"):
        lines.setdefault(line.number_or_text("id"), []).append(line)
    for line_id, parts in lines.items():
        yield from _each(partial(_shipped, order, fulfilment, line_id, parts))


def _shipped(order: _Order, fulfilment: Fields, line_id: str, parts: list[Fields]) -> list[Report]:
    if line_id in order.stockless or (line_id not in order.codes and _takes_no_stock(parts[0])):
        return []
    code, code_kind = order.codes.get(line_id) or _code(parts[0])
    changed_at = fulfilment.moment("updated_at") if fulfilment.has("updated_at") else order.told_at
    made_at = fulfilment.moment("created_at") if fulfilment.has("created_at") else changed_at
    effects = [(DemandEffect.FULFILLED, made_at)]
    if not _counts(fulfilment):
        effects.append((DemandEffect.UNFULFILLED, changed_at))
    return [
        Report(
            _demand(
                order,
                line_id,
                code,
                effect,
                sum(part.quantity("quantity") for part in parts),
                at,
                document=fulfilment.number_or_text("id"),
                location=fulfilment.number_or_text("location_id") if fulfilment.has("location_id") else None,
            ),
            code_kind,
        )
        for effect, at in effects
    ]


# ---- reading ------------------------------------------------------------------------------------------------------


def _objects(body: Fields, name: str, *, at_least_empty: bool = False) -> Iterator[Fields]:
    if at_least_empty and not body.has(name):
        return
    for index, value in enumerate(body.items(name)):
        yield Fields(value, f"{body.where(name)}[{index}]")


def _each(read: Callable[[], list[Report]]) -> list[Report | Fault]:
    """Read one part of a document; what cannot be read is a fault, and its neighbours go on."""
    try:
        return [*read()]
    except UnreadableError as error:
        return [error.fault]

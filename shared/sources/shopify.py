"""Shopify's webhooks (REST payloads), and its orders when we fetch them ourselves.

**Authentication.** ``X-Shopify-Hmac-Sha256`` is the base64 HMAC-SHA256 of the raw body under the app's client
secret; after a rotation the old secret may sign for up to an hour, so several are accepted. Shopify signs **no
timestamp**, so the replay window cannot apply; a replay is harmless because event keys are business keys (the
order line at its version, the level at its instant). Nor does it sign its headers: the topic only chooses how the
body is read, and the shop must be the declared one (option ``shop``). The preview form of the headers, without
``X-``, is read alike. A delivery is (shop, topic, webhook id); the event id spans topics and is only kept.

**Topics.** ``orders/create``, ``orders/updated`` and ``orders/cancelled`` carry the whole order and are read
alike; a fetched order comes as ``orders/updated`` with a body of the same shape. ``inventory_levels/update``
carries one level; ``available: null`` says that the item is not tracked there, which is no number, so it yields
nothing.

**What an order line asks for** (``ordered``, state at the order's ``updated_at``):

* ``current_quantity`` where sent (what was ordered, less what was removed or refunded), else ``quantity``.
* A refund of units that had been **shipped** lowers ``current_quantity`` as well, while they still count as
  shipped with us; taken alone that would free units which the rest of the order waits for. So where the body also
  says what is fulfilled and still fulfillable, the larger of the two readings holds: never less than is owed.
* ``ordered`` is thus net of removals. A translator of refunds must not report the same units as cancelled.
* A line that Shopify does not track (``variant_inventory_management`` null) reserves nothing if it has no SKU (a
  custom item) or needs no shipping (a gift card, a download). Untracked at Shopify but with a SKU and shipped, it
  does take our stock. A missing ``variant_inventory_management`` counts as tracked.

**A cancelled order** (``cancelled_at`` set, or topic ``orders/cancelled``) reports its ``ordered`` too, so that a
cancellation which overtakes the creation works, and ``cancelled`` with the line's whole ``quantity`` as document
``cancel``. Not ``fulfillable_quantity``: that is 0 already once the cancellation restocked, and it changes between
deliveries, while ``quantity`` does not, so every repetition is the same event. An order line's open units are
clipped at 0, and Shopify lets only unfulfilled orders be cancelled.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.domain.events import Count, Demand, DemandEffect, Origin, instant
from shared.domain.messages import Message
from shared.domain.network import Source
from shared.domain.stock import ChannelId, LocationId, Sku
from shared.sources.contract import AuthenticationError, Delivery, Fault, Report, Request
from shared.sources.reading import Fields, UnreadableError, aware, event_key, parse_json, refuse, shown

_ORDER_TOPICS = frozenset({"orders/create", "orders/updated", "orders/cancelled"})
_LEVEL_TOPIC = "inventory_levels/update"
_KEPT_HEADERS = ("x-shopify-topic", "x-shopify-triggered-at", "x-shopify-event-id", "x-shopify-shop-domain")
_MAX_OVERSOLD = 999_999_999
_FULFILMENTS_THAT_COUNT = frozenset({"pending", "open", "success"})


class Shopify:
    """A Shopify shop as a source; see the module."""

    def authenticate(
        self, request: Request, secrets: Sequence[str], now: datetime, source: Source
    ) -> Delivery:
        """Prove the request by its signature under any of the secrets.

        Raises
        ------
        AuthenticationError
            When a header is missing, no secret fits, or the shop is not the declared one.
        """
        given = _header(request, "x-shopify-hmac-sha256").encode("utf-8", "replace")
        keys = [secret.encode() for secret in secrets if secret.strip()]
        if not keys:
            raise AuthenticationError("the source has no secret: declare the Shopify app's client secret")
        if not any(hmac.compare_digest(_signature(key, request.body), given) for key in keys):
            raise AuthenticationError("x-shopify-hmac-sha256 fits no secret of this source")
        shop = _header(request, "x-shopify-shop-domain").lower()
        declared = source.options.get("shop")
        if declared is not None and shop != str(declared).lower():
            raise AuthenticationError(f"the request is for shop {shown(shop)}, not for the declared one")
        topic = _header(request, "x-shopify-topic")
        webhook_id = _header(request, "x-shopify-webhook-id")
        kept = {name: value for name in _KEPT_HEADERS if (value := _optional_header(request, name))}
        return Delivery(f"{shop}|{topic}|{webhook_id}", kept)

    def translate(self, message: Message, source: Source) -> Iterable[Report | Fault]:
        """Say what the message reports: an order's lines, or one inventory level."""
        topic = message.headers.get("x-shopify-topic", "")
        try:
            if topic in _ORDER_TOPICS:
                order = _read_order(message, source, topic)
                return list(_lines(order))
            if topic == _LEVEL_TOPIC:
                return _level(message, source)
        except UnreadableError as error:
            return [error.fault]
        return [_unsupported(topic)]


def _unsupported(topic: str) -> Fault:
    known = ", ".join(sorted({*_ORDER_TOPICS, _LEVEL_TOPIC}))
    reason = f"topic {shown(topic)} is not read"
    return Fault("unsupported", "x-shopify-topic", reason, f"subscribe to these topics only: {known}")


def _signature(key: bytes, body: bytes) -> bytes:
    return base64.b64encode(hmac.digest(key, body, hashlib.sha256))


def _optional_header(request: Request, name: str) -> str:
    return (request.headers.get(name) or request.headers.get(name.removeprefix("x-")) or "").strip()


def _header(request: Request, name: str) -> str:
    value = _optional_header(request, name)
    if not value:
        raise AuthenticationError(f"header {name} is missing")
    if len(value) > 256 or not value.isascii() or not value.isprintable():
        raise AuthenticationError(f"header {name} is not a printable ASCII text of at most 256 characters")
    return value


@dataclass(frozen=True, slots=True)
class _Order:
    """What all lines of one order share. ``fulfilled`` is units by line id, or None where the body is silent."""

    source: Source
    channel: ChannelId
    id: str
    updated_at: datetime
    cancelled_at: datetime | None
    fulfilled: Mapping[str, int] | None
    origin: Origin
    lines: Sequence[object]


def _read_order(message: Message, source: Source, topic: str) -> _Order:
    if source.channel is None:
        refuse(
            "invalid_field",
            "source.channel",
            "is not declared, so nobody can say which channel's promise these orders use",
            "declare the channel that this shop sells through",
        )
    body = Fields(parse_json(message.body), "")
    order_id = body.number_or_text("id")
    updated_at = _updated_at(body, message)
    cancelled_at = body.moment("cancelled_at") if body.has("cancelled_at") else None
    if cancelled_at is None and topic == "orders/cancelled":
        cancelled_at = updated_at
    return _Order(
        source=source,
        channel=source.channel,
        id=order_id,
        updated_at=updated_at,
        cancelled_at=cancelled_at,
        fulfilled=_fulfilled(body),
        origin=Origin(source.id, message.id, (("order", order_id),)),
        lines=body.items("line_items"),
    )


def _updated_at(body: Fields, message: Message) -> datetime:
    """Return the order's version: its own ``updated_at``, or when Shopify triggered the webhook."""
    triggered_at = message.headers.get("x-shopify-triggered-at")
    if body.has("updated_at") or not triggered_at:
        return body.moment("updated_at")
    return aware(triggered_at, "x-shopify-triggered-at")


def _fulfilled(body: Fields) -> Mapping[str, int] | None:
    if not body.has("fulfillments"):
        return None
    units: dict[str, int] = {}
    for index, value in enumerate(body.items("fulfillments")):
        fulfilment = Fields(value, f"fulfillments[{index}]")
        if fulfilment.text_or("status", "success") not in _FULFILMENTS_THAT_COUNT:
            continue
        for position, item in enumerate(fulfilment.items("line_items")):
            line = Fields(item, f"fulfillments[{index}].line_items[{position}]")
            line_id = line.number_or_text("id")
            units[line_id] = units.get(line_id, 0) + line.quantity("quantity")
    return units


def _lines(order: _Order) -> Iterator[Report | Fault]:
    for index, value in enumerate(order.lines):
        try:
            yield from _line(order, Fields(value, f"line_items[{index}]"))
        except UnreadableError as error:
            yield error.fault


def _line(order: _Order, line: Fields) -> list[Report]:
    if _takes_no_stock(line):
        return []
    code, code_kind = _code(line)
    line_id = line.number_or_text("id")
    version = instant(order.updated_at)
    ordered = Demand(
        key=event_key(order.source.id, "order", order.id, line_id, DemandEffect.ORDERED, version),
        sku=Sku(code),
        channel=order.channel,
        order=order.id,
        line=line_id,
        effect=DemandEffect.ORDERED,
        quantity=_asked_for(line, None if order.fulfilled is None else order.fulfilled.get(line_id, 0)),
        occurred_at=order.updated_at,
        origin=order.origin,
        version=version,
    )
    reports = [Report(ordered, code_kind)]
    if order.cancelled_at is not None:
        cancelled = Demand(
            key=event_key(order.source.id, "order", order.id, line_id, DemandEffect.CANCELLED, "cancel"),
            sku=Sku(code),
            channel=order.channel,
            order=order.id,
            line=line_id,
            effect=DemandEffect.CANCELLED,
            quantity=line.quantity("quantity"),
            occurred_at=order.cancelled_at,
            origin=order.origin,
            document="cancel",
        )
        reports.append(Report(cancelled, code_kind))
    return reports


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


def _asked_for(line: Fields, fulfilled: int | None) -> int:
    """Return how many units the order wants of this line, shipped ones included; see the module."""
    quantity = line.quantity("quantity")
    current = line.quantity("current_quantity") if line.has("current_quantity") else quantity
    if fulfilled is None or not line.has("fulfillable_quantity"):
        return current
    owed = fulfilled + line.quantity("fulfillable_quantity")
    return max(current, min(quantity, owed))


def _level(message: Message, source: Source) -> list[Report | Fault]:
    body = Fields(parse_json(message.body), "")
    item, location = body.number_or_text("inventory_item_id"), body.number_or_text("location_id")
    as_of = body.moment("updated_at")
    if "available" in body.values and body.values["available"] is None:
        return []
    # Shopify sells below zero where overselling is allowed, and says so.
    available = body.quantity("available", least=-_MAX_OVERSOLD)
    version = instant(as_of)
    count = Count(
        key=event_key(source.id, "level", item, location, "available", version),
        sku=Sku(item),
        location=LocationId(location),
        quantity=available,
        as_of=as_of,
        origin=Origin(source.id, message.id),
        element="available",
        version=version,
    )
    return [Report(count, "inventory_item_id")]


CONNECTOR = Shopify()

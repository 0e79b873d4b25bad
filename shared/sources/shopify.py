"""Shopify's webhooks (REST payloads), and its orders when we fetch them ourselves.

**Authentication.** ``X-Shopify-Hmac-Sha256`` is the base64 HMAC-SHA256 of the raw body under the app's client
secret; after a rotation the old secret may sign for up to an hour, so several are accepted. Shopify signs **no
timestamp**, so the replay window cannot apply; a replay is harmless because event keys are business keys (the
order line at its version, the level at its instant). Nor does it sign its headers: the topic only chooses how the
body is read, and the shop must be the declared one (option ``shop``). The preview form of the headers, without
``X-``, is read alike. A delivery is (shop, topic, webhook id); the event id spans topics and is only kept.

**Topics.** ``orders/create``, ``orders/updated`` and ``orders/cancelled`` carry the whole order and are read
alike; a fetched order comes as ``orders/updated`` with a body of the same shape. ``refunds/create``,
``fulfillments/create`` and ``fulfillments/update`` carry what the order's next version will repeat
(``shopify_orders.py``). ``inventory_levels/update`` carries one level; ``available: null`` says that the item is not tracked there, which is no number, so it yields
nothing.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable, Sequence
from datetime import datetime

from shared.domain.events import Count, Origin, instant
from shared.domain.messages import Message
from shared.domain.network import Source
from shared.domain.stock import LocationId, Sku
from shared.sources.contract import AuthenticationError, Delivery, Fault, Report, Request
from shared.sources.options import text
from shared.sources.reading import Fields, UnreadableError, event_key, parse_json, shown
from shared.sources.shopify_orders import (
    FULFILMENT_TOPICS,
    ORDER_TOPICS,
    REFUND_TOPICS,
    read_fulfilment,
    read_order,
    read_refund,
)

_LEVEL_TOPIC = "inventory_levels/update"
_KEPT_HEADERS = ("x-shopify-topic", "x-shopify-triggered-at", "x-shopify-event-id", "x-shopify-shop-domain")
_MAX_OVERSOLD = 999_999_999


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
        """Say what the message reports: an order document, or one inventory level."""
        topic = message.headers.get("x-shopify-topic", "")
        try:
            if topic in ORDER_TOPICS:
                return list(read_order(message, source, topic))
            if topic in REFUND_TOPICS:
                return list(read_refund(message, source))
            if topic in FULFILMENT_TOPICS:
                return list(read_fulfilment(message, source))
            if topic == _LEVEL_TOPIC:
                return _level(message, source)
        except UnreadableError as error:
            return [error.fault]
        return [_unsupported(topic)]


def _unsupported(topic: str) -> Fault:
    known = ", ".join(sorted({*ORDER_TOPICS, *REFUND_TOPICS, *FULFILMENT_TOPICS, _LEVEL_TOPIC}))
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


OPTIONS = {"shop": text}
CONNECTOR = Shopify()

"""The webhooks that the fake shop sends, signed as Shopify signs them.

A delivery that is repeated keeps its webhook id, as a retry of Shopify's does. Echoes of our own pushes are sent
from one background thread, in order, so that they never delay or deadlock the answer they are the echo of.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import queue
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from infra.local.fake_channels.shop import Order, Shop
from infra.local.fake_channels.shop_graphql import stamp
from shared.channels.contract import HttpRequest, NoAnswerError, NotSentError, Transport

API_VERSION = "2026-10"
SHOP_DOMAIN = "onecount-demo.myshopify.com"


@dataclass(frozen=True, slots=True)
class Destination:
    """Where webhooks go, and the secret that signs them."""

    url: str
    secret: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """One webhook, ready to be sent any number of times."""

    topic: str
    webhook_id: str
    event_id: str
    triggered_at: datetime
    body: bytes


class Deliveries:
    """Makes and sends the shop's webhooks."""

    def __init__(self, shop: Shop, clock: Callable[[], datetime], transport: Transport) -> None:
        self._shop = shop
        self._clock = clock
        self._transport = transport
        self._lock = threading.Lock()
        self._made = 0
        self._waiting: queue.Queue[tuple[Destination, Delivery] | None] = queue.Queue()
        self._worker = threading.Thread(target=self._work, name="webhook echoes", daemon=True)
        self._worker.start()

    def of_order(self, topic: str, order: Order) -> list[Delivery]:
        """Return the order's own webhook, then one level update for each of its items."""
        levels = [(line.item.id, line.location) for line in order.lines]
        return [self._make(topic, order_body(order)), *self.of_levels(dict.fromkeys(levels))]

    def of_levels(self, levels: Iterable[tuple[str, str]]) -> list[Delivery]:
        """Return an ``inventory_levels/update`` for each (item, location)."""
        return [
            self._make("inventory_levels/update", self._level_body(item, location))
            for item, location in levels
        ]

    def send(self, to: Destination, deliveries: Sequence[Delivery]) -> list[int]:
        """Send now, in this order; return each status, 0 where no answer came."""
        return [self._send(to, delivery) for delivery in deliveries]

    def send_later(self, to: Destination, deliveries: Sequence[Delivery]) -> None:
        """Send from the background thread."""
        for delivery in deliveries:
            self._waiting.put((to, delivery))

    def settle(self) -> None:
        """Wait until the background thread has sent everything."""
        self._waiting.join()

    def close(self) -> None:
        """Stop the background thread after what is waiting."""
        self._waiting.put(None)
        self._worker.join(timeout=5)

    def _work(self) -> None:
        while True:
            job = self._waiting.get()
            try:
                if job is None:
                    return
                self._send(*job)
            finally:
                self._waiting.task_done()

    def _make(self, topic: str, body: Mapping[str, object]) -> Delivery:
        with self._lock:
            self._made += 1
            number = self._made
        return Delivery(
            topic=topic,
            webhook_id=f"00000000-0000-4000-8000-{number:012d}",
            event_id=f"00000000-0000-4000-9000-{number:012d}",
            triggered_at=self._clock(),
            body=json.dumps(body, separators=(",", ":")).encode(),
        )

    def _level_body(self, item: str, location: str) -> Mapping[str, object]:
        tracked = self._shop.items[item].tracked
        return {
            "inventory_item_id": int(item),
            "location_id": int(location),
            "available": self._shop.levels.get((item, location)) if tracked else None,
            "updated_at": stamp(self._clock()),
            "admin_graphql_api_id": f"gid://shopify/InventoryLevel/{location}?inventory_item_id={item}",
        }

    def _send(self, to: Destination, delivery: Delivery) -> int:
        digest = hmac.new(to.secret.encode(), delivery.body, hashlib.sha256).digest()
        headers = {
            "Content-Type": "application/json",
            "X-Shopify-Topic": delivery.topic,
            "X-Shopify-Hmac-Sha256": base64.b64encode(digest).decode(),
            "X-Shopify-Shop-Domain": SHOP_DOMAIN,
            "X-Shopify-API-Version": API_VERSION,
            "X-Shopify-Webhook-Id": delivery.webhook_id,
            "X-Shopify-Event-Id": delivery.event_id,
            "X-Shopify-Triggered-At": delivery.triggered_at.isoformat().replace("+00:00", "Z"),
        }
        try:
            return self._transport.send(HttpRequest("POST", to.url, headers, delivery.body)).status
        except (NotSentError, NoAnswerError):
            return 0


def order_body(order: Order) -> Mapping[str, object]:
    """Write an order as Shopify's REST webhooks do, without a customer."""
    return {
        "id": order.id,
        "admin_graphql_api_id": f"gid://shopify/Order/{order.id}",
        "name": order.name,
        "created_at": stamp(order.created_at),
        "updated_at": stamp(order.updated_at),
        "cancelled_at": order.cancelled_at and stamp(order.cancelled_at),
        "line_items": [
            {
                "id": line.id,
                "sku": line.item.sku,
                "variant_id": int(line.item.variant),
                "variant_inventory_management": "shopify" if line.item.tracked else None,
                "quantity": line.quantity,
                "current_quantity": line.current,
                "fulfillable_quantity": line.current,
                "requires_shipping": True,
            }
            for line in order.lines
        ],
    }

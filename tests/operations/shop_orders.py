"""Orders of the scripted shop: they lower its own number at once, and reach us as webhooks or when we fetch them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from shared.channels.contract import FetchedOrder
from shared.domain.stock import MessageId, Sku
from tests.operations.house import House
from tests.operations.scripted_channel import ScriptedChannel


@dataclass(slots=True)
class ShopOrders:
    """Sells on a scripted channel and writes the orders as the shop does."""

    house: House
    channel: ScriptedChannel
    number: int = 1000

    def sell(self, sku: str, units: int) -> dict[str, Any]:
        """Sell some units; return the order, of which nobody has heard yet."""
        self.number += 1
        shown = self.channel.levels[Sku(sku)]
        assert shown is not None
        self.channel.levels[Sku(sku)] = shown - units
        now = self.house.clock().isoformat()
        order = {
            "id": self.number,
            "created_at": now,
            "updated_at": now,
            "cancelled_at": None,
            "line_items": [
                {
                    "id": self.number * 10,
                    "sku": sku,
                    "quantity": units,
                    "current_quantity": units,
                    "variant_inventory_management": "shopify",
                    "requires_shipping": True,
                }
            ],
        }
        self._publish(order)
        return order

    def cancel(self, order: dict[str, Any]) -> dict[str, Any]:
        """Cancel an order: the shop puts its units up again."""
        [line] = order["line_items"]
        shown = self.channel.levels[Sku(line["sku"])]
        assert shown is not None
        self.channel.levels[Sku(line["sku"])] = shown + line["quantity"]
        later = (self.house.clock() + timedelta(seconds=1)).isoformat()
        cancelled = {
            **order,
            "updated_at": later,
            "cancelled_at": later,
            "line_items": [{**line, "current_quantity": 0}],
        }
        self._publish(cancelled)
        return cancelled

    def _publish(self, order: dict[str, Any]) -> None:
        body = json.dumps(order, separators=(",", ":")).encode()
        fetched = FetchedOrder(body, {"x-shopify-topic": "orders/updated"})
        self.channel.orders.append((self.house.clock(), fetched))

    def hear(self, order: dict[str, Any]) -> MessageId:
        """Let the order's webhook arrive."""
        topic = "orders/create" if order["cancelled_at"] is None else "orders/cancelled"
        return self.house.store("shopify", order, x_shopify_topic=topic)

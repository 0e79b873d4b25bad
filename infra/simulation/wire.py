"""How the outside world writes: stock reports, orders of the shop, and their signatures, in its own words.

Written from the formats' documentation, not with the code that reads them.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from infra.simulation.house import OTHERWISE_SIGNED_BY, SECRETS
from infra.simulation.network import SHOP_DOMAIN, SHOP_LOCATION, SHOPFRONT
from infra.simulation.oracle import Leg
from infra.simulation.workload import Sale, Webhook
from shared.domain.stock import Counter, LocationId, StockKey

WITHHELD = {"quality_hold": Counter.QUALITY_HOLD, "damaged": Counter.DAMAGED}


@dataclass(frozen=True, slots=True)
class Refund:
    """Units of an order that were refunded before they were shipped."""

    number: int
    units: int
    at: datetime


@dataclass(slots=True)
class Order:
    """An order on the shop as the shop has it."""

    sale: Sale
    units: int
    claimed_at: datetime | None = None
    cancelled: bool = False
    refunds: list[Refund] = field(default_factory=list)

    @property
    def claimed(self) -> bool:
        """Whether the shop has said that it fulfilled the order."""
        return self.claimed_at is not None


def report_body(step: Webhook, occurred_at: datetime) -> dict[str, Any]:
    """Write a stock report."""
    happened = occurred_at.isoformat()
    lines = [
        {
            "line": str(number),
            "sku": line.code,
            "location": line.location,
            "quantity": line.quantity,
            **dict(line.extra),
        }
        for number, line in enumerate(step.lines, start=1)
    ]
    data: dict[str, Any] = {"document": step.document, "occurred_at": happened, "lines": lines}
    if step.version:
        data["version"] = step.version
    return {"type": f"stock.{step.type}", "timestamp": happened, "data": data}


def legs_of(type_: str, here: StockKey, quantity: int, extra: Mapping[str, str]) -> tuple[Leg, ...]:
    """Say what a report moves, as the documentation of the format has it."""
    match type_:
        case "receipt":
            return (Leg(here, Counter.ON_HAND, quantity),)
        case "shipment":
            return (Leg(here, Counter.ON_HAND, -quantity),)
        case "adjustment":
            return (Leg(here, Counter(extra.get("counter", "on_hand")), quantity),)
        case "hold":
            return (Leg(here, Counter.QUALITY_HOLD, quantity),)
        case "release":
            return (Leg(here, Counter.QUALITY_HOLD, -quantity),)
        case "damage":
            return (Leg(here, Counter.DAMAGED, quantity),)
        case "return":
            disposition = WITHHELD.get(extra["disposition"])
            withheld = () if disposition is None else (Leg(here, disposition, quantity),)
            return (Leg(here, Counter.ON_HAND, quantity), *withheld)
        case "transfer_ship":
            there = StockKey(here.sku, LocationId(extra["to_location"]))
            return (Leg(here, Counter.ON_HAND, -quantity), Leg(there, Counter.IN_TRANSIT, quantity))
        case "transfer_receive":
            return (Leg(here, Counter.IN_TRANSIT, -quantity), Leg(here, Counter.ON_HAND, quantity))
    return ()


def order_body(order: Order, updated_at: datetime) -> dict[str, Any]:
    """Write an order as the shop sends it."""
    number = order.sale.number
    line = {
        "id": number * 10,
        "sku": order.sale.sku,
        "quantity": order.sale.units,
        "current_quantity": order.units,
        "fulfillable_quantity": 0 if order.claimed else order.units,
        "variant_inventory_management": "shopify",
        "requires_shipping": True,
    }
    claimed = {
        "id": number * 10 + 5,
        "order_id": number,
        "status": "success",
        "location_id": int(SHOP_LOCATION),
        "created_at": None if order.claimed_at is None else order.claimed_at.isoformat(),
        "updated_at": updated_at.isoformat(),
        "line_items": [{"id": number * 10, "quantity": order.units}],
    }
    return {
        "id": number,
        "updated_at": updated_at.isoformat(),
        "cancelled_at": updated_at.isoformat() if order.cancelled else None,
        "line_items": [line],
        "fulfillments": [claimed] if order.claimed else [],
        "refunds": [refund_body(order, refund) for refund in order.refunds],
    }


def refund_body(order: Order, refund: Refund) -> dict[str, Any]:
    """Write a refund as the shop sends it, by itself or within its order."""
    number = order.sale.number
    item = {"id": number * 10, "sku": order.sale.sku, "quantity": order.sale.units}
    line = {
        "id": refund.number,
        "line_item_id": number * 10,
        "quantity": refund.units,
        "restock_type": "cancel",
        "location_id": None,
        "line_item": {**item, "variant_inventory_management": "shopify", "requires_shipping": True},
    }
    return {
        "id": refund.number + 1,
        "order_id": number,
        "created_at": refund.at.isoformat(),
        "refund_line_items": [line],
    }


def signed(body: bytes, delivery: str, now: datetime) -> dict[str, str]:
    """Sign as Standard Webhooks has it."""
    stamp = str(int(now.timestamp()))
    secret = base64.b64decode(OTHERWISE_SIGNED_BY.removeprefix("whsec_"))
    signed = b".".join((delivery.encode(), stamp.encode(), body))
    signature = base64.b64encode(hmac.digest(secret, signed, "sha256")).decode()
    return {"webhook-id": delivery, "webhook-timestamp": stamp, "webhook-signature": f"v1,{signature}"}


def signed_by_shop(body: bytes, topic: str, hook: str) -> dict[str, str]:
    """Sign as the shop does."""
    signature = base64.b64encode(hmac.digest(SECRETS[SHOPFRONT].encode(), body, "sha256")).decode()
    return {
        "x-shopify-hmac-sha256": signature,
        "x-shopify-topic": topic,
        "x-shopify-shop-domain": SHOP_DOMAIN,
        "x-shopify-webhook-id": hook,
    }

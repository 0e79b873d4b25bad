"""Shopify's order documents: refunds and fulfilments, each the same event wherever it is told."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from shared.domain.events import Demand, DemandEffect, effect_hash
from shared.domain.messages import FETCHED_AT, Message
from shared.domain.network import Source
from shared.domain.stock import ChannelId, MessageId, SourceId
from shared.sources.contract import Fault, Report
from shared.sources.registry import webhook_connector

CONNECTOR = webhook_connector("shopify")
SOURCE = Source(SourceId("shop"), "shopify", channel=ChannelId("shop"))
NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
ORDERED, CANCELLED = DemandEffect.ORDERED, DemandEffect.CANCELLED
FULFILLED, UNFULFILLED, RETURNED = (
    DemandEffect.FULFILLED,
    DemandEffect.UNFULFILLED,
    DemandEffect.RETURNED,
)


def told(body: object, topic: str, **headers: str) -> list[Report | Fault]:
    kept = {"x-shopify-topic": topic, **headers}
    message = Message(MessageId("m"), SOURCE.id, json.dumps(body).encode(), NOW, kept)
    return list(CONNECTOR.translate(message, SOURCE))


def demands(body: object, topic: str, **headers: str) -> list[Demand]:
    events = [answer.event for answer in told(body, topic, **headers) if isinstance(answer, Report)]
    return [event for event in events if isinstance(event, Demand)]


def refund(restock: str = "cancel", units: int = 1, **fields: Any) -> dict[str, Any]:
    item = {"id": 11, "sku": "TEA", "quantity": 3, "variant_inventory_management": "shopify"}
    line = {"id": 801, "line_item_id": 11, "quantity": units, "restock_type": restock, "line_item": item}
    line |= {"location_id": 77 if restock == "return" else None}
    return {
        "id": 800,
        "order_id": 1,
        "created_at": "2026-11-21T09:30:00Z",
        "refund_line_items": [line],
    } | fields


def fulfilment(**fields: Any) -> dict[str, Any]:
    return {
        "id": 900,
        "order_id": 1,
        "status": "success",
        "location_id": 77,
        "created_at": "2026-11-21T10:00:00Z",
        "updated_at": "2026-11-21T10:00:00Z",
        "line_items": [{"id": 11, "sku": "TEA", "quantity": 2}],
    } | fields


def order(**fields: Any) -> dict[str, Any]:
    line = {"id": 11, "sku": "TEA", "quantity": 3, "current_quantity": 3, "fulfillable_quantity": 3}
    line |= {name: fields.pop(name) for name in list(fields) if name in line}
    body = {
        "id": 1,
        "updated_at": "2026-11-21T09:00:00Z",
        "line_items": [line],
        "refunds": [],
        "fulfillments": [],
    }
    return body | fields


def same(one: Demand, other: Demand) -> bool:
    return (one.key, effect_hash(one)) == (other.key, effect_hash(other))


def test_a_refund_of_units_not_shipped_cancels_them_under_the_refund_lines_own_id() -> None:
    (cancelled,) = demands(refund(), "refunds/create")
    assert (cancelled.effect, cancelled.quantity, cancelled.document) == (CANCELLED, 1, "refund/801")
    assert (cancelled.order, cancelled.line, cancelled.sku) == ("1", "11", "TEA")
    assert cancelled.occurred_at == datetime(2026, 11, 21, 9, 30, tzinfo=UTC)
    assert cancelled.key == "shop/order/1/11/cancelled/refund%2F801"


def test_an_order_repeats_its_refund_as_the_same_event_and_takes_the_units_off_once() -> None:
    (alone,) = demands(refund(), "refunds/create")
    body = order(current_quantity=2, fulfillable_quantity=2, refunds=[refund()])
    ordered, again = demands(body, "orders/updated")
    assert (ordered.effect, ordered.quantity) == (ORDERED, 3)
    assert same(alone, again)


def test_a_refund_without_restock_of_units_not_shipped_is_read_from_the_orders_own_numbers() -> None:
    assert demands(refund("no_restock"), "refunds/create") == []
    body = order(current_quantity=2, fulfillable_quantity=2, refunds=[refund("no_restock")])
    (ordered,) = demands(body, "orders/updated")
    assert ordered.quantity == 2


def test_a_refund_of_shipped_units_says_where_they_came_back_and_frees_nothing() -> None:
    (back,) = demands(refund("return", 2), "refunds/create")
    assert (back.effect, back.quantity, back.location) == (RETURNED, 2, "77")
    shipped = fulfilment(line_items=[{"id": 11, "sku": "TEA", "quantity": 3}])
    body = order(
        current_quantity=1, fulfillable_quantity=0, refunds=[refund("return", 2)], fulfillments=[shipped]
    )
    ordered, again, _ = demands(body, "orders/updated")
    assert ordered.quantity == 3
    assert same(back, again)


def test_one_line_refunded_twice_in_one_refund_is_two_documents() -> None:
    body = refund()
    body["refund_line_items"].append({**body["refund_line_items"][0], "id": 802})
    assert [demand.document for demand in demands(body, "refunds/create")] == ["refund/801", "refund/802"]


def test_a_fulfilment_is_the_same_event_created_updated_or_within_its_order() -> None:
    (created,) = demands(fulfilment(), "fulfillments/create")
    assert (created.effect, created.quantity, created.location) == (FULFILLED, 2, "77")
    assert created.document == "900"
    (updated,) = demands(fulfilment(updated_at="2026-11-21T11:00:00Z"), "fulfillments/update")
    _, within = demands(order(fulfillments=[fulfilment()]), "orders/updated")
    assert same(created, updated)
    assert same(created, within)


def test_a_fulfilment_called_off_is_both_made_and_called_off() -> None:
    body = fulfilment(status="cancelled", updated_at="2026-11-21T12:00:00Z")
    made, off = demands(body, "fulfillments/update")
    assert (made.effect, off.effect) == (FULFILLED, UNFULFILLED)
    assert (made.quantity, off.quantity) == (2, 2)
    assert off.occurred_at == datetime(2026, 11, 21, 12, tzinfo=UTC)


def test_a_line_twice_in_one_fulfilment_is_shipped_once_with_the_sum() -> None:
    line = {"id": 11, "sku": "TEA", "quantity": 2}
    (shipped,) = demands(fulfilment(line_items=[line, line]), "fulfillments/create")
    assert shipped.quantity == 4


def test_a_document_that_names_no_location_leaves_it_to_us() -> None:
    (claim,) = demands(fulfilment(location_id=None), "fulfillments/create")
    assert claim.location is None
    assert claim.is_assumed
    (ordered,) = demands(order(), "orders/create")
    assert ordered.is_assumed


def test_a_line_that_takes_no_stock_is_neither_refunded_nor_shipped() -> None:
    gift = {"id": 11, "sku": "GIFT", "quantity": 2, "requires_shipping": False}
    gift |= {"variant_inventory_management": None}
    body = refund()
    body["refund_line_items"][0]["line_item"] = gift
    assert demands(body, "refunds/create") == []
    assert demands(fulfilment(line_items=[gift]), "fulfillments/create") == []


def test_a_bad_refund_line_is_a_fault_and_the_rest_of_the_order_is_read() -> None:
    body = order(refunds=[refund("return")])
    body["refunds"][0]["refund_line_items"][0]["quantity"] = "1"
    answers = told(body, "orders/updated")
    assert [type(answer) for answer in answers] == [Report, Fault]
    assert isinstance(answers[1], Fault)
    assert answers[1].field == "refunds[0].refund_line_items[0].quantity"
    assert answers[1].remedy


def test_a_fetched_order_says_when_its_fetch_began() -> None:
    (fetched,) = demands(order(), "orders/updated", **{FETCHED_AT: "2026-11-21T09:00:05Z"})
    (sent,) = demands(order(), "orders/updated")
    assert fetched.fetched_at == datetime(2026, 11, 21, 9, 0, 5, tzinfo=UTC)
    assert same(fetched, sent)
    assert replace(fetched, fetched_at=None) == sent

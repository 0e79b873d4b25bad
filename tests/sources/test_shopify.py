"""Shopify as a source: who is let in, what an order asks for, and what a level says."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from shared.domain.events import Count, Demand, DemandEffect, effect_hash
from shared.domain.messages import Message
from shared.domain.network import Source
from shared.domain.stock import ChannelId, MessageId, SourceId
from shared.sources.contract import AuthenticationError, Fault, Report, Request
from shared.sources.registry import webhook_connector

FIXTURES = Path(__file__).parents[1] / "fixtures" / "sources"
CONNECTOR = webhook_connector("shopify")
SOURCE = Source(
    SourceId("shop"), "shopify", channel=ChannelId("shop"), options={"shop": "tea-house.myshopify.com"}
)
NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
SECRET = "shpss_a-client-secret"
BODY = b'{"id": 1}'
LINE_1, LINE_2, LINE_3 = "14210007730282001", "14210007730282002", "14210007730282003"


def signature(body: bytes, secret: str) -> str:
    return base64.b64encode(hmac.new(secret.encode(), body, hashlib.sha256).digest()).decode()


def request(**changed: str | None) -> Request:
    headers: dict[str, str | None] = {
        "x-shopify-hmac-sha256": signature(BODY, SECRET),
        "x-shopify-topic": "orders/create",
        "x-shopify-shop-domain": "tea-house.myshopify.com",
        "x-shopify-webhook-id": "w-1",
        "x-shopify-event-id": "e-1",
        "x-shopify-triggered-at": "2026-11-21T08:59:58.123456789Z",
        **{name.replace("_", "-"): value for name, value in changed.items()},
    }
    return Request({name: value for name, value in headers.items() if value is not None}, BODY)


def refusal(asked: Request, *secrets: str, source: Source = SOURCE) -> str:
    with pytest.raises(AuthenticationError) as refused:
        CONNECTOR.authenticate(asked, secrets, NOW, source)
    return refused.value.reason


class TestAuthentication:
    def test_a_signed_request_is_a_delivery_of_shop_topic_and_webhook_id(self) -> None:
        delivery = CONNECTOR.authenticate(request(), [SECRET], NOW, SOURCE)
        assert delivery.id == "tea-house.myshopify.com|orders/create|w-1"
        assert delivery.headers == {
            "x-shopify-topic": "orders/create",
            "x-shopify-triggered-at": "2026-11-21T08:59:58.123456789Z",
            "x-shopify-event-id": "e-1",
            "x-shopify-shop-domain": "tea-house.myshopify.com",
        }

    @pytest.mark.parametrize("secrets", [["new", SECRET], [SECRET, "new"]])
    def test_after_a_rotation_the_old_secret_still_proves(self, secrets: list[str]) -> None:
        assert CONNECTOR.authenticate(request(), secrets, NOW, SOURCE).id

    def test_headers_without_the_x_are_read_alike(self) -> None:
        bare = Request({k.removeprefix("x-"): v for k, v in request().headers.items()}, BODY)
        assert CONNECTOR.authenticate(bare, [SECRET], NOW, SOURCE) == CONNECTOR.authenticate(
            request(), [SECRET], NOW, SOURCE
        )

    def test_another_secret_or_another_body_is_refused(self) -> None:
        assert "fits no secret" in refusal(request(), "other")
        assert "fits no secret" in refusal(replace(request(), body=b"{}"), SECRET)

    @pytest.mark.parametrize("value", ["", "é", "not base64", signature(BODY, "")])
    def test_a_garbled_signature_is_refused(self, value: str) -> None:
        refusal(request(x_shopify_hmac_sha256=value), SECRET)

    def test_an_empty_secret_lets_nobody_in(self) -> None:
        forged = request(x_shopify_hmac_sha256=signature(BODY, ""))
        assert "no secret" in refusal(forged, "")
        assert "no secret" in refusal(forged)

    @pytest.mark.parametrize(
        "header",
        ["x-shopify-hmac-sha256", "x-shopify-topic", "x-shopify-shop-domain", "x-shopify-webhook-id"],
    )
    def test_a_missing_header_is_named(self, header: str) -> None:
        asked = request(**{header.replace("-", "_"): None})
        assert refusal(asked, SECRET) == f"header {header} is missing"

    def test_another_shop_than_the_declared_one_is_refused(self) -> None:
        asked = request(x_shopify_shop_domain="coffee-house.myshopify.com")
        assert "coffee-house" in refusal(asked, SECRET)
        assert CONNECTOR.authenticate(asked, [SECRET], NOW, replace(SOURCE, options={})).id


def fixture(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((FIXTURES / name).read_text())
    return loaded


def order(change: Callable[[dict[str, Any]], object] = lambda body: None, **fields: Any) -> dict[str, Any]:
    body = {**fixture("shopify_order.json"), **fields}
    change(body)
    return body


def only_line(**fields: Any) -> dict[str, Any]:
    body = fixture("shopify_order.json")
    return {**body, "line_items": [{**body["line_items"][0], **fields}]}


def translate(
    body: object, topic: str = "orders/create", source: Source = SOURCE, **headers: str
) -> list[Report | Fault]:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    kept = {"x-shopify-topic": topic, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return list(CONNECTOR.translate(Message(MessageId("m-1"), source.id, raw, NOW, kept), source))


def demands(body: object, topic: str = "orders/create") -> list[Demand]:
    events = [answer.event for answer in translate(body, topic) if isinstance(answer, Report)]
    return [event for event in events if isinstance(event, Demand)]


def only_fault(body: object, topic: str = "orders/create", source: Source = SOURCE) -> Fault:
    (fault,) = translate(body, topic, source)
    assert isinstance(fault, Fault)
    assert fault.remedy
    return fault


class TestOrders:
    def test_each_line_that_takes_stock_is_ordered_at_the_order_s_version(self) -> None:
        first, second = demands(order())
        assert (first.order, first.line, first.quantity) == ("5811908804713001", LINE_1, 3)
        assert first.effect is DemandEffect.ORDERED
        assert first.channel == "shop"
        assert first.version == "2026-11-21T08:14:05.000000Z"
        assert first.key == f"shop/order/5811908804713001/{LINE_1}/ordered/2026-11-21T08:14:05.000000Z"
        assert second.line == LINE_2

    def test_a_line_without_a_sku_is_known_by_its_variant(self) -> None:
        reports = [answer for answer in translate(order()) if isinstance(answer, Report)]
        assert [(report.event.sku, report.code_kind) for report in reports] == [
            ("TEA-EARL-100", "sku"),
            ("46119221035114", "variant_id"),
        ]

    def test_versions_order_as_text_though_written_in_other_zones(self) -> None:
        (earlier,) = demands(only_line() | {"updated_at": "2026-11-21T10:00:00+02:00"})
        (later,) = demands(only_line() | {"updated_at": "2026-11-21T03:00:01-05:00"})
        assert earlier.version < later.version

    def test_created_and_fetched_state_of_one_version_is_the_same_event(self) -> None:
        (created,) = demands(only_line())
        (fetched,) = demands(
            {
                "id": "5811908804713001",
                "updated_at": "2026-11-21T08:14:05Z",
                "line_items": [
                    {"id": LINE_1, "sku": "TEA-EARL-100", "quantity": 3, "current_quantity": 3},
                ],
            },
            "orders/updated",
        )
        assert fetched.key == created.key
        assert effect_hash(fetched) == effect_hash(created)

    @pytest.mark.parametrize(
        ("fields", "asked_for"),
        [
            ({"quantity": 3, "current_quantity": 2, "fulfillable_quantity": 2}, 2),
            ({"quantity": 3, "current_quantity": 0, "fulfillable_quantity": 0}, 0),
            ({"quantity": 3, "current_quantity": None, "fulfillable_quantity": None}, 3),
        ],
    )
    def test_units_removed_from_the_order_are_no_longer_asked_for(
        self, fields: dict[str, Any], asked_for: int
    ) -> None:
        (demand,) = demands(only_line(**fields), "orders/updated")
        assert demand.quantity == asked_for

    def test_a_shipped_unit_that_came_back_frees_nothing_of_what_is_still_owed(self) -> None:
        body = only_line(quantity=3, current_quantity=2, fulfillable_quantity=2)
        body["fulfillments"] = [
            {"id": 1, "status": "success", "line_items": [{"id": int(LINE_1), "quantity": 1}]},
            {"id": 2, "status": "cancelled", "line_items": [{"id": int(LINE_1), "quantity": 2}]},
        ]
        ordered, *claims = demands(body, "orders/updated")
        assert ordered.quantity == 3
        assert [(claim.effect, claim.document, claim.quantity) for claim in claims] == [
            (DemandEffect.FULFILLED, "1", 1),
            (DemandEffect.FULFILLED, "2", 2),
            (DemandEffect.UNFULFILLED, "2", 2),
        ]

    @pytest.mark.parametrize(
        ("fields", "takes_stock"),
        [
            ({"variant_inventory_management": None}, True),
            ({"variant_inventory_management": None, "sku": None}, False),
            ({"variant_inventory_management": None, "requires_shipping": False}, False),
            ({"variant_inventory_management": "shopify", "requires_shipping": False}, True),
            ({"variant_inventory_management": "a-fulfilment-service"}, True),
        ],
    )
    def test_a_line_takes_stock_if_it_is_tracked_or_is_shipped_under_a_sku(
        self, fields: dict[str, Any], takes_stock: bool
    ) -> None:
        assert bool(translate(only_line(**fields))) is takes_stock

    def test_one_bad_line_is_a_fault_and_the_others_are_read(self) -> None:
        answers = translate(order(lambda body: body["line_items"][0].update(quantity="3")))
        assert [type(answer) for answer in answers] == [Fault, Report]
        assert isinstance(answers[0], Fault)
        assert answers[0].field == "line_items[0].quantity"

    def test_a_tracked_line_without_sku_and_variant_is_a_fault(self) -> None:
        assert only_fault(only_line(sku=None, variant_id=None)).field == "line_items[0].sku"

    def test_a_source_without_a_channel_is_told_to_declare_it(self) -> None:
        fault = only_fault(order(), source=replace(SOURCE, channel=None))
        assert fault.field == "source.channel"
        assert "declare the channel" in fault.remedy

    def test_an_order_without_its_own_version_takes_the_webhook_s(self) -> None:
        (report,) = translate(
            only_line() | {"updated_at": None}, x_shopify_triggered_at="2026-11-21T08:59:58.123456789Z"
        )
        assert isinstance(report, Report)
        assert report.event.key.endswith("2026-11-21T08:59:58.123456Z")
        assert only_fault(only_line() | {"updated_at": None}).field == "updated_at"


class TestCancelledOrders:
    def cancelled(self, **line: Any) -> dict[str, Any]:
        return only_line(**line) | {
            "cancelled_at": "2026-11-21T10:00:00+01:00",
            "updated_at": "2026-11-21T10:00:01+01:00",
        }

    def test_a_cancelled_order_says_what_was_ordered_and_that_all_of_it_is_cancelled(self) -> None:
        ordered, cancelled = demands(self.cancelled(), "orders/cancelled")
        assert (ordered.effect, ordered.quantity) == (DemandEffect.ORDERED, 3)
        assert (cancelled.effect, cancelled.quantity) == (DemandEffect.CANCELLED, 3)
        assert cancelled.document == "cancel"
        assert cancelled.occurred_at == datetime(2026, 11, 21, 9, 0, tzinfo=UTC)

    def test_every_later_telling_of_the_cancellation_is_the_same_event(self) -> None:
        _, at_once = demands(self.cancelled(), "orders/cancelled")
        later = self.cancelled(current_quantity=0, fulfillable_quantity=0) | {
            "updated_at": "2026-11-22T10:00:01+01:00"
        }
        restocked, again = demands(later, "orders/updated")
        assert restocked.quantity == 0
        assert again.key == at_once.key
        assert effect_hash(again) == effect_hash(at_once)

    def test_the_topic_alone_says_cancelled_too(self) -> None:
        effects = [demand.effect for demand in demands(only_line(), "orders/cancelled")]
        assert effects == [DemandEffect.ORDERED, DemandEffect.CANCELLED]


class TestInventoryLevels:
    def level(self, **fields: Any) -> dict[str, Any]:
        return {**fixture("shopify_inventory_level.json"), **fields}

    def test_a_level_is_a_count_of_available_in_the_shop_s_own_codes(self) -> None:
        (report,) = translate(self.level(), "inventory_levels/update")
        assert isinstance(report, Report)
        assert isinstance(report.event, Count)
        assert report.code_kind == "inventory_item_id"
        count = report.event
        assert (count.sku, count.location, count.quantity) == ("48231187267881", "71093584105", 17)
        assert count.element == "available"
        assert count.as_of == datetime(2026, 11, 21, 9, 2, 41, tzinfo=UTC)
        assert count.key == "shop/level/48231187267881/71093584105/available/2026-11-21T09:02:41.000000Z"

    def test_null_means_untracked_and_is_not_zero(self) -> None:
        assert translate(self.level(available=None), "inventory_levels/update") == []

    def test_an_oversold_level_is_believed(self) -> None:
        (report,) = translate(self.level(available=-2), "inventory_levels/update")
        assert isinstance(report, Report)
        assert isinstance(report.event, Count)
        assert report.event.quantity == -2

    @pytest.mark.parametrize("available", ["17", 17.0, True, 10**13])
    def test_a_level_that_is_no_whole_number_is_refused(self, available: object) -> None:
        assert only_fault(self.level(available=available), "inventory_levels/update").field == "available"

    def test_a_level_that_does_not_say_available_at_all_is_refused(self) -> None:
        body = {name: value for name, value in self.level().items() if name != "available"}
        assert only_fault(body, "inventory_levels/update").code == "missing_field"


def test_another_topic_is_unsupported_and_the_read_ones_are_told() -> None:
    fault = only_fault({}, "products/update")
    assert (fault.code, fault.field) == ("unsupported", "x-shopify-topic")
    assert "inventory_levels/update" in fault.remedy


def test_ids_beyond_what_a_float_holds_are_kept_to_the_digit() -> None:
    (demand,) = demands(only_line(id=9007199254740993) | {"id": 18446744073709551617})
    assert (demand.order, demand.line) == ("18446744073709551617", "9007199254740993")

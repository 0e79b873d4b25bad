"""Shopify's refusals, each through the real HTTP server or, where a shop would have to break, a canned answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from infra.local.fake_channels.server import FakeChannels
from shared.channels.contract import (
    ChannelError,
    Confirmed,
    Deferred,
    HttpRequest,
    HttpResponse,
    NoAnswerError,
    Refused,
    Stale,
    Unknown,
)
from shared.channels.options import Secret
from shared.channels.shopify import ShopifyChannel
from shared.channels.shopify_admin import SET_QUANTITIES, ShopifyAdmin
from shared.channels.transport import HttpTransport
from tests.channels.arrange import (
    LOCATION,
    Bench,
    CannedTransport,
    answered,
    by_listing,
    listing,
    offer,
    shopify_bench,
)

SHOP_OPTIONS = {"shop_domain": "demo.myshopify.com"}


def channel_answered(*answers: HttpResponse | Exception) -> tuple[ShopifyChannel, CannedTransport]:
    transport = CannedTransport(list(answers))
    return ShopifyChannel.from_options(SHOP_OPTIONS, Secret("shpat_x"), transport), transport


def user_error(code: str | None, field: list[str] | None = None) -> HttpResponse:
    error = {"code": code, "field": field, "message": "as told"}
    return answered(200, {"data": {"inventorySetQuantities": {"userErrors": [error]}}})


def written() -> HttpResponse:
    payload = {"inventoryAdjustmentGroup": {"id": "gid://shopify/X/1"}, "userErrors": []}
    return answered(200, {"data": {"inventorySetQuantities": payload}})


def test_the_mutation_states_what_the_contract_asks_for() -> None:
    channel, transport = channel_answered(written())

    channel.push([offer(0, 3, expected=5), offer(1, 4)])

    (request,) = transport.sent
    sent = json.loads(request.body)
    change = sent["variables"]["input"]
    key = sent["variables"]["key"]
    assert request.url == "https://demo.myshopify.com/admin/api/2026-10/graphql.json"
    assert request.headers["X-Shopify-Access-Token"] == "shpat_x"
    assert "@idempotent(key: $key)" in sent["query"]
    assert (change["name"], change["reason"]) == ("available", "correction")
    assert change["referenceDocumentUri"] == f"gid://onecount/Push/{key}"
    assert change["quantities"] == [
        {
            "inventoryItemId": "gid://shopify/InventoryItem/1000",
            "locationId": "gid://shopify/Location/77",
            "quantity": 3,
            "changeFromQuantity": 5,
        },
        {
            "inventoryItemId": "gid://shopify/InventoryItem/1001",
            "locationId": "gid://shopify/Location/77",
            "quantity": 4,
            "changeFromQuantity": None,
        },
    ]


def test_the_key_follows_the_content_not_the_order_of_the_offers() -> None:
    channel, transport = channel_answered(written())
    first, second = offer(0, 3, expected=5), offer(1, 4)

    channel.push([first, second])
    channel.push([second, first])
    channel.push([replace(first, expected=6), second])

    keys = [json.loads(request.body)["variables"]["key"] for request in transport.sent]
    assert keys[0] == keys[1]
    assert keys[1] != keys[2]
    assert transport.sent[0].body == transport.sent[1].body


@pytest.mark.parametrize("anonymous", [False, True], ids=["entry named", "field null"])
def test_stale_offers_are_separated_from_a_batch_whether_or_not_the_answer_names_them(
    shop: Bench, anonymous: bool
) -> None:
    shop.stock(*range(20))
    shop.tell("behave", anonymous_errors=anonymous)
    offers = [offer(n, 50, expected=99 if n in (4, 11) else n) for n in range(20)]

    outcomes = by_listing(shop.connector.push(offers))

    assert {one for one in outcomes.values() if isinstance(one, Stale)} == {
        Stale(listing(4), observed=4),
        Stale(listing(11), observed=11),
    }
    assert shop.levels(20) == [n if n in (4, 11) else 50 for n in range(20)]
    assert shop.writes()[-1] == "written"
    assert len(shop.writes()) == 2


def test_an_unnamed_refusal_is_narrowed_down_by_halving(shop: Bench) -> None:
    shop.stock(*[5] * 20)
    shop.tell("create_items", items=[bundle_item(13)])
    shop.tell("behave", anonymous_errors=True)

    outcomes = by_listing(shop.connector.push([offer(n, 6) for n in range(20)]))

    refused = [outcome for outcome in outcomes.values() if isinstance(outcome, Refused)]
    assert [(one.listing, one.code) for one in refused] == [(listing(13), "NON_MUTABLE_INVENTORY_ITEM")]
    assert shop.levels(20) == [5 if n == 13 else 6 for n in range(20)]


def test_what_cannot_be_separated_within_the_bound_is_deferred_not_lost(shop: Bench) -> None:
    shop.stock(*[5] * 64)
    shop.tell("create_items", items=[bundle_item(n) for n in range(0, 64, 2)])
    shop.tell("behave", anonymous_errors=True)

    outcomes = by_listing(shop.connector.push([offer(n, 6) for n in range(64)]))

    deferred = [outcome.listing for outcome in outcomes.values() if isinstance(outcome, Deferred)]
    confirmed = [outcome.listing for outcome in outcomes.values() if isinstance(outcome, Confirmed)]
    levels = shop.levels(64)
    assert deferred
    assert all(levels[int(one.external_id) - 1000] == 5 for one in deferred)
    assert all(levels[int(one.external_id) - 1000] == 6 for one in confirmed)
    assert len(shop.writes()) < 20


def bundle_item(number: int) -> Mapping[str, object]:
    item = {"item_id": 1000 + number, "location_id": LOCATION, "sku": f"SKU-{number}", "quantity": 5}
    return {**item, "bundle": True}


def test_each_refusal_of_an_entry_is_told_with_its_code(shop: Bench) -> None:
    shop.stock(5, 5, 5)
    shop.tell("create_items", items=[bundle_item(1), {**bundle_item(7), "bundle": False, "location_id": 88}])
    elsewhere = replace(listing(2), external_location="99")

    outcomes = by_listing(
        shop.connector.push(
            [offer(0, 6), offer(1, 6), replace(offer(2, 6), listing=elsewhere), offer(7, 6), offer(8, 6)]
        )
    )

    codes = {one.listing.sku: one.code for one in outcomes.values() if isinstance(one, Refused)}
    assert codes == {
        "SKU-1": "NON_MUTABLE_INVENTORY_ITEM",
        "SKU-2": "INVALID_LOCATION",
        "SKU-7": "ITEM_NOT_STOCKED_AT_LOCATION",
        "SKU-8": "INVALID_INVENTORY_ITEM",
    }
    assert outcomes[listing(0)] == Confirmed(listing(0), 6)


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (replace(listing(1), external_id="gid://shopify/ProductVariant/1001"), "INVALID_INVENTORY_ITEM"),
        (replace(listing(1), external_id="MUG-01"), "INVALID_INVENTORY_ITEM"),
        (replace(listing(1), external_location="Berlin"), "INVALID_LOCATION"),
    ],
)
def test_an_id_that_cannot_be_sent_is_refused_without_spoiling_the_batch(
    shop: Bench, wrong: object, code: str
) -> None:
    shop.stock(5)

    outcomes = shop.connector.push([replace(offer(1, 6), listing=wrong), offer(0, 6)])  # type: ignore[arg-type]

    assert [one.code for one in outcomes if isinstance(one, Refused)] == [code]
    assert shop.levels(1) == [6]


def test_a_quantity_beyond_what_shopify_holds_is_refused_alone(shop: Bench) -> None:
    shop.stock(5, 5)

    outcomes = by_listing(shop.connector.push([offer(0, 3_000_000_000), offer(1, 6)]))

    refused = outcomes[listing(0)]
    assert isinstance(refused, Refused)
    assert refused.code == "INVALID_QUANTITY_TOO_HIGH"
    assert shop.levels(2) == [5, 6]


def test_an_empty_cost_bucket_is_deferred_until_it_holds_enough(shop: Bench) -> None:
    shop.stock(5)
    shop.tell("throttle", held=0, per_second=2)

    (outcome,) = shop.connector.push([offer(0, 3)])

    assert isinstance(outcome, Deferred)
    assert outcome.after == timedelta(seconds=5)
    assert shop.levels(1) == [5]
    with pytest.raises(ChannelError) as failed:
        shop.connector.read_back([listing(0)])
    assert failed.value.retry_after is not None


@pytest.mark.parametrize(
    "status",
    [{}, {"restoreRate": 0}, {"restoreRate": float("nan")}, {"currentlyAvailable": "x"}, None, [1]],
)
def test_an_unreadable_throttle_status_still_defers_for_a_short_while(status: object) -> None:
    cost = {"requestedQueryCost": 10, "throttleStatus": status}
    body = {"errors": [{"extensions": {"code": "THROTTLED"}}], "extensions": {"cost": cost}}
    channel, _ = channel_answered(answered(200, body))

    (outcome,) = channel.push([offer(0, 3)])

    assert isinstance(outcome, Deferred)
    assert timedelta(0) < outcome.after <= timedelta(minutes=5)


def test_nothing_more_is_sent_once_the_channel_is_in_trouble(shop: Bench) -> None:
    shop.stock(*[5] * 600)
    shop.fail("down")

    outcomes = by_listing(shop.connector.push([offer(n, 6) for n in range(600)]))

    kinds = [type(outcome) for outcome in outcomes.values()]
    assert len(shop.fake.calls_of("shopify")) == 1
    assert (kinds.count(Unknown), kinds.count(Deferred)) == (250, 350)


def test_a_push_that_takes_long_starts_no_further_call() -> None:
    stale = user_error("CHANGE_FROM_QUANTITY_STALE", ["input", "quantities", "0"])
    transport = CannedTransport([stale, answered(500), written()])
    seconds = iter([0.0, 0.0, 26.0])
    admin = ShopifyAdmin.from_options(SHOP_OPTIONS, Secret("shpat_x"), transport)

    outcomes = ShopifyChannel(admin, stopwatch=lambda: next(seconds)).push(
        [offer(0, 1, expected=9), offer(1, 1)]
    )

    assert [type(outcome) for outcome in outcomes] == [Stale, Deferred]


def test_the_request_that_is_still_being_executed_is_unknown_because_it_may_write_yet(shop: Bench) -> None:
    shop.stock(5)
    batch = [offer(0, 3, expected=5)]
    shop.fail("late", count=1, seconds=0.4)
    shop.connector.push(batch)

    (outcome,) = shop.connector.push(batch)

    assert isinstance(outcome, Unknown)
    assert shop.writes() == ["IDEMPOTENCY_CONCURRENT_REQUEST"]


@pytest.mark.parametrize(
    "code", ["IDEMPOTENCY_PREVIOUS_ATTEMPT_FAILED", "IDEMPOTENCY_KEY_PARAMETER_MISMATCH"]
)
def test_a_spoilt_key_is_replaced_once_and_then_deferred(shop: Bench, code: str) -> None:
    shop.stock(5)
    shop.fail("user_error", code=code, count=1)
    assert shop.connector.push([offer(0, 3)]) == [Confirmed(listing(0), 3)]

    shop.fail("user_error", code=code)
    (outcome,) = shop.connector.push([offer(0, 4)])

    keys = [call.key for call in shop.fake.calls_of("shopify")]
    assert isinstance(outcome, Deferred)
    assert len(keys) == len(set(keys)) == 4
    assert shop.levels(1) == [3]


def test_a_repeated_key_that_the_shop_compares_anew_is_stale_with_the_number_we_wrote(shop: Bench) -> None:
    shop.stock(5)
    shop.tell("behave", replay_rechecks=True)
    batch = [offer(0, 3, expected=5)]
    shop.connector.push(batch)

    assert shop.connector.push(batch) == [Stale(listing(0), observed=3)]


def test_a_stale_offer_stays_stale_when_its_number_cannot_be_read() -> None:
    channel, _ = channel_answered(
        user_error("CHANGE_FROM_QUANTITY_STALE", ["input", "quantities", "0"]), answered(500)
    )

    assert channel.push([offer(0, 3, expected=5)]) == [Stale(listing(0), observed=None)]


@pytest.mark.parametrize(
    "body",
    [
        {"errors": [{"message": "x", "extensions": {"code": "INTERNAL_SERVER_ERROR"}}]},
        {"errors": [{"message": "x"}], "data": {"inventorySetQuantities": None}},
        {"errors": "Internal error"},
        {"errors": [{"extensions": {"code": "BAD_REQUEST"}}, {"extensions": {"code": "TIMEOUT"}}]},
        {"errors": [{"extensions": {"code": "THROTTLED"}}], "data": {"inventorySetQuantities": {}}},
        {"data": {"inventorySetQuantities": {"inventoryAdjustmentGroup": {}, "userErrors": [{}]}}},
        {"data": {"inventorySetQuantities": {"userErrors": None}}},
        {"data": None},
        {},
        b"<html>maintenance</html>",
        b"",
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
def test_an_answer_that_does_not_say_what_happened_is_unknown(body: object) -> None:
    channel, _ = channel_answered(answered(200, body))

    (outcome,) = channel.push([offer(0, 3)])

    assert isinstance(outcome, Unknown)


@pytest.mark.parametrize(
    ("code", "remedy"),
    [("ACCESS_DENIED", "write_inventory"), ("BAD_REQUEST", "api_version"), ("SHOP_INACTIVE", "reopen")],
)
def test_a_mutation_that_did_not_run_is_refused(code: str, remedy: str) -> None:
    body = {"errors": [{"extensions": {"code": code}}], "data": {"inventorySetQuantities": None}}
    channel, _ = channel_answered(answered(200, body))

    (outcome,) = channel.push([offer(0, 3)])

    assert isinstance(outcome, Refused)
    assert outcome.code == code
    assert remedy in outcome.remedy


def test_an_error_without_a_code_is_refused_with_shopifys_own_words() -> None:
    channel, _ = channel_answered(user_error(None))

    (outcome,) = channel.push([offer(0, 3)])

    assert outcome == Refused(listing(0), "USER_ERROR", "as told", "see Shopify's message")


def test_the_shop_checks_at_run_time_what_its_schema_does_not_say(fake: FakeChannels) -> None:
    entry = {
        "inventoryItemId": "gid://shopify/InventoryItem/1000",
        "locationId": f"gid://shopify/Location/{LOCATION}",
        "quantity": 3,
        "changeFromQuantity": None,
    }
    without_compare = {name: value for name, value in entry.items() if name != "changeFromQuantity"}
    undirected = SET_QUANTITIES.replace("@idempotent(key: $key)", "").replace(", $key: String!", "")

    assert raw_codes(fake, undirected, [entry]) == ["BAD_REQUEST"]
    assert raw_codes(fake, SET_QUANTITIES, [without_compare]) == ["INVALID_FIELD_ARGUMENTS"]
    assert raw_codes(fake, SET_QUANTITIES, [entry] * 251) == ["MAX_INPUT_SIZE_EXCEEDED"]
    assert raw_codes(fake, SET_QUANTITIES, [{**entry, "compareQuantity": 1}]) == ["INVALID_VARIABLE"]
    assert raw_codes(fake, SET_QUANTITIES, [{**entry, "inventoryItemId": "MUG"}]) == ["INVALID_VARIABLE"]
    assert raw_codes(fake, "mutation {", [entry]) == ["GRAPHQL_PARSE_FAILED"]
    assert raw_codes(fake, "query { shopName }", [entry]) == ["GRAPHQL_VALIDATION_FAILED"]


def raw_codes(fake: FakeChannels, document: str, quantities: list[dict[str, object]]) -> list[str]:
    change = {"name": "available", "reason": "correction", "quantities": quantities}
    body = json.dumps({"query": document, "variables": {"input": change, "key": "k"}}).encode()
    url = f"{fake.shopify_url}/admin/api/2026-10/graphql.json"
    request = HttpRequest("POST", url, {"X-Shopify-Access-Token": fake.token}, body)
    answer = json.loads(HttpTransport().send(request).body)
    return [error["extensions"]["code"] for error in answer["errors"]]


def test_an_unsupported_version_is_refused_as_not_found(fake: FakeChannels) -> None:
    bench = shopify_bench(fake, api_version="2027-01")

    (outcome,) = bench.connector.push([offer(0, 3)])

    assert isinstance(outcome, Refused)
    assert outcome.code == "not_found"
    assert "api_version" in outcome.remedy


def test_an_untracked_item_reads_as_none_not_as_its_number(shop: Bench) -> None:
    item = {"item_id": 1000, "location_id": LOCATION, "sku": "SKU-0", "quantity": 4, "tracked": False}
    shop.tell("create_items", items=[item])

    assert shop.connector.read_back([listing(0)]) == {listing(0): None}


def test_many_listings_are_read_in_pages_and_several_locations_apart(shop: Bench) -> None:
    shop.stock(*range(230))
    other = replace(listing(3), external_location="88")
    shop.tell("create_items", items=[{"item_id": 1003, "location_id": 88, "sku": "SKU-3", "quantity": 41}])

    shown = shop.connector.read_back([*(listing(n) for n in range(230)), other])

    assert shown == {**{listing(n): n for n in range(230)}, other: 41}
    assert len(shop.fake.calls_of("shopify")) == 4


@pytest.mark.parametrize(
    "body",
    [
        {"data": {"nodes": []}},
        {"data": {"nodes": None}},
        {"data": {"nodes": [{"id": "gid://shopify/InventoryItem/1000", "inventoryLevel": {}}]}},
        b"oops",
    ],
)
def test_a_reading_that_does_not_state_the_number_fails_rather_than_guess(body: object) -> None:
    channel, _ = channel_answered(answered(200, body))

    with pytest.raises(ChannelError) as failed:
        channel.read_back([listing(0)])
    assert failed.value.retry_after is not None


def test_orders_come_in_the_shape_of_the_webhook_oldest_change_first_over_all_pages(shop: Bench) -> None:
    shop.stock(*[500] * 60)
    everything = [{"item_id": 1000 + n, "location_id": LOCATION, "quantity": 1} for n in range(60)]
    shop.tell("place_order", lines=everything)
    for _ in range(11):
        shop.tell("place_order", lines=[{"item_id": 1000, "location_id": LOCATION, "quantity": 2}])
    shop.tell("cancel_order", order=max(shop.fake.shop.orders))

    fetched = shop.connector.recent_orders(datetime.now(UTC) - timedelta(minutes=1))

    bodies = [json.loads(order.body) for order in fetched]
    assert len(bodies) == 12
    assert all(order.headers == {"x-shopify-topic": "orders/updated"} for order in fetched)
    assert [line["sku"] for line in bodies[0]["line_items"]] == [f"SKU-{n}" for n in range(60)]
    assert bodies[0]["id"] == min(shop.fake.shop.orders) > 2**53
    assert bodies[-1]["cancelled_at"] is not None
    assert bodies[1]["line_items"] == [
        {
            "id": bodies[1]["line_items"][0]["id"],
            "sku": "SKU-0",
            "variant_id": 1001,
            "variant_inventory_management": "shopify",
            "quantity": 2,
            "current_quantity": 2,
            "fulfillable_quantity": 2,
            "requires_shipping": True,
        }
    ]


def test_only_orders_changed_since_then_are_fetched(shop: Bench) -> None:
    shop.stock(5)
    shop.tell("place_order", lines=[{"item_id": 1000, "location_id": LOCATION, "quantity": 1}])

    assert shop.connector.recent_orders(datetime.now(UTC) + timedelta(hours=1)) == []


def test_an_endless_list_of_orders_is_an_error_not_a_part_passed_off_as_the_whole() -> None:
    page = {"nodes": [], "pageInfo": {"hasNextPage": True, "endCursor": "x"}}
    channel, transport = channel_answered(answered(200, {"data": {"orders": page}}))

    with pytest.raises(ChannelError) as failed:
        channel.recent_orders(datetime.now(UTC))

    assert failed.value.retry_after is None
    assert "later time" in failed.value.reason
    assert len(transport.sent) == 100


def test_reading_survives_no_answer_by_naming_when_to_try_again() -> None:
    channel, _ = channel_answered(NoAnswerError("reset"))

    with pytest.raises(ChannelError) as failed:
        channel.recent_orders(datetime.now(UTC))
    assert failed.value.retry_after is not None

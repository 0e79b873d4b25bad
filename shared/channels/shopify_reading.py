"""Reading from Shopify: what it shows now, and which orders changed.

Orders are turned into the body of an ``orders/updated`` webhook, cut to what stock needs: the Shopify *source*
translates them like any delivery, so that there is one understanding of an order, and no name, address or
payment of a customer is ever asked for.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from shared.channels.answers import mapping, read_json, retry_after, whole_number
from shared.channels.contract import (
    ChannelError,
    FetchedOrder,
    HttpResponse,
    ListingAt,
    NoAnswerError,
    NotSentError,
)
from shared.channels.shopify_admin import (
    READ_LEVELS,
    READ_MORE_LINES,
    READ_ORDERS,
    THROTTLED_WAIT,
    ShopifyAdmin,
    error_codes,
    global_id,
    number_of,
    throttled_for,
)
from shared.channels.shopify_verdict import NOT_RUN_REMEDIES
from shared.domain.stock import Quantity

ITEMS_PER_READ: Final = 100
MAX_ORDER_PAGES: Final = 100
MAX_LINE_PAGES: Final = 20
UNREAD_WAIT: Final = timedelta(seconds=5)


def read_available(admin: ShopifyAdmin, listings: Sequence[ListingAt]) -> Mapping[ListingAt, Quantity | None]:
    """Return the available quantity of every listing.

    None where Shopify does not track the item, does not stock it there, or has no such item.

    Raises
    ------
    ChannelError
    """
    shown: dict[ListingAt, Quantity | None] = dict.fromkeys(listings)
    by_location: dict[str, dict[str, list[ListingAt]]] = {}
    for listing in shown:
        item = global_id("InventoryItem", listing.external_id)
        location = global_id("Location", listing.external_location)
        if item is not None and location is not None:
            by_location.setdefault(location, {}).setdefault(item, []).append(listing)
    for location, items in by_location.items():
        ids = list(items)
        for start in range(0, len(ids), ITEMS_PER_READ):
            for item, quantity in _levels(admin, location, ids[start : start + ITEMS_PER_READ]):
                shown.update(dict.fromkeys(items.get(item, ()), quantity))
    return shown


def _levels(admin: ShopifyAdmin, location: str, ids: Sequence[str]) -> Iterator[tuple[str, Quantity | None]]:
    nodes = _read(admin, READ_LEVELS, {"ids": ids, "location": location}).get("nodes")
    if not isinstance(nodes, list) or len(nodes) != len(ids):
        raise ChannelError("the answer does not state every item asked for", UNREAD_WAIT)
    for node in nodes:
        item = mapping(node)
        level = item.get("inventoryLevel")
        if node is None or level is None or item.get("tracked") is False:
            continue
        yield str(item.get("id")), _available(level)


def _available(level: object) -> Quantity:
    """Read a level that exists; a level without its number is an unreadable answer, not zero."""
    quantities = mapping(level).get("quantities")
    for quantity in quantities if isinstance(quantities, list) else ():
        number = whole_number(mapping(quantity).get("quantity"))
        if mapping(quantity).get("name") == "available" and number is not None:
            return number
    raise ChannelError("an inventory level lacks its available quantity", UNREAD_WAIT)


def read_orders(admin: ShopifyAdmin, since: datetime) -> Sequence[FetchedOrder]:
    """Return every order updated at or after ``since``, oldest change first.

    Raises
    ------
    ChannelError
        Also when there are more than can be read in one go: a part is never passed off as the whole.
    """
    moment = since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    variables: dict[str, object] = {"search": f"updated_at:>='{moment}'", "after": None}
    orders: list[FetchedOrder] = []
    for _ in range(MAX_ORDER_PAGES):
        page = mapping(_read(admin, READ_ORDERS, variables).get("orders"))
        orders.extend(_fetched(admin, mapping(node)) for node in _nodes(page))
        variables["after"] = _next_cursor(page)
        if variables["after"] is None:
            return orders
    raise ChannelError(f"more than {len(orders)} orders changed since {moment}; ask for a later time", None)


def _fetched(admin: ShopifyAdmin, order: Mapping[str, object]) -> FetchedOrder:
    body = {
        "id": _legacy_number(order, "order"),
        "admin_graphql_api_id": order.get("id"),
        "name": order.get("name"),
        "created_at": order.get("createdAt"),
        "updated_at": order.get("updatedAt"),
        "cancelled_at": order.get("cancelledAt"),
        "line_items": [_line(mapping(line)) for line in _all_lines(admin, order)],
    }
    return FetchedOrder(
        body=json.dumps(body, separators=(",", ":")).encode(),
        headers={"x-shopify-topic": "orders/updated"},
    )


def _all_lines(admin: ShopifyAdmin, order: Mapping[str, object]) -> Iterator[object]:
    page = mapping(order.get("lineItems"))
    yield from _nodes(page)
    for _ in range(MAX_LINE_PAGES):
        after = _next_cursor(page)
        if after is None:
            return
        found = _read(admin, READ_MORE_LINES, {"order": order.get("id"), "after": after}).get("order")
        page = mapping(mapping(found).get("lineItems"))
        yield from _nodes(page)
    raise ChannelError(f"order {order.get('name')} has more lines than can be read", None)


def _line(line: Mapping[str, object]) -> Mapping[str, object]:
    number = number_of(line.get("id"))
    if number is None:
        raise ChannelError("an order line lacks its id", UNREAD_WAIT)
    variant = line.get("variant")
    tracked = mapping(mapping(variant).get("inventoryItem")).get("tracked") is True
    return {
        "id": number,
        "sku": line.get("sku"),
        "variant_id": None if variant is None else _legacy_number(mapping(variant), "variant"),
        "variant_inventory_management": "shopify" if tracked else None,
        "quantity": line.get("quantity"),
        "current_quantity": line.get("currentQuantity"),
        "fulfillable_quantity": line.get("unfulfilledQuantity"),
        "requires_shipping": line.get("requiresShipping"),
    }


def _legacy_number(thing: Mapping[str, object], what: str) -> int:
    """Read ``legacyResourceId``, which Shopify writes as text because it exceeds 2^53."""
    text = str(thing.get("legacyResourceId"))
    if text.isascii() and text.isdigit() and len(text) <= 20:
        return int(text)
    raise ChannelError(f"an {what} lacks its legacyResourceId", UNREAD_WAIT)


def _nodes(page: Mapping[str, object]) -> Sequence[object]:
    nodes = page.get("nodes")
    if not isinstance(nodes, list):
        raise ChannelError("the answer lacks a page of results", UNREAD_WAIT)
    return nodes


def _next_cursor(page: Mapping[str, object]) -> str | None:
    info = mapping(page.get("pageInfo"))
    if info.get("hasNextPage") is not True:
        return None
    cursor = info.get("endCursor")
    if not isinstance(cursor, str):
        raise ChannelError("the answer has a next page but no cursor", UNREAD_WAIT)
    return cursor


def _read(admin: ShopifyAdmin, document: str, variables: Mapping[str, object]) -> Mapping[str, object]:
    """Run one query and return its ``data``; a read is repeatable, so every doubt is just a failed read."""
    try:
        response = admin.call(document, variables)
    except (NotSentError, NoAnswerError) as failure:
        raise ChannelError(str(failure), UNREAD_WAIT) from failure
    if response.status != 200:
        raise _status_error(response)
    answer = read_json(response.body)
    if not isinstance(answer, dict):
        raise ChannelError("the answer is not a JSON object", UNREAD_WAIT)
    codes = error_codes(answer.get("errors"))
    if "THROTTLED" in codes:
        raise ChannelError("throttled by query cost", throttled_for(answer))
    if codes and all(code in NOT_RUN_REMEDIES for code in codes):
        raise ChannelError(f"Shopify refused to read: {codes[0]}; {NOT_RUN_REMEDIES[codes[0]]}", None)
    if codes:
        raise ChannelError(f"Shopify answered with {codes[0]}"[:200], UNREAD_WAIT)
    return mapping(answer.get("data"))


def _status_error(response: HttpResponse) -> ChannelError:
    reason = f"Shopify answered HTTP {response.status}"
    if response.status in (408, 429, 430) or response.status >= 500:
        return ChannelError(reason, retry_after(response) or THROTTLED_WAIT)
    return ChannelError(f"{reason}; check the channel's token, shop_domain and api_version", None)

"""Shopify's Admin GraphQL endpoint: its documents, its ids, and what every answer has in common.

Contract: version 2026-10. ``inventorySetQuantities`` takes up to 250 quantities; since 2026-04
``changeFromQuantity`` must be present (null opts out of comparing) and the *field* must carry
``@idempotent(key:)``. Neither shows in the schema's types; both fail at run time.

[U] not verified first-hand, hence handled defensively: that throttling is HTTP 200 with ``THROTTLED`` and a
``throttleStatus`` (429 is handled alike); the cost of a query, for which the page sizes leave room below the
single-query limit of 1,000 points.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from shared.channels.answers import mapping, whole_number
from shared.channels.contract import HttpRequest, HttpResponse, Transport
from shared.channels.options import ChannelOptionError, Secret, count_option, text_option, url_option

DEFAULT_API_VERSION: Final = "2026-10"
THROTTLED_WAIT: Final = timedelta(seconds=2)
LONGEST_THROTTLE: Final = timedelta(minutes=5)

SET_QUANTITIES: Final = """
mutation OnecountSetQuantities($input: InventorySetQuantitiesInput!, $key: String!) {
  inventorySetQuantities(input: $input) @idempotent(key: $key) {
    inventoryAdjustmentGroup { id }
    userErrors { code field message }
  }
}"""

READ_LEVELS: Final = """
query OnecountReadLevels($ids: [ID!]!, $location: ID!) {
  nodes(ids: $ids) {
    ... on InventoryItem {
      id
      tracked
      inventoryLevel(locationId: $location) { quantities(names: ["available"]) { name quantity } }
    }
  }
}"""

_LINE_ITEMS: Final = """
      pageInfo { hasNextPage endCursor }
      nodes {
        id sku quantity currentQuantity unfulfilledQuantity requiresShipping
        variant { legacyResourceId inventoryItem { tracked } }
      }"""

READ_ORDERS: Final = (
    """
query OnecountReadOrders($search: String!, $after: String) {
  orders(first: 10, after: $after, query: $search, sortKey: UPDATED_AT) {
    pageInfo { hasNextPage endCursor }
    nodes {
      id legacyResourceId name createdAt updatedAt cancelledAt
      lineItems(first: 25) {"""
    + _LINE_ITEMS
    + """
      }
    }
  }
}"""
)

READ_MORE_LINES: Final = (
    """
query OnecountReadMoreLines($order: ID!, $after: String) {
  order(id: $order) {
    lineItems(first: 100, after: $after) {"""
    + _LINE_ITEMS
    + """
    }
  }
}"""
)


@dataclass(frozen=True, slots=True)
class ShopifyAdmin:
    """Where a shop's Admin API is, and how to call it."""

    url: str
    token: str
    transport: Transport
    timeout_s: float = 10.0

    @classmethod
    def from_options(
        cls, options: Mapping[str, object], secret: Secret, transport: Transport
    ) -> ShopifyAdmin:
        """Read ``shop_domain`` (or ``admin_url``, for another host), ``api_version`` and ``timeout_s``.

        Raises
        ------
        ChannelOptionError
        """
        version = text_option(options, "api_version", DEFAULT_API_VERSION)
        if not re.fullmatch(r"20\d\d-(01|04|07|10)", version) or version < "2026-04":
            raise ChannelOptionError(
                "api_version",
                f"{version!r} is not a quarterly version from 2026-04 on",
                f"write {DEFAULT_API_VERSION}, or leave it out",
            )
        return cls(
            url=f"{_base_url(options)}/admin/api/{version}/graphql.json",
            token=secret.current,
            transport=transport,
            timeout_s=float(count_option(options, "timeout_s", 10, most=20)),
        )

    def call(self, document: str, variables: Mapping[str, object]) -> HttpResponse:
        """Send one GraphQL document.

        Raises
        ------
        NotSentError, NoAnswerError
        """
        body = json.dumps({"query": document, "variables": variables}, separators=(",", ":"))
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "X-Shopify-Access-Token": self.token,
        }
        return self.transport.send(HttpRequest("POST", self.url, headers, body.encode(), self.timeout_s))


def _base_url(options: Mapping[str, object]) -> str:
    if "admin_url" in options:
        return url_option(options, "admin_url").rstrip("/")
    domain = text_option(options, "shop_domain")
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*\.myshopify\.com", domain):
        raise ChannelOptionError(
            "shop_domain",
            f"{domain!r} is not a shop's permanent domain",
            "write name.myshopify.com, without https://, not the storefront's own domain",
        )
    return f"https://{domain}"


def global_id(kind: str, external_id: str) -> str | None:
    """Return Shopify's global id for a numeric or global ``external_id``; None when it is of another kind."""
    if re.fullmatch(r"[0-9]{1,20}", external_id):
        return f"gid://shopify/{kind}/{external_id}"
    if re.fullmatch(rf"gid://shopify/{kind}/[0-9]{{1,20}}", external_id):
        return external_id
    return None


def number_of(global_id_text: object) -> int | None:
    """Return the number at the end of a global id (its query string, if any, left out)."""
    if not isinstance(global_id_text, str):
        return None
    found = re.fullmatch(r"gid://shopify/[A-Za-z]+/([0-9]{1,20})(\?.*)?", global_id_text)
    return int(found[1]) if found else None


def error_codes(errors: object) -> Sequence[str]:
    """Return the code of each top-level error; an error without one counts as ``NO_CODE``."""
    if not isinstance(errors, list):
        return ("NO_CODE",) if errors else ()
    codes = (mapping(mapping(error).get("extensions")).get("code") for error in errors)
    return tuple(code if isinstance(code, str) and code else "NO_CODE" for code in codes)


def throttled_for(answer: Mapping[str, object]) -> timedelta:
    """Return how long the cost bucket needs to hold what the query asked for, at least a second.

    ``extensions.cost`` states the requested cost and the bucket; where it is absent or unreadable, a short fixed
    wait is taken instead.
    """
    cost = mapping(mapping(answer.get("extensions")).get("cost"))
    bucket = mapping(cost.get("throttleStatus"))
    wanted = _points(cost.get("requestedQueryCost"))
    held = _points(bucket.get("currentlyAvailable"))
    rate = _points(bucket.get("restoreRate"))
    if wanted is None or held is None or not rate:
        return THROTTLED_WAIT
    seconds = max(1, math.ceil((wanted - held) / rate))
    return timedelta(seconds=min(seconds, int(LONGEST_THROTTLE.total_seconds())))


def _points(value: object) -> int | None:
    """Read a cost, which Shopify writes as 100 or 100.0; rounded down, so that a wait is never too short."""
    if isinstance(value, float) and math.isfinite(value):
        value = math.floor(value)
    number = whole_number(value)
    return number if number is not None and 0 <= number <= 1_000_000_000 else None

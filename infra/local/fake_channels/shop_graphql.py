"""The fake shop's Admin GraphQL API: the part of the schema that Onecount uses, executed for real.

Documents are parsed and validated by graphql-core, so a malformed or outdated query is refused as it would be.
What Shopify checks at run time only is checked in the resolver: the ``@idempotent`` directive on the field, and
that ``changeFromQuantity`` is present even if null.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLResolveInfo,
    OperationDefinitionNode,
    OperationType,
    execute_sync,
    get_directive_values,
    parse,
    validate,
)

from infra.local.fake_channels.shop import Change, Entry, Item, Order, OrderLine, Shop, UserError
from infra.local.fake_channels.shop_schema import IDEMPOTENT, SCHEMA

Thing = TypeVar("Thing")

MAX_QUANTITIES = 250
VERSIONS = frozenset({"2026-04", "2026-07", "2026-10"})
"""Versions whose rules this shop follows."""


@dataclass(slots=True)
class CostBucket:
    """Query cost points: ``size`` at most, restored at ``per_second``. ``now`` is a clock in seconds."""

    now: Callable[[], float]
    size: int = 2000
    per_second: int = 100
    held: float = 2000.0
    seen_at: float = 0.0

    def spend(self, points: int) -> bool:
        """Take ``points`` if the bucket holds them."""
        moment = self.now()
        self.held = min(float(self.size), self.held + (moment - self.seen_at) * self.per_second)
        self.seen_at = moment
        if points > self.held:
            return False
        self.held -= points
        return True

    def status(self) -> Mapping[str, object]:
        """Describe the bucket as Shopify does."""
        return {
            "maximumAvailable": float(self.size),
            "currentlyAvailable": int(self.held),
            "restoreRate": float(self.per_second),
        }


@dataclass(slots=True)
class Call:
    """A parsed request, ready to run; ``change`` is filled in by the mutation, for the log and the echo."""

    document: DocumentNode
    variables: Mapping[str, Any]
    writes: bool
    injected: UserError | None = None
    key: str | None = None
    quantities: Sequence[Entry] = ()
    change: Change | None = None


class ShopGraphql:
    """Executes documents on a shop."""

    def __init__(self, shop: Shop, bucket: CostBucket) -> None:
        self.shop = shop
        self.bucket = bucket

    def prepare(self, body: bytes) -> Call | Mapping[str, object]:
        """Parse and validate a request; a request that cannot run is answered by its errors."""
        try:
            request = json.loads(body)
            document = parse(request["query"])
            variables = request.get("variables") or {}
        except (ValueError, KeyError, TypeError, AttributeError, GraphQLError) as malformed:
            return _errors([GraphQLError(f"Parse error: {malformed}")], "GRAPHQL_PARSE_FAILED")
        problems = validate(SCHEMA, document)
        if problems:
            return _errors(problems, "GRAPHQL_VALIDATION_FAILED")
        operation = next(node for node in document.definitions if isinstance(node, OperationDefinitionNode))
        writes = operation.operation is OperationType.MUTATION
        return Call(document, variables, writes, key=_stated_key(operation, variables) if writes else None)

    def run(self, call: Call) -> Mapping[str, object]:
        """Execute a prepared request and return the answer's body."""
        points = 10 if call.writes else 1 + 3 * len(call.variables.get("ids", ()))
        with self.shop.lock:
            affordable = self.bucket.spend(points)
        if not affordable:
            throttled = GraphQLError("Throttled", extensions={"code": "THROTTLED"})
            return {**_errors([throttled], "THROTTLED"), "extensions": self._cost(points, None)}
        result = execute_sync(
            SCHEMA,
            call.document,
            root_value={
                "nodes": self._nodes,
                "order": self._order,
                "orders": self._orders,
                "inventorySetQuantities": self._set_quantities,
            },
            context_value=call,
            variable_values=dict(call.variables),
        )
        answer: dict[str, object] = {"extensions": self._cost(points, points)}
        if result.errors:
            answer.update(_errors(result.errors, "INVALID_VARIABLE"))
        if result.data is not None:
            answer["data"] = result.data
        return answer

    def _cost(self, requested: int, actual: int | None) -> Mapping[str, object]:
        return {
            "cost": {
                "requestedQueryCost": requested,
                "actualQueryCost": actual,
                "throttleStatus": self.bucket.status(),
            }
        }

    def _set_quantities(self, info: GraphQLResolveInfo, **arguments: Any) -> Mapping[str, object]:
        call: Call = info.context
        request = arguments["input"]
        given = get_directive_values(IDEMPOTENT, info.field_nodes[0], info.variable_values)
        if not given or not given["key"].strip():
            message = "The @idempotent directive is required for this mutation but was not provided."
            raise GraphQLError(message, extensions={"code": "BAD_REQUEST"})
        if len(request["quantities"]) > MAX_QUANTITIES:
            message = (
                f"The input array size of {len(request['quantities'])} is greater than the maximum allowed "
                f"of {MAX_QUANTITIES}."
            )
            raise GraphQLError(message, extensions={"code": "MAX_INPUT_SIZE_EXCEEDED"})
        if not all("changeFromQuantity" in entry for entry in request["quantities"]):
            message = "InventoryQuantityInput must include the following argument: changeFromQuantity."
            raise GraphQLError(message, extensions={"code": "INVALID_FIELD_ARGUMENTS"})
        call.key = given["key"]
        call.quantities = [_entry(entry) for entry in request["quantities"]]
        if request["name"] not in ("available", "on_hand"):
            call.injected = UserError("INVALID_NAME", "The quantity name must be 'available' or 'on_hand'.")
        call.change = self.shop.set_quantities(
            call.key, request["reason"], request, call.quantities, call.injected
        )
        return _payload(call.change, request)

    def _nodes(self, info: GraphQLResolveInfo, **arguments: Any) -> Sequence[object]:
        found = (self.shop.items.get(_number(gid, "InventoryItem")) for gid in arguments["ids"])
        return [None if item is None else _item(self.shop, item) for item in found]

    def _order(self, info: GraphQLResolveInfo, **arguments: Any) -> object:
        order = self.shop.orders.get(int(_number(arguments["id"], "Order")))
        return None if order is None else _order(self.shop, order)

    def _orders(self, info: GraphQLResolveInfo, **arguments: Any) -> object:
        with self.shop.lock:
            orders = sorted(self.shop.orders.values(), key=lambda order: (order.updated_at, order.id))
        search = arguments.get("query")
        if search:
            since = _since(search)
            orders = [order for order in orders if order.updated_at >= since]
        if arguments.get("reverse"):
            orders.reverse()
        return _page(orders, arguments, lambda order: _order(self.shop, order))


def _stated_key(operation: OperationDefinitionNode, variables: Mapping[str, Any]) -> str | None:
    """Return the idempotency key that a mutation's field carries, before it is run."""
    for selection in operation.selection_set.selections:
        try:
            given = get_directive_values(IDEMPOTENT, selection, dict(variables))
        except GraphQLError:
            return None
        if given:
            return str(given["key"])
    return None


def _errors(errors: Sequence[GraphQLError], code: str) -> dict[str, object]:
    """Format errors, with Shopify's place for a code; ``code`` is for those that carry none."""
    return {"errors": [{**e.formatted, "extensions": {"code": code, **(e.extensions or {})}} for e in errors]}


def _number(gid: str, kind: str) -> str:
    found = re.fullmatch(rf"gid://shopify/{kind}/([0-9]+)", gid)
    if found is None:
        raise GraphQLError(f"Invalid global id '{gid}'", extensions={"code": "INVALID_VARIABLE"})
    return found[1]


def _entry(entry: Mapping[str, Any]) -> Entry:
    return Entry(
        item=_number(entry["inventoryItemId"], "InventoryItem"),
        location=_number(entry["locationId"], "Location"),
        quantity=entry["quantity"],
        change_from=entry["changeFromQuantity"],
    )


def _payload(change: Change, request: Mapping[str, Any]) -> Mapping[str, object]:
    group = change.group and {
        "id": change.group,
        "reason": request["reason"],
        "referenceDocumentUri": request.get("referenceDocumentUri"),
    }
    errors = [
        {"code": error.code, "message": error.message, "field": error.field and list(error.field)}
        for error in change.errors
    ]
    return {"inventoryAdjustmentGroup": group, "userErrors": errors}


def _item(shop: Shop, item: Item) -> Mapping[str, object]:
    def level(_: GraphQLResolveInfo, **arguments: Any) -> object:
        location = _number(arguments["locationId"], "Location")
        available = shop.levels.get((item.id, location))
        if available is None:
            return None
        return {
            "id": f"gid://shopify/InventoryLevel/{location}?inventory_item_id={item.id}",
            "quantities": lambda _, names: [{"name": name, "quantity": available} for name in names],
        }

    return {
        "__typename": "InventoryItem",
        "id": f"gid://shopify/InventoryItem/{item.id}",
        "sku": item.sku,
        "tracked": item.tracked,
        "inventoryLevel": level,
    }


def _order(shop: Shop, order: Order) -> Mapping[str, object]:
    return {
        "__typename": "Order",
        "id": f"gid://shopify/Order/{order.id}",
        "legacyResourceId": str(order.id),
        "name": order.name,
        "createdAt": stamp(order.created_at),
        "updatedAt": stamp(order.updated_at),
        "cancelledAt": order.cancelled_at and stamp(order.cancelled_at),
        "lineItems": lambda _, **arguments: _page(order.lines, arguments, lambda line: _line(shop, line)),
    }


def _line(shop: Shop, line: OrderLine) -> Mapping[str, object]:
    return {
        "id": f"gid://shopify/LineItem/{line.id}",
        "sku": line.item.sku,
        "quantity": line.quantity,
        "currentQuantity": line.current,
        "unfulfilledQuantity": line.current,
        "requiresShipping": True,
        "variant": {
            "id": f"gid://shopify/ProductVariant/{line.item.variant}",
            "legacyResourceId": line.item.variant,
            "inventoryItem": _item(shop, line.item),
        },
    }


def _page(
    things: Sequence[Thing], arguments: Mapping[str, Any], show: Callable[[Thing], object]
) -> Mapping[str, object]:
    first = arguments.get("first")
    if first is None or not 1 <= first <= MAX_QUANTITIES:
        message = "you must provide one of first or last, from 1 to 250"
        raise GraphQLError(message, extensions={"code": "BAD_REQUEST"})
    start = int(arguments["after"]) if arguments.get("after") else 0
    end = start + first
    return {
        "nodes": [show(thing) for thing in things[start:end]],
        "pageInfo": {"hasNextPage": end < len(things), "endCursor": str(min(end, len(things)))},
    }


def _since(search: str) -> datetime:
    found = re.fullmatch(r"updated_at:>='([^']+)'", search)
    if found is None:
        raise GraphQLError(f"cannot search for {search!r}", extensions={"code": "BAD_REQUEST"})
    return datetime.fromisoformat(found[1])


def stamp(moment: datetime) -> str:
    """Write an instant as Shopify does, to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

"""The state of the fake Shopify shop, and the rules by which its inventory changes.

Rules of ``inventorySetQuantities`` as Shopify states them: all or nothing; every blamed entry gets an error with
its field path; a key is kept with the parameters it came with, whatever became of it, and a success is answered
again without a second write. Two things that live shops are reported to do can be switched on:
``anonymous_errors`` (``field: null``) and ``replay_rechecks`` (a repeated key is compared anew).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

SHOP = "shopify"
"""The channel's name in faults, calls and commands."""

FIRST_ORDER = 9_007_199_254_741_000
FIRST_LINE = 18_014_398_509_482_000
"""Real ids exceed 2^53; these do too, so that nobody gets away with floats."""

STALE_MESSAGE = "The changeFromQuantity argument no longer matches the persisted quantity."
MAX_QUANTITY = 1_000_000_000
REASONS = frozenset({"correction", "cycle_count_available", "other", "received", "restock", "shrinkage"})


@dataclass(frozen=True, slots=True)
class Item:
    """An inventory item; a bundle's stock is computed, so it cannot be set."""

    id: str
    sku: str
    variant: str
    tracked: bool = True
    bundle: bool = False


@dataclass(frozen=True, slots=True)
class Entry:
    """One quantity of a mutation, ids without their ``gid://`` part."""

    item: str
    location: str
    quantity: int
    change_from: int | None


@dataclass(frozen=True, slots=True)
class UserError:
    """A refusal inside an answer; ``field`` is the path of the entry it blames, or None."""

    code: str
    message: str
    field: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """What became of one mutation; ``group`` is set when it took effect."""

    group: str | None
    errors: tuple[UserError, ...] = ()
    replayed: bool = False
    entries: tuple[Entry, ...] = ()


@dataclass(frozen=True, slots=True)
class OrderLine:
    """One ordered item at the location that will ship it."""

    id: int
    item: Item
    location: str
    quantity: int
    current: int


@dataclass(frozen=True, slots=True)
class Order:
    """An order of the shop."""

    id: int
    name: str
    created_at: datetime
    updated_at: datetime
    lines: tuple[OrderLine, ...]
    cancelled_at: datetime | None = None


@dataclass(slots=True)
class ShopBehaviour:
    """Switches; see the module."""

    anonymous_errors: bool = False
    replay_rechecks: bool = False


class UnknownStockError(Exception):
    """An order or setting names an item or location that the shop does not have."""


@dataclass(slots=True)
class Shop:
    """Items, levels, orders and idempotency keys; safe to use from many threads."""

    clock: Callable[[], datetime]
    behaviour: ShopBehaviour = field(default_factory=ShopBehaviour)
    items: dict[str, Item] = field(default_factory=dict)
    levels: dict[tuple[str, str], int] = field(default_factory=dict)
    locations: set[str] = field(default_factory=set)
    orders: dict[int, Order] = field(default_factory=dict)
    in_progress: set[str] = field(default_factory=set)
    kept: dict[str, tuple[object, Change]] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def stock(self, item: Item, location: str, quantity: int) -> None:
        """Create the item if it is new, and stock it at ``location``."""
        with self.lock:
            self.items[item.id] = item
            self.locations.add(location)
            self.levels[item.id, location] = quantity

    def set_level(self, item: str, location: str, quantity: int) -> None:
        """Change a level as a person would in the admin."""
        with self.lock:
            if (item, location) not in self.levels:
                raise UnknownStockError(f"item {item} is not stocked at location {location}")
            self.levels[item, location] = quantity

    def set_quantities(
        self, key: str, reason: str, params: object, entries: Sequence[Entry], injected: UserError | None
    ) -> Change:
        """Carry out one mutation: all of it or nothing."""
        with self.lock:
            if injected is not None:
                return Change(None, (injected,))
            if key in self.in_progress:
                return _refusal("IDEMPOTENCY_CONCURRENT_REQUEST", "This request is currently in progress.")
            if key in self.kept:
                kept_params, before = self.kept[key]
                if kept_params != params:
                    message = "The same idempotency key cannot be used with different operation parameters."
                    return _refusal("IDEMPOTENCY_KEY_PARAMETER_MISMATCH", message)
                if before.group is not None and not self.behaviour.replay_rechecks:
                    return Change(before.group, replayed=True)
            errors = self._check(reason, entries)
            group = None if errors else f"gid://shopify/InventoryAdjustmentGroup/{len(self.kept) + 1}"
            change = Change(group, tuple(errors), entries=() if errors else tuple(entries))
            self.kept[key] = (params, change)
            if not errors:
                self.levels.update({(entry.item, entry.location): entry.quantity for entry in entries})
            return change

    def place_order(self, lines: Sequence[tuple[str, str, int]]) -> Order:
        """Sell: record the order and take its units from what is available, as (item, location, units)."""
        with self.lock:
            for item, location, _ in lines:
                if (item, location) not in self.levels:
                    raise UnknownStockError(f"item {item} is not stocked at location {location}")
            number = len(self.orders) + 1
            now = self.clock().replace(microsecond=0)
            order = Order(
                id=FIRST_ORDER + number,
                name=f"#{1000 + number}",
                created_at=now,
                updated_at=now,
                lines=tuple(
                    OrderLine(FIRST_LINE + number * 1000 + n, self.items[item], location, units, units)
                    for n, (item, location, units) in enumerate(lines)
                ),
            )
            self.orders[order.id] = order
            self._move(order.lines, -1)
            return order

    def cancel_order(self, order_id: int) -> Order:
        """Cancel an open order and make its units available again."""
        with self.lock:
            order = self.orders.get(order_id)
            if order is None or order.cancelled_at is not None:
                raise UnknownStockError(f"there is no open order {order_id}")
            now = max(self.clock().replace(microsecond=0), order.updated_at + timedelta(seconds=1))
            self._move(order.lines, 1)
            lines = tuple(
                OrderLine(line.id, line.item, line.location, line.quantity, 0) for line in order.lines
            )
            cancelled = Order(order.id, order.name, order.created_at, now, lines, now)
            self.orders[order_id] = cancelled
            return cancelled

    def _move(self, lines: Sequence[OrderLine], sign: int) -> None:
        for line in lines:
            self.levels[line.item.id, line.location] += sign * line.quantity

    def _check(self, reason: str, entries: Sequence[Entry]) -> list[UserError]:
        if reason not in REASONS:
            return [UserError("INVALID_REASON", "The specified reason is invalid.", ("input", "reason"))]
        seen: dict[tuple[str, str], int] = {}
        errors: list[UserError] = []
        for n, entry in enumerate(entries):
            seen[entry.item, entry.location] = seen.get((entry.item, entry.location), 0) + 1
            fault = self._fault(entry, seen)
            if fault is not None:
                code, message, name = fault
                path = None if self.behaviour.anonymous_errors else ("input", "quantities", str(n), name)
                errors.append(UserError(code, message, path))
        return errors

    def _fault(self, entry: Entry, seen: Mapping[tuple[str, str], int]) -> tuple[str, str, str] | None:
        item, shown = self.items.get(entry.item), self.levels.get((entry.item, entry.location))
        if seen[entry.item, entry.location] > 1:
            message = "The combination of inventoryItemId and locationId must be unique."
            return "NO_DUPLICATE_INVENTORY_ITEM_ID_GROUP_ID_PAIR", message, "inventoryItemId"
        if item is None:
            message = "The specified inventory item could not be found."
            return "INVALID_INVENTORY_ITEM", message, "inventoryItemId"
        if entry.location not in self.locations:
            return "INVALID_LOCATION", "The specified location could not be found.", "locationId"
        if item.bundle:
            message = "The specified inventory item is not allowed to be adjusted via API."
            return "NON_MUTABLE_INVENTORY_ITEM", message, "inventoryItemId"
        if shown is None:
            message = "The specified inventory item is not stocked at the location."
            return "ITEM_NOT_STOCKED_AT_LOCATION", message, "locationId"
        if entry.quantity > MAX_QUANTITY:
            message = "The total quantity can't be higher than 1,000,000,000."
            return "INVALID_QUANTITY_TOO_HIGH", message, "quantity"
        if entry.change_from is not None and entry.change_from != shown:
            return "CHANGE_FROM_QUANTITY_STALE", STALE_MESSAGE, "changeFromQuantity"
        return None


def _refusal(code: str, message: str) -> Change:
    return Change(None, (UserError(code, message),))

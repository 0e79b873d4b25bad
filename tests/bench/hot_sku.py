"""Reservations of one hot SKU: one promise counter against allotments, in the same run.

A transaction holds its items for some milliseconds, and another that touches one of them meanwhile is refused with a
conflict, as DynamoDB does: so the rates are **modelled**, and only their ratio says anything. Requests and conflicts
are counted; write units follow DynamoDB's rule, conflicts included, for they are billed too.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime

from shared.domain.item_changes import Declaration, changed
from shared.domain.items import Change
from shared.domain.network import Channel, Location, Source
from shared.domain.stock import ChannelId, LocationId, Sku, SourceId, StockKey
from shared.operations.reservations import Wanted
from shared.operations.reserve import Reserver
from shared.store.layout import INDEXES
from shared.store.memory import MemoryTable
from shared.store.promises import promise_action
from shared.store.registry import Network, Registry
from shared.store.table import Action, Item, Key, WriteConflictError

CLIENTS, RESERVATIONS, HELD_S = 16, 50, 0.008
SHOP, EAST, SKU = ChannelId("shop"), LocationId("east"), Sku("HOT-1")


class ContendedTable(MemoryTable):
    """Holds the items of a transaction for a while, and refuses whoever touches them meanwhile."""

    def __init__(self) -> None:
        super().__init__(INDEXES["stock"])
        self._held: set[Key] = set()
        self._guard = threading.Lock()
        self.requests = self.conflicts = self.write_units = 0

    def write(self, actions: Sequence[Action]) -> None:
        keys = {action.key for action in actions}
        with self._guard:
            self.requests += 1
            self.write_units += 2 * len(actions)
            if is_held := not keys.isdisjoint(self._held):
                self.conflicts += 1
            else:
                self._held |= keys
        if is_held:
            time.sleep(HELD_S / 2)
            raise WriteConflictError
        try:
            time.sleep(HELD_S)
            super().write(actions)
        finally:
            with self._guard:
                self._held -= keys

    def get(self, key: Key) -> Item | None:
        with self._guard:
            self.requests += 1
        time.sleep(HELD_S / 4)
        return super().get(key)

    def snapshot(self, keys: Sequence[Key]) -> dict[Key, Item]:
        with self._guard:
            self.requests += 1
        time.sleep(HELD_S / 2)
        return super().snapshot(keys)


@dataclass(frozen=True, slots=True)
class Run:
    """What a run of reservations took, for one reservation; ``per_second`` is modelled."""

    per_second: float
    requests: float
    conflicts: float
    write_units: float


def run(*, is_hot: bool, with_detection: bool = True) -> Run:
    """Let 16 clients reserve one unit at a time of one SKU; each is a process of its own."""
    table, registry = ContendedTable(), Registry(MemoryTable(INDEXES["registry"]))
    source = Source(SourceId("wms"), "standard_webhooks")
    shop = Channel(SHOP, "scripted", {EAST: "1"}, EAST)
    registry.declare(Network({source.id: source}, {EAST: Location(EAST, source.id, source.id)}, {SHOP: shop}))
    registry.add_items([SKU])
    item = registry.items.find([SKU])[SKU]
    change = Change("bench", datetime.now(UTC))
    registry.items.change([(item, changed(item, Declaration(SKU, is_hot=is_hot), change))])
    units = 10 * CLIENTS * RESERVATIONS
    table.write([promise_action(StockKey(SKU, EAST), units, datetime.now(UTC))])
    desks = [Reserver(table, registry, lambda: datetime.now(UTC)) for _ in range(CLIENTS)]
    if not with_detection:
        for desk in desks:
            desk._allotments.met = lambda keys: not keys  # type: ignore[method-assign]
    table.requests = table.conflicts = table.write_units = 0

    def client(number: int) -> None:
        for n in range(RESERVATIONS):
            desks[number].reserve(f"{number}-{n}", "bench", SHOP, [Wanted(SKU, 1, EAST)])

    begun = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(client, range(CLIENTS)))
    spent, all_of_them = time.perf_counter() - begun, CLIENTS * RESERVATIONS
    return Run(
        all_of_them / spent,
        table.requests / all_of_them,
        table.conflicts / all_of_them,
        table.write_units / all_of_them,
    )

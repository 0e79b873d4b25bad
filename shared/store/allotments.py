"""The writes that move units between the promise counters of a hot stock key (see ``promises.py``), and claim there.

Each moves units between two counters in one transaction, so the sum never changes and doing it twice does no harm.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import cast

from shared.domain.events import instant
from shared.domain.stock import Quantity, StockKey
from shared.store.layout import SHARDS, promise_key, shard
from shared.store.ledger_items import stock_key_of
from shared.store.promises import changed, spare
from shared.store.table import (
    AnyOf,
    AtLeast,
    AttributeAbsent,
    Condition,
    Equals,
    Item,
    LessThan,
    Table,
    Update,
)

IDLE_AFTER = timedelta(minutes=10)
"""How long after its last filling what is left of an allotment goes back."""

GATHERED_FOR = timedelta(seconds=2)
"""How long nothing is allotted after a gathering: whoever gathered is about to take what he needs."""


def claim_in_allotment(
    key: StockKey, k: int, quantity: Quantity, least: Quantity, safety_stock: Quantity, now: datetime
) -> Update:
    """Take units from an allotment, where it holds ``least`` and counter 0 keeps the channel's safety stock."""
    return Update(
        promise_key(key, k),
        set=changed(key, now),
        add={"available": -quantity, "change_seq": 1},
        conditions=(AtLeast("available", least), AtLeast("kept", safety_stock)),
    )


def filling(
    main: Item, k: int, units: Quantity, safety_stock: Quantity, now: datetime
) -> list[Update] | None:
    """Move units to an allotment of what counter 0, as it was read, has to spare; None where it has not so many."""
    key = stock_key_of(main)
    if main.get("spare") != spare(main):
        return None  # it does not add up: verify names it, and rebuild puts it right
    before = cast(int, main.get("kept", 0))
    kept = max(before, safety_stock)
    taken = units + kept - before
    if spare(main) < taken:
        return None
    conditions: tuple[Condition, ...] = (
        AtLeast("spare", taken),
        Equals("kept", before) if "kept" in main else AttributeAbsent("kept"),
        AnyOf((AttributeAbsent("gathered_at"), LessThan("gathered_at", instant(now - GATHERED_FOR)))),
    )
    return [
        Update(
            promise_key(key),
            set={"kept": kept},
            add={"available": -units, "spare": -taken, "allotted": units, "moved": 1, "change_seq": 1},
            conditions=conditions,
        ),
        Update(
            promise_key(key, k),
            set={
                "sku": key.sku,
                "location": key.location,
                "kept": kept,
                "expiring_pk": f"allotted#{shard(key.sku)}",
                "expiring_sk": instant(now + IDLE_AFTER),
            },
            add={"available": units, "granted": units, "change_seq": 1},
        ),
    ]


def gathering(allotment: Item, now: datetime) -> list[Update]:
    """Move what is left in an allotment, as it was read, back to counter 0."""
    key, k = stock_key_of(allotment), int(cast(str, allotment["sk"]))
    left, granted = cast(int, allotment["available"]), cast(int, allotment["granted"])
    return [
        Update(
            promise_key(key),
            set={"gathered_at": instant(now)},
            add={"available": left, "spare": left, "allotted": -granted, "moved": 1, "change_seq": 1},
        ),
        Update(
            promise_key(key, k),
            add={"available": -left, "granted": -granted, "change_seq": 1},
            remove=("expiring_pk", "expiring_sk"),
            conditions=(Equals("available", left), Equals("granted", granted)),
        ),
    ]


def idle_allotments(table: Table, now: datetime, limit: int = 100) -> Iterator[Item]:
    """Yield allotments that were last filled long ago."""
    for number in range(SHARDS):
        keys = list(table.query_index("expiring", f"allotted#{number}", last=instant(now), limit=limit))
        yield from table.get_many(keys).values()

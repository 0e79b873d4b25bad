"""Promise counters: what can still be claimed of each stock key, and what of it is set aside for single channels.

One item for each stock key holds ``available`` (on hand, less holds, damage and open orders), and where units are set
aside ``set_aside|CHANNEL`` for each and their sum ``set_aside``. All of it is one item, so one condition guards a
claim: whoever does not know how much is set aside is refused, learns it from the refusal, and asks again.

A key that owes more than it has is listed under ``short`` when its change is fanned out, so that whoever watches
finds it without a scan.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import cast

from shared.domain.availability import Claim, Standing
from shared.domain.events import instant
from shared.domain.stock import ChannelId, Quantity, StockKey
from shared.store.layout import SHARDS, promise_key, shard
from shared.store.ledger import promise_action, stock_key_of
from shared.store.table import (
    AnyOf,
    AtLeast,
    AttributeAbsent,
    Condition,
    Equals,
    Item,
    Table,
    Update,
)

_OWN = "set_aside|"


def standing_of(item: Item | None, *, is_stale: bool = False) -> Standing:
    """Read what a promise on a stock key is made from."""
    if item is None:
        return Standing(0, {}, is_stale)
    kept = {
        ChannelId(name.removeprefix(_OWN)): cast(int, units)
        for name, units in item.items()
        if name.startswith(_OWN) and units
    }
    return Standing(cast(int, item["available"]), kept, is_stale)


def standings(table: Table, keys: Iterable[StockKey]) -> dict[StockKey, Standing]:
    """Return what a promise on each stock key is made from, read consistently; staleness is not known here."""
    wanted = {promise_key(key): key for key in keys}
    found = table.get_many(list(wanted))
    return {key: standing_of(found.get(at)) for at, key in wanted.items()}


def claim_conditions(found: Claim, channel: ChannelId, known: Standing) -> list[Condition]:
    """Say when a claim may be written: there is enough, and as much is set aside as was reckoned with."""
    conditions: list[Condition] = [
        AtLeast("available", found.least_available),
        _still("set_aside", sum(known.set_aside.values())),
    ]
    return [*conditions, AtLeast(f"{_OWN}{channel}", found.own)] if found.own else conditions


def with_own(action: Update, channel: ChannelId, change: Quantity) -> Update:
    """Move units of what is set aside for a channel in the same write."""
    if not change:
        return action
    return Update(
        action.key,
        action.set,
        {**action.add, "set_aside": change, f"{_OWN}{channel}": change},
        action.append,
        action.defaults,
        action.remove,
        action.conditions,
    )


def set_aside_action(
    key: StockKey, channel: ChannelId, units: Quantity, known: Standing, now: datetime
) -> Update:
    """Keep ``units`` of a stock key for a channel, more or fewer than so far; more only of what nobody else has."""
    before, total = known.set_aside.get(channel, 0), sum(known.set_aside.values())
    conditions: list[Condition] = [_still("set_aside", total), _still(f"{_OWN}{channel}", before)]
    if units > before:
        conditions.append(AtLeast("available", total + units - before))
    return with_own(promise_action(key, 0, now, *conditions), channel, units - before)


def _still(name: str, units: Quantity) -> Condition:
    same = Equals(name, units)
    return same if units else AnyOf((AttributeAbsent(name), same))


def fanned_out(key: StockKey, available: Quantity, change_seq: int, at: datetime) -> Update:
    """Take the mark of a change off, unless the key has changed again: that change will announce itself."""
    short = available < 0
    listed = {"expiring_pk": f"short#{shard(key.sku)}", "expiring_sk": instant(at)} if short else {}
    return Update(
        promise_key(key),
        set={"fanned_out_seq": change_seq, **listed},
        remove=("dirty_pk", "dirty_sk") if short else ("dirty_pk", "dirty_sk", "expiring_pk", "expiring_sk"),
        conditions=(Equals("change_seq", change_seq),),
    )


def short_keys(table: Table, limit: int = 1000) -> Iterator[StockKey]:
    """Yield stock keys that owed more than they had when they were last fanned out, the longest known first."""
    for number in range(SHARDS):
        keys = list(table.query_index("expiring", f"short#{number}", limit=limit))
        for item in table.get_many(keys).values():
            yield stock_key_of(item)

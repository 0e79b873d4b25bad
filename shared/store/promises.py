"""Promise counters: what can still be claimed of each stock key, and what of it is set aside for single channels.

One item for each stock key holds ``available`` (on hand, less holds, damage and open orders), and where units are set
aside ``set_aside|CHANNEL`` for each and their sum ``set_aside``. All of it is one item, so one condition guards a
claim: whoever does not know how much is set aside is refused, learns it from the refusal, and asks again.

**Allotments.** One item takes some fifty claims a second, so a hot stock key has more: counter 0, as above, and
**allotments**, counters 1 to ``COUNTERS`` that hold units moved there from counter 0, each claimed by itself. What is
available is the sum of all. Counter 0 knows how many units were ``allotted``, and what it has to ``spare``::

    spare = available - set_aside - kept        kept: the safety stock that the claims of an allotment may rely on

While anything is allotted, ``spare`` is never negative: whatever takes from counter 0 has that as its condition, and
is refused when it would not hold. It then **gathers** what is left in the allotments and tries again, now against
everything there is. So a debt never stands beside units in an allotment, and a unit in an allotment is always one
that anybody may have, whatever is set aside or withheld. What is given back goes to counter 0, and pays a debt first.

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
from shared.store.ledger_items import stock_key_of
from shared.store.table import (
    AnyOf,
    AtLeast,
    AttributeAbsent,
    Condition,
    Equals,
    Item,
    Key,
    LessThan,
    Table,
    ThrottledError,
    Update,
    Value,
)

COUNTERS = 16
"""Allotments of a hot stock key. Never lower it: units may lie in the last of them."""

READS = 10
"""Times that the counters of a hot stock key are read until counter 0 stood still."""

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
    return Standing(cast(int, item.get("available", 0)), kept, is_stale)


def standings(table: Table, keys: Iterable[StockKey]) -> dict[StockKey, Standing]:
    """Return what a promise on each stock key is made from, read consistently; staleness is not known here."""
    wanted = {promise_key(key): key for key in keys}
    found = table.get_many(list(wanted))
    return {key: standing_of(with_allotments(table, key, found.get(at))) for at, key in wanted.items()}


def with_allotments(table: Table, key: StockKey, main: Item | None) -> Item | None:
    """Return counter 0 of a stock key, as it was read, with what is available in all its counters.

    They are read one after another, for a read of all at one instant fails while anybody writes one of them, and at
    these somebody always does. Counter 0 is read before and after: while it stands still, allotments only shrink, so
    the sum lies between what there was before and after. Where it never stands still, it is enough that nothing was
    moved between the counters meanwhile: the sum is then not less than what is there at the end.
    """
    last_try = READS - 1
    for again in range(10 * READS):
        if main is None or not allotted(main):
            return main
        before, guard = main, "change_seq" if again < last_try else "moved"
        parts = table.get_many(counters(key)[1:])
        main = table.get(promise_key(key))
        if main is not None and main.get(guard) == before.get(guard):
            return {
                **main,
                "available": sum(cast(int, item["available"]) for item in (main, *parts.values())),
            }
    raise ThrottledError(f"units of {key} are moved between its counters all the time")


def counters(key: StockKey) -> list[Key]:
    """Return the keys of all promise counters that a stock key may have."""
    return [promise_key(key, k) for k in range(COUNTERS + 1)]


def allotted(item: Item | None) -> Quantity:
    """Return how many units were moved from counter 0 to allotments, and not gathered since."""
    return 0 if item is None else cast(int, item.get("allotted", 0))


def spare(main: Item) -> Quantity:
    """Return what counter 0 has beside what is set aside and what allotments rely on; negative where it has less."""
    kept = cast(int, main.get("kept", 0))
    return (
        cast(int, main.get("available", 0)) - sum(standing_of(main).set_aside.values()) - kept if main else 0
    )


def promise_action(key: StockKey, change: Quantity, posted_at: datetime, *conditions: Condition) -> Update:
    """Move what is available of a stock key, and mark it dirty in the same write so that no push is ever missed.

    A decrease that would eat into what allotments rely on is refused: gather them, and try again.
    """
    return Update(
        promise_key(key),
        set=changed(key, posted_at),
        add={"available": change, "spare": change, "change_seq": 1},
        conditions=(*conditions, *([beside_allotments(-change)] if change < 0 else [])),
    )


def changed(key: StockKey, at: datetime) -> dict[str, Value]:
    """Return what a promise counter says of itself when it has changed, until that is fanned out."""
    return {
        "sku": key.sku,
        "location": key.location,
        "changed_at": instant(at),
        "dirty_pk": f"dirty#{shard(key.sku)}",
        "dirty_sk": instant(at),
    }


def beside_allotments(units: Quantity) -> Condition:
    """Say that nothing is allotted, or that so many units are to spare beside it."""
    return AnyOf((AttributeAbsent("allotted"), LessThan("allotted", 1), AtLeast("spare", units)))


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
    spare = action.add["spare"] - change
    return Update(
        action.key,
        action.set,
        {**action.add, "set_aside": change, f"{_OWN}{channel}": change, "spare": spare},
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
        conditions += [AtLeast("available", total + units - before), beside_allotments(units - before)]
    return with_own(promise_action(key, 0, now, *conditions), channel, units - before)


def _still(name: str, units: Quantity) -> Condition:
    same = Equals(name, units)
    return same if units else AnyOf((AttributeAbsent(name), same))


def fanned_out(key: StockKey, k: int, available: Quantity, change_seq: int, at: datetime) -> Update:
    """Take the mark of a change off a counter, unless it has changed again: that change will announce itself."""
    marks: tuple[str, ...] = ("dirty_pk", "dirty_sk")
    listed: dict[str, Value] = {}
    if k == 0 and available < 0:
        listed = {"expiring_pk": f"short#{shard(key.sku)}", "expiring_sk": instant(at)}
    elif k == 0:
        marks += ("expiring_pk", "expiring_sk")
    return Update(
        promise_key(key, k),
        set={"fanned_out_seq": change_seq, **listed},
        remove=marks,
        conditions=(Equals("change_seq", change_seq),),
    )


def short_keys(table: Table, limit: int = 1000) -> Iterator[StockKey]:
    """Yield stock keys that owed more than they had when they were last fanned out, the longest known first."""
    for number in range(SHARDS):
        keys = list(table.query_index("expiring", f"short#{number}", limit=limit))
        for item in table.get_many(keys).values():
            yield stock_key_of(item)

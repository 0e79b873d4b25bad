"""Promise counters: what can still be claimed of each stock key.

One item for each stock key holds ``available`` (on hand, less holds, damage and open orders). A key that owes more
than it has is listed under ``short`` when its change is fanned out, so that whoever watches finds it without a scan.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from shared.domain.events import instant
from shared.domain.stock import Quantity, StockKey
from shared.store.layout import SHARDS, promise_key, shard
from shared.store.ledger import stock_key_of
from shared.store.table import Equals, Table, Update


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

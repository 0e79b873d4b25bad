"""Reading the order lines that are old enough to say whether they were filled, for the daily sweep.

Only stock keys whose promise has moved since the first of the days are looked at: an order that is taken, cancelled or
shipped moves it. What is found is not written here, but with the sweep's cursor, so that each line is judged once.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import date
from itertools import islice
from typing import cast

from shared.domain.events import parse_instant
from shared.domain.fill_rate import Due, judge, place_of
from shared.domain.stock import StockKey
from shared.store.layout import promise_key
from shared.store.orders import CLOCK_SKEW, Orders
from shared.store.promises import allotted
from shared.store.table import Table

MOST_LINES = 1_000
"""Order lines of one stock key that are read; one with more is left out, and counted as such."""


def filled(table: Table, keys: Sequence[StockKey], days: Due) -> dict[date, Counter[str]]:
    """Return what the due order lines of some stock keys add to the counters, by the day of their order."""
    promises = table.get_many([promise_key(key) for key in keys])
    since, orders = days.since - CLOCK_SKEW, Orders(table)
    found: defaultdict[date, Counter[str]] = defaultdict(Counter)
    for key in keys:
        promise = promises.get(promise_key(key))
        if promise is None:
            continue
        moved = cast("str | None", promise.get("changed_at"))
        if moved is not None and not allotted(promise) and parse_instant(moved) < since:
            continue
        changed = orders.of_stock_key(key, changed_since=since)
        lines = list(islice((line for line in changed if not line.is_of_a_transfer), MOST_LINES + 1))
        if len(lines) > MOST_LINES:
            found[days.last]["left_out"] += 1
            continue
        for line in {
            (line.order, line.line): line for line in lines if place_of(line) == key.location
        }.values():
            if (judged := judge(line, days)) is not None:
                found[judged[0]].update(judged[1])
    return dict(found)

"""The call that gives advice; it changes nothing, and each row says what it rests on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from functions.inventory_api.edge import WATCHERS, Asked, call, house
from functions.inventory_api.requests import InvalidFieldError
from shared.domain.advice import BufferAdvice, SiteReliability, ToCount, Unusual
from shared.domain.events import instant
from shared.operations.advice import Advice, Adviser
from shared.runtime.ground import now
from shared.runtime.http import Answer, answer

Json = dict[str, Any]

SHORT_KEYS = 20
"""Stock keys that are shown of a channel whose buffer is too small for them."""


@call("GET /v1/advice/<topic>", WATCHERS, query=("limit",))
def get_advice(asked: Asked[Any]) -> Answer:
    """Advise on one topic, what to look at first at the top: buffers, counts, movements or sites."""
    topic, most = asked.path["topic"], asked.query.page_size()
    if topic not in _TOPICS:
        remedy = f"use one of: {', '.join(_TOPICS)}; which case first is GET /v1/work-queue"
        raise InvalidFieldError("topic", f"there is no advice on {topic!r}", remedy)
    adviser = Adviser(house().stock, house().registry, house().cases, now)
    return answer(200, {"topic": topic, **_TOPICS[topic](adviser, most)})


def movements_view(found: Advice[Unusual], most: int) -> Json:
    """Show unusual movements."""
    rows = [
        {
            "sku": row.key.sku,
            "location": row.key.location,
            "kind": row.kind,
            "event": row.event,
            "at": instant(row.at),
            "units": row.units,
            "why": row.why,
        }
        for row in found.rows[:most]
    ]
    return _said(found, rows)


def counts_view(found: Advice[ToCount], most: int) -> Json:
    """Show what to count next."""
    rows = [
        {
            "sku": row.key.sku,
            "location": row.key.location,
            "counted_at": None if row.counted_at is None else instant(row.counted_at),
            "moved": row.moved,
            "drift": row.drift,
            "expected": row.expected,
            "value": None if row.value is None else str(row.value),
            "why": row.why,
        }
        for row in found.rows[:most]
    ]
    return {**_said(found, rows), "by": found.by}


def buffers_view(found: Advice[BufferAdvice], most: int) -> Json:
    """Show what buffer each channel needs."""
    rows = [
        {
            "channel": row.channel,
            "safety_stock": row.safety_stock,
            "advised": None if row.latency is None else row.usual,
            "listings": row.looked_at,
            "too_small_for": len(row.short),
            "why": _why(row),
            "short": [
                {
                    "sku": one.key.sku,
                    "location": one.key.location,
                    "withheld": one.withheld,
                    "needed": one.needed,
                }
                for one in row.short[:SHORT_KEYS]
            ],
        }
        for row in found.rows[:most]
    ]
    return _said(found, rows)


def sites_view(found: Advice[SiteReliability], most: int) -> Json:
    """Show how far each site can be relied upon."""
    rows = [
        {
            "site": row.site,
            "drift_cases": row.drift_cases,
            "drift_units": row.drift_units,
            "drift_share": row.drift_share,
            "transfers": row.transfers,
            "short": row.short,
            "lost": row.lost,
            "late": row.late,
            "why": row.why,
        }
        for row in found.rows[:most]
    ]
    return _said(found, rows)


def _why(row: BufferAdvice) -> str:
    if row.latency is None:
        return "no push to it was measured in the last 24 hours, so nothing can be said"
    return (
        f"a sale elsewhere is seen there within {row.latency}, 95 of 100 times; for 95 of 100 listings others never sold "
        f"more than {row.usual} in such a time"
    )


def _said(found: Advice[Any], rows: list[Json]) -> Json:
    more = max(0, len(found.rows) - len(rows))
    return {"rows": rows, "more": more, "looked_at": found.looked_at, "is_complete": found.is_complete}


_TOPICS: dict[str, Callable[[Adviser, int], Json]] = {
    "buffers": lambda adviser, most: buffers_view(adviser.buffers(), most),
    "counts": lambda adviser, most: counts_view(adviser.counts(), most),
    "movements": lambda adviser, most: movements_view(adviser.movements(), most),
    "sites": lambda adviser, most: sites_view(adviser.sites(), most),
}

"""Watching how fresh the counts of each location are: a source that falls silent is a case, and every promise that it
changes is looked at anew.

When a location turns stale, or fresh again, all its stock keys are marked as changed, so that every channel is told
its new number like any other change. Only then is the turn written down: a run that is cut short does it again.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import cast

from shared.domain.cases import Case, CaseKind, case_id
from shared.domain.events import instant, parse_instant
from shared.domain.network import Location, Source
from shared.domain.stock import Sku, StockKey
from shared.store.bulk import write_each
from shared.store.cases import Cases
from shared.store.layout import SHARDS, heard_key
from shared.store.promises import promise_action
from shared.store.registry import Registry
from shared.store.table import Exists, Table, Update


class FreshnessWatch:
    """Keeps promises and cases true as sources fall silent and speak again."""

    def __init__(self, table: Table, registry: Registry, cases: Cases, clock: Callable[[], datetime]) -> None:
        self._table = table
        self._registry = registry
        self._cases = cases
        self._clock = clock

    def run(self) -> dict[str, int]:
        """Look at every location whose counts must be fresh; return how many are stale, and how many turned."""
        network, stale, turned = self._registry.network(), 0, 0
        for location in network.locations.values():
            source = None if location.counts is None else network.sources.get(location.counts)
            if source is not None and source.freshness is not None:
                is_stale, has_turned = self._look(location, source)
                stale += is_stale
                turned += has_turned
        return {"stale": stale, "turned": turned}

    def _look(self, location: Location, source: Source) -> tuple[bool, bool]:
        now, key = self._clock(), heard_key(source.id, location.id)
        item = self._table.get(key) or {}
        said = cast("str | None", item.get("as_of"))
        heard = None if said is None else parse_instant(said)
        is_stale = heard is None or (source.freshness is not None and now - heard > source.freshness)
        has_turned = is_stale != item.get("is_stale", False)
        if has_turned:
            self._mark(location, now)
            self._table.write([Update(key, set={"is_stale": is_stale})])
        name = case_id(CaseKind.STALE_SOURCE, source.id, location.id)
        if is_stale:
            if not self._cases.which_open([name]):
                self._cases.file(_case(name, location, source, heard, now))
        elif has_turned:
            self._cases.close(name, f"{source.id} has spoken again", now)
        return is_stale, has_turned

    def _mark(self, location: Location, now: datetime) -> None:
        """Mark every stock key of a location as changed; what changed meanwhile is marked by that change."""
        for number in range(SHARDS):
            listed = self._table.query_index("by_location", f"{location.id}#{number}")
            keys = [StockKey(Sku(_plain(key.pk.split("#")[1])), location.id) for key in listed]
            write_each(self._table, [promise_action(key, 0, now, Exists()) for key in keys])


def _case(name: str, location: Location, source: Source, heard: datetime | None, now: datetime) -> Case:
    last = "never" if heard is None else instant(heard)
    limit = 0 if source.freshness is None else int(source.freshness.total_seconds())
    return Case(
        name,
        CaseKind.STALE_SOURCE,
        f"{source.id} last said anything of {location.id} as of {last}; it should every {limit} seconds",
        "see why it is silent; channels that declare stale_percent withhold that share until it speaks again",
        now,
        now,
        {"source": source.id, "location": location.id, "heard": last, "freshness_s": limit},
    )


def _plain(text: str) -> str:
    return text.replace("%23", "#").replace("%25", "%")

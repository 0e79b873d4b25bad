"""Watching how fresh what each source says is: one that falls silent about a location is a case. Where it is believed
about the counts there, every promise that its silence changes is looked at anew. To a promise a source is silent, too, that
speaks where it is not live: that is no case, for somebody decided it.

When a location turns stale, or fresh again, all its stock keys are marked as changed, so that every channel is told
its new number like any other change. Only then is the turn written down: a run that is cut short does it again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from shared.domain.cases import Case, CaseKind, case_id
from shared.domain.events import instant, parse_instant
from shared.domain.network import Location, Source
from shared.store.bulk import write_each
from shared.store.cases import Cases
from shared.store.layout import SHARDS, believed_key, heard_key, key_of
from shared.store.observations import Observations
from shared.store.promises import promise_action
from shared.store.registry import Network, Registry
from shared.store.table import Exists, Key, Table, Update


@dataclass(frozen=True, slots=True)
class _Age:
    """Until when something was said, whether that is too long ago, and whether it was not when it was last looked at."""

    key: Key
    heard: datetime | None
    is_stale: bool
    has_turned: bool


class FreshnessWatch:
    """Keeps promises and cases true as sources fall silent and speak again."""

    def __init__(self, table: Table, registry: Registry, cases: Cases, clock: Callable[[], datetime]) -> None:
        self._table = table
        self._observations = Observations(table)
        self._registry = registry
        self._cases = cases
        self._clock = clock

    def run(self) -> dict[str, int]:
        """Look at every source that must be fresh; return about how many locations they are stale, and how many turned."""
        network, stale, turned = self._registry.network(), 0, 0
        for source in network.sources.values():
            if source.freshness is not None:
                for location in self._spoken_of(source, network):
                    is_stale, has_turned = self._look(location, source)
                    stale += is_stale
                    turned += has_turned
        return {"stale": stale, "turned": turned}

    def _spoken_of(self, source: Source, network: Network) -> Iterator[Location]:
        """Yield the locations that a source is believed about, and those that it ever said anything of."""
        heard = self._observations.places(source.id)
        for location in network.locations.values():
            if location.counts == source.id or location.id in heard:
                yield location

    def _look(self, location: Location, source: Source) -> tuple[bool, bool]:
        """Look at one location; return whether what the source says of it is stale, and whether that has turned."""
        now = self._clock()
        silence = self._age(heard_key(source.id, location.id), source)
        name = case_id(CaseKind.STALE_SOURCE, source.id, location.id)
        if silence.is_stale:
            if not self._cases.which_open([name]):
                self._cases.file(_case(name, location, source, silence.heard, now))
        elif silence.has_turned:
            self._cases.close(name, f"{source.id} has spoken again", now)
        self._note(silence)
        if location.counts != source.id:
            return silence.is_stale, silence.has_turned
        promised = self._age(believed_key(source.id, location.id), source)
        if promised.has_turned:
            self._mark(location, now)
        self._note(promised)
        return promised.is_stale, promised.has_turned

    def _age(self, key: Key, source: Source) -> _Age:
        item = self._table.get(key) or {}
        said = cast("str | None", item.get("as_of"))
        heard = None if said is None else parse_instant(said)
        is_stale = heard is None or (
            source.freshness is not None and self._clock() - heard > source.freshness
        )
        return _Age(key, heard, is_stale, is_stale != item.get("is_stale", False))

    def _note(self, age: _Age) -> None:
        if age.has_turned:
            self._table.write([Update(age.key, set={"is_stale": age.is_stale})])

    def _mark(self, location: Location, now: datetime) -> None:
        """Mark every stock key of a location as changed; what changed meanwhile is marked by that change."""
        for number in range(SHARDS):
            listed = self._table.query_index("by_location", f"{location.id}#{number}")
            keys = [key_of(key.pk) for key in listed]
            write_each(self._table, [promise_action(key, 0, now, Exists()) for key in keys])


def _case(name: str, location: Location, source: Source, heard: datetime | None, now: datetime) -> Case:
    last = "never" if heard is None else instant(heard)
    limit = 0 if source.freshness is None else int(source.freshness.total_seconds())
    return Case(
        name,
        CaseKind.STALE_SOURCE,
        f"{source.id} last said anything of {location.id} as of {last}; it should every {limit} seconds",
        "see why it is silent; "
        + (
            "channels that declare stale_percent withhold that share until it speaks again"
            if location.counts == source.id
            else "until it speaks again its numbers are compared with the past"
        ),
        now,
        now,
        {"source": source.id, "location": location.id, "heard": last, "freshness_s": limit},
    )

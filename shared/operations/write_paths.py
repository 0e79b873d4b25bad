"""The write-path map: every handoff there is, what goes through it, and who changed a number by none of them.

A number that changes over there and that none of our events explains was written by somebody: by a path that bypasses
us and is declared (the ERP writes to the storefront every 15 minutes), or by one that nobody has declared. The latter
is one case for each system that was written to, however many numbers it changed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from shared.domain.cases import Case, CaseKind, Fact, case_id
from shared.domain.handoffs import OURSELVES, DeclaredPath, WritePath, authority_of
from shared.domain.network import Channel, Source
from shared.domain.root_cause import RootCause
from shared.domain.stock import LocationId, Sku, SourceId, StockKey
from shared.sources.registry import FILE_CONNECTORS
from shared.store.cases import Cases
from shared.store.registry import Network, Registry
from shared.store.traffic import Traffic

WRITTEN_BY_SOMEBODY = frozenset({RootCause.MANUAL_OVERRIDE, RootCause.STALE_OVERWRITE})
"""Causes that say that a system's number was set, not moved."""


SURE_ENOUGH = 50
"""Confidence in hundredths from which a likely cause of a drift is acted on here."""


A_PROGRAM = 3
"""Items of one source whose numbers were set, found together, from which a program is taken to write there."""


class WritePaths:
    """Draws the map."""

    def __init__(self, traffic: Traffic, registry: Registry) -> None:
        self._traffic = traffic
        self._registry = registry

    def all(self) -> list[WritePath]:
        """Return every handoff: from each source, to each channel, and past us as declared."""
        network = self._registry.network()
        return [
            *(self._from(source, network) for source in network.sources.values()),
            *(self._to(channel) for channel in network.channels.values()),
            *(self._past(path) for path in network.rules.write_paths),
        ]

    def _from(self, source: Source, network: Network) -> WritePath:
        how = "file" if source.connector in FILE_CONNECTORS else "webhook"
        allowed: defaultdict[LocationId, list[str]] = defaultdict(list)
        for place in network.locations.values():
            for element, who in (("counts", place.counts), ("movements", place.movements)):
                if who == source.id:
                    allowed[place.id].append(element)
        authority = authority_of(source.id, allowed)
        if source.channel is not None:
            authority = (*authority, f"demand of channel {source.channel}")
        seen = self._traffic.seen(source.id, OURSELVES)
        return WritePath(source.id, OURSELVES, f"{how} ({source.connector})", authority, seen)

    def _to(self, channel: Channel) -> WritePath:
        places = ", ".join(channel.locations) or "nowhere"
        authority = (f"available to promise of {places}",)
        seen = self._traffic.seen(OURSELVES, channel.id)
        return WritePath(OURSELVES, channel.id, f"push ({channel.connector})", authority, seen)

    def _past(self, path: DeclaredPath) -> WritePath:
        seen = self._traffic.seen(path.giver, path.taker)
        told = (f"declared: it writes to {path.taker} without us",)
        return WritePath(path.giver, path.taker, path.mechanism, told, seen, True, path.every)


class PathWatch:
    """Says of each change that nobody explains by which declared path it came, or that it came by none."""

    def __init__(
        self, traffic: Traffic, cases: Cases, registry: Registry, clock: Callable[[], datetime]
    ) -> None:
        self._traffic = traffic
        self._cases = cases
        self._registry = registry
        self._clock = clock

    def changed(
        self, taker: str, key: StockKey, units: int, why: str, known_as: str | None = None
    ) -> tuple[DeclaredPath, ...]:
        """Note a change in a system that no event of ours explains; return the declared paths that may have made it.

        Where none is declared, to the system or to what else it is ``known_as``, it is a case of that system.
        """
        rules = self._registry.network().rules
        declared = tuple(path for path in rules.write_paths if path.taker in (taker, known_as))
        for path in declared:
            self._traffic.passed(path.giver, path.taker, 1)
        if declared:
            self._traffic.write()
            return declared
        now = self._clock()
        facts: dict[str, Fact] = {
            "system": taker,
            "sku": key.sku,
            "location": key.location,
            "units": units,
            "why": why,
        }
        title = f"somebody writes to {taker} past us: {key} changed by {units:+d} there; {why}"
        remedy = (
            f"find who writes to {taker}; if it is meant, declare it under rules.write_paths in network.yaml, "
            "else have it stopped; then ignore this case"
        )
        name = case_id(CaseKind.UNDECLARED_WRITE_PATH, taker)
        self._cases.file(Case(name, CaseKind.UNDECLARED_WRITE_PATH, title, remedy, now, now, facts))
        return ()

    def drifted(self, cases: Sequence[Case]) -> None:
        """Look whether drifts that were found together say that somebody writes to their source.

        One number that was set is a person at a screen, and its drift says so. Several at once are a program.
        """
        written: defaultdict[SourceId, list[Case]] = defaultdict(list)
        for case in cases:
            sure = case.facts.get("confidence")
            if (
                case.facts.get("cause") in WRITTEN_BY_SOMEBODY
                and isinstance(sure, int)
                and sure >= SURE_ENOUGH
                and "undone_at" not in case.facts  # a count that it told us of, and that was undone here
            ):
                written[SourceId(str(case.facts["source"]))].append(case)
        for name, found in written.items():
            if len({case.facts["sku"] for case in found}) < A_PROGRAM:
                continue
            facts, source = found[0].facts, self._registry.network().sources.get(name)
            key = StockKey(Sku(str(facts["sku"])), LocationId(str(facts["location"])))
            drift = facts["drift"]
            why = f"{len(found)} of its numbers were set at once, not moved"
            channel = None if source is None else source.channel
            self.changed(name, key, drift if isinstance(drift, int) else 0, why, channel)


def in_order(paths: list[WritePath]) -> Iterator[WritePath]:
    """Yield the map with the busiest handoffs first."""
    yield from sorted(paths, key=lambda path: (-path.seen.last_day, path.giver, path.taker))

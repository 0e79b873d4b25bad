"""The match rate: against counts of the shelf, and apart from it against each system; and the gate to cut over.

Counts come from the counters of the day (``counting_events``). What each system's numbers were worth on a day, the
daily sweep has measured; what they are worth now is looked up while there are few stock keys, and else is what the
newest sweep found. What was done by hand is read off the journal's counters and off what people did about cases.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from shared.domain.cases import OURSELVES, RETRIED, Case, CaseKind, CaseStatus, Deed
from shared.domain.match_rate import DAYS, INTERVENTIONS, Gate, MatchDay, Matches, gate
from shared.domain.stock import LocationId, SourceId, StockKey
from shared.domain.tallies import Place
from shared.operations.reconcile import Reconciler, Verdict
from shared.operations.stock_view import StockView
from shared.store.cases import Cases
from shared.store.registry import Registry
from shared.store.tallies import EVERYWHERE, Tallies

LOOKED_UP = 1_000
"""Stock keys up to which every system's numbers are compared when somebody asks."""

TOGETHER = 50
"""Stock keys that are compared at once."""

WAITING = (CaseKind.COUNT_APPROVAL, CaseKind.COUNT_SUSPENDED, CaseKind.COUNT_DISPUTED)
"""Cases of counts that are not in the book, or not for sure."""

CODES = (CaseKind.UNKNOWN_CODE, CaseKind.UNKNOWN_CODES)
HELD = (CaseKind.SUSPICIOUS_SNAPSHOT, CaseKind.ADJUSTMENT_APPROVAL)
"""Cases whose approval is written down as a retry."""


@dataclass(frozen=True, slots=True)
class SystemMatch:
    """What a system's numbers at a location are worth; of one that spoke, and of bins or lots alone, none is compared.

    ``day`` is that of the sweep that found it; None: it was looked up now. ``equal`` are those right to the unit.
    """

    location: LocationId
    source: SourceId
    matches: Matches
    equal: int
    day: date | None


@dataclass(frozen=True, slots=True)
class MatchReport:
    """The match rate of some days.

    Attributes
    ----------
    counts, levels
        By location and source: counts of the shelf, and rows of snapshots that the book was posted from.
    """

    first: date
    last: date
    counts: Mapping[tuple[LocationId, SourceId], Matches]
    levels: Mapping[tuple[LocationId, SourceId], Matches]
    systems: tuple[SystemMatch, ...]
    days: tuple[MatchDay, ...]
    gates: tuple[Gate, ...]


class MatchDesk:
    """Says how far the book can be trusted."""

    def __init__(
        self,
        tallies: Tallies,
        cases: Cases,
        registry: Registry,
        view: StockView,
        reconciler: Reconciler,
        clock: Callable[[], datetime],
    ) -> None:
        self._tallies = tallies
        self._cases = cases
        self._registry = registry
        self._view = view
        self._reconciler = reconciler
        self._clock = clock

    def report(self, first: date, last: date) -> MatchReport:
        """Report some days, and judge every location by the days before today, whichever were asked for."""
        locations = sorted(self._registry.network().locations)
        yesterday = self._clock().date() - timedelta(days=1)
        earliest, latest = min(first, yesterday - timedelta(days=DAYS - 1)), max(last, yesterday)
        tallies = [found for at in locations for found in self._tallies.between(at, earliest, latest)]
        days = self._days(locations, tallies, earliest, latest)
        asked = [(place, tally) for place, tally in tallies if first <= place.day <= last]
        waiting = Counter(str(case.facts.get("location")) for case in self._cases.open_of(WAITING))
        return MatchReport(
            first,
            last,
            _matches(asked, "counted", "matched", "off"),
            _matches(asked, "read", "agreed", "read_off"),
            self._every_system(locations, yesterday),
            tuple(day for at in locations for day in days[at].values() if first <= day.day <= last),
            tuple(gate(at, days[at], yesterday, waiting[at]) for at in locations),
        )

    def _days(
        self,
        locations: Iterable[LocationId],
        tallies: Iterable[tuple[Place, Counter[str]]],
        first: date,
        last: date,
    ) -> dict[LocationId, dict[date, MatchDay]]:
        counts: defaultdict[tuple[LocationId, date], Counter[str]] = defaultdict(Counter)
        for place, tally in tallies:
            counts[place.location, place.day].update(tally)
        by_hand = self._by_hand(first, last)
        systems: defaultdict[tuple[LocationId, date], dict[str, Matches]] = defaultdict(dict)
        for location in locations:
            for place, found in self._tallies.agreement(location, first, last):
                systems[location, place.day][place.source] = Matches(found["compared"], found["agreed"])
        span = [first + timedelta(days=number) for number in range((last - first).days + 1)]
        return {
            at: {
                day: MatchDay(
                    at,
                    day,
                    Matches(tally["counted"], tally["matched"], tally["off"]),
                    _interventions(tally, by_hand[at, day] + by_hand[EVERYWHERE, day]),
                    systems[at, day],
                )
                for day in span
                for tally in [counts[at, day]]
            }
            for at in locations
        }

    def _by_hand(self, first: date, last: date) -> defaultdict[tuple[LocationId, date], Counter[str]]:
        """Return what people did by hand about cases and dead letters, by location, or everywhere."""
        found: defaultdict[tuple[LocationId, date], Counter[str]] = defaultdict(Counter)
        for place, tally in self._tallies.between(EVERYWHERE, first, last):
            found[EVERYWHERE, place.day]["redrives"] += tally["redriven"]
        known = self._registry.network().locations
        for case in self._cases.every():
            if case.kind is not CaseKind.DRIFT and case.updated_at.date() >= first:
                named = LocationId(str(case.facts.get("location")))
                where = named if named in known else EVERYWHERE
                for at, what in interventions(case, self._cases.deeds(case.id)):
                    found[where, at.date()][what] += 1
        return found

    def _every_system(self, locations: list[LocationId], yesterday: date) -> tuple[SystemMatch, ...]:
        """Return what every system's numbers are worth; one that spoke and has none to compare is named as well."""
        found = {(one.location, one.source): one for one in self._systems(locations, yesterday)}
        for place in self._view.compared_places():
            if place[0] in locations:
                found.setdefault(place, SystemMatch(*place, Matches(), 0, None))
        return tuple(found[place] for place in sorted(found))

    def _systems(self, locations: list[LocationId], yesterday: date) -> Iterator[SystemMatch]:
        keys: list[StockKey] = []
        for location in locations:
            if len(keys) <= LOOKED_UP:
                keys += self._view.keys_at(location, None, LOOKED_UP + 1 - len(keys))
        if len(keys) <= LOOKED_UP:
            yield from self._looked_up(keys)
            return
        for location in locations:
            swept = self._tallies.agreement(location, yesterday - timedelta(days=DAYS), self._clock().date())
            newest = {place.source: (place, found) for place, found in swept}
            for place, found in newest.values():
                matches = Matches(found["compared"], found["agreed"])
                yield SystemMatch(location, place.source, matches, found["equal"], place.day)

    def _looked_up(self, keys: list[StockKey]) -> Iterator[SystemMatch]:
        verdicts: list[Verdict] = []
        for start in range(0, len(keys), TOGETHER):
            verdicts += self._reconciler.judge(keys[start : start + TOGETHER])
        by_place: defaultdict[tuple[LocationId, SourceId], list[Verdict]] = defaultdict(list)
        for one in verdicts:
            if one.agrees is not None:
                by_place[one.seen.location, one.seen.source].append(one)
        for (location, source), found in sorted(by_place.items()):
            matches = Matches(len(found), sum(one.agrees is True for one in found))
            yield SystemMatch(location, source, matches, sum(one.is_equal for one in found), None)


def interventions(case: Case, deeds: Iterable[Deed]) -> Iterator[tuple[datetime, str]]:
    """Yield what was done by hand about a case, and changed stock or sent something again: when, and of which kind."""
    was_mapped = False
    for deed in deeds:
        if deed.action == "map":
            was_mapped = True
            yield deed.at, "codes_mapped"
        elif deed.action == "retry":
            yield deed.at, "redrives"
        elif deed.action == CaseStatus.RESOLVED and deed.by != OURSELVES and case.kind not in CODES:
            if deed.why == RETRIED and case.kind not in HELD:
                yield deed.at, "redrives"
            elif not deed.why.startswith("rejected") and case.kind is not CaseKind.UNDO_APPROVAL:
                yield deed.at, "case_actions"  # an undo is in the journal
    if case.kind in CODES and case.status is CaseStatus.RESOLVED and not was_mapped:
        yield case.closed_at or case.updated_at, "codes_mapped"  # in the registry, past the case


def _interventions(tally: Mapping[str, int], by_hand: Mapping[str, int]) -> dict[str, int]:
    counted = {"adjustments": tally["adjusted"], "taken_back": tally["taken_back"], **by_hand}
    return {kind: counted[kind] for kind in INTERVENTIONS if counted.get(kind)}


def _matches(
    tallies: Iterable[tuple[Place, Counter[str]]], compared: str, matched: str, off: str
) -> dict[tuple[LocationId, SourceId], Matches]:
    found: defaultdict[tuple[LocationId, SourceId], Matches] = defaultdict(Matches)
    for place, tally in tallies:
        if tally[compared]:
            found[place.location, place.source] += Matches(tally[compared], tally[matched], tally[off])
    return dict(found)

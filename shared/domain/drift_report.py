"""Where drift comes from: drift cases added up by site, by handoff and by cause, so that the worst stand first.

One case is one number of one system at one stock key, so a handoff that drops every receipt of a site shows as many
cases. Units are what these numbers were last off by, whichever way: +5 and -5 are 10 units of drift, not none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime

from shared.domain.cases import Case, CaseStatus
from shared.domain.network import Location
from shared.domain.stock import LocationId

MOST_OF_IT = 66
"""The share, in hundredths, of all drifting units that the sites named as the cause of most of it must hold."""

NOT_EXPLAINED = "not_explained"
"""Stands for the cause of a case that was filed among too many to look for the reason of each."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Drift of one kind.

    Attributes
    ----------
    names
        What the cases have in common: a site, a handoff, a cause, or one of each.
    cases, still_open
        Drift cases in all, and those among them that are open.
    units
        What their numbers are off by, or were last, added up without sign.
    share_hundredths
        Their part of all units in the report; of all cases, where there are no units.
    """

    names: tuple[str, ...]
    cases: int
    still_open: int
    units: int
    share_hundredths: int


@dataclass(frozen=True, slots=True)
class DriftReport:
    """Drift by site, handoff and cause; in each list the worst first.

    Attributes
    ----------
    paths
        Site, handoff and cause together.
    most_at
        The fewest sites that hold most of the drift; empty where that takes more than half of the sites that exist,
        for then it is no matter of a few sites.
    """

    cases: int
    still_open: int
    units: int
    sites: tuple[Tally, ...]
    handoffs: tuple[Tally, ...]
    causes: tuple[Tally, ...]
    paths: tuple[Tally, ...]
    most_at: tuple[LocationId, ...]


@dataclass(frozen=True, slots=True)
class _Drift:
    """One case, read."""

    site: str
    handoff: str
    cause: str
    units: int
    is_open: bool


def drift_report(
    cases: Iterable[Case], locations: dict[LocationId, Location], since: datetime
) -> DriftReport:
    """Add up the drift cases that are open, or were closed at ``since`` or later."""
    drifts = [_read(case, locations) for case in cases if _counts(case, since)]
    sites = _tallied(drifts, lambda one: (one.site,))
    return DriftReport(
        len(drifts),
        sum(one.is_open for one in drifts),
        sum(one.units for one in drifts),
        sites,
        _tallied(drifts, lambda one: (one.handoff,)),
        _tallied(drifts, lambda one: (one.cause,)),
        _tallied(drifts, lambda one: (one.site, one.handoff, one.cause)),
        _most_at(sites, len(locations)),
    )


def _counts(case: Case, since: datetime) -> bool:
    return case.closed_at is None or case.closed_at >= since


def _read(case: Case, locations: dict[LocationId, Location]) -> _Drift:
    facts = case.facts
    site, source = str(facts["location"]), str(facts["source"])
    place = locations.get(LocationId(site))
    authority = None if place is None else place.movements or place.counts
    handoff = source if authority is None or authority == source else f"{authority} to {source}"
    drift = facts.get("drift")
    units = abs(drift) if isinstance(drift, int) else 0
    cause = str(facts.get("cause") or NOT_EXPLAINED)
    return _Drift(site, handoff, cause, units, case.status is CaseStatus.OPEN)


def _tallied(drifts: list[_Drift], names_of: Callable[[_Drift], tuple[str, ...]]) -> tuple[Tally, ...]:
    gathered: dict[tuple[str, ...], list[_Drift]] = {}
    for one in drifts:
        gathered.setdefault(names_of(one), []).append(one)
    whole = sum(one.units for one in drifts)
    found = [
        Tally(
            names,
            len(same),
            sum(one.is_open for one in same),
            units := sum(one.units for one in same),
            100 * units // whole if whole else 100 * len(same) // len(drifts),
        )
        for names, same in gathered.items()
    ]
    return tuple(sorted(found, key=lambda tally: (-tally.units, -tally.cases, tally.names)))


def _most_at(sites: tuple[Tally, ...], existing: int) -> tuple[LocationId, ...]:
    """Return the worst sites that together hold ``MOST_OF_IT``, if they are no more than half of those that exist."""
    whole, held = sum(tally.units for tally in sites), 0
    named: list[LocationId] = []
    for tally in sites:
        if held * 100 >= MOST_OF_IT * whole:
            break
        held += tally.units
        named.append(LocationId(tally.names[0]))
    return tuple(named) if len(named) * 2 <= existing else ()

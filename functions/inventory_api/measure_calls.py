"""Calls that say how well it goes: the match rate with the gate to cut over, and the key figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from functions.inventory_api.edge import WATCHERS, Asked, call, house
from shared.domain.kpis import Kpi
from shared.domain.match_rate import DAYS, ENOUGH, Gate, MatchDay, Matches
from shared.domain.stock import LocationId, SourceId
from shared.operations.match_desk import MatchReport, SystemMatch
from shared.runtime.ground import now
from shared.runtime.http import Answer, answer

Json = dict[str, Any]

WEEK, MONTH = 7, 30


@call("GET /v1/match-rate", WATCHERS, query=("from", "to"))
def get_match_rate(asked: Asked[Any]) -> Answer:
    """Say how far the book can be trusted: against counts of the shelf, and apart from it against each system.

    By day and location with what was done by hand; and for each location whether it may be cut over, by the last seven
    days that are over. Rates are hundredths of a per cent, rounded down; null where nothing was compared. Days are UTC;
    from and to are included, at most 92 days (default: the last 7).
    """
    first, last = asked.query.days(WEEK, now().date())
    return answer(200, match_view(house().match_desk.report(first, last)))


@call("GET /v1/kpis", WATCHERS, query=("from", "to"))
def get_kpis(asked: Asked[Any]) -> Answer:
    """Tell the key figures of some days: latencies, failures, oversells, match rate, variance, adjustments, drift.

    Each says what it is, and has rows of names and numbers; what is not measured says why, and is never a zero. Names end
    in ``_ms`` for milliseconds, told as upper bounds less than a quarter too high, and in ``rate`` for hundredths of a
    per cent. Days are UTC; from and to are included, at most 92 days (default: the last 30).
    """
    first, last = asked.query.days(MONTH, now().date())
    found = house().kpi_desk.report(first, last)
    return answer(200, {"from": str(first), "to": str(last), "kpis": [_kpi_view(one) for one in found]})


def _kpi_view(one: Kpi) -> Json:
    why = one.not_measured or None
    return {"name": one.name, "says": one.says, "rows": [dict(row) for row in one.rows], "not_measured": why}


def match_view(report: MatchReport) -> Json:
    """Show the match rate."""
    return {
        "from": str(report.first),
        "to": str(report.last),
        "counts": _by_source(report.counts),
        "snapshots": _by_source(report.levels),
        "systems": [_system_view(one) for one in report.systems],
        "days": [_day_view(one) for one in report.days],
        "cutover": [_gate_view(one) for one in report.gates],
    }


def _by_source(found: Mapping[tuple[LocationId, SourceId], Matches]) -> list[Json]:
    return [
        {"location": location, "source": source, **_matches_view(matches)}
        for (location, source), matches in sorted(found.items())
    ]


def _matches_view(found: Matches) -> Json:
    return {
        "compared": found.compared,
        "matched": found.matched,
        "rate": found.rate,
        "units_off": found.off,
    }


def _system_view(one: SystemMatch) -> Json:
    return {
        "location": one.location,
        "source": one.source,
        "compared": one.matches.compared,
        "matched": one.matches.matched,
        "rate": one.matches.rate,
        "equal": one.equal,
        "swept_on": None if one.day is None else str(one.day),
    }


def _day_view(one: MatchDay) -> Json:
    systems = {
        source: {"compared": found.compared, "matched": found.matched, "rate": found.rate}
        for source, found in sorted(one.systems.items())
    }
    return {
        "day": str(one.day),
        "location": one.location,
        **_matches_view(one.counts),
        "interventions": dict(one.interventions),
        "systems": systems,
    }


def _gate_view(one: Gate) -> Json:
    return {
        "location": one.location,
        "passes": one.passes,
        "days_passed": one.days_passed,
        "days_needed": DAYS,
        "rate_needed": ENOUGH,
        "last_day": str(one.last_day),
        "compared": one.counts.compared,
        "matched": one.counts.matched,
        "rate": one.counts.rate,
        "why": list(one.why),
    }

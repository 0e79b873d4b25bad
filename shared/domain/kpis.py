"""Key figures of some days: each with what it says, its rows, and where it is not measured, why not.

What is not measured is said, and never a zero. Durations are milliseconds, told as upper bounds (``durations``); rates are
hundredths of a per cent, rounded down.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TypeAlias

from shared.domain.cases import Case, CaseKind, CaseStatus
from shared.domain.drift_report import DriftReport, Tally
from shared.domain.durations import Durations, bucket_of
from shared.domain.events import parse_instant
from shared.domain.fill_rate import GRACE
from shared.domain.inventory_value import worths
from shared.domain.match_rate import ENOUGH, Matches
from shared.domain.money import amount_text
from shared.domain.stock import LocationId, SourceId
from shared.domain.tallies import GAINED, LOST, Place, durations_of
from shared.domain.transfer import Effect, Transfer, TransferStatus

Row: TypeAlias = "Mapping[str, str | int | None]"
Tallied: TypeAlias = "tuple[Place, Counter[str]]"

GOAL_DAYS = 90
"""Days in which the match rate is to come to ``ENOUGH``."""

WEEK = timedelta(days=7)

_OVER = frozenset({TransferStatus.RECEIVED, TransferStatus.CLOSED, TransferStatus.CLOSED_SHORT})


@dataclass(frozen=True, slots=True)
class Kpi:
    """One figure.

    Attributes
    ----------
    rows
        By what it is told apart, and its numbers; empty where nothing happened in these days.
    not_measured
        Why there are no rows and never will be; empty where it is measured.
    """

    name: str
    says: str
    rows: tuple[Row, ...] = ()
    not_measured: str = ""


NOT_MEASURED = (
    Kpi("reservation_conflicts", "reservations refused for want of stock", (), "a refused reservation is answered and not kept; CloudWatch counts them by channel (ReservationsRefused)"),
    Kpi("backorders_by_sync", "backorders that a late handoff caused", (), "an oversell is not traced to one handoff; see oversells and drift_by_cause"),
)  # fmt: skip
"""What is asked for and cannot be told honestly from what is kept."""


def of_journal(tallies: Iterable[Tallied]) -> list[Kpi]:
    """Return the figures that the journal's counters tell."""
    by_source, by_location = defaultdict[str, Counter[str]](Counter), defaultdict[str, Counter[str]](Counter)
    for place, tally in tallies:
        by_source[place.source].update(tally)
        by_location[place.location].update(tally)
    took = {source: durations_of(tally) for source, tally in sorted(by_source.items())}
    places = sorted(by_location.items())
    return [
        Kpi("event_to_posting", "from when an event happened until it was in the ledger", tuple(
            {"source": source, **times(found)} for source, found in took.items() if found.count
        )),
        Kpi("match_rate", "counts of the shelf that said what the book said", tuple(
            {"location": at, "counts": one["counted"], "matched": one["matched"], "rate": Matches(one["counted"], one["matched"]).rate}
            for at, one in places if one["counted"]
        )),
        Kpi("variance", "units by which counts of the shelf differed, without and with sign", tuple(
            {"location": at, "counts_off": one["counted"] - one["matched"], "units": one["off"], "net": one["net"]}
            for at, one in places if one["counted"]
        )),
        Kpi("manual_adjustments", "adjustments by hand, and the units that they added and took", tuple(
            {"location": at, "adjustments": one["adjusted"], "up": one["up"], "down": one["down"]}
            for at, one in places if one["adjusted"]
        )),
    ]  # fmt: skip


def goal(tallies: Iterable[Tallied], last: date) -> Kpi:
    """Return how far the match rate has come since counting began: of the first week in ``tallies``, and of the last."""
    by_day: defaultdict[date, Matches] = defaultdict(Matches)
    for place, tally in tallies:
        if tally["counted"]:
            by_day[place.day] += Matches(tally["counted"], tally["matched"])
    says = f"the match rate on its way to {ENOUGH // 100}.{ENOUGH % 100:02} % within {GOAL_DAYS} days: the first and the last week"
    if not by_day:
        return Kpi("goal", says)
    first = min(by_day)
    began = sum((found for day, found in by_day.items() if day < first + WEEK), Matches())
    now = sum((found for day, found in by_day.items() if day > last - WEEK), Matches())
    row: Row = {
        "began_on": str(first),
        "day": (last - first).days + 1,
        "of_days": GOAL_DAYS,
        "began_rate": began.rate,
        "now_rate": now.rate,
        "goal_rate": ENOUGH,
    }
    return Kpi("goal", says, (row,))


def of_cases(cases: Iterable[Case], first: date, last: date) -> list[Kpi]:
    """Return the figures that cases tell: oversells that began in these days, and cases that ended in them.

    A case that was opened again comes once for each opening, as it was when that one was closed.
    """
    oversold: defaultdict[str, Counter[str]] = defaultdict(Counter)
    resolved: defaultdict[str, Counter[int]] = defaultdict(Counter)
    for case in cases:
        if case.kind is CaseKind.OVERSOLD and first <= case.opened_at.date() <= last:
            units = case.facts.get("exposure")
            oversold[str(case.facts.get("location"))].update(
                cases=1,
                open=int(case.status is CaseStatus.OPEN),
                units=units if isinstance(units, int) else 0,
            )
        if case.closed_at is not None and first <= case.closed_at.date() <= last:
            resolved[case.kind][bucket_of(case.closed_at - case.opened_at)] += 1
    return [
        Kpi("oversells", "times that a stock key owed more than it had, and the units last missing", tuple(
            {"location": at, **{name: found[name] for name in ("cases", "open", "units")}}
            for at, found in sorted(oversold.items())
        )),
        Kpi("time_to_resolve", "from when a case was opened until it was closed", tuple(
            {"kind": kind, **times(Durations(steps))} for kind, steps in sorted(resolved.items())
        )),
    ]  # fmt: skip


def time_to_detect(cases: Iterable[Case], first: date, last: date) -> Kpi:
    """Return how long it took from the likeliest fault until its drift case was opened, by system; or that it is not known."""
    took: defaultdict[tuple[str, str], Counter[int]] = defaultdict(Counter)
    unknown = Counter[str]()
    for case in cases:
        if case.kind is not CaseKind.DRIFT or not first <= case.opened_at.date() <= last:
            continue
        source, began, at = (str(case.facts.get(name)) for name in ("source", "fault_from", "fault_at"))
        fault = parse_instant(at) if "fault_at" in case.facts else None
        if fault is None or fault > case.opened_at:
            unknown[source] += 1
        else:
            took[source, began][bucket_of(case.opened_at - fault)] += 1
    known: list[Row] = [
        {"source": source, "from": began, **times(Durations(steps))}
        for (source, began), steps in sorted(took.items())
    ]
    return Kpi(
        "time_to_detect",
        "from the event that the likeliest cause names, or the first statement that differs, until the drift case was opened",
        (
            *known,
            *(
                {"source": source, "from": None, "count": count, "p50_ms": None, "p95_ms": None}
                for source, count in sorted(unknown.items())
            ),
        ),
    )


def of_drift(report: DriftReport) -> list[Kpi]:
    """Return drift by site, handoff and cause, the worst first."""
    says = "drifting units of cases that are open, or were closed in these days or since, by"
    kinds = (("site", report.sites), ("handoff", report.handoffs), ("cause", report.causes))
    return [
        Kpi(f"drift_by_{name}", f"{says} {name}", tuple(_drift_row(name, one) for one in found))
        for name, found in kinds
    ]


def of_transfers(transfers: Iterable[Transfer], is_asked: Callable[[datetime], bool]) -> Kpi:
    """Return how long transfers took that ended in the days that are asked for."""
    took: defaultdict[tuple[LocationId, LocationId], Counter[int]] = defaultdict(Counter)
    for one in transfers:
        arrived = [moved.at for moved in one.moves.values() if moved.effect is Effect.RECEIVED]
        if one.status in _OVER and arrived and is_asked(max(arrived)):
            took[one.origin, one.destination][bucket_of(max(arrived) - one.requested.at)] += 1
    return Kpi(
        "transfer_cycle",
        "from when a transfer was asked for until its last units arrived",
        tuple({"from": a, "to": b, **times(Durations(steps))} for (a, b), steps in sorted(took.items())),
    )


def of_orders(filled: Iterable[tuple[LocationId, Counter[str]]]) -> Kpi:
    """Return how orders of some days were filled, by location."""
    sums: defaultdict[LocationId, Counter[str]] = defaultdict(Counter)
    for at, one in filled:
        sums[at].update(one)
    return Kpi(
        "fill_rate",
        f"of the units ordered on these days and not cancelled, those shipped within {GRACE.days} days; judged once, after that",
        tuple(
            {
                "location": at,
                "lines": one["lines"],
                "whole": one["whole"],
                "asked": one["asked"],
                "sent": one["sent"],
                "fill_rate": 10_000 * one["sent"] // one["asked"] if one["asked"] else None,
                "keys_left_out": one["left_out"],
            }
            for at, one in sorted(sums.items())
        ),
    )


def of_confirmations(found: Iterable[tuple[SourceId, Counter[str]]]) -> Kpi:
    """Return how long events waited until each system confirmed them."""
    sums: defaultdict[SourceId, Counter[str]] = defaultdict(Counter)
    for source, one in found:
        sums[source].update(one)
    return Kpi(
        "event_to_each_system",
        "from when an event happened until the first number of the system, as of then or later, that agrees to the unit",
        tuple({"system": source, **times(durations_of(one))} for source, one in sorted(sums.items())),
    )


def of_worth(found: Iterable[tuple[LocationId, date, Mapping[str, int]]]) -> Kpi:
    """Return what each location's stock was worth in the newest sweep, by currency; what has no cost is told apart."""
    swept = list(found)
    newest = max((day for _, day, _ in swept), default=None)
    return Kpi(
        "inventory_value",
        "units on hand at their items' costs, as the newest finished daily sweep of these days found each stock key",
        tuple(
            {
                "location": at,
                "swept_on": str(day),
                "currency": one.currency or None,
                "value": amount_text(one.micros) if one.currency else None,
                "units": one.units,
            }
            for at, day, sums in swept
            if day == newest
            for one in worths(sums)
        ),
    )


def of_losses(tallies: Iterable[Tallied], worth: Iterable[tuple[LocationId, date, Mapping[str, int]]]) -> Kpi:
    """Return what adjustments and counts took off the book, by location and currency, beside what it is all worth."""
    stands = {(at, one.currency): one.micros for at, _, sums in worth for one in worths(sums)}
    found: defaultdict[tuple[LocationId, str], Counter[str]] = defaultdict(Counter)
    for place, tally in tallies:
        for name, number in tally.items():
            kind, mark, currency = name.rpartition("_")
            if mark and kind.partition("_")[0] in (LOST, GAINED):
                found[place.location, currency][kind] += number
    places = sorted(found, key=lambda one: (one[0], not one[1], one[1]))
    return Kpi(
        "write_offs",
        "what adjustments and counts took off the book and added to it; the share that is gone of the newest inventory value",
        tuple(_loss_row(*place, found[place], stands.get(place, 0)) for place in places),
    )


def _loss_row(at: LocationId, currency: str, one: Counter[str], stands: int) -> Row:
    off, on = one[f"{LOST}_worth"], one[f"{GAINED}_worth"]
    return {
        "location": at,
        "currency": currency or None,
        "units_off": one[LOST],
        "units_on": one[GAINED],
        "written_off": amount_text(off) if currency else None,
        "written_on": amount_text(on) if currency else None,
        "net": amount_text(on - off) if currency else None,
        "share_rate": 10_000 * (off - on) // stands if off >= on and stands > 0 and currency else None,
    }


def times(found: Durations) -> dict[str, int | None]:
    """Return how many durations there are, and what half and 95 of 100 are at most."""
    return {"count": found.count, "p50_ms": found.at_most_ms(50), "p95_ms": found.at_most_ms(95)}


def _drift_row(name: str, one: Tally) -> Row:
    share = 100 * one.share_hundredths
    return {
        name: one.names[0],
        "cases": one.cases,
        "open": one.still_open,
        "units": one.units,
        "share_rate": share,
    }

"""Key figures of some days, put together from what is kept: the counters of the day, handoffs, cases, transfers.

Nothing is written for it and nothing waits for it. What it reads: for each location the counters of at most 92 days, for
each handoff its days, the newest transfers, and every case once, with its earlier openings that ended in these days or
since.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

from shared.domain.cases import CaseKind
from shared.domain.drift_report import drift_report
from shared.domain.durations import Durations
from shared.domain.handoffs import OURSELVES
from shared.domain.kpis import (
    NOT_MEASURED,
    WEEK,
    Kpi,
    Row,
    Tallied,
    goal,
    of_cases,
    of_confirmations,
    of_drift,
    of_journal,
    of_losses,
    of_orders,
    of_transfers,
    of_worth,
    time_to_detect,
    times,
)
from shared.domain.match_rate import Matches
from shared.domain.stock import LocationId, Quantity, StockKey
from shared.store.cases import Cases
from shared.store.registry import Registry
from shared.store.tallies import Tallies
from shared.store.traffic import Traffic, TrafficDay
from shared.store.transfers import Transfers

WORST = 20
"""Stock keys that the variance by SKU names."""

LOOKED_AT = 500
"""Transfers that are looked at, the newest."""


class KpiDesk:
    """Tells the key figures."""

    def __init__(
        self, tallies: Tallies, traffic: Traffic, cases: Cases, transfers: Transfers, registry: Registry
    ) -> None:
        self._tallies = tallies
        self._traffic = traffic
        self._cases = cases
        self._transfers = transfers
        self._registry = registry

    def report(self, first: date, last: date) -> list[Kpi]:
        """Return every figure of some days, both ends included; those that are not measured last."""
        locations = self._registry.network().locations
        earliest = min(first, last - WEEK + timedelta(days=1))
        tallies = [found for at in locations for found in self._tallies.between(at, earliest, last)]
        worth = list(self._worth(first, last))
        since = datetime(first.year, first.month, first.day, tzinfo=UTC)
        openings = self._cases.openings(since)
        drifts = (one for one in openings if one.kind is CaseKind.DRIFT)
        ended = (one for one in self._transfers.newest(LOOKED_AT))
        return [
            *of_journal(one for one in tallies if one[0].day >= first),
            self._variance_by_sku(first, last),
            *self._of_handoffs(first, last),
            *of_cases(openings, first, last),
            time_to_detect(openings, first, last),
            *of_drift(drift_report(drifts, dict(locations), since)),
            of_transfers(ended, lambda at: first <= at.date() <= last),
            of_confirmations(
                (source, one)
                for source in self._registry.network().sources
                for one in self._tallies.confirmed(source, first, last)
            ),
            of_orders((at, one) for at in locations for one in self._tallies.filled(at, first, last)),
            of_worth(worth),
            of_losses((one for one in tallies if one[0].day >= first), worth),
            goal([*self._first_week(earliest), *tallies], last),
            *NOT_MEASURED,
        ]

    def _first_week(self, before: date) -> Iterator[Tallied]:
        """Yield the counters of the first week of counting, of its days before one."""
        locations, began = self._registry.network().locations, before
        for location in locations:
            began = self._tallies.first_compared(location, began) or began
        if began < before:
            last = min(began + WEEK, before) - timedelta(days=1)
            for location in locations:
                yield from self._tallies.between(location, began, last)

    def _worth(self, first: date, last: date) -> Iterator[tuple[LocationId, date, Counter[str]]]:
        for location in self._registry.network().locations:
            if (found := self._tallies.worth(location, first, last)) is not None:
                yield location, *found

    def _variance_by_sku(self, first: date, last: date) -> Kpi:
        counts, units = Counter[StockKey](), Counter[StockKey]()
        for location in self._registry.network().locations:
            for off in self._tallies.off(location, first, last):
                counts[off.key] += off.counts
                units[off.key] += off.units
        worst: list[tuple[StockKey, Quantity]] = sorted(
            units.items(), key=lambda one: (-one[1], one[0].sku, one[0].location)
        )
        says = f"the {WORST} stock keys whose counts were off by most units, without sign"
        return Kpi(
            "variance_by_sku",
            says,
            tuple(
                {"sku": key.sku, "location": key.location, "counts_off": counts[key], "units": off}
                for key, off in worst[:WORST]
            ),
        )

    def _of_handoffs(self, first: date, last: date) -> list[Kpi]:
        network = self._registry.network()
        pushes, failures = list[Row](), list[Row]()
        handoffs = [
            *((source, OURSELVES) for source in network.sources),
            *((OURSELVES, channel) for channel in network.channels),
        ]
        for giver, taker in handoffs:
            days = self._traffic.days(giver, taker, first, last)
            failures += _failed(giver, taker, days)
            waited = Counter[int]()
            for day in days:
                waited.update(day.waited.steps)
            if waited:
                pushes.append({"channel": taker, **times(Durations(waited))})
        return [
            Kpi(
                "push_latency",
                "from when a change was announced, moments after its posting, until the channel confirmed it",
                tuple(pushes),
            ),
            Kpi(
                "failed_transactions",
                "handoffs that did not succeed at the first try, of all; counted as they happen, not exactly once",
                tuple(failures),
            ),
        ]


def _failed(giver: str, taker: str, days: list[TrafficDay]) -> Iterator[Row]:
    passed, failed = sum(day.events for day in days), sum(day.failures for day in days)
    if passed or failed:
        rate = Matches(passed + failed, failed).rate
        yield {"from": giver, "to": taker, "events": passed, "failures": failed, "rate": rate}

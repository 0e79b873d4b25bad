"""The drift report: cases by site, handoff and cause, and the few sites that hold most of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from shared.domain.cases import Case, CaseKind, CaseStatus, Fact
from shared.domain.drift_report import NOT_EXPLAINED, DriftReport, drift_report
from shared.domain.network import Location
from shared.domain.stock import LocationId, SourceId

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
WMS = SourceId("wms")
SITES = {LocationId(f"site-{n}"): Location(LocationId(f"site-{n}"), WMS, WMS) for n in range(1, 7)}


def drift(
    number: int,
    site: int,
    units: int,
    source: str = "erp",
    cause: str | None = "missing_event",
    status: CaseStatus = CaseStatus.OPEN,
    hours_ago: float = 1,
) -> Case:
    facts: dict[str, Fact] = {
        "source": source,
        "location": f"site-{site}",
        "sku": "TEA",
        "drift": units,
        "cause": cause,
    }
    told = NOON - timedelta(hours=hours_ago)
    closed_at = None if status is CaseStatus.OPEN else told
    return Case(
        f"drift:{number}", CaseKind.DRIFT, "t", "r", told, told, facts, status=status, closed_at=closed_at
    )


def report(*cases: Case) -> DriftReport:
    return drift_report(cases, SITES, NOON - timedelta(days=1))


def test_cases_are_added_up_by_site_handoff_and_cause_and_the_worst_stands_first() -> None:
    found = report(
        drift(1, 1, -5),
        drift(2, 1, 3, "shop", "unit_mismatch"),
        drift(3, 2, 20),
        drift(4, 3, 2, cause=None),
    )
    assert (found.cases, found.still_open, found.units) == (4, 4, 30)
    assert [(t.names, t.cases, t.units) for t in found.sites] == [
        (("site-2",), 1, 20),
        (("site-1",), 2, 8),
        (("site-3",), 1, 2),
    ]
    assert [(t.names, t.units) for t in found.handoffs] == [(("wms to erp",), 27), (("wms to shop",), 3)]
    assert [(t.names, t.units) for t in found.causes] == [
        (("missing_event",), 25),
        (("unit_mismatch",), 3),
        ((NOT_EXPLAINED,), 2),
    ]
    assert found.paths[0].names == ("site-2", "wms to erp", "missing_event")
    assert found.paths[0].share_hundredths == 66


def test_a_closed_case_counts_if_it_was_closed_since_then() -> None:
    recent = drift(1, 1, 5, status=CaseStatus.RESOLVED, hours_ago=3)
    long_ago = drift(2, 1, 5, status=CaseStatus.IGNORED, hours_ago=30)
    still_open = drift(3, 1, 5, hours_ago=300)
    found = report(recent, long_ago, still_open)
    assert (found.cases, found.still_open) == (2, 1)


@pytest.mark.parametrize(
    ("units", "named"),
    [
        ([40, 35, 6, 7, 5, 7], ["site-1", "site-2"]),
        ([5, 6, 35, 7, 40, 7], ["site-5", "site-3"]),
        ([90, 2, 2, 2, 2, 2], ["site-1"]),
        ([10, 10, 10, 10, 10, 10], []),
        ([0, 0, 0, 0, 0, 0], []),
    ],
)
def test_the_few_sites_that_hold_most_of_the_drift_are_named(
    units: Sequence[int], named: Sequence[str]
) -> None:
    found = report(*(drift(site, site, off) for site, off in enumerate(units, start=1) if off))
    assert list(found.most_at) == named


def test_the_authoritys_own_number_is_no_handoff_to_itself() -> None:
    assert report(drift(1, 1, 4, "wms")).handoffs[0].names == ("wms",)


def test_a_site_that_is_no_longer_declared_is_still_reported() -> None:
    found = drift_report([drift(1, 9, 4)], SITES, NOON)
    assert (found.sites[0].names, found.handoffs[0].names) == (("site-9",), ("erp",))


def test_no_drift_is_an_empty_report() -> None:
    found = report()
    assert (found.cases, found.sites, found.most_at) == (0, (), ())

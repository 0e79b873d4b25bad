"""The key figures of cases: oversells and drift by their openings, how long it took to see them and to end them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest

from shared.domain.cases import RETRIED, Case, CaseKind, Fact
from shared.domain.events import instant
from shared.operations.case_life import CaseLife
from shared.operations.drift_desk import DriftDesk
from shared.store.table import Action
from tests.operations.house import NOON, House, Interruption, at, count, demand, movement
from tests.operations.kpi_days import DAY, kpis, opened, rows


@pytest.fixture
def house() -> House:
    return opened()


def case(house: House, name: str, kind: CaseKind, facts: dict[str, Fact]) -> None:
    house.cases.file(Case(name, kind, "t", "r", house.clock(), house.clock(), facts))


def test_oversells_that_began_in_these_days_and_how_long_cases_took(house: House) -> None:
    case(house, "oversold:1", CaseKind.OVERSOLD, {"location": "east", "sku": "TEA", "exposure": 4})
    case(house, "oversold:2", CaseKind.OVERSOLD, {"location": "east", "sku": "MUG", "exposure": 2})
    house.cases.close("oversold:1", "enough again", house.clock() + timedelta(hours=1))
    house.clock.advance(days=3)
    case(house, "oversold:3", CaseKind.OVERSOLD, {"location": "west", "sku": "MUG", "exposure": 2})
    assert rows(house, "oversells") == [{"location": "east", "cases": 2, "open": 1, "units": 6}]
    [resolved] = rows(house, "time_to_resolve")
    assert (resolved["kind"], resolved["count"]) == ("oversold", 1)
    assert 3_600_000 <= int(str(resolved["p50_ms"])) < 4_500_000


def test_the_only_oversell_that_is_open_is_one(house: House) -> None:
    case(house, "oversold:1", CaseKind.OVERSOLD, {"location": "east", "sku": "TEA", "exposure": 4})
    [found] = rows(house, "oversells")
    assert found["open"] == 1
    assert type(found["open"]) is int


def watched(house: House) -> None:
    house.settle()
    house.order_watch.run()


def test_a_stock_key_that_is_oversold_again_was_oversold_twice_and_each_took_its_own_time() -> None:
    house = House()
    house.post(count("wms/o/1/count/", -120, 3))
    house.post(demand("d1", 1, 5, "1001"))
    house.clock.now = at(5)
    watched(house)
    house.clock.now = at(65)
    house.post(movement("wms/r/1/receipt/", 60, 10))
    watched(house)
    first_day = rows(house, "oversells"), rows(house, "time_to_resolve")
    assert first_day[0] == [{"location": "east", "cases": 1, "open": 0, "units": 2}]
    assert first_day[1][0]["count"] == 1

    house.clock.now = at(4 * 1440)
    house.post(demand("d2", 4 * 1440, 20, "1002"))
    watched(house)
    assert (rows(house, "oversells"), rows(house, "time_to_resolve")) == first_day
    assert rows(house, "oversells", days=5) == [{"location": "east", "cases": 2, "open": 1, "units": 14}]
    house.clock.advance(hours=2)
    house.post(movement("wms/r/2/receipt/", 4 * 1440 + 60, 50))
    watched(house)
    [took] = rows(house, "time_to_resolve", days=5)
    assert (took["kind"], took["count"]) == ("oversold", 2)
    assert rows(house, "oversells", days=5) == [{"location": "east", "cases": 2, "open": 0, "units": 14}]


def test_cases_of_every_kind_that_open_again_keep_when_they_were_open_before(house: House) -> None:
    about: dict[str, Fact] = {"source": "erp", "location": "east", "drift": 1}
    for day in range(3):
        house.clock.now = NOON + day * DAY
        began = instant(house.clock() - timedelta(hours=1))
        case(house, "drift:a", CaseKind.DRIFT, {**about, "fault_from": "event", "fault_at": began})
        case(house, "held:a", CaseKind.HELD, {"source": "erp"})
        for name in ("drift:a", "held:a"):
            house.cases.close(name, "done", house.clock() + timedelta(hours=2))
    for days in (1, 2, 3):
        resolved = {row["kind"]: row["count"] for row in rows(house, "time_to_resolve", days)}
        assert resolved == {"drift": days, "held": days}
        assert [(row["from"], row["count"]) for row in rows(house, "time_to_detect", days)] == [
            ("event", days)
        ]


def test_two_that_open_a_case_again_at_once_keep_what_it_was_once(house: House) -> None:
    about: dict[str, Fact] = {"location": "east", "exposure": 4}
    case(house, "oversold:1", CaseKind.OVERSOLD, about)
    house.cases.close("oversold:1", "enough again", house.clock() + timedelta(hours=1))
    house.clock.advance(hours=2)
    others: list[int] = []

    def another_files(_number: int, actions: Sequence[Action]) -> None:
        if not others and any("PAST#" in action.key.sk for action in actions):
            others.append(1)
            house.clock.advance(minutes=1)
            case(house, "oversold:1", CaseKind.OVERSOLD, about)
            house.cases.close("oversold:1", "enough again", house.clock() + timedelta(minutes=1))

    house.cases_table.faults = Interruption(before=another_files)
    case(house, "oversold:1", CaseKind.OVERSOLD, about)
    assert others
    assert rows(house, "oversells") == [{"location": "east", "cases": 3, "open": 1, "units": 12}]
    assert [deed.action for deed in house.cases.deeds("oversold:1")].count("reopened") == 2


def test_a_case_that_was_retried_in_vain_was_never_over(house: House) -> None:
    for _ in range(2):
        case(house, "held:a", CaseKind.HELD, {"source": "erp"})
        house.clock.advance(hours=1)
        house.cases.close("held:a", RETRIED, house.clock())
    [found] = rows(house, "time_to_resolve")
    assert found["count"] == 1


def test_what_is_said_of_a_closed_case_does_not_move_when_it_was_closed(house: House) -> None:
    about: dict[str, Fact] = {"source": "erp", "location": "east", "drift": 1}
    case(house, "drift:a", CaseKind.DRIFT, about)
    house.clock.advance(hours=1)
    house.cases.close("drift:a", "agrees", house.clock())
    told_before = [rows(house, name) for name in ("time_to_resolve", "drift_by_site")]
    for _ in range(2):
        house.clock.advance(days=3)
        CaseLife(house.cases, house.clock).comment("drift:a", "for the record", "ann")
        assert [rows(house, name) for name in ("time_to_resolve", "drift_by_site")] == told_before
        assert rows(house, "time_to_resolve", days=9) == told_before[0]
        assert kpis(house, days=8, before=-1)["drift_by_site"].rows == ()

    case(house, "drift:a", CaseKind.DRIFT, about)

    assert house.cases.get("drift:a").closed_at is None
    assert rows(house, "time_to_resolve") == told_before[0]


def test_a_case_is_detected_so_long_after_the_event_or_the_statement_that_it_began_with(house: House) -> None:
    def drift(name: str, opened_after_h: float, **fault: Fact) -> None:
        house.clock.now = NOON + timedelta(hours=opened_after_h)
        case(
            house, f"drift:{name}", CaseKind.DRIFT, {"source": "erp", "location": "east", "drift": 1, **fault}
        )

    began: dict[str, Fact] = {"fault_from": "event", "fault_at": instant(NOON)}
    drift("a", 1, **began)
    drift("b", 2, **began)
    drift("c", 3, **{**began, "fault_from": "statement"})
    drift("d", 4)
    drift("e", 5, fault_from="event", fault_at=instant(NOON + timedelta(hours=6)))
    drift("f", 30, **began)
    found = rows(house, "time_to_detect")
    assert [(row["source"], row["from"], row["count"]) for row in found] == [
        ("erp", "event", 2),
        ("erp", "statement", 1),
        ("erp", None, 2),
    ]
    assert 3_600_000 <= int(str(found[0]["p50_ms"])) < 4_500_000
    assert 7_200_000 <= int(str(found[0]["p95_ms"])) < 9_000_000
    assert found[2]["p50_ms"] is None


def test_drift_is_told_by_site_handoff_and_cause_the_worst_first(house: House) -> None:
    for site, drift in (("east", -3), ("west", 9)):
        facts: dict[str, Fact] = {"location": site, "source": "erp", "drift": drift, "cause": "missing_event"}
        case(house, f"drift:erp:{site}", CaseKind.DRIFT, facts)
    sites = rows(house, "drift_by_site")
    assert [(row["site"], row["units"], row["share_rate"]) for row in sites] == [
        ("west", 9, 7_500),
        ("east", 3, 2_500),
    ]
    assert [row["cause"] for row in rows(house, "drift_by_cause")] == ["missing_event"]


def test_drift_that_came_back_is_told_by_each_opening_with_the_cause_that_it_had_then(house: House) -> None:
    for drift, cause in ((9, "missing_event"), (4, "duplicate_event")):
        facts: dict[str, Fact] = {"location": "east", "source": "erp", "drift": drift, "cause": cause}
        case(house, "drift:erp:east", CaseKind.DRIFT, facts)
        house.clock.advance(hours=1)
        house.cases.close("drift:erp:east", "the numbers agree again", house.clock())
        house.clock.advance(days=1)

    def causes(days: int, before: int = 0) -> list[tuple[object, object]]:
        rows = kpis(house, days, before)["drift_by_cause"].rows
        return [(row["cause"], row["units"]) for row in rows]

    assert causes(2) == [("missing_event", 9), ("duplicate_event", 4)]
    assert causes(1, before=-1) == [("duplicate_event", 4)]
    assert [one.names for one in DriftDesk(house.cases, house.registry).report(NOON).causes] == [
        ("missing_event",),
        ("duplicate_event",),
    ]

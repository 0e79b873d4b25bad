"""The key figures of some days: each from what is kept, and what is not measured said so."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest

from shared.domain.cases import RETRIED, Case, CaseKind, Fact
from shared.domain.drift import Observation
from shared.domain.events import instant
from shared.domain.item_changes import Declaration, changed
from shared.domain.items import Change, Item
from shared.domain.kpis import Kpi, Row
from shared.domain.money import parse_money
from shared.domain.stock import Sku, StockKey
from shared.operations.case_life import CaseLife
from shared.operations.drift_desk import DriftDesk
from shared.operations.kpi_desk import WORST, KpiDesk
from shared.operations.transfer_calls import Part
from shared.store.table import Action
from shared.store.tallies import Tallies
from shared.store.transfers import Transfers
from tests.operations.house import (
    EAST,
    ERP,
    KEY,
    NOON,
    SHOP,
    TEA,
    WEST,
    House,
    Interruption,
    at,
    cancelled,
    count,
    demand,
    movement,
    shipment,
)
from tests.operations.scripted_channel import ScriptedChannel
from tests.operations.test_undoing import told, undo

FIRST = NOON.date()
DAY = timedelta(days=1)


def kpis(house: House, days: int = 1, before: int = 0) -> dict[str, Kpi]:
    """Return the figures of some days up to the first day less ``before``."""
    last = FIRST - before * DAY + (days - 1) * DAY
    desk = KpiDesk(Tallies(house.stock), house.traffic, house.cases, Transfers(house.stock), house.registry)
    return {one.name: one for one in desk.report(FIRST - before * DAY, last)}


def rows(house: House, name: str, days: int = 1) -> list[Row]:
    return [dict(row) for row in kpis(house, days)[name].rows]


@pytest.fixture
def house() -> House:
    house = House()
    house.post(count("wms/opening/1/count/", -120, 100))
    house.clock.advance(minutes=5)
    return house


def test_what_is_not_measured_says_why_and_has_no_rows(house: House) -> None:
    unmeasured = {name: one for name, one in kpis(house).items() if one.not_measured}
    assert {"reservation_conflicts", "backorders_by_sync"} == set(unmeasured)
    assert not any(one.rows for one in unmeasured.values())


def test_nothing_that_happened_is_no_row_and_never_a_zero() -> None:
    measured = [one for one in kpis(House()).values() if not one.not_measured]
    assert len(measured) > 10
    assert [one.name for one in measured if one.rows] == []


def test_latency_match_rate_variance_and_adjustments_come_from_the_journal_of_these_days(
    house: House,
) -> None:
    house.post(movement("wms/s/1/shipment/", 4, -1))
    house.post(count("wms/c/1/count/", 4.5, 99), count("wms/c/2/count/", 4.6, 95))
    house.post(movement("manual/m1/movement", 5, 3), movement("manual/m2/movement", 5, -1))
    house.settle()
    [took] = rows(house, "event_to_posting")
    assert (took["source"], took["count"], took["p50_ms"]) == ("wms", 1, 65_535)
    assert rows(house, "match_rate") == [{"location": "east", "counts": 2, "matched": 1, "rate": 5_000}]
    assert rows(house, "variance") == [{"location": "east", "counts_off": 1, "units": 4, "net": -4}]
    assert rows(house, "manual_adjustments") == [{"location": "east", "adjustments": 2, "up": 3, "down": 1}]
    assert kpis(house, before=1)["match_rate"].rows == ()


def test_days_add_up_and_percentiles_are_those_of_all_of_them(house: House) -> None:
    for day, seconds in enumerate((1, 1, 100)):
        house.clock.now = NOON + day * DAY
        house.post(movement(f"wms/s/{day}/shipment/", day * 1440 - seconds / 60, -1))
    house.settle()
    [took] = rows(house, "event_to_posting", days=3)
    assert took["count"] == 3
    assert 1_000 <= int(str(took["p50_ms"])) < 1_250
    assert 100_000 <= int(str(took["p95_ms"])) < 125_000


def test_the_worst_stock_keys_are_named_by_the_units_that_their_counts_were_off(house: House) -> None:
    for number in range(WORST + 2):
        key = StockKey(Sku(f"S{number}"), EAST)
        house.post(count(f"wms/o{number}/1/count/", 0, 100, key=key))
        house.post(count(f"wms/c{number}/1/count/", 1, 100 - number, key=key))
    house.settle()
    found = rows(house, "variance_by_sku")
    assert len(found) == WORST
    assert found[0] == {"sku": "S21", "location": "east", "counts_off": 1, "units": 21}
    assert found[-1]["units"] == 2


def test_pushes_and_failures_are_told_by_handoff(house: House) -> None:
    channel = ScriptedChannel(levels={TEA: 0})
    house.list_on(SHOP, "TEA")
    house.post(movement("wms/r/1/receipt/", 4, 9))
    house.settle()
    channel.down = True
    house.push_due(channel)
    channel.down = False
    house.clock.advance(minutes=2)
    house.push_due(channel)
    [push] = rows(house, "push_latency")
    assert (push["channel"], push["count"]) == ("shop", 1)
    assert 120_000 <= int(str(push["p95_ms"])) < 1.25 * 125_000
    [failed] = [row for row in rows(house, "failed_transactions") if row["to"] == "shop"]
    assert (failed["events"], failed["failures"], failed["rate"]) == (1, 1, 5_000)


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


def test_a_transfer_took_from_when_it_was_asked_for_until_its_last_units_arrived(house: House) -> None:
    asked = house.transfers.request("ann", "r", EAST, WEST, [(TEA, 6)], "west runs out", None)
    house.transfers.approve(asked.id, "ben", "a")
    house.transfers.ship(asked.id, "cat", "s")
    house.clock.advance(hours=10)
    house.transfers.receive(asked.id, "dan", "v1", [Part(TEA, 4)])
    assert rows(house, "transfer_cycle") == []
    house.clock.advance(hours=1)
    house.transfers.receive(asked.id, "dan", "v2", [Part(TEA, 2)])
    [found] = rows(house, "transfer_cycle")
    assert (found["from"], found["to"], found["count"]) == ("east", "west", 1)
    assert 11 * 3_600_000 <= int(str(found["p50_ms"])) < 1.25 * 11 * 3_600_000
    assert kpis(house, before=1)["transfer_cycle"].rows == ()


def test_the_goal_compares_the_first_week_of_counting_with_the_last(house: House) -> None:
    for day, quantity in ((0, 101), (20, 101), (20, 101)):
        house.clock.now = NOON + day * DAY
        house.post(
            count(f"wms/c{house.clock.now}/{house.clock.monotonic()}{house.on_hand()}", day * 1440, quantity)
        )
        house.clock.advance(minutes=1)
    house.settle()
    [found] = rows(house, "goal", days=21)
    assert (found["began_on"], found["day"], found["of_days"]) == (str(FIRST), 21, 90)
    assert (found["began_rate"], found["now_rate"], found["goal_rate"]) == (0, 10_000, 9_950)


@pytest.mark.parametrize("last", [20, 95, 150])
def test_the_first_week_of_counting_stays_what_it_was_however_long_ago_and_wherever_it_was(last: int) -> None:
    house, west = House(), StockKey(TEA, WEST)
    house.post(count("wms/o/1/count/", -120, 100), count("wms/o/2/count/", -120, 100, key=west))
    for day, key, said in [
        (3, KEY, 101),
        (5, west, 100),
        (12, KEY, 102),
        (15, KEY, 102),
        (20, west, 100),
        (95, KEY, 102),
        (150, KEY, 102),
    ]:
        house.clock.now = NOON + day * DAY
        house.post(count(f"wms/c/{day}/count/", day * 1440, said, key=key))
    house.settle()
    desk = KpiDesk(Tallies(house.stock), house.traffic, house.cases, Transfers(house.stock), house.registry)
    told = {one.name: one.rows for one in desk.report(FIRST + (last - 1) * DAY, FIRST + last * DAY)}
    [found] = told["goal"]
    assert (found["began_on"], found["day"]) == (str(FIRST + 3 * DAY), last - 2)
    assert (found["began_rate"], found["now_rate"]) == (5_000, 10_000)


def test_days_before_anything_was_counted_have_no_goal(house: House) -> None:
    house.clock.now = NOON + 9 * DAY
    house.post(count("wms/c/1/count/", 9 * 1440, 100))
    house.settle()
    assert kpis(house, days=9)["goal"].rows == ()
    assert kpis(house, days=10)["goal"].rows[0]["began_on"] == str(FIRST + 9 * DAY)


def costs(house: House, sku: str, cost: str) -> None:
    """Declare what an item stands in the books for."""
    item = house.registry.items.find([Sku(sku)]).get(Sku(sku), Item(Sku(sku)))
    after = changed(item, Declaration(Sku(sku), cost=parse_money(cost)), Change("erp", house.clock()))
    house.registry.items.change([(item, after)])


def worth(house: House, days: int = 1) -> list[tuple[object, ...]]:
    names = ("location", "swept_on", "currency", "value", "units")
    return [tuple(row[name] for name in names) for row in rows(house, "inventory_value", days)]


def test_stock_is_worth_its_units_at_their_cost_exactly_by_location_and_never_across_currencies(
    house: House,
) -> None:
    day = str(FIRST)
    skus = {"MUG": "0.000001 USD", "JAR": "1.1 EUR", "TEA": "12.345678 EUR"}
    for sku, cost in skus.items():
        costs(house, sku, cost)
    house.post(
        movement("wms/1/1/receipt/", 1, 3, key=StockKey(Sku("MUG"), EAST)),
        movement("wms/2/1/receipt/", 1, -2, key=StockKey(Sku("JAR"), EAST)),
        movement("wms/3/1/receipt/", 1, 7, key=StockKey(Sku("POT"), EAST)),
        movement("wms/4/1/receipt/", 1, 10, key=StockKey(TEA, WEST)),
    )
    assert worth(house) == []
    house.drift_sweep.run()
    assert worth(house) == [
        ("east", day, "EUR", "1232.3678", 98),
        ("east", day, "USD", "0.000003", 3),
        ("east", day, None, None, 7),
        ("west", day, "EUR", "123.45678", 10),
    ]


def test_a_value_is_that_of_the_newest_sweep_of_the_days_and_a_sweep_under_way_tells_nothing_yet(
    house: House,
) -> None:
    costs(house, "TEA", "2 EUR")
    for number in range(60):
        house.post(movement(f"wms/{number}/1/receipt/", 1, 1, key=StockKey(Sku(f"S{number}"), WEST)))
    house.drift_sweep.run()
    costs(house, "TEA", "3 EUR")
    house.clock.advance(days=1)
    time = iter([60.0, 60.0, 60.0, 1.0])
    house.drift_sweep.run(lambda: next(time, 1.0))
    assert worth(house, days=2)[0] == ("east", str(FIRST), "EUR", "200.00", 100)
    house.drift_sweep.run()
    tomorrow = str(FIRST + DAY)
    assert worth(house, days=2)[0] == ("east", tomorrow, "EUR", "300.00", 100)
    assert worth(house, days=2)[-1] == ("west", tomorrow, None, None, 60)
    assert worth(house)[0] == ("east", str(FIRST), "EUR", "200.00", 100)


def test_a_batch_that_two_sweeps_pass_at_once_is_worth_what_it_is_once(house: House) -> None:
    costs(house, "TEA", "2 EUR")
    begun: list[int] = []

    def another_passes(_number: int, actions: Sequence[Action]) -> None:
        if not begun and any("WORTH#" in action.key.pk for action in actions):
            begun.append(1)
            house.drift_sweep.run()

    house.stock.faults = Interruption(before=another_passes)
    house.drift_sweep.run()
    assert begun
    assert house.on_hand(KEY) == 100
    assert worth(house) == [("east", str(FIRST), "EUR", "200.00", 100)]


def test_write_offs_are_what_adjustments_and_counts_took_off_at_the_cost_of_their_time_once(
    house: House,
) -> None:
    costs(house, "TEA", "2.50 EUR")
    house.post(
        movement("manual/m1/movement", 1, -4),
        movement("wms/a/1/adjustment/", 2, 1),
        movement("wms/s/1/shipment/", 3, -7),
        count("wms/c/1/count/", 4, 80),
    )
    house.post(movement("manual/m2/movement", 1, -3, key=StockKey(Sku("POT"), EAST)))
    house.settle()
    house.drift_sweep.run()
    costs(house, "TEA", "100 EUR")
    house.settle()
    names = ("currency", "units_off", "units_on", "written_off", "written_on", "net", "share_rate")
    assert [tuple(row[name] for name in names) for row in rows(house, "write_offs")] == [
        ("EUR", 14, 1, "35.00", "2.50", "-32.50", 10_000 * 3250 // 20000),
        (None, 3, 0, None, None, None, None),
    ]


def test_an_adjustment_that_is_undone_is_written_on_again_and_an_undone_shipment_is_not(house: House) -> None:
    house.post(
        movement("manual/m1/movement", 1, -4),
        movement("onecount/undo/manual/m1/movement", 2, 4),
        movement("onecount/undo/wms/s/1/shipment/", 2, 9),
    )
    house.settle()
    [written] = rows(house, "write_offs")
    assert (written["units_off"], written["units_on"]) == (4, 4)


def test_what_a_late_movement_explains_was_no_write_off(house: House) -> None:
    costs(house, "TEA", "2 EUR")
    house.post(count("wms/c/1/count/", 3, 90))
    house.post(movement("wms/s/1/shipment/", 2, -10))
    house.post(movement("wms/s/2/shipment/", -180, -5))
    house.settle()
    [written] = rows(house, "write_offs")
    assert (written["written_off"], written["written_on"], written["net"]) == ("20.00", "20.00", "0.00")


def orders(house: House) -> None:
    """Five orders on the first day: one shipped whole, one in part, one too late, one cancelled in part, one never.

    And one on the second, that is never shipped.
    """
    week = 7 * 1440
    house.post(
        demand("shop/a/ordered", 6, 10, "A"),
        demand("shop/b/ordered", 6, 10, "B"),
        demand("shop/c/ordered", 6, 10, "C"),
        demand("shop/d/ordered", 6, 10, "D"),
        demand("shop/e/ordered", 6, 10, "E"),
        cancelled("shop/d/cancelled", 7, 4, "D"),
    )
    house.clock.now = at(1440)
    house.post(demand("shop/f/ordered", 1440, 10, "F"))
    house.clock.now = at(week + 60)
    house.post(
        shipment("wms/a/1/shipment/", 60, 10, "A"),
        shipment("wms/b/1/shipment/", 60, 7, "B"),
        shipment("wms/c/1/shipment/", week + 7, 10, "C"),
        shipment("wms/d/1/shipment/", week + 6, 6, "D"),
    )


def fill(house: House, days: int = 1) -> list[tuple[object, ...]]:
    names = ("location", "lines", "whole", "asked", "sent", "fill_rate", "keys_left_out")
    return [tuple(row[name] for name in names) for row in rows(house, "fill_rate", days)]


def test_orders_are_filled_by_what_was_shipped_within_a_week_of_those_not_cancelled(house: House) -> None:
    orders(house)
    house.drift_sweep.run()
    assert fill(house) == []
    house.clock.advance(days=1)
    house.drift_sweep.run()
    assert fill(house) == [("east", 5, 2, 46, 23, 5_000, 0)]
    house.drift_sweep.run()
    house.clock.advance(days=1)
    house.drift_sweep.run()
    assert fill(house) == [("east", 5, 2, 46, 23, 5_000, 0)]
    assert fill(house, days=2) == [("east", 6, 2, 56, 23, 10_000 * 23 // 56, 0)]


def test_units_held_for_a_transfer_of_our_own_are_no_order(house: House) -> None:
    house.post(demand("d1", 1, 5, "1001"))
    house.post(shipment("wms/s/1/shipment/", 3, 5, "1001"))
    asked = house.transfers.request("ann", "k", EAST, WEST, [(TEA, 10)], "west runs out")
    house.transfers.approve(asked.id, "ben", "a")
    house.clock.now = NOON + 8 * DAY
    house.settle()
    house.drift_sweep.run()
    assert fill(house, days=2) == [("east", 1, 1, 5, 5, 10_000, 0)]


def test_days_that_no_sweep_came_by_are_judged_by_the_next_and_each_line_once(house: House) -> None:
    orders(house)
    house.drift_sweep.run()
    house.clock.advance(days=12)
    begun: list[int] = []

    def another_passes(_number: int, actions: Sequence[Action]) -> None:
        if not begun and any("FILLED#" in action.key.pk for action in actions):
            begun.append(1)
            house.drift_sweep.run()

    house.stock.faults = Interruption(before=another_passes)
    house.drift_sweep.run()
    assert begun
    assert fill(house, days=2) == [("east", 6, 2, 56, 23, 10_000 * 23 // 56, 0)]


def says(house: House, minute: float, quantity: int) -> None:
    """Let the ERP say what it has of the tea."""
    house.clock.now = max(house.clock.now, at(minute))
    house.observations.record([Observation(ERP, TEA, EAST, "on_hand", quantity, at(minute))], house.clock())
    house.settle()


def confirmed(house: House) -> tuple[int, int]:
    """Return how many events the ERP confirmed, and the p50 in minutes, rounded down."""
    found = {row["system"]: row for row in rows(house, "event_to_each_system")}
    row = found.get("erp", {"count": 0, "p50_ms": 0})
    return int(str(row["count"])), int(str(row["p50_ms"])) // 60_000


def test_an_event_is_confirmed_by_the_first_number_as_of_then_or_later_that_agrees_to_the_unit_and_once(
    house: House,
) -> None:
    says(house, 6, 100)
    house.post(movement("wms/1/1/shipment/", 10, -2), movement("erp/2/1/shipment/", 11, -1))
    says(house, 9, 100)
    assert confirmed(house)[0] == 0
    says(house, 20, 100)
    assert confirmed(house)[0] == 0
    says(house, 70, 97)
    assert confirmed(house)[0] == 1
    assert 60 <= confirmed(house)[1] < 75
    says(house, 80, 97)
    assert confirmed(house)[0] == 1


def test_an_event_that_is_learnt_of_late_is_confirmed_by_the_next_number_that_has_it(house: House) -> None:
    says(house, 6, 100)
    house.post(movement("wms/1/1/shipment/", 10, -2))
    says(house, 30, 98)
    house.post(movement("wms/2/1/shipment/", 20, -5))
    house.settle()
    assert confirmed(house)[0] == 1
    says(house, 40, 93)
    assert confirmed(house)[0] == 2


def test_an_undo_is_no_event_of_the_past_that_a_system_hears_of(house: House) -> None:
    says(house, 6, 100)
    receipt = told(house, "receipt", "R", 10, 5)
    says(house, 190, 105)
    assert confirmed(house)[0] == 1
    house.clock.now = at(14_400)
    undo(house, receipt)
    house.settle()
    says(house, 14_401, 100)
    assert [row["count"] for row in rows(house, "event_to_each_system", days=12)] == [1]


def test_what_was_undone_before_a_system_had_it_was_never_confirmed(house: House) -> None:
    says(house, 6, 100)
    undo(house, told(house, "receipt", "R", 10, 5))
    house.post(movement("wms/1/1/shipment/", 185, -2))
    says(house, 190, 98)
    assert confirmed(house)[0] == 1
    assert confirmed(house)[1] < 7


def test_a_number_that_is_announced_twice_and_measured_by_two_at_once_confirms_once(house: House) -> None:
    says(house, 6, 100)
    house.post(movement("wms/1/1/shipment/", 10, -2))
    says(house, 30, 98)
    house.confirmer.observed([Observation(ERP, TEA, EAST, "on_hand", 98, at(30))])
    assert confirmed(house)[0] == 1

    house.post(movement("wms/2/1/shipment/", 31, -1))
    seen = Observation(ERP, TEA, EAST, "on_hand", 97, at(40))
    house.observations.record([seen], house.clock())
    begun: list[int] = []

    def another_measures(_number: int, actions: Sequence[Action]) -> None:
        if not begun and any(action.key.pk.startswith("CONFIRMED#") for action in actions):
            begun.append(1)
            house.confirmer.observed([seen])

    house.stock.faults = Interruption(before=another_measures)
    house.confirmer.observed([seen])
    assert begun
    assert confirmed(house)[0] == 2

"""The key figures of some days: each from what is kept, and what is not measured said so."""

from __future__ import annotations

import pytest

from shared.domain.stock import Sku, StockKey
from shared.operations.kpi_desk import WORST, KpiDesk
from shared.operations.transfer_calls import Part
from shared.store.tallies import Tallies
from shared.store.transfers import Transfers
from tests.operations.house import EAST, KEY, NOON, SHOP, TEA, WEST, House, count, movement
from tests.operations.kpi_days import DAY, FIRST, kpis, opened, rows
from tests.operations.scripted_channel import ScriptedChannel


@pytest.fixture
def house() -> House:
    return opened()


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

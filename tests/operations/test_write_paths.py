"""The write-path map: what was seen of each handoff, what it may write, and changes that came by none."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from shared.domain.cases import Case, CaseKind, CaseStatus, Fact
from shared.domain.events import instant
from shared.domain.handoffs import LADDER_MS, DeclaredPath, Times, WritePath, step_of
from shared.domain.rules import Rules
from shared.operations.write_paths import PathWatch, WritePaths
from shared.store.table import ThrottledError
from shared.store.traffic import Traffic
from tests.operations.house import (
    ERP,
    KEY,
    NOON,
    SHOP,
    TEA,
    WMS,
    House,
    Interruption,
    at,
    movement,
)
from tests.operations.scripted_channel import ScriptedChannel

BATCH = DeclaredPath("erp", "shop", "batch", timedelta(minutes=15))


def paths(house: House) -> dict[tuple[str, str], WritePath]:
    traffic = Traffic(house.stock, house.clock)
    return {(path.giver, path.taker): path for path in WritePaths(traffic, house.registry).all()}


def told(house: House, document: str, minute: float, units: int = 1, source: str = "wms") -> None:
    line = {"line": "1", "sku": "TEA", "location": "east", "quantity": units}
    data = {"document": document, "lines": [line]}
    body = {"type": "stock.receipt", "timestamp": at(minute).isoformat(), "data": data}
    house.store(source, body, delivery=document)
    house.clock.advance(seconds=2)
    house.settle()


def declared(house: House, *bypasses: DeclaredPath) -> None:
    house.declare(replace(house.registry.network(fresh=True), rules=Rules(write_paths=bypasses)))


def test_a_handoff_shows_its_rate_and_how_long_it_takes_to_arrive_and_to_be_posted() -> None:
    house = House()
    told(house, "GR-1", -1)
    told(house, "GR-2", -1)
    house.clock.advance(hours=3)
    told(house, "GR-3", 179)

    path = paths(house)["wms", "onecount"]
    assert (path.mechanism, path.authority) == (
        "webhook (standard_webhooks)",
        ("counts and movements at east", "movements at west"),
    )
    assert (path.seen.last_hour, path.seen.last_day) == (1, 3)
    assert (path.seen.arriving.count, path.seen.arriving.at_most(50)) == (3, 180_000)
    assert path.seen.posting.at_most(99) == 3_000


def test_an_hour_is_begun_anew_the_next_day_so_that_a_handoff_stays_a_few_items() -> None:
    house = House()
    for hour in range(60):
        told(house, f"GR-{hour}", hour * 60 - 1)
        house.clock.now = at((hour + 1) * 60)
    items = [item for item in house.stock.scan() if str(item["pk"]).startswith("PATH#wms#")]
    by_day = [item for item in items if str(item["sk"]).startswith("D")]
    assert (len(items) - len(by_day), len(by_day)) == (25, 3)
    assert paths(house)["wms", "onecount"].seen.last_day in (23, 24)


def test_a_source_that_is_believed_nowhere_says_so_and_one_that_sells_says_whose_demand() -> None:
    said = paths(House())
    assert said["erp", "onecount"].authority == (
        "erp is believed nowhere: what it says is compared, never written",
    )
    assert said["shopify", "onecount"].authority[-1] == "demand of channel shop"
    assert said["files", "onecount"].mechanism == "file (csv_snapshot)"


def test_a_channel_shows_its_confirmed_pushes_and_its_last_failure() -> None:
    house, channel = House(), ScriptedChannel(levels={TEA: 0})
    house.list_on(SHOP, "TEA")
    house.post(movement("R", 0, 9))
    house.settle()
    channel.down = True
    house.push_due(channel)
    channel.down = False
    house.clock.advance(minutes=2)
    house.push_due(channel)

    seen = paths(house)["onecount", "shop"].seen
    assert (seen.last_day, seen.posting.count, seen.failures) == (1, 1, 1)
    assert seen.last_failure is not None
    assert NOON <= seen.last_failure.at < NOON + timedelta(seconds=5)


def test_a_day_keeps_how_many_events_and_failures_and_how_long_a_change_waited_for_its_confirmation() -> None:
    house, channel = House(), ScriptedChannel(levels={TEA: 0})
    house.list_on(SHOP, "TEA")
    house.post(movement("R", 0, 9))
    house.settle()
    channel.down = True
    house.push_due(channel)
    channel.down = False
    house.clock.advance(minutes=2)
    house.push_due(channel)
    house.clock.advance(days=1)
    house.post(movement("S", 0, -4))
    house.settle()
    house.push_due(channel)

    first, second = Traffic(house.stock, house.clock).days(
        "onecount", SHOP, NOON.date(), NOON.date() + timedelta(days=7)
    )
    assert (first.day, first.events, first.failures) == (NOON.date(), 1, 1)
    assert 120_000 <= (first.waited.at_most_ms(50) or 0) < 1.25 * 125_000
    assert (second.events, second.failures) == (1, 0)
    assert (second.waited.at_most_ms(100) or 0) < 5_000
    assert Traffic(house.stock, house.clock).days("onecount", SHOP, NOON.date(), NOON.date()) == [first]


def test_a_table_that_is_busy_holds_up_nothing_that_was_measured() -> None:
    house = House()

    def busy(_number: int, actions: object) -> None:
        if "PATH#" in str(actions):
            raise ThrottledError("too much")

    house.stock.faults = Interruption(before=busy)
    told(house, "GR-1", -1, 7)
    assert house.on_hand() == 7
    assert paths(house)["wms", "onecount"].seen.last_day == 0


# ---- past us ----------------------------------------------------------------------------------------------------


def edited(house: House) -> None:
    """Somebody edits the shop's number by hand; we hear of no order."""
    channel = ScriptedChannel(levels={TEA: 0})
    house.list_on(SHOP, "TEA")
    house.post(movement("R", 0, 9))
    house.settle()
    house.push_due(channel)
    channel.levels[TEA] = 5
    house.post(movement("R2", 1, 1))
    for _ in range(60):
        house.settle()
        house.push_due(channel)
        house.clock.advance(minutes=1)


def test_a_change_that_no_order_and_no_declared_path_explains_is_a_case_of_that_system() -> None:
    house = House()
    edited(house)
    found = {case.kind: case for case in house.cases.list(CaseStatus.OPEN)}
    case = found[CaseKind.UNDECLARED_WRITE_PATH]
    assert (case.id, case.facts["system"], case.facts["units"]) == ("undeclared_write_path:shop", "shop", -4)


def test_a_change_by_a_declared_path_is_no_such_case_and_is_seen_in_the_map() -> None:
    house = House()
    declared(house, BATCH)
    edited(house)
    found = {case.kind: case for case in house.cases.list(CaseStatus.OPEN)}
    assert CaseKind.UNDECLARED_WRITE_PATH not in found
    assert "erp is declared to write there" in found[CaseKind.CHANNEL_EDITED].remedy
    path = paths(house)["erp", "shop"]
    assert (path.is_bypass, path.every, path.seen.last_day) == (True, timedelta(minutes=15), 1)


@pytest.mark.parametrize(
    ("cause", "confidence", "items", "opened"),
    [
        ("manual_override", 80, 3, True),
        ("stale_overwrite", 50, 3, True),
        ("manual_override", 80, 2, False),
        ("manual_override", 40, 3, False),
        ("missing_event", 90, 3, False),
        (None, None, 3, False),
    ],
)
def test_a_source_several_of_whose_numbers_were_set_at_once_is_written_to_by_a_program(
    cause: str | None, confidence: int | None, items: int, opened: bool
) -> None:
    house = House()
    watch = PathWatch(house.traffic, house.cases, house.registry, house.clock)
    found = []
    for number in range(items):
        facts: dict[str, Fact] = {"source": "erp", "sku": f"S{number}", "location": "east", "drift": 3}
        facts |= {"cause": cause, "confidence": confidence}
        found.append(Case(f"drift:erp:{number}", CaseKind.DRIFT, "t", "r", NOON, NOON, facts))
    watch.drifted(found)
    assert (house.cases.find("undeclared_write_path:erp") is not None) is opened


def test_wrong_counts_of_a_source_that_were_undone_are_written_by_nobody_unknown() -> None:
    house = House()
    watch = PathWatch(house.traffic, house.cases, house.registry, house.clock)
    found = []
    for number in range(3):
        facts: dict[str, Fact] = {"source": "wms", "sku": f"S{number}", "location": "east", "drift": 3}
        facts |= {"cause": "manual_override", "confidence": 99, "undone_at": instant(NOON)}
        found.append(Case(f"drift:wms:{number}", CaseKind.DRIFT, "t", "r", NOON, NOON, facts))
    watch.drifted(found)
    assert house.cases.find("undeclared_write_path:wms") is None


def test_what_was_declared_for_a_channel_counts_for_the_source_that_speaks_for_it() -> None:
    house = House()
    declared(house, BATCH)
    watch = PathWatch(house.traffic, house.cases, house.registry, house.clock)
    assert watch.changed("shopify", KEY, 3, "set", "shop") == (BATCH,)
    assert watch.changed(WMS, KEY, 3, "set") == ()
    assert watch.changed(ERP, KEY, 3, "set") == ()
    assert house.open_cases() == ["undeclared_write_path", "undeclared_write_path"]


# ---- times ------------------------------------------------------------------------------------------------------


def test_a_time_lies_on_the_first_step_that_bounds_it() -> None:
    assert [step_of(timedelta(milliseconds=ms)) for ms in (-5, 0, 100, 101, 86_400_000, 86_400_001)] == [
        0,
        0,
        0,
        1,
        len(LADDER_MS) - 1,
        len(LADDER_MS),
    ]


def test_a_percentile_is_the_bound_below_which_so_many_lie() -> None:
    times = Times({0: 50, 2: 45, 4: 4, len(LADDER_MS): 1})
    assert [times.at_most(percent) for percent in (50, 51, 95, 99, 100)] == [100, 1000, 1000, 10_000, None]
    assert Times().at_most(50) is None

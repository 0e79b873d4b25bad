"""Staleness before the promise: a silent source withholds, blocks and is flagged; its word puts everything right."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from shared.domain.cases import CaseStatus
from shared.domain.network import Channel
from shared.domain.stock import ChannelId, SourceId
from shared.operations.freshness import FreshnessWatch
from shared.operations.promises import Promises
from shared.operations.reservations import InsufficientStockError, Wanted
from tests.operations.house import EAST, ERP, KEY, TEA, WMS, House, at, network

EDI = ChannelId("edi")


def told(house: House, minute: float, units: int, source: SourceId = WMS) -> None:
    line = {"line": "1", "sku": "TEA", "location": "east", "quantity": units}
    stamp = at(minute).isoformat()
    data = {"document": f"C{minute}", "occurred_at": stamp, "lines": [line]}
    house.store(source, {"type": "stock.count", "timestamp": stamp, "data": data})
    house.settle()


@pytest.fixture
def house() -> House:
    base = network(Channel(EDI, "scripted", {EAST: "1"}, EAST, stale_percent=50))
    wms = replace(base.sources[WMS], freshness=timedelta(hours=1))
    house = House(replace(base, sources={**base.sources, WMS: wms}))
    told(house, 0, 10)
    return house


def watch(house: House) -> dict[str, int]:
    return FreshnessWatch(house.stock, house.registry, house.cases, house.clock).run()


def promised(house: House) -> tuple[int, bool]:
    found = house.view.promise_of(house.channels[EDI], KEY)
    return found.available_to_promise, found.is_stale


def test_while_the_source_speaks_often_enough_everything_is_promised(house: House) -> None:
    house.clock.advance(minutes=59)
    assert promised(house) == (10, False)
    assert watch(house) == {"stale": 0, "turned": 0}
    assert house.open_cases() == []


def test_a_silent_source_widens_the_buffer_by_the_declared_share_and_is_flagged(house: House) -> None:
    house.clock.advance(minutes=61)
    house.list_on(EDI, "TEA")
    house.lanes.due()
    assert watch(house) == {"stale": 1, "turned": 1}
    house.settle()

    assert promised(house) == (5, True)
    assert ("stale_percent", -5) in house.view.promise_of(house.channels[EDI], KEY).explanation
    assert [hint.sku for hint in house.lanes.due()] == [TEA]
    assert house.open_cases() == ["stale_source"]
    with pytest.raises(InsufficientStockError) as raised:
        house.reserver.reserve("k", "oms", EDI, [Wanted(TEA, 6)])
    assert raised.value.shortfalls[0].available_to_promise == 5
    house.reserver.reserve("k5", "oms", EDI, [Wanted(TEA, 5)])

    assert watch(house) == {"stale": 1, "turned": 0}
    assert house.cases.list(CaseStatus.OPEN)[0].occurrences == 1


def test_the_sources_word_makes_everything_promised_again_and_closes_the_case(house: House) -> None:
    house.clock.advance(minutes=61)
    watch(house)
    told(house, 61, 10)
    house.list_on(EDI, "TEA")
    house.lanes.due()

    assert watch(house) == {"stale": 0, "turned": 1}
    house.settle()
    assert promised(house) == (10, False)
    assert house.open_cases() == []
    assert [hint.sku for hint in house.lanes.due()] == [TEA]


def test_a_word_about_long_ago_is_no_fresh_word(house: House) -> None:
    house.clock.advance(minutes=61)
    told(house, 0.5, 10)
    assert promised(house) == (5, True)


def test_a_source_that_never_spoke_of_a_location_is_stale_there(house: House) -> None:
    silent = House(house.registry.network())
    assert Promises(silent.stock, silent.registry, silent.clock).stale([EAST]) == {EAST}


def watching_the_erp() -> House:
    base = network()
    erp = replace(base.sources[ERP], freshness=timedelta(hours=1))
    house = House(replace(base, sources={**base.sources, ERP: erp}))
    told(house, 0, 10)
    told(house, 0, 10, ERP)
    return house


def test_a_source_that_is_only_compared_is_flagged_too_and_changes_no_promise() -> None:
    house = watching_the_erp()
    house.list_on(ChannelId("shop"), "TEA")
    house.lanes.due()
    assert watch(house) == {"stale": 0, "turned": 0}
    house.clock.advance(minutes=61)
    assert watch(house) == {"stale": 1, "turned": 1}
    house.settle()
    [case] = house.cases.list(CaseStatus.OPEN)
    assert (case.kind, case.facts["source"], case.facts["location"]) == ("stale_source", "erp", "east")
    assert house.lanes.due() == []
    told(house, 61, 10, ERP)
    assert watch(house) == {"stale": 0, "turned": 1}
    assert house.open_cases() == []


def test_a_source_that_is_only_compared_is_not_awaited_where_it_never_spoke() -> None:
    house = watching_the_erp()
    house.clock.advance(minutes=61)
    watch(house)
    assert {case.facts["location"] for case in house.cases.list(CaseStatus.OPEN)} == {"east"}


def test_a_number_that_should_have_been_said_again_is_shown_as_stale() -> None:
    house = watching_the_erp()

    def is_stale() -> list[tuple[str, bool]]:
        compared = house.view.item(TEA).locations[0].comparisons
        return [(one.observation.source, one.is_stale) for one in compared]

    assert ("erp", False) in is_stale()
    house.clock.advance(minutes=61)
    assert ("erp", True) in is_stale()

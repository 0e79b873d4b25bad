"""Sweeps of drift: everything each day, fast movers each hour, by what the journal says; no event is needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from shared.domain.cases import Case, CaseKind, CaseStatus
from shared.domain.network import Tolerance
from shared.domain.stock import Sku, StockKey
from shared.operations.drift_sweep import BATCH, OFTEN, RESERVE_S
from shared.operations.reconcile import EXPLAINED_AT_ONCE, drift_case
from shared.store.layout import balance_key, fast_key
from shared.store.memory import MemoryTable
from shared.store.table import Item, Update
from tests.operations.deliveries import body, deliver
from tests.operations.house import EAST, ERP, KEY, WEST, House, at, movement, network

MUG = StockKey(Sku("MUG"), EAST)


@pytest.fixture
def house() -> House:
    """Of the tea something happens each hour, of the mug nothing; the ERP agrees on both, within its tolerance."""
    house = House()
    house.post(movement("tea", 0, 1000), movement("mug", 0, 500, key=MUG))
    house.clock.advance(minutes=1)
    for number in range(OFTEN):
        house.post(movement(f"tea-{number}", 0.01 * number, 1))
    says(house, "TEA", 1020, 2)
    says(house, "MUG", 498, 2)
    house.drift_sweep.run()
    assert house.open_cases() == []
    return house


def says(house: House, sku: str, quantity: int, minute: float) -> None:
    house.clock.now = max(house.clock.now, at(minute))
    document = f"C-{sku}-{minute:g}-{quantity}"
    deliver(
        house,
        body("count", document, {"sku": sku, "quantity": quantity}, occurred_at=at(minute)),
        document,
        "erp",
    )
    house.settle()


def exact(house: House) -> None:
    """Declare that the ERP's numbers must be right to the unit: a change that no event announces."""
    declared = network()
    erp = replace(declared.sources[ERP], tolerance=Tolerance(percent_hundredths=0))
    house.declare(replace(declared, sources={**declared.sources, ERP: erp}))


def differing(house: House) -> set[str]:
    return {str(case.facts["sku"]) for case in house.cases.list(CaseStatus.OPEN)}


def the_case(house: House) -> Case:
    return house.cases.get(drift_case(ERP, KEY, "on_hand"))


def test_what_no_event_announced_is_found_within_an_hour_of_a_fast_mover_and_within_a_day_of_the_rest(
    house: House,
) -> None:
    exact(house)
    house.clock.advance(minutes=59)
    house.drift_sweep.run()
    assert differing(house) == set()
    house.clock.advance(minutes=1)
    house.drift_sweep.run()
    assert differing(house) == {"TEA"}
    house.clock.advance(hours=23)
    house.drift_sweep.run()
    assert differing(house) == {"TEA", "MUG"}


def test_an_item_that_stands_still_for_a_day_is_a_fast_mover_no_more(house: House) -> None:
    assert house.stock.get(fast_key(KEY)) is not None
    assert house.stock.get(fast_key(MUG)) is None
    house.clock.advance(hours=25)
    assert house.drift_sweep.run().turned == 1
    assert house.stock.get(fast_key(KEY)) is None
    house.clock.advance(hours=1)
    assert house.drift_sweep.run().fast == 0


def test_one_entry_an_hour_makes_a_fast_mover_and_one_less_does_not() -> None:
    house = House()
    house.post(*(movement("first", 0, 5, key=key) for key in (KEY, MUG)))
    for number in range(OFTEN - 1):
        house.post(movement(f"t{number}", 0, 1))
        house.clock.advance(minutes=30)
        if number:
            house.post(movement(f"m{number}", 0, 1, key=MUG))
    house.drift_sweep.run()
    assert [house.stock.get(fast_key(key)) is not None for key in (KEY, MUG)] == [True, False]


def test_between_two_sweeps_a_run_reads_only_how_far_they_came(house: House) -> None:
    house.clock.advance(minutes=1)
    before = len(house.stock.changes_since())
    swept = house.drift_sweep.run()
    assert (swept.fast, swept.rest, swept.numbers) == (0, 0, 0)
    assert len(house.stock.changes_since()) == before


def test_a_case_that_says_what_is_found_already_is_left_alone(house: House) -> None:
    exact(house)
    house.clock.advance(hours=1)
    house.drift_sweep.run()
    found = the_case(house)
    house.clock.advance(hours=1)
    house.drift_sweep.run()
    assert the_case(house) == found


def test_a_case_that_an_operator_ignored_stays_ignored_while_nothing_new_is_said(house: House) -> None:
    exact(house)
    house.clock.advance(hours=1)
    house.drift_sweep.run()
    house.cases.close(the_case(house).id, "known", house.clock(), CaseStatus.IGNORED)
    house.clock.advance(hours=1)
    house.drift_sweep.run()
    assert the_case(house).status is CaseStatus.IGNORED


def test_cases_that_were_too_many_to_be_explained_when_they_were_filed_are_explained_by_the_sweep() -> None:
    skus = [f"S{number}" for number in range(2 * EXPLAINED_AT_ONCE)]
    house = House(skus=skus)
    house.clock.advance(minutes=30)
    house.post(*(movement(f"m-{sku}", 0, 100, key=StockKey(Sku(sku), EAST)) for sku in skus))
    lines = [{"sku": sku, "quantity": 90} for sku in skus]
    deliver(house, body("count", "C", *lines, occurred_at=at(5)), source="erp")
    house.settle()

    def explained() -> int:
        cases = house.cases.list(CaseStatus.OPEN, 1000)
        return sum(case.kind is CaseKind.DRIFT and "cause" in case.facts for case in cases)

    assert explained() == EXPLAINED_AT_ONCE
    house.drift_sweep.run()
    assert explained() == len(skus)


def test_a_sweep_closes_a_case_whose_numbers_agree_by_now(house: House) -> None:
    exact(house)
    house.clock.advance(hours=1)
    house.drift_sweep.run()
    house.declare(network())
    house.clock.advance(hours=1)
    house.drift_sweep.run()
    assert the_case(house).status is CaseStatus.RESOLVED


def running_out(batches: int) -> Callable[[], float]:
    """Return a clock of seconds left that leaves time for some batches."""
    left: Iterator[float] = iter([*[RESERVE_S + 1] * batches, *[0.0] * 1000])
    return lambda: next(left)


def test_a_sweep_that_takes_longer_than_a_run_goes_on_in_the_next_and_passes_everything_once() -> None:
    skus = [f"S{number:03d}" for number in range(3 * BATCH)]
    house = House(skus=skus)
    for place in (EAST, WEST):
        house.post(*(movement(f"{place}-{sku}", 0, 10, key=StockKey(Sku(sku), place)) for sku in skus))
    house.clock.advance(minutes=5)
    passed = 0
    for _ in range(100):
        swept = house.drift_sweep.run(running_out(2))
        assert swept.rest <= 2 * BATCH
        passed += swept.rest
        house.clock.advance(minutes=1)
        if not swept.rest:
            break
    assert passed == len(skus) * 2
    house.clock.advance(hours=20)
    assert house.drift_sweep.run().rest == 0
    house.clock.advance(hours=5)
    assert house.drift_sweep.run().rest == len(skus) * 2


def test_an_hourly_sweep_goes_on_too_where_it_ended() -> None:
    skus = [f"S{number:03d}" for number in range(2 * BATCH)]
    house = House(skus=skus)
    for number in range(OFTEN):
        house.post(*(movement(f"{n}-{number}", 0, 1, key=StockKey(Sku(n), EAST)) for n in skus))
    house.clock.advance(minutes=5)
    house.drift_sweep.run()
    house.clock.advance(hours=1)
    passed = 0
    while swept := house.drift_sweep.run(running_out(1)).fast:
        passed += swept
        house.clock.advance(minutes=1)
    assert passed == len(skus)


class Restless(MemoryTable):
    """A table in which the tea moves whenever somebody looks at its past, once it is ``hot``."""

    hot = False

    def query(self, pk: str, **how: Any) -> Iterator[Item]:
        if self.hot and pk.startswith("BKT#TEA#"):
            self.write([Update(balance_key(KEY), add={"seq": 1})])
        return super().query(pk, **how)


class RestlessHouse(House):
    def _table(self, name: str, *indexes: str) -> MemoryTable:
        return Restless(indexes, clock=self.clock, name=name)


def test_a_stock_key_that_never_holds_still_stops_no_sweep() -> None:
    house = RestlessHouse()
    house.post(movement("tea", 0, 1000), movement("mug", 0, 500, key=MUG))
    house.clock.advance(minutes=3)
    says(house, "TEA", 1000, 3)
    says(house, "MUG", 498, 3)
    house.clock.advance(minutes=2)
    house.post(movement("later", 5, -10))
    house.settle()
    exact(house)
    Restless.hot = True
    try:
        assert house.drift_sweep.run().rest == 2
    finally:
        Restless.hot = False
    assert differing(house) == {"MUG"}


def test_a_sku_may_hold_any_character() -> None:
    name = "50% #1\x7f/é"
    house = House(skus=[name])
    key = StockKey(Sku(name), EAST)
    for number in range(OFTEN):
        house.post(movement(f"m{number}", 0, 1, key=key))
    house.clock.advance(minutes=2)
    house.drift_sweep.run()
    house.clock.advance(hours=1)
    assert house.drift_sweep.run().fast == 1

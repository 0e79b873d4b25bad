"""Whoever moves stock says what that means for counts that wait and units on no bin, also after a crash between the two."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.domain.cases import CaseKind
from shared.domain.network import Grain, Tolerance
from shared.operations.reservations import Wanted
from shared.store.table import Action
from tests.operations.deliveries import body
from tests.operations.house import EAST, KEY, SHOP, TEA, WEST, WMS, Crash, House, Interruption, at, movement
from tests.operations.test_fulfilling import fulfil
from tests.operations.test_undoing import undo
from tests.operations.waiting_counts import LIMIT, careful, counted, moved, tell


def cut_short(house: House, call: Callable[[], object], *, at_case: int | None) -> None:
    """Make a call, and where it is cut short at a write of a case, make it again."""

    def crash(number: int, _actions: Sequence[Action]) -> None:
        if number == at_case:
            raise Crash

    house.cases_table.faults = Interruption(before=crash)
    with suppress(Crash):
        call()
    house.cases_table.faults = None
    call()
    house.settle()


@pytest.mark.parametrize("at_case", [None, 0])
def test_a_fulfilment_within_the_clock_skew_of_an_accepted_count_files_that_it_is_suspended(
    at_case: int | None,
) -> None:
    plain = careful(undecided_within=Tolerance(0, 0), movements=None)
    wms = replace(plain.sources[WMS], clock_skew=timedelta(minutes=2))
    house = House(replace(plain, sources={**plain.sources, WMS: wms}))
    house.post(movement("R0", -30, 100))
    made = house.reserver.reserve("k", "oms", SHOP, [Wanted(TEA, 5, EAST)])
    house.clock.now = at(60)
    tell(house, counted("C1", 59, 90))
    assert (house.on_hand(), house.open_cases()) == (90, [])

    cut_short(house, lambda: fulfil(house, made, "f1"), at_case=at_case)

    assert len(house.poster.waiting(KEY)) == 1
    assert house.open_cases() == [CaseKind.COUNT_SUSPENDED]
    house.assert_exact()


@pytest.mark.parametrize("at_case", [None, 0])
def test_a_transfer_dated_back_that_explains_a_count_closes_its_case(at_case: int | None) -> None:
    house = House(careful(approve_beyond=LIMIT))
    tell(house, moved("receipt", "R0", -30, 100))
    made = house.transfers.request("ann", "r", EAST, WEST, [(TEA, 40)], "move")
    house.transfers.approve(made.id, "bob", "a")
    house.clock.now = at(60)
    tell(house, counted("C1", 30, 60))
    assert house.open_cases() == [CaseKind.COUNT_APPROVAL]

    cut_short(house, lambda: house.transfers.ship(made.id, "ann", "s", at=at(20)), at_case=at_case)

    assert (house.on_hand(), house.poster.waiting(KEY)) == (60, [])
    assert CaseKind.COUNT_APPROVAL not in house.open_cases()
    house.assert_exact()


@pytest.mark.parametrize("at_case", [None, 0, 1])
def test_a_bins_count_that_an_undo_lets_apply_is_a_case_of_units_on_no_bin_too(at_case: int | None) -> None:
    house = House(careful(approve_beyond=LIMIT, grain=Grain.BIN))
    house.clock.now = at(100)
    for kind, document, minute, line in (
        ("count", "T", 0, {"quantity": 100}),
        ("receipt", "R", 1, {"quantity": 50, "bin": "B1"}),
        ("shipment", "S", 2, {"quantity": 50, "bin": "B1"}),
    ):
        said = body(kind, document, {"sku": "TEA", **line}, occurred_at=at(minute))
        mistake = house.store("wms", said)
        house.applier.apply(mistake)
    tell(house, ("wms", body("count", "C", {"sku": "TEA", "quantity": 52, "bin": "B1"}, occurred_at=at(3))))
    assert CaseKind.COUNT_APPROVAL in house.open_cases()

    cut_short(house, lambda: undo(house, mistake), at_case=at_case)
    house.sweep.run()

    assert house.on_hand() == 152
    assert house.open_cases() == [CaseKind.UNBINNED_STOCK]

"""Units that lie on no bin while bins are counted are a case, until the total is known again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, cast

import pytest

from shared.domain.cases import Case, CaseKind, CaseStatus
from shared.domain.count_decisions import Decision
from shared.domain.exposure import Ranked, exposure, grouped
from shared.domain.network import Grain
from shared.domain.stock import EventKey, MessageId
from shared.operations.unbinned_stock import UnbinnedWatch, unbinned_case
from shared.store.table import Item, Table
from tests.operations.deliveries import body
from tests.operations.house import KEY, Clock, Crash, House, Interruption, at
from tests.operations.test_undoing import undo
from tests.operations.waiting_counts import LIMIT, careful, hasty_clocks

CASE = unbinned_case(KEY)


def house_of(grain: Grain = Grain.BIN) -> House:
    house = House(careful(grain=grain))
    house.clock.now = at(300)
    return house


def say(
    house: House, kind: str, document: str, minute: float, *lines: dict[str, object], sku: str = "TEA"
) -> MessageId:
    """Let the WMS say something of tea as of a minute, and let it flow."""
    said = body(kind, document, *({"sku": sku, **line} for line in lines), occurred_at=at(minute))
    message = house.store("wms", said)
    house.applier.apply(message)
    house.settle()
    return message


def total(house: House, document: str, minute: float, units: int) -> MessageId:
    return say(house, "count", document, minute, {"quantity": units})


def in_bin(house: House, name: str, document: str, minute: float, units: int) -> MessageId:
    return say(house, "count", document, minute, {"quantity": units, "bin": name})


def found(house: House) -> Case | None:
    """Return the open case of the tea, if there is one."""
    case = house.cases.find(CASE)
    return case if case is not None and case.status is CaseStatus.OPEN else None


def numbers(house: House) -> tuple[Any, ...]:
    """Return what the open case says: units in doubt, on hand, in bins, on none."""
    case = found(house)
    assert case is not None, [(one.kind, one.title) for one in house.cases.list(CaseStatus.OPEN)]
    return tuple(case.facts[name] for name in ("units", "on_hand", "in_bins", "on_no_bin"))


def test_a_walk_past_the_bins_after_a_total_is_a_case_and_the_total_stated_again_closes_it() -> None:
    house = House()
    house.clock.now = at(300)
    total(house, "W", 0, 100)
    house.declare(careful(grain=Grain.BIN))
    house.registry.network(fresh=True)

    say(house, "count", "WALK", 10, {"quantity": 60, "bin": "A"}, {"quantity": 40, "bin": "B"})

    assert (house.on_hand(), numbers(house)) == (200, (100, 200, 100, 100))
    [case] = house.cases.list(CaseStatus.OPEN)
    assert case.title == (
        "100 units of TEA@east lie on no bin and may be counted twice: 200 in all, 100 of them on a bin, 100 on none"
    )
    assert "`onecount count TEA TOTAL --location east" in case.remedy
    total(house, "W2", 20, 100)
    assert (house.on_hand(), house.open_cases()) == (100, [])
    house.assert_exact()


def test_each_nights_total_puts_right_what_cycle_counts_of_bins_told_again() -> None:
    house = house_of()
    for day in range(3):
        house.clock.now = at(day * 1440 + 300)
        total(house, f"N{day}", day * 1440, 100)
        assert (house.on_hand(), house.available(), found(house)) == (100, 100, None)
        in_bin(house, f"B{day}", f"C{day}", day * 1440 + 60, 25)
        assert numbers(house) == (25, 125, 25 * (day + 1), 100 - 25 * day)
    house.assert_exact()


def test_a_receipt_that_names_no_bin_and_the_count_of_the_bin_where_it_was_put() -> None:
    house = house_of()
    in_bin(house, "A", "A1", 0, 60)
    say(house, "receipt", "R", 10, {"quantity": 10})
    assert found(house) is None
    in_bin(house, "A", "A2", 20, 70)
    assert (house.on_hand(), numbers(house)) == (80, (10, 80, 70, 10))
    total(house, "W", 30, 70)
    assert (house.on_hand(), house.open_cases()) == (70, [])


def test_shipments_that_name_no_bin_and_the_count_of_the_bin_that_they_left() -> None:
    house = house_of()
    in_bin(house, "A", "A1", 0, 100)
    say(house, "shipment", "S", 10, {"quantity": 30})
    in_bin(house, "A", "A2", 20, 70)
    assert (house.on_hand(), numbers(house)) == (40, (30, 40, 70, -30))
    case = found(house)
    assert case is not None
    assert case.title.startswith(
        "30 units of TEA@east were taken from no bin and may be missing twice: 40 in all"
    )
    total(house, "W", 30, 70)
    assert (house.on_hand(), house.open_cases()) == (70, [])


def test_a_first_walk_of_shelves_that_nobody_had_counted_is_no_case_in_however_many_messages() -> None:
    house = house_of()
    for number, name in enumerate("ABC"):
        in_bin(house, name, f"W{number}", number, 20)
    in_bin(house, "A", "A2", 10, 25)
    assert (house.on_hand(), house.cases.find(CASE)) == (65, None)


def test_further_counts_of_bins_bring_the_one_case_up_to_date() -> None:
    house = house_of()
    total(house, "W", 0, 100)
    in_bin(house, "A", "A", 10, 60)
    assert numbers(house) == (60, 160, 60, 100)
    in_bin(house, "B", "B", 11, 40)
    assert numbers(house) == (100, 200, 100, 100)
    in_bin(house, "B", "B2", 12, 30)
    assert numbers(house) == (90, 190, 90, 100)
    case = found(house)
    assert case is not None
    assert (case.occurrences, case.facts["counts"], case.facts["last_count"]) == (3, 3, "wms/B2/1/count/")


def test_a_newer_version_of_a_bins_count_doubts_no_more_than_lies_in_the_bin() -> None:
    house = house_of()
    total(house, "W", 0, 100)
    for version, units in enumerate((30, 31), start=1):
        line = {"sku": "TEA", "quantity": units, "bin": "A"}
        said = body("count", "A", line, occurred_at=at(10), version=str(version))
        house.applier.apply(house.store("wms", said))
    assert numbers(house) == (31, 131, 31, 100)


def test_bins_that_are_counted_back_to_nothing_close_it() -> None:
    house = house_of()
    total(house, "W", 0, 100)
    in_bin(house, "A", "A", 10, 60)
    in_bin(house, "A", "A2", 11, 0)
    assert (house.on_hand(), house.open_cases()) == (100, [])


def test_a_small_correction_of_a_bin_doubts_no_more_than_it_changed() -> None:
    house = house_of()
    in_bin(house, "A", "A1", 0, 60)
    say(house, "receipt", "DOCK", 5, {"quantity": 500})
    in_bin(house, "A", "A2", 10, 61)
    assert numbers(house)[0] == 1
    in_bin(house, "A", "A3", 11, 60)
    assert found(house) is None


def test_a_count_that_finds_what_the_book_says_is_no_case() -> None:
    house = house_of()
    in_bin(house, "A", "A1", 0, 60)
    say(house, "receipt", "DOCK", 5, {"quantity": 500})
    in_bin(house, "A", "A2", 10, 60)
    assert house.cases.find(CASE) is None


def test_a_bins_count_that_is_older_than_the_newest_total_is_no_case() -> None:
    house = house_of()
    total(house, "W", 0, 100)
    total(house, "W2", 20, 100)
    in_bin(house, "A", "LATE", 10, 60)
    assert (house.on_hand(), house.cases.find(CASE)) == (100, None)


def test_a_total_of_before_the_bins_were_counted_says_nothing_of_them() -> None:
    house = house_of()
    total(house, "W", 0, 100)
    in_bin(house, "A", "A", 10, 60)
    total(house, "W2", 5, 100)
    assert numbers(house)[0] == 60
    total(house, "W3", 10, 100)  # at one instant the whole comes after its parts
    assert (house.on_hand(), found(house)) == (100, None)


def test_goods_put_away_until_nothing_lies_on_no_bin_close_it_with_the_sweep() -> None:
    house = house_of()
    total(house, "W", 0, 100)
    in_bin(house, "A", "A", 10, 60)
    say(house, "adjustment", "AWAY", 20, {"quantity": -100})
    assert found(house) is not None
    house.sweep.run()
    case = house.cases.get(CASE)
    assert (case.status, case.resolution) == (CaseStatus.RESOLVED, "nothing of it lies on no bin any more")


def test_undoing_the_count_of_the_bin_closes_it_with_the_sweep() -> None:
    house = house_of()
    total(house, "W", 0, 100)
    mistake = in_bin(house, "A", "A", 10, 60)
    undo(house, mistake)
    house.sweep.run()
    assert (house.on_hand(), house.open_cases()) == (100, [])


def test_the_sweep_leaves_alone_what_is_still_in_doubt() -> None:
    house = house_of()
    total(house, "W", 0, 100)
    in_bin(house, "A", "A", 10, 60)
    house.clock.advance(hours=5)
    house.sweep.run()
    assert numbers(house)[0] == 60


def test_a_count_that_is_told_again_opens_no_case_that_somebody_closed_and_adds_nothing() -> None:
    house = house_of()
    total(house, "W", 0, 100)
    message = in_bin(house, "A", "A", 10, 60)
    house.applier.apply(message)
    case = found(house)
    assert case is not None
    assert (case.occurrences, case.facts["units"]) == (1, 60)
    house.cases.close(CASE, "known", house.clock(), CaseStatus.IGNORED, by="ann")
    house.applier.apply(message)
    assert house.cases.get(CASE).status is CaseStatus.IGNORED


@pytest.mark.parametrize("write", range(4))
def test_a_crash_before_or_while_the_case_is_filed_loses_and_doubles_nothing(write: int) -> None:
    house = house_of()
    total(house, "W", 0, 100)

    def crash(number: int, _actions: object) -> None:
        if number == write:
            raise Crash

    house.cases_table.faults = Interruption(before=crash)
    said = body("count", "A", {"sku": "TEA", "quantity": 60, "bin": "A"}, occurred_at=at(10))
    message = house.store("wms", said)
    with pytest.raises(Crash):
        house.applier.apply(message)
    house.cases_table.faults = None
    house.clock.advance(minutes=2)
    house.applier.apply(message)
    assert numbers(house) == (60, 160, 60, 100)
    assert house.cases.get(CASE).facts["counts"] == 1


class Overtaken:
    """A table beside which somebody acts once, just before bins are read."""

    def __init__(self, table: Table, act: Callable[[], object]) -> None:
        self._table = table
        self._acts = [act]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._table, name)

    def query(self, *asked: Any, **more: Any) -> Iterator[Item]:
        while self._acts:
            self._acts.pop()()
        return self._table.query(*asked, **more)


def untold(house: House, said: dict[str, Any]) -> None:
    """Post what the WMS says, and die before it is told."""

    def crash(_number: int, _actions: object) -> None:
        raise Crash

    house.cases_table.faults = Interruption(before=crash)
    with pytest.raises(Crash):
        house.applier.apply(house.store("wms", said))
    house.cases_table.faults = None


def test_what_is_posted_between_its_reads_hides_no_doubt() -> None:
    """100 on no bin, A counted with 60; 100 arrive on B once the total was read, and before the bins are."""
    house = house_of()
    total(house, "W", 0, 100)
    received = body("receipt", "R", {"sku": "TEA", "quantity": 100, "bin": "B"}, occurred_at=at(20))
    untold(house, body("count", "A", {"sku": "TEA", "quantity": 60, "bin": "A"}, occurred_at=at(10)))
    table = Overtaken(house.stock, lambda: house.applier.apply(house.store("wms", received)))
    watch = UnbinnedWatch(cast(Table, table), house.cases, house.registry, house.clock)
    watch.told(house.poster.notes_about(EventKey("wms/A/1/count/")))

    assert numbers(house) == (60, 260, 160, 100)


@pytest.mark.parametrize("write", range(3))
def test_of_two_who_tell_at_once_neither_forgets_what_the_other_added(write: int) -> None:
    house = house_of()
    total(house, "W", 0, 100)
    for name, minute, units in (("A", 10, 60), ("B", 11, 40)):
        line = {"sku": "TEA", "quantity": units, "bin": name}
        untold(house, body("count", name, line, occurred_at=at(minute)))

    def tell(name: str) -> None:
        house.unbinned.told(house.poster.notes_about(EventKey(f"wms/{name}/1/count/")))

    def the_other(number: int, _actions: object) -> None:
        if number == write:
            house.cases_table.faults = None
            tell("B")

    house.cases_table.faults = Interruption(before=the_other)
    tell("A")
    assert house.cases_table.faults is None
    assert numbers(house) == (100, 200, 100, 100)


def test_a_bins_count_that_waited_and_was_approved_is_a_case_too() -> None:
    house = House(careful(grain=Grain.BIN, approve_beyond=LIMIT))
    house.clock.now = at(300)
    total(house, "W", 0, 100)
    in_bin(house, "A", "A", 10, 60)
    [waits] = house.cases.list(CaseStatus.OPEN)
    assert (waits.kind, house.on_hand()) == (CaseKind.COUNT_APPROVAL, 100)
    decision = Decision(EventKey(str(waits.facts["event_key"])), accept=True, seen=0)

    def crash(_number: int, _actions: object) -> None:
        raise Crash

    house.cases_table.faults = Interruption(before=crash)
    with pytest.raises(Crash):
        house.count_desk.decide(waits, decision, "ann")
    house.cases_table.faults = None
    house.count_desk.decide(waits, decision, "ann")

    assert (house.on_hand(), numbers(house)) == (160, (60, 160, 60, 100))
    assert [case.kind for case in house.cases.list(CaseStatus.OPEN)] == [CaseKind.UNBINNED_STOCK]


def test_where_lots_are_kept_apart_it_speaks_of_lots() -> None:
    house = house_of(Grain.LOT)
    total(house, "W", 0, 100)
    say(house, "count", "L", 10, {"quantity": 60, "lot": "L1"})
    case = found(house)
    assert case is not None
    assert case.title.startswith("60 units of TEA@east lie on no lot and may be counted twice: 160 in all")


def test_where_no_bins_are_kept_apart_a_bins_count_is_one_of_the_whole() -> None:
    house = house_of(Grain.LOCATION)
    total(house, "W", 0, 100)
    in_bin(house, "A", "A", 10, 60)
    assert (house.on_hand(), house.open_cases()) == (60, [])


def test_a_system_that_counts_hundreds_of_items_so_is_one_line_of_the_ranked_cases() -> None:
    house = House(careful(grain=Grain.BIN), skus=[f"S{number}" for number in range(300)])
    house.clock.now = at(300)
    skus = [f"S{number}" for number in range(300)]
    for document, minute, units, more in (("W", 0, 10, {}), ("B", 10, 4, {"bin": "A"})):
        lines = [{"sku": sku, "quantity": units, **more} for sku in skus]
        house.applier.apply(house.store("wms", body("count", document, *lines, occurred_at=at(minute))))
    house.clock.advance(hours=1)
    cases = house.cases.list(CaseStatus.OPEN, limit=1000)
    [group] = grouped(Ranked(case, exposure(case, None, house.clock())) for case in cases)
    assert (group.about, len(group.members), group.units) == (("unbinned_stock", "east"), 300, 1200)


def test_what_opened_the_case_is_not_forgotten_though_time_passed_while_it_was_filed() -> None:
    """20 of bin A may be there twice, and the next count takes back 8 of them: 12 are left, not none."""
    house = house_of()
    total(house, "W", 0, 100)

    class Passing(Clock):
        def __call__(self) -> datetime:
            self.advance(seconds=1)
            return self.now

    watch = UnbinnedWatch(house.stock, house.cases, house.registry, Passing(house.clock.now))
    for document, minute, units in (("A", 10, 20), ("A2", 20, 12)):
        said = body("count", document, {"sku": "TEA", "quantity": units, "bin": "A"}, occurred_at=at(minute))
        untold(house, said)
        watch.told(house.poster.notes_about(EventKey(f"wms/{document}/1/count/")))
    assert numbers(house) == (12, 112, 12, 100)


def test_a_version_that_comes_after_a_newer_one_changed_nothing() -> None:
    """A late count of yesterday makes today's a correction of -2, whose older version is heard of only then."""
    house = House(hasty_clocks(Grain.BIN))
    house.clock.now = at(300)
    say(house, "receipt", "R", 20, {"quantity": 8})

    def version(number: int, units: int) -> None:
        line = {"sku": "TEA", "quantity": units, "bin": "A"}
        said = body("count", "A", line, occurred_at=at(10), version=str(number))
        house.applier.apply(house.store("wms", said))

    version(3, 18)
    in_bin(house, "A", "LATE", 0, 20)
    told = house.cases.get(CASE)
    version(2, 19)
    assert house.poster.notes_about(EventKey("wms/A/1/count/2")) == []
    assert house.cases.get(CASE) == told

"""Files that are not what they were, files of unknown codes, and files too long for one run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from shared.domain.cases import Case, CaseKind, CaseStatus
from shared.domain.stock import Sku, SourceId, StockKey
from shared.operations.case_desk import NotPossibleError
from shared.operations.file_reading import MOST_CODES
from shared.operations.ingest import CHUNK, RELEASED_AT_ONCE, RESERVE_S, Drop, FileUnfinishedError
from shared.store.inbox import MessageStatus
from shared.store.registry import Code, Network
from shared.store.table import Action
from tests.operations.deliveries import drop, rows
from tests.operations.house import TEA, WEST, Crash, House, Interruption, network

FILES = SourceId("files")


def stock(house: House, sku: str) -> int:
    return house.on_hand(StockKey(Sku(sku), WEST))


def snapshot(house: House, hour: int, *cells: tuple[str, object], name: str = "stock") -> Drop:
    return drop(house, f"{name}_20261101T{hour:02d}00.csv", rows(*cells), sequencer=f"{hour:02d}")


def some(count: int, quantity: int = 5) -> list[tuple[str, object]]:
    return [(f"S{n}", quantity) for n in range(count)]


def with_options(**options: object) -> Network:
    declared = network()
    files = declared.sources[FILES]
    changed = replace(files, options={**files.options, **options})
    return Network({**declared.sources, FILES: changed}, declared.locations, declared.channels)


def only_case(house: House) -> Case:
    [case] = house.cases.list(CaseStatus.OPEN)
    return case


# ---- snapshots that are not believed ----------------------------------------------------------------------------


def filled(count: int = 40, **options: object) -> House:
    house = House(with_options(**options), skus=[f"S{n}" for n in range(count)])
    assert house.ingester.ingest(snapshot(house, 1, *some(count))) is MessageStatus.POSTED
    return house


def test_a_snapshot_of_a_header_alone_is_held() -> None:
    house = House()
    assert house.ingester.ingest(snapshot(house, 1)) is MessageStatus.PARKED
    assert only_case(house).kind == CaseKind.SUSPICIOUS_SNAPSHOT


def test_a_snapshot_cut_short_is_held_whole_and_applied_once_approved() -> None:
    house = filled()
    assert house.ingester.ingest(snapshot(house, 2, *some(10, 9))) is MessageStatus.PARKED
    assert stock(house, "S0") == 5
    case = only_case(house)
    assert (case.kind, case.facts["places"]) == ("suspicious_snapshot", 1)
    assert "10 rows for 'west', where the last file had 40" in case.title

    assert house.case_desk.approve_file(case.id, "ann") == 1

    assert (stock(house, "S0"), stock(house, "S39")) == (9, 5)
    assert house.open_cases() == []
    assert house.ingester.ingest(snapshot(house, 3, *some(10, 8))) is MessageStatus.POSTED
    house.assert_exact()


def test_a_snapshot_that_zeroes_most_is_held_and_nothing_of_it_applied_once_rejected() -> None:
    house = filled()
    dropped = snapshot(house, 2, *some(30, 0), *some(40)[30:])
    house.ingester.ingest(dropped)
    case = only_case(house)
    assert "10 rows above zero" in case.title

    house.case_desk.reject_file(case.id, "the export failed", "ann")

    assert house.open_cases() == []
    assert house.ingester.ingest(dropped) is MessageStatus.POSTED
    assert stock(house, "S0") == 5
    assert list(house.inbox.pending_since(house.clock())) == []
    with pytest.raises(NotPossibleError, match="resolved already"):
        house.case_desk.approve_file(case.id, "ann")


def test_a_retry_does_not_approve() -> None:
    house = filled()
    house.ingester.ingest(snapshot(house, 2, *some(10, 9)))
    house.case_desk.retry(only_case(house).id)
    assert stock(house, "S0") == 5
    assert only_case(house).kind == CaseKind.SUSPICIOUS_SNAPSHOT


def test_a_file_that_was_held_is_not_what_the_next_one_is_compared_with() -> None:
    house = filled()
    house.ingester.ingest(snapshot(house, 2, *some(10, 9)))
    assert house.ingester.ingest(snapshot(house, 3, *some(10, 9))) is MessageStatus.PARKED
    assert house.ingester.ingest(snapshot(house, 4, *some(40, 9))) is MessageStatus.POSTED
    assert stock(house, "S0") == 9


def test_another_kind_of_file_is_not_compared_with_it() -> None:
    house = filled()
    assert house.ingester.ingest(snapshot(house, 2, ("S0", 9), name="count")) is MessageStatus.POSTED


def test_a_partial_file_may_say_as_little_as_it_likes() -> None:
    house = filled(snapshot="partial")
    assert house.ingester.ingest(snapshot(house, 2)) is MessageStatus.POSTED
    assert house.ingester.ingest(snapshot(house, 3, ("S0", 9))) is MessageStatus.POSTED


def test_a_source_declares_its_own_limits() -> None:
    house = filled(guard={"fewest_percent": 20, "least_stocked_percent": 20})
    assert house.ingester.ingest(snapshot(house, 2, *some(10, 9))) is MessageStatus.POSTED


def test_only_a_held_file_can_be_approved() -> None:
    house = House()
    house.ingester.ingest(snapshot(house, 1, ("NEW", 7)))
    with pytest.raises(NotPossibleError, match="waits for no approval"):
        house.case_desk.approve_file(only_case(house).id, "ann")


# ---- unknown codes ----------------------------------------------------------------------------------------------


def mapped(house: House, *codes: str) -> None:
    house.registry.add_items(Sku(f"OUR-{code}") for code in codes)
    house.registry.map_codes({Code(FILES, "sku", code): Sku(f"OUR-{code}") for code in codes}, "ann")


def test_many_unknown_codes_of_a_file_are_one_case_that_lists_some() -> None:
    house = House()
    lines = [("TEA", 40), *((f"N{n}", 1) for n in range(3000)), ("N7", 1)]
    assert house.ingester.ingest(snapshot(house, 1, *lines)) is MessageStatus.PARKED
    case = only_case(house)
    assert (case.kind, case.facts["codes"]) == (CaseKind.UNKNOWN_CODES, 3000)
    assert len(case.facts) < 60
    assert house.on_hand(StockKey(TEA, WEST)) == 40


def test_few_unknown_codes_are_a_case_each() -> None:
    house = House()
    house.ingester.ingest(snapshot(house, 1, *((f"N{n}", 1) for n in range(20))))
    assert house.open_cases() == ["unknown_code"] * 20


def test_the_rows_of_a_code_post_as_it_is_mapped_and_the_case_closes_with_the_last() -> None:
    house = House()
    house.ingester.ingest(snapshot(house, 1, *((f"N{n}", n) for n in range(30))))
    mapped(house, "N7", "N9")
    house.stock.faults = faults = Interruption()
    house.sweep.run()
    assert (stock(house, "OUR-N7"), stock(house, "OUR-N9")) == (7, 9)
    assert faults.writes <= 3
    assert only_case(house).facts["codes"] == 28

    mapped(house, *(f"N{n}" for n in range(30)))
    house.sweep.run()

    assert [stock(house, f"OUR-N{n}") for n in range(30)] == list(range(30))
    assert house.open_cases() == []
    house.sweep.run()
    house.assert_exact()


def test_a_mapping_of_one_of_few_codes_releases_its_rows_alone() -> None:
    house = House(skus=["TEA", *(f"S{n}" for n in range(200))])
    house.ingester.ingest(snapshot(house, 1, *some(200), ("NEW", 7), ("OLD", 8)))
    [case] = [case for case in house.cases.list(CaseStatus.OPEN) if case.facts["code"] == "NEW"]
    house.stock.faults = faults = Interruption()
    house.case_desk.map(case.id, TEA, "ann")
    assert stock(house, "TEA") == 7
    assert faults.writes <= 5  # two of them measure the handoff
    assert only_case(house).facts["code"] == "OLD"


def test_a_retry_before_anything_is_mapped_leaves_the_case_open() -> None:
    house = House()
    house.ingester.ingest(snapshot(house, 1, *((f"N{n}", 1) for n in range(30))))
    house.case_desk.retry(only_case(house).id)
    assert only_case(house).facts["codes"] == 30
    assert list(house.inbox.pending_since(house.clock())) == []


def test_many_unknown_places_wait_like_codes_and_are_released_by_their_declaration() -> None:
    house = House(skus=[f"S{n}" for n in range(30)])
    text = "sku,site,qty\n" + "".join(f"S{n},place-{n},{n}\n" for n in range(30))
    house.ingester.ingest(drop(house, "stock_20261101T0600.csv", text))
    assert only_case(house).kind == CaseKind.UNKNOWN_CODES
    declared = network()
    files = declared.sources[FILES]
    places = replace(files, locations={f"place-{n}": WEST for n in range(30)})
    house.declare(Network({**declared.sources, FILES: places}, declared.locations, declared.channels))
    house.sweep.run()
    assert [stock(house, f"S{n}") for n in range(30)] == list(range(30))
    assert house.open_cases() == []


def test_a_row_that_misses_two_codes_waits_for_both() -> None:
    house = House()
    text = "sku,site,qty\n" + "".join(f"N{n},nowhere,{n}\n" for n in range(30))
    house.ingester.ingest(drop(house, "stock_20261101T0600.csv", text))
    mapped(house, *(f"N{n}" for n in range(30)))
    house.sweep.run()
    case = only_case(house)
    assert "location nowhere" in str(case.facts["code_1"])
    declared = network()
    files = declared.sources[FILES]
    places = replace(files, locations={"nowhere": WEST})
    house.declare(Network({**declared.sources, FILES: places}, declared.locations, declared.channels))
    house.sweep.run()
    assert [stock(house, f"OUR-N{n}") for n in range(30)] == list(range(30))
    assert house.open_cases() == []


def writes_of_a_release() -> int:
    house = House()
    house.ingester.ingest(snapshot(house, 1, *((f"N{n}", n) for n in range(25))))
    mapped(house, *(f"N{n}" for n in range(25)))
    house.inbox_table.faults = faults = Interruption()
    house.sweep.run()
    return faults.writes


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("number", range(writes_of_a_release()))
def test_after_a_crash_at_any_write_of_a_release_the_next_sweep_completes_it(when: str, number: int) -> None:
    house = House()
    house.ingester.ingest(snapshot(house, 1, *((f"N{n}", n) for n in range(25))))
    mapped(house, *(f"N{n}" for n in range(25)))

    def crash(n: int, _actions: Sequence[Action]) -> None:
        if n == number:
            house.inbox_table.faults = None
            raise Crash

    house.inbox_table.faults = Interruption(**{when: crash})
    with pytest.raises(Crash):
        house.sweep.run()
    house.sweep.run()
    assert [stock(house, f"OUR-N{n}") for n in range(25)] == list(range(25))
    assert house.open_cases() == []
    house.assert_exact()


# ---- more than one run ------------------------------------------------------------------------------------------


def runs_of(chunks: int) -> Callable[[], float]:
    """Let a run record a number of chunks before its time is up."""
    left = [RESERVE_S] * (chunks - 1) + [RESERVE_S - 1]
    return lambda: left.pop(0)


def test_a_file_longer_than_a_run_goes_on_behind_the_last_row() -> None:
    count = 3 * CHUNK + 10
    house = House(skus=[f"S{n}" for n in range(count)])
    dropped = snapshot(house, 1, *some(count - 1), ("BAD", "x"), ("NEW", 3))
    house.stock.faults = faults = Interruption()
    for run in (1, 2, 3):
        with pytest.raises(FileUnfinishedError) as unfinished:
            house.ingester.ingest(dropped, runs_of(1))
        assert unfinished.value.row == run * CHUNK + 1
    until_now = faults.writes
    assert house.ingester.ingest(dropped) is MessageStatus.PARKED
    assert faults.writes - until_now < 10
    assert house.open_cases() == ["bad_rows", "unknown_code"]
    assert house.verifier.verify().stock_keys == count - 1
    house.assert_exact()


def test_faults_and_codes_of_earlier_runs_are_in_the_cases_of_the_last() -> None:
    house = House(skus=[f"S{n}" for n in range(2 * CHUNK)])
    dropped = snapshot(house, 1, ("B", "x"), *((f"N{n}", 1) for n in range(30)), *some(2 * CHUNK))
    with pytest.raises(FileUnfinishedError):
        house.ingester.ingest(dropped, runs_of(1))
    house.ingester.ingest(dropped)
    cases = {case.kind: case for case in house.cases.list(CaseStatus.OPEN)}
    assert cases[CaseKind.BAD_ROWS].facts["faults"] == 1
    assert cases[CaseKind.UNKNOWN_CODES].facts["codes"] == 30


def test_what_one_row_says_of_many_places_is_not_parted() -> None:
    declared = network()
    files = declared.sources[FILES]
    wide = {f"P{n}": "west" for n in range(7)}
    kept = {name: value for name, value in files.options.items() if name in ("drop", "sku_column", "as_of")}
    changed = replace(files, options={**kept, "location_columns": wide})
    house = House(
        Network({**declared.sources, FILES: changed}, declared.locations, declared.channels),
        skus=[f"S{n}" for n in range(200)],
    )
    text = "sku," + ",".join(wide) + "\n" + "".join(f"S{n},1,1,1,1,1,1,1\n" for n in range(200))
    dropped = drop(house, "stock_20261101T0600.csv", text)
    with pytest.raises(FileUnfinishedError) as unfinished:
        house.ingester.ingest(dropped, runs_of(1))
    assert unfinished.value.row == CHUNK // 7 + 2
    house.ingester.ingest(dropped)
    assert house.verifier.verify().stock_keys == 200


def test_the_sweep_reads_on_where_the_runs_of_an_announcement_have_ended() -> None:
    house = House(skus=[f"S{n}" for n in range(2 * CHUNK)])
    dropped = snapshot(house, 1, *some(2 * CHUNK))
    with pytest.raises(FileUnfinishedError):
        house.ingester.ingest(dropped, runs_of(1))
    house.clock.advance(minutes=2)
    house.sweep.run()
    assert stock(house, f"S{2 * CHUNK - 1}") == 5
    assert list(house.inbox.pending_since(house.clock())) == []


def test_a_file_whose_reader_was_heard_of_lately_is_left_to_it() -> None:
    house = House(skus=[f"S{n}" for n in range(2 * CHUNK)])
    dropped = snapshot(house, 1, *some(2 * CHUNK))
    house.clock.advance(minutes=30)
    writes = 0

    def crash(_n: int, actions: Sequence[Action]) -> None:
        nonlocal writes
        writes += any("reading" in getattr(action, "set", {}) for action in actions)
        if writes == 1:
            house.inbox_table.faults = None
            raise Crash

    house.inbox_table.faults = Interruption(after=crash)
    with pytest.raises(Crash):
        house.ingester.ingest(dropped)
    house.clock.advance(minutes=10)
    house.sweep.run()
    assert stock(house, f"S{2 * CHUNK - 1}") == 0
    house.clock.advance(minutes=10)
    house.sweep.run()
    assert stock(house, f"S{2 * CHUNK - 1}") == 5


def test_more_codes_than_are_remembered_are_found_when_those_are_settled() -> None:
    house = House()
    count = MOST_CODES + 40
    house.ingester.ingest(snapshot(house, 1, *((f"N{n}", 2) for n in range(count))))
    assert "more than 5000 codes" in only_case(house).title
    mapped(house, *(f"N{n}" for n in range(count)))
    for _ in range(MOST_CODES // RELEASED_AT_ONCE + 1):
        house.clock.advance(minutes=2)
        house.sweep.run()
    assert [stock(house, f"OUR-N{n}") for n in (0, MOST_CODES + 39)] == [2, 2]
    assert house.verifier.verify().stock_keys == count
    assert house.open_cases() == []

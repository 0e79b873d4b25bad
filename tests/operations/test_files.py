"""A dropped file from the bucket to the ledger: each row by itself, read as often as need be, counted once."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from io import BytesIO
from typing import BinaryIO

import pytest

from shared.domain.cases import CaseKind, CaseStatus
from shared.domain.network import Source
from shared.domain.stock import Sku, SourceId, StockKey
from shared.operations.ingest import LARGEST_FILE, Drop, FileIngester
from shared.store.inbox import MessageStatus
from shared.store.registry import Network
from shared.store.table import Action, ThrottledError
from tests.operations.deliveries import drop, rows
from tests.operations.house import NOON, TEA, WEST, Crash, House, Interruption, at, movement, network
from tests.operations.test_units import declare

AT_WEST = StockKey(TEA, WEST)
MUG_AT_WEST = StockKey(Sku("MUG"), WEST)
NAME = "stock_20261101T0600.csv"


def later(house: House, minutes: float = 17) -> None:
    """Let the time pass after which a file's reading is taken for dead, and sweep."""
    house.clock.advance(minutes=minutes)
    house.settle()
    house.sweep.run()


def test_each_row_is_a_count_as_of_the_files_own_time() -> None:
    house = House()
    status = house.ingester.ingest(drop(house, NAME, rows(("TEA", 40), ("MUG", 0))))
    house.settle()
    assert status is MessageStatus.POSTED
    assert (house.on_hand(AT_WEST), house.on_hand(MUG_AT_WEST)) == (40, 0)
    [line] = house.ledger.journal(AT_WEST)[0].lines
    assert line.valid_at.hour == 6
    house.assert_exact()


def test_the_same_notification_twice_counts_once() -> None:
    house = House()
    dropped = drop(house, NAME, rows(("TEA", 40)))
    house.ingester.ingest(dropped)
    entries = len(house.ledger.journal(AT_WEST))
    assert house.ingester.ingest(dropped) is MessageStatus.POSTED
    assert len(house.ledger.journal(AT_WEST)) == entries
    house.assert_exact()


def test_a_corrected_file_and_one_corrected_back_stand_as_dropped_last() -> None:
    house = House()
    drops = []
    for sequencer, quantity in (("01", 5), ("02", 6), ("03", 5)):
        house.clock.advance(minutes=1)
        drops.append(drop(house, NAME, rows(("TEA", quantity)), sequencer=sequencer))
        house.ingester.ingest(drops[-1])
        assert house.on_hand(AT_WEST) == quantity
    house.assert_exact()


def test_bad_rows_are_a_case_and_the_good_ones_post() -> None:
    house = House()
    text = rows(("TEA", 40), ("MUG", "many"), ("NEW", 3), ("", 5)) + "TEA,west\nMUG,moon,3\n"
    status = house.ingester.ingest(drop(house, NAME, text))
    assert status is MessageStatus.PARKED
    assert house.on_hand(AT_WEST) == 40
    assert house.open_cases() == ["bad_rows", "unknown_code", "unknown_code"]
    [case] = [c for c in house.cases.list(CaseStatus.OPEN) if c.kind == "bad_rows"]
    assert "row 3" in case.title
    assert case.facts["faults"] == 3


def test_an_unknown_code_in_a_file_posts_once_it_is_mapped() -> None:
    house = House()
    house.ingester.ingest(drop(house, NAME, rows(("NEW", 7), ("MUG", 2))))
    [case] = house.cases.list(CaseStatus.OPEN)
    house.case_desk.map(case.id, TEA, "ann")
    assert (house.on_hand(AT_WEST), house.on_hand(MUG_AT_WEST)) == (7, 2)
    assert house.open_cases() == []
    house.assert_exact()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "no header of ours\n1,2,3\n",
        "\x00\x01\x02\xff",
        "%PDF-1.7\n%\xe2\xe3",
        "sku,site\nTEA,west\n",
    ],
)
def test_what_is_no_snapshot_becomes_a_case(text: str) -> None:
    house = House()
    assert house.ingester.ingest(drop(house, NAME, text)) is MessageStatus.PARKED
    assert house.open_cases() in (["bad_message"], ["bad_rows"])


def test_a_file_whose_name_has_no_time_becomes_a_case() -> None:
    house = House()
    assert house.ingester.ingest(drop(house, "stock.csv", rows(("TEA", 4)))) is MessageStatus.PARKED
    assert house.open_cases() == ["bad_message"]


def test_a_file_under_a_prefix_of_nobody_waits_until_it_is_declared() -> None:
    house = House()
    dropped = drop(house, NAME, rows(("TEA", 40)), prefix="new-3pl/")
    assert house.ingester.ingest(dropped) is MessageStatus.PARKED
    [case] = house.cases.list(CaseStatus.OPEN)
    assert "new-3pl/" in case.title

    declared = network()
    files = declared.sources[SourceId("files")]
    moved = Source(files.id, files.connector, files.meaning, options={**files.options, "drop": "new-3pl/"})
    house.declare(Network({**declared.sources, files.id: moved}, declared.locations, declared.channels))
    house.case_desk.retry(case.id)

    assert house.on_hand(AT_WEST) == 40
    assert house.open_cases() == []


def test_a_file_that_is_too_large_is_refused_with_a_case() -> None:
    house = House()
    huge = Drop("files/" + NAME, "v", "01", LARGEST_FILE + 1, NOON)
    assert house.ingester.ingest(huge) is MessageStatus.PARKED
    assert house.open_cases() == ["bad_message"]


def test_the_longest_prefix_wins() -> None:
    house = House()
    declared = network()
    files = declared.sources[SourceId("files")]
    inner = Source(
        SourceId("inner"), files.connector, files.meaning, options={**files.options, "drop": "files/in/"}
    )
    house.declare(Network({**declared.sources, inner.id: inner}, declared.locations, declared.channels))
    house.ingester.ingest(drop(house, NAME, rows(("TEA", 40)), prefix="files/in/"))
    house.settle()
    assert [said.last.source for said in house.observations.of_sku(TEA)] == ["inner"]


def test_a_file_that_is_gone_is_an_error_and_later_a_case() -> None:
    house = House()
    dropped = drop(house, NAME, rows(("TEA", 40)))
    house.archive.bodies.clear()
    with pytest.raises(OSError, match="NoSuchKey"):
        house.ingester.ingest(dropped)
    for _ in range(6):
        later(house)
    assert house.open_cases() == ["message_failed"]


class BrokenBucket:
    """A bucket whose stream breaks in the middle, or whose content our own reader chokes on."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def open(self, _key: str, _version: str) -> BinaryIO:
        outer = self

        class Broken(BytesIO):
            def read(self, _size: int | None = -1, /) -> bytes:
                raise outer.error

            readinto = read  # type: ignore[assignment]

        return Broken()


def test_a_file_that_breaks_us_becomes_a_case_and_holds_up_nobody() -> None:
    house = House()
    bucket = BrokenBucket(RuntimeError("a fault of ours"))
    broken = FileIngester(house.inbox, house.registry, house.recorder, house.cases, bucket, house.clock)
    logging.getLogger("shared").setLevel(logging.CRITICAL)
    assert broken.ingest(drop(house, NAME, rows(("TEA", 40)))) is MessageStatus.PARKED
    [case] = house.cases.list(CaseStatus.OPEN)
    assert case.kind == "message_failed"

    house.case_desk.retry(case.id)  # the fault is mended

    assert house.on_hand(AT_WEST) == 40
    assert house.open_cases() == []


def file_of(count: int) -> str:
    return rows(*((f"S{n}", n % 50 + 1) for n in range(count)))


def writes_of_a_file() -> int:
    house = House(skus=[f"S{n}" for n in range(60)])
    house.stock.faults = faults = Interruption()
    house.ingester.ingest(drop(house, NAME, file_of(60)))
    return faults.writes


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("number", range(writes_of_a_file()))
def test_after_a_crash_at_any_write_the_sweep_reads_the_file_again(when: str, number: int) -> None:
    house = House(skus=[f"S{n}" for n in range(60)])
    dropped = drop(house, NAME, file_of(60))

    def crash(n: int, _actions: Sequence[Action]) -> None:
        if n == number:
            house.stock.faults = None
            raise Crash

    house.stock.faults = Interruption(**{when: crash})
    with pytest.raises(Crash):
        house.ingester.ingest(dropped)
    later(house)

    for n in range(60):
        assert house.on_hand(StockKey(Sku(f"S{n}"), WEST)) == n % 50 + 1
    assert list(house.inbox.pending_since(house.clock())) == []
    assert house.open_cases() == []
    house.assert_exact()


def test_a_file_that_is_still_being_read_is_left_alone_by_the_sweep() -> None:
    house = House()
    dropped = drop(house, NAME, rows(("TEA", 40)))
    house.archive.bodies.clear()
    with pytest.raises(OSError, match="NoSuchKey"):
        house.ingester.ingest(dropped)
    house.archive.put(dropped.key, rows(("TEA", 40)).encode())
    later(house, minutes=2)
    assert house.on_hand(AT_WEST) == 0
    later(house, minutes=15)
    assert house.on_hand(AT_WEST) == 40


def test_a_busy_table_is_said_so_and_reading_again_goes_on() -> None:
    house = House(skus=[f"S{n}" for n in range(200)])
    dropped = drop(house, NAME, file_of(200))

    def busy(n: int, _actions: Sequence[Action]) -> None:
        if n > 5:
            raise ThrottledError

    house.stock.faults = Interruption(before=busy)
    with pytest.raises(Exception, match="could not be posted"):
        house.ingester.ingest(dropped)
    house.stock.faults = None
    assert house.ingester.ingest(dropped) is MessageStatus.POSTED
    house.assert_exact()
    assert house.verifier.verify().stock_keys == 200


def test_a_file_with_more_faults_than_a_case_spells_out_says_how_many() -> None:
    house = House()
    text = rows(("TEA", 1), *((f"S{n}", "x") for n in range(3000)))
    house.ingester.ingest(drop(house, NAME, text))
    [case] = house.cases.list(CaseStatus.OPEN)
    assert case.facts["faults"] == 3000


def test_five_thousand_rows_take_a_few_writes_each(record_property: Callable[[str, object], None]) -> None:
    house = House(skus=[f"S{n}" for n in range(5000)])
    dropped = drop(house, NAME, file_of(5000))
    house.stock.faults = faults = Interruption()
    started = time.perf_counter()
    house.ingester.ingest(dropped)
    took = time.perf_counter() - started
    house.stock.faults = None
    record_property("rows_per_second", round(5000 / took))
    assert faults.writes <= 5000 / 10 + 60
    house.assert_exact()


def test_a_file_in_cases_counts_pieces_and_what_does_not_convert_posts_once_the_pack_is_declared() -> None:
    declared = network()
    files = declared.sources[SourceId("files")]
    by_case = replace(files, options={**files.options, "unit": "CS", "units": {"CS": "case"}})
    house = House(Network({**declared.sources, files.id: by_case}, declared.locations, declared.channels))
    declare(house, base_unit="each", packs={"case": Fraction(12)})

    house.ingester.ingest(drop(house, NAME, rows(("TEA", 40), ("MUG", 3))))
    assert house.on_hand(AT_WEST) == 480
    assert house.open_cases() == ["unit"]

    declare(house, "MUG", base_unit="each", packs={"case": Fraction(6)})
    later(house)
    assert house.on_hand(MUG_AT_WEST) == 18
    assert house.open_cases() == []
    house.assert_exact()


def by_date() -> House:
    """Return a house whose file source names its files by the date alone."""
    plain = network()
    rule = {"from": "file_name", "pattern": r"(?P<stamp>\d{8})", "format": "%Y%m%d", "time_zone": "UTC"}
    files = plain.sources[SourceId("files")]
    coarse = replace(files, options={**files.options, "as_of": rule}, coarsest_count=timedelta(hours=25))
    return House(replace(plain, sources={**plain.sources, files.id: coarse}))


def test_a_movement_of_the_day_leaves_a_dated_count_open_until_somebody_says_when_it_was_taken() -> None:
    house, key = by_date(), StockKey(TEA, WEST)
    house.post(movement("opening", -48 * 60, 50, key=key), movement("pick", -4 * 60, -5, key=key))

    house.ingester.ingest(drop(house, "stock_20261101.csv", rows(("TEA", 40))))

    (case,) = house.cases.list(CaseStatus.OPEN)
    assert case.kind is CaseKind.COUNT_SUSPENDED
    assert (case.facts["lowest"], case.facts["highest"]) == (35, 40)
    assert house.on_hand(key) == 45

    house.case_desk.approve_count(case.id, "ann", at=datetime(2026, 11, 1, 6, tzinfo=UTC))

    assert house.on_hand(key) == 35
    house.assert_exact()


def test_a_dated_count_of_a_day_without_movements_applies_at_once_and_a_corrected_file_replaces_it() -> None:
    house, key = by_date(), StockKey(TEA, WEST)
    house.post(movement("opening", -48 * 60, 50, key=key))

    house.ingester.ingest(drop(house, "stock_20261101.csv", rows(("TEA", 40))))
    house.clock.advance(hours=2)
    house.ingester.ingest(drop(house, "stock_20261101.csv", rows(("TEA", 44)), sequencer="02"))

    assert house.open_cases() == []
    assert house.on_hand(key) == 44
    house.assert_exact()


def dropped_twice(second: str) -> tuple[House, StockKey]:
    """Return a house where a file of today says 50, 7 are received, and the file is dropped again later that day."""
    house, key = by_date(), StockKey(TEA, WEST)
    house.ingester.ingest(drop(house, "stock_20261101.csv", rows(("TEA", 50))))
    house.clock.advance(hours=2)
    house.post(movement("receipt", (house.clock() - at(0)).total_seconds() / 60, 7, key=key))
    house.clock.advance(hours=2)
    house.ingester.ingest(drop(house, "stock_20261101.csv", second, sequencer="02"))
    return house, key


def test_a_dated_file_dropped_again_changes_nothing_whatever_moved_meanwhile() -> None:
    house, key = dropped_twice(rows(("TEA", 50)))

    assert house.on_hand(key) == house.available(key) == 57
    assert house.open_cases() == []
    house.assert_exact()


def test_a_dated_file_dropped_again_with_another_number_waits_while_the_first_stands() -> None:
    house, key = dropped_twice(rows(("TEA", 52)))

    assert (house.on_hand(key), house.available(key)) == (57, 52)
    (case,) = house.cases.list(CaseStatus.OPEN)
    assert (case.facts["lowest"], case.facts["highest"]) == (52, 59)
    house.assert_exact()

    house.case_desk.approve_count(case.id, "ann", at=house.clock())

    assert house.on_hand(key) == house.available(key) == 52
    house.assert_exact()


def test_rows_may_each_name_their_unit_and_post_in_base_units() -> None:
    plain = network()
    files = plain.sources[SourceId("files")]
    in_units = replace(files, options={**files.options, "unit_column": "uom"})
    house = House(replace(plain, sources={**plain.sources, files.id: in_units}))
    declare(house, base_unit="each", packs={"case": Fraction(12)})
    text = "sku,site,qty,uom\nTEA,west,2.5,case\nMUG,west,7,\n"

    house.ingester.ingest(drop(house, NAME, text))

    assert (house.on_hand(AT_WEST), house.on_hand(MUG_AT_WEST)) == (30, 7)
    assert house.open_cases() == []
    house.assert_exact()


def in_units() -> House:
    """A house whose files name the unit of each row."""
    plain = network()
    files = plain.sources[SourceId("files")]
    declared = replace(files, options={**files.options, "unit_column": "uom"})
    return House(replace(plain, sources={**plain.sources, files.id: declared}))


def test_rows_of_one_item_in_several_units_add_up_by_its_packs() -> None:
    house = in_units()
    declare(house, base_unit="each", packs={"case": Fraction(12)})

    house.ingester.ingest(
        drop(house, NAME, "sku,site,qty,uom\nTEA,west,24,each\nMUG,west,7,\nTEA,west,2,case\n")
    )

    assert (house.on_hand(AT_WEST), house.on_hand(MUG_AT_WEST)) == (48, 7)
    assert house.open_cases() == []
    house.assert_exact()


def test_rows_of_one_item_in_several_units_post_nothing_until_all_of_them_are_known() -> None:
    house = in_units()
    declare(house, base_unit="each", packs={"case": Fraction(12)})
    text = "sku,site,qty,uom\nTEA,west,24,each\nTEA,west,2,crate\nTEA,west,1,case\n"

    house.ingester.ingest(drop(house, NAME, text))

    [case] = house.cases.list(CaseStatus.OPEN)
    assert (case.kind, case.facts["field"], case.facts["unit"]) == (CaseKind.UNIT, "unit", "crate")
    assert "declare 'crate'" in case.remedy
    assert house.on_hand(AT_WEST) == 0

    declare(house, base_unit="each", packs={"case": Fraction(12), "crate": Fraction(48)})
    house.sweep.run()
    house.settle()

    assert house.on_hand(AT_WEST) == 24 + 96 + 12
    assert house.open_cases() == []


def test_a_row_in_a_unit_that_its_item_has_not_is_a_case_and_holds_up_no_other() -> None:
    plain = network()
    files = plain.sources[SourceId("files")]
    in_units = replace(files, options={**files.options, "unit_column": "uom"})
    house = House(replace(plain, sources={**plain.sources, files.id: in_units}))

    house.ingester.ingest(drop(house, NAME, "sku,site,qty,uom\nTEA,west,2,crate\nMUG,west,7,\n"))

    assert house.open_cases() == ["unit"]
    assert house.on_hand(MUG_AT_WEST) == 7

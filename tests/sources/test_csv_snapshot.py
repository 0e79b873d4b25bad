"""A dropped snapshot file: every row a count or a fault under its own number, and nothing mangled or swallowed."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, cast

import pytest

from shared.domain.events import Count, effect_hash
from shared.domain.messages import Message
from shared.domain.network import Source
from shared.domain.stock import MessageId, SourceId
from shared.domain.units import Measure
from shared.sources.contract import DroppedFile, Fault, Report
from shared.sources.registry import file_connector

WRITTEN = datetime(2026, 11, 21, 2, 15, tzinfo=UTC)
FILE = DroppedFile("stock.csv", WRITTEN, "0055AED6")
LONG = {
    "sku_column": "sku",
    "quantity_column": "qty",
    "location_column": "site",
    "as_of": {"from": "written_at"},
}
WIDE = {
    "sku_column": "Artikel",
    "location_columns": {"Lager Nord": "NORD", "Sperrlager": "SPERR"},
    "as_of": {"from": "written_at"},
    "delimiter": ";",
    "decimal": ",",
}


def read(
    content: str | bytes, options: dict[str, Any] | None = None, file: DroppedFile = FILE, **more: Any
) -> list[Report | Fault]:
    source = Source(SourceId("wms"), "csv_snapshot", options={**(options or LONG), **more})
    raw = content.encode() if isinstance(content, str) else content
    message = Message(MessageId("m-1"), source.id, b"", WRITTEN, {})
    return list(file_connector("csv_snapshot").read(io.BytesIO(raw), file, message, source))


def counts(answers: list[Report | Fault]) -> list[Count]:
    assert not [answer for answer in answers if isinstance(answer, Fault)], answers
    events = [answer.event for answer in answers if isinstance(answer, Report)]
    return [event for event in events if isinstance(event, Count)]


def stock(answers: list[Report | Fault]) -> dict[tuple[str, str], int]:
    return {(count.sku, count.location): count.quantity for count in counts(answers)}


def only_fault(answers: list[Report | Fault]) -> Fault:
    (fault,) = answers
    assert isinstance(fault, Fault), fault
    assert fault.reason
    assert fault.remedy
    return fault


def faulty_rows(answers: list[Report | Fault]) -> list[int | None]:
    return [answer.row for answer in answers if isinstance(answer, Fault)]


def read_skus(answers: list[Report | Fault]) -> list[str]:
    return [answer.event.sku for answer in answers if isinstance(answer, Report)]


class TestLayouts:
    def test_long_form_takes_each_row_s_own_location(self) -> None:
        answers = read("sku,qty,site\nA,1,X\nA,2,Y\n")
        assert stock(answers) == {("A", "X"): 1, ("A", "Y"): 2}
        assert [answer.row for answer in answers] == [2, 3]

    def test_long_form_may_have_one_fixed_location(self) -> None:
        options = {**LONG, "location_column": None, "location": "HALL"}
        assert stock(read("sku,qty\nA,1\n", options)) == {("A", "HALL"): 1}

    def test_wide_form_has_one_column_for_each_location(self) -> None:
        answers = read("Artikel;Text;Lager Nord;Sperrlager\n21-4092;Tee;8,00;0\n", WIDE)
        assert stock(answers) == {("21-4092", "NORD"): 8, ("21-4092", "SPERR"): 0}

    def test_a_bad_cell_of_a_wide_row_costs_that_cell_alone(self) -> None:
        answers = read("Artikel;Lager Nord;Sperrlager\nA;39,5;2\n", WIDE)
        assert [type(answer) for answer in answers] == [Fault, Report]
        assert isinstance(answers[0], Fault)
        assert (answers[0].field, answers[0].row) == ("Lager Nord", 2)
        assert "base unit" in answers[0].remedy

    def test_headers_may_be_padded_quoted_and_followed_by_columns_nobody_asked_for(self) -> None:
        answers = read('note , "sku" ,sku , qty  ,site,"more, still"\nn,z,A,1,X,m\n')
        assert stock(answers) == {("A", "X"): 1}

    @pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
    def test_any_line_ending_will_do(self, newline: str) -> None:
        text = newline.join(["sku,qty,site", "A,1,X", "", "B,2,X"])
        assert stock(read(text)) == {("A", "X"): 1, ("B", "X"): 2}

    @pytest.mark.parametrize(
        "encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1", "cp1252", "utf-16-le", "cp850"]
    )
    def test_the_declared_encoding_is_read(self, encoding: str) -> None:
        content = "sku,qty,site\nGRÜN-1,1,Köln\n".encode(encoding)
        assert stock(read(content, encoding=encoding)) == {("GRÜN-1", "Köln"): 1}

    @pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
    def test_the_delimiter_is_proven_by_the_header(self, delimiter: str) -> None:
        text = "sku,qty,site\nA,1,X\n".replace(",", delimiter)
        assert stock(read(text, delimiter="auto")) == {("A", "X"): 1}

    def test_a_delimiter_that_the_header_does_not_prove_is_not_guessed(self) -> None:
        fault = only_fault(read("sku~qty~site\nA~1~X\n", delimiter="auto"))
        assert (fault.field, fault.row) == ("header", None)

    def test_a_row_may_end_in_empty_cells_that_have_no_header(self) -> None:
        assert stock(read("sku,qty,site\nA,1,X,,\n")) == {("A", "X"): 1}

    def test_a_quoted_cell_may_hold_delimiters_quotes_and_line_breaks(self) -> None:
        text = 'sku,qty,site,note\n"A,""1""",1,X,"two\nlines"\nB,2,X,-\n'
        assert stock(read(text)) == {('A,"1"', "X"): 1, ("B", "X"): 2}

    def test_identifiers_are_never_mangled(self) -> None:
        skus = [
            "00123",
            "1E3",
            "NA",
            "true",
            "21-4092",
            "0x1F",
            "12345678901234567890",
            "1_000",
            "null",
            "=1+1",
        ]
        text = "sku,qty,site\n" + "".join(f"{sku},1,007\n" for sku in skus)
        answers = read(text)
        assert [count.sku for count in counts(answers)] == skus
        assert {count.location for count in counts(answers)} == {"007"}

    def test_a_stream_that_hands_over_a_byte_at_a_time_is_read_alike(self) -> None:
        class Drip(io.BytesIO):
            def read(self, size: int | None = -1, /) -> bytes:
                return super().read(min(size or 1, 1))

        raw = "sku,qty,site\r\nGRÜN,1,X\r\n".encode("utf-16")
        source = Source(SourceId("wms"), "csv_snapshot", options={**LONG, "encoding": "utf-16"})
        message = Message(MessageId("m-1"), source.id, b"", WRITTEN, {})
        answers = list(file_connector("csv_snapshot").read(Drip(raw), FILE, message, source))
        assert stock(answers) == {("GRÜN", "X"): 1}

    def test_a_large_file_is_read_to_its_last_row_across_every_chunk(self) -> None:
        rows = 40_000
        text = "sku,qty,site\r\n" + "".join(
            f'S{n},{n},"X"\r\n' if n % 7 else f"S{n},{n},X\r\n" for n in range(rows)
        )
        assert [count.quantity for count in counts(read(text))] == list(range(rows))


class TestQuantities:
    @pytest.mark.parametrize(
        ("written", "style", "quantity"),
        [
            ("8", {}, 8),
            ("008", {}, 8),
            ("+8", {}, 8),
            ("8.00", {}, 8),
            ("-0", {}, 0),
            ("8,00", {"decimal": ","}, 8),
            ("1.234,00", {"decimal": ",", "thousands": "."}, 1234),
            ("1,234", {"thousands": ","}, 1234),
            ("1 234", {"thousands": " "}, 1234),
            ("1\u00a0234", {"thousands": " "}, 1234),
            ("1'234", {"thousands": "'"}, 1234),
        ],
    )
    def test_a_whole_number_in_the_declared_style_is_read(
        self, written: str, style: dict[str, Any], quantity: int
    ) -> None:
        answers = read(f"sku;qty;site\nA;{written};X\n", delimiter=";", **style)
        assert stock(answers) == {("A", "X"): quantity}

    @pytest.mark.parametrize(
        ("written", "style"),
        [
            ("8,00", {}),
            ("8.00", {"decimal": ","}),
            ("8.00", {"decimal": ",", "thousands": "."}),
            ("1,234", {}),
            ("1,234", {"decimal": ","}),
            ("12,34", {"thousands": ","}),
            ("39.5", {}),
            ("1_000", {}),
            ("1E3", {}),
            ("0x1F", {}),
            ("８", {}),
            ("²", {}),
            ("٣", {}),
            ("inf", {}),
            ("8 pcs", {}),
            ("--8", {}),
            ("(-8)", {}),
            ("9" * 13, {}),
            ("9" * 5000, {}),
        ],
    )
    def test_whatever_else_is_refused_with_column_row_and_remedy(
        self, written: str, style: dict[str, Any]
    ) -> None:
        fault = only_fault(read(f"sku;qty;site\nA;{written};X\n", delimiter=";", **style))
        assert (fault.code, fault.field, fault.row) == ("invalid_field", "qty", 2)

    @pytest.mark.parametrize("written", ["-5", "(5)", "( 5 )", "-5.00"])
    def test_a_negative_count_is_refused_as_negative(self, written: str) -> None:
        fault = only_fault(read(f"sku,qty,site\nA,{written},X\n"))
        assert "negative" in fault.reason

    def test_an_unquoted_decimal_comma_under_a_comma_is_a_fault_and_not_another_column(self) -> None:
        fault = only_fault(read("sku,qty,site\nA,39,5,X\n"))
        assert "4 cells where the header has 3" in fault.reason

    def test_a_blank_quantity_is_a_fault_unless_declared_to_be_skipped(self) -> None:
        assert only_fault(read("sku,qty,site\nA, ,X\n")).code == "missing_field"
        assert read("sku,qty,site\nA, ,X\n", skip_blank_quantity=True) == []


class TestFaultyRows:
    def test_an_unclosed_quote_costs_its_own_row_and_nothing_after_it(self) -> None:
        rows = ["sku,qty,site"] + [f"S{n},1,X" for n in range(2, 1002)]
        rows[500] = 'S501,"1,X'
        answers = read("\n".join(rows) + "\n")
        assert faulty_rows(answers) == [501]
        assert len(answers) == 1000

    @pytest.mark.parametrize("follower", ["B,2,X", '"B",2,X', 'B,"2",X', 'B,2,"X"', 'B,2,"X"""', 'B,2,X"'])
    def test_a_quote_in_the_next_row_does_not_close_it(self, follower: str) -> None:
        answers = read(f'sku,qty,site\nA,1,"X\n{follower}\nC,3,X\n')
        assert faulty_rows(answers) == [2]
        assert read_skus(answers) == ["B", "C"]

    def test_an_unclosed_quote_in_the_last_row_is_reported(self) -> None:
        assert faulty_rows(read('sku,qty,site\nA,1,X\nB,1,"X')) == [3]

    def test_text_after_a_closing_quote_is_a_fault(self) -> None:
        answers = read('sku,qty,site\n"A"B,1,X\nC,1,X\n')
        assert faulty_rows(answers) == [2]
        assert read_skus(answers) == ["C"]

    def test_a_short_row_is_a_fault(self) -> None:
        assert faulty_rows(read("sku,qty,site\nA,1\nB,1,X\n")) == [2]

    def test_blank_rows_count_as_rows_and_say_nothing(self) -> None:
        answers = read("sku,qty,site\n\n,,\n   \nA,x,X\n")
        assert faulty_rows(answers) == [5]

    def test_a_row_without_a_sku_is_a_fault_unless_declared_to_be_skipped(self) -> None:
        text = "sku,qty,site\nA,1,X\n,1,total\n"
        assert faulty_rows(read(text)) == [3]
        assert stock(read(text, skip_blank_sku=True)) == {("A", "X"): 1}

    def test_a_declared_footer_is_skipped_whatever_its_shape(self) -> None:
        text = "sku,qty,site\nA,1,X\nTotal: 1 row\n"
        assert faulty_rows(read(text)) == [3]
        assert stock(read(text, footer_pattern="^Total")) == {("A", "X"): 1}

    def test_the_same_again_is_read_once_and_a_contradiction_is_a_fault(self) -> None:
        answers = read("sku,qty,site\nA,1,X\nA,1,X\nA,1,Y\nA,2,X\n")
        assert [answer.row for answer in answers] == [2, 4, 5]
        fault = answers[2]
        assert isinstance(fault, Fault)
        assert "duplicate row" in fault.reason
        assert "row 2" in fault.reason

    def test_a_row_that_was_refused_does_not_stand_in_the_way_of_a_right_one(self) -> None:
        answers = read("sku,qty,site\nA,x,X\nA,2,X\n")
        assert faulty_rows(answers) == [2]
        assert read_skus(answers) == ["A"]

    def test_bytes_that_do_not_decode_are_refused_where_they_matter_only(self) -> None:
        answers = read(b"sku,qty,site,note\nA\xff,1,X,-\nB,1,X,\xff\n")
        assert faulty_rows(answers) == [2]
        assert read_skus(answers) == ["B"]

    def test_a_nul_in_an_identifier_is_a_fault(self) -> None:
        text = "sku,qty,site\n" + "".join(f"S{n},1,X\n" for n in range(1000)) + "A\0,1,X\n"
        assert faulty_rows(read(text)) == [1002]

    def test_a_line_without_end_is_given_up_and_said(self) -> None:
        answers = read("sku,qty,site\nA,1,X\n" + "x" * 3_000_000)
        assert faulty_rows(answers) == [3]
        assert read_skus(answers) == ["A"]


class TestNotACsv:
    @pytest.mark.parametrize(
        ("content", "told"),
        [
            (b"", "empty"),
            (b" \r\n\n", "empty"),
            (b"PK\x03\x04rest", "xlsx"),
            (b"\xd0\xcf\x11\xe0\xa1\xb1", "xls"),
            (b"%PDF-1.7", "PDF"),
            (b"\x1f\x8b\x08", "gzip"),
            (b"<html><body>503</body></html>", "HTML"),
            (b'{"sku": "A"}', "JSON"),
            (b"sku,qty\0,site", "NUL"),
            ("sku,qty,site\nA,1,X\n".encode("utf-16"), "UTF-16"),
            (bytes(range(1, 256)), "lacks"),
        ],
    )
    def test_it_is_one_fault_that_says_what_was_found(self, content: bytes, told: str) -> None:
        fault = only_fault(read(content))
        assert fault.row is None
        assert told in fault.reason

    def test_missing_headers_are_named_beside_those_that_are_there(self) -> None:
        fault = only_fault(read("SKU,qty,place\nA,1,X\n"))
        assert fault.reason == "lacks 'sku', 'site'; it has 'SKU', 'qty', 'place' with delimiter ','"

    def test_a_declared_header_that_is_there_twice_is_refused(self) -> None:
        assert "twice" in only_fault(read("sku,qty,qty,site\nA,1,2,X\n")).reason

    def test_utf_16_without_its_mark_is_told_apart(self) -> None:
        fault = only_fault(read("sku,qty,site\n".encode("utf-16-le"), encoding="utf-16"))
        assert "utf-16-le" in fault.remedy

    def test_utf_8_declared_as_something_else_is_told(self) -> None:
        fault = only_fault(read("sku,qty,site\n".encode("utf-8-sig"), encoding="latin-1"))
        assert fault.remedy == "declare encoding: utf-8-sig"


class TestAsOf:
    def count(
        self, rule: dict[str, Any], name: str = "stock.csv", at: str = "21.11.2026 06:30", **file: datetime
    ) -> Count:
        written = file.get("written", WRITTEN)
        (count,) = counts(
            read(f"sku,qty,site,at\nA,1,X,{at}\n", file=DroppedFile(name, written, "1"), as_of=rule)
        )
        return count

    def as_of(self, rule: dict[str, Any], name: str = "stock.csv") -> datetime:
        count = self.count(rule, name)
        assert count.since is None
        return count.as_of

    def test_it_may_be_when_the_file_was_written(self) -> None:
        assert self.as_of({"from": "written_at"}) == WRITTEN

    def test_it_may_stand_in_the_file_s_name_as_named_groups(self) -> None:
        rule = {
            "from": "file_name",
            "pattern": r"_(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)T(?P<hour>\d\d)(?P<minute>\d\d)",
            "time_zone": "Europe/Berlin",
        }
        assert self.as_of(rule, "in/stock_20261121T0630.csv") == datetime(2026, 11, 21, 5, 30, tzinfo=UTC)

    def test_it_may_stand_in_the_file_s_name_in_a_format(self) -> None:
        rule = {
            "from": "file_name",
            "pattern": r"_(?P<stamp>[\d.]+)\.csv",
            "format": "%d.%m.%Y",
            "time_zone": "Europe/Berlin",
        }
        assert self.as_of({**rule, "time_of_day": "23:30"}, "stock_21.11.2026.csv") == datetime(
            2026, 11, 21, 22, 30, tzinfo=UTC
        )

    BY_DATE: ClassVar = {
        "from": "file_name",
        "pattern": r"_(?P<stamp>[\d.]+)\.csv",
        "format": "%d.%m.%Y",
        "time_zone": "Europe/Berlin",
    }

    def test_a_date_alone_leaves_the_whole_day_open(self) -> None:
        written = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)

        count = self.count(self.BY_DATE, "stock_21.11.2026.csv", written=written)

        assert count.since == datetime(2026, 11, 20, 23, 0, tzinfo=UTC)
        assert count.as_of == datetime(2026, 11, 21, 22, 59, 59, 999999, tzinfo=UTC)

    def test_no_count_was_taken_after_its_file_was_written(self) -> None:
        count = self.count(self.BY_DATE, "stock_21.11.2026.csv")

        assert (count.since, count.as_of) == (datetime(2026, 11, 20, 23, 0, tzinfo=UTC), WRITTEN)

    def test_a_file_written_before_the_day_it_names_speaks_of_that_day_s_beginning(self) -> None:
        count = self.count(self.BY_DATE, "stock_25.11.2026.csv")

        assert count.since == count.as_of == datetime(2026, 11, 24, 23, 0, tzinfo=UTC)

    @pytest.mark.parametrize(
        ("rule", "at"),
        [
            ({"from": "column", "column": "at", "time_zone": "UTC"}, "2026-11-20"),
            ({"from": "column", "column": "at", "format": "%d.%m.%Y", "time_zone": "UTC"}, "20.11.2026"),
        ],
    )
    def test_a_date_in_a_row_leaves_the_whole_day_open_too(self, rule: dict[str, Any], at: str) -> None:
        count = self.count(rule, at=at)

        assert count.since == datetime(2026, 11, 20, tzinfo=UTC)
        assert count.as_of == datetime(2026, 11, 20, 23, 59, 59, 999999, tzinfo=UTC)

    def test_a_corrected_file_of_the_same_day_is_a_newer_version_of_the_same_document(self) -> None:
        first = self.count(self.BY_DATE, "stock_21.11.2026.csv")
        later = WRITTEN + timedelta(hours=2)
        again = self.count(self.BY_DATE, "stock_21.11.2026.csv", written=later)

        assert first.document == again.document != ""
        assert first.version < again.version
        assert first.key != again.key
        assert effect_hash(first) == effect_hash(again)  # the same number of the same day

    def test_it_may_stand_in_each_row(self) -> None:
        rule = {"from": "column", "column": "at", "format": "%d.%m.%Y %H:%M", "time_zone": "Europe/Berlin"}
        assert self.as_of(rule) == datetime(2026, 11, 21, 5, 30, tzinfo=UTC)

    def test_a_bad_time_in_a_row_costs_that_row(self) -> None:
        rule = {"from": "column", "column": "at"}
        answers = read(
            "sku,qty,site,at\nA,1,X,soon\nB,1,X,2026-11-21T06:30:00\nC,1,X,2026-11-21T06:30:00Z\n", as_of=rule
        )
        assert faulty_rows(answers) == [2, 3]
        assert read_skus(answers) == ["C"]

    @pytest.mark.parametrize("name", ["stock.csv", "stock_20261345.csv"])
    def test_a_name_that_does_not_say_it_is_a_fault_of_the_file(self, name: str) -> None:
        rule = {
            "from": "file_name",
            "pattern": r"_(?P<year>\d{4})(?P<month>\d\d)(?P<day>\d\d)",
            "time_zone": "UTC",
        }
        fault = only_fault(read("sku,qty,site\n", file=DroppedFile(name, WRITTEN, "1"), as_of=rule))
        assert fault.field == "file.name"

    def test_a_name_that_does_not_match_is_told_with_the_pattern_as_it_was_declared(self) -> None:
        rule = {"from": "file_name", "pattern": r"_(?P<stamp>\d{8})", "format": "%Y%m%d", "time_zone": "UTC"}
        fault = only_fault(read("sku,qty,site\n", file=DroppedFile("stock.csv", WRITTEN, "1"), as_of=rule))
        assert fault.reason == r"'stock.csv' does not match the declared pattern _(?P<stamp>\d{8})"

    @pytest.mark.parametrize("local", ["2026-10-25T02:30:00", "2026-03-29T02:30:00"])
    def test_a_local_time_that_the_clocks_show_twice_or_never_is_not_guessed(self, local: str) -> None:
        rule = {"from": "column", "column": "at", "time_zone": "Europe/Berlin"}
        fault = only_fault(read(f"sku,qty,site,at\nA,1,X,{local}\n", as_of=rule))
        assert "twice or never" in fault.reason


class TestUnits:
    TEXT: ClassVar = "sku,qty,site,uom\nA,2.5,X,case\nB,7,X,\nC,3,X,each\n"

    def read(self, text: str, **options: Any) -> list[Report | Fault]:
        return list(read(text, unit_column="uom", **options))

    def test_each_row_names_the_unit_of_its_quantity(self) -> None:
        found = [answer for answer in self.read(self.TEXT) if isinstance(answer, Report)]

        assert [answer.measure for answer in found] == [Measure("case", 1), None, Measure("each", 0)]
        assert [answer.event.quantity for answer in found if isinstance(answer.event, Count)] == [25, 7, 3]

    def test_what_names_no_unit_is_whole(self) -> None:
        assert faulty_rows(self.read("sku,qty,site,uom\nA,2.5,X,\nB,2.5,X,case\n")) == [2]

    def test_the_decimal_mark_is_the_declared_one(self) -> None:
        (report,) = self.read('sku,qty,site,uom\nA,"1.234,50",X,kg\n', decimal=",", thousands=".")
        assert isinstance(report, Report)
        assert (report.measure, cast(Count, report.event).quantity) == (Measure("kg", 1), 12345)

    def test_rows_of_one_item_in_several_units_are_one_count_of_all_of_them(self) -> None:
        answers = self.read("sku,qty,site,uom\nA,24,X,each\nB,1,X,each\nA,2.5,X,case\nA,7,Y,each\n")

        reports = [answer for answer in answers if isinstance(answer, Report)]
        said = [
            (report.event.sku, report.row, cast(Count, report.event).quantity, report.measure, report.further)
            for report in reports
        ]
        assert said == [
            ("B", 3, 1, Measure("each"), ()),
            ("A", 4, 24, Measure("each"), ((25, Measure("case", 1)),)),
            ("A", 5, 7, Measure("each"), ()),
        ]
        assert len(reports) == len(answers)

    def test_a_repeated_row_in_a_unit_is_read_once_and_another_number_in_it_is_a_fault(self) -> None:
        text = "sku,qty,site,uom\nA,5,X,case\nA,5,X,case\nA,5,X,each\nA,6,X,CS\nA,5,X,each\n"
        answers = self.read(text, units={"CS": "case"})
        assert faulty_rows(answers) == [5]
        (report,) = [answer for answer in answers if isinstance(answer, Report)]
        assert (report.row, report.further) == (6, ((5, Measure("each")),))

    def test_rows_of_one_item_of_which_one_cannot_be_read_are_no_count(self) -> None:
        answers = self.read("sku,qty,site,uom\nA,24,X,each\nA,two,X,case\nA,1,X,pallet\nB,7,X,each\n")
        assert faulty_rows(answers) == [3, 4]
        assert read_skus(answers) == ["B"]
        fault = [answer for answer in answers if isinstance(answer, Fault)][-1]
        assert fault.field == "sku"
        assert "one of the rows of A cannot be read" in fault.reason

    def test_a_count_in_several_units_is_another_statement_than_one_of_its_parts(self) -> None:
        (both,) = self.read("sku,qty,site,uom\nA,24,X,each\nA,2,X,case\n")
        (one,) = self.read("sku,qty,site,uom\nA,24,X,each\n")
        assert isinstance(both, Report)
        assert isinstance(one, Report)
        assert both.event.key == one.event.key
        assert both.effect != one.effect

    def test_a_file_without_the_declared_column_says_so(self) -> None:
        assert only_fault(self.read("sku,qty,site\nA,5,X\n")).field == "header"


class TestIdentity:
    RULE: ClassVar = {
        "from": "file_name",
        "pattern": r"(?P<year>\d{4})-(?P<month>\d\d)-(?P<day>\d\d)",
        "time_zone": "UTC",
    }

    def drop(self, quantity: int, minute: int, sequencer: str) -> Count:
        file = DroppedFile("stock-2026-11-21.csv", WRITTEN.replace(minute=minute), sequencer)
        (count,) = counts(read(f"sku,qty,site\nA/1,{quantity},X\n", file=file, as_of=self.RULE))
        return count

    def test_one_drop_announced_twice_is_the_same_event(self) -> None:
        assert self.drop(5, 0, "A1") == self.drop(5, 0, "A1")
        assert self.drop(5, 0, "A1").key == (
            "wms/snapshot/2026-11-21T00:00:00.000000Z/A%2F1/X/on_hand/2026-11-21T02:00:00.000000Z.A1"
        )

    def test_the_same_content_again_is_the_same_fact_at_a_newer_version(self) -> None:
        first, again = self.drop(5, 0, "A1"), self.drop(5, 30, "A2")
        assert effect_hash(first) == effect_hash(again)
        assert first.version < again.version

    def test_a_file_corrected_and_corrected_back_leaves_the_newest_standing(self) -> None:
        drops = [self.drop(5, 0, "A1"), self.drop(6, 30, "A2"), self.drop(5, 59, "A3")]
        assert len({drop.key for drop in drops}) == 3
        assert max(drops, key=lambda drop: (drop.as_of, drop.version, drop.key)).quantity == 5


class TestDeclaration:
    @pytest.mark.parametrize(
        ("options", "field"),
        [
            ({}, "source.options.sku_column"),
            ({**LONG, "as_of": None}, "source.options.as_of"),
            ({**LONG, "location": "X"}, "source.options"),
            ({**LONG, "location_column": None}, "source.options"),
            ({**LONG, "location_columns": {"qty": "X"}}, "source.options"),
            ({**LONG, "quantity_column": None}, "source.options"),
            ({**LONG, "thousands": "."}, "source.options"),
            ({**LONG, "encoding": "hex"}, "source.options.encoding"),
            ({**LONG, "delimiter": "ab"}, "source.options.delimiter"),
            ({**LONG, "footer_pattern": "("}, "source.options.footer_pattern"),
            ({**LONG, "as_of": {"from": "column"}}, "source.options.as_of"),
            ({**LONG, "as_of": {"from": "file_name"}}, "source.options.as_of"),
            ({**LONG, "as_of": {"from": "file_name", "pattern": "x"}}, "source.options.as_of"),
            ({**LONG, "as_of": {"from": "written_at", "time_zone": "Mars/Base"}}, "source.options.as_of"),
        ],
    )
    def test_a_wrong_declaration_is_a_fault_that_names_the_option(
        self, options: dict[str, Any], field: str
    ) -> None:
        faults = read("sku,qty,site\nA,1,X\n", options or {"x": 1})
        assert all(isinstance(fault, Fault) for fault in faults)
        assert field in [fault.field for fault in faults if isinstance(fault, Fault)]

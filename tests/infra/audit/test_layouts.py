"""Layouts that are proven, those that have to be asked, and codes that come through as they were written."""

from __future__ import annotations

from pathlib import Path
from zipfile import ZipFile

import pytest

from infra.audit.findings import Report
from infra.audit.first_look import UnprovenError
from infra.audit.opening import Question
from infra.audit.tables import AuditError
from tests.infra.audit.look import look
from tests.infra.audit.workbooks import DATE, FIVE_ZEROS, Shown, workbook

CODES = [
    "00123",
    "1E3",
    "NA",
    "0x1F",
    "1_000",
    "true",
    "21-4092",
    "12345678901234567890",
    "-5",
    "null",
    "Ü-9",
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def file(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def plain(folder: Path, codes: list[str] | None = None, name: str = "wms.csv") -> Path:
    """An export whose n-th code has n units."""
    rows = "".join(f"{code},{number}\n" for number, code in enumerate(codes or CODES, 1))
    return file(folder, name, f"sku,qty\n{rows}")


def quantities(report: Report, system: int = 1) -> dict[str, object]:
    return {shown.sku: shown.values[system] for shown in report.worst}


def asked(*paths: Path) -> list[Question]:
    with pytest.raises(UnprovenError) as raised:
        look(paths)
    return list(raised.value.questions)


@pytest.mark.parametrize(
    ("encoding", "delimiter", "quoted", "end"),
    [
        ("utf-8", ",", False, "\n"),
        ("utf-8-sig", ";", False, "\r\n"),
        ("utf-8", "\t", True, "\n"),
        ("utf-16", "|", False, "\r\n"),
        ("utf-16-le", ",", True, "\r"),
    ],
)
def test_no_code_is_changed_by_any_way_to_write_it(
    folder: Path, encoding: str, delimiter: str, quoted: bool, end: str
) -> None:
    rows = [("Item no.", "Note", "On Hand"), *((code, "x", str(n)) for n, code in enumerate(CODES, 1))]
    lines = [delimiter.join(f'"{cell}"' if quoted else cell for cell in row) for row in rows]
    other = file(folder, "erp.txt", end.join(lines).encode(encoding))

    report = look([plain(folder), other])

    assert (report.rate, report.keys) == ("100.00 %", len(CODES))


def test_lines_above_the_header_totals_and_rows_without_a_code_are_no_stock(folder: Path) -> None:
    content = "Stock report;;\nSite: Leeds;;\n\nArtikelnummer;Bezeichnung;Bestand\nA-1;Tee;5\n;Kanne;4\nA-2;Sieb;\nGesamt;;9\n"
    report = look([plain(folder, ["A-1"]), file(folder, "erp.csv", content)])

    read = report.files[1]
    assert "header in row 4, after 3 rows that are no table" in read.taken
    assert read.rows == 1
    assert read.aside == (
        "1 row set aside: no SKU (row 6: ' | 4')",
        "1 row set aside: a total (row 8: 'Gesamt | 9')",
        "1 row set aside: no quantity, which is not zero (row 7: 'A-2')",
    )


@pytest.mark.parametrize(
    ("above", "said"),
    [
        ("", "header in row 1"),
        ("Stock report\n", "header in row 2, after 1 row that is no table"),
        ("Stock report\n\n", "header in row 3, after 2 rows that are no table"),
    ],
)
def test_every_row_above_the_header_is_counted_an_empty_one_too(folder: Path, above: str, said: str) -> None:
    report = look([plain(folder, ["A-1"]), file(folder, "erp.csv", f"{above}sku,qty\nA-1,1\n")])
    assert said in report.files[1].taken


def test_a_quote_that_is_never_closed_costs_its_own_row(folder: Path) -> None:
    rows = "".join(f'S-{n},"fine ""thing""",{n}\n' for n in range(1, 50))
    content = f'sku,title,qty\n{rows}S-50,"3 inch,50\nS-51,plain,51\n'

    report = look([plain(folder, [f"S-{n}" for n in range(1, 52)]), file(folder, "erp.csv", content)])

    assert report.equal == 50
    assert report.files[1].aside == (
        "1 row set aside: a quote is opened and not closed in this row (row 51)",
    )


@pytest.mark.parametrize(
    ("cells", "decimal", "proof"),
    [
        (("1.234,5", "2"), ",", "1.234,5"),
        (("1,234", "12.5"), ".", "12.5"),
        (("8,00", "1.234"), ",", "8,00"),
        (("1,234,567", "8"), ".", "1,234,567"),
        (("0,500", "1,500"), ",", "0,500"),
    ],
)
def test_one_number_decides_how_all_are_read(
    folder: Path, cells: tuple[str, str], decimal: str, proof: str
) -> None:
    content = f"sku\tqty\nA\t{cells[0]}\nB\t{cells[1]}\n"

    report = look([plain(folder, ["X"]), file(folder, "erp.csv", content)])

    assert f"decimal mark {decimal!r} ({proof!r} can be read in no other way)" in report.files[1].taken


def test_numbers_that_can_be_read_both_ways_are_asked(folder: Path) -> None:
    erp = file(folder, "erp.csv", "sku\tqty\nA\t1,234\nB\t5\n")
    wms = plain(folder, ["X"])

    questions = asked(wms, erp)
    points, commas = (
        quantities(look([wms, erp], answers={"decimal": answer})) for answer in ("point", "comma")
    )

    assert [(q.file, q.setting) for q in questions] == [("erp.csv", "decimal")]
    assert (points["A"], str(commas["A"])) == (1234, "1.234")


def test_a_quantity_that_is_no_number_is_set_aside_and_not_zero(folder: Path) -> None:
    good = "".join(f"G-{n},{n}\n" for n in range(1, 20))
    erp = file(folder, "erp.csv", f"sku,qty\nA,1E3\nB,n/a\nC,5-\nD,(7)\nJ,1_000\n{good}")

    report = look([plain(folder, ["X"]), erp])

    assert {"C": -5, "D": -7, "G-19": 19}.items() <= quantities(report).items()
    assert not {"A", "B", "J"} & quantities(report).keys()
    assert report.files[1].aside == (
        (
            "3 rows set aside: the quantity is no number in the file's style "
            "(row 2: 'A: 1E3'; row 3: 'B: n/a'; row 6: 'J: 1_000')"
        ),
    )


@pytest.mark.parametrize(
    ("cell", "why"),
    [
        ("12 pcs", "what it holds is no number, as '12 pcs'"),
        ("5 %", "what it holds is no number, as '5 %'"),
        ("NaN", "what it holds is no number, as 'NaN'"),
        ("", "it is empty in the first 9 rows"),
    ],
)
def test_a_quantity_without_numbers_is_refused_and_no_other_column_proposed(
    folder: Path, cell: str, why: str
) -> None:
    erp = file(folder, "erp.csv", "sku,qty\n" + "".join(f"A{n},{cell}\n" for n in range(9)))

    with pytest.raises(AuditError) as raised:
        look([plain(folder), erp])

    assert str(raised.value) == f"erp.csv: column 'qty' is the quantity by its heading, but {why}"
    assert "plain numbers" in raised.value.remedy


def test_another_column_with_numbers_is_asked_where_the_quantity_holds_none(folder: Path) -> None:
    erp = file(folder, "erp.csv", "sku,qty,boxes\n" + "".join(f"A{n},{n} pcs,{n}\n" for n in range(9)))

    [question] = asked(plain(folder), erp)

    assert question.options == ("boxes",)
    assert question.reason == "'qty' would be the quantity, but what it holds is no number, as '0 pcs'"


def test_columns_that_share_a_heading_are_proposed_by_their_number(folder: Path) -> None:
    erp = file(folder, "erp.csv", "sku,qty,Qty\n" + "".join(f"A{n},{n},0\n" for n in range(9)))

    [question] = asked(plain(folder), erp)

    assert (question.setting, question.options) == ("quantity-column", ("#2", "#3"))
    report = look([plain(folder), erp], declared={"erp.csv": {"quantity-column": question.options[0]}})
    assert quantities(report)["A8"] == 8


@pytest.mark.parametrize(
    ("header", "setting", "options"),
    [
        ("code a,code b,qty", "sku-column", ("code a", "code b", "qty")),
        ("item code,part no,qty", "sku-column", ("item code", "part no")),
        ("sku,blue,green", "quantity-column", ("blue", "green")),
        ("sku,qty,stock", "quantity-column", ("qty", "stock")),
        ("sku,qty,available", "quantity-column", ("qty", "available")),
    ],
)
def test_columns_that_nothing_proves_are_asked(
    folder: Path, header: str, setting: str, options: tuple[str, ...]
) -> None:
    erp = file(folder, "erp.csv", f"{header}\n1,2,3\n4,5,6\n")

    (question,) = asked(plain(folder), erp)

    assert (question.setting, question.options) == (setting, options)


def test_the_quantity_of_which_another_is_the_rest_is_what_lies_there(folder: Path) -> None:
    erp = file(folder, "erp.csv", "sku,qty,allocated,available\nA,9,2,7\nB,5,0,5\nC,8,8,0\n")

    report = look([plain(folder), erp])

    assert "quantity is 'qty' ('qty' less 'allocated' is 'available' in 3 of 3 rows)" in report.files[1].taken


def test_a_file_without_a_header_has_numbered_columns_that_must_be_declared(folder: Path) -> None:
    erp = file(folder, "erp.csv", "A,5\nB,6\n")
    wms = plain(folder, ["A", "B"])
    declared = {"erp.csv": {"sku-column": "#1", "quantity-column": "#2"}}

    assert [question.setting for question in asked(wms, erp)] == ["sku-column"]
    assert quantities(look([wms, erp], declared=declared)) == {"A": 5, "B": 6}


def test_a_wide_file_is_known_by_the_places_of_another(folder: Path) -> None:
    long = file(folder, "wms.csv", "sku,site,qty\nA,Leeds,5\nA,York,2\nB,Leeds,1\nB,York,0\n")
    wide = file(folder, "erp.csv", "sku,name,LEEDS,York\nA,x,5,2\nB,y,1,0\n")

    report = look([long, wide])

    assert (report.rate, report.keys, report.grain) == ("100.00 %", 4, "by SKU and place")


def test_a_file_without_places_is_compared_with_the_sum_over_places(folder: Path) -> None:
    long = file(folder, "wms.csv", "sku,site,qty\nA,Leeds,5\nA,York,2\n")
    flat = file(folder, "shop.csv", "sku,qty\nA,7\n")

    report = look([long, flat])

    assert (report.rate, report.grain) == ("100.00 %", "by SKU, summed over places: shop names no places")


def test_a_decimal_comma_is_not_taken_for_a_delimiter(folder: Path) -> None:
    content = "Liste\n\tMaterial\tFrei verwendbar\tReserviert\n\tA\t1.234,000\t0,000\n\tB\t5,000\t1,000\n"

    read = look([plain(folder, ["A"]), file(folder, "erp.txt", content.encode("utf-16"))]).files[1]

    assert "not delimiter comma, which would give rows too, but no headings that are known" in read.taken
    assert "delimiter tab (rows are as wide as their header)" in read.taken
    assert read.rows == 2


def test_remarks_in_brackets_do_not_hide_what_a_column_is(folder: Path) -> None:
    shop = file(
        folder,
        "shop.csv",
        "SKU,Committed (not editable),Available (not editable),On hand (current)\nA,2,3,5\n",
    )

    taken = look([plain(folder, ["A"]), shop]).files[1].taken

    assert (
        "quantity is 'On hand (current)' (its heading, and what lies there is compared; not 'Available (not editable)')"
        in taken
    )
    assert "may explain differences: 'Committed (not editable)'" in taken


def test_letters_in_codes_that_are_not_in_the_encoding_are_asked_and_elsewhere_do_not_matter(
    folder: Path,
) -> None:
    wms = plain(folder, ["GRÜN-1"])
    in_code = file(folder, "erp.csv", "sku,title,qty\nGRÜN-1,x,1\n".encode("cp1252"))
    elsewhere = file(folder, "shop.csv", "sku,title,qty\nGRUN-1,grün,1\n".encode("cp1252"))

    (question,) = asked(wms, in_code)
    report = look([wms, in_code], answers={"encoding": "cp1252"})

    assert (question.file, question.setting) == ("erp.csv", "encoding")
    assert report.rate == "100.00 %"
    assert look([wms, elsewhere]).files[1].rows == 1


def test_a_workbook_comes_out_as_it_is_shown(folder: Path) -> None:
    rows: list[list[str | int | Shown | None]] = [
        ["Stock of today"],
        ["Material", "Text", "Quantity"],
        [Shown("123", FIVE_ZEROS), "tea", 5],
        ["007", "pot", Shown("2.5")],
        [Shown("44256", DATE), "was a code", 1],
        ["1E3", None, 4],
    ]
    book = workbook(folder / "erp.xlsx", {"Notes": [["none"]], "Stock": rows})

    report = look([plain(folder, ["X"]), book])

    assert {sku: str(value) for sku, value in quantities(report).items() if value} == {
        "00123": "5",
        "007": "2.5",
        "2021-03-01": "1",
        "1E3": "4",
    }
    assert "sheet 'Stock' (it holds such a table)" in report.files[1].taken


def test_two_sheets_that_could_be_it_are_asked(folder: Path) -> None:
    rows: list[list[str | int | Shown | None]] = [["sku", "qty"], ["A", 1]]
    book = workbook(folder / "erp.xlsx", {"May": rows, "June": rows})

    (question,) = asked(plain(folder), book)

    assert (question.setting, question.options) == ("sheet", ("May", "June"))


def test_a_workbook_with_a_document_type_is_refused(folder: Path) -> None:
    book = workbook(folder / "erp.xlsx", {"S": [["sku", "qty"], ["A", 1]]})
    with ZipFile(book) as file_in:
        parts = {name: file_in.read(name) for name in file_in.namelist()}
    parts["xl/sharedStrings.xml"] = b'<!DOCTYPE x [<!ENTITY a "aaaa">]><sst><si><t>&a;</t></si></sst>'
    with ZipFile(book, "w") as file_out:
        for name, content in parts.items():
            file_out.writestr(name, content)

    with pytest.raises(AuditError, match="no workbook that can be read"):
        look([plain(folder), book])

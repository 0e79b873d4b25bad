"""Small Excel workbooks made by hand, so that a test says exactly which cell is what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PLAIN, FIVE_ZEROS, DATE = range(3)
"""Styles of the workbooks here."""


@dataclass(frozen=True)
class Shown:
    """A number under a style."""

    number: str
    style: int = PLAIN


def workbook(path: Path, sheets: dict[str, Sequence[Sequence[str | int | Shown | None]]]) -> Path:
    """Write a workbook; texts are shared strings, ``None`` is a cell that is not there."""
    strings: list[str] = []
    with ZipFile(path, "w", ZIP_DEFLATED) as file:
        names = "".join(
            f'<sheet name="{escape(n)}" sheetId="{i}" r:id="r{i}"/>' for i, n in enumerate(sheets, 1)
        )
        file.writestr(
            "xl/workbook.xml",
            f'<workbook xmlns="{MAIN}" xmlns:r="{RELATIONS}"><sheets>{names}</sheets></workbook>',
        )
        targets = "".join(
            f'<Relationship Id="r{i}" Type="x" Target="worksheets/sheet{i}.xml"/>'
            for i in range(1, len(sheets) + 1)
        )
        file.writestr("xl/_rels/workbook.xml.rels", f"<Relationships>{targets}</Relationships>")
        for i, rows in enumerate(sheets.values(), 1):
            body = "".join(_row(number, row, strings) for number, row in enumerate(rows, 1))
            file.writestr(
                f"xl/worksheets/sheet{i}.xml",
                f'<worksheet xmlns="{MAIN}"><sheetData>{body}</sheetData></worksheet>',
            )
        shared = "".join(f"<si><t>{escape(text)}</t></si>" for text in strings)
        file.writestr("xl/sharedStrings.xml", f'<sst xmlns="{MAIN}">{shared}</sst>')
        file.writestr(
            "xl/styles.xml",
            f'<styleSheet xmlns="{MAIN}"><numFmts><numFmt numFmtId="164" formatCode="00000"/></numFmts>'
            '<cellXfs><xf numFmtId="0"/><xf numFmtId="164"/><xf numFmtId="14"/></cellXfs></styleSheet>',
        )
    return path


def _row(number: int, row: Sequence[str | int | Shown | None], strings: list[str]) -> str:
    cells = ""
    for column, cell in enumerate(row):
        reference = f"{chr(65 + column)}{number}"
        if isinstance(cell, str):
            strings.append(cell)
            cells += f'<c r="{reference}" t="s"><v>{len(strings) - 1}</v></c>'
        elif isinstance(cell, Shown):
            cells += f'<c r="{reference}" s="{cell.style}"><v>{cell.number}</v></c>'
        elif cell is not None:
            cells += f'<c r="{reference}"><v>{cell}</v></c>'
    return f'<row r="{number}">{cells}</row>'

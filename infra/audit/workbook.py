"""Excel workbooks (.xlsx) as rows of text, streamed with the standard library alone.

Written here, and not by a spreadsheet library, because an identifier must come out as it is shown: a number under
the format ``00000`` keeps its zeros, a date that once was a code comes out as a date and not as the number behind
it, and fractions are rounded to the 15 digits that a spreadsheet itself shows. A document type declaration, which a
workbook never has, is refused: so no entity can be expanded. Formulas give the value that was saved with them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from decimal import Context, Decimal, InvalidOperation
from pathlib import Path
from xml.parsers import expat
from zipfile import BadZipFile, ZipFile

from infra.audit.tables import AuditError, Block, SetAside

_CHUNK = 1 << 16
_BLOCK_ROWS = 5_000
_MOST_COLUMNS = 16_384
_MOST_STRINGS_BYTES = 1 << 30
_FIFTEEN = Context(prec=15)
_ZEROS = re.compile(r"0{2,}")
_DATE_MARKS = re.compile(r"(?:yy|dd|mmm)", re.IGNORECASE)
_BUILT_IN_DATES = {14, 15, 16, 17, 22}
_REMEDY = "save it as .xlsx or .csv again from the system that wrote it"

Attributes = Mapping[str, str]
Start = Callable[[str, Attributes], None]
End = Callable[[str], None]


class _DocumentTypeError(Exception):
    """The XML declares a document type."""


def _parser(start: Start, end: End, text: Callable[[str], None]) -> expat.XMLParserType:
    """Make a parser that hands over names without their name space's prefix."""

    def refuse(*_: object) -> None:
        raise _DocumentTypeError

    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = lambda name, found: start(name.rpartition(":")[2], found)
    parser.EndElementHandler = lambda name: end(name.rpartition(":")[2])
    parser.CharacterDataHandler = text
    parser.StartDoctypeDeclHandler = refuse
    return parser


class Workbook:
    """An open workbook.

    Attributes
    ----------
    sheets
        The part of each sheet by its name, in order.

    Raises
    ------
    AuditError
        When it is no workbook, or damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._zip = ZipFile(path)
            self.sheets = self._sheets()
            self._strings = self._shared_strings()
            self._zeros, self._dates = self._formats()
        except (BadZipFile, KeyError, expat.ExpatError, _DocumentTypeError, OSError) as error:
            raise AuditError(path.name, f"is no workbook that can be read ({error})", _REMEDY) from error

    def rows(self, sheet: str) -> Iterator[tuple[int, list[str]]]:
        """Yield each row of a sheet that has cells: its number, and its cells as text."""
        reader = _SheetReader(self._strings, self._zeros, self._dates)
        try:
            with self._zip.open(self.sheets[sheet]) as part:
                while chunk := part.read(_CHUNK):
                    reader.parser.Parse(chunk, False)
                    yield from reader.take()
        except (BadZipFile, expat.ExpatError, _DocumentTypeError, EOFError) as error:
            raise AuditError(self._path.name, f"sheet {sheet!r} is damaged ({error})", _REMEDY) from error

    def _sheets(self) -> dict[str, str]:
        targets: dict[str, str] = {}
        found: list[tuple[str, str]] = []

        def relation(name: str, of: Attributes) -> None:
            if name == "Relationship":
                targets[of["Id"]] = of["Target"]

        def sheet(name: str, of: Attributes) -> None:
            if name == "sheet" and of.get("state", "visible") == "visible":
                key = next((value for key, value in of.items() if key.endswith(":id")), "")
                found.append((of["name"], key))

        self._read("xl/_rels/workbook.xml.rels", relation)
        self._read("xl/workbook.xml", sheet)
        return {
            name: target.lstrip("/") if target.startswith("/") else f"xl/{target}"
            for name, key in found
            if (target := targets.get(key, "")) and "worksheets/" in target
        }

    def _shared_strings(self) -> list[str]:
        part = "xl/sharedStrings.xml"
        if part not in self._zip.namelist():
            return []
        if self._zip.getinfo(part).file_size > _MOST_STRINGS_BYTES:
            raise AuditError(self._path.name, "holds more than 1 GiB of texts", "export it as CSV")
        strings: list[str] = []
        piece: list[str] = []
        inside = {"t": False, "rPh": False}

        def start(name: str, _: Attributes) -> None:
            if name == "si":
                piece.clear()
            elif name in inside:
                inside[name] = True

        def end(name: str) -> None:
            if name == "si":
                strings.append("".join(piece))
            elif name in inside:
                inside[name] = False

        def text(found: str) -> None:
            if inside["t"] and not inside["rPh"]:
                piece.append(found)

        self._read(part, start, end, text)
        return strings

    def _formats(self) -> tuple[dict[str, int], set[str]]:
        """Return the styles that pad with zeros, with their width, and those that show dates; by style number."""
        if "xl/styles.xml" not in self._zip.namelist():
            return {}, set()
        codes: dict[str, str] = {}
        used: list[str] = []
        inside = {"cellXfs": False}

        def start(name: str, of: Attributes) -> None:
            if name == "numFmt":
                codes[of["numFmtId"]] = of.get("formatCode", "")
            elif name == "cellXfs":
                inside[name] = True
            elif name == "xf" and inside["cellXfs"]:
                used.append(of.get("numFmtId", "0"))

        def end(name: str) -> None:
            if name == "cellXfs":
                inside[name] = False

        self._read("xl/styles.xml", start, end)
        zeros = {str(n): len(codes[f]) for n, f in enumerate(used) if _ZEROS.fullmatch(codes.get(f, ""))}
        dates = {
            str(n)
            for n, f in enumerate(used)
            if (f in codes and _DATE_MARKS.search(codes[f])) or (f not in codes and int(f) in _BUILT_IN_DATES)
        }
        return zeros, dates

    def _read(
        self,
        part: str,
        start: Start,
        end: End = lambda name: None,
        text: Callable[[str], None] = lambda found: None,
    ) -> None:
        parser = _parser(start, end, text)
        with self._zip.open(part) as content:
            while chunk := content.read(_CHUNK):
                parser.Parse(chunk, False)
            parser.Parse(b"", True)


class _SheetReader:
    """Collects the cells of a sheet while its XML is parsed."""

    def __init__(self, strings: Sequence[str], zeros: Mapping[str, int], dates: set[str]) -> None:
        self._strings, self._zeros, self._dates = strings, zeros, dates
        self._rows: list[tuple[int, list[str]]] = []
        self._cells: list[str] = []
        self._number = 0
        self._of: Attributes = {}
        self._text: list[str] = []
        self._reading = False
        self.parser = _parser(self._start, self._end, self._characters)

    def take(self) -> list[tuple[int, list[str]]]:
        """Return the rows that ended since the last call."""
        rows, self._rows = self._rows, []
        return rows

    def _start(self, name: str, of: Attributes) -> None:
        if name == "c":
            self._of = of
            self._text = []
        elif name in ("v", "t"):
            self._reading = True
        elif name == "rPh":
            self._reading = False
        elif name == "row":
            self._number = int(of.get("r", self._number + 1))
            self._cells = []

    def _characters(self, text: str) -> None:
        if self._reading:
            self._text.append(text)

    def _end(self, name: str) -> None:
        if name in ("v", "t"):
            self._reading = False
        elif name == "c":
            self._add("".join(self._text))
        elif name == "row" and self._cells:
            self._rows.append((self._number, self._cells))

    def _add(self, text: str) -> None:
        reference = self._of.get("r")
        if reference is not None:
            at = _column_of(reference)
            if at >= _MOST_COLUMNS:
                raise BadZipFile(f"a cell is in column {at + 1}")
            if at > len(self._cells):
                self._cells.extend([""] * (at - len(self._cells)))
        self._cells.append(self._shown(text))

    def _shown(self, text: str) -> str:
        kind = self._of.get("t", "n")
        if kind == "s":
            return self._strings[int(text)] if text else ""
        if kind != "n" or not text:
            return text
        style = self._of.get("s", "")
        if style in self._dates:
            with suppress(ValueError, OverflowError):
                return _date(text)
        plain = text if text.isdigit() else _plain(text)
        return plain.zfill(self._zeros[style]) if style in self._zeros else plain


def _column_of(reference: str) -> int:
    """Return the column of ``B7``, counted from 0."""
    column = 0
    for character in reference:
        if not character.isalpha():
            break
        column = column * 26 + ord(character) - 64
    return column - 1


def _plain(text: str) -> str:
    try:
        return format(_FIFTEEN.create_decimal(Decimal(text)).normalize(), "f")
    except InvalidOperation:
        return text


def _date(text: str) -> str:
    moment = datetime(1899, 12, 30) + timedelta(days=float(text))  # noqa: DTZ001 - a spreadsheet's date has no zone
    return moment.isoformat(sep=" ") if moment.time().isoformat() != "00:00:00" else moment.date().isoformat()


class SheetTable:
    """The rows of a sheet after its header."""

    def __init__(self, path: Path, sheet: str, header_row: int) -> None:
        self.aside = SetAside()
        self._path, self._sheet, self._header_row = path, sheet, header_row

    def blocks(self, wanted: Sequence[int]) -> Iterator[Block]:
        """Yield the rows; see ``Table``. Cells that a row lacks are empty."""
        numbers: list[int] = []
        columns: list[list[str]] = [[] for _ in wanted]
        reach = max(wanted, default=0) + 1
        for number, cells in Workbook(self._path).rows(self._sheet):
            if number <= self._header_row or not any(cells):
                continue
            if len(cells) < reach:
                cells.extend([""] * (reach - len(cells)))
            numbers.append(number)
            for column, at in zip(columns, wanted, strict=True):
                column.append(cells[at])
            if len(numbers) == _BLOCK_ROWS:
                yield Block(numbers, columns)
                numbers, columns = [], [[] for _ in wanted]
        if numbers:
            yield Block(numbers, columns)

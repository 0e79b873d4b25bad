"""What a file is (text or workbook, encoding, delimiter, sheet, where its table begins), proven from its bytes.

A way to split the file is a candidate when at least 80 % of the lines that follow its first full line are as wide.
If several are left, the one in which a SKU and a quantity have a heading is taken; if that does not decide, who
called is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from infra.audit.headings import AVAILABLE, ON_HAND, PLAIN, PRICE, SKU_WORDS, named, quantity_by_place
from infra.audit.tables import AuditError, Table
from infra.audit.text_table import TextTable
from infra.audit.workbook import SheetTable, Workbook
from infra.audit.written_numbers import digits_of
from shared.sources.delimited_text import LineTooLongError, lines, split_quoted

SAMPLE_LINES = 400
HEADER_WITHIN = 60
"""A header stands in the first so many lines."""

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
_DELIMITER_NAMES = {name: mark for mark, name in DELIMITERS.items()}
_BOMS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
ENCODINGS = (
    "utf-8",
    "cp1252",
    "iso-8859-1",
    "iso-8859-15",
    "cp1250",
    "cp437",
    "cp850",
    "utf-16-le",
    "utf-16-be",
)
_NOT_TABLES = (
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook (.xls)", "save it as .xlsx or .csv"),
    (b"%PDF", "a PDF", "export it as .csv"),
    (b"\x1f\x8b", "a gzip archive", "unpack it first"),
    (b"SQLite", "a database", "export a table of it as .csv"),
)


@dataclass(frozen=True, slots=True)
class Question:
    """What cannot be proven of a file: the setting that would decide it, why, and what it may be."""

    file: str
    setting: str
    reason: str
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Opened:
    """A file split in a way that fits it.

    Attributes
    ----------
    headings
        The cells of its header.
    sample
        The first rows after the header.
    taken
        What was taken of the file, and why, in words.
    table
        Makes the table of all rows.
    """

    headings: tuple[str, ...]
    sample: tuple[tuple[str, ...], ...]
    taken: tuple[str, ...]
    table: Callable[[], Table]
    is_workbook: bool = False

    @property
    def is_recognised(self) -> bool:
        """Whether a SKU and something to count have a heading that is known."""
        counted = ON_HAND | AVAILABLE | PLAIN | PRICE[0] | PRICE[1]
        return _has_sku(self.headings) and bool(
            named(self.headings, counted) or quantity_by_place(self.headings)
        )


def open_file(path: Path, settings: Mapping[str, str]) -> Opened | Question:
    """Split a file as can be proven, or say what has to be asked.

    Raises
    ------
    AuditError
        When it is no table at all.
    """
    with path.open("rb") as content:
        head = content.read(1 << 16)
    if not head.strip():
        raise AuditError(path.name, "is empty", "export it again")
    for magic, what, remedy in _NOT_TABLES:
        if head.startswith(magic):
            raise AuditError(path.name, f"is {what}", remedy)
    if head.startswith(b"PK\x03\x04"):
        return _choose(path, settings, "sheet", _sheets(path, settings))
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith((b"<", b"{", b"[")):
        what = "HTML or XML, perhaps an error page" if start.startswith(b"<") else "JSON"
        raise AuditError(path.name, f"is {what}", "export a table: .csv, tab separated, or .xlsx")
    encoding, why = _encoding(path, head, settings)
    found = _texts(path, encoding, why, settings)
    if any("\ufffd" in heading for opened in found.values() for heading in opened.headings):
        reason = f"is not {encoding}, and a heading holds letters that only its own encoding would show"
        return Question(path.name, "encoding", reason, ENCODINGS[1:])
    return _choose(path, settings, "delimiter", found)


def _choose(
    path: Path, settings: Mapping[str, str], setting: str, found: Mapping[str, Opened]
) -> Opened | Question:
    if not found:
        if setting in settings or "header-row" in settings:
            declared = ", ".join(
                f"{name} {settings[name]}" for name in (setting, "header-row") if name in settings
            )
            raise AuditError(
                path.name, f"has no table with rows under {declared}", "correct what you declared"
            )
        raise AuditError(
            path.name, "holds no table: no lines as wide as each other", "export it with a header and rows"
        )
    for is_better in (
        lambda of: of.is_recognised,
        lambda of: _has_sku(of.headings),
        lambda of: of.headings[0] != "#1",
    ):
        likely = {name: opened for name, opened in found.items() if is_better(opened)}
        if likely:
            break
    else:
        likely = dict(found)
    if len(likely) == 1:
        opened = next(iter(likely.values()))
        others = [name for name in found if name not in likely]
        if not others:
            return opened
        note = (
            f"not {setting} {' or '.join(others)}, which would give rows too, but no headings that are known"
        )
        return replace(opened, taken=(*opened.taken, note))
    return Question(
        path.name, setting, f"can be read with each {setting} of {', '.join(likely)}", tuple(likely)
    )


def _encoding(path: Path, head: bytes, settings: Mapping[str, str]) -> tuple[str, str]:
    if "encoding" in settings:
        return settings["encoding"], "declared"
    for mark, encoding in _BOMS:
        if head.startswith(mark):
            return encoding, "its byte order mark"
    for start, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        if head[start::2].count(0) * 3 > len(head[start::2]):
            return encoding, "every other byte is zero"
    if b"\0" in head:
        raise AuditError(path.name, "is binary", "export a table: .csv, tab separated, or .xlsx")
    return "utf-8", "its bytes" if not head.isascii() else "plain ASCII so far"


def _texts(path: Path, encoding: str, why: str, settings: Mapping[str, str]) -> dict[str, Opened]:
    with path.open("rb") as content:
        try:
            text = list(islice(lines(b"", content, encoding), SAMPLE_LINES))
        except LineTooLongError:
            raise AuditError(
                path.name, "a line is longer than any row of stock", "export it as CSV"
            ) from None
        except LookupError:
            raise AuditError(
                path.name, f"the encoding {encoding!r} is not known", "see --encoding in --help"
            ) from None
    found = {}
    wanted = settings.get("delimiter")
    marks = [_DELIMITER_NAMES.get(wanted, wanted)] if wanted else list(DELIMITERS)
    for mark in marks:
        rows = [(number, _cells(line, mark)) for number, line in enumerate(text, 1)]
        at = _header(rows, settings)
        if at is None:
            continue
        number, width = rows[at][0], _width(rows, at)
        because = "declared" if wanted else "rows are as wide as their header"
        name = DELIMITERS.get(mark, mark)
        found[name] = _opened(
            rows,
            at,
            width,
            (f"encoding {encoding} ({why})", f"delimiter {name} ({because})"),
            lambda mark=mark, number=number, width=width: TextTable(path, encoding, mark, number, width),  # type: ignore[misc]
        )
    return found


def _cells(line: str, mark: str) -> list[str]:
    line = line.removeprefix("\ufeff")
    return [cell.strip() for cell in (split_quoted(line, mark) or [] if '"' in line else line.split(mark))]


def _sheets(path: Path, settings: Mapping[str, str]) -> dict[str, Opened]:
    workbook = Workbook(path)
    if "sheet" in settings and settings["sheet"] not in workbook.sheets:
        raise AuditError(
            path.name, f"has no sheet {settings['sheet']!r}", f"it has {', '.join(workbook.sheets)}"
        )
    found = {}
    for sheet in [settings["sheet"]] if "sheet" in settings else list(workbook.sheets):
        rows = list(islice(workbook.rows(sheet), SAMPLE_LINES))
        widest = max((len(cells) for _, cells in rows), default=0)
        rows = [(number, [*cells, *[""] * (widest - len(cells))]) for number, cells in rows]
        at = _header(rows, settings)
        if at is None:
            continue
        number = rows[at][0]
        because = "declared" if "sheet" in settings else "it holds such a table"
        taken = ("an Excel workbook", f"sheet {sheet!r} ({because})")
        found[sheet] = _opened(
            rows,
            at,
            _width(rows, at),
            taken,
            lambda sheet=sheet, number=number: SheetTable(path, sheet, number),  # type: ignore[misc]
            is_workbook=True,
        )
    return found


def _opened(
    rows: Sequence[tuple[int, list[str]]],
    at: int,
    width: int,
    taken: tuple[str, ...],
    table: Callable[[], Table],
    is_workbook: bool = False,
) -> Opened:
    number, header = rows[at]
    is_numbered = header[0] == "#1"  # which is a row put in, with the number of the row before it
    above = number if is_numbered else number - 1
    said = "no header: columns are numbered" if is_numbered else f"header in row {number}"
    if above:
        said += f", after {above} {'row that is' if above == 1 else 'rows that are'} no table"
    sample = tuple(
        tuple((*cells, *[""] * width)[:width])
        for _, cells in rows[at + 1 :]
        if any(cells) and _fits(cells, width)
    )
    return Opened(tuple((*header, *[""] * width)[:width]), sample, (*taken, said), table, is_workbook)


def _fits(cells: Sequence[str], width: int) -> bool:
    return len(cells) == width or (len(cells) > width and not any(cells[width:]))


def _width(rows: Sequence[tuple[int, list[str]]], at: int) -> int:
    """Return how many cells the rows under a header have; some exports end every row with a delimiter."""
    header = len(rows[at][1])
    widths = [len(cells) for _, cells in rows[at + 1 :] if any(cells)]
    return header + 1 if widths and widths.count(header + 1) * 2 > len(widths) else max(header, 1)


def _header(rows: list[tuple[int, list[str]]], settings: Mapping[str, str]) -> int | None:
    """Return the index of the header row; None when this is no table.

    Where the first row that could be one holds numbers, there is none: one is put in that numbers the columns.
    """
    if "header-row" in settings:
        wanted = settings["header-row"]
        if wanted == "0":
            return _numbered(rows, 0)
        return next((at for at, (number, _) in enumerate(rows) if str(number) == wanted), None)
    first = None
    for at, (_, header) in enumerate(rows[:HEADER_WITHIN]):
        if len(header) < 2 or not any(header):
            continue
        below = [cells for _, cells in rows[at + 1 :] if any(cells)]
        if not below or sum(_is_row(cells, len(header)) for cells in below) * 5 < len(below) * 4:
            continue
        if _has_sku(header):
            return at
        if any(digits_of(cell) for cell in header):
            return _numbered(rows, at) if first is None else first
        first = at if first is None and sum(map(bool, header)) > 1 else first
    return first


def _numbered(rows: list[tuple[int, list[str]]], at: int) -> int:
    number, cells = rows[at]
    rows.insert(at, (number - 1, [f"#{column}" for column in range(1, len(cells) + 1)]))
    return at


def _is_row(cells: Sequence[str], width: int) -> bool:
    return _fits(cells, width) or _fits(cells, width + 1)


def _has_sku(headings: Sequence[str]) -> bool:
    return any(named(headings, words) for words in SKU_WORDS)

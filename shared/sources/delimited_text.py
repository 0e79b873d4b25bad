"""Delimited text, read as a stream of rows by a scanner that one unclosed quote cannot swallow.

The standard csv module reads on to the next quote, wherever it is: one stray quote costs hundreds of rows and no
error. Here a row that opens a quote may run over several lines only if it then ends as a row of this file must:
with as many cells as the header, no line break inside a cell that matters, and no line inside the quotes that
looks like a row of its own. Otherwise **that row alone** is a fault, under its own number, and reading goes on at
the next line. (A note that quotes a whole row of the table is refused as well: better a fault than a lost row.)

Memory is bounded: one chunk, one line of at most ``LONGEST_LINE`` characters, and at most ``LONGEST_ROW`` lines
that wait for a quote to close. Bytes that do not decode become U+FFFD, which the readers of cells refuse; cells
that nobody reads may hold anything.
"""

from __future__ import annotations

import codecs
import io
from collections import deque
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from shared.sources.contract import Fault

LONGEST_LINE = 1 << 20
"""The longest line read, in characters; a text file of stock has none that long."""

LONGEST_ROW = 64
"""The most lines that one row may span."""

_CHUNK = 1 << 18


class Row(NamedTuple):
    """One row: its number (the header is row 1), its cells as written, and its raw text."""

    number: int
    cells: list[str]
    text: str


class LineTooLongError(Exception):
    """A line is longer than ``LONGEST_LINE``: whatever this file is, it cannot be read row by row."""


def lines(head: bytes, content: BinaryIO, encoding: str) -> Iterator[str]:
    """Decode ``head`` and what follows it, and yield the lines; ``\\r\\n`` and ``\\r`` end lines too.

    Raises
    ------
    LineTooLongError
        When a line does not end within ``LONGEST_LINE`` characters.
    """
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(encoding)("replace"), translate=True)
    pending = ""
    chunk = head
    while chunk:
        found = (pending + decoder.decode(chunk)).split("\n")
        pending = found.pop()
        yield from found
        if len(pending) > LONGEST_LINE:
            raise LineTooLongError
        chunk = content.read(_CHUNK)
    pending += decoder.decode(b"", final=True)
    if pending:
        yield from pending.split("\n")


class RowScanner:
    """Splits the lines after the header into rows.

    Parameters
    ----------
    source
        The lines that follow the header.
    width
        How many cells the header has.
    single_line
        The cells that can never hold a line break.
    numbers
        The cells of which at least one holds a number: by them a line inside quotes is known for a row.
    """

    def __init__(
        self,
        source: Iterator[str],
        delimiter: str,
        width: int,
        single_line: frozenset[int],
        numbers: frozenset[int],
    ) -> None:
        self._source = source
        self._delimiter = delimiter
        self._width = width
        self._single_line = single_line
        self._numbers = numbers
        self._returned: deque[str] = deque()
        self._number = 1

    def rows(self) -> Iterator[Row | Fault]:
        """Yield every row that is not blank; a row that cannot be split is a fault, and the next one goes on."""
        delimiter = self._delimiter
        while (line := self._next()) is not None:
            self._number += 1
            if '"' in line:
                yield self._quoted(line)
            elif line and not line.isspace():
                yield Row(self._number, line.split(delimiter), line)

    def _next(self) -> str | None:
        if self._returned:
            return self._returned.popleft()
        return next(self._source, None)

    def _quoted(self, first: str) -> Row | Fault:
        text, taken = first, [first]
        cells = split_quoted(text, self._delimiter)
        while cells is None and len(taken) < LONGEST_ROW and len(text) < LONGEST_LINE:
            line = self._next()
            if line is None:
                break
            taken.append(line)
            text = f"{text}\n{line}"
            if '"' in line:
                cells = split_quoted(text, self._delimiter)
        if cells and (len(taken) == 1 or self._is_whole(cells, taken)):
            return Row(self._number, cells, text)
        self._returned.extendleft(reversed(taken[1:]))
        stray = cells == [] and len(taken) == 1
        return Fault(
            "malformed",
            "row",
            "text follows a closing quote" if stray else "a quote is opened and not closed in this row",
            'close the quote, and write a quote inside a quoted cell twice: ""; the rows after it were read',
            self._number,
        )

    def _is_whole(self, cells: list[str], taken: list[str]) -> bool:
        return (
            len(cells) == self._width
            and not any("\n" in cells[index] for index in self._single_line)
            and not any(self._looks_like_a_row(line) for line in taken[1:])
        )

    def _looks_like_a_row(self, line: str) -> bool:
        cells = line.split(self._delimiter)
        return len(cells) == self._width and any(
            character.isdigit() for index in self._numbers for character in cells[index]
        )


def split_quoted(text: str, delimiter: str) -> list[str] | None:
    """Split a row that holds quotes. None: a quote is still open. Empty: text follows a closing quote."""
    cells: list[str] = []
    at = 0
    while True:
        if text.startswith('"', at):
            end = _closing_quote(text, at + 1)
            if end < 0:
                return None
            cells.append(text[at + 1 : end].replace('""', '"'))
            at = end + 1
            while text.startswith(" ", at) and delimiter != " ":
                at += 1
            if at == len(text):
                return cells
            if not text.startswith(delimiter, at):
                return []
            at += 1
        else:
            end = text.find(delimiter, at)
            if end < 0:
                cells.append(text[at:])
                return cells
            cells.append(text[at:end])
            at = end + 1


def _closing_quote(text: str, at: int) -> int:
    """Return where the quoted cell ends, or -1; a doubled quote is one inside it."""
    while (at := text.find('"', at)) >= 0 and text.startswith('"', at + 1):
        at += 2
    return at

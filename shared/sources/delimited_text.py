"""Delimited text, read as a stream of rows by a scanner that one unclosed quote cannot swallow.

The standard csv module reads on to the next quote, wherever it is: one stray quote costs hundreds of rows and no
error. Here a row that opens a quote may run over several lines only if it then ends as a row of this file must:
with as many cells as the header, no line break inside a cell that matters, and no line inside the quotes that
looks like a row of its own. Otherwise **that row alone** is a fault, under its own number, and reading goes on at
the next line. (A note that quotes a whole row of the table is refused as well: better a fault than a lost row.)

Memory is bounded: one chunk, one line of at most ``LONGEST_LINE`` characters, and at most ``LONGEST_ROW`` lines
that wait for a quote to close. Bytes that do not decode become U+FFFD, which the readers of cells refuse; cells
that nobody reads may hold anything.

Whole blocks of lines can be taken as well (``TextLines.block``), for who can read many plain rows at once and only
hands over to the scanner what is not plain.
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


def lines(head: bytes, content: BinaryIO, encoding: str) -> TextLines:
    """Decode ``head`` and what follows it into lines; see ``TextLines``."""
    return TextLines(head, content, encoding)


class TextLines:
    """The text of a stream, taken a line or a block of whole lines at a time; ``\\r\\n`` and ``\\r`` end lines too.

    Taking raises ``LineTooLongError`` where a line does not end within ``LONGEST_LINE`` characters, again and again.
    """

    def __init__(self, head: bytes, content: BinaryIO, encoding: str) -> None:
        """Begin with ``head``, which was read from ``content`` already."""
        decoder = codecs.getincrementaldecoder(encoding)("replace")
        self._decoder = io.IncrementalNewlineDecoder(decoder, translate=True)
        self._head = head
        self._content = content
        self._text = ""  # whole lines, each with its end
        self._at = self._block_at = 0
        self._pending = ""
        self._ended = False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        """Take the next line, without its end."""
        if self._at == len(self._text) and not self._fill():
            raise StopIteration
        start, end = self._at, self._text.index("\n", self._at)
        self._at = end + 1
        return self._text[start:end]

    def block(self, size: int) -> str | None:
        """Take whole lines of about ``size`` characters together, without the last one's end."""
        if self._at == len(self._text) and not self._fill():
            return None
        start, end = self._at, len(self._text) - 1
        if end - start > size:
            end = self._text.rfind("\n", start, start + size)
            if end < 0:
                end = self._text.index("\n", start)
        self._block_at, self._at = start, end + 1
        return self._text[start:end]

    def give_back(self) -> None:
        """Undo the last ``block``; nothing may have been taken since."""
        self._at = self._block_at

    def _fill(self) -> bool:
        """Read on until there is a whole line; False when there is none any more."""
        while not self._ended:
            if len(self._pending) > LONGEST_LINE:
                raise LineTooLongError
            chunk, self._head = self._head or self._content.read(_CHUNK), b""
            if not chunk:
                self._ended = True
            found = self._pending + self._decoder.decode(chunk, final=self._ended)
            if self._ended and found and not found.endswith("\n"):
                found += "\n"
            end = found.rfind("\n") + 1
            self._pending = found[end:]
            if end:
                self._text, self._at = found[:end], 0
                return True
        self._text, self._at = "", 0
        return False


class RowScanner:
    """Splits the lines after the header into rows, and counts them.

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
        self.delimiter = delimiter
        self._width = width
        self._single_line = single_line
        self._numbers = numbers
        self._waiting: deque[str] = deque()
        self.number = 1
        """The number of the last row; the header is row 1."""

    def rows(self) -> Iterator[Row | Fault]:
        """Yield every row that is not blank; a row that cannot be split is a fault, and the next one goes on."""
        while (line := self._next()) is not None:
            yield from self._row(line)

    def rows_of(self, block: str) -> Iterator[Row | Fault]:
        """Yield the rows of lines that were taken from the source together.

        More lines are taken where a quote runs over the last one's end; those that follow its row are read too.
        """
        self._waiting.extend(block.split("\n"))
        while self._waiting:
            yield from self._row(self._waiting.popleft())

    def _row(self, line: str) -> Iterator[Row | Fault]:
        self.number += 1
        if '"' in line:
            yield self._quoted(line)
        elif line and not line.isspace():
            yield Row(self.number, line.split(self.delimiter), line)

    def _next(self) -> str | None:
        return self._waiting.popleft() if self._waiting else next(self._source, None)

    def _quoted(self, first: str) -> Row | Fault:
        text, taken = first, [first]
        cells = split_quoted(text, self.delimiter)
        while cells is None and len(taken) < LONGEST_ROW and len(text) < LONGEST_LINE:
            try:
                line = self._next()
            except LineTooLongError:
                break  # that line is no part of this row; whoever takes it next is told again
            if line is None:
                break
            taken.append(line)
            text = f"{text}\n{line}"
            if '"' in line:
                cells = split_quoted(text, self.delimiter)
        if cells and (len(taken) == 1 or self._is_whole(cells, taken)):
            return Row(self.number, cells, text)
        self._waiting.extendleft(reversed(taken[1:]))
        stray = cells == [] and len(taken) == 1
        return Fault(
            "malformed",
            "row",
            "text follows a closing quote" if stray else "a quote is opened and not closed in this row",
            'close the quote, and write a quote inside a quoted cell twice: ""; the rows after it were read',
            self.number,
        )

    def _is_whole(self, cells: list[str], taken: list[str]) -> bool:
        return (
            len(cells) == self._width
            and not any("\n" in cells[index] for index in self._single_line)
            and not any(self._looks_like_a_row(line) for line in taken[1:])
        )

    def _looks_like_a_row(self, line: str) -> bool:
        cells = line.split(self.delimiter)
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

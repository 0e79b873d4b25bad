"""Delimited text as blocks of columns; the usual plain rows thousands at a time, the others one by one.

A block is split as a whole where that can be shown to be right: no quote in it, or every cell quoted and no quote
inside one; and every line with as many cells as the table is wide. Everything else goes to the scanner of
``shared.sources.delimited_text``, which one unclosed quote cannot swallow.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from infra.audit.tables import AuditError, Block, SetAside
from shared.sources.contract import Fault
from shared.sources.delimited_text import LineTooLongError, Row, RowScanner, TextLines, lines

_BLOCK_CHARACTERS = 1 << 16


class TextTable:
    """The rows of a text file after its header line."""

    def __init__(self, path: Path, encoding: str, delimiter: str, header_row: int, width: int) -> None:
        self.aside = SetAside()
        self._path = path
        self._encoding = encoding
        self._delimiter = delimiter
        self._header_row = header_row
        self._width = width

    def blocks(self, wanted: Sequence[int]) -> Iterator[Block]:
        """Yield the rows; see ``Table``."""
        with self._path.open("rb") as content:
            source = lines(b"", content, self._encoding)
            for _ in range(self._header_row):
                next(source, None)
            try:
                yield from self._blocks(source, wanted)
            except LineTooLongError:
                raise AuditError(
                    self._path.name, "a line is longer than any row of stock", "export it as CSV again"
                ) from None

    def _blocks(self, source: TextLines, wanted: Sequence[int]) -> Iterator[Block]:
        cells = frozenset(wanted)
        scanner = RowScanner(source, self._delimiter, self._width, cells, cells)
        scanner.number = self._header_row
        while (text := source.block(_BLOCK_CHARACTERS)) is not None:
            first, count = scanner.number + 1, text.count("\n") + 1
            found = self._split(text, count)
            if found is None:
                block = self._one_by_one(scanner, text, wanted)
                if block.rows:
                    yield block
                continue
            scanner.number += count
            width, start = self._width, found[0 :: self._width]
            columns = ["".join(start).split("\n") if at == 0 else found[at::width] for at in wanted]
            yield Block(range(first, first + count), columns)

    def _split(self, text: str, count: int) -> list[str] | None:
        """Split whole lines at once; None if they are not all plain."""
        mark, width = self._delimiter, self._width
        if '"' not in text:
            cells = text.replace("\n", f"{mark}\n").split(mark)
        elif text.count('"') == 2 * width * count and text[0] == text[-1] == '"':
            cells = text[1:-1].replace('"\n"', f'"{mark}"\n').split(f'"{mark}"')
        else:
            return None
        whole = len(cells) == width * count and "".join(cells[0::width]).count("\n") == count - 1
        return cells if whole and all(cell[:1] == "\n" for cell in cells[width::width]) else None

    def _one_by_one(self, scanner: RowScanner, text: str, wanted: Sequence[int]) -> Block:
        numbers: list[int] = []
        columns: list[list[str]] = [[] for _ in wanted]
        for row in scanner.rows_of(text):
            if isinstance(row, Fault):
                self.aside.add(row.reason, row.row or scanner.number)
            elif self._is_whole(row):
                numbers.append(row.number)
                for column, at in zip(columns, wanted, strict=True):
                    column.append(row.cells[at])
        return Block(numbers, columns)

    def _is_whole(self, row: Row) -> bool:
        cells = row.cells
        if len(cells) > self._width and not any(cell.strip() for cell in cells[self._width :]):
            return True
        if len(cells) == self._width:
            return any(cell.strip() for cell in cells)
        if any(cell.strip() for cell in cells):
            self.aside.add(f"not {self._width} cells", row.number, row.text)
        return False

"""A legacy system that drops a file of what it holds: one absolute quantity per SKU and location.

Options (parsed by ``snapshot_layout``): ``sku_column``, then either the long form (``quantity_column`` with
``location_column`` or a fixed ``location``) or the wide form (``location_columns``: header to location code);
``as_of``; and where they differ from the default ``delimiter`` (``,``; ``auto`` takes the one under which the
header holds every declared column), ``encoding`` (``utf-8-sig``), ``decimal`` and ``thousands``, ``element``
(``on_hand``), ``code_kind`` (``sku``). Rows are skipped only where it is declared: ``footer_pattern`` (a regular
expression searched in the row's text), ``skip_blank_sku``, ``skip_blank_quantity``. Headers and cells lose the
spaces around them and nothing else: ``00123``, ``1E3`` and ``NA`` stay what they are.

**Identity.** The document is (source, as_of); its correction is the same document dropped again. So the version
is the drop: when the file was written, then its sequencer. It is in the event key too::

    {source}/snapshot/{as_of}/{sku}/{location}/{element}/{written_at}.{sequencer}

* The same drop announced twice: the same keys, all duplicates.
* The same content dropped again: newer counts of the same number at the same instant, whose variance is 0.
* A corrected file, and a file corrected back (5, then 6, then 5 again): the newest drop stands. A key made of the
  quantity would have refused the third file as a duplicate of the first, and left 6 in the ledger.

**Twice in one file.** The same SKU and location again with the same number is read once; with another number the
later row is a fault, because nothing says which is right. What was seen is kept as two integers for each row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO

from shared.domain.events import Count, Origin, instant
from shared.domain.messages import Message
from shared.domain.network import Source
from shared.domain.stock import LocationId, Sku
from shared.sources.contract import DroppedFile, Fault, Report
from shared.sources.delimited_text import LONGEST_LINE, LineTooLongError, Row, RowScanner, lines
from shared.sources.reading import UnreadableError, event_key, identifier, refuse, shown
from shared.sources.snapshot_header import check_is_text, delimiter_of, first_line, positions, read_head
from shared.sources.snapshot_layout import SnapshotLayout, parse_layout
from shared.sources.written_quantity import UnreadableQuantityError, WrittenQuantity

_64_BITS = (1 << 64) - 1


class CsvSnapshot:
    """A dropped snapshot file; see the module."""

    def read(
        self, content: BinaryIO, file: DroppedFile, message: Message, source: Source
    ) -> Iterator[Report | Fault]:
        """Yield each cell's count and each row's fault, reading the stream once in bounded memory.

        A fault without a row is about the whole file: nothing was read from it.
        """
        layout = parse_layout(source.options)
        if isinstance(layout, list):
            yield from layout
            return
        try:
            head = read_head(content)
            check_is_text(head, layout)
            text = lines(head, content, layout.encoding)
            as_of = layout.as_of.of_file(file)
            header = first_line(text)
            delimiter = delimiter_of(header, layout)
            found, width = positions(header, delimiter, layout)
        except UnreadableError as error:
            yield error.fault
            return
        except LineTooLongError:
            yield _too_long(None)
            return
        plan = _plan(layout, found, width, as_of, file, message, source)
        numbers = frozenset(cell.index for cell in plan.cells)
        yield from plan.reports(RowScanner(text, delimiter, width, frozenset(found.values()), numbers))


def _too_long(row: int | None) -> Fault:
    return Fault(
        "malformed",
        "row",
        f"a line has more than {LONGEST_LINE} characters; the file was not read from here on",
        "drop the file as delimited text with one row per line",
        row,
    )


@dataclass(frozen=True, slots=True)
class _Cell:
    """One quantity of a row: its column, and the location it is about (None: the row names it)."""

    index: int
    column: str
    location: str | None


@dataclass(frozen=True, slots=True)
class _Plan:
    """A file's plan, made once from its header: which cell of a row is what."""

    layout: SnapshotLayout
    source: Source
    origin: Origin
    width: int
    sku: int
    location: int | None
    as_of_column: int | None
    as_of: datetime | None
    as_of_text: str
    cells: Sequence[_Cell]
    quantity: WrittenQuantity
    version: str

    def reports(self, scanner: RowScanner) -> Iterator[Report | Fault]:
        """Yield what every row says."""
        seen: dict[int, int] = {}
        last = 1
        try:
            for row in scanner.rows():
                if isinstance(row, Fault):
                    yield row
                    continue
                last = row.number
                try:
                    yield from self._row(row, seen)
                except UnreadableError as error:
                    yield _at(error.fault, row.number)
        except LineTooLongError:
            yield _too_long(last + 1)

    def _row(self, row: Row, seen: dict[int, int]) -> Iterator[Report | Fault]:
        footer = self.layout.footer_pattern
        if footer is not None and footer.search(row.text):
            return
        cells = self._whole(row)
        if cells is None:
            return
        sku = cells[self.sku].strip()
        if not sku:
            if self.layout.skip_blank_sku:
                return
            remedy = "fill it in; for totals and footers declare footer_pattern or skip_blank_sku"
            refuse("missing_field", self.layout.sku_column, "is empty", remedy)
        identifier(sku, self.layout.sku_column)
        location = self._location_of(cells)
        as_of = self._as_of_of(cells)
        found = [self._quantity_of(cells, cell, row.number) for cell in self.cells]
        if self._is_repeated(row, seen, (sku, location, as_of), found):
            return
        as_of_text = self.as_of_text or instant(as_of)
        for cell, quantity in zip(self.cells, found, strict=True):
            if isinstance(quantity, int):
                place = cell.location or location
                yield self._count(sku, place, quantity, as_of, as_of_text, row.number)
            elif quantity is not None:
                yield quantity

    def _whole(self, row: Row) -> list[str] | None:
        """Return the row's cells, as many as the header has; None for a row of empty cells."""
        cells = row.cells
        if len(cells) != self.width:
            extra = cells[self.width :]
            if len(cells) < self.width or any(cell.strip() for cell in extra):
                if not any(cell.strip() for cell in cells):
                    return None
                refuse(
                    "malformed",
                    "row",
                    f"has {len(cells)} cells where the header has {self.width}",
                    "quote cells that hold the delimiter (a decimal comma?), and send every row whole",
                )
        elif not cells[self.sku].strip() and not any(cell.strip() for cell in cells):
            return None
        return cells

    def _location_of(self, cells: Sequence[str]) -> str:
        if self.location is None:
            return self.layout.location or ""
        return identifier(cells[self.location].strip(), self.layout.location_column or "")

    def _as_of_of(self, cells: Sequence[str]) -> datetime:
        if self.as_of is not None:
            return self.as_of
        column = self.layout.as_of.column or ""
        text = cells[self.as_of_column or 0].strip()
        return self.layout.as_of.of_text(identifier(text, column), column)

    def _quantity_of(self, cells: Sequence[str], cell: _Cell, row: int) -> int | Fault | None:
        text = cells[cell.index].strip()
        if not text:
            if self.layout.skip_blank_quantity:
                return None
            remedy = "fill it in (0 if there is none), or declare skip_blank_quantity"
            return Fault("missing_field", cell.column, "is empty", remedy, row)
        try:
            quantity = self.quantity.read(text)
        except UnreadableQuantityError as error:
            return Fault("invalid_field", cell.column, error.reason, error.remedy, row)
        if quantity < 0:
            reason = f"{shown(text)} is negative, and a count of stock cannot be"
            remedy = "count the item, or send what was booked below zero as an adjustment"
            return Fault("invalid_field", cell.column, reason, remedy, row)
        return quantity

    def _is_repeated(
        self,
        row: Row,
        seen: dict[int, int],
        identity: tuple[str, str, datetime],
        found: Sequence[int | Fault | None],
    ) -> bool:
        """Say whether an earlier row says exactly this; raise where it says something else."""
        if not any(isinstance(value, int) for value in found):
            return False
        said = hash(tuple(value if isinstance(value, int) else None for value in found)) & _64_BITS
        first = seen.setdefault(hash(identity), row.number << 64 | said)
        number = first >> 64
        if number == row.number:
            return False
        if first & _64_BITS != said:
            refuse(
                "invalid_field",
                self.layout.sku_column,
                f"duplicate row: {shown(identity[0])} is in row {number} already, with another quantity",
                f"nothing says which row is right; row {number} was taken: drop a corrected file",
            )
        return True

    def _count(
        self, sku: str, location: str, quantity: int, as_of: datetime, as_of_text: str, row: int
    ) -> Report:
        element = self.layout.element
        key = event_key(self.source.id, "snapshot", as_of_text, sku, location, element, self.version)
        count = Count(
            key=key,
            sku=Sku(sku),
            location=LocationId(location),
            quantity=quantity,
            as_of=as_of,
            origin=self.origin,
            element=element,
            version=self.version,
        )
        return Report(count, self.layout.code_kind, row)


def _at(fault: Fault, row: int) -> Fault:
    return Fault(fault.code, fault.field, fault.reason, fault.remedy, row)


def _plan(
    layout: SnapshotLayout,
    found: Mapping[str, int],
    width: int,
    as_of: datetime | None,
    file: DroppedFile,
    message: Message,
    source: Source,
) -> _Plan:
    """Lay down once, from the header, which cell of every row is what."""
    if layout.quantity_column is not None:
        cells = [_Cell(found[layout.quantity_column], layout.quantity_column, None)]
    else:
        wide = layout.location_columns or {}
        cells = [_Cell(found[column], column, location) for column, location in wide.items()]
    return _Plan(
        layout=layout,
        source=source,
        origin=Origin(source.id, message.id, (("file", file.name),)),
        width=width,
        sku=found[layout.sku_column],
        location=found[layout.location_column] if layout.location_column else None,
        as_of_column=found[layout.as_of.column] if layout.as_of.column else None,
        as_of=as_of,
        as_of_text="" if as_of is None else instant(as_of),
        cells=cells,
        quantity=WrittenQuantity(layout.decimal, layout.thousands),
        version=f"{instant(file.written_at)}.{file.sequencer}",
    )


CONNECTOR = CsvSnapshot()

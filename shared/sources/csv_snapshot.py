"""A legacy system that drops a file of what it holds: one absolute quantity per SKU and location.

Options (parsed by ``snapshot_layout``): ``sku_column``, then either the long form (``quantity_column`` with
``location_column`` or a fixed ``location``) or the wide form (``location_columns``: header to location code);
``as_of``; ``unit_column`` where each row names the unit of its quantities, which may then have decimals; and where they differ from the default ``delimiter`` (``,``; ``auto`` takes the one under which the
header holds every declared column), ``encoding`` (``utf-8-sig``), ``decimal`` and ``thousands``, ``element``
(``on_hand``), ``code_kind`` (``sku``). Rows are skipped only where it is declared: ``footer_pattern`` (a regular
expression searched in the row's text), ``skip_blank_sku``, ``skip_blank_quantity``. ``snapshot`` is ``full``
unless it is declared ``partial``; a full one that looks cut short or emptied is held, by the limits of ``guard``
(``fewest_percent``, ``least_stocked_percent``, ``judged_from``; see ``snapshot_guard``). Headers and cells lose the
spaces around them and nothing else: ``00123``, ``1E3`` and ``NA`` stay what they are.

**Identity.** The document is (source, as_of); its correction is the same document dropped again. So the version
is the drop: when the file was written, then its sequencer. It is in the event key too::

    {source}/snapshot/{as_of}/{sku}/{location}/{element}/{written_at}.{sequencer}

* The same drop announced twice: the same keys, all duplicates.
* The same content dropped again: newer counts of the same number at the same instant, whose variance is 0. Where only a
  date is known, the file was written at another instant: the count stands, or waits, as it did before.
* A corrected file, and a file corrected back (5, then 6, then 5 again): the newest drop stands. A key made of the
  quantity would have refused the third file as a duplicate of the first, and left 6 in the ledger.

**Twice in one file.** The same SKU and location again with the same number is read once; with another number the
later row is a fault, because nothing says which is right. What was seen is kept as three integers for each row. Rows that
name units may count one item in several (``24 each`` and ``2 case``), which are added; see ``snapshot_units``.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import BinaryIO, TypeAlias

from shared.domain.events import Count
from shared.domain.messages import Message
from shared.domain.network import Source
from shared.domain.snapshot_guard import Census, Survey
from shared.sources.contract import DroppedFile, Fault, Report
from shared.sources.delimited_text import LONGEST_LINE, LineTooLongError, Row, RowScanner, TextLines, lines
from shared.sources.options import checked_elsewhere
from shared.sources.reading import UnreadableError
from shared.sources.snapshot_block import BlockReader, SnapshotBlock
from shared.sources.snapshot_header import check_is_text, delimiter_of, first_line, positions, read_head
from shared.sources.snapshot_layout import SnapshotLayout, parse_layout
from shared.sources.snapshot_plan import Plan, plan_of
from shared.sources.snapshot_rows import RowReader, SeenRows
from shared.sources.snapshot_units import UnitRowReader, last_rows

LARGE, SMALL = 1 << 17, 1 << 11
"""Characters read as one block; and, near anything that is not plain, as the least one."""

Part: TypeAlias = "SnapshotBlock | Report | Fault"


class CsvSnapshot:
    """A dropped snapshot file; see the module."""

    def read(
        self, content: BinaryIO, file: DroppedFile, message: Message, source: Source
    ) -> Iterator[Report | Fault]:
        """Yield each cell's count and each row's fault, reading the stream once: in bounded memory, or, where rows name
        units, all of it, since rows of one item belong together.

        A fault without a row is about the whole file: nothing was read from it.
        """
        for part in self.blocks(content, file, message, source):
            if isinstance(part, SnapshotBlock):
                yield from part.reports()
            else:
                yield part

    def survey(self, content: BinaryIO, file: DroppedFile, message: Message, source: Source) -> Survey | None:
        """Read a whole file and say what it holds; None when nothing of it can be read, which ``read`` explains."""
        layout = parse_layout(source.options)
        if isinstance(layout, list):
            return None
        places: dict[str, Census] = {}
        faulty = 0
        for part in self.blocks(content, file, message, source):
            if isinstance(part, Fault):
                if part.row is None:
                    return None
                faulty += 1
                continue
            for place, census in part.census() if isinstance(part, SnapshotBlock) else _census(part):
                places[place] = places.get(place, Census()) + census
        return Survey(places, faulty, layout.guard.rule if layout.snapshot == "full" else None)

    def blocks(
        self,
        content: BinaryIO,
        file: DroppedFile,
        message: Message,
        source: Source,
        *,
        row_by_row: bool = False,
    ) -> Iterator[Part]:
        """Yield the same in order, with runs of plain rows together as columns; ``row_by_row`` leaves none so."""
        layout = parse_layout(source.options)
        if isinstance(layout, list):
            yield from layout
            return
        try:
            if layout.unit_column is None:
                text, scanner, plan = _begin(content, layout, file, message, source)
            else:  # read twice (see ``snapshot_units``)
                content = BytesIO(content.read())
                text, scanner, plan = _begin(content, layout, file, message, source)
                last = last_rows(_rows(text, scanner), RowReader(plan, SeenRows()))
                content.seek(0)
                text, scanner, plan = _begin(content, layout, file, message, source)
        except UnreadableError as error:
            yield error.fault
            return
        except LineTooLongError:
            yield _too_long(None)
            return
        seen = SeenRows()
        rows = RowReader(plan, seen)
        if layout.unit_column is not None:
            yield from _parts(text, scanner, UnitRowReader(rows, last), None)
        else:
            plain = None if row_by_row else BlockReader(plan, scanner.delimiter, seen)
            yield from _parts(text, scanner, rows, plain)


def _begin(
    content: BinaryIO, layout: SnapshotLayout, file: DroppedFile, message: Message, source: Source
) -> tuple[TextLines, RowScanner, Plan]:
    """Read a file's header: what follows it, how that is parted into rows, and what their cells are.

    Raises
    ------
    UnreadableError, LineTooLongError
    """
    head = read_head(content)
    check_is_text(head, layout)
    text = lines(head, content, layout.encoding)
    taken = layout.as_of.of_file(file)
    header = first_line(text)
    delimiter = delimiter_of(header, layout)
    found, width = positions(header, delimiter, layout)
    plan = plan_of(layout, found, width, taken, file, message, source)
    numbers = frozenset(cell.index for cell in plan.cells)
    return text, RowScanner(text, delimiter, width, frozenset(found.values()), numbers), plan


def _rows(text: TextLines, scanner: RowScanner) -> Iterator[Row | Fault]:
    """Yield every row up to a line that is too long, behind which nothing is read."""
    try:
        while (block := text.block(SMALL)) is not None:
            yield from scanner.rows_of(block)
    except LineTooLongError:
        return


def _parts(
    text: TextLines, scanner: RowScanner, rows: RowReader | UnitRowReader, plain: BlockReader | None
) -> Iterator[Part]:
    """Take block after block; one that is not plain is taken again in small ones, so that few rows are slow."""
    size = LARGE if plain else SMALL
    try:
        while (block := text.block(size)) is not None:
            found = plain.read(block, scanner.number + 1) if plain else None
            if found is not None:
                scanner.number += len(found)
                size = min(LARGE, size * 2)
                yield found
            elif size > SMALL:
                text.give_back()
                size = SMALL
            else:
                for row in scanner.rows_of(block):
                    if isinstance(row, Fault):
                        yield row
                    else:
                        yield from rows.read(row)
    except LineTooLongError:
        yield _too_long(scanner.number + 1)


def _census(report: Report) -> list[tuple[str, Census]]:
    count = report.event
    return (
        [(count.location, Census(1, int(count.quantity > 0 or any(more for more, _ in report.further))))]
        if isinstance(count, Count)
        else []
    )


def _too_long(row: int | None) -> Fault:
    return Fault(
        "malformed",
        "row",
        f"a line has more than {LONGEST_LINE} characters; the file was not read from here on",
        "drop the file as delimited text with one row per line",
        row,
    )


OPTIONS = dict.fromkeys(SnapshotLayout.model_fields, checked_elsewhere)
CONNECTOR = CsvSnapshot()

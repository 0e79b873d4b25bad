"""The plan of one snapshot file, made once from its header: which cell of a row is what, and how each is read.

Rows are read from it one at a time (``snapshot_rows``) or a block at a time (``snapshot_block``); both go through
these same readers of cells, so that they cannot differ in what a cell means.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.domain.events import Count, Origin, instant
from shared.domain.messages import Message
from shared.domain.network import Source
from shared.domain.stock import EventKey, LocationId, Sku
from shared.sources.contract import DroppedFile, Report
from shared.sources.reading import MAX_KEY_BYTES, event_key, identifier, refuse, shown
from shared.sources.snapshot_layout import SnapshotLayout
from shared.sources.written_quantity import UnreadableQuantityError, WrittenQuantity


@dataclass(frozen=True, slots=True)
class Cell:
    """One quantity of a row: its column, and the location it is about (None: the row names it)."""

    index: int
    column: str
    location: str | None


@dataclass(frozen=True, slots=True)
class Plan:
    """Where everything is. ``as_of`` is the whole file's instant, or None where ``as_of_column`` has each row's."""

    layout: SnapshotLayout
    source: Source
    origin: Origin
    width: int
    sku: int
    location: int | None
    as_of_column: int | None
    as_of: datetime | None
    cells: Sequence[Cell]
    quantity: WrittenQuantity
    version: str
    key_start: str
    key_end: str

    def location_of(self, text: str) -> str:
        """Read the cell that names the row's location.

        Raises
        ------
        UnreadableError
        """
        return identifier(text.strip(), self.layout.location_column or "")

    def as_of_of(self, text: str) -> datetime:
        """Read the cell that names the row's instant.

        Raises
        ------
        UnreadableError
        """
        column = self.layout.as_of.column or ""
        return self.layout.as_of.of_text(identifier(text.strip(), column), column)

    def quantity_of(self, text: str, column: str) -> int | None:
        """Read a quantity, 0 or more; None where a blank one is declared to be skipped.

        Raises
        ------
        UnreadableError
        """
        text = text.strip()
        if not text:
            if self.layout.skip_blank_quantity:
                return None
            remedy = "fill it in (0 if there is none), or declare skip_blank_quantity"
            refuse("missing_field", column, "is empty", remedy)
        try:
            quantity = self.quantity.read(text)
        except UnreadableQuantityError as error:
            refuse("invalid_field", column, error.reason, error.remedy)
        if quantity < 0:
            reason = f"{shown(text)} is negative, and a count of stock cannot be"
            remedy = "count the item, or send what was booked below zero as an adjustment"
            refuse("invalid_field", column, reason, remedy)
        return quantity

    def report(self, sku: str, location: str, quantity: int, as_of: datetime, row: int) -> Report:
        """Return the count that one cell says.

        Raises
        ------
        UnreadableError
            When its event key would be too long to store.
        """
        start = self.key_start or f"{event_key(self.source.id, 'snapshot', instant(as_of))}/"
        key = f"{start}{event_key(sku, location)}{self.key_end}"
        if len(key) * 4 > MAX_KEY_BYTES:
            event_key(self.source.id, "snapshot", instant(as_of), sku, location, self.key_end[1:])
        count = Count(
            key=EventKey(key),
            sku=Sku(sku),
            location=LocationId(location),
            quantity=quantity,
            as_of=as_of,
            origin=self.origin,
            element=self.layout.element,
            version=self.version,
        )
        return Report(count, self.layout.code_kind, row)


def plan_of(
    layout: SnapshotLayout,
    found: Mapping[str, int],
    width: int,
    as_of: datetime | None,
    file: DroppedFile,
    message: Message,
    source: Source,
) -> Plan:
    """Make the plan of a file whose declared columns were found at these positions."""
    if layout.quantity_column is not None:
        cells = [Cell(found[layout.quantity_column], layout.quantity_column, None)]
    else:
        wide = layout.location_columns or {}
        cells = [Cell(found[column], column, location) for column, location in wide.items()]
    version = f"{instant(file.written_at)}.{file.sequencer}"
    return Plan(
        layout=layout,
        source=source,
        origin=Origin(source.id, message.id, (("file", file.name),)),
        width=width,
        sku=found[layout.sku_column],
        location=found[layout.location_column] if layout.location_column else None,
        as_of_column=found[layout.as_of.column] if layout.as_of.column else None,
        as_of=as_of,
        cells=cells,
        quantity=WrittenQuantity(layout.decimal, layout.thousands),
        version=version,
        key_start="" if as_of is None else f"{event_key(source.id, 'snapshot', instant(as_of))}/",
        key_end=f"/{event_key(layout.element, version)}",
    )

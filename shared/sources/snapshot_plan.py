"""The plan of one snapshot file, made once from its header: which cell of a row is what, and how each is read.

Rows are read from it one at a time (``snapshot_rows``) or a block at a time (``snapshot_block``); both go through
these same readers of cells, so that they cannot differ in what a cell means.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from shared.domain.events import Count, Origin, instant
from shared.domain.messages import Message
from shared.domain.network import Source
from shared.domain.stock import EventKey, LocationId, Sku
from shared.domain.units import Measure
from shared.sources.contract import DroppedFile, Report
from shared.sources.reading import MAX_KEY_BYTES, event_key, identifier, refuse, shown
from shared.sources.snapshot_layout import SnapshotLayout, Taken
from shared.sources.written_quantity import UnreadableQuantityError, WrittenQuantity


@dataclass(frozen=True, slots=True)
class Cell:
    """One quantity of a row: its column, and the location it is about (None: the row names it)."""

    index: int
    column: str
    location: str | None


class Amount(NamedTuple):
    """A quantity as it is written: steps of ``10**-places`` of ``unit``, whole base units where that is empty."""

    quantity: int
    places: int = 0
    unit: str = ""

    @property
    def measure(self) -> Measure | None:
        """The unit and how the quantity is written in it; None for whole base units."""
        return Measure(self.unit, self.places) if self.unit else None


@dataclass(frozen=True, slots=True)
class Plan:
    """Where everything is. ``taken`` is when the whole file was, or None where ``as_of_column`` has each row's."""

    layout: SnapshotLayout
    source: Source
    origin: Origin
    width: int
    sku: int
    location: int | None
    as_of_column: int | None
    unit: int | None
    taken: Taken | None
    file: DroppedFile
    cells: Sequence[Cell]
    quantity: WrittenQuantity
    version: str
    element: str
    key_start: str

    @property
    def key_end(self) -> str:
        """What every event key ends with."""
        return f"/{self.element}/{self.version}"

    def location_of(self, text: str) -> str:
        """Read the cell that names the row's location.

        Raises
        ------
        UnreadableError
        """
        return identifier(text.strip(), self.layout.location_column or "")

    def taken_of(self, text: str) -> Taken:
        """Read the cell that names when the row was taken.

        Raises
        ------
        UnreadableError
        """
        column = self.layout.as_of.column or ""
        return self.layout.as_of.of_text(identifier(text.strip(), column), column, self.file)

    def quantity_of(self, text: str, column: str) -> int | None:
        """Read a quantity, 0 or more; None where a blank one is declared to be skipped.

        Raises
        ------
        UnreadableError
        """
        amount = self.amount_of(text, column)
        return None if amount is None else amount.quantity

    def amount_of(self, text: str, column: str, unit: str = "") -> Amount | None:
        """Read a quantity in a unit, which may have decimals, or in whole base units; None where it is skipped.

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
            quantity, places = self.quantity.measured(text) if unit else (self.quantity.read(text), 0)
        except UnreadableQuantityError as error:
            refuse("invalid_field", column, error.reason, error.remedy)
        if quantity < 0:
            reason = f"{shown(text)} is negative, and a count of stock cannot be"
            remedy = "count the item, or send what was booked below zero as an adjustment"
            refuse("invalid_field", column, reason, remedy)
        return Amount(quantity, places, unit)

    def unit_of(self, cells: Sequence[str]) -> str:
        """Read the cell that names the unit of a row's quantities; empty where none is named.

        Raises
        ------
        UnreadableError
        """
        text = "" if self.unit is None else cells[self.unit].strip()
        return identifier(text, self.layout.unit_column or "") if text else ""

    def report(
        self,
        sku: str,
        location: str,
        quantity: int,
        taken: Taken,
        row: int,
        measure: Measure | None = None,
        further: tuple[tuple[int, Measure], ...] = (),
    ) -> Report:
        """Return the count that one cell says, with ``further`` quantities in other units.

        Raises
        ------
        UnreadableError
            When its event key would be too long to store.
        """
        as_of, since = taken
        start = self.key_start or f"{_key_start(self.source, taken)}/"
        document = f"{start}{event_key(sku, location)}/{self.element}"
        key = f"{document}/{self.version}"
        if len(key) * 4 > MAX_KEY_BYTES:
            about = (instant(since or as_of), sku, location, self.layout.element, self.version)
            event_key(self.source.id, "snapshot", *about)
        count = Count(
            key=EventKey(key),
            sku=Sku(sku),
            location=LocationId(location),
            quantity=quantity,
            as_of=as_of,
            origin=self.origin,
            element=self.layout.element,
            version=self.version,
            # A corrected file of the same day is written later, so the instant alone does not tell what it corrects.
            document="" if since is None else document,
            since=since,
        )
        return Report(count, self.layout.code_kind, row, measure, further)


def plan_of(
    layout: SnapshotLayout,
    found: Mapping[str, int],
    width: int,
    taken: Taken | None,
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
        unit=found[layout.unit_column] if layout.unit_column else None,
        taken=taken,
        file=file,
        cells=cells,
        quantity=WrittenQuantity(layout.decimal, layout.thousands),
        version=version,
        element=event_key(layout.element),
        key_start="" if taken is None else f"{_key_start(source, taken)}/",
    )


def _key_start(source: Source, taken: Taken) -> str:
    """Return what the event keys of one instant, or of one day, begin with."""
    return event_key(source.id, "snapshot", instant(taken.since or taken.as_of))

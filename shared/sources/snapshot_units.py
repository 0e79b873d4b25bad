"""Rows of one item in several units: ``24 each`` and ``2 case`` of it, anywhere in one file, are one count of both.

The rows of an item may lie far apart, and its count is known only with the last of them. So a file whose rows name
units is read twice: once to see which items have several rows, and where the last of each is; then to read it. What an
item's rows say is kept until its last row, and reported there, so that a reading which goes on behind a row has lost
nothing. How large a unit is, only the item master knows: the parts are added where the codes are looked up.

Two rows in one unit are the same row twice, or contradict each other: then the first is taken and the later is a fault,
as in any file. Where a row cannot be read, the sum is not known, and the item is not counted at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from shared.domain.units import Measure
from shared.sources.contract import Fault, Report
from shared.sources.delimited_text import Row
from shared.sources.reading import UnreadableError, shown
from shared.sources.snapshot_plan import Amount
from shared.sources.snapshot_rows import About, RowReader, at_row


def last_rows(rows: Iterable[Row | Fault], reader: RowReader) -> dict[int, int]:
    """Return the last row's number of each item that has several, by what its rows are about."""
    known: set[int] = set()
    last: dict[int, int] = {}
    for row in rows:
        if isinstance(row, Fault):
            continue
        try:
            about = reader.about(row)
        except UnreadableError:
            continue
        if about is not None and about.identity in known:
            last[about.identity] = row.number
        elif about is not None:
            known.add(about.identity)
    return last


@dataclass(slots=True)
class _Parts:
    """What the rows of one item said so far: for each of their quantities, by unit, the amount and its row."""

    amounts: dict[str, dict[str, tuple[Amount, int]]] = field(default_factory=dict)
    is_spoilt: bool = False


class UnitRowReader:
    """Reads the rows of a file that names units."""

    def __init__(self, rows: RowReader, last: Mapping[int, int]) -> None:
        self._rows = rows
        self._plan = rows.plan
        self._last = last
        self._parts: dict[int, _Parts] = {}
        names = rows.plan.source.options.get("units")
        self._names = names if isinstance(names, Mapping) else {}
        self._unnamed = str(rows.plan.source.options.get("unit") or "")

    def read(self, row: Row) -> Iterator[Report | Fault]:
        """Yield what a row says, if it is the only one of its item; else, at the last of them, what they say together."""
        try:
            about = self._rows.about(row)
        except UnreadableError as error:
            yield at_row(error.fault, row.number)
            return
        if about is None:
            return
        if about.identity not in self._last:
            yield from self._rows.read(row)
            return
        parts = self._parts.setdefault(about.identity, _Parts())
        for fault in self._take(row, about, parts):
            yield at_row(fault, row.number)
        if row.number == self._last[about.identity]:
            del self._parts[about.identity]
            yield from self._together(row, about, parts)

    def _take(self, row: Row, about: About, parts: _Parts) -> Iterator[Fault]:
        """Add what a row says to what the earlier rows of its item do; yield what is wrong with it."""
        for cell in self._plan.cells:
            try:
                unit = self._plan.unit_of(about.cells)
                amount = self._plan.amount_of(about.cells[cell.index], cell.column, unit)
            except UnreadableError as error:
                parts.is_spoilt = True
                yield error.fault
                continue
            if amount is None:
                continue
            named = unit or self._unnamed
            known = parts.amounts.setdefault(cell.column, {})
            first, number = known.setdefault(str(self._names.get(named, named)), (amount, row.number))
            if (first.quantity, first.places) != (amount.quantity, amount.places):
                yield Fault(
                    "invalid_field",
                    self._plan.layout.sku_column,
                    f"duplicate row: {shown(about.sku)} is in row {number} already, in the same unit with another "
                    "quantity",
                    f"nothing says which row is right; row {number} was taken: drop a corrected file",
                )

    def _together(self, row: Row, about: About, parts: _Parts) -> Iterator[Report | Fault]:
        """Yield what all rows of an item said: a count of each of their quantities."""
        if parts.is_spoilt:
            yield Fault(
                "invalid_field",
                self._plan.layout.sku_column,
                f"one of the rows of {about.sku} cannot be read, so that what they add up to is not known",
                "correct that row, and drop the file again",
                row.number,
            )
            return
        for cell in self._plan.cells:
            amounts = [amount for amount, _ in parts.amounts.get(cell.column, {}).values()]
            if not amounts:
                continue
            place = cell.location or about.location
            further = tuple((amount.quantity, Measure(amount.unit, amount.places)) for amount in amounts[1:])
            try:
                yield self._plan.report(
                    about.sku,
                    place,
                    amounts[0].quantity,
                    about.taken,
                    row.number,
                    amounts[0].measure,
                    further,
                )
            except UnreadableError as error:
                yield at_row(error.fault, row.number)

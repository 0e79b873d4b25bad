"""Snapshot rows read one at a time, with a fault for every one that cannot be read; and what was seen of a file.

This is the reading that decides. ``snapshot_block`` reads many plain rows at once, and leaves to this one every
block that holds anything it is not sure of.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from shared.sources.contract import Fault, Report
from shared.sources.delimited_text import Row
from shared.sources.reading import UnreadableError, identifier, refuse, shown
from shared.sources.snapshot_layout import Taken
from shared.sources.snapshot_plan import Amount, Plan


def identity(sku: str, location: str, as_of: datetime) -> int:
    """Return what a row is about, as one number."""
    return hash((sku, location, as_of))


def said(quantities: Sequence[int | None]) -> int:
    """Return what a row says, as one number: its quantity, or a digest of several."""
    only = quantities[0] if len(quantities) == 1 else None
    return hash(tuple(quantities)) if only is None else only


class SeenRows:
    """What each row so far was about and said: three integers for each, and a set to notice one that comes again.

    As long as nothing does, that set is all there is. From the first repetition on an index says where the earlier
    row was; so a file without repetitions, which is most of them, does not pay for it.
    """

    def __init__(self) -> None:
        self._identities, self._said, self._rows = array("q"), array("q"), array("q")
        self._known: set[int] = set()
        self._index: dict[int, int] | None = None

    def add(self, about: int, says: int, row: int) -> tuple[int, int] | None:
        """Remember a row; return the earlier one about the same and what it says, if there is one."""
        found = self._indexed().get(about) if about in self else None
        if found is not None:
            return self._rows[found], self._said[found]
        self._remember([about], [says], range(row, row + 1))
        return None

    def add_all(self, about: Sequence[int], says: Sequence[int], rows: range) -> bool:
        """Remember rows none of which is about what another is about; else remember none and return False."""
        if self._index is None:
            expected = len(self._known) + len(about)
            self._known.update(about)
            if len(self._known) != expected:
                self._indexed()  # made from the rows before these
                return False
        elif len(set(about)) != len(about) or not self._index.keys().isdisjoint(about):
            return False
        self._remember(about, says, rows)
        return True

    def __contains__(self, about: int) -> bool:
        return about in (self._known if self._index is None else self._index)

    def _remember(self, about: Sequence[int], says: Sequence[int], rows: range) -> None:
        if self._index is None:
            self._known.update(about)
        else:
            start = len(self._identities)
            self._index.update(zip(about, range(start, start + len(about)), strict=True))
        self._identities.extend(about)
        self._said.extend(says)
        self._rows.extend(rows)

    def _indexed(self) -> dict[int, int]:
        if self._index is None:
            self._known = set()
            self._index = {about: number for number, about in enumerate(self._identities)}
        return self._index


class About(NamedTuple):
    """A row's cells, and what they are about: the sender's item and location, and when it was counted."""

    cells: list[str]
    sku: str
    location: str
    taken: Taken

    @property
    def identity(self) -> int:
        """What the row is about, as one number."""
        return identity(self.sku, self.location, self.taken.as_of)


@dataclass(frozen=True, slots=True)
class RowReader:
    """Reads single rows of one file."""

    plan: Plan
    seen: SeenRows

    def read(self, row: Row) -> Iterator[Report | Fault]:
        """Yield what a row says: a report or a fault for each of its quantities, or one fault for all of it."""
        try:
            yield from self._read(row)
        except UnreadableError as error:
            yield at_row(error.fault, row.number)

    def _read(self, row: Row) -> Iterator[Report | Fault]:
        about, plan = self.about(row), self.plan
        if about is None:
            return
        cells, sku, location, taken = about
        unit = plan.unit_of(cells)
        found = [self._amount(cells[cell.index], cell.column, unit, row.number) for cell in plan.cells]
        if self._is_repeated(row, sku, location, taken.as_of, found):
            return
        for cell, amount in zip(plan.cells, found, strict=True):
            if isinstance(amount, Amount):
                place, measure = cell.location or location, amount.measure
                yield plan.report(sku, place, amount.quantity, taken, row.number, measure)
            elif amount is not None:
                yield amount

    def about(self, row: Row) -> About | None:
        """Say what a row is about; None for one that says nothing: a footer, or one that is declared to be skipped.

        Raises
        ------
        UnreadableError
        """
        plan = self.plan
        footer = plan.layout.footer_pattern
        if footer is not None and footer.search(row.text):
            return None
        cells = self._whole(row)
        if cells is None:
            return None
        sku = cells[plan.sku].strip()
        if not sku:
            if plan.layout.skip_blank_sku:
                return None
            remedy = "fill it in; for totals and footers declare footer_pattern or skip_blank_sku"
            refuse("missing_field", plan.layout.sku_column, "is empty", remedy)
        identifier(sku, plan.layout.sku_column)
        location = (
            plan.layout.location or "" if plan.location is None else plan.location_of(cells[plan.location])
        )
        return About(cells, sku, location, plan.taken or plan.taken_of(cells[plan.as_of_column or 0]))

    def _whole(self, row: Row) -> list[str] | None:
        """Return the row's cells, as many as the header has; None for a row of empty cells."""
        cells, width = row.cells, self.plan.width
        if len(cells) != width:
            extra = cells[width:]
            if len(cells) < width or any(cell.strip() for cell in extra):
                if not any(cell.strip() for cell in cells):
                    return None
                refuse(
                    "malformed",
                    "row",
                    f"has {len(cells)} cells where the header has {width}",
                    "quote cells that hold the delimiter (a decimal comma?), and send every row whole",
                )
        elif not cells[self.plan.sku].strip() and not any(cell.strip() for cell in cells):
            return None
        return cells

    def _amount(self, text: str, column: str, unit: str, row: int) -> Amount | Fault | None:
        try:
            return self.plan.amount_of(text, column, unit)
        except UnreadableError as error:
            return at_row(error.fault, row)

    def _is_repeated(
        self, row: Row, sku: str, location: str, as_of: datetime, found: Sequence[Amount | Fault | None]
    ) -> bool:
        """Say whether an earlier row says exactly this; raise where it says something else."""
        amounts = [value if isinstance(value, Amount) else None for value in found]
        if not any(value is not None for value in amounts):
            return False
        in_units = any(value.unit for value in amounts if value is not None)
        says = (
            hash(tuple(amounts))
            if in_units
            else said([None if value is None else value.quantity for value in amounts])
        )
        earlier = self.seen.add(identity(sku, location, as_of), says, row.number)
        if earlier is None:
            return False
        number, before = earlier
        if before != says:
            refuse(
                "invalid_field",
                self.plan.layout.sku_column,
                f"duplicate row: {shown(sku)} is in row {number} already, with another quantity",
                f"nothing says which row is right; row {number} was taken: drop a corrected file",
            )
        return True


def at_row(fault: Fault, row: int) -> Fault:
    """Return a fault with the number of its row."""
    return Fault(fault.code, fault.field, fault.reason, fault.remedy, row)

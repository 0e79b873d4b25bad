"""Plain snapshot rows read a block at a time, column by column, some ten times as fast as one by one.

A block is plain when nothing in it needs a second look: no quote, every line with as many cells as the header,
every identifier printable and short enough, every quantity a number that is 0 or more, no declared footer, and no
row about what another row is about. That is established for the block as a whole by a few operations on all of its
cells at once; where any of them fails the answer is None, nothing is remembered of the block, and
``snapshot_rows`` reads it row by row. So speed never decides what a file says; a property test holds the two
readings equal.

How lines are known to be whole: each line end is made the beginning of a cell, by a delimiter before it. Then the
cells of ``n`` lines of ``w`` cells are ``n * w``, and the line ends, ``n - 1`` of them, stand all in every ``w``-th
cell exactly when each line has ``w`` cells.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import compress, repeat
from typing import TypeVar

from shared.domain.snapshot_guard import Census
from shared.sources.contract import Report
from shared.sources.reading import MAX_KEY_BYTES, MAX_TEXT, UnreadableError
from shared.sources.snapshot_layout import Taken
from shared.sources.snapshot_plan import Plan
from shared.sources.snapshot_rows import SeenRows

_REMEMBERED = 50_000
"""Different texts of one column whose reading is remembered."""

Read = TypeVar("Read")


class _Remembered(dict[str, Read]):
    """What each text reads as; quantities, places and times of a file are few, however many its rows are."""

    def __init__(self, read: Callable[[str], Read]) -> None:
        super().__init__()
        self._read = read

    def __missing__(self, text: str) -> Read:
        if len(self) >= _REMEMBERED:
            self.clear()
        value = self[text] = self._read(text)
        return value


@dataclass(frozen=True, slots=True)
class SnapshotBlock:
    """Consecutive rows as columns.

    Attributes
    ----------
    first_row
        The number of its first row; the others follow it without a gap.
    skus, locations, taken
        Of each row; ``locations`` and ``taken`` are None where all rows of the file have the same.
    quantities
        For each cell of the plan, the number of each row.
    """

    plan: Plan
    first_row: int
    skus: Sequence[str]
    locations: Sequence[str] | None
    taken: Sequence[Taken] | None
    quantities: Sequence[Sequence[int]]

    def __len__(self) -> int:
        return len(self.skus)

    def census(self) -> Iterator[tuple[str, Census]]:
        """Yield how many rows there are of each place, and how many of them say more than zero."""
        for cell, column in zip(self.plan.cells, self.quantities, strict=True):
            if cell.location is None and self.locations is not None:
                stocked = Counter(compress(self.locations, column))
                for place, rows in Counter(self.locations).items():
                    yield place, Census(rows, stocked[place])
            else:
                place = cell.location or self.plan.layout.location or ""
                yield place, Census(len(column), len(column) - column.count(0))

    def reports(self) -> Iterator[Report]:
        """Yield each quantity as the count that it is, row by row."""
        plan, report = self.plan, self.plan.report
        fixed = plan.layout.location or ""
        for index, sku in enumerate(self.skus):
            location = fixed if self.locations is None else self.locations[index]
            taken = plan.taken if self.taken is None else self.taken[index]
            if taken is None:
                raise AssertionError("a plan without an instant has a column for it")
            for cell, column in zip(plan.cells, self.quantities, strict=True):
                yield report(sku, cell.location or location, column[index], taken, self.first_row + index)


class _NotPlainError(Exception):
    """Something in the block needs a second look."""


class BlockReader:
    """Reads plain blocks of one file."""

    def __init__(self, plan: Plan, delimiter: str, seen: SeenRows) -> None:
        self._plan = plan
        self._delimiter = delimiter
        self._seen = seen
        self._quantities = _Remembered(partial(_quantity, plan))
        self._locations = _Remembered(plan.location_of)
        self._taken = _Remembered(plan.taken_of)
        places = [cell.location or plan.layout.location or "" for cell in plan.cells]
        start = plan.key_start or "x" * (len(plan.source.id) * 4 + 50)
        self._key_rest = len(start.encode()) + len(plan.key_end.encode()) + 4 * max(map(len, places)) + 2

    def read(self, text: str, first_row: int) -> SnapshotBlock | None:
        """Read whole lines; None when they are not plain."""
        if '"' in text or "\ufffd" in text:
            return None
        plan = self._plan
        footer = plan.layout.footer_pattern
        if footer is not None and any(map(footer.search, text.split("\n"))):
            return None
        number, width = text.count("\n") + 1, plan.width
        cells = text.replace("\n", f"{self._delimiter}\n").split(self._delimiter)
        if len(cells) != number * width:
            return None
        first_column = "".join(cells[0::width]).split("\n")
        if len(first_column) != number:
            return None
        columns = _Columns(first_column, cells, width)
        try:
            return self._block(columns, first_row, number)
        except (UnreadableError, _NotPlainError):
            return None

    def _block(self, columns: _Columns, first_row: int, number: int) -> SnapshotBlock:
        plan = self._plan
        skus = self._skus(columns.of(plan.sku))
        locations = taken = None
        if plan.location is not None:
            locations = list(map(self._locations.__getitem__, columns.of(plan.location)))
        if plan.as_of_column is not None:
            taken = list(map(self._taken.__getitem__, columns.of(plan.as_of_column)))
        self._check_keys(skus, locations)
        read = self._quantities.__getitem__
        quantities = [list(map(read, columns.of(cell.index))) for cell in plan.cells]
        places = locations or repeat(plan.layout.location or "")
        times = [one.as_of for one in taken] if taken else repeat(plan.taken and plan.taken.as_of)
        about = list(map(hash, zip(skus, places, times, strict=False)))
        says = quantities[0] if len(quantities) == 1 else list(map(hash, zip(*quantities, strict=True)))
        if not self._seen.add_all(about, says, range(first_row, first_row + number)):
            raise _NotPlainError
        return SnapshotBlock(plan, first_row, skus, locations, taken, quantities)

    def _skus(self, column: list[str]) -> list[str]:
        """Return the SKUs of a column, if each of them can be an identifier as it stands."""
        together = "".join(column)
        if " " in together:
            column = list(map(str.strip, column))
        if not (together.isprintable() and all(column)):
            raise _NotPlainError
        return column

    def _check_keys(self, skus: list[str], locations: list[str] | None) -> None:
        """See that no SKU is too long, nor any event key could be."""
        longest = max(map(len, skus))
        place = 0 if locations is None else max(map(len, set(locations)))
        if longest > MAX_TEXT or 4 * (longest + place) + self._key_rest > MAX_KEY_BYTES:
            raise _NotPlainError


def _quantity(plan: Plan, text: str) -> int:
    quantity = plan.quantity_of(text, "")
    if quantity is None:
        raise _NotPlainError
    return quantity


@dataclass(frozen=True, slots=True)
class _Columns:
    """The cells of a block, row after row; the first column's apart, without their line ends."""

    first: list[str]
    cells: list[str]
    width: int

    def of(self, index: int) -> list[str]:
        return self.cells[index :: self.width] if index else self.first

"""A file of proven layout, read once: its rows go to the spill, what cannot be read is set aside and counted.

A kept row is: SKU, place, quantity, price, sides, row number, all as written; numbers are read later, when the whole
file has shown how it writes them. A row of totals, a blank SKU and a blank quantity are never taken for stock: a
blank is not zero.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from pathlib import Path

from infra.audit.headings import is_total
from infra.audit.proof import Layout, Role
from infra.audit.spill import Spill
from infra.audit.tables import Block, SetAside
from infra.audit.written_numbers import Style, StyleEvidence
from shared.domain.sku_codes import Shards

SKU, PLACE, QUANTITY, PRICE, SIDES = range(5)
"""Cells of a kept row; the sides follow, the row number is the last."""

_MOST_PLACES = 400
_SCIENTIFIC = re.compile(r"[0-9][.,][0-9]+[Ee]\+[0-9]+")
_TOTAL_CHECK = re.compile(r"tot|sum|gesamt", re.IGNORECASE)


@dataclass
class Export:
    """A file that was read.

    Attributes
    ----------
    system
        What it is called in the report: the file's name without its ending.
    places
        Every place it names, as written; None where there are too many of them to be places of stock.
    numbers, money
        What its quantities (and sides) and its prices prove about how it writes numbers.
    undecodable
        Whether a cell that is needed holds bytes that are not in the file's encoding.
    """

    path: Path
    system: str
    role: Role
    layout: Layout
    spill: Spill
    aside: SetAside
    places: set[str] | None = field(default_factory=set)
    numbers: StyleEvidence = field(default_factory=StyleEvidence)
    money: StyleEvidence = field(default_factory=StyleEvidence)
    undecodable: str = ""
    mangled: list[str] = field(default_factory=list)
    style: Style = field(default_factory=Style)
    money_style: Style = field(default_factory=Style)

    @property
    def has_places(self) -> bool:
        """Whether its quantities are by place."""
        return bool(self.places) and self.places != {""}

    @property
    def rows(self) -> int:
        """Rows that were kept: one for each quantity."""
        return self.spill.rows


def read_export(path: Path, system: str, role: Role, layout: Layout, folder: Path, shards: Shards) -> Export:
    """Read a whole file into a spill in ``folder``, which is for this file alone.

    Raises
    ------
    AuditError
        When it cannot be read to its end.
    """
    table = layout.opened.table()
    spill = Spill(folder, shards, SIDES + len(layout.sides) + 1)
    export = Export(path, system, role, layout, spill, table.aside)
    wanted = [
        layout.sku,
        *(column for column, _ in layout.quantities),
        *([] if layout.location is None else [layout.location]),
        *([] if layout.price is None else [layout.price]),
        *(side.column for side in layout.sides),
    ]
    for block in table.blocks(wanted):
        _keep(export, _plain(export, block))
    spill.flush()
    return export


def _plain(export: Export, block: Block) -> Block:
    """Return the block without rows that say nothing of an item's stock, and its texts without outer spaces."""
    columns = [_stripped(column) for column in block.columns]
    skus = columns[0]
    together = "".join(skus)
    if (
        all(skus)
        and together.isprintable()
        and "\ufffd" not in together
        and not _TOTAL_CHECK.search(together)
    ):
        return Block(block.rows, columns)
    kept = []
    for at, (row, sku) in enumerate(zip(block.rows, skus, strict=True)):
        said = " | ".join(column[at] for column in columns)
        if "\ufffd" in sku:
            export.undecodable = export.undecodable or sku
        if not sku:
            if any(column[at] for column in columns):
                export.aside.add("no SKU", row, said)
        elif is_total(sku):
            export.aside.add("a total", row, said)
        elif not sku.isprintable():
            export.aside.add("the SKU holds characters that cannot be shown", row)
        else:
            kept.append(at)
    return Block([block.rows[at] for at in kept], [[column[at] for at in kept] for column in columns])


def _stripped(column: Sequence[str]) -> list[str]:
    together = "".join(column)
    plain = " " not in together and "\u00a0" not in together and "\t" not in together
    return list(column) if plain else [cell.strip() for cell in column]


def _keep(export: Export, block: Block) -> None:
    if not block.rows:
        return
    layout, columns = export.layout, list(block.columns)
    skus, amounts = list(columns[0]), columns[1 : 1 + len(layout.quantities)]
    rest = iter(columns[1 + len(layout.quantities) :])
    places = None if layout.location is None else next(rest)
    count = len(skus)
    prices = list(repeat("", count)) if layout.price is None else next(rest)
    sides = list(rest)
    rows = list(map(str, block.rows))
    _notice(export, skus, (*amounts, *sides), prices)
    if not amounts:
        export.spill.add([skus, *_blanks(2, count), prices, rows])
    for (_, place), amount in zip(layout.quantities, amounts, strict=True):
        where = list(repeat(place, count)) if places is None else places
        _note_places(export, where)
        export.spill.add(_with_amounts(export, [skus, where, amount, prices, *sides, rows]))


def _blanks(number: int, count: int) -> Iterator[list[str]]:
    return (list(repeat("", count)) for _ in range(number))


def _with_amounts(export: Export, columns: Sequence[Sequence[str]]) -> Sequence[Sequence[str]]:
    if all(columns[QUANTITY]):
        return columns
    kept = []
    for at, amount in enumerate(columns[QUANTITY]):
        if amount:
            kept.append(at)
        else:
            export.aside.add("no quantity, which is not zero", int(columns[-1][at]), columns[SKU][at])
    return [[column[at] for at in kept] for column in columns]


def _notice(
    export: Export, skus: Sequence[str], numbers: Iterable[Sequence[str]], prices: Sequence[str]
) -> None:
    """Learn from a block how the file writes, and whether a spreadsheet has been at its codes."""
    for column in numbers:
        for text in set(column):
            if not text.isdigit():
                export.numbers.note(text)
    for text in set(prices):
        if not text.isdigit():
            export.money.note(text)
    if len(export.mangled) < 3 and "+" in (together := "\n".join(skus)):
        export.mangled.extend(_SCIENTIFIC.findall(together)[: 3 - len(export.mangled)])


def _note_places(export: Export, places: Sequence[str]) -> None:
    found = set(places)
    if any("\ufffd" in place for place in found):
        export.undecodable = export.undecodable or next(place for place in found if "\ufffd" in place)
    if export.places is not None:
        export.places |= found
        if len(export.places) > _MOST_PLACES:
            export.places = None

"""The item file: which items there are, under which ids the channels sell them, and what the sources call them.

==========================  ================================================================
column                      holds
==========================  ================================================================
``sku``                     our own identifier, once in the file (required)
``channel:{channel}``       the channel's own id of the item: it is listed there
``code:{source}:{kind}``    the source's code of a kind (``sku``, ``upc``, ``inventory_item_id``); with
                            ``@{unit}`` behind it, the code that is printed on that pack
``unit:{channel}``          the pack that the channel sells it by
``base_unit``               what its stock is counted in: ``each``, ``g`` ...
``pack:{unit}``             how many base units one such unit is: ``12``, ``0.5``, ``1/3``
``components``              what lies in it, where it is a kit: ``TEA=2; MUG=1``
``effective_from``          from when base unit, packs and components hold (an instant with its zone);
                            without it, those in force are corrected
``price``, ``cost``         what a base unit sells for, and what it stands in the books for, each with its
                            currency: ``12.50 EUR``
``description``, ``class``, ``owner``, ``tracks_lots``, ``tracks_expiry``, ``hot`` (``yes`` or ``no``)
==========================  ================================================================

CSV with a header, in UTF-8 with or without a byte order mark; columns without a colon are passed over. Cells lose
the spaces around them and nothing else: ``00123``, ``1E3`` and ``NA`` stay what they are. An empty cell says nothing.
A bad row costs itself alone; it comes out as a fault under its number (the header is row 1).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import BinaryIO

from infra.cli.item_cells import DETAILS, declaration
from shared.domain.item_changes import Declaration
from shared.domain.items import Reference
from shared.domain.network import Listing
from shared.domain.stock import ChannelId, Sku, SourceId
from shared.sources.contract import Fault
from shared.sources.delimited_text import LONGEST_LINE, LineTooLongError, Row, RowScanner, lines
from shared.sources.reading import UnreadableError, identifier, refuse, shown
from shared.sources.snapshot_header import HEAD_BYTES, first_line, headers
from shared.sources.snapshot_layout import DELIMITERS
from shared.store.registry import Code, Network

SKU = "sku"


@dataclass(frozen=True, slots=True)
class ItemRow:
    """One item of the file."""

    number: int
    sku: Sku
    said: Declaration
    listings: tuple[Listing, ...] = ()
    codes: Mapping[Code, Reference] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Columns:
    """What the header says: where each column is, and which were passed over."""

    delimiter: str
    width: int
    sku: int
    channels: Mapping[int, ChannelId]
    units: Mapping[int, ChannelId]
    codes: Mapping[int, tuple[SourceId, str, str]]
    packs: Mapping[int, str]
    details: Mapping[str, int]
    names: Sequence[str]
    ignored: tuple[str, ...]

    @property
    def used(self) -> frozenset[int]:
        """The cells that are read."""
        named = (*self.channels, *self.units, *self.codes, *self.packs, *self.details.values())
        return frozenset({self.sku, *named})


class ItemFile:
    """Reads one item file, once, in bounded memory but for what has to be unique.

    Raises
    ------
    UnreadableError
        When it has no usable header; nothing can be read from it then.
    """

    def __init__(self, content: BinaryIO, network: Network) -> None:
        self._lines = lines(content.read(HEAD_BYTES), content, "utf-8-sig")
        self.columns = read_header(first_line(self._lines), network)
        self._seen: dict[tuple[str, ...], int] = {}

    def rows(self) -> Iterator[ItemRow | Fault]:
        """Yield each row's item or fault."""
        columns, last = self.columns, 1
        scanner = RowScanner(self._lines, columns.delimiter, columns.width, columns.used, columns.used)
        try:
            for row in scanner.rows():
                if isinstance(row, Fault):
                    yield row
                    continue
                last = row.number
                try:
                    if (item := self._item(row)) is not None:
                        yield item
                except UnreadableError as error:
                    yield replace(error.fault, row=row.number)
        except LineTooLongError:
            reason = f"a line has more than {LONGEST_LINE} characters; the file was not read from here on"
            yield Fault("malformed", "row", reason, "write one row per line", last + 1)

    def _item(self, row: Row) -> ItemRow | None:
        columns, cells = self.columns, [cell.strip() for cell in row.cells]
        if not any(cells):
            return None
        if len(cells) != columns.width:
            refuse(
                "malformed",
                "row",
                f"has {len(cells)} cells where the header has {columns.width}",
                "quote cells that hold the delimiter, and write every row whole",
            )
        sku = Sku(identifier(cells[columns.sku], SKU))
        units = {channel: cells[at] for at, channel in columns.units.items() if cells[at]}
        listings = tuple(
            Listing(channel, sku, identifier(cells[at], columns.names[at]), units.get(channel, ""))
            for at, channel in columns.channels.items()
            if cells[at]
        )
        codes = {
            Code(source, kind, identifier(cells[at], columns.names[at])): Reference(sku, unit)
            for at, (source, kind, unit) in columns.codes.items()
            if cells[at]
        }
        said = declaration(sku, columns, cells)
        self._claim(row.number, sku, listings, codes)
        return ItemRow(row.number, sku, said, listings, codes)

    def _claim(self, row: int, sku: Sku, listings: Sequence[Listing], codes: Iterable[Code]) -> None:
        """Note what only one row may say; a row that says it again is refused whole."""
        claims: dict[tuple[str, ...], str] = {(SKU, sku): SKU}
        claims |= {("channel", x.channel, x.external_id): f"channel:{x.channel}" for x in listings}
        claims |= {("code", c.source, c.kind, c.code): f"code:{c.source}:{c.kind}" for c in codes}
        for claim, column in claims.items():
            if (first := self._seen.get(claim)) is not None:
                refuse(
                    "invalid_field",
                    column,
                    f"{shown(claim[-1])} is in row {first} already",
                    f"nothing says which row is right; row {first} was taken: keep one of them",
                )
        self._seen |= dict.fromkeys(claims, row)


def read_header(line: str, network: Network) -> Columns:
    """Read the header.

    Raises
    ------
    UnreadableError
        When ``sku`` is missing, a column is there twice, or names a channel or source that is not declared.
    """
    delimiter = next((mark for mark in DELIMITERS if SKU in headers(line, mark)), None)
    if delimiter is None:
        refuse(
            "missing_field",
            "header",
            f"has no column {SKU}; the first line is {shown(line)}",
            f"write a CSV file in UTF-8 whose first line names its columns, one of them {SKU}",
        )
    names = headers(line, delimiter)
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        refuse("invalid_field", "header", f"has column {shown(twice[0])} twice", "keep one of them")
    channels: dict[int, ChannelId] = {}
    units: dict[int, ChannelId] = {}
    codes: dict[int, tuple[SourceId, str, str]] = {}
    packs: dict[int, str] = {}
    for at, name in enumerate(names):
        if name.startswith("channel:"):
            channels[at] = _channel(name, network)
        elif name.startswith("unit:"):
            units[at] = _channel(name, network)
        elif name.startswith("code:"):
            codes[at] = _code(name, network)
        elif name.startswith("pack:") and name != "pack:":
            packs[at] = identifier(name.removeprefix("pack:"), "header")
        elif ":" in name:
            refuse(
                "invalid_field",
                "header",
                f"{shown(name)} is no column that is known",
                "write channel:<channel id>, unit:<channel id>, code:<source>:<kind> or pack:<unit>, or leave the "
                "colon out to have it ignored",
            )
    details = {name: names.index(name) for name in DETAILS if name in names}
    used = {names.index(SKU), *channels, *units, *codes, *packs, *details.values()}
    ignored = tuple(name for at, name in enumerate(names) if at not in used)
    return Columns(
        delimiter, len(names), names.index(SKU), channels, units, codes, packs, details, names, ignored
    )


def _channel(name: str, network: Network) -> ChannelId:
    channel = ChannelId(name.partition(":")[2])
    if channel not in network.channels:
        _undeclared(name, "channel", network.channels)
    return channel


def _code(name: str, network: Network) -> tuple[SourceId, str, str]:
    source, _, kind = name.removeprefix("code:").partition(":")
    kind, _, unit = kind.partition("@")
    if SourceId(source) not in network.sources:
        _undeclared(name, "source", network.sources)
    if not kind or "#" in kind:
        refuse(
            "invalid_field",
            "header",
            f"{shown(name)} does not say the kind of code",
            f"write code:{source}:<kind>, for example code:{source}:sku",
        )
    return SourceId(source), kind, unit


def _undeclared(name: str, what: str, known: Mapping[ChannelId, object] | Mapping[SourceId, object]) -> None:
    listed = ", ".join(sorted(known)) or "none"
    refuse(
        "invalid_field",
        "header",
        f"{shown(name)} names a {what} that is not declared",
        f"declared: {listed}; correct the column, or declare it with `onecount apply` first",
    )

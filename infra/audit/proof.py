"""Which column of a file is what: proven from headings and cells, declared, or asked.

What is taken is kept in words with the reason, and shown: a reader of the report can object.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from infra.audit import headings as words
from infra.audit.opening import Opened, Question, open_file
from infra.audit.tables import AuditError
from infra.audit.written_numbers import STYLES, Style, StyleEvidence, digits_of, read_number

_MOST_PLACES_ASKED = 12


class Role(StrEnum):
    """What a file is read for."""

    SYSTEM = "system"
    EARLIER = "earlier"
    PRICES = "prices"


@dataclass(frozen=True, slots=True)
class Side:
    """A column beside the quantity that may explain a difference; ``sign`` as in ``headings.side_sign``."""

    column: int
    name: str
    sign: int


@dataclass(frozen=True, slots=True)
class Layout:
    """Where in a file things are.

    Attributes
    ----------
    quantities
        The column of the quantity with the place it is for; several in a wide file, one with place "" in a long one.
    location
        The column of the place in a long file that has one.
    meaning
        What its heading says the quantity is: ``on hand``, ``available``, or "" for just a quantity.
    style
        How numbers are written, where that was declared.
    """

    opened: Opened
    sku: int
    quantities: tuple[tuple[int, str], ...]
    location: int | None
    price: int | None
    sides: tuple[Side, ...]
    meaning: str
    style: Style | None
    taken: tuple[str, ...]


class _AskError(Exception):
    """Something of the file has to be asked."""

    def __init__(self, setting: str, reason: str, options: Sequence[str] = ()) -> None:
        super().__init__(reason)
        self.setting, self.reason, self.options = setting, reason, tuple(options)


def prove(
    path: Path, role: Role, settings: Mapping[str, str], places: frozenset[str] = frozenset()
) -> Layout | Question:
    """Establish a file's layout, or say what has to be asked.

    Parameters
    ----------
    settings
        What was declared or answered for this file, by setting.
    places
        Squeezed names of places in the other files: by them a wide file's columns are known.

    Raises
    ------
    AuditError
        When the file is no table, or what is declared is not in it.
    """
    opened = open_file(path, settings)
    if isinstance(opened, Question):
        return opened
    try:
        return _Proof(path.name, opened, settings, places).layout(role)
    except _AskError as ask:
        return Question(path.name, ask.setting, ask.reason, ask.options)


class _Proof:
    """Finds the columns of one opened file."""

    def __init__(
        self, file: str, opened: Opened, settings: Mapping[str, str], places: frozenset[str]
    ) -> None:
        self._file, self._opened, self._settings, self._places = file, opened, settings, places
        self._names = opened.headings
        self._taken = list(opened.taken)

    def layout(self, role: Role) -> Layout:
        """Find everything that the role needs."""
        sku = self._sku()
        price = self._price(role)
        quantities: tuple[tuple[int, str], ...] = ()
        meaning, location = "", None
        sides: tuple[Side, ...] = ()
        if role is not Role.PRICES:
            location = self._location()
            quantities, meaning = self._quantities(sku, location)
            used = {sku, location, price, *(column for column, _ in quantities)}
            if len(quantities) == 1:
                sides = self._sides(used)
        style = self._declared_style()
        return Layout(
            self._opened, sku, quantities, location, price, sides, meaning, style, tuple(self._taken)
        )

    def _declared(self, setting: str) -> int | None:
        """Return the column that was declared, by its heading or as ``#3``."""
        name = self._settings.get(setting)
        if name is None:
            return None
        column = self._column(name)
        self._taken.append(f"{setting.replace('-', ' ')} {self._names[column]!r} (declared)")
        return column

    def _column(self, name: str) -> int:
        fits = [at for at, heading in enumerate(self._names) if heading == name]
        fits = fits or [at for at, heading in enumerate(self._names) if heading.casefold() == name.casefold()]
        if len(fits) == 1:
            return fits[0]
        number = name.removeprefix("#")
        if name.startswith("#") and number.isdecimal() and 1 <= int(number) <= len(self._names):
            return int(number) - 1
        has = ", ".join(repr(heading) for heading in self._names)
        raise AuditError(
            self._file,
            f"has {'no' if not fits else 'more than one'} column {name!r}",
            f"it has {has}; a column can be named by its number too: #1",
        )

    def _ask(self, setting: str, reason: str, columns: Iterable[int]) -> _AskError:
        """Ask for one of some columns, each called so that it can be declared: by its number where not by its heading."""
        lowered = [name.casefold() for name in self._names]
        options = []
        for at in columns:
            is_plain = self._names[at] and lowered.count(lowered[at]) == 1
            options.append(self._names[at] if is_plain else f"#{at + 1}")
        return _AskError(setting, reason, options)

    def _sku(self) -> int:
        column = self._declared("sku-column")
        if column is not None:
            return column
        for group in words.SKU_WORDS:
            found = [at for at in words.named(self._names, group) if self._is_filled(at)]
            if len(found) == 1:
                others = [
                    self._names[at]
                    for later in words.SKU_WORDS
                    for at in words.named(self._names, later)
                    if at != found[0]
                ]
                beside = f"; not {' or '.join(map(repr, dict.fromkeys(others)))}" if others else ""
                self._taken.append(f"SKU is {self._names[found[0]]!r} (its heading{beside})")
                return found[0]
            if found:
                raise self._ask("sku-column", "several columns may be the SKU", found)
        raise self._ask("sku-column", "no heading says which column is the SKU", range(len(self._names)))

    def _location(self) -> int | None:
        if self._settings.get("location-column") == "":
            return None
        column = self._declared("location-column")
        if column is not None:
            return column
        found = words.named(self._names, words.LOCATION)
        if len(found) > 1 and len({tuple(row[at] for row in self._opened.sample) for at in found}) > 1:
            raise self._ask("location-column", "several columns may be the place", found)
        if found:
            self._taken.append(f"place is {self._names[found[0]]!r} (its heading)")
            return found[0]
        return None

    def _price(self, role: Role) -> int | None:
        column = self._declared("price-column")
        if column is not None:
            return column
        for group, what in zip(words.PRICE, ("price", "cost"), strict=True):
            found = [at for at in words.named(self._names, group) if self._is_filled(at)]
            if len(found) == 1:
                self._taken.append(f"{what} is {self._names[found[0]]!r} (its heading)")
                return found[0]
            if found and role is Role.PRICES:
                raise self._ask("price-column", "several columns may be the price", found)
        if role is Role.PRICES:
            reason = "no heading says which column is the price"
            raise self._ask("price-column", reason, range(len(self._names)))
        return None

    def _quantities(self, sku: int, location: int | None) -> tuple[tuple[tuple[int, str], ...], str]:
        if (wide := self._settings.get("location-columns")) is not None:
            columns = [self._column(name.strip()) for name in wide.split(",")]
            self._taken.append(
                f"a column for each place: {', '.join(self._names[at] for at in columns)} (declared)"
            )
            return tuple((at, self._names[at]) for at in columns), ""
        column = self._declared("quantity-column")
        if column is not None:
            return ((column, ""),), self._meaning_of(column)
        column, why = self._quantity()
        if column is not None:
            self._taken.append(f"quantity is {self._names[column]!r} ({why})")
            return ((column, ""),), self._meaning_of(column)
        by_place = self._wide()
        if by_place and location is None:
            return by_place, ""
        self._must_hold_numbers(sku)
        numeric = [at for at in range(len(self._names)) if at != sku and self._is_numeric(at)]
        reason = "no heading says which column is the quantity"
        if unread := self._called_quantity(sku):
            reason = f"{self._names[unread[0]]!r} would be the quantity, but {self._why_no_number(unread[0])}"
        if 1 < len(numeric) <= _MOST_PLACES_ASKED:
            reason += " (if each of them is a place, declare --location-columns)"
        others = [at for at in range(len(self._names)) if at != sku]
        raise self._ask("quantity-column", reason, numeric or others)

    def _must_hold_numbers(self, sku: int) -> None:
        """Refuse a file whose heading says which column is the quantity, while no column holds numbers.

        Raises
        ------
        AuditError
        """
        unread = self._called_quantity(sku)
        if unread and not any(self._is_numeric(at) for at in range(len(self._names)) if at != sku):
            raise AuditError(
                self._file,
                f"column {self._names[unread[0]]!r} is the quantity by its heading, but {self._why_no_number(unread[0])}",
                "export the quantity as plain numbers (12, not '12 pcs'), or give another file",
            )

    def _called_quantity(self, sku: int) -> list[int]:
        """Return the columns that are a quantity by their heading."""
        groups = (words.ON_HAND, words.AVAILABLE, words.PLAIN)
        return [at for group in groups for at in words.named(self._names, group) if at != sku]

    def _why_no_number(self, column: int) -> str:
        cells = [row[column] for row in self._opened.sample if row[column].strip()]
        if not cells:
            return f"it is empty in the first {len(self._opened.sample)} rows"
        return f"what it holds is no number, as {next(cell for cell in cells if digits_of(cell) is None)!r}"

    def _quantity(self) -> tuple[int | None, str]:
        groups = {
            what: [at for at in words.named(self._names, group) if self._is_numeric(at)]
            for what, group in (
                ("on hand", words.ON_HAND),
                ("available", words.AVAILABLE),
                ("plain", words.PLAIN),
            )
        }
        for what, found in groups.items():
            if len(found) > 1:
                raise self._ask("quantity-column", f"several columns may be {what}", found)
        on_hand, available, plain = (next(iter(found), None) for found in groups.values())
        if on_hand is not None:
            beside = (
                f", and what lies there is compared; not {self._names[available]!r}"
                if available is not None
                else ""
            )
            return on_hand, f"its heading{beside}"
        if available is not None and plain is not None:
            return self._larger(plain, available)
        return (available if plain is None else plain), "its heading"

    def _larger(self, plain: int, available: int) -> tuple[int, str]:
        """Take the quantity of which the available one is what its other columns leave over."""
        sides = [at for at, name in enumerate(self._names) if words.side_sign(name) < 0]
        for at in sides:
            rows = [
                numbers
                for row in self._opened.sample
                if None
                not in (numbers := [read_number(row[c], STYLES["point"]) for c in (plain, available, at)])
            ]
            fits = sum(1 for whole, left, less in rows if (whole or 0) - (less or 0) == left)
            if len(rows) >= 3 and fits * 20 >= len(rows) * 19:
                names = self._names
                return (
                    plain,
                    f"{names[plain]!r} less {names[at]!r} is {names[available]!r} in {fits} of {len(rows)} rows",
                )
        raise self._ask("quantity-column", "two columns may be the quantity", [plain, available])

    def _wide(self) -> tuple[tuple[int, str], ...]:
        known = [
            (at, name)
            for at, name in enumerate(self._names)
            if words.squeezed(name) in self._places and self._is_numeric(at)
        ]
        if len(known) > 1:
            self._taken.append(
                f"a column for each place: {', '.join(name for _, name in known)} (places of the other files)"
            )
            return tuple(known)
        shapes = [shape for shape in words.quantity_by_place(self._names) if self._is_numeric(shape.column)]
        if len(shapes) > 1:
            listed = ", ".join(self._names[shape.column] for shape in shapes)
            self._taken.append(f"a column for each place: {listed} (a quantity word and a place each)")
            return tuple((shape.column, shape.place) for shape in shapes)
        return ()

    def _sides(self, used: set[int | None]) -> tuple[Side, ...]:
        quantity_words = words.ON_HAND | words.AVAILABLE
        found = []
        for at, name in enumerate(self._names):
            if at in used or not self._is_numeric(at):
                continue
            sign = words.side_sign(name)
            if sign and not words.forms(name) & quantity_words:
                found.append(Side(at, name, sign))
        if found:
            self._taken.append(f"may explain differences: {', '.join(repr(side.name) for side in found)}")
        return tuple(found)

    def _meaning_of(self, column: int) -> str:
        name = [self._names[column]]
        return (
            "on hand"
            if words.named(name, words.ON_HAND)
            else "available"
            if words.named(name, words.AVAILABLE)
            else ""
        )

    def _declared_style(self) -> Style | None:
        declared = self._settings.get("decimal")
        if declared is not None and declared not in STYLES:
            raise AuditError(self._file, f"{declared!r} is no way to write numbers", "declare point or comma")
        return None if declared is None else STYLES[declared]

    def _is_filled(self, column: int) -> bool:
        return any(row[column] for row in self._opened.sample)

    def _is_numeric(self, column: int) -> bool:
        cells = [row[column] for row in self._opened.sample if row[column]]
        return bool(cells) and sum(digits_of(cell) is not None for cell in cells) * 5 >= len(cells) * 4


def style_question(file: str, evidence: StyleEvidence) -> Question:
    """Ask how numbers are written, where they do not prove it."""
    both = evidence.contradicts_itself
    reason = (
        f"{both[0]!r} and {both[1]!r} are written in different styles"
        if both
        else f"{evidence.undecided!r} can be read both ways, and no other number decides it"
    )
    return Question(file, "decimal", f"how numbers are written: {reason}", tuple(STYLES))

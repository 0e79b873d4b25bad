"""Units of measure: what a sender's ``3 case`` is in whole base units, exactly or not at all.

Stock is counted in whole **base units** of the item (pieces; grams for what is sold by weight). Every other unit is
a **pack**: an exact rational number of base units, declared in the item master and nowhere else. A sender may name
its units in its own words; it cannot say how large they are.

============  ==========  ===================  =================================================
base unit     pack        sent                 becomes
============  ==========  ===================  =================================================
each          case = 12   3 case               36
each          case = 12   2.5 case             30
each          case = 12   2.4 case             refused: 28.8 each, and 0.8 of one cannot be counted
g             kg = 1000   1.25 kg              1250
each          pair = 2    -                    a channel that sells pairs is promised 7 of 15, 1 is left over
============  ==========  ===================  =================================================

Nothing is ever rounded on the way in. On the way out, to a channel that sells in packs, it is rounded down, and what
is left over is said.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

from shared.domain.stock import Quantity

_FACTOR = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,9}|/[0-9]{1,12})?")


class BadFactorError(ValueError):
    """A text is no pack factor; says why."""


class NotWholeError(ValueError):
    """A quantity is no whole number of base units; carries what is left over."""

    def __init__(self, converted: Fraction) -> None:
        super().__init__(f"it is {decimal_text(converted)} base units")
        self.converted = converted
        self.remainder = converted - (converted.numerator // converted.denominator)


class UnknownUnitError(LookupError):
    """The item has no such unit."""

    def __init__(self, unit: str) -> None:
        super().__init__(unit)
        self.unit = unit


@dataclass(frozen=True, slots=True)
class Measure:
    """The unit a sender named; its quantities are written in steps of ``10**-places`` of that unit.

    ``2.5 case`` is 25 with one place; an empty ``unit`` is the one that the source sends where it names none.
    """

    unit: str = ""
    places: int = 0


@dataclass(frozen=True, slots=True)
class Units:
    """The units of one item: its base unit ("" where none was declared) and its packs in base units."""

    base: str = ""
    packs: Mapping[str, Fraction] | None = None

    def factor(self, unit: str) -> Fraction:
        """Return how many base units one ``unit`` is; no unit is the base unit.

        Raises
        ------
        UnknownUnitError
        """
        if unit in ("", self.base):
            return Fraction(1)
        found = (self.packs or {}).get(unit)
        if found is None:
            raise UnknownUnitError(unit)
        return found

    @property
    def names(self) -> tuple[str, ...]:
        """Every unit that can be named, the base unit first."""
        return (*((self.base,) if self.base else ()), *sorted(self.packs or {}))


def to_base(quantity: int, factor: Fraction, places: int = 0) -> Quantity:
    """Convert ``quantity`` steps of ``10**-places`` of a unit into base units.

    Raises
    ------
    NotWholeError
        When it is no whole number of them: nothing is rounded.
    """
    converted: Fraction = quantity * factor / Fraction(10**places)
    if converted.denominator != 1:
        raise NotWholeError(converted)
    return converted.numerator


def whole_packs(quantity: Quantity, factor: Fraction) -> tuple[int, Quantity]:
    """Return how many packs are in ``quantity`` base units, rounded down, and the base units left over.

    Both are negative for a negative quantity only as far as rounding down makes them: the remainder never is.

    Raises
    ------
    BadFactorError
        When a pack is no whole number of base units: then nothing can be sold by it.
    """
    if factor.denominator != 1:
        raise BadFactorError(
            f"a pack of {factor_text(factor)} base units cannot be sold: it is no whole number"
        )
    return divmod(quantity, factor.numerator)


def parse_factor(text: str) -> Fraction:
    """Read a pack factor: ``12``, ``0.5`` or ``1/3``.

    Raises
    ------
    BadFactorError
    """
    if not _FACTOR.fullmatch(text):
        raise BadFactorError(f"{text[:40]!r} is no factor; write it like 12, 0.5 or 1/3")
    try:
        found = Fraction(text)
    except ZeroDivisionError as error:
        raise BadFactorError(f"{text!r} divides by nothing") from error
    if found == 0:
        raise BadFactorError("a pack of nothing is no pack; write how many base units it holds")
    return found


def factor_text(factor: Fraction) -> str:
    """Write a factor the one way that it is stored: ``12`` or ``1/3``."""
    return str(factor)


def decimal_text(value: Fraction) -> str:
    """Write a number for a person: as a decimal where it has an end, else as a fraction."""
    rest = value.denominator
    for prime in (2, 5):
        while rest % prime == 0:
            rest //= prime
    if rest != 1 or value.denominator > 10**9:
        return str(value)
    places = 0
    while (value * 10**places).denominator != 1:
        places += 1
    digits = str(abs(int(value * 10**places))).rjust(places + 1, "0")
    sign = "-" if value < 0 else ""
    return f"{sign}{digits[: len(digits) - places]}{'.' if places else ''}{digits[len(digits) - places :]}"

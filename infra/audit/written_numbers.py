"""How a file writes its numbers, proven from the numbers themselves, and read by that style alone.

``1,234`` is one thousand or one and a bit, depending on who wrote it. One other number of the same file decides it:

==================  ==============================================
seen                proves
==================  ==============================================
1.234,5  1.234.567  decimal comma
12,5  0,500         decimal comma
1,234.5  1,234,567  decimal point
12.5  0.500         decimal point
1,234  1.234        nothing: who exports so is asked
==================  ==============================================
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeAlias

Number: TypeAlias = "int | Decimal"
"""A quantity as exported: whole numbers are ``int``; a fraction stays exact."""

_MOST_DIGITS = 15
_SPACES = str.maketrans({"\u00a0": " ", "\u202f": " ", "\u2212": "-", "’": "'"})
_SIGNED = re.compile(r"([+-]?)(.*?)(-?)")
_CURRENCY = re.compile(r"^(?:[A-Z]{3}|[€$£¥])\s*|\s*(?:[A-Z]{3}|[€$£¥])$")
_GROUPED = {mark: re.compile(rf"[1-9][0-9]{{0,2}}(?:{re.escape(mark)}[0-9]{{3}})+") for mark in ".,' "}


@dataclass(frozen=True, slots=True)
class Style:
    """The mark before fractions, and the one between groups of three digits ("" where none is written)."""

    decimal: str = "."
    thousands: str = ""


STYLES = {"point": Style(".", ","), "comma": Style(",", ".")}
"""What may be declared, by name."""


def digits_of(text: str) -> tuple[bool, str] | None:
    """Split a written number into whether it is negative and its unsigned text; None if it is no number."""
    body = text.translate(_SPACES).strip()
    negative = body.startswith("(") and body.endswith(")")
    if negative:
        body = body[1:-1].strip()
    match = _SIGNED.fullmatch(body)
    if match is None or (match[1] and match[3]) or (negative and (match[1] or match[3])):
        return None
    unsigned = match[2].strip()
    if not unsigned or not unsigned[0].isdigit() or not set(unsigned) <= set("0123456789.,' "):
        return None
    return negative or "-" in (match[1], match[3]), unsigned


class StyleEvidence:
    """Collects what the numbers of a file prove about how it writes them; holds one example of each proof."""

    def __init__(self) -> None:
        self._proof: dict[str, str] = {}
        self.undecided = ""
        """A number that could be read both ways."""

    def note(self, text: str) -> None:
        """Look at one cell; what is no number proves nothing."""
        if text.isdigit():
            return
        parts = digits_of(text)
        if parts is None:
            return
        number = parts[1].replace("'", "").replace(" ", "")
        point, comma = number.rfind("."), number.rfind(",")
        if point >= 0 and comma >= 0:
            self._proof.setdefault("point" if point > comma else "comma", text)
        elif point >= 0 or comma >= 0:
            self._judge(number, "." if point >= 0 else ",", text)

    def _judge(self, number: str, mark: str, text: str) -> None:
        as_decimal, as_groups = ("point", "comma") if mark == "." else ("comma", "point")
        whole, _, rest = number.partition(mark)
        if mark in rest:
            if _GROUPED[mark].fullmatch(number):
                self._proof.setdefault(as_groups, text)
        elif len(rest) != 3 or whole.startswith("0") or len(whole) > 3:
            self._proof.setdefault(as_decimal, text)
        else:
            self.undecided = self.undecided or text

    @property
    def has_proof(self) -> bool:
        """Whether a number of the file can be read in one way only."""
        return bool(self._proof)

    @property
    def has_marks(self) -> bool:
        """Whether any number has a decimal mark or groups."""
        return bool(self._proof or self.undecided)

    @property
    def contradicts_itself(self) -> tuple[str, str] | None:
        """Two numbers of the file that prove different styles."""
        return (self._proof["point"], self._proof["comma"]) if len(self._proof) > 1 else None

    def proven(self) -> tuple[Style, str] | None:
        """Return the style and the number that proves it; None when it cannot be told."""
        if self.contradicts_itself:
            return None
        for name, example in self._proof.items():
            return STYLES[name], f"{example!r} can be read in no other way"
        return None if self.undecided else (Style(), "all are whole and without marks")


def read_number(text: str, style: Style) -> Number | None:
    """Read a number in a style; None if it is none, has more than 15 digits, or is written in another style."""
    parts = digits_of(text)
    if parts is None:
        return None
    negative, unsigned = parts
    whole, mark, fraction = unsigned.partition(style.decimal)
    if mark and fraction and not fraction.isdigit():
        return None
    for thousands in {style.thousands, "'", " "} - {""}:
        if thousands in whole:
            if _GROUPED[thousands].fullmatch(whole) is None:
                return None
            whole = whole.replace(thousands, "")
    if not whole.isdigit() or len(whole.lstrip("0")) + len(fraction) > _MOST_DIGITS:
        return None
    if fraction.strip("0"):
        value = Decimal(f"{whole}.{fraction}")
        return -value if negative else value
    return -int(whole) if negative else int(whole)


def read_price(text: str, style: Style) -> Decimal | None:
    """Read a price; a currency before or after it is taken off."""
    number = read_number(_CURRENCY.sub("", text.strip()), style)
    return None if number is None else Decimal(number)

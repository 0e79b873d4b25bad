"""Quantities as people and old systems write them, read by a declared style and by nothing else.

``8,00`` is eight or eight hundred depending on who wrote it, so the decimal mark (and the thousands mark, if
there is one) is declared for each source; whatever does not fit the style is refused, never guessed. Base units
are whole: ``8,00`` is 8, ``39,5`` is refused. Python's ``int`` is no judge here: it takes ``1_000`` and
full-width digits.

==========  =========================  =========================
style       read                       refused
==========  =========================  =========================
``.``       8, +8, 8.00, -5, (5)       8,00  39.5  1E3  1_000  1,000
``,``       8, 8,00                    8.00  39,5
``.`` ``,`` 1,234  1,234.00            12,34  1.234
==========  =========================  =========================
"""

from __future__ import annotations

import re

_SPACES = str.maketrans({"\u00a0": " ", "\u202f": " "})
_MOST_DIGITS = 12


class UnreadableQuantityError(Exception):
    """The text is no whole number in the declared style; ``reason`` and ``remedy`` are for an operator."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.remedy = remedy


class WrittenQuantity:
    """Reads whole numbers in one declared style.

    Parameters
    ----------
    decimal
        The mark before fractions, ``.`` or ``,``.
    thousands
        The mark between groups of three digits, or "" where the source writes none.
    """

    def __init__(self, decimal: str, thousands: str) -> None:
        self._decimal = decimal
        self._thousands = thousands.translate(_SPACES)
        groups = rf"|[0-9]{{1,3}}(?:{re.escape(self._thousands)}[0-9]{{3}})+" if thousands else ""
        self._pattern = re.compile(rf"([+-]?)([0-9]+{groups})(?:{re.escape(decimal)}([0-9]*))?")

    def read(self, text: str) -> int:
        """Return the whole number that ``text`` says; it may be negative.

        Raises
        ------
        UnreadableQuantityError
            When it is no number in this style, has a fraction, or has more than 12 digits.
        """
        if text.isdigit() and text.isascii() and len(text) <= _MOST_DIGITS:
            return int(text)
        quantity, places = self.measured(text)
        if places:
            raise UnreadableQuantityError(
                f"{_quoted(text)} has a fraction, and base units are whole",
                "send the quantity in the item's base unit (grams rather than kilograms, pieces rather than cases)",
            )
        return quantity

    def measured(self, text: str) -> tuple[int, int]:
        """Return the number that ``text`` says as steps of ``10**-places``, and ``places``, as few as will do.

        Raises
        ------
        UnreadableQuantityError
            When it is no number in this style, or has more than 12 digits.
        """
        return self._read_styled(text.translate(_SPACES).strip())

    def _read_styled(self, text: str) -> tuple[int, int]:
        bracketed = text.startswith("(") and text.endswith(")")
        match = self._pattern.fullmatch(text[1:-1].strip() if bracketed else text)
        if match is None or (bracketed and match[1]):
            raise UnreadableQuantityError(
                f"{_quoted(text)} is not a number written with decimal mark {self._decimal!r}"
                + (
                    f" and thousands mark {self._thousands!r}"
                    if self._thousands
                    else " and no thousands mark"
                ),
                "correct the cell, or declare the style of the whole file with the options decimal and thousands",
            )
        sign, whole, fraction = match.groups()
        digits = whole.replace(self._thousands, "") if self._thousands else whole
        decimals = (fraction or "").rstrip("0")
        digits += decimals
        if len(digits.lstrip("0")) > _MOST_DIGITS:
            raise UnreadableQuantityError(
                f"{_quoted(text)} has more than {_MOST_DIGITS} digits", "correct the cell"
            )
        return (-int(digits) if bracketed or sign == "-" else int(digits)), len(decimals)


def _quoted(text: str) -> str:
    return ascii(text if len(text) <= 40 else text[:37] + "...")

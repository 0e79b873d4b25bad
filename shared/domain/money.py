"""Money: an exact amount with its currency. Amounts of two currencies are never added or compared here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

_FORM = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?) ([A-Z]{3})", re.ASCII)


class BadMoneyError(ValueError):
    """A text is no amount of money; says why."""


MICROS = 1_000_000
"""Parts of a unit of a currency in which sums are kept: no amount that is read is finer."""


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in a currency (ISO 4217)."""

    amount: Decimal
    currency: str

    def times(self, units: int) -> Money:
        """Return what so many units are worth."""
        return Money(self.amount * units, self.currency)

    @property
    def micros(self) -> int:
        """The amount in millionths, exact."""
        return int(self.amount.scaleb(6))

    def __str__(self) -> str:
        return f"{self.amount:f} {self.currency}"


def amount_text(micros: int) -> str:
    """Write so many millionths, exactly: with two decimals, or as many as it takes."""
    whole, rest = divmod(abs(micros), MICROS)
    decimals = f"{rest:06}".rstrip("0").ljust(2, "0")
    return f"{'-' if micros < 0 else ''}{whole}.{decimals}"


def parse_money(text: str) -> Money:
    """Read an amount as it is written: ``12.50 EUR``.

    Raises
    ------
    BadMoneyError
    """
    found = _FORM.fullmatch(text)
    if found is None:
        raise BadMoneyError(f"{text!r} is no amount of money; write it like 12.50 EUR")
    return Money(Decimal(found[1]), found[2])

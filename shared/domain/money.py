"""Money: an exact amount with its currency. Amounts of two currencies are never added or compared here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

_FORM = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?) ([A-Z]{3})", re.ASCII)


class BadMoneyError(ValueError):
    """A text is no amount of money; says why."""


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in a currency (ISO 4217)."""

    amount: Decimal
    currency: str

    def times(self, units: int) -> Money:
        """Return what so many units are worth."""
        return Money(self.amount * units, self.currency)

    def __str__(self) -> str:
        return f"{self.amount:f} {self.currency}"


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

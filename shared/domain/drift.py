"""Drift: what a source says of a stock key, minus what the ledger says as of the same instant.

A source's number is compared with a formula over our quantities, its declared meaning. The formulas are sums and
differences of named quantities and whole numbers: ``available - safety_stock``. ``safety_stock`` and
``available_to_promise`` are those of the source's own channel.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from shared.domain.money import Money
from shared.domain.network import Tolerance
from shared.domain.stock import EventKey, LocationId, Quantity, Sku, SourceId

QUANTITIES = (
    "on_hand",
    "quality_hold",
    "damaged",
    "reserved",
    "incoming",
    "in_transit",
    "available",
    "safety_stock",
    "available_to_promise",
)
"""The names a formula may use."""

_TERM = re.compile(r"\s*([+-])?\s*([a-z_]+|[0-9]+)\s*")


class FormulaError(ValueError):
    """A declared meaning is not a sum of quantities: says what was read and what would be right."""

    def __init__(self, formula: str, found: str) -> None:
        names = ", ".join(QUANTITIES)
        super().__init__(f"{formula!r}: {found!r} is not understood; write sums and differences of {names}")


@dataclass(frozen=True, slots=True)
class Formula:
    """A sum of signed terms; each is a quantity's name or a whole number."""

    text: str
    terms: tuple[tuple[int, str], ...]

    def evaluate(self, quantities: Mapping[str, Quantity]) -> Quantity:
        """Return the formula's value over ``quantities``."""
        return sum(sign * (int(term) if term.isdigit() else quantities[term]) for sign, term in self.terms)

    @property
    def uses_reservations(self) -> bool:
        """Whether the value depends on open orders."""
        return any(term in ("reserved", "available", "available_to_promise") for _, term in self.terms)


def parse_formula(text: str) -> Formula:
    """Read a declared meaning.

    Raises
    ------
    FormulaError
        When it is anything but a sum of known quantities and whole numbers.
    """
    terms: list[tuple[int, str]] = []
    position = 0
    while position < len(text):
        match = _TERM.match(text, position)
        if (
            match is None
            or (terms and match[1] is None)
            or not (match[2].isdigit() or match[2] in QUANTITIES)
        ):
            raise FormulaError(text, text[position:].strip())
        terms.append((-1 if match[1] == "-" else 1, match[2]))
        position = match.end()
    if not terms:
        raise FormulaError(text, text)
    return Formula(text, tuple(terms))


@dataclass(frozen=True, slots=True)
class Observation:
    """What a source last said of one element of a stock key, as of an instant of its own.

    ``document`` and ``version`` are those of the count, if it has any.
    """

    source: SourceId
    sku: Sku
    location: LocationId
    element: str
    quantity: Quantity
    as_of: datetime
    version: str = ""
    document: str = ""


@dataclass(frozen=True, slots=True)
class Statement:
    """A number that a source said at an instant of its own, apart from what it is about."""

    quantity: Quantity
    as_of: datetime


@dataclass(frozen=True, slots=True)
class Told:
    """A movement that the source told of without being believed: it changed its own number, and not ours."""

    event: EventKey
    at: datetime
    quantity: Quantity


@dataclass(frozen=True, slots=True)
class Comparison:
    """An observation beside the ledger's number for the same instant and meaning.

    ``is_stale`` is whether the source should have spoken again by now, by the freshness declared of it.
    """

    observation: Observation
    meaning: str
    expected: Quantity
    is_stale: bool = False

    @property
    def drift(self) -> Quantity:
        """Observation minus ledger."""
        return self.observation.quantity - self.expected

    def exceeds(self, tolerance: Tolerance, price: Money | None = None) -> bool:
        """Whether the difference is larger than the rule forgives, at a price of one unit."""
        return tolerance.is_exceeded(self.drift, of=self.expected, price=price)

"""What an audit found, as plain data: what the command line prints, ``--json`` gives and the HTML report shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction

from infra.audit.explanations import Kind
from infra.audit.written_numbers import Number


@dataclass(frozen=True, slots=True)
class FileRead:
    """A file, what it was taken for and why, and what of it was not compared."""

    file: str
    system: str
    role: str
    rows: int
    taken: tuple[str, ...]
    aside: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two systems: keys that both have under the same code, those that are equal, those that only one has."""

    one: str
    other: str
    both: int
    equal: int
    only_one: int
    only_other: int

    @property
    def rate(self) -> str:
        """The share of equal keys, of those that both have."""
        return percent(self.equal, self.both)


@dataclass(frozen=True, slots=True)
class Shown:
    """A stock key in a table: every system's number, and for a worst key its likely cause."""

    sku: str
    place: str
    values: tuple[Number | None, ...]
    units: Number
    exposure: Decimal | None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Cause:
    """A likely cause of differences of one system.

    Attributes
    ----------
    title
        In one line.
    units, net
        What the differences add up to, without and with their sign.
    exposure, priced
        In money, and for how many of the keys there is a price; None where no key has one.
    evidence
        Why it is likely.
    alternatives
        What fits equally, and what fits in part.
    remedy
        What to look at.
    """

    kind: Kind
    system: str
    title: str
    keys: int
    units: Number
    net: Number
    exposure: Decimal | None
    priced: int
    evidence: tuple[str, ...]
    alternatives: tuple[str, ...]
    remedy: str
    examples: tuple[Shown, ...]


@dataclass
class Report:
    """The whole audit.

    Attributes
    ----------
    grain
        What was compared, in words.
    keys, equal
        Stock keys that any system has; those that all have, under the same code, with the same number.
    yardstick
        How many keys with a difference had a majority, and how many were measured by the first system.
    exposure
        The sum over all differences, in money; None where none of them has a price.
    has_prices
        Whether any file has prices.
    differing, priced
        Differences, and those of them with a price; both 0 without prices.
    """

    systems: list[str]
    files: list[FileRead]
    grain: str
    keys: int = 0
    equal: int = 0
    by_majority: int = 0
    by_first: int = 0
    pairs: list[Pair] = field(default_factory=list)
    causes: list[Cause] = field(default_factory=list)
    worst: list[Shown] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    exposure: Decimal | None = None
    has_prices: bool = False
    differing: int = 0
    priced: int = 0
    currency: str = ""
    seconds: float = 0

    @property
    def rate(self) -> str:
        """The share of keys on which all agree."""
        return percent(self.equal, self.keys)

    @property
    def differences(self) -> tuple[int, int]:
        """How many numbers of single systems differ or are missing, and how many of them have a likely cause."""
        counted = [
            cause
            for cause in self.causes
            if cause.kind not in (Kind.CODE_FORMAT, Kind.REPEATED) and cause.units
        ]
        without = sum(cause.keys for cause in counted if cause.kind in (Kind.MISSING, Kind.UNEXPLAINED))
        total = sum(cause.keys for cause in counted)
        return total, total - without

    @property
    def recoded(self) -> int:
        """How many keys are written differently; compared as one, and for that alone not the same."""
        return sum(cause.keys for cause in self.causes if cause.kind is Kind.CODE_FORMAT)

    @property
    def has_unexplained(self) -> bool:
        """Whether differences are left that no pattern explains."""
        return any(cause.kind in (Kind.MISSING, Kind.UNEXPLAINED) for cause in self.causes)

    @property
    def by_place(self) -> bool:
        """Whether keys are SKU and place."""
        return any(shown.place for shown in self.worst)

    @property
    def price_gap(self) -> str:
        """How many differences have no price, in words; "" where all have one."""
        return price_gap(self.differing, self.priced) if self.has_prices else ""

    def price_gap_of(self, cause: Cause) -> str:
        """How many keys of a cause have no price, in words; "" where all have one, or nothing is in question."""
        return price_gap(cause.keys, cause.priced) if self.has_prices and cause.units else ""


def percent(part: int, whole: int) -> str:
    """Write a share with two decimals, rounded down: 100.00 is said only of all."""
    if whole == 0:
        return "-"
    hundredths = Fraction(part * 10_000, whole)
    return f"{hundredths.numerator // hundredths.denominator / 100:.2f} %"


def amount(value: Number | None) -> str:
    """Write a quantity, with its thousands apart."""
    return "-" if value is None else f"{value:,}"


def money(value: Decimal | None, currency: str = "") -> str:
    """Write an amount of money, rounded to cents."""
    return (
        "-"
        if value is None
        else f"{value.quantize(Decimal('0.01')):,}" + (f" {currency}" if currency else "")
    )


def price_gap(keys: int, priced: int) -> str:
    """Say how many keys an exposure leaves out for want of a price; "" where it is none."""
    without = keys - priced
    if without == 0:
        return ""
    if priced == 0:
        return f"none of the {keys:,} keys has a price" if keys > 1 else "the key has no price"
    return f"{without:,} of {keys:,} keys {'has' if without == 1 else 'have'} no price"


def worth(exposure: Decimal | None, currency: str, gap: str, unknown: str) -> str:
    """Write an exposure with the keys it leaves out; ``unknown`` instead of an amount where no key has a price."""
    said = unknown if exposure is None else money(exposure, currency)
    return f"{said} ({gap})" if gap else said


def listed(names: Sequence[str], most: int = 5) -> str:
    """Join names, with how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more:,} more" if more > 0 else "")

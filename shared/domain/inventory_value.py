"""What stock is worth: units on hand times what one of them costs, by currency and never across currencies.

Sums are counters, so that they add up in any order and without loss: amounts in millionths, the finest that a cost can
be declared in.

====================  =============================================================================
counter               of one location in one sweep
====================  =============================================================================
``worth_EUR``         millionths of a euro that the units with a cost in euros are worth
``units_EUR``         those units
``uncosted``          units of items whose cost nobody has declared
====================  =============================================================================

Every unit on hand is in it, whatever its state; a balance below zero counts with its sign, as it stands in the books.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from shared.domain.money import Money
from shared.domain.stock import Quantity

_WORTH, _UNITS, _UNCOSTED = "worth_", "units_", "uncosted"


@dataclass(frozen=True, slots=True)
class Worth:
    """What units in one currency are worth, in its millionths; without a currency, units that have no cost."""

    currency: str
    micros: int
    units: Quantity


def worth_of(held: Iterable[tuple[Quantity, Money | None]]) -> Counter[str]:
    """Add up units on hand, each with the cost of one."""
    found = Counter[str]()
    for units, cost in held:
        if cost is None:
            found[_UNCOSTED] += units
        else:
            found[f"{_WORTH}{cost.currency}"] += cost.micros * units
            found[f"{_UNITS}{cost.currency}"] += units
    return found


def worths(sums: Mapping[str, int]) -> Iterator[Worth]:
    """Read the sums: one for each currency, and what has no cost last."""
    for name in sorted(sums):
        if name.startswith(_UNITS):
            currency = name.removeprefix(_UNITS)
            yield Worth(currency, sums.get(f"{_WORTH}{currency}", 0), sums[name])
    if sums.get(_UNCOSTED):
        yield Worth("", 0, sums[_UNCOSTED])

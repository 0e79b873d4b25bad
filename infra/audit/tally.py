"""Differences counted together, with the largest of them kept as examples."""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal

from infra.audit.written_numbers import Number

EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Example:
    """One stock key as it is shown."""

    key: str
    values: tuple[Number | None, ...]
    units: Number
    exposure: Decimal | None = None
    note: str = ""


@dataclass
class Tally:
    """Differences counted together.

    Attributes
    ----------
    units, net
        The sum of the differences without and with their sign, in units.
    exposure
        In money, of the ``priced`` keys.
    places, elsewhere
        Of missing keys: how many at each place, and of how many the system has the item at another place.
    examples
        The largest, with what they are ranked by.
    """

    keys: int = 0
    units: Number = 0
    net: Number = 0
    exposure: Decimal = Decimal(0)
    priced: int = 0
    places: Counter[str] = field(default_factory=Counter)
    elsewhere: int = 0
    examples: list[tuple[Decimal, Number, str, Example]] = field(default_factory=list)

    def add(self, example: Example, net: Number) -> None:
        """Count one difference."""
        self.keys += 1
        self.units += example.units
        self.net += net
        if example.exposure is not None:
            self.exposure += example.exposure
            self.priced += 1
        ranked = (example.exposure or Decimal(0), example.units, example.key, example)
        if len(self.examples) < EXAMPLES:
            heapq.heappush(self.examples, ranked)
        elif ranked[:3] > self.examples[0][:3]:
            heapq.heapreplace(self.examples, ranked)

    def merge(self, other: Tally) -> None:
        """Count what another tally counted."""
        self.keys += other.keys
        self.units += other.units
        self.net += other.net
        self.exposure += other.exposure
        self.priced += other.priced
        self.places += other.places
        self.elsewhere += other.elsewhere
        together = [*self.examples, *other.examples]
        self.examples = heapq.nlargest(EXAMPLES, together, key=lambda one: one[:3])
        heapq.heapify(self.examples)

    def shown(self) -> list[Example]:
        """Return the examples, the largest first."""
        return [example for *_, example in sorted(self.examples, key=lambda one: one[:3], reverse=True)]

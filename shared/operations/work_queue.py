"""The work queue: open cases ranked by what stands at risk, those of one cause together.

What a case weighs grows with every hour, so it is worked out when it is asked for, from a bounded number of cases:
the oldest, for they have waited longest. Of more, the answer says that it is not of all.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime

from shared.domain.cases import Case
from shared.domain.exposure import Exposure, Group, Ranked, exposure, grouped, sku_of
from shared.domain.money import Money
from shared.domain.stock import Sku
from shared.operations.case_selection import Selection
from shared.store.cases import Cases
from shared.store.registry import Registry

LOOKED_AT = 4_000
"""Open cases that one ranking looks at, at most."""


@dataclass(frozen=True, slots=True)
class Work:
    """Groups of open cases, what is most urgent first.

    Attributes
    ----------
    looked_at
        Cases that were ranked.
    is_all
        Whether there are no others.
    """

    groups: tuple[Group, ...]
    looked_at: int
    is_all: bool


class WorkQueue:
    """Ranks what waits for a decision."""

    def __init__(self, cases: Cases, registry: Registry, clock: Callable[[], datetime]) -> None:
        self._cases = cases
        self._registry = registry
        self._clock = clock

    def ranked(self, selection: Selection, looked_at: int = LOOKED_AT) -> Work:
        """Rank the open cases of a selection."""
        now, rules = self._clock(), self._registry.network().rules
        found, is_all = self._cases.oldest_open(looked_at)
        meant = [case for case in found if selection.covers(case, rules, now)]
        return Work(self.rank(meant), len(found), is_all)

    def rank(self, cases: Collection[Case]) -> tuple[Group, ...]:
        """Rank some cases, those of one cause together."""
        now, prices = self._clock(), self._prices(cases)
        ranked = [Ranked(case, exposure(case, prices.get(sku_of(case) or Sku("")), now)) for case in cases]
        return tuple(grouped(ranked))

    def exposure_of(self, case: Case) -> Exposure:
        """Say what stands at risk in one case."""
        return exposure(case, self._prices([case]).get(sku_of(case) or Sku("")), self._clock())

    def _prices(self, cases: Collection[Case]) -> dict[Sku, Money]:
        skus = {sku for case in cases if (sku := sku_of(case)) is not None}
        items = self._registry.items.find(skus) if skus else {}
        return {sku: item.price for sku, item in items.items() if item.price is not None}

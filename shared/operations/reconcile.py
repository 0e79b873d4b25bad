"""Reconciling: what a source says, beside the ledger as of the same instant; a difference is a case.

One case for each (source, SKU, location, element): it opens, follows the numbers, and closes by itself when they
agree again. Neither number is changed here; who is right is for the operator, or for root cause, to say.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime

from shared.domain.cases import Case, CaseKind, case_id
from shared.domain.drift import Comparison, Observation
from shared.domain.events import instant
from shared.domain.network import Tolerance
from shared.domain.stock import SourceId, StockKey
from shared.operations.stock_view import StockView
from shared.store.cases import Cases
from shared.store.observations import Observations

DEFAULT_TOLERANCE = Tolerance(percent_hundredths=50, units=0)
"""Half a per cent of what the ledger says."""

log = logging.getLogger(__name__)


class Reconciler:
    """Compares observations with the ledger and keeps the drift cases true."""

    def __init__(
        self,
        view: StockView,
        observations: Observations,
        cases: Cases,
        clock: Callable[[], datetime],
        tolerance: Tolerance = DEFAULT_TOLERANCE,
    ) -> None:
        self._view = view
        self._observations = observations
        self._cases = cases
        self._clock = clock
        self._tolerance = tolerance

    def observed(self, observations: Sequence[Observation]) -> None:
        """Compare some observations, and take them off the list of those that wait for it."""
        self._compare(observations)
        self._observations.compared(observations)

    def waiting(self, since: datetime) -> Iterator[Observation]:
        """Yield observations that have waited for their comparison since before an instant."""
        return self._observations.not_compared_since(since)

    def moved(self, keys: Iterable[StockKey]) -> None:
        """The ledger of some stock keys changed, perhaps in the past: look again at their open drift cases."""
        subjects = {
            drift_case(source, key, element): (key, source, element)
            for key in keys
            for source, element in self._view.compared_elements()
        }
        still_open = self._cases.which_open(subjects)
        self._compare(self._observations.find([subjects[case] for case in still_open]))

    def _compare(self, observations: Sequence[Observation]) -> None:
        comparisons = self._view.compare(observations)
        agreeing = [found for found in comparisons if not found.exceeds(self._tolerance)]
        for case in self._cases.which_open(_case_of(found.observation) for found in agreeing):
            self._cases.close(case, "the numbers agree again", self._clock())
        for found in comparisons:
            if found.exceeds(self._tolerance):
                self._cases.file(_case(found, self._clock()))
                seen = found.observation
                log.info(
                    "drift_found",
                    extra={
                        "source_id": seen.source,
                        "sku": seen.sku,
                        "location": seen.location,
                        "observed": seen.quantity,
                        "expected": found.expected,
                        "drift": found.drift,
                    },
                )


def drift_case(source: SourceId, key: StockKey, element: str) -> str:
    """Name the case of one source's number."""
    return case_id(CaseKind.DRIFT, source, key.sku, key.location, element)


def _case_of(seen: Observation) -> str:
    return drift_case(seen.source, StockKey(seen.sku, seen.location), seen.element)


def _case(comparison: Comparison, now: datetime) -> Case:
    seen = comparison.observation
    return Case(
        id=_case_of(seen),
        kind=CaseKind.DRIFT,
        title=(
            f"{seen.source} says {seen.quantity} {seen.element} of {seen.sku} at {seen.location}, "
            f"the ledger {comparison.expected} as of the same instant ({comparison.drift:+d})"
        ),
        remedy=f"find the handoff that {seen.source} missed or doubled, or have the location recounted",
        opened_at=now,
        updated_at=now,
        facts={
            "source": seen.source,
            "sku": seen.sku,
            "location": seen.location,
            "element": seen.element,
            "meaning": comparison.meaning,
            "observed": seen.quantity,
            "expected": comparison.expected,
            "drift": comparison.drift,
            "as_of": instant(seen.as_of),
        },
    )

"""Reconciling: what a source says, beside the ledger as of the same instant; a difference is a case.

One case for each (source, SKU, location, element): it opens, follows the numbers, and closes by itself when they
agree again. Neither number is changed here; who is right is for the operator, or for root cause, to say.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from shared.domain.cases import Case, CaseKind, CaseStatus, case_id
from shared.domain.drift import Comparison, Observation
from shared.domain.events import instant
from shared.domain.network import Tolerance
from shared.domain.stock import StockKey
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

    def observed(self, observation: Observation) -> None:
        """Compare one observation, and take it off the list of those that wait for it."""
        self._compare(observation)
        self._observations.compared(observation)

    def waiting(self, since: datetime) -> Iterator[Observation]:
        """Yield observations that have waited for their comparison since before an instant."""
        return self._observations.not_compared_since(since)

    def moved(self, keys: Iterable[StockKey]) -> None:
        """The ledger of some stock keys changed, perhaps in the past: look again at their open drift cases."""
        for key in dict.fromkeys(keys):
            for observation in self._observations.of_stock_key(key):
                case = self._cases.find(drift_case(observation))
                if case is not None and case.status is CaseStatus.OPEN:
                    self._compare(observation)

    def _compare(self, observation: Observation) -> None:
        comparison = self._view.compare(observation)
        if comparison is None:
            return
        if comparison.exceeds(self._tolerance):
            self._cases.file(_case(comparison, self._clock()))
            log.info(
                "drift_found",
                extra={
                    "source_id": observation.source,
                    "sku": observation.sku,
                    "location": observation.location,
                    "observed": observation.quantity,
                    "expected": comparison.expected,
                    "drift": comparison.drift,
                },
            )
        else:
            self._cases.close(drift_case(observation), "the numbers agree again", self._clock())


def drift_case(observation: Observation) -> str:
    """Name the case of one source's number."""
    return case_id(
        CaseKind.DRIFT, observation.source, observation.sku, observation.location, observation.element
    )


def _case(comparison: Comparison, now: datetime) -> Case:
    seen = comparison.observation
    return Case(
        id=drift_case(seen),
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

"""Reconciling: what a source says, beside the ledger as of the same instant; a difference is a case.

One case for each (source, SKU, location, element): it opens, follows the numbers, and closes by itself when they
agree again. Neither number is changed here; who is right is for the operator, or for root cause, to say.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta

from shared.domain.cases import Case, CaseKind, case_id
from shared.domain.drift import Comparison, Observation
from shared.domain.events import instant
from shared.domain.network import Tolerance
from shared.domain.stock import SourceId, StockKey
from shared.operations.stock_view import StockView
from shared.store.cases import Cases
from shared.store.ledger import Moved
from shared.store.observations import Observations, Said, Subject

DEFAULT_TOLERANCE = Tolerance(percent_hundredths=50, units=0)
"""Half a per cent of what the ledger says."""

LATE = timedelta(seconds=60)
"""How far back a posting may reach as a matter of course: what was said within it will soon be said again."""

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
        """Compare what these sources say now, and take it off the list of what waits for that.

        An announcement may be late or repeated: not what it says is compared, but what has been said since.
        """
        recalled = self._observations.recall({_subject(seen) for seen in observations})
        self._compare(recalled)
        self._observations.compared(recalled)

    def waiting(self, since: datetime) -> Iterator[Observation]:
        """Yield observations that have waited for their comparison since before an instant."""
        return self._observations.not_compared_since(since)

    def moved(self, changes: Iterable[Moved]) -> None:
        """The ledger of some stock keys changed: look again at their open drift cases.

        Where a change reached back further than ``LATE``, what was said since then is compared anew too: it may have
        agreed with a past that was not complete.
        """
        changes = list(changes)
        elements = self._view.compared_elements()
        subjects = {
            drift_case(source, change.key, element): (change.key, source, element)
            for change in changes
            for source, element in elements
        }
        still_open = [subjects[case] for case in self._cases.which_open(subjects)]
        late_before = self._clock() - LATE
        rewritten: dict[StockKey, datetime] = {}
        for change in changes:
            if change.since is not None and change.since < late_before:
                rewritten[change.key] = min(change.since, rewritten.get(change.key, change.since))
        doubtful = [(key, source, element) for key in rewritten for source, element in elements]
        self._compare(
            [
                said
                for said in self._observations.recall({*still_open, *doubtful})
                for seen in [said.last]
                if _subject(seen) in still_open or seen.as_of >= rewritten[StockKey(seen.sku, seen.location)]
            ]
        )

    def _compare(self, recalled: Sequence[Said]) -> None:
        comparisons = self._view.compare([said.last for said in recalled])
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


def _subject(seen: Observation) -> Subject:
    return StockKey(seen.sku, seen.location), seen.source, seen.element


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

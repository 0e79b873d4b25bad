"""The drift of a network as a report: reads the drift cases, open and closed, and adds them up."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from shared.domain.cases import Case, CaseKind, CaseStatus
from shared.domain.drift_report import DriftReport, drift_report
from shared.store.cases import Cases
from shared.store.registry import Registry

PAGE = 500
"""Cases that are read at once."""


class DriftDesk:
    """Says where drift comes from."""

    def __init__(self, cases: Cases, registry: Registry) -> None:
        self._cases = cases
        self._registry = registry

    def report(self, since: datetime) -> DriftReport:
        """Add up the drift cases that are open, or were closed at ``since`` or later."""
        return drift_report(self._drifts(), dict(self._registry.network().locations), since)

    def _drifts(self) -> Iterator[Case]:
        for status in CaseStatus:
            cursor: str | None = None
            while True:
                page = self._cases.page(status, PAGE, cursor)
                yield from (case for case in page.cases if case.kind is CaseKind.DRIFT)
                cursor = page.cursor
                if cursor is None:
                    break

"""The drift of a network as a report: reads the drift cases, open and closed, and adds them up."""

from __future__ import annotations

from datetime import datetime

from shared.domain.cases import CaseKind
from shared.domain.drift_report import DriftReport, drift_report
from shared.store.cases import Cases
from shared.store.registry import Registry


class DriftDesk:
    """Says where drift comes from."""

    def __init__(self, cases: Cases, registry: Registry) -> None:
        self._cases = cases
        self._registry = registry

    def report(self, since: datetime) -> DriftReport:
        """Add up the drift cases that are open, or were closed at ``since`` or later, each opening for itself."""
        drifts = (case for case in self._cases.openings(since) if case.kind is CaseKind.DRIFT)
        return drift_report(drifts, dict(self._registry.network().locations), since)

"""Audits exports as the command line does, with nobody to ask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from infra.audit.findings import Cause, Report
from infra.audit.first_look import Input, first_look
from infra.audit.opening import Question
from infra.audit.proof import Role


def look(
    paths: Sequence[Path],
    *,
    prices: Path | None = None,
    earlier: Sequence[Path] = (),
    declared: Mapping[str, Mapping[str, str]] | None = None,
    answers: Mapping[str, str] | None = None,
) -> Report:
    """Audit files; ``declared`` by the file's name, ``answers`` by the setting that is asked."""
    files = [(path, Role.SYSTEM) for path in paths] + [(path, Role.EARLIER) for path in earlier]
    files += [] if prices is None else [(prices, Role.PRICES)]

    def answer(question: Question) -> str | None:
        return (answers or {}).get(question.setting)

    inputs = [Input(path, role, path.stem, (declared or {}).get(path.name, {})) for path, role in files]
    return first_look(inputs, ask=answer, say=lambda text: None, most=100)


def named(report: Report, kind: str, system: str) -> Cause | None:
    """Return the cause of a kind that was named for a system, the one with most keys."""
    fitting = [cause for cause in report.causes if (cause.kind, cause.system) == (kind, system)]
    return max(fitting, key=lambda cause: cause.keys, default=None)

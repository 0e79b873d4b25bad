"""From paths to a report: proves every file's layout, asks what it must, reads the files, audits them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from infra.audit.audit import Audit
from infra.audit.findings import Report
from infra.audit.headings import squeezed
from infra.audit.opening import Question
from infra.audit.places import find_grain
from infra.audit.proof import Layout, Role, prove, style_question
from infra.audit.reading import Export, read_export
from infra.audit.reporting import report_of
from infra.audit.spill import shards_for
from infra.audit.written_numbers import STYLES, Style, StyleEvidence
from shared.domain.sku_codes import Shards

Ask = Callable[[Question], "str | None"]
"""Asks who called; None where nobody can be asked."""

Say = Callable[[str], None]


class UnprovenError(Exception):
    """Something about the files can neither be proven nor asked; carries every such question."""

    def __init__(self, questions: Sequence[Question]) -> None:
        super().__init__(f"{len(questions)} questions")
        self.questions = tuple(questions)


@dataclass(frozen=True, slots=True)
class Input:
    """A file, what it is read for, what its system is called, and what was declared of it."""

    path: Path
    role: Role
    system: str
    settings: Mapping[str, str]


def first_look(inputs: Sequence[Input], *, ask: Ask, say: Say, most: int = 10, currency: str = "") -> Report:
    """Audit exports.

    Parameters
    ----------
    inputs
        The files; the systems in the order in which they are shown, at least two.
    most
        How many of the worst keys are shown.

    Raises
    ------
    AuditError
        When a file cannot be read.
    UnprovenError
        When ``ask`` cannot answer what has to be asked.
    """
    started = time.monotonic()
    ordered = sorted(inputs, key=lambda one: list(Role).index(one.role))
    layouts, ordered = _prove_all(ordered, ask)
    shards = shards_for(sum(one.path.stat().st_size for one in ordered))
    with TemporaryDirectory(prefix="onecount-audit-") as folder:
        exports = []
        for number, (one, layout) in enumerate(zip(ordered, layouts, strict=True)):
            exports.append(_read(one, layout, Path(folder) / str(number), shards, ask))
            say(f"{one.path.name}: {exports[-1].rows:,} quantities read")
        _decide_styles(exports, ordered, ask)
        systems = sum(1 for one in ordered if one.role is Role.SYSTEM)
        grain = find_grain(exports, systems, shards.count)
        outcome = Audit(exports, grain, shards.count, most).run(say)
        report = report_of(outcome, exports, currency)
    report.seconds = time.monotonic() - started
    return report


def _prove_all(inputs: Sequence[Input], ask: Ask) -> tuple[list[Layout], list[Input]]:
    """Prove every file; those that name no quantity are tried again with the places that the others name."""
    found: dict[int, Layout | Question] = {
        at: prove(one.path, one.role, one.settings) for at, one in enumerate(inputs)
    }
    places = frozenset().union(*(_places(of) for of in found.values() if isinstance(of, Layout)))
    settled = list(inputs)
    open_questions: list[Question] = []
    for at, one in enumerate(inputs):
        answer = found[at]
        if isinstance(answer, Question) and places:
            answer = found[at] = prove(one.path, one.role, one.settings, places)
        while isinstance(answer, Question):
            said = ask(answer)
            if said is None:
                open_questions.append(answer)
                break
            settled[at] = replace(settled[at], settings={**settled[at].settings, answer.setting: said})
            answer = found[at] = prove(one.path, one.role, settled[at].settings, places)
    if open_questions:
        raise UnprovenError(open_questions)
    return [layout for layout in found.values() if isinstance(layout, Layout)], settled


def _places(layout: Layout) -> frozenset[str]:
    if layout.location is not None:
        return frozenset(squeezed(row[layout.location]) for row in layout.opened.sample) - {""}
    return frozenset(squeezed(place) for _, place in layout.quantities) - {""}


def _read(one: Input, layout: Layout, folder: Path, shards: Shards, ask: Ask) -> Export:
    folder.mkdir()
    export = read_export(one.path, one.system, one.role, layout, folder, shards)
    if not export.undecodable:
        return export
    reason = f"holds bytes in its codes that are not in its encoding, as in {export.undecodable!r}"
    question = Question(
        one.path.name, "encoding", reason, ("cp1252", "iso-8859-15", "cp1250", "cp437", "cp850")
    )
    said = ask(question)
    if said is None:
        raise UnprovenError([question])
    again = replace(one, settings={**one.settings, "encoding": said})
    proven = prove(one.path, one.role, again.settings)
    if isinstance(proven, Question):
        raise UnprovenError([proven])
    return _read(again, proven, folder / "again", shards, ask)


def _decide_styles(exports: Sequence[Export], inputs: Sequence[Input], ask: Ask) -> None:
    """Settle how each file writes its numbers; one file writes them all alike unless it proves otherwise."""
    unanswered = []
    for export, one in zip(exports, inputs, strict=True):
        declared = export.layout.style
        if declared is not None:
            export.style = export.money_style = declared
            continue
        numbers, money = _proven(export.numbers, export), _proven(export.money, export)
        if numbers is None and money is not None and export.money.has_proof:
            numbers = money
        if money is None and numbers is not None and export.numbers.has_proof:
            money = numbers
        if numbers is None or money is None:
            question = style_question(one.path.name, export.numbers if numbers is None else export.money)
            said = ask(question)
            if said is None:
                unanswered.append(question)
                continue
            numbers = numbers or (STYLES[said], "declared")
            money = money or (STYLES[said], "declared")
        export.style, export.money_style = numbers[0], money[0]
        if export.numbers.has_marks or export.money.has_marks:
            mark = numbers[0].decimal if export.numbers.has_marks else money[0].decimal
            why = numbers[1] if export.numbers.has_marks else money[1]
            taken = f"decimal mark {mark!r} ({why})"
            export.layout = replace(export.layout, taken=(*export.layout.taken, taken))
    if unanswered:
        raise UnprovenError(unanswered)


def _proven(evidence: StyleEvidence, export: Export) -> tuple[Style, str] | None:
    found = evidence.proven()
    if found is None and evidence.contradicts_itself is None and export.layout.opened.is_workbook:
        return (STYLES["point"], "a workbook keeps numbers as numbers") if "." in evidence.undecided else None
    return found

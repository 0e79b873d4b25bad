"""What was counted, put into words: an ``Outcome`` becomes a ``Report``."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from infra.audit.attribution import Attributed
from infra.audit.audit import Outcome
from infra.audit.explanations import Explanation, Kind
from infra.audit.findings import Cause, FileRead, Pair, Report, Shown, percent
from infra.audit.proof import Role
from infra.audit.reading import Export
from infra.audit.slices import split_key
from infra.audit.tally import Example, Tally
from infra.audit.wording import Wording, remedy, whose

_LIMITS = {
    1_000,
    5_000,
    10_000,
    20_000,
    50_000,
    65_535,
    65_536,
    100_000,
    250_000,
    500_000,
    1_000_000,
    1_048_575,
}
"""Rows at which exports are known to be cut."""

_LAST = (Kind.MISSING, Kind.UNEXPLAINED)


def report_of(outcome: Outcome, exports: Sequence[Export], currency: str) -> Report:
    """Put an outcome into words."""
    return _Writer(outcome, exports, currency).report()


class _Writer:
    def __init__(self, outcome: Outcome, exports: Sequence[Export], currency: str) -> None:
        self._of, self._exports, self._currency = outcome, exports, currency
        self._systems = [export for export in exports if export.role is Role.SYSTEM]
        self._names = [export.system for export in self._systems]
        older = [export.path.name for export in exports if export.role is Role.EARLIER]
        self._wording = Wording(self._names, outcome.facts, older)

    def report(self) -> Report:
        of = self._of
        report = Report(self._names, [_file(export) for export in self._exports], of.grain.why)
        report.keys, report.equal = of.count.keys, of.count.equal
        report.by_majority, report.by_first = of.count.by_majority, of.count.by_first
        report.pairs = [
            Pair(
                self._names[one],
                self._names[other],
                both,
                of.count.same[one, other],
                of.count.held[one] - both,
                of.count.held[other] - both,
            )
            for (one, other), both in sorted(of.count.both.items())
        ]
        report.causes = self._causes()
        report.worst = [_shown(example, "; ".join(kinds)) for example, kinds in of.worst]
        report.notes = self._notes()
        report.currency = self._currency
        if of.has_prices:
            report.has_prices = True
            report.differing = sum(a.tally.keys for a in of.causes)
            report.priced = sum(a.tally.priced for a in of.causes)
            if report.priced or not report.differing:
                report.exposure = sum((a.tally.exposure for a in of.causes), Decimal(0))
        return report

    def _causes(self) -> list[Cause]:
        of = self._of
        causes = [self._cause(attributed) for attributed in of.causes]
        causes += [self._respelled(number, how) for number, how in of.count.respelled]
        causes += [self._repeated(number) for number in sorted(of.once) if of.repeats[number].identical]
        causes += self._renamed_places()
        return sorted(
            causes,
            key=lambda one: (
                one.kind in _LAST,
                -(one.exposure or 0),
                -one.units,
                -one.keys,
                one.system,
                one.title,
            ),
        )

    def _cause(self, attributed: Attributed) -> Cause:
        explanation, tally = attributed.explanation, attributed.tally
        evidence = self._wording.evidence(explanation, tally.keys)
        if explanation.kind is Kind.SWAPPED:
            pairs = "pair says" if explanation.hits == 1 else "pairs say"
            evidence = [
                f"{explanation.hits:,} {pairs} each other's number exactly; about {explanation.chance:,} would by chance"
            ]
        if explanation.kind is Kind.MISSING:
            evidence += self._wording.where_missing(explanation.system, tally.places, tally.elsewhere)
        if explanation.kind is Kind.TRUNCATED:
            rows = self._systems[explanation.system].rows
            if rows in _LIMITS:
                evidence.append(f"the file has exactly {rows:,} rows, a usual limit")
        alternatives = [f"fits equally: {self._wording.title(other)}" for other in attributed.alike]
        alternatives += [
            f"{keys:,} of them would also be: {self._wording.title(other)}"
            for other, keys in attributed.partly
        ]
        return self._worded(explanation, self._wording.title(explanation), tally, evidence, alternatives)

    def _worded(
        self,
        of: Explanation,
        title: str,
        tally: Tally,
        evidence: Sequence[str],
        alternatives: Sequence[str] = (),
    ) -> Cause:
        return Cause(
            of.kind,
            whose(of, self._names) if len(self._names) == 2 else self._names[of.system],
            title,
            tally.keys,
            tally.units,
            tally.net,
            tally.exposure if tally.priced else None,
            tally.priced,
            tuple(evidence),
            tuple(alternatives),
            remedy(of),
            tuple(_shown(example, example.note) for example in tally.shown()),
        )

    def _respelled(self, number: int, how: str) -> Cause:
        found = self._of.count.respelled[number, how]
        tally, system = found.tally, self._names[number]
        evidence = [
            (
                f"matched when the spelling is ignored, each to one code only; then {found.equal:,} of {tally.keys:,} "
                f"({percent(found.equal, tally.keys)}) say the same number as another system"
            )
        ]
        if found.equal * 2 < tally.keys:
            evidence.append("fewer than half of the numbers agree, so they may be other items after all")
        return self._worded(
            Explanation(Kind.CODE_FORMAT, number),
            f"SKU code format: {system} differs in {how}",
            tally,
            evidence,
        )

    def _repeated(self, number: int) -> Cause:
        repeats, system = self._of.repeats[number], self._names[number]
        evidence = (
            (
                f"{repeats.identical:,} keys have the same row again; said once it fits another system on "
                f"{repeats.fits_once:,}, summed on {repeats.fits_sum:,}: so each was counted once"
            ),
            f"whoever sums the rows of {system} doubles them",
        )
        title = f"duplicate rows: {system} repeats rows"
        tally = Tally(keys=repeats.identical)
        return self._worded(Explanation(Kind.REPEATED, number), title, tally, evidence)

    def _renamed_places(self) -> list[Cause]:
        found = []
        for match in self._of.grain.matches:
            if match.system not in self._names:
                continue
            number = self._names.index(match.system)
            evidence = (
                f"{match.equal:,} of {match.of:,} numbers there are the same; they were compared under {match.ours}",
            )
            title = f"location mapping: {match.system} calls {match.ours} {match.theirs!r}"
            tally = Tally(keys=match.of)
            found.append(self._worded(Explanation(Kind.PLACES, number), title, tally, evidence))
        return found

    def _notes(self) -> list[str]:
        of, notes = self._of, []
        for number, name in enumerate(self._names):
            if of.count.negative[number]:
                notes.append(f"{name}: {of.count.negative[number]:,} keys are below zero")
            repeats = of.repeats.get(number)
            if repeats is not None and number not in of.once:
                proof = f"summed, that fits another system on {repeats.fits_sum:,}"
                if repeats.fits_once:
                    proof += f"; said once, on {repeats.fits_once:,}"
                notes.append(f"{name}: {repeats.keys:,} keys have several rows, which were summed ({proof})")
            if mangled := self._systems[number].mangled:
                notes.append(
                    f"{name}: codes such as {mangled[0]!r} look as if a spreadsheet had rewritten them"
                )
        if of.count.empty:
            notes.append(
                f"{of.count.empty:,} keys are 0 in some systems and missing in others: nothing is there either way, so they "
                "count as the same"
            )
        if of.count.ambiguous:
            notes.append(
                f"{of.count.ambiguous:,} codes could be several others if spelling is ignored; they were left apart"
            )
        if of.count.by_first and len(self._names) > 2:
            notes.append(
                f"on {of.count.by_first:,} of {of.count.by_first + of.count.by_majority:,} differing keys no two systems agree: "
                f"there {self._names[0]}, the first named, is the yardstick"
            )
        elif len(self._names) == 2:
            notes.append(
                f"with two systems there is no majority: {self._names[0]}, the first named, is the yardstick"
            )
        return notes


def _file(export: Export) -> FileRead:
    return FileRead(
        export.path.name,
        export.system,
        export.role.value,
        export.rows,
        export.layout.taken,
        tuple(export.aside.told()),
    )


def _shown(example: Example, note: str) -> Shown:
    sku, place = split_key(example.key)
    return Shown(sku, place, example.values, example.units, example.exposure, note)

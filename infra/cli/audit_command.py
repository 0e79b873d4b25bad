"""``onecount audit``: exports of several systems compared on this machine, with nothing deployed and nothing sent.

Exit codes beside those of every command: 3 when the match rate is below ``--fail-below``.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from infra.cli.console import CommandError, command, session_of, table

if TYPE_CHECKING:
    from infra.audit.findings import Cause, Report, Shown
    from infra.audit.first_look import Input
    from infra.audit.opening import Question

BELOW = 3
"""Exit code when the match rate is below ``--fail-below``."""

SETTINGS = {
    "sku-column": "The column of the SKU: its heading, or #1 for the first.",
    "quantity-column": "The column of the quantity.",
    "location-column": "The column of the place; empty (FILE=) for none.",
    "location-columns": "Columns that are a place each, by commas.",
    "price-column": "The column of the price.",
    "delimiter": "comma, semicolon, tab, bar, or the character.",
    "encoding": "The encoding, such as cp1252.",
    "decimal": "point or comma: the mark before fractions.",
    "header-row": "The row of the headings; 0 for none.",
    "sheet": "The sheet of a workbook.",
}
"""What can be declared of a file, by option."""


def _setting_options(function: Callable[..., Any]) -> Callable[..., Any]:
    for name, text in reversed(SETTINGS.items()):
        function = click.option(f"--{name}", multiple=True, metavar="FILE=VALUE", help=text)(function)
    return function


class _Percent(click.FloatRange):
    """A percentage. What is no number at all (``nan``) lies within every range, as it compares with nothing."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        if math.isnan(number):
            self.fail(f"{value!r} is no number; give one from 0 to 100.", param, ctx)
        return number


_FILE = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)


@command("audit", targeted=False)
@click.argument("files", nargs=-1, required=True, type=_FILE)
@click.option("--prices", type=_FILE, help="A file with a price for each SKU: differences in money.")
@click.option(
    "--earlier", type=_FILE, multiple=True, help="An older export: says who still shows its numbers."
)
@click.option(
    "--html", type=click.Path(dir_okay=False, path_type=Path), help="Write the report to a file to forward."
)
@click.option(
    "--top", type=click.IntRange(0, 1000), default=10, show_default=True, help="Worst keys to show."
)
@click.option("--currency", default="", help="What to write behind money.")
@click.option("--fail-below", type=_Percent(0, 100), help="Exit with 3 if fewer percent of the keys match.")
@click.option("--ask/--no-ask", default=None, help="Ask what cannot be proven.  [default: at a terminal]")
@_setting_options
@click.pass_context
def audit(
    context: click.Context,
    /,
    files: tuple[Path, ...],
    prices: Path | None,
    earlier: tuple[Path, ...],
    html: Path | None,
    top: int,
    currency: str,
    fail_below: float | None,
    ask: bool | None,
    **declared: tuple[str, ...],
) -> None:
    """Compare exports of several systems: match rate, likely causes.

    Takes two or more exports of stock (CSV, TSV, semicolons, .xlsx; a row for each SKU, or for each SKU and place, or
    a column for each place). Nothing is deployed, and nothing leaves this machine. What a file's layout is, is proven
    from the file and said; what cannot be proven is asked at a terminal, or declared: --sku-column erp.csv=Material.
    A declaration without FILE= is for every file. Exits 0 when the audit was made, whatever it found; 1 when a file
    cannot be read or its layout not be proven; 3 below --fail-below.
    """
    from infra.audit.first_look import UnprovenError, first_look
    from infra.audit.html_report import html_report
    from infra.audit.tables import AuditError

    session = session_of(context)
    if len(files) < 2:
        raise click.UsageError("give two exports or more: onecount audit wms.csv erp.csv shop.csv")
    inputs = _inputs(files, prices, earlier, declared)
    asks = sys.stdin.isatty() if ask is None else ask
    try:
        report = first_look(
            inputs, ask=_asked if asks else _unasked, say=session.say, most=top, currency=currency
        )
    except AuditError as error:
        raise CommandError(str(error), error.remedy) from error
    except UnprovenError as error:
        raise _open(error.questions) from error
    if html is not None:
        html.write_text(html_report(report), encoding="utf-8")
        session.say(f"written to {html}")
    session.show(_answer(report), told(report))
    if fail_below is not None and report.equal * 100 < Decimal(str(fail_below)) * report.keys:
        context.exit(BELOW)


def _inputs(
    files: Sequence[Path],
    prices: Path | None,
    earlier: Sequence[Path],
    declared: Mapping[str, tuple[str, ...]],
) -> list[Input]:
    from infra.audit.first_look import Input
    from infra.audit.proof import Role

    paths = [(path, Role.SYSTEM) for path in files] + [(path, Role.EARLIER) for path in earlier]
    paths += [] if prices is None else [(prices, Role.PRICES)]
    systems = _system_names([path for path, _ in paths])
    settings: list[dict[str, str]] = [{} for _ in paths]
    for option, values in declared.items():
        setting = option.replace("_", "-")
        for value in values:
            for at, said in _meant(setting, value, [path for path, _ in paths]):
                settings[at][setting] = said
    return [
        Input(path, role, system, of)
        for (path, role), system, of in zip(paths, systems, settings, strict=True)
    ]


def _system_names(paths: Sequence[Path]) -> list[str]:
    """Call a system as its file is called; by its folder too where two files have the same name."""
    stems = [path.stem for path in paths]
    names = [
        f"{path.resolve().parent.name}/{path.stem}" if stems.count(path.stem) > 1 else path.stem
        for path in paths
    ]
    return [name if names.count(name) == 1 else f"{name} ({at + 1})" for at, name in enumerate(names)]


def _meant(setting: str, value: str, paths: Sequence[Path]) -> Iterator[tuple[int, str]]:
    """Yield which files a declaration is about, and what it says of them."""
    name, mark, said = value.partition("=")
    fits = [at for at, path in enumerate(paths) if name in (str(path), path.name, path.stem)]
    if mark and len(fits) == 1:
        yield fits[0], said
    elif mark and len(fits) > 1:
        raise click.BadParameter(
            f"{name!r} is more than one of the files; write its path", param_hint=f"--{setting}"
        )
    elif mark and setting != "delimiter":
        known = ", ".join(path.name for path in paths)
        raise click.BadParameter(f"{name!r} is none of the files ({known})", param_hint=f"--{setting}")
    else:
        yield from ((at, value) for at in range(len(paths)))


def _unasked(question: Question) -> str | None:
    return None


def _asked(question: Question) -> str | None:
    """Ask at the terminal."""
    click.echo(f"{question.file}: {question.reason}.", err=True)
    for number, option in enumerate(question.options, 1):
        click.echo(f"  {number}  {option}", err=True)
    said: str = click.prompt(f"{question.setting.replace('-', ' ')} (a number above, or its name)", err=True)
    if said.isdecimal() and 1 <= int(said) <= len(question.options):
        return question.options[int(said) - 1]
    return said


def _open(questions: Sequence[Question]) -> CommandError:
    details = []
    for question in questions:
        options = f": {', '.join(question.options)}" if question.options else ""
        example = question.options[0] if question.options else "..."
        details.append(f"{question.file}: {question.reason}{options}")
        details.append(f"  declare --{question.setting} '{question.file}={example}', or what it is")
    return CommandError(
        "some of the files leave open what they mean",
        "declare it as said, or run this at a terminal to be asked",
        details,
    )


def told(report: Report) -> Iterator[str]:
    """Lay a report out in words."""
    from infra.audit.findings import amount, percent, worth

    for file in report.files:
        yield f"{file.file}: {file.rows:,} quantities" + ("" if file.role == "system" else f" ({file.role})")
        for line in (*file.taken, *file.aside):
            yield f"  {line}"
    yield ""
    yield f"compared {report.grain}"
    yield f"match rate: {report.rate} ({report.equal:,} of {report.keys:,} keys are the same in all {len(report.systems)} systems)"
    if report.recoded:
        yield (
            f"{report.recoded:,} keys are written differently: compared as one, but not the same for that alone"
        )
    if report.has_prices:
        yield (
            "exposure of all differences: "
            + worth(report.exposure, report.currency, report.price_gap, "unknown")
        )
    differences, explained = report.differences
    if differences:
        yield (
            f"{differences:,} numbers differ or are missing{' beside that' if report.recoded else ''}; "
            f"{explained:,} of them "
            f"({percent(explained, differences)}) have a likely cause"
        )
    yield ""
    pairs = [
        (f"{pair.one} - {pair.other}", pair.both, pair.equal, pair.rate, pair.only_one, pair.only_other)
        for pair in report.pairs
    ]
    yield from table(("pair", "in both", "equal", "match rate", "only first", "only second"), pairs)
    yield ""
    causes = "likely causes, and what has none:" if report.has_unexplained else "likely causes:"
    yield causes if report.causes else "no differences"
    for number, cause in enumerate(report.causes, 1):
        yield ""
        gap = report.price_gap_of(cause)
        exposure = ""
        if cause.exposure is not None or gap:
            exposure = f", {worth(cause.exposure, report.currency, gap, 'exposure unknown')}"
        yield f"{number}. {cause.title}"
        share = percent(cause.keys, report.keys)
        units = f", {amount(cause.units)} units" if cause.units else ""
        yield f"   {cause.keys:,} keys ({share}){units}{exposure}"
        yield from (f"   - {line}" for line in (*cause.evidence, *cause.alternatives))
        yield from (f"     {line}" for line in _examples(cause, report.systems))
        yield f"   look: {cause.remedy}"
    yield from _worst(report)
    if report.notes:
        yield ""
        yield from (f"note: {note}" for note in report.notes)
    yield ""
    yield f"done in {report.seconds:.1f} s"


def _examples(cause: Cause, systems: Sequence[str]) -> list[str]:
    from infra.audit.findings import amount

    def line(shown: Shown) -> str:
        name = shown.sku + (f" @ {shown.place}" if shown.place else "")
        values = ", ".join(f"{system} {amount(v)}" for system, v in zip(systems, shown.values, strict=True))
        return f"{name}: {values}" + (f" ({shown.note})" if shown.note else "")

    return [line(shown) for shown in cause.examples[:3]]


def _worst(report: Report) -> Iterator[str]:
    from infra.audit.findings import amount, money

    if not report.worst:
        return
    yield ""
    yield "side by side, the worst first:"
    priced, placed = report.has_prices, report.by_place
    headers = [
        "sku",
        *(["place"] if placed else []),
        *report.systems,
        "apart",
        *(["exposure"] if priced else []),
        "likely",
    ]
    rows = [
        [
            shown.sku,
            *([shown.place] if placed else []),
            *map(amount, shown.values),
            amount(shown.units),
            *([money(shown.exposure, report.currency)] if priced else []),
            shown.note,
        ]
        for shown in report.worst
    ]
    yield from table(headers, rows)


def _answer(report: Report) -> dict[str, Any]:
    def number(value: object) -> object:
        return str(value) if isinstance(value, Decimal) else value

    def shown(one: Shown) -> dict[str, Any]:
        return {
            "sku": one.sku,
            "place": one.place or None,
            "quantities": {s: number(v) for s, v in zip(report.systems, one.values, strict=True)},
            "units": number(one.units),
            "exposure": number(one.exposure),
            "note": one.note,
        }

    return {
        "systems": report.systems,
        "files": [
            {"file": f.file, "role": f.role, "quantities": f.rows, "taken": f.taken, "set_aside": f.aside}
            for f in report.files
        ],
        "compared": report.grain,
        "match": {"keys": report.keys, "equal": report.equal, "rate": report.rate},
        "pairs": [
            {
                "systems": [p.one, p.other],
                "in_both": p.both,
                "equal": p.equal,
                "rate": p.rate,
                "only_first": p.only_one,
                "only_second": p.only_other,
            }
            for p in report.pairs
        ],
        "exposure": number(report.exposure),
        "differences_with_a_price": report.priced,
        "currency": report.currency or None,
        "causes": [
            {
                "kind": c.kind.value,
                "system": c.system,
                "title": c.title,
                "keys": c.keys,
                "units": number(c.units),
                "net_units": number(c.net),
                "exposure": number(c.exposure),
                "keys_with_a_price": c.priced,
                "evidence": c.evidence,
                "alternatives": c.alternatives,
                "remedy": c.remedy,
                "examples": [shown(one) for one in c.examples],
            }
            for c in report.causes
        ],
        "worst": [shown(one) for one in report.worst],
        "notes": report.notes,
        "seconds": round(report.seconds, 1),
    }

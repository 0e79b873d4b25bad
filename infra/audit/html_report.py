"""The report as one HTML file to forward: no script, nothing loaded from elsewhere, readable on paper.

Every text in it comes from somebody's export, so every text is escaped; the policy in the head forbids the rest.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from html import escape

from infra.audit.findings import Cause, Report, Shown, amount, money, percent, worth

_STYLE = """
:root { --ink: #1c2430; --soft: #5b6676; --line: #d9dee6; --fill: #f4f6f9; --mark: #b4541a; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 2.5rem 1.5rem; color: var(--ink); background: #fff;
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .25rem; }
h2 { font-size: 1.15rem; margin: 2.5rem 0 .75rem; padding-bottom: .3rem; border-bottom: 2px solid var(--ink); }
h3 { font-size: 1rem; margin: 0; }
p, ul { margin: .4rem 0; }
.soft, .look { color: var(--soft); }
.tiles { display: flex; flex-wrap: wrap; gap: .75rem; margin: 1.5rem 0; }
.tile { flex: 1 1 11rem; background: var(--fill); border-radius: .4rem; padding: .8rem 1rem; }
.tile b { display: block; font-size: 1.4rem; white-space: nowrap; line-height: 1.2; font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; margin: .5rem 0; }
th { text-align: left; color: var(--soft); font-weight: 600; }
th, td { padding: .3rem .7rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.n + .sku { padding-left: .8rem; }
.sku { overflow-wrap: anywhere; }
.cause { border: 1px solid var(--line); border-radius: .4rem; padding: .9rem 1.1rem; margin: .9rem 0; }
.cause .size { color: var(--mark); font-weight: 600; margin: .1rem 0; }
.cause ul { padding-left: 1.2rem; }
.small { font-size: .85rem; }
@media print {
  body { padding: 0; max-width: none; font-size: 10.5pt; }
  .cause, .tile, tr { break-inside: avoid; }
  h2 { break-after: avoid; }
  .scroll { overflow: visible; }
  .tile { border: 1px solid var(--line); }
}
"""


def html_report(report: Report) -> str:
    """Lay a report out as a whole HTML page."""
    names = ", ".join(report.systems)
    body = "\n".join(
        [
            f"<h1>Stock of {escape(names)} compared</h1>",
            (
                f'<p class="soft">{escape(_when())}, {escape(report.grain)}. Made by Onecount from exported files alone: '
                "causes are likely, not certain, and each says why.</p>"
            ),
            _tiles(report),
            "<h2>How well the systems agree</h2>",
            _pairs(report),
            "<h2>Likely causes</h2>" if report.causes else "<h2>No differences</h2>",
            _overview(report),
            *(_cause(number, cause, report) for number, cause in enumerate(report.causes, 1)),
            *(["<h2>Side by side, the worst first</h2>", _worst(report)] if report.worst else []),
            *(["<h2>To note</h2>", _list(report.notes)] if report.notes else []),
            "<h2>What was read, and why so</h2>",
            *_files(report),
        ]
    )
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(names)}: {escape(report.rate)} match</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n{body}\n</body>\n</html>\n"
    )


def _when() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")


def _tiles(report: Report) -> str:
    differences, explained = report.differences
    tiles = [
        (report.rate, f"match rate: {report.equal:,} of {report.keys:,} keys are the same everywhere"),
        (f"{differences:,}", "numbers that differ or are missing"),
        (percent(explained, differences), "of them have a likely cause"),
    ]
    if report.has_prices:
        gap = f"; {report.price_gap}" if report.price_gap else ""
        tiles.append((money(report.exposure, report.currency), f"exposure: differences at their price{gap}"))
    inner = "".join(f'<div class="tile"><b>{escape(value)}</b>{escape(text)}</div>' for value, text in tiles)
    return f'<div class="tiles">{inner}</div>'


def _table(headers: Sequence[tuple[str, bool]], rows: Iterable[Sequence[str]]) -> str:
    """Lay out rows; the second of a header says whether its column holds numbers."""

    def cell(tag: str, text: str, number: bool) -> str:
        return f'<{tag} class="{"n" if number else "sku"}">{escape(text)}</{tag}>'

    head = "".join(cell("th", text, number) for text, number in headers)
    lines = [
        "<tr>" + "".join(cell("td", text, of[1]) for text, of in zip(row, headers, strict=True)) + "</tr>"
        for row in rows
    ]
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table></div>'


def _pairs(report: Report) -> str:
    headers = [
        ("systems", False),
        ("in both", True),
        ("equal", True),
        ("match rate", True),
        ("only in one", True),
    ]
    rows = [
        (
            f"{pair.one} and {pair.other}",
            f"{pair.both:,}",
            f"{pair.equal:,}",
            pair.rate,
            f"{pair.only_one:,} / {pair.only_other:,}",
        )
        for pair in report.pairs
    ]
    return _table(headers, rows)


def _overview(report: Report) -> str:
    headers = [("cause", False), ("keys", True), ("units", True)]
    headers += [("exposure", True)] if report.has_prices else []
    rows = [
        [
            f"{number}. {cause.title}",
            f"{cause.keys:,}",
            amount(cause.units) if cause.units else "",
            *([money(cause.exposure)] if report.has_prices else []),
        ]
        for number, cause in enumerate(report.causes, 1)
    ]
    return _table(headers, rows) if len(rows) > 1 else ""


def _cause(number: int, cause: Cause, report: Report) -> str:
    size = [f"{cause.keys:,} keys"]
    if cause.units:
        size.append(f"{amount(cause.units)} units")
    if cause.exposure is not None or report.price_gap_of(cause):
        size.append(worth(cause.exposure, report.currency, report.price_gap_of(cause), "exposure unknown"))
    parts = [
        f"<h3>{number}. {escape(cause.title)}</h3>",
        f'<p class="size">{escape(", ".join(size))}</p>',
        _list((*cause.evidence, *cause.alternatives)),
        _keys(cause.examples, report) if cause.examples else "",
        f'<p class="look">Look: {escape(cause.remedy)}.</p>',
    ]
    return f'<section class="cause">{"".join(parts)}</section>'


def _keys(shown: Sequence[Shown], report: Report, last: str = "") -> str:
    placed, noted = any(one.place for one in shown), bool(last) or any(one.note for one in shown)
    headers = [("SKU", False)]
    headers += [("place", False)] if placed else []
    headers += [(system, True) for system in report.systems] + [("apart", True)]
    headers += [("exposure", True)] if report.has_prices else []
    headers += [(last or "note", False)] if noted else []

    def cells(one: Shown) -> Iterator[str]:
        yield one.sku
        if placed:
            yield one.place
        yield from map(amount, one.values)
        yield amount(one.units)
        if report.has_prices:
            yield money(one.exposure)
        if noted:
            yield one.note

    return _table(headers, [list(cells(one)) for one in shown])


def _worst(report: Report) -> str:
    return _keys(report.worst, report, "likely cause")


def _list(lines: Iterable[str]) -> str:
    inner = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"<ul>{inner}</ul>" if inner else ""


def _files(report: Report) -> Iterator[str]:
    for file in report.files:
        role = "" if file.role == "system" else f" ({file.role})"
        yield f"<h3>{escape(file.file)}{escape(role)}</h3>"
        yield f'<p class="soft small">{file.rows:,} quantities</p>'
        yield f'<div class="small">{_list((*file.taken, *file.aside))}</div>'

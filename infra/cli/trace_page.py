"""A trace as one HTML file: a picture of each chain, drawn as inline SVG, with the same in words beside it.

Nothing is loaded from elsewhere and nothing runs; every text comes from somebody's system, so every text is escaped.

::

    wms       o occurred
    onecount     '--> o received 2.1 s
    ledger               '--> o posted 0.4 s
    shop                         '--> o pushing 0.9 s --> o confirmed 0.3 s
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

_STYLE = """
body { margin: 0 auto; max-width: 72rem; padding: 2rem 1.5rem; color: #1c2430; background: #fff;
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, Arial, sans-serif; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.05rem; margin: 2rem 0 .5rem; overflow-wrap: anywhere; }
.picture { overflow-x: auto; }
svg text { font: 12px system-ui, sans-serif; fill: #1c2430; }
svg .soft { fill: #5b6676; } svg line { stroke: #d9dee6; } svg path { stroke: #5b6676; fill: none; }
svg circle { fill: #2b6cb0; } svg .confirmed circle { fill: #2f855a; } svg .undone circle { fill: #c53030; }
table { border-collapse: collapse; font-size: .9rem; } th { text-align: left; color: #5b6676; }
td, th { padding: .2rem .9rem .2rem 0; border-bottom: 1px solid #d9dee6; vertical-align: top; }
.notes { color: #5b6676; }
"""

LANE, STEP, LEFT, HEAD = 46, 150, 150, 26
"""Height of a system's lane, width of a step, and the room at the left and above, in pixels."""

Json = Mapping[str, Any]


def took(milliseconds: int | None) -> str:
    """Write a handoff's time for a person."""
    if milliseconds is None:
        return ""
    size, sign = abs(milliseconds), "-" if milliseconds < 0 else ""
    if size < 1_000:
        return f"{sign}{size} ms"
    if size < 120_000:
        return f"{sign}{size / 1000:.1f} s"
    if size < 7_200_000:
        return f"{sign}{size / 60_000:.1f} min"
    return f"{sign}{size / 3_600_000:.1f} h"


def trace_page(asked: str, chains: Sequence[Json]) -> str:
    """Lay chains out as a whole HTML page."""
    body = "\n".join(part for chain in chains for part in _chain(chain))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>Trace of {escape(asked)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>Trace of {escape(asked)}</h1>\n{body}\n</body>\n</html>\n"
    )


def _chain(chain: Json) -> Iterator[str]:
    whole = took(chain["took_ms"])
    yield f"<h2>{escape(chain['about'])}{f' ({whole})' if whole else ''}</h2>"
    if chain["steps"]:
        yield f'<div class="picture">{picture(chain["steps"])}</div>'
        yield _table(chain["steps"])
    for note in chain["notes"]:
        yield f'<p class="notes">{escape(note)}</p>'
    for case in chain["cases"]:
        yield f"<p>case {escape(case['id'])} ({escape(case['status'])}): {escape(case['title'])}</p>"


def picture(steps: Sequence[Json]) -> str:
    """Draw steps as SVG: a lane for each system, in the order in which the fact reached them."""
    systems = list(dict.fromkeys(step["system"] for step in steps))
    width, height = LEFT + STEP * len(steps) + 20, HEAD + LANE * len(systems)
    drawn = [
        f'<text class="soft" x="4" y="{_lane(number) + 4}">{escape(_short(system))}</text>'
        f'<line x1="{LEFT}" x2="{width}" y1="{_lane(number)}" y2="{_lane(number)}"/>'
        for number, system in enumerate(systems)
    ]
    for number, step in enumerate(steps):
        drawn += _drawn(number, step, steps, systems)
    title = escape(" to ".join(step["stage"] for step in steps))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}"><title>{title}</title>{"".join(drawn)}</svg>'
    )


def _drawn(number: int, step: Json, steps: Sequence[Json], systems: Sequence[str]) -> Iterator[str]:
    x, y = _column(number), _lane(systems.index(step["system"]))
    came_from = _handed_over_by(number, steps)
    if came_from is not None:
        fx, fy = _column(came_from), _lane(systems.index(steps[came_from]["system"]))
        yield f'<path d="M{fx},{fy} C{fx + STEP // 2},{fy} {x - STEP // 2},{y} {x},{y}"/>'
    label = " ".join(word for word in (step["stage"], took(step["took_ms"])) if word)
    yield (
        f'<g class="{escape(step["stage"])}"><title>{escape(step["says"])}, {escape(step["at"])}</title>'
        f'<circle cx="{x}" cy="{y}" r="5"/><text x="{x - 4}" y="{y - 10}">{escape(label)}</text></g>'
    )


_BEFORE = {
    "received": "occurred",
    "posted": "received",
    "compared": "occurred",
    "pushing": "posted",
    "confirmed": "pushing",
    "undone": "posted",
}


def _handed_over_by(number: int, steps: Sequence[Json]) -> int | None:
    """Return which step handed over to one: the last of the stage before it, of the same system where it has one."""
    wanted, system = _BEFORE.get(steps[number]["stage"]), steps[number]["system"]
    before = [at for at in range(number) if steps[at]["stage"] == wanted]
    own = [at for at in before if steps[at]["system"] == system]
    return max(own or before, default=None)


def _table(steps: Sequence[Json]) -> str:
    rows = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in _cells(step)) + "</tr>" for step in steps
    )
    heads = "".join(f"<th>{head}</th>" for head in ("when", "system", "stage", "took", "what"))
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"


def _cells(step: Json) -> tuple[str, ...]:
    return step["at"], step["system"], step["stage"], took(step["took_ms"]), step["says"]


def _short(text: str) -> str:
    return text if len(text) <= 20 else f"{text[:19]}…"


def _column(number: int) -> int:
    return LEFT + 20 + STEP * number


def _lane(number: int) -> int:
    return HEAD + LANE * number + LANE // 2 - 8

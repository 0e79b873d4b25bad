"""``advice``: what deserves a look, and why. It advises; nothing is changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import click

from infra.cli.console import Session, brief, command, table

TOPICS = ("buffers", "counts", "movements", "sites")
AT_A_GLANCE = 5
"""Rows of each topic where all are shown."""


@command("advice")
@click.argument("topic", required=False, type=click.Choice(TOPICS))
@click.option(
    "--limit", type=click.IntRange(1, 200), default=20, show_default=True, help="Rows of one topic."
)
@click.pass_obj
def advice(session: Session, topic: str | None, limit: int) -> None:
    """Advise on buffers, counts, unusual movements and sites.

    Without a topic the first rows of each. Every row says what it rests on, and nothing acts on it by itself. Which
    case to take first is `onecount cases ranked`.
    """
    topics = (topic,) if topic else TOPICS
    most = limit if topic else AT_A_GLANCE
    found = {one: session.target.api.get("advice", one, limit=most) for one in topics}
    lines = [line for one in topics for line in (*_told(one, found[one]), "")]
    session.show(found[topic] if topic else found, lines[:-1])


def _told(topic: str, found: Mapping[str, Any]) -> Iterator[str]:
    yield _HEADS[topic]
    rows = found["rows"]
    if rows:
        yield from _LAYOUTS[topic](rows)
    else:
        yield f"nothing to say: {found['looked_at']} looked at"
    if found.get("by"):
        yield f"reckoned so: {found['by']}"
    if found["more"]:
        yield f"and {found['more']} more: `onecount advice {topic} --limit 200`"
    if not found["is_complete"]:
        yield f"only {found['looked_at']} were looked at, fast movers first"


def _buffers(rows: list[dict[str, Any]]) -> Iterator[str]:
    yield from table(
        ("channel", "safety stock", "advised", "listings", "too small for", "why"),
        [
            (r["channel"], r["safety_stock"], r["advised"], r["listings"], r["too_small_for"], r["why"])
            for r in rows
        ],
    )
    short = [
        (r["channel"], s["sku"], s["location"], s["withheld"], s["needed"]) for r in rows for s in r["short"]
    ]
    if short:
        yield ""
        yield from table(("channel", "sku", "location", "withheld now", "needed"), short)


def _counts(rows: list[dict[str, Any]]) -> Iterator[str]:
    yield from table(
        ("sku", "location", "may put right", "worth up to", "why"),
        [(r["sku"], r["location"], r["expected"], r["value"], r["why"]) for r in rows],
    )


def _movements(rows: list[dict[str, Any]]) -> Iterator[str]:
    yield from table(
        ("at", "sku", "location", "kind", "units", "event", "why"),
        [
            (brief(r["at"]), r["sku"], r["location"], r["kind"], r["units"], r["event"], r["why"])
            for r in rows
        ],
    )


def _sites(rows: list[dict[str, Any]]) -> Iterator[str]:
    yield from table(("site", "why"), [(r["site"], r["why"]) for r in rows])


_HEADS = {
    "buffers": "Buffers: what would have kept each channel from selling what others had just sold",
    "counts": "Counts: where the next count puts most right",
    "movements": "Movements of a size that is unusual for their SKU, location and kind",
    "sites": "Sites: the least reliable first",
}
_LAYOUTS = {"buffers": _buffers, "counts": _counts, "movements": _movements, "sites": _sites}

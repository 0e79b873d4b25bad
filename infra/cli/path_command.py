"""``write-paths``: the map of every handoff."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from infra.cli.console import Session, brief, command, table
from infra.cli.trace_page import took


@command("write-paths")
@click.pass_obj
def write_paths(session: Session, /) -> None:
    """Show who writes to whom, how often, how fast, by what right."""
    found = session.target.api.get("write-paths")
    rows = [
        (
            path["from"],
            path["to"],
            path["mechanism"] or "-",
            path["events_last_hour"],
            path["events_last_day"],
            _times(path["arriving_ms"]),
            _times(path["posting_ms"]),
            _failure(path),
            "; ".join(path["authority"]),
        )
        for path in found["paths"]
    ]
    heads = ("from", "to", "mechanism", "1 h", "24 h", "arrives", "is posted", "last failure", "authority")
    session.show(found, table(heads, rows) if rows else ["no network is declared"])


def _times(times: Mapping[str, Any]) -> str:
    """Write a handoff's times: half of them, and 95 of 100, took at most this."""
    if not times["count"]:
        return "-"
    half, most = (took(times[name]) or "> 24 h" for name in ("p50", "p95"))
    return f"<= {half} / {most}"


def _failure(path: Mapping[str, Any]) -> str:
    failure = path["last_failure"]
    return "-" if failure is None else f"{brief(failure['at'])} {failure['reason']}"

"""``trace``: the way of a fact across the systems, each handoff with the time that it took."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from infra.cli.console import CommandError, Session, brief, command
from infra.cli.trace_page import took, trace_page


@command("trace")
@click.option("--event", metavar="KEY", help="An event that is in the ledger.")
@click.option("--message", metavar="ID", help="Each event of a webhook.")
@click.option("--order", metavar="ID", help="Each document of an order.")
@click.option("--sku", metavar="SKU", help="The newest postings of an item; with --push, what was pushed.")
@click.option("--location", metavar="ID", help="With --sku: only there.")
@click.option("--push", type=click.IntRange(0), help="A push by its generation; 0 is the newest.")
@click.option("--channel", metavar="ID", help="With --push: to whom.")
@click.option(
    "--html",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Also writes a page with a picture of it.",
)
@click.pass_obj
def trace(session: Session, /, html: Path | None, **asked: Any) -> None:
    """Follow a fact across the systems, with each handoff's time."""
    wanted = {name: value for name, value in asked.items() if value is not None}
    if not {"event", "message", "order", "sku"} & wanted.keys():
        raise click.UsageError("name what to follow: --event, --message, --order or --sku")
    if "push" in wanted and not {"channel", "sku", "location"} <= wanted.keys():
        raise click.UsageError("--push needs --channel, --sku and --location")
    if "channel" in wanted and "push" not in wanted:
        raise click.UsageError("--channel belongs to --push")
    found = session.target.api.get("trace", **{name: str(value) for name, value in wanted.items()})
    if html is not None:
        asked_for = ", ".join(f"{name} {value}" for name, value in wanted.items())
        try:
            html.write_text(trace_page(asked_for, found["chains"]), encoding="utf-8")
        except OSError as error:
            raise CommandError(
                f"{html} cannot be written: {error.strerror}", "name a file in a folder of yours"
            ) from error
    lines = [line for chain in found["chains"] for line in _told(chain)] or ["nothing was posted"]
    if found["more"]:
        lines.append("there is more than was followed; ask for one event, or one location")
    if html is not None:
        lines.append(f"the picture is in {html}")
    session.show(found, lines)


def _told(chain: Mapping[str, Any]) -> Iterator[str]:
    yield chain["about"] + (f"  ({took(chain['took_ms'])} in all)" if chain["took_ms"] else "")
    for step in chain["steps"]:
        time = took(step["took_ms"])
        yield f"  {brief(step['at'])}  {step['stage']:<9}  {step['system']:<14}  {time:>9}  {step['says']}"
    for note in chain["notes"]:
        yield f"  - {note}"
    for case in chain["cases"]:
        yield f"  case {case['id']} ({case['status']}): {case['title']}"
    yield ""

"""Cases and dead letters: what needs a decision, what was given up, and how both go on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from infra.cli.console import Session, brief, command, fields, table

_STATES = ("open", "resolved", "ignored")


@command("cases")
@click.option(
    "--status", type=click.Choice(_STATES), default="open", show_default=True, help="Where they stand."
)
@click.option(
    "--limit", type=click.IntRange(1, 200), default=50, show_default=True, help="How many, newest first."
)
@click.pass_obj
def cases(session: Session, status: str, limit: int) -> None:
    """List what waits for a decision."""
    found = session.target.api.get("cases", status=status, limit=limit)
    rows = [(c["id"], brief(c["opened_at"]), c["occurrences"], c["title"]) for c in found["cases"]]
    lines = table(("case", "opened", "times", "what"), rows) if rows else [f"no {status} cases"]
    session.show(found, lines)


@command("case")
@click.argument("case_id")
@click.argument("action", type=click.Choice(["show", "retry", "map", "ignore"]), default="show")
@click.option("--sku", help="map: which SKU the unknown code stands for.")
@click.option("--reason", help="ignore: why.")
@click.pass_obj
def case(session: Session, case_id: str, action: str, sku: str | None, reason: str | None) -> None:
    """Show a case, or retry, map or ignore it."""
    api = session.target.api
    if action == "show":
        found = api.get("cases", case_id)
        session.show(found, _case(found))
        return
    done = api.post("cases", case_id, action, body=_body_of(action, sku, reason))
    lines = _case(done["case"])
    if "replayed" in done:
        lines.append(f"tried again: {done['replayed']}")
    session.show(done, lines)


def _body_of(action: str, sku: str | None, reason: str | None) -> dict[str, str] | None:
    """Return what the action needs to be told; what it does not need is refused, not ignored."""
    needs = {"map": ("sku", sku), "ignore": ("reason", reason)}
    for name, (option, value) in needs.items():
        if name == action and value is None:
            raise click.UsageError(f"{action} needs --{option}")
        if name != action and value is not None:
            raise click.UsageError(f"{action} takes no --{option}")
    option, value = needs.get(action, ("", None))
    return None if value is None else {option: value}


def _case(found: Mapping[str, Any]) -> list[str]:
    head = {
        name.replace("_", " "): found.get(name)
        for name in (
            "id",
            "status",
            "title",
            "remedy",
            "opened_at",
            "updated_at",
            "occurrences",
            "message_id",
        )
    }
    facts = {f"  {name}": value for name, value in found.get("facts", {}).items()}
    closing = {"resolution": found["resolution"]} if found.get("resolution") else {}
    return fields(head | facts | closing)


@command("dead-letters")
@click.argument("action", type=click.Choice(["show", "redrive"]), default="show")
@click.option("--queue", help="redrive: only this dead-letter queue.  [default: all of them]")
@click.pass_obj
def dead_letters(session: Session, action: str, queue: str | None) -> None:
    """Count dead letters, or send them again (redrive)."""
    api = session.target.api
    if action == "show":
        if queue is not None:
            raise click.UsageError("show takes no --queue")
        found = api.get("dead-letters")
        session.show(found, table(("queue", "dead letters"), sorted(found["queues"].items())))
        return
    moved: dict[str, int] = {}
    while True:  # one call goes on for a bounded time
        done = api.post("dead-letters", "redrive", body=None if queue is None else {"queue": queue})
        for name, letters in done["redriven"].items():
            moved[name] = moved.get(name, 0) + letters
        if not done["left"] or not any(done["redriven"].values()):
            break
    session.show(
        {"redriven": moved, "left": done["left"]}, table(("queue", "sent again"), sorted(moved.items()))
    )

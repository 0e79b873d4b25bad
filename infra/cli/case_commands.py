"""Cases and dead letters: what needs a decision, one by one or all of a kind; what was given up; and how both go on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from infra.cli.console import CommandError, Session, brief, command, fields, table
from infra.cli.pages import more, pages
from shared.domain.cases import RETRIED

_ACTIONS = ("show", "retry", "map", "approve", "reject", "ignore", "assign", "comment", "escalate")
_STATES = ("open", "resolved", "ignored")


@command("cases")
@click.argument("action", type=click.Choice(["list", "ranked", "retry", "ignore"]), default="list")
@click.option("--status", type=click.Choice(_STATES), help="list: where they stand.  [default: open]")
@click.option(
    "--kind", metavar="KIND", help="Only of this kind, as `case` shows it (drift, unknown_code ...)."
)
@click.option("--source", metavar="ID", help="Only about this source.")
@click.option("--channel", metavar="ID", help="Only about this channel.")
@click.option("--message", metavar="ID", help="Only from this message or file.")
@click.option("--owner", metavar="NAME", help="Only what this one has taken on; - for what nobody has.")
@click.option("--overdue", is_flag=True, help="Only what should have been decided by now.")
@click.option("--limit", type=click.IntRange(1), help="list: how many, newest first.  [default: 50]")
@click.option("--cursor", help="list: go on where an earlier list ended.")
@click.option("--all", "everything", is_flag=True, help="list: all there are.")
@click.option("--reason", help="ignore: why.")
@click.option("--dry-run", is_flag=True, help="retry, ignore: only count them.")
@click.option("--yes", is_flag=True, help="retry, ignore: without asking.")
@click.pass_obj
def cases(
    session: Session,
    /,
    action: str,
    kind: str | None,
    source: str | None,
    channel: str | None,
    message: str | None,
    owner: str | None,
    overdue: bool,
    **given: Any,
) -> None:
    """List or rank what waits for a decision, or decide it in bulk.

    `cases ranked` puts first what most revenue stands at risk in, with all cases of one cause in one line.
    `cases retry --kind K` and `cases ignore --kind K --reason R` count the open cases that are meant, ask, and then
    act on each of them.
    """
    only: dict[str, str | None] = {
        "kind": kind,
        "source": source,
        "channel": channel,
        "message": message,
        "owner": owner,
        "overdue": "true" if overdue else None,
    }
    belongs: tuple[str, ...] = {
        "ranked": (),
        "list": ("status", "limit", "cursor", "everything"),
        "retry": ("dry_run", "yes"),
        "ignore": ("reason", "dry_run", "yes"),
    }[action]
    for name, value in given.items():
        if value not in (None, False) and name not in belongs:
            option = "all" if name == "everything" else name.replace("_", "-")
            raise click.UsageError(f"{action} takes no --{option}")
    if action == "list":
        _list(session, only, given)
        return
    if action == "ranked":
        _ranked(session, only)
        return
    if kind is None:
        raise click.UsageError(f"{action} needs --kind: which cases are meant")
    if action == "ignore" and given["reason"] is None:
        raise click.UsageError("ignore needs --reason")
    wanted = {"action": action, **only, "overdue": overdue or None, "reason": given["reason"]}
    _decide(session, {name: value for name, value in wanted.items() if value is not None}, given)


def _list(session: Session, only: Mapping[str, str | None], given: Mapping[str, Any]) -> None:
    status, api = given["status"] or "open", session.target.api
    found, cursor = pages(
        lambda size, at: api.get("cases", status=status, limit=size, cursor=at, **only),
        "cases",
        None if given["everything"] else given["limit"] or 50,
        given["cursor"],
    )
    rows = [
        (c["id"], brief(c["opened_at"]), c["occurrences"], _due(c), c["owner"] or "-", c["title"])
        for c in found
    ]
    columns = ("case", "opened", "times", "due", "owner", "what")
    lines = table(columns, rows) if rows else [f"no {status} cases"]
    session.show({"cases": found, "cursor": cursor}, [*lines, *more(cursor)])


def _due(found: Mapping[str, Any]) -> str:
    late = " LATE" if found["overdue"] else ""
    raised = " RAISED" if found["escalated_at"] else ""
    return f"{brief(found['due_at'])}{late}{raised}"


def _ranked(session: Session, only: Mapping[str, str | None]) -> None:
    found = session.target.api.get("work-queue", **only)
    rows = [
        (
            number,
            group["cases"],
            ", ".join(group["values"]) or "-",
            group["units"] or "-",
            brief(group["oldest"]),
            group["overdue"],
            group["ranked_by"],
            group["first"][0]["id"] if group["cases"] == 1 else ", ".join(group["about"]),
        )
        for number, group in enumerate(found["groups"], start=1)
    ]
    columns = ("", "cases", "at risk", "units", "oldest", "late", "ranked by", "what")
    lines = table(columns, rows) if rows else ["no open cases"]
    if found["more_groups"]:
        lines.append(f"and {found['more_groups']} more groups")
    if not found["is_all"]:
        lines.append(f"there are more: the oldest {found['looked_at']} open cases were ranked")
    session.show(found, lines)


def _decide(session: Session, wanted: dict[str, Any], given: Mapping[str, Any]) -> None:
    """Count the cases that are meant, ask, and act on all of them, as many calls as that takes."""
    counted = _all_of(session, {**wanted, "dry_run": True})
    if given["dry_run"]:
        session.show({"matched": counted["matched"]}, [f"{counted['matched']} open cases are meant"])
        return
    if counted["matched"] and not given["yes"] and not _agreed(wanted["action"], counted["matched"]):
        raise CommandError("nothing was done", "answer y, or pass --yes where nobody can answer")
    done = _all_of(session, wanted) if counted["matched"] else counted
    refused = [f"{case}: {reason}" for case, reason in done["refused"].items()]
    lines = fields({"meant": done["matched"], "done": done["done"], "not possible": len(refused)})
    session.show(done, [*lines, *refused])


def _all_of(session: Session, wanted: Mapping[str, Any]) -> dict[str, Any]:
    whole: dict[str, Any] = {"matched": 0, "done": 0, "refused": {}}
    cursor: str | None = None
    while True:
        going_on = {} if cursor is None else {"cursor": cursor}
        part = session.target.api.post("cases", "actions", body={**wanted, **going_on})
        whole["matched"] += part["matched"]
        whole["done"] += part["done"]
        whole["refused"] |= part["refused"]
        cursor = part["cursor"]
        if cursor is None:
            return whole
        if part["done"]:
            session.say(f"{whole['done']} done")


def _agreed(action: str, number: int) -> bool:
    try:
        return click.confirm(f"{action} {number} open cases?", err=True)
    except click.Abort:  # nobody is there to answer
        click.echo(err=True)
        return False


@command("case")
@click.argument("case_id")
@click.argument("action", type=click.Choice(_ACTIONS), default="show")
@click.option("--sku", help="map: which SKU the unknown code stands for.")
@click.option("--code", help="map: which code, where a file waits for many.")
@click.option(
    "--seen",
    type=int,
    help="approve: the ledger's number that you saw, for a count beyond its limit; an adjustment's units.",
)
@click.option("--at", help="approve: when a suspended count was taken (2026-11-01T06:00:00Z).")
@click.option("--owner", help="assign: who takes it on; an empty name gives it back.")
@click.option("--due-at", help="assign: until when (2026-11-01T06:00:00Z).")
@click.option("--text", help="comment: what is to be said.")
@click.option("--reason", help="reject, ignore, escalate, assign: why.")
@click.pass_obj
def case(session: Session, /, case_id: str, action: str, **given: Any) -> None:
    """Show a case, or act on it."""
    api = session.target.api
    if action == "show":
        found = api.get("cases", case_id)
        session.show(found, _case(found))
        return
    done = api.post("cases", case_id, action, body=_body_of(action, given))
    lines = _case(done["case"])
    if "needs" in done:
        lines.append(f"noted; it still needs {done['needs']}")
    if done.get("replayed") or action == "retry":
        lines.append(f"messages taken up again: {done['replayed']}")
    session.show(done, lines)


_TAKES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "map": (("sku",), ("code",)),
    "approve": ((), ("seen", "at")),
    "reject": (("reason",), ()),
    "ignore": (("reason",), ()),
    "assign": (("owner",), ("due_at", "reason")),
    "comment": (("text",), ()),
    "escalate": (("reason",), ()),
}
"""What each action needs to be told, and what it may be told besides."""


def _body_of(action: str, given: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what the action needs to be told; what it does not need is refused, not ignored."""
    needs, also = _TAKES.get(action, ((), ()))
    takes = (*needs, *also)
    for name, value in given.items():
        if value is None and name in needs:
            raise click.UsageError(f"{action} needs --{name.replace('_', '-')}")
        if value is not None and name not in takes:
            raise click.UsageError(f"{action} takes no --{name.replace('_', '-')}")
    body = {name: value for name, value in given.items() if value is not None}
    return body or None


def _case(found: Mapping[str, Any]) -> list[str]:
    head = {
        name.replace("_", " "): found.get(name)
        for name in (
            "id",
            "kind",
            "status",
            "title",
            "remedy",
            "opened_at",
            "updated_at",
            "occurrences",
            "message_id",
            "owner",
            "due_at",
            "escalated_at",
        )
        if found.get(name)
    }
    if "exposure" in found:
        head["at risk"] = _exposure(found["exposure"])
    facts = {f"  {name}": value for name, value in found.get("facts", {}).items()}
    how = found.get("resolution")
    closing = {"resolution": "what waited was taken up again" if how == RETRIED else how} if how else {}
    deeds = [f"{brief(d['at'])} {d['by']}: {d['action']}  {d['why']}" for d in found.get("deeds", ())]
    return [*fields(head | facts | closing), *deeds]


def _exposure(found: Mapping[str, Any]) -> str:
    if found["value"] is not None:
        return f"{found['value']} ({found['units']} units)"
    return "not known" if found["units"] is None else f"{found['units']} units, of no known price"


@command("dead-letters")
@click.argument("action", type=click.Choice(["show", "redrive"]), default="show")
@click.option("--queue", help="redrive: only this dead-letter queue.  [default: all of them]")
@click.option("--letter", help="redrive: only this one of the queue, as a dry run lists it.")
@click.option("--most", type=click.IntRange(1, 10_000), help="redrive: no more than so many.")
@click.option(
    "--per-second", type=click.IntRange(1, 1_000), help="redrive: no faster than that.  [default: 100]"
)
@click.option("--dry-run", is_flag=True, help="redrive: only say what would become of each.")
@click.pass_obj
def dead_letters(session: Session, /, action: str, dry_run: bool, **given: Any) -> None:
    """Count dead letters, or send them again (redrive)."""
    wanted = {name: value for name, value in given.items() if value is not None}
    if action == "show":
        if wanted or dry_run:
            option = next(iter(wanted), "dry-run").replace("_", "-")
            raise click.UsageError(f"show takes no --{option}")
        found = session.target.api.get("dead-letters")
        session.show(found, table(("queue", "dead letters"), sorted(found["queues"].items())))
    elif dry_run:
        told = session.target.api.post("dead-letters", "redrive", body={**wanted, "dry_run": True})
        rows = [(one["queue"], one["letter"], one["about"], one["would"]) for one in told["letters"]]
        lines = table(("queue", "letter", "about", "would happen"), rows) if rows else ["no dead letters"]
        session.show(told, lines)
    else:
        _redrive(session, wanted)


def _redrive(session: Session, wanted: dict[str, Any]) -> None:
    """Send letters again, as many calls as that takes; one call goes on for a bounded time."""
    moved: dict[str, int] = {}
    while True:
        left = wanted.get("most", 0) - sum(moved.values())
        part = {**wanted, "most": left} if "most" in wanted else wanted
        done = session.target.api.post("dead-letters", "redrive", body=part or None)
        for name, letters in done["redriven"].items():
            moved[name] = moved.get(name, 0) + letters
        enough = "letter" in wanted or ("most" in wanted and sum(moved.values()) >= wanted["most"])
        if enough or not done["left"] or not any(done["redriven"].values()):
            break
    lines = table(("queue", "sent again"), sorted(moved.items()))
    if not any(moved.values()):
        where = f"in {wanted['queue']}" if "queue" in wanted else "in any queue"
        lines = [f"there is no dead letter {where} that could be sent again; nothing was done"]
    session.show({"redriven": moved, "left": done["left"]}, lines)

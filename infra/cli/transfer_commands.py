"""``transfers``: stock that goes from one location of ours to another, from the request to the end."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import click

from infra.cli.channel_commands import lines_of
from infra.cli.console import Session, brief, command, fields, table
from infra.cli.pages import more, pages

_KEY = click.option("--key", required=True, help="Idempotency key: the same again changes nothing more.")
_AT = click.option("--at", help="When it was (2026-11-01T06:00:00Z).  [default: now]")


def _lines(what: str, *, required: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return click.option(
        "--line",
        "lines",
        metavar="SKU=QTY",
        callback=lines_of,
        multiple=True,
        required=required,
        help=f"{what}; may be repeated.",
    )


@click.group("transfers")
def transfers() -> None:
    """Transfers between our own locations."""


@command("list")
@click.option("--limit", type=click.IntRange(1), default=50, help="How many, newest first.  [default: 50]")
@click.option("--cursor", help="Go on where an earlier list ended.")
@click.option("--all", "everything", is_flag=True, help="All there are.")
@click.pass_obj
def list_transfers(session: Session, limit: int, cursor: str | None, everything: bool) -> None:
    """List transfers, the newest first."""
    ask = lambda size, at: session.target.api.get("transfers", limit=str(size), cursor=at)  # noqa: E731
    found, following = pages(ask, "transfers", None if everything else limit, cursor)
    rows = [
        (one["id"], one["status"], one["from"], one["to"], *_units(one), brief(one["due_at"]))
        for one in found
    ]
    heads = ("transfer", "status", "from", "to", *_UNITS, "due")
    lines = [*table(heads, rows), *more(following)] if rows else ["there are no transfers"]
    session.show({"transfers": found, "cursor": following}, lines)


@command("show")
@click.argument("transfer")
@click.pass_obj
def show(session: Session, transfer: str) -> None:
    """Show a transfer: its lines, who decided what, what moved."""
    _show(session, session.target.api.get("transfers", transfer))


@command("request")
@click.option("--from", "origin", required=True, help="Where the units are.")
@click.option("--to", required=True, help="Where they should go.")
@_lines("What", required=True)
@click.option("--reason", required=True, help="Why; kept with the transfer, as is who you are.")
@click.option("--lead-time-h", type=click.IntRange(1), help="Hours after which it is overdue.")
@_KEY
@click.pass_obj
def request(
    session: Session,
    origin: str,
    to: str,
    lines: list[dict[str, Any]],
    reason: str,
    lead_time_h: int | None,
    key: str,
) -> None:
    """Request a transfer; it holds nothing until approved."""
    body: dict[str, Any] = {"from": origin, "to": to, "lines": lines, "reason": reason}
    if lead_time_h is not None:
        body["lead_time_h"] = lead_time_h
    _show(session, session.target.api.post("transfers", body=body, key=key))


@command("approve")
@click.argument("transfer")
@_KEY
@click.pass_obj
def approve(session: Session, transfer: str, key: str) -> None:
    """Approve a transfer, and hold its units at the origin.

    Above the four-eyes amount it takes somebody else than who requested it.
    """
    _show(session, session.target.api.post("transfers", transfer, "approve", body={}, key=key))


@command("ship")
@click.argument("transfer")
@_lines("What has left.  [default: all that has not yet]")
@_AT
@_KEY
@click.pass_obj
def ship(session: Session, transfer: str, lines: list[dict[str, Any]], at: str | None, key: str) -> None:
    """Say what of a transfer has left its origin."""
    _move(session, transfer, "ship", lines, at, key)


@command("receive")
@click.argument("transfer")
@_lines("What has arrived.  [default: all that is in transit]")
@_AT
@_KEY
@click.pass_obj
def receive(session: Session, transfer: str, lines: list[dict[str, Any]], at: str | None, key: str) -> None:
    """Say what of a transfer has arrived."""
    _move(session, transfer, "receive", lines, at, key)


@command("close")
@click.argument("transfer")
@click.option("--reason", required=True, help="Why; kept with the transfer.")
@click.option("--accept-loss", is_flag=True, help="Write off what is in transit; only an approver may.")
@_KEY
@click.pass_obj
def close(session: Session, transfer: str, reason: str, accept_loss: bool, key: str) -> None:
    """End a transfer, where need be short, with a loss."""
    body = {"reason": reason, "accept_loss": accept_loss}
    _show(session, session.target.api.post("transfers", transfer, "close", body=body, key=key))


@command("recommend")
@click.option("--to", required=True, help="The location that may be short.")
@click.option(
    "--limit", type=click.IntRange(1), default=50, help="How many SKUs are looked at.  [default: 50]"
)
@click.option("--cursor", help="Go on where an earlier call ended.")
@click.pass_obj
def recommend(session: Session, to: str, limit: int, cursor: str | None) -> None:
    """Say what should be transferred to a location, and why.

    Nothing is done: request what you find right, and have it approved.
    """
    found = session.target.api.get(
        "transfers", "recommendations", location=to, limit=str(min(limit, 200)), cursor=cursor
    )
    lines: list[str] = []
    for one in found["recommendations"]:
        lines += [*_proposal(one), ""]
    for short in found["unmet"]:
        lines += [f"{short['sku']}: {short['units']} short, and nobody can give them: {short['why']}"]
    lines = lines or [f"nothing is short at {to}"]
    if found["cursor"] is not None:
        lines += ["", f"there is more: --cursor {shlex.quote(found['cursor'])} goes on"]
    session.show(found, lines)


def _proposal(one: Mapping[str, Any]) -> Iterator[str]:
    cost = f", costs {one['cost']}" if one["cost"] else ""
    worth = f", worth {one['worth']}" if one["worth"] else ""
    doubt = " (less than it costs)" if one["is_worth_its_cost"] is False else ""
    yield f"{one['units']} units from {one['from']} to {one['to']}: {one['lead_time_h']} h{cost}{worth}{doubt}"
    for line in one["lines"]:
        yield f"  {line['quantity']} of {line['sku']}: {line['why']}"
    wanted = [text for line in one["lines"] for text in ("--line", f"{line['sku']}={line['quantity']}")]
    reason = one["request"]["reason"]
    words = ["onecount", "transfers", "request", "--from", one["from"], "--to", one["to"], *wanted]
    yield "  to request it: " + shlex.join([*words, "--reason", reason, "--key", "NEW"])


for member in (request, approve, ship, receive, close, list_transfers, show, recommend):
    transfers.add_command(member)

_UNITS = ("requested_units", "shipped", "in_transit", "received", "lost")


def _units(of: Mapping[str, Any]) -> list[int]:
    return [of[name] for name in _UNITS]


def _move(
    session: Session, transfer: str, action: str, lines: list[dict[str, Any]], at: str | None, key: str
) -> None:
    body = {"lines": lines} | ({} if at is None else {"at": at})
    _show(session, session.target.api.post("transfers", transfer, action, body=body, key=key))


def _show(session: Session, made: Mapping[str, Any]) -> None:
    head = {name: made[name] for name in ("id", "status", "from", "to")} | {"due": brief(made["due_at"])}
    for word in ("requested", "approved", "closed"):
        if (said := made[word]) is not None:
            why = f": {said['reason']}" if said["reason"] else ""
            head[word] = f"{brief(said['at'])} by {said['by']}{why}"
    moved = [
        (brief(one["occurred_at"]), one["effect"], one["sku"], one["quantity"], one["event"])
        for one in made["movements"]
    ]
    lines = [
        *fields(head),
        "",
        *table(("sku", *_UNITS), [(line["sku"], *_units(line)) for line in made["lines"]]),
    ]
    if moved:
        lines += ["", *table(("at", "effect", "sku", "units", "event"), moved)]
    session.show(made, lines)

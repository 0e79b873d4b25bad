"""What is in stock: every system's number side by side, the journal behind ours, and the proof that they agree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from infra.cli.console import Session, brief, command, table
from infra.cli.pages import more, pages
from shared.domain.rollout import Mode

_QUANTITIES = (
    "on_hand",
    "quality_hold",
    "damaged",
    "reserved",
    "available",
    "incoming",
    "in_transit",
)
_ON_LEAVES = ("on_hand", "quality_hold", "damaged")

_NO_LINE: Mapping[str, Any] = {
    "counter": "-",
    "leaf": "-",
    "quantity": 0,
    "cause": "no line",
    "event_key": "-",
}
"""Stands for an entry that changed no number; left out, its number would look like one that is missing."""


@command("stock")
@click.argument("sku")
@click.option("--as-of", help="An instant in ISO 8601, like 2026-11-01T12:00:00Z.  [default: now]")
@click.pass_obj
def stock(session: Session, sku: str, as_of: str | None) -> None:
    """Show every system's number of an item side by side.

    Our quantities at each location, what each source says and how far it is off, what each channel may sell and
    why, and what it shows. What channels may sell is a matter of now: it is left out with --as-of.
    """
    found = session.target.api.get("stock", sku=sku, as_of=as_of)
    session.show(found, _side_by_side(found))


def _side_by_side(found: Mapping[str, Any]) -> Iterator[str]:
    yield f"{found['sku']}"
    locations: Sequence[Mapping[str, Any]] = found["locations"]
    if not locations:
        yield "no stock, and no source has said anything about it"
    else:
        yield ""
        yield from table(
            ("location", *_QUANTITIES, "counted as of", "as of"),
            [
                (
                    x["location"],
                    *(x[name] for name in _QUANTITIES),
                    brief(x["counted_as_of"]),
                    brief(x["as_of"]),
                )
                for x in locations
            ],
        )
    withheld = [(x["location"], x["withheld"]) for x in locations if x.get("withheld")]
    for place, units in withheld:
        yield f"{place}: {units} more are not promised while a count waits (onecount cases --kind count_suspended)"
    leaves = [(x["location"], leaf) for x in locations for leaf in x.get("leaves", ())]
    if leaves:
        yield ""
        yield from table(
            ("location", "bin", "lot", *_ON_LEAVES),
            [
                (place, leaf["bin"], leaf["lot"], *(leaf[name] for name in _ON_LEAVES))
                for place, leaf in leaves
            ],
        )
    sources = [(x["location"], said) for x in locations for said in x["sources"]]
    if sources:
        yield ""
        yield from table(
            ("location", "source", "element", "says", "means", "ours then", "drift", "as of"),
            [
                (
                    place,
                    s["source"],
                    s["element"],
                    s["quantity"],
                    s["meaning"],
                    s["expected"],
                    s["drift"],
                    f"{brief(s['as_of'])}{' (stale)' if s['stale'] else ''}",
                )
                for place, s in sources
            ],
        )
    if found.get("channels"):
        yield ""
        yield from table(
            ("location", "channel", "may sell", "because", "shows", "confirmed at"),
            [
                (
                    c["location"],
                    c["channel"],
                    c["available_to_promise"],
                    _because(c),
                    c["shown"],
                    _confirmed(c),
                )
                for c in found["channels"]
            ],
        )
        yield from _silences(found["channels"])


def _silences(channels: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Say which channels are sent nothing, or take nothing now: what they show may be old."""
    for channel in channels:
        if channel.get("mode", Mode.LIVE) != Mode.LIVE:
            where = f"{channel['channel']} is in {channel['mode']} mode at {channel['location']}"
            yield f"{where}: it is sent nothing (`onecount shadow-report --channel {channel['channel']}`)"
    silent = {c["channel"]: c for c in channels if c.get("silent_since")}
    for name, channel in silent.items():
        since, why = brief(channel["silent_since"]), channel["silent_because"]
        yield f"{name} has taken nothing since {since} ({why}); what it shows may be old"


def _because(channel: Mapping[str, Any]) -> str:
    return ", ".join(f"{part['what']} {part['quantity']}" for part in channel["explanation"])


def _confirmed(channel: Mapping[str, Any]) -> str | None:
    return "being pushed" if channel["in_flight"] else brief(channel["confirmed_at"])


@command("journal")
@click.argument("sku")
@click.option("--location", required=True, help="The location whose journal is meant.")
@click.option(
    "--limit", type=click.IntRange(1), default=100, show_default=True, help="Entries, newest first."
)
@click.option("--cursor", help="Go on where an earlier list ended.")
@click.option("--all", "everything", is_flag=True, help="List them to the end.")
@click.pass_obj
def journal(
    session: Session, sku: str, location: str, limit: int, cursor: str | None, everything: bool
) -> None:
    """List every line that made a balance, newest first.

    An entry without lines changed no number: a count that waits, or was decided.
    """
    api = session.target.api
    entries, behind = pages(
        lambda size, at: api.get("journal", sku=sku, location=location, limit=size, cursor=at),
        "entries",
        None if everything else limit,
        cursor,
    )
    rows = [
        (
            e["seq"],
            brief(line["valid_at"]),
            brief(e["posted_at"]),
            line["counter"],
            line["leaf"],
            line["quantity"],
            line["cause"],
            line["event_key"],
        )
        for e in entries
        for line in e["lines"] or ({**_NO_LINE, "valid_at": e["posted_at"]},)
    ]
    headers = ("seq", "valid at", "posted at", "counter", "leaf", "quantity", "cause", "event")
    session.show(
        {"sku": sku, "location": location, "entries": entries, "cursor": behind},
        [*table(headers, rows), *more(behind)],
    )

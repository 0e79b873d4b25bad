"""``drill outage``: play an outage of one handoff against what is known now; nothing is changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import click

from infra.cli.console import CommandError, Session, command, table

MOST_MINUTES = 7 * 24 * 60


@click.group("drill")
def drill() -> None:
    """Play what may go wrong; nothing is changed."""


@command("outage")
@click.argument("name", metavar="SOURCE|CHANNEL")
@click.option(
    "--minutes",
    type=click.IntRange(1, MOST_MINUTES),
    default=60,
    show_default=True,
    help="How long it lasts.",
)
@click.option(
    "--as",
    "kind",
    type=click.Choice(["source", "channel"]),
    help="Which is meant, where both have that name.",
)
@click.pass_obj
def outage(session: Session, name: str, minutes: int, kind: str | None) -> None:
    """Say which promises an outage of a handoff puts at risk.

    A channel that takes no number sells on from the one that it shows; a source that says nothing leaves orders and
    movements unheard. Reckoned from the last seven days, as it usually is and for the busiest stretch of that length.
    """
    meant = kind or _kind_of(session, name)
    found = session.target.api.get("drills", "outage", **{meant: name}, minutes=minutes)
    session.show(found, _told(found))


drill.add_command(outage)


def _kind_of(session: Session, name: str) -> str:
    network = session.target.registry.network(fresh=True)
    kinds = [
        kind for kind, known in (("source", network.sources), ("channel", network.channels)) if name in known
    ]
    if not kinds:
        listed = ", ".join(dict.fromkeys([*sorted(network.sources), *sorted(network.channels)])) or "none"
        raise CommandError(f"{name!r} is not a declared source or channel", f"declared: {listed}")
    if len(kinds) > 1:
        raise CommandError(
            f"a source and a channel are named {name!r}", "say which: --as source, or --as channel"
        )
    return kinds[0]


_RISKS = {
    "oversold": "could be oversold",
    "orders_delayed": "would be ordered unheard",
    "not_promised": "would arrive and not be promised",
    "withheld": "would be withheld from promises",
}


def _told(found: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f"{found['kind']} {found['name']} out for {found['minutes']} minutes "
        f"({found['events_last_day']} events in the last 24 hours; {found['looked_at']} stock keys looked at)"
    )
    at_risk = [risk for risk in _RISKS if found["units"][risk]["busiest"]]
    for risk in at_risk:
        units = found["units"][risk]
        yield f"  {units['usual']} units {_RISKS[risk]}, up to {units['busiest']}"
    if not at_risk:
        yield "  nothing is at risk, as far as is known"
        return
    if found["known_minutes"] < found["minutes"]:
        yield f"  known are only {found['known_minutes']} minutes: so little has no usual beside the busiest"
    yield ""
    rows = [
        (
            row["sku"],
            row["location"],
            row["channel"],
            row["risk"].replace("_", " "),
            row["usual"],
            row["busiest"],
            row["why"],
        )
        for row in found["at_risk"]
    ]
    yield from table(("sku", "location", "channel", "risk", "usual", "up to", "why"), rows)
    if found["more"]:
        yield f"and {found['more']} more; --json has the figures of the first"
    if not found["is_complete"]:
        yield "only part of the stock keys was looked at, fast movers first: every sum is at least so"

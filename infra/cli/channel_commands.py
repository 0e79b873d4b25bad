"""What channels sell and show: reservations, and pushing again everything that a channel lists."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from infra.cli.console import CommandError, Session, command, fields, table
from infra.cli.fresh_look import queue_fresh_look
from shared.domain.stock import ChannelId

LONGEST_LIFETIME_S = 30 * 24 * 3600


def _lines(_: click.Context, __: click.Parameter, given: tuple[str, ...]) -> list[dict[str, Any]]:
    """Read ``SKU=QTY``; a SKU may itself hold an equals sign."""
    lines: list[dict[str, Any]] = []
    for text in given:
        sku, _found, quantity = text.rpartition("=")
        if not sku or not (quantity.isascii() and quantity.isdigit()) or int(quantity) == 0:
            raise click.BadParameter(f"{text!r} is not a SKU and a quantity; write it like ABC-1=2")
        lines.append({"sku": sku, "quantity": int(quantity)})
    return lines


@command("reserve")
@click.option("--channel", required=True, help="The channel that sells.")
@click.option(
    "--line",
    "lines",
    metavar="SKU=QTY",
    callback=_lines,
    multiple=True,
    required=True,
    help="May be repeated; all or none.",
)
@click.option("--key", required=True, help="Idempotency key: the same again gives the same reservation.")
@click.option(
    "--expires-in-s",
    type=click.IntRange(1, LONGEST_LIFETIME_S),
    help="Seconds after which what is still open is given back by itself.  [default: never]",
)
@click.pass_obj
def reserve(
    session: Session, channel: str, lines: list[dict[str, Any]], key: str, expires_in_s: int | None
) -> None:
    """Reserve stock for a channel: all lines or none."""
    wanted: dict[str, Any] = {"channel": channel, "lines": lines}
    if expires_in_s is not None:
        wanted["expires_in_s"] = expires_in_s
    made = session.target.api.post("reservations", body=wanted, key=key)
    session.show(made, _reservation(made))


@command("release")
@click.argument("reservation_id")
@click.pass_obj
def release(session: Session, reservation_id: str) -> None:
    """Give back what a reservation still holds.

    Always succeeds, also a second time.
    """
    made = session.target.api.delete("reservations", reservation_id)
    session.show(made, _reservation(made))


def _reservation(made: Mapping[str, Any]) -> list[str]:
    rows = [(line["sku"], line["location"], line["quantity"], line["open"]) for line in made["lines"]]
    head = {name: made[name] for name in ("id", "channel", "status")}
    if made.get("expires_at"):
        head["expires_at"] = made["expires_at"]
    return [*fields(head), "", *table(("sku", "location", "quantity", "open"), rows)]


@command("push")
@click.option("--channel", required=True, help="The channel to bring up to date.")
@click.option("--resync", is_flag=True, required=True, help="Look at every listing of the channel.")
@click.pass_obj
def push(session: Session, channel: str, resync: bool) -> None:
    """Look at every listing of a channel; push what differs."""
    del resync  # required, so that nobody pushes a whole channel by mistyping something smaller
    target = session.target
    declared = target.registry.network(fresh=True).channels
    if channel not in declared:
        listed = ", ".join(sorted(declared)) or "none"
        raise CommandError(
            f"channel {channel!r} is not declared", f"declared: {listed}; declare it with `onecount apply`"
        )
    queued = queue_fresh_look(
        target.lanes,
        ChannelId(channel),
        target.registry.skus_of_channel(ChannelId(channel)),
        progress=lambda number: session.say(f"{number} listings queued"),
    )
    session.show(
        {"channel": channel, "queued": queued}, [f"{channel}: a fresh look is queued for {queued} listings"]
    )

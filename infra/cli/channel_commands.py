"""What channels sell and show: reservations, and pushing again everything that a channel lists."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import click

from infra.cli.console import CommandError, Session, command, fields, table
from shared.domain.stock import ChannelId
from shared.operations.fresh_look import queue_fresh_look
from shared.store.listings import Paces

LONGEST_LIFETIME_S = 30 * 24 * 3600


def lines_of(_: click.Context, __: click.Parameter, given: tuple[str, ...]) -> list[dict[str, Any]]:
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
    callback=lines_of,
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


@command("fulfil")
@click.argument("reservation_id")
@click.option(
    "--line",
    "lines",
    metavar="SKU=QTY",
    callback=lines_of,
    multiple=True,
    help="Units that have left; may be repeated.  [default: all that is open]",
)
@click.option("--key", required=True, help="Idempotency key: the same again changes nothing more.")
@click.pass_obj
def fulfil(session: Session, reservation_id: str, lines: list[dict[str, Any]], key: str) -> None:
    """Say that units of a reservation have left.

    Where a warehouse's own system says what moves, they stay reserved until it ships them.
    """
    made = session.target.api.post("reservations", reservation_id, "fulfil", body={"lines": lines}, key=key)
    session.show(made, _reservation(made))


@command("unfulfil")
@click.argument("reservation_id")
@click.option("--key", required=True, help="The idempotency key under which it was said that units had left.")
@click.pass_obj
def unfulfil(session: Session, reservation_id: str, key: str) -> None:
    """Take back what was fulfilled by mistake: it never left.

    Always safe to repeat.
    """
    made = session.target.api.delete("reservations", reservation_id, "fulfil", key=key)
    session.show(made, _reservation(made))


@command("set-aside")
@click.argument("sku")
@click.argument("units", type=click.IntRange(min=0))
@click.option("--channel", required=True, help="The channel that they are kept for.")
@click.option("--location", required=True, help="Where they lie.")
@click.pass_obj
def set_aside(session: Session, sku: str, units: int, channel: str, location: str) -> None:
    """Keep units of a SKU for one channel alone; 0 frees them."""
    wanted = {"channel": channel, "sku": sku, "location": location, "units": units}
    made = session.target.api.post("set-aside", body=wanted)
    session.show(made, [f"{units} of {sku} at {location} are kept for {channel}; before: {made['before']}"])


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
    rows = [
        (line["sku"], line["location"], line["quantity"], line["open"], line.get("claimed", 0))
        for line in made["lines"]
    ]
    head = {name: made[name] for name in ("id", "channel", "status")}
    if made.get("expires_at"):
        head["expires_at"] = made["expires_at"]
    return [
        *fields(head),
        "",
        *table(("sku", "location", "quantity", "open", "of it said to have left"), rows),
    ]


@command("push")
@click.option("--channel", required=True, help="The channel to bring up to date.")
@click.option("--resync", is_flag=True, required=True, help="Look at every listing of the channel.")
@click.pass_obj
def push(session: Session, channel: str, resync: bool) -> None:
    """Read what a channel shows of every listing; push what differs."""
    del resync  # required, so that nobody pushes a whole channel by mistyping something smaller
    target = session.target
    declared = target.registry.network(fresh=True).channels
    if channel not in declared:
        listed = ", ".join(sorted(declared)) or "none"
        raise CommandError(
            f"channel {channel!r} is not declared", f"declared: {listed}; declare it with `onecount apply`"
        )
    Paces(target.stock).look_anew(ChannelId(channel), datetime.now(UTC))
    queued = queue_fresh_look(
        target.lanes,
        ChannelId(channel),
        target.registry.skus_of_channel(ChannelId(channel)),
        progress=lambda number: session.say(f"{number} listings queued"),
    )
    session.show(
        {"channel": channel, "queued": queued}, [f"{channel}: a fresh look is queued for {queued} listings"]
    )

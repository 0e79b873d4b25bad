"""What people enter by hand: ``adjust`` changes a number, ``count`` says what is there; both with a reason."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import click

from infra.cli.console import Command, Session, command

_COUNTERS = ("on_hand", "quality_hold", "damaged")


def _about_an_entry(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add what every entry takes."""
    for option in (
        click.option("--key", required=True, help="Idempotency key: the same again enters nothing more."),
        click.option("--at", help="When it was (2026-11-01T06:00:00Z).  [default: now]"),
        click.option("--unit", help="The unit that the number is in.  [default: the base unit]"),
        click.option("--lot", help="Which lot, where the location keeps lots apart."),
        click.option("--bin", help="Which bin, where the location keeps bins apart."),
        click.option("--counter", type=click.Choice(_COUNTERS), help="Which number.  [default: on_hand]"),
        click.option("--reason", required=True, help="Why; kept with the entry, as is who you are."),
        click.option("--location", required=True, help="Where."),
    ):
        function = option(function)
    return function


@command("adjust")
@click.argument("sku")
@click.option("--by", type=int, required=True, help="Units more, or with a minus fewer.")
@_about_an_entry
@click.pass_obj
def adjust(session: Session, /, sku: str, by: int, key: str, **given: str | None) -> None:
    """Adjust stock by hand, with a reason.

    An adjustment that is larger than the location allows (approve_beyond) is held in a case until it is approved.
    """
    _enter(session, "movements", {"sku": sku, "quantity": by, **_body(given, "occurred_at")}, key)


class _CountCommand(Command):
    """Says what is wrong with a quantity below zero, which looks like an option."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            if re.fullmatch(r"-[0-9.]", error.option_name):
                reason = "it must be 0 or more; to take units off, use `onecount adjust SKU --by -UNITS`"
                raise click.BadParameter(reason, ctx, param_hint="QUANTITY") from error
            raise


@click.command("count", cls=_CountCommand)
@click.argument("sku")
@click.argument("quantity", type=click.IntRange(min=0))
@_about_an_entry
@click.pass_obj
def count(session: Session, /, sku: str, quantity: int, key: str, **given: str | None) -> None:
    """Say what you counted; later movements survive it.

    A count that is further off than the location allows (approve_beyond) is held in a case until it is approved.
    """
    _enter(session, "counts", {"sku": sku, "quantity": quantity, **_body(given, "counted_at")}, key)


def _body(given: Mapping[str, str | None], at: str) -> dict[str, str]:
    return {at if name == "at" else name: value for name, value in given.items() if value is not None}


def _enter(session: Session, what: str, body: Mapping[str, Any], key: str) -> None:
    done = session.target.api.post(what, body=dict(body), key=key)
    where = f"{done['sku']} at {done['location']}"
    lines = [f"posted: {where}; take it back with `onecount undo {done['message_id']} --reason TEXT`"]
    if done["status"] == "held":
        lines = [f"held: {where} changes when an approver decides `onecount case {done['case']}`"]
    if done["status"] == "rejected":
        lines = [f"rejected: {where} does not change; `onecount case {done['case']}` says why"]
    session.show(done, lines)

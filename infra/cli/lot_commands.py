"""``recall``: no unit of a lot may be sold any more."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import click

from infra.cli.console import Session, command, table


@command("recall")
@click.argument("sku")
@click.argument("lot")
@click.option("--reason", required=True, help="Why: it is kept with the recall.")
@click.pass_obj
def recall(session: Session, sku: str, lot: str, reason: str) -> None:
    """Set every unit of a lot on quality hold.

    Wherever it lies, and also what arrives of it later. Again changes nothing more.
    """
    done = session.target.api.post("lots", "recall", body={"sku": sku, "lot": lot, "reason": reason})
    session.show(done, _summary(done))


def _summary(done: Mapping[str, Any]) -> Iterator[str]:
    held = done["set_on_hold"]
    yield from (
        table(("location", "set on hold"), sorted(held.items())) if held else ["nothing was for sale of it"]
    )
    for location in done["not_told_apart"]:
        yield (
            f"{location} has {done['sku']} and does not keep its lots apart: look there by hand, and hold what you find"
        )

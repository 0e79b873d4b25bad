"""``send`` and ``drop``: deliver by hand what a source would, through the same doors; and ``message``: what came in."""

from __future__ import annotations

from typing import BinaryIO
from urllib.parse import quote

import click

from infra.cli.console import CommandError, Session, command, fields, file_name
from infra.cli.http_door import answered
from infra.cli.signing import require_secret, signed_headers
from infra.cli.target import Target
from shared.domain.network import Source
from shared.domain.stock import SourceId
from shared.operations.ingest import prefix_of
from shared.sources.registry import FILE_CONNECTORS


@command("send")
@click.argument("source")
@click.argument("file", type=click.File("rb"))
@click.option("--id", "delivery_id", help="The sender's id of the delivery.  [default: a digest of the file]")
@click.option("--topic", help="The topic, for sources that need one (Shopify: orders/create ...).")
@click.pass_obj
def send(session: Session, source: str, file: BinaryIO, delivery_id: str | None, topic: str | None) -> None:
    """Sign a webhook body as SOURCE does, and post it.

    FILE holds the raw body; - reads stdin.
    """
    target = session.target
    declared = declared_source(target, source)
    body = file.read()
    if declared.connector in FILE_CONNECTORS:
        secret = ""
    else:
        secret = require_secret(target.secrets.text("source", source), "source", source)
    headers = signed_headers(declared, secret, body, delivery_id=delivery_id, topic=topic)
    answer = target.send("POST", f"{target.webhooks_url}/{quote(source, safe='')}", headers, body)
    said = answered(answer)
    session.show(
        {"http_status": answer.status, **said},
        [
            f"{said.get('status')}: message {said.get('message_id')}",
            f"what became of it: onecount message {said.get('message_id')}",
        ],
    )


@command("drop")
@click.argument("source")
@click.argument("file", type=click.File("rb"))
@click.option("--as", "name", help="The name to drop it under.  [default: the file's own]")
@click.pass_obj
def drop(session: Session, source: str, file: BinaryIO, name: str | None) -> None:
    """Put a file where SOURCE drops its files."""
    target = session.target
    declared = declared_source(target, source)
    prefix = prefix_of(declared)
    if declared.connector not in FILE_CONNECTORS or prefix is None:
        raise CommandError(
            f"source {source} drops no files: its connector is {declared.connector}",
            f"give it webhooks instead: `onecount send {source} FILE`",
        )
    name = name or file_name(file)
    if name is None:
        raise CommandError("what comes from stdin has no name", "name it: --as stock_20261101T0600.csv")
    key = prefix + name
    target.drops.put(key, file)
    session.show({"key": key}, [f"dropped {key}", "what went wrong with it, if anything: onecount cases"])


@command("message")
@click.argument("message_id")
@click.pass_obj
def message(session: Session, message_id: str) -> None:
    """Show a raw message, and where it stands."""
    found = session.target.api.get("messages", message_id)
    head = {name: value for name, value in found.items() if name not in ("headers", "body")}
    headers = {f"header {name}": value for name, value in found.get("headers", {}).items()}
    session.show(found, [*fields(head | headers), "", str(found.get("body", ""))])


def declared_source(target: Target, name: str) -> Source:
    """Return a declared source.

    Raises
    ------
    CommandError
        When there is none of that name.
    """
    sources = target.registry.network(fresh=True).sources
    found = sources.get(SourceId(name))
    if found is None:
        listed = ", ".join(sorted(sources)) or "none"
        raise CommandError(
            f"source {name!r} is not declared", f"declared: {listed}; declare it with `onecount apply`"
        )
    return found

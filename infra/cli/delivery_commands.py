"""``send`` and ``drop``: deliver by hand what a source would, through the same doors; and ``message``: what came in.

``replay`` applies it again, which changes nothing that was applied before.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, BinaryIO, cast
from urllib.parse import quote

import click

from infra.cli.console import CommandError, Session, brief, command, fields, file_name, table
from infra.cli.http_door import answered
from infra.cli.signing import require_secret, signed_headers
from infra.cli.target import Target
from shared.domain.network import Source
from shared.domain.stock import SourceId
from shared.operations.facts import Outcome
from shared.operations.ingest import prefix_of
from shared.sources.registry import FILE_CONNECTORS
from shared.store.inbox import MessageStatus, received
from shared.store.layout import message_key
from shared.store.table import Item


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
    """Show a raw message, and what became of each event."""
    found = _whole(session, message_id)
    head = {
        name: value
        for name, value in found.items()
        if name not in ("headers", "body", "events", "more_events")
    }
    if "status" in head:
        head["status"] = _status(str(head["status"]), found)
    headers = {f"header {name}": value for name, value in found.get("headers", {}).items()}
    session.show(found, [*fields(head | headers), *_events(found), "", str(found.get("body", ""))])


def _status(status: str, found: Mapping[str, Any]) -> str:
    """Say how far a message has come: where a count of it waits or was rejected, what became of each event."""
    became = dict.fromkeys(event["outcome"] for event in found.get("events", ()))
    is_whole = status != MessageStatus.POSTED or not became.keys() & {"waits", "rejected"}
    return status if is_whole else ", ".join(became)


def _whole(session: Session, message_id: str) -> dict[str, Any]:
    """Return a message with all of its body, which comes in parts if it is long."""
    found = session.target.api.get("messages", message_id)
    offset = found.pop("next_offset", None)
    while offset is not None:
        part = session.target.api.get("messages", message_id, offset=offset)
        found["body"] += part["body"]
        offset = part.get("next_offset")
    return found


def _events(found: Mapping[str, Any]) -> list[str]:
    rows = [
        (
            event["event"],
            event["what"],
            ", ".join(f"{at['sku']}@{at['location']}" for at in event["stock_keys"]) or event["code"],
            event["quantity"],
            event["outcome"],
            event["reason"],
        )
        for event in found.get("events", ())
    ]
    if not rows:
        return []
    headers = ("event", "what", "stock key", "quantity", "outcome", "why")
    more = ["... and more events, which are not shown"] if found.get("more_events") else []
    return ["", *table(headers, rows), *more]


@command("messages")
@click.option("--source", help="Only of this source.")
@click.option("--since", help="From this instant on (2026-11-01T06:00:00Z).  [default: a day ago]")
@click.option("--until", help="Until this one.  [default: now]")
@click.pass_obj
def messages(session: Session, source: str | None, since: str | None, until: str | None) -> None:
    """List what was received, oldest first: webhooks and files."""
    now = datetime.now(UTC)
    first = now - timedelta(days=1) if since is None else _instant(since, "--since")
    last = now if until is None else _instant(until, "--until")
    found = sorted(received(session.target.inbox, source, first, last))
    kept = session.target.inbox.get_many([message_key(name) for _, name in found])
    rows = [
        (name, brief(at), kept[key]["source"], kept[key]["kind"], _status_now(session, name, kept[key]))
        for at, name in found
        if (key := message_key(name)) in kept
    ]
    listed = [
        dict(zip(("message_id", "received_at", "source", "kind", "status"), row, strict=True)) for row in rows
    ]
    lines = (
        table(("message", "received", "source", "kind", "status"), rows) if rows else ["none in that time"]
    )
    session.show({"messages": listed}, lines)


def _status_now(session: Session, name: str, item: Item) -> str:
    """Say how far a message has come; one with counts that waited is asked for, since they may have been decided."""
    status, outcomes = str(item["status"]), cast("dict[str, int]", item.get("outcomes", {}))
    if not outcomes.get(Outcome.WAITS):
        return status
    return _status(status, session.target.api.get("messages", name))


@command("replay")
@click.argument("message_ids", nargs=-1)
@click.option("--source", help="Every message of this source ...")
@click.option("--since", help="... received since this instant (2026-11-01T06:00:00Z) ...")
@click.option("--until", help="... until this one.  [default: now]")
@click.pass_obj
def replay(
    session: Session, message_ids: tuple[str, ...], source: str | None, since: str | None, until: str | None
) -> None:
    """Apply raw messages again: what was posted changes nothing.

    Name messages, or a window by --since (and --source, --until). Those of which nothing was new had "no effect".
    """
    target = session.target
    if bool(message_ids) == bool(since):
        raise click.UsageError("name messages, or a window by --since; not both")
    if source is not None and target.registry.network(fresh=True).source(SourceId(source)) is None:
        declared_source(target, source)
    chosen = list(message_ids)
    if since is not None:
        window = (
            _instant(since, "--since"),
            datetime.now(UTC) if until is None else _instant(until, "--until"),
        )
        chosen = [name for _, name in sorted(received(target.inbox, source, *window))]
    became: dict[str, int] = {}
    for number, name in enumerate(chosen, start=1):
        effect = _effect(target.api.post("messages", name, "replay", body={}))
        became[effect] = became.get(effect, 0) + 1
        if number % 100 == 0:
            session.say(f"{number} of {len(chosen)} messages replayed")
    told = {name.replace("_", " "): number for name, number in became.items()}
    session.show({"replayed": len(chosen), "became": became}, fields({"replayed": len(chosen), **told}))


def _effect(replayed: Mapping[str, Any]) -> str:
    """Say what came of a replay: ``no_effect`` where nothing of it was new to the ledger."""
    outcomes = replayed["outcomes"]
    is_new = outcomes.get(Outcome.POSTED, 0) or outcomes.get(Outcome.WAITS, 0)
    return (
        "no_effect" if replayed["status"] == MessageStatus.POSTED and not is_new else str(replayed["status"])
    )


@command("undo")
@click.argument("message_id")
@click.option("--reason", required=True, help="Why; kept with every entry that this writes.")
@click.option("--yes", is_flag=True, help="Undo it; without this, only say what would change.")
@click.pass_obj
def undo(session: Session, message_id: str, reason: str, yes: bool) -> None:
    """Take a message or a file back by compensating entries.

    Without --yes it only says what would change.
    """
    whole: dict[str, Any] = {"events": 0, "already": 0, "stock_keys": 0, "kept": {}, "waits": [], "moved": []}
    at: int | None = 0
    while at is not None:
        body = {"reason": reason, "dry_run": not yes, "next": at}
        part = session.target.api.post("messages", message_id, "undo", body=body)
        if "needs" in part and at:
            raise CommandError(
                f"{whole['events']} events are undone, and the rest is not: {part['case']['title']}",
                f"it needs {part['needs']}: have them repeat the command, which goes on from there",
            )
        if "needs" in part:
            session.show(part, [part["case"]["title"], f"nothing was changed: it needs {part['needs']}"])
            return
        for name in ("events", "already", "stock_keys"):
            whole[name] += part[name]
        whole["kept"] |= part["kept"]
        whole["moved"] += part["moved"]
        whole["waits"] += part["waits"]
        at = part["next"]
        if at is not None:
            session.say(f"{whole['events']} events so far")
    rows = [(m["sku"], m["location"], m["counter"], m["before"], m["after"]) for m in whole["moved"][:50]]
    head = {
        "undone" if yes else "would undo": whole["events"],
        "undone before": whole["already"],
        "stay": len(whole["kept"]),
    }
    lines = fields(head)
    if rows:
        lines += table(("sku", "location", "counter", "before", "after"), rows)
    elif not whole["events"]:
        why = "all of it was undone before" if whole["already"] else "none of its events is in the ledger"
        lines.append(f"nothing to undo: {why}" if not whole["kept"] else "nothing that can be undone")
    lines += [f"{key}: {why}" for key, why in list(whole["kept"].items())[:20]]
    lines += [f"{key}: waits for a decision once this is undone" for key in whole["waits"][:20]]
    if not yes:
        way = "; pass --yes to undo it" if whole["events"] else ""
        lines.append(f"nothing was changed{way}")
    session.show(whole, lines)


def _instant(text: str, option: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None or not 1970 <= found.year < 9000:
        raise click.UsageError(
            f"{option}: {text!r} is no instant of our time; write it like 2026-11-01T06:00:00Z"
        )
    return found


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

"""``secret set``: give a source or channel a new secret without losing what is signed with the one before.

The current secret becomes the previous one, and both count until the other side has changed. Only one previous
secret is kept: change it again only after the other side uses this one.
"""

from __future__ import annotations

import json
import sys
from getpass import getpass

import click

from infra.cli.console import CommandError, Session, command
from infra.cli.delivery_commands import declared_source
from infra.cli.signing import LEAST_KEY_BYTES, check_signing_secret, current_secret
from infra.cli.target import Target
from shared.channels.registry import ChannelOptionError, build_channel
from shared.channels.standard_webhooks import signing_key
from shared.channels.transport import HttpTransport
from shared.domain.network import Channel
from shared.domain.stock import ChannelId, SourceId
from shared.sources.registry import FILE_CONNECTORS


@click.group("secret")
def secret() -> None:
    """Secrets shared with sources and channels."""


@command("set")
@click.argument("kind", type=click.Choice(["source", "channel"]))
@click.argument("name")
@click.pass_obj
def set_secret(session: Session, kind: str, name: str) -> None:
    """Store a new secret, read from stdin.

    The secret before it stays valid as the previous one, so a rotation loses nothing.
    """
    target = session.target
    stored = target.secrets.text(kind, name)
    if not stored:
        _refuse_unknown(target, kind, name)
    before = current_secret(stored)
    fresh = _given()
    text = json.dumps({"current": fresh} if before is None else {"current": fresh, "previous": before})
    if kind == "channel":
        _check_channel(target, name, text, fresh)
    else:
        _check_source(target, name, fresh)
    changed = fresh != before
    if changed:
        target.secrets.store(kind, name, text)
    done = (
        f"the secret of {kind} {name} is changed; the one before stays valid, and both count within a minute"
        if changed
        else f"that is the secret of {kind} {name} already; nothing was changed"
    )
    session.show({"kind": kind, "name": name, "changed": changed}, [done])


def _given() -> str:
    """Read the secret: typed unseen at a terminal, else all of stdin without its line end."""
    text = getpass("new secret: ") if sys.stdin.isatty() else sys.stdin.read()
    text = text.rstrip("\r\n")
    if not text or not text.isascii() or not text.isprintable() or text != text.strip():
        raise CommandError(
            "the secret is empty, or holds white space or characters that no header carries",
            'pass it on stdin in one line: printf %s "$SECRET" | onecount secret set ...',
        )
    return text


def _refuse_unknown(target: Target, kind: str, name: str) -> None:
    if kind == "source":
        declared_source(target, name)
    raise CommandError(
        f"there is no secret for {kind} {name} in stage {target.stage}",
        "a deployment makes it: deploy the network file that declares it",
    )


def _check_source(target: Target, name: str, fresh: str) -> None:
    source = target.registry.network(fresh=True).sources.get(SourceId(name))
    if source is None:
        return  # made by the deployment, not yet applied: `apply` checks what is stored
    if source.connector in FILE_CONNECTORS:
        raise CommandError(
            f"nothing uses a secret of source {name}: its connector {source.connector} reads files, and takes no webhooks",
            f"give it files: `onecount drop {name} FILE`",
        )
    check_signing_secret(source, fresh)


def _check_channel(target: Target, name: str, text: str, fresh: str) -> None:
    """Refuse a secret that the channel's connector could not use, before it replaces one that works."""
    channel = target.registry.network(fresh=True).channels.get(ChannelId(name))
    if channel is None:
        return  # made by the deployment, not yet applied: there is no connector to ask
    try:
        build_channel(channel, text, HttpTransport())
        _check_length(channel, fresh)
    except ChannelOptionError as error:
        if error.option == "secret.current":
            raise CommandError(
                f"the channel cannot use this secret: it {error.reason}", error.remedy
            ) from error


def _check_length(channel: Channel, fresh: str) -> None:
    """Refuse a new signing secret that could be guessed; one that is stored already goes on signing."""
    if channel.connector == "signed_webhook" and len(signing_key(fresh, "secret.current")) < LEAST_KEY_BYTES:
        raise CommandError(
            f"the secret of channel {channel.id} is shorter than {LEAST_KEY_BYTES} bytes, so it can be guessed",
            'make one and give it to the receiver too: printf "whsec_%s" "$(openssl rand -base64 32)" | '
            f"onecount secret set channel {channel.id}",
        )


secret.add_command(set_secret)

"""``apply``: make the declared network what a file says, and have every channel whose rules changed looked at anew.

A function believes the network that it read for ``REMEMBERED_S``. A hint that came sooner could be answered under the
old rules and be the last one for long, so the fresh look waits until nobody can remember them.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path

import click

from infra.cli.console import CommandError, Session, command, known_errors, printable
from infra.cli.fresh_look import queue_fresh_look
from infra.cli.network_diff import Entry, NetworkDiff, compare
from infra.cli.signing import check_signing_secret, current_secret
from infra.cli.target import LOCAL, Target
from infra.network_file import Mistake, NetworkFileError, read_network
from shared.channels.registry import ChannelOptionError, UnknownConnectorError, build_channel
from shared.channels.transport import HttpTransport
from shared.domain.network import Channel, Source
from shared.domain.stock import ChannelId
from shared.sources.snapshot_layout import parse_layout
from shared.store.registry import REMEMBERED_S, Network

RULES_SETTLE_S = int(REMEMBERED_S) + 5
"""Seconds until every function has read the network again."""

_ANY_SECRET = '{"current": "whsec_%s"}' % base64.b64encode(bytes(32)).decode()  # noqa: UP031 - braces are JSON's


@command("apply")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--yes", is_flag=True, help="Write without asking.")
@click.pass_obj
def apply(session: Session, file: Path, yes: bool) -> None:
    """Declare what a network file says; shows a diff first.

    Sources, locations, channels and rules. Channels whose rules change are looked at anew. What is declared but
    not in the file stays as it is.
    """
    said = checked(file, "applied")
    target = session.target
    diff = compare(target.registry.network(fresh=True), said)
    _require_infrastructure(target, diff, file)
    _require_safe_secrets(target, said)
    for line in diff.lines():
        click.echo(printable(line), err=session.as_json)  # before the question, and never inside the JSON
    queued: dict[str, int] = {}
    if diff.writes:
        if not yes and not _agreed():
            raise CommandError("nothing was written", "answer y, or pass --yes where nobody can answer")
        target.registry.declare(diff.only_written(said))
        queued = {str(channel): _look_anew(target, channel) for channel in diff.channels()}
    session.show({**asdict(diff), "applied": diff.writes, "queued": queued}, _summary(diff, queued))


def _agreed() -> bool:
    try:
        return click.confirm("Apply this?", err=True)
    except click.Abort:  # nobody is there to answer
        click.echo(err=True)
        return False


def _look_anew(target: Target, channel: ChannelId) -> int:
    """Queue a look at every listing of a channel; the rules are written by now, so a failure names the way on."""
    try:
        skus = target.registry.skus_of_channel(channel)
        return queue_fresh_look(target.lanes, channel, skus, delay_s=RULES_SETTLE_S)
    except known_errors() as error:
        raise CommandError(
            f"the rules are applied, but not every listing of {channel} could be queued for a look: {error}",
            f"have them looked at with `onecount push --channel {channel} --resync`",
        ) from error


def _summary(diff: NetworkDiff, queued: Mapping[str, int]) -> Iterator[str]:
    if not diff.writes:
        yield "nothing to change: what is declared is what the file says"
        return
    yield f"applied: {len(diff.added)} added, {len(diff.changed)} changed; counts within {RULES_SETTLE_S} s"
    for channel, number in queued.items():
        yield f"{channel}: a fresh look is queued for {number} listings"


def checked(file: Path, done: str) -> Network:
    """Read the file; everything that is wrong with it is told at once.

    Parameters
    ----------
    done
        What then was not done to the file: "applied", "deployed".

    Raises
    ------
    CommandError
    """
    try:
        network = read_network(file)
        mistakes = [*connector_mistakes(network)]
    except NetworkFileError as error:
        mistakes = error.mistakes
    if mistakes:
        many = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
        raise CommandError(
            f"{file} has {many}; nothing was {done}",
            "correct each field named above, then run the same command again",
            [str(mistake) for mistake in mistakes],
        )
    return network


def connector_mistakes(network: Network) -> Iterator[Mistake]:
    """Yield what the connectors themselves find wrong with their options."""
    for source in network.sources.values():
        unstorable = [*_unstorable(f"sources.{source.id}.options", source.options)]
        yield from unstorable
        if not unstorable and source.connector == "csv_snapshot":
            yield from _layout_mistakes(source)
    for channel in network.channels.values():
        unstorable = [*_unstorable(f"channels.{channel.id}.options", channel.options)]
        yield from unstorable
        if not unstorable:
            yield from _channel_mistakes(channel)


def _layout_mistakes(source: Source) -> Iterator[Mistake]:
    layout = parse_layout(source.options)
    for fault in layout if isinstance(layout, list) else ():
        yield Mistake(f"sources.{source.id}.{fault.field.removeprefix('source.')}", fault.reason)


def _channel_mistakes(channel: Channel) -> Iterator[Mistake]:
    """Build the connector with one option less at a time until it builds or repeats itself: each build names one."""
    options = dict(channel.options)
    while True:
        try:
            build_channel(replace(channel, options=options), _ANY_SECRET, HttpTransport())
            return
        except UnknownConnectorError as error:
            known = ", ".join(error.known)
            yield Mistake(
                f"channels.{channel.id}.connector", f"{error.connector!r} does not exist; one of: {known}"
            )
            return
        except ChannelOptionError as error:
            if error.option not in options and options != channel.options:
                return  # it is missing because it was wrong and taken out, and that has been told
            yield Mistake(f"channels.{channel.id}.options.{error.option}", f"{error.reason}; {error.remedy}")
            if options.pop(error.option, None) is None:
                return


def _unstorable(path: str, value: object) -> Iterator[Mistake]:
    """Yield values that YAML made of a text that was meant as a text."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _unstorable(f"{path}.{name}", inner)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _unstorable(f"{path}.{number}", inner)
    elif value is not None and not isinstance(value, (str, int, float)):
        reason = f"YAML reads {str(value)!r} as a {type(value).__name__}; put it in quotes"
        yield Mistake(path, reason)


def _require_infrastructure(target: Target, diff: NetworkDiff, file: Path) -> None:
    """Refuse what has no queues and no secret yet: those come with a deployment, which reads the same file."""
    missing = [
        f"{entry.kind} {entry.id}"
        for entry in _connected(diff.added)
        if not target.secrets.text(entry.kind, entry.id)
    ]
    if not missing:
        return
    first = (
        f"onecount up --network {file}"
        if target.stage == LOCAL
        else f"cdk deploy --all -c stage={target.stage} -c network={file}"
    )
    raise CommandError(
        f"stage {target.stage} has no queues and secrets for {', '.join(missing)}; nothing was applied",
        f"deploy them first (`{first}`), then apply again",
    )


def _require_safe_secrets(target: Target, said: Network) -> None:
    """Refuse a source whose stored secret lets others sign for it: it was stored before there was a rule."""
    for source in said.sources.values():
        secret = current_secret(target.secrets.text("source", source.id))
        if secret is not None:
            check_signing_secret(source, secret)


def _connected(entries: Iterable[Entry]) -> Iterator[Entry]:
    return (entry for entry in entries if entry.kind in ("source", "channel"))

"""``apply``: make the declared network what a file says, and have every channel whose rules changed looked at anew.

A function believes the network that it read for ``REMEMBERED_S``. A hint that came sooner could be answered under the
old rules and be the last one for long, so the fresh look waits until nobody can remember them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click

from infra.cli.connector_options import connector_mistakes
from infra.cli.console import CommandError, Session, command, known_errors, printable
from infra.cli.network_diff import Entry, NetworkDiff, compare
from infra.cli.signing import check_signing_secret, current_secret
from infra.cli.target import LOCAL, Target
from infra.network_file import NetworkFileError, read_network
from shared.domain.network import Channel, Source
from shared.domain.rollout import ALL_LIVE, EVERYTHING, Rollout, sold_unheard
from shared.domain.stock import ChannelId
from shared.operations.fresh_look import queue_fresh_look
from shared.operations.set_aside import SetAsideBusyError
from shared.operations.stock_view import StockView
from shared.operations.withdraw import give_back, has_history, withdraw
from shared.store.registry import REMEMBERED_S, Network

RULES_SETTLE_S = int(REMEMBERED_S) + 5
"""Seconds until every function has read the network again."""


@command("apply")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--yes", is_flag=True, help="Write without asking.")
@click.option("--remove", is_flag=True, help="Take off what is declared but not in the file.")
@click.pass_obj
def apply(session: Session, file: Path, yes: bool, remove: bool) -> None:
    """Declare what a network file says; shows a diff first.

    Sources, locations, channels and rules. Channels whose rules change are looked at anew. What is declared but
    not in the file stays as it is; with --remove it is taken off, except a location that stock was ever posted to.
    What a removed source sent and its cases stay.
    """
    said = checked(file, "applied")
    target = session.target
    declared = target.registry.network(fresh=True)
    diff = compare(declared, said)
    if remove:
        view = StockView(target.stock, target.registry, _now)
        diff = diff.removing(lambda location: has_history(location, view))
    _require_infrastructure(target, diff, file)
    _require_safe_secrets(target, said)
    _require_orders_heard(declared, said)
    for line in diff.lines(remove=remove):
        click.echo(printable(line), err=session.as_json)  # before the question, and never inside the JSON
    queued: dict[str, int] = {}
    if diff.writes:
        if not yes and not _agreed():
            raise CommandError("nothing was written", "answer y, or pass --yes where nobody can answer")
        target.registry.declare(diff.only_written(said))
        _give_back_where_taken_off(target, declared, diff.only_written(said))
        if diff.removed:
            _withdraw(target, diff.only_removed(declared))
        queued = {str(channel): _look_anew(target, channel) for channel in diff.channels()}
    session.show({**asdict(diff), "applied": diff.writes, "queued": queued}, _summary(diff, queued))


def _agreed() -> bool:
    try:
        return click.confirm("Apply this?", err=True)
    except click.Abort:  # nobody is there to answer
        click.echo(err=True)
        return False


def _now() -> datetime:
    return datetime.now(UTC)


def _withdraw(target: Target, gone: Network) -> None:
    try:
        withdraw(gone, target.stock, target.registry, _now)
    except SetAsideBusyError as error:
        raise CommandError(
            f"{error} is too busy to have what is set aside there given back; not everything was removed",
            "run the same command again: it does the rest",
        ) from error


def _give_back_where_taken_off(target: Target, before: Network, written: Network) -> None:
    """Give back to all what channels alone could sell at locations that they sell from no more."""
    for channel in written.channels.values():
        was = before.channels.get(channel.id)
        left = [] if was is None else [place for place in was.locations if place not in channel.locations]
        try:
            give_back(channel.id, left, target.stock, target.registry, _now)
        except SetAsideBusyError as error:
            raise CommandError(
                f"{error} is too busy to have what is set aside there for {channel.id} given back; the rest is applied",
                f"give it back with `onecount set-aside SKU 0 --channel {channel.id} --location LOCATION`",
            ) from error


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
    removed = f", {len(diff.removed)} removed" if diff.removed else ""
    many = f"{len(diff.added)} added, {len(diff.changed)} changed{removed}"
    yield f"applied: {many}; counts within {RULES_SETTLE_S} s"
    if any(_connected(diff.removed)):
        yield "what they sent, their journal entries and their cases stay; their secrets and queues go with the next deployment"
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


def _require_orders_heard(declared: Network, said: Network) -> None:
    """Refuse a channel that would be live where the source of its orders is not; who says no mode stays as it is."""
    for source in said.sources.values():
        channel = None if source.channel is None else said.channels.get(source.channel)
        if channel is None:
            continue
        sells = _rollout_of(channel, declared.channels.get(channel.id))
        orders = _rollout_of(source, declared.sources.get(source.id))
        part = sold_unheard(sells, orders, EVERYTHING, channel.locations)
        if part is not None:
            raise CommandError(
                f"channels.{channel.id}.rollout: {channel.id} would be live for {part} while {source.id}, which brings its "
                "orders, is not: it would be sent numbers from which its own sales are missing; nothing was applied",
                f"say mode: shadow there in channels.{channel.id}.rollout too, or let sources.{source.id} be live there",
            )


def _rollout_of(said: Source | Channel, declared: Source | Channel | None) -> Rollout:
    """Return what will hold for a source or channel once what is said of it is applied."""
    kept = None if declared is None else declared.rollout
    return next((one for one in (said.rollout, kept) if one is not None), ALL_LIVE)


def _require_safe_secrets(target: Target, said: Network) -> None:
    """Refuse a source whose stored secret lets others sign for it: it was stored before there was a rule."""
    for source in said.sources.values():
        secret = current_secret(target.secrets.text("source", source.id))
        if secret is not None:
            check_signing_secret(source, secret)


def _connected(entries: Iterable[Entry]) -> Iterator[Entry]:
    return (entry for entry in entries if entry.kind in ("source", "channel"))

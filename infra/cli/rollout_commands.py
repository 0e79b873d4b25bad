"""``rollout`` and ``shadow-report``: let a source or channel in step by step, and see what it would have done.

Switching works on the registry and the queues themselves, as ``apply`` does: a channel may have more listings than
one call of the API can queue.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import click

from infra.cli.console import CommandError, Session, brief, command, fields, known_errors, table
from shared.domain.rollout import Mode
from shared.operations.rollout_desk import RolloutDesk, RolloutFieldError, Switched
from shared.store.registry import REMEMBERED_S
from shared.store.rollouts import CHANNEL, SOURCE, words

_ACTOR = "onecount rollout"


@command("rollout")
@click.argument("name", required=False, metavar="[SOURCE|CHANNEL]")
@click.option("--mode", type=click.Choice([str(mode) for mode in Mode]), help="What it is put into.")
@click.option("--sku", "skus", multiple=True, help="Only this SKU, or prefix like TEA*; may be repeated.")
@click.option("--location", "locations", multiple=True, help="Only this location; may be repeated.")
@click.option(
    "--as", "kind", type=click.Choice([SOURCE, CHANNEL]), help="Which is meant, where both have that name."
)
@click.pass_obj
def rollout(
    session: Session,
    name: str | None,
    mode: str | None,
    skus: tuple[str, ...],
    locations: tuple[str, ...],
    kind: str | None,
) -> None:
    """Show how far sources and channels may act, or switch one.

    In observe mode it is only listened to, or read; in shadow mode what it would do is kept too; live it acts. The
    switch decides for all of its scope, forward or back, and may be repeated. A channel that goes live is sent every
    number that differs; one that goes back is sent nothing from that moment.
    """
    if name is None:
        if mode or skus or locations or kind:
            raise CommandError(
                "nobody is named", "name a source or channel, like `onecount rollout shop --mode live`"
            )
        found = session.target.api.get("registry", "rollouts")
        session.show(found, _told_of_all(found))
        return
    if mode is None:
        raise CommandError(
            "no mode is named", f"add --mode {', --mode '.join(Mode)}; without a name all are shown"
        )
    desk = RolloutDesk(session.target.registry, session.target.lanes, lambda: datetime.now(UTC))
    meant = kind or _kind_of(name, desk)
    at = datetime.now(UTC)
    try:
        scopes = desk.scopes(skus, locations)
        done = desk.switch(
            meant,
            name,
            scopes,
            Mode(mode),
            _ACTOR,
            progress=lambda number: session.say(f"{number} listings queued"),
        )
    except RolloutFieldError as error:
        raise CommandError(f"{error.field}: {error.reason}", error.remedy) from error
    except known_errors() as error:
        raise CommandError(
            f"it is not done, or not every listing is queued: {error}", "run the same command again"
        ) from error
    said = {"kind": meant, "name": name, "rules": words(done.rollout), "queued": done.queued}
    session.show(said, _told_of_switch(meant, name, Mode(mode), done, at))


def _kind_of(name: str, desk: RolloutDesk) -> str:
    """Find out whether a source or a channel is meant."""
    kinds = [one.kind for one in desk.table() if one.id == name]
    if not kinds:
        listed = ", ".join(dict.fromkeys(one.id for one in desk.table())) or "none"
        raise CommandError(f"{name!r} is not a declared source or channel", f"declared: {listed}")
    if len(kinds) > 1:
        raise CommandError(
            f"a source and a channel are named {name!r}", "say which: --as source, or --as channel"
        )
    return kinds[0]


def _told_of_all(found: Mapping[str, Any]) -> Iterator[str]:
    rows = [
        (
            system["kind"],
            system["name"],
            _skus(rule["skus"]),
            rule["location"] or "everywhere",
            rule["mode"],
            _since(rule),
        )
        for system in found["systems"]
        for rule in system["rules"] or [{"skus": "*", "location": None, "mode": "live", "since": None}]
    ]
    yield from (
        table(("", "name", "SKUs", "location", "mode", "since"), rows) if rows else ["no network is declared"]
    )


def _skus(pattern: str) -> str:
    return "all" if pattern == "*" else pattern


def _since(rule: Mapping[str, Any]) -> str:
    return "-" if rule["since"] is None else str(brief(rule["since"]))


def _told_of_switch(kind: str, name: str, mode: Mode, done: Switched, at: datetime) -> Iterator[str]:
    yield f"{kind} {name}:"
    yield from fields(words(done.rollout))
    if kind == CHANNEL:
        what = "brought up to date" if mode is Mode.LIVE else "only read"
        yield f"counts at once; {done.queued} listings are queued to be {what}"
        return
    yield f"counts within {int(REMEMBERED_S)} s"
    if mode is Mode.LIVE:
        yield "what came before is kept and not posted, and its open orders reserve nothing; once that is over, replay it from this or an earlier time:"
        yield f"  onecount replay --source {name} --since {at:%Y-%m-%dT%H:%M:%SZ}"


@command("shadow-report")
@click.option("--source", help="Only this source, also if it is live by now.")
@click.option("--channel", help="Only this channel, also if it is live by now.")
@click.pass_obj
def shadow_report(session: Session, source: str | None, channel: str | None) -> None:
    """Say what shadow would have done, and what it had prevented.

    Of a channel: the listings that it would have been sent another number, and the orders that oversold because it
    offered more than there was. Of a source: the events that it would have posted.
    """
    found = session.target.api.get("shadow-report", source=source, channel=channel)
    lines = [line for one in found["channels"] for line in _of_channel(one)]
    lines += [line for one in found["sources"] for line in _of_source(one)]
    session.show(found, lines or ["every source and channel is live; see `onecount rollout`"])


def _of_channel(found: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f"{found['channel']}: {found['listings']} listings looked at; it would have been sent "
        f"{found['would_have_pushed']} numbers; {found['differ_now']} listings differ now, "
        f"{found['stand_above_now']} of them offer more than there is"
    )
    yield f"oversells that would have been prevented: {found['prevented_oversells']}, {found['prevented_units']} units"
    if found["oversells"]:
        rows = [
            (
                brief(o["at"]),
                o["order"],
                o["sku"],
                o["location"],
                o["ordered"],
                o["units"],
                o["ours"],
                _known(o["theirs"]),
            )
            for o in found["oversells"]
        ]
        heads = ("at", "order", "sku", "location", "ordered", "too many", "we had said", "it offered")
        yield from table(heads, rows)
    if found["most_apart"]:
        yield ""
        apart = [
            (o["sku"], o["location"], o["mode"], _known(o["ours"]), _known(o["theirs"]), brief(o["since"]))
            for o in found["most_apart"]
        ]
        yield from table(("sku", "location", "mode", "we would say", "it shows", "since"), apart)
    yield from _incomplete(found)
    yield ""


def _of_source(found: Mapping[str, Any]) -> Iterator[str]:
    yield f"{found['source']}: it would have posted, at {found['stock_keys']} stock keys"
    rows = [(o["what"].replace("_", " "), o["events"], o["units"]) for o in found["would_have_posted"]]
    yield from table(("what", "events", "units"), rows) if rows else ["nothing so far"]
    if found["most"]:
        yield ""
        most = [
            (o["sku"], o["location"], o["events"], brief(o["first_at"]), brief(o["last_at"]))
            for o in found["most"]
        ]
        yield from table(("sku", "location", "events", "first", "last"), most)
    yield from _of_parts(found["parts"])
    yield from _incomplete(found)
    yield ""


def _of_parts(parts: Mapping[str, Any]) -> Iterator[str]:
    """Tell what numbers of bins and lots are worth: drift compares totals alone."""
    if not parts["said"]:
        return
    yield ""
    yield (
        f"bins and lots: of {parts['said']} numbers {parts['compared']} were compared with the ledger as of their own "
        f"instants, {parts['equal']} are equal"
    )
    if parts["not_in_ledger"]:
        yield (
            f"{parts['not_in_ledger']} were compared with NOTHING, for the ledger was never told of those bins or lots: "
            "that nothing drifts there proves nothing; have it send totals, or count them by hand first"
        )
    if parts["most_apart"]:
        apart = [
            (o["sku"], o["location"], o["bin"], o["lot"], o["theirs"], o["ours"], brief(o["as_of"]))
            for o in parts["most_apart"]
        ]
        yield from table(("sku", "location", "bin", "lot", "it says", "the ledger", "as of"), apart)


def _known(number: int | None) -> object:
    return "not known" if number is None else number


def _incomplete(found: Mapping[str, Any]) -> Iterator[str]:
    if not found["is_complete"]:
        yield "there is more than is kept or read: every figure is at least so"

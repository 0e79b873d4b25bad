"""The local runtime: start it, stop it, look at it, let it tell its story, and get a token for curl."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from infra.cli.console import CommandError, Session, command, fields, table
from infra.cli.network_commands import checked
from infra.cli.target import ROOT

if TYPE_CHECKING:
    from infra.local.runtime_info import RuntimeInfo


@command("up", targeted=False)
@click.option(
    "--network",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Network file whose sources and channels get queues and secrets.  "
    "[default: the one of the last `up`, at first the demo's]",
)
@click.option("--remove", is_flag=True, help="Delete queues and secrets of what the file no longer declares.")
@click.pass_obj
def up(session: Session, network: Path | None, remove: bool) -> None:
    """Start the local runtime and say where to reach it.

    It keeps its state over restarts; sources that changed since are deployed. A file with mistakes is refused, and so
    is one that lacks a source or channel which has been applied here, unless --remove is given.
    """
    file = network or session.runtime.network()
    if not file.exists():
        raise CommandError(
            f"the network file {file}, which was deployed last, is gone; nothing was started",
            "put it back, or name another: `onecount up --network FILE`",
        )
    checked(file, "deployed")
    info = session.runtime.up(file, remove, session.say)
    session.show({**asdict(info), "network": str(file)}, _addresses(info, file))


def _addresses(info: RuntimeInfo, network: Path) -> list[str]:
    onecount = shlex.quote(str(ROOT / ".venv" / "bin" / "onecount"))
    return [
        *fields(
            {
                "webhooks": info.webhook_url,
                "API": f"{info.api_url}/v1",
                "drop bucket": f"{info.bucket} (at {info.endpoint})",
                "network": str(network),
            }
        ),
        "",
        "try:",
        f'  curl -H "Authorization: Bearer $({onecount} token --scope viewer)" "{info.api_url}/v1/cases"',
        f"  {onecount} apply {shlex.quote(str(network))}",
    ]


@command("down", targeted=False)
@click.option("--wipe", is_flag=True, help="Also forget all state: tables, queues, files and keys.")
@click.pass_obj
def down(session: Session, wipe: bool) -> None:
    """Stop the local runtime; its state stays unless wiped."""
    ran = session.runtime.down(wipe, session.say)
    session.show({"was_running": ran, "wiped": wipe}, ())


@command("status", targeted=False)
@click.pass_obj
def status(session: Session) -> None:
    """Say what of the local runtime runs, and where.

    Exits 1 unless all of it is up.
    """
    found = session.runtime.status()
    rows = [(name, "running" if pid else "not running", pid) for name, pid in found.processes.items()]
    lines = table(("part", "state", "process"), rows)
    if found.info is not None:
        lines += ["", *_addresses(found.info, session.runtime.network())]
    if not found.is_up:
        lines += ["", "start it with `onecount up`"]
    session.show({"up": found.is_up, **asdict(found)}, lines)
    if not found.is_up:
        raise click.exceptions.Exit(1)


@command("doctor", targeted=False)
@click.pass_obj
def doctor(session: Session) -> None:
    """Say what this machine lacks, and the remedy.

    Exits 1 if anything is missing.
    """
    findings = session.runtime.doctor()
    rows = [("ok" if one.ok else "MISSING", one.what, one.detail) for one in findings]
    remedies = [f"{one.what}: {one.remedy}" for one in findings if not one.ok]
    lines = table(("state", "what", "found"), rows)
    if remedies:
        lines += ["", "to do:", *(f"  {remedy}" for remedy in remedies)]
    session.show({"ok": not remedies, "findings": [asdict(one) for one in findings]}, lines)
    if remedies:
        raise click.exceptions.Exit(1)


@command("demo", targeted=False)
@click.pass_obj
def demo(session: Session) -> None:
    """Tell the whole story on real transports, with proof.

    It runs on a local runtime of its own and exits 1 if any number is not what it must be.
    """
    code = session.runtime.demo(session.say if session.as_json else click.echo)
    session.show({"passed": code == 0}, ())
    raise click.exceptions.Exit(code)


@command("token")
@click.option("--scope", "scopes", multiple=True, required=True, help="What it may do; may be repeated.")
@click.option("--subject", default="local", show_default=True, help="Whom it names.")
@click.pass_obj
def token(session: Session, scopes: tuple[str, ...], subject: str) -> None:
    """Print a bearer token for the local API, for curl."""
    mint = session.target.mint
    if mint is None:
        raise CommandError(
            f"tokens of stage {session.target.stage} come from its own issuer, not from here",
            "ask that issuer for a token; the commands here take it from ONECOUNT_TOKEN",
        )
    made = mint(scopes, subject)
    session.show({"token": made, "scopes": list(scopes), "subject": subject}, [made])

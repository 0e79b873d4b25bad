"""Which network file the local runtime runs, and what deploying another would take away.

A deployment makes a secret for each source and channel that the file declares, and a channel's queues; it deletes
those of what the file no longer declares, with all that is in them. So the file is remembered from one ``up`` to the
next, and one that lacks what has been applied here is refused unless it is said that this may go; then it is taken out
of the applied network first, so that nothing is received from it, or published to it, half.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from infra.local.clients import client
from infra.local.state import LocalRuntimeError, StateDirectory, read_json, write_json
from shared.operations.withdraw import withdraw
from shared.store.dynamodb import DynamoTable
from shared.store.registry import Network, Registry

DEMO_NETWORK = Path("infra/local/network.yaml")
_SECRETS = "onecount/local/"

System = tuple[str, str]
"""``source`` or ``channel``, and its id."""


class RemovalRefusedError(LocalRuntimeError):
    """Deploying the file would delete the queues and secrets of systems that are in use."""


def remembered(state: StateDirectory, root: Path) -> Path:
    """Return the file that was deployed last; the demo's if there has been none."""
    said = read_json(state.network).get("file")
    return Path(said) if isinstance(said, str) else root / DEMO_NETWORK


def remember(state: StateDirectory, file: Path) -> None:
    """Make ``file`` what ``up`` deploys from now on."""
    write_json(state.network, {"file": str(file.resolve())})


def refuse_removal(endpoint: str, declared: Network, file: Path) -> None:
    """Refuse a file that lacks a system which the runtime at ``endpoint`` has queues for, and which is applied there.

    Raises
    ------
    RemovalRefusedError
    """
    lost = _deployed(endpoint) - _systems(declared)
    used = sorted(lost & _systems(_applied(endpoint))) if lost else []
    if used:
        named = ", ".join(f"{kind} {identifier}" for kind, identifier in used)
        raise RemovalRefusedError(
            f"deploying {file} would delete the queues and secrets of {named}, which are applied here and "
            "which it does not declare; nothing was changed.",
            "Deploy the file that declares them (`onecount up --network FILE`), or say that they may go: "
            f"`onecount up --network {file} --remove`.",
        )


def withdraw_removed(endpoint: str, declared: Network) -> list[str]:
    """Take out of the applied network what ``declared`` lacks, before its queues and secrets go; say what that was."""
    applied = _applied(endpoint)
    gone = Network(
        {name: one for name, one in applied.sources.items() if name not in declared.sources},
        {},
        {name: one for name, one in applied.channels.items() if name not in declared.channels},
    )
    if gone.sources or gone.channels:
        tables = _tables(endpoint)
        registry = Registry(tables["RegistryTable"])
        withdraw(gone, tables["StockTable"], registry, lambda: datetime.now(UTC))
    return [f"{kind} {identifier}" for kind, identifier in sorted(_systems(gone))]


def _systems(network: Network) -> set[System]:
    sources = {("source", str(name)) for name in network.sources}
    return sources | {("channel", str(name)) for name in network.channels}


def _deployed(endpoint: str) -> set[System]:
    """Return the systems that have a secret."""
    pages = client("secretsmanager", endpoint).get_paginator("list_secrets").paginate()
    names = [one["Name"] for page in pages for one in page["SecretList"]]
    ours = [name.removeprefix(_SECRETS).partition("/") for name in names if name.startswith(_SECRETS)]
    return {(kind, identifier) for kind, _, identifier in ours}


def _applied(endpoint: str) -> Network:
    """Return what ``onecount apply`` has declared; nothing where there is no registry yet."""
    table = _tables(endpoint).get("RegistryTable")
    return Network({}, {}, {}) if table is None else Registry(table).network(fresh=True)


def _tables(endpoint: str) -> dict[str, DynamoTable]:
    """Return the deployed tables by the name of their output."""
    formation, dynamodb = client("cloudformation", endpoint), client("dynamodb", endpoint)
    return {
        output["OutputKey"]: DynamoTable(dynamodb, output["OutputValue"])
        for stack in formation.describe_stacks()["Stacks"]
        for output in stack.get("Outputs", [])
        if output["OutputKey"].endswith("Table")
    }

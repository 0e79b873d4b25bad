"""What runs, and where to reach it: noted in ``.onecount/runtime.json`` by the start that brought it up."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from infra.local.deployment import Deployed
from infra.local.state import StateDirectory, read_json

_PREFIX = "onecount-local-"


@dataclass(frozen=True, slots=True)
class RuntimeInfo:
    """What runs, and where to reach it.

    Attributes
    ----------
    api_url
        Base of every ``/v1`` call; plain 127.0.0.1, as curl takes it.
    webhook_url
        With ``{source}`` to be put in.
    tables, queues, functions
        Short name (without the stage's prefix) to the real one.
    removed
        What the embedded runtime lacks: "resource (type): reason".
    """

    endpoint: str
    api_url: str
    webhook_url: str
    bucket: str
    tables: dict[str, str]
    queues: dict[str, str]
    functions: dict[str, str]
    issuer: str
    pids: dict[str, int]
    digest: str
    outputs: dict[str, str] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, state: StateDirectory) -> RuntimeInfo | None:
        """What the last ``up`` noted, whether or not it still runs."""
        noted = read_json(state.runtime)
        if not noted or set(noted) != set(cls.__slots__):
            return None
        return cls(**noted)

    @classmethod
    def of(cls, deployed: Deployed, endpoint: str, issuer: str, digest: str) -> RuntimeInfo:
        """Describe what a deployment left behind, before anything else runs."""

        def of_type(kind: str) -> list[tuple[str, str]]:
            return [
                (logical, physical) for _, logical, found, physical in deployed.resources if found == kind
            ]

        def by_short_name(kind: str) -> dict[str, str]:
            names = [physical.rsplit("/", 1)[-1] for _, physical in of_type(kind)]
            return {name.removeprefix(_PREFIX): name for name in names}

        apis, stages = of_type("AWS::ApiGateway::RestApi"), of_type("AWS::ApiGateway::Stage")
        base = f"{endpoint}/_aws/execute-api/{apis[0][1]}/{stages[0][1]}" if apis and stages else ""
        buckets = of_type("AWS::S3::Bucket")
        drop = [physical for logical, physical in buckets if "drop" in (logical + physical).lower()]
        return cls(
            endpoint=endpoint,
            api_url=base,
            webhook_url=f"{base}/webhooks/{{source}}" if base else "",
            bucket=drop[0] if drop else "",
            tables=_tables(deployed),
            queues=by_short_name("AWS::SQS::Queue"),
            functions=by_short_name("AWS::Lambda::Function"),
            issuer=issuer,
            pids={},
            digest=digest,
            outputs=deployed.outputs,
            removed=[f"{one.resource} ({one.type}): {one.reason}" for one in deployed.removed],
        )


def _tables(deployed: Deployed) -> dict[str, str]:
    """Tables by the name that the template's outputs give them (``StockTable``: stock), else by their own."""
    names = [physical for _, _, kind, physical in deployed.resources if kind == "AWS::DynamoDB::Table"]
    said = {
        value: key.removesuffix("Table").lower()
        for key, value in deployed.outputs.items()
        if key.endswith("Table")
    }
    return {said.get(name, name.removeprefix(_PREFIX)): name for name in names}


@dataclass(frozen=True, slots=True)
class RuntimeStatus:
    """What ``onecount status`` tells.

    Attributes
    ----------
    processes
        Each part's process id, ``None`` where it does not run.
    info
        Where to reach it; ``None`` unless it answers.
    """

    processes: dict[str, int | None]
    info: RuntimeInfo | None
    streams: dict[str, dict[str, Any]]

    @property
    def is_up(self) -> bool:
        return self.info is not None and all(pid is not None for pid in self.processes.values())

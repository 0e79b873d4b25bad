"""The network file that a runtime runs: remembered, and never replaced by one that takes away what is in use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from infra.local.assembly import Assembly, Stack
from infra.local.declared_network import DEMO_NETWORK, RemovalRefusedError, remember, remembered
from infra.local.runtime import LocalRuntime
from infra.local.state import LocalRuntimeError, StateDirectory
from infra.network_file import read_network
from shared.store.dynamodb import DynamoTable
from shared.store.registry import Registry

ROOT = Path(__file__).resolve().parents[3]
MINE = """
sources:
  wms: {connector: standard_webhooks}
  erp: {connector: standard_webhooks}
locations:
  east: {movements: wms}
channels:
  shop: {connector: signed_webhook, locations: {east: E}, options: {url: 'http://127.0.0.1:9/'}}
"""
OTHER = "sources: {wms: {connector: standard_webhooks}}\nlocations: {east: {movements: wms}}\n"


def test_at_first_it_is_the_demos_file(tmp_path: Path) -> None:
    assert remembered(StateDirectory(tmp_path), ROOT) == ROOT / DEMO_NETWORK


def test_a_file_is_remembered_by_its_whole_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    state = StateDirectory(tmp_path / "state")

    remember(state, Path("mine.yaml"))

    assert remembered(state, ROOT) == tmp_path / "mine.yaml"


def table_of(name: str, *indexes: str) -> dict[str, Any]:
    prefixes = ("", *(f"{index}_" for index in indexes))
    keys = [f"{prefix}{part}" for prefix in prefixes for part in ("pk", "sk")]

    def schema(prefix: str) -> list[dict[str, str]]:
        return [
            {"AttributeName": f"{prefix}pk", "KeyType": "HASH"},
            {"AttributeName": f"{prefix}sk", "KeyType": "RANGE"},
        ]

    properties: dict[str, Any] = {
        "TableName": f"onecount-local-{name}",
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": key, "AttributeType": "S"} for key in keys],
        "KeySchema": schema(""),
    }
    if indexes:
        properties["GlobalSecondaryIndexes"] = [
            {
                "IndexName": index,
                "KeySchema": schema(f"{index}_"),
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            }
            for index in indexes
        ]
    return {"Type": "AWS::DynamoDB::Table", "Properties": properties}


def assembly_of(file: Path) -> Assembly:
    """What a deployment makes of a network file, as far as it matters here: secrets, and the registry's table."""
    network = read_network(file)
    names = [f"source/{name}" for name in network.sources] + [f"channel/{name}" for name in network.channels]
    resources: dict[str, Any] = {
        f"Secret{number}": {
            "Type": "AWS::SecretsManager::Secret",
            "Properties": {"Name": f"onecount/local/{name}", "SecretString": f"secret of {name}"},
        }
        for number, name in enumerate(names)
    }
    resources["Registry"] = table_of("registry")
    resources["Stock"] = table_of("stock", "by_location")
    outputs = {f"{name}Table": {"Value": {"Ref": name}} for name in ("Registry", "Stock")}
    stack = Stack("networked", {"Resources": resources, "Outputs": outputs})
    return Assembly((stack,), (), digest=file.read_text())


class Checkout:
    """Starts of one runtime with one network file after the other."""

    def __init__(self, folder: Path) -> None:
        self.state = StateDirectory(folder / "state")
        self.told: list[str] = []
        self.runtime = self.runtime_with(folder / "none.yaml")

    def runtime_with(self, file: Path) -> LocalRuntime:
        return LocalRuntime(
            ROOT, self.state, lambda: assembly_of(file), network=file, tied=True, say=self.told.append
        )

    def up(self, file: Path, *, may_remove: bool = False) -> None:
        self.runtime = self.runtime_with(file)
        self.runtime.start(may_remove=may_remove)

    def apply(self, file: Path) -> None:
        table = DynamoTable(self.runtime.client("dynamodb"), "onecount-local-registry")
        Registry(table).declare(read_network(file))

    def applied(self) -> set[str]:
        table = DynamoTable(self.runtime.client("dynamodb"), "onecount-local-registry")
        network = Registry(table).network(fresh=True)
        return {*network.sources, *network.channels, *network.locations}

    def secrets(self) -> set[str]:
        found = self.runtime.client("secretsmanager").list_secrets()["SecretList"]
        return {one["Name"].removeprefix("onecount/local/") for one in found}


@pytest.mark.system
def test_what_is_applied_keeps_its_secret_and_queues_until_it_is_said_that_they_may_go(
    tmp_path: Path,
) -> None:
    mine, other = tmp_path / "mine.yaml", tmp_path / "other.yaml"
    mine.write_text(MINE)
    other.write_text(OTHER)
    checkout = Checkout(tmp_path)
    all_of_mine = {"source/wms", "source/erp", "channel/shop"}
    try:
        checkout.up(mine)
        assert remembered(checkout.state, ROOT) == mine
        checkout.apply(mine)

        with pytest.raises(RemovalRefusedError, match="channel shop, source erp") as refused:
            checkout.up(other)

        assert f"onecount up --network {other} --remove" in refused.value.remedy
        assert all(checkout.runtime.running().values())
        checkout.runtime = checkout.runtime_with(mine)
        checkout.runtime.start()
        assert checkout.secrets() == all_of_mine
        assert checkout.applied() == {"wms", "erp", "shop", "east"}
        assert remembered(checkout.state, ROOT) == mine

        checkout.runtime.stop()
        with pytest.raises(LocalRuntimeError, match="channel shop, source erp"):
            checkout.up(other)
        checkout.up(other, may_remove=True)

        assert checkout.secrets() == {"source/wms"}
        assert checkout.applied() == {"wms", "east"}
        assert "- channel shop: no longer declared; its secret and queues go" in checkout.told
        assert remembered(checkout.state, ROOT) == other
        checkout.up(other)
    finally:
        checkout.runtime.stop(wipe=True)


@pytest.mark.system
def test_what_was_never_applied_makes_way(tmp_path: Path) -> None:
    mine, other = tmp_path / "mine.yaml", tmp_path / "other.yaml"
    mine.write_text(MINE)
    other.write_text(OTHER)
    checkout = Checkout(tmp_path)
    try:
        checkout.up(mine)
        checkout.up(other)

        assert checkout.secrets() == {"source/wms"}
    finally:
        checkout.runtime.stop(wipe=True)

"""A real HTTP server that speaks DynamoDB, one for a test run, and a table of each kind for each test module."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen
from uuid import uuid4

import boto3
import pytest
from types_boto3_dynamodb import DynamoDBClient

from shared.store.dynamodb import DynamoTable, client_config
from shared.store.memory import MemoryTable
from shared.store.table import Table

INDEX = "due"


@pytest.fixture(scope="session")
def dynamodb_client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DynamoDBClient]:
    """A client of a runtime started for this run; its log stands in the run's temporary folder."""
    port = _free_port()
    log = tmp_path_factory.mktemp("runtime") / "runtime.log"
    environment = {**os.environ, "BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port)}
    command = [str(Path(sys.executable).with_name("ministack"))]
    with log.open("wb") as output:
        server = subprocess.Popen(command, env=environment, stdout=output, stderr=output)  # noqa: S603
        try:
            _wait_until_ready(f"http://127.0.0.1:{port}/_ministack/ready", server, log)
            yield boto3.client(
                "dynamodb",
                endpoint_url=f"http://127.0.0.1:{port}",
                region_name="us-east-1",
                aws_access_key_id="test",
                aws_secret_access_key="test",
                config=client_config(read_timeout_s=20),
            )
        finally:
            server.terminate()
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


@pytest.fixture(scope="module")
def dynamo_table(dynamodb_client: DynamoDBClient) -> DynamoTable:
    name = f"contract-{uuid4().hex}"
    attributes = ("pk", "sk", f"{INDEX}_pk", f"{INDEX}_sk")
    dynamodb_client.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": attribute, "AttributeType": "S"} for attribute in attributes],
        KeySchema=_key_schema("pk", "sk"),
        GlobalSecondaryIndexes=[
            {
                "IndexName": INDEX,
                "KeySchema": _key_schema(f"{INDEX}_pk", f"{INDEX}_sk"),
                "Projection": {"ProjectionType": "KEYS_ONLY"},
            }
        ],
    )
    return DynamoTable(dynamodb_client, name)


@pytest.fixture(scope="module")
def memory_table() -> MemoryTable:
    return MemoryTable(indexes=[INDEX])


@pytest.fixture(params=["memory", "dynamodb"])
def table(request: pytest.FixtureRequest) -> Table:
    """Either implementation; a test that takes this runs against both."""
    found: Table = request.getfixturevalue(
        {"memory": "memory_table", "dynamodb": "dynamo_table"}[request.param]
    )
    return found


@pytest.fixture
def pk() -> str:
    """A partition of this test alone."""
    return uuid4().hex


def _key_schema(partition: str, order: str) -> Any:
    return [{"AttributeName": partition, "KeyType": "HASH"}, {"AttributeName": order, "KeyType": "RANGE"}]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_ready(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while server.poll() is None and time.monotonic() < deadline:
        try:
            with urlopen(url, timeout=2):
                return
        except (URLError, TimeoutError, ConnectionError):
            time.sleep(0.1)
    raise RuntimeError(f"the runtime did not come up:\n{log.read_text(errors='replace')[-2000:]}")

"""What a command works on: the local runtime of this checkout, or a stage that is deployed on AWS.

Whichever it is, a target is the same few doors; no command asks which kind it has. The names come from the stacks'
CloudFormation outputs, the doors that have no HTTP call are the tables, queues and secrets themselves.

==================  ===============================  =====================================================
door                local runtime                    deployed stage
==================  ===============================  =====================================================
addresses, names    ``.onecount/runtime.json``       outputs of ``Onecount-{stage}-Data`` and ``-Api``
AWS clients         dummy credentials, loopback      the machine's AWS credentials and region
token of the API    ``ONECOUNT_TOKEN``, else minted  the environment variable ``ONECOUNT_TOKEN``
==================  ===============================  =====================================================
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from infra.cli.console import CommandError
from infra.cli.http_door import TOKEN_VARIABLE, Api, Send, send
from shared.operations.fan_out import Lanes
from shared.runtime.aws import ManagedSecrets
from shared.runtime.queues import SqsLanes
from shared.store.cases import Cases
from shared.store.dynamodb import DynamoTable, client_config
from shared.store.patience import PatientTable
from shared.store.registry import Registry
from shared.store.table import Table

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_secretsmanager import SecretsManagerClient

LOCAL = "local"
ROOT = Path(__file__).resolve().parents[2]

_SUBJECT = "onecount-cli"
_TOKEN_LIFETIME = timedelta(minutes=15)

Clients = Callable[[str], Any]
Mint = Callable[[Sequence[str], str], str]


class SecretBook(Protocol):
    """The secrets of sources and channels, as the JSON texts that are stored."""

    def text(self, kind: str, name: str) -> str:
        """Return a secret's text, empty where there is none."""
        ...

    def store(self, kind: str, name: str, text: str) -> None:
        """Replace a secret's text."""
        ...


class DropBox(Protocol):
    """The drop bucket."""

    def put(self, key: str, content: BinaryIO) -> None:
        """Store a file under a key; when this returns it is safe."""
        ...


@dataclass(frozen=True, slots=True)
class Target:
    """Everything a command may use.

    Attributes
    ----------
    webhooks_url
        Where sources post, less ``/{source}``.
    send
        Makes a plain request, for webhooks.
    mint
        Makes a token with scopes and a subject; None where tokens come from somebody else's issuer.
    """

    stage: str
    api: Api
    webhooks_url: str
    send: Send
    stock: Table
    inbox: Table
    registry: Registry
    cases: Cases
    lanes: Lanes
    secrets: SecretBook
    drops: DropBox
    mint: Mint | None = None


def resolve(stage: str | None) -> Target:
    """Find the target of a stage; None is the local runtime of this checkout.

    Raises
    ------
    CommandError, LocalRuntimeError
        When it does not run, or is not deployed.
    """
    return deployed(stage) if stage not in (None, LOCAL) else _local()


class _Secrets:
    def __init__(self, client: SecretsManagerClient, stage: str) -> None:
        self._client = client
        self._stage = stage
        self._read = ManagedSecrets(client, stage)

    def text(self, kind: str, name: str) -> str:
        return self._read.text(kind, name)

    def store(self, kind: str, name: str, text: str) -> None:
        self._client.put_secret_value(SecretId=f"onecount/{self._stage}/{kind}/{name}", SecretString=text)


class _Drops:
    def __init__(self, client: S3Client, bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def put(self, key: str, content: BinaryIO) -> None:
        self._client.upload_fileobj(content, self._bucket, key)


def _local() -> Target:
    from infra.local.clients import client
    from infra.local.issuer import SCOPES
    from infra.local.runtime import LocalRuntime

    runtime = LocalRuntime.of_checkout(ROOT)
    info = runtime.info

    def clients(service: str) -> Any:
        return client(service, info.endpoint, attempts=1 if service == "dynamodb" else 3)

    def mint(scopes: Sequence[str], subject: str) -> str:
        return runtime.token(scopes, subject, lifetime=_TOKEN_LIFETIME)

    return _target(
        LOCAL,
        clients,
        info.outputs,
        api=Api(info.api_url, lambda: local_token(mint, SCOPES), send),
        webhooks_url=info.webhook_url.removesuffix("/{source}"),
        mint=mint,
    )


def aws_clients(service: str) -> Any:
    """Return a client with the machine's own AWS credentials and region."""
    import boto3

    config = client_config(read_timeout_s=10) if service == "dynamodb" else None
    return boto3.Session().client(service, config=config)


def deployed(stage: str, clients: Clients = aws_clients) -> Target:
    """Find a deployed stage by the outputs of its stacks.

    Raises
    ------
    CommandError
        When it is not deployed where ``clients`` look.
    """
    formation = clients("cloudformation")
    outputs: dict[str, str] = {}
    for part in ("Data", "Api"):
        outputs |= _outputs(formation, f"Onecount-{stage}-{part}", stage)
    base = outputs["ApiUrl"].rstrip("/").removesuffix("/v1")
    return _target(
        stage,
        clients,
        outputs,
        api=Api(base, _token_of_environment, send),
        webhooks_url=outputs["WebhookUrl"].rstrip("/"),
    )


def _target(
    stage: str,
    clients: Clients,
    outputs: Mapping[str, str],
    *,
    api: Api,
    webhooks_url: str,
    mint: Mint | None = None,
) -> Target:
    dynamodb = clients("dynamodb")

    def of(name: str) -> Table:
        return PatientTable(DynamoTable(dynamodb, outputs[f"{name}Table"]))

    return Target(
        stage=stage,
        api=api,
        webhooks_url=webhooks_url,
        send=send,
        stock=of("Stock"),
        inbox=of("Inbox"),
        registry=Registry(of("Registry")),
        cases=Cases(of("Cases")),
        lanes=SqsLanes(clients("sqs"), f"onecount-{stage}-push-"),
        secrets=_Secrets(clients("secretsmanager"), stage),
        drops=_Drops(clients("s3"), outputs["DropBucket"]),
        mint=mint,
    )


def _outputs(formation: Any, stack: str, stage: str) -> dict[str, str]:
    from botocore.exceptions import ClientError

    try:
        described = formation.describe_stacks(StackName=stack)["Stacks"][0]
    except ClientError as error:
        if "does not exist" not in str(error):
            raise
        raise CommandError(
            f"stage {stage!r} is not deployed: there is no stack {stack} in {formation.meta.region_name}",
            "name a deployed stage, set AWS_DEFAULT_REGION and AWS_PROFILE to where it is, or deploy it first",
        ) from error
    return {output["OutputKey"]: output["OutputValue"] for output in described.get("Outputs", [])}


def local_token(mint: Mint, scopes: Sequence[str]) -> str:
    """Return the token of the environment, so that a second person can be named; without one, mint our own."""
    return _said_token() or mint(scopes, _SUBJECT)


def _said_token() -> str:
    return os.environ.get(TOKEN_VARIABLE, "").strip()


def _token_of_environment() -> str:
    token = _said_token()
    if not token:
        raise CommandError(
            f"the API of a deployed stage needs a token, and {TOKEN_VARIABLE} is not set",
            f"get a bearer token from your issuer and export {TOKEN_VARIABLE}=<token>",
        )
    return token

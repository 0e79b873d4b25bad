"""The lower part of the composition root: clients, stores and the door for webhooks.

Apart from the rest because the function that answers senders needs no more, and starts in half the time without it.
Clients are made when they are first used, never at import.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, cast

from shared.operations.receive import Receiver
from shared.runtime.aws import ManagedSecrets, S3Archive
from shared.runtime.settings import Settings
from shared.store.cases import Cases
from shared.store.dynamodb import DynamoTable, client_config
from shared.store.inbox import Inbox
from shared.store.observations import Observations
from shared.store.patience import PatientTable
from shared.store.registry import Registry
from shared.store.table import Table

if TYPE_CHECKING:
    from types_boto3_dynamodb import DynamoDBClient
    from types_boto3_s3 import S3Client
    from types_boto3_secretsmanager import SecretsManagerClient


def now() -> datetime:
    """Return the present instant, in UTC."""
    return datetime.now(UTC)


class Ground:
    """Clients and stores, built from a function's settings; asking for what it was not told of is an error."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @property
    def stage(self) -> str:
        """The stage that this function belongs to."""
        return self._settings.stage

    def _told(self, name: str) -> str:
        return cast(str, getattr(self._settings, name))

    def _names(self, name: str) -> tuple[str, ...]:
        return cast("tuple[str, ...]", getattr(self._settings, name))

    # ---- clients --------------------------------------------------------------------------------------------

    @cached_property
    def _dynamodb(self) -> DynamoDBClient:
        import boto3

        return cast("DynamoDBClient", boto3.client("dynamodb", config=client_config()))

    @cached_property
    def _s3(self) -> S3Client:
        import boto3

        return cast("S3Client", boto3.client("s3"))

    @cached_property
    def _secretsmanager(self) -> SecretsManagerClient:
        import boto3

        return cast("SecretsManagerClient", boto3.client("secretsmanager"))

    # ---- store ----------------------------------------------------------------------------------------------

    def _table(self, name: str) -> Table:
        return PatientTable(DynamoTable(self._dynamodb, self._told(name)))

    @cached_property
    def stock(self) -> Table:
        return self._table("stock_table")

    @cached_property
    def registry(self) -> Registry:
        return Registry(self._table("registry_table"))

    @cached_property
    def cases(self) -> Cases:
        return Cases(self._table("cases_table"))

    @cached_property
    def inbox(self) -> Inbox:
        return Inbox(self._table("inbox_table"), self._archive)

    @cached_property
    def _archive(self) -> S3Archive:
        # Functions that only point at files are told of no archive; asking it for a body then fails by name.
        return S3Archive(self._s3, cast(str, getattr(self._settings, "archive_bucket", "")))

    @cached_property
    def observations(self) -> Observations:
        return Observations(self.stock)

    @cached_property
    def secrets(self) -> ManagedSecrets:
        return ManagedSecrets(self._secretsmanager, self._settings.stage)

    @cached_property
    def receiver(self) -> Receiver:
        limit = cast(int, getattr(self._settings, "max_body_bytes"))  # noqa: B009
        return Receiver(self.inbox, self.registry, self.secrets, now, limit)

"""What each function is told by its environment: one model per function, read once, nowhere else.

The CDK builds each function's environment from the same field names; a template test holds the two together.
Queues are told by name, not by URL: a queue ``q`` has its dead letters in ``q-dead``. Lists come as JSON.

Plain pydantic, not pydantic-settings: the import of the latter takes 0.17 s, more than half of what the webhook
handler may take in all.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Self

from pydantic import BaseModel, ConfigDict

PREFIX = "ONECOUNT_"


class Settings(BaseModel):
    """What every function is told. Environment variables carry the prefix ``ONECOUNT_``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stage: str

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Read the settings from the environment.

        Raises
        ------
        pydantic.ValidationError
            When a variable is missing or of the wrong form; it names the field.
        """
        told: dict[str, object] = {}
        for name in cls.model_fields:
            text = environment.get(PREFIX + name.upper())
            if text is not None:
                told[name] = json.loads(text) if text.startswith("[") else text
        return cls.model_validate(told)


class ReceiveWebhookSettings(Settings):
    """``receive_webhook``: authenticates a delivery and stores it."""

    inbox_table: str
    registry_table: str
    archive_bucket: str
    max_body_bytes: int = 5_000_000


class IngestFileSettings(Settings):
    """``ingest_file``: reads a dropped file and posts its rows."""

    inbox_table: str
    stock_table: str
    registry_table: str
    cases_table: str
    drop_bucket: str


class ApplyMessagesSettings(Settings):
    """``apply_messages``: translates stored messages and posts their events."""

    inbox_table: str
    stock_table: str
    registry_table: str
    cases_table: str
    archive_bucket: str


class ReconcileStockSettings(Settings):
    """``reconcile_stock``: compares what sources say with the ledger."""

    stock_table: str
    registry_table: str
    cases_table: str


class FanOutChangesSettings(Settings):
    """``fan_out_changes``: says which listings a changed stock key affects."""

    stock_table: str
    registry_table: str
    push_queue_prefix: str


class PushChannelSettings(Settings):
    """``push_channel``: publishes the current number of a listing."""

    inbox_table: str
    stock_table: str
    registry_table: str
    cases_table: str
    archive_bucket: str
    push_queue_prefix: str


class CollectFailuresSettings(Settings):
    """``collect_failures``: turns what failed into cases, and sweeps for work that no event announced.

    ``dead_letter_queues`` are the dead-letter queues of SQS queues; ``stream_failure_queues`` receive what a
    stream consumer gave up, as shard and sequence numbers. ``alert_topic`` is the ARN of the topic that tells people.
    """

    inbox_table: str
    stock_table: str
    registry_table: str
    cases_table: str
    archive_bucket: str
    drop_bucket: str
    push_queue_prefix: str
    dead_letter_queues: tuple[str, ...]
    stream_failure_queues: tuple[str, ...]
    alert_topic: str


class ExpireReservationsSettings(Settings):
    """``expire_reservations``: gives back reservations whose time is over, and keeps the cases of orders true."""

    stock_table: str
    registry_table: str
    cases_table: str


class SweepDriftSettings(Settings):
    """``sweep_drift``: compares every number with the ledger on schedule."""

    stock_table: str
    registry_table: str
    cases_table: str


class InventoryApiSettings(Settings):
    """``inventory_api``: answers operators and selling systems."""

    inbox_table: str
    stock_table: str
    registry_table: str
    cases_table: str
    archive_bucket: str
    drop_bucket: str
    push_queue_prefix: str
    dead_letter_queues: tuple[str, ...]


class AuthorizeRequestSettings(Settings):
    """``authorize_request``: verifies the bearer token of every ``/v1`` call."""

    issuer: str
    audience: str
    jwks_url: str

"""The real handlers in the environment that Lambda gives them, over a simulated AWS: one thread, one call at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import boto3
import pytest
from moto import mock_aws

import functions.apply_messages.handler
import functions.collect_failures.handler
import functions.fan_out_changes.handler
import functions.ingest_file.handler
import functions.inventory_api.handler
import functions.push_channel.handler
import functions.receive_webhook.handler
import functions.reconcile_stock.handler
from shared.domain.network import Channel, Location, Source
from shared.domain.stock import ChannelId, LocationId, Sku, SourceId
from shared.operations.post import Poster
from shared.runtime.ground import now
from shared.store.attributes import image_from_item
from shared.store.dynamodb import DynamoTable, client_config
from shared.store.layout import INDEXES
from shared.store.ledger import Ledger
from shared.store.registry import Network, Registry

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
EAST = LocationId("east")
WMS = SourceId("wms")
QUEUES = ("drops", "push-shop-urgent", "push-shop-bulk")
FAILURES = ("apply-messages-failures", "reconcile-stock-failures", "fan-out-changes-failures")
HANDLERS: tuple[Any, ...] = (
    functions.apply_messages.handler.applier,
    functions.collect_failures.handler.sweep,
    functions.fan_out_changes.handler.fan_out,
    functions.ingest_file.handler.pipeline,
    functions.inventory_api.handler.house,
    functions.push_channel.handler.pipeline,
    functions.receive_webhook.handler.receiver,
    functions.reconcile_stock.handler.pipeline,
)


@dataclass(slots=True)
class Aws:
    """The simulated account, with the declared network in it."""

    dynamodb: Any
    s3: Any
    sqs: Any
    secrets: Any
    positions: dict[str, int] = field(default_factory=dict)

    def table(self, name: str) -> DynamoTable:
        return DynamoTable(self.dynamodb, f"oc-{name}")

    @property
    def registry(self) -> Registry:
        return Registry(self.table("registry"))

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.table("stock"))

    @property
    def poster(self) -> Poster:
        return Poster(self.table("stock"), now)

    def images(self, table: str, prefix: str) -> list[dict[str, Any]]:
        """Return what a stream would say of every item of a family, as if just inserted."""
        return [
            {
                "eventName": "INSERT",
                "dynamodb": {
                    "Keys": {name: {"S": str(item[name])} for name in ("pk", "sk")},
                    "NewImage": image_from_item(item),
                    "SequenceNumber": str(number),
                },
            }
            for number, item in enumerate(self.table(table).scan(), start=1)
            if str(item["pk"]).startswith(prefix)
        ]

    def waiting(self, queue: str) -> list[Any]:
        """Take what lies in a queue."""
        url = self.sqs.get_queue_url(QueueName=queue)["QueueUrl"]
        found = self.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
        for message in found:
            self.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return [json.loads(message["Body"]) for message in found]


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    for name, value in {
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "ONECOUNT_STAGE": "test",
        **{f"ONECOUNT_{table.upper()}_TABLE": f"oc-{table}" for table in INDEXES},
        "ONECOUNT_ARCHIVE_BUCKET": "archive",
        "ONECOUNT_DROP_BUCKET": "drops",
        "ONECOUNT_MAX_BODY_BYTES": "100000",
        "ONECOUNT_PUSH_QUEUE_PREFIX": "push-",
        "ONECOUNT_DEAD_LETTER_QUEUES": json.dumps([f"{queue}-dead" for queue in QUEUES]),
        "ONECOUNT_ALERT_TOPIC": "arn:aws:sns:eu-west-1:123456789012:alerts",
        "ONECOUNT_STREAM_FAILURE_QUEUES": json.dumps(FAILURES),
    }.items():
        monkeypatch.setenv(name, value)
    for cached in HANDLERS:
        cached.cache_clear()
    with mock_aws():
        account = Aws(
            boto3.client("dynamodb", config=client_config()),
            boto3.client("s3"),
            boto3.client("sqs"),
            boto3.client("secretsmanager"),
        )
        _build(account)
        yield account
    for cached in HANDLERS:
        cached.cache_clear()


def _build(aws: Aws) -> None:
    for table, indexes in INDEXES.items():
        names = ["pk", "sk", *(f"{index}_{part}" for index in indexes for part in ("pk", "sk"))]
        aws.dynamodb.create_table(
            TableName=f"oc-{table}",
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in names],
            KeySchema=_keys("pk", "sk"),
            GlobalSecondaryIndexes=[
                {
                    "IndexName": index,
                    "KeySchema": _keys(f"{index}_pk", f"{index}_sk"),
                    "Projection": {"ProjectionType": "KEYS_ONLY"},
                }
                for index in indexes
            ],
        )
    for bucket in ("archive", "drops"):
        aws.s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    boto3.client("sns").create_topic(Name="alerts")
    for queue in (*QUEUES, *(f"{queue}-dead" for queue in QUEUES), *FAILURES):
        aws.sqs.create_queue(QueueName=queue)
    aws.secrets.create_secret(Name="onecount/test/source/wms", SecretString=json.dumps({"current": SECRET}))
    aws.secrets.create_secret(Name="onecount/test/channel/shop", SecretString=json.dumps({"current": SECRET}))
    files = Source(
        SourceId("files"),
        "csv_snapshot",
        meaning={"on_hand": "on_hand"},
        options={
            "drop": "files/",
            "sku_column": "sku",
            "quantity_column": "qty",
            "location": "east",
            "as_of": {
                "from": "file_name",
                "pattern": r"(?P<stamp>\d{8})",
                "format": "%Y%m%d",
                "time_zone": "UTC",
            },
        },
    )
    shop = Channel(
        ChannelId("shop"),
        "signed_webhook",
        {EAST: "1"},
        EAST,
        safety_stock=2,
        options={"url": "http://127.0.0.1:9/webhook", "fenced": True},
    )
    sources = [Source(WMS, "standard_webhooks", meaning={"on_hand": "on_hand"}), files]
    aws.registry.declare(
        Network(
            {source.id: source for source in sources},
            {EAST: Location(EAST, SourceId("files"), WMS)},
            {shop.id: shop},
        )
    )
    aws.registry.add_items([Sku("TEA"), Sku("A/B #1")])


def _keys(partition: str, order: str) -> Any:
    return [{"AttributeName": partition, "KeyType": "HASH"}, {"AttributeName": order, "KeyType": "RANGE"}]

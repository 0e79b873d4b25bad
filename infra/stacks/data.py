"""What must never be lost: the four tables, raw messages, dropped files, secrets, and the key to all of it.

It changes rarely and holds no code, so the other stacks can be replaced freely on top of it. The drop queue stands
here because S3 checks, when the bucket is made, that it may send to it.
"""

from __future__ import annotations

from aws_cdk import Aws, CfnOutput, Duration, Stack
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from infra.building_blocks.deployment import Deployment
from infra.building_blocks.findings import acknowledge
from infra.building_blocks.ledger_table import LedgerTable
from infra.building_blocks.private_bucket import PrivateBucket, access_log_bucket
from infra.building_blocks.queue_with_dead_letters import QueueWithDeadLetters
from infra.building_blocks.stage_key import StageKey

FILE_TIMEOUT = Duration.minutes(15)
"""How long reading one dropped file may take: Lambda's own limit."""


class DataStack(Stack):
    """Tables ``inbox``, ``stock``, ``registry`` and ``cases``; buckets ``drop`` and ``archive``; ``drop_queue``."""

    def __init__(self, scope: Construct, id_: str, *, deployment: Deployment) -> None:
        super().__init__(scope, id_, description="Onecount: tables, raw messages, dropped files and secrets")
        self._stage = deployment.stage
        self.key = StageKey(self, "Key", stage=self._stage)
        self.inbox = self._table("inbox", stream=dynamodb.StreamViewType.NEW_IMAGE, expires=True)
        self.stock = self._table("stock", stream=dynamodb.StreamViewType.NEW_AND_OLD_IMAGES)
        self.registry = self._table("registry")
        self.cases = self._table("cases")
        self._buckets()
        for source in deployment.systems.sources:
            self._secret("source", source)
        for channel in deployment.systems.channels:
            self._secret("channel", channel)
        self._outputs()

    def _table(
        self, name: str, *, stream: dynamodb.StreamViewType | None = None, expires: bool = False
    ) -> LedgerTable:
        return LedgerTable(self, name, stage=self._stage, key=self.key, stream=stream, expires=expires)

    def _buckets(self) -> None:
        logs = access_log_bucket(self, "AccessLogs", stage=self._stage)
        self.archive = PrivateBucket(self, "archive", stage=self._stage, key=self.key, access_logs=logs)
        # With S3's own keys: the systems that drop files, often of other accounts, need no rights on ours.
        self.drop = PrivateBucket(self, "drop", stage=self._stage, access_logs=logs, versioned=True)
        self.drop_queue = QueueWithDeadLetters(
            self, "drop_queue", name=self._stage.queue("drop"), key=self.key, consumer_timeout=FILE_TIMEOUT
        )
        self._announce_files()

    def _announce_files(self) -> None:
        """Have S3 tell the drop queue of each new file, in the template itself: no custom resource needed."""
        admission = self.drop_queue.queue.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal("s3.amazonaws.com")],
                actions=["sqs:SendMessage"],
                resources=[self.drop_queue.queue.queue_arn],
                conditions={
                    "ArnEquals": {"aws:SourceArn": self.drop.arn},
                    "StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID},
                },
            )
        )
        bucket = self.drop.bucket.node.default_child
        if not isinstance(bucket, s3.CfnBucket):
            raise TypeError(f"the drop bucket is not an S3 bucket but {type(bucket).__name__}")
        bucket.notification_configuration = s3.CfnBucket.NotificationConfigurationProperty(
            queue_configurations=[
                s3.CfnBucket.QueueConfigurationProperty(
                    event="s3:ObjectCreated:*", queue=self.drop_queue.queue.queue_arn
                )
            ]
        )
        if admission.policy_dependable is not None:
            bucket.node.add_dependency(admission.policy_dependable)

    def _secret(self, kind: str, id_: str) -> None:
        """Make the secret that we share with a system: ``current``, and ``previous`` while it is being rotated."""
        secret = secretsmanager.Secret(
            self,
            f"{kind}-{id_}",
            secret_name=self._stage.secret(kind, id_),
            description=f"Onecount {self._stage.name}: shared with {kind} {id_}; JSON with current and previous",
            encryption_key=self.key.key,
            removal_policy=self._stage.removal_policy,
            generate_secret_string=secretsmanager.SecretStringGenerator(
                secret_string_template="{}",  # noqa: S106  no secret: what the generated one is put into
                generate_string_key="current",
                exclude_punctuation=True,
                password_length=48,
            ),
        )
        acknowledge(
            secret,
            "SMG4",
            "The other system must learn a new secret at the same time, so an operator rotates: current moves to "
            "previous, which stays valid until the other side has changed.",
        )

    def _outputs(self) -> None:
        tables = {"Inbox": self.inbox, "Stock": self.stock, "Registry": self.registry, "Cases": self.cases}
        for name, table in tables.items():
            CfnOutput(self, f"{name}Table", value=table.name, description=f"DynamoDB table {name.lower()}")
        CfnOutput(
            self,
            "DropBucket",
            value=self.drop.bucket.bucket_name,
            description="Drop files here, under <source>/",
        )
        CfnOutput(
            self, "ArchiveBucket", value=self.archive.bucket.bucket_name, description="Large raw messages"
        )

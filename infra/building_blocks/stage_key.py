"""The one customer key that encrypts what a stage stores, and who may use it through which service.

One key for a stage, not one for each store: the data belongs together, and a key costs the same whether it
encrypts one table or everything. A function may use it only *through* the services whose data it touches
(``kms:ViaService``), never on its own.
"""

from __future__ import annotations

from aws_cdk import Aws, Duration
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from constructs import Construct

from infra.building_blocks.stage import Stage


class StageKey(Construct):
    """The customer key of a stage.

    ``key`` is the KMS key itself; ``removal_policy`` is what becomes of it, and so of what it encrypts, when its
    stack goes.
    """

    def __init__(self, scope: Construct, id_: str, *, stage: Stage) -> None:
        super().__init__(scope, id_)
        self.removal_policy = stage.removal_policy
        self.key = kms.Key(
            self,
            "Key",
            alias=f"alias/{stage.named()}",
            description=f"Onecount {stage.name}: tables, queues, secrets, raw messages, logs and alarms",
            enable_key_rotation=True,
            pending_window=Duration.days(30 if stage.keeps_data else 7),
            removal_policy=stage.removal_policy,
        )
        self._admit("s3.amazonaws.com")  # file notifications to the drop queue
        self._admit("cloudwatch.amazonaws.com")  # alarms to the topic
        self._admit_logs(stage)

    def grant_use(self, grantee: iam.IGrantable, service: str) -> None:
        """Let ``grantee`` read and write data encrypted with this key, through ``service`` (``sqs``, ...) only."""
        grantee.grant_principal.add_to_principal_policy(
            iam.PolicyStatement(
                actions=["kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey"],
                resources=[self.key.key_arn],
                conditions={
                    "StringEquals": {"kms:ViaService": f"{service}.{Aws.REGION}.{Aws.URL_SUFFIX}"},
                },
            )
        )

    def _admit(self, service: str) -> None:
        self.key.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal(service)],
                actions=["kms:Decrypt", "kms:GenerateDataKey"],
                resources=["*"],  # in a key's own policy this is the key
                conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}},
            )
        )

    def _admit_logs(self, stage: Stage) -> None:
        arn = f"arn:{Aws.PARTITION}:logs:{Aws.REGION}:{Aws.ACCOUNT_ID}:log-group:*{stage.named()}*"
        self.key.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal(f"logs.{Aws.REGION}.{Aws.URL_SUFFIX}")],
                actions=[
                    "kms:Decrypt",
                    "kms:DescribeKey",
                    "kms:Encrypt",
                    "kms:GenerateDataKey",
                    "kms:ReEncryptFrom",
                    "kms:ReEncryptTo",
                ],
                resources=["*"],
                conditions={"ArnLike": {"kms:EncryptionContext:aws:logs:arn": arn}},
            )
        )

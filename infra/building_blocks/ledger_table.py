"""A table of Onecount: string keys ``pk`` and ``sk``, encrypted, restorable, with sparse keys-only indexes.

An index ``x`` holds the items that carry ``x_pk`` and ``x_sk``, and of them the keys alone: whoever finds an item
through an index reads the item itself consistently from the table. ``INDEXES`` is the one list of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum

from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from constructs import Construct

from infra.building_blocks.stage import Stage
from infra.building_blocks.stage_key import StageKey

INDEXES: Mapping[str, tuple[str, ...]] = {
    "inbox": ("pending",),
    "stock": ("dirty", "by_location", "order_lines", "observed", "expiring"),
    "registry": ("by_channel",),
    "cases": ("by_status",),
}
"""Table to the indexes it has."""


class Access(Enum):
    """What a function does with a table, as the DynamoDB actions that it takes.

    A transaction is authorised action by action: reading one needs ``GetItem``, a condition without a write
    ``ConditionCheckItem``. Nothing scans: what must be found is in an index.
    """

    READ = ("dynamodb:BatchGetItem", "dynamodb:GetItem", "dynamodb:Query")
    WRITE = ("dynamodb:ConditionCheckItem", "dynamodb:DeleteItem", "dynamodb:PutItem", "dynamodb:UpdateItem")


class LedgerTable(Construct):
    """One table. ``table`` is the DynamoDB table, ``name`` and ``arn`` its name and ARN."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        stage: Stage,
        key: StageKey,
        stream: dynamodb.StreamViewType | None = None,
        expires: bool = False,
    ) -> None:
        super().__init__(scope, id_)
        self._key = key
        self._indexes: Sequence[str] = INDEXES[id_]
        self.table = dynamodb.Table(
            self,
            "Table",
            partition_key=_string("pk"),
            sort_key=_string("sk"),
            billing_mode=dynamodb.BillingMode.PAY_PER_REQUEST,
            encryption=dynamodb.TableEncryption.CUSTOMER_MANAGED,
            encryption_key=key.key,
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            deletion_protection=stage.keeps_data,
            removal_policy=stage.removal_policy,
            stream=stream,
            time_to_live_attribute="expires_at" if expires else None,
        )
        for index in self._indexes:
            self.table.add_global_secondary_index(
                index_name=index,
                partition_key=_string(f"{index}_pk"),
                sort_key=_string(f"{index}_sk"),
                projection_type=dynamodb.ProjectionType.KEYS_ONLY,
            )

    @property
    def name(self) -> str:
        """The table's name (a token until deployed)."""
        return self.table.table_name

    @property
    def arn(self) -> str:
        """The table's ARN (a token until deployed)."""
        return self.table.table_arn

    @property
    def stream_arn(self) -> str:
        """The ARN of the table's stream.

        Raises
        ------
        ValueError
            When the table was declared without a stream.
        """
        if self.table.table_stream_arn is None:
            raise ValueError(f"{self.node.id}: the table has no stream; declare it with stream=...")
        return self.table.table_stream_arn

    def grant(self, grantee: iam.IGrantable, *access: Access) -> None:
        """Let ``grantee`` do what ``access`` says with the table's items, and query its indexes if it may read."""
        principal = grantee.grant_principal
        principal.add_to_principal_policy(
            iam.PolicyStatement(
                actions=sorted({a for kind in access for a in kind.value}), resources=[self.arn]
            )
        )
        if Access.READ in access:
            principal.add_to_principal_policy(
                iam.PolicyStatement(
                    actions=["dynamodb:Query"],
                    resources=[f"{self.arn}/index/{name}" for name in self._indexes],
                )
            )
        self._key.grant_use(grantee, "dynamodb")

    def grant_stream(self, grantee: iam.IGrantable) -> None:
        """Let ``grantee``'s event source mapping read the table's stream."""
        grantee.grant_principal.add_to_principal_policy(
            iam.PolicyStatement(
                actions=[
                    "dynamodb:DescribeStream",
                    "dynamodb:GetRecords",
                    "dynamodb:GetShardIterator",
                    "dynamodb:ListStreams",
                ],
                resources=[self.stream_arn],
            )
        )
        self._key.grant_use(grantee, "dynamodb")


def _string(name: str) -> dynamodb.Attribute:
    return dynamodb.Attribute(name=name, type=dynamodb.AttributeType.STRING)

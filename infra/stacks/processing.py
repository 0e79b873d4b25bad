"""Every function, what wakes it, and what it may touch.

Each function is one block below: its settings, its rights, its event sources. The order is the way of a message
through the house (design, section 1).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from aws_cdk import CfnParameter, Duration, Stack
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.building_blocks.alert_topic import AlertTopic
from infra.building_blocks.bundling import layer_code
from infra.building_blocks.deployment import Deployment
from infra.building_blocks.event_sources import QueueConsumer, StreamConsumer
from infra.building_blocks.findings import acknowledge
from infra.building_blocks.ledger_table import Access
from infra.building_blocks.python_function import PythonFunction
from infra.building_blocks.queue_with_dead_letters import QueueFamily, QueueWithDeadLetters
from infra.stacks.data import FILE_TIMEOUT, DataStack

READ = (Access.READ,)
READ_WRITE = (Access.READ, Access.WRITE)

PUSH_TIMEOUT = Duration.seconds(60)
NO_WINDOW = Duration.seconds(0)
ONE_SECOND = Duration.seconds(1)


class ProcessingStack(Stack):
    """The functions; ``functions``, ``queues`` and ``stream_consumers`` list what is to be watched."""

    def __init__(self, scope: Construct, id_: str, *, deployment: Deployment, data: DataStack) -> None:
        super().__init__(scope, id_, description="Onecount: functions, queues and event sources")
        self._deployment = deployment
        self._stage = deployment.stage
        self._data = data
        self._tables = {t.node.id: t for t in (data.inbox, data.stock, data.registry, data.cases)}
        self._layer = lambda_.LayerVersion(
            self,
            "SharedLayer",
            code=layer_code(self._stage),
            compatible_runtimes=[lambda_.Runtime.PYTHON_3_13],
            compatible_architectures=[lambda_.Architecture.ARM_64],
            description="Onecount's shared package and its pinned dependencies",
        )
        self.functions: list[PythonFunction] = []
        self.queues: list[QueueWithDeadLetters] = [data.drop_queue]
        self.stream_consumers: list[StreamConsumer] = []
        self._push_queue_prefix = self._stage.queue("push", "")
        self._lanes = QueueFamily(self, prefix=self._push_queue_prefix, key=data.key)

        self.receive_webhook = self._receive_webhook()
        self._ingest_file()
        self._apply_messages()
        self._reconcile_stock()
        self._push_channel()
        self._fan_out_changes()
        self._collect_failures()
        self._expire_reservations()
        self._sweep_drift()
        self.inventory_api = self._inventory_api()
        self.authorize_request = self._authorize_request()

    # ---- in -------------------------------------------------------------------------------------------------

    def _receive_webhook(self) -> PythonFunction:
        function = self._function(
            "receive_webhook",
            timeout=Duration.seconds(10),
            memory_mb=1024,
            tables={"inbox": READ_WRITE, "registry": READ},
            environment={"archive_bucket": self._data.archive.name},
        )
        self._data.archive.grant_write(function)
        self._read_secrets(function, "source")
        return function

    def _ingest_file(self) -> None:
        function = self._function(
            "ingest_file",
            timeout=FILE_TIMEOUT,
            memory_mb=1769,  # one whole vCPU
            tables={"inbox": READ_WRITE, "stock": READ_WRITE, "registry": READ, "cases": READ_WRITE},
            environment={"drop_bucket": self._data.drop.name},
        )
        self._data.drop.grant_read(function)
        self._data.drop_queue.grant_consume(function)
        QueueConsumer(
            self,
            "FromDropQueue",
            queue=self._data.drop_queue,
            function=function,
            batch_size=1,  # one file is a whole invocation's work
            window=NO_WINDOW,
        )

    def _apply_messages(self) -> None:
        function = self._function(
            "apply_messages",
            timeout=Duration.seconds(60),
            memory_mb=1769,
            tables={"inbox": READ_WRITE, "stock": READ_WRITE, "registry": READ, "cases": READ_WRITE},
            environment={"archive_bucket": self._data.archive.name},
        )
        self._data.archive.grant_read(function)
        arrived = {"eventName": ["INSERT"], "dynamodb": {"NewImage": {"kind": {"S": ["webhook"]}}}}
        self._consume_stream("FromInbox", "inbox", function, [arrived], window=NO_WINDOW, parallelization=4)

    # ---- out of the ledger ----------------------------------------------------------------------------------

    def _reconcile_stock(self) -> None:
        function = self._function(
            "reconcile_stock",
            timeout=Duration.seconds(60),
            memory_mb=1024,
            tables={"stock": READ_WRITE, "registry": READ, "cases": READ_WRITE},
        )
        self._consume_stream(
            "Balances",
            "stock",
            function,
            [
                _written("BAL#", sk="-"),
                _written("PROMISE#", marked="dirty_pk"),
                _written("OBS#", marked="observed_pk"),
            ],
            window=ONE_SECOND,
            parallelization=2,
        )

    def _fan_out_changes(self) -> None:
        function = self._function(
            "fan_out_changes",
            timeout=Duration.seconds(60),
            memory_mb=1024,
            tables={"stock": READ_WRITE, "registry": READ},
            environment={"push_queue_prefix": self._push_queue_prefix},
        )
        self._lanes.grant_send(function)
        self._consume_stream(
            "Promises", "stock", function, [_written("PROMISE#", marked="dirty_pk")], window=NO_WINDOW
        )

    def _push_channel(self) -> None:
        function = self._function(
            "push_channel",
            timeout=PUSH_TIMEOUT,
            memory_mb=512,
            tables={"inbox": READ_WRITE, "stock": READ_WRITE, "registry": READ, "cases": READ_WRITE},
            environment={
                "archive_bucket": self._data.archive.name,
                "push_queue_prefix": self._push_queue_prefix,
            },
        )
        self._data.archive.grant_write(function)
        self._read_secrets(function, "channel")
        self._lanes.grant_consume(function)
        self._lanes.grant_send(function)
        for channel in self._deployment.systems.channels:
            self._lane(channel, "urgent", function, batch_size=10, window=NO_WINDOW)
            self._lane(channel, "bulk", function, batch_size=100, window=ONE_SECOND)

    def _lane(
        self, channel: str, lane: str, function: PythonFunction, *, batch_size: int, window: Duration
    ) -> None:
        """Make one of a channel's two queues; each lane has its own workers, so none waits for another."""
        queue = QueueWithDeadLetters(
            self,
            f"push-{channel}-{lane}",
            name=f"{self._push_queue_prefix}{channel}-{lane}",
            key=self._data.key,
            consumer_timeout=PUSH_TIMEOUT,
        )
        self.queues.append(queue)
        QueueConsumer(
            self,
            f"From-{channel}-{lane}",
            queue=queue,
            function=function,
            batch_size=batch_size,
            window=window,
            max_concurrency=2,  # the least that Lambda allows; a channel's rate limit is shared by all workers
        )

    # ---- failures and operators -----------------------------------------------------------------------------

    def _collect_failures(self) -> None:
        alerts = AlertTopic(
            self, "Alerts", stage=self._stage, key=self._data.key, email=self._deployment.alarm_email
        )
        function = self._function(
            "collect_failures",
            timeout=Duration.seconds(58),  # ends before the next run starts, and goes on there
            memory_mb=1024,
            tables={"inbox": READ_WRITE, "stock": READ_WRITE, "registry": READ, "cases": READ_WRITE},
            environment={
                "archive_bucket": self._data.archive.name,
                "drop_bucket": self._data.drop.name,
                "push_queue_prefix": self._push_queue_prefix,
                "dead_letter_queues": json.dumps([queue.dead_name for queue in self.queues]),
                "alert_topic": alerts.arn,
                "stream_failure_queues": json.dumps(
                    [
                        self._stage.queue(name.replace("_", "-"), "failures")
                        for name in ("apply_messages", "reconcile_stock", "fan_out_changes")
                    ]
                ),
            },
        )
        alerts.grant_publish(function)
        for consumer in self.stream_consumers:
            consumer.failures.grant_collect(function)
        self._data.drop_queue.grant_redrive(function)
        self._lanes.grant_redrive(function)
        self._data.archive.grant_read(function)
        self._data.drop.grant_read(function)
        self._each_minute(
            "EachMinute", function, "Collect what failed, and sweep for work that no event announced"
        )

    def _expire_reservations(self) -> None:
        function = self._function(
            "expire_reservations",
            timeout=Duration.seconds(58),
            memory_mb=512,
            tables={"stock": READ_WRITE, "registry": READ, "cases": READ_WRITE},
        )
        what = "Give back reservations whose time is over, and keep the cases of open orders true"
        self._each_minute("ReservationsEachMinute", function, what)

    def _sweep_drift(self) -> None:
        function = self._function(
            "sweep_drift",
            timeout=Duration.seconds(58),  # a sweep that takes longer goes on in the next minute
            memory_mb=1024,
            tables={"stock": READ_WRITE, "registry": READ, "cases": READ_WRITE},
        )
        what = "Compare numbers with the ledger: fast movers each hour, everything each day"
        self._each_minute("DriftEachMinute", function, what)

    def _each_minute(self, id_: str, function: PythonFunction, what: str) -> None:
        """Run a function each minute; a run that fails is not repeated, for the next finds the same work."""
        age = Duration.minutes(1)
        events.Rule(
            self,
            id_,
            description=what,
            schedule=events.Schedule.rate(Duration.minutes(1)),
            targets=[targets.LambdaFunction(function.function, retry_attempts=0, max_event_age=age)],
        )
        function.function.configure_async_invoke(retry_attempts=0, max_event_age=age)

    def _inventory_api(self) -> PythonFunction:
        function = self._function(
            "inventory_api",
            timeout=Duration.seconds(28),  # API Gateway gives up after 29
            memory_mb=1024,
            tables={"inbox": READ_WRITE, "stock": READ_WRITE, "registry": READ_WRITE, "cases": READ_WRITE},
            environment={
                "archive_bucket": self._data.archive.name,
                "drop_bucket": self._data.drop.name,
                "push_queue_prefix": self._push_queue_prefix,
                "dead_letter_queues": json.dumps([queue.dead_name for queue in self.queues]),
            },
        )
        for queues in (self._data.drop_queue, self._lanes):
            queues.grant_redrive(function)
            queues.grant_native_redrive(function)
        self._data.archive.grant_read(function)
        self._data.drop.grant_read(function)
        return function

    def _authorize_request(self) -> PythonFunction:
        return self._function(
            "authorize_request",
            timeout=Duration.seconds(10),
            memory_mb=512,
            tables={},
            environment={
                "issuer": self._given("issuer", self._deployment.issuer, "the tokens' iss"),
                "audience": self._given("audience", self._deployment.audience, "the tokens' aud"),
                "jwks_url": self._given("jwks_url", self._deployment.jwks_url, "where the issuer's keys are"),
            },
        )

    # ---- words used above -----------------------------------------------------------------------------------

    def _function(
        self,
        name: str,
        *,
        timeout: Duration,
        memory_mb: int,
        tables: Mapping[str, Sequence[Access]],
        environment: Mapping[str, str] | None = None,
    ) -> PythonFunction:
        function = PythonFunction(
            self,
            name,
            stage=self._stage,
            key=self._data.key,
            layer=self._layer,
            timeout=timeout,
            memory_mb=memory_mb,
            environment={
                **{f"{table}_table": self._tables[table].name for table in tables},
                **(environment or {}),
            },
        )
        for table, access in tables.items():
            self._tables[table].grant(function, *access)
        self.functions.append(function)
        return function

    def _consume_stream(
        self,
        id_: str,
        table: str,
        function: PythonFunction,
        patterns: Sequence[Mapping[str, object]],
        *,
        window: Duration,
        parallelization: int = 1,
    ) -> None:
        consumer = StreamConsumer(
            self,
            id_,
            stage=self._stage,
            key=self._data.key,
            table=self._tables[table],
            function=function,
            patterns=patterns,
            window=window,
            parallelization=parallelization,
        )
        self.stream_consumers.append(consumer)

    def _read_secrets(self, function: PythonFunction, kind: str) -> None:
        """Let the function read the secrets of all systems of a kind, by their names' beginning."""
        name = f"secret:{self._stage.secret(kind, '*')}"
        arn = self.format_arn(service="secretsmanager", resource=name)
        function.role.add_to_policy(
            iam.PolicyStatement(actions=["secretsmanager:GetSecretValue"], resources=[arn])
        )
        self._data.key.grant_use(function, "secretsmanager")
        acknowledge(
            function.role,
            f"IAM5[Resource::arn:<AWS::Partition>:secretsmanager:<AWS::Region>:<AWS::AccountId>:{name}]",
            f"Secrets Manager ends each ARN in characters of its own, so a pattern is forced; this one covers exactly "
            f"the {kind} secrets of this stage, all of which the function reads.",
        )

    def _given(self, field: str, value: str | None, meaning: str) -> str:
        """Return what the context says, or else a parameter that the deployment must state."""
        if value is not None:
            return value
        return CfnParameter(
            self,
            "".join(word.capitalize() for word in field.split("_")),
            description=f"{meaning}; set it for good with -c {field}=...",
            min_length=1,
        ).value_as_string


def _written(prefix: str, *, sk: str | None = None, marked: str | None = None) -> Mapping[str, object]:
    """Return the filter for written (not removed) items of a family.

    ``marked`` names the attribute that says that work is to be done: taking the mark off must not wake anyone.
    """
    keys: dict[str, object] = {"pk": {"S": [{"prefix": prefix}]}}
    if sk is not None:
        keys["sk"] = {"S": [sk]}
    images: dict[str, object] = {"Keys": keys}
    if marked is not None:
        images["NewImage"] = {marked: {"S": [{"exists": True}]}}
    return {"eventName": ["INSERT", "MODIFY"], "dynamodb": images}

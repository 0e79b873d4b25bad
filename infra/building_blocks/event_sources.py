"""What wakes a function: a table's stream or a queue, each with its failures bounded and kept.

Left alone, one bad record blocks a stream's shard for a day. So a stream's batch is bisected, retried a bounded
number of times, given up after a maximum age, and partly answered by the handler; what was given up is reported to
a failure queue. Why that report may be metadata only: ``infra/decisions/0001-stream-failures-to-sqs.md``.

Mappings are made at the lowest CDK level because the higher one grants wildcard KMS actions on its own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from aws_cdk import Duration
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.building_blocks.ledger_table import LedgerTable
from infra.building_blocks.python_function import PythonFunction
from infra.building_blocks.queue_with_dead_letters import FailureQueue, QueueWithDeadLetters
from infra.building_blocks.stage import Stage
from infra.building_blocks.stage_key import StageKey

MAX_RETRIES = 5
MAX_RECORD_AGE = Duration.hours(6)  # a quarter of the 24 hours for which the stream remembers


class StreamConsumer(Construct):
    """Feeds ``function`` the records of a table's stream that match one of ``patterns``.

    Parameters
    ----------
    patterns
        Event filters, as Lambda's filter rules have them; all else is dropped unread and unbilled.
    window
        How long to gather a batch before invoking; zero where latency counts.
    parallelization
        Concurrent batches of a shard; the records of one item stay in order.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        stage: Stage,
        key: StageKey,
        table: LedgerTable,
        function: PythonFunction,
        patterns: Sequence[Mapping[str, object]],
        window: Duration,
        parallelization: int = 1,
    ) -> None:
        super().__init__(scope, id_)
        self.function = function
        self.failures = FailureQueue(
            self, "Failures", name=stage.queue(function.node.id.replace("_", "-"), "failures"), key=key
        )
        table.grant_stream(function)
        self.failures.grant_report(function)
        mapping = lambda_.CfnEventSourceMapping(
            self,
            "Mapping",
            function_name=function.function.function_name,
            event_source_arn=table.stream_arn,
            starting_position="TRIM_HORIZON",
            batch_size=100,
            maximum_batching_window_in_seconds=int(window.to_seconds()),
            parallelization_factor=parallelization,
            bisect_batch_on_function_error=True,
            maximum_retry_attempts=MAX_RETRIES,
            maximum_record_age_in_seconds=int(MAX_RECORD_AGE.to_seconds()),
            function_response_types=["ReportBatchItemFailures"],
            filter_criteria=lambda_.CfnEventSourceMapping.FilterCriteriaProperty(
                filters=[
                    lambda_.CfnEventSourceMapping.FilterProperty(pattern=json.dumps(pattern))
                    for pattern in patterns
                ]
            ),
            destination_config=lambda_.CfnEventSourceMapping.DestinationConfigProperty(
                on_failure=lambda_.CfnEventSourceMapping.OnFailureProperty(
                    destination=self.failures.queue.queue_arn
                )
            ),
        )
        mapping.node.add_dependency(function.role)  # Lambda checks the role's rights when the mapping is made


class QueueConsumer(Construct):
    """Feeds ``function``, which needs the right to consume it, ``queue``; the handler says which of a batch failed.

    Parameters
    ----------
    max_concurrency
        Invocations at once for this queue alone, so that one queue's backlog never starves another's.
    """

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        queue: QueueWithDeadLetters,
        function: PythonFunction,
        batch_size: int,
        window: Duration,
        max_concurrency: int | None = None,
    ) -> None:
        super().__init__(scope, id_)
        scaling = None
        if max_concurrency is not None:
            scaling = lambda_.CfnEventSourceMapping.ScalingConfigProperty(maximum_concurrency=max_concurrency)
        mapping = lambda_.CfnEventSourceMapping(
            self,
            "Mapping",
            function_name=function.function.function_name,
            event_source_arn=queue.queue.queue_arn,
            batch_size=batch_size,
            maximum_batching_window_in_seconds=int(window.to_seconds()),
            function_response_types=["ReportBatchItemFailures"],
            scaling_config=scaling,
        )
        mapping.node.add_dependency(function.role)

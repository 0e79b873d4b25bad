"""What must wake somebody, and one page that shows the whole path.

Everything is watched by its physical name, so this stack depends on no other's resources and can be rebuilt freely.

| alarm                                      | means                                                         |
|--------------------------------------------|---------------------------------------------------------------|
| a dead-letter or failure queue has messages | work failed for good; collect_failures has filed it as a case    |
| age of a queue's oldest message             | its consumer does not keep up, or a channel is down             |
| iterator age                                | a stream consumer lags; after six hours records are given up    |
| a function's errors, throttles              | a defect, or the account's concurrency is used up               |
| the API's 5xx                               | callers were answered with our fault                            |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aws_cdk import Aws, Duration, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from infra.building_blocks.deployment import Deployment
from infra.stacks.api import ApiStack
from infra.stacks.data import DataStack
from infra.stacks.processing import ProcessingStack

MINUTE = Duration.minutes(1)
FIVE_MINUTES = Duration.minutes(5)

MAX_ITERATOR_AGE_MS = 5 * 60 * 1000
MAX_FILE_AGE_S = 30 * 60  # a file may take fifteen minutes itself
MAX_PUSH_AGE_S = {"urgent": 2 * 60, "bulk": 10 * 60}


class MonitoringStack(Stack):
    """Alarms to one topic, and the dashboard ``onecount-{stage}``."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        deployment: Deployment,
        data: DataStack,
        processing: ProcessingStack,
        api: ApiStack,
    ) -> None:
        super().__init__(scope, id_, description="Onecount: alarms and dashboard")
        self._stage = deployment.stage
        topic = sns.Topic(
            self, "Alarms", topic_name=self._stage.named("alarms"), master_key=data.key.key, enforce_ssl=True
        )
        # Refusing plain HTTP replaces SNS's own policy, which would have admitted this account's alarms.
        topic.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal("cloudwatch.amazonaws.com")],
                actions=["sns:Publish"],
                resources=[topic.topic_arn],
                conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}},
            )
        )
        if deployment.alarm_email:
            topic.add_subscription(subscriptions.EmailSubscription(deployment.alarm_email))
        self._action = actions.SnsAction(topic)
        self._functions = [function.function_name for function in processing.functions]
        self._queues = [queue.name for queue in processing.queues]
        self._failures = [
            *(queue.dead_name for queue in processing.queues),
            *(consumer.failures.name for consumer in processing.stream_consumers),
        ]
        self._consumers = [consumer.function.function_name for consumer in processing.stream_consumers]
        self._api = api.api_name
        self._systems = deployment.systems
        self._watch()
        self._dashboard()

    def _watch(self) -> None:
        for name in self._failures:
            self._alarm(
                f"{name}-has-messages", _waiting(name), 0, "Work failed for good: see the open cases."
            )
        for name in self._queues:
            self._alarm(
                f"{name}-is-old",
                _age(name),
                _max_age_s(name),
                "The queue's consumer does not keep up.",
                minutes=3,
            )
        for name in self._consumers:
            self._alarm(
                f"{name}-lags",
                _iterator_age(name),
                MAX_ITERATOR_AGE_MS,
                "The stream's consumer lags.",
                minutes=3,
            )
        for name in self._functions:
            self._alarm(f"{name}-errors", _function("Errors", name), 0, "The function failed: see its log.")
            self._alarm(
                f"{name}-throttles", _function("Throttles", name), 0, "Lambda's concurrency is used up."
            )
        self._alarm(f"{self._api}-5xx", _requests("5XXError", self._api), 0, "Callers met our own fault.")

    def _alarm(
        self, name: str, metric: cloudwatch.Metric, above: float, description: str, *, minutes: int = 1
    ) -> None:
        alarm = cloudwatch.Alarm(
            self,
            name,
            alarm_name=name,
            alarm_description=description,
            metric=metric,
            threshold=above,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
            evaluation_periods=minutes,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
        alarm.add_alarm_action(self._action)
        alarm.add_ok_action(self._action)

    def _dashboard(self) -> None:
        def row(title: str, metrics: Sequence[cloudwatch.Metric]) -> cloudwatch.GraphWidget:
            return cloudwatch.GraphWidget(title=title, left=list(metrics), width=12, height=6)

        cloudwatch.Dashboard(
            self,
            "Dashboard",
            dashboard_name=self._stage.named(),
            default_interval=Duration.hours(3),
            widgets=[
                [
                    row(
                        "Requests", [_requests(kind, self._api) for kind in ("Count", "4XXError", "5XXError")]
                    ),
                    row("Answer time (p95)", [_requests("Latency", self._api, statistic="p95")]),
                ],
                [
                    row("Failed for good", [_waiting(name) for name in self._failures]),
                    row("Oldest message in each queue", [_age(name) for name in self._queues]),
                ],
                [
                    row("Stream consumers' lag", [_iterator_age(name) for name in self._consumers]),
                    row("Function errors", [_function("Errors", name) for name in self._functions]),
                ],
                [
                    row(
                        "From event to posting (p95)",
                        [self._measured("EventToPosting", "source", name) for name in self._systems.sources],
                    ),
                    row(
                        "From change to confirmed push (p95)",
                        [self._measured("PushLatency", "channel", name) for name in self._systems.channels],
                    ),
                ],
                [
                    row("Invocations", [_function("Invocations", name) for name in self._functions]),
                    row(
                        "Run time (p95)",
                        [_function("Duration", name, statistic="p95") for name in self._functions],
                    ),
                ],
            ],
        )

    def _measured(self, name: str, dimension: str, value: str) -> cloudwatch.Metric:
        """Return one of our own metrics, as ``shared/runtime/metrics.py`` publishes it."""
        dimensions = {"stage": self._stage.name, dimension: value}
        return _metric("Onecount", name, dimensions, "p95", FIVE_MINUTES)


def _max_age_s(queue: str) -> int:
    return MAX_PUSH_AGE_S.get(queue.rpartition("-")[2], MAX_FILE_AGE_S)


def _metric(
    namespace: str, name: str, dimensions: Mapping[str, str], statistic: str, period: Duration
) -> cloudwatch.Metric:
    return cloudwatch.Metric(
        namespace=namespace,
        metric_name=name,
        dimensions_map=dimensions,
        statistic=statistic,
        period=period,
    )


def _waiting(queue: str) -> cloudwatch.Metric:
    return _metric("AWS/SQS", "ApproximateNumberOfMessagesVisible", {"QueueName": queue}, "Maximum", MINUTE)


def _age(queue: str) -> cloudwatch.Metric:
    return _metric("AWS/SQS", "ApproximateAgeOfOldestMessage", {"QueueName": queue}, "Maximum", MINUTE)


def _function(name: str, function: str, *, statistic: str = "Sum") -> cloudwatch.Metric:
    return _metric("AWS/Lambda", name, {"FunctionName": function}, statistic, MINUTE)


def _iterator_age(function: str) -> cloudwatch.Metric:
    return _function("IteratorAge", function, statistic="Maximum")


def _requests(name: str, api: str, *, statistic: str = "Sum") -> cloudwatch.Metric:
    return _metric("AWS/ApiGateway", name, {"ApiName": api}, statistic, MINUTE)

"""A queue that never loses a message: what fails five times waits two weeks in ``{name}-dead``.

Encrypted with the stage's key, TLS only. The visibility timeout is six times the consumer's timeout, as Lambda
asks, so that a message is not delivered again while its first delivery is still being worked on.

In production a queue outlives its stack, and a channel that is no longer declared: there may be messages in it.
"""

from __future__ import annotations

from aws_cdk import Duration, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.building_blocks.findings import acknowledge
from infra.building_blocks.python_function import PythonFunction
from infra.building_blocks.stage_key import StageKey

MAX_RECEIVES = 5
DEAD_LETTER_RETENTION = Duration.days(14)
_DEAD_LETTER_VISIBILITY = Duration.minutes(5)  # longer than any function that reads dead letters runs

_CONSUME = (
    "sqs:ChangeMessageVisibility",
    "sqs:DeleteMessage",
    "sqs:GetQueueAttributes",
    "sqs:GetQueueUrl",
    "sqs:ReceiveMessage",
)
_SEND = ("sqs:GetQueueAttributes", "sqs:GetQueueUrl", "sqs:SendMessage")
_MOVE = ("sqs:CancelMessageMoveTask", "sqs:ListMessageMoveTasks", "sqs:StartMessageMoveTask")


class QueueWithDeadLetters(Construct):
    """The queue ``name`` and its dead-letter queue ``{name}-dead``.

    Parameters
    ----------
    consumer_timeout
        How long the function that reads the queue may run.
    """

    def __init__(
        self, scope: Construct, id_: str, *, name: str, key: StageKey, consumer_timeout: Duration
    ) -> None:
        super().__init__(scope, id_)
        self._key = key
        self.name = name
        self.dead_name = f"{name}-dead"
        self.dead_letters = _queue(self, "DeadLetters", self.dead_name, key)
        self.queue = sqs.Queue(
            self,
            "Queue",
            queue_name=name,
            encryption=sqs.QueueEncryption.KMS,
            encryption_master_key=key.key,
            enforce_ssl=True,
            visibility_timeout=Duration.seconds(6 * int(consumer_timeout.to_seconds())),
            retention_period=Duration.days(4),
            dead_letter_queue=sqs.DeadLetterQueue(queue=self.dead_letters, max_receive_count=MAX_RECEIVES),
            removal_policy=key.removal_policy,
        )

    def grant_send(self, function: PythonFunction) -> None:
        """Let ``function`` put messages on the queue."""
        _grant(function, self._key, _SEND, self.queue.queue_arn)

    def grant_consume(self, function: PythonFunction) -> None:
        """Let ``function`` take messages from the queue, and postpone one that it gives back."""
        _grant(function, self._key, _CONSUME, self.queue.queue_arn)

    def grant_redrive(self, function: PythonFunction) -> None:
        """Let ``function`` take dead letters and put them back on the queue."""
        _grant(function, self._key, _CONSUME, self.dead_letters.queue_arn)
        _grant(function, self._key, _SEND, self.queue.queue_arn)

    def grant_native_redrive(self, function: PythonFunction) -> None:
        """Let ``function`` have SQS itself move the dead letters back (``StartMessageMoveTask``)."""
        _grant(function, self._key, _MOVE, self.dead_letters.queue_arn)


class QueueFamily:
    """All queues of one purpose, dead letters included: those whose names begin with ``prefix``.

    Rights are stated for the prefix: a role's policies hold 10,240 characters, which the ARNs of some ten channels'
    queues would fill, and each function that uses one channel's queues uses every channel's.
    """

    def __init__(self, scope: Stack, *, prefix: str, key: StageKey) -> None:
        self._key = key
        self._pattern = f"{prefix}*"
        self._arn = scope.format_arn(service="sqs", resource=self._pattern)

    def grant_send(self, function: PythonFunction) -> None:
        """Let ``function`` put messages on the queues."""
        self._grant(function, _SEND)

    def grant_consume(self, function: PythonFunction) -> None:
        """Let ``function`` take messages from the queues, and postpone one that it gives back."""
        self._grant(function, _CONSUME)

    def grant_redrive(self, function: PythonFunction) -> None:
        """Let ``function`` take dead letters and put them back on their queues."""
        self._grant(function, (*_CONSUME, *_SEND))

    def grant_native_redrive(self, function: PythonFunction) -> None:
        """Let ``function`` have SQS itself move the dead letters back (``StartMessageMoveTask``)."""
        self._grant(function, _MOVE)

    def _grant(self, function: PythonFunction, actions: tuple[str, ...]) -> None:
        _grant(function, self._key, actions, self._arn)
        acknowledge(
            function.role,
            f"IAM5[Resource::arn:<AWS::Partition>:sqs:<AWS::Region>:<AWS::AccountId>:{self._pattern}]",
            "Covers exactly this stage's queues to channels, all of which the function uses; a role's policies are "
            "too small (10,240 characters) for the ARN of each.",
        )


class FailureQueue(Construct):
    """Where a stream's event source reports the records that it gave up (shard and sequence numbers)."""

    def __init__(self, scope: Construct, id_: str, *, name: str, key: StageKey) -> None:
        super().__init__(scope, id_)
        self._key = key
        self.name = name
        self.queue = _queue(self, "Queue", name, key)
        acknowledge(
            self.queue,
            "SQS3",
            "This queue is itself where failures end; collect_failures files each as a case, and an alarm watches it.",
        )

    def grant_report(self, function: PythonFunction) -> None:
        """Let ``function``'s event source mapping report a failure."""
        _grant(function, self._key, ("sqs:SendMessage",), self.queue.queue_arn)

    def grant_collect(self, function: PythonFunction) -> None:
        """Let ``function`` take the reports."""
        _grant(function, self._key, _CONSUME, self.queue.queue_arn)


def _grant(function: PythonFunction, key: StageKey, actions: tuple[str, ...], *arns: str) -> None:
    function.role.add_to_policy(iam.PolicyStatement(actions=sorted(set(actions)), resources=list(arns)))
    key.grant_use(function, "sqs")


def _queue(scope: Construct, id_: str, name: str, key: StageKey) -> sqs.Queue:
    return sqs.Queue(
        scope,
        id_,
        queue_name=name,
        encryption=sqs.QueueEncryption.KMS,
        encryption_master_key=key.key,
        enforce_ssl=True,
        visibility_timeout=_DEAD_LETTER_VISIBILITY,
        retention_period=DEAD_LETTER_RETENTION,
        removal_policy=key.removal_policy,
    )

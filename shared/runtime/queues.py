"""The ports of the operations, as AWS services: queues and topics.

Apart from ``aws``, because the function that answers senders needs none of them, and would load half of the domain
with them.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Protocol

from shared.domain.events import instant, parse_instant
from shared.domain.stock import ChannelId, Sku
from shared.operations.dead_letters import DeadLetter
from shared.operations.fan_out import Hint, Lane
from shared.runtime.aws import answered

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient
    from types_boto3_sqs.type_defs import MessageTypeDef

LONGEST_DELAY_S = 900
"""Seconds that SQS can hold back a message that is sent."""

LONGEST_INVISIBLE_S = 43_200
"""Seconds that SQS can hold back a message that was received."""

LOOK_FOR = timedelta(seconds=10)
"""How long one look at a dead-letter queue goes on; less than ``REDRIVE_FOR``, which may have to wait for it."""

HIDDEN_WHILE_LOOKED_AT = timedelta(seconds=30)
HIDDEN_WHILE_MOVED = timedelta(seconds=60)


class SqsLanes:
    """Each channel's two queues of hints."""

    def __init__(self, client: SQSClient, prefix: str) -> None:
        self._client = client
        self._prefix = prefix
        self._url = cache(self._find)

    def send(self, lane: Lane, hints: Sequence[Hint], delay_s: int = 0) -> None:
        queues: dict[str, list[Hint]] = {}
        for hint in hints:
            queues.setdefault(f"{self._prefix}{hint.channel}-{lane}", []).append(hint)
        for queue, waiting in queues.items():
            for start in range(0, len(waiting), 10):
                self._send_batch(queue, waiting[start : start + 10], min(delay_s, LONGEST_DELAY_S))

    def _send_batch(self, queue: str, hints: Sequence[Hint], delay_s: int) -> None:
        with answered(f"hints could not be queued on {queue}"):
            answer = self._client.send_message_batch(
                QueueUrl=self._url(queue),
                Entries=[
                    {"Id": str(number), "MessageBody": hint_text(hint), "DelaySeconds": delay_s}
                    for number, hint in enumerate(hints)
                ],
            )
        if answer.get("Failed"):
            raise OSError(f"{len(answer['Failed'])} hints could not be queued on {queue}")

    def _find(self, queue: str) -> str:
        return self._client.get_queue_url(QueueName=queue)["QueueUrl"]


def hint_text(hint: Hint) -> str:
    """Write a hint as it lies in a queue."""
    return json.dumps({"channel": hint.channel, "sku": hint.sku, "since": instant(hint.since)})


def read_hint(text: str) -> Hint:
    """Read what ``hint_text`` wrote."""
    said = json.loads(text)
    return Hint(ChannelId(said["channel"]), Sku(said["sku"]), parse_instant(said["since"]))


def _utc_now() -> datetime:
    return datetime.now(UTC)


PAGE = 10
"""Messages that SQS gives and takes at once."""


class SqsDeadLetters:
    """Dead-letter queues: the letters of queue ``q`` lie in ``q-dead``.

    Whoever receives a letter hides it from all others for a while, so several may look and redrive at once and no
    letter is in two hands. A look lasts no longer than ``LOOK_FOR``: shorter than it hides a letter, so that it never
    shows again what somebody else has taken by then, and shorter than a redrive waits.
    """

    def __init__(
        self,
        client: SQSClient,
        names: Sequence[str],
        now: Callable[[], datetime] = _utc_now,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._client = client
        self._names = tuple(names)
        self._url = cache(self._find)
        self._now = now
        self._pause = pause

    def names(self) -> Sequence[str]:
        return self._names

    def counts(self) -> dict[str, int]:
        return {name: self._count(name) for name in self._names}

    def peek(self, queue: str) -> Iterator[DeadLetter]:
        """Yield the letters that nobody else holds, once each, and let go of them after the last.

        What is left when ``LOOK_FOR`` is over is for the next look.
        """
        held: dict[str, MessageTypeDef] = {}
        until = self._now() + LOOK_FOR
        try:
            while page := self._receive(queue, HIDDEN_WHILE_LOOKED_AT):
                fresh = [message for message in page if message["MessageId"] not in held]
                held |= {message["MessageId"]: message for message in page}
                for message in fresh:
                    if self._now() >= until:
                        return
                    yield DeadLetter(message["MessageId"], message["Body"])
        finally:
            self._show_again(queue, list(held.values()))

    def redrive(self, queue: str, until: datetime, most: int, per_second: int) -> int:
        """Send letters back to the queue where they died, each deleted only once it has been sent."""
        moved = 0
        while self._now() < until and moved < most:
            messages = self._receive(queue, HIDDEN_WHILE_MOVED, min(PAGE, per_second, most - moved))
            if not messages:
                if self._count(queue) == 0:
                    break
                self._pause(0.25)  # somebody is looking at them, and will let go in a moment
                continue
            sent, gone = self._send_back(queue, messages)
            moved += gone
            if sent < len(messages):
                break
            self._pause(len(messages) / per_second)
        return moved

    def redrive_one(self, queue: str, letter: str, until: datetime) -> bool:
        """Send one letter back; all others that were in the way are shown again."""
        held: list[MessageTypeDef] = []
        try:
            while self._now() < until and (page := self._receive(queue, HIDDEN_WHILE_LOOKED_AT)):
                held += [message for message in page if message["MessageId"] != letter]
                meant = [message for message in page if message["MessageId"] == letter]
                if meant:
                    return self._send_back(queue, meant)[0] == 1
        finally:
            self._show_again(queue, held)
        return False

    def _send_back(self, queue: str, messages: Sequence[MessageTypeDef]) -> tuple[int, int]:
        """Send messages to the queue where they died; return how many were sent, and how many of these are gone."""
        sent = self._client.send_message_batch(
            QueueUrl=self._url(queue.removesuffix("-dead")),
            Entries=[{"Id": str(n), "MessageBody": message["Body"]} for n, message in enumerate(messages)],
        )
        done = {int(entry["Id"]) for entry in sent.get("Successful", [])}
        gone = self._delete(queue, [messages[n] for n in sorted(done)])
        self._show_again(queue, [message for n, message in enumerate(messages) if n not in done])
        return len(done), gone

    def _delete(self, queue: str, messages: Sequence[MessageTypeDef]) -> int:
        """Delete messages; return how many are gone. One that stays is sent again some day, which is harmless."""
        if not messages:
            return 0
        answer = self._client.delete_message_batch(
            QueueUrl=self._url(queue),
            Entries=[{"Id": str(n), "ReceiptHandle": m["ReceiptHandle"]} for n, m in enumerate(messages)],
        )
        return len(answer.get("Successful", []))

    def _show_again(self, queue: str, messages: Sequence[MessageTypeDef]) -> None:
        for start in range(0, len(messages), 10):
            self._client.change_message_visibility_batch(
                QueueUrl=self._url(queue),
                Entries=[
                    {"Id": str(number), "ReceiptHandle": message["ReceiptHandle"], "VisibilityTimeout": 0}
                    for number, message in enumerate(messages[start : start + 10])
                ],
            )

    def _receive(self, queue: str, hidden: timedelta, most: int = PAGE) -> Sequence[MessageTypeDef]:
        answer = self._client.receive_message(
            QueueUrl=self._url(queue),
            MaxNumberOfMessages=most,
            VisibilityTimeout=int(hidden.total_seconds()),
        )
        return answer.get("Messages", [])

    def _count(self, queue: str) -> int:
        found = self._client.get_queue_attributes(
            QueueUrl=self._url(queue),
            AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
        )["Attributes"]
        return sum(int(number) for number in found.values())

    def _find(self, queue: str) -> str:
        return self._client.get_queue_url(QueueName=queue)["QueueUrl"]


class TopicClient(Protocol):
    """What is needed of an SNS client."""

    def publish(self, *, TopicArn: str, Subject: str, Message: str) -> object:  # noqa: N803  as SNS calls them
        """Send a message to whoever has subscribed."""
        ...


class SnsMessenger:
    """Tells whoever has subscribed to a topic."""

    def __init__(self, client: TopicClient, topic: str) -> None:
        self._client = client
        self._topic = topic

    def tell(self, subject: str, text: str) -> None:
        with answered("the alert could not be sent"):
            self._client.publish(TopicArn=self._topic, Subject=subject, Message=text)


class SqsStreamFailures:
    """What stream consumers gave up: shard and sequence numbers."""

    def __init__(self, client: SQSClient, names: Sequence[str]) -> None:
        self._client = client
        self._names = tuple(names)

    def take(self) -> Iterable[str]:
        for name in self._names:
            url = self._client.get_queue_url(QueueName=name)["QueueUrl"]
            while messages := self._client.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get(
                "Messages", []
            ):
                for message in messages:
                    yield message["Body"]
                    self._client.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


class SqsRetries:
    """Brings a failed message of a queue back at another time than its visibility timeout would."""

    def __init__(self, client: SQSClient) -> None:
        self._client = client

    def after(self, queue_arn: str, receipt_handle: str, after_s: int) -> None:
        url = self._client.get_queue_url(QueueName=queue_arn.rsplit(":", 1)[-1])["QueueUrl"]
        self._client.change_message_visibility(
            QueueUrl=url, ReceiptHandle=receipt_handle, VisibilityTimeout=min(after_s, LONGEST_INVISIBLE_S)
        )

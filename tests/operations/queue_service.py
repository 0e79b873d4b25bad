"""SQS as far as dead letters need it, with a clock of its own: messages that hide, come back, and refuse to go."""

# ruff: noqa: N803 - the arguments are called as SQS calls them

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any


@dataclass(slots=True)
class _Message:
    id: str
    body: str
    visible_at: datetime
    handle: str = ""


@dataclass(slots=True)
class QueueService:
    """The calls of an SQS client that ``SqsDeadLetters`` makes; a queue's URL is its name.

    A receipt handle counts until the message is received again, as SQS has it for deleting.
    """

    queues: dict[str, list[_Message]] = field(default_factory=dict)
    time: datetime = datetime(2026, 11, 2, 12, 0, tzinfo=UTC)
    refuse_to_send: set[str] = field(default_factory=set)
    refuse_to_delete: set[str] = field(default_factory=set)
    receives: int = 0

    def now(self) -> datetime:
        return self.time

    def pause(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)

    def put(self, queue: str, *bodies: str) -> None:
        """Lay messages into a queue; each is called as its body."""
        held = self.queues.setdefault(queue, [])
        held += [_Message(body, body, self.time) for body in bodies]

    def visible(self, queue: str) -> list[str]:
        """Return the ids of what anybody could receive now."""
        return [message.id for message in self.queues[queue] if message.visible_at <= self.time]

    def bodies(self, queue: str) -> list[str]:
        return [message.body for message in self.queues.get(queue, [])]

    # ---- the client ----------------------------------------------------------------------------------------

    def get_queue_url(self, *, QueueName: str) -> dict[str, str]:
        return {"QueueUrl": QueueName}

    def get_queue_attributes(self, *, QueueUrl: str, AttributeNames: list[str]) -> dict[str, Any]:
        seen = len(self.visible(QueueUrl))
        hidden = len(self.queues[QueueUrl]) - seen
        found = {"ApproximateNumberOfMessages": seen, "ApproximateNumberOfMessagesNotVisible": hidden}
        return {"Attributes": {name: str(found[name]) for name in AttributeNames}}

    def receive_message(
        self, *, QueueUrl: str, MaxNumberOfMessages: int, VisibilityTimeout: int
    ) -> dict[str, Any]:
        found = [message for message in self.queues[QueueUrl] if message.visible_at <= self.time]
        for message in found[:MaxNumberOfMessages]:
            self.receives += 1
            message.handle = f"{message.id}/{self.receives}"
            message.visible_at = self.time + timedelta(seconds=VisibilityTimeout)
        taken = found[:MaxNumberOfMessages]
        if not taken:
            return {}
        return {"Messages": [{"MessageId": m.id, "Body": m.body, "ReceiptHandle": m.handle} for m in taken]}

    def change_message_visibility_batch(
        self, *, QueueUrl: str, Entries: list[dict[str, Any]]
    ) -> dict[str, Any]:
        by_handle = {message.handle: message for message in self.queues[QueueUrl]}
        for entry in Entries:
            if (message := by_handle.get(entry["ReceiptHandle"])) is not None:
                message.visible_at = self.time + timedelta(seconds=entry["VisibilityTimeout"])
        return {"Successful": [], "Failed": []}

    def send_message_batch(self, *, QueueUrl: str, Entries: list[dict[str, Any]]) -> dict[str, Any]:
        kept = [entry for entry in Entries if entry["MessageBody"] not in self.refuse_to_send]
        self.put(QueueUrl, *(entry["MessageBody"] for entry in kept))
        failed = [{"Id": entry["Id"]} for entry in Entries if entry not in kept]
        return {"Successful": [{"Id": entry["Id"]} for entry in kept], "Failed": failed}

    def delete_message_batch(self, *, QueueUrl: str, Entries: list[dict[str, Any]]) -> dict[str, Any]:
        by_handle = {message.handle: message for message in self.queues[QueueUrl]}
        done, failed = [], []
        for entry in Entries:
            message = by_handle.get(entry["ReceiptHandle"])
            if message is None or message.id in self.refuse_to_delete:
                failed.append({"Id": entry["Id"]})
                continue
            self.queues[QueueUrl].remove(message)
            done.append({"Id": entry["Id"]})
        return {"Successful": done, "Failed": failed}

"""Waiting until nothing is under way on the local runtime: streams read to the end, queues empty."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.local import server
from infra.local.state import LocalRuntimeError

_LOOK_EVERY_SECONDS = 0.02

PumpStatus = Callable[[], Mapping[str, Mapping[str, Any]]]


@dataclass(frozen=True, slots=True)
class Settling:
    """Everything that is looked at.

    Attributes
    ----------
    queues, functions
        Clients of SQS and Lambda.
    pump_status
        What each stream mapping has done by now.
    logs
        Where to look when something does not end.
    """

    endpoint: str
    queues: Any
    functions: Any
    pump_status: PumpStatus
    logs: Path

    def wait(self, within_seconds: float) -> None:
        """Wait until nothing is under way; a queue's dead letters are nobody's work and do not count.

        Raises
        ------
        LocalRuntimeError
            If something is still under way by then; says what.
        """
        deadline = time.monotonic() + within_seconds
        consumed = self._consumed()
        quiet_since: float | None = None
        calls = -1
        while True:
            now = time.time()
            pump = self.pump_status()
            behind = [
                name for name, one in pump.items() if quiet_since is None or one["caught_up_at"] < quiet_since
            ]
            busy = [queue.rsplit("/", 1)[1] for queue in consumed if self._is_busy(queue)]
            made = sum(one["calls"] for one in pump.values())
            if busy or made != calls or quiet_since is None:
                quiet_since, calls = now, made
            elif not behind:
                return
            if time.monotonic() > deadline:
                raise LocalRuntimeError(
                    f"still under way after {within_seconds:.0f} s: streams {sorted(behind)}, queues {busy}.",
                    f"See the logs in {self.logs}.",
                )
            time.sleep(_LOOK_EVERY_SECONDS)

    def _consumed(self) -> list[str]:
        """URLs of the queues that a function consumes; what lies in any other is nobody's work."""
        arns = {
            one["EventSourceArn"]
            for page in self.functions.get_paginator("list_event_source_mappings").paginate()
            for one in page["EventSourceMappings"]
            if one["State"] == "Enabled" and ":sqs:" in one["EventSourceArn"]
        }
        return [f"{self.endpoint}/{server.ACCOUNT}/{arn.rsplit(':', 1)[1]}" for arn in sorted(arns)]

    def _is_busy(self, queue_url: str) -> bool:
        counts = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.queues.get_queue_attributes(QueueUrl=queue_url, AttributeNames=counts)["Attributes"]
        return any(int(found[count]) for count in counts)

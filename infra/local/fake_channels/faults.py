"""How the fake channels are told to misbehave.

============  ======================================================================================
mode          what the channel does
============  ======================================================================================
down          answers 503 to everything
status        answers ``status`` (with ``Retry-After`` if ``retry_after`` is given); nothing is done
slow          waits ``seconds`` first, then goes on as usual
lost          does the write, then drops the connection without an answer
late          drops the connection without an answer, and does the write ``seconds`` later
user_error    Shopify only: refuses the mutation with ``code``, pointing at ``entry`` or at nothing
============  ======================================================================================

``count`` says how many requests it lasts; without it, until ``recover``. ``lost``, ``late`` and ``user_error``
touch writes only.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace

WRITES_ONLY = frozenset({"lost", "late", "user_error"})
MODES = WRITES_ONLY | {"down", "status", "slow"}


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to misbehave, for one channel."""

    channel: str
    mode: str
    count: int | None = None
    status: int = 500
    seconds: float = 0.0
    retry_after: str | None = None
    code: str = ""
    entry: int | None = None


class Faults:
    """The faults in force, oldest first; safe to use from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._active: list[Fault] = []

    def add(self, fault: Fault) -> None:
        """Put a fault in force."""
        with self._lock:
            self._active.append(fault)

    def recover(self, channel: str | None = None) -> None:
        """Lift the faults of ``channel``, or all."""
        with self._lock:
            self._active = [fault for fault in self._active if channel not in (None, fault.channel)]

    def take(self, channel: str, write: bool) -> list[Fault]:
        """Return the faults that this request meets, and use up one of each one's count."""
        with self._lock:
            met = [
                fault
                for fault in self._active
                if fault.channel == channel and (write or fault.mode not in WRITES_ONLY)
            ]
            left = [_used(fault) if fault in met else fault for fault in self._active]
            self._active = [fault for fault in left if fault.count != 0]
            return met

    def active(self) -> list[Fault]:
        """Return the faults in force."""
        with self._lock:
            return list(self._active)


def _used(fault: Fault) -> Fault:
    return fault if fault.count is None else replace(fault, count=fault.count - 1)

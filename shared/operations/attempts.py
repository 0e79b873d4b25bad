"""Trying a write again after somebody else was faster: with room made in the allotments, and pauses that grow."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime

from shared.operations.allotments import Allotments
from shared.store.table import Table, TableError, WriteRefusedError

ATTEMPTS = 12
"""Times that one unit of work is tried before it is given back to be tried later."""


class Attempts:
    """What is done between two attempts to post."""

    def __init__(self, table: Table, clock: Callable[[], datetime], pause: Callable[[float], None]) -> None:
        self._allotments = Allotments(table, clock, pause)
        self._pause = pause

    def make_way(self, refused: WriteRefusedError) -> bool:
        """Gather the allotments that a decrease could eat into; say whether there were any."""
        try:
            return self._allotments.make_way(refused)
        except TableError:
            return False  # claims kept coming in between; the next attempt finds fewer units

    def back_off(self, attempt: int) -> None:
        """Wait a random time that doubles with each attempt, 10 ms to about a second."""
        self._pause(wait_s(attempt, most_s=1.0))


def wait_s(attempt: int, most_s: float = 0.5) -> float:
    """Return a random number of seconds that doubles with each attempt, from 10 ms on, so that those who met part."""
    return random.uniform(0.5, 1) * min(most_s, 0.01 * 2.0**attempt)  # noqa: S311 - no secret depends on it

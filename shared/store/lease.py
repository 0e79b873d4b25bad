"""A short advisory lease on a busy stock key: posters that met on it go one after the other instead of in each other's way.

It protects nothing: the journal's ``seq`` does. Whoever cannot get it in time posts all the same, and a lease whose
holder died runs out by itself. It is taken only after a first conflict, so a quiet key never pays for it.
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from shared.domain.events import instant
from shared.domain.stock import StockKey
from shared.store.layout import lease_key
from shared.store.table import (
    Absent,
    AnyOf,
    Delete,
    Equals,
    LessThan,
    Put,
    Table,
    TableError,
    WriteRefusedError,
)

HELD_FOR = timedelta(seconds=2)
"""Longest time that a lease is believed; a posting takes some tens of milliseconds."""

TRIES = 60
"""Times that a poster asks before it goes on without."""


class Leases:
    """Hands out leases on stock keys."""

    def __init__(
        self, table: Table, clock: Callable[[], datetime], pause: Callable[[float], None] = time.sleep
    ) -> None:
        self._table = table
        self._clock = clock
        self._pause = pause

    @contextmanager
    def on(self, key: StockKey) -> Iterator[bool]:
        """Hold the lease of a stock key while the block runs; whether it was had is for the log, not for safety."""
        owner = uuid.uuid4().hex
        held = self._take(key, owner)
        try:
            yield held
        finally:
            if held:
                self._give_back(key, owner)

    def _take(self, key: StockKey, owner: str) -> bool:
        for _ in range(TRIES):
            now = self._clock()
            free = AnyOf((Absent(), LessThan("until", instant(now))))
            put = Put(lease_key(key), {"owner": owner, "until": instant(now + HELD_FOR)}, (free,))
            try:
                self._table.write([put])
            except WriteRefusedError:
                self._pause(random.uniform(0.03, 0.09))  # noqa: S311
            except TableError:
                return False
            else:
                return True
        return False

    def _give_back(self, key: StockKey, owner: str) -> None:
        try:
            self._table.write([Delete(lease_key(key), (Equals("owner", owner),))])
        except TableError:
            return  # it runs out by itself

"""A table that waits a little: a conflict or a throttle that passes within a second is nobody else's business."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from shared.store.table import Action, Item, Key, Table, ThrottledError, WriteConflictError

TRIES = 5

Answer = TypeVar("Answer")


class PatientTable:
    """The table it wraps, but a write that certainly did not happen is tried a few times before that is said.

    A refusal and an unknown outcome are answers, and are passed on at once.
    """

    def __init__(self, table: Table, pause: Callable[[float], None] = time.sleep) -> None:
        self._table = table
        self._pause = pause

    def write(self, actions: Sequence[Action]) -> None:
        self._patiently(lambda: self._table.write(actions))

    def get(self, key: Key) -> Item | None:
        return self._table.get(key)

    def get_many(self, keys: Sequence[Key]) -> dict[Key, Item]:
        return self._table.get_many(keys)

    def snapshot(self, keys: Sequence[Key]) -> dict[Key, Item]:
        return self._patiently(lambda: self._table.snapshot(keys))

    def query(
        self,
        pk: str,
        *,
        first: str = "",
        last: str | None = None,
        prefix: str = "",
        descending: bool = False,
        limit: int | None = None,
    ) -> Iterator[Item]:
        return self._table.query(
            pk, first=first, last=last, prefix=prefix, descending=descending, limit=limit
        )

    def query_index(
        self,
        index: str,
        pk: str,
        *,
        first: str = "",
        last: str | None = None,
        descending: bool = False,
        limit: int | None = None,
    ) -> Iterator[Key]:
        return self._table.query_index(index, pk, first=first, last=last, descending=descending, limit=limit)

    def scan(self, *, segment: int = 0, segments: int = 1) -> Iterator[Item]:
        return self._table.scan(segment=segment, segments=segments)

    def _patiently(self, ask: Callable[[], Answer]) -> Answer:
        for attempt in range(TRIES - 1):
            try:
                return ask()
            except (WriteConflictError, ThrottledError):
                self._pause(random.uniform(0.5, 1) * 0.01 * 2**attempt)  # noqa: S311
        return ask()

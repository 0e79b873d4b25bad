"""The memory table as the simulation needs it: every call takes virtual time and may fail, every commit is told."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from infra.simulation.chaos import Chaos
from shared.store.memory import MemoryTable, StreamRecord
from shared.store.table import Action, Item, Key, WriteRefusedError


class Change(NamedTuple):
    """One item that a commit changed; ``number`` is its place in the table's log."""

    number: int
    key: Key
    old: Item | None
    new: Item | None


class WatchedTable(MemoryTable):
    """A memory table that says after each commit what it changed, all of one transaction together."""

    def __init__(
        self, name: str, indexes: Sequence[str], chaos: Chaos, clock: Callable[[], datetime]
    ) -> None:
        super().__init__(indexes, faults=chaos, clock=clock, name=name)
        self._chaos = chaos
        self._committed: list[Change] = []
        self.listeners: list[Callable[[Sequence[Change]], None]] = []

    def _replace(self, key: Key, old: Item | None, new: Item | None) -> None:
        super()._replace(key, old, new)
        self._committed.append(Change(len(self._changes), key, old, new))

    def _write(self, actions: Sequence[Action]) -> None:
        super()._write(actions)
        committed, self._committed = self._committed, []
        for listener in self.listeners:
            listener(committed)

    def _check_results(self, actions: Sequence[Action], results: Sequence[Item | None]) -> None:
        """Sizes are the contract suite's business; no item here comes near a limit."""

    def record(self, change: Change) -> StreamRecord:
        """Return a change as Lambda gets it from the stream."""
        return self._record(change.number + 1, self._changes[change.number])

    def peek(self, key: Key) -> Item | None:
        """Look at an item without taking time; not to be changed."""
        return self._items.get(key)

    def items(self) -> Iterator[Item]:
        """Look at every item without taking time; not to be changed."""
        return iter(list(self._items.values()))


class BusyTable:
    """A table whose every call takes virtual time, during which others act, and may fail on the way."""

    def __init__(self, table: WatchedTable, chaos: Chaos) -> None:
        self._table = table
        self._chaos = chaos

    def get(self, key: Key) -> Item | None:
        self._chaos.reading()
        return self._table.get(key)

    def get_many(self, keys: Sequence[Key]) -> dict[Key, Item]:
        if not keys:
            return {}
        self._chaos.reading()
        middle = len(keys) // 2
        if middle and self._chaos.active and self._chaos.random.random() < 0.2:
            # Each item is read consistently, but not all at one instant.
            found = self._table.get_many(keys[:middle])
            self._chaos.step()
            return found | self._table.get_many(keys[middle:])
        return self._table.get_many(keys)

    def snapshot(self, keys: Sequence[Key]) -> dict[Key, Item]:
        self._chaos.reading()
        return self._table.snapshot(keys)

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
        self._chaos.reading()
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
        self._chaos.reading()
        return self._table.query_index(index, pk, first=first, last=last, descending=descending, limit=limit)

    def scan(self, *, segment: int = 0, segments: int = 1) -> Iterator[Item]:
        self._chaos.reading()
        return self._table.scan(segment=segment, segments=segments)

    def write(self, actions: Sequence[Action]) -> None:
        try:
            self._table.write(actions)
        except WriteRefusedError as refused:
            mixed = self._chaos.refused(refused)
            if mixed is refused:
                raise
            raise mixed from refused

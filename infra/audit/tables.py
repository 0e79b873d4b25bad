"""A table out of a file, as blocks of columns, whatever the file is; and the rows of it that could not be read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

_EXAMPLES = 3


class AuditError(Exception):
    """A file cannot be audited; ``reason`` and ``remedy`` are for whoever called."""

    def __init__(self, file: str, reason: str, remedy: str) -> None:
        super().__init__(f"{file}: {reason}")
        self.file = file
        self.reason = reason
        self.remedy = remedy


class Block(NamedTuple):
    """Consecutive rows: their numbers, and the cells of each wanted column."""

    rows: Sequence[int]
    columns: Sequence[Sequence[str]]


class Sample(NamedTuple):
    """The first rows of a file as they would be split, with their row numbers; what comes before them is kept."""

    rows: list[tuple[int, list[str]]]
    how: str
    """How they were split, in words."""


@dataclass
class SetAside:
    """Rows that were not compared, by reason: how many, and the first of them in words."""

    counts: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def add(self, reason: str, row: int, text: str = "") -> None:
        """Note one row."""
        self.counts[reason] = self.counts.get(reason, 0) + 1
        shown = self.examples.setdefault(reason, [])
        if len(shown) < _EXAMPLES:
            shown.append(f"row {row}" + (f": {text[:60]!r}" if text else ""))

    def told(self) -> list[str]:
        """Say what was set aside, a line for each reason."""
        return [
            f"{count:,} {'row' if count == 1 else 'rows'} set aside: {reason} ({'; '.join(self.examples[reason])})"
            for reason, count in self.counts.items()
        ]


class Table(Protocol):
    """The rows under a header."""

    aside: SetAside

    def blocks(self, wanted: Sequence[int]) -> Iterator[Block]:
        """Yield the cells of the wanted columns, in order; rows that cannot be split go to ``aside``."""
        ...

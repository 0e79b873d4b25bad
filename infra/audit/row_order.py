"""Whether a file's rows are in the order of their SKUs, and where it ends: only an ordered file shows that it was cut off.

It is learnt a shard at a time. A shard holds every so many-th SKU as if drawn by lot, in the order of the file; a file
whose shards are all in order, and whose last row has the last SKU of all, is in order.
"""

from __future__ import annotations

from collections.abc import Sequence

_FEWEST = 7
"""SKUs that must be in order; fewer are by chance, once in some hundred files."""


class RowOrder:
    """The order of one file."""

    def __init__(self) -> None:
        self._ascending = self._descending = True
        self._count = 0
        self._last = (-1, "")
        self._ends: tuple[str, str] = ("", "")

    def note(self, skus: Sequence[str], last_row: int) -> None:
        """Look at one shard.

        Parameters
        ----------
        skus
            Of its rows in the order of the file, as they are compared.
        last_row
            The number of its last row.
        """
        if not skus or not (self._ascending or self._descending):
            return
        up = sorted(skus)
        skus = list(skus)
        self._ascending = self._ascending and skus == up
        self._descending = self._descending and skus[::-1] == up
        lowest, highest = self._ends if self._count else (up[0], up[0])
        self._ends = (min(lowest, up[0]), max(highest, up[-1]))
        self._count += len(set(skus))
        self._last = max(self._last, (last_row, skus[-1]))

    def end(self) -> tuple[str, int] | None:
        """Return the last SKU and the direction, 1 up and -1 down; None where the file is in no order."""
        if self._count < _FEWEST:
            return None
        last = self._last[1]
        if self._ascending and last == self._ends[1]:
            return last, 1
        return (last, -1) if self._descending and last == self._ends[0] else None

"""Rows on disk, dealt into shards, so that memory does not grow with the files.

A row is its cells, as written, joined by a character that no readable cell holds. Every row of an item lies in the
same shard, whichever file it is from and however its SKU is spelled (``shared.domain.sku_codes.Shards``).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from shared.domain.sku_codes import Shards

SEPARATOR = "\x1f"
"""Between the cells of a kept row; a cell that holds it is not printable, and is set aside before."""

_HELD_ROWS = 16_000
_BYTES_IN_SHARD = 96 << 10
_MOST_SHARDS = 512


def shards_for(total_bytes: int) -> Shards:
    """Choose how many shards files of so many bytes together need, for a few megabytes in memory at a time."""
    return Shards(max(1, min(_MOST_SHARDS, total_bytes // _BYTES_IN_SHARD)))


class Spill:
    """The kept rows of one file, in a folder for it alone."""

    def __init__(self, folder: Path, shards: Shards, width: int) -> None:
        self._paths = [folder / str(number) for number in range(shards.count)]
        self._shards = shards
        self._held: list[list[str]] = [[] for _ in self._paths]
        self._count = 0
        self.width = width
        """Cells of a row; the first is the SKU."""
        self.rows = 0

    def add(self, columns: Sequence[Sequence[str]]) -> None:
        """Keep rows given as columns, the SKUs first."""
        held = self._held
        for shard, row in zip(
            self._shards.of(columns[0]), map(SEPARATOR.join, zip(*columns, strict=True)), strict=True
        ):
            held[shard].append(row)
        self._count += len(columns[0])
        self.rows += len(columns[0])
        if self._count >= _HELD_ROWS:
            self.flush()

    def flush(self) -> None:
        """Write what is held in memory."""
        for path, rows in zip(self._paths, self._held, strict=True):
            if rows:
                with path.open("a", encoding="utf-8", newline="\n") as file:
                    file.write("\n".join(rows) + "\n")
                rows.clear()
        self._count = 0

    def columns(self, shard: int) -> list[list[str]]:
        """Read the rows of one shard back, as columns; none where it has no row."""
        path = self._paths[shard]
        if not path.exists():
            return [[] for _ in range(self.width)]
        text = path.read_text(encoding="utf-8")[:-1]
        cells = text.replace("\n", f"{SEPARATOR}\n").split(SEPARATOR)
        return [
            "".join(cells[0 :: self.width]).split("\n") if at == 0 else cells[at :: self.width]
            for at in range(self.width)
        ]

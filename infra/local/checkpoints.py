"""How far the stream pump has come: one small file for each mapping, replaced whenever a checkpoint moves.

It names the stream it belongs to: a table that was made anew has another one, and starts from its beginning.
"""

from __future__ import annotations

from pathlib import Path

from infra.local.state import read_json, write_json


class Checkpoints:
    """How far each shard of one mapping is finished, in a file."""

    def __init__(self, path: Path, stream_arn: str) -> None:
        self._path = path
        noted = read_json(path)
        same_stream = noted.get("stream") == stream_arn
        self._stream = stream_arn
        self._shards: dict[str, str] = dict(noted.get("shards", {})) if same_stream else {}
        self._closed: set[str] = set(noted.get("closed", [])) if same_stream else set()

    @property
    def closed(self) -> frozenset[str]:
        """Shards that were read to their end."""
        return frozenset(self._closed)

    @property
    def is_fresh(self) -> bool:
        """Whether this mapping has never read its stream."""
        return not self._shards and not self._closed

    def of(self, shard_id: str) -> str | None:
        return self._shards.get(shard_id)

    def note(self, shard_id: str, sequence: str) -> None:
        self._shards[shard_id] = sequence
        self._write()

    def close(self, shard_id: str) -> None:
        self._closed.add(shard_id)
        self._write()

    def _write(self) -> None:
        write_json(
            self._path, {"stream": self._stream, "shards": self._shards, "closed": sorted(self._closed)}
        )

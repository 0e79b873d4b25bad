"""Where the local runtime keeps what must outlive a command: ``.onecount/`` in the checkout.

    .onecount/
      lock               one `up` or `down` at a time
      settings.json      ports and issuer, chosen once, so that URLs survive a restart
      network.json       the network file that was deployed last
      runtime.json       what is running now: URLs, names, process ids
      pids/              one file for each child process
      logs/              their output
      server/            the embedded runtime's own state, saved when it is stopped gently; for its owner alone
      checkpoints/       how far the stream pump has come
      issuer/            the signing key (0600)
      assemblies/        synthesized templates by source hash (shared by every runtime of the checkout)

Files are replaced, never rewritten in place: a reader sees the old or the new content, never half of it.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = ".onecount"


class LocalRuntimeError(Exception):
    """Something the local runtime cannot do, with what to do about it.

    Attributes
    ----------
    reason
        What is wrong, in the operator's words.
    remedy
        The next thing to try.
    """

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(f"{reason} {remedy}")
        self.reason = reason
        self.remedy = remedy


class RuntimeBusyError(LocalRuntimeError):
    """Another `up` or `down` holds the lock."""


@dataclass(frozen=True, slots=True)
class StateDirectory:
    """The layout above, under one root."""

    root: Path

    @property
    def settings(self) -> Path:
        return self.root / "settings.json"

    @property
    def runtime(self) -> Path:
        return self.root / "runtime.json"

    @property
    def network(self) -> Path:
        return self.root / "network.json"

    @property
    def mappings(self) -> Path:
        return self.root / "mappings.json"

    @property
    def pump_status(self) -> Path:
        return self.root / "pump.json"

    @property
    def pids(self) -> Path:
        return self.root / "pids"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def server(self) -> Path:
        return self.root / "server"

    @property
    def checkpoints(self) -> Path:
        return self.root / "checkpoints"

    @property
    def issuer(self) -> Path:
        return self.root / "issuer"

    @property
    def assemblies(self) -> Path:
        return self.root / "assemblies"

    @property
    def temporary(self) -> Path:
        return self.root / "tmp"

    def create(self) -> None:
        """Make the folders.

        Raises
        ------
        LocalRuntimeError
            If the place cannot be written.
        """
        try:
            for folder in (self.pids, self.logs, self.server, self.checkpoints, self.issuer, self.temporary):
                folder.mkdir(parents=True, exist_ok=True)
            self.server.chmod(0o700)  # it holds secrets
        except OSError as error:
            raise LocalRuntimeError(
                f"{self.root} cannot be written: {error.strerror or error}.",
                "Give this user write access to the checkout.",
            ) from error

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock, or refuse at once.

        Raises
        ------
        RuntimeBusyError
            If another process holds it; the lock falls by itself when that process ends.
        """
        self.create()
        with open(self.root / "lock", "a+") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                handle.seek(0)
                holder = handle.read().strip() or "unknown"
                raise RuntimeBusyError(
                    f"another `onecount up` or `down` is at work (process {holder}).",
                    "Wait until it has finished, then try again.",
                ) from error
            handle.truncate(0)
            handle.write(str(os.getpid()))
            handle.flush()
            yield


def write_json(path: Path, content: Any, *, mode: int = 0o644) -> None:
    """Replace ``path`` by ``content`` as JSON, atomically."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as handle:
        json.dump(content, handle, indent=1)
    os.replace(fresh, path)


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in ``path``; empty if there is none or it is unreadable (a crash while writing)."""
    try:
        content = json.loads(path.read_text())
    except (OSError, json.JSONDecodeError):
        return {}
    return content if isinstance(content, dict) else {}

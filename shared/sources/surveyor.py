"""A file connector that can say what a whole file holds before any row of it is believed."""

from __future__ import annotations

from typing import BinaryIO, Protocol, runtime_checkable

from shared.domain.messages import Message
from shared.domain.network import Source
from shared.domain.snapshot_guard import Survey
from shared.sources.contract import DroppedFile


@runtime_checkable
class Surveyor(Protocol):
    """What a connector of snapshot files offers beside ``read``."""

    def survey(self, content: BinaryIO, file: DroppedFile, message: Message, source: Source) -> Survey | None:
        """Return what the file holds; None when nothing of it can be read. Never raises for bad input."""
        ...

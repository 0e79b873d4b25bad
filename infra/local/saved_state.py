"""When the embedded runtime last saved its state, and whether anything has happened since.

It saves when it is stopped gently and at no other time. The server itself notes here that it has begun and, as its
last act, that it has saved; so whoever finds the note can say truthfully what a kill, or a machine that went down,
has cost.

    began -> not saved since <the save before, or never>     killed now: what came after that is lost
    saved -> saved at <now>                                  nothing is lost until it begins again
"""

from __future__ import annotations

from datetime import UTC, datetime

from infra.local.state import StateDirectory, read_json, write_json


class SavedState:
    """The note of one runtime, in ``server/saved.json``."""

    def __init__(self, state: StateDirectory) -> None:
        self._file = state.server / "saved.json"

    def began(self) -> None:
        """Note that the runtime changes its state from now on."""
        write_json(self._file, {"at": read_json(self._file).get("at"), "changed_since": True})

    def saved(self) -> None:
        """Note that all there is has been saved."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        write_json(self._file, {"at": now, "changed_since": False})

    @property
    def exists(self) -> bool:
        """Whether there is a state that a start could go on from."""
        return read_json(self._file).get("at") is not None

    def loss(self) -> str | None:
        """Say what is lost if the runtime is not running now; None if nothing is."""
        noted = read_json(self._file)
        if not noted.get("changed_since"):
            return None
        at = noted.get("at")
        if at is None:
            return "the runtime ended without saving its state, for the first time it ran: all of it is lost"
        return f"the runtime ended without saving its state: what was written since {at} is lost"

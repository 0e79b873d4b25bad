"""Every minute: does what no event announced, and files a case for everything that failed for good."""

from __future__ import annotations

from functools import cache
from typing import Any

from shared.operations.sweep import Sweep
from shared.runtime.logging import log_to_stdout
from shared.runtime.settings import CollectFailuresSettings
from shared.runtime.wiring import House

log_to_stdout("collect_failures")


@cache
def sweep() -> Sweep:
    return House(CollectFailuresSettings.read()).sweep


def handle(_event: dict[str, Any], _context: object) -> dict[str, int]:
    """Sweep once; a part that fails raises an error, and with it the function's alarm, after the others are done."""
    return sweep().run()

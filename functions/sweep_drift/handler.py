"""Every minute: goes on with the sweeps of drift, if one is due: fast movers each hour, everything each day."""

from __future__ import annotations

import logging
from dataclasses import asdict
from functools import cache
from typing import Any

from shared.operations.drift_sweep import DriftSweep
from shared.runtime.logging import log_to_stdout
from shared.runtime.settings import SweepDriftSettings
from shared.runtime.wiring import House

log_to_stdout("sweep_drift")
log = logging.getLogger(__name__)


@cache
def sweep() -> DriftSweep:
    return House(SweepDriftSettings.read()).drift_sweep


def handle(_event: dict[str, Any], context: Any) -> dict[str, int]:
    """Sweep what is due, as far as the time goes."""
    swept = asdict(sweep().run(lambda: context.get_remaining_time_in_millis() / 1000))
    if swept["fast"] or swept["rest"]:
        log.info("drift_swept", extra={"swept": swept})
    return swept

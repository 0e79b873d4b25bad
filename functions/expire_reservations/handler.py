"""Every minute: gives back reservations whose time is over and that nobody has asked for since, keeps the cases
of open orders and of transfers true, withholds lots that have expired, and watches how fresh the counts of each location are."""

from __future__ import annotations

import logging
from functools import cache
from typing import Any

from shared.runtime.logging import log_to_stdout
from shared.runtime.settings import ExpireReservationsSettings
from shared.runtime.wiring import House

log_to_stdout("expire_reservations")
log = logging.getLogger(__name__)


@cache
def house() -> House:
    return House(ExpireReservationsSettings.read())


def handle(_event: dict[str, Any], _context: object) -> dict[str, int]:
    """Give back what is due, then look at the open orders, the transfers and at who has fallen silent."""
    expired = house().reserver.expire_due()
    if expired:
        log.info("reservations_expired", extra={"reservations": expired})
    withheld = house().lots.sweep()
    return {
        "expired": expired,
        "allotments_gathered": house().reserver.gather_idle(),
        "withheld": withheld,
        **house().order_watch.run(),
        **house().transfer_watch.run(),
        **house().freshness_watch.run(),
    }

"""Every minute: gives back reservations whose time is over and that nobody has asked for since, keeps the cases
of open orders and of transfers true, withholds lots that have expired, and watches how fresh the counts of each location are."""

from __future__ import annotations

from functools import cache
from typing import Any

from shared.operations.parts import each_part
from shared.runtime.logging import log_to_stdout
from shared.runtime.settings import ExpireReservationsSettings
from shared.runtime.wiring import House

log_to_stdout("expire_reservations")


@cache
def house() -> House:
    return House(ExpireReservationsSettings.read())


def handle(_event: dict[str, Any], _context: object) -> dict[str, int]:
    """Give back what is due, then look at the open orders, the transfers, at who has fallen silent, and at lots."""
    found = each_part(
        {
            "reservations": lambda: {"expired": house().reserver.expire_due()},
            "allotments": lambda: {"allotments_gathered": house().reserver.gather_idle()},
            "orders": lambda: house().order_watch.run(),
            "transfers": lambda: house().transfer_watch.run(),
            "freshness": lambda: house().freshness_watch.run(),
            "lots": lambda: {"withheld": house().lots.sweep()},
        }
    )
    return {name: number for part in found.values() for name, number in part.items()}

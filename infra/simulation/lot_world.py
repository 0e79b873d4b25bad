"""People as they recall lots and say until when one may be sold, and the sweep that withholds what is due."""

from __future__ import annotations

from datetime import date, timedelta
from functools import partial
from typing import TYPE_CHECKING

from infra.simulation.lot_audit import LotName
from infra.simulation.workload import LotCall
from shared.operations.lots import LotsBusyError
from shared.operations.post import PostingContendedError
from shared.store.ledger import LedgerMovedError

if TYPE_CHECKING:
    from infra.simulation.world import World

PERSON = "ops"
SWEEPER, SWEEPS_FOR_S = "expire_reservations", 58
"""The function that sweeps lots, and how many seconds it has."""


class LotPeople:
    """Whoever has to do with lots."""

    def __init__(self, world: World) -> None:
        self._world = world
        world.house.sweep_lots = self.sweep

    def play(self, step: LotCall) -> None:
        """Make a call at each of its times, or let the sweep run then."""
        world, name = self._world, LotName(step.sku, step.lot)
        if step.action == "sweep":
            for delay in step.times:
                world.scheduler.after(delay, lambda: world.act(SWEEPER, SWEEPS_FOR_S, self.sweep))
        elif step.action == "recall":
            world.call("inventory_api", step.times, partial(self._recall, name))
        else:
            day = world.at(step.at).date() + timedelta(days=step.days)
            world.call("inventory_api", step.times, partial(self._set_expiry, name, day))

    def _recall(self, name: LotName) -> None:
        world, began = self._world, self._world.scheduler.now()
        world.deliveries += 1
        world.auditor.lots.recall(name, began)
        try:
            world.house.lots.recall(name.sku, name.lot, "glass", PERSON)
        except (PostingContendedError, LedgerMovedError) as busy:
            raise OSError(busy) from busy
        world.auditor.lots.recalled(name, began)

    def _set_expiry(self, name: LotName, day: date) -> None:
        world = self._world
        world.deliveries += 1
        world.auditor.lots.set_expiry(name, day)
        world.house.lots.set_expiry(name.sku, name.lot, day, PERSON)
        world.auditor.lots.expiry_set(name)

    def sweep(self) -> None:
        """Withhold what is due, as the schedule does; what is busy is left to the next sweep."""
        audit, began = self._world.auditor.lots, self._world.scheduler.now()
        due = audit.due(began)
        try:
            self._world.house.lots.sweep()
        except LotsBusyError as busy:
            raise OSError(busy) from busy
        audit.swept(due, began)

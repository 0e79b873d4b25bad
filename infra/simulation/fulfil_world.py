"""Callers who say that units of their reservations have left, and repeat it until they have heard that we know."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from infra.simulation.fulfil_audit import Call, call_of
from infra.simulation.workload import FulfilCall, Reservation
from shared.operations.reservations import (
    IdempotencyConflictError,
    InvalidReservationError,
    ReservationBusyError,
    ReservationNotFoundError,
    Wanted,
)

if TYPE_CHECKING:
    from infra.simulation.world import World

FULL = "this one fills it"
"""What a refusal says when a reservation has no room for another call."""


class FulfilPeople:
    """Whoever fulfils reservations."""

    def __init__(self, world: World) -> None:
        self._world = world

    def play(self, step: Reservation, reservation: str) -> None:
        """Let come what is said of a reservation."""
        for said in step.fulfilled:
            self._world.scheduler.after(said.after, partial(self._say, step, reservation, said))

    def _say(self, step: Reservation, reservation: str, said: FulfilCall) -> None:
        key = f"{step.key}-{said.name}"
        call = call_of(reservation, key)
        self._world.auditor.fulfilments.ask(call, said.lines)
        self._world.call("inventory_api", said.times, partial(self._fulfil, reservation, key, call, said))

    def _fulfil(self, reservation: str, key: str, call: Call, said: FulfilCall) -> None:
        world, audit = self._world, self._world.auditor.fulfilments
        world.deliveries += 1
        began = world.scheduler.us
        wanted = [Wanted(sku, units, place) for sku, place, units in said.lines]
        try:
            world.house.fulfiller.fulfil(reservation, key, wanted)
        except ReservationBusyError as busy:
            raise OSError(busy) from busy
        except ReservationNotFoundError:
            return
        except IdempotencyConflictError:
            audit.conflicted(call)
        except InvalidReservationError as refused:
            audit.refused(call, said.lines, began, is_full=FULL in str(refused))
        else:
            audit.answered(call, said.lines)

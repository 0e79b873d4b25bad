"""People and systems as they work transfers: they request, approve, ship, receive, close, repeat their calls, and tell."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from infra.simulation.network import MOVEMENTS
from infra.simulation.transfer_audit import Asked, Document, call_of, transfer_of
from infra.simulation.workload import ReportLine, Transfer, TransferCall, Webhook
from shared.operations.reservations import InsufficientStockError
from shared.operations.transfer_calls import (
    Part,
    RefusedTransferError,
    TransferBusyError,
    TransferNotFoundError,
    WriteOffNotAllowedError,
)

if TYPE_CHECKING:
    from infra.simulation.world import World

PERSON = "ops"
MEANS = {
    "approve": "approve",
    "ship": "shipped",
    "receive": "received",
    "close": "close",
    "close_with_loss": "close",
}
"""What the calls by hand are called where they are checked."""

TOLD = {
    "tell_ship": "transfer_ship",
    "tell_receive": "transfer_receive",
    "tell_loss": "adjustment",
    "misname": "transfer_receive",
}
"""The messages of systems."""


class TransferPeople:
    """Whoever has to do with transfers."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._known: set[str] = set()

    def play(self, step: Transfer) -> None:
        """Request a transfer, and let come what comes of it."""
        world, transfer = self._world, transfer_of(PERSON, step.key)
        lead_time = None if step.lead_time_h is None else timedelta(hours=step.lead_time_h)
        audit = world.auditor.transfers
        audit.request(transfer, Document(step.origin, step.destination, dict(step.lines), lead_time))
        audit.ask(transfer, call_of(PERSON, step.key), Asked("request"))

        def request() -> None:
            world.deliveries += 1
            try:
                made = world.house.transfers.request(
                    PERSON, step.key, step.origin, step.destination, step.lines, "west runs out", lead_time
                )
            except TransferBusyError as busy:
                raise OSError(busy) from busy
            self._known.add(made.id)

        world.call("inventory_api", step.asked, request)
        for call in step.calls:
            world.scheduler.after(call.after, partial(self._say, step, transfer, call))

    def _say(self, step: Transfer, transfer: str, call: TransferCall) -> None:
        now = self._world.scheduler.now()
        at = None if call.ago is None else now - timedelta(seconds=call.ago)
        if call.action in TOLD:
            self._tell(step, transfer, call)
            return
        key = f"{step.key}-{call.name}"
        name = call_of(PERSON, key)
        asked = Asked(MEANS[call.action], call.lines, at)
        self._world.auditor.transfers.ask(transfer, name, asked)
        self._world.call(
            "inventory_api", call.times, partial(self._do, transfer, name, key, call.action, asked)
        )

    def _do(self, transfer: str, name: str, key: str, action: str, asked: Asked) -> None:
        self._world.deliveries += 1
        parts = [Part(sku, units) for sku, units in asked.lines]
        desk = self._world.house.transfers
        with suppress(
            RefusedTransferError, TransferNotFoundError, InsufficientStockError, WriteOffNotAllowedError
        ):
            try:
                match action:
                    case "approve":
                        desk.approve(transfer, PERSON, key)
                    case "ship":
                        desk.ship(transfer, PERSON, key, parts, asked.at)
                    case "receive":
                        desk.receive(transfer, PERSON, key, parts, asked.at)
                    case _:
                        loss = action == "close_with_loss"
                        desk.close(transfer, PERSON, key, "lost", accept_loss=loss, may_write_off=loss)
            except TransferBusyError as busy:
                raise OSError(busy) from busy
            self._world.auditor.transfers.answered(transfer, name)

    def _tell(self, step: Transfer, transfer: str, call: TransferCall) -> None:
        """Let the system that moves stock there say it, if anybody can have told it of the transfer."""
        if transfer not in self._known:
            return
        world, type_ = self._world, TOLD[call.action]
        place = step.origin if type_ == "transfer_ship" else step.destination
        named = "nowhere" if call.action == "misname" else transfer
        extra: dict[str, str] = {"transfer": named}
        if type_ == "transfer_ship":
            extra["to_location"] = step.destination
        if type_ == "adjustment":
            extra["counter"] = "in_transit"
        sign = -1 if type_ == "adjustment" else 1
        lines = tuple(ReportLine(sku, place, sign * units, tuple(extra.items())) for sku, units in call.lines)
        now, document = world.scheduler.seconds, f"{step.key}-{call.name}"
        occurred = float(int(now - (call.ago or 0)))
        deliveries = tuple((delay, f"d{document}") for delay in call.times)
        report = Webhook(now, MOVEMENTS[place], type_, document, occurred, lines, deliveries)
        world.play(report)

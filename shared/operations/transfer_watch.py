"""Watching over transfers: units that should have arrived are a case, which closes by itself when they have.

Everything is judged from how the tables stand now. A transfer whose closing was cut short is written off here, too.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from decimal import Decimal

from shared.domain.cases import Case, CaseKind, Fact, case_id
from shared.domain.events import instant
from shared.domain.money import Money
from shared.domain.transfer import Transfer
from shared.operations.transfer_calls import TransferBusyError, TransferNotFoundError
from shared.operations.transfers import TransferDesk
from shared.store.cases import Cases
from shared.store.registry import Registry
from shared.store.table import Table
from shared.store.transfers import Transfers

log = logging.getLogger(__name__)


class TransferWatch:
    """Keeps the cases of transfers true."""

    def __init__(
        self,
        table: Table,
        registry: Registry,
        cases: Cases,
        desk: TransferDesk,
        clock: Callable[[], datetime],
    ) -> None:
        self._transfers = Transfers(table)
        self._registry = registry
        self._cases = cases
        self._desk = desk
        self._clock = clock

    def run(self) -> dict[str, int]:
        """Look at everything that is due once; return how many transfers are overdue."""
        now = self._clock()
        late: dict[str, Case] = {}
        for listed in self._transfers.due(now):
            found = self._late(listed, now)
            if found is not None:
                late[found.id] = found
        for known in self._cases.open_of((CaseKind.TRANSFER_OVERDUE,)):
            found = late.pop(known.id, None) or self._judge_again(known, now)
            if found is None:
                self._cases.close(known.id, "all that was shipped has arrived, or is written off", now)
            elif found.facts != known.facts:
                self._cases.file(found)
        for case in late.values():
            self._cases.file(case)
        return {"transfers_overdue": len(late)}

    def _judge_again(self, known: Case, now: datetime) -> Case | None:
        """Judge by itself what the index did not list, or not yet: it may lag behind the table."""
        with suppress(TransferNotFoundError):
            return self._late(self._desk.get(str(known.facts["transfer"])), now)
        return None

    def _late(self, transfer: Transfer, now: datetime) -> Case | None:
        if transfer.closed is not None:
            try:
                transfer = self._desk.settle(transfer)
            except TransferBusyError:
                log.warning("write_off_left_to_next_run", extra={"transfer": transfer.id})
        due_at = transfer.due_at
        return None if due_at is None or due_at > now else self._case(transfer, due_at, now)

    def _case(self, transfer: Transfer, due_at: datetime, now: datetime) -> Case:
        missing = {
            line.sku: units for line in transfer.lines if (units := transfer.figures(line.sku).in_transit) > 0
        }
        items = self._registry.items.find(missing)
        worth: dict[str, Decimal] = {}
        for sku, units in missing.items():
            price = items[sku].price if sku in items else None
            if price is not None:
                worth[price.currency] = worth.get(price.currency, Decimal(0)) + price.amount * units
        values = ", ".join(str(Money(amount, currency)) for currency, amount in sorted(worth.items()))
        units, [first, *others] = sum(missing.values()), missing
        facts: dict[str, Fact] = {
            "transfer": transfer.id,
            "from": transfer.origin,
            "to": transfer.destination,
            "location": transfer.destination,
            "units": units,
            "value": values or None,
            "due_at": instant(due_at),
            "missing": ", ".join(f"{sku} {left}" for sku, left in missing.items()),
        }
        if not others:
            facts["sku"] = first
        worth_said = f", worth {values}" if values else ""
        return Case(
            case_id(CaseKind.TRANSFER_OVERDUE, transfer.id),
            CaseKind.TRANSFER_OVERDUE,
            f"{units} units{worth_said} of transfer {transfer.id} left {transfer.origin} and should have reached "
            f"{transfer.destination} by {instant(due_at)}",
            f"ask {transfer.destination} and the carrier: receive what is there (onecount transfers receive), or close the "
            "transfer and accept the loss",
            now,
            now,
            facts,
        )

"""Watching over transfers: what nobody may overlook is a case, and each case closes by itself.

======================  ===========================================================================================
transfer_overdue        units left longer ago than the way takes, and have not arrived
transfer_over_received  more arrived, or was written off, than is said to have left, and the shipment was not told since
transfer_misnamed       filed with the messages that name a transfer wrongly; closed here once all of them are undone
======================  ===========================================================================================

Everything is judged from how the tables stand now. A transfer whose closing was cut short is written off here, too.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from decimal import Decimal

from shared.domain.cases import Case, CaseKind, Fact, case_id
from shared.domain.events import instant
from shared.domain.money import Money
from shared.domain.transfer import Transfer
from shared.operations.transfer_calls import TransferBusyError, TransferNotFoundError
from shared.operations.transfer_names import judge_misnamed
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
        self._table = table
        self._transfers = Transfers(table)
        self._registry = registry
        self._cases = cases
        self._desk = desk
        self._clock = clock

    def run(self) -> dict[str, int]:
        """Look at everything that is due once; return how many cases of transfers are open."""
        now = self._clock()
        found = {case.id: case for listed in self._transfers.due(now) for case in self._judge(listed, now)}
        late = len(found)
        for known in self._cases.open_of(tuple(_RESOLUTIONS)):
            listed = found.pop(known.id, None)
            case = listed or self._judge_again(known, now)
            late += case is not None and listed is None
            if case is None:
                self._cases.close(known.id, _RESOLUTIONS[known.kind], now)
            elif case.facts != known.facts:
                self._cases.file(case)
        for case in found.values():
            self._cases.file(case)
        for known in self._cases.open_of((CaseKind.TRANSFER_MISNAMED,)):
            judge_misnamed(known, self._table, self._cases, now)
        return {"transfers_late": late}

    def _judge_again(self, known: Case, now: datetime) -> Case | None:
        """Judge by itself what the index did not list, or not yet: it may lag behind the table."""
        with suppress(TransferNotFoundError):
            transfer = self._desk.get(str(known.facts["transfer"]))
            return next((case for case in self._judge(transfer, now) if case.id == known.id), None)
        return None

    def _judge(self, transfer: Transfer, now: datetime) -> Iterator[Case]:
        if transfer.closed is not None:
            try:
                transfer = self._desk.settle(transfer)
            except TransferBusyError:
                log.warning("write_off_left_to_next_run", extra={"transfer": transfer.id})
        due_at, unexplained_at = transfer.due_at, transfer.unexplained_at
        if due_at is not None and due_at <= now:
            about = self._about(transfer, sign=1)
            yield _overdue(transfer, due_at, about, now)
        if unexplained_at is not None and unexplained_at <= now:
            yield _over_received(transfer, self._about(transfer, sign=-1), now)

    def _about(self, transfer: Transfer, sign: int) -> dict[str, Fact]:
        """Return the figures of a case: the units that are on the way (or with -1, that came unannounced), and their worth."""
        units = {line.sku: sign * transfer.figures(line.sku).in_transit for line in transfer.lines}
        units = {sku: left for sku, left in units.items() if left > 0}
        items = self._registry.items.find(units)
        worth: dict[str, Decimal] = {}
        for sku, left in units.items():
            price = items[sku].price if sku in items else None
            if price is not None:
                worth[price.currency] = worth.get(price.currency, Decimal(0)) + price.amount * left
        values = ", ".join(str(Money(amount, currency)) for currency, amount in sorted(worth.items()))
        facts: dict[str, Fact] = {
            "transfer": transfer.id,
            "from": transfer.origin,
            "to": transfer.destination,
            "location": transfer.destination,
            "units": sum(units.values()),
            "value": values or None,
            "items": ", ".join(f"{sku} {left}" for sku, left in units.items()),
        }
        return facts | ({"sku": next(iter(units))} if len(units) == 1 else {})


_RESOLUTIONS = {
    CaseKind.TRANSFER_OVERDUE: "all that was shipped has arrived, or is written off",
    CaseKind.TRANSFER_OVER_RECEIVED: "as much is said to have left as arrived, or the difference was accepted",
}


def _overdue(transfer: Transfer, due_at: datetime, about: Mapping[str, Fact], now: datetime) -> Case:
    return Case(
        case_id(CaseKind.TRANSFER_OVERDUE, transfer.id),
        CaseKind.TRANSFER_OVERDUE,
        f"{_so_many(about)} of transfer {transfer.id} left {transfer.origin} and should have reached "
        f"{transfer.destination} by {instant(due_at)}",
        f"ask {transfer.destination} and the carrier: receive what is there (onecount transfers receive), or close the "
        "transfer (once more, if it is closed) and accept the loss",
        now,
        now,
        {**about, "due_at": instant(due_at)},
    )


def _over_received(transfer: Transfer, about: Mapping[str, Fact], now: datetime) -> Case:
    return Case(
        case_id(CaseKind.TRANSFER_OVER_RECEIVED, transfer.id),
        CaseKind.TRANSFER_OVER_RECEIVED,
        f"{_so_many(about)} of transfer {transfer.id} arrived at {transfer.destination} or were written off, and nobody "
        f"says that they left {transfer.origin}",
        f"ask {transfer.origin} for the shipment; if more arrived than was sent, or was written off and never left, close "
        "the transfer (once more, if it is closed) and accept the difference",
        now,
        now,
        about,
    )


def _so_many(about: Mapping[str, Fact]) -> str:
    worth = f", worth {about['value']}," if about["value"] else ""
    return f"{about['units']} units{worth}"

"""What a transfer holds at its origin from the approval on: an order of its own, one line for each of its lines.

It is held like a reservation through our API, but for no channel: units that are set aside for one stay there, and what
channels withhold from their own promises (safety stock, a buffer) binds no transfer.
"""

from __future__ import annotations

from datetime import datetime

from shared.domain.availability import Claim
from shared.domain.events import DemandEffect
from shared.domain.reservation import OrderLine, merge_demand
from shared.domain.stock import ChannelId, StockKey
from shared.domain.transfer import Transfer
from shared.operations.reservation_items import demand_of
from shared.operations.reservations import InsufficientStockError, Shortfall
from shared.store.orders import Orders, line_puts
from shared.store.promises import claim_conditions, promise_action, standings
from shared.store.table import Action, Table

_NOBODY = ChannelId("")


class TransferHold:
    """Says what to write so that a transfer holds its units, or gives them back."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._orders = Orders(table)

    def taken(self, transfer: Transfer, now: datetime) -> list[Action]:
        """Return the writes that hold what has not left yet, on condition that nobody was promised it.

        Raises
        ------
        InsufficientStockError
            When fewer units are left.
        """
        lines = self._lines(transfer)
        before = standings(self._table, [line.stock_key for line in lines])
        actions, short = list[Action](), list[Shortfall]()
        for wanted, line in zip(transfer.lines, lines, strict=True):
            ordered = demand_of(line, DemandEffect.ORDERED, "1", wanted.quantity, now)
            held = merge_demand(line, ordered, effect=str(wanted.quantity))
            units, standing = held.open - line.open, before[line.stock_key]
            kept = sum(standing.set_aside.values())
            if units and standing.available - kept < units:
                left = max(0, standing.available - kept)
                short.append(Shortfall(wanted.sku, transfer.origin, units, left))
                continue
            conditions = claim_conditions(Claim(0, kept + units), _NOBODY, standing) if units else []
            actions += [*line_puts(held, now), promise_action(line.stock_key, -units, now, *conditions)]
        if short:
            raise InsufficientStockError(short)
        return actions

    def given_back(self, transfer: Transfer, now: datetime) -> list[Action]:
        """Return the writes that give back what a transfer still holds.

        All that was asked for is called off, also what has left: if it turns out that it never did, it is held for
        nobody.
        """
        actions: list[Action] = []
        for line in self._lines(transfer):
            if line.taken:
                off = demand_of(line, DemandEffect.CANCELLED, "release", line.taken, now)
                actions += line_puts(merge_demand(line, off, effect="release"), now)
                actions += [promise_action(line.stock_key, line.open, now)] if line.open else []
        return actions

    def _lines(self, transfer: Transfer) -> list[OrderLine]:
        names: dict[tuple[str, str], StockKey] = {
            (transfer.order, line.sku): StockKey(line.sku, transfer.origin) for line in transfer.lines
        }
        found = self._orders.lines(names)
        return [found[name] for name in names]

"""Setting units aside: a part of a stock key's stock that one channel alone may sell (an EDI account, a campaign).

What is set aside is a counter of its own beside what is available: the channel's claims take from it first, releases
give back to it, and nobody else's promise contains it. Set aside is what is left of it, so saying the same number
again tops it up; 0 gives everything back to all.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

from shared.domain.network import Channel
from shared.domain.stock import ChannelId, Quantity, StockKey
from shared.operations.allotments import Allotments
from shared.operations.reservations import (
    InsufficientStockError,
    InvalidReservationError,
    Shortfall,
    UnknownItemError,
)
from shared.operations.stock_view import StockView
from shared.store.promises import set_aside_action, standings
from shared.store.registry import Registry
from shared.store.table import Table, TableError, WriteRefusedError

ATTEMPTS = 10


class SetAsideBusyError(Exception):
    """Others kept changing the stock key; trying again is safe."""


class SetAside:
    """Keeps units for single channels."""

    def __init__(self, table: Table, registry: Registry, clock: Callable[[], datetime]) -> None:
        self._table = table
        self._registry = registry
        self._clock = clock
        self._allotments = Allotments(table, clock)
        self._view = StockView(table, registry, clock)

    def keep(self, channel_id: ChannelId, key: StockKey, units: Quantity) -> Quantity:
        """Keep ``units`` of a stock key for a channel from now on; return how many were kept before.

        Raises
        ------
        InvalidReservationError
            When the channel does not sell from there, and there is nothing to give back; or the units are no number
            of units.
        UnknownItemError
            When there is no such item, and nothing was ever posted to it.
        InsufficientStockError
            When fewer are left that nobody has and that are kept for nobody else; nothing was changed.
        SetAsideBusyError, TableError
        """
        channel = self._registry.network().channels.get(channel_id)
        sells_there = channel is not None and key.location in channel.locations
        if not sells_there and not (units == 0 and self._is_over(channel, channel_id, key)):
            raise InvalidReservationError(
                "location" if channel else "channel",
                f"{channel_id!r} does not sell from {key.location!r}",
                "use a declared channel and one of its locations",
            )
        if units < 0:
            raise InvalidReservationError("units", f"{units} is no number of units", "keep 0 or more")
        if unknown := self._view.unknown([key.sku]):
            raise UnknownItemError(unknown, "sku")
        for _ in range(ATTEMPTS):
            known = standings(self._table, [key])[key]
            before = known.set_aside.get(channel_id, 0)
            others = sum(known.set_aside.values()) - before
            if units > before and known.available < units + others:
                left = max(0, known.available - others)
                raise InsufficientStockError([Shortfall(key.sku, key.location, units, left)])
            try:
                self._table.write([set_aside_action(key, channel_id, units, known, self._clock())])
            except WriteRefusedError as refused:
                with suppress(TableError):  # it is tried again, as long as anything is
                    self._allotments.make_way(refused)
            except TableError as error:
                raise SetAsideBusyError(str(key)) from error
            else:
                return before
        raise SetAsideBusyError(str(key))

    def _is_over(self, channel: Channel | None, channel_id: ChannelId, key: StockKey) -> bool:
        """Whether a channel is gone, or keeps units where it sells no more: they can be given back to all."""
        return channel is None or channel_id in standings(self._table, [key])[key].set_aside

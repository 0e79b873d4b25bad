"""What a client may do with reservations: make them for items that exist, and give back those it made itself.

The reserver (``reserve.py``) knows stock; who asked and what is an item at all is judged here, around it:

* a SKU that stands for nothing of ours can never be reserved, and to call that a shortage would send the caller to
  the wrong people. It is looked up only when a reservation has fallen short, so that one which succeeds costs no
  more;
* a reservation belongs to the client whose token made it. Its id is made from that client's idempotency key, which
  others may guess, so knowing the id is no permission.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from shared.domain.stock import ChannelId
from shared.operations.reservations import InsufficientStockError, Reservation, UnknownItemError, Wanted
from shared.operations.reserve import Reserver
from shared.operations.stock_view import StockView
from shared.store.layout import order_key
from shared.store.table import Table


class NotYoursError(Exception):
    """The reservation was made by another client."""


class ReservationDesk:
    """Takes and gives back reservations on behalf of a client."""

    def __init__(self, table: Table, reserver: Reserver, view: StockView) -> None:
        self._table = table
        self._reserver = reserver
        self._view = view

    def reserve(
        self,
        key: str,
        client: str,
        channel: ChannelId,
        wanted: Sequence[Wanted],
        lifetime: timedelta | None = None,
    ) -> Reservation:
        """Reserve every line or none; see ``Reserver.reserve``.

        Raises
        ------
        UnknownItemError
            When lines fell short because no such item exists.
        InvalidReservationError, InsufficientStockError, IdempotencyConflictError, ReservationBusyError
        """
        try:
            return self._reserver.reserve(key, client, channel, wanted, lifetime)
        except InsufficientStockError as error:
            unknown = self._view.unknown(shortfall.sku for shortfall in error.shortfalls)
            if unknown:
                raise UnknownItemError(unknown) from error
            raise

    def release(self, reservation: str, client: str, *, for_anyone: bool = False) -> Reservation:
        """Give back what a reservation still holds; one of another client only ``for_anyone``.

        Raises
        ------
        NotYoursError
        ReservationNotFoundError, ReservationBusyError
        """
        if not for_anyone:
            self.must_own(reservation, client)
        return self._reserver.release(reservation)

    def must_own(self, reservation: str, client: str) -> None:
        """Make sure that a reservation, if there is one, was made by a client.

        Raises
        ------
        NotYoursError
        """
        item = self._table.get(order_key(f"reservation/{reservation}"))
        if item is not None and item.get("caller") != client:
            raise NotYoursError(f"reservation {reservation} was made by another client")

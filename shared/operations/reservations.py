"""What reservations are to their callers: what is asked for, what was made of it, and why it could not be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from shared.domain.reservation import OrderLine
from shared.domain.stock import ChannelId, LocationId, Quantity, Sku


class ReservationStatus(StrEnum):
    """How a reservation stands. A pending one is still being taken, and promised to nobody."""

    PENDING = "pending"
    CONFIRMED = "confirmed"
    RELEASED = "released"
    EXPIRED = "expired"
    FULFILLED = "fulfilled"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Units of a SKU to reserve, at a location or where sourcing finds them."""

    sku: Sku
    quantity: Quantity
    location: LocationId | None = None


@dataclass(frozen=True, slots=True)
class Shortfall:
    """A line that could not be covered; of one that named no location, all of it at all locations (None)."""

    sku: Sku
    location: LocationId | None
    requested: Quantity
    available_to_promise: Quantity


@dataclass(frozen=True, slots=True)
class Reservation:
    """A reservation as it stands. ``explanation`` says why each line comes from where it does."""

    id: str
    channel: ChannelId
    status: ReservationStatus
    created_at: datetime
    expires_at: datetime | None
    lines: tuple[OrderLine, ...]
    explanation: tuple[str, ...] = ()


class InsufficientStockError(Exception):
    """Not every line can be covered; nothing was reserved."""

    def __init__(self, shortfalls: Sequence[Shortfall]) -> None:
        super().__init__("not enough stock for " + ", ".join(s.sku for s in shortfalls))
        self.shortfalls = tuple(shortfalls)


class UnknownItemError(LookupError):
    """Some SKUs stand for nothing of ours; nothing was reserved, or set aside. ``field`` is the one that names them."""

    def __init__(self, skus: Sequence[Sku], field: str = "lines") -> None:
        super().__init__("there is no item " + ", ".join(map(repr, skus)))
        self.skus, self.field = tuple(skus), field


class IdempotencyConflictError(Exception):
    """The idempotency key was used before for something else."""


class ReservationNotFoundError(LookupError):
    """There is no such reservation."""


class InvalidReservationError(ValueError):
    """The request cannot be meant: names the field and the remedy."""

    def __init__(self, field: str, reason: str, remedy: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field, self.reason, self.remedy = field, reason, remedy


class ReservationBusyError(Exception):
    """Too many others wanted the same stock at once; nothing was reserved, and trying again is safe."""

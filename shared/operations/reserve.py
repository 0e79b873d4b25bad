"""Reservations through our API: all lines or none, each unit promised once.

A reservation is an order of its own (``reservation/ID``) whose lines are ordered at once. Taking it is one
transaction: every line's stock key must still have what the channel may claim, and the condition is checked where
the number lives, so two callers never get the same unit. Releasing cancels the lines and always succeeds.
"""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import cast

from shared.domain.availability import needed_for, promise
from shared.domain.events import Demand, DemandEffect, Origin, instant, parse_instant
from shared.domain.network import Channel
from shared.domain.reservation import OrderLine, merge_demand
from shared.domain.stock import (
    ChannelId,
    EventKey,
    LocationId,
    MessageId,
    Quantity,
    Sku,
    SourceId,
    StockKey,
)
from shared.store.layout import SHARDS, order_key, promise_key, shard
from shared.store.ledger import promise_action
from shared.store.orders import Orders, line_put
from shared.store.registry import Registry
from shared.store.table import (
    Absent,
    Action,
    AtLeast,
    Exists,
    Item,
    Put,
    Table,
    ThrottledError,
    UnknownOutcomeError,
    Update,
    Value,
    WriteConflictError,
    WriteRefusedError,
)

MOST_LINES = 45
"""Lines that one reservation takes: two writes each and the order, within one transaction."""

ATTEMPTS = 40
ORIGIN = Origin(SourceId("onecount"), MessageId(""))


class ReservationStatus(StrEnum):
    """How a reservation stands."""

    CONFIRMED = "confirmed"
    RELEASED = "released"
    EXPIRED = "expired"
    FULFILLED = "fulfilled"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Units of a SKU to reserve, at a location or where the channel's orders reserve."""

    sku: Sku
    quantity: Quantity
    location: LocationId | None = None


@dataclass(frozen=True, slots=True)
class Shortfall:
    """A line that could not be covered."""

    sku: Sku
    location: LocationId
    requested: Quantity
    available_to_promise: Quantity


@dataclass(frozen=True, slots=True)
class Reservation:
    """A reservation as it stands."""

    id: str
    channel: ChannelId
    status: ReservationStatus
    created_at: datetime
    expires_at: datetime | None
    lines: tuple[OrderLine, ...]


class InsufficientStockError(Exception):
    """Not every line can be covered; nothing was reserved."""

    def __init__(self, shortfalls: Sequence[Shortfall]) -> None:
        super().__init__("not enough stock for " + ", ".join(s.sku for s in shortfalls))
        self.shortfalls = tuple(shortfalls)


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


class Reserver:
    """Takes, shows and releases reservations."""

    def __init__(
        self,
        table: Table,
        registry: Registry,
        clock: Callable[[], datetime],
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._table = table
        self._orders = Orders(table)
        self._registry = registry
        self._clock = clock
        self._pause = pause

    def reserve(
        self,
        key: str,
        caller: str,
        channel_id: ChannelId,
        wanted: Sequence[Wanted],
        lifetime: timedelta | None = None,
    ) -> Reservation:
        """Reserve every line or none, for a ``lifetime`` if one is given.

        The same key and request give the first answer again.

        Raises
        ------
        InvalidReservationError, InsufficientStockError, IdempotencyConflictError, ReservationBusyError
        """
        channel = self._channel(channel_id)
        units = self._per_stock_key(wanted, channel)
        reservation = hashlib.blake2b(f"{caller}\x1f{key}".encode(), digest_size=12).hexdigest()
        content = _content_hash(channel_id, units, lifetime)
        order, now = f"reservation/{reservation}", self._clock()
        lines = [
            _line(order, number, at, units[at], channel_id, now) for number, at in enumerate(units, start=1)
        ]
        told: dict[str, Value] = {
            "channel": channel_id,
            "content": content,
            "caller": caller,
            "created_at": instant(now),
        }
        if lifetime is not None:
            told |= _expiry(reservation, now + lifetime)
        header: Action = Put(order_key(order), told, (Absent(),))
        claims: list[Action] = [
            promise_action(at, -quantity, now, AtLeast("available", _needed(at, quantity, channel)))
            for at, quantity in units.items()
        ]
        actions = [header, *(line_put(line, now) for line in lines), *claims]
        try:
            self._take(reservation, actions, content, units, channel)
        except InsufficientStockError:
            if not self.expire_due():
                raise
            self._take(reservation, actions, content, units, channel)
        return self.get(reservation)

    def _take(
        self,
        reservation: str,
        actions: Sequence[Action],
        content: str,
        units: Mapping[StockKey, Quantity],
        channel: Channel,
    ) -> None:
        for attempt in range(ATTEMPTS):
            try:
                return self._table.write(actions)
            except WriteRefusedError as refused:
                return self._explain(refused, content, units, channel)
            except (WriteConflictError, ThrottledError, UnknownOutcomeError):
                self._pause(random.uniform(0.5, 1) * min(0.5, 0.01 * 2**attempt))  # noqa: S311
        raise ReservationBusyError(reservation)

    def get(self, reservation: str) -> Reservation:
        """Return a reservation; one whose time is over is given back on the spot.

        Raises
        ------
        ReservationNotFoundError, ReservationBusyError
        """
        found = _reservation(reservation, *self._read(reservation))
        is_over = found.expires_at is not None and found.expires_at <= self._clock()
        if is_over and found.status is ReservationStatus.CONFIRMED:
            return self._give_back(reservation, ReservationStatus.EXPIRED)
        return found

    def release(self, reservation: str) -> Reservation:
        """Give back what is still held. Releasing again changes nothing.

        Raises
        ------
        ReservationNotFoundError, ReservationBusyError
        """
        return self._give_back(reservation, ReservationStatus.RELEASED)

    def expire_due(self, limit: int = 100) -> int:
        """Give back reservations whose time is over, oldest first; return how many."""
        due = [
            key.pk.removeprefix("ORDER#reservation/")
            for number in range(SHARDS)
            for key in self._table.query_index(
                "expiring", f"expiring#{number}", last=instant(self._clock()), limit=limit
            )
        ]
        for reservation in due:
            self._give_back(reservation, ReservationStatus.EXPIRED)
        return len(due)

    def _read(self, reservation: str) -> tuple[Item, list[OrderLine]]:
        order = f"reservation/{reservation}"
        item = self._table.get(order_key(order))
        if item is None:
            raise ReservationNotFoundError(f"there is no reservation {reservation!r}")
        return item, self._orders.order(order)

    def _give_back(self, reservation: str, why: ReservationStatus) -> Reservation:
        for attempt in range(ATTEMPTS):
            item, lines = self._read(reservation)
            held = [line for line in lines if line.open]
            if not held and "expiring_pk" not in item:
                return _reservation(reservation, item, lines)
            now = self._clock()
            freed: defaultdict[StockKey, Quantity] = defaultdict(int)
            for line in held:
                freed[line.stock_key] += line.open
            settled = Update(
                order_key(f"reservation/{reservation}"),
                set={f"{why}_at" if held else "settled_at": instant(now)},
                remove=("expiring_pk", "expiring_sk"),
                conditions=(Exists(),),
            )
            try:
                self._table.write(
                    [
                        settled,
                        *(line_put(_released(line, now), now) for line in held),
                        *(promise_action(at, quantity, now) for at, quantity in freed.items()),
                    ]
                )
            except (WriteRefusedError, WriteConflictError, ThrottledError, UnknownOutcomeError):
                self._pause(random.uniform(0.5, 1) * min(0.5, 0.01 * 2**attempt))  # noqa: S311
        raise ReservationBusyError(reservation)

    def _channel(self, channel_id: ChannelId) -> Channel:
        channel = self._registry.network().channels.get(channel_id)
        if channel is None:
            channel = self._registry.network(fresh=True).channels.get(channel_id)
        if channel is None:
            raise InvalidReservationError(
                "channel", f"{channel_id!r} is not declared", "use a declared channel"
            )
        return channel

    def _per_stock_key(self, wanted: Sequence[Wanted], channel: Channel) -> dict[StockKey, Quantity]:
        """Sum the lines of one stock key first: two lines of 3 must not each pass against 4."""
        units: dict[StockKey, Quantity] = {}
        if not wanted:
            raise InvalidReservationError("lines", "there are none", "name at least one line")
        for number, line in enumerate(wanted):
            if line.quantity < 1:
                raise InvalidReservationError(
                    f"lines[{number}].quantity", f"{line.quantity} is no number of units", "reserve 1 or more"
                )
            location = line.location or channel.demand_location
            if location is None or location not in channel.locations:
                raise InvalidReservationError(
                    f"lines[{number}].location",
                    f"{location!r} is not a location that {channel.id} sells from",
                    "use one of: " + ", ".join(channel.locations),
                )
            at = StockKey(line.sku, location)
            units[at] = units.get(at, 0) + line.quantity
        if len(units) > MOST_LINES:
            raise InvalidReservationError("lines", f"more than {MOST_LINES} lines", "split the reservation")
        return units

    def _explain(
        self, refused: WriteRefusedError, content: str, units: Mapping[StockKey, Quantity], channel: Channel
    ) -> None:
        """Return where the reservation turns out to be ours already; raise where it cannot be had."""
        shortfalls = []
        places = {promise_key(at): at for at in units}
        for refusal in refused.refusals:
            at = places.get(refusal.action.key)
            if at is None:
                if refusal.found is not None and refusal.action.key.sk == "-":
                    if refusal.found.get("content") != content:
                        raise IdempotencyConflictError
                    return
                continue
            available = 0 if refusal.found is None else cast(int, refusal.found["available"])
            left = promise(available, channel).available_to_promise
            shortfalls.append(Shortfall(at.sku, at.location, units[at], left))
        raise InsufficientStockError(shortfalls)


def _needed(at: StockKey, quantity: Quantity, channel: Channel) -> Quantity:
    needed = needed_for(quantity, channel)
    if needed is None:
        raise InsufficientStockError([Shortfall(at.sku, at.location, quantity, 0)])
    return needed


def _line(
    order: str, number: int, at: StockKey, quantity: Quantity, channel: ChannelId, now: datetime
) -> OrderLine:
    empty = OrderLine(order, str(number), at, channel)
    demand = _demand(empty, DemandEffect.ORDERED, "1", quantity, now)
    return merge_demand(empty, demand, effect=str(quantity))


def _released(line: OrderLine, now: datetime) -> OrderLine:
    return merge_demand(
        line, _demand(line, DemandEffect.CANCELLED, "release", line.open, now), effect="release"
    )


def _demand(line: OrderLine, effect: DemandEffect, name: str, quantity: Quantity, now: datetime) -> Demand:
    """Say of a line of ours what an order document says: ``name`` is the version, or the document."""
    return Demand(
        EventKey(f"onecount/{line.order}/{line.line}/{effect}/{name}"),
        line.stock_key.sku,
        cast(ChannelId, line.channel),
        line.order,
        line.line,
        effect,
        quantity,
        now,
        ORIGIN,
        line.stock_key.location,
        document=name,
        version=name,
    )


def _expiry(reservation: str, at: datetime) -> dict[str, Value]:
    """List a reservation among those whose time will be over."""
    marks = {"expiring_pk": f"expiring#{shard(reservation)}", "expiring_sk": instant(at)}
    return {"expires_at": instant(at), **marks}


def _reservation(reservation: str, item: Item, lines: Sequence[OrderLine]) -> Reservation:
    if any(line.open for line in lines):
        status = ReservationStatus.CONFIRMED
    elif "expired_at" in item:
        status = ReservationStatus.EXPIRED
    elif "released_at" in item:
        status = ReservationStatus.RELEASED
    else:
        status = ReservationStatus.FULFILLED
    expires_at = cast("str | None", item.get("expires_at"))
    return Reservation(
        reservation,
        ChannelId(cast(str, item["channel"])),
        status,
        parse_instant(cast(str, item["created_at"])),
        None if expires_at is None else parse_instant(expires_at),
        tuple(lines),
    )


def _content_hash(channel: ChannelId, units: Mapping[StockKey, Quantity], lifetime: timedelta | None) -> str:
    lines = sorted((at.sku, at.location, quantity) for at, quantity in units.items())
    text = json.dumps([channel, lines, None if lifetime is None else lifetime.total_seconds()])
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()

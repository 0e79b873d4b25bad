"""What a reservation is made of: what was asked for, the order and lines that are stored, and how they read again."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import cast

from shared.domain.events import Demand, DemandEffect, Origin, instant, parse_instant
from shared.domain.network import Channel
from shared.domain.reservation import OrderLine, merge_demand
from shared.domain.stock import ChannelId, EventKey, MessageId, Quantity, Sku, SourceId, StockKey
from shared.operations.reservations import InvalidReservationError, Reservation, ReservationStatus, Wanted
from shared.store.layout import order_key, shard
from shared.store.promises import promise_action, with_own
from shared.store.table import Action, AttributeAbsent, Condition, Equals, Item, Update, Value

LONGEST = 500
"""Lines of the longest reservation."""

PREFIX = "reservation/"
"""How the name of a reservation's order begins."""

_OVER = ("released_at", "expired_at", "settled_at")
"""What a header says once all that was held has been given back."""

_IS_NUMBER = re.compile(r"[1-9][0-9]{0,8}")

ORIGIN = Origin(SourceId("onecount"), MessageId(""))


def asked(wanted: Sequence[Wanted], channel: Channel) -> tuple[dict[StockKey, Quantity], dict[Sku, Quantity]]:
    """Sum the lines of one stock key first: two lines of 3 must not each pass against 4.

    Lines that name no location stay without one where more than one may serve them.
    """
    fixed: dict[StockKey, Quantity] = {}
    floating: dict[Sku, Quantity] = {}
    if not wanted:
        raise InvalidReservationError("lines", "there are none", "name at least one line")
    for number, line in enumerate(wanted):
        if line.quantity < 1:
            raise InvalidReservationError(
                f"lines[{number}].quantity", f"{line.quantity} is no number of units", "reserve 1 or more"
            )
        location = line.location
        if location is None and len(channel.served_from) == 1:
            location = channel.served_from[0]
        if location is None and channel.served_from:
            floating[line.sku] = floating.get(line.sku, 0) + line.quantity
        elif location is None or location not in channel.locations:
            raise InvalidReservationError(
                f"lines[{number}].location",
                f"{location!r} is not a location that {channel.id} sells from",
                "use one of: " + ", ".join(channel.locations),
            )
        else:
            at = StockKey(line.sku, location)
            fixed[at] = fixed.get(at, 0) + line.quantity
    if len(fixed) + len(floating) > LONGEST:
        raise InvalidReservationError("lines", f"more than {LONGEST} lines", "split the reservation")
    return fixed, floating


def is_due(item: Item, now: datetime) -> bool:
    """Whether a header is listed among those whose time is over, or that are to be given back to the end."""
    return "expiring_sk" in item and cast(str, item["expiring_sk"]) <= instant(now)


def is_over_with(item: Item) -> bool:
    """Whether a header says that all that was held has been given back."""
    return any(name in item for name in _OVER)


def as_read(item: Item, *names: str) -> Iterable[Condition]:
    return (Equals(name, item[name]) if name in item else AttributeAbsent(name) for name in names)


def settled(
    item: Item, why: ReservationStatus, reservation: str, now: datetime, holds: bool, is_last: bool
) -> dict[str, Value]:
    """Say on the header what is being given back, and why; until the last step the expiry will come for the rest."""
    begun = next((known for known in ("released", "expired") if f"{known}_at" in item), why)
    said: dict[str, Value] = {f"{begun}_at" if holds else "settled_at": instant(now)}
    if item.get("status") == "pending":
        said["status"] = "given_back"
    return said if is_last else {**said, **marks(reservation, now)}


def freed(
    steps: Iterable[tuple[OrderLine, OrderLine]], channels: Mapping[ChannelId, Channel], now: datetime
) -> list[Update]:
    """Return the writes that make available again what some lines let go, to whom it was set aside where it was.

    Where its channel sells no more it goes to all: nobody else could claim it.
    """
    return [
        with_own(
            promise_action(was.stock_key, was.open - line.open, now),
            cast(ChannelId, was.channel),
            was.given_back if _still_sells(was, channels) else 0,
        )
        for was, line in steps
    ]


def _still_sells(line: OrderLine, channels: Mapping[ChannelId, Channel]) -> bool:
    channel = None if line.channel is None else channels.get(line.channel)
    return channel is not None and line.stock_key.location in channel.locations


def line_of(
    order: str, number: int, at: StockKey, quantity: Quantity, channel: ChannelId, now: datetime
) -> OrderLine:
    empty = OrderLine(order, str(number), at, channel)
    demand = demand_of(empty, DemandEffect.ORDERED, "1", quantity, now)
    return merge_demand(empty, demand, effect=str(quantity))


def released(line: OrderLine, now: datetime) -> OrderLine:
    """Cancel what a line holds and has not left, under a name of its own each time: of one document, one statement stands."""
    known = line.cancellations
    name = f"release/{len(known) + 1}" if "release" in known else "release"
    demand = demand_of(line, DemandEffect.CANCELLED, name, line.releasable, now)
    return merge_demand(line, demand, effect="release")


def given_back_again(order: str, item: Item, now: datetime) -> Action:
    """Return what to write of a reservation where units come back to one of its lines: the expiry is to see them.

    One that was given back to the end, or whose time was over, is listed once more. Of any other it is noted, so that
    whoever gives it back just now and has read its lines before looks again.
    """
    listed = "expiring_sk" in item or not is_over_with(item)
    return Update(
        order_key(order),
        set={} if listed else marks(order.removeprefix(PREFIX), now),
        add={"came_back": 1},
        conditions=tuple(as_read(item, "expiring_sk", *_OVER)),
    )


def demand_of(line: OrderLine, effect: DemandEffect, name: str, quantity: Quantity, now: datetime) -> Demand:
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


def expiry(reservation: str, at: datetime) -> dict[str, Value]:
    return {"expires_at": instant(at), **marks(reservation, at)}


def marks(reservation: str, at: datetime) -> dict[str, Value]:
    """List a reservation among those whose time will be over."""
    return {"expiring_pk": f"expiring#{shard(reservation)}", "expiring_sk": instant(at)}


def reservation_of(reservation: str, item: Item, lines: Sequence[OrderLine]) -> Reservation:
    first = cast(int, item.get("first_line", 1))
    lines = sorted(
        (line for line in lines if _number(line) >= first), key=lambda line: (_number(line), line.line)
    )
    is_open = any(line.open for line in lines)
    if item.get("status") == "pending":
        status = ReservationStatus.PENDING
    elif is_open and not is_over_with(item) and item.get("status") != "given_back":
        status = ReservationStatus.CONFIRMED
    elif "expired_at" in item:
        status = ReservationStatus.EXPIRED
    elif "released_at" in item or item.get("status") == "given_back" or is_open:
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
        tuple(cast("Sequence[str]", item.get("explanation", ()))),
    )


def _number(line: OrderLine) -> int:
    """Return which line of the request a line belongs to: ``3/MUG`` is a component of the third; 0: to none.

    A warehouse that ships for a reservation may number its lines in a way of its own.
    """
    number = line.line.partition("/")[0]
    return int(number) if _IS_NUMBER.fullmatch(number) else 0


def content_hash(
    channel: ChannelId,
    fixed: Mapping[StockKey, Quantity],
    floating: Mapping[Sku, Quantity],
    lifetime: timedelta | None,
) -> str:
    lines = sorted((at.sku, at.location, quantity) for at, quantity in fixed.items())
    anywhere = sorted(floating.items())
    text = json.dumps([channel, lines, anywhere, None if lifetime is None else lifetime.total_seconds()])
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()

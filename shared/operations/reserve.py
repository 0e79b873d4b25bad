"""Reservations through our API: all lines or none, each unit promised once.

A reservation is an order of its own (``reservation/ID``) whose lines are ordered at once. Taking it is one
transaction: every line's stock key must still have what the channel may claim, and the condition is checked where
the number lives, so two callers never get the same unit. Releasing cancels the lines and always succeeds. Where units
that were shipped for one that is over turn out never to have left, the expiry looks at it once more and releases those.

A reservation of more lines than one transaction holds writes itself ``pending`` with an expiry first, takes its lines
in chunks, and is ``confirmed`` by a last conditional write. Whatever ends it before that (a line that cannot be had,
a crash and then the expiry) gives everything back::

    -  pending (expires in a minute) --chunks--> pending --confirm--> confirmed
                        |                           |
                        '------- give back ---------'----> given back; the same key may try again, with new lines

What the same key finds decides what becomes of it, however many lines it has this time: a confirmed reservation is
the first answer again, a pending one is busy until its time is over, and one that was given back begins anew.

A line of a kit takes units of each of its components, summed with what the other lines take (``placing.py``).

Lines that name no location are sourced (``domain/sourcing.py``) from what stands just then; if it is gone when the
transaction is written, they are sourced anew.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import accumulate
from typing import cast

from shared.domain.availability import Standing, claim, promise
from shared.domain.events import instant
from shared.domain.network import Channel
from shared.domain.reservation import OrderLine
from shared.domain.stock import ChannelId, Quantity, StockKey
from shared.operations.allotments import Allotments
from shared.operations.attempts import wait_s
from shared.operations.placing import Placing, whole_shortfalls
from shared.operations.promises import Promises
from shared.operations.reservation_items import (
    as_read,
    asked,
    content_hash,
    expiry,
    freed,
    is_due,
    is_over_with,
    line_of,
    released,
    reservation_of,
    settled,
)
from shared.operations.reservations import (
    IdempotencyConflictError,
    InsufficientStockError,
    InvalidReservationError,
    Reservation,
    ReservationBusyError,
    ReservationNotFoundError,
    ReservationStatus,
    Shortfall,
    Wanted,
)
from shared.store.layout import SHARDS, order_key
from shared.store.ledger_items import stock_key_of
from shared.store.orders import TOGETHER_SIZE, Orders, line_put, line_size
from shared.store.promises import allotted, claim_conditions, promise_action, with_own
from shared.store.registry import Registry
from shared.store.table import (
    Absent,
    Action,
    Check,
    Condition,
    Equals,
    Item,
    Put,
    Table,
    TableError,
    ThrottledError,
    UnknownOutcomeError,
    Update,
    Value,
    WriteConflictError,
    WriteRefusedError,
)

log = logging.getLogger(__name__)

MOST_LINES = 45
"""Lines that one transaction takes: two writes each, and the order."""

PENDING_FOR = timedelta(minutes=1)
"""How long taking a long reservation may last before it is given back."""

UNCONFIRMED = ("pending", "given_back")
"""What a header says of a reservation that was never confirmed, of which nothing may be said to be reserved."""

ATTEMPTS = 40
FEW_ATTEMPTS = 5
"""Attempts to give one of many reservations back: the others wait for it, and it is due again in a minute."""

AT_ONCE = 100
"""Reservations of each shard that are given back at once, because their time is over."""

PLACINGS = 4
"""Times that a reservation is sourced before what keeps being taken in between counts as not there."""


class _GivenBackError(Exception):
    """An attempt under the same key was given back: the reservation begins anew, by what is said here."""

    def __init__(self, header: Item) -> None:
        super().__init__()
        self.header = header

    @property
    def first(self) -> int:
        """The number of the first line from now on."""
        return cast(int, self.header["first_line"]) + cast(int, self.header["lines"])

    @property
    def still(self) -> tuple[Condition, ...]:
        """That nobody else has begun anew."""
        return Equals("status", "given_back"), Equals("first_line", self.header["first_line"])


class _AgainError(Exception):
    """There is enough, but not as was reckoned: more is set aside for single channels, or it lies in other counters."""

    def __init__(self, known: Mapping[StockKey, Standing]) -> None:
        super().__init__()
        self.known = known


class Reserver:
    """Takes, shows and releases reservations, ``most_lines`` of one in each transaction."""

    def __init__(
        self,
        table: Table,
        registry: Registry,
        clock: Callable[[], datetime],
        pause: Callable[[float], None] = time.sleep,
        most_lines: int = MOST_LINES,
    ) -> None:
        self._table = table
        self._most_lines = most_lines
        self._orders = Orders(table)
        self._promises = Promises(table, registry, clock)
        self._allotments = Allotments(table, clock, pause)
        self._registry = registry
        self._clock = clock
        self._pause = pause

    # ---- taking -----------------------------------------------------------------------------------------------

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
        fixed, floating = asked(wanted, channel)
        reservation = hashlib.blake2b(f"{caller}\x1f{key}".encode(), digest_size=12).hexdigest()
        content = content_hash(channel_id, fixed, floating, lifetime)
        told: dict[str, Value] = {"channel": channel_id, "content": content, "caller": caller}
        for attempt in range(PLACINGS):
            units, explanation = Placing(self._promises, channel).place(fixed, floating)
            told["explanation"] = list(explanation)
            try:
                self._reserve_at(reservation, told, units, channel, lifetime)
                break
            except InsufficientStockError as error:
                may_be_elsewhere = floating and attempt + 1 < PLACINGS
                if not (self.make_room() and not attempt) and not may_be_elsewhere:
                    whole = whole_shortfalls(self._promises, channel, (fixed, floating), error.shortfalls)
                    raise InsufficientStockError(whole) from error
        item, lines = self._read(reservation)
        if item.get("status") in UNCONFIRMED:
            raise ReservationBusyError(reservation)
        return self._shown(reservation, item, lines)

    def _reserve_at(
        self,
        reservation: str,
        told: Mapping[str, Value],
        units: Mapping[StockKey, Quantity],
        channel: Channel,
        lifetime: timedelta | None,
    ) -> None:
        if len(units) > self._most_lines:
            return self._reserve_long(reservation, told, units, channel, lifetime)
        known: dict[StockKey, Standing] = {}
        first, expected = 1, tuple[Condition, ...]([Absent()])
        for _ in range(ATTEMPTS):
            now = self._clock()
            header = {**told, "created_at": instant(now), "first_line": first}
            if lifetime is not None:
                header |= expiry(reservation, now + lifetime)
            order = order_key(f"reservation/{reservation}")
            lines, claims = self._claims(reservation, first, units, channel, known, now)
            actions: list[Action] = [Put(order, header, expected), *lines, *claims]
            try:
                return self._take(reservation, actions, told, units, channel)
            except _AgainError as learnt:
                known |= learnt.known
            except _GivenBackError as ended:
                first, expected = ended.first, ended.still
        raise ReservationBusyError(reservation)

    def _claims(
        self,
        reservation: str,
        first: int,
        units: Mapping[StockKey, Quantity],
        channel: Channel,
        known: Mapping[StockKey, Standing],
        now: datetime,
    ) -> tuple[list[Put], list[Update]]:
        """Return the writes of some lines, and those of their claims."""
        lines, claims = list[Put](), list[Update]()
        stale = self._promises.stale(at.location for at in units)
        hot = self._promises.remembered_hot(at.sku for at in units)
        for number, (at, quantity) in enumerate(units.items(), start=first):
            standing = replace(known.get(at, Standing(0)), is_stale=at.location in stale)
            found = claim(quantity, channel, standing)
            if found is None:
                raise InsufficientStockError([Shortfall(at.sku, at.location, quantity, 0)])
            line = line_of(f"reservation/{reservation}", number, at, quantity, channel.id, now)
            allotment = None
            if not found.own:
                is_hot = at.sku in hot
                allotment = self._allotments.claim(at, quantity, channel, standing, now, is_hot=is_hot)
            if allotment is not None:
                lines.append(line_put(line, now))
                claims.append(allotment)
                continue
            lines.append(line_put(replace(line, dedicated=found.own), now))
            conditions = claim_conditions(found, channel.id, standing)
            claims.append(with_own(promise_action(at, -quantity, now, *conditions), channel.id, -found.own))
        return lines, claims

    def _take(
        self,
        reservation: str,
        actions: Sequence[Action],
        told: Mapping[str, Value],
        units: Mapping[StockKey, Quantity],
        channel: Channel,
    ) -> None:
        for attempt in range(ATTEMPTS):
            try:
                return self._table.write(actions)
            except WriteRefusedError as refused:
                header = next((r for r in refused.refusals if r.action.key == actions[0].key), None)
                if header is not None and header.found is not None:
                    return self._meet(reservation, header.found, told)
                self._explain(refused, units, channel)
            except (WriteConflictError, ThrottledError, UnknownOutcomeError) as error:
                if isinstance(error, WriteConflictError):
                    log.info("reservation_met_another", extra={"attempt": attempt + 1})
                    if self._allotments.met(units):
                        raise _AgainError({}) from error
                self._back_off(attempt)
        raise ReservationBusyError(reservation)

    def _meet(self, reservation: str, header: Item | None, told: Mapping[str, Value]) -> None:
        """Follow the header that the key has already: returns where the reservation was confirmed once.

        Raises
        ------
        IdempotencyConflictError
            When it is for another request.
        ReservationBusyError
            When it is being taken just now.
        _GivenBackError
            When it was given back, all of it, if need be here and now.
        """
        for _ in range(ATTEMPTS):
            if header is None or header["content"] != told["content"]:
                raise IdempotencyConflictError
            if header.get("status") not in UNCONFIRMED:
                return
            if "expiring_pk" not in header:
                raise _GivenBackError(header)
            if not is_due(header, self._clock()):
                break
            self._give_back(reservation, ReservationStatus.EXPIRED)
            header = self._table.get(order_key(f"reservation/{reservation}"))
        raise ReservationBusyError(reservation)

    def _explain(
        self, refused: WriteRefusedError, units: Mapping[StockKey, Quantity], channel: Channel
    ) -> None:
        """Raise what a refused claim means: too little of all there is, or that it must be claimed otherwise."""
        shortfalls, learnt = [], dict[StockKey, Standing]()
        for refusal in refused.refusals:
            if not refusal.action.key.pk.startswith("PROMISE#"):
                continue
            at = stock_key_of(dict(cast(Update, refusal.action).set))
            known = self._promises.read(at, refusal.found)
            if refusal.action.key.sk != "0":
                self._allotments.fill(at, int(refusal.action.key.sk), units[at], channel, known)
                continue
            has_more = allotted(refusal.found) > 0
            standing = self._promises.standings([at])[at] if has_more else known
            found = claim(units[at], channel, standing)
            if found is None or standing.available < found.least_available:
                left = promise(standing, channel).available_to_promise
                shortfalls.append(Shortfall(at.sku, at.location, units[at], left))
                continue
            learnt[at] = standing
            if has_more:
                self._gather(at)
        if shortfalls:
            raise InsufficientStockError(shortfalls)
        raise _AgainError(learnt)

    def _gather(self, at: StockKey) -> None:
        with suppress(TableError):  # it is tried again, as long as anything is
            self._allotments.gather(at)

    # ---- taking more lines than a transaction holds -------------------------------------------------------------

    def _reserve_long(
        self,
        reservation: str,
        told: Mapping[str, Value],
        units: Mapping[StockKey, Quantity],
        channel: Channel,
        lifetime: timedelta | None,
    ) -> None:
        first = self._begin(reservation, told, len(units))
        if first is None:
            return
        keys = list(units)
        try:
            for start in range(0, len(keys), self._most_lines):
                chunk = {at: units[at] for at in keys[start : start + self._most_lines]}
                self._take_chunk(reservation, first, first + start, chunk, channel)
        except InsufficientStockError:
            self._give_back(reservation, ReservationStatus.RELEASED, first)
            raise
        order = order_key(f"reservation/{reservation}")
        if is_due(self._table.get(order) or {}, self._clock()):
            self._give_back(reservation, ReservationStatus.EXPIRED)
            raise ReservationBusyError(reservation)
        confirmed: dict[str, Value] = {"status": "confirmed"}
        if lifetime is not None:
            confirmed |= expiry(reservation, self._clock() + lifetime)
        done = Update(
            order,
            set=confirmed,
            remove=() if lifetime is not None else ("expires_at", "expiring_pk", "expiring_sk"),
            conditions=(Equals("status", "pending"), Equals("first_line", first)),
        )
        self._write_step(reservation, [done])

    def _begin(self, reservation: str, told: Mapping[str, Value], lines: int) -> int | None:
        """Write the header as pending; return the number of its first line, or None where it is ours and done."""
        order, now = order_key(f"reservation/{reservation}"), self._clock()
        header = {**told, "created_at": instant(now), "status": "pending", "lines": lines}
        header |= expiry(reservation, now + PENDING_FOR)
        item = self._table.get(order)
        first, expected = 1, tuple[Condition, ...]([Absent()])
        if item is not None:
            try:
                self._meet(reservation, item, told)
            except _GivenBackError as ended:
                first, expected = ended.first, ended.still
            else:
                return None
        self._write_step(reservation, [Put(order, {**header, "first_line": first}, expected)])
        return first

    def _take_chunk(
        self,
        reservation: str,
        first: int,
        number: int,
        units: Mapping[StockKey, Quantity],
        channel: Channel,
    ) -> None:
        order = order_key(f"reservation/{reservation}")
        known: dict[StockKey, Standing] = {}
        for _ in range(ATTEMPTS):
            still = Check(order, (Equals("status", "pending"), Equals("first_line", first)))
            lines, claims = self._claims(reservation, number, units, channel, known, self._clock())
            try:
                return self._write_step(reservation, [still, *lines, *claims])
            except WriteRefusedError as refused:
                if any(refusal.action.key == order for refusal in refused.refusals):
                    raise ReservationBusyError(reservation) from refused
                try:
                    self._explain(refused, units, channel)
                except _AgainError as learnt:
                    known |= learnt.known
        raise ReservationBusyError(reservation)

    def _write_step(self, reservation: str, actions: Sequence[Action]) -> None:
        """Write one step of a long reservation; one that was refused after an unknown outcome had been written.

        Raises
        ------
        WriteRefusedError
            When a claim cannot be had.
        ReservationBusyError
            When somebody else has ended it, or the table stays busy.
        """
        uncertain = False
        for attempt in range(ATTEMPTS):
            try:
                return self._table.write(actions)
            except WriteRefusedError as refused:
                families = {refusal.action.key.pk.partition("#")[0] for refusal in refused.refusals}
                if uncertain and "ORDER" in families:
                    return None
                if families == {"ORDER"}:
                    raise ReservationBusyError(reservation) from refused
                raise
            except UnknownOutcomeError:
                uncertain = True
                self._back_off(attempt)
            except (WriteConflictError, ThrottledError):
                self._back_off(attempt)
        raise ReservationBusyError(reservation)

    # ---- showing and giving back --------------------------------------------------------------------------------

    def get(self, reservation: str) -> Reservation:
        """Return a reservation; one whose time is over is given back on the spot.

        Raises
        ------
        ReservationNotFoundError, ReservationBusyError
        """
        return self._shown(reservation, *self._read(reservation))

    def _shown(self, reservation: str, item: Item, lines: Sequence[OrderLine]) -> Reservation:
        found = reservation_of(reservation, item, lines)
        is_over = found.expires_at is not None and found.expires_at <= self._clock()
        if is_over and found.status in (ReservationStatus.CONFIRMED, ReservationStatus.PENDING):
            return self._give_back(reservation, ReservationStatus.EXPIRED)
        return found

    def release(self, reservation: str) -> Reservation:
        """Give back what is still held. Releasing again changes nothing.

        Raises
        ------
        ReservationNotFoundError, ReservationBusyError
        """
        return self._give_back(reservation, ReservationStatus.RELEASED)

    def gather_idle(self) -> int:
        """Take back what lies unused in the allotments of stock keys that were hot; return how many there were."""
        return self._allotments.gather_idle()

    def expire_due(self) -> int:
        """Give back reservations whose time is over, oldest first; return how many.

        Raises
        ------
        ReservationBusyError
            When some could not be given back just now, after all others have been.
        """
        expired, busy = self._expire()
        if busy:
            raise ReservationBusyError(", ".join(busy))
        return expired

    def make_room(self) -> bool:
        """Give back what is due for others to have, as far as that is possible just now; say whether anything was."""
        return self._expire()[0] > 0

    def _expire(self) -> tuple[int, list[str]]:
        """Give back what is due; return how many, and those that others kept changing."""
        due = [
            key.pk.removeprefix("ORDER#reservation/")
            for number in range(SHARDS)
            for key in self._table.query_index(
                "expiring", f"expiring#{number}", last=instant(self._clock()), limit=AT_ONCE
            )
        ]
        busy: list[str] = []
        for reservation in due:
            try:
                self._give_back(reservation, ReservationStatus.EXPIRED, tries=FEW_ATTEMPTS)
            except (ReservationBusyError, TableError) as error:
                log.warning(
                    "reservation_not_expired", extra={"reservation": reservation, "reason": str(error)}
                )
                busy.append(reservation)
        if due:
            log.info("reservations_expired", extra={"reservations": len(due) - len(busy)})
        return len(due) - len(busy), busy

    def _read(self, reservation: str) -> tuple[Item, list[OrderLine]]:
        order = f"reservation/{reservation}"
        item = self._table.get(order_key(order))
        if item is None:
            raise ReservationNotFoundError(f"there is no reservation {reservation!r}")
        return item, self._orders.order(order)

    def _give_back(
        self,
        reservation: str,
        why: ReservationStatus,
        attempt_from: int | None = None,
        tries: int = ATTEMPTS,
    ) -> Reservation:
        """Release what is held and has not left; of a long reservation in steps, which the expiry completes if they are cut short.

        What is not due does not expire: it may have been confirmed since somebody saw that it was. Where
        ``attempt_from`` is given, only the unconfirmed attempt whose first line that is goes back.
        """
        failures = 0
        while failures < tries:
            item, lines = self._read(reservation)
            now = self._clock()
            held = [
                step
                for step in ((line, released(line, now)) for line in lines if line.releasable)
                if step[1].open < step[0].open
            ]
            is_pending = item.get("status") == "pending"
            is_noted = why is ReservationStatus.EXPIRED or is_over_with(item)
            if not held and "expiring_pk" not in item and not is_pending and is_noted:
                return reservation_of(reservation, item, lines)
            is_over = why is not ReservationStatus.EXPIRED or is_due(item, now)
            is_unconfirmed = item.get("status") in UNCONFIRMED
            is_meant = attempt_from is None or (is_unconfirmed and item["first_line"] == attempt_from)
            if not (is_over and is_meant):
                return reservation_of(reservation, item, lines)
            # As long as it is pending, lines may still be added: only a look after that sees all of them.
            some = self._at_once(held)
            is_last = len(some) == len(held) and not is_pending
            order = order_key(f"reservation/{reservation}")
            header = Update(
                order,
                set=settled(item, why, reservation, now, bool(held), is_last),
                remove=("expiring_pk", "expiring_sk") if is_last else (),
                conditions=tuple(as_read(item, "status", "first_line", "expiring_sk", "came_back")),
            )
            # A channel that was removed a moment ago must not be given units that nobody could claim then.
            channels = self._registry.network(fresh=any(was.given_back for was, _ in some)).channels
            try:
                self._table.write(
                    [header, *(line_put(line, now) for _, line in some), *freed(some, channels, now)]
                )
            except (WriteRefusedError, WriteConflictError, ThrottledError, UnknownOutcomeError):
                self._back_off(failures)
                failures += 1
        raise ReservationBusyError(reservation)

    def _at_once(self, held: Sequence[tuple[OrderLine, OrderLine]]) -> Sequence[tuple[OrderLine, OrderLine]]:
        """Return the first of the lines to be released, as many as one write takes: those of many shipments are large."""
        sizes = accumulate(line_size(line) for _, line in held)
        fit = sum(size <= TOGETHER_SIZE for size in sizes)
        return held[: min(self._most_lines, max(1, fit))]

    def _back_off(self, attempt: int) -> None:
        self._pause(wait_s(attempt))

    def _channel(self, channel_id: ChannelId) -> Channel:
        channel = self._registry.network().channels.get(channel_id)
        if channel is None:
            channel = self._registry.network(fresh=True).channels.get(channel_id)
        if channel is None:
            raise InvalidReservationError(
                "channel", f"{channel_id!r} is not declared", "use a declared channel"
            )
        return channel

"""Transfers as people work them: request, approve, ship, receive in parts, close; each once for an Idempotency-Key.

::

    request   writes the document; nothing is held
    approve   holds the origin's stock for it, as an order of its own (``transfer/ID``): all lines or none, in one
              transaction with the document, so that nobody else is promised the same units
    ship      on hand down at the origin, in transit up at the destination, and the hold is used up
    receive   in transit down and on hand up at the destination, as often as parts of it arrive
    close     gives back what is still held; what is in transit is written off as lost, if that is meant

What a call of ship, receive or close means is written into the document with its key before anything is posted, so that a
repetition, or the rest of a call that was cut short, does exactly that again. The movements carry keys made of the
transfer and that call, and are judged once more in the transaction that posts them: all that one transaction holds of a
call is posted, or nothing. Where others came first, the call keeps why it was refused, and nothing of it is posted later.

A change above the four-eyes amount needs two people: who requested the transfer neither approves it nor writes its loss
off.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from shared.domain.events import instant
from shared.domain.stock import EventKey, LocationId, Quantity, Sku
from shared.domain.transfer import (
    OVER,
    Effect,
    Refusal,
    Transfer,
    TransferLine,
    Word,
    sums,
    why_not,
)
from shared.operations.allotments import Allotments
from shared.operations.attempts import wait_s
from shared.operations.facts import Fact, Outcome, Result
from shared.operations.four_eyes import SamePersonError
from shared.operations.post import PostingContendedError
from shared.operations.reservations import IdempotencyConflictError, InsufficientStockError
from shared.operations.reserve import Reserver
from shared.operations.stock_view import StockView
from shared.operations.telling import Teller
from shared.operations.transfer_calls import (
    Call,
    Part,
    RefusedTransferError,
    TransferBusyError,
    TransferNotFoundError,
    WriteOffNotAllowedError,
    all_of,
    call_name,
    content_of,
    left_over,
    noted,
    read_call,
    refuse,
    refuse_loss,
    refuse_state,
)
from shared.operations.transfer_hold import TransferHold
from shared.operations.transfer_moves import check_ends, check_lengths, entered, units_of, what_stands
from shared.operations.transfer_request import check_request, usual_time
from shared.store.layout import event_key
from shared.store.registry import Registry
from shared.store.table import Action, Table, TableError, WriteRefusedError
from shared.store.transfers import Transfers, transfer_put

ATTEMPTS = 20


class TransferDesk:
    """Carries transfers from the request to the end."""

    def __init__(
        self,
        table: Table,
        registry: Registry,
        teller: Teller,
        clock: Callable[[], datetime],
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._table = table
        self._transfers = Transfers(table)
        self._hold = TransferHold(table)
        self._reserver = Reserver(table, registry, clock, pause)
        self._registry = registry
        self._teller = teller
        self._view = StockView(table, registry, clock)
        self._allotments = Allotments(table, clock, pause)
        self._clock = clock
        self._pause = pause

    def get(self, transfer: str) -> Transfer:
        """Return a transfer as it stands.

        Raises
        ------
        TransferNotFoundError
        """
        found = self._transfers.find([transfer]).get(transfer)
        if found is None:
            raise TransferNotFoundError(f"there is no transfer {transfer!r}")
        return found

    def newest(self, limit: int, before: str | None = None) -> list[Transfer]:
        """Return the newest transfers, or those before a place in the list (``place_of``)."""
        return self._transfers.newest(limit, before)

    # ---- what people decide -----------------------------------------------------------------------------------

    def request(
        self,
        actor: str,
        key: str,
        origin: LocationId,
        destination: LocationId,
        wanted: Sequence[tuple[Sku, Quantity]],
        reason: str,
        lead_time: timedelta | None = None,
    ) -> Transfer:
        """Write down that units should go from one location to another; nothing is held yet.

        Raises
        ------
        RefusedTransferError, UnknownItemError, IdempotencyConflictError, TransferBusyError, TableError
        """
        name = hashlib.blake2b(f"{actor}\x1f{key}".encode(), digest_size=8).hexdigest()
        lines = tuple(TransferLine(sku, units) for sku, units in wanted)
        said = [origin, destination, list(wanted), reason, None if lead_time is None else str(lead_time)]
        now, call = self._clock(), call_name(actor, key)
        made = Transfer(
            name,
            origin,
            destination,
            lines,
            Word(actor, now, reason),
            lead_time=lead_time or usual_time(self._registry.network(), origin, destination),
            calls={call: Call(content_of(said), now, ()).written()},
        )
        for attempt in range(ATTEMPTS):
            known = self._transfers.find([name]).get(name)
            if known is not None:
                if read_call(known.calls[call]).content != content_of(said):
                    raise IdempotencyConflictError(key)
                return known
            check_request(made, self._registry, self._view)
            if self._is_written([transfer_put(made)], attempt):
                return replace(made, revision=1)
        raise TransferBusyError(name)

    def approve(self, transfer: str, actor: str, key: str) -> Transfer:
        """Hold the origin's stock for a transfer, all of it or nothing, and let it be shipped.

        Raises
        ------
        SamePersonError
            When it is above the four-eyes amount and the actor has requested it.
        InsufficientStockError
            When fewer units are left at the origin than are asked for; nothing was held.
        RefusedTransferError, TransferNotFoundError, IdempotencyConflictError, TransferBusyError
        """

        def approved(known: Transfer, now: datetime) -> tuple[Transfer, list[Action]]:
            if known.closed is not None or known.approved is not None:
                what = "closed" if known.closed is not None else "approved"
                refuse_state(f"it is {what} already", "look at it: nothing is left to approve")
            self._two_people(known, actor, {line.sku: line.quantity for line in known.lines}, "approve it")
            return replace(known, approved=Word(actor, now)), self._held(known, now)

        return self._once(transfer, actor, key, ["approve"], approved)

    def _held(self, known: Transfer, now: datetime) -> list[Action]:
        try:
            return self._hold.taken(known, now)
        except InsufficientStockError:
            if not self._reserver.make_room():
                raise
            return self._hold.taken(known, now)

    def close(
        self,
        transfer: str,
        actor: str,
        key: str,
        reason: str,
        *,
        accept_loss: bool = False,
        may_write_off: bool = False,
    ) -> Transfer:
        """End a transfer: what is held goes back; what is in transit is lost, if the actor accepts that and may.

        Where something was in transit after the end, it is closed once more.

        Raises
        ------
        WriteOffNotAllowedError, SamePersonError
            When units would be lost, and another person has to say so.
        RefusedTransferError, TransferNotFoundError, IdempotencyConflictError, TransferBusyError
        """

        def closed(known: Transfer, now: datetime) -> tuple[Transfer, list[Action]]:
            if known.status in OVER:
                refuse_state(
                    f"it is {known.status} already", "look at it: there is nothing to close any more"
                )
            lost = {line.sku: units for line in known.lines if (units := known.figures(line.sku).in_transit)}
            if lost and not accept_loss:
                refuse_loss(lost)
            if lost and not may_write_off:
                raise WriteOffNotAllowedError(f"{left_over(lost)}, and would be written off")
            self._two_people(known, actor, {sku: abs(units) for sku, units in lost.items()}, "write them off")
            done = replace(
                known,
                closed=Word(actor, now, reason),
                closings=known.closings + 1,
                written_off=lost,
            )
            return done, self._hold.given_back(known, now)

        return self.settle(self._once(transfer, actor, key, ["close", reason, accept_loss], closed))

    def settle(self, transfer: Transfer) -> Transfer:
        """Post what was to be written off when a transfer was closed, as far as it has not arrived since.

        Raises
        ------
        TransferBusyError
        """
        for _ in range(ATTEMPTS):
            facts = self._losses(transfer)
            if not facts:
                return transfer
            self._post(facts)
            transfer = self.get(transfer.id)
        raise TransferBusyError(transfer.id)

    # ---- what happens -----------------------------------------------------------------------------------------

    def ship(
        self, transfer: str, actor: str, key: str, parts: Sequence[Part] = (), at: datetime | None = None
    ) -> Transfer:
        """Say that units have left the origin: those named, or all that have not left yet.

        Raises
        ------
        RefusedTransferError, TransferNotFoundError, IdempotencyConflictError, TransferBusyError
        """
        return self._move(transfer, actor, key, Effect.SHIPPED, parts, at)

    def receive(
        self, transfer: str, actor: str, key: str, parts: Sequence[Part] = (), at: datetime | None = None
    ) -> Transfer:
        """Say that units have arrived at the destination: those named, or all that are in transit.

        Raises
        ------
        RefusedTransferError
            Also when more are named than are in transit now, or were at any time from ``at`` on: a transfer never
            receives more than was shipped.
        TransferNotFoundError, IdempotencyConflictError, TransferBusyError
        """
        return self._move(transfer, actor, key, Effect.RECEIVED, parts, at)

    def _move(
        self,
        transfer: str,
        actor: str,
        key: str,
        effect: Effect,
        parts: Sequence[Part],
        at: datetime | None,
    ) -> Transfer:
        if at is not None and at > self._clock():
            raise RefusedTransferError("at", "it lies in the future", "give an instant that has been")
        said = [effect, *([one.sku, one.units, str(one.leaf)] for one in parts)]
        said.append("" if at is None else instant(at))

        def judged(known: Transfer, _now: datetime) -> tuple[Transfer, list[Action]]:
            locations = self._registry.network().locations
            check_ends(known, locations)
            meant = parts or all_of(known, effect)
            check_lengths(known, effect, meant, locations)
            wanted = sums((one.sku, one.units) for one in meant)
            refusal = why_not(known, effect, wanted, at)
            if refusal is not None:
                refuse(refusal)
            if not meant:
                what = "to be shipped" if effect is Effect.SHIPPED else "in transit"
                refuse_state(f"nothing is {what}", "look at it: what has left and arrived stands there")
            return known, []

        known = self._once(transfer, actor, key, said, judged, lambda found: parts or all_of(found, effect))
        name = call_name(actor, key)
        call = read_call(known.calls[name])
        if call.refused is not None:
            refuse(call.refused)
        facts = [
            replace(
                self._fact(known, effect, part, f"{name}-{number}", {"actor": actor}, at or call.at),
                is_dated=at is not None,
            )
            for number, part in enumerate(call.parts, start=1)
        ]
        rest = self._unposted(known, facts)
        self._tell_again(fact.event.key for fact in facts if fact not in rest)
        is_possible = not rest or why_not(known, effect, units_of(rest), at) is None
        refused = [one for one in self._post(rest) if one.outcome is Outcome.REFUSED] if is_possible else []
        for one in refused:
            if one.remedy:
                refuse_state(one.reason, "close it and request what is left as another transfer")
        if not is_possible or refused:
            refuse(self._note_refusal(transfer, effect, name, facts, at))
        return self.get(transfer)

    def _note_refusal(
        self, transfer: str, effect: Effect, name: str, facts: Sequence[Fact], at: datetime | None
    ) -> Refusal:
        """Keep with a call why the rest of it is never posted, and say so.

        Raises
        ------
        TransferBusyError
            Also when it would not be refused any more.
        """
        for attempt in range(ATTEMPTS):
            known = self.get(transfer)
            rest = self._unposted(known, facts)
            why = why_not(known, effect, units_of(rest), at) if rest else None
            if why is None:
                raise TransferBusyError(transfer)
            refusal = replace(
                why,
                reason=why.reason + what_stands([fact for fact in facts if fact not in rest], effect),
                remedy=f"{why.remedy}; this key is used up, so say it under another key",
            )
            call = replace(read_call(known.calls[name]), refused=refusal)
            changed = replace(known, calls={**known.calls, name: call.written()})
            if self._is_written([transfer_put(changed)], attempt):
                return refusal
        raise TransferBusyError(transfer)

    def _unposted(self, known: Transfer, facts: Sequence[Fact]) -> list[Fact]:
        """Return those facts that are not in the ledger."""
        rest = [fact for fact in facts if fact.event.key not in known.moves]
        posted = self._table.get_many([event_key(fact.event.key) for fact in rest]) if rest else {}
        return [fact for fact in rest if event_key(fact.event.key) not in posted]

    def _post(self, facts: Sequence[Fact]) -> list[Result]:
        try:
            return self._teller.post(facts, self._registry.network())
        except PostingContendedError as error:
            raise TransferBusyError(str(error)) from error

    def _tell_again(self, events: Iterable[EventKey]) -> None:
        try:
            self._teller.again(events, self._registry.network())
        except PostingContendedError as error:
            raise TransferBusyError(str(error)) from error

    def _losses(self, transfer: Transfer) -> list[Fact]:
        """Return what is to be written off, of what is in transit still."""
        closed, facts = transfer.closed, list[Fact]()
        if closed is None:
            return facts
        for sku, most in transfer.written_off.items():
            left = transfer.figures(sku).in_transit
            units = min(most, left) if most > 0 else max(most, left)
            if units * most > 0:
                said, name = {"actor": closed.by, "reason": closed.why}, f"closed-{transfer.closings}"
                facts.append(self._fact(transfer, Effect.LOST, Part(sku, units), name, said, self._clock()))
        return facts

    def _fact(
        self, transfer: Transfer, effect: Effect, part: Part, name: str, refs: Mapping[str, str], at: datetime
    ) -> Fact:
        locations = self._registry.network().locations
        return entered(transfer, effect, part, name, refs, at, locations)

    # ---- the document -----------------------------------------------------------------------------------------

    def _once(
        self,
        transfer: str,
        actor: str,
        key: str,
        said: Sequence[object],
        change: Callable[[Transfer, datetime], tuple[Transfer, list[Action]]],
        meant: Callable[[Transfer], Sequence[Part]] = lambda _: (),
    ) -> Transfer:
        """Change a transfer once for a key, and keep with the key what it was used for and meant."""
        name, content = call_name(actor, key), content_of(said)
        for attempt in range(ATTEMPTS):
            known = self.get(transfer)
            if name in known.calls:
                if read_call(known.calls[name]).content != content:
                    raise IdempotencyConflictError(key)
                return known
            now = self._clock()
            changed, actions = change(known, now)
            changed = noted(changed, name, Call(content, now, tuple(meant(known))))
            if self._is_written([transfer_put(changed), *actions], attempt):
                return replace(changed, revision=known.revision + 1)
        raise TransferBusyError(transfer)

    def _is_written(self, actions: Sequence[Action], attempt: int) -> bool:
        """Try one write; where it was not done for sure, whoever asks reads again and sees."""
        try:
            self._table.write(actions)
        except WriteRefusedError as refused:
            with suppress(TableError):  # it is tried again, as long as anything is
                self._allotments.make_way(refused)
        except TableError:
            self._pause(wait_s(attempt))
        else:
            return True
        return False

    def _two_people(self, known: Transfer, actor: str, units: Mapping[Sku, Quantity], what: str) -> None:
        rule = self._registry.network().rules.four_eyes
        if rule is None or not units or actor != known.requested.by:
            return
        items = self._registry.items.find(line.sku for line in known.lines)
        why = rule.why_all(
            (units[line.sku], items[line.sku].price if line.sku in items else None)
            for line in known.lines
            if line.sku in units
        )
        if why is not None:
            raise SamePersonError(f"{actor} has requested it, and {why}: another person must {what}")

"""Fulfilling a reservation, in part or whole: whoever reserved says that units have left.

What that does is decided by the location's movement authority, as for any order: where it is the channel's own system,
or nobody, on hand goes down and the reservation with it; where it is somebody else (a WMS), the word is a claim. The
units then stay reserved until the authority ships them, and its silence beyond the location's ``posting_delay``
becomes a case.

Which units of which line a call means is written down with its idempotency key before anything is posted, so that a
repetition, or the rest of a call that was cut short, does exactly that again. It is judged once more in the transaction
that posts it: of units that another call or a release came for first, none leaves.

What was said by mistake is called off under its key: those units never left, at the instant when it was said that they
did. A claim ends with that, what was shipped is back, and a reservation that is over lets go of either.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import cast

from shared.domain.events import Demand, DemandEffect, effect_hash, instant, parse_instant
from shared.domain.reservation import OrderLine
from shared.domain.stock import ChannelId, EventKey, Quantity
from shared.operations.facts import Fact, Outcome
from shared.operations.fulfilments import sold_or_claimed
from shared.operations.post import PostingContendedError
from shared.operations.reservation_items import ORIGIN
from shared.operations.reservations import (
    IdempotencyConflictError,
    InvalidReservationError,
    Reservation,
    ReservationBusyError,
    ReservationStatus,
    Wanted,
)
from shared.operations.reserve import Reserver
from shared.operations.telling import Teller
from shared.store.layout import order_key
from shared.store.registry import Registry
from shared.store.table import (
    AttributeAbsent,
    Exists,
    Item,
    Table,
    TableError,
    Update,
    Value,
    WriteRefusedError,
)

Parts = list[tuple[str, Quantity]]
"""Lines by their number, with the units that are fulfilled of each."""

CALLS_SIZE = 100_000
"""Bytes that calls may take in a reservation's header; an item of the table holds 400 KB."""

_AT_ONCE = 100
"""Calls that one write shortens: what an expression of the table can say has a limit too."""

_CALL = "fulfil|"
_CALLED_OFF = "called_off|"
_Call = tuple[str, str, Parts | None]
"""What was said, in a digest; when; and the units that this meant: None once they are left to the lines to tell."""


class Fulfiller:
    """Records what was fulfilled of reservations."""

    def __init__(
        self,
        table: Table,
        registry: Registry,
        reserver: Reserver,
        teller: Teller,
        clock: Callable[[], datetime],
        calls_size: int = CALLS_SIZE,
    ) -> None:
        self._calls_size = calls_size
        self._table = table
        self._registry = registry
        self._reserver = reserver
        self._teller = teller
        self._clock = clock

    def fulfil(self, reservation: str, key: str, units: Sequence[Wanted] = ()) -> Reservation:
        """Fulfil some units of a reservation, or all that is open where none are named; return how it stands then.

        The same key and request change nothing more.

        Raises
        ------
        InvalidReservationError
            When it is not confirmed, or more units are named than are open and not fulfilled yet, also where others
            came first; or when so many calls were made that no other fits.
        IdempotencyConflictError, ReservationNotFoundError, ReservationBusyError, TableError
        """
        found, name = self._reserver.get(reservation), _name(key)
        asked = sorted([line.sku, line.location or "", line.quantity] for line in units)
        content = hashlib.blake2b(json.dumps(asked).encode(), digest_size=12).hexdigest()
        parts, at = self._agreed(found, name, content, units)
        self._post(found, name, parts, at)
        return self._reserver.get(reservation)

    def call_off(self, reservation: str, key: str) -> Reservation:
        """Take back what was fulfilled under a key: it never left. Doing so again changes nothing.

        Raises
        ------
        InvalidReservationError
            When nothing was fulfilled under this key.
        ReservationNotFoundError, ReservationBusyError, TableError
        """
        found, name = self._reserver.get(reservation), _name(key)
        order = order_key(f"reservation/{reservation}")
        known = cast("_Call | None", (self._table.get(order) or {}).get(f"{_CALL}{name}"))
        if known is None:
            raise InvalidReservationError(
                "Idempotency-Key",
                f"nothing of reservation {reservation} was fulfilled under it",
                "send the key of the call that said by mistake that units had left",
            )
        self._table.write([Update(order, set={f"{_CALLED_OFF}{name}": True}, conditions=(Exists(),))])
        found = self._reserver.get(reservation)
        parts = _in_lines(found, name) if known[2] is None else known[2]
        self._post(found, name, parts, parse_instant(known[1]), DemandEffect.UNFULFILLED)
        return self._reserver.get(reservation)

    def _agreed(
        self, found: Reservation, name: str, content: str, units: Sequence[Wanted]
    ) -> tuple[Parts, datetime]:
        """Return what the call under this key means, as it was first written down."""
        order, attribute = order_key(f"reservation/{found.id}"), f"{_CALL}{name}"
        for _ in range(2):
            item = self._table.get(order) or {}
            known = cast("_Call | None", item.get(attribute))
            if known is not None:
                if known[0] != content:
                    raise IdempotencyConflictError
                if f"{_CALLED_OFF}{name}" in item:
                    raise InvalidReservationError(
                        "Idempotency-Key",
                        "what was fulfilled under it was called off",
                        "say what has left under another key",
                    )
                parts = _in_lines(found, name) if known[2] is None else [(line, n) for line, n in known[2]]
                return parts, parse_instant(known[1])
            call: _Call = (content, instant(self._clock()), _meant(found, units))
            shortened = self._shortened(found, item, call)
            said = {attribute: _written(call)}
            try:
                for start in range(0, len(shortened), _AT_ONCE):
                    some = dict(shortened[start : start + _AT_ONCE])
                    self._table.write([Update(order, set=some, conditions=(Exists(),))])
                self._table.write(
                    [Update(order, set=said, conditions=(Exists(), AttributeAbsent(attribute)))]
                )
            except WriteRefusedError:
                continue
            except TableError as error:
                raise ReservationBusyError(found.id) from error
        return self._agreed(found, name, content, units)

    def _shortened(self, found: Reservation, item: Item, call: _Call) -> list[tuple[str, Value]]:
        """Return those calls of before whose units are to be left to the lines, so that one more fits the header.

        The oldest come first. That holds whether or not the one more is written, so they may be written before it.

        Raises
        ------
        InvalidReservationError
            When it does not fit even so.
        """
        calls = {name: cast(_Call, one) for name, one in item.items() if name.startswith(_CALL)}
        if _size([*calls.values(), call]) <= self._calls_size:
            return []
        posted: dict[str, _Call] = {
            name: (content, at, None)
            for name, (content, at, parts) in calls.items()
            if parts and sorted(_in_lines(found, name.removeprefix(_CALL))) == sorted(map(tuple, parts))
        }
        if _size([*(calls | posted).values(), call]) > self._calls_size:
            raise InvalidReservationError(
                "reservation",
                f"with what {len(calls)} calls name of it, this one fills it",
                "repeat calls that were cut short, or release it and reserve what is left anew",
            )
        oldest = sorted(posted.items(), key=lambda one: one[1][1])
        return [(name, _written(short)) for name, short in oldest]

    def _post(
        self,
        found: Reservation,
        name: str,
        parts: Parts,
        at: datetime,
        effect: DemandEffect = DemandEffect.FULFILLED,
    ) -> None:
        network = self._registry.network()
        lines = {line.line: line for line in found.lines}
        facts = []
        for number, units in parts:
            said = _said(lines[number], found.channel, effect, name, units, at)
            does, hashed = sold_or_claimed(said, network), effect_hash(said)
            if effect is DemandEffect.FULFILLED:
                call_off = _key(lines[number], DemandEffect.UNFULFILLED, name)
                facts.append(Fact(does, hashed, is_entered=True, unless=call_off))
            else:
                facts.append(Fact(does, hashed, is_entered=True, said=said))
        try:
            results = self._teller.post(facts, network)
        except PostingContendedError as error:
            raise ReservationBusyError(found.id) from error
        refused = [result for result in results if result.outcome is Outcome.REFUSED]
        if refused:
            reasons = "; ".join(dict.fromkeys(result.reason for result in refused))
            others = len(results) - len(refused)
            raise InvalidReservationError(
                "reservation",
                f"{reasons}; of its other lines {others} are fulfilled" if others else reasons,
                refused[0].remedy or "look at it: what was fulfilled and what is still open stands there",
            )


def _meant(found: Reservation, units: Sequence[Wanted]) -> Parts:
    """Say which lines the named units are of, the first line first."""
    if found.status is not ReservationStatus.CONFIRMED:
        raise InvalidReservationError(
            "reservation",
            f"it is {found.status}",
            "fulfil a confirmed reservation; reserve anew where there is none",
        )
    left = {line.line: line.releasable for line in found.lines}
    if not units:
        return [(number, open_) for number, open_ in left.items() if open_]
    parts: dict[str, Quantity] = {}
    for index, wanted in enumerate(units):
        if wanted.quantity < 1:
            raise InvalidReservationError(
                f"lines[{index}].quantity", f"{wanted.quantity} is no number of units", "fulfil 1 or more"
            )
        missing = wanted.quantity
        for line in found.lines:
            if line.place.sku == wanted.sku and wanted.location in (None, line.place.location):
                part = min(missing, left[line.line])
                left[line.line] -= part
                missing -= part
                parts[line.line] = parts.get(line.line, 0) + part
        if missing:
            raise InvalidReservationError(
                f"lines[{index}].quantity",
                f"only {wanted.quantity - missing} of {wanted.sku} are reserved and not fulfilled yet",
                "fulfil no more than what is open",
            )
    return [(number, part) for number, part in parts.items() if part]


def _in_lines(found: Reservation, name: str) -> Parts:
    """Return what is posted of a call: its shipments, or its claims."""
    parts: Parts = []
    for line in found.lines:
        said = line.shipments.get(_key(line, DemandEffect.FULFILLED, name)) or line.fulfilments.get(name)
        if said is not None:
            parts.append((line.line, said.quantity))
    return parts


def _written(call: _Call) -> Value:
    content, at, parts = call
    return [content, at, None if parts is None else [list(part) for part in parts]]


def _size(calls: Sequence[_Call]) -> int:
    return sum(len(json.dumps(call)) for call in calls)


def _name(key: str) -> str:
    return hashlib.blake2b(key.encode(), digest_size=9).hexdigest()


def _key(line: OrderLine, effect: DemandEffect, name: str) -> EventKey:
    return EventKey(f"onecount/{line.order}/{line.line}/{effect}/{name}")


def _said(
    line: OrderLine, channel: ChannelId, effect: DemandEffect, name: str, units: Quantity, at: datetime
) -> Demand:
    is_call_off = effect is DemandEffect.UNFULFILLED
    return Demand(
        _key(line, effect, name),
        line.place.sku,
        channel,
        line.order,
        line.line,
        effect,
        units,
        at,
        ORIGIN,
        line.place.location,
        document=name,
        opposite=_key(line, DemandEffect.FULFILLED, name) if is_call_off else None,
    )

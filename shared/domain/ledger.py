"""The bitemporal journal of one stock key, and ``fold``: the only rule by which events become journal lines.

Every line has a valid time (when it was true), one counter of one leaf (together: a **slot**) and a signed
quantity; the entry that holds it has the recorded time. Two definitions carry everything:

* the balance of a slot is the sum of all its lines, and ``as_of(T)`` the sum of its lines valid at or before T;
* a count of Q at T is a line of ``Q - as_of(T)`` at T, its variance.

So a fact that arrives late, at a time t no newer than an accepted count, is two lines: its quantity at t, and
minus that at the first accepted count at or after t, whose variance is thereby restated::

    recorded first   count 100 @ 12:03        variance  +100 @ 12:03          balance 100
    arrives late     shipment -2 @ 12:02      -2 @ 12:02,  +2 @ 12:03         balance 100, as_of(12:02) = -2

The balance does not move, history becomes true, nothing later is rewritten, and the cost is constant. An older
count that arrives late posts in just the same way. Counts are ordered by (as_of, version, event key); movements
at T precede a count at T. Because of this every arrival order of the same facts ends in the same ``as_of(T)``
for every T.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, TypeAlias

from shared.domain.events import Count, Event, Leg, Movement
from shared.domain.stock import AVAILABLE_SIGN, Counter, EventKey, Leaf, Quantity, StockKey


class Slot(NamedTuple):
    """One counter of one leaf: what a line, a count and a clock belong to."""

    leaf: Leaf
    counter: Counter


class Cause(StrEnum):
    """Why a line stands in the journal."""

    MOVEMENT = "movement"
    COUNT = "count"
    RESTATED = "restated"


class Line(NamedTuple):
    """One journal line: ``quantity`` of ``slot`` became true at ``valid_at`` because of ``event_key``."""

    slot: Slot
    quantity: Quantity
    valid_at: datetime
    event_key: EventKey
    cause: Cause


class CountMark(NamedTuple):
    """An accepted count in the order that decides between counts: as_of, then version, then event key."""

    as_of: datetime
    version: str
    event_key: EventKey


@dataclass(frozen=True, slots=True)
class Clock:
    """What one slot says of itself without looking further: its balance, and how far it has been told.

    ``last_valid_at`` is the newest valid time of any of its lines; ``last_count`` the newest accepted count.
    """

    balance: Quantity = 0
    last_valid_at: datetime | None = None
    last_count: CountMark | None = None


AsOfKey: TypeAlias = tuple[Slot, datetime]


@dataclass(frozen=True, slots=True)
class LedgerState:
    """What ``fold`` must know of one stock key before a batch.

    Attributes
    ----------
    seq
        Number of entries in its journal; the posting is valid only while it stays.
    counts
        For each slot that a late fact touches: the accepted counts from the earliest such fact on, in order,
        each with its present variance.
    as_of
        The balance at instants that lie before ``last_valid_at`` of their slot, as ``needs`` asked for.
    """

    key: StockKey
    seq: int = 0
    clocks: Mapping[Slot, Clock] = field(default_factory=dict)
    counts: Mapping[Slot, Sequence[tuple[CountMark, Quantity]]] = field(default_factory=dict)
    as_of: Mapping[AsOfKey, Quantity] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Needs:
    """What the clocks alone do not answer: counts since an instant, and balances as of instants."""

    counts_since: Mapping[Slot, datetime]
    as_of: frozenset[AsOfKey]


@dataclass(frozen=True, slots=True)
class AcceptedCount:
    """A count that now stands in the ledger, with its variance after this posting."""

    slot: Slot
    mark: CountMark
    quantity: Quantity
    variance: Quantity
    source: str


@dataclass(frozen=True, slots=True)
class Posting:
    """All that one batch writes to one stock key's journal.

    ``clocks`` are those of every slot of the key, touched or not; ``restated`` holds the change of variance of
    counts that were accepted before this batch.
    """

    key: StockKey
    expected_seq: int
    lines: Sequence[Line]
    clocks: Mapping[Slot, Clock]
    deltas: Mapping[Slot, Quantity]
    counts: Sequence[AcceptedCount]
    restated: Mapping[tuple[Slot, CountMark], Quantity]

    @property
    def available_delta(self) -> Quantity:
        """By how much the posting moves ``available``, reservations apart."""
        return sum(AVAILABLE_SIGN[slot.counter] * change for slot, change in self.deltas.items())


def needs(key: StockKey, clocks: Mapping[Slot, Clock], events: Iterable[Event]) -> Needs:
    """Say what must be read beyond the clocks before ``events`` can be folded."""
    since: dict[Slot, datetime] = {}
    instants: set[AsOfKey] = set()
    untouched = Clock()
    for event in events:
        if isinstance(event, Movement):
            touched = [(Slot(leg.leaf, leg.counter), event.occurred_at) for leg in _legs_at(event, key)]
        elif isinstance(event, Count):
            slot = count_slot(event)
            touched = [(slot, event.as_of)]
            last_valid = clocks.get(slot, untouched).last_valid_at
            if last_valid is not None and event.as_of < last_valid:
                instants.add((slot, event.as_of))
        else:
            continue
        for slot, at in touched:
            last_count = clocks.get(slot, untouched).last_count
            if last_count is not None and at <= last_count.as_of:
                since[slot] = min(at, since.get(slot, at))
    return Needs(since, frozenset(instants))


def count_slot(event: Count) -> Slot:
    """Return the slot that a count states."""
    return Slot(event.leaf, Counter(event.element))


def fold(state: LedgerState, events: Iterable[Movement | Count]) -> Posting:
    """Turn a batch of events about one stock key into one posting.

    The events must have distinct keys, none of them posted before, and each must concern ``state.key``. Legs of
    a movement at other locations are left to those locations' postings.
    """
    draft = _Draft(state)
    for event in events:
        if isinstance(event, Movement):
            for leg in event.legs:
                if leg.location == state.key.location:
                    draft.move(Slot(leg.leaf, leg.counter), leg.quantity, event.occurred_at, event.key)
        else:
            draft.count(event)
    return draft.posting()


def _legs_at(event: Movement, key: StockKey) -> list[Leg]:
    return [leg for leg in event.legs if leg.location == key.location]


class _SlotDraft:
    """One slot while a batch is folded: what was known before, and the lines added since."""

    __slots__ = (
        "accepted",
        "as_of",
        "balance",
        "last_count",
        "last_valid_at",
        "lines",
        "marks",
        "slot",
        "variance",
    )

    def __init__(self, slot: Slot, state: LedgerState) -> None:
        clock = state.clocks.get(slot) or Clock()
        self.slot = slot
        self.balance = clock.balance
        self.last_valid_at = clock.last_valid_at
        self.last_count = clock.last_count
        known = state.counts.get(slot, ())
        self.marks: list[CountMark] = [mark for mark, _ in known]
        self.variance: dict[CountMark, Quantity] = dict(known)
        self.accepted: dict[CountMark, Count] = {}
        self.lines: list[Line] = []
        self.as_of = state.as_of

    def add(self, quantity: Quantity, valid_at: datetime, key: EventKey, cause: Cause) -> None:
        self.lines.append(Line(self.slot, quantity, valid_at, key, cause))
        self.balance += quantity
        if self.last_valid_at is None or valid_at > self.last_valid_at:
            self.last_valid_at = valid_at

    def restate(self, mark: CountMark, quantity: Quantity, key: EventKey) -> None:
        """Take ``quantity`` back at ``mark``: the count already contained it."""
        self.add(-quantity, mark.as_of, key, Cause.RESTATED)
        self.variance[mark] = self.variance[mark] - quantity

    def balance_at(self, at: datetime, clock_before: Clock) -> Quantity:
        """``as_of(at)`` including the lines of this batch."""
        before = self.as_of.get((self.slot, at))
        if before is None:
            before = clock_before.balance
        return before + sum(line.quantity for line in self.lines if line.valid_at <= at)


class _Draft:
    """A posting in the making."""

    __slots__ = ("slots", "state")

    def __init__(self, state: LedgerState) -> None:
        self.state = state
        self.slots: dict[Slot, _SlotDraft] = {}

    def slot(self, slot: Slot) -> _SlotDraft:
        draft = self.slots.get(slot)
        if draft is None:
            draft = self.slots[slot] = _SlotDraft(slot, self.state)
        return draft

    def move(self, slot: Slot, quantity: Quantity, at: datetime, key: EventKey) -> None:
        draft = self.slot(slot)
        draft.add(quantity, at, key, Cause.MOVEMENT)
        if draft.last_count is None or at > draft.last_count.as_of:
            return
        # The least mark at or after `at`: movements precede the counts of their own instant.
        absorbing = next(mark for mark in draft.marks if mark.as_of >= at)
        draft.restate(absorbing, quantity, key)

    def count(self, event: Count) -> None:
        slot = count_slot(event)
        draft = self.slot(slot)
        mark = CountMark(event.as_of, event.version, event.key)
        standing = draft.balance_at(event.as_of, self.state.clocks.get(slot) or Clock())
        position = bisect_right(draft.marks, mark)
        later = draft.marks[position:]
        # Counts of the same instant that outrank this one are already in `standing`; they come after it.
        standing -= sum(draft.variance[other] for other in later if other.as_of == event.as_of)
        variance = event.quantity - standing
        draft.add(variance, event.as_of, event.key, Cause.COUNT)
        draft.variance[mark] = variance
        draft.accepted[mark] = event
        if later:
            draft.restate(later[0], variance, event.key)
        else:
            draft.last_count = mark
        insort(draft.marks, mark)

    def posting(self) -> Posting:
        clocks = dict(self.state.clocks)
        deltas, counts, restated = {}, [], {}
        for slot, draft in self.slots.items():
            before = self.state.clocks.get(slot) or Clock()
            clocks[slot] = Clock(draft.balance, draft.last_valid_at, draft.last_count)
            deltas[slot] = draft.balance - before.balance
            known = dict(self.state.counts.get(slot, ()))
            for mark, variance in draft.variance.items():
                event = draft.accepted.get(mark)
                if event is not None:
                    counts.append(AcceptedCount(slot, mark, event.quantity, variance, event.origin.source))
                elif variance != known[mark]:
                    restated[slot, mark] = variance - known[mark]
        lines = [
            line
            for draft in self.slots.values()
            for line in draft.lines
            if line.quantity or line.cause is Cause.COUNT
        ]
        return Posting(self.state.key, self.state.seq, lines, clocks, deltas, counts, restated)

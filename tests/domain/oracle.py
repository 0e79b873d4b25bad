"""Two tiny models of one slot: the oracle, which sorts the facts, and a book that keeps the journal by ``fold``.

The oracle knows nothing of lines: it replays the facts in order of valid time and lets a count set the balance.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from shared.domain.events import Count, Leg, Movement, MovementKind, Origin
from shared.domain.ledger import Clock, CountMark, LedgerState, Line, Slot, fold, needs
from shared.domain.stock import WHOLE, Counter, EventKey, LocationId, MessageId, Sku, SourceId, StockKey

KEY = StockKey(Sku("SKU-1"), LocationId("east"))
SLOT = Slot(WHOLE, Counter.ON_HAND)
ORIGIN = Origin(SourceId("wms"), MessageId("m"))
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)

Fact = Movement | Count


def at(minute: int) -> datetime:
    return NOON + timedelta(minutes=minute)


def movement(name: str, minute: int, quantity: int) -> Movement:
    legs = (Leg(KEY.location, quantity),)
    return Movement(EventKey(name), KEY.sku, MovementKind.ADJUSTMENT, legs, at(minute), ORIGIN)


def count(name: str, minute: int, quantity: int, version: str = "") -> Count:
    return Count(EventKey(name), KEY.sku, KEY.location, quantity, at(minute), ORIGIN, version=version)


def oracle_as_of(facts: Iterable[Fact], instant: datetime) -> int:
    """Replay the facts valid at or before ``instant``; at one instant movements precede counts."""
    ordered = sorted(facts, key=_rank)
    balance = 0
    for fact in ordered:
        if isinstance(fact, Movement):
            if fact.occurred_at <= instant:
                balance += sum(leg.quantity for leg in fact.legs)
        elif fact.as_of <= instant:
            balance = fact.quantity
    return balance


def _rank(fact: Fact) -> tuple[datetime, bool, str, str]:
    if isinstance(fact, Movement):
        return (fact.occurred_at, False, "", fact.key)
    return (fact.as_of, True, fact.version, fact.key)


class Book:
    """A journal kept by ``fold`` alone, with what the store would remember beside it."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.clocks: dict[Slot, Clock] = {}
        self.counts: dict[Slot, dict[CountMark, int]] = {}
        self.seen: set[EventKey] = set()
        self.seq = 0

    def as_of(self, slot: Slot, instant: datetime) -> int:
        return sum(line.quantity for line in self.lines if line.slot == slot and line.valid_at <= instant)

    def post(self, batch: Sequence[Fact]) -> None:
        fresh = {fact.key: fact for fact in batch if fact.key not in self.seen}
        asked = needs(KEY, self.clocks, fresh.values())
        counts = {
            slot: sorted((m, v) for m, v in self.counts.get(slot, {}).items() if m.as_of >= since)
            for slot, since in asked.counts_since.items()
        }
        as_of = {(slot, t): self.as_of(slot, t) for slot, t in asked.as_of}
        state = LedgerState(KEY, self.seq, dict(self.clocks), counts, as_of)
        posting = fold(state, fresh.values())
        self.lines += posting.lines
        self.clocks |= posting.clocks
        for accepted in posting.counts:
            self.counts.setdefault(accepted.slot, {})[accepted.mark] = accepted.variance
        for (slot, mark), change in posting.restated.items():
            self.counts[slot][mark] += change
        self.seen |= fresh.keys()
        self.seq += 1

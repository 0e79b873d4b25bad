"""Two tiny models of one slot: the oracle, which sorts the facts, and a book that keeps the journal by ``fold``.

The oracle knows nothing of lines: it replays the facts in order of valid time and lets a count set the balance.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from shared.domain.count_decisions import Decision, Retraction
from shared.domain.events import Count, Leg, Movement, MovementKind, Origin
from shared.domain.fold import fold
from shared.domain.fold_needs import needs
from shared.domain.ledger import (
    NO_RULES,
    Clock,
    CountDocument,
    CountMark,
    Dispute,
    LedgerState,
    Line,
    Needs,
    Opening,
    Rules,
    Slot,
    Standing,
    Stretch,
    Waiting,
    count_document,
    judged_again,
    opened_by,
    slots_of,
    version_of,
    waiting_document,
)
from shared.domain.stock import (
    WHOLE,
    Counter,
    EventKey,
    Leaf,
    LocationId,
    MessageId,
    Sku,
    SourceId,
    StockKey,
)

KEY = StockKey(Sku("SKU-1"), LocationId("east"))
SLOT = Slot(WHOLE, Counter.ON_HAND)
ORIGIN = Origin(SourceId("wms"), MessageId("m"))
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)

Fact = Movement | Count


def at(minute: float) -> datetime:
    return NOON + timedelta(minutes=minute)


def movement(name: str, minute: float, quantity: int, leaf: Leaf = WHOLE, source: str = "wms") -> Movement:
    """A change of stock; its event key begins with its source."""
    legs = (Leg(KEY.location, quantity, leaf=leaf),)
    origin = Origin(SourceId(source), MessageId("m"))
    key = EventKey(name if source == "wms" else f"{source}/{name}")
    return Movement(key, KEY.sku, MovementKind.ADJUSTMENT, legs, at(minute), origin)


def count(
    name: str,
    minute: float,
    quantity: int,
    version: str = "",
    leaf: Leaf = WHOLE,
    document: str = "",
    since: float | None = None,
) -> Count:
    return Count(
        EventKey(name if since is None else f"wms/{name}"),
        KEY.sku,
        KEY.location,
        quantity,
        at(minute),
        ORIGIN,
        leaf=leaf,
        version=version,
        document=document,
        since=None if since is None else at(since),
    )


def oracle_as_of(facts: Iterable[Fact], instant: datetime) -> int:
    """Replay the facts valid at or before ``instant``; return the total of all leaves."""
    return sum(oracle_leaves_as_of(facts, instant).values())


def oracle_leaves_as_of(facts: Iterable[Fact], instant: datetime) -> dict[Leaf, int]:
    """Replay the facts: at one instant movements come first, then counts of leaves, then of the whole.

    A count of the whole leaves the leaves as they are; what they do not explain lies on none.
    """
    leaves: dict[Leaf, int] = {}
    for fact in sorted(_standing(list(facts)), key=_rank):
        if isinstance(fact, Movement):
            if fact.occurred_at <= instant:
                for leg in fact.legs:
                    leaves[leg.leaf] = leaves.get(leg.leaf, 0) + leg.quantity
        elif fact.as_of <= instant:
            named = sum(quantity for leaf, quantity in leaves.items() if leaf != WHOLE)
            leaves[fact.leaf] = fact.quantity - named if fact.leaf == WHOLE else fact.quantity
    return leaves


def _standing(facts: Sequence[Fact]) -> list[Fact]:
    """Leave out what a newer version of the same count document corrects."""
    newest: dict[tuple[Leaf, str], Count] = {}
    for fact in facts:
        if isinstance(fact, Count) and fact.document:
            known = newest.setdefault((fact.leaf, fact.document), fact)
            if (fact.version, fact.key) > (known.version, known.key):
                newest[fact.leaf, fact.document] = fact
    return [
        fact
        for fact in facts
        if isinstance(fact, Movement) or not fact.document or newest[fact.leaf, fact.document] is fact
    ]


def _rank(fact: Fact) -> tuple[datetime, int, str, str]:
    if isinstance(fact, Movement):
        return (fact.occurred_at, 0, "", fact.key)
    return (fact.as_of, 2 if fact.leaf == WHOLE else 1, fact.version, fact.key)


class Book:
    """A journal kept by ``fold`` alone, with what the store would remember beside it."""

    def __init__(self, rules: Rules = NO_RULES, most: int | None = None) -> None:
        self.rules = rules
        self.most = most
        self.lines: list[Line] = []
        self.clocks: dict[Slot, Clock] = {}
        self.counts: dict[Slot, dict[CountMark, Standing]] = {}
        self.documents: dict[CountDocument, CountMark] = {}
        self.disputes: list[Dispute] = []
        self.waiting: Sequence[Waiting] = ()
        self.available = 0
        self.opening: Opening | None = None
        self.seen: set[EventKey] = set()
        self.seq = 0

    def as_of(self, slot: Slot, instant: datetime) -> int:
        """Sum the lines of a slot; those of the whole are those of all leaves."""
        return sum(
            line.quantity
            for line in self.lines
            if slot.leaf in (WHOLE, line.slot.leaf)
            and line.slot.counter is slot.counter
            and line.valid_at <= instant
        )

    def post(self, batch: Sequence[Fact]) -> None:
        fresh = {fact.key: fact for fact in batch if fact.key not in self.seen}
        self._fold(list(fresh.values()), None)
        self.seen |= fresh.keys()

    def decide(self, decision: Decision) -> None:
        self._fold([], decision)

    def withdraw(self, name: str) -> None:
        """Undo a count, whether it stands, waits, or is only kept."""
        stand = [version_of(slot, one) for slot, marks in self.counts.items() for one in marks.values()]
        stand += [spare for marks in self.counts.values() for one in marks.values() for spare in one.spare]
        wait = [version for count in self.waiting for version in (count, *count.spare)]
        for count in [*stand, *wait]:
            if count.mark.event_key == name:
                undo = EventKey(f"undo/{name}")
                self._fold([Retraction(undo, count.slot, count.mark, waiting_document(count))], None)
                return

    def _fold(self, fresh: Sequence[Fact | Retraction], decision: Decision | None) -> None:
        """Post what comes of a fold; with no more than ``most`` at once, go on until nothing more does."""
        while self._fold_once(fresh, decision):
            pass
        while self.most is not None and self.waiting:
            waited = len(self.waiting)
            self._fold_once((), None)
            if waited - len(self.waiting) < self.most:
                return

    def _fold_once(self, fresh: Sequence[Fact | Retraction], decision: Decision | None) -> bool:
        told = [fact for fact in fresh if not isinstance(fact, Retraction)]
        named = [count_document(fact) for fact in told if isinstance(fact, Count)]
        named += [waiting_document(count) for count in self.waiting]
        named += [fact.document for fact in fresh if isinstance(fact, Retraction)]
        documents = {name: self.documents[name] for name in named if name in self.documents}
        leaves = {slot.leaf for slot, _ in slots_of(KEY, told)} | {count.slot.leaf for count in self.waiting}
        leaves.update(fact.slot.leaf for fact in fresh if isinstance(fact, Retraction))
        clocks = {slot: clock for slot, clock in self.clocks.items() if slot.leaf in (WHOLE, *leaves)}
        asked = needs(KEY, clocks, fresh, documents, self.waiting, self.rules)
        counts = {slot: self._counts(slot, since, asked) for slot, since in asked.counts_since.items()}
        asked = needs(KEY, clocks, fresh, documents, [*self.waiting, *judged_again(counts)], self.rules)
        state = LedgerState(
            KEY,
            self.seq,
            clocks,
            {slot: self._counts(slot, since, asked) for slot, since in asked.counts_since.items()},
            {(slot, t): self.as_of(slot, t) for slot, t in asked.as_of},
            documents,
            self.waiting,
            {
                slot: [self._stretch(slot, *ends) for ends in wanted]
                for slot, wanted in asked.stretches.items()
            },
            self.rules,
            self.opening,
        )
        posting = fold(state, fresh, decision, self.most)
        if not self.lines:
            self.opening = opened_by(posting.lines)
        self.lines += posting.lines
        self.clocks |= posting.clocks
        for slot, mark in posting.retracted:
            del self.counts[slot][mark]
        for new in posting.counts:
            said = (new.source, new.document, new.said, new.spare, new.is_history, new.was_accepted)
            stands = Standing(new.mark, new.variance, new.quantity, *said)
            self.counts.setdefault(new.slot, {})[new.mark] = stands
        for (slot, mark), change in posting.restated.items():
            known = self.counts[slot][mark]
            self.counts[slot][mark] = known._replace(variance=known.variance + change)
        for document, version in posting.documents.items():
            if version is None:
                del self.documents[document]
            else:
                self.documents[document] = version
        self.disputes += posting.disputes
        self.waiting = posting.waiting
        self.available += posting.available_delta
        self.seq += 1
        return posting.is_part

    def _stretch(self, slot: Slot, start: datetime, end: datetime) -> Stretch:
        """Every line of a slot from ``start`` up to ``end``."""
        within = [
            line
            for line in self.lines
            if slot.leaf in (WHOLE, line.slot.leaf)
            and line.slot.counter is slot.counter
            and start <= line.valid_at < end
        ]
        return Stretch(start, end, self.as_of(slot, start - timedelta(microseconds=1)), within)

    def _counts(self, slot: Slot, since: datetime, asked: Needs) -> list[Standing]:
        marks = sorted(self.counts.get(slot, {}))
        before: list[CountMark] = []
        for mark in reversed([mark for mark in marks if mark.as_of < since]):
            if slot not in asked.retracted or (before and not self.counts[slot][before[0]].is_history):
                break
            before.insert(0, mark)
        return [self.counts[slot][mark] for mark in [*before, *(m for m in marks if m.as_of >= since)]]

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

**Leaves.** Where a location keeps bins or lots, a line belongs to one leaf and counts in two slots: its leaf's and the
whole location's, whose lines are those of all leaves. A count of a leaf restates its leaf. A count of the whole
location puts its variance on the leaf ``-`` and closes every leaf at its time, so a late line on a leaf is taken back
at whichever counts had seen it: on its own leaf by the leaf's count, on ``-`` by the whole location's::

    +5 on bin A @ 1 arrives late; whole count @ 2, count of A @ 3, whole count @ 4
    +5 on A @ 1, -5 on - @ 2 (the total stood), -5 on A @ 3 (the bin stood), +5 on - @ 4 (the total stood again)

At one instant movements come first, then counts of leaves, then counts of the whole.

**Corrected counts.** A count that names its document is retracted when a newer version of that document arrives, by
lines that undo its variance and all that rested on it; an older version that arrives later stands nowhere.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple, TypeAlias

from shared.domain.events import Count, Event, Movement
from shared.domain.stock import AVAILABLE_SIGN, WHOLE, Counter, EventKey, Leaf, Quantity, SourceId, StockKey


class Slot(NamedTuple):
    """One counter of one leaf: what a line, a count and a clock belong to."""

    leaf: Leaf
    counter: Counter


class Cause(StrEnum):
    """Why a line stands in the journal."""

    MOVEMENT = "movement"
    COUNT = "count"
    RESTATED = "restated"
    RETRACTED = "retracted"


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


class CountDocument(NamedTuple):
    """The document that a later version of a count corrects: one line of one document of one source."""

    slot: Slot
    source: SourceId
    document: str


class Standing(NamedTuple):
    """An accepted count as it stands: what it said, and its present variance."""

    mark: CountMark
    variance: Quantity
    quantity: Quantity = 0
    source: str = ""
    document: str = ""


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
    clocks
        Of the whole location, by counter, over all leaves; and of each leaf that the batch touches.
    counts
        For each slot that ``needs`` named: the accepted counts from the instant it named on, in order.
    as_of
        The balance at instants that lie before ``last_valid_at`` of their slot, as ``needs`` asked for.
    documents
        The version of each count document that stands now.
    """

    key: StockKey
    seq: int = 0
    clocks: Mapping[Slot, Clock] = field(default_factory=dict)
    counts: Mapping[Slot, Sequence[Standing]] = field(default_factory=dict)
    as_of: Mapping[AsOfKey, Quantity] = field(default_factory=dict)
    documents: Mapping[CountDocument, CountMark] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Needs:
    """What the clocks alone do not answer: counts since an instant, and balances as of instants.

    Of slots in ``retracted`` the newest count before that instant is needed too: it may become the last again.
    """

    counts_since: Mapping[Slot, datetime]
    as_of: frozenset[AsOfKey]
    retracted: frozenset[Slot] = frozenset()


@dataclass(frozen=True, slots=True)
class AcceptedCount:
    """A count that now stands in the ledger, with its variance after this posting."""

    slot: Slot
    mark: CountMark
    quantity: Quantity
    variance: Quantity
    source: SourceId
    document: str = ""


class Dispute(NamedTuple):
    """Two documents that counted the same slot at the same instant and disagree; the one that ranks higher stands."""

    event_key: EventKey
    quantity: Quantity
    other: EventKey
    other_quantity: Quantity


@dataclass(frozen=True, slots=True)
class Posting:
    """All that one batch writes to one stock key's journal.

    Attributes
    ----------
    clocks
        Of every slot that the state knew, touched or not, and of each slot touched.
    deltas
        By how much each counter moves, over all leaves.
    restated
        The change of variance of counts that were accepted before this batch.
    retracted
        Counts accepted before this batch that no longer stand.
    documents
        The version of each count document that stands after this batch, where it changed.
    """

    key: StockKey
    expected_seq: int
    lines: Sequence[Line]
    clocks: Mapping[Slot, Clock]
    deltas: Mapping[Counter, Quantity]
    counts: Sequence[AcceptedCount]
    restated: Mapping[tuple[Slot, CountMark], Quantity]
    retracted: Sequence[tuple[Slot, CountMark]] = ()
    documents: Mapping[CountDocument, CountMark] = field(default_factory=dict)
    disputes: Sequence[Dispute] = ()

    @property
    def available_delta(self) -> Quantity:
        """By how much the posting moves ``available``, reservations apart."""
        return sum(AVAILABLE_SIGN[counter] * change for counter, change in self.deltas.items())


_UNTOUCHED = Clock()


def slots_of(key: StockKey, events: Iterable[Event]) -> Iterator[tuple[Slot, datetime]]:
    """Yield each slot of ``key`` that events speak of, and when."""
    for event in events:
        if isinstance(event, Movement):
            for leg in event.legs:
                if leg.location == key.location:
                    yield Slot(leg.leaf, leg.counter), event.occurred_at
        elif isinstance(event, Count):
            yield count_slot(event), event.as_of


def count_slot(event: Count) -> Slot:
    """Return the slot that a count states."""
    return Slot(event.leaf, Counter(event.element))


def count_document(event: Count) -> CountDocument | None:
    """Return the document that may be corrected later; None where the count names none."""
    return CountDocument(count_slot(event), event.origin.source, event.document) if event.document else None


def needs(
    key: StockKey,
    clocks: Mapping[Slot, Clock],
    events: Iterable[Event],
    documents: Mapping[CountDocument, CountMark] = MappingProxyType({}),
) -> Needs:
    """Say what must be read beyond clocks and count documents before ``events`` can be folded."""
    since: dict[Slot, datetime] = {}
    instants: set[AsOfKey] = set()
    retracted: set[Slot] = set()

    def look(slot: Slot, at: datetime) -> None:
        for counted in {slot, Slot(WHOLE, slot.counter)}:
            last_count = clocks.get(counted, _UNTOUCHED).last_count
            if last_count is not None and at <= last_count.as_of:
                since[counted] = min(at, since.get(counted, at))

    events = list(events)
    for slot, at in slots_of(key, events):
        look(slot, at)
    for event in events:
        if not isinstance(event, Count):
            continue
        slot = count_slot(event)
        last_valid = clocks.get(slot, _UNTOUCHED).last_valid_at
        if last_valid is not None and event.as_of < last_valid:
            instants.add((slot, event.as_of))
        document = count_document(event)
        if document is not None and document in documents:
            look(slot, documents[document].as_of)
            retracted.add(slot)
    return Needs(since, frozenset(instants), frozenset(retracted))


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


class _SlotDraft:
    """One slot while a batch is folded: what was known before, and the lines added since.

    The lines of a whole location's slot are those of all its leaves.
    """

    __slots__ = (
        "accepted",
        "as_of",
        "balance",
        "before",
        "known",
        "last_count",
        "last_valid_at",
        "lines",
        "marks",
        "slot",
        "standing",
    )

    def __init__(self, slot: Slot, state: LedgerState) -> None:
        clock = self.before = state.clocks.get(slot) or _UNTOUCHED
        self.slot = slot
        self.balance = clock.balance
        self.last_valid_at = clock.last_valid_at
        self.last_count = clock.last_count
        known = state.counts.get(slot, ())
        self.known: dict[CountMark, Standing] = {count.mark: count for count in known}
        self.standing = dict(self.known)
        self.marks: list[CountMark] = [count.mark for count in known]
        self.accepted: set[CountMark] = set()
        self.lines: list[Line] = []
        self.as_of = state.as_of

    def push(self, line: Line) -> None:
        self.lines.append(line)
        self.balance += line.quantity
        if self.last_valid_at is None or line.valid_at > self.last_valid_at:
            self.last_valid_at = line.valid_at

    def balance_at(self, at: datetime) -> Quantity:
        """``as_of(at)`` including the lines of this batch."""
        before = self.as_of.get((self.slot, at))
        if before is None:
            before = self.before.balance
        return before + sum(line.quantity for line in self.lines if line.valid_at <= at)

    def change(self, mark: CountMark, quantity: Quantity) -> None:
        """Change the variance of a count that stands."""
        count = self.standing[mark]
        self.standing[mark] = count._replace(variance=count.variance + quantity)

    def first_from(self, at: datetime) -> CountMark | None:
        """Return the first count at or after an instant: movements precede the counts of their own instant."""
        if self.last_count is None or at > self.last_count.as_of:
            return None
        return next((mark for mark in self.marks if mark.as_of >= at), None)

    def first_after(self, mark: CountMark) -> CountMark | None:
        """Return the count that follows another."""
        position = bisect_right(self.marks, mark)
        return self.marks[position] if position < len(self.marks) else None


class _Draft:
    """A posting in the making."""

    __slots__ = ("disputes", "documents", "slots", "state")

    def __init__(self, state: LedgerState) -> None:
        self.state = state
        self.slots: dict[Slot, _SlotDraft] = {}
        self.documents = dict(state.documents)
        self.disputes: list[Dispute] = []

    def slot(self, slot: Slot) -> _SlotDraft:
        draft = self.slots.get(slot)
        if draft is None:
            draft = self.slots[slot] = _SlotDraft(slot, self.state)
        return draft

    def whole(self, draft: _SlotDraft) -> _SlotDraft:
        return draft if draft.slot.leaf == WHOLE else self.slot(Slot(WHOLE, draft.slot.counter))

    def add(self, draft: _SlotDraft, quantity: Quantity, at: datetime, key: EventKey, cause: Cause) -> None:
        """Write a line of a slot, which counts in the whole location's slot too."""
        line = Line(draft.slot, quantity, at, key, cause)
        draft.push(line)
        whole = self.whole(draft)
        if whole is not draft:
            whole.push(line)

    def move(self, slot: Slot, quantity: Quantity, at: datetime, key: EventKey) -> None:
        draft = self.slot(slot)
        whole = self.whole(draft)
        self.add(draft, quantity, at, key, Cause.MOVEMENT)
        own = None if draft is whole else draft.first_from(at)
        self.take_back(draft, quantity, own, whole.first_from(at), key)

    def take_back(
        self,
        draft: _SlotDraft,
        quantity: Quantity,
        own: CountMark | None,
        total: CountMark | None,
        key: EventKey,
    ) -> None:
        """Take a late line back at the counts that had seen it: the leaf's ``own``, and the location's ``total``.

        Counts of leaves precede those of the whole at one instant.
        """
        whole = self.whole(draft)
        if own is not None and (total is None or own.as_of <= total.as_of):
            self.restate(draft, own, quantity, key)
            return
        if total is not None:
            self.restate(whole, total, quantity, key)
            if own is not None:
                self.restate(draft, own, quantity, key)
                again = whole.first_from(own.as_of)
                if again is not None:
                    self.restate(whole, again, -quantity, key)

    def restate(self, draft: _SlotDraft, mark: CountMark, quantity: Quantity, key: EventKey) -> None:
        """Take ``quantity`` back at ``mark``: the count already contained it."""
        self.add(draft, -quantity, mark.as_of, key, Cause.RESTATED)
        draft.change(mark, -quantity)

    def count(self, event: Count) -> None:
        slot = count_slot(event)
        draft = self.slot(slot)
        mark = CountMark(event.as_of, event.version, event.key)
        document = count_document(event)
        if document is not None:
            standing = self.documents.get(document)
            if standing is not None and standing[1:] > mark[1:]:
                return
            if standing is not None:
                self.retract(draft, standing, event.key)
            self.documents[document] = mark
        self.accept(draft, mark, event)

    def accept(self, draft: _SlotDraft, mark: CountMark, event: Count) -> None:
        known = draft.balance_at(event.as_of)
        later = draft.marks[bisect_right(draft.marks, mark) :]
        # Counts of the same instant that outrank this one are already in `known`; they come after it.
        known -= sum(draft.standing[other].variance for other in later if other.as_of == event.as_of)
        variance = event.quantity - known
        count = Standing(mark, variance, event.quantity, event.origin.source, event.document)
        self.find_disputes(draft, count)
        self.add(draft, variance, event.as_of, event.key, Cause.COUNT)
        draft.standing[mark] = count
        draft.accepted.add(mark)
        self.take_back_count(draft, mark, variance, event.key)
        if not later and (draft.last_count is None or draft.last_count < mark):
            draft.last_count = mark
        insort(draft.marks, mark)

    def retract(self, draft: _SlotDraft, mark: CountMark, key: EventKey) -> None:
        """Undo an accepted count, as if it had never been taken."""
        variance = draft.standing.pop(mark).variance
        draft.marks.remove(mark)
        draft.accepted.discard(mark)
        self.add(draft, -variance, mark.as_of, key, Cause.RETRACTED)
        if draft.last_count == mark:
            draft.last_count = draft.marks[-1] if draft.marks else None
        self.take_back_count(draft, mark, -variance, key)

    def take_back_count(self, draft: _SlotDraft, mark: CountMark, variance: Quantity, key: EventKey) -> None:
        whole = self.whole(draft)
        if draft is whole:
            self.take_back(draft, variance, None, draft.first_after(mark), key)
        else:
            self.take_back(draft, variance, draft.first_after(mark), whole.first_from(mark.as_of), key)

    def find_disputes(self, draft: _SlotDraft, count: Standing) -> None:
        """Note counts of other documents at the same instant that say something else."""
        for other in draft.standing.values():
            if other.mark.as_of != count.mark.as_of or other.quantity == count.quantity:
                continue
            if (other.source, other.document) != (count.source, count.document):
                said = (other.mark.event_key, other.quantity)
                self.disputes.append(Dispute(count.mark.event_key, count.quantity, *said))

    def posting(self) -> Posting:
        clocks = dict(self.state.clocks)
        deltas: dict[Counter, Quantity] = {}
        counts: list[AcceptedCount] = []
        restated: dict[tuple[Slot, CountMark], Quantity] = {}
        retracted: list[tuple[Slot, CountMark]] = []
        lines: list[Line] = []
        for slot, draft in self.slots.items():
            clocks[slot] = Clock(draft.balance, draft.last_valid_at, draft.last_count)
            if slot.leaf == WHOLE:
                deltas[slot.counter] = draft.balance - draft.before.balance
                lines += [line for line in draft.lines if line.quantity or line.cause is Cause.COUNT]
            retracted += [(slot, mark) for mark in draft.known if mark not in draft.standing]
            for mark, count in draft.standing.items():
                if mark in draft.accepted:
                    source = SourceId(count.source)
                    counts.append(
                        AcceptedCount(slot, mark, count.quantity, count.variance, source, count.document)
                    )
                elif count.variance != draft.known[mark].variance:
                    restated[slot, mark] = count.variance - draft.known[mark].variance
        documents = {
            document: mark
            for document, mark in self.documents.items()
            if self.state.documents.get(document) != mark
        }
        return Posting(
            self.state.key,
            self.state.seq,
            lines,
            clocks,
            deltas,
            counts,
            restated,
            retracted,
            documents,
            self.disputes,
        )

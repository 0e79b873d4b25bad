"""The bitemporal journal of one stock key: what its lines, counts and clocks are, and the rules that they keep.

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

**Corrected counts.** A count that names its document is retracted when a newer version of that document is accepted,
by lines that undo its variance and all that rested on it; an older version that arrives after that stands nowhere.
While the newer version waits, the older one stands: also where the newer one had been accepted, and what moved since
leaves it open what it means. So, where clocks may do that, a count keeps the versions of its document that do not stand;
and everywhere those between it and the newer one, which what arrives late may explain.

**History.** A count that would wait, were it the newest, stands as history while a newer one does: it moves no balance.
Nobody has judged it, so it covers nothing itself, and once nothing newer stands it is taken out and judged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple, TypeAlias

from shared.domain.events import Count, Event, Movement, event_source
from shared.domain.network import EXACT, Tolerance
from shared.domain.stock import AVAILABLE_SIGN, Counter, EventKey, Leaf, Quantity, SourceId, StockKey


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


NO_COUNT = EventKey("")
"""Stands for no count."""


class Line(NamedTuple):
    """One journal line: ``quantity`` of ``slot`` became true at ``valid_at`` because of ``event_key``.

    ``of_count`` is the count that the line restates or retracts; empty elsewhere, and in entries older than it.
    """

    slot: Slot
    quantity: Quantity
    valid_at: datetime
    event_key: EventKey
    cause: Cause
    of_count: EventKey = NO_COUNT


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
    """An accepted count as it stands: what it said, and its present variance.

    ``said`` is when it says it was taken, from and to; None where somebody has decided that. ``spare`` are the other
    versions of its document. ``is_history`` says that it stands only because a newer count does, and ``was_accepted``
    whether it had stood by itself before.
    """

    mark: CountMark
    variance: Quantity
    quantity: Quantity = 0
    source: str = ""
    document: str = ""
    said: tuple[datetime, datetime] | None = None
    spare: tuple[Waiting, ...] = ()
    is_history: bool = False
    was_accepted: bool = False


WAITING_SIZE = 350_000
"""Bytes that the counts of a stock key which wait may take, as ``Waiting.size`` reckons: they are one item, of 400 KB at most."""


class Why(StrEnum):
    """Why a count waits for a decision."""

    APPROVAL = "approval"
    SUSPENDED = "suspended"


class Waiting(NamedTuple):
    """A count that changes nothing until it is decided.

    Attributes
    ----------
    said
        When it says it was taken, from and to: one instant unless its clock is coarse.
    known
        ``as_of`` that instant when it was last judged: what an approver sees, and what the approval is bound to. Of a
        version that corrects one which stands, it is reckoned without that one; but while it is suspended, with it.
    outcomes
        The balances of the slot that the possible instants would lead to, lowest and highest.
    was_accepted
        Whether it stood before it came to wait, by itself and not as history.
    is_decided
        Whether somebody said at what instant it was taken, as of which it then stood.
    spare
        The other versions of its document, where none stands.
    """

    slot: Slot
    mark: CountMark
    quantity: Quantity
    source: SourceId
    document: str
    said: tuple[datetime, datetime]
    why: Why = Why.APPROVAL
    known: Quantity = 0
    outcomes: tuple[Quantity, Quantity] = (0, 0)
    was_accepted: bool = False
    is_decided: bool = False
    spare: tuple[Waiting, ...] = ()

    @property
    def rank(self) -> tuple[str, EventKey]:
        """The order of the versions of one document."""
        return self.mark.version, self.mark.event_key

    @property
    def size(self) -> int:
        """Bytes that it takes where it is stored, rather more than less: its names, and all else that a count has."""
        names = (self.mark.event_key, self.mark.version, self.source, self.document, str(self.slot.leaf))
        return 220 + sum(len(name.encode()) for name in names) + sum(other.size for other in self.spare)


@dataclass(frozen=True, slots=True)
class Rules:
    """What a location has declared about counts.

    Attributes
    ----------
    approve_beyond
        Variance from which a count waits for an approver; None: never.
    skews
        How far each source's clock may be off; sources that are not named are exact.
    undecided_within
        Spread of possible outcomes up to which a count applies at the end of its window, as if all came before it.
    coarsest
        The longest time that a count of this location may leave open, apart from skews.
    """

    approve_beyond: Tolerance | None = None
    skews: Mapping[SourceId, timedelta] = field(default_factory=dict)
    undecided_within: Tolerance = EXACT
    coarsest: timedelta = timedelta(0)

    @property
    def widest(self) -> timedelta:
        """How far from a count's time a movement can still be undecided."""
        return self.coarsest + 2 * max(self.skews.values(), default=timedelta(0))

    def skew(self, one: SourceId, other: SourceId) -> timedelta:
        """Return how far the clocks of two sources may differ; within one source its own sequence decides."""
        if one == other:
            return timedelta(0)
        return self.skews.get(one, timedelta(0)) + self.skews.get(other, timedelta(0))


NO_RULES = Rules()


class Stretch(NamedTuple):
    """Every line of a slot from ``start`` on up to ``end``, and the balance before them."""

    start: datetime
    end: datetime
    before: Quantity
    lines: Sequence[Line]

    def as_of(self, at: datetime) -> Quantity:
        return self.before + sum(line.quantity for line in self.lines if line.valid_at <= at)


@dataclass(frozen=True, slots=True)
class Clock:
    """What one slot says of itself without looking further: its balance, and how far it has been told.

    ``last_valid_at`` is the newest valid time of any of its lines; ``last_count`` the newest accepted count.
    """

    balance: Quantity = 0
    last_valid_at: datetime | None = None
    last_count: CountMark | None = None


AsOfKey: TypeAlias = tuple[Slot, datetime]

Opening: TypeAlias = tuple[SourceId, datetime]
"""The source and the instant of the counts with which a stock key began."""


def is_new(clocks: Mapping[Slot, Clock]) -> bool:
    """Whether nothing is known of a stock key with these clocks."""
    return all(clock.last_valid_at is None for clock in clocks.values())


def opened_by(lines: Sequence[Line]) -> Opening | None:
    """Return whose counts, and of when, the first lines of a stock key are; None where they are anything else."""
    if not lines:
        return None
    opening = (event_source(lines[0].event_key), lines[0].valid_at)
    return opening if all(is_opened_by(line, *opening) for line in lines) else None


def is_opened_by(line: Line, source: SourceId, at: datetime) -> bool:
    """Whether a line is a count of a source and of an instant."""
    return line.cause is Cause.COUNT and line.valid_at == at and event_source(line.event_key) == source


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
        The version of each count document that stands, of those that the batch or what waits names.
    waiting
        The counts that wait for a decision.
    stretches
        Where clocks leave something undecided: every line near what the batch touches, as ``needs`` asked for.
    opened_by
        The source whose counts alone were the first entry of the journal, and their instant; None where it was not so,
        and where no count of the batch could belong to them.
    """

    key: StockKey
    seq: int = 0
    clocks: Mapping[Slot, Clock] = field(default_factory=dict)
    counts: Mapping[Slot, Sequence[Standing]] = field(default_factory=dict)
    as_of: Mapping[AsOfKey, Quantity] = field(default_factory=dict)
    documents: Mapping[CountDocument, CountMark] = field(default_factory=dict)
    waiting: Sequence[Waiting] = ()
    stretches: Mapping[Slot, Sequence[Stretch]] = field(default_factory=dict)
    rules: Rules = NO_RULES
    opened_by: Opening | None = None

    @property
    def is_new(self) -> bool:
        """Whether nothing at all is known of the stock key yet."""
        return is_new(self.clocks)

    @property
    def withheld(self) -> Quantity:
        """Units withheld from promises before the batch."""
        return withheld_by(self.waiting)


@dataclass(frozen=True, slots=True)
class Needs:
    """What the clocks alone do not answer: counts since an instant, and balances as of instants.

    Of slots in ``retracted`` the newest counts before that instant are needed too, up to one that stands by itself: they
    may become the last again. Of those in ``stretches`` every line between two instants.
    """

    counts_since: Mapping[Slot, datetime]
    as_of: frozenset[AsOfKey]
    retracted: frozenset[Slot] = frozenset()
    stretches: Mapping[Slot, Sequence[tuple[datetime, datetime]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AcceptedCount:
    """A count that now stands in the ledger, with its variance after this posting."""

    slot: Slot
    mark: CountMark
    quantity: Quantity
    variance: Quantity
    source: SourceId
    document: str = ""
    said: tuple[datetime, datetime] | None = None
    spare: tuple[Waiting, ...] = ()
    is_history: bool = False
    was_accepted: bool = False


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
    leaves
        The bins and lots of which a clock is another than it was, or none was known.
    is_part
        Whether it only makes way for a retraction, which is still to come.
    deltas
        By how much each counter moves, over all leaves.
    restated
        The change of variance of counts that were accepted before this batch.
    retracted
        Counts accepted before this batch that no longer stand.
    documents
        The version of each count document that stands now, where this batch changed that; None where none does any more.
    waiting, began_to_wait, settled
        All counts that wait after this batch; those that did not before, or for another reason; those that do so no more.
    """

    key: StockKey
    expected_seq: int
    lines: Sequence[Line]
    clocks: Mapping[Slot, Clock]
    deltas: Mapping[Counter, Quantity]
    counts: Sequence[AcceptedCount]
    restated: Mapping[tuple[Slot, CountMark], Quantity]
    retracted: Sequence[tuple[Slot, CountMark]] = ()
    documents: Mapping[CountDocument, CountMark | None] = field(default_factory=dict)
    disputes: Sequence[Dispute] = ()
    waiting: Sequence[Waiting] = ()
    began_to_wait: Sequence[Waiting] = ()
    settled: Sequence[EventKey] = ()
    withheld_before: Quantity = 0
    leaves: frozenset[Leaf] = frozenset()
    is_part: bool = False

    @property
    def is_crowded(self) -> bool:
        """Whether more counts wait than there is room for."""
        return sum(count.size for count in self.waiting) > WAITING_SIZE

    @property
    def withheld(self) -> Quantity:
        """Units that are not promised while counts wait whose lowest outcome is below the balance."""
        return withheld_by(self.waiting)

    @property
    def available_delta(self) -> Quantity:
        """By how much the posting moves ``available``, reservations apart."""
        moved = sum(AVAILABLE_SIGN[counter] * change for counter, change in self.deltas.items())
        return moved - (self.withheld - self.withheld_before)


def withheld_by(waiting: Iterable[Waiting]) -> Quantity:
    """Return by how much the lowest outcomes of suspended counts are below what the ledger says without them.

    Of one document's versions only one can come to stand: the lowest of all that they may lead to counts.
    """
    most: dict[CountDocument | EventKey, Quantity] = {}
    for count in waiting:
        if count.why is Why.SUSPENDED and count.slot.counter is Counter.ON_HAND:
            name = waiting_document(count) or count.mark.event_key
            most[name] = max(most.get(name, 0), count.known - count.outcomes[0])
    return sum(most.values())


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


def time_said(event: Count) -> tuple[datetime, datetime]:
    """Return when a count says it was taken, from and to."""
    return (event.as_of if event.since is None else event.since, event.as_of)


def count_document(event: Count) -> CountDocument | None:
    """Return the document that may be corrected later; None where the count names none."""
    return CountDocument(count_slot(event), event.origin.source, event.document) if event.document else None


def version_of(slot: Slot, stands: Standing) -> Waiting:
    """Return an accepted count as one that could stand again."""
    source, said = SourceId(stands.source), stands.said or (stands.mark.as_of, stands.mark.as_of)
    mark = stands.mark._replace(as_of=said[1])
    return Waiting(
        slot,
        mark,
        stands.quantity,
        source,
        stands.document,
        said,
        was_accepted=stands.was_accepted or not stands.is_history,
        is_decided=stands.said is None,
    )


def judged_again(counts: Mapping[Slot, Sequence[Standing]]) -> list[Waiting]:
    """Return what would be judged if counts went out: the versions kept beside them, and those that are history."""
    found: list[Waiting] = []
    for slot, standing in counts.items():
        for count in standing:
            found += [version_of(slot, count), *count.spare] if count.is_history else count.spare
    return found


def waiting_document(count: Waiting) -> CountDocument | None:
    """Return the document that a count which waits is a version of; None where it names none."""
    return CountDocument(count.slot, count.source, count.document) if count.document else None

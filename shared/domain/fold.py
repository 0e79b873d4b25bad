"""``fold``: the only rule by which events become journal lines. Pure: everything it must know is in its arguments.

``needs`` says what must be read for a batch, ``fold`` turns state and batch into one posting. The rules themselves
(two lines for a late fact, leaves, corrected counts) are told in ``ledger.py``; here is what decides whether a count
applies at all:

* **Approval.** A count whose variance is beyond what the location declares waits, and changes nothing. Each posting to
  its slot judges it anew: within the limit now, it applies; overtaken by a newer accepted count, it applies as history,
  which moves no balance. What was once accepted stays accepted.
* **Versions.** Of one document stands the newest version that can; if that is not the newest of all, the newest waits.
  Each is judged as if the others were out, and comes to stand in the posting that takes another out. So it does not
  matter in which order versions and movements arrive::

      version 1 says 10, version 2 says 12: it stands; another system ships 3, before or after version 2
      version 2 is suspended, and 10 stands again, as if the shipment had been known before
* **Suspension.** Where clocks leave it open whether a movement came before a count, every possible instant leads to an
  outcome. If they are near enough to each other the count applies as if all undecided movements had preceded it;
  otherwise it waits, also if it had been accepted before, and the lowest outcome is what is promised::

      count 10, taken between 12:00 and 13:00; another system ships 3 at 12:20
      taken before the shipment: 7 at 13:00; after it: 10. Suspended: 3 units are withheld
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from types import MappingProxyType
from typing import Any

from shared.domain.events import Count, Event, Movement, event_source, instant
from shared.domain.ledger import (
    NO_RULES,
    AcceptedCount,
    AsOfKey,
    Cause,
    Clock,
    CountDocument,
    CountMark,
    Dispute,
    LedgerState,
    Line,
    Needs,
    Posting,
    Rules,
    Slot,
    Standing,
    Waiting,
    Why,
    count_document,
    count_slot,
    is_opened_by,
    slots_of,
    version_of,
    waiting_document,
)
from shared.domain.network import MANUAL
from shared.domain.stock import WHOLE, Counter, EventKey, Quantity, SourceId, StockKey

_UNTOUCHED = Clock()

MOST_SPARE = 20
"""Versions of one document that are kept beside the one that stands or waits: the newest of them."""


class NoLongerWaitsError(LookupError):
    """The count does not wait for a decision: it has been decided, overtaken or corrected."""


class ChangedSinceSeenError(Exception):
    """What the ledger said at the count's instant is no longer what the approver saw."""

    def __init__(self, seen: Quantity, known: Quantity) -> None:
        super().__init__(f"the ledger said {seen} as of the count when it was shown, and says {known} now")
        self.seen = seen
        self.known = known


class SeenNeededError(ValueError):
    """What a decision would change is beyond the limit, and it does not say which number was seen."""

    def __init__(self, known: Quantity, quantity: Quantity) -> None:
        super().__init__(f"the count says {quantity} where the ledger says {known} as of that instant")
        self.known = known


class InstantNeededError(ValueError):
    """A suspended count is decided by an instant within its window; any other count by none."""

    def __init__(self, window: tuple[datetime, datetime] | None) -> None:
        super().__init__(
            "only a suspended count is given an instant"
            if window is None
            else f"it was taken between {instant(window[0])} and {instant(window[1])}; give the instant"
        )
        self.window = window


@dataclass(frozen=True, slots=True)
class Decision:
    """What somebody decided about a count that waits.

    Attributes
    ----------
    accept
        False drops the count for good.
    seen
        The ledger's own number as of the count, as the approver saw it. Of a suspended count it need be said only where
        the count, taken ``at`` that instant, is beyond the limit.
    at
        For a suspended count: the exact instant at which it was taken.
    """

    count: EventKey
    accept: bool
    seen: Quantity | None = None
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Retraction:
    """Takes a count out again, as if it had never been taken: the compensation of a count that is undone."""

    key: EventKey
    slot: Slot
    mark: CountMark


def needs(
    key: StockKey,
    clocks: Mapping[Slot, Clock],
    events: Iterable[Event | Retraction],
    documents: Mapping[CountDocument, CountMark] = MappingProxyType({}),
    waiting: Sequence[Waiting] = (),
    rules: Rules = NO_RULES,
) -> Needs:
    """Say what must be read beyond clocks, count documents and waiting counts before ``events`` can be folded.

    Where counts come with ``spares``, what those need must be read too: ask again with them among ``waiting``.
    """
    since: dict[Slot, datetime] = {}
    instants: set[AsOfKey] = set()
    retracted: set[Slot] = set()
    stretches: dict[Slot, list[tuple[datetime, datetime]]] = {}
    events = list(events)
    retractions = [event for event in events if isinstance(event, Retraction)]
    told = [event for event in events if not isinstance(event, Retraction)]
    touched = [*slots_of(key, told), *((event.slot, event.mark.as_of) for event in retractions)]
    retracted.update(event.slot for event in retractions)

    def look(slot: Slot, at: datetime) -> None:
        for counted in _with_whole(slot):
            last_count = clocks.get(counted, _UNTOUCHED).last_count
            if last_count is not None and at <= last_count.as_of:
                since[counted] = min(at, since.get(counted, at))

    def balance_at(slot: Slot, at: datetime) -> None:
        last_valid = clocks.get(slot, _UNTOUCHED).last_valid_at
        if last_valid is not None and at < last_valid:
            instants.add((slot, at))

    def stretch(slot: Slot, start: datetime, end: datetime) -> None:
        for counted in _with_whole(slot):
            look(counted, start)
            retracted.add(counted)
            stretches.setdefault(counted, []).append((start, end))

    def older(document: CountDocument | None) -> None:
        if document is not None and document in documents:
            look(document.slot, documents[document].as_of)
            retracted.add(document.slot)

    for slot, at in touched:
        look(slot, at)
        if rules.widest:
            stretch(slot, at - 2 * rules.widest, at + 2 * rules.widest)
    for event in told:
        if isinstance(event, Count):
            balance_at(count_slot(event), event.as_of)
            if rules.widest:
                stretch(count_slot(event), _said(event)[0] - 2 * rules.widest, event.as_of + 2 * rules.widest)
            older(count_document(event))
    counters = {slot.counter for slot, _ in touched}
    for count in (*waiting, *(spare for one in waiting for spare in one.spare)):
        if not touched or count.slot.counter in counters:
            look(count.slot, count.said[0])
            balance_at(count.slot, count.said[1])
            older(waiting_document(count))
            if rules.widest:
                stretch(count.slot, count.said[0] - 2 * rules.widest, count.said[1] + 2 * rules.widest)
    return Needs(
        since, frozenset(instants), frozenset(retracted), {slot: _merged(s) for slot, s in stretches.items()}
    )


def fold(
    state: LedgerState, events: Iterable[Movement | Count | Retraction], decision: Decision | None = None
) -> Posting:
    """Turn a batch of events about one stock key, or a decision about a count that waits, into one posting.

    The events must have distinct keys, none of them posted before, and each must concern ``state.key``. Legs of
    a movement at other locations are left to those locations' postings.

    Raises
    ------
    NoLongerWaitsError, ChangedSinceSeenError, InstantNeededError, SeenNeededError
        When a decision does not fit.
    """
    draft = _Draft(state)
    for event in events:
        if isinstance(event, Movement):
            for leg in event.legs:
                if leg.location == state.key.location:
                    draft.move(Slot(leg.leaf, leg.counter), leg.quantity, event.occurred_at, event.key)
        elif isinstance(event, Count):
            draft.count(event)
        else:
            draft.withdraw(draft.slot(event.slot), event.mark.event_key, event.key)
            draft.judge(event.slot.counter)
    if decision is not None:
        draft.decide(decision)
    return draft.posting()


def _with_whole(slot: Slot) -> Iterator[Slot]:
    yield slot
    if slot.leaf != WHOLE:
        yield Slot(WHOLE, slot.counter)


def _said(event: Count) -> tuple[datetime, datetime]:
    return (event.as_of if event.since is None else event.since, event.as_of)


def _is_repeated(known: Standing | Waiting, count: Waiting) -> bool:
    """Whether a count says of the same time what is known; somebody may have decided when that one was taken."""
    is_same_time = known.said is None or known.said[0] == count.said[0]
    return is_same_time and known.quantity == count.quantity


def _merged(stretches: list[tuple[datetime, datetime]]) -> list[tuple[datetime, datetime]]:
    merged: list[tuple[datetime, datetime]] = []
    for start, end in sorted(stretches):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


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
        "stretches",
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
        self.stretches = state.stretches.get(slot, ())

    def as_it_is(self) -> dict[str, Any]:
        """Return all that judging a count may change, to ``restore`` it."""
        now = {name: getattr(self, name) for name in ("balance", "last_count", "last_valid_at")}
        copied = {name: getattr(self, name).copy() for name in ("accepted", "lines", "marks", "standing")}
        return now | copied

    def restore(self, before: Mapping[str, Any]) -> None:
        for name, value in before.items():
            setattr(self, name, value)

    def push(self, line: Line) -> None:
        self.lines.append(line)
        self.balance += line.quantity
        if self.last_valid_at is None or line.valid_at > self.last_valid_at:
            self.last_valid_at = line.valid_at

    def balance_at(self, at: datetime) -> Quantity:
        """``as_of(at)`` including the lines of this batch."""
        before = self.as_of.get((self.slot, at))
        if before is None:
            near = next((stretch for stretch in self.stretches if stretch.start <= at < stretch.end), None)
            before = self.before.balance if near is None else near.as_of(at)
        return before + sum(line.quantity for line in self.lines if line.valid_at <= at)

    def movements(self, start: datetime, end: datetime) -> Iterator[Line]:
        """Yield what moved after ``start`` and up to ``end``, as far as it is near what the batch touches."""
        for lines in (*(stretch.lines for stretch in self.stretches), self.lines):
            for line in lines:
                if start < line.valid_at <= end and line.cause is Cause.MOVEMENT and line.quantity:
                    yield line

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

    __slots__ = ("disputes", "documents", "rules", "slots", "state", "waiting")

    def __init__(self, state: LedgerState) -> None:
        self.state = state
        self.rules = state.rules
        self.slots: dict[Slot, _SlotDraft] = {}
        self.documents = dict(state.documents)
        self.disputes: list[Dispute] = []
        self.waiting: dict[EventKey, Waiting] = {count.mark.event_key: count for count in state.waiting}

    def slot(self, slot: Slot) -> _SlotDraft:
        draft = self.slots.get(slot)
        if draft is None:
            draft = self.slots[slot] = _SlotDraft(slot, self.state)
        return draft

    def whole(self, draft: _SlotDraft) -> _SlotDraft:
        return draft if draft.slot.leaf == WHOLE else self.slot(Slot(WHOLE, draft.slot.counter))

    # ---- lines ----------------------------------------------------------------------------------------------------

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
        if self.rules.widest:
            self.look_again(draft, at, key)
            if draft is not whole:
                self.look_again(whole, at, key)
        if self.waiting:
            self.judge(slot.counter)

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
        elif own is not None:
            self.restate(draft, own, quantity, key)

    def restate(self, draft: _SlotDraft, mark: CountMark, quantity: Quantity, key: EventKey) -> None:
        """Take ``quantity`` back at ``mark``: the count already contained it."""
        self.add(draft, -quantity, mark.as_of, key, Cause.RESTATED)
        draft.change(mark, -quantity)

    # ---- counts ---------------------------------------------------------------------------------------------------

    def count(self, event: Count) -> None:
        draft = self.slot(count_slot(event))
        mark = CountMark(event.as_of, event.version, event.key)
        said = _said(event)
        count = Waiting(draft.slot, mark, event.quantity, event.origin.source, event.document, said)
        if not event.document:
            self.propose(count)
        elif event.since is None or not self.repeat(draft, count):
            self.tell_version(count)
        if self.waiting:
            self.judge(draft.slot.counter)

    def tell_version(self, count: Waiting) -> None:
        """Judge one version of a document beside the others."""
        self.waiting[count.mark.event_key] = count
        self.settle(count)

    def repeat(self, draft: _SlotDraft, count: Waiting) -> bool:
        """Let what a dated document says again stand, or wait, as it did; False if it says something else.

        It was true already when it was first written, and saying it again brings nothing new.
        """
        accepted = self.accepted_version(count)
        stands = None if accepted is None else draft.standing[accepted]
        if stands is not None and _is_repeated(stands, count):
            self.say_again(draft, stands, count)
            self.settle(count)
            return True
        told = [other for other in self.versions_told(count) if _is_repeated(other, count)]
        same = max(told, key=lambda other: other.was_accepted, default=None)
        if same is None:
            return False
        version, said = max(same.mark.version, count.mark.version), min(same.said, count.said)
        mark = same.mark._replace(as_of=said[1], version=version)
        self.tell_version(same._replace(mark=mark, said=said))
        return True

    def say_again(self, draft: _SlotDraft, stands: Standing, count: Waiting) -> None:
        """Let an accepted version stand for one that says the same; at the earlier time, of the two."""
        mark = stands.mark._replace(version=max(stands.mark.version, count.mark.version))
        if stands.said is None or stands.said <= count.said:
            del draft.standing[stands.mark]
            draft.marks.remove(stands.mark)
            draft.accepted.discard(stands.mark)
            draft.standing[mark] = stands._replace(mark=mark)
            draft.accepted.add(mark)
            insort(draft.marks, mark)
            if draft.last_count == stands.mark:
                draft.last_count = mark
            self.documents[CountDocument(count.slot, count.source, count.document)] = mark
        else:
            earlier = mark._replace(as_of=count.said[1])
            self.retract(draft, stands.mark, count.mark.event_key)
            self.waiting[earlier.event_key] = count._replace(mark=earlier, was_accepted=True)

    def accepted_version(self, count: Waiting) -> CountMark | None:
        """Return the version of a count's document that stands."""
        document = waiting_document(count)
        newest = None if document is None else self.documents.get(document)
        if newest is None:
            return None
        marks = self.slot(count.slot).marks
        return next((mark for mark in marks if mark.event_key == newest.event_key), None)

    def versions_told(self, count: Waiting) -> list[Waiting]:
        """Return the versions of a count's document that do not stand, newest first."""
        document, stands = waiting_document(count), self.accepted_version(count)
        told = [other for other in self.waiting.values() if document and waiting_document(other) == document]
        spare = [spare for other in told for spare in other.spare]
        if stands is not None:
            spare += self.slot(count.slot).standing[stands].spare
        versions = {other.mark.event_key: other._replace(spare=()) for other in (*spare, *told)}
        return sorted(versions.values(), key=lambda other: other.rank, reverse=True)

    def drop(self, version: Waiting) -> None:
        """Let go of a count that waits; the other versions of its document are judged again."""
        told = self.versions_told(version)
        del self.waiting[version.mark.event_key]
        rest = [other for other in told if other.mark.event_key != version.mark.event_key]
        self.waiting |= {other.mark.event_key: other for other in rest}
        if rest:
            self.settle(rest[0])

    def stand_down(
        self, draft: _SlotDraft, mark: CountMark, key: EventKey, *, for_good: bool = False
    ) -> None:
        """Take a count out that stands, to be judged again unless it is out ``for_good``; so are its other versions."""
        count = version_of(draft.slot, draft.standing[mark])
        document = waiting_document(count)
        if document is not None:
            self.documents[document] = mark
        others = self.versions_told(count)
        self.retract(draft, mark, key)
        told = others if for_good else [count, *others]
        self.waiting |= {other.mark.event_key: other for other in told}
        if told:
            self.propose(told[0])

    def withdraw(self, draft: _SlotDraft, count: EventKey, key: EventKey) -> None:
        """Undo a count, whether it stands or waits."""
        waits = self.waiting.get(count)
        stands = next((mark for mark in draft.marks if mark.event_key == count), None)
        if waits is not None:
            self.drop(waits)
        elif stands is not None:
            self.stand_down(draft, stands, key, for_good=True)

    def propose(self, count: Waiting) -> None:
        """Apply a count, or let it wait."""
        if count.document:
            self.settle(count)
            return
        judged = self.judgement(count)
        if judged is None:
            self.waiting.pop(count.mark.event_key, None)
        else:
            self.waiting[count.mark.event_key] = judged

    def settle(self, count: Waiting) -> None:
        """Let the newest version of a count's document stand that can, and the newest of all wait if it cannot."""
        stands, told = self.accepted_version(count), self.versions_told(count)
        for number, version in enumerate(told):
            if stands is not None and version.rank < (stands.version, stands.event_key):
                break
            before = None if stands is None else self.slot(count.slot).standing[stands]
            judged = self.in_place_of(stands, version)
            if judged is None:
                self.waiting.pop(version.mark.event_key, None)
                told[number : number + 1] = [] if before is None else [version_of(count.slot, before)]
                stands = self.accepted_version(version)
                break
            told[number] = judged
        self.keep(count, stands, sorted(told, key=lambda other: other.rank, reverse=True))

    def in_place_of(self, older: CountMark | None, count: Waiting) -> Waiting | None:
        """Apply a version in the place of the one that stands, if any; or return it as it waits, and let that stand."""
        if older is None:
            return self.judgement(count)
        draft = self.slot(count.slot)
        drafts = [draft, self.whole(draft)]
        before = [each.as_it_is() for each in drafts]
        standing = draft.balance
        self.retract(draft, older, count.mark.event_key)
        judged = self.judgement(count)
        if judged is None:
            return None
        if judged.why is Why.SUSPENDED:
            judged = judged._replace(known=judged.known + standing - draft.balance)
        for each, was in zip(drafts, before, strict=True):
            each.restore(was)
        return judged

    def keep(self, count: Waiting, stands: CountMark | None, told: list[Waiting]) -> None:
        """Let the newest version wait unless it stands, and keep the others where clocks may bring them back."""
        document = waiting_document(count)
        for version in told:
            self.waiting.pop(version.mark.event_key, None)
        waits = (
            told[:1]
            if stands is None
            else [v for v in told[:1] if v.rank > (stands.version, stands.event_key)]
        )
        spare = tuple(told[len(waits) :][:MOST_SPARE]) if self.rules.widest else ()
        for version in waits:
            self.waiting[version.mark.event_key] = version._replace(spare=() if stands else spare)
        if stands is not None:
            draft = self.slot(count.slot)
            if draft.standing[stands].spare != spare:
                draft.standing[stands] = draft.standing[stands]._replace(spare=spare)
                draft.accepted.add(stands)
            return
        accepted = next((version for version in told if version.was_accepted), None)
        if accepted is not None and document is not None:
            self.documents[document] = accepted.mark

    def judge(self, counter: Counter) -> None:
        """Judge anew what waits: each count that applies may decide about the others."""
        before = -1
        while before != len(self.waiting):
            before = len(self.waiting)
            for count in sorted(self.waiting.values(), key=lambda waiting: waiting.mark):
                if count.slot.counter is counter and count.mark.event_key in self.waiting:
                    self.propose(count)

    def judgement(self, count: Waiting) -> Waiting | None:
        """Apply a count if it may be; else return it as it waits now."""
        draft = self.slot(count.slot)
        if count.is_decided:
            self.accept(draft, count, count.mark, count.quantity, None)
            return None
        is_history = self.is_overtaken(draft, count.mark)
        undecided = self.undecided(draft, count)
        at = max([count.said[1], *(line.valid_at for line in undecided)])
        quantity = count.quantity + self.surely_after(draft, count, at, undecided)
        if undecided and not is_history:
            outcomes = self.outcomes(quantity, undecided)
            if self.rules.undecided_within.is_exceeded(outcomes[1] - outcomes[0], of=quantity):
                return count._replace(why=Why.SUSPENDED, known=draft.balance_at(at), outcomes=outcomes)
        mark = count.mark._replace(as_of=at)
        known = self.known_before(draft, mark)
        limit = self.rules.approve_beyond
        may_wait = not is_history and not count.was_accepted and not self.is_opening(draft, count)
        if limit is not None and may_wait and limit.is_exceeded(quantity - known, of=known):
            return count._replace(why=Why.APPROVAL, known=known, outcomes=(quantity, quantity))
        self.accept(draft, count, mark, quantity, count.said)
        return None

    def is_opening(self, draft: _SlotDraft, count: Waiting) -> bool:
        """Whether a count belongs to the first that a source ever said of the stock key, in all its leaves and counters.

        What a person enters never does: there is no system behind it that would say it again.
        """
        if draft.last_valid_at is not None or count.source == MANUAL.id:
            return False
        opening = (event_source(count.mark.event_key), count.said[1])
        if not self.state.is_new:
            return self.state.opened_by == opening
        lines = [line for slot in self.slots.values() for line in slot.lines]
        return all(is_opened_by(line, *opening) for line in lines)

    def is_overtaken(self, draft: _SlotDraft, mark: CountMark) -> bool:
        """Whether a newer count stands, so that this one is history."""
        return draft.last_count is not None and draft.last_count > mark

    def undecided(self, draft: _SlotDraft, count: Waiting) -> list[Line]:
        """Return what moved so near the count's time that nobody can say which came first, in order of time."""
        start, end = count.said
        widest = self.rules.widest
        if not widest:
            return []
        near = []
        for line in draft.movements(start - widest, end + widest):
            skew = self.rules.skew(count.source, event_source(line.event_key))
            if start - skew < line.valid_at <= end + skew and (skew or start < end):
                near.append(line)
        return sorted(near, key=lambda line: line.valid_at)

    def surely_after(
        self, draft: _SlotDraft, count: Waiting, at: datetime, undecided: Sequence[Line]
    ) -> Quantity:
        """Return what moved between the count and the instant at which it is applied, and certainly after it."""
        if at == count.said[1]:
            return 0
        later = sum(line.quantity for line in draft.movements(count.said[1], at))
        return later - sum(line.quantity for line in undecided if line.valid_at > count.said[1])

    def outcomes(self, quantity: Quantity, undecided: Sequence[Line]) -> tuple[Quantity, Quantity]:
        """Return the lowest and the highest balance that the possible instants lead to."""
        after, possible = 0, [quantity]
        for _, together in groupby(reversed(undecided), key=lambda line: line.valid_at):
            after += sum(line.quantity for line in together)
            possible.append(quantity + after)
        return min(possible), max(possible)

    def known_before(self, draft: _SlotDraft, mark: CountMark) -> Quantity:
        """Return what the ledger says at a count's time without it and the counts that outrank it there."""
        later = draft.marks[bisect_right(draft.marks, mark) :]
        outranked = sum(draft.standing[other].variance for other in later if other.as_of == mark.as_of)
        return draft.balance_at(mark.as_of) - outranked

    def accept(
        self,
        draft: _SlotDraft,
        count: Waiting,
        mark: CountMark,
        quantity: Quantity,
        said: tuple[datetime, datetime] | None,
    ) -> None:
        variance = quantity - self.known_before(draft, mark)
        stands = Standing(mark, variance, count.quantity, count.source, count.document, said)
        self.find_disputes(draft, stands)
        self.add(draft, variance, mark.as_of, mark.event_key, Cause.COUNT)
        draft.standing[mark] = stands
        draft.accepted.add(mark)
        self.take_back_count(draft, mark, variance, mark.event_key)
        if draft.last_count is None or draft.last_count < mark:
            draft.last_count = mark
        insort(draft.marks, mark)
        document = waiting_document(count)
        if document is not None:
            self.documents[document] = mark

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

    def look_again(self, draft: _SlotDraft, at: datetime, key: EventKey) -> None:
        """Something moved near counts that stand: judge those anew whose clocks leave it open."""
        widest = self.rules.widest
        for mark in list(draft.marks):
            stands = draft.standing.get(mark)
            if (
                stands is None
                or stands.said is None
                or not stands.said[0] - widest < at <= stands.said[1] + widest
            ):
                continue
            if self.undecided(draft, version_of(draft.slot, stands)):
                self.stand_down(draft, mark, key)

    def find_disputes(self, draft: _SlotDraft, count: Standing) -> None:
        """Note counts of other documents at the same instant that say something else."""
        for other in draft.standing.values():
            if other.mark.as_of != count.mark.as_of or other.quantity == count.quantity:
                continue
            if (other.source, other.document) != (count.source, count.document):
                said = (other.mark.event_key, other.quantity)
                self.disputes.append(Dispute(count.mark.event_key, count.quantity, *said))

    def decide(self, decision: Decision) -> None:
        count = self.waiting.get(decision.count)
        if count is None:
            raise NoLongerWaitsError(decision.count)
        self.propose(count)
        count = self.waiting.get(decision.count)
        if count is None:
            return
        at = count.said[1]
        if decision.accept and count.why is Why.SUSPENDED:
            window = (count.said[0] - self.rules.widest, count.said[1] + self.rules.widest)
            if decision.at is None or not window[0] <= decision.at <= window[1]:
                raise InstantNeededError(window)
            at = decision.at
        elif decision.at is not None:
            raise InstantNeededError(None)
        mark = count.mark._replace(as_of=at)
        if decision.accept:
            self.accept_decided(decision, count, mark)
        else:
            self.drop(count)
        self.judge(count.slot.counter)

    def accept_decided(self, decision: Decision, count: Waiting, mark: CountMark) -> None:
        """Apply a count as somebody decided, in the place of its document's other versions."""
        draft, older, told = self.slot(count.slot), self.accepted_version(count), self.versions_told(count)
        if older is not None:
            told.append(version_of(draft.slot, draft.standing[older]))
            self.retract(draft, older, count.mark.event_key)
        self.must_be_seen(decision, count, mark)
        del self.waiting[decision.count]
        self.accept(draft, count, mark, count.quantity, None)
        others = [other for other in told if other.mark.event_key != decision.count]
        if count.document:
            self.keep(count, mark, sorted(others, key=lambda other: other.rank, reverse=True))

    def must_be_seen(self, decision: Decision, count: Waiting, mark: CountMark) -> None:
        """Hold an approval to the number that the approver saw."""
        draft, limit = self.slot(count.slot), self.rules.approve_beyond
        known = count.known if count.why is Why.APPROVAL else self.known_before(draft, mark)
        if decision.seen is not None and decision.seen != known:
            raise ChangedSinceSeenError(decision.seen, known)
        must_say = decision.seen is None and count.why is Why.SUSPENDED and not count.was_accepted
        if must_say and limit is not None and limit.is_exceeded(count.quantity - known, of=known):
            raise SeenNeededError(known, count.quantity)

    # ---- the posting ----------------------------------------------------------------------------------------------

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
                    accepted = AcceptedCount(
                        slot,
                        mark,
                        count.quantity,
                        count.variance,
                        source,
                        count.document,
                        count.said,
                        count.spare,
                    )
                    counts.append(accepted)
                elif count.variance != draft.known[mark].variance:
                    restated[slot, mark] = count.variance - draft.known[mark].variance
        documents = {
            document: mark
            for document, mark in self.documents.items()
            if self.state.documents.get(document) != mark
        }
        before = {count.mark.event_key: count.why for count in self.state.waiting}
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
            list(self.waiting.values()),
            [count for key, count in self.waiting.items() if before.get(key) is not count.why],
            [key for key in before if key not in self.waiting],
            self.state.withheld,
        )

"""``fold``: the only rule by which events become journal lines. Pure: everything it must know is in its arguments.

``fold`` turns state and batch into one posting. The rules themselves
(two lines for a late fact, leaves, corrected counts) are told in ``ledger.py``; here is what decides whether a count
applies at all:

* **Approval.** A count whose variance is beyond what the location declares waits, and changes nothing. Each posting to
  its slot judges it anew: within the limit now, it applies; overtaken by a newer accepted count, it applies as history,
  which moves no balance. What was once accepted stays accepted; history never was, and is judged once nothing covers it::

      500 of Monday waits, and is history when Tuesday says 100; Tuesday is undone: 500 waits again, and 100 stands
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

Each is built on the one before: ``journal_draft`` (lines), ``count_judgement`` (one count), ``count_versions`` (those of one
document), and here what a batch or a decision does; ``fold_needs`` says what must be read, ``count_decisions`` are input.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from shared.domain.count_decisions import (
    ChangedSinceSeenError,
    Decision,
    InstantNeededError,
    NoLongerWaitsError,
    Retraction,
    SeenNeededError,
)
from shared.domain.count_versions import CountVersions
from shared.domain.events import Count, Movement
from shared.domain.ledger import (
    AcceptedCount,
    Cause,
    Clock,
    CountMark,
    LedgerState,
    Line,
    Posting,
    Slot,
    Waiting,
    Why,
    count_slot,
    time_said,
    version_of,
)
from shared.domain.stock import WHOLE, Counter, EventKey, Quantity, SourceId


def fold(
    state: LedgerState,
    events: Sequence[Movement | Count | Retraction],
    decision: Decision | None = None,
    most: int | None = None,
) -> Posting:
    """Turn a batch of events about one stock key, or a decision about a count that waits, into one posting.

    Where what comes of it would not fit one transaction, no more than ``most`` of the counts that wait are settled, or of
    history uncovered: what is left to wait changes nothing, as if it came later, and a fold of nothing goes on with it.

    The events must have distinct keys, none of them posted before, and each must concern ``state.key``. Legs of
    a movement at other locations are left to those locations' postings.

    Raises
    ------
    NoLongerWaitsError, ChangedSinceSeenError, InstantNeededError, SeenNeededError
        When a decision does not fit.
    """
    draft, is_part = _Draft(state, most), False
    for event in events:
        if isinstance(event, Movement):
            for leg in event.legs:
                if leg.location == state.key.location:
                    draft.move(Slot(leg.leaf, leg.counter), leg.quantity, event.occurred_at, event.key)
        elif isinstance(event, Count):
            draft.count(event)
        elif draft.uncover_some(draft.slot(event.slot), event.mark.event_key):
            is_part = True
        else:
            draft.withdraw(draft.slot(event.slot), event.mark.event_key, event.key)
            draft.judge(event.slot.counter)
    if decision is not None:
        draft.decide(decision)
    elif not events:
        for counter in dict.fromkeys(count.slot.counter for count in state.waiting):
            draft.judge(counter)
    posting = draft.posting()
    return replace(posting, is_part=True) if is_part else posting


_SAID = frozenset({Cause.COUNT, Cause.RETRACTED})
"""What a line says by itself, also one of no units: that a count stood from then on, or did so no more."""


class _Draft(CountVersions):
    """A posting in the making."""

    __slots__ = ()

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

    def count(self, event: Count) -> None:
        draft = self.slot(count_slot(event))
        mark = CountMark(event.as_of, event.version, event.key)
        said = time_said(event)
        count = Waiting(draft.slot, mark, event.quantity, event.origin.source, event.document, said)
        if not event.document:
            self.propose(count)
        elif event.since is None or not self.repeat(draft, count):
            self.tell_version(count)
        if self.waiting:
            self.judge(draft.slot.counter)

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
            self.wait_again(draft, self.uncover(draft, older, count.mark.event_key))
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

    def without_what_is_as_it_was(self, lines: list[Line]) -> list[Line]:
        """Leave out by which lines counts were taken out that are put back with the same variance."""
        pairs: Tally[tuple[Slot, datetime, EventKey, Quantity]] = Tally()
        for line in lines:
            if line.cause is Cause.RETRACTED:
                pairs[line.slot, line.valid_at, line.of_count, -line.quantity] += 1
        if not pairs:
            return lines
        again = {
            (slot, mark.as_of, mark.event_key)
            for slot, draft in self.slots.items()
            for mark in draft.standing.keys() & draft.known.keys()
        }
        for line in lines:
            if line.cause is Cause.COUNT:
                pairs[line.slot, line.valid_at, line.event_key, line.quantity] -= 1
        out = {pair for pair, odd in pairs.items() if not odd and pair[:3] in again}
        return [
            line
            for line in lines
            if not (
                (
                    line.cause is Cause.COUNT
                    and (line.slot, line.valid_at, line.event_key, line.quantity) in out
                )
                or (
                    line.cause is Cause.RETRACTED
                    and (line.slot, line.valid_at, line.of_count, -line.quantity) in out
                )
            )
        ]

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
                lines += [line for line in draft.lines if line.quantity or line.cause in _SAID]
                lines = self.without_what_is_as_it_was(lines)
            retracted += [(slot, mark) for mark in draft.known if mark not in draft.standing]
            for mark, count in draft.standing.items():
                if draft.known.get(mark) == count:
                    continue
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
                        count.is_history,
                        count.was_accepted,
                    )
                    counts.append(accepted)
                elif count.variance != draft.known[mark].variance:
                    restated[slot, mark] = count.variance - draft.known[mark].variance
        before = {count.mark.event_key: count for count in self.state.waiting}
        uncovered = {
            name
            for name, count in before.items()
            if any(count.slot == slot and count.mark < mark for slot, mark in retracted)
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
            self.documents_now(retracted),
            self.disputes,
            list(self.waiting.values()),
            [
                count
                for name, count in self.waiting.items()
                if name not in before or name in uncovered or before[name].why is not count.why
            ],
            [name for name in before if name not in self.waiting],
            self.state.withheld,
            frozenset(slot.leaf for slot in clocks if clocks[slot] != self.state.clocks.get(slot)) - {WHOLE},
        )

"""The lines of a posting in the making: slots as the batch finds them, and what it adds to each.

How a late line is taken back at the counts that had seen it is told in ``ledger.py``; here it is done.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from shared.domain.ledger import (
    NO_COUNT,
    Cause,
    Clock,
    CountMark,
    Dispute,
    LedgerState,
    Line,
    Slot,
    Standing,
    Waiting,
)
from shared.domain.stock import WHOLE, EventKey, Quantity

_UNTOUCHED = Clock()


class SlotDraft:
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


class JournalDraft:
    """The slots of a posting in the making, and the lines that it adds."""

    __slots__ = ("disputes", "documents", "most", "rules", "slots", "state", "waiting")

    def __init__(self, state: LedgerState, most: int | None = None) -> None:
        self.state = state
        self.most = most
        self.rules = state.rules
        self.slots: dict[Slot, SlotDraft] = {}
        self.documents = dict(state.documents)
        self.disputes: list[Dispute] = []
        self.waiting: dict[EventKey, Waiting] = {count.mark.event_key: count for count in state.waiting}

    def slot(self, slot: Slot) -> SlotDraft:
        draft = self.slots.get(slot)
        if draft is None:
            draft = self.slots[slot] = SlotDraft(slot, self.state)
        return draft

    def whole(self, draft: SlotDraft) -> SlotDraft:
        return draft if draft.slot.leaf == WHOLE else self.slot(Slot(WHOLE, draft.slot.counter))

    def add(
        self,
        draft: SlotDraft,
        quantity: Quantity,
        at: datetime,
        key: EventKey,
        cause: Cause,
        count: EventKey = NO_COUNT,
    ) -> None:
        """Write a line of a slot, which counts in the whole location's slot too."""
        line = Line(draft.slot, quantity, at, key, cause, count)
        draft.push(line)
        whole = self.whole(draft)
        if whole is not draft:
            whole.push(line)

    def take_back(
        self,
        draft: SlotDraft,
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

    def restate(self, draft: SlotDraft, mark: CountMark, quantity: Quantity, key: EventKey) -> None:
        """Take ``quantity`` back at ``mark``: the count already contained it."""
        self.add(draft, -quantity, mark.as_of, key, Cause.RESTATED, mark.event_key)
        draft.change(mark, -quantity)

    def retract(self, draft: SlotDraft, mark: CountMark, key: EventKey) -> None:
        """Undo an accepted count, as if it had never been taken."""
        variance = draft.standing.pop(mark).variance
        draft.marks.remove(mark)
        draft.accepted.discard(mark)
        self.add(draft, -variance, mark.as_of, key, Cause.RETRACTED, mark.event_key)
        if draft.last_count == mark:
            draft.last_count = draft.marks[-1] if draft.marks else None
        self.take_back_count(draft, mark, -variance, key)

    def take_back_count(self, draft: SlotDraft, mark: CountMark, variance: Quantity, key: EventKey) -> None:
        whole = self.whole(draft)
        if draft is whole:
            self.take_back(draft, variance, None, draft.first_after(mark), key)
        else:
            self.take_back(draft, variance, draft.first_after(mark), whole.first_from(mark.as_of), key)

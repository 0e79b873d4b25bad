"""Whether a count applies, waits for an approver or is suspended, and its line where it applies; see ``fold.py``."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Sequence
from datetime import datetime
from itertools import groupby

from shared.domain.events import event_source
from shared.domain.journal_draft import JournalDraft, SlotDraft
from shared.domain.ledger import (
    Cause,
    CountMark,
    Dispute,
    Line,
    Standing,
    Waiting,
    Why,
    is_opened_by,
    waiting_document,
)
from shared.domain.network import MANUAL
from shared.domain.stock import Quantity


class CountJudgement(JournalDraft):
    """Judges counts one by one, by what the posting in the making knows."""

    __slots__ = ()

    def judgement(self, count: Waiting) -> Waiting | None:
        """Apply a count if it may be; else return it as it waits now."""
        draft = self.slot(count.slot)
        if count.is_decided:
            self.accept(draft, count, count.mark, count.quantity, None)
            return None
        undecided = self.undecided(draft, count)
        at = max([count.said[1], *(line.valid_at for line in undecided)])
        quantity = count.quantity + self.surely_after(draft, count, at, undecided)
        mark = count.mark._replace(as_of=at)
        if self.is_overtaken(draft, mark):
            may_wait_yet = self.rules.approve_beyond is not None or bool(self.rules.widest)
            self.accept(draft, count, mark, quantity, count.said, is_history=may_wait_yet)
            return None
        waits = self.reason_to_wait(draft, count, mark, quantity, undecided)
        if waits is None:
            self.accept(draft, count, mark, quantity, count.said)
        return waits

    def reason_to_wait(
        self, draft: SlotDraft, count: Waiting, mark: CountMark, quantity: Quantity, undecided: Sequence[Line]
    ) -> Waiting | None:
        """Return a count as it waits; None if it may apply, as of ``mark``."""
        if undecided:
            outcomes = self.outcomes(quantity, undecided)
            if self.rules.undecided_within.is_exceeded(outcomes[1] - outcomes[0], of=quantity):
                known = draft.balance_at(mark.as_of)
                return count._replace(why=Why.SUSPENDED, known=known, outcomes=outcomes)
        known, limit = self.known_before(draft, mark), self.rules.approve_beyond
        may_wait = not count.was_accepted and not self.is_opening(draft, count)
        if limit is not None and may_wait and limit.is_exceeded(quantity - known, of=known):
            return count._replace(why=Why.APPROVAL, known=known, outcomes=(quantity, quantity))
        return None

    def is_opening(self, draft: SlotDraft, count: Waiting) -> bool:
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

    def is_overtaken(self, draft: SlotDraft, mark: CountMark) -> bool:
        """Whether a newer count stands by itself, so that this one is history."""
        if draft.last_count is None or draft.last_count < mark:
            return False
        return any(
            not draft.standing[newer].is_history for newer in draft.marks[bisect_right(draft.marks, mark) :]
        )

    def undecided(self, draft: SlotDraft, count: Waiting) -> list[Line]:
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
        self, draft: SlotDraft, count: Waiting, at: datetime, undecided: Sequence[Line]
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

    def known_before(self, draft: SlotDraft, mark: CountMark) -> Quantity:
        """Return what the ledger says at a count's time without it and the counts that outrank it there."""
        later = draft.marks[bisect_right(draft.marks, mark) :]
        outranked = sum(draft.standing[other].variance for other in later if other.as_of == mark.as_of)
        return draft.balance_at(mark.as_of) - outranked

    def accept(
        self,
        draft: SlotDraft,
        count: Waiting,
        mark: CountMark,
        quantity: Quantity,
        said: tuple[datetime, datetime] | None,
        *,
        is_history: bool = False,
    ) -> None:
        variance = quantity - self.known_before(draft, mark)
        stands = Standing(
            mark,
            variance,
            count.quantity,
            count.source,
            count.document,
            said,
            is_history=is_history,
            was_accepted=is_history and count.was_accepted,
        )
        self.find_disputes(draft, stands)
        self.add(draft, variance, mark.as_of, mark.event_key, Cause.COUNT)
        if mark not in draft.standing:  # else it was posted by an attempt whose answer never came
            insort(draft.marks, mark)
        draft.standing[mark] = stands
        draft.accepted.add(mark)
        self.take_back_count(draft, mark, variance, mark.event_key)
        if draft.last_count is None or draft.last_count < mark:
            draft.last_count = mark
        document = waiting_document(count)
        if document is not None:
            self.documents[document] = mark

    def find_disputes(self, draft: SlotDraft, count: Standing) -> None:
        """Note counts of other documents at the same instant that say something else."""
        for other in draft.standing.values():
            if other.mark.as_of != count.mark.as_of or other.quantity == count.quantity:
                continue
            if (other.source, other.document) != (count.source, count.document):
                said = (other.mark.event_key, other.quantity)
                self.disputes.append(Dispute(count.mark.event_key, count.quantity, *said))

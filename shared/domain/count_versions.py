"""The versions of a count document: which of them stands, which waits, and which are kept to stand again.

Whatever happens to a version, all that are told of its document are judged together (``settle``), so that it does not
matter in which order they came; see ``fold.py``.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from itertools import takewhile

from shared.domain.count_judgement import CountJudgement
from shared.domain.journal_draft import SlotDraft
from shared.domain.ledger import (
    CountDocument,
    CountMark,
    Slot,
    Standing,
    Waiting,
    Why,
    version_of,
    waiting_document,
)
from shared.domain.stock import Counter, EventKey

MOST_SPARE = 20
"""Versions of one document that are kept beside the one that stands or waits: the newest of them."""


class CountVersions(CountJudgement):
    """Judges counts, and the versions of one document beside each other."""

    __slots__ = ()

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

    def judge(self, counter: Counter) -> None:
        """Judge anew what waits of a counter."""
        self.judge_to_the_end(
            lambda: [count.mark.event_key for count in self.waiting.values() if count.slot.counter is counter]
        )

    def judge_these(self, counts: Sequence[EventKey]) -> None:
        """Judge some of what waits."""
        self.judge_to_the_end(lambda: [count for count in counts if count in self.waiting])

    def judge_to_the_end(self, left: Callable[[], Sequence[EventKey]]) -> None:
        """Judge what is left of some counts until nothing comes of it: each that applies may decide about the others.

        An older version may come to stand while the newest of its document goes on waiting, so that what waits does not
        tell whether anything did.
        """
        seen: set[tuple[frozenset[EventKey], frozenset[CountMark]]] = set()
        while (now := (frozenset(self.waiting), self.all_that_stand())) not in seen:
            seen.add(now)
            self.judge_once(left())

    def all_that_stand(self) -> frozenset[CountMark]:
        return frozenset(mark for draft in self.slots.values() for mark in draft.marks)

    def judge_once(self, counts: Iterable[EventKey]) -> None:
        """Judge what waits of some counts, in their order."""
        for count in sorted((self.waiting[key] for key in counts), key=lambda waiting: waiting.mark):
            if count.mark.event_key in self.waiting and not self.is_enough(count):
                self.propose(count)

    def is_enough(self, count: Waiting) -> bool:
        """Whether a count that waited before the batch is left to another posting, as this one would grow too large."""
        if self.most is None:
            return False
        before = {other.mark.event_key for other in self.state.waiting}
        return count.mark.event_key in before and len(before - self.waiting.keys()) >= self.most

    def tell_version(self, count: Waiting) -> None:
        """Judge one version of a document beside the others."""
        self.waiting[count.mark.event_key] = count
        self.settle(count)

    def repeat(self, draft: SlotDraft, count: Waiting) -> bool:
        """Let what a dated document says again stand, or wait, as it did; False if it says something else.

        It was true already when it was first written, and saying it again brings nothing new.
        """
        accepted = self.accepted_version(count)
        stands = None if accepted is None else draft.standing[accepted]
        if stands is not None and _is_repeated(stands, count):
            self.say_again(draft, stands, count)
            self.settle(count)
            return True
        told = self.versions_told(count)
        repeated = (other for other in told if _is_repeated(other, count))
        same = max(repeated, key=lambda other: other.was_accepted, default=None)
        if same is None:
            return False
        version, said = max(same.mark.version, count.mark.version), min(same.said, count.said)
        mark = same.mark._replace(as_of=said[1], version=version)
        self.waiting |= {other.mark.event_key: other for other in told}
        self.tell_version(same._replace(mark=mark, said=said))
        return True

    def say_again(self, draft: SlotDraft, stands: Standing, count: Waiting) -> None:
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
            was_accepted = version_of(draft.slot, stands).was_accepted
            self.waiting |= {other.mark.event_key: other for other in stands.spare}
            self.wait_again(draft, self.uncover(draft, stands.mark, count.mark.event_key))
            self.waiting[earlier.event_key] = count._replace(mark=earlier, was_accepted=was_accepted)

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
        waiting, documents, disputes = dict(self.waiting), dict(self.documents), list(self.disputes)
        standing = draft.balance
        self.judge_these(self.wait_again(draft, self.uncover(draft, older, count.mark.event_key)))
        judged = self.judgement(count)
        if judged is None:
            return None
        if judged.why is Why.SUSPENDED:
            judged = judged._replace(known=judged.known + standing - draft.balance)
        for each, was in zip(drafts, before, strict=True):
            each.restore(was)
        self.waiting, self.documents, self.disputes = waiting, documents, disputes
        return judged

    def uncover(self, draft: SlotDraft, mark: CountMark, key: EventKey) -> list[Standing]:
        """Take a count out, and with it the history that no other count covers: return that, to ``wait_again``."""
        self.retract(draft, mark, key)
        uncovered = []
        while draft.marks and draft.standing[draft.marks[-1]].is_history:
            uncovered.append(draft.standing[draft.marks[-1]])
            self.retract(draft, draft.marks[-1], key)
        return uncovered

    def wait_again(self, draft: SlotDraft, uncovered: list[Standing]) -> list[EventKey]:
        """Let what was history wait until ``judge`` comes to it, with the other versions of its document."""
        for stood in uncovered:
            count = version_of(draft.slot, stood)
            document = waiting_document(count)
            if document is not None:
                self.documents[document] = stood.mark
            self.waiting |= {other.mark.event_key: other for other in (count, *stood.spare)}
        return [stood.mark.event_key for stood in uncovered]

    def keep(self, count: Waiting, stands: CountMark | None, told: list[Waiting]) -> None:
        """Let the newest version wait unless it stands, and keep the others where they may come back."""
        for version in told:
            self.waiting.pop(version.mark.event_key, None)
        newer = told if stands is None else [v for v in told if v.rank > (stands.version, stands.event_key)]
        waits = newer[:1]
        is_sure = stands is not None and not self.slot(count.slot).standing[stands].is_history
        may_come_back = self.rules.widest or not is_sure
        spare = tuple((told if may_come_back else newer)[len(waits) :][:MOST_SPARE])
        for version in waits:
            self.waiting[version.mark.event_key] = version._replace(spare=() if stands else spare)
        if stands is not None:
            draft = self.slot(count.slot)
            if draft.standing[stands].spare != spare:
                draft.standing[stands] = draft.standing[stands]._replace(spare=spare)
                draft.accepted.add(stands)

    def documents_now(
        self, retracted: Iterable[tuple[Slot, CountMark]]
    ) -> dict[CountDocument, CountMark | None]:
        """Return the documents of which another version stands than before the batch, and that; None where none does."""
        stands = {
            document: mark
            for document, mark in self.documents.items()
            if document.slot in self.slots
            and mark in self.slots[document.slot].standing
            and mark not in self.slots[document.slot].known
        }
        gone = (version_of(slot, self.slots[slot].known[mark]) for slot, mark in retracted)
        none = dict.fromkeys((name for count in gone if (name := waiting_document(count)) is not None), None)
        return {
            document: mark
            for document, mark in (none | stands).items()
            if mark is None or self.state.documents.get(document) != mark
        }

    def drop(self, version: Waiting) -> None:
        """Let go of a count that waits; the other versions of its document are judged again."""
        told = self.versions_told(version)
        del self.waiting[version.mark.event_key]
        rest = [other for other in told if other.mark.event_key != version.mark.event_key]
        self.waiting |= {other.mark.event_key: other for other in rest}
        if rest:
            self.settle(rest[0])

    def stand_down(self, draft: SlotDraft, mark: CountMark, key: EventKey, *, for_good: bool = False) -> None:
        """Take a count out that stands, to be judged again unless it is out ``for_good``; so are its other versions."""
        count = version_of(draft.slot, draft.standing[mark])
        document = waiting_document(count)
        if document is not None:
            self.documents[document] = mark
        others = self.versions_told(count)
        self.wait_again(draft, self.uncover(draft, mark, key))
        told = others if for_good else [count, *others]
        self.waiting |= {other.mark.event_key: other for other in told}
        if told:
            self.propose(told[0])

    def withdraw(self, draft: SlotDraft, count: EventKey, key: EventKey) -> None:
        """Undo a count, whether it stands, waits, or is only kept to stand again."""
        waits = self.waiting.get(count)
        stands = next((mark for mark in draft.marks if mark.event_key == count), None)
        if waits is not None:
            self.drop(waits)
        elif stands is not None:
            self.stand_down(draft, stands, key, for_good=True)
        else:
            self.forget(draft, count)

    def uncover_some(self, draft: SlotDraft, covers: EventKey) -> bool:
        """Take the newest of the history beneath a count out, if it is more than may go at once; say whether it was.

        The count stands meanwhile, so no balance moves; whoever judges what waits makes it history again.
        """
        marks = draft.marks
        if not self.most or not marks or marks[-1].event_key != covers:
            return False
        beneath = list(takewhile(lambda mark: draft.standing[mark].is_history, reversed(marks[:-1])))
        if len(beneath) <= self.most:
            return False
        for mark in beneath[: self.most]:
            stood = draft.standing[mark]
            self.retract(draft, mark, mark.event_key)
            self.wait_again(draft, [stood])
            known = self.known_before(draft, mark)
            self.waiting[mark.event_key] = self.waiting[mark.event_key]._replace(
                known=known, outcomes=(stood.quantity, stood.quantity)
            )
        return True

    def forget(self, draft: SlotDraft, count: EventKey) -> None:
        """Let go of a version that is only kept beside another: it decides about nothing, so nothing is judged."""
        for key, other in self.waiting.items():
            self.waiting[key] = other._replace(spare=_without(other.spare, count))
        for mark, stands in draft.standing.items():
            spare = _without(stands.spare, count)
            if spare != stands.spare:
                draft.standing[mark] = stands._replace(spare=spare)
                draft.accepted.add(mark)

    def look_again(self, draft: SlotDraft, at: datetime, key: EventKey) -> None:
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


def _without(versions: Iterable[Waiting], count: EventKey) -> tuple[Waiting, ...]:
    return tuple(version for version in versions if version.mark.event_key != count)


def _is_repeated(known: Standing | Waiting, count: Waiting) -> bool:
    """Whether a count says of the same time what is known; somebody may have decided when that one was taken."""
    is_same_time = known.said is None or known.said[0] == count.said[0]
    return is_same_time and known.quantity == count.quantity

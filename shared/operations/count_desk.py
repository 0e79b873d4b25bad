"""Counts that need a person: the cases that posting them came to, and what was decided.

What waits stands in the ledger itself, and what posting noted is kept with the event that caused it; so a case that a
crash kept from being filed is filed when the message is recorded again, and one that was decided is not opened twice.

A decision may settle other counts too, and their cases are closed before its own: as long as that is open, somebody comes
back to it after a crash. So nobody else closes the case of a decided count before all others are as they should be::

    C1 is approved, which makes C2 history ... crash: both cases are open, and neither waits
                    C1 is told again (a replay)          leaves the case of C1 alone
                    somebody decides about C2, or C1     closes that of C2, then that of C1
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from shared.domain.cases import Case, CaseKind, CaseStatus, Fact, case_id
from shared.domain.count_decisions import ChangedSinceSeenError, Decision, NoLongerWaitsError
from shared.domain.events import instant
from shared.domain.ledger import Cause, Posting, Why
from shared.domain.stock import EventKey, LocationId, Quantity, Sku, StockKey
from shared.operations.amending import Amender
from shared.operations.facts import Note, NoteKind, Outcome, Result
from shared.operations.footprint import decision_key
from shared.operations.post import Poster
from shared.operations.posting_notes import waiting_note
from shared.operations.unbinned_stock import UnbinnedWatch
from shared.store.cases import Cases
from shared.store.layout import event_key
from shared.store.registry import Registry
from shared.store.table import Absent, Put

DECIDED_HERE = frozenset({CaseKind.COUNT_APPROVAL, CaseKind.COUNT_SUSPENDED})

_KIND_OF = {Why.APPROVAL: CaseKind.COUNT_APPROVAL, Why.SUSPENDED: CaseKind.COUNT_SUSPENDED}


LOOKS = 10
"""Times that what waits is looked at while others keep changing it; whoever changes it looks too."""


def tell(results: Iterable[Result], poster: Poster, cases: Cases, now: datetime) -> None:
    """File and close the cases that posting came to; telling it again changes nothing."""
    for result in results:
        tell_notes(result.notes, poster, cases, now, is_repeated=result.outcome is Outcome.DUPLICATE)


def tell_notes(
    notes: Iterable[Note], poster: Poster, cases: Cases, now: datetime, *, is_repeated: bool
) -> None:
    """Do so for what was noted with one event, now or when it was posted by somebody who may have been cut short."""
    for note in notes:
        if note.kind in (NoteKind.WAITS, NoteKind.SETTLED):
            show(note.key, note.count, poster, cases, now, is_repeated=is_repeated)
        elif note.kind is NoteKind.DISPUTED and is_repeated:
            cases.file_once(_disputed(note, now))  # it may have been decided since
        elif note.kind is NoteKind.DISPUTED:
            cases.file(_disputed(note, now))


def show(
    key: StockKey, count: EventKey, poster: Poster, cases: Cases, now: datetime, *, is_repeated: bool = False
) -> None:
    """Bring the cases of a count to what is true of it now, which need not be what somebody was told of it.

    ::

        posted, waits for approval    ... slow ...         files the approval
                    a late movement settles it, closes no case yet      |
                                                                looks again: it waits no more, closes it

    The case of a count that was decided is left to who decided it.
    """
    before: Why | None = None
    for look in range(LOOKS):
        waiting = next((one for one in poster.waiting(key) if one.mark.event_key == count), None)
        why = None if waiting is None else waiting.why
        if look and why is before:
            return
        if why is None and poster.is_known(decision_key(count)):
            if look:  # decided, and perhaps closed, before we filed it
                show_all(key, None, poster, cases, now)
            return
        reason = "the count waits no more" if why is None else "it waits for another reason now"
        for other, kind in _KIND_OF.items():
            if other is not why:
                cases.close(case_id(kind, count), reason, now)
        if waiting is not None:
            _file(_waits(waiting_note(key, waiting), now), cases, is_repeated=is_repeated)
        before = why


def waiting_case(why: Why, count: EventKey) -> str:
    """Name the case of a count that waits."""
    return case_id(_KIND_OF[why], count)


def _file(case: Case, cases: Cases, *, is_repeated: bool) -> None:
    """File a case; what is only told again leaves alone what stands open, and what somebody chose to ignore."""
    known = cases.find(case.id) if is_repeated else None
    if known is None or known.status is CaseStatus.RESOLVED:
        cases.file(case)


def show_all(
    key: StockKey, posting: Posting | None, poster: Poster, cases: Cases, now: datetime, but: str = ""
) -> None:
    """Do so for every count that a posting made wait, or settled, ``but`` one.

    Without a posting, because it was made by somebody who may have been cut short behind it, for every count of the
    stock key that waits or has such a case; and only then are the cases of decided ones closed.
    """
    if posting is not None:
        for count in (*posting.settled, *(count.mark.event_key for count in posting.began_to_wait)):
            if count != but:
                show(key, count, poster, cases, now)
        return
    here = [
        (case.id, EventKey(str(case.facts["event_key"])))
        for case in cases.open_of(tuple(DECIDED_HERE))
        if (case.facts["sku"], case.facts["location"]) == (key.sku, key.location)
    ]
    for _, count in here:
        show(key, count, poster, cases, now)
    for one in poster.waiting(key):
        show(key, one.mark.event_key, poster, cases, now, is_repeated=True)
    for case, count in here:
        if count != but and poster.is_known(decision_key(count)):
            cases.close(case, "the count was decided", now)


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What accepting a count would do now.

    Attributes
    ----------
    known
        The ledger's own number as of the count.
    change
        By how much the count changes it.
    """

    known: Quantity
    change: Quantity


class CountDesk:
    """Carries out decisions about counts that wait."""

    def __init__(
        self,
        poster: Poster,
        amender: Amender,
        registry: Registry,
        cases: Cases,
        unbinned: UnbinnedWatch,
        clock: Callable[[], datetime],
    ) -> None:
        self._unbinned = unbinned
        self._poster = poster
        self._amender = amender
        self._registry = registry
        self._cases = cases
        self._clock = clock

    def foresee(self, case: Case, decision: Decision) -> Foreseen | None:
        """Say what accepting the count of a case would change now; None where it has been decided already.

        Raises
        ------
        NoLongerWaitsError, ChangedSinceSeenError, InstantNeededError, SeenNeededError
            As ``decide`` would.
        """
        if self._poster.is_known(decision_key(decision.count)):
            return None
        key = _stock_key(case)
        with self._case_kept_true(case, key, decision):
            posting = self._amender.foresee(key, self._registry.network(), decision)
        change = sum(
            line.quantity
            for line in posting.lines
            if line.event_key == decision.count and line.cause is Cause.COUNT
        )
        said = next(
            (count.quantity for count in posting.counts if count.mark.event_key == decision.count), change
        )
        return Foreseen(said - change, change)

    def decide(self, case: Case, decision: Decision, actor: str, reason: str = "") -> None:
        """Accept or reject the count of a case, and close the case.

        Raises
        ------
        NoLongerWaitsError
            When the count does not wait any more; the case is closed then too.
        ChangedSinceSeenError
            When the ledger's number is no longer what was seen; the case shows the new one then.
        InstantNeededError
            When a suspended count is not given an instant of its window, or another count is given one.
        SeenNeededError
            When a suspended count is beyond the limit at its instant, and it is not said what was seen.
        PostingContendedError
            When others kept changing the stock key.
        """
        key = _stock_key(case)
        record = _record(key, decision, actor, reason, self._clock())
        with self._case_kept_true(case, key, decision):
            posting = self._amender.amend(key, self._registry.network(), record, (), decision)
        self._unbinned.told(self._poster.notes_about(decision_key(decision.count)))
        # The case is closed last: as long as it is open, somebody comes back to it after a crash.
        show_all(key, posting, self._poster, self._cases, self._clock(), decision.count)
        verdict = "accepted" if decision.accept else "rejected"
        because = f": {reason}" if reason else ""
        self._cases.close(case.id, f"{verdict} by {actor}{because}", self._clock(), by=actor)

    @contextmanager
    def _case_kept_true(self, case: Case, key: StockKey, decision: Decision) -> Iterator[None]:
        """Bring a case up to date where a decision does not fit what it is about any more."""
        try:
            yield
        except NoLongerWaitsError:
            show_all(key, None, self._poster, self._cases, self._clock())
            raise
        except ChangedSinceSeenError as changed:
            if case.kind is CaseKind.COUNT_APPROVAL:
                self._cases.amend(case.id, {"known": changed.known}, self._clock())
            raise


def _stock_key(case: Case) -> StockKey:
    return StockKey(Sku(str(case.facts["sku"])), LocationId(str(case.facts["location"])))


def _record(key: StockKey, decision: Decision, actor: str, reason: str, now: datetime) -> Put:
    """Return what is kept of a decision for ever: who decided what, why, and on which figures."""
    return Put(
        event_key(decision_key(decision.count)),
        {
            "effect": "accept" if decision.accept else "reject",
            "sku": key.sku,
            "source": "onecount",
            "message_id": "",
            "refs": [["decides", decision.count], ["decided_by", actor], ["because", reason]],
            "posted_at": instant(now),
            "entries": [],
            "seen": decision.seen,
            "at": None if decision.at is None else instant(decision.at),
        },
        (Absent(),),
    )


def _disputed(note: Note, now: datetime) -> Case:
    return Case(
        id=case_id(CaseKind.COUNT_DISPUTED, note.count, str(note.facts["other"])),
        kind=CaseKind.COUNT_DISPUTED,
        title=(
            f"two counts of {note.key} at one instant disagree: {note.facts['one_says']} by {note.facts['one']}, "
            f"{note.facts['other_says']} by {note.facts['other']}"
        ),
        remedy="the one that ranks higher by version stands; have the location recounted, then ignore this case",
        opened_at=now,
        updated_at=now,
        facts=_facts(note),
    )


def _waits(note: Note, now: datetime) -> Case:
    why = Why(str(note.facts["why"]))
    slot, quantity, known = note.facts["slot"], note.facts["quantity"], note.facts["known"]
    if why is Why.APPROVAL:
        title = f"a count of {note.key} says {quantity} {slot}, the ledger {known}: it waits for an approver"
        remedy = f"approve it with the number that you saw (--seen {known}), reject it, or have it recounted"
    else:
        lowest, highest = note.facts["lowest"], note.facts["highest"]
        title = (
            f"a count of {note.key} says {quantity} {slot}, so near other changes that it means anything from "
            f"{lowest} to {highest}"
        )
        remedy = (
            "find out at what instant it was taken and approve it with that (--at), or reject it and recount"
        )
    kind = _KIND_OF[why]
    return Case(case_id(kind, note.count), kind, title, remedy, now, now, _facts(note))


def _facts(note: Note) -> dict[str, Fact]:
    key = note.key
    return {"sku": key.sku, "location": key.location, "event_key": note.count, **note.facts}

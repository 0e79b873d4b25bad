"""Counts that need a person: the cases that posting them came to, and what was decided.

What waits stands in the ledger itself, and what posting noted is kept with the event that caused it; so a case that a
crash kept from being filed is filed when the message is recorded again, and one that was decided is not opened twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

from shared.domain.cases import Case, CaseKind, case_id
from shared.domain.events import instant
from shared.domain.fold import ChangedSinceSeenError, Decision, NoLongerWaitsError
from shared.domain.ledger import Why
from shared.domain.stock import EventKey, LocationId, Sku, StockKey
from shared.operations.facts import Note, NoteKind, Outcome, Result
from shared.operations.post import Poster
from shared.store.cases import Cases
from shared.store.layout import event_key
from shared.store.registry import Registry
from shared.store.table import Absent, Put

DECIDED_HERE = frozenset({CaseKind.COUNT_APPROVAL, CaseKind.COUNT_SUSPENDED})

_KIND_OF = {Why.APPROVAL: CaseKind.COUNT_APPROVAL, Why.SUSPENDED: CaseKind.COUNT_SUSPENDED}


def tell(results: Iterable[Result], cases: Cases, now: datetime) -> None:
    """File and close the cases that posting came to; telling it again changes nothing."""
    for result in results:
        for note in result.notes:
            if note.kind is NoteKind.SETTLED:
                settle([note.count], cases, now)
                continue
            case = _case(note, now)
            if result.outcome is Outcome.DUPLICATE:
                cases.file_once(case)  # it may have been decided since
            else:
                cases.file(case)
            for kind in DECIDED_HERE - {case.kind} if note.kind is NoteKind.WAITS else ():
                cases.close(case_id(kind, note.count), "it waits for another reason now", now)


def settle(counts: Iterable[EventKey], cases: Cases, now: datetime) -> None:
    """Close the cases of counts that wait no more."""
    for count in counts:
        for kind in DECIDED_HERE:
            cases.close(case_id(kind, count), "the count waits no more", now)


class CountDesk:
    """Carries out decisions about counts that wait."""

    def __init__(
        self, poster: Poster, registry: Registry, cases: Cases, clock: Callable[[], datetime]
    ) -> None:
        self._poster = poster
        self._registry = registry
        self._cases = cases
        self._clock = clock

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
        PostingContendedError
            When others kept changing the stock key.
        """
        key = StockKey(Sku(str(case.facts["sku"])), LocationId(str(case.facts["location"])))
        record = _record(key, decision, actor, reason, self._clock())
        try:
            posting = self._poster.amend(key, self._registry.network(), record, (), decision)
        except NoLongerWaitsError:
            self._cases.close(case.id, "the count does not wait any more", self._clock())
            raise
        except ChangedSinceSeenError as changed:
            self._cases.amend(case.id, {"known": changed.known}, self._clock())
            raise
        verdict = "accepted" if decision.accept else "rejected"
        because = f": {reason}" if reason else ""
        self._cases.close(case.id, f"{verdict} by {actor}{because}", self._clock(), by=actor)
        settle(() if posting is None else posting.settled, self._cases, self._clock())


def _record(key: StockKey, decision: Decision, actor: str, reason: str, now: datetime) -> Put:
    """Return what is kept of a decision for ever: who decided what, why, and on which figures."""
    return Put(
        event_key(EventKey(f"onecount/decision/{decision.count}")),
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


def _case(note: Note, now: datetime) -> Case:
    facts = {"sku": note.key.sku, "location": note.key.location, "event_key": note.count, **note.facts}
    if note.kind is NoteKind.DISPUTED:
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
            facts=facts,
        )
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
    return Case(case_id(kind, note.count), kind, title, remedy, now, now, facts)

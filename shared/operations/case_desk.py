"""What an operator may do about a case: retry it, map the code it waits for, or ignore it with a reason.

One cause may open thousands of cases (a source that starts sending codes that nobody knows), so cases are also found
and acted on in bulk, by kind and by what they are about. Such a call looks at a bounded number of cases for a bounded
time and says where to go on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime

from shared.domain.cases import OURSELVES, RETRIED, Case, CaseKind, CaseStatus, Deed
from shared.domain.count_decisions import Decision, InstantNeededError, NoLongerWaitsError, SeenNeededError
from shared.domain.events import instant
from shared.domain.stock import ChannelId, EventKey, MessageId, Quantity, Sku, SourceId
from shared.operations.adjustments import AdjustmentChangedError, comes_to
from shared.operations.amending import TooManyCountsError
from shared.operations.case_selection import Selection
from shared.operations.count_desk import DECIDED_HERE, CountDesk
from shared.operations.fan_out import Hint, Lane, Lanes
from shared.operations.four_eyes import ApprovedMeanwhileError, FourEyesGuard, SamePersonError
from shared.operations.sweep import Sweep
from shared.store.cases import Cases
from shared.store.files import APPROVED, REJECTED
from shared.store.inbox import Inbox, MessageStatus
from shared.store.registry import Code, Registry

LOOKED_AT = 2_000
"""Cases that one call looks at, at most."""

MOST_AT_ONCE = 200
"""Cases that one call acts on, at most."""

HELD_WHOLE = frozenset({CaseKind.SUSPICIOUS_SNAPSHOT, CaseKind.ADJUSTMENT_APPROVAL})
"""Kinds of case whose message waits for an approver as it is: a file, an adjustment by hand."""

_PAGE = 200


@dataclass(frozen=True, slots=True)
class Found:
    """Cases of a selection, newest first.

    Attributes
    ----------
    cursors
        Where to go on behind each of ``cases``.
    cursor
        Where to look on; None where there is no more.
    """

    cases: tuple[Case, ...]
    cursors: tuple[str, ...]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class Handled:
    """What one call did in bulk.

    Attributes
    ----------
    matched, done
        Cases that were meant, and those that were acted on.
    refused
        Case id to the reason why nothing could be done about it.
    cursor
        Where to go on; None when the last case was looked at.
    """

    matched: int
    done: int
    refused: dict[str, str]
    cursor: str | None


class NotPossibleError(ValueError):
    """The action does not fit the case: says why, and what does; ``remedy`` where more is to be said of that."""

    def __init__(self, reason: str, remedy: str = "") -> None:
        self.remedy = remedy
        super().__init__(reason)


REOPENED_ANEW = 5
"""Times that a retry begins anew because others keep filing the case; then it is left open, with its messages."""


class UnseenError(NotPossibleError):
    """A suspended count is beyond the limit at the instant that was given: the approval must say what was seen."""

    def __init__(self, error: SeenNeededError) -> None:
        super().__init__(
            f"{error}, beyond the location's limit; approve it with that number too (seen = {error.known}, "
            f"--seen {error.known}) if it is right"
        )
        self.known = error.known


@contextmanager
def _said_plainly() -> Iterator[None]:
    """Say why a decision about a count does not fit, and what does."""
    try:
        yield
    except NoLongerWaitsError as error:
        raise NotPossibleError("the count does not wait any more; look at the stock's journal") from error
    except InstantNeededError as error:
        raise NotPossibleError(f"{error} (at)") from error
    except SeenNeededError as error:
        raise UnseenError(error) from error
    except TooManyCountsError as error:
        raise NotPossibleError(str(error)) from error


class CaseDesk:
    """Carries out an operator's decisions on cases."""

    def __init__(
        self,
        cases: Cases,
        inbox: Inbox,
        registry: Registry,
        sweep: Sweep,
        lanes: Lanes,
        counts: CountDesk,
        clock: Callable[[], datetime],
    ) -> None:
        self._counts = counts
        self._cases = cases
        self._inbox = inbox
        self._registry = registry
        self._sweep = sweep
        self._lanes = lanes
        self._clock = clock
        self._four_eyes = FourEyesGuard(cases, registry, clock)

    def retry(self, case_id: str, actor: str = OURSELVES) -> int:
        """Do again what failed: every message parked on the case, or the push; return how many.

        The messages are pending again before the case is closed, so that a crash on the way leaves them to the
        sweep; and the case is closed before they are applied, so that one which fails again stands open again. If
        somebody else applied one meanwhile and filed the case anew, closing it would leave that message nowhere: it
        is made pending once more.

        Raises
        ------
        CaseNotFoundError, NotPossibleError
        """
        case, now = self._cases.get(case_id), self._clock()
        if case.kind in (CaseKind.PUSH_FAILED, CaseKind.PUSH_REFUSED):
            channel = ChannelId(str(case.facts["channel"]))
            if channel not in self._registry.network(fresh=True).channels:
                raise NotPossibleError(
                    f"channel {channel} is not declared any more; ignore the case with a reason"
                )
            hint = Hint(channel, Sku(str(case.facts["sku"])), now)
            self._lanes.send(Lane.URGENT, [hint])
            self._cases.note(case_id, Deed(now, actor, "retry"))
            return 1
        for _ in range(REOPENED_ANEW):
            messages = list(self._cases.parked(case_id))
            if not messages:
                raise NotPossibleError(f"a case of kind {case.kind} has nothing to retry; {case.remedy}")
            for message in messages:
                if not self._inbox.reopen(message, now):
                    self._cases.unpark(case_id, message)  # it came more than 90 days ago, and is gone
            if self._cases.close(case_id, RETRIED, now, by=actor, seen=case.occurrences):
                break
            case = self._cases.get(case_id)
            if case.status is not CaseStatus.OPEN:
                break
        waiting = list(self._cases.parked(case_id))
        for message in waiting:
            if self._sweep.apply_again(message) is MessageStatus.POSTED:
                self._cases.unpark(case_id, message)
        return len(waiting)

    def map(self, case_id: str, sku: Sku, actor: str, code: str | None = None) -> int:
        """Say which SKU an unknown code stands for, and post what waits for it; return how many messages.

        ``code`` says which, where the case is about a file with many. The case then stays open for the others.

        Raises
        ------
        CaseNotFoundError, NotPossibleError, ReferenceChangedError
        """
        case = self._cases.get(case_id)
        if case.status is not CaseStatus.OPEN:
            raise NotPossibleError(f"the case is {case.status} already: {case.resolution}")
        wanted = self._code_of(case, code)
        if not self._registry.is_item(sku):
            raise NotPossibleError(f"{sku!r} is not an item; import it first, or map to one that is")
        self._cases.note(case_id, Deed(self._clock(), actor, "map", f"{wanted.kind} {wanted.code} is {sku}"))
        self._registry.map_codes({wanted: sku}, owner=actor)
        return self.retry(case_id, actor)

    def _code_of(self, case: Case, code: str | None) -> Code:
        """Return the code that is to be mapped: the case's own, or of a file's many the one that is named."""
        source = SourceId(str(case.facts.get("source")))
        if case.kind is CaseKind.UNKNOWN_CODE and case.facts["kind"] != "location":
            own = Code(source, str(case.facts["kind"]), str(case.facts["code"]))
            if code not in (None, own.code):
                raise NotPossibleError(f"the case waits for {own.code!r}, not for {code!r}")
            return own
        if case.kind is not CaseKind.UNKNOWN_CODES:
            raise NotPossibleError(f"a case of kind {case.kind} waits for no item code; {case.remedy}")
        waiting = [
            Code(source, one.kind, one.code)
            for message in self._cases.parked(case.id)
            for one in self._inbox.files.codes(message)
            if one.code == code and one.kind != "location"
        ]
        if not waiting:
            reason = "name which code (code)" if code is None else f"no row of the file waits for {code!r}"
            raise NotPossibleError(f"{reason}; the case lists those of most rows")
        return waiting[0]

    def approve_file(self, case_id: str, actor: str, seen: Quantity | None = None) -> int | None:
        """Apply what was held whole; return how many messages that were, None if a second word is needed.

        A file is applied as it is. An adjustment by hand is approved for the base units that the approver has ``seen``
        it come to: those that the case says, unless others are named.

        Raises
        ------
        CaseNotFoundError, NotPossibleError, AdjustmentChangedError
        """
        case, units, state = self._held_file(case_id), None, "as it is"
        if case.kind is CaseKind.ADJUSTMENT_APPROVAL:
            units = self._seen_adjustment(case, seen)
            state = f"seen {units:+d}"
        elif seen is not None:
            raise NotPossibleError("a file is approved as it is; leave out what you saw (seen)")
        if not self._is_approved(case, actor, state, None if units is None else abs(units)):
            return None
        self._decide_file(case_id, APPROVED, actor, units)
        return self.retry(case_id, actor)

    def _seen_adjustment(self, case: Case, seen: Quantity | None) -> Quantity:
        """Return the base units that an adjustment comes to, if they are what was seen; else show the case anew."""
        shown = int(str(case.facts["quantity"])) if seen is None else seen
        message = MessageId(str(case.message_id))
        units = comes_to(self._inbox.load(message).message, self._registry, self._clock())
        if units is None or units == shown:
            return shown
        if self._sweep.apply_again(message) is MessageStatus.POSTED:  # small enough by now to need nobody
            self._cases.unpark(case.id, message)
            self._cases.close(case.id, "it is within the limit now, and posted", self._clock())
        raise AdjustmentChangedError(shown, units)

    def reject_file(self, case_id: str, reason: str, actor: str) -> None:
        """Drop a file that was held: none of it will ever be applied, and a corrected file is another one.

        Raises
        ------
        CaseNotFoundError, NotPossibleError
        """
        for message in self._decide_file(case_id, REJECTED, actor):
            if self._inbox.reopen(message, self._clock()):
                self._sweep.apply_again(message)
            self._cases.unpark(case_id, message)
        self._cases.close(case_id, f"rejected by {actor}: {reason}", self._clock(), by=actor)

    def _held_file(self, case_id: str) -> Case:
        case = self._cases.get(case_id)
        if case.kind not in HELD_WHOLE:
            raise NotPossibleError(f"a case of kind {case.kind} waits for no approval; {case.remedy}")
        if case.status is not CaseStatus.OPEN:
            raise NotPossibleError(f"the case is {case.status} already; only an open one can be decided")
        return case

    def _decide_file(
        self, case_id: str, decision: str, actor: str, units: Quantity | None = None
    ) -> list[MessageId]:
        self._held_file(case_id)
        messages = list(self._cases.parked(case_id))
        for message in messages:
            self._inbox.files.decide(message, decision, actor, self._clock(), units)
        return messages

    def approve_count(
        self, case_id: str, actor: str, seen: Quantity | None = None, at: datetime | None = None
    ) -> bool:
        """Apply a count that waits; return False where that needs a second person's word first.

        One beyond its limit is approved against the ledger's number that the approver has ``seen``; one that is
        suspended is given the instant ``at`` which it was taken, and where that makes it one beyond the limit, what was
        ``seen`` too. How many people it needs follows from what it would change now.

        Raises
        ------
        CaseNotFoundError, NotPossibleError, ChangedSinceSeenError, PostingContendedError
        """
        case = self._cases.get(case_id)
        if case.kind is CaseKind.COUNT_APPROVAL and seen is None:
            known = case.facts.get("known")
            raise NotPossibleError(
                f"say which number of the ledger you saw, for the approval is bound to it: seen = {known} (--seen {known})"
            )
        if at is not None and at > self._clock():
            raise NotPossibleError(
                "no count was taken in the future; give the instant (at) at which it was taken"
            )
        decision = Decision(EventKey(str(case.facts.get("event_key"))), accept=True, seen=seen, at=at)
        self._must_wait(case)
        with _said_plainly():
            foreseen = self._counts.foresee(case, decision)
        if foreseen is not None:
            decision = replace(decision, seen=foreseen.known)
            taken = "" if at is None else f"taken at {instant(at)}, "
            if not self._is_approved(case, actor, f"{taken}seen {foreseen.known}", abs(foreseen.change)):
                return False
        self._decide_count(case, decision, actor)
        return True

    def reject_count(self, case_id: str, reason: str, actor: str) -> None:
        """Drop a count that waits: it will never be applied; a corrected one is another.

        Raises
        ------
        CaseNotFoundError, NotPossibleError, PostingContendedError
        """
        case = self._cases.get(case_id)
        decision = Decision(EventKey(str(case.facts.get("event_key"))), accept=False)
        self._decide_count(case, decision, actor, reason)

    def _decide_count(self, case: Case, decision: Decision, actor: str, reason: str = "") -> None:
        self._must_wait(case)
        with _said_plainly():
            self._counts.decide(case, decision, actor, reason)

    def _must_wait(self, case: Case) -> None:
        if case.kind not in DECIDED_HERE:
            raise NotPossibleError(f"a case of kind {case.kind} is about no count that waits; {case.remedy}")
        if case.status is not CaseStatus.OPEN:
            raise NotPossibleError(f"the case is {case.status} already; only an open one can be decided")

    def _is_approved(self, case: Case, actor: str, state: str, units: Quantity | None) -> bool:
        """Take an approver's word; return whether the change may be made now."""
        try:
            return self._four_eyes.approve(case, actor, state, units)
        except SamePersonError as error:
            raise NotPossibleError(str(error), error.remedy) from error
        except ApprovedMeanwhileError as error:
            raise NotPossibleError(
                "somebody else decided at the same moment; look at the case again"
            ) from error

    def ignore(self, case_id: str, reason: str, actor: str) -> None:
        """Close a case for a stated reason; it opens again if its cause shows again.

        Raises
        ------
        CaseNotFoundError, NotPossibleError
        """
        case = self._cases.get(case_id)
        if not self._cases.close(
            case_id, f"ignored by {actor}: {reason}", self._clock(), CaseStatus.IGNORED, actor
        ):
            raise NotPossibleError(f"the case is {case.status} already; only an open one can be ignored")

    def find(
        self,
        selection: Selection,
        limit: int,
        cursor: str | None = None,
        status: CaseStatus = CaseStatus.OPEN,
    ) -> Found:
        """Return up to ``limit`` cases of a selection; fewer, with a cursor, after looking at ``LOOKED_AT``."""
        found: list[tuple[str, Case]] = []
        rules, now = self._registry.network().rules, self._clock()
        for _ in range(LOOKED_AT // _PAGE):
            page = self._cases.page(status, _PAGE, cursor)
            found += [
                (place, case)
                for place, case in zip(page.cursors, page.cases, strict=True)
                if selection.covers(case, rules, now)
            ]
            cursor = page.cursor
            if cursor is None or len(found) > limit:
                break
        if len(found) > limit:
            found = found[:limit]
            cursor = found[-1][0]
        return Found(tuple(case for _, case in found), tuple(place for place, _ in found), cursor)

    def for_each(
        self, selection: Selection, act: Callable[[Case], object], until: datetime, cursor: str | None = None
    ) -> Handled:
        """Act on the open cases of a selection one after the other, no more than ``MOST_AT_ONCE`` nor past ``until``.

        One that cannot be acted on holds up none of the others.
        """
        found = self.find(selection, MOST_AT_ONCE, cursor)
        matched, refused = 0, dict[str, str]()
        for place, case in zip(found.cursors, found.cases, strict=True):
            if self._clock() >= until:
                return Handled(matched, matched - len(refused), refused, cursor)
            matched, cursor = matched + 1, place
            try:
                act(case)
            except NotPossibleError as error:
                refused[case.id] = str(error)
        return Handled(matched, matched - len(refused), refused, found.cursor)

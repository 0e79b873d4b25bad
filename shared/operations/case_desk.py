"""What an operator may do about a case: retry it, map the code it waits for, or ignore it with a reason.

One cause may open thousands of cases (a source that starts sending codes that nobody knows), so cases are also found
and acted on in bulk, by kind and by what they are about. Such a call looks at a bounded number of cases for a bounded
time and says where to go on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from shared.domain.cases import RETRIED, Case, CaseKind, CaseStatus
from shared.domain.fold import Decision, InstantNeededError, NoLongerWaitsError
from shared.domain.stock import ChannelId, EventKey, MessageId, Quantity, Sku, SourceId
from shared.operations.count_desk import DECIDED_HERE, CountDesk
from shared.operations.fan_out import Hint, Lane, Lanes
from shared.operations.ingest import APPROVED, REJECTED
from shared.operations.sweep import Sweep
from shared.store.cases import Cases
from shared.store.inbox import Inbox, MessageStatus
from shared.store.registry import Code, Registry

LOOKED_AT = 2_000
"""Cases that one call looks at, at most."""

MOST_AT_ONCE = 200
"""Cases that one call acts on, at most."""

_PAGE = 200


@dataclass(frozen=True, slots=True)
class Selection:
    """Which cases are meant: those of which everything named here is true."""

    kind: CaseKind | None = None
    source: SourceId | None = None
    channel: ChannelId | None = None
    message: MessageId | None = None

    def covers(self, case: Case) -> bool:
        """Whether a case is meant."""
        return (
            self.kind in (None, case.kind)
            and self.source in (None, case.facts.get("source"))
            and self.channel in (None, case.facts.get("channel"))
            and self.message in (None, case.message_id)
        )


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
    """The action does not fit the case: says why, and what does."""


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

    def retry(self, case_id: str) -> int:
        """Do again what failed: every message parked on the case, or the push; return how many.

        The messages are pending again before the case is closed, so that a crash on the way leaves them to the
        sweep; and the case is closed before they are applied, so that one which fails again stands open again.

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
            return 1
        messages = list(self._cases.parked(case_id))
        if not messages:
            raise NotPossibleError(f"a case of kind {case.kind} has nothing to retry; {case.remedy}")
        for message in messages:
            if not self._inbox.reopen(message, now):
                self._cases.unpark(case_id, message)  # it came more than 90 days ago, and is gone
        self._cases.close(case_id, RETRIED, now)
        waiting = list(self._cases.parked(case_id))
        for message in waiting:
            if self._sweep.apply_again(message) is MessageStatus.POSTED:
                self._cases.unpark(case_id, message)
        return len(waiting)

    def map(self, case_id: str, sku: Sku, actor: str) -> int:
        """Say which SKU an unknown code stands for, and post what waits for it; return how many messages.

        Raises
        ------
        CaseNotFoundError, NotPossibleError
        """
        case = self._cases.get(case_id)
        if case.kind is not CaseKind.UNKNOWN_CODE or case.facts["kind"] == "location":
            raise NotPossibleError(f"a case of kind {case.kind} waits for no item code; {case.remedy}")
        if case.status is not CaseStatus.OPEN:
            raise NotPossibleError(f"the case is {case.status} already: {case.resolution}")
        if not self._registry.is_item(sku):
            raise NotPossibleError(f"{sku!r} is not an item; import it first, or map to one that is")
        code = Code(SourceId(str(case.facts["source"])), str(case.facts["kind"]), str(case.facts["code"]))
        self._registry.map_codes({code: sku}, owner=actor)
        return self.retry(case_id)

    def approve_file(self, case_id: str, actor: str) -> int:
        """Apply a file that was held, as it is; return how many messages that were.

        Raises
        ------
        CaseNotFoundError, NotPossibleError
        """
        self._decide_file(case_id, APPROVED, actor)
        return self.retry(case_id)

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
        self._cases.close(case_id, f"rejected by {actor}: {reason}", self._clock())

    def _decide_file(self, case_id: str, decision: str, actor: str) -> list[MessageId]:
        case = self._cases.get(case_id)
        if case.kind is not CaseKind.SUSPICIOUS_SNAPSHOT:
            raise NotPossibleError(f"a case of kind {case.kind} waits for no approval; {case.remedy}")
        if case.status is not CaseStatus.OPEN:
            raise NotPossibleError(f"the case is {case.status} already; only an open one can be decided")
        messages = list(self._cases.parked(case_id))
        for message in messages:
            self._inbox.files.decide(message, decision, actor, self._clock())
        return messages

    def approve_count(
        self, case_id: str, actor: str, seen: Quantity | None = None, at: datetime | None = None
    ) -> None:
        """Apply a count that waits.

        One beyond its limit is approved against the ledger's number that the approver has ``seen``; one that is
        suspended is given the instant ``at`` which it was taken.

        Raises
        ------
        CaseNotFoundError, NotPossibleError, ChangedSinceSeenError, PostingContendedError
        """
        case = self._cases.get(case_id)
        if case.kind is CaseKind.COUNT_APPROVAL and seen is None:
            raise NotPossibleError(f"approving this case needs the number that you saw (seen); {case.remedy}")
        if at is not None and at > self._clock():
            raise NotPossibleError(
                "no count was taken in the future; give the instant (at) at which it was taken"
            )
        decision = Decision(EventKey(str(case.facts.get("event_key"))), accept=True, seen=seen, at=at)
        self._decide_count(case, decision, actor)

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
        if case.kind not in DECIDED_HERE:
            raise NotPossibleError(f"a case of kind {case.kind} is about no count that waits; {case.remedy}")
        if case.status is not CaseStatus.OPEN:
            raise NotPossibleError(f"the case is {case.status} already; only an open one can be decided")
        try:
            self._counts.decide(case, decision, actor, reason)
        except NoLongerWaitsError as error:
            raise NotPossibleError("the count does not wait any more; look at the stock's journal") from error
        except InstantNeededError as error:
            raise NotPossibleError(f"{error} (at)") from error

    def ignore(self, case_id: str, reason: str, actor: str) -> None:
        """Close a case for a stated reason; it opens again if its cause shows again.

        Raises
        ------
        CaseNotFoundError, NotPossibleError
        """
        case = self._cases.get(case_id)
        if not self._cases.close(case_id, f"ignored by {actor}: {reason}", self._clock(), CaseStatus.IGNORED):
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
        for _ in range(LOOKED_AT // _PAGE):
            page = self._cases.page(status, _PAGE, cursor)
            found += [
                (place, case)
                for place, case in zip(page.cursors, page.cases, strict=True)
                if selection.covers(case)
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

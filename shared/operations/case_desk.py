"""What an operator may do about a case: retry it, map the code it waits for, or ignore it with a reason."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from shared.domain.cases import CaseKind, CaseStatus
from shared.domain.stock import ChannelId, Sku, SourceId
from shared.operations.fan_out import Hint, Lane, Lanes
from shared.operations.sweep import Sweep
from shared.store.cases import Cases
from shared.store.inbox import Inbox, MessageStatus
from shared.store.registry import Code, Registry


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
        clock: Callable[[], datetime],
    ) -> None:
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
            hint = Hint(ChannelId(str(case.facts["channel"])), Sku(str(case.facts["sku"])), now)
            self._lanes.send(Lane.URGENT, [hint])
            return 1
        messages = list(self._cases.parked(case_id))
        if not messages:
            raise NotPossibleError(f"a case of kind {case.kind} has nothing to retry; {case.remedy}")
        for message in messages:
            if not self._inbox.reopen(message, now):
                self._cases.unpark(case_id, message)  # it came more than 90 days ago, and is gone
        self._cases.close(case_id, "retried", now)
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
        if not self._registry.is_item(sku):
            raise NotPossibleError(f"{sku!r} is not an item; import it first, or map to one that is")
        code = Code(SourceId(str(case.facts["source"])), str(case.facts["kind"]), str(case.facts["code"]))
        self._registry.map_codes({code: sku}, owner=actor)
        return self.retry(case_id)

    def ignore(self, case_id: str, reason: str, actor: str) -> None:
        """Close a case for a stated reason; it opens again if its cause shows again.

        Raises
        ------
        CaseNotFoundError, NotPossibleError
        """
        case = self._cases.get(case_id)
        if not self._cases.close(case_id, f"ignored by {actor}: {reason}", self._clock(), CaseStatus.IGNORED):
            raise NotPossibleError(f"the case is {case.status} already; only an open one can be ignored")

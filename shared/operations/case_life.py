"""The life of a case among people: who owns it, until when, what they say about it, and when it is raised."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from shared.domain.cases import Case, Deed
from shared.operations.case_desk import NotPossibleError
from shared.store.cases import Cases


class CaseLife:
    """Assigns cases, keeps comments and escalates."""

    def __init__(self, cases: Cases, clock: Callable[[], datetime]) -> None:
        self._cases = cases
        self._clock = clock

    def assign(
        self, case_id: str, owner: str, actor: str, due_at: datetime | None = None, reason: str = ""
    ) -> Case:
        """Give an open case to somebody, or with an empty ``owner`` to nobody, until an instant if one is agreed.

        Raises
        ------
        CaseNotFoundError, NotPossibleError
        """
        now = self._clock()
        if due_at is not None and due_at <= now:
            raise NotPossibleError("nothing can become due in the past; name an instant (due_at) to come")
        until = "" if due_at is None else f" until {due_at.isoformat()}"
        why = f"to {owner or 'nobody'}{until}" + (f": {reason}" if reason else "")
        if not self._cases.assign(case_id, owner, due_at, Deed(now, actor, "assign", why)):
            raise self._not_open(case_id, "assigned")
        return self._cases.get(case_id)

    def comment(self, case_id: str, text: str, actor: str) -> Case:
        """Write something beside a case, open or not.

        Raises
        ------
        CaseNotFoundError
        """
        self._cases.note(case_id, Deed(self._clock(), actor, "comment", text))
        return self._cases.get(case_id)

    def escalate(self, case_id: str, reason: str, actor: str) -> Case:
        """Raise an open case before its time.

        Raises
        ------
        CaseNotFoundError, NotPossibleError
        """
        if not self._cases.escalate(case_id, Deed(self._clock(), actor, "escalate", reason)):
            raise self._not_open(case_id, "escalated, once")
        return self._cases.get(case_id)

    def _not_open(self, case_id: str, what: str) -> NotPossibleError:
        case = self._cases.get(case_id)
        raised = "" if case.escalated_at is None else ", raised before"
        return NotPossibleError(f"the case is {case.status}{raised}; only an open one can be {what}")

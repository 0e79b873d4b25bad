"""Undoing much needs two people, as approving much does: the first asks for it, the second does it.

Asking is a case that says what would be taken back. It is bound to that: if it would be something else by the time the
second person comes, that is another request.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from shared.domain.cases import Case, CaseKind, CaseStatus, case_id
from shared.domain.stock import Counter, MessageId
from shared.operations.case_desk import NotPossibleError
from shared.operations.undo import Undone
from shared.store.cases import Cases
from shared.store.registry import Registry


class UndoGuard:
    """Says whether somebody may undo a message now."""

    def __init__(self, cases: Cases, registry: Registry, clock: Callable[[], datetime]) -> None:
        self._cases = cases
        self._registry = registry
        self._clock = clock

    def is_allowed(self, message: MessageId, actor: str, reason: str, foretold: Callable[[], Undone]) -> bool:
        """Whether the message may be undone now; where it may not, a second person has been asked for.

        Raises
        ------
        NotPossibleError
            When whoever asked for it is the one who would do it.
        """
        if self._registry.network().rules.four_eyes is None:
            return True
        would = foretold()
        why = self._why(would)
        if why is None or not would.events:
            return True
        asked = self._cases.find(undo_case(message))
        state = f"{would.events} events, {_units(would)} units"
        if asked is not None and asked.status is CaseStatus.OPEN and asked.facts["would_undo"] == state:
            if asked.facts["requested_by"] == actor:
                raise NotPossibleError(f"{actor} has asked for it, and {why}: another approver must undo it")
            return True
        now = self._clock()
        self._cases.file(
            Case(
                undo_case(message),
                CaseKind.UNDO_APPROVAL,
                f"{actor} asks to undo message {message}: {state}; {why}",
                f"another approver undoes it (onecount undo {message} --reason ... --yes), or ignores this case",
                now,
                now,
                {"requested_by": actor, "reason": reason, "would_undo": state, "units": _units(would)},
                message,
            )
        )
        return False

    def undone(self, message: MessageId, actor: str) -> None:
        """Close the request: it is done."""
        name = undo_case(message)
        if self._cases.close(name, f"undone by {actor}", self._clock(), by=actor):
            self._cases.unpark(name, message)

    def _why(self, would: Undone) -> str | None:
        rule = self._registry.network().rules.four_eyes
        if rule is None:
            return None
        if would.next is not None:
            return "it is too long for its size to be known beforehand"
        items = self._registry.items.find({moved.key.sku for moved in would.moved})
        changes = [
            (abs(moved.after - moved.before), item.price if (item := items.get(moved.key.sku)) else None)
            for moved in would.moved
            if moved.counter is Counter.ON_HAND
        ]
        return rule.why_all(changes)


def undo_case(message: MessageId) -> str:
    """Name the case of a message that somebody asks to undo."""
    return case_id(CaseKind.UNDO_APPROVAL, message)


def _units(would: Undone) -> int:
    return sum(abs(moved.after - moved.before) for moved in would.moved if moved.counter is Counter.ON_HAND)

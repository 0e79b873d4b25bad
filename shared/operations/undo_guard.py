"""Undoing much needs two people, as approving much does: the first asks for it, the second does it.

Much is judged by what is on hand and by what of it may be sold: taking a hold back makes as many units sellable as taking
a receipt back takes away.

Asking is a case that says what would be taken back. It is bound to that: if it would be something else by the time the
second person comes, that is another request. What is too long to be reckoned beforehand is reckoned to another point each
time, so such a request is bound to its message alone.

The second person's word is kept in the case until all is undone, with how far it has come: a long undo is done in several
calls, and one that was cut short begins again. What then would be taken back are fewer units, and no more events in all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import datetime
from typing import cast

from shared.domain.cases import Case, CaseKind, CaseStatus, Deed, case_id
from shared.domain.stock import AVAILABLE_SIGN, Counter, MessageId, Quantity, StockKey
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

    def is_allowed(
        self, message: MessageId, actor: str, reason: str, first: int, foretold: Callable[[], Undone]
    ) -> bool:
        """Whether the message may be undone now from its ``first`` report on; where not, a second person has been asked for.

        Raises
        ------
        NotPossibleError
            When whoever asked for it is the one who would do it, or it would not begin at the beginning.
        """
        if self._registry.network().rules.four_eyes is None:
            return True
        asked = self._open(message)
        if asked is not None and 0 < first <= _come_to(asked):
            return True
        would = foretold()
        why = self._why(would)
        if why is None:
            return True
        is_reckoned, now = would.next is None, self._clock()
        total = would.events + would.already if is_reckoned else None
        state = f"{'' if is_reckoned else 'at least '}{would.events} events, {_units(would)} units"
        if asked is not None and _is_approved(asked):
            most = asked.facts["events"]
            if most is None or would.events + would.already <= cast(int, most):
                return _goes_on(asked, first)
        elif asked is not None and (
            asked.facts["would_undo"] == state or not asked.facts.get("is_reckoned", True)
        ):
            if asked.facts["requested_by"] == actor:
                raise NotPossibleError(f"{actor} has asked for it, and {why}: another approver must undo it")
            is_allowed = _goes_on(asked, first)
            self._cases.amend(asked.id, {"approved_by": actor, "events": total, "next": 0}, now)
            self._cases.note(asked.id, Deed(now, actor, "approve"))
            return is_allowed
        self._cases.file(
            Case(
                undo_case(message),
                CaseKind.UNDO_APPROVAL,
                f"{actor} asks to undo message {message}: {state}; {why}",
                f"another approver undoes it (onecount undo {message} --reason ... --yes), or ignores this case",
                now,
                now,
                {
                    "requested_by": actor,
                    "reason": reason,
                    "would_undo": state,
                    "units": _units(would),
                    "is_reckoned": is_reckoned,
                },
                message,
            )
        )
        return False

    def has_come_to(self, message: MessageId, report: int) -> None:
        """Keep with the second person's word that all before a report is undone."""
        asked = self._open(message)
        if asked is not None and _is_approved(asked) and report > _come_to(asked):
            self._cases.amend(asked.id, {"next": report}, self._clock())

    def undone(self, message: MessageId, actor: str) -> None:
        """Close the request: it is done."""
        name = undo_case(message)
        if self._cases.close(name, f"undone by {actor}", self._clock(), by=actor):
            self._cases.unpark(name, message)

    def _open(self, message: MessageId) -> Case | None:
        asked = self._cases.find(undo_case(message))
        return asked if asked is not None and asked.status is CaseStatus.OPEN else None

    def _why(self, would: Undone) -> str | None:
        rule = self._registry.network().rules.four_eyes
        if rule is None:
            return None
        if would.next is not None:
            return "it is too long for its size to be known beforehand"
        changes = _changes(would)
        items = self._registry.items.find({key.sku for key in changes})
        return rule.why_all(
            (units, item.price if (item := items.get(key.sku)) else None) for key, units in changes.items()
        )


def undo_case(message: MessageId) -> str:
    """Name the case of a message that somebody asks to undo."""
    return case_id(CaseKind.UNDO_APPROVAL, message)


def _is_approved(asked: Case) -> bool:
    return "approved_by" in asked.facts


def _goes_on(asked: Case, first: int) -> bool:
    if first > (begun := _come_to(asked)):
        raise NotPossibleError(f"what comes before {first} is not undone yet", f"go on with next: {begun}")
    return True


def _come_to(asked: Case) -> int:
    """Return the report before which all is undone under the second person's word."""
    return cast(int, asked.facts["next"]) if _is_approved(asked) else 0


def _units(would: Undone) -> int:
    return sum(_changes(would).values())


def _changes(would: Undone) -> dict[StockKey, Quantity]:
    """Return how many units of each stock key change: what is on hand, or may be sold of that.

    A unit that comes and goes with its hold changes in two counters and is one: so the most that one of them changes
    counts, or what is available by all of them.
    """
    moved: defaultdict[tuple[StockKey, Counter], Quantity] = defaultdict(int)
    available: defaultdict[StockKey, Quantity] = defaultdict(int)
    for one in would.moved:
        if sign := AVAILABLE_SIGN[one.counter]:
            moved[one.key, one.counter] += abs(one.after - one.before)
            available[one.key] += sign * (one.after - one.before)
    changes = {key: abs(units) for key, units in available.items()}
    for (key, _), units in moved.items():
        changes[key] = max(changes[key], units)
    return changes

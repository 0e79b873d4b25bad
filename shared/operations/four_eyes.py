"""The four-eyes rule: a change above the declared size needs two people, and neither may be the same.

The first is who requested the change, where a person did (the case says ``requested_by``), else the first approver;
an approval stands for exactly what its giver saw, and one of another state begins anew.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from shared.domain.cases import Approval, Case, Deed
from shared.domain.exposure import sku_of
from shared.domain.stock import Quantity
from shared.store.cases import Cases
from shared.store.registry import Registry


class SamePersonError(ValueError):
    """One person cannot be both pairs of eyes; ``remedy`` says how another person's are lent."""

    remedy = (
        "have another approver repeat it with a bearer token of their own, on the command line in ONECOUNT_TOKEN: "
        "where it is deployed from your issuer, locally from `onecount token --scope approver --subject NAME`"
    )


class ApprovedMeanwhileError(Exception):
    """Somebody else approved, or decided, at the same moment."""


class FourEyesGuard:
    """Says whether a change may be made now, and keeps the first word where two are needed."""

    def __init__(self, cases: Cases, registry: Registry, clock: Callable[[], datetime]) -> None:
        self._cases = cases
        self._registry = registry
        self._clock = clock

    def why(self, case: Case, units: Quantity | None) -> str | None:
        """Say why a change of so many units that waits in a case needs two people; None where one is enough."""
        rule = self._registry.network().rules.four_eyes
        if rule is None:
            return None
        sku = sku_of(case)
        item = None if sku is None else self._registry.items.find([sku]).get(sku)
        return rule.why(units, None if item is None else item.price)

    def approve(self, case: Case, actor: str, state: str, units: Quantity | None) -> bool:
        """Take one person's word for a state; return whether that is enough.

        ``units`` are those that the change, made now, comes to; None where nobody can say. What the case remembers may
        be long out of date.

        Raises
        ------
        SamePersonError, ApprovedMeanwhileError
        """
        why = self.why(case, units)
        if why is None:
            return True
        requester = case.facts.get("requested_by")
        if requester is not None:
            if requester == actor:
                raise SamePersonError(f"{actor} has requested it, and {why}: another person must approve it")
            return True
        said = [one for one in case.approvals if one.state == state]
        if any(one.by == actor for one in said):
            raise SamePersonError(f"{actor} has approved it already, and {why}: a second person must too")
        if said:
            return True
        approval = Approval(actor, self._clock(), state)
        deed = Deed(approval.at, actor, "first_approval", state)
        if not self._cases.approve(case, approval, deed):
            raise ApprovedMeanwhileError(case.id)
        return False

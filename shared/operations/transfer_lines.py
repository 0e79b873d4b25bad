"""Transfers as a batch of facts changes them: read, and written back in the transaction that moves their stock.

What a source reports is added as it comes. What a person entered is judged here once more, against the transfer as it is
when it is written: of two people who receive the same units at once, one is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

from shared.domain.events import Movement
from shared.domain.transfer import add_movement, effect_of, transfer_of, why_not
from shared.operations.facts import Fact, Outcome, Result
from shared.store.table import Action
from shared.store.transfers import Transfers, transfer_put


@dataclass(slots=True)
class TransferPlan:
    """What a batch does to transfers; ``pending`` are the facts that were not refused."""

    actions: list[Action] = field(default_factory=list)
    decided: list[Result] = field(default_factory=list)
    pending: list[Fact] = field(default_factory=list)


def plan_transfers(transfers: Transfers, facts: Sequence[Fact]) -> TransferPlan:
    """Add movements to the transfers that they name."""
    named = {fact.event.key: name for fact in facts if (name := transfer_of(fact.event)) is not None}
    before = transfers.find(named.values()) if named else {}
    if not before:
        return TransferPlan(pending=list(facts))
    plan, after = TransferPlan(), dict(before)
    for fact in facts:
        transfer = named.get(fact.event.key, "")
        known = after.get(transfer)
        if known is not None:
            event = cast(Movement, fact.event)
            effect = effect_of(event)
            if fact.is_entered and effect is not None and event.key not in known.moves:
                refusal = why_not(known, effect[0], {event.sku: effect[1]})
                if refusal is not None:
                    plan.decided.append(Result(fact, Outcome.REFUSED, refusal.reason))
                    continue
            after[transfer] = add_movement(known, event)
        plan.pending.append(fact)
    plan.actions = [transfer_put(one) for name, one in after.items() if one is not before[name]]
    return plan

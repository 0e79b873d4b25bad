"""Transfers as a batch of facts changes them: read, and written back in the transaction that moves their stock.

What a source reports is added as it comes. What a person entered is judged here once more, all of it together, against
the transfer as it is when it is written: of two people who receive the same units at once, one is refused.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import cast

from shared.domain.events import Movement
from shared.domain.stock import EventKey, Quantity, Sku
from shared.domain.transfer import (
    Effect,
    Transfer,
    add_movement,
    effect_of,
    sums,
    transfer_of,
    why_not,
)
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
    refused = _refused(facts, named, before)
    for fact in facts:
        transfer = named.get(fact.event.key, "")
        if fact.event.key in refused:
            plan.decided.append(Result(fact, Outcome.REFUSED, refused[fact.event.key]))
            continue
        if transfer in after:
            after[transfer] = add_movement(after[transfer], cast(Movement, fact.event))
        plan.pending.append(fact)
    plan.actions = [transfer_put(one) for name, one in after.items() if one is not before[name]]
    return plan


def _refused(
    facts: Sequence[Fact], named: Mapping[EventKey, str], before: Mapping[str, Transfer]
) -> dict[EventKey, str]:
    """Say what of people's words is refused, and why: of one transfer all that left, arrived or is lost, or nothing."""
    said = defaultdict[tuple[str, Effect, datetime | None], dict[EventKey, tuple[Sku, Quantity]]](dict)
    for fact in facts:
        transfer = named.get(fact.event.key, "")
        effect = effect_of(cast(Movement, fact.event)) if transfer in before else None
        if fact.is_entered and effect is not None and fact.event.key not in before[transfer].moves:
            at = cast(Movement, fact.event).occurred_at if fact.is_dated else None
            said[transfer, effect[0], at][fact.event.key] = fact.event.sku, effect[1]
    refused: dict[EventKey, str] = {}
    for (transfer, which, at), parts in said.items():
        refusal = why_not(before[transfer], which, sums(parts.values()), at)
        refused |= {} if refusal is None else dict.fromkeys(parts, refusal.reason)
    return refused

"""Posting: the only code that changes a balance or an order line because of an event.

Functional core, imperative shell: this module reads what the facts touch, lets the pure rules decide (``fold`` for
stock, ``merge_demand`` and ``ship`` for order lines), and writes the result in one transaction::

    EVENT#key     one for each movement and count, on condition that it is new
    BAL, JRN ...  one posting for each stock key, on condition that its journal has not grown
    LINE          each order line touched, on condition that it is as it was read
    PROMISE       what became available, added blindly: the conditions above guard it

A refusal says which condition failed and what stood there. An event that is there already with the same effect is
a duplicate; with another effect it is a conflict, refused and reported. Anything else that moved means: read again
and fold again. After an answer that never came the same attempt is simply made again: finding our own keys then
means that it had succeeded.
"""

from __future__ import annotations

import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import cast

from shared.domain.events import Count, Demand, Movement, instant
from shared.domain.fold import fold
from shared.domain.network import Channel
from shared.domain.stock import ChannelId, EventKey, Quantity, StockKey
from shared.operations.facts import Fact, Outcome, Result, compare, order_line_of, stock_keys
from shared.operations.order_lines import plan_lines
from shared.store.layout import event_key
from shared.store.ledger import Ledger, posting_actions, promise_action
from shared.store.orders import Orders
from shared.store.table import (
    MAX_ACTIONS,
    Absent,
    Action,
    Put,
    Table,
    ThrottledError,
    UnknownOutcomeError,
    WriteConflictError,
    WriteRefusedError,
)

__all__ = ["ATTEMPTS", "Fact", "Outcome", "Poster", "PostingContendedError", "Result"]

ATTEMPTS = 12
"""Times that one unit of work is tried before it is given back to be tried later."""


class PostingContendedError(Exception):
    """Facts could not be posted now: others kept changing the same stock keys, or the table is busy."""

    def __init__(self, facts: Sequence[Fact], posted: Sequence[Result]) -> None:
        super().__init__(f"{len(facts)} events could not be posted just now")
        self.facts = facts
        self.posted = posted


@dataclass(slots=True)
class _Plan:
    """The writes of one attempt, and the outcomes that reading alone already decided."""

    actions: list[Action] = field(default_factory=list)
    decided: list[Result] = field(default_factory=list)
    pending: list[Fact] = field(default_factory=list)


class Poster:
    """Posts facts to the ledger, each at most once."""

    def __init__(
        self,
        table: Table,
        clock: Callable[[], datetime],
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._table = table
        self._ledger = Ledger(table)
        self._orders = Orders(table)
        self._clock = clock
        self._pause = pause

    def post(self, facts: Sequence[Fact], channels: Mapping[ChannelId, Channel]) -> list[Result]:
        """Post facts in as few transactions as they fit; facts of one stock key share one posting.

        Raises
        ------
        PostingContendedError
            When some could not be posted now; those that could are in it.
        """
        results, distinct = _distinct(facts)
        contended: list[Fact] = []
        for unit in _units(distinct):
            try:
                results += self._post_unit(unit, channels)
            except PostingContendedError as error:
                results += error.posted
                contended += error.facts
        if contended:
            raise PostingContendedError(contended, results)
        return results

    def _post_unit(self, facts: Sequence[Fact], channels: Mapping[ChannelId, Channel]) -> list[Result]:
        remaining, results, uncertain = list(facts), list[Result](), False
        for attempt in range(ATTEMPTS):
            plan = self._plan(remaining, channels, uncertain)
            if len(plan.actions) > MAX_ACTIONS:
                return results + self._post_halves(remaining, channels)
            results += plan.decided
            remaining = plan.pending
            if not remaining:
                return results
            try:
                self._table.write(plan.actions)
            except WriteRefusedError as refused:
                known = _known_events(refused)
                results += [
                    compare(fact, known[fact.event.key], uncertain)
                    for fact in remaining
                    if fact.event.key in known
                ]
                remaining = [fact for fact in remaining if fact.event.key not in known]
                if not known:
                    self._back_off(attempt)
            except UnknownOutcomeError:
                uncertain = True
                self._back_off(attempt)
            except (WriteConflictError, ThrottledError):
                self._back_off(attempt)
            else:
                return results + [Result(fact, Outcome.POSTED) for fact in remaining]
            if not remaining:
                return results
            if attempt == ATTEMPTS // 2 and len(_groups(remaining)) > 1:
                return results + self._post_halves(remaining, channels)
        raise PostingContendedError(remaining, results)

    def _post_halves(self, facts: Sequence[Fact], channels: Mapping[ChannelId, Channel]) -> list[Result]:
        """Post a unit that is too large, or that one busy stock key keeps spoiling, as two."""
        groups = _groups(facts)
        if len(facts) == 1:
            return [_too_large(facts[0])]
        if len(groups) > 1:
            middle = len(groups) // 2
            halves = [[f for g in groups[:middle] for f in g], [f for g in groups[middle:] for f in g]]
        else:
            middle = max(1, len(facts) // 2)
            halves = [list(facts[:middle]), list(facts[middle:])]
        results: list[Result] = []
        contended: list[Fact] = []
        for half in halves:
            try:
                results += self._post_unit(half, channels) if half else []
            except PostingContendedError as error:
                results += error.posted
                contended += error.facts
        if contended:
            raise PostingContendedError(contended, results)
        return results

    def _plan(
        self, facts: Sequence[Fact], channels: Mapping[ChannelId, Channel], uncertain: bool = False
    ) -> _Plan:
        now = self._clock()
        lines = plan_lines(self._orders, facts, channels, now, uncertain)
        plan, available = _Plan(lines.actions, lines.decided, lines.pending), lines.available
        stock = [fact for fact in plan.pending if not isinstance(fact.event, Demand)]
        self._plan_stock(stock, plan, available, now)
        plan.actions += [
            promise_action(key, change, now)
            for key, change in available.items()
            if change or key in lines.sold
        ]
        return plan

    def _plan_stock(
        self, facts: Sequence[Fact], plan: _Plan, available: defaultdict[StockKey, Quantity], now: datetime
    ) -> None:
        """Fold movements and counts into one posting for each stock key they touch."""
        touching: defaultdict[StockKey, list[Movement | Count]] = defaultdict(list)
        for fact in facts:
            event = cast("Movement | Count", fact.event)
            plan.actions.append(_event_put(fact, now))
            for key in stock_keys(event):
                touching[key].append(event)
        if not touching:
            return
        for key, balance in self._ledger.balances(touching).items():
            state = self._ledger.state(balance, touching[key])
            posting = fold(state, touching[key])
            plan.actions += posting_actions(posting, now)
            available[key] += posting.available_delta

    def _back_off(self, attempt: int) -> None:
        """Wait a random time that doubles with each attempt, 10 ms to about a second."""
        self._pause(random.uniform(0.5, 1) * min(1.0, 0.01 * 2**attempt))  # noqa: S311


def _event_put(fact: Fact, now: datetime) -> Put:
    event = fact.event
    return Put(
        event_key(event.key),
        {
            "effect": fact.effect,
            "sku": event.sku,
            "source": event.origin.source,
            "message_id": event.origin.message_id,
            "refs": [list(ref) for ref in event.origin.refs],
            "posted_at": instant(now),
        },
        (Absent(),),
    )


def _distinct(facts: Sequence[Fact]) -> tuple[list[Result], list[Fact]]:
    """Split off facts whose key stands earlier in the same batch."""
    first: dict[EventKey, Fact] = {}
    results = []
    for fact in facts:
        known = first.setdefault(fact.event.key, fact)
        if known is not fact:
            results.append(compare(fact, known.effect, uncertain=False))
    return results, list(first.values())


def _too_large(fact: Fact) -> Result:
    return Result(
        fact,
        Outcome.REFUSED,
        f"event {fact.event.key} touches {len(stock_keys(fact.event))} stock keys, more than one transaction can write; "
        "report it in parts",
    )


def _known_events(refused: WriteRefusedError) -> dict[EventKey, str]:
    """Return the effects of those events that turned out to be in the ledger already."""
    return {
        EventKey(refusal.action.key.pk.removeprefix("EVENT#")): cast(str, refusal.found["effect"])
        for refusal in refused.refusals
        if refusal.found is not None and refusal.action.key.pk.startswith("EVENT#")
    }


def _groups(facts: Iterable[Fact]) -> list[list[Fact]]:
    """Part facts into groups that share no stock key and no order line."""
    parent: dict[object, object] = {}

    def root(node: object) -> object:
        while parent.setdefault(node, node) != node:
            node = parent[node]
        return node

    anchors: list[tuple[Fact, object]] = []
    for fact in facts:
        nodes: list[object] = [*stock_keys(fact.event)]
        name = order_line_of(fact.event)
        if name is not None:
            nodes.append(name)
        nodes = nodes or [fact.event.key]
        for other in nodes[1:]:
            parent[root(other)] = root(nodes[0])
        anchors.append((fact, nodes[0]))
    groups: dict[object, list[Fact]] = {}
    for fact, anchor in anchors:
        groups.setdefault(root(anchor), []).append(fact)
    return list(groups.values())


def _units(facts: Sequence[Fact]) -> list[list[Fact]]:
    """Pack groups into units of work that will fit one transaction each, as a rule."""
    units: list[list[Fact]] = []
    room = 0
    for group in _groups(facts):
        weights = [3 if isinstance(fact.event, Count) else 1 for fact in group]
        weight = sum(weights) + 4
        if weight <= room:
            units[-1] += group
            room -= weight
        elif weight <= MAX_ACTIONS:
            units.append(list(group))
            room = MAX_ACTIONS - weight
        else:
            units += [group[start : start + 90] for start in range(0, len(group), 90)]
            room = 0
    return units

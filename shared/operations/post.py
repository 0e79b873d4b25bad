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
from enum import StrEnum
from typing import cast

from shared.domain.events import Count, Demand, Event, Movement, MovementKind, instant
from shared.domain.ledger import fold, needs
from shared.domain.network import Channel
from shared.domain.reservation import merge_demand, ship
from shared.domain.stock import ChannelId, EventKey, Quantity, StockKey
from shared.store.layout import event_key
from shared.store.ledger import Ledger, posting_actions, promise_action
from shared.store.listings import sold_action
from shared.store.orders import Orders, line_put
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

ATTEMPTS = 12
"""Times that one unit of work is tried before it is given back to be tried later."""

FULFILS_ORDERS = frozenset({MovementKind.PICK, MovementKind.SHIPMENT})
"""Movements that hand an order line its units. A return that names its order owes the customer nothing again."""


class Outcome(StrEnum):
    """What became of one event."""

    POSTED = "posted"
    DUPLICATE = "duplicate"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Fact:
    """An event in our own codes, with the hash of its effect as it was sent."""

    event: Event
    effect: str


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one fact, and why where it was refused."""

    fact: Fact
    outcome: Outcome
    reason: str = ""


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
    sold: set[StockKey] = field(default_factory=set)


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
                    _compare(fact, known[fact.event.key], uncertain)
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
        plan, now = _Plan(), self._clock()
        available: defaultdict[StockKey, Quantity] = defaultdict(int)
        self._plan_lines(facts, channels, plan, available, now, uncertain)
        stock = [fact for fact in plan.pending if not isinstance(fact.event, Demand)]
        self._plan_stock(stock, plan, available, now)
        plan.actions += [
            promise_action(key, change, now)
            for key, change in available.items()
            if change or key in plan.sold
        ]
        return plan

    def _plan_lines(
        self,
        facts: Sequence[Fact],
        channels: Mapping[ChannelId, Channel],
        plan: _Plan,
        available: defaultdict[StockKey, Quantity],
        now: datetime,
        uncertain: bool,
    ) -> None:
        """Merge order documents and shipments into their lines; what a line lets go becomes available.

        Where a channel has sold, the key is marked dirty even if the same batch makes up for the units: the channel
        has lowered its own number, and must be told the right one.
        """
        wanted = {
            name: key for fact in facts if (name := _order_line(fact.event)) for key in stock_keys(fact.event)
        }
        before = self._orders.lines(wanted) if wanted else {}
        lines = dict(before)
        for fact in facts:
            event, name = fact.event, _order_line(fact.event)
            if name is not None and isinstance(event, Demand):
                known = lines[name].applied.get(event.key)
                if known is not None:
                    plan.decided.append(_compare(fact, known, uncertain))
                    continue
                lines[name] = merge_demand(lines[name], event, fact.effect)
            elif name is not None and isinstance(event, Movement):
                taken = -sum(leg.quantity for leg in event.legs)
                lines[name] = ship(lines[name], taken, event.occurred_at, event.key)
            plan.pending.append(fact)
        sold: defaultdict[tuple[ChannelId, StockKey], Quantity] = defaultdict(int)
        for name, line in lines.items():
            if line is before[name]:
                continue
            plan.actions.append(line_put(line, now))
            available[before[name].stock_key] += before[name].open
            available[line.stock_key] -= line.open
            if line.channel is not None and line.channel in channels and channels[line.channel].sells_down:
                units = line.taken - before[name].taken
                if units or line.cancellations != before[name].cancellations:
                    sold[line.channel, line.stock_key] += units
        plan.actions += [sold_action(*listing, units) for listing, units in sold.items()]
        plan.sold = {key for _, key in sold}

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
            state = self._ledger.state(balance, needs(key, balance.clocks, touching[key]))
            posting = fold(state, touching[key])
            plan.actions += posting_actions(posting, now)
            available[key] += posting.available_delta

    def _back_off(self, attempt: int) -> None:
        """Wait a random time that doubles with each attempt, 10 ms to about a second."""
        self._pause(random.uniform(0.5, 1) * min(1.0, 0.01 * 2**attempt))  # noqa: S311


def stock_keys(event: Event) -> list[StockKey]:
    """Return the stock keys that an event concerns."""
    if isinstance(event, Movement):
        return [
            StockKey(event.sku, location) for location in dict.fromkeys(leg.location for leg in event.legs)
        ]
    if isinstance(event, Demand):
        return [] if event.location is None else [StockKey(event.sku, event.location)]
    return [StockKey(event.sku, event.location)]


def _order_line(event: Event) -> tuple[str, str] | None:
    if isinstance(event, Demand):
        return (event.order, event.line)
    if isinstance(event, Movement) and event.legs and event.kind in FULFILS_ORDERS:
        return event.order_line
    return None


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
            results.append(_compare(fact, known.effect, uncertain=False))
    return results, list(first.values())


def _compare(fact: Fact, known_effect: str, uncertain: bool) -> Result:
    """Judge a fact whose key is in the ledger already; after an unknown outcome our own key is our success."""
    if known_effect == fact.effect:
        return Result(fact, Outcome.POSTED if uncertain else Outcome.DUPLICATE)
    return Result(
        fact,
        Outcome.REFUSED,
        f"event {fact.event.key} is in the ledger already with another effect; a correction needs a new version",
    )


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
        name = _order_line(fact.event)
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

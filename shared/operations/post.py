"""Posting: the only code that changes a balance or an order line because of an event.

Functional core, imperative shell: this module reads what the facts touch, lets the pure rules decide (``fold`` for
stock, ``merge_demand`` and ``ship`` for order lines), and writes the result in one transaction::

    EVENT#key     one for each movement and count, on condition that it is new
    BAL, JRN ...  one posting for each stock key, on condition that its journal has not grown
    LINE          each order line touched, on condition that it is as it was read
    TRANSFER      each transfer that a movement names, likewise
    PROMISE       what became available, added blindly: the conditions above guard it

A refusal says which condition failed and what stood there. An event that is there already with the same effect is
a duplicate; with another effect it is a conflict, refused and reported. Anything else that moved means: read again
and fold again. After an answer that never came the same attempt is simply made again: finding our own keys then
means that it had succeeded.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import cast

from shared.domain.events import Count, Demand, Movement, instant
from shared.domain.fold import fold
from shared.domain.ledger import Waiting
from shared.domain.stock import EventKey, Leaf, Quantity, StockKey
from shared.operations.attempts import ATTEMPTS, Attempts
from shared.operations.count_rules import count_rules
from shared.operations.facts import (
    Fact,
    Note,
    Outcome,
    Result,
    compare,
    stock_keys,
)
from shared.operations.footprint import decision_key
from shared.operations.left_waiting import AT_ONCE, NONE, LeftWaiting, LeftWaitingError, rows_of_keys
from shared.operations.order_lines import plan_lines
from shared.operations.posting_notes import notes_in, notes_of, rows_of
from shared.operations.transfer_lines import plan_transfers
from shared.operations.transfer_names import Misnamed, find_misnamed
from shared.operations.units_of_work import busiest, chains, distinct, groups, halves
from shared.store.layout import event_key
from shared.store.lease import Leases
from shared.store.ledger import Ledger
from shared.store.ledger_items import Balance
from shared.store.orders import Orders
from shared.store.posting_actions import posting_actions
from shared.store.promises import promise_action
from shared.store.registry import Network
from shared.store.requests import fit_one_write
from shared.store.table import (
    Absent,
    Action,
    Put,
    Table,
    ThrottledError,
    UnknownOutcomeError,
    Value,
    WriteConflictError,
    WriteRefusedError,
)
from shared.store.transfers import Transfers

log = logging.getLogger(__name__)


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
    overfull: str = ""
    crowded: set[StockKey] = field(default_factory=set)
    cut_short: set[EventKey] = field(default_factory=set)
    waits: set[EventKey] = field(default_factory=set)
    notes: defaultdict[EventKey, list[Note]] = field(default_factory=lambda: defaultdict(list))
    corrected: defaultdict[EventKey, list[tuple[StockKey, Leaf, Quantity]]] = field(
        default_factory=lambda: defaultdict(list)
    )

    def result(self, fact: Fact) -> Result:
        """Say what became of a fact once the plan is written."""
        key = fact.event.key
        return Result(
            fact,
            Outcome.WAITS if key in self.waits else Outcome.POSTED,
            notes=tuple(self.notes.get(key, ())),
            corrected=tuple(self.corrected.get(key, ())),
        )


class Poster:
    """Posts facts to the ledger, each at most once.

    ``lanes`` is how many transactions may be under way at once, each for stock keys and order lines of its own.
    """

    def __init__(
        self,
        table: Table,
        clock: Callable[[], datetime],
        pause: Callable[[float], None] = time.sleep,
        lanes: int = 1,
    ) -> None:
        self._table = table
        self._lanes = lanes
        self._ledger = Ledger(table)
        self._leases = Leases(table, clock, pause)
        self._orders = Orders(table)
        self._transfers = Transfers(table)
        self._clock = clock
        self._attempts = Attempts(table, clock, pause)
        self._left = LeftWaiting(table, clock, self._attempts)

    def post(self, facts: Sequence[Fact], network: Network) -> list[Result]:
        """Post facts in as few transactions as they fit; facts of one stock key share one posting.

        Raises
        ------
        PostingContendedError
            When some could not be posted now; those that could are in it.
        """
        results, fresh = distinct(facts)
        chained = chains(fresh)
        if self._lanes > 1 and len(chained) > 1:
            with ThreadPoolExecutor(min(self._lanes, len(chained))) as lanes:
                done = list(lanes.map(lambda chain: self._post_each(chain, network), chained))
        else:
            done = [self._post_each(chain, network) for chain in chained]
        results += [result for posted, _ in done for result in posted]
        contended = [fact for _, left in done for fact in left]
        if contended:
            raise PostingContendedError(contended, results)
        return results

    def balance(self, key: StockKey) -> Balance:
        """Return a stock key as it stands."""
        return self._ledger.balances([key])[key]

    def is_known(self, key: EventKey) -> bool:
        """Whether an event is in the ledger."""
        return self._table.get(event_key(key)) is not None

    def _post_each(
        self, units: Iterable[Sequence[Fact]], network: Network
    ) -> tuple[list[Result], list[Fact]]:
        """Post units one after the other; return what was posted, and the facts that could not be posted now."""
        results, contended = list[Result](), list[Fact]()
        for unit in units:
            try:
                results += self._post_unit(unit, network)
            except PostingContendedError as error:
                results += error.posted
                contended += error.facts
        return results, contended

    def _post_unit(self, facts: Sequence[Fact], network: Network) -> list[Result]:
        with ExitStack() as lease:
            return self._post_leased(facts, network, lease)

    def _post_leased(self, facts: Sequence[Fact], network: Network, lease: ExitStack) -> list[Result]:
        """Post one unit; after a first conflict on a stock key, in turn with whoever else posts to it."""
        remaining, results, uncertain, leased = list(facts), list[Result](), False, False
        for attempt in range(ATTEMPTS):
            plan = self._plan(remaining, network, uncertain)
            for most in (*AT_ONCE, NONE) if len(remaining) == 1 else ():
                if not fit_one_write(plan.actions):
                    plan = self._plan(remaining, network, uncertain, most)
            if not fit_one_write(plan.actions) or plan.overfull or plan.crowded:
                return results + self._post_halves(remaining, network, plan)
            results += plan.decided
            remaining = plan.pending
            if not remaining:
                return results
            try:
                self._table.write(plan.actions)
            except WriteRefusedError as refused:
                known, cut_short = _known_events(refused), _cut_short(refused)
                results += [
                    self._finished(
                        compare(fact, *known[fact.event.key], uncertain=uncertain), network, cut_short
                    )
                    for fact in remaining
                    if fact.event.key in known
                ]
                remaining = [fact for fact in remaining if fact.event.key not in known]
                if known or self._attempts.make_way(refused):
                    continue
                log.info("posting_overtaken", extra={"attempt": attempt + 1})
                if not leased:
                    leased = lease.enter_context(self._leases.on(busiest(remaining)))
                elif attempt > 1:
                    self._attempts.back_off(attempt)
            except UnknownOutcomeError:
                uncertain = True
                self._attempts.back_off(attempt)
            except WriteConflictError:
                log.info("posting_met_another", extra={"attempt": attempt + 1})
                if not leased:
                    leased = lease.enter_context(self._leases.on(busiest(remaining)))
                self._attempts.back_off(attempt)
            except ThrottledError:
                self._attempts.back_off(attempt)
            else:
                return results + [
                    self._finished(plan.result(fact), network, plan.cut_short) for fact in remaining
                ]
            if not remaining:
                return results
            if attempt == ATTEMPTS // 2 and len(groups(remaining)) > 1:
                return results + self._post_halves(remaining, network)
        raise PostingContendedError(remaining, results)

    def _post_halves(
        self, facts: Sequence[Fact], network: Network, plan: _Plan | None = None
    ) -> list[Result]:
        """Post a unit that is too large, or that one busy stock key keeps spoiling, as two."""
        if len(facts) == 1:
            return [self._known(facts[0], network) or _too_large(facts[0], plan or _Plan())]
        results, contended = self._post_each(halves(facts), network)
        if contended:
            raise PostingContendedError(contended, results)
        return results

    def _plan(
        self, facts: Sequence[Fact], network: Network, uncertain: bool = False, most: int | None = None
    ) -> _Plan:
        now = self._clock()
        transfers = plan_transfers(self._transfers, facts)
        lines = plan_lines(self._orders, transfers.pending, network.channels, now, uncertain)
        plan = _Plan(
            [*transfers.actions, *lines.actions],
            [*transfers.decided, *lines.decided],
            lines.pending,
            lines.overfull,
        )
        available = lines.available
        stock = [fact for fact in plan.pending if not isinstance(fact.event, Demand)]
        self._plan_stock(stock, lines.exploded, network, plan, available, now, uncertain, most)
        plan.cut_short.update(fact.event.key for fact in stock if most is not None)
        plan.actions += [
            promise_action(key, change, now)
            for key, change in available.items()
            if change or key in lines.sold
        ]
        return plan

    def _plan_stock(
        self,
        facts: Sequence[Fact],
        exploded: Mapping[EventKey, Sequence[Movement]],
        network: Network,
        plan: _Plan,
        available: defaultdict[StockKey, Quantity],
        now: datetime,
        uncertain: bool,
        most: int | None,
    ) -> None:
        """Fold movements and counts into one posting for each stock key they touch; whole kits as components."""
        parts = {
            fact.event.key: exploded.get(fact.event.key, [cast("Movement | Count", fact.event)])
            for fact in facts
        }
        keys = dict.fromkeys(
            key for several in parts.values() for part in several for key in stock_keys(part)
        )
        balances = self._ledger.balances(keys) if keys else {}
        if overtaken := self._overtaken(facts, balances, uncertain):
            plan.decided += overtaken.values()
            plan.pending = [fact for fact in plan.pending if fact.event.key not in overtaken]
            facts = [fact for fact in facts if fact.event.key not in overtaken]
        touching: defaultdict[StockKey, list[Movement | Count]] = defaultdict(list)
        for fact in facts:
            for part in parts[fact.event.key]:
                for key in stock_keys(part):
                    touching[key].append(part)
        entries: defaultdict[EventKey, list[Value]] = defaultdict(list)
        for key, balance in balances.items():
            if key not in touching:
                continue
            for touched in dict.fromkeys(part.key for part in touching[key]):
                entries[touched].append([key.sku, key.location, balance.seq])
            state = self._ledger.state(balance, touching[key], count_rules(network, key.location))
            posting = fold(state, touching[key], most=most)
            plan.actions += posting_actions(posting, now)
            available[key] += posting.available_delta
            if {
                count.mark.event_key for count in posting.began_to_wait
            } & parts.keys() and posting.is_crowded:
                plan.crowded.add(key)
            plan.waits.update(count.mark.event_key for count in posting.began_to_wait)
            plan.notes[touching[key][0].key] += notes_of(posting)
            for count in posting.counts if posting.expected_seq else ():
                if count.variance:
                    plan.corrected[count.mark.event_key].append((key, count.slot.leaf, count.variance))
        plan.actions += [
            _event_put(
                fact,
                entries[fact.event.key],
                plan.notes.get(fact.event.key, ()),
                now,
                touching if most is not None else (),
            )
            for fact in facts
        ]

    def _overtaken(
        self, facts: Iterable[Fact], balances: Mapping[StockKey, Balance], uncertain: bool
    ) -> dict[EventKey, Result]:
        """Return those that were reckoned on another length of a journal: posted before, or refused."""
        results: dict[EventKey, Result] = {}
        for fact in facts:
            lengths = {balances[key].seq for key in stock_keys(fact.event) if key in balances}
            if fact.reckoned_on is None or fact.reckoned_on in lengths:
                continue
            known = self._table.get(event_key(fact.event.key))
            results[fact.event.key] = (
                Result(fact, Outcome.REFUSED, "the stock changed after it was reckoned; reckon it again")
                if known is None
                else compare(fact, cast(str, known["effect"]), notes_in(known), uncertain=uncertain)
            )
        return results

    def _known(self, fact: Fact, network: Network) -> Result | None:
        """Judge a fact that is in the ledger already, however large what it would write today; None for a new one."""
        item = self._table.get(event_key(fact.event.key))
        if item is None:
            return None
        result = compare(fact, cast(str, item["effect"]), notes_in(item), uncertain=False)
        return self._finished(result, network, {fact.event.key})

    def _finished(self, result: Result, network: Network, cut_short: Collection[EventKey]) -> Result:
        """Go on with what an event left to wait, if it is one of those that did."""
        if result.fact.event.key not in cut_short:
            return result
        try:
            return replace(result, notes=tuple(self.go_on(result.fact.event.key, network)))
        except PostingContendedError as error:
            raise PostingContendedError([result.fact], []) from error

    def misnamed(self, results: Iterable[Result]) -> list[Misnamed]:
        """Return those movements that were posted, now or before, and name a transfer which they are none of."""
        return find_misnamed(
            self._table, [result.fact.event for result in results if result.outcome is not Outcome.REFUSED]
        )

    def is_rejected(self, count: EventKey) -> bool:
        """Whether somebody decided that a count will never be applied."""
        decision = self._table.get(event_key(decision_key(count)))
        return decision is not None and decision["effect"] == "reject"

    def go_on(self, event: EventKey, network: Network) -> list[Note]:
        """Go on with what an event in the ledger, or a decision, left to wait; return all that was noted with it.

        Raises
        ------
        PostingContendedError
        """
        try:
            return self._left.finish(event_key(event), network)
        except LeftWaitingError as error:
            raise PostingContendedError([], []) from error

    def notes_about(self, event: EventKey) -> list[Note]:
        """Return what was noted with an event, or a decision, when it was posted."""
        item = self._table.get(event_key(event))
        return [] if item is None else notes_in(item)

    def waiting(self, key: StockKey) -> list[Waiting]:
        """Return the counts of a stock key that wait for a decision."""
        return self._ledger.waiting(key)


def _event_put(
    fact: Fact,
    entries: Sequence[Value],
    notes: Sequence[Note],
    now: datetime,
    unfinished: Iterable[StockKey] = (),
) -> Put:
    """Write an event's own item: what it did, where it came from, and in which journal entries it stands."""
    event = fact.event
    written: dict[str, Value] = {
        "effect": fact.effect,
        "sku": event.sku,
        "source": event.origin.source,
        "message_id": event.origin.message_id,
        "refs": [list(ref) for ref in event.origin.refs],
        "posted_at": instant(now),
        "entries": entries,
    }
    if notes:
        written["notes"] = rows_of(notes)
    if left := rows_of_keys(unfinished):
        written["unfinished"] = left
    return Put(event_key(event.key), written, (Absent(),))


_OF_A_FULL_LINE = "report it under a document of its own that names another order or transfer, or none; what is in the ledger stands"
_OF_A_FULL_ORDER = (
    "cancel what is left of the line in the system that sends it, for which there is room, and order it as another line; "
    "what is in the ledger stands"
)


_OF_TOO_MANY_WAITING = "approve the newest of those that is right, which settles all before it, or reject what is wrong; then send it again"
_OF_MANY_COUNTS = (
    "have the item counted there once more, so that those rest on a newer count; then send it again"
)


def _too_large(fact: Fact, plan: _Plan) -> Result:
    if plan.overfull:
        return Result(
            fact,
            Outcome.REFUSED,
            f"order line: event {fact.event.key} is of {plan.overfull}, and no room for another",
            remedy=_OF_A_FULL_ORDER if isinstance(fact.event, Demand) else _OF_A_FULL_LINE,
        )
    if plan.crowded:
        return Result(
            fact,
            Outcome.REFUSED,
            f"count {fact.event.key} would have to wait, and as many of {min(plan.crowded)} do already as there is room for",
            remedy=_OF_TOO_MANY_WAITING,
        )
    if fact.kit is None and len(stock_keys(fact.event)) <= 2:
        reason = f"event {fact.event.key} changes what very many counts rest on, more than one transaction can write"
        return Result(fact, Outcome.REFUSED, reason, remedy=_OF_MANY_COUNTS)
    return Result(
        fact,
        Outcome.REFUSED,
        f"event {fact.event.key} touches {len(stock_keys(fact.event))} stock keys, more than one transaction can write; "
        "report it in parts",
    )


def _cut_short(refused: WriteRefusedError) -> set[EventKey]:
    """Return those events in the ledger that have left counts to wait."""
    return {
        EventKey(refusal.action.key.pk.removeprefix("EVENT#"))
        for refusal in refused.refusals
        if refusal.found is not None and refusal.found.get("unfinished")
    }


def _known_events(refused: WriteRefusedError) -> dict[EventKey, tuple[str, list[Note]]]:
    """Return effect and notes of those events that turned out to be in the ledger already."""
    return {
        EventKey(refusal.action.key.pk.removeprefix("EVENT#")): (
            cast(str, refusal.found["effect"]),
            notes_in(refusal.found),
        )
        for refusal in refused.refusals
        if refusal.found is not None and refusal.action.key.pk.startswith("EVENT#")
    }

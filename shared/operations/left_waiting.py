"""Counts that a posting left to wait because there were more than fit its transaction: gone on with, a few at a time.

A newer count may settle every older one that waits, and so may a movement that explains them. What one posting leaves is as
if it came later: it waits on, and changes nothing. The event that left it says so (``unfinished``) until the last is judged,
and what comes of it is noted with that event; so who posts it again after a crash goes on here. Any other posting of the
stock key judges what waits as well. What can be settled in no posting goes on waiting, with its cases, for an approver.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import cast

from shared.domain.fold import fold
from shared.domain.stock import LocationId, Sku, StockKey
from shared.operations.attempts import ATTEMPTS, Attempts
from shared.operations.count_rules import count_rules
from shared.operations.facts import Note
from shared.operations.posting_notes import notes_in, notes_of, rows_of
from shared.store.ledger import Ledger
from shared.store.posting_actions import posting_actions
from shared.store.promises import promise_action
from shared.store.registry import Network
from shared.store.requests import fit_one_write
from shared.store.table import (
    MAX_ACTIONS,
    Item,
    Key,
    Table,
    ThrottledError,
    UnknownOutcomeError,
    Update,
    Value,
    WriteConflictError,
    WriteRefusedError,
)

AT_ONCE = (30, 15, 6)
"""Counts that one posting settles, or takes out, of very many: as many of these as fit a transaction."""

NONE = 0
"""Where not even the fewest fit, since one of them would take very many others out: what moves is posted all the same."""


class LeftWaitingError(Exception):
    """What was left could not be judged just now: others kept changing the stock key."""


class LeftWaiting:
    """Goes on with what postings left."""

    def __init__(self, table: Table, clock: Callable[[], datetime], attempts: Attempts) -> None:
        self._table = table
        self._ledger = Ledger(table)
        self._clock = clock
        self._attempts = attempts

    def finish(self, event: Key, network: Network) -> list[Note]:
        """Judge what an event left of each stock key, if it left any; return all that an operator must hear of the event.

        All that is noted with it, for a step may be written though its answer never came.

        Raises
        ------
        LeftWaitingError
            When others kept changing the stock key; the event says what is left.
        """
        attempt = 0
        while rest := _unfinished(item := self._table.get(event) or {}):
            try:
                self._judge(rest, event, network)
                attempt = 0
                continue
            except WriteRefusedError as refused:
                self._attempts.make_way(refused)
            except (WriteConflictError, ThrottledError, UnknownOutcomeError):
                pass
            attempt += 1
            if attempt == ATTEMPTS:
                raise LeftWaitingError(str(event))
            self._attempts.back_off(attempt)
        return notes_in(item)

    def _judge(self, rest: Sequence[StockKey], event: Key, network: Network) -> None:
        """Judge some of what waits of the first of some stock keys."""
        key, now = rest[0], self._clock()
        balance = self._ledger.balances([key])[key]
        state = self._ledger.state(balance, (), count_rules(network, key.location))
        for most in (*AT_ONCE, NONE):
            posting = fold(state, (), most=most)
            actions = [
                *posting_actions(posting, now),
                promise_action(key, posting.available_delta, now),
            ]
            if len(actions) < MAX_ACTIONS and fit_one_write(actions):
                break
        is_done = most == NONE or len(posting.settled) < most
        left = rest[1:] if is_done else rest
        notes = notes_of(posting)
        told = Update(
            event,
            set={"unfinished": rows_of_keys(left)},
            append={"notes": rows_of(notes)} if notes else {},
        )
        self._table.write([*actions, told])


def rows_of_keys(keys: Iterable[StockKey]) -> list[Value]:
    """Return stock keys as an event keeps them that left counts to wait there."""
    return [[key.sku, key.location] for key in keys]


def _unfinished(item: Item) -> list[StockKey]:
    rows = cast("list[list[str]]", item.get("unfinished", []))
    return [StockKey(Sku(sku), LocationId(location)) for sku, location in rows]

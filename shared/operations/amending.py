"""Amending: what an operator decided about counts is written once, accepted, rejected or taken back.

It is one posting of one stock key, together with the record of the decision. Where what comes of it does not fit one
transaction, the first posting makes way, or the record says what was left to wait (``left_waiting.py``).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from shared.domain.count_decisions import Decision, Retraction
from shared.domain.fold import fold
from shared.domain.ledger import LedgerState, Posting
from shared.domain.stock import StockKey
from shared.operations.attempts import ATTEMPTS, Attempts
from shared.operations.count_rules import count_rules
from shared.operations.left_waiting import AT_ONCE, NONE, LeftWaiting, LeftWaitingError, rows_of_keys
from shared.operations.post import PostingContendedError
from shared.operations.posting_notes import notes_of, rows_of
from shared.store.ledger import Ledger
from shared.store.posting_actions import posting_actions
from shared.store.promises import promise_action
from shared.store.registry import Network
from shared.store.requests import fit_one_write
from shared.store.table import (
    Action,
    Key,
    Put,
    Table,
    ThrottledError,
    UnknownOutcomeError,
    Value,
    WriteConflictError,
    WriteRefusedError,
)


class TooManyCountsError(Exception):
    """What a decision would do to other counts of a stock key is more than one transaction can write."""

    def __init__(self, key: StockKey) -> None:
        super().__init__(
            f"too many counts of {key} rest on it; have it counted once more, and then decide again"
        )


class Amender:
    """Writes decisions about counts, each at most once."""

    def __init__(
        self, table: Table, clock: Callable[[], datetime], pause: Callable[[float], None] = time.sleep
    ) -> None:
        self._table = table
        self._ledger = Ledger(table)
        self._clock = clock
        self._attempts = Attempts(table, clock, pause)
        self._left = LeftWaiting(table, clock, self._attempts)

    def amend(
        self,
        key: StockKey,
        network: Network,
        record: Put,
        events: Sequence[Retraction],
        decision: Decision | None = None,
    ) -> Posting | None:
        """Write what an operator decided about counts of one stock key, once.

        None when ``record`` was there already, and where it took several postings: look at all that waits then.
        ``record`` comes to name the journal entry where what was decided stands, if it moved anything.

        Raises
        ------
        NoLongerWaitsError, ChangedSinceSeenError, InstantNeededError, SeenNeededError, PostingContendedError
        """
        attempt = 0
        while attempt < ATTEMPTS:
            if self._table.get(record.key) is not None:
                self._go_on(record.key, network)
                return None
            now = self._clock()
            balance = self._ledger.balances([key])[key]
            state = self._ledger.state(balance, events, count_rules(network, key.location))
            posting, actions, is_cut_short = _amendment(state, record, events, decision, now)
            try:
                self._table.write(actions)
            except WriteRefusedError as refused:
                if not self._attempts.make_way(refused):
                    self._attempts.back_off(attempt)
            except (WriteConflictError, ThrottledError, UnknownOutcomeError):
                self._attempts.back_off(attempt)
            else:
                if posting.is_part:
                    continue
                if is_cut_short:
                    self._go_on(record.key, network)
                return None if is_cut_short else posting
            attempt += 1
        raise PostingContendedError([], [])

    def _go_on(self, record: Key, network: Network) -> None:
        try:
            self._left.finish(record, network)
        except LeftWaitingError as error:
            raise PostingContendedError([], []) from error

    def foresee(self, key: StockKey, network: Network, decision: Decision) -> Posting:
        """Say what a decision about a count would write now, and write nothing.

        Raises
        ------
        NoLongerWaitsError, ChangedSinceSeenError, InstantNeededError, SeenNeededError
        """
        balance = self._ledger.balances([key])[key]
        return fold(self._ledger.state(balance, (), count_rules(network, key.location)), (), decision)


def _amendment(
    state: LedgerState, record: Put, events: Sequence[Retraction], decision: Decision | None, now: datetime
) -> tuple[Posting, list[Action], bool]:
    """Return what a decision makes of a stock key, its writes, and whether it leaves something to further postings.

    Raises
    ------
    TooManyCountsError
        When not even a part of it fits a transaction.
    """
    for most in (None, *AT_ONCE, NONE):
        posting = fold(state, events, decision, most)
        actions = [
            *posting_actions(posting, now),
            promise_action(state.key, posting.available_delta, now),
        ]
        if not posting.is_part:
            actions.append(_with_entry(record, posting, () if most is None else [state.key]))
        if fit_one_write(actions):
            return posting, actions, most is not None
    raise TooManyCountsError(state.key)


def _with_entry(record: Put, posting: Posting, unfinished: Sequence[StockKey]) -> Put:
    """Name in a decision's record the journal entry that it made, if any, and what an operator must hear of it.

    A count that only waits is dropped without an entry, and its case is moot all the same.
    """
    named: list[Value] = [[posting.key.sku, posting.key.location, posting.expected_seq]]
    told: dict[str, Value] = {"entries": named} if posting.lines else {}
    if unfinished:
        told["unfinished"] = rows_of_keys(unfinished)
    if notes := notes_of(posting):
        told["notes"] = rows_of(notes)
    return replace(record, attributes={**record.attributes, **told})

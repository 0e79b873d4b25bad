"""Rebuilding: work everything that follows from the journal and the order lines out anew, and put right what differs.

Told once, and never rebuilt: the journal's entries, what a count said, the documents of an order line, the events that
are known as posted. Where one of these is lost or was altered, rebuilding refuses and names it (see ``proof.py``).

**Never beside a posting.** The journal's length does not change, and every write carries the condition that it has not
(``seq``), and, where units to be claimed are put right, that no promise counter has moved (``change_seq``): whoever
posts, reserves or releases meanwhile makes the write fail, and everything is read again. As long as a transaction
takes it, all is one transaction. Beyond that it is written in this order, so that what is half done is no worse than
what was there, and doing it again ends the same::

    buckets, counts, count documents, leaves, order lines      each right by itself, under the condition on seq
    balance, promise counters, audit entry                     last, together

A balance that is missing is written last of all: until then nobody can post.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.domain.ledger import Clock, Slot
from shared.domain.reservation import with_history
from shared.domain.stock import WHOLE, Counter, Leaf, StockKey
from shared.operations.attempts import ATTEMPTS, wait_s
from shared.operations.proof import (
    Discrepancy,
    Mend,
    bucket_values,
    counts_by_instant,
    listing,
    newest_counts,
    promise_discrepancies,
    set_aside,
    variances,
)
from shared.operations.verify import Read, Verifier
from shared.store.account import Account
from shared.store.audit import Audited, audit_put, read_audit
from shared.store.derived import bucket_attributes
from shared.store.layout import (
    balance_key,
    bucket_partition,
    count_document_key,
    count_key,
    leaf_key,
    promise_key,
    repair_key,
    version_key,
)
from shared.store.ledger_items import clock_value, mark_value
from shared.store.orders import line_puts, order_line
from shared.store.promises import changed, spare
from shared.store.table import (
    MAX_ACTIONS,
    Absent,
    Action,
    AttributeAbsent,
    Check,
    Condition,
    Delete,
    Equals,
    Item,
    Key,
    Put,
    Table,
    ThrottledError,
    UnknownOutcomeError,
    Update,
    Value,
    WriteConflictError,
    WriteRefusedError,
)


class RebuildBusyError(Exception):
    """A stock key never held still for long enough; nothing wrong was written, and trying again is safe."""

    def __init__(self, key: StockKey) -> None:
        super().__init__(f"{key} kept changing while it was rebuilt")
        self.key = key


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """What rebuilding one stock key found and did.

    Attributes
    ----------
    found
        What did not add up before.
    refused
        What keeps it from being rebuilt; nothing was written then.
    left
        What does not add up after it; rebuilding does not mend these.
    written
        Whether anything was written; in a dry run nothing is.
    """

    key: StockKey
    found: Sequence[Discrepancy]
    refused: Sequence[Discrepancy] = ()
    left: Sequence[Discrepancy] = ()
    written: bool = False


class Rebuilder:
    """Puts what follows from journals right. ``pause`` waits for some seconds."""

    def __init__(
        self, table: Table, clock: Callable[[], datetime], pause: Callable[[float], None] = time.sleep
    ) -> None:
        self._table = table
        self._verifier = Verifier(table, pause)
        self._clock = clock
        self._pause = pause

    def rebuild(
        self,
        key: StockKey,
        actor: str = "",
        *,
        known: Account | None = None,
        compared: bool = False,
        dry_run: bool = True,
    ) -> Rebuilt:
        """Rebuild one stock key and its order lines, or say what that would put right.

        Parameters
        ----------
        known
            What a scan of the table found of it; without it the table is scanned. The listing of order lines is not
            believed: one that it does not show would have its units promised again.
        compared
            Somebody has made sure that nothing is lost: what is stored is right, and the numbers beside it are wrong.

        Raises
        ------
        RebuildBusyError
        """
        if known is None:
            found_there = self._verifier.accounts(sku=key.sku)
            known = next((account for account in found_there if account.key == key), Account(key))
        unsure: list[Discrepancy] = []
        for attempt in range(ATTEMPTS):
            read = self._verifier.read(key, known)
            if not read.is_still:
                raise RebuildBusyError(key)
            found = self._verifier.found(read)
            doubts, sure = (
                ((), (Mend.REBUILD, Mend.COMPARE)) if compared else ((Mend.COMPARE,), (Mend.REBUILD,))
            )
            refused = [wrong for wrong in found if wrong.mend in (Mend.RESTORE, *doubts)]
            to_do = [wrong for wrong in found if wrong.mend in sure]
            left = [wrong for wrong in found if wrong.mend is Mend.APART]
            if unsure and not to_do:
                return Rebuilt(key, unsure, refused, left, written=True)
            if refused or dry_run or not to_do:
                return Rebuilt(key, found, refused, left)
            try:
                self._write(read, to_do, actor)
            except (WriteRefusedError, WriteConflictError, ThrottledError, UnknownOutcomeError) as error:
                unsure = found if isinstance(error, UnknownOutcomeError) else unsure
                self._pause(wait_s(attempt))
            else:
                left = self._verifier.found(self._verifier.read(key, known))
                return Rebuilt(key, found, (), left, written=True)
        raise RebuildBusyError(key)

    def trail(self, key: StockKey) -> list[Audited]:
        """Return what was put right before, the newest first."""
        return [read_audit(item) for item in self._table.query(repair_key(key).pk, descending=True)]

    def _write(self, read: Read, put_right: Sequence[Discrepancy], actor: str) -> None:
        """Write what differs; the same reading a second time writes nothing more."""
        account, now = read.account, self._clock()
        guard = Check(balance_key(account.key), (_as_read(account),))
        wrong = [order_line(item) for item in read.lines if self._verifier.lines_found([item])]
        apart = list(_derived_actions(account))
        apart += [put for line in wrong for put in line_puts(with_history(line), now)]
        last = [*_promise_actions(account, now), self._audit(account.key, put_right, actor, now)]
        balance = _balance_action(account)
        last.append(guard if balance is None else balance)
        if len(apart) + len(last) <= MAX_ACTIONS:
            self._table.write([*apart, *last])
            return
        for start in range(0, len(apart), MAX_ACTIONS - 1):
            self._table.write([*apart[start : start + MAX_ACTIONS - 1], guard])
        self._table.write(last)

    def _audit(self, key: StockKey, put_right: Sequence[Discrepancy], actor: str, now: datetime) -> Action:
        earlier = next(self._table.query(repair_key(key).pk, descending=True, limit=1), None)
        version = 1 if earlier is None else read_audit(earlier).version + 1
        changes = [
            (f"{wrong.what} ({wrong.where})", str(wrong.found), str(wrong.expected)) for wrong in put_right
        ]
        return audit_put(version_key(repair_key(key), version), version, actor, now, changes)


def _as_read(account: Account) -> Condition:
    return Absent() if account.balance is None else Equals("seq", account.seq)


# ---- what follows from the journal ------------------------------------------------------------------------------


def _derived_actions(account: Account) -> Iterator[Action]:
    """Yield what differs of buckets, leaves, counts and count documents."""
    key, journal = account.key, account.journal
    for hour in sorted({*account.buckets, *journal.buckets}):
        must = bucket_attributes(journal.buckets.get(hour, {}))
        at = Key(bucket_partition(key, hour.leaf), hour.hour)
        if bucket_values(account.buckets.get(hour)) != must:
            yield Put(at, must) if must else Delete(at)
    clocks = clocks_of_journal(account)
    for leaf in sorted({slot.leaf for slot in clocks} - {WHOLE}):
        attributes: dict[str, Value] = {
            "sku": key.sku,
            "location": key.location,
            "leaf": str(leaf),
            "clocks": _clocks_value(clocks, leaf),
        }
        if _differs(account.leaves.get(leaf), attributes):
            yield Put(leaf_key(key, leaf), attributes)
    for (slot, at_instant), counts in counts_by_instant(account).items():
        told = variances(counts, journal.corrections.get((slot, at_instant), 0)) or {}
        for count in counts:
            must_be = told.get(count.mark.event_key, count.variance)
            if count.variance != must_be:
                yield Update(
                    count_key(key, slot, count.mark),
                    set={"variance": must_be},
                    conditions=(Equals("variance", count.variance),),
                )
    for name, mark in account.standing.items():
        if account.documents.get(name) != mark:
            yield Put(count_document_key(key, name), mark_value(mark))


def clocks_of_journal(account: Account) -> dict[Slot, Clock]:
    """Return every clock of a stock key as its lines and counts make it.

    A clock may have been told of a later instant than any line has, where nothing moved then: that stays.
    """
    stored, counted, journal = account.clocks, newest_counts(account), account.journal
    clocks = {}
    for slot in sorted({*journal.sums, *stored}):
        known = stored.get(slot) or Clock()
        told = [at for at in (known.last_valid_at, journal.newest.get(slot)) if at is not None]
        last = counted.get(slot)
        clocks[slot] = Clock(
            journal.sums.get(slot, 0), max(told, default=None), None if last is None else last.mark
        )
    return clocks


def _balance_action(account: Account) -> Action | None:
    """Return the balance as it must be; None where it is."""
    key, (last_seq, posted_at, touched_from) = account.key, account.journal.last
    if last_seq < 0:
        return None
    sums = account.journal.sums
    stored = account.balance or {}
    totals = {
        str(counter): sums.get(Slot(WHOLE, counter), 0)
        for counter in Counter
        if str(counter) in stored or sums.get(Slot(WHOLE, counter), 0)
    }
    attributes: dict[str, Value] = {
        **listing(key),
        **totals,
        "clocks": _clocks_value(clocks_of_journal(account), WHOLE),
        "counts_waiting": len(account.waiting or ()),
        "withheld": account.withheld,
    }
    if account.balance is None:
        attributes |= {"seq": account.seq, "posted_at": posted_at, "touched_from": touched_from}
    if not _differs(account.balance, attributes):
        return None
    return Update(balance_key(key), set=attributes, conditions=(_as_read(account),))


def _promise_actions(account: Account, now: datetime) -> Iterator[Action]:
    """Yield the promise counters anew where they are wrong, all units in the first, on condition that none has moved.

    Order lines cannot change what they hold without moving one, so that is a condition on them too.
    """
    if not any(promise_discrepancies(account)):
        return
    for k in sorted({0, *account.promises}):
        item = account.promises.get(k, {})
        put: dict[str, Value] = {"available": 0 if k else account.claimable}
        if k:
            put["granted"] = 0
        else:
            put |= {"allotted": 0, "spare": spare({**item, **put})}
        if item.get("set_aside", 0) != set_aside(item):
            put["set_aside"] = set_aside(item)
        yield Update(
            promise_key(account.key, k),
            set={**changed(account.key, now), **put},
            add={"change_seq": 1},
            conditions=(_unmoved(account.promises.get(k)),),
        )


def _unmoved(promise: Item | None) -> Condition:
    if promise is None:
        return Absent()
    known = promise.get("change_seq")
    return AttributeAbsent("change_seq") if known is None else Equals("change_seq", known)


def _clocks_value(clocks: Mapping[Slot, Clock], leaf: Leaf) -> dict[str, Value]:
    return {slot.counter: clock_value(clock) for slot, clock in clocks.items() if slot.leaf == leaf}


def _differs(stored: Item | None, attributes: Mapping[str, Value]) -> bool:
    return stored is None or any(stored.get(name) != value for name, value in attributes.items())

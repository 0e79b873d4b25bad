"""The ledger in the ``stock`` table: reads a stock key's state for ``fold``; ``posting_actions`` writes what came of it.

Every posting to a stock key carries the condition that the key's journal ``seq`` is still the one it was folded
on, so the postings of one key are serial and everything read with that seq is exact. Nothing else protects it,
and nothing else is needed.

History is read through **buckets**: the net of each counter and minute by valid time, with the range of journal
entries that touch the minute. ``as_of(T)`` is the balance, less the buckets after T, less the lines after T inside
T's own minute. A line of a bin or lot is in two buckets, its leaf's and the whole location's.

Clocks of leaves and versions of count documents are read **after** the balance whose ``seq`` guards them: what is newer
than that ``seq`` makes the write fail, what is older cannot be seen.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import cast

from shared.domain.count_decisions import Retraction
from shared.domain.events import Count, Event, Movement, instant
from shared.domain.fold_needs import needs
from shared.domain.ledger import (
    NO_RULES,
    AsOfKey,
    Cause,
    Clock,
    CountDocument,
    CountMark,
    LedgerState,
    Line,
    Needs,
    Opening,
    Rules,
    Slot,
    Standing,
    Stretch,
    Waiting,
    count_document,
    count_slot,
    is_new,
    judged_again,
    opened_by,
    slots_of,
    waiting_document,
)
from shared.domain.stock import (
    WHOLE,
    Counter,
    EventKey,
    Leaf,
    Quantity,
    StockKey,
)
from shared.store.layout import (
    balance_key,
    bucket_hour,
    bucket_partition,
    count_document_key,
    count_partition,
    entry_key,
    leaf_key,
    waiting_key,
)
from shared.store.ledger_items import (
    Balance,
    JournalEntry,
    balance_of,
    clocks_of,
    count_mark,
    entry,
    standing_count,
    waiting_count,
)
from shared.store.table import (
    Table,
    Value,
)

FIRST_ENTRIES = 8
"""Entries of a journal, the first ones, among which its opening is looked for: those of counts that wait hold no line."""


class LedgerMovedError(Exception):
    """A key's journal grew while its history was read; read again."""


class Ledger:
    """Reads and writes of balances, journal, buckets and counts."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def balances(self, keys: Iterable[StockKey]) -> dict[StockKey, Balance]:
        """Return the balance of every key; one that was never posted to stands at zero with seq 0."""
        wanted = {balance_key(key): key for key in keys}
        found = self._table.get_many(list(wanted))
        return {key: balance_of(key, found.get(at)) for at, key in wanted.items()}

    def state(
        self, balance: Balance, events: Sequence[Movement | Count | Retraction], rules: Rules = NO_RULES
    ) -> LedgerState:
        """Complete a balance with all that ``fold`` must know for some events.

        What is read may already contain newer postings; the condition on ``seq`` then refuses the write.
        """
        key = balance.key
        waiting = self.waiting(key) if balance.counts_waiting else []
        told = [event for event in events if not isinstance(event, Retraction)]
        leaves = {slot.leaf for slot, _ in slots_of(key, told)} | {count.slot.leaf for count in waiting}
        leaves.update(event.slot.leaf for event in events if isinstance(event, Retraction))
        clocks = {**balance.clocks, **self._leaf_clocks(key, leaves)}
        documents = self._documents(
            key,
            [
                *(count_document(event) for event in told if isinstance(event, Count)),
                *(event.document for event in events if isinstance(event, Retraction)),
                *(waiting_document(count) for count in waiting),
            ],
        )
        wanted = needs(key, clocks, events, documents, waiting, rules)
        counts = self._counts(key, wanted)
        if others := judged_again(counts):
            wanted = needs(key, clocks, events, documents, [*waiting, *others], rules)
            counts = self._counts(key, wanted)
        as_of: dict[AsOfKey, Quantity] = {
            (slot, at): self._as_of(key, slot, clocks[slot], at) for slot, at in wanted.as_of
        }
        stretches = {
            slot: [self._stretch(key, slot, clocks.get(slot) or Clock(), *ends) for ends in several]
            for slot, several in wanted.stretches.items()
        }
        opening = self._opened_by(key, clocks, told, rules)
        return LedgerState(
            key, balance.seq, clocks, counts, as_of, documents, waiting, stretches, rules, opening
        )

    def _opened_by(
        self, key: StockKey, clocks: Mapping[Slot, Clock], told: Iterable[Event], rules: Rules
    ) -> Opening | None:
        """Return whose counts a stock key began with, where a count of ``told`` could be one of them."""
        slots = [count_slot(event) for event in told if isinstance(event, Count)]
        untouched = any((clocks.get(slot) or Clock()).last_valid_at is None for slot in slots)
        if rules.approve_beyond is None or not untouched or is_new(clocks):
            return None
        first = next((entry for entry in self.entries(key, 0, FIRST_ENTRIES) if entry.lines), None)
        return None if first is None else opened_by(first.lines)

    def waiting(self, key: StockKey) -> list[Waiting]:
        """Return the counts of a stock key that wait for a decision."""
        item = self._table.get(waiting_key(key))
        return (
            [] if item is None else [waiting_count(row) for row in cast("list[list[Value]]", item["counts"])]
        )

    def find_count(
        self, key: StockKey, count: EventKey, slots: Sequence[Slot], likely: tuple[datetime, datetime]
    ) -> tuple[Slot, CountMark] | None:
        """Return where and how a count stands, waits or is kept beside another version; None if it does none of these.

        It is looked for in ``slots``, first between the two instants that are ``likely``, then at any.
        """
        for waiting in self.waiting(key):
            for told in (waiting, *waiting.spare):
                if told.mark.event_key == count:
                    return told.slot, told.mark
        first, last = (instant(at) for at in likely)
        for low, high in ((first, f"{last}$"), ("", None)):
            for slot in slots:
                for item in self._table.query(count_partition(key, slot), first=low, last=high):
                    stands = standing_count(item)
                    marks = [stands.mark, *(version.mark for version in stands.spare)]
                    if mark := next((mark for mark in marks if mark.event_key == count), None):
                        return slot, mark
        return None

    def replaced_by(self, key: StockKey, slot: Slot, event: Count, within: timedelta) -> set[EventKey]:
        """Return the counts that a count took out, in whichever posting it was accepted; others of their instant too.

        It stands in ``slot``, up to ``within`` from the time that it names.
        """
        first, last = (event.since or event.as_of) - within, event.as_of + within
        taken_out = {
            line.valid_at
            for recorded in self._entries_between(key, slot, first, last)
            for line in recorded.lines
            if line.event_key == event.key and line.cause is Cause.RETRACTED
        }
        return {
            line.event_key
            for at in taken_out
            for recorded in self._entries_between(key, slot, at, at)
            for line in recorded.lines
            if line.cause is Cause.COUNT and (line.slot, line.valid_at) == (slot, at)
        } - {event.key}

    def leaves(self, key: StockKey, at: datetime | None = None) -> dict[Leaf, dict[Counter, Quantity]]:
        """Return what lies on each bin or lot that was ever named, now or as of an instant.

        The rest of the location's total is on none. What is posted meanwhile may be in some and not yet in others.
        """
        leaves: dict[Leaf, dict[Counter, Quantity]] = {}
        for slot, clock in self.leaf_clocks(key).items():
            lies = clock.balance if at is None else self._as_of(key, slot, clock, at)
            leaves.setdefault(slot.leaf, {})[slot.counter] = lies
        return leaves

    def leaf_clocks(self, key: StockKey) -> dict[Slot, Clock]:
        """Return the clocks of each bin or lot that was ever named; what is posted meanwhile may be in some only."""
        found = self._table.query(balance_key(key).pk, prefix="LEAF#")
        return {slot: clock for item in found for slot, clock in clocks_of(item).items()}

    def parts_as_of(
        self, key: StockKey, asked: Collection[tuple[Slot, datetime]]
    ) -> dict[tuple[Slot, datetime], Quantity]:
        """Return what lay on some bins or lots as of an instant for each; those never posted to are left out.

        What is posted meanwhile may be in some and not yet in others.
        """
        found = self._table.get_many([leaf_key(key, slot.leaf) for slot, _ in asked])
        clocks = {slot: clock for item in found.values() for slot, clock in clocks_of(item).items()}
        return {(slot, at): self._as_of(key, slot, clocks[slot], at) for slot, at in asked if slot in clocks}

    def as_of(self, key: StockKey, at: datetime) -> dict[Counter, Quantity]:
        """Return every counter of ``key``, all leaves together, as of an instant.

        Raises
        ------
        LedgerMovedError
            When the key was posted to meanwhile, a few times in a row.
        """
        for _ in range(5):
            balance = self.balances([key])[key]
            if balance.is_settled_at(at):
                return dict(balance.totals)
            totals = {
                counter: self._as_of(key, slot, balance.clocks.get(slot) or Clock(), at)
                for counter in balance.totals
                for slot in [Slot(WHOLE, counter)]
            }
            if self.balances([key])[key].seq == balance.seq:
                return totals
        raise LedgerMovedError(str(key))

    def journal(self, key: StockKey, *, before_seq: int | None = None, limit: int = 50) -> list[JournalEntry]:
        """Return up to ``limit`` entries below ``before_seq``, newest first."""
        top = self.balances([key])[key].seq if before_seq is None else before_seq
        lowest = max(0, top - limit)
        keys = [entry_key(key, seq) for seq in range(lowest, top)]
        found = self._table.get_many(keys)
        return [entry(key, found[at]) for at in reversed(keys) if at in found]

    def entries(self, key: StockKey, first_seq: int, last_seq: int) -> Iterator[JournalEntry]:
        """Yield the journal entries from ``first_seq`` to ``last_seq`` inclusive."""
        return self._some_entries(key, range(first_seq, last_seq + 1))

    def entries_of(self, wanted: Mapping[StockKey, range]) -> dict[StockKey, dict[int, JournalEntry]]:
        """Return the journal entries at some places of several stock keys, by their place; all in one reading."""
        named = {entry_key(key, seq): (key, seq) for key, seqs in wanted.items() for seq in seqs}
        found: dict[StockKey, dict[int, JournalEntry]] = {key: {} for key in wanted}
        for at, item in self._table.get_many(list(named)).items():
            key, seq = named[at]
            found[key][seq] = entry(key, item)
        return found

    def _leaf_clocks(self, key: StockKey, leaves: Iterable[Leaf]) -> dict[Slot, Clock]:
        named = [leaf_key(key, leaf) for leaf in leaves if leaf != WHOLE]
        found = self._table.get_many(named) if named else {}
        return {slot: clock for item in found.values() for slot, clock in clocks_of(item).items()}

    def _documents(
        self, key: StockKey, documents: Iterable[CountDocument | None]
    ) -> dict[CountDocument, CountMark]:
        named = {count_document_key(key, document): document for document in documents if document}
        found = self._table.get_many(list(named)) if named else {}
        return {named[at]: count_mark(item) for at, item in found.items()}

    def _as_of(self, key: StockKey, slot: Slot, clock: Clock, at: datetime) -> Quantity:
        if clock.last_valid_at is None or clock.last_valid_at <= at:
            return clock.balance
        minute = instant(at)[:16]
        after, span = 0, None
        for bucket in self._table.query(bucket_partition(key, slot.leaf), first=bucket_hour(at)):
            for name, value in bucket.items():
                counter, _, rest = name.partition("|")
                if counter != slot.counter:
                    continue
                when, _, bound = rest.partition("|")
                if bound:
                    continue
                stamp = f"{cast(str, bucket['sk'])}:{when}"
                if stamp > minute:
                    after += cast(int, value)
                elif stamp == minute:
                    span = (cast(int, bucket[f"{name}|lo"]), cast(int, bucket[f"{name}|hi"]))
        if span is not None:
            for recorded in self.entries(key, *span):
                after += sum(
                    line.quantity
                    for line in recorded.lines
                    if _counts_in(line, slot) and line.valid_at > at and instant(line.valid_at)[:16] == minute
                )
        return clock.balance - after

    def _stretch(self, key: StockKey, slot: Slot, clock: Clock, start: datetime, end: datetime) -> Stretch:
        """Return every line of a slot from ``start`` up to ``end``, through the buckets of those minutes."""
        before = self._as_of(key, slot, clock, start - timedelta(microseconds=1))
        lines = [
            line
            for recorded in self._entries_between(key, slot, start, end)
            for line in recorded.lines
            if _counts_in(line, slot) and start <= line.valid_at < end
        ]
        return Stretch(start, end, before, lines)

    def _entries_between(
        self, key: StockKey, slot: Slot, start: datetime, end: datetime
    ) -> Iterator[JournalEntry]:
        """Yield the journal entries that touch a minute of a slot, from ``start``'s up to ``end``'s."""
        spans: list[tuple[int, int]] = []
        partition = bucket_partition(key, slot.leaf)
        for bucket in self._table.query(partition, first=bucket_hour(start), last=bucket_hour(end)):
            for name in bucket:
                counter, _, rest = name.partition("|")
                minute, _, bound = rest.partition("|")
                stamp = f"{cast(str, bucket['sk'])}:{minute}"
                if counter == slot.counter and bound == "lo" and instant(start)[:16] <= stamp <= instant(end):
                    spans.append((cast(int, bucket[name]), cast(int, bucket[f"{counter}|{minute}|hi"])))
        seqs = sorted({seq for low, high in spans for seq in range(low, high + 1)})
        return self._some_entries(key, seqs)

    def _some_entries(self, key: StockKey, seqs: Sequence[int]) -> Iterator[JournalEntry]:
        for first in range(0, len(seqs), 100):
            keys = [entry_key(key, seq) for seq in seqs[first : first + 100]]
            found = self._table.get_many(keys)
            yield from (entry(key, found[at]) for at in keys if at in found)

    def _counts(self, key: StockKey, wanted: Needs) -> dict[Slot, list[Standing]]:
        return {
            slot: [
                *self._counts_before(key, slot, at, slot in wanted.retracted),
                *self._counts_since(key, slot, at),
            ]
            for slot, at in wanted.counts_since.items()
        }

    def _counts_since(self, key: StockKey, slot: Slot, at: datetime) -> list[Standing]:
        return [
            standing_count(item) for item in self._table.query(count_partition(key, slot), first=instant(at))
        ]

    def _counts_before(self, key: StockKey, slot: Slot, at: datetime, wanted: bool) -> list[Standing]:
        """Return the newest counts before an instant, in order, up to one that is not history."""
        if not wanted:
            return []
        partition, last, found = count_partition(key, slot), instant(at), list[Standing]()
        for limit in (1, None):  # there is seldom any history, and no more than one is read then
            found = []
            for item in self._table.query(partition, last=last, descending=True, limit=limit):
                found.insert(0, standing_count(item))
                if not found[0].is_history:
                    return found
        return found


def _counts_in(line: Line, slot: Slot) -> bool:
    """Whether a line is one of a slot: every line of a counter is one of the whole location's."""
    return line.slot.counter == slot.counter and slot.leaf in (line.slot.leaf, WHOLE)

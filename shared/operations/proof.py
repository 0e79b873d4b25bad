"""The proof of one stock key: what its journal and its order lines say, against every number that is stored.

Some things are said once and everything else follows from them: the entries of the journal, what a count said, the
documents of an order line. What follows can be worked out anew (``Mend.REBUILD``). Where what it follows from is lost
or was altered there is nothing to work it out from (``Mend.RESTORE``), and rebuilding would only make the loss look
right. An entry counts as altered where the numbers that follow from it agree with each other and not with it:

===========================  =========================================  =====================================
journal, buckets, clock      said                                       mend
===========================  =========================================  =====================================
12, 12, 15                   the clock is wrong                         rebuilt from the journal
12, 15, 12                   a bucket is wrong                          rebuilt from the journal
12, 15, 15                   an entry was altered, by so much, then     restored from a backup
===========================  =========================================  =====================================

Of an order line its documents, its history and what is open say the same thing in the same way. Of all order lines
together a promise counter is the witness: a line that is lost leaves no other trace. Counter 0 says what it has twice
(``available``, and less what is set aside and kept: ``spare``), and allotments say how much was moved to them; whoever
spoils one of these contradicts the others::

    lines say  available  spare   said                                 mend
    10         4          10      the counter is wrong                 rebuilt from the lines
    4          10         4       more is promised than there is       rebuilt from the lines
    10         4          4       lines were lost, or both numbers     compared with a backup (``Mend.COMPARE``)

Where nothing says which, units are not given back to sale: somebody looks for what may be lost, and says that it is not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import pairwise
from typing import NamedTuple, cast

from shared.domain.events import instant
from shared.domain.ledger import Cause, Slot, Standing
from shared.domain.reservation import OrderLine, with_history
from shared.domain.stock import WHOLE, Counter, EventKey, Quantity, StockKey
from shared.store.account import Account
from shared.store.derived import Hour, Net, bucket_attributes, bucket_nets
from shared.store.layout import shard
from shared.store.orders import order_line
from shared.store.promises import allotted, spare, standing_of
from shared.store.table import Item, Value

COUNTERS = frozenset(map(str, Counter))

_WHOLES = tuple(Slot(WHOLE, counter) for counter in Counter)

SHOWN = 5
"""Entries that are named where several are wrong."""


class Mend(StrEnum):
    """What puts a discrepancy right."""

    REBUILD = "rebuild"
    RESTORE = "restore"
    COMPARE = "compare"
    APART = "apart"


@dataclass(frozen=True, slots=True)
class Discrepancy:
    """Something that does not add up.

    Attributes
    ----------
    what, expected, found
        What of the stock key, what it must be and what it is; 1 and 0 where something must be there and is not.
    where
        The journal entry or the bucket where the difference begins, or the item that is wrong.
    mend
        ``REBUILD`` works it out anew; ``RESTORE``: what it would be worked out from is damaged, and nothing of the key
        is rebuilt before that is restored; ``COMPARE``: that, or the number itself is wrong, and nothing says which;
        ``APART``: neither follows from anything, nor does anything from it.
    """

    key: StockKey
    what: str
    expected: Quantity
    found: Quantity
    where: str = ""
    mend: Mend = Mend.REBUILD


def discrepancies(account: Account) -> Iterator[Discrepancy]:
    """Yield everything about a stock key that does not add up; of one with damaged items, these: the rest needs them."""
    for at, (_, why) in sorted(account.damaged.items()):
        yield Discrepancy(account.key, f"item {at.pk} {at.sk} that can be read", 1, 0, why, Mend.RESTORE)
    if account.damaged:
        return
    buckets = _Buckets(account)
    yield from _journal(account)
    yield from _sums(account, buckets)
    yield from _buckets(account, buckets)
    yield from _clocks(account, buckets)
    yield from _counts(account)
    yield from _documents(account)
    yield from _waiting(account)
    yield from _listing(account)
    for event in sorted(account.unknown_events):
        entry = account.journal.events.get(event)
        where = "a count that waits" if entry is None else f"entry {entry}"
        yield Discrepancy(account.key, f"event {event} as posted", 1, 0, where, Mend.APART)
    yield from promise_discrepancies(account)


def promise_discrepancies(account: Account) -> Iterator[Discrepancy]:
    """Yield what does not add up of the promise counters of a stock key."""
    for k, item in sorted(account.promises.items()):
        found, kept = cast(int, item.get("set_aside", 0)), set_aside(item)
        if found != kept:
            agrees = item.get("spare") == spare(item) + kept - found
            mend = Mend.COMPARE if agrees else Mend.REBUILD
            yield Discrepancy(account.key, "set aside in all", kept, found, f"promise counter {k}", mend)
    yield from _allotments(account)
    if account.available != account.claimable:
        where = f"{len(account.promises)} promise counters; {account.reserved} reserved"
        if 0 not in account.promises:
            where = "promise counter 0 is lost, and with it what was set aside"
        mend = Mend.REBUILD if _is_witnessed(account) else Mend.COMPARE
        yield Discrepancy(account.key, "available", account.claimable, account.available, where, mend)


def _is_witnessed(account: Account) -> bool:
    """Whether the promise counters themselves allow for all that can be claimed, by one of the numbers that they say.

    Where they do not, order lines may be lost that hold the difference, or counts that wait and withhold it.
    """
    main = account.promises.get(0)
    if main is None:
        return False
    own = cast(int, main["available"])
    by_spare = own - spare(main) + cast(int, main.get("spare", spare(main)))
    parts = [item for k, item in account.promises.items() if k]
    granted = sum(cast(int, item.get("granted", 0)) for item in parts)
    left = sum(_left(item) for item in parts) + max(0, allotted(main) - granted)
    return account.claimable <= max(own, by_spare) + left


def _left(allotment: Item) -> Quantity:
    """Return what can be left of an allotment by what it says: no less than nothing, no more than was moved there."""
    return min(max(cast(int, allotment["available"]), 0), cast(int, allotment.get("granted", 0)))


def _allotments(account: Account) -> Iterator[Discrepancy]:
    """Check what counter 0 says it has to spare, and that it knows of every unit in an allotment."""
    parts = {k: item for k, item in account.promises.items() if k}
    granted = sum(cast(int, item.get("granted", 0)) for item in parts.values())
    main = account.promises.get(0, {})
    if allotted(main) != granted:
        yield Discrepancy(account.key, "allotted", granted, allotted(main), "promise counter 0")
    if main and main.get("spare") != spare(main):
        found = cast(int, main.get("spare", 0))
        yield Discrepancy(account.key, "to spare", spare(main), found, "promise counter 0")
    for k, item in sorted(parts.items()):
        left, right = cast(int, item["available"]), _left(item)
        if left != right:
            yield Discrepancy(account.key, "left of an allotment", right, left, f"promise counter {k}")
    if granted and spare(main) < 0:
        yield Discrepancy(account.key, "to spare beside allotments", 0, spare(main), "promise counter 0")


def set_aside(item: Item) -> Quantity:
    """Return the units of a promise counter that are set aside for single channels."""
    return sum(standing_of(item).set_aside.values())


def line_discrepancies(item: Item) -> Iterator[Discrepancy]:
    """Yield what does not add up of one stored order line.

    Where what is open and the history agree with each other and not with the documents, a document was lost or altered.
    """
    line = order_line(item)
    must = with_history(line)
    name = f"order {line.order} line {line.line}"
    held = sum(change.quantity for change in line.history)
    if item["open"] == held != line.open:
        where = "its open and its history agree with each other"
        yield Discrepancy(line.place, f"documents of {name}", held, line.open, where, Mend.RESTORE)
        return
    if item["open"] != line.open:
        yield Discrepancy(line.place, f"open of {name}", line.open, cast(int, item["open"]), "its documents")
    if line.history != must.history:
        number, expected, found = _first_change(must, line)
        yield Discrepancy(line.place, f"history of {name}", expected, found, f"change {number}")


def _first_change(must: OrderLine, line: OrderLine) -> tuple[int, Quantity, Quantity]:
    """Return the first change that differs, and what is held after it; 1 and 0 where only its time or cause differs."""
    number = 0
    while must.history[number : number + 1] == line.history[number : number + 1]:
        number += 1
    held = [sum(change.quantity for change in of.history[: number + 1]) for of in (must, line)]
    return number + 1, *((held[0], held[1]) if held[0] != held[1] else (1, 0))


# ---- the journal itself -------------------------------------------------------------------------------------------


def _journal(account: Account) -> Iterator[Discrepancy]:
    key, seq = account.key, account.seq
    if account.balance is None and account.journal.entries:
        length = _length_without_balance(account)
        yield Discrepancy(key, "balance item", 1, 0, f"a journal of {length} entries")
        seq = max(seq, length)
    missing = list(account.journal.missing(seq))
    beyond = list(account.journal.beyond(seq))
    if missing or beyond:
        where = "; ".join(
            [f"missing: {_numbers(missing)}"] * bool(missing)
            + [f"beyond the balance's {seq}: {_numbers(beyond)}"] * bool(beyond)
        )
        found = account.journal.entries if account.journal.entries != seq else seq - len(missing)
        yield Discrepancy(key, "journal entries", seq, found, where, Mend.RESTORE)
    for named in account.named:
        if not account.journal.has(named):
            what, where = f"journal entry {named}", f"event {account.named[named]}"
            yield Discrepancy(key, what, 1, 0, where, Mend.RESTORE)
    if account.unreadable:
        where = _numbers(account.unreadable)
        readable = account.journal.entries - len(account.unreadable)
        yield Discrepancy(
            key, "journal entries that can be read", account.journal.entries, readable, where, Mend.RESTORE
        )


def _length_without_balance(account: Account) -> int:
    """Return how long the journal was at least, by the entries that buckets name."""
    named = [
        value
        for item in account.buckets.values()
        for name, value in item.items()
        if name.endswith("|hi") and isinstance(value, int)
    ]
    return max([account.journal.entries, *(last + 1 for last in named)])


def _numbers(entries: list[int]) -> str:
    named = ", ".join(map(str, entries[:SHOWN]))
    word = "entry" if len(entries) == 1 else "entries"
    more = f" and {len(entries) - SHOWN} more" if len(entries) > SHOWN else ""
    return f"{word} {named}{more}"


# ---- buckets and sums -----------------------------------------------------------------------------------------------


class _Difference(NamedTuple):
    """A minute of a stored bucket that is not what the journal says; ``is_net``: also what happened in it."""

    hour: Hour
    slot: Slot
    name: str
    expected: Quantity
    found: Quantity
    is_net: bool


class _Buckets:
    """The stored buckets against the journal: where they differ, and of which slots an entry was altered."""

    def __init__(self, account: Account) -> None:
        self.account = account
        hours = {*account.buckets, *account.journal.buckets}
        self.differences = [found for hour in sorted(hours) for found in _differences(account, hour)]
        self.altered = self._altered() if self.differences else set()

    def mend(self, slot: Slot) -> Mend:
        return Mend.RESTORE if slot in self.altered else Mend.REBUILD

    def where(self, slot: Slot, otherwise: str) -> str:
        """Name the entry that was altered, if one was."""
        if slot not in self.altered:
            return otherwise
        first = next(found for found in self.differences if found.slot == slot)
        return f"the journal itself: {_minute(self.account, first)}"

    def _altered(self) -> set[Slot]:
        """Return the slots whose stored numbers agree with each other, and not with the journal."""
        sums: defaultdict[Slot, Quantity] = defaultdict(int)
        for hour, item in self.account.buckets.items():
            for counter, net in bucket_nets(item):
                sums[Slot(hour.leaf, counter)] += net
        clocks, altered = self.account.clocks, set()
        for slot in {found.slot for found in self.differences if found.is_net}:
            clock = clocks.get(slot)
            is_total = slot.leaf == WHOLE and self.account.balance is not None
            witnesses = {_total(self.account, slot.counter)} if is_total else set()
            if clock is not None and {clock.balance, *witnesses} == {sums[slot]}:
                altered.add(slot)
        return altered


def _sums(account: Account, buckets: _Buckets) -> Iterator[Discrepancy]:
    for slot in _WHOLES:
        counter = slot.counter
        total, lines = _total(account, counter), account.journal.sums.get(slot, 0)
        if total != lines:
            what = f"{counter} against its journal"
            where = buckets.where(slot, "the balance item")
            yield Discrepancy(account.key, what, lines, total, where, buckets.mend(slot))


def _total(account: Account, counter: Counter) -> Quantity:
    return 0 if account.balance is None else cast(int, account.balance.get(counter, 0))


def _buckets(account: Account, buckets: _Buckets) -> Iterator[Discrepancy]:
    """Name the first minute of each slot that differs."""
    told: set[Slot] = set()
    for first in buckets.differences:
        if first.slot not in told:
            told.add(first.slot)
            what = f"{_name(first.slot)} against its buckets"
            where, mend = _minute(account, first), buckets.mend(first.slot)
            yield Discrepancy(account.key, what, first.expected, first.found, where, mend)


def _differences(account: Account, hour: Hour) -> Iterator[_Difference]:
    must = bucket_attributes(account.journal.buckets.get(hour, {}))
    stored = bucket_values(account.buckets.get(hour))
    if stored == must:
        return
    for name in sorted({*must, *stored}):
        counter, minute, *_ = name.split("|")
        if must.get(name) != stored.get(name) and counter in COUNTERS:
            expected, found = (_number(values.get(name)) for values in (must, stored))
            is_net = expected != found and name == f"{counter}|{minute}"
            if expected == found:
                expected, found = int(name in must), int(name in stored)
            slot = Slot(hour.leaf, Counter(counter))
            yield _Difference(hour, slot, f"{counter}|{minute}", expected, found, is_net)


def bucket_values(item: Item | None) -> dict[str, Value]:
    """Return what a stored bucket says of minutes."""
    return {} if item is None else {name: value for name, value in item.items() if "|" in name}


def _number(value: Value) -> int:
    return value if isinstance(value, int) else 0


def _minute(account: Account, found: _Difference) -> str:
    """Name a minute, and the entries that the journal or the bucket says are in it."""
    hour, name = found.hour, found.name
    stored = account.buckets.get(hour, {})
    span = account.journal.buckets.get(hour, {}).get(name) or Net(
        0, _number(stored.get(f"{name}|lo", -1)), _number(stored.get(f"{name}|hi", -1))
    )
    minute = f"bucket {hour.hour}:{name.split('|')[1]}"
    if span.first_seq < 0:
        return minute
    if span.first_seq == span.last_seq:
        return f"{minute}, entry {span.first_seq}"
    return f"{minute}, entries {span.first_seq} to {span.last_seq}"


# ---- clocks -------------------------------------------------------------------------------------------------------


def _clocks(account: Account, buckets: _Buckets) -> Iterator[Discrepancy]:
    clocks = account.clocks
    newest = newest_counts(account)
    for slot in sorted({*account.journal.sums, *clocks}):
        clock, lines = clocks.get(slot), account.journal.sums.get(slot, 0)
        balance = 0 if clock is None else clock.balance
        name, where = _name(slot), "the balance item" if slot.leaf == WHOLE else f"clock of {slot.leaf}"
        if balance != lines:
            what = f"{name} against its clock"
            at, mend = buckets.where(slot, where), buckets.mend(slot)
            yield Discrepancy(account.key, what, lines, balance, at, mend)
        newest_line = account.journal.newest.get(slot)
        told = None if clock is None else clock.last_valid_at
        if newest_line is not None and (told is None or told < newest_line):
            says = "nothing" if told is None else instant(told)
            what = f"newest line of {name} ({instant(newest_line)}), of which its clock says {says}"
            yield Discrepancy(account.key, what, 1, 0, where)
        last, must = None if clock is None else clock.last_count, newest.get(slot)
        if last != (None if must is None else must.mark):
            counted = "none" if must is None else f"{must.mark.event_key} at {instant(must.mark.as_of)}"
            yield Discrepancy(account.key, f"last count of {name} ({counted}) in its clock", 1, 0, where)


def newest_counts(account: Account) -> dict[Slot, Standing]:
    """Return the count of each slot that ranks highest."""
    return {slot: max(counts, key=lambda c: c.mark) for slot, counts in account.counts.items() if counts}


def _name(slot: Slot) -> str:
    return str(slot.counter) if slot.leaf == WHOLE else f"{slot.counter} of {slot.leaf}"


# ---- counts -------------------------------------------------------------------------------------------------------


def _counts(account: Account) -> Iterator[Discrepancy]:
    journal, standing = account.journal, counts_by_instant(account)
    for (slot, at), counts in sorted(standing.items()):
        must = variances(counts, journal.corrections.get((slot, at), 0))
        for count in counts:
            name = f"count {count.mark.event_key} of {_name(slot)}"
            if count.mark.event_key not in journal.counted.get((slot, at), ()):
                yield Discrepancy(account.key, f"line of {name}", 1, 0, instant(at), Mend.RESTORE)
            elif must is None:
                found = sum(stands.variance for stands in counts)
                what = f"variances of the {len(counts)} counts of {_name(slot)} at one instant"
                expected = journal.corrections.get((slot, at), 0)
                yield Discrepancy(account.key, what, expected, found, instant(at), Mend.RESTORE)
                break
            elif count.variance != must[count.mark.event_key]:
                expected = must[count.mark.event_key]
                yield Discrepancy(account.key, f"variance of {name}", expected, count.variance, instant(at))
    for (slot, at), lines in sorted(journal.corrections.items()):
        if lines and (slot, at) not in standing:
            named = ", ".join(sorted(journal.counted.get((slot, at), ())))
            what = f"count of {_name(slot)} that stands at {instant(at)}"
            yield Discrepancy(account.key, what, 1, 0, named or str(Cause.RESTATED), Mend.RESTORE)


def counts_by_instant(account: Account) -> dict[tuple[Slot, datetime], list[Standing]]:
    """Return the counts that stand, in order, by what they counted and when."""
    standing: defaultdict[tuple[Slot, datetime], list[Standing]] = defaultdict(list)
    for slot, counts in account.counts.items():
        for count in sorted(counts, key=lambda c: c.mark):
            standing[slot, count.mark.as_of].append(count)
    return standing


def variances(counts: Sequence[Standing], total: Quantity) -> dict[EventKey, Quantity] | None:
    """Return the variance of each count of one slot and instant; None where that cannot be told.

    Together they are ``total``, what the journal's counts say of the instant. Of several, each but the first only adds
    to what the one before it said; where clocks are coarse that is not known, and their sum alone is compared.
    """
    if len(counts) > 1 and not _are_exact(counts):
        stored = {count.mark.event_key: count.variance for count in counts}
        return stored if sum(stored.values()) == total else None
    after = {count.mark.event_key: count.quantity - before.quantity for before, count in pairwise(counts)}
    return {counts[0].mark.event_key: total - sum(after.values()), **after}


def _are_exact(counts: Sequence[Standing]) -> bool:
    return all(count.said is None or count.said[0] == count.said[1] == count.mark.as_of for count in counts)


def _documents(account: Account) -> Iterator[Discrepancy]:
    stands = account.standing
    for name, mark in sorted(account.documents.items()):
        if name not in stands:
            what = f"count {mark.event_key} that document {name.document} of {name.source} points at"
            yield Discrepancy(account.key, what, 1, 0, f"document of {_name(name.slot)}", Mend.APART)
    for name, mark in sorted(stands.items()):
        if account.documents.get(name) != mark:
            what = f"document {name.document} of {name.source} as of count {mark.event_key}"
            yield Discrepancy(account.key, what, 1, 0, f"document of {_name(name.slot)}")


def _waiting(account: Account) -> Iterator[Discrepancy]:
    if account.balance is None:
        return
    for what, expected in (("counts_waiting", len(account.waiting or ())), ("withheld", account.withheld)):
        found = cast(int, account.balance.get(what, 0))
        if found != expected:
            is_lost = account.waiting is None and what == "counts_waiting"
            may_be_lost = what == "counts_waiting" and found > expected
            mend = Mend.RESTORE if is_lost else Mend.COMPARE if may_be_lost else Mend.REBUILD
            where = "no count waits" if is_lost else "the balance item"
            yield Discrepancy(account.key, what.replace("_", " "), expected, found, where, mend)


def _listing(account: Account) -> Iterator[Discrepancy]:
    stored = account.balance
    if stored is not None and any(stored.get(name) != must for name, must in listing(account.key).items()):
        yield Discrepancy(account.key, "listing under its location", 1, 0, "the balance item")


def listing(key: StockKey) -> dict[str, Value]:
    """Return how a balance is listed under its location."""
    return {
        "sku": key.sku,
        "location": key.location,
        "by_location_pk": f"{key.location}#{shard(key.sku)}",
        "by_location_sk": key.sku,
    }

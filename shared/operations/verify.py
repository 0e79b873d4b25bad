"""Verifying: prove that every balance is the sum of its journal, and that every unit is promised once.

The table is read once, in parts, without stopping anyone: a scan costs a tenth of reading key by key, and finds what no
key names any more. What it finds is laid out by SKU in a ``Spool`` (on a disk, for a table of any size); then each
share of the SKUs is proven by itself, so only one share is ever in memory (see ``proof.py`` for what is proven). Both
steps go on where an interrupted run ended::

    scan     part 1 of 8 ... part 8 of 8       items -> shares, by SKU
    prove    share 1 of 64 ... share 64        stock key by stock key

A key that looks wrong may have been posted to between two parts of the scan. It is read again by itself, until two
readings agree that nothing moved in between; what is then wrong, is wrong.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol, cast

from shared.domain.kits import component_line_id
from shared.domain.reservation import OrderLine
from shared.domain.stock import EventKey, LocationId, Sku, StockKey
from shared.domain.transfer import PREFIX as TRANSFER
from shared.operations.proof import Discrepancy, Mend, discrepancies, line_discrepancies
from shared.operations.reservation_items import PREFIX as RESERVATION
from shared.store.account import (
    DECISION,
    UNDONE,
    UNREADABLE,
    Account,
    Accounts,
    entries_of,
    owners,
    readable_line,
    stock_key_of_key,
)
from shared.store.layout import line_key, order_key, part, transfer_key
from shared.store.orders import is_listed, line_index, line_puts, order_line
from shared.store.table import Item, Key, Table

__all__ = ["Discrepancy", "Mend", "Verified", "Verifier"]

LOOKS = 20
"""Times that a key which keeps moving is read."""

LAG_S = 1.0
"""Seconds that an index may lag behind."""


@dataclass(slots=True)
class Verified:
    """What was read, and what does not add up.

    ``silent_events`` are events known as posted of which no journal has a line: counts that wait, were rejected or were
    older than what their document said already, and movements of nothing. ``moving`` are stock keys that looked wrong and
    never held still for long enough to be sure: they are to be verified again.
    """

    stock_keys: int = 0
    journal_entries: int = 0
    journal_lines: int = 0
    order_lines: int = 0
    events: int = 0
    silent_events: int = 0
    discrepancies: list[Discrepancy] = field(default_factory=list)
    moving: list[StockKey] = field(default_factory=list)

    def add(self, other: Verified) -> None:
        """Add what was read of other stock keys."""
        self.stock_keys += other.stock_keys
        self.journal_entries += other.journal_entries
        self.journal_lines += other.journal_lines
        self.order_lines += other.order_lines
        self.events += other.events
        self.silent_events += other.silent_events
        self.discrepancies += other.discrepancies
        self.moving += other.moving


class Spool(Protocol):
    """Where a scan lays out what it finds, in shares of the SKUs, and what has been done so far.

    What a part of the scan put there is there only once the part is kept.
    """

    segments: int
    shares: int

    def is_kept(self, segment: int) -> bool:
        """Whether a part of the scan is there."""
        ...

    def put(self, share: int, item: Item) -> None:
        """Lay an item of the current part out."""
        ...

    def keep(self, segment: int) -> None:
        """Keep what was laid out since the last part."""
        ...

    def items(self, share: int) -> Iterator[Item]:
        """Yield what all parts found of a share."""
        ...

    def proven(self, share: int) -> Verified | None:
        """Return what was said of a share; None where it has not been proven."""
        ...

    def say(self, share: int, verified: Verified) -> None:
        """Keep what is to be said of a share."""
        ...


class MemorySpool:
    """Everything in one share in memory, for tables that fit."""

    def __init__(self) -> None:
        self.segments = self.shares = 1
        self._items: list[Item] = []

    def is_kept(self, segment: int) -> bool:
        return False

    def put(self, share: int, item: Item) -> None:
        self._items.append(item)

    def keep(self, segment: int) -> None:
        pass

    def items(self, share: int) -> Iterator[Item]:
        return iter(self._items)

    def proven(self, share: int) -> Verified | None:
        return None

    def say(self, share: int, verified: Verified) -> None:
        pass


class Verifier:
    """Checks the ledger against itself.

    ``pause`` waits for some seconds before a key that looks wrong is read a last time.
    """

    def __init__(self, table: Table, pause: Callable[[float], None] = lambda _: None) -> None:
        self._table = table
        self._accounts = Accounts(table)
        self._pause = pause

    def verify(
        self, progress: Callable[[int], None] = lambda _: None, spool: Spool | None = None
    ) -> Verified:
        """Read the whole stock table and return what does not add up.

        Parameters
        ----------
        progress
            Is told every thousand items that were read.
        spool
            Where the scan is laid out; one that an interrupted run filled is gone on with.
        """
        spool = spool or MemorySpool()
        self._scan(spool, progress)
        result = Verified()
        for share in range(spool.shares):
            said = spool.proven(share)
            if said is None:
                said = self._prove(_Share(spool, share))
                spool.say(share, said)
            result.add(said)
        return result

    def accounts(
        self,
        progress: Callable[[int], None] = lambda _: None,
        spool: Spool | None = None,
        sku: Sku | None = None,
    ) -> Iterator[Account]:
        """Read the whole stock table and yield what it found of each stock key that does not add up.

        Of ``sku`` alone, if given: of each of its stock keys, wherever they are and whether they add up or not.
        """
        spool = spool or MemorySpool()
        self._scan(spool, progress, sku)
        for number in range(spool.shares):
            share = _Share(spool, number)
            if sku is None:
                said = self._prove(share)
                keys = {*(wrong.key for wrong in said.discrepancies), *said.moving}
            else:
                keys = {key for key in share.accounts if key.sku == sku}
            yield from map(share.account, sorted(keys))

    def verify_key(self, key: StockKey) -> Verified:
        """Check one stock key and its order lines, reading it until it holds still."""
        read = self._look(key)
        journal, named = read.account.journal, len(read.account.journal.events)
        verified = Verified(1, journal.entries, journal.lines, len(read.lines), named)
        verified.discrepancies = self.found(read)
        verified.moving = [] if read.is_still else [key]
        return verified

    def found(self, read: Read) -> list[Discrepancy]:
        """Return what does not add up of a stock key that was read, and of its order lines."""
        return [*read.discrepancies, *self.lines_found(read.lines)]

    def read(self, key: StockKey, known: Account) -> Read:
        """Read one stock key, of which a scan found ``known``, until it holds still."""
        return self._look(key, known)

    def _scan(self, spool: Spool, progress: Callable[[int], None], sku: Sku | None = None) -> None:
        alone = None if sku is None else part(sku)
        number = 0
        for segment in range(spool.segments):
            if spool.is_kept(segment):
                continue
            for item in self._table.scan(segment=segment, segments=spool.segments):
                number += 1
                if alone is None or alone in owners(item):
                    for share in _shares(item, spool.shares):
                        spool.put(share, item)
                if number % 1000 == 0:
                    progress(number)
            spool.keep(segment)

    def _look(self, key: StockKey, known: Account | None = None) -> Read:
        """Read a stock key until it holds still, and once more if it looks wrong: the index of lines may lag."""
        has_waited = False
        for _ in range(LOOKS):
            account, lines = self._accounts.read(key, known)
            read = Read(account, lines, list(discrepancies(account)), self._accounts.holds_still(account))
            if read.is_still and (has_waited or not read.discrepancies):
                return read
            if read.is_still:
                has_waited = True
                self._pause(LAG_S)
        return read

    def _prove(self, share: _Share) -> Verified:
        result = share.figures()
        for key, account in share.accounts.items():
            if any(discrepancies(account)):
                read = self._look(key, account)
                result.discrepancies += read.discrepancies if read.is_still else []
                result.moving += [] if read.is_still else [key]
        fresh = self._table.get_many(share.suspects()).values()
        result.discrepancies += self.lines_found(fresh)
        return result

    def lines_found(self, items: Iterable[Item]) -> list[Discrepancy]:
        """Return what does not add up of order lines."""
        found: list[Discrepancy] = []
        for item in items:
            found += line_discrepancies(item)
            line = order_line(item)
            name = f"listing of order {line.order} line {line.line}"
            if not is_listed(item, line_index(line)):
                found.append(Discrepancy(line.place, name, 1, 0, "order_lines_pk of the line"))
            parts, beside = parts_of(line), beside_of(line)
            there = self._table.get_many([*parts, *beside]) if parts or beside else {}
            unlisted = [at for at, index in parts.items() if not is_listed(there.get(at), index)]
            found += [Discrepancy(line.place, f"{name} elsewhere", 1, 0, at.sk) for at in unlisted]
            lost = [at for at in beside if at not in there]
            what = f"what belongs to order {line.order} line {line.line}"
            found += [Discrepancy(line.place, what, 1, 0, f"{at.pk} {at.sk}", beside[at]) for at in lost]
        return found


@dataclass(frozen=True, slots=True)
class Read:
    """One stock key as it was read: all that is stored, its order lines, what does not add up, and if it held still."""

    account: Account
    lines: Sequence[Item]
    discrepancies: list[Discrepancy]
    is_still: bool


def _shares(item: Item, shares: int) -> set[int]:
    """Say in which shares of the SKUs an item is needed."""
    skus = owners(item)
    return {_share_of(sku, shares) for sku in skus}


def _share_of(sku: str, shares: int) -> int:
    """Say in which share a SKU is, as keys write it."""
    return zlib.crc32(sku.encode()) % shares


def _place_of(item: Item) -> StockKey:
    """Say of which stock key an order line or event is that cannot be read; of an event its item alone is known."""
    return StockKey(Sku(str(item.get("sku", ""))), LocationId(str(item.get("location", ""))))


class _Share:
    """What a scan found of some SKUs, by stock key."""

    def __init__(self, spool: Spool, number: int) -> None:
        self._number, self._shares = number, spool.shares
        self.accounts: dict[StockKey, Account] = {}
        self._places: dict[tuple[str, str], Account] = {}
        self._events: set[EventKey] = set()
        self._lines: set[Key] = set()
        self._beside: dict[Key, Iterable[Key]] = {}
        self._wrong_lines: set[Key] = set()
        self._parts: set[tuple[Key, str]] = set()
        self._listed: dict[Key, dict[Key, str]] = {}
        for item in spool.items(number):
            self._add(item)
        for account in self.accounts.values():
            waiting = (count.mark.event_key for count in account.waiting or ())
            account.unknown_events = {*account.journal.events, *waiting} - self._events

    def suspects(self) -> list[Key]:
        """Return the order lines that look wrong."""
        unlisted = {line for line, parts in self._listed.items() if not self._parts.issuperset(parts.items())}
        unsure = {line for line, beside in self._beside.items() if not self._lines.issuperset(beside)}
        return sorted(self._wrong_lines | unlisted | unsure)

    def figures(self) -> Verified:
        """Return how much was read."""
        journals = [account.journal for account in self.accounts.values()]
        named = {event for journal in journals for event in journal.events}
        return Verified(
            stock_keys=sum(account.seq > 0 for account in self.accounts.values()),
            journal_entries=sum(journal.entries for journal in journals),
            journal_lines=sum(journal.lines for journal in journals),
            order_lines=len(self._lines),
            events=len(self._events),
            silent_events=sum(
                event not in named and not event.startswith((DECISION, UNDONE)) for event in self._events
            ),
        )

    def _add(self, item: Item) -> None:
        pk, sk = cast(str, item["pk"]), cast(str, item["sk"])
        family = pk[: pk.index("#")]
        if family == "EVENT":
            self._add_event(EventKey(pk.removeprefix("EVENT#")), item)
        elif family != "ORDER":
            stock = pk.split("#", 3)[1:3]
            place = (stock[0], stock[1])
            account = self._places.get(place)
            if account is None:
                account = self._places[place] = self.account(stock_key_of_key(pk))
            account.add(item)
        elif sk.startswith("PART#"):
            if "order_lines_sk" in item:
                self._parts.add((Key(pk, sk), cast(str, item["order_lines_pk"])))
        else:
            self._add_line(Key(pk, sk), item)

    def _add_event(self, event: EventKey, item: Item) -> None:
        self._events.add(event)
        try:
            entries = entries_of(item)
        except UNREADABLE as error:
            self.account(_place_of(item)).spoil(item, error)
            return
        for key, seq in entries:
            if _share_of(part(key.sku), self._shares) == self._number:
                self.account(key).named[seq] = event

    def _add_line(self, at: Key, item: Item) -> None:
        self._lines.add(at)
        try:
            line = readable_line(item)
            is_wrong = any(line_discrepancies(item)) or not is_listed(item, line_index(line))
        except UNREADABLE as error:
            account = self.account(_place_of(item))
            account.lines.append(at)
            account.spoil(item, error)
            return
        holds = line.holds
        for place in {*line.places, *holds}:
            account = self.account(StockKey(line.stock_key.sku, place))
            account.reserved += holds.get(place, 0)
            account.lines.append(at)
        if is_wrong:
            self._wrong_lines.add(at)
        parts = parts_of(line)
        if parts:
            self._listed[at] = parts
        beside = beside_of(line)
        if beside:
            self._beside[at] = beside

    def account(self, key: StockKey) -> Account:
        """Return what was found of a stock key."""
        account = self.accounts.get(key)
        if account is None:
            account = self.accounts[key] = Account(key)
        return account


def parts_of(line: OrderLine) -> dict[Key, str]:
    """Return the items that list a line under other locations than the one where it lies, and under which index key."""
    if not line.history or line.places == {line.place.location}:
        return {}
    parts = [put for put in line_puts(line, line.history[0].at) if put.key.sk.startswith("PART#")]
    return {put.key: cast(str, put.attributes["order_lines_pk"]) for put in parts}


def beside_of(line: OrderLine) -> dict[Key, Mend]:
    """Return the items that must be there beside a line, and what puts it right where one is not.

    The lines of a kit's components hold its units. Nothing of a component's line follows from that of the kit, nor of
    any line from its reservation or transfer, but nobody would give back what it holds.
    """
    components = [component_line_id(line.line, component.sku) for component in line.kit if line.taken]
    beside = {line_key(line.order, name): Mend.RESTORE for name in components}
    if line.part_of:
        beside[line_key(line.order, line.part_of)] = Mend.APART
    if line.open and line.order.startswith(RESERVATION):
        beside[order_key(line.order)] = Mend.APART
    if line.open and line.is_of_a_transfer:
        beside[transfer_key(line.order.removeprefix(TRANSFER))] = Mend.APART
    return beside

"""What must come of a history, known without the ledger: facts sorted by valid time, and summed.

The oracle knows nothing of lines, buckets, restatements or transactions. A slot (a counter of a stock key) is a sorted
list of facts; its balance is found by walking back to the newest count and adding what moved after it. An order line
holds what its newest version orders, less what is cancelled, less what the authority shipped.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from shared.domain.stock import AVAILABLE_SIGN, Counter, Quantity, StockKey

SlotName = tuple[StockKey, Counter]
LineName = tuple[str, str]


class Leg(NamedTuple):
    """A signed change of one counter of one stock key."""

    stock_key: StockKey
    counter: Counter
    quantity: Quantity


@dataclass(frozen=True, slots=True)
class Moved:
    """Stock moved; ``order_line`` names whose units were shipped, if any were."""

    key: str
    at: datetime
    legs: tuple[Leg, ...]
    order_line: LineName | None = None
    shipped: Quantity = 0


@dataclass(frozen=True, slots=True)
class Counted:
    """Stock was counted."""

    key: str
    at: datetime
    stock_key: StockKey
    counter: Counter
    quantity: Quantity
    version: str = ""


@dataclass(frozen=True, slots=True)
class Demanded:
    """An order document: ``version`` orders what was ordered; a cancellation has none, and a claim frees nothing."""

    key: str
    line: LineName
    stock_key: StockKey
    quantity: Quantity
    version: str | None
    is_claim: bool = False


StockFact = Moved | Counted


class _Entry(NamedTuple):
    """A fact's place in a slot: movements precede the counts of their own instant."""

    at: datetime
    is_count: bool
    version: str
    key: str
    quantity: Quantity


class Slot:
    """The facts of one counter of one stock key."""

    def __init__(self) -> None:
        self._entries: list[_Entry] = []

    def add(self, entry: _Entry) -> None:
        insort(self._entries, entry)

    def balance(self) -> Quantity:
        """Return what all facts together leave."""
        return self._balance(len(self._entries))

    def as_of(self, at: datetime) -> Quantity:
        """Return what the facts valid at or before an instant leave."""
        return self._balance(bisect_right(self._entries, at, key=lambda entry: entry.at))

    def instants(self) -> Iterator[datetime]:
        """Yield every instant at which something happened."""
        for entry in self._entries:
            yield entry.at

    def _balance(self, end: int) -> Quantity:
        total = 0
        for entry in reversed(self._entries[:end]):
            total += entry.quantity
            if entry.is_count:
                break
        return total


@dataclass(slots=True)
class Line:
    """What is known of an order line by the documents that are in it."""

    stock_key: StockKey
    ordered: dict[str, Quantity] = field(default_factory=dict)
    cancelled: Quantity = 0
    shipped: Quantity = 0

    @property
    def open(self) -> Quantity:
        ordered = self.ordered[max(self.ordered)] if self.ordered else 0
        return max(0, ordered - self.cancelled - self.shipped)


class Oracle:
    """All facts that the outside world told, and the sum of those that are in the ledger so far."""

    def __init__(self) -> None:
        self.told: dict[str, dict[str, StockFact]] = defaultdict(dict)
        self.demands: dict[str, Demanded] = {}
        self.posted: dict[str, StockFact] = {}
        self.slots: dict[SlotName, Slot] = defaultdict(Slot)
        self.applied: set[str] = set()
        self._open: dict[LineName, tuple[StockKey, Quantity]] = {}
        self._lines: dict[str, set[str]] = defaultdict(set)
        self._reserved: dict[StockKey, Quantity] = defaultdict(int)
        self._on_hand: dict[SlotName, Quantity] = {}

    # ---- what the world tells -----------------------------------------------------------------------------------

    def tell(self, message: str, fact: StockFact) -> None:
        """A message of the authority says this."""
        self.told[fact.key][message] = fact

    def tell_demand(self, fact: Demanded) -> None:
        """A document of an order says this."""
        self.demands[fact.key] = fact

    # ---- what the ledger has taken ------------------------------------------------------------------------------

    def post(self, fact: StockFact) -> list[SlotName]:
        """The ledger has taken a fact; return the slots that it changes."""
        self.posted[fact.key] = fact
        if isinstance(fact, Counted):
            name = (fact.stock_key, fact.counter)
            self._add(name, _Entry(fact.at, True, fact.version, fact.key, fact.quantity))
            return [name]
        for leg in fact.legs:
            entry = _Entry(fact.at, False, "", fact.key, leg.quantity)
            self._add((leg.stock_key, leg.counter), entry)
        return [(leg.stock_key, leg.counter) for leg in fact.legs]

    def _add(self, name: SlotName, entry: _Entry) -> None:
        self.slots[name].add(entry)
        self._on_hand.pop(name, None)

    def hold(self, name: LineName, line: Line) -> Quantity:
        """An order line stands like this now; return what it must hold open."""
        before = self._open.get(name)
        if before is not None:
            self._reserved[before[0]] -= before[1]
        self._open[name] = (line.stock_key, line.open)
        self._lines[name[0]].add(name[1])
        self._reserved[line.stock_key] += line.open
        return line.open

    # ---- what must be true --------------------------------------------------------------------------------------

    def balance(self, key: StockKey, counter: Counter) -> Quantity:
        """Return what a counter must show."""
        name = (key, counter)
        found = self._on_hand.get(name)
        if found is None:
            slot = self.slots.get(name)
            found = self._on_hand[name] = 0 if slot is None else slot.balance()
        return found

    def lines_of(self, order: str) -> set[str]:
        """Return the lines of an order."""
        return self._lines.get(order, set())

    def reserved(self, key: StockKey) -> Quantity:
        """Return what the open order lines hold."""
        return self._reserved.get(key, 0)

    def available(self, key: StockKey) -> Quantity:
        """Return what can still be claimed."""
        signed = sum(sign * self.balance(key, counter) for counter, sign in AVAILABLE_SIGN.items() if sign)
        return signed - self.reserved(key)


def line_of(
    stock_key: StockKey,
    applied: Mapping[str, object],
    shipments: Mapping[str, object],
    oracle: Oracle,
) -> Line:
    """Work out a line anew from the names alone of the documents that are in it."""
    line = Line(stock_key)
    for key in applied:
        fact = oracle.demands[key]
        if fact.is_claim:
            continue
        if fact.version is None:
            line.cancelled += fact.quantity
        else:
            line.ordered[fact.version] = fact.quantity
    for key in shipments:
        shipped = oracle.posted[key]
        if isinstance(shipped, Moved):
            line.shipped += shipped.shipped
    return line

"""What must come of a history, known without the ledger: facts sorted by valid time, and summed.

The oracle knows nothing of lines, buckets, restatements or transactions. A slot (a counter of a stock key) is a sorted
list of facts; its balance is found by walking back to the newest count and adding what moved after it. An order line
holds what its newest version orders, less what is cancelled, less what the authority shipped.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from shared.domain.network import EXACT, Channel, Tolerance
from shared.domain.stock import AVAILABLE_SIGN, ChannelId, Counter, Quantity, StockKey

SlotName = tuple[StockKey, Counter]
LineName = tuple[str, str]


class Leg(NamedTuple):
    """A signed change of one counter of one stock key."""

    stock_key: StockKey
    counter: Counter
    quantity: Quantity
    bin: str = ""


@dataclass(frozen=True, slots=True)
class Moved:
    """Stock moved; ``order_line`` names whose units were shipped, if any were."""

    key: str
    at: datetime
    legs: tuple[Leg, ...]
    order_line: LineName | None = None
    shipped: Quantity = 0

    def undone(self, key: str) -> Moved:
        """Return what takes this back."""
        legs = tuple(leg._replace(quantity=-leg.quantity) for leg in self.legs)
        return Moved(key, self.at, legs, self.order_line, -self.shipped)


@dataclass(frozen=True, slots=True)
class Counted:
    """Stock was counted."""

    key: str
    at: datetime
    stock_key: StockKey
    counter: Counter
    quantity: Quantity
    version: str = ""
    document: str = ""
    bin: str = ""

    @property
    def rank(self) -> tuple[str, str]:
        """The order of the versions of a document."""
        return self.version, self.key


@dataclass(frozen=True, slots=True)
class Demanded:
    """An order document: ``version`` orders what was ordered; a cancellation has none, and a claim frees nothing.

    What a fulfil call claims, at an instant, comes on top of what had been shipped by then (``after``).
    """

    key: str
    line: LineName
    stock_key: StockKey
    quantity: Quantity
    version: str | None
    is_claim: bool = False
    at: datetime | None = None
    after: Quantity = 0


StockFact = Moved | Counted


class Entry(NamedTuple):
    """A fact's place in a slot: movements precede the counts of their own instant."""

    at: datetime
    is_count: bool
    version: str
    key: str
    quantity: Quantity


@dataclass(frozen=True, slots=True)
class CountRules:
    """When a count applies at once: its clock and those of what moved are exact, and its variance is no surprise.

    ``skews`` says by source how far its clock may be off.
    """

    approve_beyond: Tolerance | None = None
    skews: Mapping[str, timedelta] = field(default_factory=dict)
    undecided_within: Tolerance = EXACT


class Judged(NamedTuple):
    """What a count comes to by the facts: where it applies, as what, and between which balances it is undecided."""

    at: datetime
    quantity: Quantity
    lowest: Quantity
    highest: Quantity


class Slot:
    """The facts of one counter of one stock key.

    Counts that wait, or are out for good (rejected, undone), do not count. Of a count document one version at most
    stands: which, is read from the ledger, and ``counts.py`` judges whether it may.
    """

    def __init__(self, rules: CountRules) -> None:
        self.rules = rules
        self.counts: dict[str, Counted] = {}
        self.waiting: frozenset[str] = frozenset()
        self.standing: set[str] = set()
        self.history: set[str] = set()
        self.stood: set[str] = set()
        self.out: set[str] = set()
        self.decided: dict[str, datetime] = {}
        self._moves: list[Entry] = []
        self._entries: list[Entry] | None = None

    # ---- what happened --------------------------------------------------------------------------------------------

    def move(self, at: datetime, key: str, quantity: Quantity, bin_: str = "") -> None:
        """Something moved; where bins are not kept apart it does not matter in which."""
        insort(self._moves, Entry(at, False, "", key, quantity))
        self._entries = None

    def count(self, fact: Counted) -> None:
        """Somebody counted."""
        self.counts[fact.key] = fact
        self._entries = None

    def wait(self, counts: Iterable[str]) -> None:
        """These counts wait now, and no others."""
        self.waiting = frozenset(counts)
        self._entries = None

    def stand(self, count: str, stands: bool, *, is_history: bool) -> None:
        """A count stands in the ledger now, by itself or only beneath a newer one; or does so no more."""
        (self.standing.add if stands else self.standing.discard)(count)
        (self.history.add if stands and is_history else self.history.discard)(count)
        self._entries = None

    def decide(self, count: str, at: datetime | None) -> None:
        """Somebody said at what instant a count was taken; None: it is out for good."""
        if at is None:
            self.out.add(count)
        else:
            self.decided[count] = at
        self._entries = None

    # ---- what must be true ----------------------------------------------------------------------------------------

    def balance(self) -> Quantity:
        """Return what all facts together leave."""
        entries = self.entries()
        return _balance(entries, len(entries))

    def as_of(self, at: datetime, without: Counted | None = None) -> Quantity:
        """Return what the facts valid at or before an instant leave, all versions of one count's document apart."""
        entries = self.entries() if without is None else self._entries_without(without)
        return _balance(entries, bisect_right(entries, at, key=lambda entry: entry.at))

    def lost_at_worst(self, fact: Counted) -> Quantity:
        """Return how far the lowest outcome of a count that waits lies below what the facts leave now."""
        without = self._entries_without(fact)
        judged = self.judged(fact)
        moved_since = _balance(without, len(without)) - self.as_of(judged.at, without=fact)
        return self.balance() - (judged.lowest + moved_since)

    def versions(self, fact: Counted) -> list[Counted]:
        """Return all versions of a count's document that were told, in order."""
        told = (other for other in self.counts.values() if _document(other) == _document(fact))
        return sorted(told, key=lambda other: other.rank)

    def instants(self) -> Iterator[datetime]:
        """Yield every instant at which something happened."""
        for entry in self.entries():
            yield entry.at

    def entries(self) -> list[Entry]:
        """Return what counts, in order."""
        if self._entries is None:
            counts = [self._entry(fact) for fact in self.counts.values() if self._counts(fact)]
            self._entries = sorted([*self._moves, *counts])
        return self._entries

    def _counts(self, fact: Counted) -> bool:
        if fact.document:
            return fact.key in self.standing
        return fact.key not in self.waiting and fact.key not in self.out

    def _entries_without(self, fact: Counted) -> list[Entry]:
        """Return what would count if no version of a count's document did, and what was history beneath it were judged."""
        versions = {version.key for version in self.versions(fact)}
        left = [entry for entry in self.entries() if entry.key not in versions]
        uncovered = self.uncovered(left)
        return self._judge_again(left, uncovered) if uncovered else left

    def _judge_again(self, entries: Sequence[Entry], uncovered: Sequence[Entry]) -> list[Entry]:
        """Let of what was history the newest version stand that may; what is beneath such a count is history again."""
        left = [entry for entry in entries if entry not in uncovered]
        documents = {_document(fact): fact for entry in uncovered for fact in [self.counts[entry.key]]}
        newest = self._newest_sure(left)
        before = -1
        while before != len(documents):
            before = len(documents)
            for name, fact in sorted(documents.items(), key=lambda named: self._entry(named[1])):
                told = (version for version in reversed(self.versions(fact)) if version.key not in self.out)
                stands = next((version for version in told if self._may_stand(version, left, newest)), None)
                if stands is not None:
                    insort(left, entry := self._entry(stands))
                    newest = max(entry, newest or entry)
                    del documents[name]
        return left

    def _newest_sure(self, entries: Sequence[Entry]) -> Entry | None:
        sure = (entry for entry in reversed(entries) if entry.is_count and entry.key not in self.history)
        return next(sure, None)

    def _may_stand(self, fact: Counted, entries: Sequence[Entry], newest: Entry | None) -> bool:
        """Whether a count applies over some entries, as history or by itself."""
        own, judged = self._entry(fact), self.judged(fact)
        if fact.key in self.decided or (newest is not None and newest > own):
            return True
        if self.rules.undecided_within.is_exceeded(judged.highest - judged.lowest, of=judged.quantity):
            return False
        limit = self.rules.approve_beyond
        known = _balance(entries, bisect_right(entries, own.at, key=lambda entry: entry.at))
        return (
            limit is None
            or fact.key in self.stood
            or not limit.is_exceeded(judged.quantity - known, of=known)
        )

    def uncovered(self, entries: Sequence[Entry]) -> list[Entry]:
        """Return the counts that are history, and newer than any that stands by itself."""
        found: list[Entry] = []
        for entry in reversed(entries if self.history else ()):
            if entry.is_count and entry.key not in self.history:
                break
            found += [entry] if entry.is_count else []
        return found

    def _entry(self, fact: Counted) -> Entry:
        at, quantity = self.decided.get(fact.key), fact.quantity
        if at is None:
            at, quantity, *_ = self.judged(fact)
        return Entry(at, True, fact.version, fact.key, quantity)

    def judged(self, fact: Counted) -> Judged:
        """Say what a count comes to: as if all that nobody can place had preceded it, and nothing else had."""
        near = self._near(fact) if self.rules.skews else []
        if not near:
            return Judged(fact.at, fact.quantity, fact.quantity, fact.quantity)
        at = max([fact.at, *(entry.at for entry in near)])
        later = [entry for entry in self._moves if fact.at < entry.at <= at]
        quantity = fact.quantity + sum(entry.quantity for entry in later if entry not in near)
        taken_before = [near[position:] for position in range(len(near)) if _begins_instant(near, position)]
        outcomes = [quantity, *(quantity + sum(entry.quantity for entry in after) for after in taken_before)]
        return Judged(at, quantity, min(outcomes), max(outcomes))

    def _near(self, fact: Counted) -> list[Entry]:
        """Return what moved so near a count that the clocks of the two sources cannot say which came first."""
        source = source_of(fact.key)

        def is_near(entry: Entry) -> bool:
            teller = source_of(entry.key)
            skew = timedelta(0)
            if teller != source:
                skew = self.rules.skews.get(source, skew) + self.rules.skews.get(teller, skew)
            return fact.at - skew < entry.at <= fact.at + skew

        return [entry for entry in self._moves if entry.quantity and is_near(entry)]

    def is_history(self, fact: Counted) -> bool:
        """Whether a newer count stands than one that waits; the newest of all stands by itself."""
        own = Entry(self.judged(fact).at, True, fact.version, fact.key, fact.quantity)
        return any(entry.is_count and entry > own for entry in self._entries_without(fact))


def _balance(entries: Sequence[Entry], end: int) -> Quantity:
    total = 0
    for entry in reversed(entries[:end]):
        total += entry.quantity
        if entry.is_count:
            break
    return total


def _begins_instant(entries: Sequence[Entry], position: int) -> bool:
    return position == 0 or entries[position - 1].at < entries[position].at


def _document(fact: Counted) -> str:
    return fact.document or fact.key


def source_of(key: str) -> str:
    """Return who told an event, from its key."""
    return key.partition("/")[0]


@dataclass(slots=True)
class Line:
    """What is known of an order line by the documents that are in it."""

    stock_key: StockKey
    ordered: dict[str, Quantity] = field(default_factory=dict)
    cancelled: Quantity = 0
    shipped: Quantity = 0
    claims: list[Demanded] = field(default_factory=list)

    @property
    def newest(self) -> Quantity:
        return self.ordered[max(self.ordered)] if self.ordered else 0

    @property
    def open(self) -> Quantity:
        return max(0, self.newest - self.cancelled - self.shipped)

    @property
    def free(self) -> Quantity:
        """What is open, and nobody has said to have left."""
        left = 0
        for claim in sorted(self.claims, key=lambda claim: (claim.at is not None, claim.at, claim.key)):
            left = max(left, min(claim.after, self.shipped)) + claim.quantity
        return max(0, self.open - (max(0, left - self.shipped) if left else 0))


class Oracle:
    """All facts that the outside world told, and the sum of those that are in the ledger so far."""

    def __init__(
        self,
        rules: Callable[[StockKey], CountRules],
        new_slot: Callable[[StockKey, CountRules], Slot] = lambda _key, rules: Slot(rules),
    ) -> None:
        self._rules = rules
        self._new_slot = new_slot
        self.told: dict[str, dict[str, StockFact]] = defaultdict(dict)
        self.demands: dict[str, Demanded] = {}
        self.posted: dict[str, StockFact] = {}
        self.slots: dict[SlotName, Slot] = {}
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
            self.slot(name).count(fact)
            return [name]
        for leg in fact.legs:
            self.slot((leg.stock_key, leg.counter)).move(fact.at, fact.key, leg.quantity, leg.bin)
        return [(leg.stock_key, leg.counter) for leg in fact.legs]

    def slot(self, name: SlotName) -> Slot:
        """Return a slot; it is about to change."""
        found = self.slots.get(name)
        if found is None:
            found = self.slots[name] = self._new_slot(name[0], self._rules(name[0]))
        self._on_hand.pop(name, None)
        return found

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
        return signed - self.reserved(key) - self.withheld(key)

    def place_of(self, name: LineName) -> StockKey:
        """Return where an order line lies."""
        return self._open[name][0]

    def withheld(self, key: StockKey) -> Quantity:
        """Return what is not promised while nobody can say when a count was taken: down to its lowest outcome."""
        slot = self.slots.get((key, Counter.ON_HAND))
        if slot is None:
            return 0
        most: dict[str, Quantity] = {}
        for name in slot.waiting:
            fact = slot.counts[name]
            judged = slot.judged(fact)
            if slot.rules.undecided_within.is_exceeded(judged.highest - judged.lowest, of=judged.quantity):
                # Of the versions of one document no more than one comes to stand.
                most[_document(fact)] = max(most.get(_document(fact), 0), slot.lost_at_worst(fact))
        return sum(most.values())


def promised(available: Quantity, set_aside: Mapping[ChannelId, Quantity], channel: Channel) -> Quantity:
    """Say what a channel may sell: what is left beside all that is set aside and its safety stock, and its own."""
    own = min(set_aside.get(channel.id, 0), max(0, available))
    return max(0, available - sum(set_aside.values()) - channel.safety_stock) + own


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
            line.claims.append(fact)
        elif fact.version is None:
            line.cancelled += fact.quantity
        else:
            line.ordered[fact.version] = fact.quantity
    for key in shipments:
        shipped = oracle.posted[key]
        if isinstance(shipped, Moved):
            line.shipped += shipped.shipped
    return line

"""A yard whose bins are counted, in some histories: what is said of it, what that comes to, and what is in doubt.

What holds of bins holds of lots (``lots.py``): both are parts of a location that are counted by themselves.

A bin's count says nothing of the units that lie on no bin (``infra/decisions/0010``), so the total rises and falls by what
it changed. Here that is replayed: facts in the order of their time, those of one instant first what moved, then the counts
of bins, then those of the whole. What is said of it is drawn from a random stream of its own, like transfers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import NamedTuple

from infra.simulation.network import CELLAR, KEPT_APART, SKUS, WMS, YARD
from infra.simulation.oracle import Counted, CountRules, Entry, Oracle, Slot
from infra.simulation.tables import Change
from infra.simulation.workload import LotCall, ReportLine, Webhook, Workload
from shared.domain.network import Grain
from shared.domain.stock import Counter, LocationId, Quantity, StockKey

SHARE = 0.12
"""The share of histories that have a yard."""

NO_BIN = ""


def with_bins(random: Random, drawn: Workload) -> Workload:
    """Return a history with a yard beside what it has, or as it is."""
    if random.random() < SHARE:
        sent: list[Webhook] = []
        for number in range(random.choice((5, 12, 25))):
            begins, ends = random.choice(drawn.bursts)
            sent.append(_said(random, begins + (ends - begins) * random.random(), f"Y{number}", sent))
        drawn.steps += sent
    return drawn


def kept_apart(drawn: Workload) -> dict[LocationId, Grain]:
    """Say what the locations keep apart of which anything is said: in the cellar bins too, where any is named."""
    lines = [line for step in drawn.steps if isinstance(step, Webhook) for line in step.lines]
    grains = {YARD: Grain.BIN, CELLAR: Grain.LOT}
    if any(line.location == CELLAR and "bin" in dict(line.extra) for line in lines):
        grains[CELLAR] = Grain.BIN_LOT
    said = {line.location for line in lines} | {CELLAR for step in drawn.steps if isinstance(step, LotCall)}
    return {place: grain for place, grain in grains.items() if place in said}


def part_of(extra: Mapping[str, str]) -> str:
    """Name the part of a location that a line speaks of: a bin, a lot, or a lot in a bin."""
    bin_ = extra.get("bin", NO_BIN)
    return f"{bin_ or '-'}/{extra['lot']}" if "lot" in extra else bin_


def _said(random: Random, at: float, name: str, sent: Sequence[Webhook]) -> Webhook:
    type_ = random.choices(("receipt", "shipment", "adjustment", "count"), (5, 3, 1, 8))[0]
    occurred = float(int(at - random.choice((0, 20, 900)) * random.random()))
    deliveries = tuple((60 * random.random() ** 3, f"d{name}") for _ in range(random.choice((1, 1, 2))))
    corrected = [step for step in sent if step.type == "count"]
    if type_ == "count" and corrected and random.random() < 0.2:
        known = random.choice(corrected)
        [line] = known.lines
        line = ReportLine(line.code, YARD, random.randrange(0, 30), line.extra)
        version = str(int(known.version) + 1)
        return Webhook(at, WMS, "count", known.document, known.occurred, (line,), deliveries, version)
    bin_ = random.choice((NO_BIN, NO_BIN, "A", "B"))
    least, most = {"count": (0, 30), "adjustment": (-5, 0)}.get(type_, (1, 12))
    extra = (("bin", bin_),) if bin_ else ()
    line = ReportLine(random.choice(SKUS[:2]), YARD, random.randrange(least, most), extra)
    version = "1" if type_ == "count" else ""
    return Webhook(at, WMS, type_, name, occurred, (line,), deliveries, version)


class Lies(NamedTuple):
    """How the units of one bin lie: how many, and when it was counted last."""

    units: Quantity
    counted_at: datetime | None


def slot_of(key: StockKey, rules: CountRules) -> Slot:
    """Return the slot of a stock key: where bins or lots are kept apart, one that does so."""
    return BinnedSlot(rules) if key.location in KEPT_APART else Slot(rules)


class BinnedSlot(Slot):
    """The facts of one counter of a stock key whose bins are counted by themselves."""

    def __init__(self, rules: CountRules) -> None:
        super().__init__(rules)
        self._bin_of: dict[str, str] = {}

    def move(self, at: datetime, key: str, quantity: Quantity, bin_: str = NO_BIN) -> None:
        self._bin_of[key] = bin_
        super().move(at, key, quantity)

    def entries(self) -> list[Entry]:
        """Return what counts for the total, a bin's counts as what they changed."""
        if self._entries is None:
            whole = [self._entry(fact) for fact in self._standing(NO_BIN)]
            changed = (
                entry._replace(is_count=False, version="after what moved", quantity=units)
                for name in self.bins()
                for entry, units in self.changes(name)
            )
            self._entries = sorted([*self._moves, *changed, *whole])
        return self._entries

    def bins(self) -> set[str]:
        """Return the bins that were ever named."""
        named = {*self._bin_of.values(), *(fact.bin for fact in self.counts.values())}
        return named - {NO_BIN}

    def changes(self, bin_: str) -> Iterable[tuple[Entry, Quantity]]:
        """Yield each count of a bin that stands, and by how much it changes what lies there."""
        units = 0
        for entry in self._of(bin_):
            before, units = units, entry.quantity if entry.is_count else units + entry.quantity
            if entry.is_count:
                yield entry, units - before

    def lies(self, bin_: str) -> Lies:
        """Return how the units of a bin lie now."""
        units, counted_at = 0, None
        for entry in self._of(bin_):
            units = entry.quantity if entry.is_count else units + entry.quantity
            counted_at = entry.at if entry.is_count else counted_at
        return Lies(units, counted_at)

    def counted_at(self) -> datetime | None:
        """Return as of when the whole was counted last."""
        return max((fact.at for fact in self._standing(NO_BIN)), default=None)

    def _of(self, bin_: str) -> list[Entry]:
        moves = (entry for entry in self._moves if self._bin_of[entry.key] == bin_)
        return sorted([*moves, *(self._entry(fact) for fact in self._standing(bin_))])

    def _standing(self, bin_: str) -> Iterable[Counted]:
        return [fact for fact in self.counts.values() if fact.bin == bin_ and self._counts(fact)]


@dataclass(slots=True)
class _Doubt:
    """What counts of bins changed when they were posted, and whether a case must say so."""

    changed: dict[str, Quantity] = field(default_factory=dict)
    is_owed: bool = False

    @property
    def signs(self) -> set[int]:
        return {1 if units > 0 else -1 for units in self.changed.values()}


class BinAuditor:
    """Works out at every commit whether units may be counted twice, from where the facts say that they lie.

    A case is owed from a count of a bin on that changed it, for as long as, without a break, units on no bin have the
    same sign, the bin was counted since the whole was, and no other count changed anything the other way.
    """

    def __init__(self, oracle: Oracle) -> None:
        self._oracle = oracle
        self._doubts: defaultdict[StockKey, _Doubt] = defaultdict(_Doubt)

    def check(self, changes: Sequence[Change]) -> None:
        """Take note of a commit."""
        for key in sorted({key for key, _ in self._oracle.slots if key.location in KEPT_APART}):
            slot = self._oracle.slots.get((key, Counter.ON_HAND))
            if isinstance(slot, BinnedSlot):
                self._look(key, slot, changes)

    def _look(self, key: StockKey, slot: BinnedSlot, changes: Sequence[Change]) -> None:
        doubt = self._doubts[key]
        stood = {
            str(change.new["event_key"])
            for change in changes
            if change.old is None
            and change.new is not None
            and change.key.pk.startswith(f"CNT#{key.sku}#{key.location}#")
        }
        found = {
            entry.key: units
            for name in slot.bins()
            for entry, units in slot.changes(name)
            if entry.key in stood and units
        }
        doubt.changed |= found
        still = len(doubt.signs) == 1 and self.is_doubtful(key, doubt.signs)
        doubt.is_owed = still and (doubt.is_owed or bool(found))

    def is_doubtful(self, key: StockKey, signs: set[int]) -> bool:
        """Whether what lies on no bin may be there twice (+1), or be missing twice (-1)."""
        slot = self._oracle.slots[key, Counter.ON_HAND]
        if not isinstance(slot, BinnedSlot):
            return False
        bins, since = [slot.lies(name) for name in slot.bins()], slot.counted_at()
        fresh = [one for one in bins if one.counted_at and (since is None or one.counted_at > since)]
        on_no_bin = slot.balance() - sum(one.units for one in bins)
        if on_no_bin > 0:
            return 1 in signs and sum(one.units for one in fresh) > 0
        return on_no_bin < 0 and -1 in signs and bool(fresh)

    def owed(self) -> set[StockKey]:
        """Return the stock keys of which a case must be open."""
        return {key for key, doubt in self._doubts.items() if doubt.is_owed}

    def allowed(self) -> set[StockKey]:
        """Return the stock keys of which a case may be open."""
        return {key for key, doubt in self._doubts.items() if self.is_doubtful(key, doubt.signs)}

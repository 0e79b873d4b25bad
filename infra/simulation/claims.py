"""Checks reservations at every commit: all lines or none, each unit once, and what is set aside for whom.

A long reservation takes its lines in steps. Each step must leave what it relies on; only once all lines are there may
it be confirmed; and what is given back instead must hold nothing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast

from infra.simulation.fulfil_audit import FULFILLED, OVER_WITH, UNCONFIRMED, FulfilAuditor
from infra.simulation.oracle import Demanded, Line, LineName, Oracle, line_of
from infra.simulation.tables import Change
from infra.simulation.verdicts import Invariant, Violation
from shared.domain.events import parse_instant
from shared.domain.network import Channel
from shared.domain.stock import ChannelId, LocationId, Quantity, Sku, StockKey
from shared.store.table import Item

RELEASE = "/cancelled/release"
"""What the key of a release contains; one that is not the first of its line ends with a number of its own."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A reservation that somebody asks for: units by stock key, and by SKU those that may come from anywhere.

    It was asked for at first at ``since``, and is to stand for ``lifetime`` from then on at least; None: for ever.
    """

    channel: Channel
    fixed: Mapping[StockKey, Quantity]
    floating: Mapping[Sku, Quantity]
    since: datetime
    lifetime: timedelta | None

    def may_take(self, key: StockKey) -> bool:
        """Whether units of a stock key were asked for."""
        return key in self.fixed or (key.sku in self.floating and key.location in self.channel.locations)

    def is_met_by(self, taken: Mapping[StockKey, Quantity]) -> bool:
        """Whether just what was asked for was taken, each unit from where it may come."""
        wanted, had = Counter(self.floating), Counter[Sku]()
        for key, units in self.fixed.items():
            wanted[key.sku] += units
        for key, units in taken.items():
            had[key.sku] += units
        return wanted == had and all(taken.get(key, 0) >= units for key, units in self.fixed.items())


class ClaimAuditor:
    """Listens to the commits of order lines and promise counters."""

    def __init__(self, oracle: Oracle, fulfilments: FulfilAuditor, now: Callable[[], datetime]) -> None:
        self._oracle = oracle
        self._fulfilments = fulfilments
        self._now = now
        self._asked: dict[str, Claim] = {}
        self._let_go: set[str] = set()
        self._headers: dict[str, Item] = {}
        self._kept: set[tuple[ChannelId, StockKey, Quantity]] = set()
        self._lines: defaultdict[str, dict[int, Item]] = defaultdict(dict)
        self.set_aside: defaultdict[StockKey, Mapping[ChannelId, Quantity]] = defaultdict(dict)

    # ---- what the world tells -------------------------------------------------------------------------------------

    def ask(self, order: str, claim: Claim) -> None:
        """Somebody asks for a reservation."""
        self._asked[order] = claim

    def let_go(self, order: str) -> None:
        """Somebody asks for a reservation to be released."""
        self._let_go.add(order)

    def keep(self, channel: ChannelId, key: StockKey, units: Quantity) -> None:
        """Somebody sets units aside."""
        self._kept.add((channel, key, units))

    # ---- what the ledger has taken --------------------------------------------------------------------------------

    def learn(self, name: LineName, stock_key: StockKey, item: Item) -> None:
        """A reservation's documents are written by Onecount itself: what was asked for says what they must be."""
        claim = self._asked.get(name[0])
        if claim is None or not claim.may_take(stock_key):
            raise Violation(Invariant.AUTHORITY, f"{name[0]} reserves {stock_key}, and nobody asked for it")
        applied = cast("Mapping[str, object]", item["applied"])
        for key in applied:
            if key in self._oracle.demands:
                continue
            if FULFILLED in key:
                shipped = self._before(applied, item, stock_key).shipped
                self._oracle.tell_demand(self._fulfilments.claimed(key, stock_key, shipped))
            else:
                release = RELEASE in key
                # A release gives back what was asked for less what was shipped, and less what is said to have left.
                units = self._before(applied, item, stock_key).free if release else _ordered(item)
                self._oracle.tell_demand(Demanded(key, name, stock_key, units, None if release else "1"))
        self._lines[name[0]][int(name[1])] = item

    def _before(self, applied: Mapping[str, object], item: Item, stock_key: StockKey) -> Line:
        """Return a line with its shipments, but with those documents alone that were known before."""
        shipments = cast("Mapping[str, object]", item["shipments"])
        known = {key: value for key, value in applied.items() if key in self._oracle.demands}
        return line_of(stock_key, known, shipments, self._oracle)

    # ---- what must be true ----------------------------------------------------------------------------------------

    def check(self, changes: Sequence[Change]) -> None:
        """After a commit whose sums are right: nothing was taken that was not there, and nothing by halves."""
        self._check_set_aside(changes)
        for change in sorted(changes, key=lambda change: change.key):  # a header comes before its lines
            item = change.new
            if item is None or not change.key.pk.startswith("ORDER#reservation/"):
                continue
            order = change.key.pk.removeprefix("ORDER#")
            if change.key.sk == "-":
                self._headers[order] = item
                self._check_header(order, change.old, item)
                if not OVER_WITH.isdisjoint(item.keys() - (change.old or {}).keys()):
                    self._check_given_back(order)
            elif change.old is None:
                self._check_taken(order, item)
            elif _is_released(change.old, item):
                self._check_given_back(order)

    def _check_taken(self, order: str, item: Item) -> None:
        channel, key = self._asked[order].channel, _stock_key(item)
        own = cast(int, item["dedicated"])
        left = self._oracle.available(key)
        if own < _ordered(item):
            left -= sum(self.set_aside[key].values()) + channel.safety_stock
        if left < 0:
            raise Violation(
                Invariant.NEVER_OVER_PROMISED,
                f"{order} took {_ordered(item)} of {key} for {channel.id}, {-left} more than there was for it",
                -left,
            )

    def _check_header(self, order: str, old: Item | None, item: Item) -> None:
        claim, first = self._asked.get(order), cast(int, item["first_line"])
        if claim is None:
            raise Violation(Invariant.AUTHORITY, f"{order} was written, and nobody asked for it")
        lines = [line for number, line in self._lines[order].items() if number >= first]
        status = item.get("status")
        was_unconfirmed = old is None or old.get("status") in UNCONFIRMED
        taken = {_stock_key(line): _ordered(line) for line in lines}
        if was_unconfirmed and status not in UNCONFIRMED and not claim.is_met_by(taken):
            raise Violation(
                Invariant.NEVER_OVER_PROMISED,
                f"{order} is confirmed and has {taken} of {claim}: neither all nor none",
            )
        if was_unconfirmed and status not in UNCONFIRMED and claim.lifetime is not None:
            since, until = claim.since + claim.lifetime, self._now() + claim.lifetime
            if not since <= parse_instant(str(item["expires_at"])) <= until:
                what = f"{order} expires at {item['expires_at']!s}, and that must be from {since} to {until}"
                raise Violation(Invariant.NEVER_OVER_PROMISED, what)
        held = sum(cast(int, line["open"]) for line in lines)
        if status == "given_back" and "expiring_pk" not in item and held:
            raise Violation(
                Invariant.CONSERVED, f"{order} was given back, and still holds {held} units", held
            )

    def _check_given_back(self, order: str) -> None:
        """Units go back because somebody says so, because its time is over, or because it was never confirmed."""
        header = self._headers[order]
        expires = header.get("expires_at")
        is_due = expires is not None and parse_instant(str(expires)) <= self._now()
        if not (is_due or order in self._let_go or header.get("status") in UNCONFIRMED):
            what = f"{order} is given back, and nobody asked for that before {expires}"
            raise Violation(Invariant.AUTHORITY, what)

    def _check_set_aside(self, changes: Sequence[Change]) -> None:
        """What is set aside changes only by what somebody says, and by what its channel takes and gives back."""
        moved = _moved_by_lines(changes)
        keys = {key for key, _ in moved}
        for change in changes:
            if change.new is None or not change.key.pk.startswith("PROMISE#") or change.key.sk != "0":
                continue
            key, now = _stock_key(change.new), _set_aside(change.new)
            before, self.set_aside[key] = self.set_aside[key], now
            if min(now.values(), default=0) < 0 or sum(now.values()) != change.new.get("set_aside", 0):
                raise Violation(Invariant.CONSERVED, f"{now} of {key} are set aside, in all {change.new}")
            for channel in before.keys() | now.keys():
                difference = now.get(channel, 0) - before.get(channel, 0)
                told = key not in keys and (channel, key, now.get(channel, 0)) in self._kept
                if difference != moved.get((key, channel), 0) and not told:
                    raise Violation(
                        Invariant.CONSERVED,
                        f"what is set aside of {key} for {channel} changed by {difference} of itself",
                        difference,
                    )
                if told and difference > 0 and self._oracle.available(key) < sum(now.values()):
                    what = f"{now} of {key} were set aside, and {self._oracle.available(key)} are there"
                    raise Violation(Invariant.NEVER_OVER_PROMISED, what)


def _moved_by_lines(changes: Sequence[Change]) -> Mapping[tuple[StockKey, ChannelId], Quantity]:
    """Return by how much the lines of a commit change what is set aside, by stock key and channel."""
    moved: defaultdict[tuple[StockKey, ChannelId], Quantity] = defaultdict(int)
    for change in changes:
        item, old = change.new, change.old
        if item is None or not change.key.pk.startswith("ORDER#reservation/") or change.key.sk == "-":
            continue
        name = _stock_key(item), ChannelId(cast(str, item["channel"]))
        own = cast(int, item["dedicated"])
        if old is None:
            moved[name] -= own
        elif _is_released(old, item):
            left = _said_to_have_left(old)
            moved[name] += min(cast(int, old["open"]) - left, max(0, own - _shipped(old) - left))
    return moved


def _is_released(old: Item, item: Item) -> bool:
    known, applied = cast("dict[str, str]", old["applied"]), cast("dict[str, str]", item["applied"])
    return any(RELEASE in key for key in applied.keys() - known.keys())


def _shipped(item: Item) -> Quantity:
    return sum(cast(int, said[2]) for said in cast("dict[str, list[object]]", item["shipments"]).values())


def _said_to_have_left(item: Item) -> Quantity:
    """Return the units that callers say have left, and of which nobody has said that they shipped."""
    said = cast("dict[str, list[object]]", item["fulfilments"]).values()
    return max(0, sum(cast(int, one[2]) for one in said) - _shipped(item)) if said else 0


def _ordered(item: Item) -> Quantity:
    return cast(int, cast("dict[str, list[object]]", item["versions"])["1"][2])


def _set_aside(item: Item) -> dict[ChannelId, Quantity]:
    prefix = "set_aside|"
    return {
        ChannelId(name.removeprefix(prefix)): cast(int, units)
        for name, units in item.items()
        if name.startswith(prefix) and units
    }


def _stock_key(item: Item) -> StockKey:
    return StockKey(Sku(cast(str, item["sku"])), LocationId(cast(str, item["location"])))

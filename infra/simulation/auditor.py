"""Compares the tables with the oracle at every commit, and raises at the first that breaks an invariant.

It sees all of a transaction at once, so what must hold at every moment is checked at every moment: each event once
and only from its authority, balances and promises equal to the sum of the facts, nothing promised that was not there,
and every acknowledged message in the ledger, in an open case, or waiting.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from infra.simulation.bins import BinAuditor
from infra.simulation.claims import ClaimAuditor
from infra.simulation.counts import CountAuditor
from infra.simulation.fulfil_audit import FulfilAuditor
from infra.simulation.lot_audit import LotAuditor
from infra.simulation.network import KEPT_APART, network
from infra.simulation.oracle import Counted, LineName, Moved, Oracle, SlotName, line_of, promised
from infra.simulation.scheduler import Scheduler
from infra.simulation.tables import Change
from infra.simulation.transfer_audit import TransferAuditor
from infra.simulation.verdicts import Invariant, Violation
from shared.channels.contract import Offer
from shared.domain.network import Channel
from shared.domain.stock import ChannelId, Counter, LocationId, Quantity, Sku, StockKey
from shared.operations.fan_out import Hint
from shared.store.layout import case_key
from shared.store.table import Item, Key


@dataclass(slots=True)
class Told:
    """A message that was handed to us: which events it carries for its authority, and whether more is wrong with it."""

    id: str
    keys: tuple[str, ...]
    hopeless: bool
    acknowledged: bool = False
    acknowledged_when_kept: bool = False


Promised = tuple[int, Quantity, Mapping[ChannelId, Quantity]]
"""Since when (microseconds) so many units were available, and what of them was set aside."""


class Auditor:
    """Listens to the commits of the stock, inbox and cases tables."""

    def __init__(
        self, oracle: Oracle, scheduler: Scheduler, skus: Sequence[Sku], *, has_kiosk: bool = False
    ) -> None:
        self.oracle = oracle
        self.counts = CountAuditor(oracle)
        self.fulfilments = FulfilAuditor(oracle, lambda: scheduler.us)
        self.claims = ClaimAuditor(oracle, self.fulfilments, scheduler.now)
        self.transfers = TransferAuditor(oracle)
        self.bins = BinAuditor(oracle)
        self.lots = LotAuditor(oracle, scheduler.now)
        self.skus = skus
        self._channels = tuple(network(has_kiosk=has_kiosk).channels.values())
        self._scheduler = scheduler
        self.messages: dict[str, Told] = {}
        self.trace: list[str] = []
        self.promised: defaultdict[StockKey, list[Promised]] = defaultdict(lambda: [(0, 0, {})])
        self.taken_at: dict[tuple[ChannelId, StockKey], int] = {}
        self._hinted: dict[tuple[ChannelId, Sku], int] = {}
        self._parts: defaultdict[StockKey, dict[str, Quantity]] = defaultdict(dict)
        self._changed: dict[Key, int] = {}
        self._inbox: dict[str, Item] = {}
        self._parked: defaultdict[str, set[str]] = defaultdict(set)
        self._open: set[str] = set()
        self._balances: dict[StockKey, Item] = {}

    def say(self, text: str) -> None:
        """Add a line to the trace."""
        self.trace.append(f"{self._scheduler.seconds:11.3f}  {text}")

    # ---- stock --------------------------------------------------------------------------------------------------

    def stock_committed(self, changes: Sequence[Change]) -> None:
        """Check one transaction on the stock table."""
        balances: dict[StockKey, Item] = {}
        promises: set[StockKey] = set()
        touched: set[StockKey] = set()
        changed: list[SlotName] = []
        counted: set[SlotName] = set()
        self.transfers.foretell(changes)
        self.fulfilments.foretell(changes)
        self.lots.foretell(changes)
        for change in changes:
            if change.key.pk.startswith("EVENT#"):
                changed += self._event(change)
        for change in sorted(changes, key=lambda change: change.new is not None):
            if change.key.pk.startswith("CNT#"):  # one that moves in time is deleted and written
                counted.add(self.counts.stands(change))
        touched.update(stock_key for stock_key, _ in changed)
        for change in changes:
            if change.key.pk.startswith("BAL#") and change.key.sk == "WAITING":
                touched.add(self.counts.waits(change))
        self.counts.check([*changed, *counted.difference(changed)])
        for change in changes:
            family = change.key.pk.partition("#")[0]
            item = change.new
            if item is None:
                if family in ("EVENT", "ORDER", "BAL", "JRN", "PROMISE"):
                    raise Violation(Invariant.CONSERVED, f"{change.key} was deleted")
            elif family == "BAL" and change.key.sk == "-":
                balances[_stock_key(item)] = item
            elif family == "PROMISE":
                promises.add(self._counter(change))
                self._check_announced(change)
            elif (
                family == "LISTING"
                and "inflight" in item
                and (change.old is None or change.old.get("inflight") != item["inflight"])
            ):
                name = (ChannelId(cast(str, item["channel"])), _stock_key(item))
                self.taken_at[name] = self._scheduler.us
        for change in changes:
            if change.key.pk.startswith("ORDER#") and change.key.sk != "-":
                touched.update(self._line(change))
        self._sums(touched, balances, promises)
        self.claims.check(changes)
        self.transfers.check(changes, self.claims.set_aside)
        self.lots.check(changes)
        if any(key.location in KEPT_APART for key in touched):
            self.bins.check(changes)
        for key in promises:
            known = (self._scheduler.us, sum(self._parts[key].values()), self.claims.set_aside[key])
            self.promised[key].append(known)

    def _counter(self, change: Change) -> StockKey:
        """Note one promise counter; what is available of a stock key is the sum of all that it has."""
        item = cast(Item, change.new)
        key = _stock_key(item)
        self._parts[key][change.key.sk] = cast(int, item["available"])
        if "dirty_pk" in item:
            self._changed[change.key] = self._scheduler.us
        return key

    def _check_announced(self, change: Change) -> None:
        """A mark comes off a stock key only after every channel that sells it has a hint that is newer than the change."""
        old, new = change.old, cast(Item, change.new)
        if old is None or "dirty_pk" not in old or "dirty_pk" in new:
            return
        key = _stock_key(new)
        for channel in self._channels:
            hinted = self._hinted.get((channel.id, key.sku), -1)
            if key.location in channel.locations and hinted < self._changed[change.key]:
                what = f"{key} is no longer marked as changed, and nobody has told {channel.id}"
                raise Violation(Invariant.NEVER_STALE_OUT, what)

    def _event(self, change: Change) -> list[SlotName]:
        key = change.key.pk.removeprefix("EVENT#")
        if change.old is not None:
            raise Violation(Invariant.ONCE, f"event {key} was written twice")
        if self.counts.is_ours(key):
            self.say(f"decided {key}")
            return [self.counts.decided(key, cast(Item, change.new))]
        told = self.oracle.told.get(key)
        if told is None:
            raise Violation(Invariant.AUTHORITY, f"event {key} is in the ledger, and no authority said it")
        message = cast(str, cast(Item, change.new)["message_id"])
        fact = told.get(message)
        if fact is None:
            raise Violation(Invariant.ONCE, f"event {key} names message {message}, which never said it")
        slots = self.oracle.post(fact)
        if isinstance(fact, Moved):
            self.transfers.moved(fact)
        self.say(f"posted {_said(fact)}")
        return slots

    def _line(self, change: Change) -> list[StockKey]:
        item = cast(Item, change.new)
        name: LineName = (cast(str, item["order"]), cast(str, item["line"]))
        stock_key = _stock_key(item)
        applied = cast("Mapping[str, object]", item["applied"])
        if name[0].startswith("reservation/"):
            self.claims.learn(name, stock_key, item)
        elif name[0].startswith("transfer/"):
            self.transfers.learn(name, stock_key, item)
        for key in applied:
            if key not in self.oracle.demands:
                raise Violation(
                    Invariant.AUTHORITY, f"order line {name} took {key}, which no demand source said"
                )
            self.oracle.applied.add(key)
        shipments = cast("Mapping[str, object]", item["shipments"])
        unknown = [key for key in shipments if key not in self.oracle.posted]
        if unknown:
            raise Violation(Invariant.CONSERVED, f"order line {name} counts {unknown}, which did not ship")
        line = line_of(stock_key, applied, shipments, self.oracle)
        if name[0].startswith("reservation/"):
            self.fulfilments.stands(name, line, {*applied, *shipments})
        holds = self.oracle.hold(name, line)
        held = cast(int, item["open"])
        if held != holds:
            what = f"order line {name} holds {held} open, the documents say {holds}"
            raise Violation(Invariant.CONSERVED, what, held - holds)
        self.say(f"order line {name[0]}/{name[1]} holds {holds} of {stock_key}")
        keys = [stock_key]
        if change.old is not None:
            keys.append(_stock_key(change.old))
        return keys

    def _sums(
        self, touched: set[StockKey], balances: Mapping[StockKey, Item], promises: set[StockKey]
    ) -> None:
        self._balances |= balances
        for key in sorted({*balances, *touched}):
            item = self._balances.get(key, {})
            for counter in Counter:
                must, found = self.oracle.balance(key, counter), cast(int, item.get(counter, 0))
                if must != found:
                    raise Violation(
                        Invariant.CONSERVED,
                        f"{counter} of {key} is {found}; the facts in the ledger add up to {must}",
                        found - must,
                    )
        for key in sorted({*promises, *touched}):
            must, found = self.oracle.available(key), sum(self._parts[key].values())
            if must != found:
                raise Violation(
                    Invariant.CONSERVED, f"available of {key} is {found}, and must be {must}", found - must
                )

    # ---- pushes -------------------------------------------------------------------------------------------------

    def hinted(self, hint: Hint) -> None:
        """A channel has been told to look."""
        self._hinted[hint.channel, hint.sku] = self._scheduler.us

    def offered(self, channel: Channel, offer: Offer) -> None:
        """A number reaches a channel: it must have been true at some moment since its slot was taken."""
        key = StockKey(offer.listing.sku, offer.listing.location)
        since = self.taken_at.get((channel.id, key), 0)
        most = 0
        for at, available, set_aside in reversed(self.promised[key]):
            most = max(most, promised(available, set_aside, channel))
            if at <= since:
                break
        self.say(f"push {offer.quantity} of {key} to {channel.id}, from {offer.expected}")
        if offer.quantity > most:
            raise Violation(
                Invariant.NEVER_STALE_OUT,
                f"{channel.id} is told {offer.quantity} of {key}; since the slot was taken never more than {most} "
                "could be promised",
                offer.quantity - most,
            )

    # ---- messages and cases ---------------------------------------------------------------------------------------

    def inbox_committed(self, changes: Sequence[Change]) -> None:
        """Check one write of the inbox."""
        for change in changes:
            if not change.key.pk.startswith("MSG#") or change.key.sk != "-":
                continue  # what is known of files beside their messages
            name = change.key.pk.removeprefix("MSG#")
            if change.new is None:
                raise Violation(Invariant.NOTHING_LOST, f"message {name} was deleted")
            self._inbox[name] = change.new
            told = self.messages.get(name)
            if told is None:
                raise Violation(Invariant.AUTHORITY, f"message {name} is kept, and nobody sent it")
            told.acknowledged |= told.acknowledged_when_kept
            self._check_kept(name)

    def cases_committed(self, changes: Sequence[Change]) -> None:
        """Check one write of the cases."""
        for change in changes:
            case = change.key.pk
            if change.key.sk.startswith("MSG#"):
                message = change.key.sk.removeprefix("MSG#")
                if change.new is None:
                    self._parked[message].discard(case)
                    self._check_kept(message)
                else:
                    self._parked[message].add(case)
            elif change.key.sk != "-":
                continue  # what was done about it
            elif change.new is not None and change.new.get("status") == "open":
                self._open.add(case)
            elif case in self._open:
                self._open.discard(case)
                for message, cases in list(self._parked.items()):
                    if case in cases:
                        self._check_kept(message)

    def acknowledge(self, message: str) -> None:
        """We have told a sender that we have its message."""
        self.messages[message].acknowledged = True
        self._check_kept(message)

    def settled(self, told: Told) -> bool:
        """Whether everything that a message says is in the ledger, just as it says it."""
        return not told.hopeless and all(self._is_posted(key, told.id) for key in told.keys)

    def in_a_case(self, message: str) -> bool:
        """Whether an open case holds a message."""
        return not self._open.isdisjoint(self._parked[message])

    def is_open(self, case_id: str) -> bool:
        """Whether a case is open."""
        return case_key(case_id).pk in self._open

    def status(self, message: str) -> str:
        """Return where a message stands."""
        item = self._inbox.get(message)
        return "nowhere" if item is None else cast(str, item["status"])

    def _is_posted(self, key: str, message: str) -> bool:
        if key in self.oracle.demands:
            return key in self.oracle.applied
        posted = self.oracle.posted.get(key)
        return posted is not None and posted == self.oracle.told[key].get(message)

    def _check_kept(self, message: str) -> None:
        told = self.messages.get(message)
        if told is None or not told.acknowledged:
            return
        item = self._inbox.get(message)
        if item is None:
            raise Violation(
                Invariant.NOTHING_LOST, f"message {message} was acknowledged, and is nowhere", len(told.keys)
            )
        waits = item["status"] == "pending" and "pending_pk" in item
        if not waits and not self.in_a_case(message) and not self.settled(told):
            missing = [key for key in told.keys if not self._is_posted(key, message)]
            raise Violation(
                Invariant.NOTHING_LOST,
                f"message {message} is {self.status(message)}, in no open case, and not in the ledger: {missing}",
                len(missing),
            )


def _stock_key(item: Item) -> StockKey:
    return StockKey(Sku(cast(str, item["sku"])), LocationId(cast(str, item["location"])))


def _said(fact: Moved | Counted) -> str:
    if isinstance(fact, Counted):
        return f"count {fact.quantity} {fact.counter} of {fact.stock_key} as of {fact.at:%d %H:%M:%S} ({fact.key})"
    legs = ", ".join(f"{leg.quantity:+d} {leg.counter} of {leg.stock_key}" for leg in fact.legs)
    return f"{legs or 'nothing'} at {fact.at:%d %H:%M:%S} ({fact.key})"

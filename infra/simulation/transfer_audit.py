"""Checks transfers at every commit: a document shows what the ledger has of it, and people move what they may.

What left, arrived and is lost of a transfer is known here from the facts that name it: units that leave elsewhere than
they are on their way to left, units that come off the way and are on hand there arrived, and what only comes off the way
is lost. Fewer than none were taken back. What a call by hand means is worked out when it is written into the document.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple, cast

from infra.simulation.oracle import Demanded, Leg, LineName, Moved, Oracle
from infra.simulation.tables import Change
from infra.simulation.verdicts import Invariant, Violation
from shared.domain.events import parse_instant
from shared.domain.stock import ChannelId, Counter, LocationId, Quantity, Sku, StockKey
from shared.store.table import Item

OURS = "EVENT#onecount/transfer/"
ORDER = "transfer/"
UNDONE = "onecount/undo/"


class Asked(NamedTuple):
    """A call by hand: what it does, of which units (none named: all that can be), and when that was, if it was said."""

    action: str
    lines: tuple[tuple[Sku, Quantity], ...] = ()
    at: datetime | None = None


class Part(NamedTuple):
    """What one movement did to a line."""

    sku: Sku
    effect: str
    units: Quantity
    at: datetime


@dataclass(slots=True)
class Meant:
    """What a call meant when it was written down: its units, when it was made, and whether it was refused after that."""

    action: str
    parts: tuple[tuple[Sku, Quantity], ...]
    at: datetime
    refused: bool


@dataclass(slots=True)
class Document:
    """A transfer: as it was asked for, as it must be, and as the table last had it (``item``)."""

    origin: LocationId
    destination: LocationId
    lines: Mapping[Sku, Quantity]
    lead_time: timedelta | None
    asked: dict[str, Asked] = field(default_factory=dict)
    meant: dict[str, Meant] = field(default_factory=dict)
    moves: dict[str, Part] = field(default_factory=dict)
    at_closing: dict[Sku, Quantity] = field(default_factory=dict)
    told_since: set[str] = field(default_factory=set)
    item: Item | None = None

    def total(self, sku: Sku, effect: str) -> Quantity:
        """Return the units of a line that left, arrived or are lost."""
        return sum(one.units for one in self.moves.values() if (one.sku, one.effect) == (sku, effect))

    def in_transit(self, sku: Sku) -> Quantity:
        """Return the units of a line that are on their way."""
        return self.total(sku, "shipped") - self.total(sku, "received") - self.total(sku, "lost")

    def fewest_since(self, sku: Sku, at: datetime) -> Quantity:
        """Return how few units of a line were on their way at any instant from ``at`` on."""
        moves = [one for one in self.moves.values() if one.sku == sku]
        instants = [at, *(one.at for one in moves if one.at > at)]
        return min(
            sum(one.units if one.effect == "shipped" else -one.units for one in moves if one.at <= instant)
            for instant in instants
        )

    @property
    def closed_at(self) -> datetime | None:
        """When it was closed last."""
        closed = None if self.item is None else cast("list[str] | None", self.item["closed"])
        return None if closed is None else parse_instant(closed[1])

    def has(self, what: str) -> bool:
        """Whether the document says that something was decided."""
        return self.item is not None and self.item.get(what) is not None


class TransferAuditor:
    """Listens to the commits of transfers, of what they hold and of what moves for them."""

    def __init__(self, oracle: Oracle) -> None:
        self._oracle = oracle
        self.documents: dict[str, Document] = {}
        self.misnamed: defaultdict[str, dict[str, Moved]] = defaultdict(dict)

    # ---- what the world tells -------------------------------------------------------------------------------------

    def request(self, transfer: str, document: Document) -> None:
        """Somebody wants a transfer."""
        self.documents.setdefault(transfer, document)

    def ask(self, transfer: str, call: str, asked: Asked) -> None:
        """Somebody makes a call about a transfer."""
        self.documents[transfer].asked[call] = asked

    def answered(self, transfer: str, call: str) -> None:
        """A call was answered: what it meant is in the ledger, all of it."""
        known = self.documents[transfer]
        meant = known.meant.get(call)
        if meant is None:
            raise Violation(
                Invariant.NOTHING_LOST, f"{call} of transfer {transfer} was answered, and is nowhere"
            )
        missing = [
            name
            for number, (sku, _) in enumerate(meant.parts, start=1)
            if (name := _event(transfer, sku, meant.action, f"{call}-{number}")) not in known.moves
        ]
        if missing:
            raise Violation(Invariant.NOTHING_LOST, f"answered, and never posted: {missing}", len(missing))

    # ---- what the ledger has taken --------------------------------------------------------------------------------

    def foretell(self, changes: Sequence[Change]) -> None:
        """Tell the oracle what the movements of a commit that people made must be."""
        documents = {
            str(change.new["transfer"]): change.new
            for change in changes
            if change.key.pk.startswith("TRANSFER#") and change.new is not None
        }
        for change in changes:
            if change.key.pk.startswith(OURS):
                self._oracle.tell("", self._entered(change.key.pk.removeprefix("EVENT#"), documents))

    def moved(self, fact: Moved) -> None:
        """A movement is in the ledger; where it names a transfer, its document must have it from now on."""
        if fact.order_line is None or not fact.order_line[0].startswith(ORDER):
            return
        transfer, part = fact.order_line[0].removeprefix(ORDER), _part(fact)
        known = self.documents.get(transfer)
        if known is None or known.item is None:
            self.misnamed[transfer][fact.key] = fact
            return
        known.moves[fact.key] = part
        if not fact.key.startswith("onecount/transfer/"):
            known.told_since.add(fact.key)

    def learn(self, name: LineName, stock_key: StockKey, item: Item) -> None:
        """What a transfer holds follows from what was asked for, once it is approved and until it is closed."""
        transfer = name[0].removeprefix(ORDER)
        known = self.documents.get(transfer)
        for key in cast("Mapping[str, object]", item["applied"]):
            if key in self._oracle.demands:
                continue
            if known is None or stock_key != StockKey(Sku(name[1]), known.origin):
                raise Violation(Invariant.AUTHORITY, f"{name} holds {stock_key}, and nobody asked for it")
            version = None if key.endswith("/cancelled/release") else "1"
            units = known.lines[stock_key.sku]
            self._oracle.tell_demand(Demanded(key, name, stock_key, units, version))

    # ---- what must be true ----------------------------------------------------------------------------------------

    def check(
        self, changes: Sequence[Change], set_aside: Mapping[StockKey, Mapping[ChannelId, Quantity]]
    ) -> None:
        """After a commit whose sums are right: its documents say what the facts say, and nobody did what nobody may."""
        for change in changes:
            if change.key.pk.startswith("TRANSFER#"):
                if change.new is None:
                    raise Violation(Invariant.CONSERVED, f"{change.key} was deleted")
                self._check_document(str(change.new["transfer"]), change.new)
        for change in changes:
            if change.key.pk.startswith(OURS):
                self._check_entered(change.key.pk.removeprefix("EVENT#"))
            elif change.key.pk.startswith("ORDER#transfer/") and change.new is not None:
                self._check_held(change.old, change.new, set_aside)

    def _entered(self, key: str, documents: Mapping[str, Item]) -> Moved:
        """Return what a movement must be that people made, from the call that it names."""
        transfer, sku, effect, name = _named(key)
        known, item = self.documents.get(transfer), documents.get(transfer)
        if known is None or item is None:
            raise Violation(
                Invariant.AUTHORITY, f"{key} is in the ledger without a document that somebody wanted"
            )
        written = cast("Mapping[str, list[object]]", item["moves"])
        if key not in written:
            raise Violation(Invariant.CONSERVED, f"{key} is in the ledger, and not in its document")
        if effect == "lost":
            units, at = cast(int, written[key][2]), parse_instant(str(written[key][3]))
            if not 0 < abs(units) <= abs(known.at_closing.get(sku, 0)) or not known.has("closed"):
                raise Violation(
                    Invariant.AUTHORITY, f"{units} are written off as {key}, which nobody did", units
                )
            return _moved(key, at, known, sku, effect, units)
        call, _, number = name.rpartition("-")
        meant = known.meant.get(call)
        if meant is None or meant.refused or meant.action != effect:
            raise Violation(Invariant.AUTHORITY, f"{key} is in the ledger, and {meant} is all that was said")
        said, units = meant.parts[int(number) - 1]
        if said != sku:
            raise Violation(Invariant.AUTHORITY, f"{key} is in the ledger, and was said of {said}")
        return _moved(key, known.asked[call].at or meant.at, known, sku, effect, units)

    def _check_document(self, transfer: str, item: Item) -> None:
        known = self.documents.get(transfer)
        lines = {Sku(sku): units for sku, units in cast("list[tuple[str, int]]", item["lines"])}
        if known is None or (known.origin, known.destination, known.lines) != (
            item["from"],
            item["to"],
            lines,
        ):
            raise Violation(
                Invariant.AUTHORITY, f"transfer {transfer} is of {lines}, and nobody asked for that"
            )
        before, known.item = known.item, item
        shown = {
            key: Part(Sku(str(sku)), str(effect), cast(int, units), parse_instant(str(at)))
            for key, (sku, effect, units, at) in cast("Mapping[str, list[object]]", item["moves"]).items()
        }
        if shown != known.moves:
            differing = sorted(dict(shown.items() ^ known.moves.items()))
            raise Violation(Invariant.CONSERVED, f"transfer {transfer} and the ledger differ in {differing}")
        for call, text in cast("Mapping[str, str]", item["calls"]).items():
            self._learn_call(transfer, known, call, text)
        if item.get("closings", 0) != (0 if before is None else before.get("closings", 0)):
            known.at_closing = {sku: known.in_transit(sku) for sku in known.lines}
            known.told_since.clear()
        for decided, action in (("approved", "approve"), ("closed", "close")):
            if known.has(decided) and all(meant.action != action for meant in known.meant.values()):
                raise Violation(Invariant.AUTHORITY, f"transfer {transfer} is {decided}, and nobody did that")

    def _learn_call(self, transfer: str, known: Document, call: str, text: str) -> None:
        """Take note of what a call means; it keeps meaning that."""
        _, at, written, *why = json.loads(text)
        asked = known.asked.get(call)
        if asked is None:
            raise Violation(Invariant.AUTHORITY, f"transfer {transfer} has call {call}, which nobody made")
        parts = tuple((Sku(sku), cast(int, units)) for sku, units, *_ in written)
        before = known.meant.get(call)
        must = (asked.lines or self._all_of(known, asked.action)) if before is None else before.parts
        if parts != must or (before is not None and before.refused and not why):
            raise Violation(
                Invariant.ONCE, f"call {call} of transfer {transfer} means {parts}, and not {must}"
            )
        known.meant[call] = Meant(asked.action, parts, parse_instant(at), bool(why))

    def _all_of(self, known: Document, action: str) -> tuple[tuple[Sku, Quantity], ...]:
        left: Mapping[Sku, Quantity] = {}
        if action == "shipped":
            left = {sku: units - known.total(sku, "shipped") for sku, units in known.lines.items()}
        elif action == "received":
            left = {sku: known.in_transit(sku) for sku in known.lines}
        return tuple((sku, units) for sku, units in left.items() if units > 0)

    def _check_entered(self, key: str) -> None:
        """Nobody ships more than was asked for, or before the approval, nor receives what is not on its way."""
        transfer, sku, effect, _ = _named(key)
        known = self.documents[transfer]
        part = known.moves[key]
        if effect == "shipped" and (
            known.total(sku, "shipped") > known.lines[sku] or not known.has("approved") or known.has("closed")
        ):
            raise Violation(Invariant.AUTHORITY, f"{key} ships {part.units}, which it may not: {known}")
        left = known.in_transit(sku)
        if effect == "received" and min(left, known.fewest_since(sku, part.at)) < 0:
            raise Violation(
                Invariant.CONSERVED, f"{key} receives {part.units}, {-left} more than were on their way"
            )
        if effect == "lost" and left * part.units < 0:
            raise Violation(
                Invariant.CONSERVED, f"{key} writes {part.units} off, and leaves {left} in transit"
            )

    def _check_held(
        self, old: Item | None, item: Item, set_aside: Mapping[StockKey, Mapping[ChannelId, Quantity]]
    ) -> None:
        """What is held for a transfer was promised to nobody, and set aside for none."""
        more = cast(int, item["open"]) - (0 if old is None else cast(int, old["open"]))
        name = str(item["order"])
        known = self.documents.get(name.removeprefix(ORDER))
        if known is None or more <= 0:
            return
        key = StockKey(Sku(str(item["line"])), known.origin)
        left = self._oracle.available(key) - sum(set_aside.get(key, {}).values())
        newly = old is None or len(cast("dict[str, str]", item["applied"])) > len(
            cast("dict[str, str]", old["applied"])
        )
        if newly and left < 0:
            what = f"{name} holds {more} of {key}, {-left} more than there were for it"
            raise Violation(Invariant.NEVER_OVER_PROMISED, what, -left)


def call_of(actor: str, key: str) -> str:
    """Name a call by who made it and its key."""
    return hashlib.blake2b(f"{actor}\x1f{key}".encode(), digest_size=9).hexdigest()


def transfer_of(actor: str, key: str) -> str:
    """Name the transfer that somebody requests under a key."""
    return hashlib.blake2b(f"{actor}\x1f{key}".encode(), digest_size=8).hexdigest()


def _event(transfer: str, sku: Sku, effect: str, name: str) -> str:
    return f"onecount/transfer/{transfer}/{sku}/{effect}/{name}"


def _named(key: str) -> tuple[str, Sku, str, str]:
    _, _, transfer, sku, effect, name = key.split("/")
    return transfer, Sku(sku), effect, name


def _moved(key: str, at: datetime, known: Document, sku: Sku, effect: str, units: Quantity) -> Moved:
    here, there = StockKey(sku, known.origin), StockKey(sku, known.destination)
    legs: dict[str, tuple[Leg, ...]] = {
        "shipped": (Leg(here, Counter.ON_HAND, -units), Leg(there, Counter.IN_TRANSIT, units)),
        "received": (Leg(there, Counter.IN_TRANSIT, -units), Leg(there, Counter.ON_HAND, units)),
        "lost": (Leg(there, Counter.IN_TRANSIT, -units),),
    }
    transfer = _named(key)[0]
    return Moved(key, at, legs[effect], (ORDER + transfer, sku), units if effect == "shipped" else 0)


def _part(fact: Moved) -> Part:
    """Say what a movement is to the transfer that it names."""
    [way] = [leg for leg in fact.legs if leg.counter is Counter.IN_TRANSIT]
    here = {leg.stock_key.location for leg in fact.legs if leg.counter is Counter.ON_HAND}
    if not here:
        return Part(way.stock_key.sku, "lost", -way.quantity, fact.at)
    if here == {way.stock_key.location}:
        return Part(way.stock_key.sku, "received", -way.quantity, fact.at)
    return Part(way.stock_key.sku, "shipped", way.quantity, fact.at)

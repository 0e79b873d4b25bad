"""Checks what waits for a decision, at every commit: nothing waits without a reason, and nothing applies without one.

A count that waits is in the ledger and changes nothing. Which ones wait, and which version of a document stands, is read
from the ledger; whether they may, what an approver is shown, and whether a decision is one that somebody made on the
figures that stand, is worked out here.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple, cast

from infra.simulation.oracle import Counted, Oracle, Slot, SlotName
from infra.simulation.tables import Change
from infra.simulation.verdicts import Invariant, Violation
from shared.domain.events import parse_instant
from shared.domain.stock import Counter, LocationId, Quantity, Sku, StockKey
from shared.store.table import Item

DECISION = "onecount/decision/"
UNDO = "onecount/undo/"


class Decided(NamedTuple):
    """What somebody said about a count: whether it applies, having seen which balance, taken at which instant."""

    accept: bool
    seen: Quantity | None
    at: datetime | None


class CountAuditor:
    """Keeps the oracle's account of the counts that do not stand, and compares it with the ledger's."""

    def __init__(self, oracle: Oracle) -> None:
        self._oracle = oracle
        self._told: defaultdict[str, set[Decided]] = defaultdict(set)
        self._undone: set[str] = set()
        self._stood: set[str] = set()
        self._standing: defaultdict[SlotName, set[str]] = defaultdict(set)
        self._sure: defaultdict[SlotName, set[str]] = defaultdict(set)

    # ---- what the world tells -------------------------------------------------------------------------------------

    def decide(self, count: str, decided: Decided) -> None:
        """Somebody decides about a count; whether it takes effect is another matter."""
        self._told[count].add(decided)

    def undo(self, count: str) -> None:
        """Somebody takes a count back."""
        self._undone.add(count)

    # ---- what the ledger has taken --------------------------------------------------------------------------------

    def is_ours(self, key: str) -> bool:
        """Whether an event's key is that of a decision about a count."""
        return key.startswith(DECISION) or (
            isinstance(self._oracle.posted.get(key.removeprefix(UNDO)), Counted) and key.startswith(UNDO)
        )

    def decided(self, key: str, item: Item) -> SlotName:
        """A decision is in the ledger; return what it changes."""
        name = key.removeprefix(DECISION).removeprefix(UNDO)
        fact = cast(Counted, self._oracle.posted[name])
        slot = self._oracle.slot((fact.stock_key, fact.counter))
        if key.startswith(UNDO):
            if name not in self._undone:
                raise Violation(Invariant.AUTHORITY, f"count {name} was undone, and nobody asked for it")
            slot.decide(name, None)
            return fact.stock_key, fact.counter
        at = cast("str | None", item["at"])
        decided = Decided(
            item["effect"] == "accept",
            cast("int | None", item["seen"]),
            None if at is None else parse_instant(at),
        )
        told = (
            decided if decided.at is None else decided._replace(seen=None)
        )  # the ledger's number then is noted
        if told not in self._told[name]:
            raise Violation(Invariant.AUTHORITY, f"count {name} was decided as nobody did: {decided}")
        if name not in slot.waiting:
            raise Violation(Invariant.ONCE, f"count {name} does not wait, and was decided")
        known = slot.as_of(slot.judged(fact).at, without=fact)
        if decided.accept and not is_undecided(slot, fact) and decided.seen != known:
            raise Violation(
                Invariant.AUTHORITY,
                f"count {name} was approved by somebody who saw {decided.seen}, and the ledger says {known}",
                known - (decided.seen or 0),
            )
        slot.decide(name, (decided.at or fact.at) if decided.accept else None)
        return fact.stock_key, fact.counter

    def waits(self, change: Change) -> StockKey:
        """Take note of the counts of a stock key that wait now."""
        sku, location = change.key.pk.split("#")[1:]
        key = StockKey(Sku(sku), LocationId(location))
        rows = _rows(change)
        for counter in Counter:
            names = [str(cast(Item, row[2])["event_key"]) for row in rows if row[1] == str(counter)]
            if names or (key, counter) in self._oracle.slots:
                self._oracle.slot((key, counter)).wait(names)
        for row in rows:
            self._check_row(key, row)
        return key

    def stands(self, change: Change) -> SlotName:
        """Take note of a count that stands now, or does so no more."""
        sku, location, _, counter = change.key.pk.split("#")[1:]
        name = (StockKey(Sku(sku), LocationId(location)), Counter(counter))
        item = cast(Item, change.new or change.old)
        stands, is_history = change.new is not None, "history" in item
        self._oracle.slot(name).stand(str(item["event_key"]), stands, is_history=is_history)
        return name

    def _check_row(self, key: StockKey, row: Sequence[object]) -> None:
        """What an approver is shown of a count is what is true."""
        _, counter, mark, _, _, _, _, why, known, outcomes, *_ = row
        slot = self._oracle.slots[key, Counter(str(counter))]
        fact = slot.counts.get(str(cast(Item, mark)["event_key"]))
        if fact is None:
            raise Violation(Invariant.AUTHORITY, f"count {mark} of {key} waits, and nobody made it")
        judged = slot.judged(fact)
        must: tuple[str, Quantity, list[Quantity]] = (
            "approval",
            slot.as_of(judged.at, without=fact),
            [judged.quantity, judged.quantity],
        )
        if is_undecided(slot, fact):
            lowest = judged.lowest
            must = ("suspended", lowest + slot.lost_at_worst(fact), [lowest, judged.highest])
        if (why, known, outcomes) != must:
            raise Violation(
                Invariant.ORDER_DOES_NOT_MATTER,
                f"count {fact.key} waits with {(why, known, outcomes)}, and must with {must}",
            )

    # ---- what must be true ----------------------------------------------------------------------------------------

    def check(self, changed: Iterable[SlotName]) -> None:
        """After a commit: what waits has a reason to, and what has begun to stand was no surprise."""
        for name, facts in Tally(changed).items():
            slot = self._oracle.slots[name]
            for count in slot.waiting:
                self._check_reason(slot, slot.counts[count])
            standing = {entry.key for entry in slot.entries() if entry.is_count}
            for key in (*slot.counts, *self._standing[name]):
                self._check_version(slot, slot.counts[key], was_standing=key in self._standing[name])
            for entry in slot.uncovered(slot.entries()):
                raise Violation(
                    Invariant.AUTHORITY,
                    f"count {entry.key} is history beneath nothing, and nobody approved it",
                )
            sure = standing - slot.history
            begun = (sure - self._sure[name]) | (standing - self._standing[name])
            if len(begun & sure) == len(begun) == 1 and facts == 1 and begun.isdisjoint(self._stood):
                [count] = begun
                self._check_begun(slot, slot.counts[count])
            self._standing[name], self._sure[name] = standing, sure
            self._stood |= sure
            slot.stood |= sure

    def _check_version(self, slot: Slot, fact: Counted, *, was_standing: bool) -> None:
        """A version gives way to a newer one that stands; or to any, while it could not stand itself."""
        if fact.key in slot.out | slot.standing | slot.waiting or not fact.document:
            if fact.key in slot.standing:
                self._check_stands(slot, fact)
            return
        newer = [other for other in slot.versions(fact) if other.rank > fact.rank]
        could_stand = (was_standing or slot.rules.skews) and not self._must_wait(slot, fact)
        if not newer or (could_stand and not any(other.key in slot.standing for other in newer)):
            raise Violation(
                Invariant.CONSERVED,
                f"count {fact.key} stands no more, and no newer version does in its place",
            )

    def _check_stands(self, slot: Slot, fact: Counted) -> None:
        for other in slot.versions(fact):
            could_stand = other.key not in slot.out and not self._must_wait(slot, other)
            if other.rank > fact.rank and could_stand and other.key in self._stood | slot.standing:
                raise Violation(
                    Invariant.ORDER_DOES_NOT_MATTER, f"count {fact.key} stands, and {other.key} corrected it"
                )

    def _must_wait(self, slot: Slot, fact: Counted) -> bool:
        known = slot.as_of(slot.judged(fact).at, without=fact)
        is_doubtful = is_undecided(slot, fact) or (
            fact.key not in self._stood and is_surprise(slot, fact, known)
        )
        return is_doubtful and not slot.is_history(fact) and fact.key not in slot.decided

    def _check_reason(self, slot: Slot, fact: Counted) -> None:
        if fact.key in slot.out or not self._must_wait(slot, fact):
            raise Violation(Invariant.ORDER_DOES_NOT_MATTER, f"count {fact.key} waits for nothing")

    def _check_begun(self, slot: Slot, fact: Counted) -> None:
        is_alone = len(slot.entries()) == 1
        if fact.key in slot.decided or slot.is_history(fact) or is_alone:
            return
        known = slot.as_of(slot.judged(fact).at, without=fact)
        if is_undecided(slot, fact):
            raise Violation(
                Invariant.ORDER_DOES_NOT_MATTER,
                f"count {fact.key} was applied, and nobody can say what it means: {slot.judged(fact)}",
            )
        if is_surprise(slot, fact, known):
            raise Violation(
                Invariant.AUTHORITY,
                f"count {fact.key} says {fact.quantity} where the ledger said {known}, and nobody approved it",
                fact.quantity - known,
            )


def is_undecided(slot: Slot, fact: Counted) -> bool:
    """Whether the possible instants of a count lead too far apart."""
    judged = slot.judged(fact)
    return slot.rules.undecided_within.is_exceeded(judged.highest - judged.lowest, of=judged.quantity)


def is_surprise(slot: Slot, fact: Counted, known: Quantity) -> bool:
    """Whether a count says something so different that it is not believed without an approver."""
    limit = slot.rules.approve_beyond
    return limit is not None and limit.is_exceeded(slot.judged(fact).quantity - known, of=known)


def _rows(change: Change) -> list[list[object]]:
    return [] if change.new is None else cast("list[list[object]]", change.new["counts"])

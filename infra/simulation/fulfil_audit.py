"""Checks at every commit what fulfil calls come to: each ships once, and no more than is open and has not left.

What a call means is taken from where it is first written down, and must fit what was asked and how the lines stood then.
From there on it is known what it ships, or claims where somebody else says what moves: nothing else may be posted in its
name, and once it is answered all of that is. What is free of a line is reckoned from its documents alone.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, cast

from infra.simulation.network import MOVEMENTS
from infra.simulation.oracle import Demanded, Leg, Line, LineName, Moved, Oracle
from infra.simulation.tables import Change
from infra.simulation.verdicts import Invariant, Violation
from shared.domain.events import parse_instant
from shared.domain.stock import Counter, LocationId, Quantity, Sku, StockKey
from shared.store.table import Item

FULFILLED = "/fulfilled/"
"""What the key of what a call ships or claims contains."""

OURS = "EVENT#onecount/reservation/"
WRITTEN = "fulfil|"
UNCONFIRMED = ("pending", "given_back")
"""What the header of a reservation says that nobody has been promised, or is not promised any more."""
OVER_WITH = frozenset({"released_at", "expired_at", "settled_at"})
"""What the header of a reservation says once all of it was given back: units that come back to it are nobody's."""
FOREVER = 2**63

Call = tuple[str, str]
"""A reservation's order, and the name of what is said of it under one key."""

Lines = tuple[tuple[Sku, LocationId | None, Quantity], ...]


class Meant(NamedTuple):
    """What a call means: units of lines, and when it was made."""

    parts: Mapping[str, Quantity]
    at: datetime


@dataclass(slots=True)
class Asked:
    """What is asked under one key, at first at ``since`` (microseconds); of two requests one is a mistake."""

    since: int
    requests: set[Lines] = field(default_factory=set)


class FulfilAuditor:
    """Listens to the commits of reservations, and of what leaves for them; ``now`` is in microseconds."""

    def __init__(self, oracle: Oracle, now: Callable[[], int]) -> None:
        self._oracle = oracle
        self._now = now
        self._asked: dict[Call, Asked] = {}
        self._meant: dict[Call, Meant] = {}
        self._free: defaultdict[LineName, list[tuple[int, Quantity]]] = defaultdict(lambda: [(0, 0)])
        self._closed_until: dict[str, int] = {}
        self._known: defaultdict[LineName, set[str]] = defaultdict(set)
        self.lines: dict[LineName, Line] = {}

    @property
    def is_used(self) -> bool:
        """Whether anybody fulfils anything."""
        return bool(self._asked)

    def free(self, order: str) -> Quantity:
        """Return the units of a reservation that are open, and of which nobody says that they have left."""
        return sum(self.lines[order, line].free for line in self._oracle.lines_of(order))

    def claimed_last(self, name: LineName) -> datetime | None:
        """Return when units of a line were last said to have left; None: never."""
        return max((self._entered(key)[1].at for key in self._known[name]), default=None)

    # ---- what the world tells -------------------------------------------------------------------------------------

    def ask(self, call: Call, lines: Lines) -> None:
        """Somebody makes a call."""
        self._asked.setdefault(call, Asked(self._now())).requests.add(lines)

    def answered(self, call: Call, lines: Lines) -> None:
        """A call was answered: what it means is what was asked for, and all of it is posted."""
        meant = self._meant.get(call)
        if meant is None:
            raise Violation(Invariant.NOTHING_LOST, f"fulfil call {call} was answered, and is nowhere")
        if not self._fits(call, meant, lines):
            raise Violation(Invariant.ONCE, f"fulfil call {call} for {lines} was answered, and means {meant}")
        missing = [line for line in meant.parts if not self._is_posted(call, line)]
        if missing:
            units = sum(meant.parts[line] for line in missing)
            raise Violation(
                Invariant.NOTHING_LOST,
                f"fulfil call {call} was answered, and lines {missing} never posted",
                units,
            )

    def conflicted(self, call: Call) -> None:
        """A call was told that its key means something else: then somebody must have asked for that."""
        if len(self._asked[call].requests) == 1:
            raise Violation(Invariant.ONCE, f"fulfil call {call} meets itself as another request")

    def refused(self, call: Call, lines: Lines, began: int, *, is_full: bool) -> None:
        """A call was refused: there was too little at some moment since it began, or no room for it."""
        order, meant = call[0], self._meant.get(call)
        if is_full:
            is_right = meant is None and any(known == order for known, _ in self._meant)
        elif meant is not None:
            is_right = any(units > self._fewest((order, line), began) for line, units in meant.parts.items())
        else:
            was_closed = self._closed_until.get(order, -1) >= began
            is_right = was_closed or self._was_too_little(order, lines, began)
        if not is_right:
            raise Violation(
                Invariant.NOTHING_LOST, f"fulfil call {call} of {lines} was refused without a reason: {meant}"
            )

    def _was_too_little(self, order: str, lines: Lines, since: int) -> bool:
        """Whether less was free than some lines name at a moment since; where they name none, nothing at all."""
        left = {line: self._fewest((order, line), since) for line in self._oracle.lines_of(order)}
        if not lines:
            return not any(left.values())
        return any(sum(left[line] for line in self._of(order, sku, at)) < units for sku, at, units in lines)

    # ---- what the ledger has taken --------------------------------------------------------------------------------

    def foretell(self, changes: Sequence[Change]) -> None:
        """Learn what calls mean, and tell the oracle what those of a commit must ship."""
        for change in changes:
            if (
                change.key.pk.startswith("ORDER#reservation/")
                and change.key.sk == "-"
                and change.new is not None
            ):
                self._learn(change.key.pk.removeprefix("ORDER#"), change.old or {}, change.new)
        for change in changes:
            if change.key.pk.startswith(OURS):
                self._oracle.tell("", self._shipped(change.key.pk.removeprefix("EVENT#")))

    def claimed(self, key: str, stock_key: StockKey, shipped: Quantity) -> Demanded:
        """Return what a line takes as a claim: only where somebody else says what moves, and beyond what is shipped."""
        name, meant, units = self._entered(key)
        if stock_key.location not in MOVEMENTS:
            raise Violation(
                Invariant.AUTHORITY, f"{key} is a claim, and nobody else would ship it from {stock_key}"
            )
        return Demanded(key, name, stock_key, units, None, is_claim=True, at=meant.at, after=shipped)

    def stands(self, name: LineName, line: Line, documents: set[str]) -> None:
        """A line of a reservation stands like this now: what is new in it was free, and nothing left that was given back."""
        said = {key for key in documents if FULFILLED in key and key.startswith("onecount/")}
        new, free = said - self._known[name], self._free[name][-1][1]
        units = sum(self._entered(key)[2] for key in new)
        if units > free:
            what = f"{sorted(new)} let {units} leave, and {free} were open and not said to have left"
            raise Violation(Invariant.CONSERVED, what, units - free)
        left = sum(self._entered(key)[2] for key in said)
        if said and left + line.cancelled > line.newest:
            what = f"of {line.newest} of {name} {left} left by the word of callers, and {line.cancelled} were given back"
            raise Violation(Invariant.CONSERVED, what, left + line.cancelled - line.newest)
        self._known[name], self.lines[name] = said, line
        self._free[name].append((self._now(), line.free))

    def _shipped(self, key: str) -> Moved:
        """Return what a movement must be that a call makes: only where nobody else says what moves."""
        name, meant, units = self._entered(key)
        place = self._oracle.place_of(name)
        if place.location in MOVEMENTS:
            raise Violation(
                Invariant.AUTHORITY, f"{key} ships from {place}, where {MOVEMENTS[place.location]} does"
            )
        return Moved(key, meant.at, (Leg(place, Counter.ON_HAND, -units),), name, units)

    def _entered(self, key: str) -> tuple[LineName, Meant, Quantity]:
        order, line, call = _named(key)
        meant = self._meant.get((order, call))
        if meant is None or line not in meant.parts:
            raise Violation(Invariant.AUTHORITY, f"{key} lets units leave, and {meant} is all that was said")
        return (order, line), meant, meant.parts[line]

    # ---- what calls mean ------------------------------------------------------------------------------------------

    def _learn(self, order: str, old: Item, item: Item) -> None:
        """Take note of what is written of calls; it stays, though the units are left to the lines once posted."""
        is_unconfirmed = item.get("status") in UNCONFIRMED
        if is_unconfirmed or not OVER_WITH.isdisjoint(item):
            self._closed_until[order] = FOREVER
        elif self._closed_until.get(order) == FOREVER:
            self._closed_until[order] = self._now()
        gone = {name for name in old.keys() - item.keys() if name.startswith(WRITTEN)}
        if gone:
            raise Violation(Invariant.NOTHING_LOST, f"{order} has forgotten {sorted(gone)}", len(gone))
        for name, written in item.items():
            if not name.startswith(WRITTEN):
                continue
            call = order, name.removeprefix(WRITTEN)
            _, at, parts = cast("tuple[str, str, list[tuple[str, int]] | None]", written)
            known = self._meant.get(call)
            if parts is None:
                if known is None or not all(self._is_posted(call, line) for line in known.parts):
                    raise Violation(
                        Invariant.NOTHING_LOST, f"what {call} means is left to its lines: {known}"
                    )
                continue
            meant = Meant(dict(parts), parse_instant(at))
            if is_unconfirmed:
                raise Violation(Invariant.AUTHORITY, f"{call} fulfils what was never confirmed: {meant}")
            if known is None:
                self._check_meaning(call, meant)
                self._meant[call] = meant
            elif known != meant:
                raise Violation(Invariant.ONCE, f"fulfil call {call} meant {known}, and now {meant}")

    def _check_meaning(self, call: Call, meant: Meant) -> None:
        """A call means what was asked, of units that were free at some moment since; all: just these, of every line."""
        order, asked = call[0], self._asked.get(call)
        if asked is None or not any(self._fits(call, meant, lines) for lines in asked.requests):
            raise Violation(Invariant.AUTHORITY, f"fulfil call {call} means {meant}, and {asked} was asked")
        is_all = asked.requests == {()}
        for line in self._oracle.lines_of(order):
            free, units = self._since((order, line), asked.since), meant.parts.get(line, 0)
            if units not in free if is_all else units > max(free):
                raise Violation(
                    Invariant.CONSERVED,
                    f"fulfil call {call} means {units} of line {line}, and {free} were free",
                )

    def _fits(self, call: Call, meant: Meant, lines: Lines) -> bool:
        """Whether a meaning is one of a request: each item just as often as it is named, from where it is named."""
        parts = dict(meant.parts)
        for sku, place, units in lines:
            if sum(parts.pop(line, 0) for line in self._of(call[0], sku, place)) != units:
                return False
        return not lines or not parts

    def _of(self, order: str, sku: Sku, place: LocationId | None) -> list[str]:
        at = {line: self._oracle.place_of((order, line)) for line in self._oracle.lines_of(order)}
        return [line for line, key in at.items() if key.sku == sku and place in (None, key.location)]

    def _is_posted(self, call: Call, line: str) -> bool:
        key = f"onecount/{call[0]}/{line}{FULFILLED}{call[1]}"
        return key in self._oracle.posted or key in self._oracle.applied

    def _since(self, name: LineName, since: int) -> list[Quantity]:
        """Return how many units of a line were free, one after the other, from an instant on."""
        found: list[Quantity] = []
        for at, units in reversed(self._free[name]):
            found.append(units)
            if at <= since:
                break
        return found

    def _fewest(self, name: LineName, since: int) -> Quantity:
        return min(self._since(name, since))


def call_of(reservation: str, key: str) -> Call:
    """Name what is said of a reservation under a key."""
    return f"reservation/{reservation}", hashlib.blake2b(key.encode(), digest_size=9).hexdigest()


def _named(key: str) -> tuple[str, str, str]:
    _, prefix, reservation, line, _, call = key.split("/")
    return f"{prefix}/{reservation}", line, call

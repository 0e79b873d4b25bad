"""The ledger's course under a meaning, and how a source's statements lie beside it.

``difference(i)`` is statement i minus the ledger as of its instant. A source may lag by its declared latency: of the
changes that are younger than that, it may have seen any. What that allows a statement to be off by is its **slack**.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import accumulate

from shared.domain.drift import Formula, Statement
from shared.domain.root_cause.evidence import Account, Change
from shared.domain.stock import AVAILABLE_SIGN, EventKey, Quantity

MOST_STATEMENTS = 50
"""Statements that are looked at, the newest."""

MOST_CHANGES = 400
"""Changes that are looked at, the newest."""

MOST_TARGETS = 8
"""Ways of having seen only some of what is young that are allowed for when events are added up."""

SUBSETS_UP_TO = 7
"""Young changes of which any may be missing; of more, only the youngest ones one after the other."""


class Effort:
    """Counts comparisons, so that a test can hold the bound."""

    def __init__(self) -> None:
        self.done = 0

    def spend(self, steps: int) -> None:
        """Note that so many comparisons are made."""
        self.done += steps


@dataclass(frozen=True, slots=True)
class Moment:
    """The effect of one change on the number that is compared."""

    change: Change
    amount: Quantity

    @property
    def event(self) -> EventKey:
        """The event that did it."""
        return self.change.event

    @property
    def at(self) -> datetime:
        """When it became true."""
        return self.change.at


def coefficients(formula: Formula) -> dict[str, int]:
    """Return by how much a unit of each quantity moves a formula; ``available`` is written out."""
    found: dict[str, int] = {}
    for sign, term in formula.terms:
        if term in ("available", "available_to_promise"):
            parts = {str(counter): moved for counter, moved in AVAILABLE_SIGN.items() if moved}
            for name, moved in {**parts, "reserved": -1}.items():
                found[name] = found.get(name, 0) + sign * moved
        elif not term.isdigit() and term != "safety_stock":
            found[term] = found.get(term, 0) + sign
    return found


def amount_of(change: Change, weights: Mapping[str, int]) -> Quantity:
    """Return what a change does to a formula of these coefficients."""
    return sum(weights.get(name, 0) * amount for name, amount in change.amounts.items())


class Course:
    """The value of one formula at any instant that the account covers."""

    def __init__(self, formula: Formula, account: Account, changes: Sequence[Change]) -> None:
        self.formula = formula
        weights = coefficients(formula)
        self._times = [change.at for change in changes]
        self._sums = [0, *accumulate(amount_of(change, weights) for change in changes)]
        newest = account.statements[-1].as_of
        self._offset = formula.evaluate(account.level) - self._sums[bisect_right(self._times, newest)]

    def at(self, instant: datetime) -> Quantity:
        """Return the formula's value as of an instant."""
        return self._offset + self._sums[bisect_right(self._times, instant)]

    def before(self, position: int) -> Quantity:
        """Return the value before the change at a position, counted over all changes looked at."""
        return self._offset + self._sums[position]

    def position(self, instant: datetime) -> int:
        """Return how many of the changes looked at had happened as of an instant."""
        return bisect_right(self._times, instant)


class Timeline:
    """Statements and changes of one account, cut to what is looked at."""

    def __init__(self, account: Account, effort: Effort) -> None:
        self.account = account
        self.effort = effort
        self.changes = list(account.changes[-MOST_CHANGES:])
        since = account.complete_since
        if len(self.changes) < len(account.changes):
            since = account.changes[-MOST_CHANGES - 1].at
        self.statements = [
            said
            for said in account.statements[-MOST_STATEMENTS:]
            if since is None or said.as_of >= since or said is account.statements[-1]
        ]
        self.course = Course(account.meaning, account, self.changes)
        weights = coefficients(account.meaning)
        self.moments = [
            Moment(change, amount) for change in self.changes if (amount := amount_of(change, weights))
        ]
        self.expected = [self.course.at(said.as_of) for said in self.statements]
        self.differences = [
            said.quantity - expected for said, expected in zip(self.statements, self.expected, strict=True)
        ]
        self.slacks = [self._slack(said) for said in self.statements]
        self.scale = max(50, *(abs(number) for number in self.expected))
        self.onsets = self._onsets()

    @property
    def drift(self) -> Quantity:
        """What is to be explained."""
        return self.differences[-1]

    @property
    def newest(self) -> datetime:
        """The instant of the statement to be explained."""
        return self.statements[-1].as_of

    @property
    def latency(self) -> timedelta:
        """How long the source may take to follow."""
        return self.account.latency

    def is_possible(self, index: int, difference: Quantity) -> bool:
        """Whether a statement is off by ``difference`` at most because the source has yet to follow."""
        return difference == 0 or -difference in self.slacks[index]

    def settled(self) -> list[Quantity]:
        """Return the differences without what latency allows: each stays until a statement cannot be so explained."""
        level: Quantity = 0
        levels: list[Quantity] = []
        for index, difference in enumerate(self.differences):
            if not self.is_possible(index, difference - level):
                level = 0 if self.is_clean(index) else difference
            levels.append(level)
        return levels

    def explains(self, index: int, shift: Quantity) -> bool:
        """Whether a statement may be as it is if it were off by ``shift``.

        A system that does not say numbers below zero says 0 instead.
        """
        if self.is_possible(index, self.differences[index] - shift):
            return True
        return self.statements[index].quantity == 0 and self.expected[index] + shift < 0

    @property
    def targets(self) -> list[Quantity]:
        """Shifts that would explain the newest statement: its difference, with or without what it need not have seen."""
        slack = sorted(self.slacks[-1], key=abs)[:MOST_TARGETS]
        return [shift for shift in (self.drift, *(self.drift + unseen for unseen in slack)) if shift]

    def is_clean(self, index: int) -> bool:
        """Whether a statement agrees with the ledger, latency forgiven."""
        return self.is_possible(index, self.differences[index])

    @property
    def last_exact(self) -> int | None:
        """The newest statement that agreed to the unit; None where none did."""
        return next((i for i in reversed(range(len(self.statements))) if self.differences[i] == 0), None)

    @property
    def window(self) -> list[Moment]:
        """Changes that may first show in the difference: those since the last exact agreement, latency allowed."""
        exact = self.last_exact
        start = None if exact is None else self.statements[exact].as_of - self.latency
        return [m for m in self.moments if m.at <= self.newest and (start is None or m.at > start)]

    def _slack(self, said: Statement) -> set[Quantity]:
        """Return every sum of changes that the source may not have seen yet."""
        young = [m.amount for m in self.moments if said.as_of - self.latency < m.at <= said.as_of]
        self.effort.spend(len(self.moments))
        if len(young) > SUBSETS_UP_TO:
            return {*accumulate(reversed(young))} - {0}
        sums = {0}
        for amount in young:
            sums |= {known + amount for known in sums}
        return sums - {0}

    def _onsets(self) -> list[int]:
        """Return the last places where the difference changed, newest first: where a fault may have begun."""
        places = [
            index
            for index in reversed(range(len(self.statements)))
            if self.differences[index]
            and (index == 0 or self.differences[index - 1] != self.differences[index])
        ]
        return places[:8] or [len(self.statements) - 1]

"""What is lost, after any history in any order, against facts sorted by the time as of which they are true.

The oracle knows nothing of journals: it takes the counts that stand, in the order in which they were taken, and what
moved between them. A count of the shelf is off by what it says, less what the count before it said and what moved since;
the earliest counts are off by nothing; and adjustments add what they say.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import date
from itertools import pairwise
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from shared.domain.events import Count, Event, Movement, MovementKind, Origin
from shared.domain.messages import Message
from shared.domain.stock import MessageId, SourceId
from shared.sources.contract import Report
from shared.store.tallies import Tallies
from tests.operations.house import EAST, KEY, ORIGIN, WMS, House, at, count, movement

MESSAGE = Message(ORIGIN.message_id, WMS, b"", at(0), {})
SHELF, FILES = WMS, SourceId("files")
MINUTES, UNITS = st.integers(0, 12), st.integers(0, 9)


class Counts(NamedTuple):
    """One version of a document that counts the tea."""

    document: int
    source: SourceId
    version: int
    minute: int
    units: int

    @property
    def rank(self) -> tuple[int, str, str]:
        """The order of counts: as of when, then version, then event key."""
        return self.minute, str(self.version), self.event.key

    @property
    def event(self) -> Count:
        name = f"{self.source}/D{self.document}/1/count/{self.version}"
        said = count(name, self.minute, self.units, version=str(self.version))
        return replace(said, document=f"D{self.document}", origin=Origin(self.source, MessageId("m")))


class Moves(NamedTuple):
    """One movement of the tea."""

    document: int
    source: SourceId
    kind: MovementKind
    minute: int
    units: int

    @property
    def event(self) -> Movement:
        name = f"{self.source}/M{self.document}/1/{self.kind}/"
        return movement(name, self.minute, self.units, kind=self.kind)


Fact = Counts | Moves


def counts(version: int) -> st.SearchStrategy[Counts]:
    return st.builds(
        Counts, st.integers(1, 4), st.sampled_from([SHELF, FILES]), st.just(version), MINUTES, UNITS
    )


MOVES = st.builds(
    Moves,
    st.integers(1, 9),
    st.sampled_from([WMS, SourceId("shopify"), SourceId("manual")]),
    st.sampled_from([MovementKind.SHIPMENT, MovementKind.RECEIPT, MovementKind.ADJUSTMENT]),
    MINUTES,
    st.integers(-9, 9).filter(bool),
)
TOLD = st.one_of(counts(1), counts(2), MOVES)
UNDONE = st.integers(0, 9)
"""Somebody has one of the facts undone that were told so far."""


def undo(house: House, event: Event) -> bool:
    """Have what an event did taken back; return whether it was."""
    source = house.registry.network().sources[WMS]
    done = house.undoer.undo([Report(event)], source, MESSAGE, "ann", "wrong", dry_run=False)
    return done.events == 1


def summed(house: House) -> Counter[str]:
    """Return the counters of all days together."""
    sums = Counter[str]()
    for _, tally in Tallies(house.stock).between(EAST, date.min, date.max):
        sums.update(tally)
    return sums


def lost(house: House) -> int:
    """Return the units that are gone for good."""
    found = summed(house)
    return found["lost_"] - found["gained_"]


def is_adjustment(fact: Fact) -> bool:
    return isinstance(fact, Moves) and (fact.source == "manual" or fact.kind is MovementKind.ADJUSTMENT)


def gone(counted: list[Counts], moved: list[Moves]) -> int:
    """Return the units that are gone for good, of the counts that stand and the movements that nobody took back."""
    off = sum(one.units for one in moved if is_adjustment(one))
    in_order = sorted(counted, key=lambda one: one.rank)
    for before, after in pairwise(in_order):
        if after.source == SHELF and after.minute > in_order[0].minute:
            since = sum(one.units for one in moved if before.minute < one.minute <= after.minute)
            off += after.units - before.units - since
    return -off


@given(st.lists(st.tuples(st.one_of(TOLD, TOLD, UNDONE), st.booleans()), max_size=14))
def test_what_is_lost_is_what_the_facts_that_stand_come_to_whatever_was_undone_or_corrected(
    steps: list[tuple[Fact | int, bool]],
) -> None:
    house, stands, moved = House(), dict[tuple[int, SourceId], Counts](), dict[str, Moves]()
    house.clock.advance(hours=3)
    told, undone = dict[str, Fact](), set[str]()
    for step, is_counted in steps:
        if isinstance(step, int):
            fact = list(told.values())[step % len(told)] if told else None
            if fact is not None and fact.event.key not in undone and undo(house, fact.event):
                undone.add(fact.event.key)
                moved.pop(fact.event.key, None)
                if isinstance(fact, Counts):
                    del stands[fact.document, fact.source]
        elif step.event.key not in told:
            told[step.event.key] = step
            house.post(step.event)
            if isinstance(step, Moves):
                moved[step.event.key] = step
            else:
                place = (step.document, step.source)
                stands[place] = max(stands.get(place, step), step, key=lambda one: one.version)
        if is_counted:
            house.event_counter.all_of([KEY])
    house.event_counter.all_of([KEY])
    assert lost(house) == gone(list(stands.values()), list(moved.values()))
    assert summed(house)["taken_back"] == len(undone)


@given(st.lists(st.one_of(counts(1), MOVES), max_size=9, unique_by=lambda one: one.event.key), st.data())
def test_in_whatever_order_they_arrive_all_counts_but_the_earliest_are_compared_once(
    facts: list[Fact], data: st.DataObject
) -> None:
    house = House()
    house.clock.advance(hours=3)
    for fact in facts:
        house.post(fact.event)
        if data.draw(st.booleans()):
            house.event_counter.all_of([KEY])
    house.event_counter.all_of([KEY])
    minutes = [one.minute for one in facts if isinstance(one, Counts)]
    compared = summed(house)
    assert compared["counted"] + compared["read"] == sum(minute > min(minutes) for minute in minutes)

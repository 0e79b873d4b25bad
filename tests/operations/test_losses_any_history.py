"""What is lost, after any history in any order, against facts sorted by the time as of which they are true.

The oracle knows nothing of journals: it takes the counts that stand, in the order in which they were taken, and what
moved between them. A count of the shelf is off by what it says, less what the count before it said and what moved since;
the earliest counts, of the whole or of a bin, are off by nothing; and adjustments add what they say. Where counts may
wait, or bins are counted, it takes by how much a count is off from the ledger, whose own properties say that this is right.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import date
from itertools import pairwise
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from shared.domain.events import Count, Event, Leg, Movement, MovementKind, Origin
from shared.domain.ledger import Standing
from shared.domain.messages import Message
from shared.domain.network import Grain
from shared.domain.stock import WHOLE, Leaf, SourceId, parse_leaf
from shared.sources.contract import Report
from shared.store.ledger_items import standing_count
from shared.store.registry import Network
from shared.store.tallies import Tallies
from tests.operations.house import EAST, KEY, ORIGIN, WMS, House, at, count, movement
from tests.operations.waiting_counts import LIMIT, careful, hasty_clocks

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
    leaf: Leaf = WHOLE
    is_vague: bool = False

    @property
    def rank(self) -> tuple[int, str, str]:
        """The order of counts: as of when, then version, then event key."""
        return self.minute, str(self.version), self.event.key

    @property
    def event(self) -> Count:
        name = f"{self.source}/D{self.document}/{self.leaf}/count/{self.version}"
        said = count(name, self.minute, self.units, version=str(self.version))
        document, origin = f"D{self.document}/{self.leaf}", Origin(self.source, ORIGIN.message_id)
        since = at(self.minute - 2) if self.is_vague else None
        return replace(said, document=document, origin=origin, leaf=self.leaf, since=since)


class Moves(NamedTuple):
    """One movement of the tea."""

    document: int
    source: SourceId
    kind: MovementKind
    minute: int
    units: int
    leaf: Leaf = WHOLE

    @property
    def event(self) -> Movement:
        name = f"{self.source}/M{self.document}/1/{self.kind}/"
        leg = Leg(EAST, self.units, leaf=self.leaf)
        return replace(movement(name, self.minute, self.units, kind=self.kind), legs=(leg,))


Fact = Counts | Moves


def counts(version: int) -> st.SearchStrategy[Counts]:
    sources = st.sampled_from([SHELF, FILES])
    return st.builds(
        Counts,
        st.integers(1, 4),
        sources,
        st.just(version),
        MINUTES,
        UNITS,
        leaf=st.just(WHOLE),
        is_vague=st.just(False),
    )


MOVES = st.builds(
    Moves,
    st.integers(1, 9),
    st.sampled_from([WMS, SourceId("oms"), SourceId("manual")]),
    st.sampled_from([MovementKind.SHIPMENT, MovementKind.RECEIPT, MovementKind.ADJUSTMENT]),
    MINUTES,
    st.integers(-9, 9).filter(bool),
    leaf=st.just(WHOLE),
)
TOLD = st.one_of(counts(1), counts(2), MOVES)
LEAVES = st.sampled_from([WHOLE, Leaf("A"), Leaf("B")])
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


def standing(house: House) -> list[tuple[Leaf, Standing]]:
    """Return the counts of the tea that stand, as they are stored, each with what it counts."""
    items = (item for item in house.stock.scan() if str(item["pk"]).startswith("CNT#"))
    return [(parse_leaf(str(item["pk"]).split("#")[3]), standing_count(item)) for item in items]


def off_by(found: list[tuple[Leaf, Standing]]) -> int:
    """Return what the counts of the shelf that stand are off by: all that an earlier one of their bin or the whole precedes."""
    return sum(
        one.variance
        for leaf, one in found
        if one.source == SHELF
        and any(other in (leaf, WHOLE) and before.mark.as_of < one.mark.as_of for other, before in found)
    )


@given(
    st.sampled_from([careful(approve_beyond=LIMIT), hasty_clocks()]),
    st.sampled_from([Grain.LOCATION, Grain.BIN]),
    st.lists(st.tuples(st.one_of(TOLD, TOLD, UNDONE), LEAVES, st.booleans(), st.booleans()), max_size=14),
)
def test_in_bins_and_with_counts_that_wait_it_is_what_the_counts_that_stand_are_off_by(
    declared: Network, grain: Grain, steps: list[tuple[Fact | int, Leaf, bool, bool]]
) -> None:
    place = replace(declared.locations[EAST], grain=grain)
    house = House(replace(declared, locations={**declared.locations, EAST: place}))
    house.clock.advance(hours=3)
    told, adjusted = dict[str, Fact](), Counter[str]()
    for step, leaf, is_vague, is_counted in steps:
        if isinstance(step, int):
            fact = list(told.values())[step % len(told)] if told else None
            if fact is not None and undo(house, fact.event):
                del adjusted[fact.event.key]
        else:
            step = step._replace(leaf=leaf if grain is Grain.BIN else WHOLE)
            fact = step._replace(is_vague=is_vague) if isinstance(step, Counts) else step
            if told.setdefault(fact.event.key, fact) is fact:
                house.post(fact.event)
                adjusted[fact.event.key] = fact.units if is_adjustment(fact) else 0
        if is_counted:
            house.event_counter.all_of([KEY])
    house.event_counter.all_of([KEY])
    assert lost(house) == -off_by(standing(house)) - adjusted.total()

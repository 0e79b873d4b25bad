"""The stored ledger against the oracle: any order, batching, duplication and interruption ends in the same history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.events import Count, Event, Movement, MovementKind, instant, parse_instant
from shared.domain.stock import Counter
from shared.operations.post import PostingContendedError
from shared.store.table import Action, ThrottledError, UnknownOutcomeError, WriteConflictError
from tests.domain.oracle import oracle_as_of
from tests.operations.house import (
    EAST,
    KEY,
    NOON,
    ORIGIN,
    Crash,
    House,
    at,
    cancelled,
    count,
    demand,
    movement,
    shipment,
)

OFFSETS_S = (
    0,
    0.000001,
    0.999999,
    1,
    29.5,
    59.999999,
    60,
    61,
    3599.9,
    3600,
    7200.5,
    -1,
    -3600,
    -86_400,
    86_400 * 3,
    86_400 * 3 + 0.5,
    -86_400 * 400,
)
"""Seconds from noon: inside a minute, at its edges, across hours, days, and a year back."""

Drawn = tuple[str, float, int, str]
drawn_facts = st.lists(
    st.one_of(
        st.tuples(st.just("move"), st.sampled_from(OFFSETS_S), st.integers(-9, 9), st.just("")),
        st.tuples(
            st.just("count"),
            st.sampled_from(OFFSETS_S),
            st.integers(0, 30),
            st.sampled_from(["", "1", "#%/"]),
        ),
    ),
    max_size=10,
)
TROUBLES = (UnknownOutcomeError, WriteConflictError, ThrottledError, Crash)


def made(number: int, drawn: Drawn) -> Movement | Count:
    kind, seconds, quantity, version = drawn
    if kind == "move":
        return movement(f"e{number}", seconds / 60, quantity)
    return count(f"e{number}", seconds / 60, quantity, version=version)


class Troubles:
    """Interrupts writes as drawn: for each write, what happens before it and what after."""

    def __init__(self, drawn: Sequence[tuple[int, bool]]) -> None:
        self._drawn = list(drawn)

    def _happen(self, after: bool) -> None:
        if self._drawn and self._drawn[0][1] is after:
            trouble = TROUBLES[self._drawn.pop(0)[0]]
            if after and trouble in (WriteConflictError, ThrottledError):
                trouble = UnknownOutcomeError  # a write that happened is never reported as one that did not
            raise trouble

    def before(self, _actions: Sequence[Action]) -> None:
        self._happen(after=False)

    def after(self, _actions: Sequence[Action]) -> None:
        self._happen(after=True)


@settings(max_examples=250)
@given(drawn_facts, st.data())
def test_any_order_with_any_interruption_ends_in_the_oracles_history(
    drawn: list[Drawn], data: st.DataObject
) -> None:
    facts = [made(number, one) for number, one in enumerate(drawn)]
    repeated = facts + data.draw(st.lists(st.sampled_from(facts), max_size=4) if facts else st.just([]))
    deliveries = data.draw(st.permutations(repeated))
    house = House()
    troubles = st.lists(st.tuples(st.integers(0, len(TROUBLES) - 1), st.booleans()), max_size=6)
    house.stock.faults = Troubles(data.draw(troubles))
    while deliveries:
        size = data.draw(st.integers(1, len(deliveries)))
        batch, deliveries = deliveries[:size], deliveries[size:]
        for _ in range(20):
            try:
                house.post(*batch)
                break
            except (Crash, PostingContendedError):
                continue

    times = {instant_ for fact in facts for instant_ in around(fact)} | {NOON, NOON + timedelta(days=9)}
    for when in times:
        assert house.ledger.as_of(KEY, when)[Counter.ON_HAND] == oracle_as_of(facts, when), instant(when)
    assert house.on_hand() == oracle_as_of(facts, NOON + timedelta(days=99))
    house.assert_exact()


def around(fact: Movement | Count) -> list[datetime]:
    when = fact.as_of if isinstance(fact, Count) else fact.occurred_at
    microsecond = timedelta(microseconds=1)
    return [when - microsecond, when, when + microsecond, when + timedelta(seconds=20)]


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("repeats", [1, 2])
def test_the_six_orders_of_the_example_end_at_ninety_nine(order: tuple[int, ...], repeats: int) -> None:
    facts: list[Event] = [movement("a", 2, -2), count("snapshot", 3, 100), movement("b", 4, -1)]
    house = House()
    house.post(movement("opening", 0, 102))
    for index in order:
        for _ in range(repeats):
            house.post(facts[index])

    assert house.on_hand() == 99
    history = [house.ledger.as_of(KEY, at(minute))[Counter.ON_HAND] for minute in (0, 1.99, 2, 3, 3.5, 4)]
    assert history == [102, 102, 100, 100, 100, 99]
    house.assert_exact()


documents = st.permutations(
    [
        demand("ordered-1", 1, 10, "1001", version="1"),
        demand("ordered-2", 5, 7, "1001", version="2"),
        cancelled("cancelled", 7, 2, "1001"),
        shipment("shipped", 9, 3, "1001"),
        shipment("shipped-more", 11, 1, "1001"),
    ]
)


@settings(max_examples=60)
@given(documents, st.data())
def test_what_was_reserved_at_an_instant_does_not_depend_on_the_order_of_arrival(
    arrival: list[Event], data: st.DataObject
) -> None:
    house = House()
    for document in arrival:
        house.post(document)
        if data.draw(st.booleans()):
            house.post(document)

    reserved = [
        house.view.quantities(KEY, at(minute))["reserved"] for minute in (0, 1, 4, 5, 6, 7, 8, 9, 10, 11)
    ]
    assert reserved == [0, 10, 10, 7, 7, 5, 5, 2, 2, 1]
    house.assert_exact()


def test_the_same_instant_in_two_time_zones_is_the_same_instant() -> None:
    house = House()
    dateline = timezone(timedelta(hours=14))
    there = NOON.astimezone(dateline)
    house.post(count("c", 0, 10))
    legs = movement("m", 0, -3).legs
    house.post(Movement(movement("m", 0, -3).key, KEY.sku, MovementKind.ADJUSTMENT, legs, there, ORIGIN))
    assert house.on_hand() == 10  # a movement at the instant of the count precedes it
    assert house.ledger.as_of(KEY, NOON.astimezone(timezone(timedelta(hours=-12))))[Counter.ON_HAND] == 10
    house.assert_exact()


def test_an_early_year_is_written_so_that_it_sorts_and_can_be_read() -> None:
    early = datetime(987, 1, 2, tzinfo=UTC)
    assert instant(early) < instant(NOON)
    assert parse_instant(instant(early)) == early


def test_a_time_without_a_zone_is_never_guessed() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        instant(datetime(2026, 11, 1))  # noqa: DTZ001


def test_history_reads_through_many_blocks_of_the_journal() -> None:
    house = House()
    for number in range(420):
        house.post(movement(f"m{number}", number / 7, 1))
    for minute in (0, 10.5, 30, 59.9):
        expected = sum(1 for number in range(420) if number / 7 <= minute)
        assert house.ledger.as_of(KEY, at(minute))[Counter.ON_HAND] == expected
    entries = house.ledger.journal(KEY, limit=100)
    assert [entry.seq for entry in entries] == list(range(419, 319, -1))
    assert {line.slot.counter for entry in entries for line in entry.lines} == {Counter.ON_HAND}
    assert KEY.location == EAST
    house.assert_exact()


def test_every_counter_has_its_own_history() -> None:
    house = House()
    house.post(movement("r", 0, 20))
    for minute, counter in enumerate(Counter):
        if counter is not Counter.ON_HAND:
            house.post(replace(count(f"c-{counter}", minute, 10 + minute), element=counter))

    now = house.view.quantities(KEY)
    assert now["available"] == 20 - now["quality_hold"] - now["damaged"]
    then = house.ledger.as_of(KEY, at(1))
    assert then == {
        counter: 0 if minute > 1 else 20 if minute == 0 else 10 + minute
        for minute, counter in enumerate(Counter)
    }
    house.assert_exact()

"""The journal's two definitions and the two-line rule, by example and as properties against the oracle."""

from __future__ import annotations

from datetime import timedelta
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.ledger import Cause, LedgerState, fold
from tests.domain.oracle import KEY, SLOT, Book, Fact, at, count, movement, oracle_as_of


def test_a_late_movement_older_than_the_count_does_not_move_the_balance() -> None:
    book = Book()
    book.post([count("c", 3, 100)])

    book.post([movement("m", 2, -2)])

    assert book.clocks[SLOT].balance == 100
    assert book.as_of(SLOT, at(2)) == -2
    assert [(line.quantity, line.valid_at, line.cause) for line in book.lines[1:]] == [
        (-2, at(2), Cause.MOVEMENT),
        (2, at(3), Cause.RESTATED),
    ]


def test_a_receipt_after_the_count_was_taken_survives_the_count() -> None:
    book = Book()
    book.post([movement("opening", 0, 100)])
    book.post([movement("receipt", 10, 50)])

    book.post([count("cycle-count", 5, 97)])

    assert book.clocks[SLOT].balance == 147


def test_a_movement_at_the_instant_of_a_count_precedes_it() -> None:
    book = Book()
    book.post([count("c", 3, 10)])
    book.post([movement("m", 3, -4)])
    assert book.clocks[SLOT].balance == 10


def test_of_two_counts_at_one_instant_the_newer_version_stands_in_either_order() -> None:
    for versions in permutations([("first", 10, "1"), ("second", 12, "2")]):
        book = Book()
        for name, quantity, version in versions:
            book.post([count(name, 3, quantity, version)])
        assert book.clocks[SLOT].balance == 12


def test_a_count_that_confirms_the_balance_stands_in_the_journal_with_variance_zero() -> None:
    book = Book()
    book.post([movement("m", 0, 5)])
    book.post([count("c", 1, 5)])
    assert [(line.quantity, line.cause) for line in book.lines][-1] == (0, Cause.COUNT)


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_the_six_orders_of_the_issue_and_all_others_end_alike(order: tuple[int, ...]) -> None:
    facts: list[Fact] = [
        movement("opening", 0, 102),
        movement("a", 2, -2),
        count("snapshot", 3, 100),
        movement("b", 4, -1),
    ]
    book = Book()
    for index in order:
        book.post([facts[index]])
        book.post([facts[index]])
    assert book.clocks[SLOT].balance == 99


def test_legs_at_other_locations_are_left_to_their_own_posting() -> None:
    elsewhere = count("c", 0, 5)
    posting = fold(LedgerState(KEY), [elsewhere])
    assert posting.available_delta == 5


facts_strategy = st.lists(
    st.one_of(
        st.tuples(st.just("move"), st.integers(0, 12), st.integers(-9, 9), st.just("")),
        st.tuples(st.just("count"), st.integers(0, 12), st.integers(0, 30), st.sampled_from(["", "1", "2"])),
    ),
    max_size=12,
)


@settings(max_examples=400, deadline=None)
@given(facts_strategy, st.data())
def test_any_order_any_batching_and_any_duplication_end_in_the_oracles_history(
    drawn: list[tuple[str, int, int, str]], data: st.DataObject
) -> None:
    facts: list[Fact] = [
        movement(f"e{i}", minute, quantity) if kind == "move" else count(f"e{i}", minute, quantity, version)
        for i, (kind, minute, quantity, version) in enumerate(drawn)
    ]
    repeated = facts + data.draw(st.lists(st.sampled_from(facts), max_size=5) if facts else st.just([]))
    deliveries = data.draw(st.permutations(repeated))
    book = Book()
    while deliveries:
        size = data.draw(st.integers(1, len(deliveries)))
        book.post(deliveries[:size])
        deliveries = deliveries[size:]

    for half_minute in range(-1, 27):
        instant = at(0) + timedelta(seconds=30 * half_minute)
        assert book.as_of(SLOT, instant) == oracle_as_of(facts, instant)
    if facts:
        assert book.clocks[SLOT].balance == oracle_as_of(facts, at(99))
        assert sum(line.quantity for line in book.lines) == book.clocks[SLOT].balance


@settings(max_examples=100, deadline=None)
@given(facts_strategy)
def test_a_counts_stored_variance_is_the_sum_of_the_lines_that_it_stands_for(
    drawn: list[tuple[str, int, int, str]],
) -> None:
    book = Book()
    for i, (kind, minute, quantity, version) in enumerate(drawn):
        fact: Fact = (
            movement(f"e{i}", minute, quantity)
            if kind == "move"
            else count(f"e{i}", minute, quantity, version)
        )
        book.post([fact])
    counted_at = {mark.as_of for mark in book.counts.get(SLOT, {})}
    for instant in counted_at:
        variances = sum(v for mark, v in book.counts[SLOT].items() if mark.as_of == instant)
        moved = sum(
            line.quantity
            for line in book.lines
            if line.valid_at == instant and line.cause is not Cause.MOVEMENT
        )
        assert variances == moved

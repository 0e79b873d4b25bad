"""The journal's two definitions and the two-line rule, by example and as properties against the oracle."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.fold import fold
from shared.domain.ledger import Cause, CountMark, LedgerState, Slot
from shared.domain.stock import WHOLE, Counter, EventKey, Leaf
from tests.domain.oracle import (
    KEY,
    SLOT,
    Book,
    Fact,
    at,
    count,
    movement,
    oracle_as_of,
    oracle_leaves_as_of,
)


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


BIN_A, BIN_B = Leaf("A"), Leaf("B")


def test_a_late_line_on_a_bin_is_taken_back_by_every_count_that_had_seen_it() -> None:
    book = Book()
    for fact in (count("w2", 2, 10), count("a3", 3, 4, leaf=BIN_A), count("w4", 4, 9)):
        book.post([fact])
    before = len(book.lines)

    book.post([movement("late", 1, 5, BIN_A)])

    assert [(str(line.slot.leaf), line.quantity, line.valid_at) for line in book.lines[before:]] == [
        ("A/-", 5, at(1)),
        ("-", -5, at(2)),
        ("A/-", -5, at(3)),
        ("-", 5, at(4)),
    ]
    assert book.clocks[SLOT].balance == 9


def test_a_corrected_count_document_takes_the_place_of_the_first_at_its_own_time() -> None:
    for versions in permutations([("v1", 5, 40, "1"), ("v2", 3, 12, "2")]):
        book = Book()
        book.post([movement("opening", 0, 10), movement("pick", 4, -2)])
        for name, minute, quantity, version in versions:
            book.post([count(name, minute, quantity, version, document="sheet-7")])
        assert book.clocks[SLOT].balance == 10
        assert book.as_of(SLOT, at(3)) == 12
        assert set(book.counts[SLOT]) == {CountMark(at(3), "2", EventKey("v2"))}


def test_two_documents_that_count_the_same_instant_differently_are_a_dispute_whichever_comes_first() -> None:
    for order in permutations([count("c1", 3, 10, document="a"), count("c2", 3, 12, document="b")]):
        book = Book()
        for fact in order:
            book.post([fact])
        assert book.clocks[SLOT].balance == 12
        assert [{dispute.event_key, dispute.other} for dispute in book.disputes] == [{"c1", "c2"}]


leaves = st.sampled_from([WHOLE, BIN_A, BIN_B])
facts_strategy = st.lists(
    st.one_of(
        st.tuples(st.just("move"), st.integers(0, 12), st.integers(-9, 9), st.just(""), leaves, st.just("")),
        st.tuples(
            st.just("count"),
            st.integers(0, 12),
            st.integers(0, 30),
            st.sampled_from(["", "1", "2"]),
            leaves,
            st.sampled_from(["", "x", "y"]),
        ),
    ),
    max_size=12,
)
Drawn = tuple[str, int, int, str, Leaf, str]


def made(drawn: Sequence[Drawn]) -> list[Fact]:
    return [
        movement(f"e{i}", minute, quantity, leaf)
        if kind == "move"
        else count(f"e{i}", minute, quantity, version, leaf, document)
        for i, (kind, minute, quantity, version, leaf, document) in enumerate(drawn)
    ]


@settings(max_examples=500)
@given(facts_strategy, st.data())
def test_any_order_any_batching_and_any_duplication_end_in_the_oracles_history(
    drawn: list[Drawn], data: st.DataObject
) -> None:
    facts = made(drawn)
    repeated = facts + data.draw(st.lists(st.sampled_from(facts), max_size=5) if facts else st.just([]))
    deliveries = data.draw(st.permutations(repeated))
    book = Book()
    while deliveries:
        size = data.draw(st.integers(1, len(deliveries)))
        book.post(deliveries[:size])
        deliveries = deliveries[size:]

    for half_minute in range(-1, 27):
        instant = at(0) + timedelta(seconds=30 * half_minute)
        known = oracle_leaves_as_of(facts, instant)
        assert book.as_of(SLOT, instant) == sum(known.values())
        for leaf in (BIN_A, BIN_B):
            assert book.as_of(Slot(leaf, Counter.ON_HAND), instant) == known.get(leaf, 0)
    for slot, clock in book.clocks.items():
        assert clock.balance == book.as_of(slot, at(99))
        assert clock.last_count == max(book.counts.get(slot, {}), default=None)
    if facts:
        assert book.clocks[SLOT].balance == oracle_as_of(facts, at(99))


@settings(max_examples=100)
@given(facts_strategy)
def test_a_counts_stored_variance_is_the_sum_of_the_lines_that_it_stands_for(drawn: list[Drawn]) -> None:
    book = Book()
    for fact in made(drawn):
        book.post([fact])
    for slot, counts in book.counts.items():
        for instant in {mark.as_of for mark in counts}:
            variances = sum(count.variance for mark, count in counts.items() if mark.as_of == instant)
            moved = sum(
                line.quantity
                for line in book.lines
                if line.slot == slot and line.valid_at == instant and line.cause is not Cause.MOVEMENT
            )
            assert variances == moved

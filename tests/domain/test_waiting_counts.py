"""Counts that wait: for an approver, or because clocks leave it open what they had seen."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.count_decisions import ChangedSinceSeenError, Decision, NoLongerWaitsError
from shared.domain.ledger import Rules, Slot, Why
from shared.domain.network import Tolerance
from shared.domain.stock import Counter, EventKey, Leaf
from tests.domain.oracle import SLOT, Book, Fact, at, count, movement
from tests.domain.waiting import APPROVAL, COARSE, OMS, balance, coarse_counts, made, moves

FORGIVING = Rules(
    skews={OMS: timedelta(minutes=2)},
    coarsest=timedelta(minutes=4),
    undecided_within=Tolerance(percent_hundredths=0, units=1_000),
)


# ---- approval ---------------------------------------------------------------------------------------------------


def test_a_count_beyond_the_limit_waits_and_moves_nothing_while_movements_go_on() -> None:
    book = Book(APPROVAL)
    book.post([movement("opening", 0, 100)])
    book.post([count("c", 5, 60)])
    book.post([movement("pick", 6, -10)])

    assert balance(book) == 90
    assert [(w.why, w.known, w.quantity) for w in book.waiting] == [(Why.APPROVAL, 100, 60)]


def test_the_first_number_that_is_ever_said_of_a_slot_needs_no_approval() -> None:
    book = Book(APPROVAL)
    book.post([count("c", 5, 60)])
    assert balance(book) == 60


def test_an_approved_count_applies_as_of_its_own_time() -> None:
    book = Book(APPROVAL)
    book.post([movement("opening", 0, 100), count("c", 5, 60), movement("pick", 6, -10)])

    book.decide(Decision(EventKey("c"), accept=True, seen=100))

    assert balance(book) == 50
    assert not book.waiting


def test_an_approval_of_a_number_that_has_changed_is_refused_with_the_new_one() -> None:
    book = Book(APPROVAL)
    book.post([movement("opening", 0, 100), count("c", 5, 60)])
    book.post([movement("late", 4, -15)])

    with pytest.raises(ChangedSinceSeenError) as refused:
        book.decide(Decision(EventKey("c"), accept=True, seen=100))

    assert refused.value.known == 85
    assert balance(book) == 85


def test_a_late_movement_that_explains_the_variance_releases_the_count() -> None:
    book = Book(APPROVAL)
    book.post([movement("opening", 0, 100), count("c", 5, 60)])
    book.post([movement("late", 4, -40)])
    assert (balance(book), book.waiting) == (60, [])
    with pytest.raises(NoLongerWaitsError):
        book.decide(Decision(EventKey("c"), accept=True, seen=60))


def test_a_rejected_count_never_applies() -> None:
    book = Book(APPROVAL)
    book.post([movement("opening", 0, 100), count("c", 5, 60)])
    book.decide(Decision(EventKey("c"), accept=False, seen=100))
    book.post([movement("late", 4, -40)])
    assert (balance(book), book.waiting) == (60, [])
    assert book.counts.get(SLOT, {}) == {}


def test_a_newer_accepted_count_turns_the_one_that_waits_into_history() -> None:
    book = Book(APPROVAL)
    book.post([movement("opening", 0, 100), count("c", 5, 60)])
    book.post([count("newer", 8, 99)])
    assert (balance(book), book.waiting) == (99, [])
    assert book.as_of(SLOT, at(6)) == 60


def test_a_corrected_document_replaces_the_version_that_waits() -> None:
    book = Book(APPROVAL)
    book.post([movement("opening", 0, 100), count("c1", 5, 60, "1", document="sheet")])
    book.post([count("c2", 5, 99, "2", document="sheet")])
    assert (balance(book), book.waiting) == (99, [])


# ---- suspension -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_a_count_whose_day_saw_a_movement_waits_and_withholds_the_lowest_outcome(
    order: Sequence[int],
) -> None:
    facts: list[Fact] = [
        movement("opening", 0, 12),
        count("c", 8, 10, since=4),
        movement("ship", 6, -3, source="oms"),
    ]
    book = Book(COARSE)
    for index in order:
        book.post([facts[index]])

    assert balance(book) == 9
    assert [(w.why, w.outcomes) for w in book.waiting] == [(Why.SUSPENDED, (7, 10))]
    assert book.available == 7


def test_the_exact_instant_decides_a_suspended_count() -> None:
    for minute, expected in ((5, 7), (7, 10)):
        book = Book(COARSE)
        book.post([movement("opening", 0, 12), count("c", 8, 10, since=4)])
        book.post([movement("ship", 6, -3, source="oms")])
        book.decide(Decision(EventKey("wms/c"), accept=True, at=at(minute)))
        assert (balance(book), book.available, book.waiting) == (expected, expected, [])
        book.post([movement("ship-2", 6.5, -1, source="oms")])
        assert not book.waiting


def test_outcomes_that_are_near_enough_apply_as_if_all_had_come_before_the_count() -> None:
    for order in permutations(range(3)):
        facts: list[Fact] = [
            movement("opening", 0, 12),
            count("c", 8, 10, since=8),
            movement("ship", 9, -3, source="oms"),
        ]
        book = Book(FORGIVING)
        for index in order:
            book.post([facts[index]])
        assert (balance(book), book.waiting) == (10, [])


def test_within_one_source_its_own_sequence_decides() -> None:
    book = Book(COARSE)
    book.post([movement("opening", 0, 12), count("c", 8, 10, since=8), movement("wms/pick", 9, -3)])
    assert (balance(book), book.waiting) == (7, [])


@pytest.mark.parametrize("rules", [COARSE, FORGIVING], ids=["suspends", "forgives"])
@settings(max_examples=300)
@given(st.lists(moves, max_size=8), coarse_counts, st.data())
def test_whether_a_count_waits_and_what_it_leads_to_does_not_depend_on_the_order(
    rules: Rules,
    drawn: list[tuple[str, int, int, str, Leaf]],
    counted: tuple[str, int, int, int, Leaf],
    data: st.DataObject,
) -> None:
    facts = made([*drawn, counted])
    histories = []
    for deliveries in (facts, data.draw(st.permutations(facts))):
        book = Book(rules)
        rest = list(deliveries)
        while rest:
            size = data.draw(st.integers(1, len(rest)))
            book.post(rest[:size])
            rest = rest[size:]
        slots = [SLOT, Slot(Leaf("A"), Counter.ON_HAND)]
        told = [book.as_of(slot, at(minute / 2)) for slot in slots for minute in range(-1, 45)]
        waits = [(w.mark, w.why, w.known, w.outcomes) for w in book.waiting]
        assert sum(line.quantity for line in book.lines) == balance(book)
        histories.append((told, waits, book.available))
    assert histories[0] == histories[1]


# ---- counts beside each other that clocks leave open --------------------------------------------------------------


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_two_counts_that_a_movement_leaves_open_both_wait(order: Sequence[int]) -> None:
    facts: list[Fact] = [
        movement("ship", 6, -3, source="oms"),
        count("c0", 5, 20, since=4),
        count("c1", 6, 28, since=5),
    ]
    book = Book(COARSE)
    book.post([movement("opening", 0, 20)])
    for index in order:
        book.post([facts[index]])
    waits = [(w.mark.event_key, w.outcomes) for w in book.waiting]
    assert (balance(book), sorted(waits)) == (17, [("wms/c0", (17, 20)), ("wms/c1", (25, 28))])

    book.decide(Decision(EventKey("wms/c1"), accept=False))

    assert (book.available, [w.mark.event_key for w in book.waiting]) == (17, ["wms/c0"])


@settings(max_examples=300, deadline=None)
@given(st.lists(moves, max_size=4), st.lists(coarse_counts, min_size=2, max_size=3), st.data())
def test_what_counts_near_each_other_lead_to_does_not_depend_on_their_order(
    drawn: list[tuple[str, int, int, str, Leaf]],
    counted: list[tuple[str, int, int, int, Leaf]],
    data: st.DataObject,
) -> None:
    facts = made([*drawn, *counted])
    ends = []
    for deliveries in (facts, data.draw(st.permutations(facts))):
        book = Book(COARSE)
        for fact in deliveries:
            book.post([fact])
        slots = [SLOT, Slot(Leaf("A"), Counter.ON_HAND)]
        told = [book.as_of(slot, at(minute / 2)) for slot in slots for minute in range(-1, 45)]
        ends.append(
            (told, sorted((w.mark, w.why, w.known, w.outcomes) for w in book.waiting), book.available)
        )
    assert ends[0] == ends[1]

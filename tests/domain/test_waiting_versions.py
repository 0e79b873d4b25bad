"""Versions of one count document of which some wait: the newest that can be accepted stands until a newer one can.

Dated files are such documents too: each says the same again, with another time.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.count_decisions import ChangedSinceSeenError, Decision
from shared.domain.ledger import Rules, Why
from shared.domain.stock import WHOLE, EventKey, Leaf
from tests.domain.oracle import SLOT, Book, Fact, at, count, movement
from tests.domain.waiting import APPROVAL, COARSE, OMS, balance, coarse_counts, made, moves


def version(number: int, quantity: int, minute: float = 5) -> Fact:
    return count(f"c{number}", minute, quantity, str(number), document="sheet")


@pytest.fixture
def corrected() -> Book:
    """A book whose ledger said 90, whose first version of a sheet says 95 and stands, and whose second waits with 5."""
    book = Book(APPROVAL)
    book.post([movement("opening", 0, 90)])
    book.post([version(1, 95)])
    book.post([version(2, 5, 6)])
    return book


def test_while_a_newer_version_waits_the_accepted_one_stands(corrected: Book) -> None:
    assert (balance(corrected), corrected.available) == (95, 95)
    assert [(w.mark.event_key, w.known) for w in corrected.waiting] == [("c2", 90)]


def test_a_newer_version_that_is_accepted_takes_the_older_out_in_the_same_posting(corrected: Book) -> None:
    before = len(corrected.lines)
    corrected.decide(Decision(EventKey("c2"), accept=True, seen=90))
    assert balance(corrected) == 5
    assert corrected.as_of(SLOT, at(5)) == 90
    lines = [(line.cause, line.quantity) for line in corrected.lines[before:]]
    assert lines == [("retracted", -5), ("count", -85)]


def test_when_a_newer_version_is_rejected_the_older_still_stands(corrected: Book) -> None:
    corrected.decide(Decision(EventKey("c2"), accept=False))
    corrected.post([movement("late", 4, -7)])
    assert (balance(corrected), corrected.waiting) == (95, [])


def test_an_approval_is_bound_to_what_the_ledger_says_without_the_older_version(corrected: Book) -> None:
    with pytest.raises(ChangedSinceSeenError) as refused:
        corrected.decide(Decision(EventKey("c2"), accept=True, seen=95))
    assert refused.value.known == 90
    assert balance(corrected) == 95


def test_a_third_version_takes_the_place_of_the_second_that_waits(corrected: Book) -> None:
    corrected.post([version(3, 6)])
    assert (balance(corrected), [w.mark.event_key for w in corrected.waiting]) == (95, ["c3"])
    corrected.post([version(4, 91)])
    assert (balance(corrected), corrected.waiting) == (91, [])


@pytest.mark.parametrize("order", list(permutations([1, 2, 3])))
def test_the_order_in_which_versions_arrive_does_not_matter(order: Sequence[int]) -> None:
    book = Book(APPROVAL)
    book.post([movement("opening", 0, 90)])
    said = {1: version(1, 95), 2: version(2, 300, 4), 3: version(3, 5, 6)}
    for number in order:
        book.post([said[number]])
    assert (balance(book), [w.mark.event_key for w in book.waiting]) == (95, ["c3"])


def test_a_version_that_waits_is_accepted_once_a_late_movement_explains_it(corrected: Book) -> None:
    corrected.post([movement("late", 1, -85)])
    assert (balance(corrected), corrected.waiting) == (5, [])
    assert corrected.as_of(SLOT, at(5)) == 5


def test_an_older_version_stands_nowhere_once_a_newer_one_was_accepted(corrected: Book) -> None:
    corrected.decide(Decision(EventKey("c2"), accept=True, seen=90))
    corrected.post([count("c1b", 7, 95, "1b", document="sheet")])
    assert balance(corrected) == 5


def test_a_newer_version_that_nobody_can_place_lets_the_older_stand_and_promises_the_lowest() -> None:
    for later, available in ((30, 27), (60, 40)):
        book = Book(COARSE)
        book.post([movement("opening", 0, 12), count("c1", 1, 40, "1", document="sheet", since=1)])
        book.post([movement("ship", 9, -3, source="oms")])
        book.post([count("c2", 9, later, "2", document="sheet", since=9)])
        assert balance(book) == 37
        assert [(w.why, w.outcomes) for w in book.waiting] == [(Why.SUSPENDED, (later - 3, later))]
        assert book.available == min(37, available)


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_a_version_that_becomes_undecidable_lets_the_older_stand_again(order: Sequence[int]) -> None:
    facts: list[Fact] = [
        movement("opening", 0, 12),
        count("c1", 1, 40, "1", document="sheet", since=1),
        count("c2", 9, 30, "2", document="sheet", since=9),
        movement("ship", 9, -3, source="oms"),
    ]
    book = Book(COARSE)
    for index in order:
        book.post([facts[index]])
    assert balance(book) == 37
    assert [(w.mark.event_key, w.outcomes) for w in book.waiting] == [("wms/c2", (27, 30))]
    assert book.available == 27

    book.decide(Decision(EventKey("wms/c2"), accept=False))
    assert (balance(book), book.available, book.waiting) == (37, 37, [])


def dated(number: int, quantity: int, written: float) -> Fact:
    return count(f"d{number}", written, quantity, str(number), document="file", since=0)


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_a_dated_count_that_is_said_again_changes_nothing(order: Sequence[int]) -> None:
    """Written at 2 and again at 4, and between them another system received 7."""
    facts = [dated(1, 50, 2), movement("in", 3, 7, source="oms"), dated(2, 50, 4), movement("out", 12, -1)]
    book = Book(Rules(skews={OMS: timedelta(0)}, coarsest=timedelta(minutes=4)))
    for index in order:
        book.post([facts[index]])
    assert (balance(book), book.available, book.waiting) == (56, 56, [])


def test_a_dated_count_that_is_said_again_with_another_number_waits_beside_the_first() -> None:
    book = Book(Rules(coarsest=timedelta(minutes=4)))
    for fact in (dated(1, 50, 2), movement("in", 3, 7, source="oms"), dated(2, 52, 4)):
        book.post([fact])
    assert (balance(book), [w.outcomes for w in book.waiting]) == (57, [(52, 59)])
    assert book.available == 52
    book.post([dated(3, 50, 4)])
    assert (balance(book), book.available, book.waiting) == (57, 57, [])


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_a_dated_file_that_is_said_again_keeps_its_older_versions(order: Sequence[int]) -> None:
    """The last two say the same, as of 6 at the latest; a movement at 5 leaves that open, and the first stands."""
    facts = [dated(1, 7, 2), dated(2, 6, 6), dated(3, 6, 7), movement("ship", 5, -2, source="oms")]
    book = Book(Rules(skews={OMS: timedelta(0)}, coarsest=timedelta(minutes=9)))
    for index in order:
        book.post([facts[index]])
    assert (balance(book), book.available, [w.outcomes for w in book.waiting]) == (5, 4, [(4, 6)])


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 16), st.integers(-9, 9), st.sampled_from(["wms", "oms"])), max_size=3),
    st.lists(st.tuples(st.sampled_from([5, 6, 7]), st.integers(1, 9)), max_size=5, unique_by=lambda d: d[1]),
    st.data(),
)
def test_what_dated_files_lead_to_does_not_depend_on_their_order(
    moved: list[tuple[int, int, str]], written: list[tuple[int, int]], data: st.DataObject
) -> None:
    facts: list[Fact] = [movement(f"m{i}", at_, n, source=source) for i, (at_, n, source) in enumerate(moved)]
    facts += [
        dated(i, units, time) for i, (units, time) in enumerate(sorted(written, key=lambda one: one[1]))
    ]
    ends = []
    for deliveries in (facts, data.draw(st.permutations(facts))):
        book = Book(Rules(skews={OMS: timedelta(0)}, coarsest=timedelta(minutes=9)))
        for fact in deliveries:
            book.post([fact])
        told = [book.as_of(SLOT, at(minute / 2)) for minute in range(-1, 45)]
        waits = [(w.mark.as_of, w.mark.version, w.why, w.known, w.outcomes) for w in book.waiting]
        ends.append((told, waits, book.available))
    assert ends[0] == ends[1]


said_versions = st.lists(
    st.tuples(st.integers(1, 9), st.integers(0, 30), st.integers(0, 2)),
    min_size=1,
    max_size=4,
    unique_by=lambda said: said[1],
)


@settings(max_examples=300)
@given(st.lists(moves, max_size=6), said_versions, st.data())
def test_what_versions_lead_to_does_not_depend_on_their_order(
    drawn: list[tuple[str, int, int, str, Leaf]], versions: list[tuple[int, int, int]], data: st.DataObject
) -> None:
    """Judged beside an oracle: the newest version that can be placed stands, and the newest of all, if not, waits."""
    said: list[Fact] = [
        count(f"v{n}", minute, units, str(n), document="sheet", since=minute - open_)
        for n, (minute, units, open_) in enumerate(versions)
    ]
    alone = []
    for one in said:
        book = Book(COARSE)
        book.post([*made(drawn), one])
        alone.append((one, book))
    placed = [(one, book) for one, book in alone if not book.waiting]
    book = Book(COARSE)
    for fact in data.draw(st.permutations([*made(drawn), *said])):
        book.post([fact])
    without = Book(COARSE)
    without.post(made(drawn))
    stands, must = placed[-1] if placed else (None, without)
    waits = [] if stands is said[-1] else [said[-1].key]
    assert [w.mark.event_key for w in book.waiting] == waits
    assert balance(book) == balance(must)
    for minute in range(20):
        assert book.as_of(SLOT, at(minute)) == must.as_of(SLOT, at(minute))
    if_accepted = [balance(last) - w.known + w.outcomes[0] for last in [alone[-1][1]] for w in last.waiting]
    assert book.available == min([balance(book), *if_accepted])


@settings(max_examples=300, deadline=None)
@given(
    st.lists(moves, max_size=4),
    st.lists(coarse_counts, min_size=2, max_size=4, unique_by=lambda drawn: drawn[2]),
    st.data(),
)
def test_undone_versions_are_as_if_never_told_whatever_is_told_and_undone_first(
    drawn: list[tuple[str, int, int, str, Leaf]],
    counted: list[tuple[str, int, int, int, Leaf]],
    data: st.DataObject,
) -> None:
    versions = [
        count(f"v{n}", minute, quantity, str(n), WHOLE, "sheet", since=minute - window)
        for n, (_, minute, quantity, window, _) in enumerate(counted)
    ]
    undone = data.draw(st.lists(st.sampled_from(versions), unique=True))
    facts: list[Fact] = [*made(drawn), *versions]
    ends = []
    for told in ([fact for fact in facts if fact not in undone], data.draw(st.permutations(facts))):
        book, left = Book(COARSE), list(undone)
        book.post([movement("opening", 0, 20)])
        for number, fact in enumerate(told):
            book.post([fact])
            while left and left[0] in told[: number + 1] and data.draw(st.booleans()):
                book.withdraw(left.pop(0).key)
        for fact in left:
            book.withdraw(fact.key)
        told_of = [book.as_of(SLOT, at(minute / 2)) for minute in range(-1, 45)]
        ends.append(
            (told_of, sorted((w.mark, w.why, w.known, w.outcomes) for w in book.waiting), book.available)
        )
    assert ends[0] == ends[1]

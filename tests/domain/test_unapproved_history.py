"""History that nobody approved: a surprise under an accepted count waits as soon as nothing covers it any more."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.count_decisions import Decision
from shared.domain.events import Count
from shared.domain.ledger import Slot
from shared.domain.stock import WHOLE, Counter, EventKey, Leaf
from tests.domain.oracle import SLOT, Book, Fact, at, count, movement
from tests.domain.waiting import APPROVAL, balance


def told_after_100(facts: Sequence[Fact], order: Sequence[int]) -> Book:
    """A book that began with 100 units and is told facts one by one, in an order."""
    book = Book(APPROVAL)
    book.post([movement("opening", 0, 100)])
    for index in order:
        book.post([facts[index]])
    return book


def test_history_that_nobody_approved_waits_when_a_newer_version_no_longer_covers_it() -> None:
    """Monday's count is a surprise, and history for Tuesday's; which is then corrected to say the same surprise."""
    book = Book(APPROVAL)
    book.post([movement("opening", 0, 100), count("monday", 5, 500)])
    book.post([count("tuesday1", 10, 100, "1", document="tuesday")])
    book.post([count("tuesday2", 10, 500, "2", document="tuesday")])
    assert (balance(book), book.available) == (100, 100)
    assert [(w.mark.event_key, w.known) for w in book.waiting] == [("tuesday2", 100)]


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_history_that_nobody_approved_waits_when_what_covers_it_turns_out_to_be_older(
    order: Sequence[int],
) -> None:
    facts: list[Fact] = [
        count("sheet1", 10, 100, "1", document="sheet"),
        count("odd", 5, 500),
        count("sheet2", 3, 100, "2", document="sheet"),
    ]
    book = told_after_100(facts, order)
    assert (balance(book), [w.mark.event_key for w in book.waiting]) == (100, ["odd"])
    assert book.as_of(SLOT, at(6)) == 100


@pytest.mark.parametrize("surprises", [1, 3])
def test_history_that_nobody_approved_waits_when_what_covers_it_is_undone(surprises: int) -> None:
    book = Book(APPROVAL)
    book.post([movement("opening", 0, 100), count("sheet", 10, 100)])
    odd = [f"odd{number}" for number in range(surprises)]
    book.post([count(name, 5 + number, 500) for number, name in enumerate(odd)])
    assert (balance(book), book.waiting) == (100, [])

    book.withdraw("sheet")

    assert (balance(book), book.available) == (100, 100)
    assert sorted((w.mark.event_key, w.known) for w in book.waiting) == [(name, 100) for name in odd]
    book.decide(Decision(EventKey("odd0"), accept=True, seen=100))
    assert (balance(book), book.waiting) == (500, [])


def test_history_within_the_limit_stands_when_what_covers_it_is_undone() -> None:
    book = Book(APPROVAL)
    book.post([movement("opening", 0, 100), count("sheet", 10, 100), count("odd", 5, 500)])
    book.post([count("near", 7, 101)])
    book.withdraw("sheet")
    assert (balance(book), book.waiting) == (101, [])
    assert book.as_of(SLOT, at(6)) == 500


def test_what_was_approved_or_rejected_stays_so_when_what_covers_it_is_undone() -> None:
    for accept, expected in ((True, 60), (False, 100)):
        book = Book(APPROVAL)
        book.post([movement("opening", 0, 100), count("odd", 5, 60)])
        book.decide(Decision(EventKey("odd"), accept=accept, seen=100))
        book.post([count("sheet", 10, expected)])
        book.withdraw("sheet")
        assert (balance(book), book.waiting) == (expected, [])


def test_an_approval_of_a_version_is_bound_to_what_stands_without_the_history_under_the_older() -> None:
    book = Book(APPROVAL)
    book.post([movement("opening", 0, 100), count("sheet1", 10, 100, "1", document="sheet")])
    book.post([count("odd", 5, 500)])
    book.post([count("sheet2", 7, 300, "2", document="sheet")])
    assert (balance(book), [(w.mark.event_key, w.known) for w in book.waiting]) == (100, [("sheet2", 100)])

    book.decide(Decision(EventKey("sheet2"), accept=True, seen=100))

    assert (balance(book), book.waiting) == (300, [])
    assert book.as_of(SLOT, at(6)) == 500


def test_an_older_version_stands_again_when_what_made_the_newer_one_history_is_undone() -> None:
    book = Book(APPROVAL)
    book.post([movement("opening", 0, 100), count("v1", 5, 98, "1", document="sheet")])
    book.post([count("newer", 10, 99)])
    book.post([count("v2", 6, 500, "2", document="sheet")])
    assert (balance(book), book.waiting) == (99, [])
    book.withdraw("newer")
    assert (balance(book), [(w.mark.event_key, w.known) for w in book.waiting]) == (98, [("v2", 100)])


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_a_version_between_one_that_stands_and_one_that_waits_stands_when_a_movement_explains_it(
    order: Sequence[int],
) -> None:
    facts: list[Fact] = [
        count("v1", 5, 100, "1", document="sheet"),
        count("v2", 5, 500, "2", document="sheet"),
        count("v3", 5, 900, "3", document="sheet"),
        movement("late", 3, 400),
    ]
    book = told_after_100(facts, order)
    assert (balance(book), [(w.mark.event_key, w.known) for w in book.waiting]) == (500, [("v3", 500)])


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_a_version_between_one_that_stands_and_one_that_waits_is_history_when_another_count_covers_it(
    order: Sequence[int],
) -> None:
    facts: list[Fact] = [
        count("v1", 1, 100, "1", document="sheet"),
        count("v2", 1, 500, "2", document="sheet"),
        count("v3", 2, 500, "3", document="sheet"),
        count("other", 2, 100),
    ]
    book = told_after_100(facts, order)
    assert (balance(book), [w.mark.event_key for w in book.waiting]) == (100, ["v3"])
    assert book.as_of(SLOT, at(1)) == 500


@pytest.mark.parametrize("order", list(permutations(range(4))))
@pytest.mark.parametrize(
    ("units", "must", "waits"),
    [(217, 217, [("v2", 217)]), (500, 200, [("other", 200), ("v2", 195)])],
    ids=["near what the older version says", "far from it"],
)
def test_an_older_version_that_a_movement_explains_beneath_one_that_waits_decides_about_other_counts(
    units: int, must: int, waits: list[tuple[str, int]], order: Sequence[int]
) -> None:
    """The same counts wait as before; but there is one that stands by now, and the others are judged beside it."""
    facts: list[Fact] = [
        count("v1", 2, 200, "1", document="sheet"),
        count("v2", 9, 900, "2", document="sheet"),
        count("other", 5, units),
        movement("late", 1, 95),
    ]
    book = told_after_100(facts, order)
    assert (balance(book), sorted((w.mark.event_key, w.known) for w in book.waiting)) == (must, waits)


def test_a_version_that_waits_is_compared_with_all_that_stands_where_the_one_it_corrects_is_out() -> None:
    book = Book(APPROVAL)
    book.post([movement("opening", 0, 195)])
    book.post([count("c1", 10, 195, "1", document="covering")])
    book.post([count("v1", 2, 200, "1", document="sheet")])
    book.post([count("v2", 8, 900, "2", document="sheet")])
    book.post([count("other", 5, 217)])
    book.post([count("c2", 10, 500, "2", document="covering")])
    assert (balance(book), [(w.mark.event_key, w.known) for w in book.waiting]) == (195, [("c2", 217)])

    book.decide(Decision(EventKey("c2"), accept=False))
    book.withdraw("c1")
    assert (balance(book), [(w.mark.event_key, w.known) for w in book.waiting]) == (217, [("v2", 217)])


minutes, numbers = st.integers(1, 9), st.sampled_from([100, 195, 200, 217, 500])


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(minutes, numbers), min_size=2, max_size=3),
    st.lists(st.tuples(minutes, numbers), min_size=1, max_size=2),
    st.lists(st.tuples(minutes, st.sampled_from([-95, -5, 5, 95])), min_size=1, max_size=2),
    st.data(),
)
def test_whatever_is_told_all_that_waits_is_judged_to_the_end(
    versions: list[tuple[int, int]],
    others: list[tuple[int, int]],
    moved: list[tuple[int, int]],
    data: st.DataObject,
) -> None:
    """So whatever is posted next, and touches none of it, finds nothing more to judge."""
    facts: list[Fact] = [
        count(f"v{n}", minute, units, str(n), document="sheet") for n, (minute, units) in enumerate(versions)
    ]
    facts += [count(f"c{n}", minute, units) for n, (minute, units) in enumerate(others)]
    facts += [movement(f"m{n}", minute, units) for n, (minute, units) in enumerate(moved)]
    book = Book(APPROVAL)
    book.post([movement("opening", 0, 100)])
    for n, fact in enumerate(data.draw(st.permutations(facts))):
        book.post([fact])
        judged = list(book.waiting), [book.as_of(SLOT, at(minute)) for minute in range(12)]
        book.post([movement(f"later{n}", 50, 1)])
        assert (list(book.waiting), [book.as_of(SLOT, at(minute)) for minute in range(12)]) == judged


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(minutes, numbers, st.sampled_from(["", "", "sheet"])), min_size=3, max_size=7),
    st.lists(st.tuples(minutes, st.sampled_from([-95, 5, 95, 400])), max_size=3),
    st.sampled_from([1, 2]),
    st.data(),
)
def test_what_is_settled_a_few_at_a_time_ends_as_what_is_settled_at_once(
    counts: list[tuple[int, int, str]], moved: list[tuple[int, int]], most: int, data: st.DataObject
) -> None:
    facts: list[Fact] = [
        count(f"c{n}", minute, units, str(n), document=sheet)
        for n, (minute, units, sheet) in enumerate(counts)
    ]
    facts += [movement(f"m{n}", minute, units) for n, (minute, units) in enumerate(moved)]
    one, few = Book(APPROVAL), Book(APPROVAL, most)
    order = data.draw(st.permutations(facts))
    undone = data.draw(st.sets(st.sampled_from([fact.key for fact in facts if isinstance(fact, Count)])))
    for book in (one, few):
        book.post([movement("opening", 0, 100)])
        for fact in order:
            book.post([fact])
        for name in sorted(undone):
            book.withdraw(name)

    for minute in range(12):
        assert few.as_of(SLOT, at(minute)) == one.as_of(SLOT, at(minute))
    assert sorted(few.waiting) == sorted(one.waiting)
    assert few.counts.get(SLOT, {}) == one.counts.get(SLOT, {})
    assert few.documents == one.documents


said_quantities = st.lists(
    st.tuples(st.integers(1, 12), st.sampled_from([100, 500, 900]), st.booleans()),
    min_size=1,
    max_size=6,
)


@settings(max_examples=300, deadline=None)
@given(said_quantities, st.sampled_from([WHOLE, Leaf("A")]), st.data())
def test_no_order_makes_a_surprise_the_balance_or_leads_elsewhere(
    said: list[tuple[int, int, bool]], leaf: Leaf, data: st.DataObject
) -> None:
    """Of one document's versions and other counts, some far beyond the limit, some are undone in the end."""
    counts = [
        count(f"c{n}", minute, quantity, str(n), leaf, "sheet" if is_version else "")
        for n, (minute, quantity, is_version) in enumerate(said)
    ]
    slot, singles = Slot(leaf, Counter.ON_HAND), [fact.key for fact in counts if not fact.document]
    undone = data.draw(st.lists(st.sampled_from(singles), unique=True)) if singles else []
    ends = []
    for facts in (counts, data.draw(st.permutations(counts))):
        book = Book(APPROVAL)
        book.post([movement("opening", 0, 100, leaf)])
        for fact in facts:
            book.post([fact])
            assert book.clocks[slot].balance == 100
        for key in undone:
            book.withdraw(key)
            assert book.clocks[slot].balance == 100
        told = [book.as_of(slot, at(minute / 2)) for minute in range(30)]
        ends.append((told, sorted((w.mark, w.why, w.known) for w in book.waiting), book.available))
    assert ends[0] == ends[1]

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
from shared.domain.stock import WHOLE, Counter, EventKey, Leaf, SourceId
from tests.domain.oracle import SLOT, Book, Fact, at, count, movement

APPROVAL = Rules(approve_beyond=Tolerance(percent_hundredths=1_000, units=2))
OMS = SourceId("oms")
COARSE = Rules(skews={OMS: timedelta(minutes=2)}, coarsest=timedelta(minutes=4))
FORGIVING = Rules(
    skews={OMS: timedelta(minutes=2)},
    coarsest=timedelta(minutes=4),
    undecided_within=Tolerance(percent_hundredths=0, units=1_000),
)


def balance(book: Book) -> int:
    return book.clocks[SLOT].balance


# ---- approval ---------------------------------------------------------------------------------------------------


def told_after_100(facts: Sequence[Fact], order: Sequence[int]) -> Book:
    """A book that began with 100 units and is told facts one by one, in an order."""
    book = Book(APPROVAL)
    book.post([movement("opening", 0, 100)])
    for index in order:
        book.post([facts[index]])
    return book


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


moves = st.tuples(
    st.just("move"),
    st.integers(0, 16),
    st.integers(-9, 9),
    st.sampled_from(["wms", "oms"]),
    st.sampled_from([WHOLE, Leaf("A")]),
)
coarse_counts = st.tuples(
    st.just("count"),
    st.integers(4, 16),
    st.integers(0, 30),
    st.integers(0, 4),
    st.sampled_from([WHOLE, Leaf("A")]),
)


def made(drawn: Sequence[tuple[str, int, int, int | str, Leaf]]) -> list[Fact]:
    return [
        movement(f"e{i}", minute, quantity, leaf, str(more))
        if kind == "move"
        else count(f"e{i}", minute, quantity, leaf=leaf, since=minute - int(more))
        for i, (kind, minute, quantity, more, leaf) in enumerate(drawn)
    ]


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


# ---- versions of one document ------------------------------------------------------------------------------------


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


# ---- history that nobody approved -----------------------------------------------------------------------------------


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

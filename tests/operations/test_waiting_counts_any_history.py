"""Counts that wait, stored: after any history and interruption the same as the pure rules say."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.ledger import Slot
from shared.domain.network import Grain
from shared.domain.stock import WHOLE, Counter, Leaf
from shared.operations.count_rules import count_rules
from shared.store.table import Action, UnknownOutcomeError, WriteConflictError
from tests.domain import oracle
from tests.domain.oracle import Book, Fact
from tests.operations.house import EAST, House, Interruption, at
from tests.operations.waiting_counts import hasty_clocks

facts = st.lists(
    st.one_of(
        st.tuples(
            st.just("move"),
            st.sampled_from([0, 1, 2.5, 59, 60, 61, 130]),
            st.integers(-9, 9),
            st.sampled_from(["wms", "oms"]),
            st.sampled_from([WHOLE, Leaf("A"), Leaf("#%")]),
        ),
        st.tuples(
            st.just("count"),
            st.sampled_from([1, 2, 3, 60, 62, 131]),
            st.integers(0, 30),
            st.sampled_from([0, 3, "x", "y"]),
            st.sampled_from([WHOLE, Leaf("A")]),
        ),
    ),
    max_size=9,
)


def made(drawn: Sequence[tuple[str, float, int, object, Leaf]]) -> list[Fact]:
    events: list[Fact] = []
    for i, (kind, minute, quantity, more, leaf) in enumerate(drawn):
        if kind == "move":
            events.append(oracle.movement(f"e{i}", minute, quantity, leaf, str(more)))
        elif isinstance(more, int):
            events.append(oracle.count(f"e{i}", minute, quantity, leaf=leaf, since=minute - more))
        else:
            events.append(oracle.count(f"e{i}", minute, quantity, str(i), leaf, str(more)))
    return events


@pytest.mark.parametrize("forgiven", [0, 1_000], ids=["suspends", "forgives"])
@settings(max_examples=120)
@given(facts, st.data())
def test_what_is_stored_is_what_the_pure_rules_say_whatever_interrupts_it(
    forgiven: int, drawn: list[tuple[str, float, int, object, Leaf]], data: st.DataObject
) -> None:
    declared = hasty_clocks(Grain.BIN, forgiven)
    house, book = House(declared), Book(count_rules(declared, EAST))
    rest = made(drawn)
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        batch, rest = rest[:size], rest[size:]
        trouble = data.draw(st.sampled_from([None, "before", "after"]))
        error = data.draw(st.sampled_from([UnknownOutcomeError, WriteConflictError]))

        def once(_n: int, _actions: Sequence[Action], error: type[Exception] = error) -> None:
            house.stock.faults = None
            raise error

        if trouble == "before" or (trouble == "after" and error is UnknownOutcomeError):
            house.stock.faults = Interruption(**{trouble: once})
        house.post(*batch)
        house.stock.faults = None
        book.post(batch)

    house.assert_exact()
    assert house.ledger.waiting(oracle.KEY) == list(book.waiting) if book.waiting else True
    assert house.available(oracle.KEY) == book.available
    for minute in (-1, 0, 0.5, 1, 2, 2.5, 3, 4, 59, 60, 61, 62, 100, 130, 131, 999):
        stored = house.ledger.as_of(oracle.KEY, at(minute))[Counter.ON_HAND]
        assert stored == book.as_of(oracle.SLOT, at(minute))
    leaves = house.ledger.leaves(oracle.KEY)
    for leaf in (Leaf("A"), Leaf("#%")):
        stored = leaves.get(leaf, {}).get(Counter.ON_HAND, 0)
        assert stored == book.as_of(Slot(leaf, Counter.ON_HAND), at(999))

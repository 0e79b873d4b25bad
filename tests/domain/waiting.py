"""Rules under which counts wait, and what is told to a book under them, drawn at random or one by one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from hypothesis import strategies as st

from shared.domain.ledger import Rules
from shared.domain.network import Tolerance
from shared.domain.stock import WHOLE, Leaf, SourceId
from tests.domain.oracle import SLOT, Book, Fact, count, movement

APPROVAL = Rules(approve_beyond=Tolerance(percent_hundredths=1_000, units=2))
OMS = SourceId("oms")
COARSE = Rules(skews={OMS: timedelta(minutes=2)}, coarsest=timedelta(minutes=4))


def balance(book: Book) -> int:
    """Return the units on hand, of all leaves not told apart."""
    return book.clocks[SLOT].balance


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
    """Return the facts that were drawn as ``moves`` and ``coarse_counts``, in their order."""
    return [
        movement(f"e{i}", minute, quantity, leaf, str(more))
        if kind == "move"
        else count(f"e{i}", minute, quantity, leaf=leaf, since=minute - int(more))
        for i, (kind, minute, quantity, more, leaf) in enumerate(drawn)
    ]

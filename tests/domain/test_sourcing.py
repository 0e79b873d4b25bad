"""Sourcing: the first that serves all, else line by line, else split; always the same answer, and it adds up."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shared.domain.sourcing import choose_sources
from shared.domain.stock import LocationId, Sku, StockKey

TEA, MUG = Sku("TEA"), Sku("MUG")
EAST, WEST, NORTH = LocationId("east"), LocationId("west"), LocationId("north")
PRIORITY = (EAST, WEST, NORTH)


def has(**units: int) -> dict[StockKey, int]:
    """Write ``east_TEA=3`` for three of TEA at east."""
    return {
        StockKey(Sku(sku), LocationId(place)): number
        for name, number in units.items()
        for place, _, sku in [name.partition("_")]
    }


def test_the_first_location_that_has_everything_serves_the_whole_order() -> None:
    found = choose_sources({TEA: 2, MUG: 1}, has(east_TEA=9, west_TEA=2, west_MUG=1, north_TEA=5), PRIORITY)
    assert found.shares == {TEA: ((WEST, 2),), MUG: ((WEST, 1),)}
    assert found.explanation == ("west is the first location that can serve the whole order (east cannot)",)


def test_else_each_line_comes_whole_from_the_first_that_has_it() -> None:
    found = choose_sources({TEA: 2, MUG: 1}, has(east_TEA=1, west_TEA=2, north_MUG=1), PRIORITY)
    assert found.shares == {TEA: ((WEST, 2),), MUG: ((NORTH, 1),)}
    assert "TEA: west is the first location that has 2" in found.explanation


def test_else_a_line_is_split_by_priority() -> None:
    found = choose_sources({TEA: 5}, has(east_TEA=1, west_TEA=3, north_TEA=3), PRIORITY)
    assert found.shares == {TEA: ((EAST, 1), (WEST, 3), (NORTH, 1))}
    assert found.explanation[-1] == "TEA: no location has 5, so 1 from east + 3 from west + 1 from north"


def test_what_nobody_has_is_asked_of_the_first_location() -> None:
    found = choose_sources({TEA: 5}, has(west_TEA=3), PRIORITY)
    assert found.shares == {TEA: ((EAST, 2), (WEST, 3))}
    assert found.explanation[-1].endswith("; 2 of them nobody has")


def test_a_location_that_owes_gives_nothing() -> None:
    assert choose_sources({TEA: 1}, has(east_TEA=-4, west_TEA=1), PRIORITY).shares == {TEA: ((WEST, 1),)}


keys = st.builds(StockKey, st.sampled_from((TEA, MUG)), st.sampled_from(PRIORITY))


@given(
    st.dictionaries(st.sampled_from((TEA, MUG)), st.integers(1, 6), min_size=1),
    st.dictionaries(keys, st.integers(-2, 6)),
    st.permutations(PRIORITY),
)
def test_every_unit_is_served_once_and_none_is_taken_that_is_not_there_if_there_are_enough(
    wanted: dict[Sku, int], promised: dict[StockKey, int], priority: list[LocationId]
) -> None:
    found = choose_sources(wanted, promised, priority)
    for sku, units in wanted.items():
        shares = found.shares[sku]
        assert sum(given for _, given in shares) == units
        assert len({place for place, _ in shares}) == len(shares)
        if sum(max(0, promised.get(StockKey(sku, place), 0)) for place in priority) >= units:
            assert all(given <= promised.get(StockKey(sku, place), 0) for place, given in shares)

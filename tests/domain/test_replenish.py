"""What is proposed to go where: within the shortage, the excess and the capacity, and only where something is short."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from shared.domain.money import Money, parse_money
from shared.domain.network import Replenishment, Route
from shared.domain.replenish import Pace, Position, Proposal, Unmet, propose
from shared.domain.stock import LocationId, Quantity, Sku, StockKey

EAST, NORTH, WEST = LocationId("east"), LocationId("north"), LocationId("west")
TEA, MUG = Sku("TEA"), Sku("MUG")
DAY = timedelta(days=1)
TWO_DAYS = Route(EAST, 2 * DAY, parse_money("80 EUR"))


def sells(units: Quantity, available: Quantity, **more: Quantity) -> Position:
    """Return a position that sells so many units in ten days."""
    return Position(available, Pace(units, 10 * DAY), **more)


def proposed(
    needs: dict[Sku, Position],
    givers: dict[StockKey, Position],
    *routes: Route,
    prices: dict[Sku, Money] | None = None,
    kept: dict[LocationId, Replenishment] | None = None,
    **minimum: Quantity,
) -> tuple[list[Proposal], list[Unmet]]:
    rule = Replenishment(10, {Sku(sku): units for sku, units in minimum.items()}, routes or (TWO_DAYS,))
    return propose(WEST, rule, needs, givers, kept or {}, prices or {})


def quantities(proposals: list[Proposal]) -> dict[tuple[LocationId, Sku], Quantity]:
    return {(one.route.origin, line.sku): line.quantity for one in proposals for line in one.lines}


def test_what_sells_out_before_help_could_come_is_filled_up_to_its_cover() -> None:
    [proposal], unmet = proposed({TEA: sells(50, 9)}, {StockKey(TEA, EAST): sells(0, 500)})

    [line] = proposal.lines
    assert (line.shortage.least, line.shortage.target) == (10, 60)  # 5 a day for 2 days, and for 12
    assert (line.quantity, line.limited_by, unmet) == (51, "shortage", [])


def test_what_lasts_until_help_could_come_is_not_short() -> None:
    assert proposed({TEA: sells(50, 10)}, {StockKey(TEA, EAST): sells(0, 500)}) == ([], [])


def test_what_is_coming_and_what_was_requested_count_as_there() -> None:
    for coming in ({"incoming": 10}, {"in_transit": 10}, {"requested": 10}):
        assert proposed({TEA: sells(50, 0, **coming)}, {StockKey(TEA, EAST): sells(0, 500)}) == ([], [])


def test_a_minimum_is_held_even_of_what_never_sells() -> None:
    proposals, _ = proposed({TEA: sells(0, 3)}, {StockKey(TEA, EAST): sells(0, 500)}, TEA=8)
    assert quantities(proposals) == {(EAST, TEA): 5}


def test_the_giver_keeps_what_it_sells_itself_and_its_minimum() -> None:
    givers = {StockKey(TEA, EAST): sells(30, 40)}
    [proposal], [unmet] = proposed({TEA: sells(50, 0)}, givers)
    assert (proposal.lines[0].quantity, proposal.lines[0].limited_by) == (10, "excess")
    assert (unmet.sku, unmet.units) == (TEA, 50)
    [east] = unmet.given
    assert (east.route.origin, east.excess.keeps, east.excess.cover_days) == (EAST, 30, 10)
    assert (east.units, east.limited_by) == (10, "excess")

    own = {EAST: Replenishment(1, {TEA: 35})}
    proposals, _ = proposed({TEA: sells(50, 0)}, givers, kept=own)
    assert quantities(proposals) == {(EAST, TEA): 5}


def test_the_ways_are_taken_by_priority_then_cost_until_the_capacity_is_full() -> None:
    north = Route(NORTH, DAY, parse_money("200 EUR"), capacity=20, priority=1)
    cheap = Route(EAST, DAY, parse_money("80 EUR"))
    givers = {StockKey(TEA, EAST): sells(0, 500), StockKey(TEA, NORTH): sells(0, 500)}

    proposals, unmet = proposed({TEA: sells(50, 0)}, givers, cheap, north)

    assert quantities(proposals) == {(NORTH, TEA): 20, (EAST, TEA): 35}
    assert (proposals[0].lines[0].limited_by, unmet) == ("capacity", [])
    dear = Route(NORTH, DAY, parse_money("200 EUR"))
    assert quantities(proposed({TEA: sells(50, 0)}, givers, dear, cheap)[0]) == {(EAST, TEA): 55}


def test_what_runs_out_first_is_served_first() -> None:
    small = Route(EAST, 2 * DAY, capacity=30)
    givers = {StockKey(sku, EAST): sells(0, 500) for sku in (TEA, MUG)}

    proposals, [unmet] = proposed({TEA: sells(50, 9), MUG: sells(20, 0)}, givers, small)

    assert quantities(proposals) == {(EAST, MUG): 24, (EAST, TEA): 6}
    assert (unmet.sku, unmet.units) == (TEA, 45)
    assert [(one.units, one.limited_by) for one in unmet.given] == [(6, "capacity")]


def test_what_it_costs_is_compared_with_what_the_units_are_worth() -> None:
    givers = {StockKey(TEA, EAST): sells(0, 500)}
    worth = {
        text: proposed({TEA: sells(5, 0)}, givers, prices={TEA: parse_money(text)})[0][0]
        for text in ("20 EUR", "2 EUR", "20 USD")
    }
    assert [one.is_worth_its_cost for one in worth.values()] == [True, False, None]
    assert str(worth["20 EUR"].worth) == "120 EUR"


POSITIONS = st.builds(
    Position,
    st.integers(-20, 200),
    st.builds(Pace, st.integers(0, 300), st.integers(1, 28).map(lambda days: days * DAY)),
    st.integers(0, 50),
    st.integers(0, 50),
    st.integers(0, 50),
)
SKUS = st.sampled_from([TEA, MUG, Sku("CUP")])
ROUTES = st.lists(
    st.builds(
        Route,
        st.sampled_from([EAST, NORTH]),
        st.integers(1, 5).map(lambda days: days * DAY),
        st.none() | st.integers(0, 100).map(lambda cost: parse_money(f"{cost} EUR")),
        st.none() | st.integers(1, 60),
        st.integers(0, 2),
    ),
    max_size=2,
    unique_by=lambda route: route.origin,
)


@given(
    st.dictionaries(SKUS, POSITIONS),
    st.dictionaries(st.builds(StockKey, SKUS, st.sampled_from([EAST, NORTH])), POSITIONS),
    ROUTES,
    st.dictionaries(SKUS, st.integers(1, 40)),
)
def test_nothing_is_proposed_beyond_shortage_excess_or_capacity_and_every_shortage_is_answered(
    needs: dict[Sku, Position],
    givers: dict[StockKey, Position],
    routes: list[Route],
    minimum: dict[Sku, Quantity],
) -> None:
    rule = Replenishment(7, minimum, tuple(routes))

    proposals, unmet = propose(WEST, rule, needs, givers, {}, {})

    taken: dict[Sku, Quantity] = {}
    for proposal in proposals:
        capacity = proposal.route.capacity
        assert capacity is None or sum(line.quantity for line in proposal.lines) <= capacity
        for line in proposal.lines:
            assert 1 <= line.quantity <= line.excess.units
            assert (
                line.excess.keeps + line.quantity
                <= givers[StockKey(line.sku, proposal.route.origin)].available
            )
            assert needs[line.sku].expected < line.shortage.least
            taken[line.sku] = taken.get(line.sku, 0) + line.quantity
    most = {
        sku: max(line.shortage.units for one in proposals for line in one.lines if line.sku == sku)
        for sku in taken
    }
    open_ = {one.sku: one for one in unmet}
    for sku, units in taken.items():
        assert units <= max(most[sku], open_[sku].shortage.units if sku in open_ else 0)
    for one in unmet:
        assert one.units == one.shortage.units - taken.get(one.sku, 0) > 0

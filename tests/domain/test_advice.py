"""Advice is robust against what it looks for, exact in whole numbers, and silent where too little is known."""

from __future__ import annotations

from datetime import timedelta
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.activity import Activity, Change
from shared.domain.advice import (
    FEWEST,
    ErrorRate,
    KeyBuffer,
    Latency,
    SiteReliability,
    buffer_advice,
    error_rate,
    median,
    percentile,
    ranked_sites,
    ranked_to_count,
    to_count,
    unusual_movements,
)
from shared.domain.drill import COUNTED
from shared.domain.money import Money, parse_money
from shared.domain.stock import ChannelId, EventKey, LocationId, Sku, StockKey
from tests.operations.house import EAST, KEY, NOON, SHOP

LONG_AGO = NOON - timedelta(days=28)


def activity(*units: int, kind: str = "receipt", key: StockKey = KEY) -> Activity:
    """Changes an hour apart, the last one an hour ago."""
    changes = tuple(
        Change(NOON - timedelta(hours=len(units) - n), size, kind, EventKey(f"wms/D{n}/1/{kind}/1"))
        for n, size in enumerate(units)
    )
    return Activity(key, LONG_AGO, NOON, changes=changes)


def flagged(found: Activity) -> list[int]:
    return [one.units for one in unusual_movements(found, LONG_AGO)]


# ---- movements --------------------------------------------------------------------------------------------------


def test_a_movement_far_from_the_median_of_its_kind_is_unusual_whichever_way() -> None:
    usual = [10, 12, 9, 11, 10, 13, 10, 8, 11, 12, 10]
    assert flagged(activity(*usual, 500)) == [500]
    assert flagged(activity(*(-units for units in usual), -500)) == [-500]


def test_the_outliers_that_are_looked_for_do_not_hide_each_other() -> None:
    assert flagged(activity(*[10, 11, 9] * 5, 900, 950, 1000)) == [900, 950, 1000]


def test_where_all_are_alike_a_unit_more_is_no_news() -> None:
    assert flagged(activity(*[1] * 20, 2, 3)) == []
    assert flagged(activity(*[1] * 20, 9)) == [9]


def test_kinds_are_judged_apart() -> None:
    receipts, picks = activity(*[100, 110, 90] * 5), activity(*[-1] * 14, -90, kind="pick")
    both = Activity(KEY, LONG_AGO, NOON, changes=receipts.changes + picks.changes)
    assert flagged(both) == [-90]


def test_too_few_say_nothing() -> None:
    assert flagged(activity(*[1] * (FEWEST - 2), 1000)) == []
    assert flagged(activity(*[1] * (FEWEST - 1), 1000)) == [1000]


def test_old_movements_are_beside_what_is_judged_and_not_told() -> None:
    found = activity(1000, *[1] * 20)
    assert list(unusual_movements(found, NOON - timedelta(hours=5))) == []


def test_the_reason_has_the_figures() -> None:
    [one] = unusual_movements(activity(*[10, 12] * 8, 100), LONG_AGO)
    assert one.why == "100 units; of 17 of this kind here half are within 2 of 12: 29 deviations away"


@given(st.lists(st.integers(-1000, 1000), min_size=1, max_size=30))
def test_half_lie_on_either_side_of_a_median(numbers: list[int]) -> None:
    middle = median([Fraction(number) for number in numbers])
    assert 2 * sum(number < middle for number in numbers) <= len(numbers)
    assert 2 * sum(number > middle for number in numbers) <= len(numbers)


@given(st.lists(st.integers(0, 100), min_size=1, max_size=60), st.integers(1, 100))
def test_a_percentile_is_the_least_that_so_many_do_not_exceed(numbers: list[int], percent: int) -> None:
    found = percentile(numbers, percent)
    assert sum(number <= found for number in numbers) * 100 >= percent * len(numbers)
    assert sum(number < found for number in numbers) * 100 < percent * len(numbers)


# ---- buffers ----------------------------------------------------------------------------------------------------


def test_a_buffer_is_what_would_have_done_for_most_and_names_those_for_which_it_would_not() -> None:
    keys = [KeyBuffer(StockKey(Sku(f"S{n:02}"), EAST), (n == 7 and 9) or 1, 1) for n in range(40)]
    latency = Latency((("pushed in", timedelta(seconds=3)),))

    found = buffer_advice(SHOP, latency, 1, keys)

    assert (found.usual, [(one.key.sku, one.needed) for one in found.short]) == (1, [("S07", 9)])


def test_a_latency_names_its_parts() -> None:
    latency = Latency((("heard in", timedelta(seconds=1)), ("pushed in", timedelta(milliseconds=300))))
    assert str(latency) == "1.3 s (heard in 1 s, pushed in 0.3 s)"


# ---- counts -----------------------------------------------------------------------------------------------------


def test_what_was_corrected_before_says_what_a_count_may_put_right() -> None:
    known = Activity(
        KEY,
        LONG_AGO,
        NOON,
        changes=activity(*[-100] * 20).changes + activity(-30, 10, kind=COUNTED).changes,
    )
    rate = error_rate([known])
    assert (rate.share, str(rate)) == (Fraction(40, 2000), "counts corrected 40 of 2000 units that moved")

    row = to_count(known, NOON - timedelta(hours=10, minutes=30), 3, parse_money("2.50 EUR"), rate)

    assert (row.moved, row.expected, row.value) == (1000, 3 + 20, Money(row.value.amount, "EUR"))  # type: ignore[union-attr]
    assert str(row.value) == "57.50 EUR"
    assert (
        row.why
        == "counted 0 days ago, 1000 units moved since; other systems differ by 3; worth up to 57.50 EUR"
    )


@pytest.mark.parametrize(
    ("prices", "first"),
    [
        (("1.00 EUR", "100.00 EUR"), "B"),
        (("1.00 EUR", "100.00 USD"), "A"),
        ((None, None), "A"),
        ((None, "1.00 EUR"), "B"),
    ],
)
def test_counts_are_ranked_by_value_where_it_can_be_compared_else_by_units(
    prices: tuple[str | None, str | None], first: str
) -> None:
    rows = [
        to_count(
            activity(units, key=StockKey(Sku(sku), EAST)),
            None,
            0,
            None if price is None else parse_money(price),
            ErrorRate(),
        )
        for sku, units, price in zip("AB", (500, 200), prices, strict=True)
    ]
    assert ranked_to_count(rows)[0].key.sku == first


def test_what_lies_still_and_agrees_need_not_be_counted() -> None:
    assert ranked_to_count([to_count(activity(), None, 0, None, ErrorRate())]) == []


# ---- sites ------------------------------------------------------------------------------------------------------


def test_the_site_where_most_units_drift_or_are_lost_stands_first() -> None:
    rows = [
        SiteReliability(LocationId("a"), drift_cases=9, drift_units=5, drift_share=50),
        SiteReliability(
            LocationId("b"), drift_cases=1, drift_units=4, drift_share=40, transfers=2, short=1, lost=2
        ),
        SiteReliability(LocationId("c")),
    ]
    ranked = ranked_sites(rows)
    assert [row.site for row in ranked] == ["b", "a", "c"]
    assert ranked[0].why == (
        "4 units of drift in 1 cases (40 % of all); of 2 transfers from there 1 came short (2 units lost), 0 late"
    )


def test_a_channel_that_was_not_measured_is_advised_nothing() -> None:
    found = buffer_advice(ChannelId("new"), None, 2, [])
    assert (found.latency, found.usual, found.short) == (None, 0, ())

"""The histogram of durations: it adds up, and a percentile is never too low and less than a quarter too high."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from shared.domain.durations import Durations, bound_ms, bucket_of

MS = timedelta(milliseconds=1)


@given(st.integers(min_value=0, max_value=10**12))
def test_a_duration_is_told_as_no_less_and_less_than_a_quarter_more(ms: int) -> None:
    told = bound_ms(bucket_of(ms * MS))
    assert ms <= told
    assert 4 * (told - ms) < max(1, ms)


@given(st.integers(min_value=0, max_value=10**6))
def test_a_longer_duration_is_on_no_earlier_step_and_steps_leave_no_gap(ms: int) -> None:
    step = bucket_of(ms * MS)
    assert step <= bucket_of((ms + 1) * MS) <= step + 1
    assert bucket_of((bound_ms(step) + 1) * MS) == step + 1


def test_where_clocks_differ_a_duration_below_zero_is_none() -> None:
    assert bucket_of(timedelta(seconds=-3)) == 0


@given(
    st.lists(st.integers(min_value=0, max_value=10**9), min_size=1), st.integers(min_value=1, max_value=100)
)
def test_a_percentile_lies_on_the_step_of_the_duration_of_that_rank(times: list[int], percent: int) -> None:
    steps: dict[int, int] = {}
    for ms in times:
        steps[bucket_of(ms * MS)] = steps.get(bucket_of(ms * MS), 0) + 1
    rank = -(-len(times) * percent // 100)
    exact = sorted(times)[rank - 1]
    assert Durations(steps).at_most_ms(percent) == bound_ms(bucket_of(exact * MS))


def test_of_nothing_there_is_no_percentile() -> None:
    assert Durations().at_most_ms(95) is None

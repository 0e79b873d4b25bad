"""What a channel may sell: the rules stack, the explanation adds up, and a claim is granted exactly when it covers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.availability import needed_for, promise
from shared.domain.network import Channel
from shared.domain.stock import ChannelId


def channel(safety_stock: int = 0, buffer_percent: int = 0, cap: int | None = None) -> Channel:
    return Channel(
        ChannelId("shop"), "shopify", safety_stock=safety_stock, buffer_percent=buffer_percent, cap=cap
    )


def test_rules_stack_and_each_step_is_named() -> None:
    found = promise(108, channel(safety_stock=5, buffer_percent=10, cap=50))
    assert found.available_to_promise == 50
    assert found.explanation == (
        ("available", 108),
        ("safety_stock", -5),
        ("buffer_percent", -11),
        ("cap", -42),
    )


@pytest.mark.parametrize(
    ("available", "promised"), [(0, 0), (-7, 0), (1, 0), (10, 9), (11, 9), (19, 17), (20, 18)]
)
def test_a_percent_buffer_rounds_the_promise_down(available: int, promised: int) -> None:
    assert promise(available, channel(buffer_percent=10)).available_to_promise == promised


def test_a_channel_that_withholds_everything_can_claim_nothing() -> None:
    assert needed_for(1, channel(buffer_percent=100)) is None
    assert promise(1000, channel(buffer_percent=100)).available_to_promise == 0


rules = st.builds(
    channel,
    st.integers(0, 30),
    st.integers(0, 100),
    st.one_of(st.none(), st.integers(0, 200)),
)


@given(st.integers(-50, 300), rules)
def test_the_explanation_adds_up_and_is_never_negative(available: int, rule: Channel) -> None:
    found = promise(available, rule)
    assert sum(units for _, units in found.explanation) == found.available_to_promise >= 0
    assert found.available_to_promise <= max(0, available)


@given(st.integers(-50, 300), st.integers(1, 300), st.integers(0, 30), st.integers(0, 100))
def test_a_claim_is_granted_exactly_when_the_promise_covers_it(
    available: int, quantity: int, safety_stock: int, percent: int
) -> None:
    rule = channel(safety_stock, percent)
    needed = needed_for(quantity, rule)
    granted = needed is not None and available >= needed
    assert granted == (promise(available, rule).available_to_promise >= quantity)

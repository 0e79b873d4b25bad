"""What a channel may sell: the rules stack, the explanation adds up, and a claim is granted exactly when it covers."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.availability import Claim, Standing, claim, promise
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
    assert claim(1, channel(buffer_percent=100), Standing(1000)) is None
    assert promise(1000, channel(buffer_percent=100)).available_to_promise == 0


rules = st.builds(
    channel,
    st.integers(0, 30),
    st.integers(0, 100),
    st.one_of(st.none(), st.integers(0, 200)),
)


kept = st.dictionaries(st.sampled_from((ChannelId("shop"), ChannelId("edi"))), st.integers(0, 60))
standings = st.builds(Standing, st.integers(-50, 300), kept, st.booleans())


@given(standings, rules, st.integers(0, 100))
def test_the_explanation_adds_up_and_is_never_negative(standing: Standing, rule: Channel, stale: int) -> None:
    found = promise(standing, replace(rule, stale_percent=stale))
    assert sum(units for _, units in found.explanation) == found.available_to_promise >= 0
    assert found.available_to_promise <= max(0, standing.available)
    assert found.is_stale == standing.is_stale


@given(standings, st.integers(1, 300), st.integers(0, 30), st.integers(0, 100), st.integers(0, 100))
def test_a_claim_is_granted_exactly_when_the_promise_covers_it(
    standing: Standing, quantity: int, safety_stock: int, percent: int, stale: int
) -> None:
    rule = replace(channel(safety_stock, percent), stale_percent=stale)
    found = claim(quantity, rule, standing)
    granted = found is not None and standing.available >= found.least_available
    assert granted == (promise(standing, rule).available_to_promise >= quantity)
    assert found is None or found.own <= min(quantity, standing.set_aside.get(rule.id, 0))


def test_units_set_aside_for_one_channel_are_its_alone() -> None:
    standing = Standing(10, {ChannelId("edi"): 4})
    edi = Channel(ChannelId("edi"), "x12")
    assert promise(standing, channel()).available_to_promise == 6
    assert promise(standing, edi).available_to_promise == 10
    assert promise(standing, channel()).explanation == (("available", 10), ("set_aside", -4))
    assert claim(5, edi, standing) == Claim(own=4, least_available=5)
    assert claim(3, edi, standing) == Claim(own=3, least_available=3)


def test_units_set_aside_that_are_not_there_are_promised_to_nobody() -> None:
    standing = Standing(3, {ChannelId("edi"): 4})
    assert promise(standing, channel()).available_to_promise == 0
    assert promise(standing, Channel(ChannelId("edi"), "x12")).available_to_promise == 3


def test_while_a_locations_counts_are_stale_the_declared_share_is_withheld_and_said() -> None:
    rule = replace(channel(safety_stock=2), stale_percent=25)
    found = promise(Standing(12, is_stale=True), rule)
    assert found.explanation == (("available", 12), ("safety_stock", -2), ("stale_percent", -3))
    assert promise(Standing(12, is_stale=True), replace(rule, stale_percent=100)).available_to_promise == 0
    assert claim(1, replace(rule, stale_percent=100), Standing(12, is_stale=True)) is None

"""Rollouts: the most specific rule wins, and a switch decides for all of its scope and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from shared.domain.rollout import ALL_LIVE, EVERYTHING, Mode, Rollout, Rule, Scope
from shared.domain.stock import LocationId, Sku

EAST, WEST = LocationId("east"), LocationId("west")
KEYS = [(Sku(sku), place) for sku in ("A", "AB", "ABC", "B", "") for place in (EAST, WEST)]

scopes = st.builds(
    Scope, st.sampled_from(["*", "A*", "AB*", "A", "AB", "ABC", "B"]), st.sampled_from([None, EAST, WEST])
)
switches = st.lists(st.tuples(scopes, st.sampled_from(Mode)), max_size=6)


def rolled(steps: list[tuple[Scope, Mode]]) -> Rollout:
    rollout = ALL_LIVE
    for scope, mode in steps:
        rollout = rollout.switched(scope, mode)
    return rollout


@given(switches, scopes, st.sampled_from(Mode))
def test_a_switch_decides_for_all_of_its_scope_and_for_nothing_else(
    steps: list[tuple[Scope, Mode]], scope: Scope, mode: Mode
) -> None:
    before = rolled(steps)
    after = before.switched(scope, mode)
    for key in KEYS:
        assert after.mode_at(*key) is (mode if scope.covers(*key) else before.mode_at(*key))


@given(switches, st.lists(st.tuples(scopes, st.sampled_from(Mode)), max_size=3), st.booleans())
def test_a_stamp_moves_exactly_where_the_mode_does(
    steps: list[tuple[Scope, Mode]], more: list[tuple[Scope, Mode]], is_declared: bool
) -> None:
    at = datetime(2026, 11, 1, tzinfo=UTC)
    before = rolled(steps[:3]).stamped(ALL_LIVE, 1, at)
    before = Rollout(rolled(steps).rules).stamped(before, 2, at)
    after = Rollout() if is_declared else before
    for scope, mode in more:
        after = after.switched(scope, mode)

    stamped = after.stamped(before, 3, at)

    for key in KEYS:
        was, becomes = before.rule_of(*key), stamped.rule_of(*key)
        assert becomes.mode is after.mode_at(*key)
        assert becomes.version == (was.version if becomes.mode is was.mode else 3)


@given(switches)
def test_switching_everything_leaves_one_rule(steps: list[tuple[Scope, Mode]]) -> None:
    assert rolled(steps).switched(EVERYTHING, Mode.SHADOW).rules == (Rule(EVERYTHING, Mode.SHADOW),)


def test_nothing_said_is_live() -> None:
    assert ALL_LIVE.mode_at(Sku("A"), EAST) is Mode.LIVE
    assert ALL_LIVE.is_live


def test_a_sku_wins_over_a_longer_prefix_over_a_shorter_one_over_a_location() -> None:
    rollout = Rollout(
        (
            Rule(Scope("*", EAST), Mode.OBSERVE),
            Rule(Scope("A*"), Mode.SHADOW),
            Rule(Scope("AB*"), Mode.OBSERVE),
            Rule(Scope("ABC"), Mode.LIVE),
        )
    )
    assert [rollout.mode_at(Sku(sku), EAST) for sku in ("B", "A", "AB", "ABC")] == [
        Mode.OBSERVE,
        Mode.SHADOW,
        Mode.OBSERVE,
        Mode.LIVE,
    ]
    assert rollout.mode_at(Sku("B"), WEST) is Mode.LIVE

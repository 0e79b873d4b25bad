"""Fulfil calls are drawn beside what a seed has anyway: nothing of that changes, and they come with some seeds only."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from infra.simulation.fulfil_calls import SHARE, has_kiosk, with_fulfilments
from infra.simulation.network import KIOSK, MOVEMENTS, network
from infra.simulation.workload import Reservation, Step, workload

SEEDS = 200


def stream(seed: int, name: str) -> Random:
    return Random(f"{seed}/{name}")  # noqa: S311 - replayed by seed, guards nothing


def drawn(seed: int) -> tuple[list[Step], list[Step]]:
    """Return the steps of a seed without fulfil calls, and with them if it has any."""
    usual = workload(stream(seed, "workload"))
    before = list(usual.steps)
    return before, with_fulfilments(stream(seed, "fulfilments"), usual).steps


def test_the_other_traffic_of_a_seed_stays_as_it_is() -> None:
    for seed in range(SEEDS):
        before, after = drawn(seed)
        kept = [
            replace(step, fulfilled=()) if isinstance(step, Reservation) else step
            for step in after[: len(before)]
        ]
        assert kept == before


def test_about_one_history_of_eight_has_fulfil_calls_and_those_have_a_kiosk() -> None:
    fulfilled = 0
    for seed in range(SEEDS):
        usual = workload(stream(seed, "workload"))
        found = with_fulfilments(stream(seed, "fulfilments"), usual)
        has_calls = any(isinstance(step, Reservation) and step.fulfilled for step in found.steps)
        assert has_calls == has_kiosk(found)
        fulfilled += has_calls

    assert SHARE / 2 < fulfilled / SEEDS < SHARE * 2


def test_nobody_owns_the_movements_of_the_kiosk_and_without_one_there_is_none() -> None:
    assert network(has_kiosk=True).locations[KIOSK].movements is None
    assert KIOSK not in MOVEMENTS
    assert KIOSK not in network().locations

"""Leases: one holder at a time, given back, and never for ever."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from shared.domain.stock import LocationId, Sku, StockKey
from shared.store.layout import INDEXES, lease_key
from shared.store.lease import HELD_FOR, Leases
from shared.store.memory import MemoryTable

KEY = StockKey(Sku("HOT"), LocationId("east"))
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


class World:
    def __init__(self) -> None:
        self.table = MemoryTable(INDEXES["stock"])
        self.now = NOON
        self.leases = Leases(self.table, lambda: self.now, self.pause)

    def pause(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


def test_a_lease_is_had_and_given_back() -> None:
    world = World()
    with world.leases.on(KEY) as held:
        assert held
        assert world.table.get(lease_key(KEY)) is not None
    assert world.table.get(lease_key(KEY)) is None


def test_a_lease_is_given_back_when_its_holder_fails() -> None:
    world = World()
    with pytest.raises(ZeroDivisionError), world.leases.on(KEY):
        raise ZeroDivisionError
    assert world.table.get(lease_key(KEY)) is None


def test_who_cannot_have_it_waits_until_its_holder_must_be_dead() -> None:
    world = World()
    holder = world.leases.on(KEY)
    assert holder.__enter__()
    with world.leases.on(KEY) as held:
        assert held
        assert world.now > NOON + HELD_FOR
    assert world.now < NOON + 2 * HELD_FOR


def test_a_late_holder_does_not_take_the_lease_of_another_away() -> None:
    world = World()
    late = world.leases.on(KEY)
    late.__enter__()
    world.now += 2 * HELD_FOR
    with world.leases.on(KEY):
        late.__exit__(None, None, None)
        assert world.table.get(lease_key(KEY)) is not None

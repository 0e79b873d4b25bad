"""What a posting left to wait is gone on with as far as it can be, and nothing else of the stock key is held by it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from shared.domain.cases import CaseKind
from shared.domain.events import Leg, Movement
from shared.domain.network import Grain
from shared.domain.stock import Leaf
from shared.operations.facts import Outcome, Result
from shared.store.inbox import MessageStatus
from shared.store.table import Action, UnknownOutcomeError, Update
from tests.operations.house import EAST, KEY, House, Interruption, at, fact, movement
from tests.operations.test_very_many_waiting_counts import told_of_bin
from tests.operations.waiting_counts import LIMIT, careful, counted, moved

MANY = 60


def bins(history: int, waiting: int) -> House:
    """Return a house where counts of bin A wait, and in bin B a correction of what covers a history of counts.

    That 60 units went from B to A before all of them explains every one.
    """
    house = House(careful(approve_beyond=LIMIT, grain=Grain.BIN))
    house.clock.now = at(600)
    for name in ("A", "B"):
        told_of_bin(house, "receipt", f"R{name}", -10, 100, name)
    sheet(house, "1", 500, 99)
    for n in range(history):
        told_of_bin(house, "count", f"C{n:03}", n, 60, "B")
    sheet(house, "2", -4.5, 40)
    for n in range(waiting):
        told_of_bin(house, "count", f"E{n:03}", -4 + n / 50, 160, "A")
    assert len(house.poster.waiting(KEY)) == waiting + 1
    return house


def sheet(house: House, version: str, minute: float, units: int) -> None:
    source, said = counted("D", minute, units, version=version)
    line = {"sku": "TEA", "bin": "B", "location": "east", "line": "1", "quantity": units}
    said["data"]["lines"] = [line]  # type: ignore[index]
    house.applier.apply(house.store(source, said))


def from_b_to_a() -> Movement:
    return replace(movement("M", -5, 0), legs=(Leg(EAST, 60, leaf=Leaf("A")), Leg(EAST, -60, leaf=Leaf("B"))))


def move_to_a(house: House) -> Result:
    [result] = house.post(from_b_to_a())
    return result


def test_what_moves_is_posted_where_what_it_settles_fits_no_transaction() -> None:
    house = bins(MANY, 40)

    assert move_to_a(house).outcome is Outcome.POSTED
    house.assert_exact()

    [result] = house.post(movement("R9", 550, 5))
    assert (result.outcome, result.reason) == (Outcome.POSTED, "")
    house.assert_exact()


def test_what_is_left_is_settled_to_the_last_although_some_begin_to_wait_meanwhile() -> None:
    house = bins(3, 110)

    assert move_to_a(house).outcome is Outcome.POSTED

    left = [count.mark.event_key for count in house.poster.waiting(KEY)]
    assert not [name for name in left if "/E" in name]
    house.assert_exact()


@pytest.mark.parametrize("step", range(3))
def test_what_is_gone_on_with_is_told_though_an_answer_was_lost(step: int) -> None:
    house = bins(3, 110)
    steps: list[Sequence[Action]] = []

    def lose(_number: int, actions: Sequence[Action]) -> None:
        if any(isinstance(action, Update) and "unfinished" in action.set for action in actions):
            steps.append(actions)
            if len(steps) == step + 1:
                raise UnknownOutcomeError

    house.stock.faults = Interruption(after=lose)
    house.teller.post([fact(from_b_to_a())], house.registry.network())

    assert len(steps) > step
    waiting = {count.mark.event_key for count in house.poster.waiting(KEY)}
    assert {case.facts["event_key"] for case in house.cases.open_of([CaseKind.COUNT_APPROVAL])} == waiting


def beneath_a_correction(*moved_before: Movement) -> House:
    """Return a house where a correction of what covers very many counts waits, dated before them."""
    house = House(careful(approve_beyond=LIMIT))
    house.clock.now = at(600)
    house.post(*moved_before)
    house.applier.apply(house.store(*counted("D", 500, 99, version="1")))
    for n in range(MANY):
        house.applier.apply(house.store(*counted(f"C{n:03}", n, 50)))
    house.applier.apply(house.store(*counted("D", -2, 40, version="2")))
    assert (house.on_hand(), len(house.poster.waiting(KEY))) == (99, 1)
    return house


def test_a_movement_that_explains_a_correction_of_what_covers_very_many_counts_is_posted() -> None:
    house = beneath_a_correction(movement("R0", -10, 100))

    assert house.applier.apply(house.store(*moved("shipment", "S1", -5, 60))) is MessageStatus.POSTED

    assert "conflict" not in house.open_cases()
    house.assert_exact()


def test_what_is_posted_again_beside_very_many_counts_is_a_duplicate() -> None:
    shipped = movement("S0", -5, -60)
    house = beneath_a_correction(movement("R0", -10, 160), shipped)

    [result] = house.post(shipped)

    assert (result.outcome, result.reason) == (Outcome.DUPLICATE, "")

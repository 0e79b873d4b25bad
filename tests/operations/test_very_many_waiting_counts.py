"""However many counts of a stock key wait, or are history, what moves is posted, and what is decided goes through."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from shared.domain.network import Grain
from shared.store.inbox import MessageStatus
from shared.store.table import Action
from tests.operations.deliveries import body
from tests.operations.house import House, Interruption, at
from tests.operations.waiting_counts import LIMIT, careful


def told_of_bin(
    house: House, kind: str, document: str, minute: float, units: int, name: str = ""
) -> MessageStatus:
    line = {"sku": "TEA", "quantity": units} | ({"bin": name} if name else {})
    return house.applier.apply(house.store("wms", body(kind, document, line, occurred_at=at(minute))))


def waiting_bins(bins: int) -> House:
    """Return a house where a count waits in each of many bins of 100 units."""
    house = House(careful(approve_beyond=LIMIT, grain=Grain.BIN))
    house.clock.now = at(600)
    for n in range(bins):
        told_of_bin(house, "receipt", f"R{n}", 0, 100, f"B{n:03}")
        told_of_bin(house, "count", f"C{n}", 10, 50, f"B{n:03}")
    return house


@pytest.mark.parametrize(
    ("kind", "minute", "units", "name", "expected"),
    [
        ("receipt", 20, 5, "B000", 10_005),
        ("shipment", 5, 50, "B000", 9_950),
        ("count", 20, 10_000, "", 10_000),
    ],
    ids=["moves", "settles one", "counts the whole"],
)
def test_what_moves_beside_a_hundred_bins_whose_counts_wait_is_posted(
    kind: str, minute: float, units: int, name: str, expected: int
) -> None:
    house = waiting_bins(100)

    assert told_of_bin(house, kind, "X", minute, units, name) is MessageStatus.POSTED

    assert house.on_hand() == expected
    house.assert_exact()


def test_bins_that_only_wait_are_not_written_again() -> None:
    writes: list[int] = []
    for bins in (1, 30):
        house = waiting_bins(bins)

        def see(_n: int, actions: Sequence[Action]) -> None:
            if any(action.key.pk.startswith("BAL#") for action in actions):
                writes.append(len(actions))

        house.stock.faults = Interruption(before=see)
        told_of_bin(house, "receipt", "X", 20, 5, "B000")

    assert len(writes) == 2
    assert writes[0] == writes[1]

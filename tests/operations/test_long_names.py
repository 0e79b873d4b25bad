"""Names that fit no key of the tables are refused where they come in, by field, and are nobody's to retry for ever."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shared.domain.cases import CaseKind, CaseStatus
from shared.domain.network import Grain
from shared.domain.stock import Sku, StockKey
from shared.operations.key_lengths import LONGEST_LEAF
from shared.operations.manual_desk import RefusedEntryError
from shared.sources.manual import ManualEntry
from shared.store.inbox import MessageStatus
from tests.operations.deliveries import body
from tests.operations.house import EAST, WMS, House, at, network

WIDE = "\u8336"
"""A character of three bytes."""


@pytest.fixture
def house() -> House:
    declared = network()
    place = replace(declared.locations[EAST], grain=Grain.BIN_LOT)
    return House(replace(declared, locations={**declared.locations, EAST: place}))


@pytest.mark.parametrize(
    ("bin_name", "lot", "field"),
    [(WIDE * 200, WIDE * 200, "bin"), ("A", "#" * 400, "lot"), ("\U0001f600" * 200, "%" * 199, "bin")],
)
def test_an_entry_by_hand_is_refused_at_once_and_nothing_is_kept(
    house: House, bin_name: str, lot: str, field: str
) -> None:
    entry = ManualEntry("adjustment", "TEA", "east", 2, "ann", "found", bin=bin_name, lot=lot)

    with pytest.raises(RefusedEntryError) as refused:
        house.manual_desk.enter(entry, "k")

    assert refused.value.field == field
    assert "bytes" in refused.value.reason
    assert str(LONGEST_LEAF) in refused.value.remedy
    assert (list(house.inbox_table.scan()), house.open_cases()) == ([], [])


def test_what_a_source_says_is_a_case_that_names_the_field(house: House) -> None:
    line = {"sku": "TEA", "quantity": 2, "bin": WIDE * 200, "lot": WIDE * 200}
    message = house.store(WMS, body("receipt", "R1", line, occurred_at=at(-5)))

    assert house.applier.apply(message) is MessageStatus.PARKED

    [case] = house.cases.list(CaseStatus.OPEN)
    assert case.kind is CaseKind.BAD_MESSAGE
    assert "bin" in case.title
    assert "900 bytes" in case.remedy


def test_names_of_the_longest_kind_that_are_let_in_are_kept_counted_and_found_again(house: House) -> None:
    line = {"sku": "TEA", "quantity": 2, "bin": WIDE * 150, "lot": WIDE * 150}
    for number, (kind, minute) in enumerate((("receipt", -9), ("count", -5), ("receipt", -7))):
        message = house.store(WMS, body(kind, f"D{number}" + "d" * 150, line, occurred_at=at(minute)))
        assert house.applier.apply(message) is MessageStatus.POSTED

    assert house.on_hand() == 2
    house.assert_exact()


def test_a_long_sku_fits_with_its_location_or_is_refused() -> None:
    sku = "\U0001f600" * 200
    house = House(skus=(sku, "#" * 400))
    fits = ManualEntry("adjustment", sku, "east", 2, "ann", "found")

    assert house.manual_desk.enter(fits, "k1").status == "posted"
    with pytest.raises(RefusedEntryError, match="sku"):
        house.manual_desk.enter(replace(fits, sku="#" * 400), "k2")

    assert house.on_hand(StockKey(Sku(sku), EAST)) == 2

"""Quantities in the sender's units: exact in the ledger, or a case that the item's own change releases."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.cases import CaseKind, CaseStatus
from shared.domain.events import instant
from shared.domain.item_changes import Declaration, changed
from shared.domain.items import Change, Item, Reference
from shared.domain.stock import Sku
from shared.store.registry import Code, Network
from tests.operations.house import KEY, NOON, TEA, WMS, House, Interruption, network


def declare(house: House, sku: str = "TEA", **said: object) -> None:
    """Change an item as its owner would."""
    before = house.registry.items.find([Sku(sku)]).get(Sku(sku), Item(Sku(sku)))
    after = changed(before, Declaration(Sku(sku), **said), Change("ann", house.clock()))  # type: ignore[arg-type]
    house.registry.items.change([(before, after)])


def receipt(
    quantity: float, unit: str | None = None, *, document: str = "GR-1", at: str = "", sku: str = "TEA"
) -> object:
    line = {"line": "1", "sku": sku, "location": "east", "quantity": quantity}
    return {
        "type": "stock.receipt",
        "timestamp": at or instant(NOON),
        "data": {"document": document, "lines": [line | ({} if unit is None else {"unit": unit})]},
    }


@pytest.fixture
def house() -> House:
    house = House()
    declare(house, base_unit="each", packs={"case": Fraction(12), "half": Fraction(1, 2)})
    return house


@pytest.mark.parametrize(
    ("quantity", "unit", "base"),
    [(3, "case", 36), (2.5, "case", 30), (5, "each", 5), (5, None, 5), (4, "half", 2), (1.0, "case", 12)],
)
def test_a_quantity_with_a_unit_is_posted_in_base_units(
    house: House, quantity: float, unit: str | None, base: int
) -> None:
    house.store("wms", receipt(quantity, unit))
    house.settle()

    assert house.on_hand() == base
    assert house.open_cases() == []
    house.assert_exact()


def test_a_count_in_cases_and_an_adjustment_below_zero_are_exact_too(house: House) -> None:
    line = {"line": "1", "sku": "TEA", "location": "east", "quantity": 4, "unit": "case"}
    data = {"document": "C-1", "lines": [line]}
    house.store("wms", {"type": "stock.count", "timestamp": instant(NOON), "data": data})
    line = line | {"quantity": -1.5}
    data = {"document": "A-1", "lines": [line]}
    house.store(
        "wms", {"type": "stock.adjustment", "timestamp": instant(NOON + timedelta(minutes=1)), "data": data}
    )
    house.clock.advance(minutes=2)
    house.settle()

    assert house.on_hand() == 48 - 18
    house.assert_exact()


def test_a_remainder_is_never_rounded_but_a_case_that_names_field_reason_and_remedy(house: House) -> None:
    house.store("wms", receipt(2.4, "case"))
    house.settle()

    (case,) = house.cases.list(CaseStatus.OPEN)
    assert house.on_hand() == 0
    assert case.kind is CaseKind.UNIT
    assert case.title == "2.4 case of TEA are 28.8 each, and 0.8 of one cannot be counted"
    assert case.facts["field"] == "quantity"
    assert "factor" in case.remedy


def test_an_unknown_unit_waits_and_is_posted_by_itself_once_it_is_declared(house: House) -> None:
    house.store("wms", receipt(2, "pallet"))
    house.settle()
    assert house.open_cases() == ["unit"]
    assert (
        "which is no unit of the item (its units: each, case, half)"
        in house.cases.list(CaseStatus.OPEN)[0].title
    )

    declare(house, packs={"pallet": Fraction(480)})
    house.sweep.run()
    house.settle()

    assert house.on_hand() == 960
    assert house.open_cases() == []
    house.assert_exact()


def test_a_remainder_is_posted_by_itself_once_the_factor_is_corrected(house: House) -> None:
    house.store("wms", receipt(2.4, "case"))
    house.settle()

    declare(house, packs={"case": Fraction(10)})
    house.sweep.run()

    assert house.on_hand() == 24
    assert house.open_cases() == []


def test_a_change_that_does_not_help_leaves_the_case_open(house: House) -> None:
    house.store("wms", receipt(2, "pallet"))
    house.settle()

    declare(house, description="Earl Grey")
    house.sweep.run()
    occurrences = house.cases.list(CaseStatus.OPEN)[0].occurrences
    house.sweep.run()

    assert house.open_cases() == ["unit"]
    assert house.cases.list(CaseStatus.OPEN)[0].occurrences == occurrences


def test_a_source_may_name_units_its_own_way(house: House) -> None:
    declared = network()
    wms = replace(declared.sources[WMS], options={"units": {"CS": "case"}, "unit": "CS"})
    house.declare(Network({**declared.sources, WMS: wms}, declared.locations, declared.channels))

    house.store("wms", receipt(2, "CS"))
    house.store("wms", receipt(1.5, document="GR-2"))
    house.settle()

    assert house.on_hand() == 24 + 18


def test_a_case_has_a_code_of_its_own(house: House) -> None:
    code = Code(WMS, "sku", "05012345678900")
    house.registry.map_codes({code: Reference(TEA, "case")}, "ann")

    house.store("wms", receipt(2, sku=code.code))
    house.settle()

    assert house.on_hand() == 24


@pytest.mark.parametrize("late", [False, True])
def test_a_factor_counts_by_when_it_happened_and_not_by_when_it_arrived(house: House, late: bool) -> None:
    declare(house, packs={"case": Fraction(10)}, effective_from=NOON + timedelta(hours=1))
    house.clock.advance(hours=3)
    messages = [
        receipt(1, "case", document="before", at=instant(NOON)),
        receipt(1, "case", document="after", at=instant(NOON + timedelta(hours=2))),
    ]
    for message in reversed(messages) if late else messages:
        house.store("wms", message)
    house.settle()

    assert house.on_hand() == 12 + 10


def test_the_same_line_in_another_unit_is_another_effect(house: House) -> None:
    house.store("wms", receipt(12, "each"))
    house.settle()
    house.store("wms", receipt(1, "case"))
    house.settle()

    assert house.on_hand() == 12
    assert house.open_cases() == ["conflict"]


def test_a_factor_that_changed_does_not_make_a_repetition_a_conflict(house: House) -> None:
    first = house.store("wms", receipt(1, "case"))
    house.settle()
    declare(house, packs={"case": Fraction(10)})

    house.sweep.apply_again(first)

    assert house.on_hand() == 12
    assert house.open_cases() == []


def test_an_item_that_is_declared_between_look_up_and_filing_is_not_missed(house: House) -> None:
    message = house.store("wms", receipt(2, "pallet"))

    def declared_just_before(_number: int, _actions: object) -> None:
        declare(house, packs={"pallet": Fraction(480)})

    house.cases_table.faults = Interruption(before=declared_just_before)
    house.applier.apply(message)

    assert house.on_hand() == 960
    assert house.open_cases() == []


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(st.sampled_from(["each", "case", "half", "dozenth"]), st.integers(1, 60)),
        min_size=1,
        max_size=6,
    ),
    st.randoms(use_true_random=False),
)
def test_in_any_order_the_ledger_holds_the_exact_sum_and_cases_hold_the_rest(
    lines: list[tuple[str, int]], rng: object
) -> None:
    house = House()
    packs = {"case": Fraction(12), "half": Fraction(1, 2), "dozenth": Fraction(1, 12)}
    declare(house, base_unit="each", packs=packs)
    messages = [receipt(units, unit, document=f"D{n}") for n, (unit, units) in enumerate(lines)]
    messages += messages[:2]
    rng.shuffle(messages)  # type: ignore[attr-defined]
    for message in messages:
        house.store("wms", message)
        house.settle()

    exact = [units * {"each": Fraction(1), **packs}[unit] for unit, units in lines]
    assert house.on_hand(KEY) == sum(value for value in exact if value.denominator == 1)
    waiting = {unit for (unit, _), value in zip(lines, exact, strict=True) if value.denominator != 1}
    assert len(house.cases.list(CaseStatus.OPEN)) == len(waiting)
    house.assert_exact()


def test_a_case_on_which_another_message_waits_is_not_closed_by_one_that_came_too_late() -> None:
    house = House()
    first = house.store("wms", receipt(3, document="GR-1", sku="NEW"))
    house.applier.apply(first)
    late = house.store("wms", receipt(4, document="GR-2", sku="NEW"))

    def mapped_just_before(_number: int, _actions: object) -> None:
        house.cases_table.faults = None
        house.registry.map_codes({Code(WMS, "sku", "NEW"): TEA}, "ann")

    house.cases_table.faults = Interruption(before=mapped_just_before)
    house.applier.apply(late)
    assert house.open_cases() == ["unknown_code"]

    house.sweep.run()
    assert house.on_hand() == 7
    assert house.open_cases() == []

"""Units of measure: exact both ways, never rounded on the way in, always down on the way out."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.item_changes import Declaration, InvalidItemError, changed, differences
from shared.domain.items import BEGINNING, Change, Component, Item, Reference, Terms, in_force, with_terms
from shared.domain.stock import Sku
from shared.domain.units import (
    BadFactorError,
    NotWholeError,
    Units,
    UnknownUnitError,
    decimal_text,
    factor_text,
    parse_factor,
    to_base,
    whole_packs,
)

quantities = st.integers(-(10**12), 10**12)
factors = st.fractions(min_value=Fraction(1, 1000), max_value=10**6, max_denominator=1000)
places = st.integers(0, 6)
NOW = BEGINNING + timedelta(days=20_000)
ANN = Change("ann", NOW)
TEA = Sku("TEA")


@given(quantities, factors, places)
def test_a_conversion_is_exact_or_refused(quantity: int, factor: Fraction, decimals: int) -> None:
    meant = Fraction(quantity, 10**decimals) * factor
    if meant.denominator == 1:
        assert to_base(quantity, factor, decimals) == meant
        return
    with pytest.raises(NotWholeError) as refused:
        to_base(quantity, factor, decimals)
    assert refused.value.converted == meant
    assert 0 < refused.value.remainder < 1


@given(quantities, st.integers(1, 10**6))
def test_packs_there_and_back_lose_nothing(packs: int, size: int) -> None:
    base = to_base(packs, Fraction(size))

    assert whole_packs(base, Fraction(size)) == (packs, 0)


@given(quantities, st.integers(1, 10**6))
def test_a_promise_in_packs_is_rounded_down_and_the_remainder_is_all_that_is_missing(
    base: int, size: int
) -> None:
    packs, left = whole_packs(base, Fraction(size))

    assert packs * size + left == base
    assert 0 <= left < size


@given(quantities, quantities, factors, places)
def test_what_converts_converts_in_a_sum_too(one: int, other: int, factor: Fraction, decimals: int) -> None:
    try:
        parts = to_base(one, factor, decimals) + to_base(other, factor, decimals)
    except NotWholeError:
        return
    assert to_base(one + other, factor, decimals) == parts


@given(factors)
def test_a_factor_is_read_as_it_was_written(factor: Fraction) -> None:
    assert parse_factor(factor_text(factor)) == factor


@given(st.decimals(min_value=Decimal("-1e9"), max_value=Decimal("1e9"), places=6))
def test_a_number_is_shown_as_it_is(value: Decimal) -> None:
    assert Fraction(decimal_text(Fraction(value))) == Fraction(value)


def test_a_number_without_end_is_shown_as_a_fraction() -> None:
    assert decimal_text(Fraction(1, 3)) == "1/3"
    assert decimal_text(Fraction(-144, 5)) == "-28.8"


@pytest.mark.parametrize(
    "text", ["", "0", "0/5", "1/0", "-1", "1e3", "twelve", "1,5", "1_0", " 12", "1.5/2", "١٢"]
)
def test_what_is_no_factor_is_refused(text: str) -> None:
    with pytest.raises(BadFactorError):
        parse_factor(text)


def test_a_pack_that_is_no_whole_number_of_units_is_not_sold_by() -> None:
    with pytest.raises(BadFactorError):
        whole_packs(10, Fraction(5, 2))


def test_a_unit_that_was_not_declared_is_unknown() -> None:
    units = Units("each", {"case": Fraction(12)})

    assert [units.factor(unit) for unit in ("", "each", "case")] == [1, 1, 12]
    with pytest.raises(UnknownUnitError):
        units.factor("CASE")


# ---- terms by time ----------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 50), min_size=1, max_size=8), st.integers(-5, 60))
def test_the_terms_in_force_do_not_depend_on_the_order_of_declaration(days: list[int], day: int) -> None:
    said = {at: Reference(Sku(f"S{at}"), "", BEGINNING + timedelta(days=at)) for at in days}
    forward: tuple[Reference, ...] = ()
    backward: tuple[Reference, ...] = ()
    for at in said:
        forward = with_terms(forward, said[at])
    for at in reversed(said):
        backward = with_terms(backward, said[at])

    assert forward == backward
    begun = [at for at in said if at <= day]
    expected = said[max(begun)] if begun else said[min(said)]
    assert in_force(forward, BEGINNING + timedelta(days=day)) == expected


def declared(item: Item, **said: object) -> Item:
    return changed(item, Declaration(TEA, **said), ANN)  # type: ignore[arg-type]


def test_a_correction_counts_for_the_past_and_a_dated_change_from_its_instant_on() -> None:
    item = declared(Item(TEA), base_unit="each", packs={"case": Fraction(12)})
    later = declared(item, packs={"case": Fraction(10)}, effective_from=NOW + timedelta(days=1))

    assert item.at(BEGINNING).packs == {"case": 12}
    assert later.at(NOW).packs == {"case": 12}
    assert later.at(NOW + timedelta(days=1)).packs == {"case": 10}

    corrected = declared(later, packs={"pallet": Fraction(480)})
    assert corrected.at(BEGINNING).packs == {"case": 12, "pallet": 480}
    assert corrected.at(NOW + timedelta(days=1)).packs == {"case": 10}
    assert (item.version, later.version, corrected.version) == (1, 2, 3)


def test_what_is_not_said_stays_and_saying_the_same_again_changes_nothing() -> None:
    item = declared(Item(TEA), description="Tea", owner="wms team", tracks_lots=True)

    same = declared(item, description="Tea")

    assert same is item
    assert declared(item, item_class="A").description == "Tea"


def test_a_whole_declaration_takes_away_the_packs_that_it_does_not_name() -> None:
    item = declared(Item(TEA), packs={"case": Fraction(12), "pair": Fraction(2)})

    assert declared(item, packs={"pair": Fraction(2)}, is_whole=True).at(NOW).packs == {"pair": 2}
    assert declared(item, packs={"pair": None}).at(NOW).packs == {"case": 12}


def test_a_change_says_what_it_changed() -> None:
    item = declared(Item(TEA), description="Tea", base_unit="each", packs={"case": Fraction(12)})
    after = declared(item, packs={"case": Fraction(10)})

    assert list(differences(item, after)) == [
        (f"terms from {BEGINNING.isoformat()}", "base unit each; case = 12", "base unit each; case = 10")
    ]


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"base_unit": "g"}, "base_unit"),
        ({"packs": {"each": Fraction(2)}}, "pack:each"),
        ({"components": (Component(TEA, 1),)}, "components"),
        ({"components": (Component(Sku("A"), 1), Component(Sku("A"), 2))}, "components"),
        ({"components": (Component(Sku("A"), 0),)}, "components"),
        ({"components": tuple(Component(Sku(f"C{n}"), 1) for n in range(21))}, "components"),
    ],
)
def test_a_declaration_that_cannot_be_meant_is_refused_by_name(said: dict[str, object], field: str) -> None:
    item = declared(Item(TEA), base_unit="each")

    with pytest.raises(InvalidItemError) as refused:
        declared(item, **said)

    assert refused.value.field == field
    assert refused.value.reason
    assert refused.value.remedy


def test_an_item_that_named_no_base_unit_may_still_get_one() -> None:
    assert declared(Item(TEA), base_unit="g").at(NOW) == Terms(base_unit="g")

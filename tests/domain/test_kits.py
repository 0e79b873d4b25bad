"""What may be sold of kits and by the pack: rounded down, with an explanation that adds up and remainders that show."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from shared.domain.availability import Pack, Part, Standing, claim, promise, whole_kits
from shared.domain.network import Channel
from shared.domain.stock import ChannelId, Sku

SHOP, EDI = ChannelId("shop"), ChannelId("edi")

rules = st.builds(
    lambda safety, percent, cap: Channel(
        SHOP, "shopify", safety_stock=safety, buffer_percent=percent, cap=cap, stale_percent=20
    ),
    st.integers(0, 20),
    st.integers(0, 100),
    st.one_of(st.none(), st.integers(0, 40)),
)
standings = st.builds(
    Standing,
    st.integers(-30, 300),
    st.dictionaries(st.sampled_from((SHOP, EDI)), st.integers(0, 40)),
    st.booleans(),
)
kits = st.lists(st.tuples(st.integers(1, 9), standings), min_size=1, max_size=4).map(
    lambda parts: tuple(Part(Sku(f"C{n}"), units, standing) for n, (units, standing) in enumerate(parts))
)


def kit_of(parts: tuple[Part, ...], pack: Pack | None = None) -> Standing:
    return Standing(whole_kits(parts), parts=parts, pack=pack)


@given(kits, rules)
def test_a_kit_is_promised_exactly_as_far_as_every_component_could_be_claimed(
    parts: tuple[Part, ...], rule: Channel
) -> None:
    uncapped = replace(rule, cap=None)
    promised = promise(kit_of(parts), uncapped).available_to_promise

    def all_claimed(number: int) -> bool:
        found = [(part, claim(number * part.per_kit, uncapped, part.standing)) for part in parts]
        return all(c is not None and part.standing.available >= c.least_available for part, c in found)

    assert promised == 0 or all_claimed(promised)
    assert not all_claimed(promised + 1)
    shown = promise(kit_of(parts), rule).available_to_promise
    assert shown == (promised if rule.cap is None else min(promised, rule.cap))


@given(kits, rules, st.one_of(st.none(), st.integers(1, 12).map(lambda size: Pack("case", size))))
def test_the_explanation_of_a_kit_adds_up_and_every_remainder_is_said(
    parts: tuple[Part, ...], rule: Channel, pack: Pack | None
) -> None:
    found = promise(kit_of(parts, pack), rule)

    assert sum(units for _, units in found.explanation) == found.available_to_promise >= 0
    assert found.explanation[0] == ("available", whole_kits(parts))
    for part in found.parts:
        assert part.kits * part.per_kit + part.left_over == part.promise.available_to_promise
        assert 0 <= part.left_over < part.per_kit
        assert part.kits >= found.available_to_promise


@given(standings, rules, st.integers(1, 48))
def test_by_the_pack_the_promise_is_rounded_down_and_says_what_does_not_fill_one(
    standing: Standing, rule: Channel, size: int
) -> None:
    loose = promise(standing, rule)
    packed = promise(replace(standing, pack=Pack("case", size)), rule)

    assert packed.available_to_promise == loose.available_to_promise - loose.available_to_promise % size
    assert sum(units for _, units in packed.explanation) == packed.available_to_promise
    left = loose.available_to_promise % size
    assert (("part_of_a_case", -left) in packed.explanation) == bool(left)


def test_the_steps_of_a_kit_are_named() -> None:
    rule = Channel(SHOP, "shopify", safety_stock=3, cap=5)
    parts = (Part(Sku("TEA"), 2, Standing(20)), Part(Sku("MUG"), 1, Standing(9)))

    found = promise(kit_of(parts), rule)

    assert found.explanation == (("available", 9), ("components_withheld", -3), ("cap", -1))
    assert [(part.sku, part.kits, part.left_over) for part in found.parts] == [("TEA", 8, 1), ("MUG", 6, 0)]

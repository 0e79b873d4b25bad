"""The report of what is in shadow: what would have been sent or posted, beside what is shown and said."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import permutations

import pytest

from shared.domain.ledger import Slot
from shared.domain.rollout import Mode
from shared.domain.shadow import Withheld
from shared.domain.stock import Counter, EventKey, Leaf, Sku, StockKey
from shared.operations.key_lengths import LONGEST_STOCK_KEY
from shared.operations.shadow_report import MOST_PARTS, ShadowDesk
from shared.store.shadows import Shadows
from tests.operations.deliveries import body
from tests.operations.house import EAST, KEY, WMS, House, count, movement
from tests.operations.rolling_out import receive, report, switch
from tests.operations.shop import Shop
from tests.operations.test_undoing import bins

BIN_A = Slot(Leaf("A"), Counter.ON_HAND)


def test_shadow_keeps_what_would_have_been_sent_beside_what_is_shown() -> None:
    shop = Shop(units=10, shown=4)
    switch(shop.house, Mode.SHADOW)
    shop.work()
    shop.house.post(movement("more", 1, 5))
    shop.work()

    found = report(shop.house)

    [tea] = [one for one in found.listings if one.key == KEY]
    assert (tea.last.ours, tea.last.theirs, tea.pushes, tea.apart) == (15, 4, 2, -11)


def test_observing_keeps_only_what_is_shown() -> None:
    shop = Shop(units=10, shown=4)
    switch(shop.house, Mode.OBSERVE)
    shop.work()

    [tea] = [one for one in report(shop.house).listings if one.key == KEY]

    assert (tea.last.ours, tea.last.theirs, tea.pushes) == (None, 4, 0)


def test_the_report_names_the_orders_that_oversold_and_by_how_much() -> None:
    shop = Shop(units=3, shown=10)
    switch(shop.house, Mode.SHADOW)
    shop.work()
    shop.house.clock.advance(minutes=1)
    first = shop.orders.sell("TEA", 2)
    shop.house.clock.advance(minutes=1)
    second = shop.orders.sell("TEA", 4)
    shop.orders.hear(first)
    shop.orders.hear(second)
    shop.work()

    found = report(shop.house)

    [(key, oversell)] = found.oversells
    assert (key, oversell.sale.order, oversell.units) == (KEY, f"shop/{second['id']}", 3)
    assert (oversell.ours, oversell.theirs, found.prevented_units) == (3, 10, 3)


def test_an_oversell_is_kept_when_it_is_found_and_reported_long_after() -> None:
    shop = Shop(units=3, shown=10)
    switch(shop.house, Mode.SHADOW)
    shop.work()
    for units in (4, 2):
        shop.house.clock.advance(minutes=1)
        shop.orders.hear(shop.orders.sell("TEA", units))
        shop.work()
    shop.wait(hours=1)

    found = report(shop.house)

    assert [(one.sale.units, one.units) for _, one in found.oversells] == [(4, 1), (2, 2)]
    assert found.is_complete


def test_an_order_that_came_when_it_was_live_again_is_not_in_the_report() -> None:
    shop = Shop(units=3, shown=10)
    switch(shop.house, Mode.SHADOW)
    shop.work()
    shop.house.clock.advance(minutes=1)
    switch(shop.house, Mode.LIVE)
    shop.house.clock.advance(minutes=1)
    shop.orders.hear(shop.orders.sell("TEA", 9))
    shop.house.settle()

    assert report(shop.house).oversells == ()


def test_the_report_says_what_a_source_in_shadow_would_have_posted_however_often_it_came() -> None:
    house = House()
    switch(house, Mode.SHADOW, kind="source", name=WMS)
    name = receive(house, "GR-1", 5)
    receive(house, "GR-2", 7)
    house.settle()
    house.applier.apply(name)

    found = ShadowDesk(house.stock, house.registry, house.clock).of_source(WMS)

    assert found.kinds == {"receipt": (2, 12)}
    assert [(one.key, len(one.events)) for one in found.postings] == [(KEY, 2)]
    assert found.is_complete


def says_of_bins(house: House, document: str, **said: int) -> None:
    lines = [{"sku": "TEA", "quantity": units, "bin": name} for name, units in said.items()]
    house.store("wms", body("count", document, *lines, occurred_at=house.clock()))
    house.settle()


def test_the_report_puts_what_a_source_in_shadow_says_of_bins_beside_the_ledger_as_of_then() -> None:
    house = bins()
    for bin_, units in (("A", 50), ("B", 40)):
        house.post(replace(count(f"manual/{bin_}", 0, units), leaf=Leaf(bin_)))
    switch(house, Mode.SHADOW, kind="source", name=WMS)
    house.clock.advance(minutes=5)
    says_of_bins(house, "C-1", A=1, B=40)
    house.clock.advance(minutes=5)
    said_at = house.clock()
    says_of_bins(house, "C-2", A=48, D=7)
    house.clock.advance(minutes=5)

    def found() -> list[tuple[str, int, int | None]]:
        parts = ShadowDesk(house.stock, house.registry, house.clock).of_source(WMS).parts
        return sorted((one.slot.leaf.bin, one.theirs, one.ours) for one in parts)

    assert found() == [("A", 48, 50), ("B", 40, 40), ("D", 7, None)]
    left = movement("manual/late", 0, -2)
    left = replace(left, occurred_at=said_at, legs=(replace(left.legs[0], leaf=Leaf("A")),))
    house.post(left, movement("manual/after", 11, 9))
    assert found() == [("A", 48, 48), ("B", 40, 40), ("D", 7, None)]
    assert (house.on_hand(), house.open_cases()) == (97, [])


def test_of_many_bins_none_gives_way_to_another_and_what_comes_late_to_nothing_newer() -> None:
    house = bins()
    switch(house, Mode.SHADOW, kind="source", name=WMS)
    house.clock.advance(minutes=5)
    late = {"sku": "TEA", "quantity": 9, "bin": "B7"}
    for first in range(0, 300, 50):
        says_of_bins(house, f"C-{first}", **{f"B{number}": 1 for number in range(first, first + 50)})
    house.store("wms", body("count", "LATE", late, occurred_at=house.clock() - timedelta(minutes=1)))
    house.settle()

    parts = ShadowDesk(house.stock, house.registry, house.clock).of_source(WMS).parts

    assert (len(parts), {one.theirs for one in parts}) == (300, {1})


@pytest.mark.parametrize("told", list(permutations(["1", "2", "3"])))
def test_of_a_bin_counted_anew_for_the_same_instant_the_newest_version_is_reported(told: list[str]) -> None:
    house = bins()
    switch(house, Mode.SHADOW, kind="source", name=WMS)
    house.clock.advance(minutes=5)
    counted_at, units = house.clock(), {"1": 40, "2": 50, "3": 45}
    for version in told:
        house.clock.advance(minutes=1)
        line = {"sku": "TEA", "quantity": units[version], "bin": "A"}
        house.store("wms", body("count", "C", line, occurred_at=counted_at, version=version))
        house.settle()

    [part] = ShadowDesk(house.stock, house.registry, house.clock).of_source(WMS).parts

    assert (part.theirs, part.at) == (45, counted_at)


def test_of_many_numbers_of_a_bin_told_at_once_the_last_in_the_ledgers_order_is_kept() -> None:
    house = bins()
    at = house.clock()
    told = [
        (KEY, Withheld(EventKey(event), "count of on_hand", units, at, BIN_A, version))
        for event, units, version in [("a", 1, "2"), ("b", 2, "2"), ("c", 3, "1")]
    ]
    for order in permutations(told):
        shadows = Shadows(bins().stock)
        shadows.withhold(WMS, order)
        assert [one.units for _, one in shadows.parts(WMS)] == [2]


def test_the_longest_names_that_are_taken_fit_what_is_kept_of_a_bin() -> None:
    house = bins()
    key, slot = StockKey(Sku("S" * (LONGEST_STOCK_KEY - 4)), EAST), Slot(Leaf("B" * 899), Counter.ON_HAND)
    said = Withheld(EventKey("c"), "count of on_hand", 3, house.clock(), slot)
    Shadows(house.stock).withhold(WMS, [(key, said)])
    assert list(Shadows(house.stock).parts(WMS)) == [(key, said)]


def test_the_report_is_not_called_complete_where_more_bins_were_said_than_it_compares() -> None:
    house = bins()
    switch(house, Mode.SHADOW, kind="source", name=WMS)
    house.clock.advance(minutes=5)
    at = house.clock()
    counts = [
        (
            StockKey(Sku(f"S{number}"), EAST),
            Withheld(EventKey(f"c{number}"), "count of on_hand", 1, at, BIN_A),
        )
        for number in range(MOST_PARTS + 1)
    ]
    Shadows(house.stock).withhold(WMS, counts)

    found = ShadowDesk(house.stock, house.registry, house.clock).of_source(WMS)

    assert (len(found.parts), found.is_complete) == (MOST_PARTS, False)

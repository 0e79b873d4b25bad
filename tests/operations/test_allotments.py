"""Hot stock keys: more than one promise counter, and never a unit promised twice or refused while it is there."""

from __future__ import annotations

import random
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.availability import Standing, claim
from shared.domain.item_changes import Declaration, changed
from shared.domain.items import Change
from shared.domain.network import Channel
from shared.domain.stock import ChannelId, Quantity
from shared.operations import allotments
from shared.operations.allotments import HOT_AFTER
from shared.operations.rebuild import Rebuilder
from shared.operations.reservations import InsufficientStockError, Wanted
from shared.operations.reserve import Reserver
from shared.operations.set_aside import SetAside
from shared.store.allotments import filling
from shared.store.layout import promise_key
from shared.store.promises import COUNTERS, counters, standings
from shared.store.table import Action, Item, Key, Table, Update, WriteConflictError
from tests.operations.house import EAST, KEY, SHOP, TEA, House, Interruption, movement, network

EDI = ChannelId("edi")
CAREFUL = Channel(EDI, "scripted", {EAST: "1"}, EAST, safety_stock=5, buffer_percent=10)


def hot_house(units: Quantity) -> House:
    house = House(network(CAREFUL))
    before = house.registry.items.find([TEA])[TEA]
    after = changed(before, Declaration(TEA, is_hot=True), Change("test", house.clock()))
    house.registry.items.change([(before, after)])
    if units:
        house.post(movement("opening", 0, units))
    return house


def reserve(house: House, key: str, units: Quantity, channel: ChannelId = SHOP) -> str:
    return house.reserver.reserve(key, "oms", channel, [Wanted(TEA, units, EAST)]).id


def in_allotments(house: House) -> Quantity:
    found = house.stock.get_many(counters(KEY)[1:])
    return sum(cast(int, item["available"]) for item in found.values())


def assert_exact(house: House) -> None:
    house.assert_exact()
    main = house.stock.get(promise_key(KEY)) or {}
    assert not in_allotments(house) or cast(int, main["spare"]) >= 0


class TestDeclaredHot:
    def test_reservations_take_from_allotments_that_counter_0_fills(self) -> None:
        house = hot_house(1000)
        for n in range(40):
            reserve(house, f"k{n}", 2)
        assert in_allotments(house) > 0
        assert house.available() == 920
        assert house.view.quantities(KEY)["reserved"] == 80
        assert_exact(house)

    def test_nobody_is_refused_while_units_lie_in_allotments(self) -> None:
        house = hot_house(1000)
        reserve(house, "first", 10)
        assert in_allotments(house) > 0
        reserve(house, "all the rest", 990)
        assert (house.available(), in_allotments(house)) == (0, 0)
        with pytest.raises(InsufficientStockError):
            reserve(house, "one more", 1)
        assert_exact(house)

    def test_a_refusal_names_what_all_counters_have(self) -> None:
        house = hot_house(1000)
        reserve(house, "first", 10)
        before = in_allotments(house)
        with pytest.raises(InsufficientStockError) as refused:
            reserve(house, "too many", 991)
        assert refused.value.shortfalls[0].available_to_promise == 990
        assert in_allotments(house) == before

    def test_a_decrease_drains_the_allotments_and_the_rest_is_owed(self) -> None:
        house = hot_house(1000)
        reserve(house, "first", 10)
        house.post(movement("stolen", 1, -995))
        assert (house.available(), in_allotments(house)) == (-5, 0)
        house.clock.advance(seconds=10)
        with pytest.raises(InsufficientStockError):
            reserve(house, "more", 1)
        house.post(movement("found", 2, 4))
        assert house.available() == -1
        assert_exact(house)

    def test_what_is_given_back_pays_the_debt_first(self) -> None:
        house = hot_house(1000)
        held = reserve(house, "first", 10)
        house.post(movement("stolen", 1, -995))
        house.reserver.release(held)
        assert (house.available(), in_allotments(house)) == (5, 0)
        assert_exact(house)

    def test_the_safety_stock_of_a_channel_holds_for_all_counters_together(self) -> None:
        house = hot_house(1000)
        taken = 0
        with suppress(InsufficientStockError):
            while True:
                reserve(house, f"k{taken}", 7, EDI)
                taken += 7
        left = Standing(1000 - taken)
        found = claim(7, CAREFUL, left)
        assert found is None or found.least_available > left.available
        assert house.available() == 1000 - taken
        assert_exact(house)

    def test_units_set_aside_are_never_taken_by_others(self) -> None:
        house = hot_house(1000)
        reserve(house, "first", 10)
        aside = SetAside(house.stock, house.registry, house.clock)
        aside.keep(EDI, KEY, 900)
        house.clock.advance(seconds=10)
        for n in range(9):
            reserve(house, f"shop{n}", 10)
        with pytest.raises(InsufficientStockError):
            reserve(house, "shop", 1)
        house.post(movement("damaged", 1, -100))
        assert standings(house.stock, [KEY])[KEY].set_aside == {EDI: 900}
        reserve(house, "edi", 700, EDI)
        assert standings(house.stock, [KEY])[KEY].set_aside == {EDI: 200}
        assert_exact(house)

    def test_few_units_are_claimed_from_counter_0(self) -> None:
        house = hot_house(allotments.WORTHWHILE - 1)
        reserve(house, "k", 2)
        assert in_allotments(house) == 0

    def test_what_lies_idle_goes_back(self) -> None:
        house = hot_house(1000)
        reserve(house, "k", 2)
        assert house.reserver.gather_idle() == 0
        house.clock.advance(minutes=11)
        assert house.reserver.gather_idle() == 1
        assert (in_allotments(house), house.available()) == (0, 998)
        assert_exact(house)

    def test_a_rebuild_puts_every_unit_back_into_counter_0(self) -> None:
        house = hot_house(1000)
        reserve(house, "k", 2)
        house.stock.write([Update(counters(KEY)[3], add={"available": 4})])
        assert {found.what for found in house.verifier.verify().discrepancies} >= {"available"}
        Rebuilder(house.stock, house.clock, house.clock.sleep).rebuild(KEY, dry_run=False)
        assert (in_allotments(house), house.available()) == (0, 998)
        assert_exact(house)

    def test_a_counter_that_does_not_add_up_fills_nothing(self) -> None:
        """One written by a version that knew no allotments has nothing to spare in it: rebuild puts it right."""
        house = hot_house(1000)
        house.stock.write([Update(promise_key(KEY), remove=("spare",))])
        reserve(house, "first", 10)
        assert in_allotments(house) == 0
        assert {found.what for found in house.verifier.verify().discrepancies} == {"to spare"}
        Rebuilder(house.stock, house.clock, house.clock.sleep).rebuild(KEY, dry_run=False)
        reserve(house, "second", 10)
        assert (in_allotments(house) > 0, house.available()) == (True, 980)
        assert_exact(house)


class MovedMeanwhile:
    """A table whose units are moved between counters whenever allotments are about to be read, some times."""

    def __init__(self, house: House, times: int) -> None:
        self._house, self._left = house, times

    def __getattr__(self, name: str) -> object:
        return getattr(self._house.stock, name)

    def get_many(self, keys: Sequence[Key]) -> dict[Key, Item]:
        if self._left and counters(KEY)[1] in keys:
            self._left -= 1
            main = self._house.stock.get(promise_key(KEY)) or {}
            if writes := filling(main, 1 + self._left % COUNTERS, 7, 0, self._house.clock()):
                self._house.stock.write(writes)
        return self._house.stock.get_many(keys)


@pytest.mark.parametrize("times", [0, 1, 5, 30])
def test_what_is_available_is_read_right_while_units_move_between_counters(times: int) -> None:
    house = hot_house(1000)
    reserve(house, "k", 10)
    table = cast(Table, MovedMeanwhile(house, times))
    assert standings(table, [KEY])[KEY].available == 990


class TestHints:
    def test_a_claim_in_an_allotment_reaches_the_channels_and_its_mark_comes_off(self) -> None:
        house = hot_house(1000)
        house.list_on(SHOP, TEA)
        house.settle()
        reserve(house, "k", 2)
        house.settle()
        assert not [item for item in house.stock.query(promise_key(KEY).pk) if "dirty_pk" in item]
        assert house.view.promise_of(house.channels[SHOP], KEY).available_to_promise == 998


class TestDetected:
    def test_a_stock_key_on_which_reservations_keep_meeting_becomes_hot(self) -> None:
        house = House()
        house.post(movement("opening", 0, 1000))

        met: list[int] = []

        def busy(_n: int, actions: Sequence[Action]) -> None:
            if len(met) < HOT_AFTER and any(action.key == promise_key(KEY) for action in actions):
                met.append(1)
                raise WriteConflictError

        house.stock.faults = Interruption(before=busy)
        reserve(house, "k", 2)
        house.stock.faults = None
        assert in_allotments(house) > 0
        assert_exact(house)

    def test_a_stock_key_that_nobody_fights_for_has_one_counter(self) -> None:
        house = House()
        house.post(movement("opening", 0, 1000))
        for n in range(10):
            reserve(house, f"k{n}", 2)
        assert [item["sk"] for item in house.stock.query(promise_key(KEY).pk)] == ["0"]


CLIENTS, EACH = 6, 60


def test_many_at_once_take_every_unit_once_while_stock_comes_and_goes() -> None:
    """Real threads: reservations of 1 to 3, releases, thefts and receipts, until nothing is left."""
    house = hot_house(600)
    refused = [0] * CLIENTS

    def client(number: int) -> list[tuple[str, int]]:
        dice = random.Random(number)  # noqa: S311
        desk = Reserver(house.stock, house.registry, house.clock)
        held: list[tuple[str, int]] = []
        for n in range(EACH):
            units = dice.randint(1, 6)
            try:
                held.append(
                    (desk.reserve(f"c{number}-{n}", "oms", SHOP, [Wanted(TEA, units, EAST)]).id, units)
                )
            except InsufficientStockError:
                refused[number] += 1
            if held and dice.random() < 0.2:
                desk.release(held.pop(dice.randrange(len(held)))[0])
        return held

    def stock_moves() -> int:
        for n in range(30):
            house.post(movement(f"move{n}", n + 1, -40 if n % 3 else 60))
        return sum(-40 if n % 3 else 60 for n in range(30))

    with ThreadPoolExecutor(CLIENTS + 1) as pool:
        moved = pool.submit(stock_moves)
        held = [units for each in pool.map(client, range(CLIENTS)) for _, units in each]
    assert house.available() == 600 + moved.result() - sum(held)
    assert sum(refused) > 0
    assert_exact(house)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("reserve"), st.sampled_from([SHOP, EDI]), st.integers(1, 120)),
        st.tuples(st.just("move"), st.integers(-150, 150)),
        st.tuples(st.just("aside"), st.integers(0, 150)),
        st.tuples(st.just("release"), st.integers(0, 20)),
        st.tuples(st.just("wait"), st.integers(1, 700)),
    ),
    max_size=25,
)


@settings(max_examples=60)
@given(STEPS, st.integers(0, 400), st.randoms(use_true_random=False))
def test_whoever_asks_gets_what_one_counter_would_have_given(
    steps: list[tuple[object, ...]], units: int, dice: random.Random
) -> None:
    """The oracle is one number: granted exactly when the rule of the promise, applied to all there is, grants it."""
    random.seed(dice.randrange(2**32))
    house = hot_house(units)
    held: list[str] = []
    total = units
    for n, step in enumerate(steps):
        standing = standings(house.stock, [KEY])[KEY]
        assert standing.available == total
        match step:
            case ("reserve", channel, int(wanted)):
                rule = claim(wanted, house.channels[cast(ChannelId, channel)], standing)
                is_there = rule is not None and total >= rule.least_available
                try:
                    held.append(reserve(house, f"k{n}", wanted, cast(ChannelId, channel)))
                except InsufficientStockError:
                    assert not is_there
                else:
                    assert is_there
                    total -= wanted
            case ("move", int(change)) if change:
                house.post(movement(f"m{n}", n, change))
                total += change
            case ("aside", int(kept)):
                with suppress(InsufficientStockError):
                    SetAside(house.stock, house.registry, house.clock).keep(EDI, KEY, kept)
            case ("release", int(number)) if number < len(held):
                order = held.pop(number)
                total += sum(line.open for line in house.reserver.get(order).lines)
                house.reserver.release(order)
            case ("wait", int(seconds)):
                house.clock.advance(seconds=seconds)
                house.reserver.gather_idle()
        assert_exact(house)

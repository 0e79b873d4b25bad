"""What may be promised and from where: sourcing, units set aside, and reservations longer than a transaction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.network import Channel
from shared.domain.stock import ChannelId, LocationId, Sku, StockKey
from shared.operations.reservations import (
    IdempotencyConflictError,
    InsufficientStockError,
    InvalidReservationError,
    Reservation,
    ReservationBusyError,
    ReservationStatus,
    Shortfall,
    Wanted,
)
from shared.operations.set_aside import SetAside
from shared.store.layout import promise_key
from shared.store.promises import standings
from shared.store.table import Action, UnknownOutcomeError
from tests.operations.house import (
    EAST,
    KEY,
    SHOP,
    TEA,
    WEST,
    Crash,
    House,
    Interruption,
    count,
    movement,
    network,
    shipment,
)

MUG, EDI, AT_WEST = Sku("MUG"), ChannelId("edi"), StockKey(TEA, WEST)
ANYWHERE = Channel(EDI, "scripted", {EAST: "1", WEST: "2"}, sourcing=(EAST, WEST))
SKUS = [Sku(f"S{n:03d}") for n in range(100)]


def reserve(house: House, key: str, *lines: tuple[Sku, int], channel: ChannelId = EDI) -> Reservation:
    return house.reserver.reserve(key, "oms", channel, [Wanted(sku, units) for sku, units in lines])


def placed(made: Reservation) -> list[tuple[str, str, int]]:
    return [(line.stock_key.sku, line.stock_key.location, line.open) for line in made.lines]


class TestSourcing:
    @pytest.fixture
    def house(self) -> House:
        house = House(network(ANYWHERE))
        house.post(
            movement("te", 0, 3),
            movement("tw", 0, 5, key=AT_WEST),
            movement("mw", 0, 1, key=StockKey(MUG, WEST)),
        )
        return house

    def test_an_order_that_names_no_location_comes_from_the_first_that_has_it_all(self, house: House) -> None:
        made = reserve(house, "k", (TEA, 2), (MUG, 1))
        assert placed(made) == [(TEA, WEST, 2), (MUG, WEST, 1)]
        assert made.explanation == (
            "west is the first location that can serve the whole order (east cannot)",
        )
        assert house.reserver.get(made.id).explanation == made.explanation

    def test_a_line_is_split_when_no_location_has_enough(self, house: House) -> None:
        assert placed(reserve(house, "k", (TEA, 7))) == [(TEA, EAST, 3), (TEA, WEST, 4)]
        house.assert_exact()

    def test_the_same_request_again_is_the_same_reservation_wherever_stock_is_by_now(
        self, house: House
    ) -> None:
        first = reserve(house, "k", (TEA, 3))
        house.post(movement("more", 1, 50))
        assert reserve(house, "k", (TEA, 3)) == first
        with pytest.raises(IdempotencyConflictError):
            reserve(house, "k", (TEA, 4))

    def test_more_than_all_locations_have_reserves_nothing(self, house: House) -> None:
        with pytest.raises(InsufficientStockError):
            reserve(house, "k", (TEA, 9))
        assert (house.available(), house.available(AT_WEST)) == (3, 5)

    def test_what_is_taken_in_between_is_sourced_from_elsewhere(self, house: House) -> None:
        def sell(_n: int, _actions: Sequence[Action]) -> None:
            house.stock.faults = None
            reserve(house, "other", (TEA, 3))

        house.stock.faults = Interruption(before=sell)
        assert placed(reserve(house, "k", (TEA, 2))) == [(TEA, WEST, 2)]
        house.assert_exact()

    def test_a_line_that_names_its_location_stays_there(self, house: House) -> None:
        wanted = [Wanted(TEA, 3, WEST), Wanted(TEA, 4)]
        made = house.reserver.reserve("k", "oms", EDI, wanted)
        assert placed(made) == [(TEA, WEST, 4), (TEA, EAST, 3)]


class TestSetAside:
    @pytest.fixture
    def house(self) -> House:
        house = House(network(replace(ANYWHERE, sourcing=(EAST,))))
        house.post(movement("te", 0, 10))
        return house

    def keep(self, house: House, units: int) -> int:
        return SetAside(house.stock, house.registry, house.clock).keep(EDI, KEY, units)

    def kept(self, house: House) -> int:
        return standings(house.stock, [KEY])[KEY].set_aside.get(EDI, 0)

    def test_units_set_aside_are_claimed_by_their_channel_alone(self, house: House) -> None:
        assert self.keep(house, 4) == 0
        with pytest.raises(InsufficientStockError) as raised:
            reserve(house, "k", (TEA, 7), channel=SHOP)
        assert raised.value.shortfalls[0].available_to_promise == 6

        reserve(house, "k6", (TEA, 6), channel=SHOP)
        made = reserve(house, "k4", (TEA, 4))
        assert (house.available(), self.kept(house)) == (0, 0)
        house.reserver.release(made.id)
        assert (house.available(), self.kept(house)) == (4, 4)
        house.assert_exact()

    def test_a_claim_takes_what_is_set_aside_first_and_the_rest_from_all(self, house: House) -> None:
        self.keep(house, 4)
        made = reserve(house, "k", (TEA, 6))
        assert (house.available(), self.kept(house)) == (4, 0)
        house.post(shipment("s", 1, 3, f"reservation/{made.id}"))
        house.reserver.release(made.id)
        assert (house.on_hand(), house.available(), self.kept(house)) == (7, 7, 1)
        house.assert_exact()

    def test_no_more_can_be_set_aside_than_nobody_has(self, house: House) -> None:
        reserve(house, "k", (TEA, 8), channel=SHOP)
        with pytest.raises(InsufficientStockError) as raised:
            self.keep(house, 3)
        assert raised.value.shortfalls[0].available_to_promise == 2
        assert self.kept(house) == 0

    def test_giving_back_what_was_set_aside_is_always_possible(self, house: House) -> None:
        self.keep(house, 5)
        house.post(count("less", 1, 1))
        assert self.keep(house, 0) == 5
        reserve(house, "k", (TEA, 1), channel=SHOP)
        house.assert_exact()

    def test_units_that_are_not_there_are_not_claimed_though_they_were_set_aside(self, house: House) -> None:
        self.keep(house, 5)
        house.post(count("less", 1, 2))
        with pytest.raises(InsufficientStockError):
            reserve(house, "k3", (TEA, 3))
        reserve(house, "k2", (TEA, 2))
        assert house.available() == 0

    @pytest.mark.parametrize(
        ("channel", "location", "units", "field"),
        [
            (ChannelId("moon"), EAST, 1, "channel"),
            (EDI, LocationId("moon"), 1, "location"),
            (EDI, EAST, -1, "units"),
        ],
    )
    def test_what_cannot_be_meant_is_named(
        self, house: House, channel: ChannelId, location: LocationId, units: int, field: str
    ) -> None:
        with pytest.raises(InvalidReservationError) as raised:
            SetAside(house.stock, house.registry, house.clock).keep(channel, StockKey(TEA, location), units)
        assert raised.value.field == field


steps = st.lists(
    st.tuples(
        st.sampled_from(("shop", "edi", "keep", "release", "ship", "receive", "count")), st.integers(1, 6)
    ),
    max_size=20,
)


@settings(max_examples=100)
@given(steps)
def test_any_mixture_keeps_what_is_set_aside_apart_and_everything_exact(drawn: list[tuple[str, int]]) -> None:
    house = House(network(replace(ANYWHERE, sourcing=(EAST,))))
    made: list[Reservation] = []
    for number, (step, units) in enumerate(drawn):
        before = standings(house.stock, [KEY])[KEY]
        kept, free = before.set_aside.get(EDI, 0), before.available - sum(before.set_aside.values())
        match step:
            case "shop" | "edi":
                may = (
                    free >= units
                    if step == "shop"
                    else before.available >= units and (units <= kept or free >= units - kept)
                )
                try:
                    made.append(reserve(house, f"k{number}", (TEA, units), channel=ChannelId(step)))
                    assert may
                except InsufficientStockError:
                    assert not may
            case "keep":
                try:
                    SetAside(house.stock, house.registry, house.clock).keep(EDI, KEY, units)
                    assert units <= kept or before.available >= units
                except InsufficientStockError:
                    assert before.available < units
            case "release" if made:
                house.reserver.release(made[units % len(made)].id)
            case "ship" if made:
                house.post(shipment(f"s{number}", number, units, f"reservation/{made[units % len(made)].id}"))
            case "receive":
                house.post(movement(f"r{number}", number, units))
            case "count":
                house.post(count(f"c{number}", number, units * 2))
            case _:
                pass
        house.assert_exact()
        after = standings(house.stock, [KEY])[KEY]
        assert after.set_aside.get(EDI, 0) >= 0
        item = house.stock.get(promise_key(KEY))
        assert item is None or item.get("set_aside", 0) == sum(after.set_aside.values())


class TestLongReservations:
    @pytest.fixture
    def house(self) -> House:
        house = House(skus=SKUS)
        house.post(*(movement(f"m{sku}", 0, 5, key=StockKey(sku, EAST)) for sku in SKUS))
        return house

    def all(self, house: House, key: str = "k", units: int = 1) -> Reservation:
        return reserve(house, key, *((sku, units) for sku in SKUS), channel=SHOP)

    def left(self, house: House) -> set[int]:
        return {house.available(StockKey(sku, EAST)) for sku in SKUS}

    def test_a_hundred_lines_are_one_reservation(self, house: House) -> None:
        made = self.all(house)
        assert made.status is ReservationStatus.CONFIRMED
        assert [line.stock_key.sku for line in made.lines] == SKUS
        assert made.expires_at is None
        assert self.left(house) == {4}
        assert self.all(house) == made
        assert self.left(house) == {4}
        house.clock.advance(hours=1)
        house.reserver.expire_due()
        assert house.reserver.release(made.id).status is ReservationStatus.RELEASED
        assert self.left(house) == {5}
        house.assert_exact()

    def test_one_line_that_cannot_be_had_gives_everything_back_and_the_same_key_may_try_again(
        self, house: House
    ) -> None:
        last = StockKey(SKUS[-1], EAST)
        house.post(count("none", 1, 0, key=last))
        with pytest.raises(InsufficientStockError) as raised:
            self.all(house)
        assert [short.sku for short in raised.value.shortfalls] == [SKUS[-1]]
        assert self.left(house) == {5, 0}

        house.post(movement("again", 2, 5, key=last))
        made = self.all(house)
        assert (made.status, len(made.lines)) == (ReservationStatus.CONFIRMED, 100)
        assert self.left(house) == {4}
        house.assert_exact()

    def test_a_crash_in_between_gives_everything_back_and_it_was_never_promised(self, house: House) -> None:
        for number in range(5):

            def crash(n: int, _actions: Sequence[Action], number: int = number) -> None:
                if n == number:
                    house.stock.faults = None
                    raise Crash

            house.stock.faults = Interruption(after=crash)
            with pytest.raises(Crash):
                self.all(house, f"k{number}")
            house.stock.faults = None
            house.clock.advance(seconds=61)
            house.reserver.expire_due()
            assert self.left(house) == ({5} if number < 4 else {4})
            house.assert_exact()

    def test_while_it_is_pending_it_is_shown_as_such_and_the_same_key_waits(self, house: House) -> None:
        seen: list[ReservationStatus] = []

        def look(n: int, actions: Sequence[Action]) -> None:
            if n == 2:
                house.stock.faults = None
                name = actions[0].key.pk.removeprefix("ORDER#reservation/")
                seen.append(house.reserver.get(name).status)
                with pytest.raises(ReservationBusyError):
                    self.all(house)

        house.stock.faults = Interruption(after=look)
        assert self.all(house).status is ReservationStatus.CONFIRMED
        assert seen == [ReservationStatus.PENDING]

    def test_answers_that_never_came_leave_one_reservation(self, house: House) -> None:
        for number in range(4):

            def silence(n: int, _actions: Sequence[Action], number: int = number) -> None:
                if n == number:
                    raise UnknownOutcomeError

            house.stock.faults = Interruption(after=silence)
            made = self.all(house, f"k{number}")
            house.stock.faults = None
            assert made.status is ReservationStatus.CONFIRMED
        assert self.left(house) == {1}
        house.assert_exact()

    def test_releasing_that_is_cut_short_is_completed_by_the_expiry(self, house: House) -> None:
        made = self.all(house)

        def crash(_n: int, _actions: Sequence[Action]) -> None:
            house.stock.faults = None
            raise Crash

        house.stock.faults = Interruption(after=crash)
        with pytest.raises(Crash):
            house.reserver.release(made.id)
        house.clock.advance(seconds=1)
        house.reserver.expire_due()
        assert self.left(house) == {5}
        assert house.reserver.get(made.id).status is ReservationStatus.RELEASED
        house.assert_exact()

    def test_a_lifetime_holds_for_a_long_one_too(self, house: House) -> None:
        wanted = [Wanted(sku, 1) for sku in SKUS]
        made = house.reserver.reserve("k", "oms", SHOP, wanted, timedelta(minutes=10))
        assert made.expires_at == house.clock() + timedelta(minutes=10)
        house.clock.advance(minutes=10)
        assert house.reserver.get(made.id).status is ReservationStatus.EXPIRED
        assert self.left(house) == {5}

    def test_more_than_five_hundred_lines_are_refused(self, house: House) -> None:
        wanted = [Wanted(Sku(f"X{n}"), 1) for n in range(501)]
        with pytest.raises(InvalidReservationError, match="lines"):
            house.reserver.reserve("k", "oms", SHOP, wanted)


def test_a_shortfall_anywhere_names_the_whole_request_and_what_all_locations_may_have() -> None:
    house = House(network(ANYWHERE))
    house.post(movement("east", 0, 113), movement("west", 0, 3, key=StockKey(TEA, WEST)))
    with pytest.raises(InsufficientStockError) as raised:
        house.reserver.reserve("k", "oms", EDI, [Wanted(TEA, 4000), Wanted(TEA, 1000)])
    assert raised.value.shortfalls == (Shortfall(TEA, None, 5000, 116),)

    with pytest.raises(InsufficientStockError) as raised:
        house.reserver.reserve("l", "oms", EDI, [Wanted(TEA, 5000, EAST)])
    assert raised.value.shortfalls == (Shortfall(TEA, EAST, 5000, 113),)

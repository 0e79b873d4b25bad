"""Fulfilling reservations: in parts, once for each key, and shipping only where nobody else says what moves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.domain.events import MovementKind
from shared.domain.network import Channel, Location
from shared.domain.reservation import Stated
from shared.domain.stock import ChannelId, EventKey, LocationId, Sku, StockKey
from shared.operations.fulfil import Fulfiller
from shared.operations.reservations import (
    IdempotencyConflictError,
    InvalidReservationError,
    Reservation,
    ReservationStatus,
    Wanted,
)
from shared.operations.reserve import Reserver
from shared.store.orders import Orders, line_put
from shared.store.registry import Network
from shared.store.table import Action, Item, Update
from tests.operations.house import (
    EAST,
    NOON,
    TEA,
    WEST,
    WMS,
    Crash,
    House,
    Interruption,
    count,
    movement,
    network,
    shipment,
)

EDI, MUG, AT_WEST = ChannelId("edi"), Sku("MUG"), StockKey(TEA, WEST)


def declared() -> Network:
    """The WMS says what moves at east; at west nobody does."""
    base = network(Channel(EDI, "scripted", {EAST: "1", WEST: "2"}, WEST))
    return replace(base, locations={EAST: base.locations[EAST], WEST: Location(WEST, WMS, None)})


@pytest.fixture
def house() -> House:
    house = House(declared())
    house.post(
        movement("te", 0, 10),
        movement("tw", 0, 10, key=AT_WEST),
        movement("mw", 0, 5, key=StockKey(MUG, WEST)),
    )
    return house


def fulfil(house: House, made: Reservation, key: str, *units: tuple[Sku, int]) -> Reservation:
    desk = Fulfiller(house.stock, house.registry, house.reserver, house.teller, house.clock)
    return desk.fulfil(made.id, key, [Wanted(sku, quantity) for sku, quantity in units])


def reserve(house: House, *units: tuple[Sku, int]) -> Reservation:
    return house.reserver.reserve("k", "oms", EDI, [Wanted(sku, quantity) for sku, quantity in units])


def test_where_nobody_else_says_what_moves_a_part_ships_and_the_rest_stays_reserved(house: House) -> None:
    made = reserve(house, (TEA, 6), (MUG, 2))

    part = fulfil(house, made, "f1", (TEA, 4))
    assert part.status is ReservationStatus.CONFIRMED
    assert [line.open for line in part.lines] == [2, 2]
    assert (house.on_hand(AT_WEST), house.available(AT_WEST)) == (6, 4)

    done = fulfil(house, made, "f2")
    assert done.status is ReservationStatus.FULFILLED
    assert (house.on_hand(AT_WEST), house.available(AT_WEST)) == (4, 4)
    assert house.on_hand(StockKey(MUG, WEST)) == 3
    house.assert_exact()


def test_the_same_key_fulfils_once_and_for_another_request_is_a_conflict(house: House) -> None:
    made = reserve(house, (TEA, 6))
    first = fulfil(house, made, "f", (TEA, 4))
    house.clock.advance(minutes=5)
    assert fulfil(house, made, "f", (TEA, 4)) == first
    with pytest.raises(IdempotencyConflictError):
        fulfil(house, made, "f", (TEA, 2))
    assert house.on_hand(AT_WEST) == 6
    house.assert_exact()


@pytest.mark.parametrize("number", range(3))
def test_after_a_crash_the_same_call_does_the_rest(house: House, number: int) -> None:
    made = reserve(house, (TEA, 6), (MUG, 2))

    def crash(n: int, _actions: Sequence[Action]) -> None:
        if n == number:
            house.stock.faults = None
            raise Crash

    house.stock.faults = Interruption(after=crash)
    if number < 2:
        with pytest.raises(Crash):
            fulfil(house, made, "f", (TEA, 5), (MUG, 1))
    house.stock.faults = None
    fulfil(house, made, "f", (TEA, 5), (MUG, 1))

    assert (house.on_hand(AT_WEST), house.on_hand(StockKey(MUG, WEST))) == (5, 4)
    house.assert_exact()


def test_where_the_warehouse_says_what_moves_a_fulfilment_is_a_claim_until_it_ships(house: House) -> None:
    made = house.reserver.reserve("k", "oms", EDI, [Wanted(TEA, 6, EAST)])
    claimed = fulfil(house, made, "f", (TEA, 4))
    assert claimed.lines[0].claimed is not None
    assert (house.on_hand(), house.available(), claimed.lines[0].open) == (10, 4, 6)

    house.clock.advance(hours=25)
    house.order_watch.run()
    assert house.open_cases() == ["posting_delay"]

    house.post(shipment("s", 1, 4, f"reservation/{made.id}"))
    house.order_watch.run()
    assert house.open_cases() == []
    assert (house.on_hand(), house.available()) == (6, 4)
    house.assert_exact()


def test_a_claim_that_is_said_again_where_nobody_owns_movements_any_more_ships_nothing(house: House) -> None:
    made = house.reserver.reserve("k", "oms", EDI, [Wanted(TEA, 6, EAST)])
    fulfil(house, made, "f", (TEA, 6))
    house.post(shipment("s", 1, 6, f"reservation/{made.id}"))
    assert (house.on_hand(), house.available()) == (4, 4)

    nobody = replace(declared(), locations={**declared().locations, EAST: Location(EAST, WMS, None)})
    house.declare(nobody)
    house.clock.advance(minutes=1)
    fulfil(house, made, "f", (TEA, 6))

    assert (house.on_hand(), house.available()) == (4, 4)
    house.assert_exact()


def test_no_more_can_be_fulfilled_than_is_open_and_not_fulfilled_yet(house: House) -> None:
    made = house.reserver.reserve("k", "oms", EDI, [Wanted(TEA, 6, EAST)])
    fulfil(house, made, "f", (TEA, 4))
    with pytest.raises(InvalidReservationError) as raised:
        fulfil(house, made, "g", (TEA, 3))
    assert raised.value.field == "lines[0].quantity"
    assert "only 2" in raised.value.reason
    with pytest.raises(InvalidReservationError):
        fulfil(house, made, "h", (MUG, 1))


def test_a_reservation_that_was_released_cannot_be_fulfilled_any_more(house: House) -> None:
    made = reserve(house, (TEA, 6))
    house.reserver.release(made.id)
    with pytest.raises(InvalidReservationError) as raised:
        fulfil(house, made, "f", (TEA, 1))
    assert raised.value.field == "reservation"
    assert (house.on_hand(AT_WEST), house.available(AT_WEST)) == (10, 10)


def test_releasing_after_a_part_gives_back_the_rest_alone(house: House) -> None:
    made = reserve(house, (TEA, 6))
    fulfil(house, made, "f", (TEA, 4))
    house.reserver.release(made.id)
    assert (house.on_hand(AT_WEST), house.available(AT_WEST)) == (6, 6)
    house.assert_exact()


def test_units_that_are_said_to_have_left_are_not_given_back_by_a_release(house: House) -> None:
    made = house.reserver.reserve("k", "c", EDI, [Wanted(TEA, 5, EAST)])
    fulfil(house, made, "f", (TEA, 2))

    released = house.reserver.release(made.id)

    assert house.available() == 8  # 10, less the 2 that left and of which the WMS has said nothing yet
    assert [line.open for line in released.lines] == [2]
    house.post(shipment("s", 5, 2, f"reservation/{made.id}"))
    assert (house.on_hand(), house.available()) == (8, 8)
    house.assert_exact()


def refused(house: House, made: Reservation, key: str, *units: tuple[Sku, int]) -> str:
    with pytest.raises(InvalidReservationError) as error:
        fulfil(house, made, key, *units)
    return str(error.value)


def before_the_first_write(house: House, other: Callable[[], object]) -> None:
    def happen(_number: int, _actions: Sequence[Action]) -> None:
        house.stock.faults = None
        other()

    house.stock.faults = Interruption(before=happen)


def call_off(house: House, made: Reservation, key: str) -> Reservation:
    desk = Fulfiller(house.stock, house.registry, house.reserver, house.teller, house.clock)
    return desk.call_off(made.id, key)


@pytest.mark.parametrize("lifetime", [None, timedelta(hours=1)])
@pytest.mark.parametrize("place", [EAST, WEST])
def test_what_was_said_by_mistake_is_called_off_and_a_release_before_or_after_lets_go_of_it(
    house: House, place: LocationId, lifetime: timedelta | None
) -> None:
    at_place, wanted = StockKey(TEA, place), [Wanted(TEA, 5, place)]
    early = house.reserver.reserve("early", "oms", EDI, wanted, lifetime)
    fulfil(house, early, "f")
    assert house.available(at_place) == 5
    house.reserver.release(early.id)
    assert house.available(at_place) == 5  # they are said to have left

    for _ in range(2):
        call_off(house, early, "f")
        house.reserver.expire_due()
        assert (house.on_hand(at_place), house.available(at_place)) == (10, 10)

    late = house.reserver.reserve("late", "oms", EDI, wanted, lifetime)
    fulfil(house, late, "f")
    off = call_off(house, late, "f")
    assert (off.status, house.available(at_place)) == (ReservationStatus.CONFIRMED, 5)
    fulfil(house, late, "g", (TEA, 2))
    house.reserver.release(late.id)
    assert house.available(at_place) == 8
    house.assert_exact()


def test_a_count_between_a_fulfilment_and_its_call_off_had_seen_the_units(house: House) -> None:
    made = reserve(house, (TEA, 5))
    fulfil(house, made, "f")
    house.clock.advance(hours=1)
    house.post(count("c", 59, 10, key=AT_WEST))
    house.clock.advance(hours=1)
    call_off(house, made, "f")
    assert (house.on_hand(AT_WEST), house.available(AT_WEST)) == (10, 5)
    house.assert_exact()


@pytest.mark.parametrize("number", range(4))
def test_a_call_off_that_was_cut_short_is_gone_on_with_and_nothing_is_fulfilled_under_its_key(
    house: House, number: int
) -> None:
    made = reserve(house, (TEA, 5), (MUG, 5))
    fulfil(house, made, "f")

    def crash(write: int, _actions: Sequence[Action]) -> None:
        if write == number:
            raise Crash

    house.stock.faults = Interruption(after=crash)
    with suppress(Crash):
        call_off(house, made, "f")
    house.stock.faults = None
    with pytest.raises(InvalidReservationError, match="called off"):
        fulfil(house, made, "f")
    call_off(house, made, "f")
    assert (house.on_hand(AT_WEST), house.on_hand(StockKey(MUG, WEST))) == (10, 5)
    assert (house.available(AT_WEST), house.available(StockKey(MUG, WEST))) == (5, 0)
    house.assert_exact()


@pytest.mark.parametrize("is_released", [False, True])
def test_what_is_being_fulfilled_while_it_is_called_off_has_not_left_either(
    house: House, *, is_released: bool
) -> None:
    made = reserve(house, (TEA, 6))

    def meanwhile(_number: int, actions: Sequence[Action]) -> None:
        if any(action.key.pk.startswith("EVENT#") for action in actions):
            house.stock.faults = None
            if is_released:
                house.reserver.release(made.id)
            call_off(house, made, "f")

    house.stock.faults = Interruption(before=meanwhile)
    with suppress(InvalidReservationError):
        fulfil(house, made, "f", (TEA, 4))
    assert house.stock.faults is None
    assert (house.on_hand(AT_WEST), house.available(AT_WEST)) == (10, 10 if is_released else 4)
    house.assert_exact()


def test_what_was_called_off_does_not_leave_though_what_came_first_is_called_off_as_well(
    house: House,
) -> None:
    made = reserve(house, (TEA, 6))

    def meanwhile(_number: int, actions: Sequence[Action]) -> None:
        if any(action.key.pk.startswith("EVENT#") for action in actions):
            house.stock.faults = None
            fulfil(house, made, "f2")
            call_off(house, made, "f1")
            call_off(house, made, "f2")

    house.stock.faults = Interruption(before=meanwhile)
    assert "has called it off" in refused(house, made, "f1")
    assert (house.on_hand(AT_WEST), house.available(AT_WEST)) == (10, 4)

    call_off(house, made, "f1")
    assert fulfil(house, made, "f3").status is ReservationStatus.FULFILLED
    assert house.on_hand(AT_WEST) == 4
    house.assert_exact()


def test_what_is_called_off_after_the_release_stays_released(house: House) -> None:
    made = reserve(house, (TEA, 5))
    fulfil(house, made, "f1")
    house.reserver.release(made.id)

    assert call_off(house, made, "f1").status is ReservationStatus.RELEASED
    assert "it is released" in refused(house, made, "f2")

    house.reserver.expire_due()
    assert (house.on_hand(AT_WEST), house.available(AT_WEST)) == (10, 10)
    house.assert_exact()


def test_units_that_come_back_while_a_reservation_expires_are_given_back_too(house: House) -> None:
    made = house.reserver.reserve(
        "k", "oms", EDI, [Wanted(TEA, 5, EAST), Wanted(MUG, 2, WEST)], timedelta(hours=1)
    )
    order = f"reservation/{made.id}"
    house.post(shipment("s", 1, 5, order))
    house.clock.advance(minutes=61)

    def meanwhile(_number: int, actions: Sequence[Action]) -> None:
        if any(isinstance(action, Update) and "expired_at" in action.set for action in actions):
            house.stock.faults = None
            house.post(shipment("s-taken-back", 60, -5, order))

    house.stock.faults = Interruption(before=meanwhile)
    house.reserver.expire_due()

    assert house.stock.faults is None
    assert house.reserver.get(made.id).status is ReservationStatus.EXPIRED
    assert (house.on_hand(), house.available()) == (10, 10)
    house.assert_exact()


@pytest.mark.parametrize("named", ["1", "2", "L1", "0", "77"])
def test_a_warehouse_may_number_the_lines_of_a_reservation_in_its_own_way(house: House, named: str) -> None:
    mugs = StockKey(MUG, EAST)
    house.post(movement("me", 0, 9, key=mugs))
    wanted = [Wanted(TEA, 6, EAST), Wanted(MUG, 3, EAST)]
    made = house.reserver.reserve("k", "oms", EDI, wanted, timedelta(hours=1))
    order = (f"reservation/{made.id}", named)
    house.post(
        movement("s1", 1, -4, order=order, kind=MovementKind.SHIPMENT),
        movement("s2", 1, -3, key=mugs, order=order, kind=MovementKind.SHIPMENT),
        movement("s3", 2, 1, key=mugs, order=order, kind=MovementKind.SHIPMENT),
    )

    shown = house.reserver.get(made.id)
    assert [(line.line, line.shipped, line.open) for line in shown.lines] == [("1", 4, 2), ("2", 2, 1)]
    assert (house.available(), house.available(mugs)) == (4, 6)

    house.clock.advance(hours=2)
    assert house.reserver.expire_due() == 1
    assert (house.available(), house.available(mugs)) == (6, 7)
    house.assert_exact()


def test_what_is_shipped_for_a_reservation_and_is_no_item_of_it_waits_under_the_name_it_has(
    house: House,
) -> None:
    made = house.reserver.reserve("k", "oms", EDI, [Wanted(TEA, 6, EAST)])
    order = (f"reservation/{made.id}", "L1")
    house.post(movement("s", 1, -1, key=StockKey(MUG, WEST), order=order, kind=MovementKind.SHIPMENT))

    assert [line.line for line in house.reserver.get(made.id).lines] == ["1"]
    assert house.reserver.release(made.id).status is ReservationStatus.RELEASED
    assert house.available() == 10
    house.assert_exact()


def test_what_is_claimed_comes_on_top_of_what_the_authority_had_shipped(house: House) -> None:
    made = house.reserver.reserve("k", "oms", EDI, [Wanted(TEA, 6, EAST)])
    order = f"reservation/{made.id}"
    house.post(shipment("s1", 1, 4, order))

    [line] = fulfil(house, made, "f1").lines
    assert line.claimed is not None
    assert (line.claimed.units, line.releasable) == (2, 0)
    assert "only 0 of TEA are reserved and not fulfilled yet" in refused(house, made, "f2", (TEA, 2))
    house.reserver.release(made.id)
    assert (house.on_hand(), house.available()) == (6, 4)

    house.post(shipment("s1-taken-back", 2, -4, order))
    house.reserver.expire_due()
    assert (house.on_hand(), house.available()) == (10, 8)
    house.post(shipment("s2", 3, 2, order))
    assert (house.on_hand(), house.available()) == (8, 8)
    assert house.reserver.get(made.id).lines[0].claimed is None
    house.assert_exact()


def test_what_ships_by_our_word_leaves_a_claim_of_before_to_the_authority(house: House) -> None:
    made = house.reserver.reserve("k", "oms", EDI, [Wanted(TEA, 6, EAST)])
    fulfil(house, made, "f1", (TEA, 4))
    nobody = replace(declared(), locations={**declared().locations, EAST: Location(EAST, WMS, None)})
    house.declare(nobody)
    house.clock.advance(minutes=10)

    [line] = fulfil(house, made, "f2", (TEA, 2)).lines

    assert line.claimed is not None
    assert (line.claimed.units, line.releasable) == (4, 0)
    assert "only 0 of TEA are reserved and not fulfilled yet" in refused(house, made, "f3", (TEA, 1))
    house.reserver.release(made.id)
    assert (house.on_hand(), house.available()) == (8, 4)
    house.assert_exact()


def test_what_nobody_fulfilled_cannot_be_called_off(house: House) -> None:
    with pytest.raises(InvalidReservationError, match="nothing of reservation"):
        call_off(house, reserve(house, (TEA, 5)), "f")


def test_a_call_that_was_cut_short_and_another_ship_no_unit_twice(house: House) -> None:
    made = reserve(house, (TEA, 6))

    def crash(_number: int, _actions: Sequence[Action]) -> None:
        raise Crash

    house.stock.faults = Interruption(after=crash)
    with pytest.raises(Crash):
        fulfil(house, made, "f1")
    house.stock.faults = None
    fulfil(house, made, "f2")

    for _ in range(2):
        assert "6 of line 1 are to leave, and only 0 are open" in refused(house, made, "f1")
    assert fulfil(house, made, "f2").status is ReservationStatus.FULFILLED
    assert (house.on_hand(AT_WEST), house.available(AT_WEST)) == (4, 4)
    house.assert_exact()


def test_of_two_calls_at_once_one_ships_and_of_the_other_nothing(house: House) -> None:
    made = reserve(house, (TEA, 6), (MUG, 2))
    before_the_first_write(house, lambda: fulfil(house, made, "f2", (TEA, 6)))

    assert "only 0 are open" in refused(house, made, "f1", (TEA, 6), (MUG, 2))

    assert (house.on_hand(AT_WEST), house.on_hand(StockKey(MUG, WEST))) == (4, 5)
    fulfil(house, made, "f3")
    assert (house.on_hand(AT_WEST), house.on_hand(StockKey(MUG, WEST))) == (4, 3)
    house.assert_exact()


def test_a_call_that_meets_a_release_ships_nothing_that_was_given_back(house: House) -> None:
    made = reserve(house, (TEA, 6))
    before_the_first_write(house, lambda: house.reserver.release(made.id))

    refused(house, made, "f1", (TEA, 6))

    assert (house.on_hand(AT_WEST), house.available(AT_WEST)) == (10, 10)
    house.assert_exact()


def test_two_calls_at_once_claim_no_unit_twice(house: House) -> None:
    made = house.reserver.reserve("k", "oms", EDI, [Wanted(TEA, 6, EAST)])
    before_the_first_write(house, lambda: fulfil(house, made, "f2", (TEA, 4)))

    assert "4 of line 1 are to leave, and only 2 are open" in refused(house, made, "f1", (TEA, 4))

    (line,) = house.reserver.get(made.id).lines
    assert line.claimed is not None
    assert line.claimed.units == 4


def test_what_is_refused_of_a_call_of_several_transactions_is_told_with_what_is_not(house: House) -> None:
    skus = [Sku(f"S{number}") for number in range(60)]
    house.post(*(movement(f"w-{sku}", 0, 5, key=StockKey(sku, WEST)) for sku in skus))
    made = reserve(house, *((sku, 2) for sku in skus))
    before_the_first_write(house, lambda: fulfil(house, made, "f2", (skus[0], 2)))

    said = refused(house, made, "f1", *((sku, 2) for sku in skus))

    left = [sku for sku in skus if house.on_hand(StockKey(sku, WEST)) == 3]
    assert skus[0] in left
    assert 1 < len(left) < 60
    assert f"of its other lines {len(left) - 1} are fulfilled" in said
    fulfil(house, made, "f3")
    assert all(house.on_hand(StockKey(sku, WEST)) == 3 for sku in skus)
    house.assert_exact()


def test_a_reservation_of_lines_that_are_large_with_shipments_is_released_in_steps(house: House) -> None:
    skus = [Sku(f"S{number}") for number in range(40)]
    house.post(*(movement(f"w-{sku}", 0, 1000, key=StockKey(sku, WEST)) for sku in skus))
    made = reserve(house, *((sku, 1000) for sku in skus))
    for line in Orders(house.stock).order(f"reservation/{made.id}"):
        said = [EventKey(f"onecount/{line.order}/{line.line}/fulfilled/{n:018}") for n in range(900)]
        shipped = {str(key): Stated(NOON, key, 1, WEST) for key in said}
        house.stock.write([line_put(replace(line, shipments=shipped), NOON)])

    assert house.reserver.release(made.id).status is ReservationStatus.RELEASED

    assert {house.available(StockKey(sku, WEST)) for sku in skus} == {100}


def desk_of_small_headers(house: House, size: int) -> Fulfiller:
    return Fulfiller(house.stock, house.registry, house.reserver, house.teller, house.clock, calls_size=size)


def test_a_reservation_that_is_fulfilled_in_very_many_parts_keeps_of_most_calls_only_that_they_were(
    house: House,
) -> None:
    skus = [Sku(f"S{number}") for number in range(20)]
    house.post(*(movement(f"w-{sku}", 0, 12, key=StockKey(sku, WEST)) for sku in skus))
    made = reserve(house, *((sku, 12) for sku in skus))
    desk, part = desk_of_small_headers(house, 1_500), [Wanted(sku, 1) for sku in skus]
    for number in range(10):
        desk.fulfil(made.id, f"f{number}", part)
    for number in range(10):
        desk.fulfil(made.id, f"f{number}", part)
        with pytest.raises(IdempotencyConflictError):
            desk.fulfil(made.id, f"f{number}", part[:1])
    assert {house.on_hand(StockKey(sku, WEST)) for sku in skus} == {2}
    house.reserver.release(made.id)
    assert {house.available(StockKey(sku, WEST)) for sku in skus} == {2}
    house.assert_exact()


def test_calls_that_were_cut_short_are_kept_whole_and_one_too_many_is_refused(house: House) -> None:
    made = reserve(house, (TEA, 6))
    desk = desk_of_small_headers(house, 200)

    def crash(_number: int, _actions: Sequence[Action]) -> None:
        raise Crash

    for number in range(2):
        house.stock.faults = Interruption(after=crash)
        with pytest.raises(Crash):
            desk.fulfil(made.id, f"f{number}", [Wanted(TEA, 1)])
    house.stock.faults = None
    with pytest.raises(InvalidReservationError, match="with what 2 calls name of it"):
        desk.fulfil(made.id, "f2", [Wanted(TEA, 1)])

    desk.fulfil(made.id, "f1", [Wanted(TEA, 1)])
    assert house.on_hand(AT_WEST) == 9
    house.reserver.release(made.id)
    assert house.available(AT_WEST) == 9


def test_what_is_being_given_back_of_a_reservation_that_never_came_about_cannot_be_fulfilled(
    house: House,
) -> None:
    reserver = Reserver(house.stock, house.registry, house.clock, lambda _: None, most_lines=1)
    wanted = [Wanted(TEA, 6), Wanted(MUG, 2), Wanted(Sku("POT"), 1)]

    def crash(_number: int, actions: Sequence[Action]) -> None:
        if any(isinstance(action, Update) and "released_at" in action.set for action in actions):
            raise Crash

    house.stock.faults = Interruption(after=crash)
    with pytest.raises(Crash):
        reserver.reserve("k", "oms", EDI, wanted)
    house.stock.faults = None
    [reservation] = {
        order_of(item) for item in house.stock.scan() if str(item["pk"]).startswith("ORDER#reservation/")
    }

    assert (house.available(AT_WEST), house.available(StockKey(MUG, WEST))) == (10, 3)
    assert reserver.get(reservation).status is ReservationStatus.RELEASED
    desk = Fulfiller(house.stock, house.registry, reserver, house.teller, house.clock)
    with pytest.raises(InvalidReservationError, match="it is released"):
        desk.fulfil(reservation, "f")

    house.clock.advance(minutes=2)
    reserver.expire_due()
    assert (house.on_hand(StockKey(MUG, WEST)), house.available(StockKey(MUG, WEST))) == (5, 5)
    house.assert_exact()


def order_of(item: Item) -> str:
    return str(item["pk"]).removeprefix("ORDER#reservation/")

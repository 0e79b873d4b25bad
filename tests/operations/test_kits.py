"""Kits: demand becomes demand for the components, in one transaction, in any order of arrival."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.cases import CaseStatus
from shared.domain.events import Event, MovementKind, effect_hash, instant
from shared.domain.item_changes import Declaration, InvalidItemError, changed
from shared.domain.items import Change, Component, Item
from shared.domain.network import Channel
from shared.domain.stock import ChannelId, Sku, StockKey
from shared.operations.facts import Fact
from shared.operations.reservations import InsufficientStockError, Wanted
from shared.store.items import ItemChangedError
from shared.store.orders import Orders
from tests.operations.house import (
    EAST,
    KEY,
    NOON,
    SHOP,
    TEA,
    WEST,
    Crash,
    House,
    Interruption,
    cancelled,
    count,
    demand,
    movement,
    network,
    shipment,
)

BOX = Sku("BOX")
BOX_KEY = StockKey(BOX, EAST)
MUG_KEY = StockKey(Sku("MUG"), EAST)
LID_KEY = StockKey(Sku("LID"), EAST)


def kit(house: House, components: dict[str, int], *, sku: str = BOX, **said: object) -> Item:
    before = house.registry.items.find([Sku(sku)]).get(Sku(sku), Item(Sku(sku)))
    parts = tuple(Component(Sku(name), quantity) for name, quantity in components.items())
    declaration = Declaration(Sku(sku), components=parts, **said)  # type: ignore[arg-type]
    after = changed(before, declaration, Change("ann", house.clock()))
    house.registry.items.change([(before, after)])
    return after


def post(house: House, *events: Event) -> None:
    """Post events of ours as the resolution would: each with what the registry says of its item."""
    items = house.registry.items.find({event.sku for event in events})
    facts = []
    for event in events:
        item = items.get(event.sku, Item(event.sku))
        known = item if item.kit_components else None
        facts.append(Fact(event, effect_hash(event), known, item.is_component))
    house.poster.post(facts, house.registry.network())


@pytest.fixture
def house() -> House:
    house = House(skus=("TEA", "MUG", "LID"))
    house.post(count("c1", -60, 100), count("c2", -60, 50, key=MUG_KEY), count("c3", -60, 50, key=LID_KEY))
    kit(house, {"TEA": 2, "MUG": 1})
    return house


def state(house: House) -> dict[str, object]:
    lines = {
        f"{line.order}:{line.line}": (line.open, line.history, line.ordered)
        for order in ("O1", "O2")
        for line in Orders(house.stock).order(order)
        if line.open or line.ordered
    }
    return {
        "available": [house.available(key) for key in (KEY, MUG_KEY, LID_KEY)],
        "on_hand": [house.on_hand(key) for key in (KEY, MUG_KEY, LID_KEY)],
        "lines": lines,
    }


def ordered(name: str, minute: float, units: int, *, version: str = "1") -> Event:
    return demand(name, minute, units, "O1", key=BOX_KEY, version=version)


def kit_cancelled(name: str, minute: float, units: int) -> Event:
    return replace(cancelled(name, minute, units, "O1", document=name), sku=BOX)


def test_an_order_of_a_kit_takes_its_components(house: House) -> None:
    post(house, ordered("o", 1, 3))

    assert [house.available(key) for key in (KEY, MUG_KEY)] == [94, 47]
    lines = {line.line: (line.stock_key.sku, line.open) for line in Orders(house.stock).order("O1")}
    assert lines == {"1": ("BOX", 0), "1/MUG": ("MUG", 3), "1/TEA": ("TEA", 6)}
    house.assert_exact()


def test_a_change_a_cancellation_and_a_repetition_of_it_reach_every_component_once(house: House) -> None:
    for _ in range(2):
        post(house, ordered("o1", 1, 3))
        post(house, ordered("o2", 2, 5, version="2"))
        post(house, kit_cancelled("x", 3, 2))

    assert [house.available(key) for key in (KEY, MUG_KEY)] == [94, 47]
    house.assert_exact()


def test_two_kit_lines_of_one_batch_are_summed_on_what_they_share(house: House) -> None:
    kit(house, {"TEA": 1, "LID": 2}, sku="SET")
    post(
        house,
        ordered("o", 1, 3),
        demand("p", 1, 2, "O2", key=StockKey(Sku("SET"), EAST)),
        demand("q", 1, 5, "O3"),
    )

    assert [house.available(key) for key in (KEY, MUG_KEY, LID_KEY)] == [100 - 6 - 2 - 5, 47, 46]
    house.assert_exact()


@pytest.mark.parametrize("first", range(6))
def test_components_are_shipped_before_or_after_the_order(house: House, first: int) -> None:
    events = [
        ordered("o", 1, 3),
        shipment("s1", 5, 4, "O1"),
        shipment("s2", 6, 3, "O1", key=MUG_KEY),
    ]
    for event in list(permutations(events))[first]:
        post(house, event)

    assert [house.on_hand(key) for key in (KEY, MUG_KEY)] == [96, 47]
    assert [house.available(key) for key in (KEY, MUG_KEY)] == [94, 47]
    house.assert_exact()


@pytest.mark.parametrize("order_first", [True, False])
def test_whole_kits_that_are_shipped_before_their_order_serve_it_all_the_same(
    house: House, order_first: bool
) -> None:
    placed = ordered("o", 1, 3)
    left = replace(shipment("s", 2, 3, "O1", key=BOX_KEY), sku=BOX)

    post(house, *((placed, left) if order_first else (left, placed)))
    post(house, *((left, placed) if order_first else (placed, left)))

    assert [house.on_hand(key) for key in (KEY, MUG_KEY)] == [94, 47]
    assert [house.available(key) for key in (KEY, MUG_KEY)] == [94, 47]
    assert {line.line: line.open for line in Orders(house.stock).order("O1")} == {
        "1": 0,
        "1/MUG": 0,
        "1/TEA": 0,
    }
    house.assert_exact()


def test_whole_kits_shipped_first_and_their_order_in_another_batch_end_alike(house: House) -> None:
    post(house, shipment("s", 2, 3, "O1", key=BOX_KEY))
    post(house, ordered("o", 1, 3))

    assert [house.available(key) for key in (KEY, MUG_KEY)] == [94, 47]
    house.assert_exact()


def test_a_crash_at_any_write_leaves_all_components_or_none(house: House) -> None:
    def crash(number: int, _actions: object) -> None:
        if number == 0:
            raise Crash

    house.stock.faults = Interruption(before=crash)
    with pytest.raises(Crash):
        post(house, ordered("o", 1, 3))
    house.stock.faults = None
    assert [house.available(key) for key in (KEY, MUG_KEY)] == [100, 50]

    house.stock.faults = Interruption(after=crash)
    with pytest.raises(Crash):
        post(house, ordered("o", 1, 3))
    house.stock.faults = None
    post(house, ordered("o", 1, 3))
    assert [house.available(key) for key in (KEY, MUG_KEY)] == [94, 47]
    house.assert_exact()


# ---- definitions ------------------------------------------------------------------------------------------------


def test_an_order_keeps_the_components_that_it_was_taken_with(house: House) -> None:
    post(house, ordered("o", 1, 3))
    kit(house, {"TEA": 1, "LID": 1})
    post(house, ordered("o2", 2, 4, version="2"))

    assert [house.available(key) for key in (KEY, MUG_KEY, LID_KEY)] == [92, 46, 50]

    post(house, replace(demand("p", 3, 1, "O2", key=BOX_KEY)))
    assert [house.available(key) for key in (KEY, MUG_KEY, LID_KEY)] == [91, 46, 49]
    house.assert_exact()


@pytest.mark.parametrize("forward", [True, False])
def test_the_terms_of_when_the_order_was_placed_count_whatever_arrives_first(
    house: House, forward: bool
) -> None:
    kit(house, {"TEA": 1, "LID": 1}, effective_from=NOON + timedelta(minutes=10))
    events = [ordered("o1", 5, 3), ordered("o2", 15, 4, version="2"), kit_cancelled("x", 16, 1)]
    for event in events if forward else reversed(events):
        post(house, event)

    assert [house.available(key) for key in (KEY, MUG_KEY, LID_KEY)] == [94, 47, 50]
    house.assert_exact()


def test_a_kit_in_a_kit_is_refused_from_either_side(house: House) -> None:
    with pytest.raises(ItemChangedError):
        kit(house, {"BOX": 1}, sku="CRATE")
    with pytest.raises(ItemChangedError):
        kit(house, {"LID": 1}, sku="MUG")
    with pytest.raises(InvalidItemError):
        kit(house, {"BOX": 1})
    assert house.registry.items.kits_with([TEA, Sku("LID")]) == {TEA: [BOX]}


def test_a_component_that_is_no_item_is_refused(house: House) -> None:
    with pytest.raises(ItemChangedError):
        kit(house, {"NOTHING": 1}, sku="CRATE")
    assert not house.registry.is_item(Sku("CRATE"))


# ---- messages ---------------------------------------------------------------------------------------------------


def message(kind: str, quantity: int) -> object:
    line = {"line": "1", "sku": "BOX", "location": "east", "quantity": quantity}
    return {"type": kind, "timestamp": instant(NOON), "data": {"document": "D", "lines": [line]}}


@pytest.mark.parametrize("kind", ["stock.receipt", "stock.count"])
def test_stock_of_a_kit_is_a_case_and_posted_by_itself_once_it_is_no_kit(house: House, kind: str) -> None:
    house.store("wms", message(kind, 5))
    house.settle()
    (case,) = house.cases.list(CaseStatus.OPEN)
    assert case.title.endswith("BOX, which is a kit and has no stock of its own")
    assert (case.facts["field"], bool(case.remedy)) == ("sku", True)
    assert house.on_hand(BOX_KEY) == 0

    kit(house, {})
    house.sweep.run()

    assert house.on_hand(BOX_KEY) == 5
    assert house.open_cases() == []


# ---- any history ------------------------------------------------------------------------------------------------


def events_of(numbers: Sequence[int]) -> list[Event]:
    """Return a history of one order of a kit: versions, cancellations, shipments of either component."""
    made: list[Event] = []
    makers: list[Callable[[int, int], Event]] = [
        lambda n, u: ordered(f"o{n}", n, u, version=f"{n:03d}"),
        lambda n, u: kit_cancelled(f"x{n}", n, u),
        lambda n, u: shipment(f"s{n}", n, u, "O1"),
        lambda n, u: shipment(f"m{n}", n, u, "O1", key=MUG_KEY),
        lambda n, u: movement(f"r{n}", n, u, kind=MovementKind.RECEIPT),
        lambda n, u: demand(f"p{n}", n, u, "O2"),
    ]
    for n, number in enumerate(numbers, start=1):
        made.append(makers[number % len(makers)](n, 1 + number // len(makers)))
    return made


@settings(max_examples=60)
@given(
    st.lists(st.integers(0, 23), min_size=1, max_size=8),
    st.randoms(use_true_random=False),
    st.booleans(),
)
def test_every_order_of_arrival_ends_alike(numbers: list[int], rng: object, changes: bool) -> None:
    events = events_of(numbers)

    def played(arrivals: Sequence[Event]) -> dict[str, object]:
        house = House(skus=("TEA", "MUG", "LID"))
        house.post(count("c1", -60, 100), count("c2", -60, 50, key=MUG_KEY))
        kit(house, {"TEA": 2, "MUG": 1})
        if changes:
            kit(house, {"TEA": 3, "LID": 1}, effective_from=NOON + timedelta(minutes=4))
        for event in arrivals:
            post(house, event)
        house.assert_exact()
        return state(house)

    shuffled = [*events, *events[:2]]
    rng.shuffle(shuffled)  # type: ignore[attr-defined]
    assert played(shuffled) == played(events)


# ---- reservations -----------------------------------------------------------------------------------------------


def reserved(house: House, key: str, *lines: tuple[str, int]) -> dict[str, int]:
    made = house.reserver.reserve(key, "oms", SHOP, [Wanted(Sku(sku), units) for sku, units in lines])
    return {line.stock_key.sku: line.open for line in made.lines}


def test_a_reservation_of_a_kit_takes_its_components_summed_with_the_other_lines(house: House) -> None:
    assert reserved(house, "k", ("BOX", 3), ("TEA", 4), ("BOX", 1)) == {"TEA": 12, "MUG": 4}

    assert [house.available(key) for key in (KEY, MUG_KEY)] == [88, 46]
    house.assert_exact()


def test_a_kit_that_lacks_one_component_reserves_nothing(house: House) -> None:
    with pytest.raises(InsufficientStockError) as refused:
        reserved(house, "k", ("BOX", 40), ("TEA", 21))

    assert [(s.sku, s.requested, s.available_to_promise) for s in refused.value.shortfalls] == [
        ("TEA", 101, 100)
    ]
    assert [house.available(key) for key in (KEY, MUG_KEY)] == [100, 50]
    house.assert_exact()


def test_a_reservation_of_a_kit_is_given_back_whole_and_repeats_as_itself(house: House) -> None:
    made = house.reserver.reserve("k", "oms", SHOP, [Wanted(BOX, 3)])
    kit(house, {"LID": 1})
    assert house.reserver.reserve("k", "oms", SHOP, [Wanted(BOX, 3)]).id == made.id
    assert made.explanation == ("3 BOX from east are 3 MUG + 6 TEA",)

    house.reserver.release(made.id)

    assert [house.available(key) for key in (KEY, MUG_KEY)] == [100, 50]
    house.assert_exact()


def test_a_kit_comes_whole_from_where_its_components_lie_together() -> None:
    edi = Channel(ChannelId("edi"), "scripted", {EAST: "1", WEST: "2"}, EAST, sourcing=(EAST, WEST))
    house = House(network(edi), skus=("TEA", "MUG"))
    kit(house, {"TEA": 2, "MUG": 1})
    house.post(
        movement("a", 0, 100),
        movement("b", 0, 1, key=MUG_KEY),
        movement("c", 0, 10, key=StockKey(TEA, WEST)),
        movement("d", 0, 9, key=StockKey(Sku("MUG"), WEST)),
    )

    made = house.reserver.reserve("k", "oms", edi.id, [Wanted(BOX, 4)])

    assert {(line.stock_key, line.open) for line in made.lines} == {
        (StockKey(TEA, WEST), 8),
        (StockKey(Sku("MUG"), WEST), 4),
    }
    house.assert_exact()


@settings(max_examples=40)
@given(
    st.lists(
        st.tuples(st.sampled_from(["BOX", "SET", "TEA", "MUG"]), st.integers(1, 6)), min_size=1, max_size=5
    )
)
def test_all_lines_are_had_exactly_when_the_sum_of_their_components_is_there(
    lines: list[tuple[str, int]],
) -> None:
    house = House(skus=("TEA", "MUG", "LID"))
    kits = {"BOX": {"TEA": 2, "MUG": 1}, "SET": {"TEA": 1, "LID": 3}}
    stock = {"TEA": 17, "MUG": 8, "LID": 12}
    for sku, parts in kits.items():
        kit(house, parts, sku=sku)
    for sku, units in stock.items():
        house.post(movement(sku, 0, units, key=StockKey(Sku(sku), EAST)))
    needed = dict.fromkeys(stock, 0)
    for sku, units in lines:
        for part, per_kit in kits.get(sku, {sku: 1}).items():
            needed[part] += units * per_kit

    if any(needed[sku] > stock[sku] for sku in stock):
        with pytest.raises(InsufficientStockError):
            reserved(house, "k", *lines)
        needed = dict.fromkeys(stock, 0)
    else:
        assert reserved(house, "k", *lines) == {sku: units for sku, units in needed.items() if units}

    assert {sku: stock[sku] - house.available(StockKey(Sku(sku), EAST)) for sku in stock} == needed
    house.assert_exact()

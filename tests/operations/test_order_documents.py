"""Orders, refunds, fulfilments and returns of a shop: by the door, in every order, against what the warehouse says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import permutations
from time import process_time
from typing import Any

import pytest

from shared.domain.cases import CaseStatus
from shared.domain.events import DemandEffect, Movement, MovementKind, instant
from shared.domain.messages import FETCHED_AT, Message
from shared.domain.network import Channel, Location
from shared.domain.stock import MessageId, Sku, SourceId, StockKey
from shared.operations.facts import Outcome, Result
from shared.operations.message_view import MessageView
from shared.operations.resolve import resolve
from shared.operations.undo import Undone
from shared.sources.shopify_orders import read_fulfilment
from shared.store.orders import Orders
from shared.store.registry import Code, Network
from shared.store.table import Action
from tests.operations.house import (
    EAST,
    KEY,
    NOON,
    SHOP,
    TEA,
    WEST,
    WMS,
    House,
    Interruption,
    at,
    count,
    demand,
    movement,
    network,
)
from tests.operations.test_kits import kit

AT_WEST = StockKey(TEA, WEST)
SHOPIFY = SourceId("shopify")
ORDER, LINE = "shop/1", "11"


def shipped(name: str, minute: float, units: int) -> Movement:
    return movement(name, minute, -units, order=(ORDER, LINE), kind=MovementKind.SHIPMENT)


def snapshot_only() -> Network:
    """West only sends snapshots: what is shipped there, the shop says."""
    declared = network()
    shop = declared.channels[SHOP]
    return Network(
        {
            **declared.sources,
            SHOPIFY: replace(declared.sources[SHOPIFY], locations={"77": EAST, "88": WEST}),
        },
        {EAST: declared.locations[EAST], WEST: Location(WEST, SourceId("files"), SHOPIFY)},
        {SHOP: replace(shop, locations={EAST: "77", WEST: "88"})},
    )


def line(**fields: Any) -> dict[str, Any]:
    return {"id": 11, "sku": "TEA", "quantity": 5, "current_quantity": 5, "fulfillable_quantity": 5} | fields


def order(minute: float, *, refunds: list[Any] | None = None, **fields: Any) -> tuple[str, dict[str, Any]]:
    body = {"id": 1, "updated_at": at(minute).isoformat(), "refunds": refunds or [], "fulfillments": []}
    lined = {name: fields.pop(name) for name in list(fields) if name.endswith(("quantity", "sku"))}
    return "orders/updated", body | {"line_items": [line(**lined)]} | fields


def refund(
    minute: float, units: int, restock: str = "cancel", number: int = 801, place: int = 88
) -> dict[str, Any]:
    part = {"id": number, "line_item_id": 11, "quantity": units, "restock_type": restock, "line_item": line()}
    part |= {"location_id": place if restock == "return" else None}
    return {"id": 800, "order_id": 1, "created_at": at(minute).isoformat(), "refund_line_items": [part]}


def fulfilment(minute: float, units: int, place: int = 77, status: str = "success") -> dict[str, Any]:
    return {
        "id": 900,
        "order_id": 1,
        "status": status,
        "location_id": place,
        "created_at": at(minute).isoformat(),
        "updated_at": at(minute + 1).isoformat(),
        "line_items": [line(quantity=units)],
    }


def hear(house: House, topic: str, body: dict[str, Any], delivery: str = "", fetched: str = "") -> None:
    """Deliver a document; the same one under another delivery id is a message of its own."""
    headers = {"x-shopify-topic": topic, "delivery": delivery}
    house.store("shopify", json.dumps(body).encode(), **headers | ({FETCHED_AT: fetched} if fetched else {}))
    house.settle()


def stands(house: House) -> tuple[int, int, int, int]:
    return house.on_hand(), house.available(), house.on_hand(AT_WEST), house.available(AT_WEST)


EVERY = [
    order(0),
    ("refunds/create", refund(1, 2)),
    order(1, current_quantity=3, fulfillable_quantity=3, refunds=[refund(1, 2)]),
    ("fulfillments/create", fulfilment(2, 1)),
    (
        "orders/cancelled",
        order(
            3,
            current_quantity=0,
            fulfillable_quantity=0,
            cancelled_at=at(3).isoformat(),
            refunds=[refund(1, 2), refund(3, 3, number=802)],
        )[1],
    ),
]


@pytest.mark.parametrize("which", list(permutations(range(len(EVERY))))[::7])
def test_an_order_with_its_refunds_its_claim_and_its_cancellation_ends_alike(which: tuple[int, ...]) -> None:
    house = House(snapshot_only())
    house.clock.advance(hours=1)
    house.post(movement("r", -5, 10))
    for number, index in enumerate(which):
        hear(house, *EVERY[index], delivery=str(number))
        hear(house, *EVERY[index], delivery=f"{number}-again")

    assert stands(house) == (10, 10, 0, 0)
    house.assert_exact()
    assert house.open_cases() == []


def test_a_refund_of_shipped_units_restocks_nothing_until_the_warehouse_receives_them() -> None:
    house = House()
    house.clock.advance(hours=1)
    house.post(movement("r", -5, 10))
    hear(house, *order(0))
    house.post(shipped("s", 1, 5))
    hear(house, "refunds/create", refund(2, 2, "return", place=77))
    assert (house.on_hand(), house.available()) == (5, 5)

    house.post(movement("back", 3, 2, kind=MovementKind.RETURN))
    assert (house.on_hand(), house.available()) == (7, 7)
    house.assert_exact()


def test_where_only_snapshots_come_a_fulfilment_ships_and_the_next_snapshot_contains_it() -> None:
    house = House(snapshot_only())
    house.clock.advance(hours=1)
    house.post(movement("r", -5, 10, key=AT_WEST))
    hear(house, *order(0))
    hear(house, "fulfillments/create", fulfilment(1, 2, place=88))
    hear(house, *order(2, fulfillable_quantity=3, fulfillments=[fulfilment(1, 2, place=88)]))

    assert stands(house) == (0, -3, 8, 8)
    house.post(count("snapshot", 30, 8, key=AT_WEST))
    assert stands(house) == (0, -3, 8, 8)
    house.assert_exact()


@pytest.mark.parametrize("which", list(permutations(range(3))))
def test_a_fulfilment_called_off_puts_the_units_back_in_every_order(which: tuple[int, ...]) -> None:
    documents = [
        order(0),
        ("fulfillments/create", fulfilment(1, 2, place=88)),
        ("fulfillments/update", fulfilment(1, 2, place=88, status="cancelled")),
    ]
    house = House(snapshot_only())
    house.clock.advance(hours=1)
    house.post(movement("r", -5, 10, key=AT_WEST))
    for index in which:
        hear(house, *documents[index], delivery=str(index))

    assert stands(house) == (0, -5, 10, 10)
    house.assert_exact()


def test_where_the_shop_moves_stock_its_returned_units_come_back() -> None:
    house = House(snapshot_only())
    house.clock.advance(hours=1)
    hear(house, "fulfillments/create", fulfilment(1, 5, place=88))
    hear(house, *order(0))
    hear(house, "refunds/create", refund(2, 2, "return"))

    assert stands(house) == (0, 0, -3, -3)
    house.assert_exact()


def test_a_claim_that_the_warehouse_does_not_confirm_in_time_is_a_case_until_it_ships() -> None:
    house = House()
    house.clock.advance(hours=1)
    house.post(movement("r", -5, 10))
    hear(house, *order(0))
    hear(house, "fulfillments/create", fulfilment(1, 2))
    assert house.available() == 5

    house.order_watch.run()
    assert house.open_cases() == []

    house.clock.advance(hours=24)
    house.order_watch.run()
    [case] = house.cases.list(CaseStatus.OPEN)
    assert (case.kind, case.facts["units"], case.facts["authority"]) == ("posting_delay", 2, WMS)
    house.order_watch.run()
    assert house.cases.get(case.id).occurrences == 1

    house.post(shipped("s", 60, 2))
    house.order_watch.run()
    assert house.open_cases() == []
    assert house.available() == 5
    house.assert_exact()


def moved_by(source: SourceId) -> Network:
    """East's movements are said by another from now on."""
    declared = network()
    return replace(declared, locations={**declared.locations, EAST: Location(EAST, WMS, source)})


def test_what_was_claimed_moves_nothing_when_it_is_said_again_by_a_shop_that_has_become_the_authority() -> (
    None
):
    house = House()
    house.clock.advance(hours=1)
    house.post(movement("r", -5, 10))
    hear(house, *order(0))
    claims = house.store("shopify", fulfilment(1, 5), x_shopify_topic="fulfillments/create")
    hear(house, "refunds/create", refund(2, 2, "return", place=77))
    house.post(shipped("s", 1, 5), movement("back", 3, 2, kind=MovementKind.RETURN))
    assert stands(house)[:2] == (7, 7)

    house.declare(moved_by(SHOPIFY))
    house.clock.advance(minutes=10)
    again = order(20, fulfillable_quantity=0, fulfillments=[fulfilment(1, 5)])
    again[1]["refunds"] = [refund(2, 2, "return", place=77)]
    hear(house, *again)
    house.sweep.apply_again(claims)

    assert stands(house)[:2] == (7, 7)
    known = MessageView(house.stock, house.registry, house.clock).events(house.inbox.load(claims))
    assert known is not None
    assert [one.outcome for one in known.events] == ["posted"]
    house.assert_exact()


def test_what_a_shop_moved_is_no_claim_when_it_is_said_again_after_the_warehouse_became_the_authority() -> (
    None
):
    house = House(moved_by(SHOPIFY))
    house.clock.advance(hours=1)
    house.post(movement("r", -5, 10))
    hear(house, *order(0))
    hear(house, "fulfillments/create", fulfilment(1, 5))
    hear(house, "fulfillments/update", fulfilment(1, 5, status="cancelled"))
    hear(house, "refunds/create", refund(2, 2, "return", place=77))
    assert stands(house)[:2] == (12, 7)

    house.declare(moved_by(WMS))
    house.clock.advance(minutes=10)
    hear(house, "fulfillments/create", fulfilment(1, 5), delivery="again")
    hear(house, "refunds/create", refund(2, 2, "return", place=77), delivery="again")
    house.clock.advance(hours=25)
    house.order_watch.run()

    assert (stands(house)[:2], house.open_cases()) == ((12, 7), [])
    [served] = Orders(house.stock).order(ORDER)
    assert (served.claimed, served.kept) == (None, 5)
    house.assert_exact()


MADE = ("fulfillments/create", fulfilment(1, 5))
CALLED_OFF = ("fulfillments/update", fulfilment(1, 5, status="cancelled"))


def of_ten_the_shop_asks_five(house: House) -> None:
    house.clock.advance(hours=1)
    house.post(movement("r", -5, 10))
    hear(house, *order(0))


def undo(house: House, topic: str, body: dict[str, Any], *, dry_run: bool = False) -> Undone:
    """Undo, as an operator, what the delivery of a fulfilment brought."""
    headers = {"x-shopify-topic": topic, "delivery": ""}
    name = house.store("shopify", json.dumps(body).encode(), **headers)
    sent, source = house.inbox.load(name).message, house.registry.network().sources[SHOPIFY]
    reports = list(read_fulfilment(sent, source))
    return house.undoer.undo(reports, source, sent, "ann", "it is here", dry_run=dry_run)


def passes_to(house: House, source: SourceId) -> None:
    house.declare(moved_by(source))
    house.clock.advance(minutes=10)


def test_what_was_only_claimed_brings_no_units_when_a_shop_that_has_become_the_authority_calls_it_off() -> (
    None
):
    house = House()
    of_ten_the_shop_asks_five(house)
    hear(house, *MADE)
    assert stands(house)[:2] == (10, 5)

    passes_to(house, SHOPIFY)
    hear(house, *CALLED_OFF)
    hear(house, *CALLED_OFF, delivery="again")
    assert stands(house)[:2] == (10, 5)
    [claimed] = Orders(house.stock).order(ORDER)
    assert (claimed.claimed, claimed.shipped, claimed.open) == (None, 0, 5)

    hear(house, *order(5, current_quantity=0, fulfillable_quantity=0))
    assert stands(house)[:2] == (10, 10)
    house.assert_exact()


def test_what_a_shop_shipped_comes_back_when_it_is_called_off_after_the_warehouse_became_the_authority() -> (
    None
):
    house = House(moved_by(SHOPIFY))
    of_ten_the_shop_asks_five(house)
    hear(house, *MADE)
    assert stands(house)[:2] == (5, 5)

    passes_to(house, WMS)
    hear(house, *CALLED_OFF)
    hear(house, *CALLED_OFF, delivery="again")

    assert stands(house)[:2] == (10, 5)
    house.assert_exact()


def told(house: House, *which: DemandEffect) -> list[Outcome]:
    """Post, as one batch, these effects of the fulfilment called off, judged by who is the authority now."""
    body = json.dumps(CALLED_OFF[1]).encode()
    message = Message(MessageId("told"), SHOPIFY, body, house.clock(), {"x-shopify-topic": CALLED_OFF[0]})
    network = house.registry.network()
    source = network.sources[SHOPIFY]
    found = resolve(read_fulfilment(message, source), source, house.registry, network, house.clock())
    facts = {fact.said.effect: fact for fact in found.facts if fact.said}
    results = house.poster.post([facts[effect] for effect in which], network)
    house.settle()
    return [result.outcome for result in results]


BOTH = (DemandEffect.FULFILLED, DemandEffect.UNFULFILLED)


@pytest.mark.parametrize("which", [BOTH, BOTH[::-1]])
@pytest.mark.parametrize("authorities", [(WMS, SHOPIFY), (SHOPIFY, WMS)])
@pytest.mark.parametrize("is_ordered", [True, False])
def test_a_fulfilment_and_its_call_off_meet_whichever_is_heard_before_the_authority_changes(
    which: tuple[DemandEffect, ...], authorities: tuple[SourceId, ...], is_ordered: bool
) -> None:
    before, after = authorities
    house = House(moved_by(before))
    house.clock.advance(hours=1)
    house.post(movement("r", -5, 10))
    if is_ordered:
        hear(house, *order(0))
    told(house, which[0])
    passes_to(house, after)
    assert told(house, which[1]) == [Outcome.POSTED]
    assert told(house, *which) == [Outcome.DUPLICATE] * 2
    passes_to(house, before)
    assert told(house, *which[::-1]) == [Outcome.DUPLICATE] * 2
    hear(house, *order(0))

    assert stands(house)[:2] == (10, 5)
    [met] = Orders(house.stock).order(ORDER)
    assert (met.claimed, met.shipped, met.open) == (None, 0, 5)
    house.assert_exact()


@pytest.mark.parametrize("which", [BOTH, BOTH[::-1]])
@pytest.mark.parametrize("authority", [WMS, SHOPIFY])
def test_a_fulfilment_and_its_call_off_meet_in_one_batch(
    which: tuple[DemandEffect, ...], authority: SourceId
) -> None:
    house = House(moved_by(authority))
    of_ten_the_shop_asks_five(house)

    assert told(house, *which) == [Outcome.POSTED] * 2

    assert stands(house)[:2] == (10, 5)
    house.assert_exact()


@pytest.mark.parametrize("authorities", [(WMS, SHOPIFY), (SHOPIFY, WMS)])
def test_a_fulfilment_of_whole_kits_and_its_call_off_meet_though_the_authority_changes(
    authorities: tuple[SourceId, ...],
) -> None:
    before, after = authorities
    mugs = StockKey(Sku("MUG"), EAST)
    house = House(moved_by(before), skus=("TEA", "MUG"))
    house.clock.advance(hours=1)
    house.post(movement("r", -5, 20, key=mugs))
    kit(house, {"MUG": 2}, sku=TEA)
    hear(house, *MADE)
    hear(house, *order(0))

    passes_to(house, after)
    hear(house, *CALLED_OFF)

    assert (house.on_hand(mugs), house.available(mugs), house.on_hand()) == (20, 10, 0)
    house.assert_exact()


@pytest.mark.parametrize("authority", [WMS, SHOPIFY])
def test_a_shipment_that_was_undone_does_not_come_back_twice_when_it_is_called_off(
    authority: SourceId,
) -> None:
    house = House(moved_by(SHOPIFY))
    of_ten_the_shop_asks_five(house)
    hear(house, *MADE)
    assert stands(house)[:2] == (5, 5)
    assert undo(house, *MADE).events == 1
    assert stands(house)[:2] == (10, 5)

    passes_to(house, authority)
    hear(house, *CALLED_OFF)

    assert stands(house)[:2] == (10, 5)
    house.assert_exact()


@pytest.mark.parametrize("is_kit", [False, True])
@pytest.mark.parametrize("authority", [WMS, SHOPIFY])
def test_a_shipment_that_was_called_off_does_not_come_back_twice_when_it_is_undone(
    authority: SourceId, is_kit: bool
) -> None:
    key = StockKey(Sku("MUG"), EAST) if is_kit else KEY
    house = House(moved_by(SHOPIFY), skus=("TEA", "MUG"))
    house.clock.advance(hours=1)
    house.post(movement("r", -5, 10, key=key))
    if is_kit:
        kit(house, {"MUG": 2}, sku=TEA)
    hear(house, *MADE)
    hear(house, *CALLED_OFF)
    passes_to(house, authority)

    for dry_run in (True, False):
        undone = undo(house, *MADE, dry_run=dry_run)
        [reason] = undone.kept.values()
        assert (undone.events, undone.moved) == (0, [])
        assert "has called it off, so its units are there" in reason
    assert house.on_hand(key) == 10

    assert undo(house, *CALLED_OFF).events == 1
    assert house.on_hand(key) == (0 if is_kit else 5)
    assert undo(house, *MADE).events == 1
    assert house.on_hand(key) == 10
    house.assert_exact()


def test_a_shipment_that_is_called_off_while_it_is_being_undone_comes_back_once() -> None:
    house = House(moved_by(SHOPIFY))
    of_ten_the_shop_asks_five(house)
    hear(house, *MADE)

    def meanwhile(_number: int, _actions: Sequence[Action]) -> None:
        house.stock.faults = None
        hear(house, *CALLED_OFF)

    house.stock.faults = Interruption(before=meanwhile)
    undone = undo(house, *MADE)

    assert (undone.events, len(undone.kept)) == (0, 1)
    assert stands(house)[:2] == (10, 5)
    house.assert_exact()


def test_a_message_that_tells_of_a_shipment_and_its_call_off_is_undone_as_a_whole() -> None:
    house = House(moved_by(SHOPIFY))
    of_ten_the_shop_asks_five(house)
    hear(house, *CALLED_OFF)
    assert stands(house)[:2] == (10, 5)

    assert undo(house, *CALLED_OFF).events == 2
    assert undo(house, *CALLED_OFF).already == 2
    assert stands(house)[:2] == (10, 5)
    house.assert_exact()


@pytest.mark.parametrize("which", list(permutations(range(4))))
def test_the_newest_version_of_a_line_says_which_item_it_is_of(which: tuple[int, ...]) -> None:
    mugs, jars = StockKey(Sku("MUG"), EAST), StockKey(Sku("JAR"), EAST)
    house = House(skus=("TEA", "MUG", "JAR"))
    kit(house, {"JAR": 2})
    house.clock.advance(hours=1)
    house.post(*(movement(f"r-{key.sku}", -5, 10, key=key) for key in (KEY, mugs, jars)))
    refunded = refund(2, 1)
    refunded["refund_line_items"][0]["line_item"] = line(sku="MUG")
    documents = [
        order(0),
        order(1, sku="BOX"),
        ("refunds/create", refunded),
        order(3, sku="MUG", current_quantity=4, fulfillable_quantity=4, refunds=[refunded]),
    ]
    for index in which:
        hear(house, *documents[index], delivery=str(index))

    assert (house.available(), house.available(mugs), house.available(jars)) == (10, 6, 10)
    assert house.open_cases() == []
    house.assert_exact()

    back = order(4, sku="BOX", current_quantity=2, fulfillable_quantity=2, refunds=[refunded])
    hear(house, *back)
    assert (house.available(), house.available(mugs), house.available(jars)) == (10, 10, 6)
    house.assert_exact()


def test_an_order_told_again_after_its_code_was_mapped_anew_holds_the_right_item() -> None:
    house = House()
    mugs = StockKey(Sku("MUG"), EAST)
    house.clock.advance(hours=1)
    house.post(movement("r", -5, 10), movement("m", -5, 10, key=mugs))
    house.registry.map_codes({Code(SHOPIFY, "sku", "T-1"): TEA}, "ann")
    hear(house, *order(0, sku="T-1"))
    assert (house.available(), house.available(mugs)) == (5, 10)

    house.registry.map_codes({Code(SHOPIFY, "sku", "T-1"): mugs.sku}, "ann")
    house.clock.advance(minutes=10)
    hear(house, *order(0, sku="T-1"), delivery="again")

    assert (house.available(), house.available(mugs)) == (10, 5)
    house.assert_exact()


def test_two_contents_of_one_version_are_a_case_until_the_order_is_fetched() -> None:
    house = House()
    house.clock.advance(hours=1)
    house.post(movement("r", -5, 10))
    hear(house, *order(0, quantity=5))
    hear(house, *order(0, current_quantity=3, fulfillable_quantity=3))
    assert house.available() == 5
    house.order_watch.run()
    [case] = house.cases.list(CaseStatus.OPEN)
    assert (case.kind, case.facts["order"]) == ("order_disputed", ORDER)

    fetched = (NOON + timedelta(minutes=5)).isoformat()
    hear(house, *order(0, current_quantity=3, fulfillable_quantity=3), fetched=fetched)
    house.order_watch.run()
    assert house.available() == 7
    assert house.open_cases() == []
    house.assert_exact()


def test_what_is_owed_and_not_there_is_a_case_that_names_who_waits_and_stock_resolves_it() -> None:
    first = Channel(SHOP, "scripted", {EAST: "77"}, EAST, sells_down=True, priority=50)
    house = House(replace(network(), channels={SHOP: first}))
    house.clock.advance(hours=1)
    house.post(movement("r", -5, 6))
    for number, minute in ((2, 1), (1, 2), (3, 3)):
        body = order(minute)[1] | {"id": number}
        body["line_items"][0] |= {"quantity": 3, "current_quantity": 3, "fulfillable_quantity": 3}
        hear(house, "orders/create", body)

    house.order_watch.run()
    [case] = house.cases.list(CaseStatus.OPEN)
    assert (case.kind, case.facts["exposure"], case.facts["lines"]) == ("oversold", 3, 1)
    assert case.title == "TEA at east owes 3 more than it has; 1 order line waits"
    assert case.facts["order_1"] == "shop/3 line 11: 3 of 3 missing"
    assert [(c.line.order, c.covered) for c in house.order_watch.backorders(KEY)] == [
        ("shop/2", 3),
        ("shop/1", 3),
        ("shop/3", 0),
    ]

    house.post(movement("more", 10, 2))
    house.settle()
    house.order_watch.run()
    assert house.cases.get(case.id).facts["exposure"] == 1

    house.post(movement("enough", 11, 1))
    house.settle()
    house.order_watch.run()
    assert house.open_cases() == []


def test_what_is_below_zero_while_no_order_waits_is_no_matter_of_orders() -> None:
    house = House()
    house.clock.advance(hours=1)
    house.post(movement("r", -5, 6))
    house.post(movement("gone", 1, -9))
    house.settle()

    house.order_watch.run()

    [case] = house.cases.list(CaseStatus.OPEN)
    assert (case.kind, case.facts["exposure"], case.facts["lines"]) == ("oversold", 3, 0)
    assert "TEA at east is 3 below zero, and no order waits for it" in case.title
    assert "orders" not in case.remedy
    assert case.remedy.startswith("have TEA counted at east")


def test_an_order_with_very_many_refunds_of_one_line_is_read_in_seconds() -> None:
    house = House(snapshot_only())
    house.clock.advance(hours=12)
    house.post(movement("r", -5, 10_000))
    refunds = [refund(minute, 1, number=10_000 + minute) | {"id": minute} for minute in range(1, 641)]
    began = process_time()
    hear(house, *order(700, refunds=refunds, quantity=1000, current_quantity=1000))
    assert process_time() - began < 5
    assert stands(house)[:2] == (10_000, 10_000 - (1000 - 640))
    house.assert_exact()


def edited(house: House, number: int, units: int) -> Result:
    """The order's line is edited, which has a long name."""
    name = f"shop/{number}".ljust(1500, "-")
    [result] = house.post(demand(name, number, units, ORDER, version=instant(at(number))))
    return result


def test_a_line_that_is_full_takes_what_asks_less_and_says_what_to_do_about_the_rest() -> None:
    house = House(snapshot_only())
    house.clock.advance(hours=12)
    house.post(movement("r", -5, 100))
    number = 1
    while (result := edited(house, number, 5 + number % 2)).outcome is Outcome.POSTED:
        number += 1
    assert "order line" in result.reason
    assert "cancel what is left of the line" in result.remedy
    was = house.available()

    assert edited(house, number + 1, was).outcome is Outcome.REFUSED
    assert edited(house, number + 2, 0).outcome is Outcome.POSTED

    assert (was < 100, house.available()) == (True, 100)
    house.assert_exact()


@pytest.mark.parametrize(
    "sells",
    [{"demand_location": EAST}, {"demand_location": None}, {"demand_location": None, "sourcing": (EAST,)}],
)
def test_what_waited_for_its_channel_to_sell_from_somewhere_is_released_by_whatever_says_where(
    sells: dict[str, Any],
) -> None:
    declared = network()
    shop = declared.channels[SHOP]
    nowhere = replace(shop, locations={}, demand_location=None)
    house = House(replace(declared, channels={SHOP: nowhere}))
    house.post(movement("opening", -5, 10))
    hear(house, *order(0))
    assert house.open_cases() == ["unknown_code"]

    house.declare(replace(declared, channels={SHOP: replace(shop, **sells)}))
    house.clock.advance(minutes=10)
    house.sweep.run()
    house.settle()

    assert (house.open_cases(), house.available()) == ([], 5)

"""A fact is followed across the systems from what was stored, each handoff with its time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shared.domain.network import Tolerance
from shared.domain.stock import ChannelId, EventKey, LocationId, MessageId, Sku
from shared.domain.trace import Stage
from shared.operations.reservations import Wanted
from shared.operations.stock_view import UnknownSkuError
from shared.operations.trace import MOST_CHAINS, NothingToTraceError
from shared.sources.manual import ManualEntry
from shared.store.inbox import MessageNotFoundError
from shared.store.layout import message_key
from shared.store.table import Delete
from tests.operations.house import (
    EAST,
    KEY,
    SHOP,
    TEA,
    House,
    at,
    cancelled,
    demand,
    movement,
    network,
    shipment,
)
from tests.operations.scripted_channel import ScriptedChannel
from tests.operations.tracing import posted, pushed, stages, told, tracer


def test_a_receipt_is_followed_from_the_shelf_to_the_shop_with_the_time_of_each_handoff() -> None:
    house, channel = House(), ScriptedChannel(levels={TEA: 0})
    house.list_on(SHOP, "TEA")
    message = told(house, "receipt", "GR-1", -1, 10)
    pushed(house, channel)
    house.clock.advance(minutes=10)
    told(house, "count", "E-1", 5, 9, "erp")

    [chain] = tracer(house).message(message).chains
    assert stages(chain) == [
        ("occurred", "wms", None),
        ("received", "onecount", 60),
        ("posted", "ledger", 2),
        ("pushing", "shop", 3),
        ("confirmed", "shop", 0),
        ("compared", "erp", 360),
    ]
    assert chain.steps[2].says == "TEA@east: on_hand +10"
    assert [name for name, status, _ in chain.cases] == ["drift:erp:TEA:east:on_hand"]
    assert tracer(house).event(EventKey(chain.event)).chains == (chain,)


def test_a_transfer_names_each_counter_that_it_moved() -> None:
    house = House()
    house.post(movement("R", -60, 30))
    asked = house.transfers.request("ann", "r", EAST, LocationId("west"), [(TEA, 20)], "west runs out", None)
    house.transfers.approve(asked.id, "ben", "a")
    house.clock.advance(minutes=1)
    house.transfers.ship(asked.id, "cat", "s")
    house.clock.advance(minutes=1)
    house.transfers.receive(asked.id, "dan", "t")

    arrived, left = tracer(house).sku(TEA, LocationId("west")).chains

    said = [[step.says for step in chain.steps if step.stage is Stage.POSTED] for chain in (left, arrived)]
    assert [sorted(one) for one in said] == [
        ["TEA@east: on_hand -20", "TEA@west: in_transit +20"],
        ["TEA@west: on_hand +20, in_transit -20"],
    ]


def test_an_event_that_waits_for_its_code_says_why_it_went_no_further() -> None:
    house = House(skus=())
    message = told(house, "receipt", "GR-1", -1, 10)
    [chain] = tracer(house).message(message).chains
    assert [stage for stage, _, _ in stages(chain)] == ["occurred", "received"]
    assert chain.notes[0].startswith("unknown_code: ")


def test_an_order_is_followed_document_by_document_to_its_shipment() -> None:
    house = House()
    house.post(movement("R", -60, 10))
    house.post(demand("ordered", 0, 4, "1001"))
    house.clock.advance(minutes=1)
    house.post(cancelled("cancelled", 1, 1, "1001"))
    house.clock.advance(minutes=1)
    house.post(shipment("shipped", 2, 3, "1001"))

    chains = tracer(house).order("1001").chains
    assert [chain.about for chain in chains] == [
        "order 1001, line 1: ordered 4 (1)",
        "order 1001, line 1: cancelled 1 (cancel)",
        "order 1001, line 1: shipped 3",
    ]
    posted = [step.at for chain in chains for step in chain.steps if step.stage is Stage.POSTED]
    assert posted == [at(0), at(1), at(2)]


def test_an_order_by_webhook_leads_to_its_message_and_the_message_to_its_posting() -> None:
    house = House()
    house.post(movement("R", -60, 10))
    order = {
        "id": 1001,
        "updated_at": at(0).isoformat(),
        "created_at": at(0).isoformat(),
        "line_items": [{"id": 1, "sku": "TEA", "quantity": 4, "variant_id": 5}],
    }
    message = house.store("shopify", order, x_shopify_topic="orders/create", delivery="1")
    house.clock.advance(seconds=2)
    house.settle()
    [by_message] = tracer(house).message(message).chains
    assert ("posted", "ledger", 2) in stages(by_message)
    [by_order] = tracer(house).order("1001").chains
    assert (by_order.message, by_order.event) == (message, by_message.event)
    assert tracer(house).order("shop/1001").chains == (by_order,)


def test_a_reservation_is_followed_by_its_id() -> None:
    house = House()
    house.post(movement("R", -60, 10))
    made = house.reserver.reserve("k", "oms", SHOP, [Wanted(TEA, 4, EAST)])
    house.clock.advance(minutes=1)
    house.reserver.release(made.id)
    said = [
        (chain.about.rpartition(": ")[2], chain.steps[-1].at) for chain in tracer(house).order(made.id).chains
    ]
    assert said == [("ordered 4 (1)", at(0)), ("cancelled 4 (release)", at(1))]


def test_a_transfer_is_followed_by_its_id_and_what_was_ordered_comes_before_its_release() -> None:
    house = House()
    house.post(movement("R", -60, 30))
    asked = house.transfers.request("ann", "r", EAST, LocationId("west"), [(TEA, 20)], "west runs out", None)
    house.transfers.approve(asked.id, "ben", "a")
    house.transfers.close(asked.id, "ben", "c", "not needed")

    chains = tracer(house).order(asked.id).chains

    assert [(chain.about.rpartition(": ")[2], chain.steps[-1].says) for chain in chains] == [
        ("ordered 20 (1)", "TEA@east: +20"),
        ("cancelled 20 (release)", "TEA@east: -20"),
    ]
    assert tracer(house).order(f"transfer/{asked.id}").chains == chains


def test_what_closes_a_transfer_that_has_left_released_nothing_and_was_followed_by_no_push() -> None:
    house, channel = House(), ScriptedChannel(levels={TEA: 0})
    house.list_on(SHOP, "TEA")
    house.post(movement("R", -60, 30))
    house.settle()
    pushed(house, channel)
    asked = house.transfers.request("ann", "r", EAST, LocationId("west"), [(TEA, 20)], "west runs out", None)
    house.transfers.approve(asked.id, "ben", "a")
    house.settle()
    pushed(house, channel)
    house.clock.advance(minutes=1)
    house.transfers.ship(asked.id, "cat", "s")
    house.clock.advance(minutes=1)
    house.transfers.close(asked.id, "ben", "c", "the lorry burnt", accept_loss=True, may_write_off=True)
    house.post(movement("R2", 3, 5))
    house.settle()
    pushed(house, channel)

    ordered, released, left = tracer(house).order(asked.id).chains

    assert ordered.steps[-1].says == "took 10"
    assert released.about.endswith("cancelled 20 (release)")
    assert posted(released) == ["TEA@east: nothing moved: the line held 0 then"]
    assert {step.stage for chain in (released, left) for step in chain.steps}.isdisjoint(
        {Stage.PUSHING, Stage.CONFIRMED}
    )
    assert (released.notes, left.notes) == ((), ())


def test_a_cancellation_beyond_what_is_left_says_what_it_released() -> None:
    house = House()
    house.clock.advance(minutes=3)
    house.post(movement("R", -60, 10))
    house.post(demand("ordered", 0, 6, "1001"))
    house.post(shipment("shipped", 1, 4, "1001"))
    house.post(cancelled("cancelled", 2, 6, "1001"))

    [_, release, _] = tracer(house).order("1001").chains

    assert release.about.endswith("cancelled 6 (cancel)")
    assert posted(release) == ["TEA@east: -2"]


def test_an_item_shows_its_newest_postings_and_says_that_there_are_more() -> None:
    house = House()
    for number in range(40):
        house.post(*(movement(f"R{number}-{n}", number, 1) for n in range(8)))
    found = tracer(house).sku(TEA, EAST)
    assert (len(found.chains), found.more) == (MOST_CHAINS, True)
    assert found.chains[0].event.startswith("R39-")
    assert tracer(house).sku(TEA, LocationId("west")).chains == ()


def test_a_message_that_is_gone_leaves_the_rest_of_the_chain() -> None:
    house = House()
    message = told(house, "receipt", "GR-1", -1, 10)
    [chain] = tracer(house).message(message).chains
    house.inbox_table.write([Delete(message_key(message))])
    [left] = tracer(house).event(EventKey(chain.event)).chains
    assert [stage for stage, _, _ in stages(left)] == ["occurred", "posted"]
    assert "raw message is not kept any more" in left.notes[0]


def test_what_left_no_trace_is_said_not_to_be_there() -> None:
    house = House()
    with pytest.raises(NothingToTraceError, match="by its order"):
        tracer(house).event(EventKey("nobody/knows"))
    with pytest.raises(NothingToTraceError, match="no order"):
        tracer(house).order("1")
    with pytest.raises(NothingToTraceError):
        tracer(house).push(ChannelId("shop"), KEY, 0)
    with pytest.raises(UnknownSkuError):
        tracer(house).sku(Sku("NOTHING"), None)
    with pytest.raises(MessageNotFoundError):
        tracer(house).message(MessageId("none"))


def test_an_adjustment_that_waits_for_an_approver_names_its_case() -> None:
    declared = network()
    place = replace(declared.locations[EAST], approve_beyond=Tolerance(100, 5))
    house = House(replace(declared, locations={**declared.locations, EAST: place}))
    entry = ManualEntry("adjustment", "TEA", "east", -50, "ann", "broken")
    entered = house.manual_desk.enter(entry, "k")

    [chain] = tracer(house).message(entered.message_id).chains

    assert (entered.case_id, "open") in [(name, status) for name, status, _ in chain.cases]

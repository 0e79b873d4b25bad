"""A fact is followed across the systems from what was stored, each handoff with its time."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from shared.domain.cases import CaseKind, CaseStatus
from shared.domain.listing import KEPT_PUSHES
from shared.domain.network import Channel, Tolerance
from shared.domain.stock import ChannelId, EventKey, LocationId, MessageId, Sku, SourceId, StockKey
from shared.domain.trace import Chain, Stage
from shared.operations.fan_out import Hint, Lane
from shared.operations.message_view import MessageView
from shared.operations.reserve import Wanted
from shared.operations.stock_view import UnknownSkuError
from shared.operations.trace import MOST_CHAINS, NothingToTraceError, Tracer
from shared.sources.manual import ManualEntry
from shared.sources.registry import translator
from shared.store.inbox import MessageNotFoundError
from shared.store.layout import message_key
from shared.store.table import Delete
from tests.operations.deliveries import body, drop, rows
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
from tests.operations.test_undoing import undo, versions
from tests.operations.waiting_counts import LIMIT, careful, hasty_clocks


def tracer(house: House) -> Tracer:
    messages = MessageView(house.stock, house.registry, house.clock)
    return Tracer(house.stock, house.inbox, house.cases, house.registry, house.view, messages)


def told(house: House, kind: str, document: str, minute: float, units: int, source: str = "wms") -> MessageId:
    """Let a system report something that happened at a minute, and apply it."""
    line = {"line": "1", "sku": "TEA", "location": "east", "quantity": units}
    body = {
        "type": f"stock.{kind}",
        "timestamp": at(minute).isoformat(),
        "data": {"document": document, "lines": [line]},
    }
    name = house.store(source, body, delivery=document)
    house.clock.advance(seconds=2)
    house.settle()
    return name


def stages(chain: Chain) -> list[tuple[str, str, int | None]]:
    return [
        (str(step.stage), step.system, None if step.took is None else round(step.took.total_seconds()))
        for step in chain.steps
    ]


def pushed(house: House, channel: ScriptedChannel) -> None:
    house.clock.advance(seconds=3)
    house.push_due(channel)


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


def test_a_channel_whose_number_did_not_change_was_sent_nothing_and_says_so() -> None:
    house, channel = House(), ScriptedChannel(levels={TEA: 0})
    house.list_on(SHOP, "TEA")
    told(house, "receipt", "GR-1", -1, 10)
    pushed(house, channel)
    house.clock.advance(minutes=10)
    told(house, "receipt", "GR-2", 5, 4)
    message = told(house, "adjustment", "AD-1", 6, -4)
    pushed(house, channel)
    [chain] = tracer(house).message(message).chains
    assert chain.notes == ("shop was sent nothing of TEA@east since: its number did not change",)


def test_a_channel_that_was_not_told_yet_is_not_said_to_show_the_right_number() -> None:
    house, channel = House(), ScriptedChannel(levels={TEA: 0})
    house.list_on(SHOP, "TEA")
    message = told(house, "receipt", "GR-1", -1, 10)
    [chain] = tracer(house).message(message).chains
    assert chain.notes == (
        "shop has not been told of TEA@east yet: nobody knows what it shows, and 10 may be sold there",
    )
    channel.down = True
    pushed(house, channel)
    [chain] = tracer(house).message(message).chains
    assert "; it fails since 2026-11-01T" in chain.notes[0]
    assert chain.notes[0].endswith(": 503")


def test_a_push_that_the_channel_refuses_is_told_with_its_case() -> None:
    house, channel = House(), ScriptedChannel(levels={TEA: 0})
    house.list_on(SHOP, "TEA")
    channel.answers.append("refused")
    message = told(house, "receipt", "GR-1", -1, 30)
    pushed(house, channel)
    [chain] = tracer(house).message(message).chains
    [note] = chain.notes
    assert note == (
        "shop has taken nothing of TEA@east since: shop refuses the quantity of TEA at east: we do not sell it "
        "(case push_refused:shop:TEA:east, open)"
    )


def test_a_push_without_an_answer_is_said_to_be_on_its_way() -> None:
    house, channel = House(), ScriptedChannel(levels={TEA: 0})
    house.list_on(SHOP, "TEA")
    channel.answers.append("unheard")
    message = told(house, "receipt", "GR-1", -1, 30)
    pushed(house, channel)
    [chain] = tracer(house).message(message).chains
    [note] = chain.notes
    assert note.startswith("shop is just being told of TEA@east; without an answer by 2026-11-01T12:")


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


# ---- what was undone ----------------------------------------------------------------------------------------------


def posted(chain: Chain, stage: Stage = Stage.POSTED) -> list[str]:
    return sorted(step.says for step in chain.steps if step.stage is stage)


def undoing_of(house: House, key: str) -> Chain:
    [chain] = tracer(house).event(EventKey(f"onecount/undo/{key}")).chains
    return chain


@pytest.mark.parametrize(
    ("kind", "units", "moved", "back"),
    [
        ("receipt", 10, "on_hand +10", "on_hand -10"),
        ("count", 10, "on_hand +7", "on_hand -7"),
        ("hold", 2, "quality_hold +2", "quality_hold -2"),
        ("damage", 2, "damaged +2", "damaged -2"),
    ],
)
def test_an_event_that_was_undone_says_what_it_moved_by_whom_it_was_undone_when_and_why(
    kind: str, units: int, moved: str, back: str
) -> None:
    house = House()
    told(house, "receipt", "R0", -60, 3)
    message = told(house, kind, "R1", -1, units)
    [before] = tracer(house).message(message).chains
    house.clock.advance(minutes=5)

    undo(house, message)

    at_ = "2026-11-01T12:05:04.000000Z"
    name = f"onecount/undo/{before.event}"
    note = f"it was undone by ann at {at_}, which moved TEA@east: {back} (event {name}): sent twice"
    [by_message] = tracer(house).message(message).chains
    [by_event] = tracer(house).event(EventKey(before.event)).chains
    assert before.notes == ()
    assert by_message.notes == by_event.notes == (note,)
    assert posted(by_message) == posted(by_event) == [f"TEA@east: {moved}"]
    assert posted(by_message, Stage.UNDONE) == [f"TEA@east: {back}"]
    assert by_message.whole == before.whole


@pytest.mark.parametrize(("kind", "back"), [("receipt", -10), ("count", -7)])
def test_an_undoing_says_what_it_moved_back_and_links_what_it_took_back(kind: str, back: int) -> None:
    house = House()
    told(house, "receipt", "R0", -60, 3)
    message = told(house, kind, "R1", -1, 10)
    house.clock.advance(minutes=5)
    undo(house, message)

    key = f"wms/R1/1/{kind}/"
    chain = undoing_of(house, key)

    assert posted(chain) == [f"TEA@east: on_hand {back:+d}"]
    assert chain.notes == (f"ann took back {key}, which message {message} had brought: sent twice",)
    assert chain.message == message
    assert stages(chain) == [("occurred", "onecount", None), ("posted", "ledger", None)]


def test_what_a_later_count_had_seen_already_is_said_to_change_nothing_now() -> None:
    house = House()
    told(house, "count", "C0", -60, 100)
    mistake = told(house, "shipment", "S", -30, 3)
    told(house, "count", "C1", -1, 90)
    undo(house, mistake)
    back = "TEA@east: on_hand +3 (+0 in all: a count since had seen it)"
    assert posted(undoing_of(house, "wms/S/1/shipment/")) == [back]
    assert posted(tracer(house).message(mistake).chains[0]) == ["TEA@east: on_hand -3"]


def test_a_count_that_waited_says_what_its_approval_moved_and_its_undoing_moved_back() -> None:
    house = House(careful(approve_beyond=LIMIT))
    told(house, "receipt", "R0", -60, 100)
    message = told(house, "count", "C", -1, 50)
    [waits] = [case for case in house.cases.list(CaseStatus.OPEN) if case.kind is CaseKind.COUNT_APPROVAL]
    house.case_desk.approve_count(waits.id, "ben", seen=100)
    assert posted(tracer(house).message(message).chains[0]) == ["TEA@east: on_hand -50"]

    undo(house, message)

    [chain] = tracer(house).message(message).chains
    assert posted(chain) == ["TEA@east: on_hand -50"]
    assert posted(chain, Stage.UNDONE) == posted(undoing_of(house, chain.event)) == ["TEA@east: on_hand +50"]


def test_a_count_that_was_undone_while_it_waited_moved_nothing_and_says_so() -> None:
    house = House(careful(approve_beyond=LIMIT))
    told(house, "receipt", "R0", -60, 100)
    message = told(house, "count", "C", -1, 50)
    undo(house, message)
    [chain] = tracer(house).message(message).chains
    assert posted(chain) == ["TEA@east: nothing moved"]
    assert "by ann at" in chain.notes[0]
    assert "which moved nothing (event " in chain.notes[0]


def test_an_undone_version_of_a_count_says_what_stands_again_in_its_place() -> None:
    house = House(hasty_clocks())
    told(house, "receipt", "R0", -60, 11)
    house.clock.now = at(60)
    found = versions(house, 1, 2)
    undo(house, found[2])
    [chain] = tracer(house).message(found[2]).chains
    assert (posted(chain), posted(chain, Stage.UNDONE)) == (
        ["TEA@east: on_hand +2"],
        ["TEA@east: on_hand -2"],
    )
    assert posted(undoing_of(house, chain.event)) == ["TEA@east: on_hand -2"]


def test_a_row_of_a_file_that_was_undone_is_followed_like_any_count() -> None:
    house = House()
    west = StockKey(TEA, LocationId("west"))
    house.ingester.ingest(drop(house, "stock_20261101T0600.csv", rows(("TEA", 40))))
    house.settle()
    [line] = house.ledger.journal(west)[0].lines
    message = MessageId(tracer(house).event(line.event_key).chains[0].message)
    stored = house.inbox.load(message).message
    source = house.registry.network().sources[stored.source]
    reports = house.ingester.reports(stored, source)
    house.undoer.undo(reports, source, stored, "ann", "wrong file", dry_run=False)

    [chain] = tracer(house).event(line.event_key).chains

    assert (posted(chain), posted(chain, Stage.UNDONE)) == (
        ["TEA@west: on_hand +40"],
        ["TEA@west: on_hand -40"],
    )
    assert chain.notes[0].startswith("it was undone by ann at ")
    assert chain.notes[0].endswith(": wrong file")
    assert undoing_of(house, line.event_key).message == message


def test_both_ends_of_a_transfer_that_was_undone_are_told() -> None:
    house = House()
    house.post(movement("R", -60, 30))
    asked = house.transfers.request("ann", "r", EAST, LocationId("west"), [(TEA, 20)], "west runs out", None)
    house.transfers.approve(asked.id, "ben", "a")
    line = {"sku": "TEA", "quantity": 20, "to_location": "west", "transfer": asked.id}
    message = house.store("wms", body("transfer_ship", "T1", line, occurred_at=at(-1)))
    house.settle()
    undo(house, message)
    [chain] = tracer(house).message(message).chains
    assert posted(chain) == ["TEA@east: on_hand -20", "TEA@west: in_transit +20"]
    assert posted(chain, Stage.UNDONE) == ["TEA@east: on_hand +20", "TEA@west: in_transit -20"]


@pytest.mark.parametrize("is_authority_still", [True, False])
def test_a_fulfilment_that_was_undone_says_so_whoever_is_believed_by_now(is_authority_still: bool) -> None:
    plain, shopify = network(), SourceId("shopify")
    theirs = replace(
        plain, locations={**plain.locations, EAST: replace(plain.locations[EAST], movements=shopify)}
    )
    house = House(theirs)
    told(house, "count", "O", -60, 100)
    when = {"created_at": at(0).isoformat(), "updated_at": at(0).isoformat()}
    sent = {
        "id": 77,
        "status": "success",
        "location_id": 77,
        **when,
        "line_items": [{"id": 1, "quantity": 3}],
    }
    line = {"id": 1, "sku": "TEA", "quantity": 4, "variant_id": 5}
    order = {"id": 1001, **when, "line_items": [line], "fulfillments": [sent]}
    message = house.store("shopify", order, x_shopify_topic="orders/updated", delivery="1")
    house.settle()
    stored, source = house.inbox.load(message).message, house.registry.network().sources[shopify]
    reports = list(translator(source.connector).translate(stored, source))
    house.undoer.undo(reports, source, stored, "ann", "sent twice", dry_run=False)
    if not is_authority_still:
        house.declare(plain)

    chain = tracer(house).message(message).chains[-1]

    [note] = [one for one in chain.notes if one.startswith("it was undone by ann at ")]
    assert "TEA@east: on_hand +3" in note
    assert note.endswith(": sent twice")
    assert posted(chain, Stage.UNDONE) == ["TEA@east: on_hand +3"]


def test_a_push_names_the_postings_that_it_carried() -> None:
    house, channel = House(), ScriptedChannel(levels={TEA: 0})
    house.list_on(SHOP, "TEA")
    told(house, "receipt", "GR-1", -1, 10)
    pushed(house, channel)
    told(house, "receipt", "GR-2", 1, 5)
    told(house, "receipt", "GR-3", 2, 1)
    pushed(house, channel)

    head, *carried = tracer(house).push(SHOP, KEY, None).chains
    assert [step.says for step in head.steps][-1] == "took 16"
    assert sorted(chain.event.split("/")[1] for chain in carried) == ["GR-2", "GR-3"]
    first = house.listings.states(SHOP, [KEY])[KEY].pushes[0].generation
    assert [chain.event.split("/")[1] for chain in tracer(house).push(SHOP, KEY, first).chains[1:]] == [
        "GR-1"
    ]
    with pytest.raises(NothingToTraceError, match=f"remembered are generations {first}, "):
        tracer(house).push(SHOP, KEY, 999)


def test_a_listing_remembers_its_newest_pushes_and_says_when_an_older_one_is_gone() -> None:
    house, channel = House(), ScriptedChannel(levels={TEA: 0})
    house.list_on(SHOP, "TEA")
    first = told(house, "receipt", "GR-0", -1, 10)
    for number in range(1, KEPT_PUSHES + 3):
        pushed(house, channel)
        told(house, "receipt", f"GR-{number}", -1, 1)
    pushed(house, channel)
    assert len(house.listings.states(SHOP, [KEY])[KEY].pushes) == KEPT_PUSHES
    [chain] = tracer(house).message(first).chains
    assert chain.notes == ("shop was told at the latest then: only its newest pushes are kept",)


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


def test_two_channels_are_followed_each_by_itself() -> None:
    second = Channel(ChannelId("market"), "scripted", {EAST: "E"}, EAST, calls_per_minute=100_000)
    house, shop, market = (
        House(network(second)),
        ScriptedChannel(levels={TEA: 0}),
        ScriptedChannel(levels={TEA: 0}),
    )
    house.list_on(SHOP, "TEA")
    house.list_on(second.id, "TEA")
    message = told(house, "receipt", "GR-1", -1, 10)
    house.clock.advance(seconds=3)
    house.push_due(shop)
    house.clock.advance(seconds=4)
    house.lanes.send(Lane.BULK, [Hint(second.id, TEA, house.clock())])
    house.push_due(market, second.id)
    [chain] = tracer(house).message(message).chains
    began = {
        step.system: timedelta(seconds=round(step.took.total_seconds()))
        for step in chain.steps
        if step.stage is Stage.PUSHING and step.took
    }
    assert began == {"shop": timedelta(seconds=3), "market": timedelta(seconds=7)}


def test_an_adjustment_that_waits_for_an_approver_names_its_case() -> None:
    declared = network()
    place = replace(declared.locations[EAST], approve_beyond=Tolerance(100, 5))
    house = House(replace(declared, locations={**declared.locations, EAST: place}))
    entry = ManualEntry("adjustment", "TEA", "east", -50, "ann", "broken")
    entered = house.manual_desk.enter(entry, "k")

    [chain] = tracer(house).message(entered.message_id).chains

    assert (entered.case_id, "open") in [(name, status) for name, status, _ in chain.cases]

"""Sources that are not live: they post nothing, and what they said posts once when it is told again live."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from shared.domain.rollout import EVERYTHING, Mode, Scope
from shared.domain.stock import LocationId, MessageId, SourceId, StockKey
from shared.operations.freshness import FreshnessWatch
from shared.operations.message_view import MessageView
from shared.operations.promises import Promises
from shared.operations.rollout_desk import RolloutFieldError
from shared.operations.shadow_report import ShadowDesk
from shared.store.inbox import MessageStatus
from shared.store.registry import REMEMBERED_S
from tests.operations.deliveries import body, drop, rows
from tests.operations.house import EAST, KEY, SHOP, TEA, WEST, WMS, House, count, movement, network
from tests.operations.rolling_out import MUG, SHOPIFY, receive, switch
from tests.operations.shop import Shop


@pytest.mark.parametrize("mode", [Mode.OBSERVE, Mode.SHADOW])
def test_the_source_of_a_live_channels_orders_does_not_go_back_before_the_channel(mode: Mode) -> None:
    house = House()
    with pytest.raises(RolloutFieldError, match="put shop into shadow there first"):
        switch(house, mode, Scope("TEA"), kind="source", name=SHOPIFY)
    assert house.registry.rollouts.of("source", SHOPIFY).is_live

    switch(house, Mode.SHADOW, Scope("TEA"))
    switch(house, mode, Scope("TEA"), kind="source", name=SHOPIFY)
    assert house.registry.rollouts.of("source", SHOPIFY).mode_at(TEA, EAST) is mode


def test_a_channel_does_not_go_live_where_the_source_of_its_orders_is_not() -> None:
    house = House()
    switch(house, Mode.SHADOW)
    switch(house, Mode.SHADOW, kind="source", name=SHOPIFY)
    switch(house, Mode.LIVE, Scope("TEA", EAST), kind="source", name=SHOPIFY)

    for scope in (EVERYTHING, Scope("MUG"), Scope("T*")):
        with pytest.raises(RolloutFieldError, match="put shopify live there first"):
            switch(house, Mode.LIVE, scope)
    assert house.registry.rollouts.of("channel", SHOP).mode_at(TEA, EAST) is Mode.SHADOW
    switch(house, Mode.LIVE, Scope("TEA"))
    switch(house, Mode.LIVE, kind="source", name=SHOPIFY)
    switch(house, Mode.LIVE)
    assert house.registry.rollouts.of("channel", SHOP).is_live


def test_a_channel_that_goes_live_after_a_count_and_a_replay_is_not_sent_what_its_open_orders_hold() -> None:
    shop = Shop(units=0, shown=10)
    house = shop.house
    switch(house, Mode.SHADOW)
    for source in (WMS, SHOPIFY):
        switch(house, Mode.SHADOW, kind="source", name=source)
    shipped, still_open = (shop.orders.sell("TEA", units) for units in (2, 3))
    came = [shop.orders.hear(shipped), shop.orders.hear(still_open)]
    line = {"sku": "TEA", "quantity": 2, "order": f"shop/{shipped['id']}", "order_line": shipped["id"] * 10}
    came.append(house.store("wms", body("shipment", "S-1", line, occurred_at=house.clock())))
    shop.work()
    house.clock.advance(hours=5)

    for source in (WMS, SHOPIFY):
        switch(house, Mode.LIVE, kind="source", name=source)
    house.clock.advance(seconds=REMEMBERED_S + 1)
    opening = body("count", "OPENING", {"sku": "TEA", "quantity": 8}, occurred_at=house.clock())
    house.store("wms", opening)
    house.settle()
    assert (house.on_hand(), house.available()) == (8, 8)
    for name in came:
        house.applier.apply(name)
    switch(house, Mode.LIVE)
    shop.wait(minutes=30)

    assert (house.on_hand(), house.available(), shop.shown) == (8, 5, 5)
    assert house.open_cases() == []


@pytest.mark.parametrize("mode", [Mode.OBSERVE, Mode.SHADOW])
def test_a_source_that_is_not_live_posts_nothing_and_its_messages_are_kept(mode: Mode) -> None:
    house = House()
    switch(house, mode, kind="source", name=WMS)

    name = receive(house, "GR-1", 5)
    house.settle()

    assert house.inbox.load(name).status is MessageStatus.POSTED
    assert house.inbox.outcomes(name)["withheld"] == 1
    assert (house.on_hand(), house.open_cases()) == (0, [])


def test_what_came_before_posts_once_when_it_is_replayed_live() -> None:
    house = House()
    switch(house, Mode.SHADOW, kind="source", name=WMS)
    name = receive(house, "GR-1", 5)
    house.settle()
    switch(house, Mode.LIVE, kind="source", name=WMS)
    house.clock.advance(seconds=REMEMBERED_S + 1)

    for _ in range(2):
        house.applier.apply(name)

    assert house.on_hand() == 5
    house.assert_exact()


def test_a_source_is_live_where_it_was_let_in_and_nowhere_else() -> None:
    house = House()
    switch(house, Mode.SHADOW, kind="source", name=WMS)
    switch(house, Mode.LIVE, Scope("TEA", EAST), kind="source", name=WMS)

    receive(house, "GR-1", 5)
    receive(house, "GR-2", 7, "MUG")
    house.settle()

    assert (house.on_hand(), house.on_hand(StockKey(MUG, EAST))) == (5, 0)


AT_WEST = StockKey(TEA, WEST)


def ship(house: House, document: str, units: int, here: LocationId, there: LocationId) -> MessageId:
    line = {"sku": "TEA", "location": here, "to_location": there, "quantity": units}
    return house.store("wms", body("transfer_ship", document, line, occurred_at=house.clock()))


def on_its_way(house: House, key: StockKey) -> int:
    return house.view.quantities(key)["in_transit"]


@pytest.mark.parametrize("live", [EAST, WEST])
@pytest.mark.parametrize("elsewhere", [Mode.OBSERVE, Mode.SHADOW])
def test_a_movement_that_touches_a_live_location_posts_whole_and_once(
    live: LocationId, elsewhere: Mode
) -> None:
    house = House()
    house.post(movement("opening", 0, 10))
    house.clock.advance(hours=1)
    switch(house, elsewhere, kind="source", name=WMS)
    switch(house, Mode.LIVE, Scope("*", live), kind="source", name=WMS)

    name = ship(house, "T-1", 7, EAST, WEST)
    house.settle()

    assert (house.on_hand(), house.available(), on_its_way(house, AT_WEST)) == (3, 3, 7)
    switch(house, Mode.LIVE, kind="source", name=WMS)
    house.clock.advance(seconds=REMEMBERED_S + 1)
    house.applier.apply(name)
    house.settle()
    assert (house.on_hand(), house.available(), on_its_way(house, AT_WEST)) == (3, 3, 7)
    assert house.open_cases() == []
    house.assert_exact()


def test_a_movement_that_touches_no_live_location_is_reported_where_it_is_in_shadow() -> None:
    house = House()
    house.post(movement("opening", 0, 10))
    switch(house, Mode.OBSERVE, kind="source", name=WMS)
    switch(house, Mode.SHADOW, Scope("*", EAST), kind="source", name=WMS)

    name = ship(house, "T-1", 7, EAST, WEST)
    house.settle()

    assert (house.on_hand(), house.inbox.outcomes(name)["withheld"]) == (10, 1)
    found = ShadowDesk(house.stock, house.registry, house.clock).of_source(WMS)
    assert ([one.key for one in found.postings], found.kinds) == ([KEY], {"transfer_ship": (1, -7)})


def test_a_count_of_a_source_in_observe_mode_is_compared_and_not_posted() -> None:
    house = House()
    house.post(count("counted", 0, 10))
    switch(house, Mode.OBSERVE, kind="source", name=WMS)

    house.clock.advance(minutes=5)
    house.store("wms", body("count", "C-1", {"sku": "TEA", "quantity": 4}, occurred_at=house.clock()))
    house.settle()

    assert house.on_hand() == 10
    assert house.open_cases() == ["drift"]


def test_a_message_says_that_its_events_were_withheld_and_what_to_do() -> None:
    house = House()
    switch(house, Mode.SHADOW, kind="source", name=WMS)
    name = receive(house, "GR-1", 5)
    house.settle()

    found = MessageView(house.stock, house.registry, house.clock).events(house.inbox.load(name))

    assert found is not None
    [event] = found.events
    assert (event.outcome, event.stock_keys) == ("withheld", (KEY,))
    assert "replay the message" in event.reason


FILES = SourceId("files")
SNAPSHOT = "stock_20261101T1100.csv"


def test_a_file_that_came_in_shadow_posts_when_it_is_read_again_live() -> None:
    house = House()
    switch(house, Mode.SHADOW, kind="source", name=FILES)
    dropped = drop(house, SNAPSHOT, rows(("TEA", 7), ("MUG", 3)))
    assert house.ingester.ingest(dropped) is MessageStatus.POSTED
    tea = StockKey(TEA, WEST)
    assert house.on_hand(tea) == 0
    assert ShadowDesk(house.stock, house.registry, house.clock).of_source(FILES).kinds == {
        "count of on_hand": (2, 10)
    }

    switch(house, Mode.LIVE, kind="source", name=FILES)
    house.ingester.ingest(dropped)

    assert (house.on_hand(tea), house.on_hand(StockKey(MUG, WEST))) == (7, 3)


def test_a_file_of_which_rows_wait_for_a_code_posts_the_others_when_it_is_read_again_live() -> None:
    house = House()
    switch(house, Mode.SHADOW, kind="source", name=FILES)
    dropped = drop(house, SNAPSHOT, rows(("TEA", 7), ("UNKNOWN", 3)))
    house.ingester.ingest(dropped)

    switch(house, Mode.LIVE, kind="source", name=FILES)
    house.ingester.ingest(dropped)

    assert house.on_hand(StockKey(TEA, WEST)) == 7
    assert house.open_cases() == ["unknown_code"]


def test_counts_that_are_withheld_make_no_promise_fresh_until_their_source_is_live_again() -> None:
    declared = network()
    wms = replace(declared.sources[WMS], freshness=timedelta(hours=1))
    house = House(replace(declared, sources={**declared.sources, WMS: wms}))
    watch = FreshnessWatch(house.stock, house.registry, house.cases, house.clock)

    def counted(document: str) -> tuple[bool, int]:
        house.clock.advance(hours=5)
        line = {"sku": "TEA", "quantity": 10}
        house.store("wms", body("count", document, line, occurred_at=house.clock()))
        house.settle()
        turned = watch.run()["turned"]
        promises = Promises(house.stock, house.registry, house.clock)
        return promises.standings([KEY])[KEY].is_stale, turned

    assert counted("C-1") == (False, 0)
    switch(house, Mode.OBSERVE, kind="source", name=WMS)
    assert counted("C-2") == (True, 1)
    assert counted("C-3") == (True, 0)
    assert house.open_cases() == []
    switch(house, Mode.LIVE, kind="source", name=WMS)
    assert counted("C-4") == (False, 1)


def test_an_order_of_a_source_in_shadow_reserves_nothing() -> None:
    shop = Shop(units=10, shown=10)
    switch(shop.house, Mode.SHADOW)
    switch(shop.house, Mode.SHADOW, kind="source", name=SHOPIFY)
    shop.orders.hear(shop.orders.sell("TEA", 2))
    shop.work()

    assert shop.house.available() == 10
    found = ShadowDesk(shop.house.stock, shop.house.registry, shop.house.clock).of_source(SHOPIFY)
    assert found.kinds["ordered"] == (1, 2)

"""Phased rollout: what is not live changes nothing outside, is kept for the report, and catches up when it goes live."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from shared.channels.contract import Offer
from shared.domain.ledger import Slot
from shared.domain.network import Channel
from shared.domain.rollout import EVERYTHING, Mode, Rollout, Rule, Scope
from shared.domain.shadow import Withheld
from shared.domain.stock import Counter, EventKey, Leaf, LocationId, MessageId, Sku, SourceId, StockKey
from shared.operations.freshness import FreshnessWatch
from shared.operations.key_lengths import LONGEST_STOCK_KEY
from shared.operations.message_view import MessageView
from shared.operations.promises import Promises
from shared.operations.rollout_desk import RolloutDesk, RolloutFieldError, Switched
from shared.operations.shadow_report import MOST_PARTS, ChannelShadow, ShadowDesk
from shared.store.inbox import MessageStatus
from shared.store.registry import REMEMBERED_S, Network
from shared.store.shadows import Shadows
from tests.operations.deliveries import body, drop, receipt, rows
from tests.operations.house import EAST, KEY, SHOP, TEA, WEST, WMS, House, count, movement, network
from tests.operations.shop import Shop
from tests.operations.test_undoing import bins

MUG = Sku("MUG")
BIN_A = Slot(Leaf("A"), Counter.ON_HAND)


def desk(house: House) -> RolloutDesk:
    return RolloutDesk(house.registry, house.lanes, house.clock)


def switch(
    house: House, mode: Mode, scope: Scope = EVERYTHING, kind: str = "channel", name: str = SHOP
) -> Switched:
    return desk(house).switch(kind, name, [scope], mode, "ann")


def report(house: House) -> ChannelShadow:
    return ShadowDesk(house.stock, house.registry, house.clock).of_channel(SHOP)


# ---- channels ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [Mode.OBSERVE, Mode.SHADOW])
def test_a_channel_that_is_not_live_is_sent_nothing(mode: Mode) -> None:
    shop = Shop(units=10, shown=4)
    switch(shop.house, mode)

    shop.work()
    shop.house.post(movement("more", 1, 5))
    shop.wait(hours=1)

    assert shop.channel.offered == []
    assert shop.shown == 4
    assert shop.house.open_cases() == []


def test_a_channel_that_cannot_be_read_is_not_called_at_all_in_shadow() -> None:
    shop = Shop(units=10, shown=4, reads_back=False)
    switch(shop.house, Mode.SHADOW)

    shop.work()

    assert (shop.channel.offered, shop.channel.reads) == ([], 0)
    [tea] = [one for one in report(shop.house).listings if one.key == KEY]
    assert (tea.last.ours, tea.last.theirs) == (10, None)


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


def test_a_channel_in_shadow_that_is_down_fails_nobody_and_its_last_number_is_kept() -> None:
    shop = Shop(units=10, shown=4)
    switch(shop.house, Mode.SHADOW)
    shop.work()
    shop.channel.down = True
    shop.house.post(movement("more", 1, 5))
    shop.work()

    assert shop.house.lanes.waiting == []
    [tea] = [one for one in report(shop.house).listings if one.key == KEY]
    assert (tea.last.ours, tea.last.theirs) == (15, 4)


def test_going_live_sends_every_listing_in_scope_that_differs() -> None:
    shop = Shop(units=10, shown=4)
    shop.house.post(count("mugs", 0, 7, key=StockKey(MUG, EAST)))
    switch(shop.house, Mode.SHADOW)
    shop.wait(days=2)

    assert switch(shop.house, Mode.LIVE).queued == 2
    shop.work()

    assert sorted(shop.channel.written) == [("MUG", 7), ("TEA", 10)]
    assert shop.house.open_cases() == []


def test_going_live_with_one_sku_sends_that_one_alone() -> None:
    shop = Shop(units=10, shown=4)
    shop.house.post(count("mugs", 0, 7, key=StockKey(MUG, EAST)))
    switch(shop.house, Mode.SHADOW)
    shop.work()

    assert switch(shop.house, Mode.LIVE, Scope("MUG")).queued == 1
    shop.wait(hours=1)

    assert shop.channel.written == [("MUG", 7)]


def test_what_others_wrote_while_it_was_in_shadow_is_no_lead_when_it_goes_live_again() -> None:
    shop = Shop(units=10, shown=4)
    shop.work()
    assert shop.shown == 10
    switch(shop.house, Mode.SHADOW)
    shop.work()
    shop.channel.levels[TEA] = 3

    switch(shop.house, Mode.LIVE)
    shop.work()

    assert shop.shown == 10
    shop.wait(hours=1)
    assert shop.house.open_cases() == []


ALL_IN_SHADOW, TEA_LIVE = Rule(EVERYTHING, Mode.SHADOW), Rule(Scope("TEA"), Mode.LIVE)


def declare_rollout(house: House, *rules: Rule) -> None:
    declared = house.registry.network(fresh=True)
    channel = replace(declared.channels[SHOP], rollout=Rollout(rules))
    house.declare(replace(declared, channels={SHOP: channel}))


@pytest.mark.parametrize(
    "again",
    [
        lambda house: switch(house, Mode.LIVE),
        lambda house: switch(house, Mode.LIVE, Scope("TEA")),
        lambda house: declare_rollout(house, ALL_IN_SHADOW, TEA_LIVE, Rule(Scope("MUG"), Mode.LIVE)),
    ],
    ids=["to everything", "to the same", "by a file with one rule more"],
)
def test_widening_what_is_live_does_not_overwrite_a_sale_whose_order_is_late(
    again: Callable[[House], object],
) -> None:
    shop = Shop(units=10, shown=4)
    declare_rollout(shop.house, ALL_IN_SHADOW, TEA_LIVE)
    shop.wait(minutes=1)
    assert shop.shown == 10
    shop.house.clock.advance(hours=6)
    order = shop.orders.sell("TEA", 3)

    again(shop.house)
    shop.house.post(movement("more", 1, 1))
    shop.wait(seconds=5)
    assert shop.shown == 8

    shop.orders.hear(order)
    shop.wait(minutes=30)
    assert (shop.shown, shop.house.available(), shop.house.open_cases()) == (8, 8, [])


def test_a_known_lead_survives_a_moment_in_shadow() -> None:
    shop = Shop(units=10, shown=10)
    shop.work()
    shop.house.clock.advance(hours=6)
    order = shop.orders.sell("TEA", 3)
    shop.channel.orders.clear()
    shop.house.post(movement("more", 1, 1))
    shop.work()
    assert shop.shown == 8

    switch(shop.house, Mode.SHADOW)
    shop.work()
    switch(shop.house, Mode.LIVE)
    shop.work()
    assert shop.shown == 8

    shop.orders.hear(order)
    shop.wait(minutes=30)
    assert (shop.shown, shop.house.available(), shop.house.open_cases()) == (8, 8, [])


def test_hints_that_were_queued_before_it_went_back_send_nothing() -> None:
    shop = Shop(units=10, shown=4)
    shop.house.settle()
    assert shop.house.lanes.waiting

    switch(shop.house, Mode.SHADOW)
    shop.work()

    assert shop.channel.offered == []


def test_a_number_on_its_way_is_not_sent_when_the_channel_is_switched_back_before_its_turn() -> None:
    shop = Shop(units=10, shown=4)
    read = shop.channel.reads

    def switch_back() -> None:
        if shop.channel.reads == read + 1:
            switch(shop.house, Mode.SHADOW)

    shop.channel.reading = switch_back
    shop.work()

    assert shop.channel.offered == []
    switch(shop.house, Mode.LIVE)
    shop.wait(minutes=1)
    assert shop.shown == 10


def test_a_push_whose_answer_never_came_is_settled_when_the_channel_is_live_again() -> None:
    shop = Shop(units=10, shown=4)
    shop.channel.answers.append("late")

    def switch_back(_: Sequence[Offer]) -> None:
        switch(shop.house, Mode.SHADOW)

    shop.channel.before = switch_back
    shop.work()
    shop.channel.before = lambda _: None
    shop.house.post(movement("gone", 1, -9))
    shop.channel.land()
    shop.wait(hours=1)
    assert shop.shown == 10

    switch(shop.house, Mode.LIVE)
    shop.wait(minutes=5)

    assert shop.shown == 1


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


def test_a_switch_of_what_is_not_declared_names_what_is() -> None:
    house = House()
    with pytest.raises(RolloutFieldError, match="not a declared channel; declared: shop"):
        desk(house).switch("channel", "amazon", [EVERYTHING], Mode.LIVE, "ann")


@pytest.mark.parametrize(
    ("skus", "locations", "field"),
    [(["NOPE"], [], "skus"), (["T*A"], [], "skus"), ([], ["moon"], "locations")],
)
def test_a_scope_that_cannot_be_meant_is_refused_by_its_field(
    skus: list[str], locations: list[str], field: str
) -> None:
    with pytest.raises(RolloutFieldError) as refused:
        desk(House()).scopes(skus, locations)
    assert refused.value.field == field


def test_every_switch_is_kept_with_who_made_it() -> None:
    house = House()
    switch(house, Mode.SHADOW)
    switch(house, Mode.LIVE, Scope("TEA", EAST))

    first, second = house.registry.rollouts.history("channel", SHOP)

    assert (first.actor, first.changes) == ("ann", (("every SKU", "", "shadow"),))
    assert second.changes == (("TEA at east", "", "live"),)


def test_declaring_the_network_again_moves_no_mode_of_which_it_says_nothing() -> None:
    house = House()
    switch(house, Mode.SHADOW)
    declared = house.registry.network(fresh=True)
    house.declare(Network(declared.sources, declared.locations, {SHOP: Channel(SHOP, "scripted")}))

    assert house.registry.rollouts.of("channel", SHOP).mode_at(TEA, EAST) is Mode.SHADOW


def test_a_channel_that_was_taken_off_begins_live_when_it_is_declared_again() -> None:
    house = House()
    switch(house, Mode.SHADOW)
    declared = house.registry.network(fresh=True)
    house.registry.undeclare(Network({}, {}, {SHOP: declared.channels[SHOP]}))

    assert house.registry.rollouts.of("channel", SHOP).is_live


# ---- sources ----------------------------------------------------------------------------------------------------


SHOPIFY = SourceId("shopify")
"""The source that brings the orders of the shop."""


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


def receive(house: House, document: str, units: int, sku: str = "TEA") -> MessageId:
    return house.store("wms", receipt(document, sku, units))


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

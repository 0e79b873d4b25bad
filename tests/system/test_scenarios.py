"""The named scenarios, end to end on the deployed template; each has its page in infra/guides/scenarios."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from infra.local.demo.stage import Answer, Stage
from infra.local.fake_channels.control import carry_out
from tests.system.story import Story, add_item, list_on, proven

pytestmark = pytest.mark.system


def test_52_in_the_wms_49_in_the_erp_55_in_the_shop_are_three_handoffs_each_named(world: Stage) -> None:
    story = Story.of(world, "SKU-00131", "harbour", hours_ago=26)
    for kind, document, hour, quantity in (
        ("receipt", "45000711", 0, 40),
        ("shipment", "SO-301", 4, 5),
        ("receipt", "45000718", 8, 24),
        ("shipment", "SO-305", 11, 7),
        ("receipt", "45000722", 13, 12),
        ("shipment", "SO-307", 14, 12),
        # The answer to this one is lost; the order is posted to the WMS a second time.
        ("shipment", "SO-309", 15, 2),
        # A part of an order, whose number this vendor writes its own way.
        ("receipt", "PO-45000725/1", 18, 5),
        # Confirmed by the 3PL; the shop never hears of it.
        ("shipment", "SO-312", 22, 1),
    ):
        story.tell("harbour-3pl", kind, document, hour * 60, quantity)
    world.until("on hand", story.on_hand, 54)
    world.settle()
    for minute, wms, erp, shop in (
        (300, 35, 35, 35),
        (540, 59, 59, 59),
        (720, 52, 52, 52),
        (875, 52, 52, 52),
        (960, 48, 50, 50),
        (1140, 53, 50, 55),
        (1380, 52, 49, 55),
    ):
        story.say(minute, house_wms=wms, stock_erp=erp, shop_feed=shop)

    assert story.causes() == {
        "house-wms": ("duplicate_event", ["harbour-3pl/SO-309/1/shipment/"]),
        "stock-erp": ("document_reference", ["harbour-3pl/PO-45000725%2F1/1/receipt/"]),
        "shop-feed": ("missing_event", ["harbour-3pl/SO-312/1/shipment/"]),
    }
    cases = story.cases()
    assert {source: case["facts"]["drift"] for source, case in cases.items()} == {
        "house-wms": -2,
        "stock-erp": -5,
        "shop-feed": 1,
    }
    assert cases["house-wms"]["facts"]["cause"] == "duplicate_event"


def test_an_old_batch_over_a_cycle_count_is_prevented_here_and_named_there(world: Stage) -> None:
    sku = "SKU-00132"
    list_on(world, "grocer", sku, f"G-{sku}", ["DEPOT", "HUB"])
    shown = world.channels.receiver("grocer").levels
    story = Story.of(world, sku, "depot", hours_ago=20)
    story.drop("depot-files", "DEPOT", 0, 120)
    story.tell("depot-oms", "shipment", "SO-501", 120, 20)
    world.until("on hand", story.on_hand, 100)
    story.drop("depot-files", "DEPOT", 240, 92)  # the cycle count
    world.until("on hand", story.on_hand, 92)
    story.tell("depot-oms", "shipment", "SO-502", 360, 5)
    world.until("on hand", story.on_hand, 87)
    world.until("the grocer is told", lambda: shown.get((f"G-{sku}", "DEPOT")), 87)
    for minute, number in ((60, 120), (180, 100), (300, 92), (480, 87)):
        story.say(minute, stock_erp=number)
    told = len(world.channels.calls_of("grocer"))

    story.drop("depot-files", "DEPOT", 180, 100)  # six hours late: true an hour before the cycle count
    world.until("history", lambda: story.on_hand(180), 100)
    world.settle()
    story.say(630, stock_erp=100)  # the same batch, loaded into the ERP past us

    assert (story.on_hand(), story.on_hand(240), story.on_hand(480)) == (87, 92, 87)
    assert shown[f"G-{sku}", "DEPOT"] == 87
    assert len(world.channels.calls_of("grocer")) == told
    first = story.firsts()["stock-erp"]
    assert first["cause"] == "stale_overwrite"
    assert f"went back to 100, true from {story.at(120):%Y-%m-%d %H:%M}" in first["said"]
    assert f"until {story.at(240):%Y-%m-%d %H:%M}" in first["said"]
    assert first["events"][-1] == "depot-oms/SO-502/1/shipment/"
    assert len(first["events"]) == 2  # what the batch undid: the count, and the shipment since


SITES = ("aberdeen", "bristol", "cardiff", "derby", "exeter", "falmouth")


def test_of_six_warehouses_the_two_that_cause_most_of_the_drift_are_found(world: Stage) -> None:
    skus = [f"SKU-{number:05d}" for number in range(133, 138)]
    stories = {site: Story.of(world, skus[0], site, hours_ago=12) for site in SITES}

    def tell_each(
        source: str, kind: str, document: str, minute: int, quantities: dict[str, list[int]]
    ) -> None:
        def tell(site: str) -> None:
            lines = dict(zip(skus, quantities[site], strict=True))
            stories[site].tell_all(source, kind, f"{document}-{site}", minute, lines)

        with ThreadPoolExecutor(len(SITES)) as senders:
            list(senders.map(tell, SITES))

    for document, minute, quantity in (("GR-1", 0, 900), ("GR-2", 120, 300), ("GR-3", 240, 40)):
        tell_each("sites-wms", "receipt", document, minute, {site: [quantity] * 5 for site in SITES})
    world.settle()
    for minute, expected in ((60, 900), (180, 1200), (300, 1240)):
        erp = {site: [expected] * 5 for site in SITES}
        planner = {site: [expected] * 5 for site in SITES}
        if minute > 60:
            erp["bristol"] = [expected - 300] * 5  # the ERP's handoff there loses what comes in on GR-2
            planner["exeter"] = [expected + 300] * 5  # and there the planner's posts it twice
        if minute > 240:
            erp["aberdeen"][0] -= 40
            planner["derby"][1] -= 40
        tell_each("stock-erp", "count", f"N-{minute}", minute, erp)
        tell_each("planner", "count", f"N-{minute}", minute, planner)
        world.settle()

    report = world.api("GET", "/v1/drift").body

    here = {site["site"]: (site["cases"], site["units"]) for site in report["sites"] if site["site"] in SITES}
    assert here == {"bristol": (5, 1500), "exeter": (5, 1500), "aberdeen": (1, 40), "derby": (1, 40)}
    assert report["most_at"] == ["bristol", "exeter"]
    worst = [(path["site"], path["handoff"], path["cause"]) for path in report["paths"][:2]]
    assert worst == [
        ("bristol", "sites-wms to stock-erp", "missing_event"),
        ("exeter", "sites-wms to planner", "duplicate_event"),
    ]


def test_one_receipt_two_orders_and_three_late_systems_no_oversell_and_one_event_behind_it_all(
    world: Stage,
) -> None:
    sku, receipt = "SKU-1247", "modern-wms/GR-1247/1/receipt/"
    add_item(world, sku, 901_247, [7001], "shopify", "shopify")
    story = Story.of(world, sku, "east", hours_ago=1)
    story.say(0, stock_erp=0, storefront_cache=0, planner=0)
    story.tell("modern-wms", "receipt", "GR-1247", 20, 50)
    world.until("on hand", story.on_hand, 50)
    world.until("the shop shows", lambda: world.shop_shows(sku), 48)
    story.say(30, stock_erp=0)  # ten minutes later its batch has not run: within what is declared
    assert story.cases() == {}

    def order(number: int) -> Answer:
        body = {"channel": "shopify", "lines": [{"sku": sku, "quantity": 30}]}
        return world.api("POST", "/v1/reservations", body, Idempotency_Key=f"race-1247-{number}")

    with ThreadPoolExecutor(2) as buyers:
        answers = list(buyers.map(order, range(2)))
    story.say(45, stock_erp=0, storefront_cache=0, planner=0)

    assert sorted(answer.status for answer in answers) == [201, 409]
    refused = next(answer.body for answer in answers if answer.status == 409)
    assert [line["available_to_promise"] for line in refused["lines"]] == [18]
    assert (story.on_hand(), story.available()) == (50, 20)
    world.until("the shop shows", lambda: world.shop_shows(sku), 18)
    differing = story.causes()
    assert set(differing) == {"stock-erp", "storefront-cache", "planner"}
    assert {tuple(events) for _, events in differing.values()} == {(receipt,)}
    assert {case["facts"]["guilty_event"] for case in story.cases().values()} == {receipt}
    entries = world.api("GET", f"/v1/journal?sku={sku}&location=east").body["entries"]
    moved = {line["event_key"] for entry in entries for line in entry["lines"]}
    assert moved == {
        receipt
    }  # the fourth: what the second order could not have is what this one event brought

    story.say(58, stock_erp=50, storefront_cache=50, planner=50)
    assert story.cases() == {}
    proven(world)


def test_a_distributor_with_three_warehouses_and_three_kinds_of_demand_keeps_one_count(world: Stage) -> None:
    sku, item = "SKU-00140", 900_940
    add_item(world, sku, item, [7101, 7102, 7103], "outlet-shop", "outlet")
    list_on(world, "bazaar", sku, f"B-{sku}", ["HUB", "COAST"])
    list_on(world, "grocer", sku, f"G-{sku}", ["HUB", "DEPOT"])
    depot, hub, coast = (Story.of(world, sku, place, hours_ago=18) for place in ("depot", "hub", "coast"))
    depot.drop("depot-files", "DEPOT", 0, 200)
    hub.tell("hub-wms", "receipt", "GR-901", 60, 40)
    coast.tell("hub-wms", "receipt", "GR-902", 60, 25)
    world.until("on hand", lambda: [one.on_hand() for one in (depot, hub, coast)], [200, 40, 25])
    kept = {"channel": "grocer", "sku": sku, "location": "hub", "units": 15}
    assert world.api("POST", "/v1/set-aside", kept).status == 200

    def shop() -> list[int | None]:
        return [world.channels.shop.levels.get((str(item), place)) for place in ("7101", "7102", "7103")]

    def bazaar() -> list[int | None]:
        shown = world.channels.receiver("bazaar").levels
        return [shown.get((f"B-{sku}", place)) for place in ("HUB", "COAST")]

    def grocer() -> list[int | None]:
        shown = world.channels.receiver("grocer").levels
        return [shown.get((f"G-{sku}", place)) for place in ("DEPOT", "HUB")]

    def promised() -> list[list[int | None]]:
        return [shop(), bazaar(), grocer()]

    # Fifteen of the hub's are the grocer's; the marketplace keeps back three at each place.
    world.until("promised", promised, [[200, 25, 25], [22, 22], [200, 40]])

    secret = world.runtime.secret("source", "outlet-shop")
    carry_out(
        world.channels,
        {
            "do": "place_order",
            "lines": [{"item_id": item, "location_id": 7102, "quantity": 5}],
            "deliver": {"url": world.runtime.webhook_url("outlet-shop"), "secret": secret, "times": 2},
        },
    )
    world.until("promised", promised, [[200, 20, 25], [17, 22], [200, 35]])

    def reserve(channel: str, quantity: int) -> Answer:
        body = {"channel": channel, "lines": [{"sku": sku, "quantity": quantity}]}
        return world.api("POST", "/v1/reservations", body, Idempotency_Key=f"c-{channel}-{quantity}")

    def served(made: Answer) -> list[tuple[str, int]]:
        assert made.status == 201, made
        return [(line["location"], line["quantity"]) for line in made.body["lines"]]

    assert served(reserve("bazaar", 15)) == [("hub", 15)]
    assert served(reserve("grocer", 20)) == [("hub", 20)]  # its own fifteen, and the five that were left
    assert served(reserve("bazaar", 4)) == [("coast", 4)]
    assert reserve("bazaar", 30).status == 409
    world.until("promised", promised, [[200, 0, 21], [0, 18], [200, 0]])

    # What leaves the depot is told by the OMS; the next night's file, taken later, has it already.
    depot.tell("depot-oms", "shipment", "SO-907", 600, 12)
    world.until("on hand", depot.on_hand, 188)
    depot.drop("depot-files", "DEPOT", 900, 188)
    world.settle()
    assert [one.on_hand() for one in (depot, hub, coast)] == [188, 40, 25]
    world.until("promised", promised, [[188, 0, 21], [0, 18], [188, 0]])
    proven(world)

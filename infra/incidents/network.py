"""What is declared of the simulated network.

=========  ===========  ==================  ========================  ============================================
system     says         where               declared to take          fed by
=========  ===========  ==================  ========================  ============================================
wms        movements,   east, west          2 minutes to tell us      is the authority
           counts
erp        on_hand      east, west          20 minutes                a batch every 15 minutes
planner    on_hand      east, west          5 minutes                 a stream, each event by itself
webshop    available    east                8 minutes                 a batch every 5 minutes; its own orders at once
stocktake  on_hand      east, west          nothing                   nobody: somebody counts
=========  ===========  ==================  ========================  ============================================
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from shared.domain.network import EXACT, Channel, Location, Source
from shared.domain.stock import ChannelId, LocationId, Sku, SourceId
from shared.store.registry import Network

START = datetime(2026, 11, 2, 0, 0, tzinfo=UTC)
WMS, ERP, PLANNER = SourceId("wms"), SourceId("erp"), SourceId("planner")
WEBSHOP, STOCKTAKE, SHOPFRONT = SourceId("webshop"), SourceId("stocktake"), SourceId("shopfront")
EAST, WEST = LocationId("east"), LocationId("west")
SHOP = ChannelId("shop")
SHOP_DOMAIN = "goods.example"
PACKS = {Sku("TEA-100"): 12, Sku("MUG-BLUE"): 6, Sku("POT-2L"): 24, Sku("TIN-7"): 10}
SKUS = tuple(PACKS)


def network() -> Network:
    """Return what is declared."""
    on_hand, minutes = {"on_hand": "on_hand"}, timedelta(minutes=1)
    sources = [
        Source(WMS, "standard_webhooks", meaning=on_hand, latency=2 * minutes),
        Source(ERP, "standard_webhooks", meaning=on_hand, latency=20 * minutes, tolerance=EXACT),
        Source(PLANNER, "standard_webhooks", meaning=on_hand, latency=5 * minutes, tolerance=EXACT),
        Source(
            WEBSHOP,
            "standard_webhooks",
            meaning={"available": "available"},
            channel=SHOP,
            latency=8 * minutes,
            tolerance=EXACT,
        ),
        Source(STOCKTAKE, "standard_webhooks", meaning=on_hand, tolerance=EXACT, counted_by_hand=True),
        Source(SHOPFRONT, "shopify", channel=SHOP, options={"shop": SHOP_DOMAIN}),
    ]
    places = [Location(place, WMS, WMS) for place in (EAST, WEST)]
    shop = Channel(SHOP, "simulated", {EAST: "77"}, EAST)
    return Network({s.id: s for s in sources}, {p.id: p for p in places}, {SHOP: shop})

"""The small network that is simulated: who is believed where, who only says something, and what is sold.

=========  ==================  ====================  ====================================================
location   counts              movements             so
=========  ==================  ====================  ====================================================
east       wms                 wms                   run by webhooks; the shop's orders reserve here
dock       wms                 wms                   transfers to and from east
west       files               oms                   snapshots only; another system says what was shipped
=========  ==================  ====================  ====================================================

``erp`` reports everything and is believed nowhere. ``shopfront`` sends the shop's orders and levels.
"""

from __future__ import annotations

from datetime import timedelta

from infra.simulation.channels import LATENESS
from shared.domain.network import Channel, Location, Source
from shared.domain.stock import ChannelId, LocationId, Sku, SourceId
from shared.store.registry import Network

WMS, OMS, ERP = SourceId("wms"), SourceId("oms"), SourceId("erp")
FILES, SHOPFRONT = SourceId("files"), SourceId("shopfront")
EAST, DOCK, WEST = LocationId("east"), LocationId("dock"), LocationId("west")
SHOP, MARKET = ChannelId("shop"), ChannelId("market")
SKUS = (Sku("TEA"), Sku("MUG"), Sku("POT"))
HOT = Sku("POT")
"""The item that is declared hot: its reservations take from allotments, and in larger numbers."""
SAFETY_STOCK = 2
SHOP_LOCATION = "77"
SHOP_DOMAIN = "tea.example"
FILE_PREFIX = "files/"

COUNTS = {EAST: WMS, DOCK: WMS, WEST: FILES}
MOVEMENTS = {EAST: WMS, DOCK: WMS, WEST: OMS}

EXTERNAL_ID = {sku: str(1001 + number) for number, sku in enumerate(SKUS)}
ALIASES = {f"{sku}-ALIAS": sku for sku in SKUS}
"""Codes that the WMS uses and that an operator maps in the course of the history."""
GHOST = "GHOST-1"
"""A code that nobody ever maps."""


def network() -> Network:
    """Return what is declared."""
    sources = [
        Source(WMS, "standard_webhooks", meaning={"on_hand": "on_hand"}),
        Source(OMS, "standard_webhooks"),
        Source(ERP, "standard_webhooks", meaning={"on_hand": "on_hand", "available": "available"}),
        Source(
            SHOPFRONT,
            "shopify",
            meaning={"available": "available"},
            locations={SHOP_LOCATION: EAST},
            channel=SHOP,
            options={"shop": SHOP_DOMAIN},
        ),
        Source(
            FILES,
            "csv_snapshot",
            meaning={"on_hand": "on_hand"},
            options={
                "drop": FILE_PREFIX,
                "sku_column": "sku",
                "quantity_column": "qty",
                "location_column": "site",
                "as_of": {
                    "from": "file_name",
                    "pattern": r"(?P<stamp>\d{8}T\d{6})",
                    "format": "%Y%m%dT%H%M%S",
                    "time_zone": "UTC",
                },
            },
        ),
    ]
    locations = [Location(place, COUNTS[place], MOVEMENTS[place]) for place in (EAST, DOCK, WEST)]
    shop = Channel(
        SHOP,
        "simulated",
        {EAST: SHOP_LOCATION},
        EAST,
        sells_down=True,
        lateness=LATENESS,
        patience=timedelta(minutes=6),
        calls_per_minute=600,
    )
    market = Channel(
        MARKET,
        "simulated",
        {EAST: "E", WEST: "W"},
        WEST,
        safety_stock=SAFETY_STOCK,
        lateness=LATENESS,
        patience=timedelta(minutes=6),
        calls_per_minute=600,
    )
    return Network(
        {source.id: source for source in sources},
        {location.id: location for location in locations},
        {channel.id: channel for channel in (shop, market)},
    )

"""The small network that is simulated: who is believed where, who only says something, and what is sold.

=========  ==================  ====================  ====================================================
location   counts              movements             so
=========  ==================  ====================  ====================================================
east       wms                 wms                   run by webhooks; the shop's orders reserve here
dock       wms                 wms                   transfers to and from east
west       files               oms                   snapshots only; another system says what was shipped
yard       wms                 wms                   in some histories: bins are counted, and nothing is sold from there
kiosk      wms                 nobody, or till       in some histories: what callers say has left of a reservation ships
cellar     wms                 wms                   in some histories: lots are kept apart, and nothing is sold from there
=========  ==================  ====================  ====================================================

In some histories a count that surprises waits for an approver, and in some the clocks of ``files`` and ``oms`` are not
exact, so that a count and a movement near each other wait for somebody to say which came first.

``erp`` reports everything and is believed nowhere. ``shopfront`` sends the shop's orders and levels.
``till`` is the market's own system, and says nothing but through the API.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from types import MappingProxyType

from infra.simulation.channels import LATENESS
from infra.simulation.oracle import CountRules
from shared.domain.network import EXACT, Channel, Grain, Location, Source, Tolerance
from shared.domain.stock import ChannelId, LocationId, Sku, SourceId, StockKey
from shared.store.registry import Network

WMS, OMS, ERP = SourceId("wms"), SourceId("oms"), SourceId("erp")
FILES, SHOPFRONT, TILL = SourceId("files"), SourceId("shopfront"), SourceId("till")
EAST, DOCK, WEST = LocationId("east"), LocationId("dock"), LocationId("west")
YARD, CELLAR, KIOSK = LocationId("yard"), LocationId("cellar"), LocationId("kiosk")
KEPT_APART = frozenset({YARD, CELLAR})
"""Where bins or lots are counted by themselves."""
SHOP, MARKET = ChannelId("shop"), ChannelId("market")
SKUS = (Sku("TEA"), Sku("MUG"), Sku("POT"))
HOT = Sku("POT")
"""The item that is declared hot: its reservations take from allotments, and in larger numbers."""
KIT = Sku("SET")
KIT_PARTS: Mapping[Sku, int] = {Sku("TEA"): 2, Sku("MUG"): 1}
"""What is sold as one through the API, and lies in the shelves as its components."""
SAFETY_STOCK = 2
SHOP_LOCATION = "77"
SHOP_DOMAIN = "tea.example"
FILE_PREFIX = "files/"

COUNTS = {EAST: WMS, DOCK: WMS, WEST: FILES, YARD: WMS, CELLAR: WMS, KIOSK: WMS}
MOVEMENTS = {EAST: WMS, DOCK: WMS, WEST: OMS, YARD: WMS, CELLAR: WMS}

EXTERNAL_ID = {sku: str(1001 + number) for number, sku in enumerate(SKUS)}
ALIASES = {f"{sku}-ALIAS": sku for sku in SKUS}
"""Codes that the WMS uses and that an operator maps in the course of the history."""
GHOST = "GHOST-1"
"""A code that nobody ever maps."""


@dataclass(frozen=True, slots=True)
class Strictness:
    """What a history declares about its counts: whether surprises wait, and whose clocks are how far off."""

    approve_beyond: Tolerance | None = None
    skews: Mapping[SourceId, timedelta] = field(default_factory=dict)
    undecided_within: Tolerance = EXACT


def strictness(random: Random) -> Strictness:
    """Draw what a history declares: nothing of it in some."""
    limit = random.choice((None, None, Tolerance(0, 3), Tolerance(1000, 8)))
    if random.random() < 0.6:
        return Strictness(limit)
    skews = {
        FILES: timedelta(seconds=random.choice((5, 30, 120))),
        OMS: timedelta(seconds=random.choice((0, 5, 30))),
    }
    return Strictness(limit, skews, random.choice((EXACT, Tolerance(0, 2), Tolerance(0, 6))))


def count_rules(strict: Strictness) -> Callable[[StockKey], CountRules]:
    """Say, in the oracle's words, what that comes to for a stock key: within one source its own sequence decides."""
    east = CountRules(strict.approve_beyond, {}, strict.undecided_within)
    west = CountRules(
        strict.approve_beyond,
        {str(source): skew for source, skew in strict.skews.items()},
        strict.undecided_within,
    )
    apart = dict.fromkeys(KEPT_APART, CountRules())
    return lambda key: {WEST: west, **apart}.get(key.location, east)


def network(
    strict: Strictness = Strictness(),
    apart: Mapping[LocationId, Grain] = MappingProxyType({}),
    *,
    has_kiosk: bool = False,
    has_till: bool = False,
) -> Network:
    """Return what is declared; ``apart`` are the locations of this history that keep bins or lots apart.

    With a till, what moves at the kiosk is the market's own to say.
    """
    skew = strict.skews.get
    sources = [
        Source(WMS, "standard_webhooks", meaning={"on_hand": "on_hand"}),
        Source(OMS, "standard_webhooks", clock_skew=skew(OMS, timedelta(0))),
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
            clock_skew=skew(FILES, timedelta(0)),
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
    if has_till:
        sources.append(Source(TILL, "standard_webhooks", channel=MARKET))
    locations = [
        Location(
            place,
            COUNTS[place],
            MOVEMENTS.get(place, TILL if has_till else None),
            approve_beyond=strict.approve_beyond,
            undecided_within=strict.undecided_within,
        )
        for place in (EAST, DOCK, WEST, *([KIOSK] if has_kiosk else []))
    ]
    locations += [
        Location(place, COUNTS[place], MOVEMENTS[place], grain=grain) for place, grain in apart.items()
    ]
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
        {EAST: "E", WEST: "W"} | ({KIOSK: "K"} if has_kiosk else {}),
        WEST,
        sourcing=(WEST, EAST),
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

"""Networks under whose rules counts wait, and what the WMS says there of movements and counts."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from shared.domain.network import Grain, Tolerance
from shared.domain.stock import SourceId
from shared.store.registry import Network
from tests.operations.deliveries import body
from tests.operations.house import EAST, WMS, House, at, network

LIMIT = Tolerance(percent_hundredths=1_000, units=2)


def careful(**rules: Any) -> Network:
    """The tests' network with rules about counts at the east location."""
    plain = network()
    place = replace(plain.locations[EAST], **rules)
    return replace(plain, locations={**plain.locations, EAST: place})


def hasty_clocks(grain: Grain = Grain.LOCATION, forgiven: int = 0) -> Network:
    """The tests' network where the OMS's clock may be off, and the WMS counts whole minutes."""
    plain = careful(grain=grain, undecided_within=Tolerance(0, forgiven))
    oms = replace(plain.sources[WMS], id=SourceId("oms"), clock_skew=timedelta(minutes=2))
    wms = replace(plain.sources[WMS], coarsest_count=timedelta(minutes=4))
    return replace(plain, sources={**plain.sources, WMS: wms, oms.id: oms})


def tell(house: House, *bodies: tuple[str, dict[str, object]]) -> None:
    """Let sources say something, one after the other, and let it flow."""
    for source, said in bodies:
        house.applier.apply(house.store(source, said))
    house.settle()


def moved(kind: str, document: str, minute: float, units: int) -> tuple[str, dict[str, object]]:
    """Return what the WMS reports of a movement."""
    return "wms", body(kind, document, {"sku": "TEA", "quantity": units}, occurred_at=at(minute))


def counted(document: str, minute: float, units: int, **more: object) -> tuple[str, dict[str, object]]:
    """Return what the WMS reports of a cycle count."""
    return "wms", body("count", document, {"sku": "TEA", "quantity": units}, occurred_at=at(minute), **more)

"""The key figures of the first days of a house, and the tea that it begins them with."""

from __future__ import annotations

from datetime import timedelta

from shared.domain.kpis import Kpi, Row
from shared.operations.kpi_desk import KpiDesk
from shared.store.tallies import Tallies
from shared.store.transfers import Transfers
from tests.operations.house import NOON, House, count

FIRST = NOON.date()
DAY = timedelta(days=1)


def opened() -> House:
    """Return a house at five past the first noon, whose 100 units of tea were counted two hours before."""
    house = House()
    house.post(count("wms/opening/1/count/", -120, 100))
    house.clock.advance(minutes=5)
    return house


def kpis(house: House, days: int = 1, before: int = 0) -> dict[str, Kpi]:
    """Return the figures of some days up to the first day less ``before``."""
    last = FIRST - before * DAY + (days - 1) * DAY
    desk = KpiDesk(Tallies(house.stock), house.traffic, house.cases, Transfers(house.stock), house.registry)
    return {one.name: one for one in desk.report(FIRST - before * DAY, last)}


def rows(house: House, name: str, days: int = 1) -> list[Row]:
    """Return the rows of one figure of the first days."""
    return [dict(row) for row in kpis(house, days)[name].rows]

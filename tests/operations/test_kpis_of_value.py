"""What stock is worth and what was written off, exactly, at the cost of the time."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from shared.domain.item_changes import Declaration, changed
from shared.domain.items import Change, Item
from shared.domain.money import parse_money
from shared.domain.stock import Sku, StockKey
from shared.store.table import Action
from tests.operations.house import EAST, KEY, TEA, WEST, House, Interruption, count, movement
from tests.operations.kpi_days import DAY, FIRST, opened, rows


@pytest.fixture
def house() -> House:
    return opened()


def costs(house: House, sku: str, cost: str) -> None:
    """Declare what an item stands in the books for."""
    item = house.registry.items.find([Sku(sku)]).get(Sku(sku), Item(Sku(sku)))
    after = changed(item, Declaration(Sku(sku), cost=parse_money(cost)), Change("erp", house.clock()))
    house.registry.items.change([(item, after)])


def worth(house: House, days: int = 1) -> list[tuple[object, ...]]:
    names = ("location", "swept_on", "currency", "value", "units")
    return [tuple(row[name] for name in names) for row in rows(house, "inventory_value", days)]


def test_stock_is_worth_its_units_at_their_cost_exactly_by_location_and_never_across_currencies(
    house: House,
) -> None:
    day = str(FIRST)
    skus = {"MUG": "0.000001 USD", "JAR": "1.1 EUR", "TEA": "12.345678 EUR"}
    for sku, cost in skus.items():
        costs(house, sku, cost)
    house.post(
        movement("wms/1/1/receipt/", 1, 3, key=StockKey(Sku("MUG"), EAST)),
        movement("wms/2/1/receipt/", 1, -2, key=StockKey(Sku("JAR"), EAST)),
        movement("wms/3/1/receipt/", 1, 7, key=StockKey(Sku("POT"), EAST)),
        movement("wms/4/1/receipt/", 1, 10, key=StockKey(TEA, WEST)),
    )
    assert worth(house) == []
    house.drift_sweep.run()
    assert worth(house) == [
        ("east", day, "EUR", "1232.3678", 98),
        ("east", day, "USD", "0.000003", 3),
        ("east", day, None, None, 7),
        ("west", day, "EUR", "123.45678", 10),
    ]


def test_a_value_is_that_of_the_newest_sweep_of_the_days_and_a_sweep_under_way_tells_nothing_yet(
    house: House,
) -> None:
    costs(house, "TEA", "2 EUR")
    for number in range(60):
        house.post(movement(f"wms/{number}/1/receipt/", 1, 1, key=StockKey(Sku(f"S{number}"), WEST)))
    house.drift_sweep.run()
    costs(house, "TEA", "3 EUR")
    house.clock.advance(days=1)
    time = iter([60.0, 60.0, 60.0, 1.0])
    house.drift_sweep.run(lambda: next(time, 1.0))
    assert worth(house, days=2)[0] == ("east", str(FIRST), "EUR", "200.00", 100)
    house.drift_sweep.run()
    tomorrow = str(FIRST + DAY)
    assert worth(house, days=2)[0] == ("east", tomorrow, "EUR", "300.00", 100)
    assert worth(house, days=2)[-1] == ("west", tomorrow, None, None, 60)
    assert worth(house)[0] == ("east", str(FIRST), "EUR", "200.00", 100)


def test_a_batch_that_two_sweeps_pass_at_once_is_worth_what_it_is_once(house: House) -> None:
    costs(house, "TEA", "2 EUR")
    begun: list[int] = []

    def another_passes(_number: int, actions: Sequence[Action]) -> None:
        if not begun and any("WORTH#" in action.key.pk for action in actions):
            begun.append(1)
            house.drift_sweep.run()

    house.stock.faults = Interruption(before=another_passes)
    house.drift_sweep.run()
    assert begun
    assert house.on_hand(KEY) == 100
    assert worth(house) == [("east", str(FIRST), "EUR", "200.00", 100)]


def test_write_offs_are_what_adjustments_and_counts_took_off_at_the_cost_of_their_time_once(
    house: House,
) -> None:
    costs(house, "TEA", "2.50 EUR")
    house.post(
        movement("manual/m1/movement", 1, -4),
        movement("wms/a/1/adjustment/", 2, 1),
        movement("wms/s/1/shipment/", 3, -7),
        count("wms/c/1/count/", 4, 80),
    )
    house.post(movement("manual/m2/movement", 1, -3, key=StockKey(Sku("POT"), EAST)))
    house.settle()
    house.drift_sweep.run()
    costs(house, "TEA", "100 EUR")
    house.settle()
    names = ("currency", "units_off", "units_on", "written_off", "written_on", "net", "share_rate")
    assert [tuple(row[name] for name in names) for row in rows(house, "write_offs")] == [
        ("EUR", 14, 1, "35.00", "2.50", "-32.50", 10_000 * 3250 // 20000),
        (None, 3, 0, None, None, None, None),
    ]


def test_an_adjustment_that_is_undone_is_written_on_again_and_an_undone_shipment_is_not(house: House) -> None:
    house.post(
        movement("manual/m1/movement", 1, -4),
        movement("onecount/undo/manual/m1/movement", 2, 4),
        movement("onecount/undo/wms/s/1/shipment/", 2, 9),
    )
    house.settle()
    [written] = rows(house, "write_offs")
    assert (written["units_off"], written["units_on"]) == (4, 4)


def test_what_a_late_movement_explains_was_no_write_off(house: House) -> None:
    costs(house, "TEA", "2 EUR")
    house.post(count("wms/c/1/count/", 3, 90))
    house.post(movement("wms/s/1/shipment/", 2, -10))
    house.post(movement("wms/s/2/shipment/", -180, -5))
    house.settle()
    [written] = rows(house, "write_offs")
    assert (written["written_off"], written["written_on"], written["net"]) == ("20.00", "20.00", "0.00")

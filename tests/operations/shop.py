"""A house that sells one item on one scripted channel, and time that passes with everything that falls due in it."""

from __future__ import annotations

from datetime import timedelta

from shared.domain.stock import Sku
from tests.operations.house import KEY, SHOP, TEA, House, movement
from tests.operations.scripted_channel import ScriptedChannel
from tests.operations.shop_orders import ShopOrders


class Shop:
    """A house with one listed item of ten units, and the channel that shows it."""

    def __init__(self, units: int = 10, shown: int | None = 0, **channel: object) -> None:
        self.house = House()
        self.house.list_on(SHOP, "TEA", "MUG")
        self.channel = ScriptedChannel({TEA: shown, Sku("MUG"): 0}, **channel)  # type: ignore[arg-type]
        self.orders = ShopOrders(self.house, self.channel)
        self.house.post(movement("opening", 0, units))

    def work(self) -> None:
        """Let everything happen that is due now."""
        for _ in range(20):
            self.house.settle()
            if not any(due <= self.house.clock() for due, _, _ in self.house.lanes.waiting):
                return
            self.house.push_due(self.channel)
        raise AssertionError("the push feeds itself for ever")

    def wait(self, **by: float) -> None:
        """Let time pass, with everything that falls due on the way."""
        end = self.house.clock() + timedelta(**by)
        while True:
            self.work()
            due = min((due for due, _, _ in self.house.lanes.waiting), default=end)
            if due >= end:
                break
            self.house.clock.now = max(due, self.house.clock.now)
        self.house.clock.now = max(end, self.house.clock.now)
        self.house.sweep.run()
        self.work()

    @property
    def shown(self) -> int | None:
        return self.channel.levels[TEA]

    @property
    def believed(self) -> int | None:
        return self.house.listings.states(SHOP, [KEY])[KEY].believed


def shop_that_shows_all() -> Shop:
    """Return a shop whose channel shows its ten units already."""
    shop = Shop()
    shop.work()
    assert shop.shown == 10
    return shop

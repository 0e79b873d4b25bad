"""Any history of stock, sales, lost answers, late writes and crashes ends with the channel showing the promise.

And on the way no push ever offers more than is promised at the moment when it is sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from shared.channels.contract import Offer
from shared.operations.reservations import InsufficientStockError, Wanted
from shared.store.table import Action
from tests.operations.house import KEY, SHOP, TEA, Crash, Interruption, count, movement
from tests.operations.shop import Shop

LANDS_WITHIN = timedelta(seconds=20)
"""A late write lands within the channel's declared lateness of 30 s."""


class PushingMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.shop = Shop(units=10, shown=4)
        self.house, self.channel = self.shop.house, self.shop.channel
        self.channel.before = self.look
        self.unheard: list[dict[str, Any]] = []
        self.cancellable: list[dict[str, Any]] = []
        self.late_since: datetime | None = None
        self.number = 0
        self.work()

    # ---- what is watched ------------------------------------------------------------------------------------

    def look(self, offers: Sequence[Offer]) -> None:
        for offer in offers:
            assert offer.quantity <= max(0, self.house.available()), "more was offered than is promised"

    @invariant()
    def each_unit_is_promised_once(self) -> None:
        assert self.house.verifier.verify_key(KEY).discrepancies == []

    # ---- time -----------------------------------------------------------------------------------------------

    def work(self) -> None:
        try:
            self.shop.work()
        except Crash:
            self.house.stock.faults = None
        if not self.channel.waiting:
            self.late_since = None
        elif self.late_since is None:
            self.late_since = self.house.clock()

    def pass_time(self, seconds: float) -> None:
        """Let time pass in small steps, so that nothing that is late lands later than was declared."""
        end = self.house.clock() + timedelta(seconds=seconds)
        while self.house.clock() < end:
            if self.late_since is not None and self.house.clock() - self.late_since >= LANDS_WITHIN:
                self.channel.land()
                self.late_since = None
            try:
                self.shop.wait(seconds=min(5.0, (end - self.house.clock()).total_seconds()))
            except Crash:
                self.house.stock.faults = None
            self.work()

    @rule(seconds=st.sampled_from([1, 5, 20, 45, 100]))
    def time_passes(self, seconds: int) -> None:
        self.pass_time(seconds)

    @rule()
    def what_is_late_lands(self) -> None:
        self.channel.land()
        self.late_since = None

    # ---- stock ----------------------------------------------------------------------------------------------

    @rule(units=st.sampled_from([-4, -1, 1, 2, 5]))
    def stock_moves(self, units: int) -> None:
        self.number += 1
        self.house.post(movement(f"m{self.number}", self.number / 100, units))
        self.work()

    @rule(units=st.integers(0, 12))
    def stock_is_counted(self, units: int) -> None:
        self.number += 1
        self.house.post(count(f"c{self.number}", self.number / 100, units))
        self.work()

    @rule(units=st.integers(1, 3))
    def another_channel_reserves(self, units: int) -> None:
        self.number += 1
        try:
            self.house.reserver.reserve(f"k{self.number}", "oms", SHOP, [Wanted(TEA, units)])
        except InsufficientStockError:
            return
        self.work()

    # ---- the channel's own sales ----------------------------------------------------------------------------

    @rule(units=st.integers(1, 3), hear=st.sampled_from(["now", "twice", "later"]))
    def the_channel_sells(self, units: int, hear: str) -> None:
        self.pass_time(1)
        if (self.shop.shown or 0) < units:
            return
        order = self.shop.orders.sell("TEA", units)
        self.cancellable.append(order)
        if hear == "later":
            self.unheard.append(order)
            return
        self.shop.orders.hear(order)
        if hear == "twice":
            self.shop.orders.hear(order)
        self.work()

    @precondition(lambda self: self.cancellable)
    @rule(which=st.integers(0, 20), hear=st.sampled_from(["now", "later"]))
    def an_order_is_cancelled(self, which: int, hear: str) -> None:
        self.pass_time(2)
        order = self.cancellable.pop(which % len(self.cancellable))
        cancelled = self.shop.orders.cancel(order)
        if hear == "later":
            self.unheard.append(cancelled)
            return
        self.shop.orders.hear(cancelled)
        self.work()

    @precondition(lambda self: self.unheard)
    @rule(which=st.integers(0, 20))
    def an_order_is_heard_of(self, which: int) -> None:
        self.shop.orders.hear(self.unheard.pop(which % len(self.unheard)))
        self.work()

    # ---- trouble --------------------------------------------------------------------------------------------

    @rule(word=st.sampled_from(["lost", "unheard", "late", "throttled", "mute"]))
    def the_next_answer_is(self, word: str) -> None:
        if len(self.channel.answers) < 2:
            self.channel.answers.append(word)

    @rule()
    def the_stream_is_lost(self) -> None:
        self.house.lose_stream()

    @rule(number=st.integers(0, 5), after=st.booleans())
    def the_worker_will_crash(self, number: int, after: bool) -> None:
        def crash(n: int, _actions: Sequence[Action]) -> None:
            if n == number:
                self.house.stock.faults = None
                raise Crash

        if self.house.lanes.waiting:
            self.house.stock.faults = Interruption(**{"after" if after else "before": crash})
            self.pass_time(20)
            self.house.stock.faults = None

    # ---- the end --------------------------------------------------------------------------------------------

    def teardown(self) -> None:
        self.house.stock.faults = None
        self.channel.answers.clear()
        self.what_is_late_lands()
        for order in self.unheard:
            self.shop.orders.hear(order)
        for _ in range(40):
            self.shop.wait(minutes=1)
        assert self.shop.shown == max(0, self.house.available())
        self.house.assert_exact()


PushingMachine.TestCase.settings = settings(
    max_examples=150,
    stateful_step_count=25,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestAnyHistory = PushingMachine.TestCase

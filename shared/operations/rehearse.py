"""Rehearsing: what a channel that is not live would be sent, kept beside what it shows.

Level-triggered as pushing is: each hint reads the number of that moment, and only a change is kept. Where less is
available than at the last look, the channel's orders are read for oversells. Nothing here can reach the channel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from shared.domain.availability import Standing, promise
from shared.domain.network import Channel
from shared.domain.rollout import Mode, Rollout
from shared.domain.shadow import Numbers, prevented
from shared.domain.stock import Quantity, StockKey
from shared.store.shadows import Rehearsed, Shadows


class Rehearsal:
    """Keeps the numbers of one channel's listings that are observed or in shadow."""

    def __init__(self, channel: Channel, shadows: Shadows, clock: Callable[[], datetime]) -> None:
        self._channel = channel
        self._shadows = shadows
        self._clock = clock

    def keep(
        self,
        standings: Mapping[StockKey, Standing],
        shown: Mapping[StockKey, Quantity | None],
        rollout: Rollout,
    ) -> None:
        """Keep each listing's numbers as they are now.

        Parameters
        ----------
        shown
            What was read just now; of those that could not be read, what they last showed is believed still.
        """
        unread = [key for key in standings if key not in shown]
        theirs = {**(self._shadows.last_shown(self._channel.id, unread) if unread else {}), **shown}
        now, found = self._clock(), list[Rehearsed]()
        for key, standing in standings.items():
            rule = rollout.rule_of(key.sku, key.location)
            ours = None
            if rule.mode is Mode.SHADOW:
                ours = promise(standing, self._channel).available_to_promise
            numbers = Numbers(now, ours, theirs.get(key))
            found.append(Rehearsed(key, (numbers,), rule.version, standing.available))
        for one in self._shadows.rehearse(self._channel.id, found):
            self._look_for_oversells(one)

    def _look_for_oversells(self, one: Rehearsed) -> None:
        """Where less is available than before, and it offered more than we would: was it by orders of the channel?"""
        if any(numbers.stand_above for numbers in one.numbers):
            sales = self._shadows.sales(self._channel.id, one.key, one.numbers[0].at)
            oversells = list(prevented(one.numbers, sales))
            if oversells:
                self._shadows.oversold(self._channel.id, one, oversells)

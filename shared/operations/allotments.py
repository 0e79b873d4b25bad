"""Hot stock keys: more promise counters where one cannot keep up, exact all the same (see ``store/promises.py``).

A stock key is hot when its item is declared ``hot``, or while reservations of it keep meeting each other here. Its
reservations then take from one of its allotments, which is filled from counter 0 when it runs dry. Nobody is refused
before everything that there is has been looked at, at one instant.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.domain.availability import Standing, claim
from shared.domain.network import Channel
from shared.domain.stock import ChannelId, Quantity, StockKey
from shared.store.allotments import claim_in_allotment, filling, gathering, idle_allotments
from shared.store.layout import promise_key
from shared.store.ledger_items import stock_key_of
from shared.store.promises import COUNTERS, allotted, counters, spare, standing_of
from shared.store.table import (
    Item,
    Table,
    TableError,
    ThrottledError,
    UnknownOutcomeError,
    Update,
    WriteConflictError,
    WriteRefusedError,
)

HOT_AFTER = 3
"""Conflicts of reservations on a stock key, within ``HOT_FOR``, that make it hot."""

HOT_FOR = timedelta(minutes=1)
"""How long a stock key is hot after so many conflicts."""

REMEMBERED = timedelta(seconds=5)
"""How long it is believed for which channels units are set aside."""

WORTHWHILE = COUNTERS
"""Units to spare below which all are claimed from counter 0."""

ATTEMPTS = 40


@dataclass(slots=True)
class _Heat:
    since: datetime
    conflicts: int = 0
    cold_until: datetime | None = None


class Allotments:
    """Chooses the counters of claims, fills allotments and gathers them.

    Each process claims from one allotment of every stock key, and from another once it has met somebody there.
    """

    def __init__(
        self, table: Table, clock: Callable[[], datetime], pause: Callable[[float], None] = time.sleep
    ) -> None:
        self._table = table
        self._clock = clock
        self._pause = pause
        self._heat: dict[StockKey, _Heat] = {}
        self._k = _any_allotment()
        self._kept_for: dict[StockKey, tuple[datetime, frozenset[ChannelId]]] = {}

    def claim(
        self,
        key: StockKey,
        quantity: Quantity,
        channel: Channel,
        standing: Standing,
        now: datetime,
        *,
        is_hot: bool,
    ) -> Update | None:
        """Return the claim of units in one of the allotments of a stock key; None where it must be made in counter 0.

        What is set aside for the channel is claimed there, and first; that something is, is heard of within seconds.
        """
        heat = self._heat.get(key)
        if heat is not None and now - heat.since > HOT_FOR:
            heat = self._heat.pop(key) and None
        is_hot = is_hot or (heat is not None and heat.conflicts >= HOT_AFTER)
        is_cold = heat is not None and heat.cold_until is not None and now < heat.cold_until
        if not is_hot or is_cold or channel.id in self._has_own(key, now):
            return None
        least = _least(quantity, channel, standing)
        if least is None:
            return None
        return claim_in_allotment(key, self._k, quantity, least, channel.safety_stock, now)

    def _has_own(self, key: StockKey, now: datetime) -> frozenset[ChannelId]:
        """Return the channels that units of a hot stock key are set aside for, as of ``REMEMBERED`` ago at most."""
        at, channels = self._kept_for.get(key, (None, frozenset[ChannelId]()))
        if at is None or now - at > REMEMBERED:
            channels = frozenset(standing_of(self._table.get(promise_key(key))).set_aside)
            self._kept_for[key] = now, channels
        return channels

    def met(self, keys: Iterable[StockKey]) -> bool:
        """Note that a reservation met others on one of some stock keys; say whether that made one of them hot."""
        now, became_hot, self._k = self._clock(), False, _any_allotment()
        for key in keys:
            heat = self._heat.setdefault(key, _Heat(now))
            heat.conflicts += 1
            became_hot = became_hot or heat.conflicts == HOT_AFTER
        return became_hot

    def fill(self, key: StockKey, k: int, quantity: Quantity, channel: Channel, standing: Standing) -> None:
        """Fill an allotment that had too little for a claim; where that is not worth while, claim in counter 0."""
        now = self._clock()
        main = self._table.get(promise_key(key))
        left = 0 if main is None else spare(main)
        units = max(_least(quantity, channel, standing) or 0, left // (2 * COUNTERS))
        actions = None
        if main is not None and left >= WORTHWHILE:
            actions = filling(main, k, units, channel.safety_stock, now)
        try:
            if actions is not None:
                return self._table.write(actions)
        except (WriteConflictError, ThrottledError, UnknownOutcomeError):
            return None  # somebody else may have filled it; whoever claims will see
        except WriteRefusedError:
            pass
        self._heat.setdefault(key, _Heat(now)).cold_until = now + timedelta(seconds=1)
        return None

    def gather(self, key: StockKey) -> None:
        """Move what is left in all allotments of a stock key back to counter 0, while nobody fills them again.

        Raises
        ------
        TableError
            When claims kept coming in between.
        """
        for attempt in range(ATTEMPTS):
            if not allotted(self._table.get(promise_key(key))):
                return
            found = self._table.get_many(counters(key)[1:])
            granted = [item for item in found.values() if item["granted"]]
            for item in granted:
                try:
                    self._table.write(gathering(item, self._clock()))
                except (WriteRefusedError, WriteConflictError, ThrottledError, UnknownOutcomeError):
                    self._pause(random.uniform(0.5, 1) * min(0.2, 0.005 * 2**attempt))  # noqa: S311
        raise WriteConflictError(f"the allotments of {key} could not be gathered")

    def make_way(self, refused: WriteRefusedError) -> bool:
        """Gather what refused a decrease, if it was allotments; say whether it was.

        Raises
        ------
        TableError
        """
        keys = {stock_key_of(r.found) for r in refused.refusals if r.found is not None and allotted(r.found)}
        for key in keys:
            self.gather(key)
        return bool(keys)

    def gather_idle(self) -> int:
        """Gather allotments that nobody has filled for long; return how many there were."""
        idle: list[Item] = list(idle_allotments(self._table, self._clock()))
        for item in idle:
            try:
                self._table.write(gathering(item, self._clock()))
            except TableError:
                continue  # it was claimed from just now, or the table is busy: it is looked at again in a minute
        return len(idle)


def _any_allotment() -> int:
    return random.randint(1, COUNTERS)  # noqa: S311


def _least(quantity: Quantity, channel: Channel, standing: Standing) -> Quantity | None:
    """Return what an allotment must hold for a claim; the safety stock is kept in counter 0."""
    common = claim(quantity, channel, Standing(0, {}, standing.is_stale))
    return None if common is None else common.least_available - channel.safety_stock

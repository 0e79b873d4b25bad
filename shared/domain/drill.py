"""What an outage puts at risk: the pure half of the drill. Nothing is sent, held or changed.

========================  =======================================================================================
what stops                what is at risk while it does
========================  =======================================================================================
a channel takes nothing   it goes on selling from the number that it shows, while others sell the same units
a channel's orders do     they wait, and until they are heard of their units are promised once more elsewhere
not arrive
nobody says what moved    what leaves by no order is promised still; what arrives is not promised yet
or was counted
nobody confirms counts    once they are staler than declared, channels withhold their declared share
========================  =======================================================================================

What people entered by hand, and what we posted ourselves, is no source's to tell: it goes on.

Each is reckoned twice: as it **usually** would be, and for the **busiest** stretch of that length that is known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum

from shared.domain.activity import Activity, Change, Moment, Pace, pace
from shared.domain.availability import Standing, promise
from shared.domain.handoffs import OURSELVES
from shared.domain.network import MANUAL, Channel
from shared.domain.stock import ChannelId, Quantity, StockKey


class Risk(StrEnum):
    """What an outage does to a promise."""

    OVERSOLD = "oversold"
    ORDERS_DELAYED = "orders_delayed"
    NOT_PROMISED = "not_promised"
    WITHHELD = "withheld"


@dataclass(frozen=True, slots=True)
class AtRisk:
    """Units of one stock key on one channel that an outage puts at risk, and the figures that say so."""

    key: StockKey
    channel: ChannelId | None
    risk: Risk
    usual: Quantity
    busiest: Quantity
    why: str


@dataclass(frozen=True, slots=True)
class Stand:
    """A stock key when the outage begins: what is available, what happened lately."""

    key: StockKey
    standing: Standing
    activity: Activity

    @property
    def available(self) -> Quantity:
        return max(0, self.standing.available)

    def sold(self, lasting: timedelta, takes: Callable[[ChannelId | None], bool]) -> Pace:
        """Return how fast the channels that are meant sell it."""
        return self._pace((one for one in self.activity.sold if takes(one.channel)), lasting)

    def came(self, lasting: timedelta, counts: bool, movements: bool) -> Pace:
        """Return how fast it grows by what a source says that is believed about counts, about movements."""
        return self._pace((one for one in self._said(counts, movements) if one.units > 0), lasting)

    def went(self, lasting: timedelta, counts: bool, movements: bool) -> Pace:
        """Return how fast it shrinks by what such a source says, but for what orders had taken before."""
        gone = [Moment(one.at, -one.units) for one in self._said(counts, movements) if one.units < 0]
        orders = (one for one in self.activity.shipped if movements and is_told(one))
        shipped = [Moment(one.at, -one.units) for one in orders]
        found = self._pace([*gone, *shipped], lasting)
        return Pace(max(0, found.usual), max(0, found.busiest))

    def _said(self, counts: bool, movements: bool) -> Iterator[Moment]:
        changes = (one for one in self.activity.changes if is_told(one))
        return (one for one in changes if (counts if one.kind == COUNTED else movements))

    def _pace(self, moments: Iterator[Moment] | list[Moment], lasting: timedelta) -> Pace:
        return pace(moments, lasting, self.activity.known_for)


COUNTED = "count"
"""The kind of a change that a count brought."""

_BY_HAND = (f"{MANUAL.id}/", f"{OURSELVES}/")
"""How the keys of events begin that no system outside told us of."""


def is_told(change: Change) -> bool:
    """Whether a source told of a change: nobody entered it by hand, and we did not post it ourselves."""
    return not change.event.startswith(_BY_HAND)


def channel_silent(
    stand: Stand, channel: Channel, shown: Quantity | None, lasting: timedelta
) -> AtRisk | None:
    """Say what is at risk where a channel takes no number: it sells on from the one that it shows."""
    promised = promise(stand.standing, channel).available_to_promise
    offers = promised if shown is None else max(0, shown)
    own = stand.sold(lasting, lambda by: by == channel.id)
    others = stand.sold(lasting, lambda by: by != channel.id)

    def over(own: Quantity, others: Quantity) -> Quantity:
        sells = min(own, offers) if channel.sells_down else own if offers else 0
        return max(0, sells - max(0, stand.available - others))

    usual, busiest = over(own.usual, others.usual), over(own.busiest, others.busiest)
    why = (
        f"it shows {offers} of {stand.available} available and sells {_said(own)}; others sell {_said(others)}"
        + ("" if channel.sells_down else "; it does not lower its own number")
    )
    return _at_risk(stand.key, channel.id, Risk.OVERSOLD, Pace(usual, busiest), why)


def orders_unheard(stand: Stand, channel: ChannelId, lasting: timedelta) -> Iterator[AtRisk]:
    """Say what is at risk where a channel's orders do not arrive: they wait, and their units are offered elsewhere."""
    own = stand.sold(lasting, lambda by: by == channel)
    others = stand.sold(lasting, lambda by: by != channel)
    why = f"it sells {_said(own)}, of which nobody hears until it is over"
    if (late := _at_risk(stand.key, channel, Risk.ORDERS_DELAYED, own, why)) is not None:
        yield late

    def over(own: Quantity, others: Quantity) -> Quantity:
        return max(0, own + min(others, stand.available) - stand.available)

    twice = Pace(over(own.usual, others.usual), over(own.busiest, others.busiest))
    why = f"{channel} sells {_said(own)} unheard of, others {_said(others)}, from the same {stand.available} available"
    if (oversold := _at_risk(stand.key, channel, Risk.OVERSOLD, twice, why)) is not None:
        yield oversold


def authority_silent(stand: Stand, lasting: timedelta, *, counts: bool, movements: bool) -> Iterator[AtRisk]:
    """Say what is at risk where nobody says what moved, or was counted: what left is promised still."""
    went, came = (way(lasting, counts, movements) for way in (stand.went, stand.came))
    sold = stand.sold(lasting, lambda _: True)

    def over(went: Quantity, sold: Quantity) -> Quantity:
        return max(0, min(sold, stand.available) - max(0, stand.available - went))

    gone = Pace(over(went.usual, sold.usual), over(went.busiest, sold.busiest))
    why = f"{_said(went)} leave by no order, {_said(sold)} are sold, of {stand.available} available"
    if (oversold := _at_risk(stand.key, None, Risk.OVERSOLD, gone, why)) is not None:
        yield oversold
    why = f"{_said(came)} arrive, and are promised to nobody until it is over"
    if (held := _at_risk(stand.key, None, Risk.NOT_PROMISED, came, why)) is not None:
        yield held


def promise_withheld(
    stand: Stand, channel: Channel, stale_in: timedelta, lasting: timedelta
) -> AtRisk | None:
    """Say what a channel withholds once the counts are stale, if that is before the outage is over."""
    if stale_in >= lasting or stand.standing.is_stale:
        return None
    now = promise(stand.standing, channel).available_to_promise
    then = promise(replace(stand.standing, is_stale=True), channel).available_to_promise
    minutes = max(0, stale_in // timedelta(minutes=1))
    why = f"stale after {minutes} min: stale_percent {channel.stale_percent} leaves {then} of {now} promised"
    return _at_risk(stand.key, channel.id, Risk.WITHHELD, Pace(now - then, now - then), why)


def _at_risk(key: StockKey, channel: ChannelId | None, risk: Risk, units: Pace, why: str) -> AtRisk | None:
    if units.busiest <= 0 and units.usual <= 0:
        return None
    # An average is rounded up and may exceed a busiest stretch of few units.
    return AtRisk(key, channel, risk, units.usual, max(units.usual, units.busiest), why)


def _said(units: Pace) -> str:
    return f"{units.usual} (up to {max(units.usual, units.busiest)})"

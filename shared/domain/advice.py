"""Decision support: what deserves a look, with the figures that say so. It advises; nothing here acts, and nobody acts on
it by itself.

Unusual movements are found by the median and the median absolute deviation (MAD), which a few wild values do not move:
a movement is unusual where it lies ``UNUSUAL`` deviations or more from the median of its own SKU, location and kind.
Everything is reckoned in whole numbers and fractions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from itertools import groupby
from math import ceil

from shared.domain.activity import Activity, Change
from shared.domain.drill import COUNTED
from shared.domain.money import Money
from shared.domain.stock import ChannelId, EventKey, LocationId, Quantity, StockKey

FEWEST = 12
"""Movements of one kind from which on it can be said what is usual."""

UNUSUAL = 5
"""Deviations from the median from which on a movement is unusual; of a normal spread one in a million is so far off."""

_DEVIATION = Fraction(14826, 10000)
"""What a MAD is multiplied by to stand for the standard deviation of a normal spread."""


@dataclass(frozen=True, slots=True)
class Unusual:
    """A movement of a size that its kind does not have there.

    ``times`` is by how many deviations, rounded down.
    """

    key: StockKey
    kind: str
    event: EventKey
    at: datetime
    units: Quantity
    median: Fraction
    spread: Fraction
    times: int
    of: int

    @property
    def why(self) -> str:
        return (
            f"{abs(self.units)} units; of {self.of} of this kind here half are within {_plain(self.spread)} of "
            f"{_plain(self.median)}: {self.times} deviations away"
        )


def unusual_movements(activity: Activity, since: datetime) -> Iterator[Unusual]:
    """Yield those movements of a stock key since an instant that are unusual beside all that are known."""
    by_kind = sorted(activity.changes, key=lambda change: change.kind)
    for kind, group in groupby(by_kind, key=lambda change: change.kind):
        yield from _unusual(activity.key, kind, list(group), since)


def _unusual(key: StockKey, kind: str, changes: Sequence[Change], since: datetime) -> Iterator[Unusual]:
    if len(changes) < FEWEST:
        return
    sizes = [Fraction(abs(change.units)) for change in changes]
    middle = median(sizes)
    spread = median([abs(size - middle) for size in sizes])
    # Where nearly all are alike the spread is nothing; a unit more or less is no news all the same.
    deviation = max(spread * _DEVIATION, Fraction(1), middle / 10)
    for change, size in zip(changes, sizes, strict=True):
        times = abs(size - middle) / deviation
        if change.at >= since and times >= UNUSUAL:
            yield Unusual(
                key, kind, change.event, change.at, change.units, middle, spread, int(times), len(changes)
            )


def median(numbers: Sequence[Fraction]) -> Fraction:
    """Return the middle number, or that between the two in the middle."""
    ordered, half = sorted(numbers), len(numbers) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def percentile(numbers: Iterable[Quantity], percent: int) -> Quantity:
    """Return the least number that so many per cent are not above; 0 of none."""
    ordered = sorted(numbers)
    return ordered[max(0, ceil(Fraction(len(ordered) * percent, 100)) - 1)] if ordered else 0


@dataclass(frozen=True, slots=True)
class Latency:
    """How long a sale elsewhere takes until a channel shows it, 95 of 100 times: its parts, and what they are."""

    parts: tuple[tuple[str, timedelta], ...]

    @property
    def whole(self) -> timedelta:
        return sum((time for _, time in self.parts), timedelta(0))

    def __str__(self) -> str:
        told = ", ".join(f"{what} {_seconds(time)} s" for what, time in self.parts)
        return f"{_seconds(self.whole)} s ({told})"


@dataclass(frozen=True, slots=True)
class KeyBuffer:
    """Units that others sold of a stock key within one latency, at most, and those that the channel withholds now."""

    key: StockKey
    needed: Quantity
    withheld: Quantity


@dataclass(frozen=True, slots=True)
class BufferAdvice:
    """What buffer would have kept a channel from overselling, and which stock keys need more than it has.

    ``latency`` is None where nothing was measured: then nothing is advised. ``usual`` would have done for 95 of 100
    stock keys, ``short`` are those for which what is withheld now would not, the worst first.
    """

    channel: ChannelId
    latency: Latency | None
    safety_stock: Quantity
    usual: Quantity
    looked_at: int
    short: tuple[KeyBuffer, ...]


def buffer_advice(
    channel: ChannelId, latency: Latency | None, safety_stock: Quantity, keys: Sequence[KeyBuffer]
) -> BufferAdvice:
    """Say what buffer a channel needs."""
    short = [one for one in keys if one.needed > one.withheld]
    short.sort(key=lambda one: (one.withheld - one.needed, one.key.sku, one.key.location))
    usual = percentile((one.needed for one in keys), 95)
    return BufferAdvice(channel, latency, safety_stock, usual, len(keys), tuple(short))


@dataclass(frozen=True, slots=True)
class ToCount:
    """A stock key that may be counted next.

    Attributes
    ----------
    counted_at
        When it was last counted; None where it never was, as far as is known.
    moved
        Units that moved since then, either way.
    drift
        Units that other systems differ by, in open cases.
    expected
        Units by which a count may put it right: ``drift``, and the share of ``moved`` that counts have corrected
        before.
    """

    key: StockKey
    counted_at: datetime | None
    moved: Quantity
    drift: Quantity
    expected: Quantity
    value: Money | None
    why: str


@dataclass(frozen=True, slots=True)
class ErrorRate:
    """Of so many units that moved, counts corrected so many."""

    corrected: Quantity = 0
    moved: Quantity = 0

    @property
    def share(self) -> Fraction:
        """The share that counts correct; one in a hundred, where too little moved to say."""
        return Fraction(self.corrected, self.moved) if self.moved >= 1000 else Fraction(1, 100)

    def __str__(self) -> str:
        if self.moved >= 1000:
            return f"counts corrected {self.corrected} of {self.moved} units that moved"
        return "1 in 100 units that moved is taken to be wrong: too little was counted to know"


def error_rate(activities: Iterable[Activity]) -> ErrorRate:
    """Say what share of what moved counts have corrected."""
    corrected = moved = 0
    for activity in activities:
        for change in activity.changes:
            if change.kind == COUNTED:
                corrected += abs(change.units)
            else:
                moved += abs(change.units)
    return ErrorRate(corrected, moved)


def to_count(
    activity: Activity, counted_at: datetime | None, drift: Quantity, price: Money | None, rate: ErrorRate
) -> ToCount:
    """Say how much a count of a stock key may put right."""
    since = counted_at or activity.since
    moved = sum(abs(one.units) for one in activity.changes if one.kind != COUNTED and one.at > since)
    expected = drift + ceil(moved * rate.share)
    when = "never counted" if counted_at is None else f"counted {(activity.until - counted_at).days} days ago"
    told = [f"{when}, {moved} units moved since"]
    told += [f"other systems differ by {drift}"] if drift else []
    value = None if price is None else price.times(expected)
    told += [f"worth up to {value}"] if value is not None else ["no price is known"]
    return ToCount(activity.key, counted_at, moved, drift, expected, value, "; ".join(told))


def ranked_to_count(rows: Iterable[ToCount]) -> list[ToCount]:
    """Order what to count next: by value, where all prices are in one currency, else by units; nothing to expect last."""
    rows = [row for row in rows if row.expected]
    one_currency = len({row.value.currency for row in rows if row.value is not None}) == 1

    def rank(row: ToCount) -> tuple[object, ...]:
        worth = -row.value.amount if one_currency and row.value is not None else 0
        return one_currency and row.value is None, worth, -row.expected, row.key.sku, row.key.location

    return sorted(rows, key=rank)


@dataclass(frozen=True, slots=True)
class SiteReliability:
    """How far a site can be relied upon, by what it did lately.

    Attributes
    ----------
    drift_cases, drift_units, drift_share
        Of drift there, and its share of all drift in hundredths.
    transfers, short, lost, late
        Transfers that left there; of them those that arrived short, with the units that never did, and those of which
        anything arrived after the time that the way takes, or has not by now.
    """

    site: LocationId
    drift_cases: int = 0
    drift_units: Quantity = 0
    drift_share: int = 0
    transfers: int = 0
    short: int = 0
    lost: Quantity = 0
    late: int = 0

    @property
    def why(self) -> str:
        told = [
            f"{self.drift_units} units of drift in {self.drift_cases} cases ({self.drift_share} % of all)"
        ]
        if self.transfers:
            told.append(
                f"of {self.transfers} transfers from there {self.short} came short ({self.lost} units lost), {self.late} late"
            )
        return "; ".join(told)


def ranked_sites(rows: Iterable[SiteReliability]) -> list[SiteReliability]:
    """Order sites, the least reliable first: by units that drift or were lost, then by transfers short or late."""
    return sorted(
        rows, key=lambda one: (-one.drift_units - one.lost, -one.short - one.late, -one.drift_cases, one.site)
    )


def _plain(number: Fraction) -> str:
    whole, rest = divmod(number, 1)
    tenths = int(rest * 10)
    return f"{whole}.{tenths}" if tenths else str(whole)


def _seconds(time: timedelta) -> str:
    tenths = -(-time // timedelta(milliseconds=100))
    return f"{tenths // 10}.{tenths % 10}" if tenths % 10 else str(tenths // 10)

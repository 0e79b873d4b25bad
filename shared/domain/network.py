"""The declared network: which systems exist, what each may say, and what each channel may sell.

It is written by hand in ``network.yaml``, applied to the registry, and read from there as these frozen types.

* **Authority** is declared per location: one source for counts and one for movements. Anyone else's number is
  an observation, never a write.
* A source's ``meaning`` says what its number means as a formula over our own quantities (``on_hand``,
  ``available``, ``available - safety_stock``), so that like is compared with like.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from shared.domain.money import Money
from shared.domain.rollout import ALL_LIVE, Mode, Rollout
from shared.domain.stock import WHOLE, ChannelId, Leaf, LocationId, Quantity, Sku, SourceId


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far a number may be off: the largest of a share, a number of units, and what units of that value come to.

    ``value`` forgives nothing of an item whose price is not known, or known in another currency.
    """

    percent_hundredths: int = 50
    units: Quantity = 0
    value: Money | None = None

    def is_exceeded(self, difference: Quantity, *, of: Quantity, price: Money | None = None) -> bool:
        """Whether a difference is larger than the rule forgives of a number, at a price of one unit."""
        size = abs(difference)
        if size <= self.units or size * 10_000 <= abs(of) * self.percent_hundredths:
            return False
        if self.value is None or price is None or price.currency != self.value.currency:
            return True
        return price.times(size).amount > self.value.amount


EXACT = Tolerance(percent_hundredths=0)
"""Forgives nothing."""


@dataclass(frozen=True, slots=True)
class Source:
    """A connected system that sends.

    Attributes
    ----------
    connector
        The module in ``shared/sources`` that speaks for it.
    meaning
        Element to formula: what each number it reports means in our quantities.
    locations
        Its own location codes to ours.
    maps_codes
        False where the source's item codes are our SKUs; true where every code needs a cross-reference.
    options
        What the connector itself needs (column names, decimal style, shop domain ...).
    clock_skew
        How far its clock may be off: between two sources nobody can say what came first within the sum of theirs.
    coarsest_count
        The longest time that one of its counts leaves open; a day for counts that carry only a date.
    freshness
        How old its last word on a location's stock may be before promises there count as stale; None: never.
    latency
        How long it may take to follow what happens: until then a difference is posting delay within limits. Of an
        authority: how long what it says may take to reach us.
    counted_by_hand
        Whether its numbers are what somebody counted, rather than what a system keeps.
    tolerance, class_tolerances
        How far its numbers may be off before that is drift, in general and for items of some classes; None: as the
        location says.
    rollout
        Where it is only observed, or in shadow; None: nobody said, and it is live.
    """

    id: SourceId
    connector: str
    meaning: Mapping[str, str] = field(default_factory=dict)
    locations: Mapping[str, LocationId] = field(default_factory=dict)
    maps_codes: bool = False
    channel: ChannelId | None = None
    future_skew: timedelta = timedelta(minutes=5)
    options: Mapping[str, object] = field(default_factory=dict)
    clock_skew: timedelta = timedelta(0)
    coarsest_count: timedelta = timedelta(0)
    freshness: timedelta | None = None
    latency: timedelta = timedelta(0)
    tolerance: Tolerance | None = None
    class_tolerances: Mapping[str, Tolerance] = field(default_factory=dict)
    counted_by_hand: bool = False
    rollout: Rollout | None = None

    def mode_at(self, sku: Sku, location: LocationId) -> Mode:
        """Return how far it may act at a stock key."""
        return (self.rollout or ALL_LIVE).mode_at(sku, location)


MANUAL = Source(SourceId("manual"), "manual")
"""What people enter by hand, with who and why. It is always there, and believed everywhere; nobody declares it."""


class Grain(StrEnum):
    """How finely a location's stock is kept apart."""

    LOCATION = "location"
    BIN = "bin"
    LOT = "lot"
    BIN_LOT = "bin_lot"

    def of(self, leaf: Leaf) -> Leaf:
        """Return the leaf that counts here: what the location does not tell apart is left out."""
        if self is Grain.LOCATION:
            return WHOLE
        return Leaf(
            WHOLE.bin if self is Grain.LOT else leaf.bin,
            WHOLE.lot if self is Grain.BIN else leaf.lot,
        )


@dataclass(frozen=True, slots=True)
class Route:
    """A way by which a location is replenished from another.

    Attributes
    ----------
    cost, capacity
        What one transfer costs, and the units that it takes; None: nobody said, and any number.
    priority
        Which way is tried first; the lowest number is.
    """

    origin: LocationId
    lead_time: timedelta
    cost: Money | None = None
    capacity: Quantity | None = None
    priority: int = 100


@dataclass(frozen=True, slots=True)
class Replenishment:
    """What stock a location should have: for so many days, at least so many units, and from where it comes."""

    cover_days: int = 14
    minimum: Mapping[Sku, Quantity] = field(default_factory=dict)
    routes: tuple[Route, ...] = ()


@dataclass(frozen=True, slots=True)
class Location:
    """A place that holds stock, who is believed there, and how finely it is told.

    Attributes
    ----------
    approve_beyond
        Variance from which a count waits for an approver; None: never.
    undecided_within
        Spread of a count's possible outcomes up to which it applies without anyone deciding.
    tolerance
        How far any source's number may be off here before that is drift; None: half a per cent.
    posting_delay
        How long the movement authority may take to say what somebody else says was shipped.
    replenish
        What stock it should have, and from where; None: nobody said.
    """

    id: LocationId
    counts: SourceId | None = None
    movements: SourceId | None = None
    grain: Grain = Grain.LOCATION
    approve_beyond: Tolerance | None = None
    undecided_within: Tolerance = EXACT
    posting_delay: timedelta = timedelta(hours=24)
    tolerance: Tolerance | None = None
    replenish: Replenishment | None = None


@dataclass(frozen=True, slots=True)
class Channel:
    """A connected system that we tell what it may sell.

    Attributes
    ----------
    connector
        The module in ``shared/channels`` that speaks to it.
    locations
        Our locations to the channel's own location ids; only these are sold there.
    demand_location
        Where its orders that name no location reserve stock, unless ``sourcing`` is declared.
    sourcing
        The locations that serve its orders that name none, in order of priority.
    priority
        Whose open orders are covered first when there is not enough for all; the lowest number is first.
    stale_percent
        The share of a promise that is withheld while what is known of a location is stale; 100 promises nothing.
    sells_down
        Whether the channel lowers its own number when it sells; then its sales are not pushed back to it.
    safety_stock, buffer_percent, cap
        Units withheld from every listing, a share of the rest withheld too (0 to 100), and the most that is shown.
    lateness
        How long after a request was given up it may still take effect over there.
    patience
        How long a push waits for a channel that is down before it becomes a dead letter.
    calls_per_minute
        The rate that all workers together keep to.
    times_taken_off
        How often each location was taken off it, or it was itself, before it was declared there again: nobody declares
        that. What it showed before is not known any more.
    rollout
        Where it is only observed, or in shadow; None: nobody said, and it is live.
    """

    id: ChannelId
    connector: str
    locations: Mapping[LocationId, str] = field(default_factory=dict)
    demand_location: LocationId | None = None
    sells_down: bool = False
    safety_stock: Quantity = 0
    lateness: timedelta = timedelta(seconds=30)
    patience: timedelta = timedelta(minutes=15)
    calls_per_minute: int = 120
    options: Mapping[str, object] = field(default_factory=dict)
    buffer_percent: int = 0
    cap: Quantity | None = None
    sourcing: tuple[LocationId, ...] = ()
    priority: int = 100
    stale_percent: int = 0
    times_taken_off: Mapping[LocationId, int] = field(default_factory=dict, compare=False)
    rollout: Rollout | None = None

    @property
    def served_from(self) -> tuple[LocationId, ...]:
        """The locations that may serve an order that names none, the first one first."""
        if self.sourcing:
            return self.sourcing
        return tuple(self.locations) if self.demand_location is None else (self.demand_location,)


@dataclass(frozen=True, slots=True)
class Listing:
    """An item that a channel sells, under the channel's own id (an inventory item, a seller SKU ...).

    ``unit`` is the pack that it sells there; empty for the item's base unit.
    """

    channel: ChannelId
    sku: Sku
    external_id: str
    unit: str = ""

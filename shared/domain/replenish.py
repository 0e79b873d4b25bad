"""Which units should go from one location of ours to another, and why: a proposal, never an act.

Of each SKU at a location that is to be replenished, and of each location that it may be replenished from::

    expected   available + incoming + in transit + requested     what it has, and what is on its way or asked for
    least      max(minimum, what sells within the lead time)     below that it is short
    target     max(minimum, what sells within the lead time and the days to cover)
    shortage   target - expected, where expected < least
    keeps      max(minimum, what sells within the days to cover)  at the giver
    excess     available - keeps                                  at the giver

What is proposed of a SKU is the least of its shortage, the giver's excess, and what is left of the way's capacity. The
SKU that runs out first is served first; of the ways, the one with the lowest ``priority`` first, then the cheapest,
then the fastest. Ways whose costs are in different currencies are not compared by cost. Every number is in the proposal.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal

from shared.domain.money import Money
from shared.domain.network import Replenishment, Route
from shared.domain.stock import LocationId, Quantity, Sku, StockKey

LONGEST_PROPOSAL = 33
"""Lines of one proposal, which is one transfer."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast units of a stock key leave for customers: so many within so much time."""

    units: Quantity
    span: timedelta

    def within(self, time: timedelta) -> Quantity:
        """Return how many leave within some time, rounded up."""
        return -(-(self.units * time) // self.span)

    def lasts(self, units: Quantity) -> timedelta | None:
        """Return how long some units last; None where none leave."""
        return None if self.units <= 0 else max(0, units) * self.span / self.units


@dataclass(frozen=True, slots=True)
class Position:
    """A stock key: what is available, what is coming to it, what open transfers ask for it, and how fast it sells."""

    available: Quantity
    pace: Pace
    incoming: Quantity = 0
    in_transit: Quantity = 0
    requested: Quantity = 0

    @property
    def expected(self) -> Quantity:
        """Units that are there or will be, as far as anybody has said."""
        return self.available + self.incoming + self.in_transit + self.requested


@dataclass(frozen=True, slots=True)
class Shortage:
    """Why a stock key is short, given how long it takes to bring units there."""

    position: Position
    minimum: Quantity
    least: Quantity
    target: Quantity

    @property
    def units(self) -> Quantity:
        """Units that are missing."""
        is_short = self.position.expected < self.least
        return max(0, self.target - self.position.expected) if is_short else 0


@dataclass(frozen=True, slots=True)
class Excess:
    """What a location can do without."""

    position: Position
    minimum: Quantity
    keeps: Quantity
    cover_days: int

    @property
    def units(self) -> Quantity:
        """Units that it can give."""
        return max(0, self.position.available - self.keeps)


@dataclass(frozen=True, slots=True)
class ProposedLine:
    """Units of one SKU that should go, and which of ``shortage``, ``excess`` and ``capacity`` it ends at."""

    sku: Sku
    quantity: Quantity
    shortage: Shortage
    excess: Excess
    limited_by: str


@dataclass(frozen=True, slots=True)
class Proposal:
    """One transfer that makes sense.

    Attributes
    ----------
    worth
        What its units are worth, in the currency of the way's cost; None where not every price is known in it.
    """

    route: Route
    destination: LocationId
    lines: tuple[ProposedLine, ...]
    worth: Money | None

    @property
    def is_worth_its_cost(self) -> bool | None:
        """Whether its units are worth at least what the way costs; None where nobody can say."""
        if self.route.cost is None or self.worth is None:
            return None
        return self.worth.amount >= self.route.cost.amount


@dataclass(frozen=True, slots=True)
class Given:
    """What one way brings of a SKU, maybe nothing, and what it ends at: ``shortage``, ``excess``, ``capacity``, ``lines``."""

    route: Route
    excess: Excess
    units: Quantity
    limited_by: str


@dataclass(frozen=True, slots=True)
class Unmet:
    """A shortage, or a part of one, that nothing can be proposed for, and what each way brings of it."""

    sku: Sku
    units: Quantity
    shortage: Shortage
    given: tuple[Given, ...]


@dataclass(slots=True)
class _Way:
    route: Route
    left: Quantity | None
    lines: list[ProposedLine] = field(default_factory=list)


def shortage_of(sku: Sku, position: Position, rule: Replenishment, lead_time: timedelta) -> Shortage:
    """Work out what is missing of a SKU where bringing it takes ``lead_time``."""
    minimum = rule.minimum.get(sku, 0)
    least = max(minimum, position.pace.within(lead_time))
    target = max(minimum, position.pace.within(lead_time + timedelta(days=rule.cover_days)))
    return Shortage(position, minimum, least, target)


def excess_of(sku: Sku, position: Position, rule: Replenishment) -> Excess:
    """Work out what a location can give of a SKU."""
    minimum = rule.minimum.get(sku, 0)
    keeps = max(minimum, position.pace.within(timedelta(days=rule.cover_days)))
    return Excess(position, minimum, keeps, rule.cover_days)


def propose(
    destination: LocationId,
    rule: Replenishment,
    needs: Mapping[Sku, Position],
    givers: Mapping[StockKey, Position],
    kept: Mapping[LocationId, Replenishment],
    prices: Mapping[Sku, Money],
) -> tuple[list[Proposal], list[Unmet]]:
    """Propose what should go to a location, and say which shortages nothing can be proposed for.

    ``kept`` says by which rule each giver keeps stock; one that declares none keeps what it sells in as
    many days as the destination covers.
    """
    ways = [_Way(route, route.capacity) for route in sorted(rule.routes, key=_rank)]
    unmet, usual = list[Unmet](), Replenishment(rule.cover_days)
    for sku in sorted(needs, key=lambda one: (_lasts(needs[one]), one)):
        given, taken, most = list[Given](), 0, None
        for way in ways:
            shortage = shortage_of(sku, needs[sku], rule, way.route.lead_time)
            if most is None or shortage.units > most.units:
                most = shortage
            giver = givers.get(StockKey(sku, way.route.origin))
            if shortage.units and giver is not None:
                excess = excess_of(sku, giver, kept.get(way.route.origin, usual))
                given.append(_take(way, sku, shortage, excess, taken))
                taken += given[-1].units
        if most is not None and most.units > taken:
            unmet.append(Unmet(sku, most.units - taken, most, tuple(given)))
    proposals = [
        Proposal(way.route, destination, tuple(way.lines), _worth(way, prices)) for way in ways if way.lines
    ]
    return proposals, unmet


def _take(way: _Way, sku: Sku, shortage: Shortage, excess: Excess, taken: Quantity) -> Given:
    limits = {"shortage": shortage.units - taken, "excess": excess.units}
    if way.left is not None:
        limits["capacity"] = way.left
    if len(way.lines) == LONGEST_PROPOSAL:
        limits["lines"] = 0
    units, limited_by = min((units, name) for name, units in limits.items())
    if units > 0:
        way.lines.append(ProposedLine(sku, units, shortage, excess, limited_by))
        way.left = None if way.left is None else way.left - units
    return Given(way.route, excess, max(0, units), limited_by)


def _rank(route: Route) -> tuple[int, str, Decimal, timedelta, str]:
    cost = route.cost
    return (
        route.priority,
        "" if cost is None else cost.currency,
        Decimal(0) if cost is None else cost.amount,
        route.lead_time,
        route.origin,
    )


def _lasts(position: Position) -> timedelta:
    lasts = position.pace.lasts(position.available)
    return timedelta.max if lasts is None else lasts


def _worth(way: _Way, prices: Mapping[Sku, Money]) -> Money | None:
    known = [prices.get(line.sku) for line in way.lines]
    currency = next((price.currency for price in known if price is not None), "")
    if way.route.cost is not None:
        currency = way.route.cost.currency
    return _sum(zip(known, (line.quantity for line in way.lines), strict=True), currency)


def _sum(priced: Iterable[tuple[Money | None, Quantity]], currency: str) -> Money | None:
    total = Decimal(0)
    for price, units in priced:
        if price is None or price.currency != currency:
            return None
        total += price.amount * units
    return Money(total, currency)

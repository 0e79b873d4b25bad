"""What a case is worth: the revenue that stands at risk while it is open, and which cases have one cause.

    exposure = price of a unit  x  units at risk  x  hours open

Where no price is known, units and age rank a case, and where no number of units is at stake, its age alone does; each
case says by which of the three it was ranked. What is known better comes first: a price behind units that are owed
says more than an age.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from operator import attrgetter

from shared.domain.cases import Case, CaseKind, Fact
from shared.domain.money import Money
from shared.domain.stock import Quantity, Sku

_HOUR = timedelta(hours=1)
_CENT = Decimal("0.01")


class RankedBy(StrEnum):
    """What a case was ranked by, the best known first."""

    VALUE = "price x units x hours open"
    UNITS = "units x hours open"
    AGE = "hours open"


@dataclass(frozen=True, slots=True)
class Exposure:
    """What stands at risk in one case.

    Attributes
    ----------
    units
        Units at risk; None where the case is about no number of units.
    value
        What they would sell for; None where their price is not known.
    weight
        What ranks it among those that are ranked alike: money-hours, unit-hours, or hours.
    """

    ranked_by: RankedBy
    units: Quantity | None
    value: Money | None
    weight: Decimal


def exposure(case: Case, price: Money | None, now: datetime) -> Exposure:
    """Say what stands at risk in a case."""
    hours = _hours(now - case.opened_at)
    units = units_at_risk(case)
    if units is None:
        return Exposure(RankedBy.AGE, None, None, hours)
    if price is None:
        return Exposure(RankedBy.UNITS, units, None, units * hours)
    value = price.times(units)
    return Exposure(RankedBy.VALUE, units, value, (value.amount * hours).quantize(_CENT))


def units_at_risk(case: Case) -> Quantity | None:
    """Return how many units a case is about; None where it is about no number of units."""
    measure = _UNITS.get(case.kind)
    return None if measure is None else measure(case.facts)


def sku_of(case: Case) -> Sku | None:
    """Return the item that a case is about, if it is about one."""
    sku = case.facts.get("sku")
    return Sku(sku) if isinstance(sku, str) else None


def _hours(time: timedelta) -> Decimal:
    seconds = Decimal(max(time, timedelta(0)) // timedelta(seconds=1))
    return (seconds / 3600).quantize(_CENT)


def _size(name: str) -> Callable[[Mapping[str, Fact]], Quantity | None]:
    def measure(facts: Mapping[str, Fact]) -> Quantity | None:
        return _apart(facts.get(name), 0)

    return measure


def _between(one: str, other: str) -> Callable[[Mapping[str, Fact]], Quantity | None]:
    return lambda facts: _apart(facts.get(one), facts.get(other))


def _apart(one: Fact, other: Fact) -> Quantity | None:
    if isinstance(one, int) and isinstance(other, int):
        return abs(one - other)
    return None


_UNITS: Mapping[CaseKind, Callable[[Mapping[str, Fact]], Quantity | None]] = {
    CaseKind.DRIFT: _size("drift"),
    CaseKind.OVERSOLD: _size("exposure"),
    CaseKind.POSTING_DELAY: _size("units"),
    CaseKind.TRANSFER_OVERDUE: _size("units"),
    CaseKind.TRANSFER_OVER_RECEIVED: _size("units"),
    CaseKind.TRANSFER_MISNAMED: _size("units"),
    CaseKind.ADJUSTMENT_APPROVAL: _size("quantity"),
    CaseKind.CHANNEL_EDITED: _size("units"),
    CaseKind.CORRECTION_LOOP: _size("units"),
    CaseKind.UNBINNED_STOCK: _size("units"),
    CaseKind.UNDO_APPROVAL: _size("units"),
    CaseKind.ADJUSTMENT_APPROVAL: _size("quantity"),
    CaseKind.COUNT_APPROVAL: _between("quantity", "known"),
    CaseKind.COUNT_SUSPENDED: _between("lowest", "highest"),
    CaseKind.COUNT_DISPUTED: _between("one_says", "other_says"),
}


# ---- cases of one cause -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ranked:
    """A case with what stands at risk in it."""

    case: Case
    exposure: Exposure


@dataclass(frozen=True, slots=True)
class Group:
    """Open cases that probably have one cause, the weightiest first.

    Attributes
    ----------
    about
        What they have in common, in words.
    ranked_by, weight
        How they are ranked together: by the best of their measures, which are added up.
    values
        What stands at risk in all of them, by currency.
    """

    about: tuple[str, ...]
    members: tuple[Ranked, ...]
    ranked_by: RankedBy
    weight: Decimal
    units: Quantity
    values: tuple[Money, ...]


def cause_of(case: Case) -> tuple[str, ...]:
    """Return what a case shares with others of the same cause: one mapping fault, one channel down, one bad feed."""
    said = [
        str(case.facts[name])
        for name in ("source", "channel", "queue", "cause")
        if case.facts.get(name) is not None
    ]
    if case.kind is CaseKind.UNKNOWN_CODE:
        said.append(str(case.facts.get("kind")))
    if not said:  # nothing that another could share: it stands for itself
        said.append(str(case.facts.get("location") or case.id))
    return (str(case.kind), *said)


def grouped(ranked: Iterable[Ranked]) -> list[Group]:
    """Put cases of one cause together, the weightiest group first."""
    found: dict[tuple[str, ...], list[Ranked]] = {}
    for one in ranked:
        found.setdefault(cause_of(one.case), []).append(one)
    groups = [_group(about, members) for about, members in found.items()]
    return sorted(groups, key=lambda group: (_PLACE[group.ranked_by], -group.weight, group.about))


def _group(about: tuple[str, ...], members: list[Ranked]) -> Group:
    ordered = sorted(members, key=lambda one: (*in_order(one.exposure), one.case.opened_at, one.case.id))
    best = ordered[0].exposure.ranked_by
    values: dict[str, Decimal] = {}
    for one in ordered:
        if one.exposure.value is not None:
            currency = one.exposure.value.currency
            values[currency] = values.get(currency, Decimal(0)) + one.exposure.value.amount
    return Group(
        about,
        tuple(ordered),
        best,
        sum((one.exposure.weight for one in ordered if one.exposure.ranked_by is best), Decimal(0)),
        sum(one.exposure.units or 0 for one in ordered),
        tuple(sorted((Money(amount, name) for name, amount in values.items()), key=attrgetter("currency"))),
    )


def in_order(of: Exposure) -> tuple[int, Decimal]:
    """Return what sorts cases, the weightiest first."""
    return _PLACE[of.ranked_by], -of.weight


_PLACE = {measure: place for place, measure in enumerate(RankedBy)}

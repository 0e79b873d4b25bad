"""Measuring: the quantities of a report, in the sender's unit, as whole base units of the item it is about.

What cannot be converted exactly is not rounded and not dropped: it waits, as a case that names the field, for the
item's units to be declared or corrected, and is then posted by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from fractions import Fraction

from shared.domain.events import Count, Event, Movement
from shared.domain.items import Item, Reference
from shared.domain.network import Source
from shared.domain.stock import Sku
from shared.domain.units import Measure, NotWholeError, UnknownUnitError, decimal_text, to_base
from shared.sources.contract import Report


@dataclass(frozen=True, slots=True)
class Unmeasured:
    """A report whose quantity the item's units cannot say; ``field``, ``reason`` and ``remedy`` are for an operator.

    ``unit`` is in the sender's word, ``our_unit`` what it stands for; ``item_version`` is the item that was looked at.
    """

    sku: Sku
    unit: str
    our_unit: str
    item_version: int
    field: str
    reason: str
    remedy: str
    row: int | None = None


def in_base_units(report: Report, reference: Reference, item: Item, source: Source) -> Event | Unmeasured:
    """Convert what a report says into base units of the item, by the units that it had when the event happened.

    The unit is the one that the report names, else the one that the code is printed on, else what the source is
    declared to send, else the base unit. A count in several units is the sum of them, or waits until all are known.
    """
    if report.further:
        return _added(report, reference, item, source)
    measure = report.measure or Measure()
    named = measure.unit or reference.unit or str(source.options.get("unit") or "")
    if not named and not measure.places:
        return report.event
    names = source.options.get("units")
    ours = str(names.get(named, named)) if isinstance(names, Mapping) and named != reference.unit else named
    units = item.at(happened_at(report.event)).units
    try:
        factor = units.factor(ours)
        return _scaled(report.event, lambda quantity: to_base(quantity, factor, measure.places))
    except UnknownUnitError:
        listed = ", ".join(units.names) or "none declared"
        says = repr(named) if ours == named else f"{named!r}, for us {ours!r}"
        return Unmeasured(
            item.sku, named, ours, item.version, "unit",
            f"{source.id} counts {item.sku} in {says}, which is no unit of the item (its units: {listed})",
            f"declare {ours!r} as base unit or pack of {item.sku}, or say in the source's option `units` what "
            f"{named!r} stands for; what waits for it is then posted by itself",
            report.row,
        )  # fmt: skip
    except NotWholeError as error:
        base = units.base or "base units"
        sent = _sent(report.event, measure.places)
        return Unmeasured(
            item.sku, named, ours, item.version, "quantity",
            f"{sent} {named or base} of {item.sku} are {decimal_text(error.converted)} {base}, and "
            f"{decimal_text(error.remainder)} of one cannot be counted",
            "have the sender correct the quantity; or correct the pack's factor, and it is then posted by itself",
            report.row,
        )  # fmt: skip


def _added(report: Report, reference: Reference, item: Item, source: Source) -> Event | Unmeasured:
    event, total = report.event, 0
    if not isinstance(event, Count):
        raise TypeError(f"{event.key} is no count, and cannot be in several units")
    for quantity, measure in ((event.quantity, report.measure), *report.further):
        part = replace(report, event=replace(event, quantity=quantity), measure=measure, further=())
        found = in_base_units(part, reference, item, source)
        if isinstance(found, Unmeasured):
            return found
        total += found.quantity if isinstance(found, Count) else 0
    return replace(event, quantity=total)


def _scaled(event: Event, convert: Callable[[int], int]) -> Event:
    if isinstance(event, Movement):
        return replace(event, legs=tuple(replace(leg, quantity=convert(leg.quantity)) for leg in event.legs))
    return replace(event, quantity=convert(event.quantity))


def _sent(event: Event, places: int) -> str:
    """Write the quantity of an event as its sender wrote it."""
    quantity = abs(event.legs[0].quantity) if isinstance(event, Movement) else event.quantity
    return decimal_text(Fraction(quantity, 10**places))


def happened_at(event: Event) -> datetime:
    """Return the instant that an event speaks of."""
    return event.as_of if isinstance(event, Count) else event.occurred_at

"""Sourcing: which location serves each line of an order that names none.

By declared priority, and as few parcels as that allows:

1. the first location that can serve the whole order serves it all;
2. else each line comes whole from the first location that can serve it;
3. else it is split: each location in turn gives what it can, and what nobody has is asked of the first.

The same stock and the same order give the same answer, and every choice is said in words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shared.domain.stock import LocationId, Quantity, Sku, StockKey


@dataclass(frozen=True, slots=True)
class Sourced:
    """The units of each SKU that each location serves, and why."""

    shares: Mapping[Sku, tuple[tuple[LocationId, Quantity], ...]]
    explanation: tuple[str, ...]


def choose_sources(
    wanted: Mapping[Sku, Quantity],
    promised: Mapping[StockKey, Quantity],
    priority: Sequence[LocationId],
) -> Sourced:
    """Choose where ``wanted`` comes from; ``promised`` is what may be claimed, and ``priority`` is not empty."""

    def left(sku: Sku, place: LocationId) -> Quantity:
        return max(0, promised.get(StockKey(sku, place), 0))

    for place in priority:
        if all(left(sku, place) >= units for sku, units in wanted.items()):
            passed = _passed_over(priority, place)
            said = f"{place} is the first location that can serve the whole order{passed}"
            return Sourced({sku: ((place, units),) for sku, units in wanted.items()}, (said,))
    shares: dict[Sku, tuple[tuple[LocationId, Quantity], ...]] = {}
    said_of: list[str] = ["no location can serve the whole order"]
    for sku, units in wanted.items():
        whole = next((place for place in priority if left(sku, place) >= units), None)
        if whole is not None:
            shares[sku] = ((whole, units),)
            said_of.append(f"{sku}: {whole} is the first location that has {units}")
            continue
        shares[sku], missing = _split(sku, units, promised, priority)
        parts = " + ".join(f"{given} from {place}" for place, given in shares[sku])
        lack = f"; {missing} of them nobody has" if missing else ""
        said_of.append(f"{sku}: no location has {units}, so {parts}{lack}")
    return Sourced(shares, tuple(said_of))


def _split(
    sku: Sku, units: Quantity, promised: Mapping[StockKey, Quantity], priority: Sequence[LocationId]
) -> tuple[tuple[tuple[LocationId, Quantity], ...], Quantity]:
    given: dict[LocationId, Quantity] = {}
    missing = units
    for place in priority:
        part = min(missing, max(0, promised.get(StockKey(sku, place), 0)))
        if part:
            given[place] = part
            missing -= part
    if missing:
        given = {
            priority[0]: given.get(priority[0], 0) + missing,
            **{p: g for p, g in given.items() if p != priority[0]},
        }
    return tuple(given.items()), missing


def _passed_over(priority: Sequence[LocationId], place: LocationId) -> str:
    before = priority[: priority.index(place)]
    return f" ({', '.join(before)} cannot)" if before else ""

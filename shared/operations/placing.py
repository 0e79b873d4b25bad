"""Placing a reservation: which stock keys its lines take units of, once kits are components and locations are found.

A kit is placed first and whole: its components lie together, at one location or, where no location has enough, so
many kits at each. What its components take is off what the other lines may choose from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from shared.domain.availability import promise
from shared.domain.items import Component
from shared.domain.kits import units_for
from shared.domain.network import Channel
from shared.domain.sourcing import choose_sources
from shared.domain.stock import LocationId, Quantity, Sku, StockKey
from shared.operations.promises import Promises
from shared.operations.reservations import Shortfall

Kits = Mapping[Sku, tuple[Component, ...]]


def whole_shortfalls(
    promises: Promises,
    channel: Channel,
    asked: tuple[Mapping[StockKey, Quantity], Mapping[Sku, Quantity]],
    found: Sequence[Shortfall],
) -> list[Shortfall]:
    """Say of lines that named no location what was asked for in all and may be had in all, not what one share lacked."""
    fixed, floating = asked
    uncapped, whole = replace(channel, cap=None), dict[Sku, Shortfall]()
    for sku in {short.sku for short in found} & floating.keys():
        named = {at.location: units for at, units in fixed.items() if at.sku == sku}
        places = dict.fromkeys([*channel.served_from, *named])
        if len(places) > 1:
            standings = promises.standings(StockKey(sku, place) for place in places)
            left = sum(promise(one, uncapped).available_to_promise for one in standings.values())
            asked_in_all = floating[sku] + sum(named.values())
            if left < asked_in_all:  # else it came, or was given back, just now
                whole[sku] = Shortfall(sku, None, asked_in_all, left)
    return list(dict.fromkeys(whole.get(short.sku, short) for short in found))


class Placing:
    """Finds the stock keys of one reservation."""

    def __init__(self, promises: Promises, channel: Channel) -> None:
        self._promises = promises
        self._channel = channel
        self._units: dict[StockKey, Quantity] = {}
        self._said: list[str] = []

    def place(
        self, fixed: Mapping[StockKey, Quantity], floating: Mapping[Sku, Quantity]
    ) -> tuple[dict[StockKey, Quantity], tuple[str, ...]]:
        """Return the units that each stock key gives, and in words why; ``floating`` lines name no location."""
        kits = self._promises.remembered_kits({*(at.sku for at in fixed), *floating})
        for at, units in fixed.items():
            self._take(at.sku, units, at.location, kits)
        if floating:
            self._source(floating, kits)
        return self._units, tuple(self._said)

    def _source(self, floating: Mapping[Sku, Quantity], kits: Kits) -> None:
        places = self._channel.served_from
        plain = {sku: units for sku, units in floating.items() if sku not in kits}
        wanted = {*plain, *(c.sku for sku in floating for c in kits.get(sku, ()))}
        uncapped = replace(self._channel, cap=None)
        promised = {
            at: promise(standing, uncapped).available_to_promise
            for at, standing in self._promises.standings(
                StockKey(sku, place) for sku in wanted for place in places
            ).items()
        }

        def left(sku: Sku, place: LocationId) -> Quantity:
            at = StockKey(sku, place)
            return promised[at] - self._units.get(at, 0)

        for sku in floating.keys() - plain.keys():
            whole = {
                StockKey(sku, place): min(left(c.sku, place) // c.quantity for c in kits[sku])
                for place in places
            }
            self._choose({sku: floating[sku]}, whole, kits)
        if plain:
            self._choose(
                plain, {StockKey(sku, place): left(sku, place) for sku in plain for place in places}, kits
            )

    def _choose(self, wanted: Mapping[Sku, Quantity], left: Mapping[StockKey, Quantity], kits: Kits) -> None:
        sourced = choose_sources(wanted, left, self._channel.served_from)
        self._said += sourced.explanation
        for sku, shares in sourced.shares.items():
            for place, units in shares:
                self._take(sku, units, place, kits)

    def _take(self, sku: Sku, units: Quantity, place: LocationId, kits: Kits) -> None:
        """Add a line to what is taken; lines of one stock key are summed, or two of 3 would each pass against 4."""
        parts = {sku: units}
        if sku in kits:
            parts = units_for(units, kits[sku])
            listed = " + ".join(f"{number} {part}" for part, number in sorted(parts.items()))
            self._said.append(f"{units} {sku} from {place} are {listed}")
        for part, number in parts.items():
            at = StockKey(part, place)
            self._units[at] = self._units.get(at, 0) + number

"""Sourcing of orders that come to us: where the lines of an order lie that names no location.

A reservation through our API is sourced and claimed in one transaction (``reserve.py``). An order that a channel has
already taken is a fact: it is posted whatever there is, and this only decides where it is owed. The decision is made
once, when the line is first heard of, from what stands just then, and stays with the line (its ``shares``); a version
of the order that names a location overrules it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from shared.domain.availability import promise
from shared.domain.network import Channel
from shared.domain.reservation import OrderLine, source
from shared.domain.sourcing import choose_sources
from shared.domain.stock import ChannelId, LocationId, Quantity, Sku, StockKey
from shared.store.orders import Orders

LineName = tuple[str, str]


def source_lines(
    orders: Orders,
    before: Mapping[LineName, OrderLine],
    lines: dict[LineName, OrderLine],
    channels: Mapping[ChannelId, Channel],
) -> None:
    """Give every line that was not heard of before, and that names no location, the places that serve it."""
    new = {
        name: line
        for name, line in lines.items()
        if not before[name].versions and _is_to_be_sourced(line, channels)
    }
    if not new:
        return
    served_from = {channels[line.channel].served_from for line in new.values() if line.channel is not None}
    keys = {
        StockKey(line.stock_key.sku, place)
        for line in new.values()
        for places in served_from
        for place in places
    }
    standings = orders.standings(keys)
    taken: dict[StockKey, Quantity] = {}
    for order in dict.fromkeys(name[0] for name in new):
        of_order = {name: line for name, line in new.items() if name[0] == order}
        channel = channels[next(line.channel for line in of_order.values() if line.channel is not None)]
        uncapped = replace(channel, cap=None)
        wanted: dict[Sku, Quantity] = {}
        for line in of_order.values():
            wanted[line.stock_key.sku] = wanted.get(line.stock_key.sku, 0) + line.open
        left = {
            key: promise(standing, uncapped).available_to_promise - taken.get(key, 0)
            for key, standing in standings.items()
        }
        shares = {
            sku: list(given)
            for sku, given in choose_sources(wanted, left, channel.served_from).shares.items()
        }
        for name, line in of_order.items():
            lines[name] = source(line, _take(shares[line.stock_key.sku], line.open))
            for place, units in lines[name].shares:
                key = StockKey(line.stock_key.sku, place)
                taken[key] = taken.get(key, 0) + units


def _is_to_be_sourced(line: OrderLine, channels: Mapping[ChannelId, Channel]) -> bool:
    channel = None if line.channel is None else channels.get(line.channel)
    if channel is None or len(channel.sourcing) < 2 or line.kit or line.part_of:
        return False
    names_none = not any(said.location for said in line.versions.values())
    return bool(line.versions) and names_none and line.open > 0


def _take(shares: list[tuple[LocationId, Quantity]], units: Quantity) -> list[tuple[LocationId, Quantity]]:
    """Take units off the front of what was chosen for a SKU: two lines of it in one order share its places."""
    found: list[tuple[LocationId, Quantity]] = []
    while units and shares:
        place, given = shares.pop(0)
        part = min(units, given)
        found.append((place, part))
        units -= part
        if given > part:
            shares.insert(0, (place, given - part))
    return found

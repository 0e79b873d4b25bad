"""Backorders: which open order lines the stock of a location covers, and which must wait for more.

Open lines hold units that may not be there: a shop sold too much, or a count found less. What is there covers them by
priority: the channel with the lowest declared number first, within a channel whoever ordered first. Stock that
arrives later covers the next in line, with nothing to be undone: it is a reading of the lines, not a state of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from shared.domain.network import Channel
from shared.domain.reservation import OrderLine
from shared.domain.stock import ChannelId, LocationId, Quantity


@dataclass(frozen=True, slots=True)
class Cover:
    """An open order line at a location: the units that stock covers, and those that it waits for."""

    line: OrderLine
    covered: Quantity
    missing: Quantity


def cover_backorders(
    lines: Iterable[OrderLine],
    location: LocationId,
    available: Quantity,
    channels: Mapping[ChannelId, Channel],
) -> list[Cover]:
    """Share the stock of one SKU at a location out among its open lines, the first in line first.

    ``available`` is what is left once every line has what it holds: negative where there is not enough.
    """
    held = [(line, units) for line in lines if (units := line.holds.get(location, 0))]
    left = max(0, available + sum(units for _, units in held))
    covers = []
    for line, units in sorted(held, key=lambda entry: _rank(entry[0], channels)):
        covered = min(units, left)
        left -= covered
        covers.append(Cover(line, covered, units - covered))
    return covers


def _rank(line: OrderLine, channels: Mapping[ChannelId, Channel]) -> tuple[int, str, str, str]:
    channel = None if line.channel is None else channels.get(line.channel)
    ordered_at = line.ordered_at
    return (
        1001 if channel is None else channel.priority,
        "" if ordered_at is None else ordered_at.isoformat(),
        line.order,
        line.line,
    )

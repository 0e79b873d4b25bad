"""Available to promise: what one channel may sell of one stock key, and why it is not more.

The number is ``available`` less what the channel's rules withhold, and never below zero. Every subtraction is
named, and the explanation adds up to the number.
"""

from __future__ import annotations

from dataclasses import dataclass

from shared.domain.network import Channel
from shared.domain.stock import Quantity


@dataclass(frozen=True, slots=True)
class Promise:
    """What a channel may sell, with the steps that lead there as (what, signed quantity)."""

    available_to_promise: Quantity
    explanation: tuple[tuple[str, Quantity], ...]


def withheld(channel: Channel) -> Quantity:
    """Units of a stock key that this channel must leave alone."""
    return channel.safety_stock


def promise(available: Quantity, channel: Channel) -> Promise:
    """Work out what ``channel`` may sell of a stock key with ``available`` units."""
    steps: list[tuple[str, Quantity]] = [("available", available)]
    if withheld(channel):
        steps.append(("safety_stock", -withheld(channel)))
    left = sum(quantity for _, quantity in steps)
    if left < 0:
        steps.append(("never_below_zero", -left))
    return Promise(max(0, left), tuple(steps))

"""Available to promise: what one channel may sell of one stock key, and why it is not more.

The channel's rules stack in this order, each taking from what the one before left: ``safety_stock`` (units),
``buffer_percent`` (of what is left, rounded up: a promise is rounded down), ``cap`` (the most it is ever shown), and
never below zero. Every step is named, and the explanation adds up to the number.
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


def promise(available: Quantity, channel: Channel) -> Promise:
    """Work out what ``channel`` may sell of a stock key with ``available`` units."""
    steps: list[tuple[str, Quantity]] = [("available", available)]
    left = available

    def take(what: str, units: Quantity) -> None:
        nonlocal left
        if units:
            steps.append((what, -units))
            left -= units

    take("safety_stock", channel.safety_stock)
    take("buffer_percent", -(-max(0, left) * channel.buffer_percent // 100))
    if channel.cap is not None:
        take("cap", max(0, left - channel.cap))
    take("never_below_zero", min(0, left))
    return Promise(left, tuple(steps))


def needed_for(quantity: Quantity, channel: Channel) -> Quantity | None:
    """Return how much must be available for ``channel`` to claim ``quantity`` units; None if no stock is enough.

    The cap limits what a channel is shown, not what it may claim of it.
    """
    open_percent = 100 - channel.buffer_percent
    if open_percent == 0:
        return None
    return channel.safety_stock - (-quantity * 100 // open_percent)

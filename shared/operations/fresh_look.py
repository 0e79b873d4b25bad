"""Queueing a fresh look: what a channel shows is compared with what it may sell, and pushed where they differ."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from itertools import islice

from shared.domain.stock import ChannelId, Sku
from shared.operations.fan_out import Hint, Lane, Lanes

CHUNK = 500


def queue_fresh_look(
    lanes: Lanes,
    channel: ChannelId,
    skus: Iterable[Sku],
    *,
    delay_s: int = 0,
    progress: Callable[[int], None] = lambda _: None,
) -> int:
    """Queue a hint for each SKU on the channel's bulk lane; return how many.

    Parameters
    ----------
    delay_s
        How long the hints are held back.
    """
    now, queued, waiting = datetime.now(UTC), 0, iter(skus)
    while chunk := list(islice(waiting, CHUNK)):
        lanes.send(Lane.BULK, [Hint(channel, sku, now) for sku in chunk], delay_s)
        queued += len(chunk)
        progress(queued)
    return queued

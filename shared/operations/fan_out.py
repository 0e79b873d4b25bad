"""Fanning out: which listings does a changed stock key affect, and how urgently?

A hint says only "look at this SKU on this channel"; it carries no number, so it may be doubled, delayed or
overtaken without harm. Out of stock, and back in stock, take the urgent lane. A stock key stays marked dirty until
its hints are safely queued, so a stream record that is lost costs a minute, not an oversell.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Protocol, cast

from shared.domain.availability import Standing, promise
from shared.domain.events import instant
from shared.domain.kits import components_at
from shared.domain.network import Listing
from shared.domain.stock import ChannelId, Quantity, Sku, StockKey
from shared.store.bulk import write_each
from shared.store.layout import SHARDS
from shared.store.ledger_items import stock_key_of
from shared.store.promises import allotted, fanned_out, standings
from shared.store.registry import Registry
from shared.store.table import Item, Table, Update


class Lane(StrEnum):
    """Which of a channel's two queues a hint takes."""

    URGENT = "urgent"
    BULK = "bulk"


@dataclass(frozen=True, slots=True)
class Hint:
    """Look at what ``channel`` shows of ``sku``, at all its locations.

    ``since`` is when the first hint of this kind was sent that has not been answered yet.
    """

    channel: ChannelId
    sku: Sku
    since: datetime


class Lanes(Protocol):
    """The queues of hints."""

    def send(self, lane: Lane, hints: Sequence[Hint], delay_s: int = 0) -> None:
        """Queue hints, each on its channel's queue; when this returns they are safe.

        Raises
        ------
        OSError
            When a queue does not take them.
        """
        ...


@dataclass(frozen=True, slots=True)
class Change:
    """A counter of a stock key whose available quantity changed; ``before`` is None when it was unknown.

    ``counter`` is 0 where the stock key has but one: what is available in an allotment is not all there is.
    """

    key: StockKey
    before: Quantity | None
    after: Quantity
    change_seq: int
    counter: int = 0
    allotted: Quantity = 0

    @property
    def is_part(self) -> bool:
        """Whether more may be available than in this counter."""
        return self.counter > 0 or self.allotted > 0


class FanOut:
    """Turns changes of stock into hints for channels."""

    def __init__(self, table: Table, registry: Registry, lanes: Lanes) -> None:
        self._table = table
        self._registry = registry
        self._lanes = lanes

    def changed(self, changes: Iterable[Change], at: datetime) -> int:
        """Queue the hints of some changes and clear the marks of those that have not changed again since.

        Raises
        ------
        OSError
            When a channel's hints could not be queued: the other channels have theirs, and the marks of what it sells
            stay for the sweep.
        """
        latest = self._latest(changes)
        lanes: dict[tuple[ChannelId, Sku], Lane] = {}
        sold_on: dict[StockKey, set[ChannelId]] = {}
        changed = {change.key.sku for change in latest}
        kits = self._kits_with(changed, at)
        skus = changed | {kit for of in kits.values() for kit in of}
        listings = self._registry.listings_of(skus)
        for change in latest:
            for listing, lane in self._affected(change, kits.get(change.key.sku, {}), listings):
                sold_on.setdefault(change.key, set()).add(listing[0])
                if lanes.get(listing) is not Lane.URGENT:
                    lanes[listing] = lane
        failed = self._send(lanes, at)
        told = [change for change in latest if not sold_on.get(change.key, set()) & failed.keys()]
        write_each(self._table, [_clear(change, at) for change in told])
        if failed:
            raise OSError(f"no hints could be queued for {', '.join(failed)}: {next(iter(failed.values()))}")
        return len(lanes)

    def _latest(self, changes: Iterable[Change]) -> list[Change]:
        """Return the last change of each counter, from what was before the first; of a part, as changes of the whole."""
        latest: dict[tuple[StockKey, int], Change] = {}
        for change in changes:
            known = latest.get((change.key, change.counter))
            first = change.before if known is None else known.before
            if known is None or change.change_seq >= known.change_seq:
                latest[change.key, change.counter] = replace(change, before=first)
        parts = [change.key for change in latest.values() if change.is_part]
        whole = standings(self._table, parts) if parts else {}
        return [_of_whole(change, whole) if change.is_part else change for change in latest.values()]

    def _send(self, lanes: Mapping[tuple[ChannelId, Sku], Lane], at: datetime) -> dict[ChannelId, OSError]:
        """Queue hints channel by channel; return the channels whose queue did not take them."""
        failed: dict[ChannelId, OSError] = {}
        for channel in dict.fromkeys(channel for channel, _ in lanes):
            for lane in Lane:
                hints = [Hint(*to, at) for to, chosen in lanes.items() if chosen is lane and to[0] == channel]
                try:
                    if hints:
                        self._lanes.send(lane, hints)
                except OSError as error:
                    failed[channel] = error
        return failed

    def dirty_since(self, before: datetime, limit: int = 100) -> Iterator[Change]:
        """Yield stock keys that have been marked since before an instant: nobody announced them, or was heard."""
        for number in range(SHARDS):
            keys = list(
                self._table.query_index("dirty", f"dirty#{number}", last=instant(before), limit=limit)
            )
            for item in self._table.get_many(keys).values():
                yield change_of(item, None)

    def _kits_with(self, skus: Iterable[Sku], at: datetime) -> dict[Sku, dict[Sku, Quantity]]:
        """Return the kits that each SKU lies in now, with the units of it that one takes."""
        kits = self._registry.items.kits_with(skus)
        items = self._registry.items.find({kit for of in kits.values() for kit in of}) if kits else {}
        found: dict[Sku, dict[Sku, Quantity]] = {}
        for sku, of in kits.items():
            for kit in of:
                per_kit = {c.sku: c.quantity for c in components_at(items[kit], at)}
                if sku in per_kit:
                    found.setdefault(sku, {})[kit] = per_kit[sku]
        return found

    def _affected(
        self, change: Change, kits: Mapping[Sku, Quantity], listings: Mapping[Sku, Sequence[Listing]]
    ) -> Iterator[tuple[tuple[ChannelId, Sku], Lane]]:
        """Yield the listings of the item and of the kits that it lies in, and how urgent each is."""
        channels = self._registry.network().channels
        for sku, per_kit in {change.key.sku: 1, **kits}.items():
            for listing in listings.get(sku, ()):
                channel = channels[listing.channel]
                if change.key.location not in channel.locations:
                    continue
                after = promise(change.after, channel).available_to_promise // per_kit
                before = None
                if change.before is not None:
                    before = promise(change.before, channel).available_to_promise // per_kit
                crosses_zero = before is None or (after == 0) != (before == 0)
                yield (channel.id, sku), Lane.URGENT if crosses_zero else Lane.BULK


def _clear(change: Change, at: datetime) -> Update:
    return fanned_out(change.key, change.counter, change.after, change.change_seq, at)


def _of_whole(change: Change, whole: Mapping[StockKey, Standing]) -> Change:
    total = whole[change.key].available
    before = None if change.before is None else total - (change.after - change.before)
    return replace(change, before=before, after=total)


def change_of(new: Item, old: Item | None) -> Change:
    """Read the images of a promise counter."""
    return Change(
        stock_key_of(new),
        None if old is None else cast(int, old["available"]),
        cast(int, new["available"]),
        cast(int, new["change_seq"]),
        int(cast(str, new["sk"])),
        allotted(new),
    )

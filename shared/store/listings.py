"""What each channel shows of each stock key, the slot that lets one push at a time through, and the pace."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import cast

from shared.domain.events import instant, parse_instant
from shared.domain.listing import Inflight, ListingState
from shared.domain.stock import ChannelId, Quantity, StockKey
from shared.store.layout import listing_state_key, pace_key
from shared.store.table import (
    AnyOf,
    AttributeAbsent,
    Equals,
    Item,
    Table,
    Update,
    Value,
    WriteRefusedError,
)


class SlotTakenError(Exception):
    """Another worker has the listing's slot, or had it when we meant to write."""


class Listings:
    """Reads and conditional writes of listing states."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def states(self, channel: ChannelId, keys: Iterable[StockKey]) -> dict[StockKey, ListingState]:
        """Return the state of each listing; one that was never pushed comes empty."""
        wanted = {listing_state_key(channel, key): key for key in keys}
        found = self._table.get_many(list(wanted))
        return {key: _state(found[at]) if at in found else ListingState() for at, key in wanted.items()}

    def take(
        self, channel: ChannelId, key: StockKey, state: ListingState, deadline: datetime
    ) -> ListingState:
        """Take the slot for the next generation, and return the state as of then.

        Raises
        ------
        SlotTakenError
        """
        generation = state.generation + 1
        same = (
            Equals("generation", state.generation)
            if state.generation
            else AnyOf((AttributeAbsent("generation"), Equals("generation", 0)))
        )
        self._write(
            Update(
                listing_state_key(channel, key),
                set={
                    "generation": generation,
                    "inflight": generation,
                    "deadline": instant(deadline),
                    "sku": key.sku,
                    "channel": channel,
                },
                defaults={"sold": 0},
                conditions=(AttributeAbsent("inflight"), same),
            )
        )
        return self.states(channel, [key])[key]

    def settle(self, channel: ChannelId, key: StockKey, generation: int, state: ListingState) -> None:
        """Store what became of a generation and free its slot.

        Raises
        ------
        SlotTakenError
            When the slot is no longer this generation's; nothing was written.
        """
        self._write(
            Update(
                listing_state_key(channel, key),
                set={
                    "shown": state.shown,
                    "shown_at_sold": state.shown_at_sold,
                    "shown_at": None if state.shown_at is None else instant(state.shown_at),
                    "ahead": state.ahead,
                    "ahead_since": None if state.ahead_since is None else instant(state.ahead_since),
                },
                remove=("inflight", "deadline"),
                conditions=(Equals("inflight", generation),),
            )
        )

    def _write(self, update: Update) -> None:
        try:
            self._table.write([update])
        except WriteRefusedError as refused:
            raise SlotTakenError(str(update.key)) from refused


class Paces:
    """One clock for each channel that all workers share: when the next call may start."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def reserve(
        self, channel: ChannelId, now: datetime, interval: timedelta, patience: timedelta
    ) -> datetime | None:
        """Return when this call may start, or None when that would be later than ``patience`` from now."""
        for _ in range(20):
            item = self._table.get(pace_key(channel))
            stored = None if item is None else cast("str | None", item.get("next_at"))
            start = now if stored is None else max(now, parse_instant(stored))
            if start - now > patience:
                return None
            condition = AttributeAbsent("next_at") if stored is None else Equals("next_at", stored)
            following: dict[str, Value] = {"next_at": instant(start + interval)}
            try:
                self._table.write([Update(pace_key(channel), set=following, conditions=(condition,))])
            except WriteRefusedError:
                continue
            return start
        return None

    def pause(self, channel: ChannelId, until: datetime) -> None:
        """Let nobody call the channel before an instant."""
        item = self._table.get(pace_key(channel))
        stored = None if item is None else cast("str | None", item.get("next_at"))
        if stored is None or parse_instant(stored) < until:
            self._table.write([Update(pace_key(channel), set={"next_at": instant(until)})])


def sold_action(channel: ChannelId, key: StockKey, quantity: Quantity) -> Update:
    """Count units that the channel's own orders took from its listing, within the posting of that demand."""
    return Update(listing_state_key(channel, key), add={"sold": quantity})


def _state(item: Item) -> ListingState:
    inflight = cast("int | None", item.get("inflight"))
    return ListingState(
        generation=cast(int, item.get("generation", 0)),
        inflight=None if inflight is None else Inflight(inflight, parse_instant(cast(str, item["deadline"]))),
        shown=cast("int | None", item.get("shown")),
        shown_at_sold=cast(int, item.get("shown_at_sold", 0)),
        shown_at=_instant_or_none(item, "shown_at"),
        sold=cast(int, item.get("sold", 0)),
        ahead=cast(int, item.get("ahead", 0)),
        ahead_since=_instant_or_none(item, "ahead_since"),
    )


def _instant_or_none(item: Item, name: str) -> datetime | None:
    value = cast("str | None", item.get(name))
    return None if value is None else parse_instant(value)

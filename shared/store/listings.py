"""What each channel shows of each stock key, the slot that lets one push at a time through, and the pace."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import cast

from shared.domain.events import instant, parse_instant
from shared.domain.listing import Inflight, ListingState, Push, taken
from shared.domain.stock import ChannelId, Quantity, StockKey
from shared.store.bulk import write_each
from shared.store.layout import listing_state_key, pace_key
from shared.store.table import (
    AttributeAbsent,
    Equals,
    Item,
    Table,
    Update,
    Value,
    WriteRefusedError,
)

_REASON = 300
"""Characters kept of why a channel takes nothing."""


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
        self,
        channel: ChannelId,
        wanted: Mapping[StockKey, tuple[ListingState, Quantity | None]],
        deadline: datetime,
        at: datetime,
    ) -> dict[StockKey, ListingState]:
        """Take the slots of some listings, each to send a number; return those that were free, as taken."""
        states = {key: taken(state, quantity, deadline, at) for key, (state, quantity) in wanted.items()}
        done = self._write({key: _take(channel, key, state) for key, state in states.items()})
        return {key: states[key] for key in done}

    def settle(self, channel: ChannelId, outcomes: Mapping[StockKey, ListingState]) -> set[StockKey]:
        """Store what became of generations in flight and free their slots; return those that were still ours."""
        return self._write({key: _settle(channel, key, state) for key, state in outcomes.items()})

    def give_up(self, channel: ChannelId, states: Mapping[StockKey, ListingState], at: datetime) -> None:
        """Nothing more will be sent for these generations: from now on only the channel itself can be late."""
        self._write(
            {
                key: Update(
                    listing_state_key(channel, key),
                    set={"deadline": instant(at)},
                    conditions=(Equals("inflight", state.generation),),
                )
                for key, state in states.items()
            }
        )

    def trouble(self, channel: ChannelId, key: StockKey) -> None:
        """Remember that a case is open for a listing, whatever is stored of it at the same time."""
        self._table.write([Update(listing_state_key(channel, key), add={"troubles": 1})])

    def _write(self, updates: Mapping[StockKey, Update]) -> set[StockKey]:
        done = write_each(self._table, list(updates.values()))
        return {key for key, update in updates.items() if update.key in done}


@dataclass(frozen=True, slots=True)
class Silence:
    """A channel that has taken nothing since an instant, and why as far as is known."""

    since: datetime
    reason: str


class Paces:
    """One clock for each channel that all workers share: when the next call may start; and since when it fails us.

    And from when on what we know of its numbers counts, where somebody asked for all of them to be looked at.
    """

    def __init__(self, table: Table) -> None:
        self._table = table
        self._known_silent: dict[ChannelId, str | None] = {}

    def reserve(
        self, channel: ChannelId, now: datetime, interval: timedelta, patience: timedelta
    ) -> datetime | None:
        """Return when this call may start, or None when that would be later than ``patience`` from now."""
        for _ in range(20):
            item = self._table.get(pace_key(channel))
            stored = None if item is None else cast("str | None", item.get("next_at"))
            self._known_silent[channel] = (
                None if item is None else cast("str | None", item.get("silent_because"))
            )
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

    def look_anew(self, channel: ChannelId, at: datetime) -> None:
        """Trust nothing that was known before an instant of what a channel shows."""
        self._table.write([Update(pace_key(channel), set={"look_from": instant(at)})])

    def look_from(self, channel: ChannelId) -> datetime | None:
        """Return since when what is known of what a channel shows may be trusted; None where it always may."""
        item = self._table.get(pace_key(channel))
        return None if item is None else _instant_or_none(item, "look_from")

    def pause(self, channel: ChannelId, until: datetime) -> None:
        """Let nobody call the channel before an instant."""
        item = self._table.get(pace_key(channel))
        stored = None if item is None else cast("str | None", item.get("next_at"))
        if stored is None or parse_instant(stored) < until:
            self._table.write([Update(pace_key(channel), set={"next_at": instant(until)})])

    def failed(self, channel: ChannelId, reason: str, at: datetime) -> None:
        """Say that a channel took nothing that it was sent, and why now; since when it has been so is kept."""
        because = reason[:_REASON]
        if self._known_silent.get(channel) != because:
            silent: dict[str, Value] = {"silent_since": instant(at)}
            update = Update(pace_key(channel), set={"silent_because": because}, defaults=silent)
            self._table.write([update])
            self._known_silent[channel] = because

    def answered(self, channel: ChannelId) -> None:
        """Say that a channel answers."""
        if self._known_silent.get(channel) is not None:
            self._table.write([Update(pace_key(channel), remove=("silent_since", "silent_because"))])
            self._known_silent[channel] = None

    def silences(self, channels: Iterable[ChannelId]) -> dict[ChannelId, Silence]:
        """Return those of some channels that took nothing of what they were last sent."""
        keys = {pace_key(channel): channel for channel in channels}
        return {
            keys[key]: Silence(
                parse_instant(cast(str, item["silent_since"])), cast(str, item["silent_because"])
            )
            for key, item in self._table.get_many(list(keys)).items()
            if "silent_since" in item
        }


def sold_action(channel: ChannelId, key: StockKey, quantity: Quantity) -> Update:
    """Count units that the channel's own orders took from its listing, within the posting of that demand."""
    return Update(listing_state_key(channel, key), add={"sold": quantity, "sales": 1})


def _take(channel: ChannelId, key: StockKey, state: ListingState) -> Update:
    """Write a state as taken, on condition that it was free and of the generation before."""
    before, inflight = state.generation - 1, cast(Inflight, state.inflight)
    same = Equals("generation", before) if before else AttributeAbsent("generation")
    return Update(
        listing_state_key(channel, key),
        set={
            "generation": state.generation,
            "inflight": state.generation,
            "deadline": instant(inflight.deadline),
            "sending": inflight.quantity,
            "sending_at_sold": inflight.at_sold,
            "taken_at": None if inflight.taken_at is None else instant(inflight.taken_at),
            "sku": key.sku,
            "location": key.location,
            "channel": channel,
            "external_id": state.external_id,
            "live": state.live,
        },
        conditions=(AttributeAbsent("inflight"), same),
    )


def _settle(channel: ChannelId, key: StockKey, state: ListingState) -> Update:
    return Update(
        listing_state_key(channel, key),
        set={
            "shown": state.shown,
            "shown_at_sold": state.shown_at_sold,
            "shown_at_sales": state.shown_at_sales,
            "shown_at": None if state.shown_at is None else instant(state.shown_at),
            "ahead": state.ahead,
            "ahead_since": None if state.ahead_since is None else instant(state.ahead_since),
            "mended": state.mended,
            "doubted_at": None if state.doubted_at is None else instant(state.doubted_at),
            "pushes": [_push_value(push) for push in state.pushes],
        },
        remove=("inflight", "deadline", "sending", "sending_at_sold", "taken_at"),
        conditions=(Equals("inflight", state.generation),),
    )


def _state(item: Item) -> ListingState:
    inflight = cast("int | None", item.get("inflight"))
    return ListingState(
        generation=cast(int, item.get("generation", 0)),
        inflight=None if inflight is None else _inflight(inflight, item),
        shown=cast("int | None", item.get("shown")),
        shown_at_sold=cast(int, item.get("shown_at_sold", 0)),
        shown_at=_instant_or_none(item, "shown_at"),
        sold=cast(int, item.get("sold", 0)),
        sales=cast(int, item.get("sales", 0)),
        shown_at_sales=cast(int, item.get("shown_at_sales", 0)),
        ahead=cast(int, item.get("ahead", 0)),
        ahead_since=_instant_or_none(item, "ahead_since"),
        troubles=cast(int, item.get("troubles", 0)),
        mended=cast(int, item.get("mended", 0)),
        doubted_at=_instant_or_none(item, "doubted_at"),
        external_id=cast("str | None", item.get("external_id")),
        live=cast(int, item.get("live", 0)),
        pushes=tuple(_push(row) for row in cast("list[list[Value]]", item.get("pushes", []))),
    )


def _push_value(push: Push) -> Value:
    taken_at = None if push.taken_at is None else instant(push.taken_at)
    return [push.generation, push.quantity, taken_at, instant(push.confirmed_at)]


def _push(row: Sequence[Value]) -> Push:
    generation, quantity, taken_at, confirmed_at = cast("tuple[int, int, str | None, str]", row)
    began = None if taken_at is None else parse_instant(taken_at)
    return Push(generation, quantity, began, parse_instant(confirmed_at))


def _inflight(generation: int, item: Item) -> Inflight:
    return Inflight(
        generation,
        parse_instant(cast(str, item["deadline"])),
        cast("int | None", item.get("sending")),
        cast(int, item.get("sending_at_sold", 0)),
        _instant_or_none(item, "taken_at"),
    )


def _instant_or_none(item: Item, name: str) -> datetime | None:
    value = cast("str | None", item.get(name))
    return None if value is None else parse_instant(value)

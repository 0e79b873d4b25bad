"""Which channel sells which item under which id, in the ``registry`` table; one id of a channel is one item's.

=============================  =========  =================================================================
``LISTING#sku``                channel    the id that the item has there, and the pack that is sold
``LISTED#channel#external_id`` ``-``      whose id it is: two items under one would show their numbers in turn
=============================  =========  =================================================================

A listing, the claim of its id and the release of the id that it had before are one transaction, so two writers at
once never share an id. An id that another item gives up in the same call is free for the one that wants it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

from shared.domain.network import Listing
from shared.domain.stock import ChannelId, Sku
from shared.store.layout import listed_key, listing_key, shard
from shared.store.table import (
    MAX_ACTIONS,
    Absent,
    Action,
    AnyOf,
    Delete,
    Equals,
    Put,
    Table,
    WriteRefusedError,
)

LISTINGS_AT_ONCE = MAX_ACTIONS // 3
"""Listings that are written together: the listing, its id claimed, its old id released."""

ATTEMPTS = 5
"""Times that a write is tried while others change the same listings."""


class ChannelItem(NamedTuple):
    """An id within one channel."""

    channel: ChannelId
    external_id: str


class ListingTakenError(Exception):
    """Ids of a channel belong to other items; the other listings of the call are written.

    Attributes
    ----------
    holders
        Each listing that was not written, and whose its id is.
    """

    def __init__(self, holders: dict[Listing, Sku]) -> None:
        said = (f"{x.channel} sells {holder!r} as {x.external_id!r}" for x, holder in holders.items())
        super().__init__("; ".join(said))
        self.holders = holders


class ListingChangedError(Exception):
    """A listing was changed by somebody else meanwhile; read again."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """Writes in the order in which they are possible, and the listings that are not, with who holds their id."""

    rounds: tuple[tuple[tuple[Action, ...], ...], ...]
    taken: dict[Listing, Sku]


class ChannelIds:
    """Listings by item, and the ids that they claim."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def taken(self, wanted: Iterable[Listing]) -> dict[Listing, Sku]:
        """Return the listings whose id is another item's, and whose; writes nothing."""
        return self._plan(_by_item(wanted)).taken

    def write(self, wanted: Iterable[Listing]) -> None:
        """Write listings, each with the claim of its id.

        Raises
        ------
        ListingTakenError
            When ids are other items'; every other listing is written.
        ListingChangedError
            When others keep changing the same listings; those written by then stay.
        """
        listings = _by_item(wanted)
        for _ in range(ATTEMPTS):
            plan = self._plan(listings)
            try:
                for ready in plan.rounds:
                    self._write(ready)
            except WriteRefusedError:
                continue
            if plan.taken:
                raise ListingTakenError(plan.taken)
            return
        raise ListingChangedError(", ".join(listing.sku for listing in listings))

    def _write(self, ready: Sequence[Sequence[Action]]) -> None:
        for start in range(0, len(ready), LISTINGS_AT_ONCE):
            self._table.write([a for actions in ready[start : start + LISTINGS_AT_ONCE] for a in actions])

    def _plan(self, wanted: Sequence[Listing]) -> _Plan:
        """Order the writes: whoever gives an id up comes a round before the one who takes it."""
        before = self._listings(wanted)
        holders = self._holders({*map(_id, wanted), *before.values()})
        rounds: list[tuple[tuple[Action, ...], ...]] = []
        waiting = list(wanted)
        while waiting:
            ready, freed, left = list[tuple[Action, ...]](), list[ChannelItem](), list[Listing]()
            for one in waiting:
                if holders.setdefault(_id(one), one.sku) != one.sku:
                    left.append(one)
                    continue
                old = before.get((one.sku, one.channel))
                gives_up = old is not None and old != _id(one) and holders.get(old) == one.sku
                ready.append(_actions(one, old, gives_up=gives_up))
                freed += [old] if gives_up and old is not None else []
            for name in freed:
                del holders[name]
            if not ready:
                break
            rounds.append(tuple(ready))
            waiting = left
        return _Plan(tuple(rounds), {one: holders[_id(one)] for one in waiting})

    def _listings(self, wanted: Sequence[Listing]) -> dict[tuple[Sku, ChannelId], ChannelItem]:
        keys = {listing_key(one.sku, one.channel): (one.sku, one.channel) for one in wanted}
        found = self._table.get_many(list(keys))
        return {
            keys[key]: ChannelItem(keys[key][1], cast(str, item["external_id"]))
            for key, item in found.items()
        }

    def _holders(self, names: Iterable[ChannelItem]) -> dict[ChannelItem, Sku]:
        keys = {listed_key(*name): name for name in names}
        found = self._table.get_many(list(keys))
        return {keys[key]: Sku(cast(str, item["sku"])) for key, item in found.items()}


def channel_index(channel: ChannelId, number: int) -> str:
    """Name the partition of the index ``by_channel`` that holds one shard of a channel's items."""
    return f"{channel}#{number}"


def _by_item(wanted: Iterable[Listing]) -> list[Listing]:
    """Keep the last listing of each item on each channel."""
    return list({(one.sku, one.channel): one for one in wanted}.values())


def _id(listing: Listing) -> ChannelItem:
    return ChannelItem(listing.channel, listing.external_id)


def _actions(listing: Listing, old: ChannelItem | None, *, gives_up: bool) -> tuple[Action, ...]:
    ours = Equals("sku", listing.sku)
    attributes = {
        "external_id": listing.external_id,
        "unit": listing.unit,
        "by_channel_pk": channel_index(listing.channel, shard(listing.sku)),
        "by_channel_sk": listing.sku,
    }
    unchanged = Absent() if old is None else Equals("external_id", old.external_id)
    actions: tuple[Action, ...] = (
        Put(listing_key(listing.sku, listing.channel), attributes, (unchanged,)),
        Put(listed_key(*_id(listing)), {"sku": listing.sku}, (AnyOf((Absent(), ours)),)),
    )
    return (*actions, Delete(listed_key(*old), (ours,))) if gives_up and old is not None else actions

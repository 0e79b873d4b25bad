"""Taking systems out of the network: their door answers 404, nothing is published to them, what they said stays.

What a channel alone could sell is given back to all first, wherever it is kept, for afterwards nobody could claim it;
and once more afterwards, for a reservation may have been released meanwhile. Journal, messages and
cases name a source or channel by its id and are read as before. Listings stay too: a channel that is declared again
sells what it sold. What it showed is not believed then: anybody may have written there meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from shared.domain.stock import ChannelId, LocationId, Sku, StockKey
from shared.operations.set_aside import SetAside
from shared.operations.stock_view import StockView
from shared.store.promises import standings
from shared.store.registry import Network, Registry
from shared.store.table import Table

_AT_ONCE = 200


def withdraw(gone: Network, table: Table, registry: Registry, clock: Callable[[], datetime]) -> None:
    """Take sources, locations and channels out of the declared network; doing it again changes nothing.

    Raises
    ------
    SetAsideBusyError, TableError
        Part of it may be done; doing it again does the rest.
    """
    places = list(dict.fromkeys([*registry.network(fresh=True).locations, *gone.locations]))
    for channel in gone.channels:
        give_back(channel, places, table, registry, clock)
    registry.undeclare(gone)
    for channel in gone.channels:
        give_back(channel, places, table, registry, clock)


def give_back(
    channel: ChannelId,
    locations: Iterable[LocationId],
    table: Table,
    registry: Registry,
    clock: Callable[[], datetime],
) -> None:
    """Give what is set aside for a channel at some locations, where it sells no more, back to all.

    Raises
    ------
    SetAsideBusyError, TableError
        Part of it may be done; doing it again does the rest.
    """
    view, aside = StockView(table, registry, clock), SetAside(table, registry, clock)
    for location in locations:
        for key in _kept_for(channel, location, view, table):
            aside.keep(channel, key, 0)


def has_history(location: LocationId, view: StockView) -> bool:
    """Whether anything was ever posted at a location: then it stays declared, for its history is read through it."""
    return any(view.keys_at(location, None, 1))


def _kept_for(channel: ChannelId, location: LocationId, view: StockView, table: Table) -> Iterator[StockKey]:
    last: Sku | None = None
    while keys := list(view.keys_at(location, last, _AT_ONCE)):
        last = keys[-1].sku
        found = standings(table, keys)
        yield from (key for key in keys if channel in found[key].set_aside)

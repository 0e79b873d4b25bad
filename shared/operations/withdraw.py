"""Taking systems out of the network: their door answers 404, nothing is published to them, what they said stays.

What a channel alone could sell is given back to all first, for afterwards nobody could claim it. Journal, messages and
cases name a source or channel by its id and are read as before. Listings stay too: a channel that is declared again
sells what it sold. What it showed is not believed then: anybody may have written there meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime

from shared.domain.network import Channel
from shared.domain.stock import LocationId, Sku, StockKey
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
    view, aside = StockView(table, registry, clock), SetAside(table, registry, clock)
    for channel in gone.channels.values():
        for key in _kept_for(channel, view, table):
            aside.keep(channel.id, key, 0)
    registry.undeclare(gone)


def has_history(location: LocationId, view: StockView) -> bool:
    """Whether anything was ever posted at a location: then it stays declared, for its history is read through it."""
    return any(view.keys_at(location, None, 1))


def _kept_for(channel: Channel, view: StockView, table: Table) -> Iterator[StockKey]:
    for location in channel.locations:
        last: Sku | None = None
        while keys := list(view.keys_at(location, last, _AT_ONCE)):
            last = keys[-1].sku
            found = standings(table, keys)
            yield from (key for key in keys if found[key].set_aside.get(channel.id))

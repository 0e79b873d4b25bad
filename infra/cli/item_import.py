"""Importing items: make them known, list them, map their codes; then push what is new and release what waited.

Rows are written in chunks, so an import that is broken off can simply be run again. What stands in the registry
already as the file says is not written and not pushed again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice

from infra.cli.fresh_look import queue_fresh_look
from infra.cli.item_file import ItemRow
from shared.domain.network import Listing
from shared.domain.stock import ChannelId, Sku
from shared.operations.fan_out import Lanes
from shared.sources.contract import Fault
from shared.store.registry import Registry

CHUNK = 1000
"""Rows that are written together."""

FAULTS_KEPT = 1000
"""Bad rows that are told one by one; beyond it they are only counted."""

_OWNER = "items import"


@dataclass(slots=True)
class Imported:
    """What an import did. ``listings`` counts the new and changed ones, which are on their way to their channels."""

    items: int = 0
    listings: int = 0
    codes: int = 0
    bad_rows: int = 0
    faults: list[Fault] = field(default_factory=list)


class ItemImport:
    """Writes item rows to the registry."""

    def __init__(self, registry: Registry, lanes: Lanes) -> None:
        self._registry = registry
        self._lanes = lanes

    def run(
        self, rows: Iterable[ItemRow | Fault], progress: Callable[[int], None] = lambda _: None
    ) -> Imported:
        """Import every good row; bad ones are counted and kept as faults."""
        done = Imported()
        # Two tables' worth of round trips at a time: most of the time is spent waiting for answers.
        with ThreadPoolExecutor(3) as workers:
            for chunk in _chunks(rows):
                good = [row for row in chunk if isinstance(row, ItemRow)]
                bad = [row for row in chunk if isinstance(row, Fault)]
                done.bad_rows += len(bad)
                done.faults += bad[: FAULTS_KEPT - len(done.faults)]
                self._write(good, done, workers)
                progress(done.items)
        return done

    def _write(self, rows: Sequence[ItemRow], done: Imported, workers: ThreadPoolExecutor) -> None:
        codes = {code: row.sku for row in rows for code in row.codes}
        writes: list[Future[None] | Future[int]] = [
            workers.submit(self._registry.add_items, [row.sku for row in rows]),
            workers.submit(self._registry.map_codes, codes, _OWNER),
        ]
        fresh = self._fresh_listings(rows)
        writes.append(workers.submit(self._registry.add_listings, fresh))
        for write in writes:
            write.result()
        by_channel: defaultdict[ChannelId, list[Sku]] = defaultdict(list)
        for listing in fresh:
            by_channel[listing.channel].append(listing.sku)
        for channel, skus in by_channel.items():
            queue_fresh_look(self._lanes, channel, skus)
        done.items += len(rows)
        done.codes += len(codes)
        done.listings += len(fresh)

    def _fresh_listings(self, rows: Sequence[ItemRow]) -> list[Listing]:
        """Return the listings that the registry has not, or has with another id."""
        by_channel: defaultdict[ChannelId, dict[Sku, Listing]] = defaultdict(dict)
        for row in rows:
            for listing in row.listings:
                by_channel[listing.channel][listing.sku] = listing
        fresh: list[Listing] = []
        for channel, wanted in by_channel.items():
            known = self._registry.listings(channel, wanted)
            fresh += [listing for sku, listing in wanted.items() if known.get(sku) != listing]
        return fresh


def _chunks(rows: Iterable[ItemRow | Fault]) -> Iterator[list[ItemRow | Fault]]:
    iterator = iter(rows)
    while chunk := list(islice(iterator, CHUNK)):
        yield chunk

"""Importing items: make them known, list them, map their codes; then push what is new and release what waited.

Rows are written in chunks, so an import that is broken off can simply be run again. What stands in the registry
already as the file says is not written and not pushed again. Kits are written last, when their components are there.

A dry run does everything but write: the same file would then do just what it says.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import islice

from infra.cli.item_file import ItemRow
from shared.domain.item_changes import InvalidItemError
from shared.domain.items import Change
from shared.domain.network import Listing
from shared.domain.stock import ChannelId, Sku, SourceId
from shared.operations.fan_out import Lanes
from shared.operations.fresh_look import queue_fresh_look
from shared.operations.master_data import Judged, MasterData
from shared.sources.contract import Fault
from shared.store.channel_ids import ListingTakenError
from shared.store.ledger import Ledger
from shared.store.registry import Registry

CHUNK = 1000
"""Rows that are written together."""

FAULTS_KEPT = 1000
"""Bad rows that are told one by one; beyond it they are only counted."""

_ACTOR = "items import"


@dataclass(frozen=True, slots=True)
class MovedCode:
    """A source's code that stood for one item and is, or would be, another's from now on."""

    source: SourceId
    kind: str
    code: str
    before: Sku
    after: Sku

    def __str__(self) -> str:
        return f"{self.code}: {self.before} -> {self.after}"


@dataclass(slots=True)
class Imported:
    """What an import did, or would do. ``listings`` counts the new and changed ones, on their way to their channels.

    ``items`` are all good rows: ``new`` ones, ``changed`` ones, and those that are as the file says already.
    """

    items: int = 0
    new: int = 0
    changed: int = 0
    listings: int = 0
    codes: int = 0
    bad_rows: int = 0
    faults: list[Fault] = field(default_factory=list)
    moved_codes: list[MovedCode] = field(default_factory=list)


class ItemImport:
    """Writes item rows to the registry.

    Parameters
    ----------
    moves_codes
        Whether a code that stands for another item may be taken from it; else its row is refused.
    """

    def __init__(
        self,
        registry: Registry,
        lanes: Lanes,
        ledger: Ledger,
        owner: str,
        *,
        is_dry: bool = False,
        moves_codes: bool = False,
    ) -> None:
        self._registry = registry
        self._lanes = lanes
        self._owner = owner
        self._is_dry = is_dry
        self._moves_codes = moves_codes
        self._master = MasterData(registry, ledger, lanes, lambda: datetime.now(UTC))
        self._seen: set[Sku] = set()

    def run(
        self, rows: Iterable[ItemRow | Fault], progress: Callable[[int], None] = lambda _: None
    ) -> Imported:
        """Import every good row; bad ones are counted and kept as faults."""
        done, kits = Imported(), list[ItemRow]()
        # Two tables' worth of round trips at a time: most of the time is spent waiting for answers.
        with ThreadPoolExecutor(3) as workers:
            for chunk in _chunks(rows):
                good = [row for row in chunk if isinstance(row, ItemRow)]
                bad = [row for row in chunk if isinstance(row, Fault)]
                done.bad_rows += len(bad)
                done.faults += bad[: FAULTS_KEPT - len(done.faults)]
                kits += [row for row in good if row.said.components]
                self._write([row for row in good if not row.said.components], done, workers)
                progress(done.items)
            self._write(kits, done, workers)
        return done

    def _write(self, rows: Sequence[ItemRow], done: Imported, workers: ThreadPoolExecutor) -> None:
        moved = self._moved(rows)
        taken = self._taken(rows) | ({} if self._moves_codes else _moved_faults(moved))
        self._keep_faults(rows, taken, done)
        rows = [row for row in rows if row.sku not in taken]
        said = [row.said for row in rows]
        self._seen |= {row.sku for row in rows}
        if self._is_dry:
            judged = self._master.judge(said, _ACTOR, self._seen)
        else:
            judged = self._master.declare(said, _ACTOR)
        refused = {error.sku: error for error in judged.refused} | self._unsellable(rows, judged)
        self._keep_faults(rows, refused, done)
        rows = [row for row in rows if row.sku not in refused]
        codes = {code: reference for row in rows for code, reference in row.codes.items()}
        fresh = self._fresh_listings(rows)
        if not self._is_dry:
            change = Change(_ACTOR, datetime.now(UTC))
            mapping = workers.submit(self._registry.map_codes, codes, self._owner, change)
            listing = workers.submit(self._registry.add_listings, fresh)
            mapping.result()
            try:
                listing.result()
            except ListingTakenError as error:
                lost = _taken_faults(error.holders)
                self._keep_faults(rows, lost, done)
                fresh = [one for one in fresh if one not in error.holders]
                rows = [row for row in rows if row.sku not in lost]
            self._look_anew(fresh)
        done.items += len(rows)
        done.new += len(judged.new)
        done.changed += len({after.sku for _, after in judged.changes} - {item.sku for item in judged.new})
        done.codes += len(codes)
        written = {row.sku for row in rows}
        done.moved_codes += [one for one in moved if one.after in written]
        done.listings += len(fresh)

    def _keep_faults(
        self, rows: Sequence[ItemRow], refused: Mapping[Sku, InvalidItemError], done: Imported
    ) -> None:
        bad = [
            Fault("invalid_field", error.field, error.reason, error.remedy, row.number)
            for row in rows
            if (error := refused.get(row.sku)) is not None
        ]
        done.bad_rows += len(bad)
        done.faults += bad[: FAULTS_KEPT - len(done.faults)]

    def _taken(self, rows: Sequence[ItemRow]) -> dict[Sku, InvalidItemError]:
        """Return why items cannot be listed under the id that their row names."""
        return _taken_faults(
            self._registry.channel_ids.taken(listing for row in rows for listing in row.listings)
        )

    def _moved(self, rows: Sequence[ItemRow]) -> list[MovedCode]:
        """Return the codes of some rows that stand for another item now."""
        wanted = {code: row.sku for row in rows for code in row.codes}
        now = datetime.now(UTC)
        known = self._registry.known(wanted)
        stands_for = {code: known[code].at(now)[0].sku for code in wanted if code in known}
        return [
            MovedCode(code.source, code.kind, code.code, before, wanted[code])
            for code, before in stands_for.items()
            if before != wanted[code]
        ]

    def _unsellable(self, rows: Sequence[ItemRow], judged: Judged) -> dict[Sku, InvalidItemError]:
        """Return why items cannot be listed by the pack that their row names."""
        items = {
            item.sku: item for item in (*judged.new, *judged.same, *(pair[1] for pair in judged.changes))
        }
        found: dict[Sku, InvalidItemError] = {}
        for row in rows:
            for listing in row.listings if row.sku in items else ():
                units = items[row.sku].at(datetime.now(UTC)).units
                factors = {name: units.factor(name) for name in units.names}
                if listing.unit and (listing.unit not in factors or factors[listing.unit].denominator != 1):
                    found[row.sku] = InvalidItemError(
                        row.sku,
                        f"unit:{listing.channel}",
                        f"{listing.unit!r} is no unit of a whole number of base units of it",
                        f"declare it in a column pack:{listing.unit}; it has: {', '.join(factors) or 'none'}",
                    )
        return found

    def _look_anew(self, fresh: Sequence[Listing]) -> None:
        by_channel: defaultdict[ChannelId, list[Sku]] = defaultdict(list)
        for listing in fresh:
            by_channel[listing.channel].append(listing.sku)
        for channel, skus in by_channel.items():
            queue_fresh_look(self._lanes, channel, skus)

    def _fresh_listings(self, rows: Sequence[ItemRow]) -> list[Listing]:
        """Return the listings that the registry has not, or has with another id."""
        by_channel: defaultdict[ChannelId, dict[Sku, Listing]] = defaultdict(dict)
        for row in rows:
            for listing in row.listings:
                by_channel[listing.channel][listing.sku] = listing
        fresh: list[Listing] = []
        for channel, wanted in by_channel.items():
            known = self._registry.listings(channel, wanted)
            # A row that names no pack says nothing of it: taken for pieces, cases would be sold twelve times over.
            wanted = {
                sku: replace(listing, unit=listing.unit or known[sku].unit) if sku in known else listing
                for sku, listing in wanted.items()
            }
            fresh += [listing for sku, listing in wanted.items() if known.get(sku) != listing]
        return fresh


def _taken_faults(holders: Mapping[Listing, Sku]) -> dict[Sku, InvalidItemError]:
    return {
        listing.sku: InvalidItemError(
            listing.sku,
            f"channel:{listing.channel}",
            f"{listing.external_id!r} is the id of {holder!r} there",
            f"an id there shows one item's stock: correct this row, or give {holder!r} another id there first "
            "(a row of it above this one will do)",
        )
        for listing, holder in holders.items()
    }


def _moved_faults(moved: Sequence[MovedCode]) -> dict[Sku, InvalidItemError]:
    return {
        one.after: InvalidItemError(
            one.after,
            f"code:{one.source}:{one.kind}",
            f"{one} takes a code from another item",
            f"correct this row, or pass --move-codes where {one.code!r} is no longer {one.before!r}",
        )
        for one in moved
    }


def _chunks(rows: Iterable[ItemRow | Fault]) -> Iterator[list[ItemRow | Fault]]:
    iterator = iter(rows)
    while chunk := list(islice(iterator, CHUNK)):
        yield chunk

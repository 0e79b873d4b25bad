"""Units that lie on no bin while bins are counted: one case for each stock key, until the total is known again.

Leaves are counted by themselves (``infra/decisions/0010``), so a bin's first count may tell units again that a total, or a
receipt, had told of no bin. The ledger cannot know it; whoever runs the location can. Posting notes with the event by how
much a count changed a bin, and a note is told once: sent again, it opens no case that somebody has closed::

    the count is posted, with its note
    it is noted with the case            untold: who is cut short here files the case when it is done again
    the case is filed
    it is noted as told                  from here on a repetition files nothing

Looking costs two reads of the balance and a query of the stock key's leaves, only where a count changed one of them. A count
of the whole costs a look at whether there is a case. Whatever else ends the doubt, such as a count that was undone or goods
that were put away, is found by the sweep.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime

from shared.domain.cases import Case, CaseKind, CaseStatus, case_id
from shared.domain.events import Count
from shared.domain.ledger import Clock, Slot
from shared.domain.network import Grain
from shared.domain.stock import WHOLE, Counter, EventKey, LocationId, Quantity, Sku, StockKey
from shared.domain.unbinned import Unbinned, unbinned
from shared.operations.facts import Note, NoteKind, Outcome, Result
from shared.store.cases import CaseEvent, Cases
from shared.store.ledger import Ledger
from shared.store.registry import Registry
from shared.store.table import Table

EVERY_MINUTES = 5
"""How often it is looked for cases that are moot."""

LOOKS = 12
"""Times that the total and its bins are read, until nothing was posted in between."""

_WORD = {Grain.BIN: "bin", Grain.LOT: "lot"}


class UnbinnedWatch:
    """Files what counts of bins may have told twice, and closes it when the total is known again."""

    def __init__(self, table: Table, cases: Cases, registry: Registry, clock: Callable[[], datetime]) -> None:
        self._ledger = Ledger(table)
        self._cases = cases
        self._registry = registry
        self._clock = clock

    def posted(self, results: Iterable[Result]) -> None:
        """Look at what posting came to; doing so again changes nothing."""
        results = list(results)
        self.told(note for result in results for note in result.notes)
        places = self._registry.network().locations
        counted = {
            unbinned_case(StockKey(event.sku, event.location))
            for event in (result.fact.event for result in results if result.outcome is not Outcome.REFUSED)
            if isinstance(event, Count) and event.leaf == WHOLE and event.element == Counter.ON_HAND
            if event.location in places and places[event.location].grain is not Grain.LOCATION
        }
        for case in self._cases.find_many(sorted(self._cases.which_open(counted))) if counted else ():
            self._settle(case)

    def told(self, notes: Iterable[Note]) -> None:
        """Look at the stock keys of which counts changed a bin or lot, as was noted when they were posted."""
        changed: defaultdict[StockKey, dict[EventKey, Quantity]] = defaultdict(dict)
        for note in notes:
            if note.kind is NoteKind.PART_CORRECTED:
                changed[note.key][note.count] = int(note.facts["units"])
        for key, counts in changed.items():
            found = self._look(key)
            if found.is_open and found.on_no_bin:
                self._add(key, found, counts)

    def _add(self, key: StockKey, found: Unbinned, counts: Mapping[EventKey, Quantity]) -> None:
        """Add what counts changed to what others did since the case was opened, and bring it up to date."""
        name, now = unbinned_case(key), self._clock()
        told = self._cases.told_of(name, counts)
        events = [
            CaseEvent(event, units, now, is_told=False)
            for event, units in counts.items()
            if event not in told
        ]
        if not events:
            return
        self._cases.add_events(name, events)
        said: list[EventKey] = []
        for _ in range(
            LOOKS
        ):  # whoever adds at the same time may have filed, between our reading and our filing
            known = self._cases.find(name)
            is_open = known is not None and known.status is CaseStatus.OPEN
            since = known.opened_at if known is not None and is_open else now
            all_of_it = [one for one in self._cases.events(name) if not one.is_told or one.added_at >= since]
            summed = [one.event for one in all_of_it]
            if summed == said:
                break
            said = summed
            changed = sum(one.units for one in all_of_it)
            if found.in_doubt(changed):
                first = min(one.added_at for one in all_of_it)
                self._cases.file(self._case(key, found, changed, len(all_of_it), events[-1].event, first))
            elif known is not None and is_open:
                self._cases.close(name, "the counts of bins took it back", now, seen=known.occurrences)
                break
        self._cases.add_events(name, [replace(event, is_told=True) for event in events])

    def settle(self) -> int:
        """Every few minutes, close the cases of which nothing is left in doubt; return how many."""
        if self._clock().minute % EVERY_MINUTES:
            return 0
        return sum(map(self._settle, self._cases.open_of([CaseKind.UNBINNED_STOCK])))

    def _settle(self, case: Case) -> bool:
        """Close a case if the total is known again, or nothing lies on no bin any more."""
        found = self._look(StockKey(Sku(str(case.facts["sku"])), LocationId(str(case.facts["location"]))))
        if found.in_doubt(int(case.facts["changed"] or 0)):
            return False
        moot = (
            "nothing of it lies on no bin any more"
            if found.is_open
            else "no bin was counted since the total was"
        )
        return self._cases.close(case.id, moot, self._clock(), seen=case.occurrences)

    def _look(self, key: StockKey) -> Unbinned:
        """Say how units lie, from the total and its bins as of one moment: what is posted in between is in some only."""
        balance, parts = self._ledger.balances([key])[key], self._ledger.leaf_clocks(key)
        for _ in range(LOOKS):
            again = self._ledger.balances([key])[key]
            if again.seq == balance.seq:
                break
            balance, parts = again, self._ledger.leaf_clocks(key)
        on_hand = [clock for slot, clock in parts.items() if slot.counter is Counter.ON_HAND]
        return unbinned(balance.clocks.get(Slot(WHOLE, Counter.ON_HAND)) or Clock(), on_hand)

    def _case(
        self,
        key: StockKey,
        found: Unbinned,
        changed: Quantity,
        counts: int,
        last: EventKey,
        opened_at: datetime,
    ) -> Case:
        place = self._registry.network().locations.get(key.location)
        word = "bin or lot" if place is None else _WORD.get(place.grain, "bin or lot")
        units = found.in_doubt(changed)
        said = (
            f"lie on no {word} and may be counted twice"
            if changed > 0
            else f"were taken from no {word} and may be missing twice"
        )
        return Case(
            unbinned_case(key),
            CaseKind.UNBINNED_STOCK,
            f"{units} units of {key} {said}: {found.on_hand} in all, {found.in_bins} of them on a {word}, "
            f"{found.on_no_bin} on none",
            f"state the total of {key.location}, as of a time after its last {word} was counted: `onecount count {key.sku} "
            f"TOTAL --location {key.location} --reason R --key K`, or a count by its system that names no {word}; this case "
            f"then closes. And let every receipt, shipment and count name its {word}, or none, and declare `grain: location`",
            opened_at,
            self._clock(),
            {
                "sku": key.sku,
                "location": key.location,
                "units": units,
                "on_hand": found.on_hand,
                "in_bins": found.in_bins,
                "on_no_bin": found.on_no_bin,
                "changed": changed,
                "counts": counts,
                "last_count": last,
            },
        )


def unbinned_case(key: StockKey) -> str:
    """Name the case of a stock key of which units lie on no bin while bins are counted."""
    return case_id(CaseKind.UNBINNED_STOCK, key.sku, key.location)

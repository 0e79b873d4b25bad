"""What ``fold`` must be told of a stock key: said of a batch before anything but clocks and waiting counts has been read.

Reads cost money and time, so no more is asked for than a rule of ``fold`` may look at: the counts at or after the oldest
instant that is touched, balances as of instants before the newest line, and, where clocks leave something undecided,
every line near what is touched.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType

from shared.domain.count_decisions import (
    Retraction,
)
from shared.domain.events import Count, Event
from shared.domain.ledger import (
    NO_RULES,
    AsOfKey,
    Clock,
    CountDocument,
    CountMark,
    Needs,
    Rules,
    Slot,
    Waiting,
    count_document,
    count_slot,
    slots_of,
    time_said,
    waiting_document,
)
from shared.domain.stock import WHOLE, StockKey

_UNTOUCHED = Clock()


def needs(
    key: StockKey,
    clocks: Mapping[Slot, Clock],
    events: Iterable[Event | Retraction],
    documents: Mapping[CountDocument, CountMark] = MappingProxyType({}),
    waiting: Sequence[Waiting] = (),
    rules: Rules = NO_RULES,
) -> Needs:
    """Say what must be read beyond clocks, count documents and waiting counts before ``events`` can be folded.

    Of counts that may be ``judged_again``, what those need must be read too: ask again with them among ``waiting``.
    """
    since: dict[Slot, datetime] = {}
    instants: set[AsOfKey] = set()
    retracted: set[Slot] = set()
    stretches: dict[Slot, list[tuple[datetime, datetime]]] = {}
    events = list(events)
    retractions = [event for event in events if isinstance(event, Retraction)]
    told = [event for event in events if not isinstance(event, Retraction)]
    touched = [*slots_of(key, told), *((event.slot, event.mark.as_of) for event in retractions)]
    retracted.update(event.slot for event in retractions)

    def look(slot: Slot, at: datetime) -> None:
        for counted in _with_whole(slot):
            last_count = clocks.get(counted, _UNTOUCHED).last_count
            if last_count is not None and at <= last_count.as_of:
                since[counted] = min(at, since.get(counted, at))

    def balance_at(slot: Slot, at: datetime) -> None:
        last_valid = clocks.get(slot, _UNTOUCHED).last_valid_at
        if last_valid is not None and at < last_valid:
            instants.add((slot, at))

    def stretch(slot: Slot, start: datetime, end: datetime) -> None:
        for counted in _with_whole(slot):
            look(counted, start)
            retracted.add(counted)
            stretches.setdefault(counted, []).append((start, end))

    def older(document: CountDocument | None) -> None:
        if document is not None and document in documents:
            look(document.slot, documents[document].as_of)
            retracted.add(document.slot)

    for slot, at in touched:
        look(slot, at)
        if rules.widest:
            stretch(slot, at - 2 * rules.widest, at + 2 * rules.widest)
    for event in told:
        if isinstance(event, Count):
            balance_at(count_slot(event), event.as_of)
            if rules.widest:
                stretch(
                    count_slot(event), time_said(event)[0] - 2 * rules.widest, event.as_of + 2 * rules.widest
                )
            older(count_document(event))
    for retraction in retractions:
        older(retraction.document)
    counters = {slot.counter for slot, _ in touched}
    for count in (*waiting, *(spare for one in waiting for spare in one.spare)):
        if not touched or count.slot.counter in counters:
            look(count.slot, count.said[0])
            balance_at(count.slot, count.said[1])
            older(waiting_document(count))
            if rules.widest:
                stretch(count.slot, count.said[0] - 2 * rules.widest, count.said[1] + 2 * rules.widest)
    return Needs(
        since, frozenset(instants), frozenset(retracted), {slot: _merged(s) for slot, s in stretches.items()}
    )


def _with_whole(slot: Slot) -> Iterator[Slot]:
    yield slot
    if slot.leaf != WHOLE:
        yield Slot(WHOLE, slot.counter)


def _merged(stretches: list[tuple[datetime, datetime]]) -> list[tuple[datetime, datetime]]:
    merged: list[tuple[datetime, datetime]] = []
    for start, end in sorted(stretches):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged

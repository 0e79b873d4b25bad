"""The writes of one posting: an entry, and the balance, clocks, buckets and counts that follow from it.

All are under the condition that the journal has not grown since the posting was folded: the balance's own, which is in
every posting, so that what only was read need not be written.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime

from shared.domain.events import instant
from shared.domain.ledger import (
    Posting,
)
from shared.domain.stock import (
    WHOLE,
    Leaf,
)
from shared.store.layout import (
    balance_key,
    bucket_partition,
    count_document_key,
    count_key,
    entry_key,
    leaf_key,
    shard,
    waiting_key,
)
from shared.store.ledger_items import (
    ACCEPTED_BEFORE,
    NEVER_ACCEPTED,
    clock_value,
    mark_value,
    pack_lines,
    waiting_value,
)
from shared.store.table import (
    Absent,
    Action,
    Condition,
    Delete,
    Equals,
    Key,
    Put,
    Update,
    Value,
)


def posting_actions(posting: Posting, posted_at: datetime) -> list[Action]:
    """Return the writes of one posting apart from its events' own items: balance, journal, buckets, counts."""
    key, seq = posting.key, posting.expected_seq
    held: tuple[Condition, ...] = (Equals("seq", seq),) if seq else (Absent(),)
    actions: list[Action] = [
        Update(
            balance_key(key),
            set={
                "sku": key.sku,
                "location": key.location,
                "posted_at": instant(posted_at),
                "touched_from": instant(min(line.valid_at for line in posting.lines))
                if posting.lines
                else None,
                "clocks": _clocks_value(posting, WHOLE),
                "counts_waiting": len(posting.waiting),
                "withheld": posting.withheld,
                "by_location_pk": f"{key.location}#{shard(key.sku)}",
                "by_location_sk": key.sku,
            },
            add={"seq": 1, **{str(counter): change for counter, change in posting.deltas.items()}},
            conditions=held,
        ),
        Put(
            entry_key(key, seq),
            {"posted_at": instant(posted_at), "lines": pack_lines(posting.lines)},
            (Absent(),),
        ),
    ]
    actions += [
        Put(
            leaf_key(key, leaf),
            {
                "sku": key.sku,
                "location": key.location,
                "leaf": str(leaf),
                "clocks": _clocks_value(posting, leaf),
            },
        )
        for leaf in sorted(posting.leaves, key=str)
    ]
    actions += _bucket_actions(posting)
    for accepted in posting.counts:
        actions.append(
            Put(
                count_key(key, accepted.slot, accepted.mark),
                {
                    **mark_value(accepted.mark),
                    "quantity": accepted.quantity,
                    "variance": accepted.variance,
                    "source": accepted.source,
                    "document": accepted.document,
                    "said": None if accepted.said is None else [instant(at) for at in accepted.said],
                    **(
                        {"spare": [waiting_value(spare) for spare in accepted.spare]}
                        if accepted.spare
                        else {}
                    ),
                    **(
                        {"history": ACCEPTED_BEFORE if accepted.was_accepted else NEVER_ACCEPTED}
                        if accepted.is_history
                        else {}
                    ),
                },
            )
        )
    for (slot, mark), change in posting.restated.items():
        actions.append(Update(count_key(key, slot, mark), add={"variance": change}))
    actions += [Delete(count_key(key, slot, mark)) for slot, mark in posting.retracted]
    if posting.waiting or posting.settled:
        rows = [waiting_value(count) for count in posting.waiting]
        actions.append(Put(waiting_key(key), {"counts": rows}))
    actions += [
        Delete(count_document_key(key, document))
        if mark is None
        else Put(count_document_key(key, document), mark_value(mark))
        for document, mark in posting.documents.items()
    ]
    return actions


def _clocks_value(posting: Posting, leaf: Leaf) -> dict[str, Value]:
    return {slot.counter: clock_value(clock) for slot, clock in posting.clocks.items() if slot.leaf == leaf}


def _bucket_actions(posting: Posting) -> list[Action]:
    nets: defaultdict[Key, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
    for line in posting.lines:
        stamp = instant(line.valid_at)
        for leaf in {WHOLE, line.slot.leaf}:
            bucket = Key(bucket_partition(posting.key, leaf), stamp[:13])
            nets[bucket][f"{line.slot.counter}|{stamp[14:16]}"] += line.quantity
    seq = posting.expected_seq
    return [
        Update(
            bucket,
            add=minutes,
            defaults={f"{name}|lo": seq for name in minutes},
            set={f"{name}|hi": seq for name in minutes},
        )
        for bucket, minutes in nets.items()
    ]

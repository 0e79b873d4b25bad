"""Names that are too long for the tables' keys: refused by field where they come in, before anything is written.

A name is measured as it stands in a key: in bytes of UTF-8, with ``#`` and ``%`` written as three. DynamoDB takes 2,048
bytes of a partition key and 1,024 of a sort key; a name that passed here and fitted no key would fail its message, or
the request, each time it is tried again.

=================  ==========================  =====================================================
what               bytes                       where it stands
=================  ==========================  =====================================================
sku and location   ``LONGEST_STOCK_KEY``       beside the leaf in partition keys of the journal
bin and lot        ``LONGEST_LEAF``            there, and as a sort key
version, key       ``LONGEST_COUNT``           behind the instant in the sort key of a count
=================  ==========================  =====================================================
"""

from __future__ import annotations

from collections.abc import Iterator

from shared.domain.events import Count, Event, Movement
from shared.domain.stock import WHOLE, Leaf, LocationId
from shared.sources.contract import Fault
from shared.store.layout import part

LONGEST_STOCK_KEY = 1_000
LONGEST_LEAF = 900
LONGEST_COUNT = 980

_MOST_BYTES = 4
"""Of one character in a key."""


def too_long(event: Event, row: int | None) -> Fault | None:
    """Return the fault of an event whose names fit no key; None where all do."""
    for place, leaf in _places(event):
        if (fault := _together("sku", row, LONGEST_STOCK_KEY, sku=event.sku, location=place)) is not None:
            return fault
        longer = "bin" if len(leaf.bin.encode()) >= len(leaf.lot.encode()) else "lot"
        if (fault := _together(longer, row, LONGEST_LEAF, bin=leaf.bin, lot=leaf.lot)) is not None:
            return fault
    if isinstance(event, Count):
        return _together("version", row, LONGEST_COUNT, version=event.version, event_key=event.key)
    return None


def _places(event: Event) -> Iterator[tuple[LocationId, Leaf]]:
    if isinstance(event, Movement):
        yield from ((leg.location, leg.leaf) for leg in event.legs)
    elif event.location is not None:
        yield event.location, event.leaf if isinstance(event, Count) else WHOLE


def _together(field: str, row: int | None, most: int, **names: str) -> Fault | None:
    """Return the fault of ``field`` where some names are too long together."""
    if _MOST_BYTES * sum(map(len, names.values())) <= most:
        return None
    size = sum(len(part(name).encode()) for name in names.values())
    if size <= most:
        return None
    both = " and ".join(names)
    reason = f"{both} have {size} bytes together as they are kept (UTF-8; # and % are three each)"
    return Fault("invalid_field", field, reason, f"use names of at most {most} bytes together", row)

"""What root cause is found from: a source's own statements, and what the ledger knows to have happened meanwhile.

All of it is about one stock key, except ``Mirror``. Quantities are base units. How far back the evidence reaches is
said by ``Account.complete_since``: what is older is not known, and nothing is concluded from its absence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from shared.domain.drift import Formula, Statement, Told
from shared.domain.stock import EventKey, Quantity, SourceId, StockKey


class Nature(StrEnum):
    """What kind of thing changed a stock key."""

    MOVEMENT = "movement"
    COUNT = "count"
    RESERVED = "reserved"
    RELEASED = "released"


@dataclass(frozen=True, slots=True)
class Change:
    """What one event did to a stock key at one instant.

    Attributes
    ----------
    at, posted_at
        When it became true, and when we learnt it.
    amounts
        Signed change of each quantity (``on_hand``, ``quality_hold``, ``damaged``, ``incoming``, ``in_transit``,
        ``reserved``); those that are not named did not change.
    order
        The order whose units were reserved or released; empty otherwise.
    """

    event: EventKey
    nature: Nature
    at: datetime
    posted_at: datetime
    amounts: Mapping[str, Quantity]
    order: str = ""


@dataclass(frozen=True, slots=True)
class Sibling:
    """An event on another stock key, and whether the same source has counted it there."""

    event: EventKey
    at: datetime
    is_counted: bool


@dataclass(frozen=True, slots=True)
class Mirror:
    """The same source's differences on another stock key, by the instant of each statement.

    Of each the difference as it is, and what it may be without that which the source need not have seen yet.
    ``changes`` are what the ledger knows to have happened there, by its effect on the number that is compared.
    """

    key: StockKey
    drifts: Sequence[tuple[datetime, Sequence[Quantity]]]
    changes: Sequence[tuple[EventKey, datetime, Quantity]] = ()


@dataclass(frozen=True, slots=True)
class Undone:
    """An event that was taken back, as if it had never been; nothing tells the other systems of that.

    Attributes
    ----------
    did
        What it had done by then, under its own name: to the count that followed it, too.
    source
        Who had reported it.
    by, at
        Who took it back, where that is known, and when.
    """

    event: EventKey
    did: Sequence[Change]
    source: SourceId
    by: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Account:
    """Everything that an explanation is found from.

    Attributes
    ----------
    meaning
        What the source's number is declared to mean.
    level
        Our quantities as of the newest statement; ``safety_stock`` too where a meaning may name it.
    statements
        The source's statements, oldest first; the newest is the one to be explained.
    changes
        What happened to the stock key, oldest first, also a little after the newest statement.
    complete_since
        From when on ``changes`` has everything; None where it reaches back to the beginning.
    latency
        How long the source may take to follow, as declared.
    packs
        Unit to base units: the item's pack factors that are whole numbers above 1.
    told
        Movements that the source told of and that were not believed.
    mirrors
        Other stock keys of the same source that differ too.
    kin
        Events of other stock keys: how their documents are written.
    is_counted_by_hand
        Whether the number is what somebody counted, not what a system keeps: nothing is handed over to it.
    takes_orders
        Whether the source sells: its own orders reach it first.
    siblings
        Newest events of other stock keys, and whether the source has counted them: is its feed alive?
    undone
        What was taken back; ``changes`` are as if it had never been.
    """

    key: StockKey
    source: SourceId
    meaning: Formula
    level: Mapping[str, Quantity]
    statements: Sequence[Statement]
    changes: Sequence[Change]
    complete_since: datetime | None = None
    latency: timedelta = timedelta(0)
    packs: Mapping[str, int] = field(default_factory=dict)
    told: Sequence[Told] = ()
    mirrors: Sequence[Mirror] = ()
    kin: Sequence[EventKey] = ()
    siblings: Sequence[Sibling] = ()
    is_counted_by_hand: bool = False
    takes_orders: bool = False
    undone: Sequence[Undone] = ()

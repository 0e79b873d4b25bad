"""Stock of a kit: there is none, so a count or movement of one waits as a case until somebody says what was meant.

What a channel shows of a kit that it lists is no stock of ours but an echo of what we told it: that is observed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.domain.cases import Case, CaseKind, case_id
from shared.domain.events import Count, Demand, Event
from shared.domain.items import Item
from shared.domain.messages import Message
from shared.domain.network import Source
from shared.domain.stock import Sku, SourceId
from shared.operations.measure import happened_at


@dataclass(frozen=True, slots=True)
class KitStock:
    """A count or movement of an item that was a kit then; ``item_version`` is the item that was looked at."""

    source: SourceId
    sku: Sku
    what: str
    item_version: int
    row: int | None = None


def stock_of_kit(event: Event, item: Item, source: Source, row: int | None) -> KitStock | None:
    """Return what an event says of a kit's own stock; None where it says nothing of the kind."""
    if not item.kit_components or isinstance(event, Demand) or not item.at(happened_at(event)).components:
        return None
    if isinstance(event, Count):
        if source.channel is not None:
            return None
        return KitStock(source.id, item.sku, "counts", item.version, row)
    return KitStock(source.id, item.sku, "moves", item.version, row)


def kit_stock_case(refused: KitStock) -> str:
    """Name the case that collects what a source says of one kit's stock."""
    return case_id(CaseKind.KIT_STOCK, refused.source, refused.sku)


def kit_stock_cases(refused: Sequence[KitStock], message: Message, now: datetime) -> list[Case]:
    """Return a case for each kit of which stock was told."""
    cases = {
        kit_stock_case(one): Case(
            id=kit_stock_case(one),
            kind=CaseKind.KIT_STOCK,
            title=f"{one.source} {one.what} {one.sku}, which is a kit and has no stock of its own",
            remedy="have it report the components; or if kits are made up and stored, take the components away from "
            "the item, and what waits is then posted by itself",
            opened_at=now,
            updated_at=now,
            facts={
                "source": one.source,
                "sku": one.sku,
                "field": "sku",
                "reason": "a kit has no stock of its own",
                "item_version": one.item_version,
                "row": one.row,
            },
            message_id=message.id,
        )
        for one in refused
    }
    return list(cases.values())

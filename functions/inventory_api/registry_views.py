"""What the API answers of master data: items, cross-references, and their changes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from shared.domain.events import instant
from shared.domain.items import BEGINNING, Item, Terms
from shared.domain.stock import Sku
from shared.domain.units import factor_text
from shared.store.audit import Audited
from shared.store.references import CrossReference

Json = dict[str, Any]


def item_view(item: Item, lies_in: Sequence[Sku], history: Sequence[Audited]) -> Json:
    """Say everything of an item; ``terms`` are what its numbers mean, by when they began."""
    return {
        "sku": item.sku,
        "description": item.description,
        "item_class": item.item_class,
        "owner": item.owner,
        "tracks_lots": item.tracks_lots,
        "tracks_expiry": item.tracks_expiry,
        "hot": item.is_hot,
        "version": item.version,
        "price": None if item.price is None else str(item.price),
        "cost": None if item.cost is None else str(item.cost),
        "terms": [_terms(terms) for terms in item.terms],
        "lies_in": list(lies_in),
        "history": [_audited(change) for change in history],
    }


def reference_view(reference: CrossReference, history: Sequence[Audited]) -> Json:
    """Say what a code stands for, by when that began."""
    code = reference.code
    return {
        "source": code.source,
        "kind": code.kind,
        "code": code.code,
        "owner": reference.owner,
        "version": reference.version,
        "terms": [
            {"effective_from": _from(one.effective_from), "sku": one.sku, "unit": one.unit}
            for one in reference.terms
        ],
        "history": [_audited(change) for change in history],
    }


def _terms(terms: Terms) -> Json:
    return {
        "effective_from": _from(terms.effective_from),
        "base_unit": terms.base_unit,
        "packs": {unit: factor_text(factor) for unit, factor in sorted(terms.packs.items())},
        "components": [{"sku": part.sku, "quantity": part.quantity} for part in terms.components],
    }


def _from(at: datetime) -> str | None:
    return None if at == BEGINNING else instant(at)


def _audited(change: Audited) -> Json:
    return {
        "version": change.version,
        "actor": change.actor,
        "at": instant(change.at),
        "changes": [{"field": f, "before": before, "after": after} for f, before, after in change.changes],
    }

"""Calls that read stock: an item, a location page by page, the journal, and what a channel may sell.

A SKU may hold any printable character, a slash among them, and no gateway carries every character through a path in
one way: API Gateway hands ``%2F`` on as it is, the local runtime as a slash. So each call about an item also takes
its SKU as ``?sku=``, which arrives decoded once everywhere; clients that do not know their SKUs use that form.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from functions.inventory_api import views
from functions.inventory_api.edge import READERS, Asked, call, house
from functions.inventory_api.requests import InvalidFieldError
from shared.domain.stock import ChannelId, LocationId, Sku, StockKey
from shared.runtime.http import Answer, answer

LARGEST_ANSWER = 4_000_000
"""Bytes of the rows of one page; a Lambda's answer may have 6 MB in all."""

Row = TypeVar("Row")


def bounded(rows: Sequence[Row], view: Callable[[Row], dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the views of the first rows, no more than an answer takes; at least one if there is any."""
    viewed: list[dict[str, Any]] = []
    size = 0
    for row in rows:
        said = view(row)
        size += len(json.dumps(said))
        if viewed and size > LARGEST_ANSWER:
            break
        viewed.append(said)
    return viewed


@call("GET /v1/stock", READERS, query=("sku", "as_of", "location", "cursor", "limit"))
def list_stock(asked: Asked[Any]) -> Answer:
    """Show one item (``sku``, perhaps ``as_of``), or list a location's stock in order of SKU."""
    sku = asked.query.text("sku")
    if sku is not None:
        asked.query.only_with("sku", "as_of")
        return _item(asked, Sku(sku))
    asked.query.needs("as_of", "sku")
    location = location_of(asked)
    after, limit = asked.query.text("cursor"), asked.query.page_size()
    keys = list(house().view.keys_at(location, None if after is None else Sku(after), limit))
    found = house().view.rows(keys)
    rows = [{"sku": key.sku, "location": location, **found[key]} for key in keys]
    return answer(200, {"stock": rows, "cursor": keys[-1].sku if len(keys) == limit else None})


@call("GET /v1/stock/<sku>", READERS, query=("as_of",))
def get_stock(asked: Asked[Any]) -> Answer:
    """Show one item at every location, now or as of an instant; what may be sold is told of now only."""
    return _item(asked, Sku(asked.path["sku"]))


def _item(asked: Asked[Any], sku: Sku) -> Answer:
    return answer(200, views.item_view(house().view.item(sku, asked.query.instant("as_of"))))


@call("GET /v1/stock/<sku>/journal", READERS, query=("location", "cursor", "limit"))
def get_item_journal(asked: Asked[Any]) -> Answer:
    """List what made an item's balance at a location, newest first; an entry without lines changed no number."""
    return _journal(asked, Sku(asked.path["sku"]))


@call("GET /v1/journal", READERS, query=("sku", "location", "cursor", "limit"))
def get_journal(asked: Asked[Any]) -> Answer:
    """List what made an item's balance at a location, newest first; an entry without lines changed no number."""
    return _journal(asked, Sku(asked.query.required("sku")))


def _journal(asked: Asked[Any], sku: Sku) -> Answer:
    key = StockKey(sku, location_of(asked))
    before, limit = asked.query.number("cursor"), asked.query.page_size()
    entries = house().ledger.journal(key, before_seq=before, limit=limit)
    if not entries and before is None:
        house().view.must_know(sku)
    rows = bounded(entries, views.journal_view)
    last = rows[-1]["seq"] if rows else 0
    return answer(200, {"entries": rows, "cursor": str(last) if last else None})


@call("GET /v1/availability", READERS, query=("channel", "sku"))
def get_availability(asked: Asked[Any]) -> Answer:
    """Say what a channel may sell of an item now, and why."""
    channel_id = ChannelId(asked.query.required("channel"))
    sku = Sku(asked.query.required("sku"))
    channel = house().registry.network().channels.get(channel_id)
    if channel is None:
        raise InvalidFieldError("channel", f"{channel_id!r} is not declared", "use a declared channel")
    house().view.must_know(sku)
    promises = {
        location: house().view.promise_of(channel, StockKey(sku, location)) for location in channel.locations
    }
    rows = [
        {
            "location": location,
            **views.promise_view(made),
        }
        for location, made in promises.items()
    ]
    total = sum(made.available_to_promise for made in promises.values())
    return answer(200, {"channel": channel_id, "sku": sku, "available_to_promise": total, "locations": rows})


def location_of(asked: Asked[Any]) -> LocationId:
    """Return the location that is asked about.

    Raises
    ------
    InvalidFieldError
        When it is missing, or not declared.
    """
    location = LocationId(asked.query.required("location"))
    registry = house().registry
    if (
        location not in registry.network().locations
        and location not in registry.network(fresh=True).locations
    ):
        declared = ", ".join(sorted(registry.network().locations)) or "none"
        raise InvalidFieldError("location", f"{location!r} is not declared", f"declared: {declared}")
    return location

"""The call that follows a fact across the systems: an event, a message, an order, a push, or an item's newest postings."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from functions.inventory_api.edge import WATCHERS, Asked, RefusedError, call, house
from functions.inventory_api.requests import InvalidFieldError, Query
from shared.domain.events import instant
from shared.domain.stock import ChannelId, EventKey, LocationId, MessageId, Sku, StockKey
from shared.domain.trace import Chain, Step, Trace
from shared.operations.trace import NothingToTraceError
from shared.runtime.http import Answer, Problem, answer

Json = dict[str, Any]

BY = ("event", "message", "order", "push", "sku")


@call("GET /v1/trace", WATCHERS, query=(*BY, "channel", "location"))
def get_trace(asked: Asked[Any]) -> Answer:
    """Follow one fact across the systems, each handoff with the time that it took.

    Name one of ``event``, ``message``, ``order``, ``sku`` (perhaps with ``location``), or with ``channel``, ``sku`` and
    ``location`` the generation of a ``push`` (0: the newest).
    """
    try:
        found = _found(asked.query)
    except NothingToTraceError as error:
        remedy = "check the id for typing errors"
        raise RefusedError(Problem(404, "not_found", "Not found", str(error), remedy)) from error
    chains = [_chain_view(chain) for chain in found.chains]
    return answer(200, {"chains": chains, "more": found.more})


def _found(query: Query) -> Trace:
    tracer = house().tracer
    if (generation := query.number("push")) is not None:
        query.only_with("push", "channel", "sku", "location")
        channel = ChannelId(query.required("channel"))
        key = StockKey(Sku(query.required("sku")), LocationId(query.required("location")))
        return tracer.push(channel, key, generation or None)
    if (sku := query.text("sku")) is not None:
        query.only_with("sku", "location")
        location = query.text("location")
        return tracer.sku(Sku(sku), None if location is None else LocationId(location))
    if (event := query.event("event")) is not None:
        query.only_with("event")
        return tracer.event(EventKey(event))
    if (message := query.text("message")) is not None:
        query.only_with("message")
        return tracer.message(MessageId(message))
    if (order := query.text("order")) is not None:
        query.only_with("order")
        return tracer.order(order)
    raise InvalidFieldError("event", "nothing is asked for", f"name one of: {', '.join(BY)}")


def _chain_view(chain: Chain) -> Json:
    return {
        "about": chain.about,
        "event": chain.event or None,
        "message_id": chain.message or None,
        "took_ms": _ms(chain.whole),
        "steps": [_step_view(step) for step in chain.steps],
        "notes": list(chain.notes),
        "cases": [{"id": name, "status": status, "title": title} for name, status, title in chain.cases],
    }


def _step_view(step: Step) -> Json:
    return {
        "stage": step.stage,
        "system": step.system,
        "at": instant(step.at),
        "says": step.says,
        "sku": None if step.key is None else step.key.sku,
        "location": None if step.key is None else step.key.location,
        "took_ms": _ms(step.took),
    }


def _ms(time: timedelta | None) -> int | None:
    return None if time is None else time // timedelta(milliseconds=1)

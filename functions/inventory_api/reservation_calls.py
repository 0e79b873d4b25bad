"""Calls that reserve stock. Whoever may read stock may read a reservation; only who made it may release it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from functions.inventory_api import views
from functions.inventory_api.edge import (
    OPERATORS,
    RESERVERS,
    WATCHERS,
    Asked,
    call,
    house,
    reservation_desk,
)
from functions.inventory_api.requests import (
    FulfilmentRequest,
    ReservationLine,
    ReservationRequest,
    SetAsideRequest,
    idempotency_key,
)
from shared.domain.stock import ChannelId, LocationId, Sku, StockKey
from shared.operations.reservations import InsufficientStockError, Wanted
from shared.runtime.http import Answer, answer
from shared.runtime.metrics import publish_refused


def _wanted(lines: Sequence[ReservationLine]) -> list[Wanted]:
    return [
        Wanted(Sku(line.sku), line.quantity, None if line.location is None else LocationId(line.location))
        for line in lines
    ]


@call("POST /v1/reservations", RESERVERS, body=ReservationRequest)
def post_reservation(asked: Asked[ReservationRequest]) -> Answer:
    """Reserve all lines or none, once for each Idempotency-Key."""
    key = idempotency_key(asked.header("idempotency-key"))
    body = asked.body
    wanted = _wanted(body.lines)
    lifetime = None if body.expires_in_s is None else timedelta(seconds=body.expires_in_s)
    try:
        made = reservation_desk().reserve(key, asked.client, ChannelId(body.channel), wanted, lifetime)
    except InsufficientStockError:
        publish_refused(house().stage, body.channel)
        raise
    return answer(201, views.reservation_view(made), {"Location": f"/v1/reservations/{made.id}"})


@call("POST /v1/reservations/<reservation>/fulfil", (*RESERVERS, *OPERATORS), body=FulfilmentRequest)
def post_fulfilment(asked: Asked[FulfilmentRequest]) -> Answer:
    """Say that units of a reservation have left, once for each Idempotency-Key: some of it, or all that is open.

    The key belongs to the reservation, whoever sends it.
    """
    key, reservation = idempotency_key(asked.header("idempotency-key")), asked.path["reservation"]
    wanted = _wanted(asked.body.lines) if asked.has_body else []
    if not {"admin", *OPERATORS} & asked.scopes:
        reservation_desk().must_own(reservation, asked.client)
    return answer(200, views.reservation_view(house().fulfiller.fulfil(reservation, key, wanted)))


@call("DELETE /v1/reservations/<reservation>/fulfil", (*RESERVERS, *OPERATORS))
def delete_fulfilment(asked: Asked[Any]) -> Answer:
    """Call off what was fulfilled under an Idempotency-Key: those units never left. Repeating it changes nothing.

    The key belongs to the reservation, so an operator may call off what a client said.
    """
    key, reservation = idempotency_key(asked.header("idempotency-key")), asked.path["reservation"]
    if not {"admin", *OPERATORS} & asked.scopes:
        reservation_desk().must_own(reservation, asked.client)
    return answer(200, views.reservation_view(house().fulfiller.call_off(reservation, key)))


@call("POST /v1/set-aside", OPERATORS, body=SetAsideRequest)
def post_set_aside(asked: Asked[SetAsideRequest]) -> Answer:
    """Keep units of a stock key for one channel. The number is what is kept from now on: repeating it is safe."""
    body = asked.body
    key = StockKey(Sku(body.sku), LocationId(body.location))
    before = house().set_aside.keep(ChannelId(body.channel), key, body.units)
    return answer(200, {**body.model_dump(), "before": before})


@call("GET /v1/reservations/<reservation>", (*RESERVERS, *WATCHERS))
def get_reservation(asked: Asked[Any]) -> Answer:
    """Show a reservation."""
    return answer(200, views.reservation_view(house().reserver.get(asked.path["reservation"])))


@call("DELETE /v1/reservations/<reservation>", (*RESERVERS, *OPERATORS))
def delete_reservation(asked: Asked[Any]) -> Answer:
    """Give back what a reservation still holds: one's own, or any as an operator. Repeating it changes nothing."""
    for_anyone = bool({"admin", *OPERATORS} & asked.scopes)
    made = reservation_desk().release(asked.path["reservation"], asked.client, for_anyone=for_anyone)
    return answer(200, views.reservation_view(made))

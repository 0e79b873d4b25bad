"""The ``/v1`` API: stock, journal, reservations, cases and dead letters, each call for the scopes that may make it.

==============================================  ====================
call                                            scope
==============================================  ====================
GET stock, journal, availability                viewer, reserver
POST, GET, DELETE reservations                  reserver
GET cases, messages, dead letters               viewer
POST case actions, replay, redrive              operator
==============================================  ====================

``admin`` may do everything; an ``operator`` and an ``approver`` may also see what a viewer sees.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from functools import cache
from typing import Any, TypeVar
from urllib.parse import unquote

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from pydantic import BaseModel, ValidationError

from functions.inventory_api import views
from functions.inventory_api.requests import (
    BadTimeError,
    IgnoreAction,
    MapAction,
    RedriveRequest,
    ReservationRequest,
    instant_of,
)
from shared.domain.cases import CaseStatus
from shared.domain.stock import ChannelId, LocationId, MessageId, Sku, StockKey
from shared.operations.case_desk import NotPossibleError
from shared.operations.reserve import (
    IdempotencyConflictError,
    InsufficientStockError,
    InvalidReservationError,
    ReservationBusyError,
    ReservationNotFoundError,
    Wanted,
)
from shared.operations.stock_view import UnknownSkuError
from shared.runtime.http import Answer, Event, Problem, answer, body_of, headers_of, problem
from shared.runtime.logging import log_to_stdout
from shared.runtime.settings import InventoryApiSettings
from shared.runtime.wiring import House
from shared.store.cases import CaseNotFoundError
from shared.store.inbox import MessageNotFoundError
from shared.store.ledger import LedgerMovedError
from shared.store.table import TableError

LARGEST_PAGE = 200
LONGEST_NUMBER = 15
"""Digits of a number in a query."""

READERS = ("viewer", "reserver", "operator", "approver")
WATCHERS = ("viewer", "operator", "approver")

log_to_stdout("inventory_api")
log = logging.getLogger(__name__)
app = APIGatewayRestResolver()
Body = TypeVar("Body", bound=BaseModel)


class RequestError(Exception):
    """The request cannot be answered: carries the problem to say so with."""

    def __init__(self, found: Problem) -> None:
        super().__init__(found.detail)
        self.problem = found


@cache
def house() -> House:
    return House(InventoryApiSettings.read())


def handle(event: dict[str, Any], context: Any) -> Answer:
    """Answer one call."""
    return app.resolve(event, context)


# ---- stock ------------------------------------------------------------------------------------------------------


@app.get("/v1/stock")
def list_stock() -> Any:
    def call(event: Event) -> Answer:
        query = _query(event)
        location = LocationId(_required(query, "location"))
        after = query.get("cursor")
        limit = _page_size(query)
        keys = list(house().view.keys_at(location, None if after is None else Sku(after), limit))
        found = house().view.rows(keys)
        rows = [{"sku": key.sku, "location": location, **found[key]} for key in keys]
        return answer(200, {"stock": rows, "cursor": keys[-1].sku if len(keys) == limit else None})

    return _for(READERS, call)


@app.get("/v1/stock/<sku>")
def get_stock(sku: str) -> Any:
    def call(event: Event) -> Answer:
        as_of = _query(event).get("as_of")
        found = house().view.item(Sku(unquote(sku)), None if as_of is None else instant_of(as_of))
        return answer(200, views.item_view(found))

    return _for(READERS, call)


@app.get("/v1/stock/<sku>/journal")
def get_journal(sku: str) -> Any:
    def call(event: Event) -> Answer:
        query = _query(event)
        key = StockKey(Sku(unquote(sku)), LocationId(_required(query, "location")))
        cursor = query.get("cursor")
        if cursor is not None and not (cursor.isdecimal() and len(cursor) <= LONGEST_NUMBER):
            raise RequestError(
                _invalid("cursor", "it is not one that we gave", "use the cursor of the last page")
            )
        limit = _page_size(query)
        entries = house().ledger.journal(key, before_seq=None if cursor is None else int(cursor), limit=limit)
        last = entries[-1].seq if entries else 0
        page = {
            "entries": [views.journal_view(entry) for entry in entries],
            "cursor": str(last) if last else None,
        }
        return answer(200, page)

    return _for(READERS, call)


@app.get("/v1/availability")
def get_availability() -> Any:
    def call(event: Event) -> Answer:
        query = _query(event)
        channel_id = ChannelId(_required(query, "channel"))
        sku = Sku(_required(query, "sku"))
        channel = house().registry.network().channels.get(channel_id)
        if channel is None:
            raise RequestError(
                _invalid("channel", f"{channel_id!r} is not declared", "use a declared channel")
            )
        promises = {
            location: house().view.promise_of(channel, StockKey(sku, location))
            for location in channel.locations
        }
        rows = [
            {
                "location": location,
                "available_to_promise": made.available_to_promise,
                "explanation": views.explanation_view(made),
            }
            for location, made in promises.items()
        ]
        total = sum(made.available_to_promise for made in promises.values())
        return answer(
            200, {"channel": channel_id, "sku": sku, "available_to_promise": total, "locations": rows}
        )

    return _for(READERS, call)


# ---- reservations -----------------------------------------------------------------------------------------------


@app.post("/v1/reservations")
def post_reservation() -> Any:
    def call(event: Event) -> Answer:
        key = headers_of(event).get("idempotency-key", "")
        if not key or len(key) > 200:
            detail = "every reservation needs an Idempotency-Key header of 1 to 200 characters"
            remedy = "send a new key for each reservation, and the same key when you repeat one"
            raise RequestError(
                Problem(400, "idempotency_key", "Idempotency key", detail, remedy, "Idempotency-Key")
            )
        asked = _body(event, ReservationRequest)
        wanted = [
            Wanted(Sku(line.sku), line.quantity, None if line.location is None else LocationId(line.location))
            for line in asked.lines
        ]
        lifetime = None if asked.expires_in_s is None else timedelta(seconds=asked.expires_in_s)
        made = house().reserver.reserve(key, _subject(event), ChannelId(asked.channel), wanted, lifetime)
        return answer(201, views.reservation_view(made), {"Location": f"/v1/reservations/{made.id}"})

    return _for(("reserver",), call)


@app.get("/v1/reservations/<reservation>")
def get_reservation(reservation: str) -> Any:
    return _for(
        ("reserver", *WATCHERS),
        lambda _: answer(200, views.reservation_view(house().reserver.get(reservation))),
    )


@app.delete("/v1/reservations/<reservation>")
def delete_reservation(reservation: str) -> Any:
    return _for(
        ("reserver", "operator"),
        lambda _: answer(200, views.reservation_view(house().reserver.release(reservation))),
    )


# ---- cases and dead letters -------------------------------------------------------------------------------------


@app.get("/v1/cases")
def list_cases() -> Any:
    def call(event: Event) -> Answer:
        query = _query(event)
        try:
            status = CaseStatus(query.get("status", "open"))
        except ValueError as error:
            raise RequestError(_invalid("status", str(error), "use open, resolved or ignored")) from error
        found = house().cases.list(status, _page_size(query))
        return answer(200, {"cases": [views.case_view(case) for case in found]})

    return _for(WATCHERS, call)


@app.get("/v1/cases/<case>")
def get_case(case: str) -> Any:
    return _for(WATCHERS, lambda _: answer(200, views.case_view(house().cases.get(unquote(case)))))


@app.post("/v1/cases/<case_id>/<action>")
def act_on_case(case_id: str, action: str) -> Any:
    def call(event: Event) -> Answer:
        case, desk, subject = unquote(case_id), house().case_desk, _subject(event)
        if action == "retry":
            done = {"replayed": desk.retry(case)}
        elif action == "map":
            done = {"replayed": desk.map(case, Sku(_body(event, MapAction).sku), subject)}
        elif action == "ignore":
            desk.ignore(case, _body(event, IgnoreAction).reason, subject)
            done = {}
        else:
            detail = f"there is no action {action!r}"
            raise RequestError(
                Problem(404, "unknown_action", "Unknown action", detail, "use retry, map or ignore")
            )
        log.info("case_action", extra={"case_id": case, "action": action, "actor": subject})
        return answer(200, {"case": views.case_view(house().cases.get(case)), **done})

    return _for(("operator",), call)


@app.get("/v1/messages/<message>")
def get_message(message: str) -> Any:
    def call(_: Event) -> Answer:
        stored = house().inbox.load(MessageId(message))
        said = {
            "message_id": message,
            "source": stored.message.source,
            "kind": stored.kind,
            "status": stored.status,
            "received_at": stored.message.received_at.isoformat(),
            "headers": dict(stored.message.headers),
            "body": stored.message.body.decode("utf-8", "replace"),
        }
        return answer(200, said)

    return _for(WATCHERS, call)


@app.post("/v1/messages/<message>/replay")
def post_replay(message: str) -> Any:
    def call(event: Event) -> Answer:
        status = house().sweep.apply_again(MessageId(message))
        log.info("replayed", extra={"message_id": message, "status": status, "actor": _subject(event)})
        return answer(200, {"message_id": message, "status": status})

    return _for(("operator",), call)


@app.get("/v1/dead-letters")
def get_dead_letters() -> Any:
    return _for(WATCHERS, lambda _: answer(200, {"queues": house().dead_letters.counts()}))


@app.post("/v1/dead-letters/redrive")
def post_redrive() -> Any:
    def call(event: Event) -> Answer:
        queue = _body(event, RedriveRequest).queue if body_of(event) else None
        if queue is not None and queue not in house().dead_letters.counts():
            raise RequestError(
                _invalid(
                    "queue",
                    f"{queue!r} is no dead-letter queue",
                    "name one of: " + ", ".join(house().dead_letters.counts()),
                )
            )
        moved = house().dead_letters.redrive(queue)
        log.info("redriven", extra={"queues": moved, "actor": _subject(event)})
        return answer(200, {"redriven": moved, "left": sum(house().dead_letters.counts().values())})

    return _for(("operator",), call)


@app.not_found
def unknown_path(_: Exception) -> Any:
    return _respond(
        problem(Problem(404, "unknown_path", "Not found", "there is no such call; see the README"))
    )


# ---- the edge ---------------------------------------------------------------------------------------------------


def _for(scopes: tuple[str, ...], call: Callable[[Event], Answer]) -> Any:
    """Answer a call if the caller has one of the scopes; every error becomes a problem here and nowhere else."""
    event: Event = app.current_event.raw_event
    granted = str((event["requestContext"].get("authorizer") or {}).get("scopes", "")).split()
    if not {"admin", *scopes} & set(granted):
        detail = f"this call needs one of the scopes: {', '.join(scopes)}, admin"
        return _respond(problem(Problem(403, "insufficient_scope", "Insufficient scope", detail)))
    try:
        return _respond(call(event))
    except RequestError as error:
        return _respond(problem(error.problem))
    except InsufficientStockError as error:
        lines = [
            {
                "sku": line.sku,
                "location": line.location,
                "requested": line.requested,
                "available_to_promise": line.available_to_promise,
            }
            for line in error.shortfalls
        ]
        title = "Insufficient stock"
        found = Problem(
            409, "insufficient_stock", title, str(error), "reserve less", "lines", {"lines": lines}
        )
        return _respond(problem(found))
    except IdempotencyConflictError:
        detail = "this Idempotency-Key was used before with another request"
        return _respond(
            problem(Problem(409, "idempotency_conflict", "Idempotency conflict", detail, "use a new key"))
        )
    except InvalidReservationError as error:
        return _respond(problem(_invalid(error.field, error.reason, error.remedy)))
    except (UnknownSkuError, CaseNotFoundError, ReservationNotFoundError, MessageNotFoundError) as error:
        return _respond(
            problem(Problem(404, "not_found", "Not found", str(error), "check the id for typing errors"))
        )
    except BadTimeError as error:
        return _respond(problem(_invalid("as_of", str(error), "write it like 2026-11-01T12:00:00Z")))
    except NotPossibleError as error:
        return _respond(problem(Problem(409, "not_possible", "Not possible", str(error))))
    except (ReservationBusyError, LedgerMovedError, TableError, OSError) as error:
        log.warning("busy", extra={"reason": str(error)})
        detail = "too much is going on just now; nothing was changed that a repetition would double"
        return _respond(problem(Problem(503, "busy", "Busy", detail, "repeat the same request shortly")))


def _respond(said: Answer) -> Any:
    headers = dict(said["headers"])
    return Response(said["statusCode"], headers.pop("Content-Type"), said["body"], headers)


def _query(event: Event) -> dict[str, str]:
    return event.get("queryStringParameters") or {}


def _required(query: dict[str, str], name: str) -> str:
    value = query.get(name, "")
    if not value:
        raise RequestError(_invalid(name, "it is missing", f"add ?{name}="))
    return value


def _page_size(query: dict[str, str]) -> int:
    text = query.get("limit", "50")
    if not (text.isdecimal() and len(text) <= LONGEST_NUMBER and 1 <= int(text) <= LARGEST_PAGE):
        raise RequestError(_invalid("limit", f"{text[:20]!r} is not a page size", f"use 1 to {LARGEST_PAGE}"))
    return int(text)


def _body(event: Event, model: type[Body]) -> Body:
    try:
        return model.model_validate_json(body_of(event))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "body"
        raise RequestError(_invalid(field, first["msg"], "correct the field and send again")) from error


def _subject(event: Event) -> str:
    return str(event["requestContext"]["authorizer"]["subject"])


def _invalid(field: str, reason: str, remedy: str) -> Problem:
    return Problem(400, "invalid_field", "Invalid field", f"{field}: {reason}", remedy, field)

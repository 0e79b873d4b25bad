"""The edge of the ``/v1`` API: who may make a call, how a request is read, and how every error becomes a problem.

A call is declared once, with ``call``: its route, scopes, parameters and body. The same declarations become the
OpenAPI document.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Generic, TypeVar, cast
from urllib.parse import quote, unquote

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from pydantic import BaseModel

from functions.inventory_api import views
from functions.inventory_api.requests import (
    LONGEST_CASE_ID,
    LONGEST_NAME,
    InvalidFieldError,
    Query,
    identifier,
    parse_body,
)
from shared.operations.case_desk import NotPossibleError
from shared.operations.message_view import MessageView
from shared.operations.reservation_desk import NotYoursError, ReservationDesk
from shared.operations.reservations import (
    IdempotencyConflictError,
    InsufficientStockError,
    InvalidReservationError,
    ReservationBusyError,
    ReservationNotFoundError,
    UnknownItemError,
)
from shared.operations.set_aside import SetAsideBusyError
from shared.operations.stock_view import UnknownSkuError
from shared.runtime.ground import now
from shared.runtime.http import Answer, Event, Problem, headers_of, problem
from shared.runtime.settings import InventoryApiSettings
from shared.runtime.wiring import House
from shared.store.cases import CaseNotFoundError
from shared.store.inbox import MessageNotFoundError, UnreadableMessageError
from shared.store.ledger import LedgerMovedError
from shared.store.references import ReferenceChangedError
from shared.store.table import TableError

READERS = ("viewer", "reserver", "operator", "approver")
WATCHERS = ("viewer", "operator", "approver")
RESERVERS = ("reserver",)
OPERATORS = ("operator",)

LONGEST = {"case": LONGEST_CASE_ID}
"""Characters of path parameters that may be longer than ``LONGEST_NAME``."""

log = logging.getLogger(__name__)
app = APIGatewayRestResolver()
Body = TypeVar("Body", bound=BaseModel)


@cache
def house() -> House:
    return House(InventoryApiSettings.read())


def reservation_desk() -> ReservationDesk:
    return ReservationDesk(house().stock, house().reserver, house().view)


def message_view() -> MessageView:
    return MessageView(house().stock, house().registry, now)


def case_now(name: str) -> dict[str, Any]:
    """Show a case as it stands."""
    return views.case_view(house().cases.get(name), house().registry.network().rules, now())


class RefusedError(Exception):
    """The request cannot be answered: carries the problem to say so with."""

    def __init__(self, found: Problem) -> None:
        super().__init__(found.detail)
        self.problem = found


@dataclass(frozen=True, slots=True)
class Call:
    """A call of the API as it is declared."""

    method: str
    path: str
    scopes: tuple[str, ...]
    query: tuple[str, ...]
    body: type[BaseModel] | None
    says: str


CALLS: list[Call] = []


class Asked(Generic[Body]):
    """A request whose caller may make it.

    Attributes
    ----------
    path
        The path's parameters.
    client, scopes
        Who calls, and with which scopes.
    """

    def __init__(self, event: Event, path: Mapping[str, str], declared: Call) -> None:
        authorizer = event["requestContext"]["authorizer"]
        self._event = event
        self._declared = declared
        self.path = path
        self.client = str(authorizer["subject"])
        self.scopes = frozenset(str(authorizer["scopes"]).split())
        self.query = Query(event.get("queryStringParameters") or {}, declared.query)

    @property
    def body(self) -> Body:
        """The parsed body."""
        return cast("Body", parse_body(self._event, cast("type[BaseModel]", self._declared.body)))

    @property
    def has_body(self) -> bool:
        """Whether there is a body at all."""
        return bool(self._event.get("body"))

    def header(self, name: str) -> str:
        """Return a header, empty where there is none."""
        return headers_of(self._event).get(name, "")


Function = Callable[[Asked[Any]], Answer]


def call(
    route: str,
    scopes: tuple[str, ...],
    *,
    query: tuple[str, ...] = (),
    body: type[BaseModel] | None = None,
) -> Callable[[Function], Function]:
    """Declare a call such as ``GET /v1/stock/<sku>``, which one of the scopes (or ``admin``) may make."""
    method, path = route.split(" ", 1)

    def declare(function: Function) -> Function:
        declared = Call(method, path, scopes, query, body, (function.__doc__ or "").strip())
        CALLS.append(declared)

        @app.route(path, method=method)  # type: ignore[untyped-decorator,unused-ignore]
        def answer_it(**given: str) -> Response[str]:
            return _respond(_answer(declared, function, given))

        return function

    return declare


def resolve(event: Mapping[str, Any], context: object) -> Answer:
    """Answer one REST API event.

    API Gateway hands over the path as it was sent; the local runtime decodes it first. What cannot stand in a path as
    it is gets encoded, which leaves the former alone.
    """
    path = quote(str(event.get("path") or "/"), safe="/%-._~!$&'()*+,;=:@", errors="replace")
    return app.resolve({**event, "path": path}, cast("Any", context))


@app.not_found
def unknown_path(_: Exception) -> Response[str]:
    """Answer what is no call."""
    return _respond(
        problem(Problem(404, "unknown_path", "Not found", "there is no such call; see the README"))
    )


def _answer(declared: Call, function: Function, given: Mapping[str, str]) -> Answer:
    event: Event = app.current_event.raw_event
    granted = str((event["requestContext"].get("authorizer") or {}).get("scopes", "")).split()
    if not {"admin", *declared.scopes} & set(granted):
        detail = f"this call needs one of the scopes: {', '.join(declared.scopes)}, admin"
        return problem(Problem(403, "insufficient_scope", "Insufficient scope", detail))
    try:
        path = {
            name: identifier(name, unquote(text), LONGEST.get(name, LONGEST_NAME))
            for name, text in given.items()
        }
        return function(Asked(event, path, declared))
    except RefusedError as error:
        return problem(error.problem)
    except (InvalidFieldError, InvalidReservationError) as error:
        return problem(invalid(error.field, error.reason, error.remedy))
    except (InsufficientStockError, UnknownItemError, IdempotencyConflictError, NotYoursError) as error:
        return problem(_of_reservation(error))
    except (UnknownSkuError, CaseNotFoundError, ReservationNotFoundError, MessageNotFoundError) as error:
        return problem(Problem(404, "not_found", "Not found", str(error), "check the id for typing errors"))
    except ReferenceChangedError as error:
        return problem(changed_meanwhile(f"somebody else just mapped {error}"))
    except NotPossibleError as error:
        return problem(Problem(409, "not_possible", "Not possible", str(error), error.remedy))
    except UnreadableMessageError as error:
        remedy = "see its case; restore the inbox from its backup if the message is needed"
        return problem(Problem(500, "unreadable_message", "Unreadable message", str(error), remedy))
    except (ReservationBusyError, SetAsideBusyError, LedgerMovedError, TableError, OSError) as error:
        log.warning("busy", extra={"reason": str(error)})
        detail = "too much is going on just now; nothing was changed that a repetition would double"
        return problem(Problem(503, "busy", "Busy", detail, "repeat the same request shortly"))


def _of_reservation(error: Exception) -> Problem:
    match error:
        case InsufficientStockError(shortfalls=shortfalls):
            lines = [
                {
                    "sku": line.sku,
                    "location": line.location,
                    "requested": line.requested,
                    "available_to_promise": line.available_to_promise,
                }
                for line in shortfalls
            ]
            title = "Insufficient stock"
            return Problem(
                409, "insufficient_stock", title, str(error), "reserve less", "lines", {"lines": lines}
            )
        case UnknownItemError(skus=skus, field=field):
            remedy = "check the SKUs for typing errors, or import the items"
            title = "Unknown item"
            return Problem(422, "unknown_item", title, str(error), remedy, field, {"skus": list(skus)})
        case IdempotencyConflictError():
            detail = "this Idempotency-Key was used before with another request"
            return Problem(409, "idempotency_conflict", "Idempotency conflict", detail, "use a new key")
        case _:
            remedy = "release it with the token of the client who made it, or as an operator"
            return Problem(403, "not_yours", "Not yours", str(error), remedy)


def changed_meanwhile(detail: str) -> Problem:
    """Say that what was to be changed is not what the caller knew."""
    remedy = "read it again, and repeat the change if it is still meant"
    return Problem(409, "changed_meanwhile", "Changed meanwhile", detail, remedy)


def invalid(field: str, reason: str, remedy: str) -> Problem:
    """Say that a field cannot be meant."""
    return Problem(400, "invalid_field", "Invalid field", f"{field}: {reason}", remedy, field)


def _respond(said: Answer) -> Response[str]:
    headers = dict(said["headers"])
    return Response(said["statusCode"], headers.pop("Content-Type"), said["body"], headers)

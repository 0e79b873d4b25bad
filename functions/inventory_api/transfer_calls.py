"""Calls about transfers between our own locations, from the request to the end.

Whoever has requested one may not approve it, nor write its loss off, above the four-eyes amount. Every call but a read
takes an ``Idempotency-Key`` and answers the transfer as it stands then.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Annotated, Any

from pydantic import Field

from functions.inventory_api import recommendation_view
from functions.inventory_api.approval_calls import APPROVERS
from functions.inventory_api.edge import (
    OPERATORS,
    WATCHERS,
    Asked,
    RefusedError,
    call,
    house,
    invalid,
)
from functions.inventory_api.requests import (
    Bin,
    Instant,
    InvalidFieldError,
    Lot,
    Name,
    Reason,
    Request,
    Units,
    idempotency_key,
)
from shared.domain.events import instant
from shared.domain.stock import WHOLE, Leaf, LocationId, Sku
from shared.domain.transfer import Figures, Transfer, Word
from shared.operations.case_desk import NotPossibleError
from shared.operations.four_eyes import SamePersonError
from shared.operations.recommend import NotReplenishedError
from shared.operations.reservations import InsufficientStockError
from shared.operations.transfer_calls import (
    Part,
    RefusedTransferError,
    TransferBusyError,
    TransferNotFoundError,
    WriteOffNotAllowedError,
)
from shared.operations.transfer_request import LONGEST
from shared.runtime.http import Answer, Problem, answer
from shared.store.transfers import place_of

LONGEST_WAY_H = 8_784
"""Hours that a transfer may take: a year."""

MOST_PARTS = 200
"""Lines of one shipment or receipt: a SKU may come from several bins."""

log = logging.getLogger(__name__)


class TransferLineRequest(Request):
    """Base units of one SKU."""

    sku: Name
    quantity: Units


class TransferRequest(Request):
    """What should go from where to where, and why; overdue ``lead_time_h`` hours after it left."""

    from_: Annotated[Name, Field(alias="from")]
    to: Name
    lines: Annotated[list[TransferLineRequest], Field(min_length=1, max_length=LONGEST)]
    reason: Reason
    lead_time_h: Annotated[int, Field(strict=True, ge=1, le=LONGEST_WAY_H)] | None = None


class PartRequest(Request):
    """Units of one SKU that left from, or arrived in, a bin or a lot, where the location keeps them apart."""

    sku: Name
    quantity: Units
    bin: Bin | None = None
    lot: Lot | None = None


class MovedRequest(Request):
    """What left or arrived, and when; all that still can, and now, unless it is said."""

    lines: list[PartRequest] = Field(default_factory=list, max_length=MOST_PARTS)
    at: Instant | None = None


class CloseRequest(Request):
    """Why a transfer ends here. What is in transit is lost, and ``accept_loss`` says that this is meant."""

    reason: Reason
    accept_loss: Annotated[bool, Field(strict=True)] = False


@call("POST /v1/transfers", OPERATORS, body=TransferRequest)
def post_transfer(asked: Asked[TransferRequest]) -> Answer:
    """Request a transfer, once for each Idempotency-Key; nothing is held until it is approved."""
    key, said = _key(asked), asked.body
    with _said_plainly():
        made = house().transfers.request(
            asked.client,
            key,
            LocationId(said.from_),
            LocationId(said.to),
            [(Sku(line.sku), line.quantity) for line in said.lines],
            said.reason,
            None if said.lead_time_h is None else timedelta(hours=said.lead_time_h),
        )
    _log(made, "request", asked.client)
    return answer(201, transfer_view(made), {"Location": f"/v1/transfers/{made.id}"})


@call("POST /v1/transfers/<transfer>/approve", APPROVERS)
def approve_transfer(asked: Asked[Any]) -> Answer:
    """Approve a transfer: its units are held at the origin from now on, all of them or none."""
    return _acted(asked, "approve", lambda name, key: house().transfers.approve(name, asked.client, key))


@call("POST /v1/transfers/<transfer>/ship", OPERATORS, body=MovedRequest)
def ship_transfer(asked: Asked[MovedRequest]) -> Answer:
    """Say what has left the origin: some of it, or all that has not left yet."""
    said = asked.body if asked.has_body else MovedRequest()
    return _acted(
        asked,
        "ship",
        lambda name, key: house().transfers.ship(name, asked.client, key, _parts(said.lines), said.at),
    )


@call("POST /v1/transfers/<transfer>/receive", OPERATORS, body=MovedRequest)
def receive_transfer(asked: Asked[MovedRequest]) -> Answer:
    """Say what has arrived at the destination: some of it, or all that is in transit; never more than left."""
    said = asked.body if asked.has_body else MovedRequest()
    return _acted(
        asked,
        "receive",
        lambda name, key: house().transfers.receive(name, asked.client, key, _parts(said.lines), said.at),
    )


@call("POST /v1/transfers/<transfer>/close", (*OPERATORS, *APPROVERS), body=CloseRequest)
def close_transfer(asked: Asked[CloseRequest]) -> Answer:
    """End a transfer: what is held goes back; an approver may write off what is in transit as lost."""
    said, may_write_off = asked.body, bool({"admin", *APPROVERS} & asked.scopes)
    return _acted(
        asked,
        "close",
        lambda name, key: house().transfers.close(
            name,
            asked.client,
            key,
            said.reason,
            accept_loss=said.accept_loss,
            may_write_off=may_write_off,
        ),
    )


@call("GET /v1/transfers/recommendations", WATCHERS, query=("location", "limit", "cursor"))
def get_recommendations(asked: Asked[Any]) -> Answer:
    """Say what should be transferred to a location, and why; ``request`` of each is the body that would request it."""
    location, cursor = asked.query.required("location"), asked.query.text("cursor")
    try:
        found = house().recommender.recommend(
            LocationId(location), None if cursor is None else Sku(cursor), asked.query.page_size()
        )
    except NotReplenishedError as error:
        remedy = f"declare locations.{location}.replenish with from: in the network file, and apply it"
        raise InvalidFieldError("location", str(error), remedy) from error
    return answer(200, recommendation_view.recommended(LocationId(location), found))


@call("GET /v1/transfers/<transfer>", WATCHERS)
def get_transfer(asked: Asked[Any]) -> Answer:
    """Show a transfer, with what became of each line and who decided what."""
    with _said_plainly():
        return answer(200, transfer_view(house().transfers.get(asked.path["transfer"])))


@call("GET /v1/transfers", WATCHERS, query=("limit", "cursor"))
def get_transfers(asked: Asked[Any]) -> Answer:
    """List transfers, the newest first."""
    limit, cursor = asked.query.page_size(), asked.query.text("cursor")
    if cursor is not None and not re.fullmatch(r"\d{4}-[0-9T:.-]+Z#[0-9a-f]{16}", cursor, re.ASCII):
        raise InvalidFieldError("cursor", "it is not one that we gave", "use the cursor of the last page")
    found = house().transfers.newest(limit + 1, cursor)
    following = place_of(found[limit - 1]) if len(found) > limit else None
    return answer(200, {"transfers": [transfer_view(one) for one in found[:limit]], "cursor": following})


def transfer_view(transfer: Transfer) -> dict[str, Any]:
    """Show a transfer; of each line ``shipped`` is ``received`` and ``in_transit`` and ``lost`` together."""
    due_at = transfer.due_at
    return {
        "id": transfer.id,
        "status": transfer.status,
        "from": transfer.origin,
        "to": transfer.destination,
        **_figures(transfer.figures()),
        "lines": [{"sku": line.sku, **_figures(transfer.figures(line.sku))} for line in transfer.lines],
        "requested": _word(transfer.requested),
        "approved": _word(transfer.approved),
        "closed": _word(transfer.closed),
        "lead_time_h": None if transfer.lead_time is None else transfer.lead_time // timedelta(hours=1),
        "due_at": None if due_at is None else instant(due_at),
        "movements": [
            {
                "event": key,
                "sku": one.sku,
                "effect": one.effect,
                "quantity": one.units,
                "occurred_at": instant(one.at),
            }
            for key, one in sorted(transfer.moves.items(), key=lambda entry: (entry[1].at, entry[0]))
        ],
    }


def _figures(figures: Figures) -> dict[str, int]:
    return {
        "requested_units": figures.requested,
        "shipped": figures.shipped,
        "in_transit": figures.in_transit,
        "received": figures.received,
        "lost": figures.lost,
    }


def _word(word: Word | None) -> dict[str, str] | None:
    return None if word is None else {"by": word.by, "at": instant(word.at), "reason": word.why}


def _parts(lines: Sequence[PartRequest]) -> list[Part]:
    return [
        Part(Sku(line.sku), line.quantity, Leaf(line.bin or WHOLE.bin, line.lot or WHOLE.lot))
        for line in lines
    ]


def _key(asked: Asked[Any]) -> str:
    return idempotency_key(asked.header("idempotency-key"))


def _acted(asked: Asked[Any], action: str, act: Callable[[str, str], Transfer]) -> Answer:
    with _said_plainly():
        done = act(asked.path["transfer"], _key(asked))
    _log(done, action, asked.client)
    return answer(200, transfer_view(done))


def _log(transfer: Transfer, action: str, actor: str) -> None:
    told = {"transfer": transfer.id, "action": action, "status": transfer.status, "actor": actor}
    log.info("transfer_action", extra=told)


@contextmanager
def _said_plainly() -> Iterator[None]:
    """Say why a call about a transfer is refused, and what to do."""
    try:
        yield
    except RefusedTransferError as error:
        said = invalid(error.field, error.reason, error.remedy)
        if error.is_about_state:
            said = Problem(409, "not_possible", "Not possible", error.reason, error.remedy, error.field)
        raise RefusedError(said) from error
    except TransferNotFoundError as error:
        remedy = "check the id for typing errors"
        raise RefusedError(Problem(404, "not_found", "Not found", str(error), remedy)) from error
    except TransferBusyError as error:
        detail = "others keep changing the transfer or its stock just now; nothing is done twice"
        raise RefusedError(Problem(503, "busy", "Busy", detail, "repeat the same request shortly")) from error
    except SamePersonError as error:
        raise NotPossibleError(str(error), error.remedy) from error
    except WriteOffNotAllowedError as error:
        remedy = "have an approver close it; what has arrived can be received before"
        raise RefusedError(
            Problem(403, "insufficient_scope", "Insufficient scope", str(error), remedy)
        ) from error
    except InsufficientStockError as error:
        lines = [
            {
                "sku": one.sku,
                "location": one.location,
                "requested": one.requested,
                "available": one.available_to_promise,
            }
            for one in error.shortfalls
        ]
        detail = ", ".join(
            f"{one['sku']}: {one['available']} of {one['requested']} are left" for one in lines
        )
        remedy = "close it and request what is left, or approve it when more has come"
        raise RefusedError(
            Problem(
                409, "insufficient_stock", "Insufficient stock", detail, remedy, "lines", {"lines": lines}
            )
        ) from error

"""Calls by which people enter stock by hand: an adjustment, or what they counted; each with a reason, and who it was.

An entry changes the ledger wherever it is made, beside the systems that are believed there. One larger than its
location allows (``approve_beyond``) is held in a case until an approver decides. Whoever repeats a request whose answer
was lost, and which was rejected meanwhile, is answered 200 ``rejected`` with the case that says why.
"""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from functions.inventory_api.edge import OPERATORS, Asked, RefusedError, call, house
from functions.inventory_api.requests import (
    Bin,
    Instant,
    InvalidFieldError,
    Lot,
    Name,
    Reason,
    Request,
    idempotency_key,
)
from shared.domain.events import instant
from shared.operations.manual_desk import EntryBusyError, RefusedEntryError
from shared.runtime.http import Answer, Problem, answer
from shared.sources.manual import ADJUSTMENT, COUNT, ManualEntry

MOST = 1_000_000_000

log = logging.getLogger(__name__)


def _not_zero(value: int) -> int:
    if value == 0:
        raise ValueError("it changes nothing; send a number that is not 0")
    return value


Counted = Literal["on_hand", "quality_hold", "damaged"]


class _Entry(Request):
    """Where, of what, and why."""

    sku: Name
    location: Name
    reason: Reason
    counter: Counted = "on_hand"
    bin: Bin | None = None
    lot: Lot | None = None
    unit: Name | None = None


class MovementRequest(_Entry):
    """A signed change of one counter, in base units or in ``unit``; it happened now unless ``occurred_at`` is there."""

    quantity: Annotated[int, Field(strict=True, ge=-MOST, le=MOST), AfterValidator(_not_zero)]
    occurred_at: Instant | None = None


class CountRequest(_Entry):
    """What is there of one counter, in base units or in ``unit``; counted now unless ``counted_at`` is there."""

    quantity: Annotated[int, Field(strict=True, ge=0, le=MOST)]
    counted_at: Instant | None = None


@call("POST /v1/movements", OPERATORS, body=MovementRequest)
def post_movement(asked: Asked[MovementRequest]) -> Answer:
    """Adjust stock by hand, once for each Idempotency-Key: 201 posted, or 202 held until the case is approved."""
    return _enter(asked, ADJUSTMENT, asked.body, asked.body.occurred_at)


@call("POST /v1/counts", OPERATORS, body=CountRequest)
def post_count(asked: Asked[CountRequest]) -> Answer:
    """Say what was counted, once for each Idempotency-Key: 201 posted, or 202 held until the case is decided."""
    return _enter(asked, COUNT, asked.body, asked.body.counted_at)


def _enter(asked: Asked[Any], what: str, said: MovementRequest | CountRequest, at: datetime | None) -> Answer:
    key = idempotency_key(asked.header("idempotency-key"))
    where = {name: value for name in ("bin", "lot", "unit") if (value := getattr(said, name)) is not None}
    entry = ManualEntry(
        what,
        said.sku,
        said.location,
        said.quantity,
        asked.client,
        said.reason,
        said.counter,
        at="" if at is None else instant(at),
        **where,
    )
    try:
        entered = house().manual_desk.enter(entry, key)
    except RefusedEntryError as error:
        name = error.field if error.field != "at" else ("counted_at" if what == COUNT else "occurred_at")
        raise InvalidFieldError(name, error.reason, error.remedy) from error
    except EntryBusyError as error:
        detail = "the entry is kept, and could not be applied just now"
        remedy = "repeat the same request shortly"
        raise RefusedError(Problem(503, "busy", "Busy", detail, remedy)) from error
    log.info(
        "entered_by_hand",
        extra={
            "message_id": entered.message_id,
            "what": what,
            "status": entered.status,
            "actor": asked.client,
        },
    )
    return answer(
        {"posted": 201, "held": 202, "rejected": 200}[entered.status],
        {
            "status": entered.status,
            "case": entered.case_id,
            "message_id": entered.message_id,
            "event": entered.event_key,
            "sku": said.sku,
            "location": said.location,
            "quantity": said.quantity,
        },
    )

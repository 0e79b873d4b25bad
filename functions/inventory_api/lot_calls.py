"""Calls about lots: until when one may be sold, and that one is recalled."""

from __future__ import annotations

import logging
from datetime import date
from typing import Annotated

from pydantic import Field

from functions.inventory_api.edge import OPERATORS, Asked, RefusedError, call, house
from functions.inventory_api.requests import Day, Lot, Name, Reason, Request
from shared.domain.stock import Sku
from shared.operations.post import PostingContendedError
from shared.runtime.http import Answer, Problem, answer

log = logging.getLogger(__name__)


class ExpiryRequest(Request):
    """The last day, by UTC, on which a lot may be sold."""

    sku: Name
    lot: Lot
    expires_on: Annotated[Day, Field(ge=date(2000, 1, 1), le=date(8999, 12, 31))]


class RecallRequest(Request):
    """A lot that must not be sold any more, and why."""

    sku: Name
    lot: Lot
    reason: Reason


@call("PUT /v1/lots", OPERATORS, body=ExpiryRequest)
def put_lot(asked: Asked[ExpiryRequest]) -> Answer:
    """Say until when a lot may be sold; once that is over, its units are set on quality hold by themselves."""
    said = asked.body
    house().view.must_know(Sku(said.sku))
    lot = house().lots.set_expiry(Sku(said.sku), said.lot, said.expires_on, asked.client)
    return answer(200, {"sku": lot.sku, "lot": lot.lot, "expires_on": said.expires_on.isoformat()})


@call("POST /v1/lots/recall", OPERATORS, body=RecallRequest)
def post_recall(asked: Asked[RecallRequest]) -> Answer:
    """Set every unit of a lot on quality hold, wherever it lies, and what arrives of it later."""
    said = asked.body
    house().view.must_know(Sku(said.sku))
    try:
        done = house().lots.recall(Sku(said.sku), said.lot, said.reason, asked.client)
    except PostingContendedError as error:
        detail = (
            "the recall is kept, but its units could not be set on hold just now; the sweep does it shortly"
        )
        raise RefusedError(
            Problem(503, "busy", "Busy", detail, "look at the lot again in a minute")
        ) from error
    log.info("lot_recalled", extra={"sku": said.sku, "lot": said.lot, "actor": asked.client})
    held = {str(location): units for location, units in done.units.items()}
    told = {"sku": said.sku, "lot": said.lot, "reason": done.lot.reason, "recalled_by": done.lot.by}
    return answer(200, {**told, "set_on_hold": held, "not_told_apart": list(done.untold)})

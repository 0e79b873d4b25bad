"""What the API is asked: request bodies, parsed once at the edge."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Units = Annotated[int, Field(strict=True, ge=1, le=1_000_000_000)]


class Request(BaseModel):
    """A body: unknown fields are refused, because a misspelt one would be ignored in silence."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ReservationLine(Request):
    """Units of one SKU, where the channel's orders reserve unless a location is named."""

    sku: Name
    quantity: Units
    location: Name | None = None


class ReservationRequest(Request):
    """All of these lines, or none; for good, or until ``expires_in_s`` from now."""

    channel: Name
    expires_in_s: Annotated[int, Field(strict=True, ge=1, le=30 * 24 * 3600)] | None = None
    lines: Annotated[list[ReservationLine], Field(min_length=1, max_length=200)]


class MapAction(Request):
    """Which SKU an unknown code stands for."""

    sku: Name


class IgnoreAction(Request):
    """Why a case is ignored."""

    reason: Annotated[str, StringConstraints(min_length=3, max_length=1000)]


class RedriveRequest(Request):
    """Which dead-letter queue to send again; all of them unless one is named."""

    queue: Name | None = None


class BadTimeError(ValueError):
    """A time in a query is not an instant."""


def instant_of(text: str) -> datetime:
    """Read an ISO 8601 instant; one without a zone is never guessed.

    Raises
    ------
    BadTimeError
    """
    try:
        found = datetime.fromisoformat(re.sub(r" (\d\d:\d\d)$", r"+\1", text))
    except ValueError as error:
        raise BadTimeError(f"{text!r} is not an ISO 8601 time") from error
    if found.tzinfo is None:
        raise BadTimeError(f"{text!r} has no time zone; end it with Z or an offset")
    if not 1900 < found.year < 9000:
        raise BadTimeError(f"{text!r} is not of our time")
    return found

"""What the API is asked: path, query and body, parsed once at the edge.

Whatever comes is either what it says or refused by name: identifiers are printable and short enough for a key of the
tables, numbers are ASCII digits, times have a zone, and a body has each key once (sender and reader disagree on which
of two would win).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
)
from pydantic_core import PydanticCustomError

from shared.domain.cases import CaseKind
from shared.domain.stock import why_no_name
from shared.operations.reservation_items import LONGEST
from shared.runtime.http import Event, body_of
from shared.sources.wrong_fields import reason_of

LARGEST_PAGE = 200
LONGEST_NAME = 200
"""Characters of an identifier of ours or of a caller's, as everywhere else at the edge."""

SHORTEST_REASON = 3
"""Characters, without the blanks around them."""

LONGEST_CASE_ID = 1_000
LONGEST_BYTES = 1_000
"""Bytes of whatever becomes a key of the tables by itself, an event's or a case's, which the characters of others keep to."""

MOST_DAYS = 92
"""Days that one report covers."""

OUR_TIME = range(1970, 9000)
"""Years of whatever a request speaks of: in every zone they can be kept, and reckoned with."""

LONGEST_NUMBER = 15
"""Digits of a number in a query."""

Body = TypeVar("Body", bound=BaseModel)


class InvalidFieldError(ValueError):
    """A field of the request cannot be meant: names it, the reason, and the remedy."""

    def __init__(self, field: str, reason: str, remedy: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field, self.reason, self.remedy = field, reason, remedy


def identifier(field: str, text: str, longest: int = LONGEST_NAME) -> str:
    """Return an identifier exactly as it came.

    Raises
    ------
    InvalidFieldError
        When it is empty, too long, or holds what cannot be printed.
    """
    if not text:
        raise InvalidFieldError(field, "it is missing", f"name the {field}")
    if len(text) > longest:
        raise InvalidFieldError(field, f"it has {len(text)} characters", f"use at most {longest}")
    if not text.isprintable():
        reason = "it holds a character that cannot be printed"
        raise InvalidFieldError(field, reason, "send printable characters, percent-encoded as UTF-8")
    if (size := len(text.encode())) > LONGEST_BYTES:
        reason = f"it has {size} bytes as UTF-8"
        raise InvalidFieldError(field, reason, f"use at most {LONGEST_BYTES}; no key of the tables is longer")
    return text


def idempotency_key(text: str) -> str:
    """Return the key of a request that is done once however often it comes.

    Raises
    ------
    InvalidFieldError
    """
    try:
        return identifier("Idempotency-Key", text)
    except InvalidFieldError as error:
        remedy = "send a new key of 1 to 200 printable characters for each request, and the same when you repeat one"
        raise InvalidFieldError(error.field, error.reason, remedy) from error


# ---- the query --------------------------------------------------------------------------------------------------


class Query:
    """The query of a call. A parameter that the call does not take is refused: a misspelt one would be ignored."""

    def __init__(self, given: Mapping[str, str], known: tuple[str, ...]) -> None:
        for name in given:
            if name not in known:
                takes = f"this call takes {', '.join(known)}" if known else "this call takes none"
                raise InvalidFieldError(_shown(name), "there is no such parameter", takes)
        self._given = given

    def text(self, name: str) -> str | None:
        """Return an identifier, if it is there."""
        text = self._given.get(name)
        return None if text is None else identifier(name, text)

    def event(self, name: str) -> str | None:
        """Return an event's key, which is longer than other identifiers, if it is there."""
        text = self._given.get(name)
        return None if text is None else identifier(name, text, LONGEST_CASE_ID)

    def required(self, name: str) -> str:
        """Return an identifier that has to be there."""
        return identifier(name, self._given.get(name, ""))

    def one_of(self, name: str, choices: Sequence[str]) -> str | None:
        """Return one of some words, if it is there."""
        text = self._given.get(name)
        if text is not None and text not in choices:
            raise InvalidFieldError(
                name, f"there is no {name} {_shown(text)}", f"use one of: {', '.join(choices)}"
            )
        return text

    def only_with(self, name: str, *others: str) -> None:
        """Refuse parameters that make no sense beside ``name``."""
        for other in self._given:
            if other not in (name, *others):
                raise InvalidFieldError(
                    other, f"it makes no sense with {name}", f"leave out {other} or {name}"
                )

    def needs(self, name: str, other: str) -> None:
        """Refuse a parameter without the one that it belongs to."""
        if name in self._given and other not in self._given:
            raise InvalidFieldError(name, f"it makes no sense without {other}", f"add {other}")

    def page_size(self) -> int:
        """Return how many rows are asked for."""
        text = self._given.get("limit", "50")
        if not _is_number(text) or not 1 <= int(text) <= LARGEST_PAGE:
            raise InvalidFieldError("limit", f"{_shown(text)} is not a page size", f"use 1 to {LARGEST_PAGE}")
        return int(text)

    def number(self, name: str) -> int | None:
        """Return a whole number, if it is there."""
        text = self._given.get(name)
        if text is None:
            return None
        if not _is_number(text):
            raise InvalidFieldError(
                name, f"{_shown(text)} is not one that we gave", f"use the {name} of the last answer"
            )
        return int(text)

    def days(self, default: int, today: date) -> tuple[date, date]:
        """Return the days from ``from`` to ``to``, both included: else so many up to today."""
        last = self._day("to") or today
        first = self._day("from") or last - timedelta(days=default - 1)
        if first > last:
            raise InvalidFieldError("from", f"{first} is later than {last}", "put the earlier day into from")
        if (last - first).days >= MOST_DAYS:
            raise InvalidFieldError(
                "from", f"{first} to {last} is too long", f"ask for at most {MOST_DAYS} days"
            )
        return first, last

    def _day(self, name: str) -> date | None:
        text = self._given.get(name)
        if text is None:
            return None
        remedy = "write it like 2026-01-31; days are those of UTC"
        try:
            found = date.fromisoformat(text)
        except ValueError:
            raise InvalidFieldError(name, f"{_shown(text)} is not a day", remedy) from None
        if found.year not in OUR_TIME:
            raise InvalidFieldError(name, f"{_shown(text)} is not of our time", remedy)
        return found

    def instant(self, name: str) -> datetime | None:
        """Return an instant, if it is there."""
        text = self._given.get(name)
        return None if text is None else instant_of(name, text)


def instant_of(field: str, text: str) -> datetime:
    """Read an ISO 8601 instant; one without a zone is never guessed.

    Raises
    ------
    InvalidFieldError
    """
    remedy = "write it like 2026-11-01T12:00:00Z"
    try:  # an unescaped + in a query arrives as a space
        found = datetime.fromisoformat(re.sub(r" (\d\d:\d\d)$", r"+\1", text))
    except ValueError as error:
        raise InvalidFieldError(field, f"{_shown(text)} is not an ISO 8601 time", remedy) from error
    if found.tzinfo is None:
        reason = f"{_shown(text)} has no time zone"
        raise InvalidFieldError(field, reason, "end it with Z or an offset")
    if found.year not in OUR_TIME:
        raise InvalidFieldError(field, f"{_shown(text)} is not of our time", remedy)
    return found


def case_cursor(text: str | None) -> str | None:
    """Read a cursor of a page of cases, which is an instant and a digest.

    Raises
    ------
    InvalidFieldError
    """
    if text is None or re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z(#[0-9a-f]{16})?", text, re.ASCII
    ):
        return text
    raise InvalidFieldError(
        "cursor", f"{_shown(text)} is not one that we gave", "use the cursor of the last page"
    )


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= LONGEST_NUMBER


def _shown(text: str) -> str:
    return ascii(text if len(text) <= 40 else f"{text[:37]}...")


# ---- bodies -----------------------------------------------------------------------------------------------------


def _printable(text: str) -> str:
    if not text.isprintable():
        raise PydanticCustomError("unprintable", "it holds a character that cannot be printed")
    return text


def _prose(text: str) -> str:
    if len(text.strip()) < SHORTEST_REASON:
        raise PydanticCustomError("blank", "it says nothing; write 3 characters or more")
    if not all(character.isprintable() or character in "\n\t" for character in text):
        raise PydanticCustomError("unprintable", "it holds a character that cannot be printed")
    return text


Name = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_NAME), AfterValidator(_printable)]


def _part_of_leaf(part: str) -> AfterValidator:
    def check(name: str) -> str:
        if (why := why_no_name(part, name)) is not None:
            raise ValueError("; ".join(why))
        return name

    return AfterValidator(check)


Bin = Annotated[Name, _part_of_leaf("bin")]
Lot = Annotated[Name, _part_of_leaf("lot")]
Reason = Annotated[
    str, StringConstraints(min_length=SHORTEST_REASON, max_length=1000), AfterValidator(_prose)
]


def _written_instant(value: object) -> object:
    """Let pass only text: a bare number, also one in quotes, could be seconds, milliseconds or anything else."""
    if not isinstance(value, (str, datetime)) or (isinstance(value, str) and not re.match(r"\d{4}-", value)):
        raise PydanticCustomError(
            "instant", "it is no instant; write it like 2026-11-01T12:00:00Z, with its zone"
        )
    return value


def _of_our_time(value: datetime) -> datetime:
    if value.year not in OUR_TIME:
        raise ValueError("it is not of our time; write it like 2026-11-01T12:00:00Z")
    return value


Instant = Annotated[AwareDatetime, BeforeValidator(_written_instant), AfterValidator(_of_our_time)]


def _written_day(value: object) -> object:
    """Let pass only text that is a day: a bare number, also one in quotes, would be taken for seconds since 1970."""
    if not isinstance(value, str) or not re.fullmatch(r"\d{4}-\d\d-\d\d", value, re.ASCII):
        raise PydanticCustomError("day", "it is no day; write it like 2026-01-31")
    return value


Day = Annotated[date, BeforeValidator(_written_day)]
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
    lines: Annotated[list[ReservationLine], Field(min_length=1, max_length=LONGEST)]


class FulfilmentRequest(Request):
    """Units of a reservation that have left; all that is open where no lines are named."""

    lines: Annotated[list[ReservationLine], Field(max_length=LONGEST)] = []


class SetAsideRequest(Request):
    """How many units of a stock key are kept for one channel from now on; 0 gives them back to all."""

    channel: Name
    sku: Name
    location: Name
    units: Annotated[int, Field(strict=True, ge=0, le=1_000_000_000)]


class MapAction(Request):
    """Which SKU an unknown code stands for; ``code`` names it where a file waits for many."""

    sku: Name
    code: Name | None = None


class AssignAction(Request):
    """Who takes a case on (nobody, where ``owner`` is empty), until when, and why."""

    owner: Annotated[str, StringConstraints(max_length=LONGEST_NAME), AfterValidator(_printable)]
    due_at: Instant | None = None
    reason: Reason | None = None


class CommentAction(Request):
    """What somebody says about a case."""

    text: Reason


class EscalateAction(Request):
    """Why a case is raised before its time."""

    reason: Reason


class IgnoreAction(Request):
    """Why a case is ignored."""

    reason: Reason


class BulkAction(Request):
    """What to do with every open case of a kind, of a source, channel, message or owner where these are named.

    A ``dry_run`` only counts them. ``cursor`` is that of the answer before.
    """

    action: Annotated[str, StringConstraints(pattern="^(retry|ignore)$")]
    kind: CaseKind
    source: Name | None = None
    channel: Name | None = None
    message: Name | None = None
    owner: Name | None = None
    overdue: Annotated[bool, Field(strict=True)] | None = None
    reason: Reason | None = None
    dry_run: Annotated[bool, Field(strict=True)] = False
    cursor: Name | None = None


class RedriveRequest(Request):
    """Which dead letters to send again: all, those of a ``queue``, or one ``letter`` of it.

    No more than ``most``, no faster than ``per_second``. A ``dry_run`` only says what would become of each.
    """

    queue: Name | None = None
    letter: Name | None = None
    most: Annotated[int, Field(strict=True, ge=1, le=10_000)] = 10_000
    per_second: Annotated[int, Field(strict=True, ge=1, le=1_000)] = 100
    dry_run: Annotated[bool, Field(strict=True)] = False


def parse_body(event: Event, model: type[Body]) -> Body:
    """Read the body of a request.

    Raises
    ------
    InvalidFieldError
        Naming the first field at fault; ``body`` where it is no JSON, is nested too deeply, or has a key twice.
    """
    remedy = "correct the field and send again"
    try:
        raw = body_of(event)
    except ValueError as error:  # no base64, or a lone surrogate
        raise InvalidFieldError("body", "it cannot be decoded", "send UTF-8") from error
    try:
        parsed = model.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        field = ".".join(_field_part(part) for part in first["loc"]) or "body"
        raise InvalidFieldError(field, reason_of(first), remedy) from error
    json.loads(raw, object_pairs_hook=_each_key_once)
    return parsed


def _field_part(part: Any) -> str:
    text = str(part)
    return text if len(text) <= 40 and text.isprintable() else _shown(text)


def _each_key_once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    values = dict(pairs)
    if len(values) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise InvalidFieldError(twice, "it is there twice in one object", "send each key once")
    return values

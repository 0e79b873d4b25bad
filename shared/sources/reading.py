"""How untrusted bytes become typed values at the edge of every connector.

Each reader returns a value that the rest of the house may rely on, or raises ``UnreadableError`` with the fault
that an operator will see: the field's path, what is wrong with it, and what to do. A connector catches it once
for the envelope and once for each line, so that one bad line costs one fault.

Refused here, because nothing past the edge defends against it: duplicate JSON keys (senders and readers disagree
on which one wins), ``NaN``, lone surrogates and control characters in identifiers (they cannot be stored, or
would blur a digest), naive times, and numbers where an identifier is meant (a number has lost its zeros).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import NoReturn

from shared.domain.stock import EventKey
from shared.sources.contract import Fault

MAX_QUANTITY = 999_999_999_999
"""The largest number of base units that a message may name; beyond it a number is an error, not stock."""

MAX_PLACES, MAX_DIGITS = 6, 18
"""The most decimals, and digits in all, of a number that is measured in a unit."""

MAX_TEXT = 200
"""The longest identifier accepted, in characters."""

MAX_KEY_BYTES = 900
"""The longest event key, so that it fits a DynamoDB sort key (1,024 bytes) with its prefix."""

_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST = datetime(9000, 1, 1, tzinfo=UTC)


class UnreadableError(Exception):
    """A value cannot become an event; ``fault`` says where, why and what to do."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(f"{fault.field}: {fault.reason}")
        self.fault = fault


def refuse(code: str, field: str, reason: str, remedy: str) -> NoReturn:
    """Raise the fault with these words."""
    raise UnreadableError(Fault(code, field, reason, remedy))


def shown(value: object) -> str:
    """Write an offending value for a human: short, printable, and never walking into a nested document."""
    if isinstance(value, (dict, list)):
        return "an object" if isinstance(value, dict) else "a list"
    if isinstance(value, str):
        return ascii(value if len(value) <= 60 else value[:57] + "...")
    if isinstance(value, bool) or value is None:
        return json.dumps(value)
    if isinstance(value, Decimal):
        return str(value)[:60]
    if isinstance(value, int) and abs(value) > 10**30:
        return "a number of more than 30 digits"
    return ascii(value)


def parse_json(body: bytes) -> object:
    """Parse a JSON body strictly.

    Raises
    ------
    UnreadableError
        When it is not UTF-8, not JSON, nested too deeply, or has a duplicate key, ``NaN`` or ``Infinity``.
    """
    try:
        return json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_object_without_duplicates,
            parse_float=Decimal,
            parse_constant=_refuse_constant,
        )
    except UnicodeDecodeError as error:
        _malformed(f"byte {error.start} is not UTF-8", "send the body as UTF-8")
    except RecursionError:
        _malformed("the JSON is nested too deeply", "send the documented shape")
    except json.JSONDecodeError as error:
        _malformed(
            f"not JSON at line {error.lineno}, column {error.colno}", "send the body as one JSON object"
        )
    except ValueError:  # Python turns no more than some thousand digits into a number
        _malformed("a number has more digits than any quantity", "send whole numbers of units")


def _object_without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    values = dict(pairs)
    if len(values) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                _malformed(f"the key {shown(key)} is there twice in one object", "send each key once")
            seen.add(key)
    return values


def _refuse_constant(name: str) -> NoReturn:
    _malformed(f"{name} is not JSON", "send whole numbers")


def _malformed(reason: str, remedy: str) -> NoReturn:
    refuse("malformed", "body", reason, remedy)


def identifier(value: str, field: str) -> str:
    """Return ``value`` exactly as sent, if it can be an identifier.

    Raises
    ------
    UnreadableError
        When it is blank, longer than ``MAX_TEXT``, or holds a character that cannot be printed.
    """
    if not value.strip():
        refuse("missing_field", field, "is empty", f"send {field}")
    if len(value) > MAX_TEXT:
        refuse("invalid_field", field, f"has {len(value)} characters", f"send at most {MAX_TEXT} characters")
    if not value.isprintable() or "\ufffd" in value:
        refuse(
            "invalid_field",
            field,
            f"{shown(value)} holds a character that cannot be printed or was not decoded",
            "send printable characters; for a file, check the declared encoding",
        )
    return value


def aware(text: str, field: str) -> datetime:
    """Read an ISO 8601 instant that carries its time zone; return it in UTC.

    Raises
    ------
    UnreadableError
        When it is no instant, has no time zone (which is never guessed), or lies outside 1970 to 9000.
    """
    remedy = "send ISO 8601 with a time zone, such as 2026-11-21T08:30:00Z"
    try:
        value = datetime.fromisoformat(text)
    except ValueError:
        refuse("invalid_field", field, f"{shown(text)} is not an instant", remedy)
    if value.tzinfo is None:
        refuse("invalid_field", field, f"{shown(text)} has no time zone", remedy)
    return in_range(value, field)


def in_range(value: datetime, field: str) -> datetime:
    """Return an aware instant in UTC, if it can be stored.

    Raises
    ------
    UnreadableError
        When it lies outside 1970 to 9000.
    """
    try:
        utc = value.astimezone(UTC)
    except OverflowError:
        utc = _LATEST
    if not _EARLIEST <= utc < _LATEST:
        refuse("invalid_field", field, f"{value.isoformat()} lies outside 1970 to 9000", "send the real time")
    return utc


def event_key(source: str, *parts: str) -> EventKey:
    """Join the parts of an event's business identity; a ``/`` inside a part is percent-encoded.

    Raises
    ------
    UnreadableError
        When the key would be too long to store.
    """
    key = "/".join([_key_part(source), *map(_key_part, parts)])
    if len(key) * 4 > MAX_KEY_BYTES and len(key.encode()) > MAX_KEY_BYTES:
        refuse(
            "invalid_field",
            "event_key",
            "document, line and version are too long together",
            f"send shorter identifiers: at most {MAX_KEY_BYTES} bytes in all",
        )
    return EventKey(key)


def in_order(version: str) -> str:
    """Write a version so that text order is its order: ``9`` comes before ``10``."""
    return re.sub(r"[0-9]+", lambda digits: digits[0].zfill(20), version)


def _key_part(text: str) -> str:
    if "/" in text or "%" in text:
        return text.replace("%", "%25").replace("/", "%2F")
    return text


class Fields:
    """Typed reading of one JSON object, with the path to it for the faults."""

    __slots__ = ("path", "values")

    def __init__(self, value: object, path: str) -> None:
        if not isinstance(value, dict):
            refuse("invalid_field", path or "body", f"is {shown(value)}, not an object", "send a JSON object")
        self.values: Mapping[str, object] = value
        self.path = path

    def where(self, name: str) -> str:
        """Return the path of a field, as faults name it."""
        return f"{self.path}.{name}" if self.path else name

    def has(self, name: str) -> bool:
        """Say whether the field is there and not null."""
        return self.values.get(name) is not None

    def _required(self, name: str) -> object:
        value = self.values.get(name)
        if value is None:
            refuse("missing_field", self.where(name), "is missing", f"send {self.where(name)}")
        return value

    def text(self, name: str) -> str:
        """Read an identifier that must be text: a number here may already have lost leading zeros."""
        value = self._required(name)
        if not isinstance(value, str):
            refuse("invalid_field", self.where(name), f"{shown(value)} is not text", "send it in quotes")
        return identifier(value, self.where(name))

    def text_or(self, name: str, default: str) -> str:
        """Read an optional text identifier; null is absent."""
        return self.text(name) if self.has(name) else default

    def number_or_text(self, name: str) -> str:
        """Read an identifier that senders keep as text or as a whole number; a number becomes its digits."""
        value = self._required(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return identifier(str(value), self.where(name))
        return self.text(name)

    def quantity(self, name: str, least: int = 0) -> int:
        """Read a whole number of base units, from ``least`` to ``MAX_QUANTITY``: a JSON integer, nothing else."""
        value = self._required(name)
        if isinstance(value, bool) or not isinstance(value, int):
            refuse(
                "invalid_field",
                self.where(name),
                f"{shown(value)} is not a whole number",
                "send the quantity in base units as a JSON integer, without quotes or decimals",
            )
        if not least <= value <= MAX_QUANTITY:
            refuse(
                "invalid_field",
                self.where(name),
                f"{shown(value)} is out of range",
                f"send a number from {least} to {MAX_QUANTITY}",
            )
        return value

    def measured(self, name: str, least: int = 0) -> tuple[int, int]:
        """Read a number of some unit, with or without decimals, as (quantity, places): ``2.50`` is (25, 1).

        ``least`` is 0, or negative where the number may be.
        """
        value = self._required(name)
        if not isinstance(value, Decimal):
            return self.quantity(name, least), 0
        _, digits, exponent = value.as_tuple()
        is_plain = len(digits) <= MAX_DIGITS and isinstance(exponent, int) and abs(exponent) <= MAX_DIGITS
        exact = Fraction(value) if is_plain else None
        places = 0
        while exact is not None and (exact * 10**places).denominator != 1:
            places += 1
        if exact is None or places > MAX_PLACES:
            refuse(
                "invalid_field",
                self.where(name),
                f"{shown(value)} is no number of at most {MAX_DIGITS} digits and {MAX_PLACES} decimals",
                "send a number such as 2.5",
            )
        quantity = int(exact * 10**places)
        if not least <= quantity <= MAX_QUANTITY:
            refuse(
                "invalid_field",
                self.where(name),
                f"{shown(value)} is out of range",
                f"send a number from {least} to {MAX_QUANTITY}",
            )
        return quantity, places

    def moment(self, name: str) -> datetime:
        """Read an instant with a time zone."""
        value = self._required(name)
        if not isinstance(value, str):
            refuse("invalid_field", self.where(name), f"{shown(value)} is not text", "send ISO 8601 text")
        return aware(value, self.where(name))

    def items(self, name: str) -> Sequence[object]:
        """Read a list."""
        value = self._required(name)
        if not isinstance(value, list):
            refuse("invalid_field", self.where(name), f"is {shown(value)}, not a list", "send a JSON list")
        return value

"""How a source's snapshot files are laid out, as declared in its options; and what time a file speaks of.

The declaration is parsed once, so that the reading of rows meets no option that is missing or contradicts
another. Nothing here is guessed from the data but the delimiter, and that only where it is proven by the header.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, time, timedelta
from typing import Annotated, Literal, NamedTuple, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from shared.domain.snapshot_guard import Guard
from shared.sources.contract import DroppedFile, Fault
from shared.sources.reading import aware, in_range, refuse, shown
from shared.sources.wrong_fields import reason_of

DELIMITERS = (",", ";", "\t", "|")
"""What ``delimiter: auto`` tries."""

_Name = Annotated[str, Field(min_length=1), BeforeValidator(lambda v: v.strip() if isinstance(v, str) else v)]
_CLOCK_GROUPS = ("year", "month", "day", "hour", "minute", "second")


_INSTANT = timedelta(microseconds=1)


class Taken(NamedTuple):
    """When a count was taken: at ``as_of``, or at some instant from ``since`` to it where only a date is known."""

    as_of: datetime
    since: datetime | None = None


class AsOf(BaseModel):
    """Where the time comes from that a snapshot is true at (option ``as_of``).

    ``from: file_name`` takes a regular expression ``pattern`` whose named groups are ``year``, ``month``, ``day``
    and perhaps ``hour``, ``minute``, ``second``; or a ``format`` of strptime for what the pattern finds (its
    group ``stamp`` if it has one). ``from: column`` reads ``column`` by ``format``, or as ISO 8601.
    ``from: written_at`` takes the time the file was written: then a file that is written again is another count.
    A local time needs ``time_zone``; one that the zone has twice or never, at a change of clocks, is refused.
    ``time_of_day`` is what is meant where a date has none; without it the count was taken at some instant of that day,
    and before the file was written.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    origin: Literal["file_name", "column", "written_at"] = Field(alias="from")
    pattern: re.Pattern[str] | None = None
    format: str | None = None
    column: _Name | None = None
    time_zone: str | None = None
    time_of_day: time | None = None

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if self.origin == "column" and self.column is None:
            raise ValueError("from: column needs the name of the column")
        if self.origin == "file_name":
            if self.pattern is None:
                raise ValueError("from: file_name needs a pattern")
            if self.format is None and "year" not in self.pattern.groupindex:
                raise ValueError(
                    "the pattern needs the named groups year, month and day, or a format beside it"
                )
        if self.time_zone is not None:
            try:
                ZoneInfo(self.time_zone)
            except (ZoneInfoNotFoundError, ValueError, OSError) as error:
                raise ValueError(f"{self.time_zone!r} is not an IANA time zone") from error
        return self

    @property
    def may_name_dates_alone(self) -> bool:
        """Whether a count may come with a date and no time, so that it leaves a whole day open."""
        if self.origin == "written_at" or self.time_of_day is not None:
            return False
        if self.format is not None:
            return _has_no_time(self.format)
        return self.origin == "column" or (self.pattern is not None and "hour" not in self.pattern.groupindex)

    def of_file(self, file: DroppedFile) -> Taken | None:
        """Return when the whole file was taken; None where each row has its own.

        Raises
        ------
        UnreadableError
            When the file's name does not say it.
        """
        if self.origin == "written_at":
            return Taken(in_range(file.written_at, "file.written_at"))
        if self.origin == "column" or self.pattern is None:
            return None
        match = self.pattern.search(file.name)
        if match is None:
            refuse(
                "invalid_field",
                "file.name",
                f"{shown(file.name)} does not match the declared pattern {self.pattern.pattern}",
                "name the file as declared, or correct the option as_of.pattern",
            )
        found = match.groupdict()
        if self.format is not None:
            return self.of_text(found.get("stamp") or match[0], "file.name", file)
        named = {name: found[name] for name in _CLOCK_GROUPS if found.get(name)}
        try:
            numbers = {name: int(digits) for name, digits in named.items()}
            local = datetime(**numbers)  # type: ignore[arg-type]  # noqa: DTZ001 - placed in its zone below
        except (ValueError, TypeError):
            refuse(
                "invalid_field", "file.name", f"{shown(file.name)} holds no valid date", "correct the name"
            )
        return self._taken(local, "hour" not in numbers, "file.name", file)

    def of_text(self, text: str, field: str, file: DroppedFile) -> Taken:
        """Read an instant, or a date, written in a cell or in a file's name.

        Raises
        ------
        UnreadableError
            When it does not fit the declared format, or has no time zone and none is declared.
        """
        try:
            if self.format is not None:
                value = datetime.strptime(text, self.format)  # noqa: DTZ007 - placed in its zone below
                has_no_time = _has_no_time(self.format)
            else:
                value = datetime.fromisoformat(text)
                has_no_time = len(text) <= len("2026-11-21")
        except ValueError:
            wanted = self.format or "ISO 8601"
            refuse(
                "invalid_field",
                field,
                f"{shown(text)} is not a time written as {wanted}",
                "correct it, or declare how times are written with the option as_of.format",
            )
        return self._taken(value, has_no_time, field, file)

    def _taken(self, value: datetime, has_no_time: bool, field: str, file: DroppedFile) -> Taken:
        if not has_no_time:
            return Taken(self._placed(value, field))
        if self.time_of_day is not None:
            return Taken(self._placed(datetime.combine(value.date(), self.time_of_day, value.tzinfo), field))
        start = self._midnight(value, field)
        end = self._midnight(value + timedelta(days=1), field) - _INSTANT
        return Taken(max(start, min(end, in_range(file.written_at, "file.written_at"))), start)

    def _midnight(self, day: datetime, field: str) -> datetime:
        """Return when a day begins; where clocks show its midnight twice, at the first."""
        zone = day.tzinfo or (None if self.time_zone is None else ZoneInfo(self.time_zone))
        midnight = datetime.combine(day.date(), time.min, zone)
        return self._placed(midnight, field)

    def _placed(self, value: datetime, field: str) -> datetime:
        if value.tzinfo is not None:
            return in_range(value, field)
        if self.time_zone is None:
            return aware(value.isoformat(), field)
        zone = ZoneInfo(self.time_zone)
        first, second = value.replace(tzinfo=zone), value.replace(tzinfo=zone, fold=1)
        if first.utcoffset() != second.utcoffset():
            refuse(
                "invalid_field",
                field,
                f"{value.isoformat(sep=' ')} happens twice or never in {self.time_zone}, at the change of clocks",
                "write the time in UTC or with its offset",
            )
        return in_range(first, field)


def _has_no_time(format_: str) -> bool:
    return not any(mark in format_ for mark in ("%H", "%I", "%X", "%c"))


class GuardLimits(BaseModel):
    """From when on a full snapshot is taken for cut short or emptied (option ``guard``); see ``snapshot_guard``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fewest_percent: Annotated[int, Field(ge=0, le=100)] = Guard().fewest_percent
    least_stocked_percent: Annotated[int, Field(ge=0, le=100)] = Guard().least_stocked_percent
    judged_from: Annotated[int, Field(ge=1)] = Guard().judged_from

    @property
    def rule(self) -> Guard:
        """The limits as the rule reads them."""
        return Guard(self.fewest_percent, self.least_stocked_percent, self.judged_from)


class SnapshotLayout(BaseModel):
    """The options of a ``csv_snapshot`` source; see ``csv_snapshot`` for what each does."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    sku_column: _Name
    quantity_column: _Name | None = None
    unit_column: _Name | None = None
    location_column: _Name | None = None
    location: _Name | None = None
    location_columns: Mapping[_Name, _Name] | None = None
    as_of: AsOf
    element: _Name = "on_hand"
    code_kind: _Name = "sku"
    delimiter: Literal[",", ";", "\t", "|", "auto"] = ","
    encoding: Literal[
        "utf-8-sig", "utf-8", "utf-16", "utf-16-le", "utf-16-be", "latin-1", "iso-8859-1", "iso-8859-15",
        "cp1250", "cp1252", "cp437", "cp850",
    ] = "utf-8-sig"  # fmt: skip
    decimal: Literal[".", ","] = "."
    thousands: Literal["", ".", ",", " ", "'", "’"] = ""
    skip_blank_quantity: bool = False
    skip_blank_sku: bool = False
    footer_pattern: re.Pattern[str] | None = None
    snapshot: Literal["full", "partial"] = "full"
    guard: GuardLimits = GuardLimits()

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.decimal == self.thousands:
            raise ValueError("decimal and thousands cannot be the same mark")
        if self.location_columns is not None:
            if not self.location_columns:
                raise ValueError("location_columns names no column")
            if self.quantity_column or self.location_column or self.location:
                raise ValueError("give location_columns, or quantity_column with a location, not both")
        elif self.quantity_column is None:
            raise ValueError("give quantity_column, or location_columns for one column per location")
        elif (self.location_column is None) == (self.location is None):
            raise ValueError("give either location_column or a fixed location")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """The headers that the file must have."""
        long_form = (self.quantity_column, self.unit_column, self.location_column, self.as_of.column)
        return (self.sku_column, *(name for name in long_form if name), *(self.location_columns or {}))


def parse_layout(options: Mapping[str, object]) -> SnapshotLayout | list[Fault]:
    """Parse a source's options, or say all that is wrong with them."""
    try:
        return SnapshotLayout.model_validate(dict(options))
    except ValidationError as error:
        return [
            Fault(
                "invalid_field",
                ".".join(["source.options", *map(str, found["loc"])]),
                reason_of(found),
                "correct the source's declaration and apply it again",
            )
            for found in error.errors(include_url=False, include_input=False, include_context=False)
        ]

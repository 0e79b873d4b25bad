"""The cases of a dropped file as a whole: what each says, and what an operator can do about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from shared.domain.cases import Case, CaseKind, Fact, case_id
from shared.domain.network import Source
from shared.domain.stock import MessageId, SourceId
from shared.operations.apply_message import failed_case
from shared.operations.file_reading import Reading

LISTED = 50
"""Codes, or places, that a case of a file lists; the rest are counted."""


def broken_case(message: MessageId, key: str, reason: str, now: datetime) -> Case:
    """A file whose reading shows a fault of ours."""
    return _case(
        failed_case(message),
        CaseKind.MESSAGE_FAILED,
        f"file {key} could not be read: {reason}",
        "retry the case; if it fails again, tell whoever runs Onecount: this is a fault of ours",
        {"key": key, "reason": reason},
        message,
        now,
    )


def refused_case(message: MessageId, key: str, size: int, reason: str, now: datetime) -> Case:
    """A file that is not read at all."""
    return _case(
        case_id(CaseKind.BAD_MESSAGE, "file", message),
        CaseKind.BAD_MESSAGE,
        f"file {key} was not read: {reason}",
        "declare a source whose `drop` is this prefix, or split the file; then retry the case",
        {"key": key, "size": size, "reason": reason},
        message,
        now,
    )


def suspicious_case(
    message: MessageId, key: str, source: Source, reasons: Sequence[str], now: datetime
) -> Case:
    """A snapshot that looks cut short or emptied, and is held whole."""
    more = f" (and {len(reasons) - 1} more places)" if len(reasons) > 1 else ""
    listed = {f"reason_{n}": reason for n, reason in enumerate(reasons[:LISTED], start=1)}
    return _case(
        case_id(CaseKind.SUSPICIOUS_SNAPSHOT, source.id, message),
        CaseKind.SUSPICIOUS_SNAPSHOT,
        f"{source.id}: file {key} was not applied: {reasons[0]}{more}",
        "approve the case if the file is right; else reject it, and have it dropped again whole",
        {"source": source.id, "key": key, "places": len(reasons), **listed},
        message,
        now,
    )


def codes_case(message: MessageId, key: str, source: Source, reading: Reading, now: datetime) -> Case:
    """A file whose rows use many codes that nobody has mapped; those of most rows are listed first."""
    codes = sorted(reading.codes.values(), key=lambda code: -code.rows)
    rows = sum(code.rows for code in codes) + reading.further_rows
    number = f"more than {len(codes)}" if reading.further_rows else f"{len(codes)}"
    listed = {
        f"code_{n}": f"{code.kind} {code.code}: {code.rows} rows"
        for n, code in enumerate(codes[:LISTED], start=1)
    }
    return _case(
        codes_case_id(source.id, message),
        CaseKind.UNKNOWN_CODES,
        f"{source.id}: {rows} rows of file {key} use {number} codes that stand for nothing of ours",
        "import or map the codes, a few or all at once; within a minute of that, the rows of each post by themselves. "
        "If they are right as SKUs of ours, import the items",
        {"source": source.id, "key": key, "codes": len(codes), "rows": rows, **listed},
        message,
        now,
    )


def codes_case_id(source: SourceId, message: MessageId) -> str:
    """Name the case of a file whose rows use many codes that nobody has mapped."""
    return case_id(CaseKind.UNKNOWN_CODES, source, message)


def _case(
    name: str,
    kind: CaseKind,
    title: str,
    remedy: str,
    facts: Mapping[str, Fact],
    message: MessageId,
    now: datetime,
) -> Case:
    return Case(name, kind, title, remedy, now, now, facts, message)

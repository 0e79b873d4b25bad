"""Whether a dropped file is delimited text at all, and what its header says.

Every refusal here is about the whole file, so it says what was found instead: an operator sees at once that the
export wrote a workbook, an error page, another encoding or other headers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import BinaryIO

from shared.sources.delimited_text import split_quoted
from shared.sources.reading import refuse, shown
from shared.sources.snapshot_layout import DELIMITERS, SnapshotLayout

HEAD_BYTES = 4096
"""How much of the file is looked at before anything is read from it."""

_HEADERS_SHOWN = 20

_NOT_TEXT = (
    (b"PK\x03\x04", "a zip archive or an Excel workbook (.xlsx)"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook (.xls)"),
    (b"%PDF", "a PDF"),
    (b"\x1f\x8b", "a gzip archive"),
)


def read_head(content: BinaryIO) -> bytes:
    """Read the first ``HEAD_BYTES``; a network stream may hand them over in pieces."""
    head = b""
    while len(head) < HEAD_BYTES and (piece := content.read(HEAD_BYTES - len(head))):
        head += piece
    return head


def check_is_text(head: bytes, layout: SnapshotLayout) -> None:
    """Refuse what its first bytes prove to be something else than delimited text in the declared encoding.

    Raises
    ------
    UnreadableError
        When it is an archive, a workbook, HTML, JSON, binary, empty, or in another encoding.
    """
    remedy = "drop the file as delimited text, with a header that names the declared columns: "
    remedy += _listed(layout.columns)
    for magic, name in _NOT_TEXT:
        if head.startswith(magic):
            refuse("malformed", "file", f"is {name}, not delimited text", remedy)
    wide = layout.encoding.startswith("utf-16")
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) and not wide:
        refuse("malformed", "file", f"is UTF-16, declared as {layout.encoding}", "declare encoding: utf-16")
    if head.startswith(b"\xef\xbb\xbf") and not layout.encoding.startswith("utf-8"):
        refuse("malformed", "file", f"is UTF-8, declared as {layout.encoding}", "declare encoding: utf-8-sig")
    if head.strip() and layout.encoding == "utf-16" and not head.startswith((b"\xff\xfe", b"\xfe\xff")):
        refuse(
            "malformed",
            "file",
            "does not begin with the byte order mark of the declared utf-16",
            "declare the encoding that the file has (utf-16-le or utf-16-be if it is UTF-16 without the mark)",
        )
    if b"\0" in head and not wide:
        refuse("malformed", "file", "holds NUL bytes, so it is binary or UTF-16", remedy)
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not start:
        refuse("malformed", "file", "is empty", remedy)
    if start.startswith(b"<"):
        refuse("malformed", "file", "is HTML or XML, perhaps an error page", remedy)
    if start.startswith((b"{", b"[")):
        refuse("malformed", "file", "is JSON", remedy)


def first_line(text: Iterator[str]) -> str:
    """Return the header line: the first that is not blank, without its byte order mark."""
    line = next((line for line in text if line.strip().strip("\ufeff")), None)
    if line is None:
        refuse("malformed", "file", "is empty", "drop a file with a header and rows")
    return line.removeprefix("\ufeff")


def headers(line: str, delimiter: str) -> list[str]:
    """Split a header line; the spaces around names are no part of them."""
    return [name.strip() for name in split_quoted(line, delimiter) or []]


def delimiter_of(header: str, layout: SnapshotLayout) -> str:
    """Return the delimiter; ``auto`` takes the only one under which every declared column is there."""
    if layout.delimiter != "auto":
        return layout.delimiter
    wanted = set(layout.columns)
    proven = [mark for mark in DELIMITERS if wanted <= set(headers(header, mark))]
    if len(proven) != 1:
        refuse(
            "malformed",
            "header",
            "no delimiter gives every declared column, or several do; the first line is " + shown(header),
            f"declare the delimiter, and these columns as they are written: {_listed(layout.columns)}",
        )
    return proven[0]


def positions(line: str, delimiter: str, layout: SnapshotLayout) -> tuple[dict[str, int], int]:
    """Return where each declared column is, and how many columns there are.

    Raises
    ------
    UnreadableError
        When a declared column is missing, or is there twice.
    """
    found = headers(line, delimiter)
    missing = [name for name in layout.columns if name not in found]
    if missing:
        refuse(
            "missing_field",
            "header",
            f"lacks {_listed(missing)}; it has {_listed(found)} with delimiter {shown(delimiter)}",
            "drop a file with these headers, or declare the file's own delimiter, encoding and column names",
        )
    twice = [name for name in layout.columns if found.count(name) > 1]
    if twice:
        refuse(
            "invalid_field",
            "header",
            f"has {_listed(twice)} twice, so it is open which one is meant",
            "give each declared column a header of its own",
        )
    return {name: found.index(name) for name in layout.columns}, len(found)


def _listed(names: Sequence[str]) -> str:
    listed = ", ".join(map(shown, names[:_HEADERS_SHOWN])) or "none"
    more = len(names) - _HEADERS_SHOWN
    return f"{listed} and {more} more" if more > 0 else listed

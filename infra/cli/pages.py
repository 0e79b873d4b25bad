"""Lists that the API gives page by page: read on until enough is there, and say when there is more."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

LARGEST_PAGE = 200
"""Rows that the API gives at once, at most."""

Ask: TypeAlias = "Callable[[int, str | None], Mapping[str, Any]]"
"""Gets one page: of how many rows, from which cursor."""


def pages(
    ask: Ask, rows: str, limit: int | None, cursor: str | None = None
) -> tuple[list[dict[str, Any]], str | None]:
    """Return up to ``limit`` rows (None: all), and the cursor of what is left.

    A page may be short, or even empty, while there is more.
    """
    found: list[dict[str, Any]] = []
    while limit is None or len(found) < limit:
        size = LARGEST_PAGE if limit is None else min(LARGEST_PAGE, limit - len(found))
        page = ask(size, cursor)
        found += page[rows]
        cursor = page.get("cursor")
        if cursor is None:
            break
    return found, cursor


def more(cursor: str | None) -> list[str]:
    """Say how to see the rest, if there is any."""
    return (
        [] if cursor is None else ["", f"there is more: --cursor '{cursor}' goes on, --all lists everything"]
    )

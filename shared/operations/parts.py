"""Work in parts of which none keeps another from being done: each is tried, and what failed is told at the end."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

log = logging.getLogger(__name__)

Found = TypeVar("Found")


class PartsFailedError(Exception):
    """Parts of some work failed; the others were done all the same."""

    def __init__(self, parts: Sequence[str]) -> None:
        super().__init__("these parts failed, and all others were done: " + ", ".join(parts))


def each_part(parts: Mapping[str, Callable[[], Found]]) -> dict[str, Found]:
    """Do every part, in order; return what each found.

    Raises
    ------
    PartsFailedError
        When some part failed, after all others have been done.
    """
    found: dict[str, Found] = {}
    failed: list[str] = []
    for part, work in parts.items():
        try:
            found[part] = work()
        except Exception:
            log.exception("part_failed", extra={"part": part})
            failed.append(part)
    if failed:
        raise PartsFailedError(failed)
    return found

"""The trail of master data: one entry for each change, written with the change itself and never touched again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from shared.domain.events import instant, parse_instant
from shared.store.table import Absent, Item, Key, Put, Value

Differences = Iterable[tuple[str, str, str]]
"""What was changed, as (field, before, after) in words."""


@dataclass(frozen=True, slots=True)
class Audited:
    """One change: the version that it made, who made it, when, and what was changed."""

    version: int
    actor: str
    at: datetime
    changes: tuple[tuple[str, str, str], ...]


def audit_put(key: Key, version: int, actor: str, at: datetime, changes: Differences) -> Put:
    """Write the entry of a change under a key of its own; two changes never share a version."""
    said = [list(change) for change in changes]
    attributes: dict[str, Value] = {"version": version, "actor": actor, "at": instant(at), "changes": said}
    return Put(key, attributes, (Absent(),))


def read_audit(item: Item) -> Audited:
    """Read a stored entry."""
    changes = cast("list[tuple[str, str, str]]", item["changes"])
    return Audited(
        cast(int, item["version"]),
        cast(str, item["actor"]),
        parse_instant(cast(str, item["at"])),
        tuple((field, before, after) for field, before, after in changes),
    )

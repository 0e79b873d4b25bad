"""Cross-references in the ``registry`` table: what a source's codes stand for, since when, and who said so.

A reference without an instant of its own corrects the one in force; its change is kept as an entry beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import cast

from shared.domain.events import instant, parse_instant
from shared.domain.items import BEGINNING, Change, Code, Reference, in_force, with_terms
from shared.domain.stock import Sku
from shared.store.audit import Audited, audit_put, read_audit
from shared.store.layout import cross_reference_key, version_key
from shared.store.table import (
    Absent,
    Action,
    AttributeAbsent,
    Equals,
    Item,
    Key,
    Put,
    Table,
    Value,
    WriteRefusedError,
)

REFERENCES_AT_ONCE = 50
"""References that are written together: two actions each."""


ATTEMPTS = 5
"""Times that a change is tried while others change the same references."""


class ReferenceChangedError(Exception):
    """A cross-reference was changed by somebody else meanwhile; read again."""


@dataclass(frozen=True, slots=True)
class CrossReference:
    """One code with everything that it stood for: ``terms`` in order of time."""

    code: Code
    terms: tuple[Reference, ...]
    owner: str
    version: int
    changed_by: str
    changed_at: datetime | None


class References:
    """Reads and changes of cross-references."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def find(self, codes: Mapping[Code, object]) -> dict[Code, CrossReference]:
        """Return those of some codes that have a cross-reference."""
        keys = {_key(code): code for code in codes}
        found = self._table.get_many(list(keys))
        return {keys[key]: _read(keys[key], item) for key, item in found.items()}

    def change(self, wanted: Mapping[Code, Reference], owner: str, change: Change) -> int:
        """Write references; return how many changed. One of the first instant corrects what is in force.

        Of two changes at once the later stands. A write whose answer never came and that is refused when it is
        repeated had been written: read again, there is nothing left to change.

        Raises
        ------
        ReferenceChangedError
            When others keep changing the same references.
        """
        writes = self._writes(wanted, owner, change)
        changed = len(writes)
        for _ in range(ATTEMPTS):
            try:
                self._write(writes)
            except WriteRefusedError:
                writes = self._writes(wanted, owner, change)
            else:
                return changed
        raise ReferenceChangedError(", ".join(code.code for code in wanted))

    def _writes(self, wanted: Mapping[Code, Reference], owner: str, change: Change) -> list[list[Action]]:
        known = self.find(wanted)
        return [
            actions
            for code, reference in wanted.items()
            if (actions := _actions(code, known.get(code), reference, owner, change))
        ]

    def _write(self, writes: Sequence[Sequence[Action]]) -> None:
        for start in range(0, len(writes), REFERENCES_AT_ONCE):
            chunk = [action for actions in writes[start : start + REFERENCES_AT_ONCE] for action in actions]
            self._table.write(chunk)

    def history(self, code: Code) -> list[Audited]:
        """Return the changes of a reference, oldest first."""
        return [read_audit(item) for item in self._table.query(_key(code).pk, prefix="V#")]


def _key(code: Code) -> Key:
    return cross_reference_key(code.source, code.kind, code.code)


def _actions(
    code: Code, known: CrossReference | None, reference: Reference, owner: str, change: Change
) -> list[Action]:
    before = () if known is None else known.terms
    if before and reference.effective_from == BEGINNING:
        reference = replace(reference, effective_from=in_force(before, change.at).effective_from)
    after = with_terms(before, reference)
    if known is not None and (after, owner) == (before, known.owner):
        return []
    version = 1 if known is None else known.version + 1
    if known is None:
        same: Absent | AttributeAbsent | Equals = Absent()
    else:
        same = Equals("version", known.version) if known.version else AttributeAbsent("version")
    attributes: dict[str, Value] = {
        "sku": after[-1].sku,
        "owner": owner,
        "version": version,
        "changed_by": change.actor,
        "changed_at": instant(change.at),
        "terms": [[instant(one.effective_from), one.sku, one.unit] for one in after],
    }
    changes = _differences(known, after, owner)
    key = _key(code)
    return [
        Put(key, attributes, (same,)),
        audit_put(version_key(key, version), version, change.actor, change.at, changes),
    ]


def _differences(
    known: CrossReference | None, after: tuple[Reference, ...], owner: str
) -> Iterator[tuple[str, str, str]]:
    before = {} if known is None else {one.effective_from: one for one in known.terms}
    for one in after:
        old = before.get(one.effective_from)
        if old != one:
            yield f"stands for, from {one.effective_from.isoformat()}", _words(old), _words(one)
    old_owner = "" if known is None else known.owner
    if owner != old_owner:
        yield "owner", old_owner, owner


def _words(reference: Reference | None) -> str:
    if reference is None:
        return ""
    return reference.sku if not reference.unit else f"{reference.sku} by the {reference.unit}"


def read_references(item: Item) -> tuple[Reference, ...]:
    """Read what a stored cross-reference stands for, in order of time."""
    if "terms" not in item:
        return (Reference(Sku(cast(str, item["sku"]))),)
    terms = cast("list[tuple[str, str, str]]", item["terms"])
    return tuple(Reference(Sku(sku), unit, parse_instant(at)) for at, sku, unit in terms)


def _read(code: Code, item: Item) -> CrossReference:
    changed_at = cast("str | None", item.get("changed_at"))
    return CrossReference(
        code,
        read_references(item),
        cast(str, item.get("owner", "")),
        cast(int, item.get("version", 0)),
        cast(str, item.get("changed_by", "")),
        None if changed_at is None else parse_instant(changed_at),
    )

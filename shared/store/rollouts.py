"""Rollouts in the ``registry`` table: one item for each source or channel, and one more for each change of it.

They lie apart from what is declared: applying a network file that says nothing of a mode never moves one, and a push
asks for the channel's as it stands at that moment.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeAlias, cast

from shared.domain.events import instant, parse_instant
from shared.domain.rollout import ALL_LIVE, Mode, Rollout, Rule, Scope, Stamp
from shared.domain.stock import LocationId
from shared.store.audit import Audited, Differences, audit_put, read_audit
from shared.store.layout import plain, rollout_change_key, rollout_key
from shared.store.table import (
    Absent,
    Equals,
    Item,
    Put,
    Table,
    TableError,
    Value,
    WriteConflictError,
    WriteRefusedError,
)

SOURCE, CHANNEL = "source", "channel"

ATTEMPTS = 5
"""Times that a change is tried while others change the same rollout."""

System: TypeAlias = "tuple[str, str]"
"""``source`` or ``channel``, and its id."""


class RolloutBusyError(TableError):
    """Others kept changing the same rollout; nothing was changed."""


class Rollouts:
    """Reads and changes how far sources and channels may act."""

    def __init__(self, table: Table) -> None:
        self._table = table

    def of(self, kind: str, name: str) -> Rollout:
        """Return what holds at this moment."""
        item = self._table.get(rollout_key(kind, name))
        return ALL_LIVE if item is None else _rollout(item)

    def all(self) -> dict[System, Rollout]:
        """Return every source and channel of which anything was ever said."""
        found = dict[System, Rollout]()
        for item in self._table.query("ROLLOUT"):
            kind, name = cast(str, item["sk"]).split("#")
            found[kind, plain(name)] = _rollout(item)
        return found

    def change(
        self, kind: str, name: str, change: Callable[[Rollout], Rollout], actor: str, at: datetime
    ) -> Rollout:
        """Change what holds, with an entry of who did it; return what holds then.

        Raises
        ------
        RolloutBusyError
        """
        key = rollout_key(kind, name)
        for _ in range(ATTEMPTS):
            item = self._table.get(key)
            before = ALL_LIVE if item is None else _rollout(item)
            version = 1 if item is None else cast(int, item["version"]) + 1
            after = change(before).stamped(before, version, at)
            unchanged = Absent() if item is None else Equals("version", version - 1)
            audit = audit_put(
                rollout_change_key(kind, name, version), version, actor, at, _differences(before, after)
            )
            try:
                self._table.write([Put(key, {**_values(after), "version": version}, (unchanged,)), audit])
            except (WriteRefusedError, WriteConflictError):
                continue
            return after
        raise RolloutBusyError(f"others keep changing the rollout of {kind} {name}")

    def declare(self, kind: str, name: str, said: Rollout, actor: str, at: datetime) -> None:
        """Make it what is declared; one that says the same already stays as it is.

        Raises
        ------
        RolloutBusyError
        """
        if set(self.of(kind, name).rules) != set(said.rules):
            self.change(kind, name, lambda _: said, actor, at)

    def history(self, kind: str, name: str) -> list[Audited]:
        """Return every change, the oldest first."""
        return [read_audit(item) for item in self._table.query(rollout_change_key(kind, name, 0).pk)]


def words(rollout: Rollout) -> dict[str, str]:
    """Write a rollout as scope and mode, the widest scope first."""
    ordered = sorted(rollout.rules, key=lambda rule: (rule.scope.rank, str(rule.scope)))
    return {str(rule.scope): str(rule.mode) for rule in ordered}


def _differences(before: Rollout, after: Rollout) -> Differences:
    was, becomes = words(before), words(after)
    scopes = dict.fromkeys([*was, *becomes])
    return [
        (scope, was.get(scope, ""), becomes.get(scope, ""))
        for scope in scopes
        if was.get(scope) != becomes.get(scope)
    ]


def _values(rollout: Rollout) -> dict[str, Value]:
    rules: list[Value] = [[*_place(rule.scope), str(rule.mode)] for rule in rollout.rules]
    stamps: list[Value] = [
        [*_place(stamp.scope), stamp.version, None if stamp.since is None else instant(stamp.since)]
        for stamp in rollout.stamps
    ]
    return {"rules": rules, "stamps": stamps}


def _place(scope: Scope) -> list[Value]:
    return [scope.skus, scope.location]


def _rollout(item: Item) -> Rollout:
    rules, stamps = (cast("list[list[Any]]", item[name]) for name in ("rules", "stamps"))
    return Rollout(
        tuple(Rule(_scope(skus, location), Mode(mode)) for skus, location, mode in rules),
        tuple(
            Stamp(_scope(skus, location), version, None if since is None else parse_instant(since))
            for skus, location, version, since in stamps
        ),
    )


def _scope(skus: str, location: str | None) -> Scope:
    return Scope(skus, None if location is None else LocationId(location))

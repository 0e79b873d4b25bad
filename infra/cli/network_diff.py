"""What applying a network file would change: added, changed field by field, taken off, and left although not in it.

Fields are named as the file names them (``lateness_s``, ``drop``, ``options.url``), so that a line of the diff can be
found in the file.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from dataclasses import fields as dataclass_fields
from datetime import timedelta
from decimal import Decimal
from typing import Any, TypeAlias

from shared.domain.network import Channel, Location, Replenishment, Source, Tolerance
from shared.domain.rollout import Rollout
from shared.domain.rules import Rules
from shared.domain.stock import ChannelId, LocationId
from shared.store.registry import Network
from shared.store.replenish import replenish_words
from shared.store.rollouts import words
from shared.store.rules import rules_words

Declared: TypeAlias = "Source | Location | Channel | Rules"


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field: what is declared now, and what the file says; None is absent."""

    field: str
    was: object
    becomes: object


@dataclass(frozen=True, slots=True)
class Entry:
    """One source, location or channel of the diff, or the rules; ``fields`` is empty unless it changes."""

    kind: str
    id: str
    fields: tuple[FieldChange, ...] = ()


@dataclass(frozen=True, slots=True)
class NetworkDiff:
    """Everything that differs. What is not in the file is ``removed`` where that was asked for, else ``not_in_file``."""

    added: tuple[Entry, ...]
    changed: tuple[Entry, ...]
    not_in_file: tuple[Entry, ...]
    removed: tuple[Entry, ...] = ()

    @property
    def writes(self) -> bool:
        """Whether applying would write anything."""
        return bool(self.added or self.changed or self.removed)

    def removing(self, has_history: Callable[[LocationId], bool]) -> NetworkDiff:
        """Return the diff that takes off what is not in the file; a location stays where it is asked for history."""
        kept = tuple(
            entry
            for entry in self.not_in_file
            if entry.kind == "location" and has_history(LocationId(entry.id))
        )
        removed = tuple(entry for entry in self.not_in_file if entry not in kept)
        return replace(self, not_in_file=kept, removed=removed)

    def channels(self) -> list[ChannelId]:
        """Return the channels that are new or have other rules than before."""
        return [ChannelId(entry.id) for entry in (*self.added, *self.changed) if entry.kind == "channel"]

    def only_written(self, network: Network) -> Network:
        """Return the part of the file's network that applying writes."""
        return _only(network, (*self.added, *self.changed))

    def only_removed(self, network: Network) -> Network:
        """Return the part of the declared network that applying takes off."""
        return _only(network, self.removed)

    def lines(self, *, remove: bool = False) -> Iterator[str]:
        """Yield the diff for a human; ``remove`` is whether what is not in the file was to go."""
        for entry in self.added:
            yield f"+ {entry.kind} {entry.id}"
        for entry in self.changed:
            yield f"~ {entry.kind} {entry.id}"
            for change in entry.fields:
                yield f"    {change.field}: {_shown(change.was)} -> {_shown(change.becomes)}"
        for entry in self.removed:
            yield f"- {entry.kind} {entry.id}"
        for entry in self.not_in_file:
            why = (
                "stock was posted there, and its history is read through it"
                if remove
                else "--remove takes it off"
            )
            yield f"  {entry.kind} {entry.id} is not in the file; it stays as it is ({why})"


def _only(network: Network, entries: Iterable[Entry]) -> Network:
    touched = {(entry.kind, entry.id) for entry in entries}
    return Network(
        {id_: s for id_, s in network.sources.items() if ("source", id_) in touched},
        {id_: x for id_, x in network.locations.items() if ("location", id_) in touched},
        {id_: c for id_, c in network.channels.items() if ("channel", id_) in touched},
        network.rules,
    )


def compare(declared: Network, said: Network) -> NetworkDiff:
    """Compare what is declared with what a file says; a mode of which it says nothing stays."""
    added: list[Entry] = []
    changed: list[Entry] = []
    gone: list[Entry] = []
    for kind, old, new in _families(declared, said):
        for id_, entry in new.items():
            if id_ not in old:
                added.append(Entry(kind, id_))
            elif fields := tuple(_changes(_flat(old[id_]), _flat(_with_rollout_of(old[id_], entry)))):
                changed.append(Entry(kind, id_, fields))
        gone += [Entry(kind, id_) for id_ in old if id_ not in new]
    return NetworkDiff(tuple(added), tuple(changed), tuple(gone))


def _with_rollout_of(old: Declared, new: Declared) -> Declared:
    if isinstance(old, Source) and isinstance(new, Source):
        return replace(new, rollout=new.rollout or old.rollout)
    if isinstance(old, Channel) and isinstance(new, Channel):
        return replace(new, rollout=new.rollout or old.rollout)
    return new


def _families(
    declared: Network, said: Network
) -> Iterator[tuple[str, Mapping[str, Declared], Mapping[str, Declared]]]:
    yield "source", _by_id(declared.sources), _by_id(said.sources)
    yield "location", _by_id(declared.locations), _by_id(said.locations)
    yield "channel", _by_id(declared.channels), _by_id(said.channels)
    yield "rules", {"of the house": declared.rules}, {"of the house": said.rules}


def _by_id(family: Mapping[Any, Declared]) -> dict[str, Declared]:
    return {str(id_): entry for id_, entry in family.items()}


def _changes(old: Mapping[str, object], new: Mapping[str, object]) -> Iterator[FieldChange]:
    for field in sorted({*old, *new}):
        was, becomes = old.get(field), new.get(field)
        if was != becomes or type(was) is not type(becomes):
            yield FieldChange(field, was, becomes)


def _flat(entry: Declared) -> dict[str, object]:
    """Write an entry as path and value, in the file's words."""
    if isinstance(entry, Rules):
        return _leaves("rules", rules_words(entry))
    flat: dict[str, object] = {}
    for name in (declared.name for declared in dataclass_fields(entry) if declared.compare):
        value = _in_words(getattr(entry, name))
        if name == "id":
            continue
        if isinstance(value, timedelta):
            flat[f"{name}_s"] = int(value.total_seconds())
        elif isinstance(value, Mapping):
            # As the registry stores it: JSON, whose keys are texts.
            flat |= _leaves(name, json.loads(json.dumps(value)))
        else:
            flat[name] = value
    if "options.drop" in flat:
        flat["drop"] = flat.pop("options.drop")
    return flat


def _in_words(value: object) -> object:
    """Write a rule as the file has it; what is no rule stays as it is."""
    if isinstance(value, Tolerance):
        said = {"percent": str(Decimal(value.percent_hundredths) / 100), "units": value.units}
        return said if value.value is None else {**said, "value": str(value.value)}
    if isinstance(value, Rollout):
        return words(value)
    if isinstance(value, Replenishment):
        return replenish_words(value)
    if isinstance(value, Mapping):
        return {name: _in_words(inner) for name, inner in value.items()}
    return value


def _leaves(path: str, value: object) -> dict[str, object]:
    if not isinstance(value, dict) or not value:
        return {} if value == {} else {path: value}
    leaves: dict[str, object] = {}
    for name, inner in value.items():
        leaves |= _leaves(f"{path}.{name}", inner)
    return leaves


def _shown(value: object) -> str:
    return "(none)" if value is None else json.dumps(value, ensure_ascii=False)

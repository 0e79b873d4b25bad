"""The table port in memory, for tests and the seeded simulation: what DynamoDB does, without DynamoDB.

It passes the same contract suite as ``dynamodb.py``. Beyond the port it offers

- ``changes_since``: the table's stream with new and old images, in the form in which Lambda gets it, so that the real
  handlers can be fed; a write that changes nothing leaves no record, as in DynamoDB;
- ``faults``: called around every write, so that a simulation can crash before or after it, or refuse it.

Values are copied in and out: nobody holds a reference into the store, and a map comes back in an order of the table's
own. Stored items are never changed in place, so the log can share them. One lock guards everything; iterators take it
page by page, and see writes made meanwhile as a paged query of DynamoDB does.
"""

from __future__ import annotations

import base64
import zlib
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from threading import Lock
from typing import Any, NamedTuple, Protocol, TypeAlias

from shared.store.attributes import (
    from_attribute,
    image_from_item,
    image_from_key,
    item_from_image,
    to_attribute,
)
from shared.store.requests import check_actions, check_key, check_range, check_snapshot
from shared.store.table import (
    Absent,
    Action,
    AnyOf,
    AtLeast,
    AttributeAbsent,
    Check,
    Condition,
    Delete,
    Equals,
    Exists,
    Item,
    Key,
    LessThan,
    Put,
    Refusal,
    Update,
    Value,
    WriteRefusedError,
)

MAX_ITEM_BYTES = 400 * 1024
MAX_WRITE_BYTES = 4 * 1024 * 1024
_PAGE = 64
_CHANGEABLE = (dict, list)
_SMALL = 10**18
"""Whole numbers below this are stored as they are; larger ones are checked."""

StreamRecord: TypeAlias = "dict[str, Any]"
"""One record as a Lambda function receives it in ``event["Records"]``."""


class Faults(Protocol):
    """What a simulation does to writes. Either call may raise, typically an error of ``table.py`` or a crash."""

    def before(self, actions: Sequence[Action]) -> None:
        """Run before anything is read or written; raising means that nothing was."""
        ...

    def after(self, actions: Sequence[Action]) -> None:
        """Run after the write has happened; raising leaves it in place."""
        ...


class _Change(NamedTuple):
    key: Key
    old: Item | None
    new: Item | None
    at: datetime


class _Ordered:
    """Entries of one partition (of the table or of an index) in order of their sort key."""

    def __init__(self) -> None:
        self._entries: list[tuple[str, ...]] = []

    def add(self, entry: tuple[str, ...]) -> None:
        insort(self._entries, entry)

    def discard(self, entry: tuple[str, ...]) -> None:
        del self._entries[bisect_left(self._entries, entry)]

    def page(
        self, first: str, last: str | None, after: tuple[str, ...] | None, descending: bool, size: int
    ) -> list[tuple[str, ...]]:
        """Return up to ``size`` entries of the range, beyond the entry ``after`` in the direction of reading."""
        low = bisect_left(self._entries, (first,))
        high = (
            len(self._entries)
            if last is None
            else bisect_right(self._entries, last, key=lambda entry: entry[0])
        )
        if descending:
            high = high if after is None else min(high, bisect_left(self._entries, after))
            return self._entries[max(low, high - size) : high][::-1] if high > low else []
        low = low if after is None else max(low, bisect_right(self._entries, after))
        return self._entries[low : min(high, low + size)]


class MemoryTable:
    """A table in memory; see the module.

    Parameters
    ----------
    indexes
        Names of the sparse indexes; index ``x`` holds the items with ``x_pk`` and ``x_sk``.
    faults
        What to do to writes, if anything; may be set later.
    clock
        Gives the instants that the change log carries.
    name
        Stands in the records' ``eventSourceARN``.
    """

    def __init__(
        self,
        indexes: Sequence[str] = (),
        *,
        faults: Faults | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        name: str = "memory",
    ) -> None:
        self.faults = faults
        self._clock = clock
        self._name = name
        self._lock = Lock()
        self._items: dict[Key, Item] = {}
        self._partitions: dict[str, _Ordered] = {}
        self._indexes: dict[str, dict[str, _Ordered]] = {index: {} for index in indexes}
        self._changes: list[_Change] = []

    def get(self, key: Key) -> Item | None:
        check_key(key)
        with self._lock:
            item = self._items.get(key)
        return None if item is None else _copied_item(item)

    def get_many(self, keys: Sequence[Key]) -> dict[Key, Item]:
        for key in keys:
            check_key(key)
        with self._lock:
            found = {key: self._items[key] for key in keys if key in self._items}
        return {key: _copied_item(item) for key, item in found.items()}

    def snapshot(self, keys: Sequence[Key]) -> dict[Key, Item]:
        check_snapshot(list(set(keys)))
        return self.get_many(keys)

    def query(
        self,
        pk: str,
        *,
        first: str = "",
        last: str | None = None,
        prefix: str = "",
        descending: bool = False,
        limit: int | None = None,
    ) -> Iterator[Item]:
        check_range(pk, first, last, prefix, limit)
        return self._query(pk, prefix or first, _end_of(prefix) if prefix else last, descending, limit)

    def _query(
        self, pk: str, first: str, last: str | None, descending: bool, limit: int | None
    ) -> Iterator[Item]:
        for (sk,) in self._walk(lambda: self._partitions.get(pk), first, last, descending, limit):
            with self._lock:
                item = self._items.get(Key(pk, sk))
            if item is not None:
                yield _copied_item(item)

    def query_index(
        self,
        index: str,
        pk: str,
        *,
        first: str = "",
        last: str | None = None,
        descending: bool = False,
        limit: int | None = None,
    ) -> Iterator[Key]:
        check_range(pk, first, last, "", limit)
        partitions = self._indexes[index]
        entries = self._walk(lambda: partitions.get(pk), first, last, descending, limit)
        return (Key(base_pk, base_sk) for _, base_pk, base_sk in entries)

    def _walk(
        self,
        partition: Callable[[], _Ordered | None],
        first: str,
        last: str | None,
        descending: bool,
        limit: int | None,
    ) -> Iterator[tuple[str, ...]]:
        after: tuple[str, ...] | None = None
        left = limit
        while left != 0:
            size = _PAGE if left is None else min(_PAGE, left)
            with self._lock:
                ordered = partition()
                page = ordered.page(first, last, after, descending, size) if ordered else []
            yield from page
            if len(page) < size:
                return
            after = page[-1]
            left = None if left is None else left - size

    def scan(self, *, segment: int = 0, segments: int = 1) -> Iterator[Item]:
        if not 0 <= segment < segments:
            raise ValueError(f"segment {segment} of {segments} does not exist")
        with self._lock:
            partitions = list(self._partitions)
        mine = [pk for pk in partitions if zlib.crc32(pk.encode()) % segments == segment]
        return (item for pk in mine for item in self._query(pk, "", None, False, None))

    def write(self, actions: Sequence[Action]) -> None:
        check_actions(actions)
        if self.faults is not None:
            self.faults.before(actions)
        with self._lock:
            self._write(actions)
        if self.faults is not None:
            self.faults.after(actions)

    def _write(self, actions: Sequence[Action]) -> None:
        found = [self._items.get(action.key) for action in actions]
        refusals = [
            Refusal(action, None if item is None else _copied_item(item))
            for action, item in zip(actions, found, strict=True)
            if not all(_holds(condition, item) for condition in action.conditions)
        ]
        if refusals:
            raise WriteRefusedError(refusals)
        results = [_result(action, item) for action, item in zip(actions, found, strict=True)]
        self._check_results(actions, results)
        at = self._clock()
        for action, old, new in zip(actions, found, results, strict=True):
            if not _same(old, new):
                self._replace(action.key, old, new)
                self._changes.append(_Change(action.key, old, new, at))

    def _check_results(self, actions: Sequence[Action], results: Sequence[Item | None]) -> None:
        total = 0
        for action, item in zip(actions, results, strict=True):
            if item is None or isinstance(action, Check):
                continue
            size = _item_bytes(item)
            total += size
            if size > MAX_ITEM_BYTES:
                raise ValueError(f"item {action.key} has {size} bytes; at most {MAX_ITEM_BYTES}")
            for name in (f"{index}_{part}" for index in self._indexes for part in ("pk", "sk")):
                if name in item and not (isinstance(item[name], str) and item[name]):
                    raise ValueError(f"{name} of {action.key} is an index key and must be text, not empty")
        if total > MAX_WRITE_BYTES:
            raise ValueError(f"a write of {total} bytes; at most {MAX_WRITE_BYTES}: split it")

    def _replace(self, key: Key, old: Item | None, new: Item | None) -> None:
        if old is None:
            _enter(self._partitions, key.pk, (key.sk,))
        if new is None:
            _leave(self._partitions, key.pk, (key.sk,))
            del self._items[key]
        else:
            self._items[key] = new
        for index, partitions in self._indexes.items():
            before, after = _index_place(index, old), _index_place(index, new)
            if before != after:
                if before is not None:
                    _leave(partitions, before[0], (before[1], *key))
                if after is not None:
                    _enter(partitions, after[0], (after[1], *key))

    def changes_since(self, sequence: int = 0) -> list[StreamRecord]:
        """Return the records after the first ``sequence`` ones, oldest first; the n-th has SequenceNumber n."""
        with self._lock:
            changes = self._changes[sequence:]
        return [self._record(sequence + n, change) for n, change in enumerate(changes, 1)]

    def written_since(self, sequence: int = 0) -> list[Item | None]:
        """Return what each change after the first ``sequence`` ones wrote, None where it deleted: no stream's records.

        For those who follow a table within the process, and need no form for it to travel in.
        """
        with self._lock:
            written = [change.new for change in self._changes[sequence:]]
        return [None if item is None else _copied_item(item) for item in written]

    def _record(self, sequence: int, change: _Change) -> StreamRecord:
        body: dict[str, Any] = {
            "ApproximateCreationDateTime": int(change.at.timestamp()),
            "Keys": image_from_key(change.key),
            "SequenceNumber": f"{sequence:021d}",
            "SizeBytes": sum(_item_bytes(item) for item in (change.old, change.new) if item is not None),
            "StreamViewType": "NEW_AND_OLD_IMAGES",
        }
        for name, item in (("OldImage", change.old), ("NewImage", change.new)):
            if item is not None:
                body[name] = {attribute: _as_json(to_attribute(value)) for attribute, value in item.items()}
        return {
            "eventID": f"{zlib.crc32(self._name.encode()):08x}{sequence:024x}",
            "eventName": "INSERT" if change.old is None else "REMOVE" if change.new is None else "MODIFY",
            "eventVersion": "1.1",
            "eventSource": "aws:dynamodb",
            "awsRegion": "local",
            "eventSourceARN": f"arn:aws:dynamodb:local:000000000000:table/{self._name}/stream/memory",
            "dynamodb": body,
        }


def _enter(partitions: dict[str, _Ordered], pk: str, entry: tuple[str, ...]) -> None:
    partitions.setdefault(pk, _Ordered()).add(entry)


def _leave(partitions: dict[str, _Ordered], pk: str, entry: tuple[str, ...]) -> None:
    partitions[pk].discard(entry)


def _index_place(index: str, item: Item | None) -> tuple[str, str] | None:
    pk, sk = (None, None) if item is None else (item.get(f"{index}_pk"), item.get(f"{index}_sk"))
    return (pk, sk) if isinstance(pk, str) and isinstance(sk, str) else None


def _end_of(prefix: str) -> str:
    """Return a text after which no text with the prefix comes (no key is longer than 1,024 characters)."""
    return prefix + chr(0x10FFFF) * 1024


def _holds(condition: Condition, item: Item | None) -> bool:
    attributes = item or {}
    match condition:
        case Absent():
            return item is None
        case Exists():
            return item is not None
        case AttributeAbsent(name):
            return name not in attributes
        case Equals(name, value):
            return name in attributes and _same(attributes[name], _stored(value))
        case AtLeast(name, bound):
            return _is_ordered(attributes.get(name), bound) and attributes[name] >= bound  # type: ignore[operator]
        case LessThan(name, bound):
            return _is_ordered(attributes.get(name), bound) and attributes[name] < bound  # type: ignore[operator]
        case AnyOf(conditions):
            return any(_holds(inner, item) for inner in conditions)


def _is_ordered(value: Value, bound: int | str) -> bool:
    """Whether the two can be compared: both whole numbers or both text."""
    return type(value) is type(_stored(bound)) and not isinstance(value, bool)


def _result(action: Action, old: Item | None) -> Item | None:
    match action:
        case Put():
            return _stored_item({**action.attributes, "pk": action.key.pk, "sk": action.key.sk})
        case Update():
            return _updated(action, old)
        case Delete():
            return None
        case Check():
            return old


def _updated(update: Update, old: Item | None) -> Item | None:
    if old is None and not (update.set or update.add or update.append or update.defaults):
        return None  # to remove attributes of what is not there creates nothing
    new: Item = {"pk": update.key.pk, "sk": update.key.sk} if old is None else dict(old)
    for name, amount in update.add.items():
        present = new.get(name, 0)
        if not isinstance(present, int) or isinstance(present, bool):
            raise ValueError(f"cannot add to {name} of {update.key}: it is no number")
        new[name] = _stored(present + amount)
    for name, values in update.append.items():
        present_list = new.get(name, [])
        if not isinstance(present_list, list):
            raise ValueError(f"cannot append to {name} of {update.key}: it is no list")
        new[name] = [*present_list, *(_stored(value) for value in values)]
    for name, value in update.set.items():
        new[name] = _stored(value)
    for name, value in update.defaults.items():
        stored = _stored(value)
        new.setdefault(name, stored)
    for name in update.remove:
        new.pop(name, None)
    return new


def _stored(value: Value) -> Value:
    """Return the value as a table gives it back: a copy, tuples as lists, subclasses as plain types."""
    if (type(value) is str and value.isascii()) or (type(value) is int and -_SMALL < value < _SMALL):
        return value
    return _unordered(from_attribute(to_attribute(value)))


def _stored_item(item: Mapping[str, Value]) -> Item:
    return {
        n: _unordered(v) if type(v) in _CHANGEABLE else v
        for n, v in item_from_image(image_from_item(item)).items()
    }


def _unordered(value: Value) -> Value:
    """Put maps in an order that nobody asked for: DynamoDB promises none, and nothing may come to rely on one."""
    if isinstance(value, dict):
        return {n: _unordered(value[n]) for n in sorted(value, key=lambda name: zlib.crc32(name.encode()))}
    return [_unordered(inner) for inner in value] if isinstance(value, list) else value


def _copied(value: Value) -> Value:
    """Copy a stored value: only maps and lists, which are plain ones here, can be changed by who holds them."""
    if type(value) is dict:
        return {n: _copied(v) if type(v) in _CHANGEABLE else v for n, v in value.items()}
    if type(value) is list:
        return [_copied(v) if type(v) in _CHANGEABLE else v for v in value]
    return value


def _copied_item(item: Item) -> Item:
    return {n: _copied(v) if type(v) in _CHANGEABLE else v for n, v in item.items()}


def _same(one: Value, other: Value) -> bool:
    """Whether two stored values are equal, and of equal type (to Python, True == 1)."""
    if one is other:
        return True
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(value, other[name]) for name, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return type(one) is type(other) and one == other


def _item_bytes(item: Item) -> int:
    return sum(len(name.encode()) + _value_bytes(value) for name, value in item.items())


def _value_bytes(value: Value) -> int:
    """Return the size of a stored value as DynamoDB counts it (Developer Guide, item sizes)."""
    if isinstance(value, str):
        return len(value) if value.isascii() else len(value.encode())
    if isinstance(value, bool) or value is None:
        return 1
    if isinstance(value, int):
        return (len(str(abs(value)).strip("0")) + 1) // 2 + 1 + (value < 0)
    if isinstance(value, bytes):
        return len(value)
    if isinstance(value, Mapping):
        return 3 + sum(1 + len(name.encode()) + _value_bytes(inner) for name, inner in value.items())
    return 3 + sum(1 + _value_bytes(inner) for inner in value)


def _as_json(attribute: Mapping[str, Any]) -> dict[str, Any]:
    """Return an attribute as it stands in an event, where bytes are base64 text."""
    ((kind, content),) = attribute.items()
    if kind == "B":
        return {"B": base64.b64encode(content).decode()}
    if kind == "L":
        return {"L": [_as_json(inner) for inner in content]}
    if kind == "M":
        return {"M": {name: _as_json(inner) for name, inner in content.items()}}
    return {kind: content}

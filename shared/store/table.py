"""The one door to a table: a handful of reads and one write, all or nothing.

Everything that Onecount promises rests on conditional writes, so the port offers exactly those and no check
followed by an act. It has two implementations that pass one contract suite: ``dynamodb.py`` (the real one) and
``memory.py`` (tests and the seeded simulation).

Every table has the string keys ``pk`` and ``sk``. Values are text, integers, bytes, booleans, None, and lists
and maps of these; no floats. An attribute that is None is stored as such and differs from one that is absent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, TypeAlias

Value: TypeAlias = "str | int | bytes | bool | Sequence[Value] | Mapping[str, Value] | None"
Item: TypeAlias = "dict[str, Value]"

MAX_ACTIONS = 100
"""Actions that one transaction takes at most (DynamoDB, TransactWriteItems)."""


class Key(NamedTuple):
    """Partition key and sort key of an item."""

    pk: str
    sk: str = "-"


@dataclass(frozen=True, slots=True)
class Absent:
    """The item does not exist."""


@dataclass(frozen=True, slots=True)
class Exists:
    """The item exists."""


@dataclass(frozen=True, slots=True)
class AttributeAbsent:
    """The item, if any, does not have the attribute."""

    name: str


@dataclass(frozen=True, slots=True)
class Equals:
    """The attribute is there and has this value."""

    name: str
    value: Value


@dataclass(frozen=True, slots=True)
class AtLeast:
    """The attribute is there and is not smaller than ``value``."""

    name: str
    value: int | str


@dataclass(frozen=True, slots=True)
class LessThan:
    """The attribute is there and is smaller than ``value``."""

    name: str
    value: int | str


@dataclass(frozen=True, slots=True)
class AnyOf:
    """One of the conditions holds."""

    conditions: tuple[Condition, ...]


Condition: TypeAlias = "Absent | Exists | AttributeAbsent | Equals | AtLeast | LessThan | AnyOf"


@dataclass(frozen=True, slots=True)
class Put:
    """Write the whole item, replacing what was there."""

    key: Key
    attributes: Mapping[str, Value]
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class Update:
    """Change some attributes of an item, creating it if need be.

    ``add`` adds to top-level numbers (absent counts as 0); ``append`` extends top-level lists (absent counts as
    empty); ``defaults`` sets an attribute only where it is absent. No attribute stands in two of the four.
    """

    key: Key
    set: Mapping[str, Value] = field(default_factory=dict)
    add: Mapping[str, int] = field(default_factory=dict)
    append: Mapping[str, Sequence[Value]] = field(default_factory=dict)
    defaults: Mapping[str, Value] = field(default_factory=dict)
    remove: tuple[str, ...] = ()
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove the item; removing what is not there is no error."""

    key: Key
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class Check:
    """Write nothing; only demand the conditions within the transaction."""

    key: Key
    conditions: tuple[Condition, ...]


Action: TypeAlias = "Put | Update | Delete | Check"


@dataclass(frozen=True, slots=True)
class Refusal:
    """One action whose conditions did not hold, and the item as it stood."""

    action: Action
    found: Item | None


class TableError(Exception):
    """The table did not do what was asked."""


class WriteRefusedError(TableError):
    """A condition did not hold; nothing was written. ``refusals`` names each action at fault."""

    def __init__(self, refusals: Sequence[Refusal]) -> None:
        super().__init__("refused: " + ", ".join(str(r.action.key) for r in refusals))
        self.refusals = tuple(refusals)


class WriteConflictError(TableError):
    """Another transaction holds one of the items; nothing was written, and trying again may succeed."""


class ThrottledError(TableError):
    """The table takes no more just now; nothing was written, and trying again later may succeed."""


class UnknownOutcomeError(TableError):
    """No answer came: the write may or may not have happened."""


class Table(Protocol):
    """One table. Reads are strongly consistent except through an index."""

    def get(self, key: Key) -> Item | None:
        """Return the item with its ``pk`` and ``sk``, or None."""
        ...

    def get_many(self, keys: Sequence[Key]) -> dict[Key, Item]:
        """Return the items that exist, each read consistently but not all at one instant. Any number of keys."""
        ...

    def snapshot(self, keys: Sequence[Key]) -> dict[Key, Item]:
        """Return the items that exist, all as of one instant. At most 100 distinct keys."""
        ...

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
        """Yield a partition's items in order of ``sk``, from ``first`` to ``last`` inclusive, lazily paged.

        ``prefix`` excludes ``first`` and ``last``.
        """
        ...

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
        """Yield the keys that an index holds under ``pk`` in order of its sort key; may lag behind the table.

        Indexes hold keys only. Index ``x`` is sparse: it has the items that carry ``x_pk`` and ``x_sk``.
        """
        ...

    def scan(self, *, segment: int = 0, segments: int = 1) -> Iterator[Item]:
        """Yield every item of one of ``segments`` equal parts of the table, in no order."""
        ...

    def write(self, actions: Sequence[Action]) -> None:
        """Do all actions or none. At most 100, each on another key.

        Raises
        ------
        WriteRefusedError, WriteConflictError, ThrottledError, UnknownOutcomeError
        """
        ...

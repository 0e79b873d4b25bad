"""Where a system's number differs from what the others agree on.

Of three or more systems the number that most of them say is the agreed one; where no two agree, and where there are
two systems only, it is the first-named system's. It is a yardstick and no verdict: the report says which it was.
Before the votes are counted, a system whose numbers as a whole follow a rule (it leaves out what is reserved, it
counts in cases) is heard in the others' terms.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from infra.audit.slices import KEY_SEPARATOR, Holdings, Slice
from infra.audit.written_numbers import Number


@dataclass(frozen=True, slots=True)
class Fact:
    """A number of a stock key that may explain a difference: a side column, or what lies at one place.

    Attributes
    ----------
    system
        Which system says it.
    name
        What it is, in words: the heading of its column, or the place.
    columns
        The side columns that are added up; empty where it is a place.
    place
        The place whose stock it is.
    """

    system: int
    name: str
    columns: tuple[int, ...] = ()
    place: str = ""

    def of(self, held: Holdings, key: str) -> Number:
        """Return the number of a key; 0 where nothing is said."""
        if self.columns:
            return sum(held.sides[column].get(key, 0) for column in self.columns)
        return held.by_place.get(key, {}).get(self.place, 0)


class Deviation(NamedTuple):
    """One system's number of one stock key that is not the agreed one.

    Attributes
    ----------
    value
        None where the system does not have the key.
    agreed
        What the others say.
    facts
        The number of each ``Fact``, in order.
    earlier
        What each older export said of the key.
    moved
        The system has as much of this SKU as agreed, but at other places.
    repeats
        The rows of the key, where the system's file has several.
    """

    key: str
    system: int
    value: Number | None
    agreed: Number
    facts: tuple[Number, ...]
    earlier: tuple[Number | None, ...]
    moved: bool
    repeats: tuple[Number, ...]

    @property
    def difference(self) -> Number:
        """The system's number less the agreed one; a missing key counts as 0."""
        return (self.value or 0) - self.agreed


Translate = Callable[[int, Number, tuple[Number, ...]], Number]
"""Puts a system's number in the others' terms: system, number, facts."""


class Odd(NamedTuple):
    """A stock key on which the systems do not all agree: every system's number, and who deviates."""

    key: str
    values: tuple[Number | None, ...]
    majority: bool
    deviations: list[Deviation]


class Compared(NamedTuple):
    """One shard compared: how many keys are the same in all systems, and those that are not, in order.

    Those that are 0 in some systems and missing in the others are among the latter, with no deviation.
    """

    equal: int
    odd: list[Odd]


def compare(of: Slice, facts: Sequence[Fact], translate: Translate | None = None) -> Compared:
    """Compare one shard of all systems, each heard through ``translate``."""
    quantities = [held.quantities for held in of.systems]
    first, rest = quantities[0], quantities[1:]
    keys = set().union(*(other.keys() - first.keys() for other in rest))
    for other in rest:
        get = other.get
        keys.update([key for key, value in first.items() if get(key) != value])
    everything = len(first) + len(keys - first.keys())
    numbers = [_reader(fact, of.systems[fact.system]) for fact in facts]
    found = [_odd(of, key, tuple([number(key) for number in numbers]), translate) for key in sorted(keys)]
    _mark_moved(found)
    return Compared(everything - len(keys), found)


def _reader(fact: Fact, held: Holdings) -> Callable[[str], Number]:
    if len(fact.columns) == 1:
        side = held.sides[fact.columns[0]]
        return lambda key: side.get(key, 0)
    return lambda key: fact.of(held, key)


def _mark_moved(found: Sequence[Odd]) -> None:
    """Mark the differences of a system that cancel out over the places of a SKU."""
    of_sku: dict[int, list[tuple[list[Deviation], int]]] = {}
    last = ""

    def settle() -> None:
        for places in of_sku.values():
            if len(places) > 1 and sum(those[at].difference for those, at in places) == 0:
                for those, at in places:
                    those[at] = those[at]._replace(moved=True)
        of_sku.clear()

    for odd in found:
        sku, _, place = odd.key.partition(KEY_SEPARATOR)
        if not place:
            continue
        if sku != last:
            settle()
            last = sku
        for at, deviation in enumerate(odd.deviations):
            of_sku.setdefault(deviation.system, []).append((odd.deviations, at))
    settle()


def _odd(of: Slice, key: str, facts: tuple[Number, ...], translate: Translate | None) -> Odd:
    values = tuple([held.quantities.get(key) for held in of.systems])
    heard = [
        value if translate is None else translate(system, value, facts)
        for system, value in enumerate(values)
        if value is not None
    ]
    agreed, majority = _agreed(heard)
    earlier = tuple([held.quantities.get(key) for held in of.earlier]) if of.earlier else ()
    deviations = []
    for system, value in enumerate(values):
        if value != agreed and (value is not None or agreed != 0):
            repeats = of.systems[system].repeated.get(key, ())
            deviations.append(Deviation(key, system, value, agreed, facts, earlier, False, tuple(repeats)))
    return Odd(key, values, majority, deviations)


def _agreed(heard: Sequence[Number]) -> tuple[Number, bool]:
    """Return the number that most say, the first one's where no two agree; and whether two do."""
    if len(heard) == 3:
        one, two, three = heard
        return (three, True) if two == three else (one, one in (two, three))
    most = max(map(heard.count, heard))
    leaders = {value for value in heard if heard.count(value) == most}
    return (heard[0], False) if most == 1 or len(leaders) > 1 else (leaders.pop(), True)


def facts_of(
    sides: Sequence[Sequence[str]], signs: Sequence[Sequence[int]], places: Mapping[int, Sequence[str]]
) -> list[Fact]:
    """List what may explain differences: each side column, all that available stock leaves out together, places.

    Parameters
    ----------
    sides, signs
        For each system, the headings of its side columns and what they do.
    places
        The places of the systems whose stock is summed over places.
    """
    facts: list[Fact] = []
    for system, names in enumerate(sides):
        facts += [Fact(system, name, (column,)) for column, name in enumerate(names)]
        less = tuple(column for column, sign in enumerate(signs[system]) if sign < 0)
        if len(less) > 1:
            facts.append(Fact(system, " + ".join(names[column] for column in less), less))
        facts += [Fact(system, place, place=place) for place in places.get(system, ())]
    return facts

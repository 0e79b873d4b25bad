"""By what the systems are compared: by place where all say places and mean the same ones, else by SKU alone.

Places are the same if their names are, up to case and marks. Others are matched by what lies there: a place of one
system is a place of another if the same non-zero numbers stand at both, for most SKUs, and nowhere else nearly as
often. What cannot be matched so stays a place of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from infra.audit.headings import squeezed
from infra.audit.reading import PLACE, QUANTITY, SKU, Export
from infra.audit.written_numbers import Number, read_number

_FEWEST = 5
_TIMES_SECOND = 3


@dataclass(frozen=True, slots=True)
class Match:
    """A place of one system found to be a place of another by what lies there."""

    system: str
    theirs: str
    ours: str
    equal: int
    of: int


@dataclass(frozen=True, slots=True)
class Grain:
    """What a stock key is.

    Attributes
    ----------
    by_place
        Whether a key is SKU and place; else it is the SKU, summed over places.
    names
        For each export, the name under which each of its places is compared.
    matches
        Places that go by different names.
    why
        In words.
    """

    by_place: bool
    names: tuple[Mapping[str, str], ...]
    matches: tuple[Match, ...]
    why: str

    def places(self, export: int) -> set[str]:
        """Return the places that an export has, under the names they are compared by."""
        return set(self.names[export].values())


def find_grain(exports: Sequence[Export], systems: int, shards: int) -> Grain:
    """Decide what is compared; the first ``systems`` of the exports are systems, the rest is older or other data."""
    placed = [export for export in exports if export.has_places]
    if not placed:
        return Grain(False, tuple({} for _ in exports), (), "by SKU: no file names places")
    reference = placed[0]
    own = reference.places or set()
    names: list[dict[str, str]] = []
    matches: list[Match] = []
    for export in exports:
        mapping = _by_name(export.places or set(), own)
        if export is not reference and export.has_places:
            found = _by_content(reference, export, own - set(mapping.values()), set(mapping), shards)
            matches += found
            mapping |= {match.theirs: match.ours for match in found}
        names.append({place: mapping.get(place, place) for place in export.places or set()})
    lacking = [export.system for export in exports[:systems] if not export.has_places]
    if lacking:
        why = f"by SKU, summed over places: {', '.join(lacking)} names no places"
        return Grain(False, tuple(names), tuple(matches), why)
    alone = [
        export.system
        for export, of in zip(exports[:systems], names, strict=False)
        if not set(of.values()) & own
    ]
    if alone:
        why = f"by SKU, summed over places: no place of {', '.join(alone)} could be matched with {reference.system}'s"
        return Grain(False, tuple(names), tuple(matches), why)
    return Grain(True, tuple(names), tuple(matches), "by SKU and place")


def _by_name(places: set[str], own: set[str]) -> dict[str, str]:
    """Map places to the reference's by name; a name that is ambiguous without its case and marks maps to nothing."""
    by_form: dict[str, list[str]] = {}
    for place in own:
        by_form.setdefault(squeezed(place), []).append(place)
    found = {place: place for place in places & own}
    for place in places - own:
        same = by_form.get(squeezed(place), [])
        if len(same) == 1 and same[0] not in found.values():
            found[place] = same[0]
    return found


def _by_content(
    reference: Export, export: Export, free: set[str], known: set[str], shards: int
) -> list[Match]:
    left = (export.places or set()) - known
    if not free or not left:
        return []
    equal: Counter[tuple[str, str]] = Counter()
    stocked: Counter[str] = Counter()
    for shard in range(shards):
        ours = _by_sku(reference, shard, free)
        for sku, theirs in _by_sku(export, shard, left).items():
            here = ours.get(sku)
            if here is None:
                continue
            stocked.update(theirs.keys())
            equal.update(
                (place, own)
                for place, amount in theirs.items()
                for own, number in here.items()
                if number == amount
            )
    found = []
    for place in sorted(left):
        ranked = sorted(((equal[place, own], own) for own in free), reverse=True)
        count, own = ranked[0]
        second = ranked[1][0] if len(ranked) > 1 else 0
        best_for_own = max(equal[other, own] for other in left)
        if (
            count >= _FEWEST
            and count * 2 >= stocked[place]
            and count >= _TIMES_SECOND * second
            and count == best_for_own
        ):
            found.append(Match(export.system, place, own, count, stocked[place]))
    ours_taken = Counter(match.ours for match in found)
    return [match for match in found if ours_taken[match.ours] == 1]


def _by_sku(export: Export, shard: int, places: set[str]) -> dict[str, dict[str, Number]]:
    """Return the quantities of one shard at some places that are not zero, by SKU."""
    columns = export.spill.columns(shard)
    found: dict[str, dict[str, Number]] = {}
    for sku, place, text in zip(columns[SKU], columns[PLACE], columns[QUANTITY], strict=True):
        if place in places and (amount := read_number(text, export.style)):
            found.setdefault(sku, {})[place] = amount
    return found

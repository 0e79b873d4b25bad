"""How explanations are said: a title, the evidence, what to look at. Likely, never certain.

``{others}`` is who the system was measured by: the agreed number is the one that most systems say, or the first's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from infra.audit.deviations import Fact
from infra.audit.explanations import Explanation, Kind
from infra.audit.findings import percent

_REMEDIES = {
    Kind.PACK_FACTOR: "see in which unit each system keeps these items; declare the pack in one place (item master)",
    Kind.DEFINITION: "the numbers mean different things: declare what each system's number means, and compare like with like",
    Kind.PLACE_LEFT_OUT: "decide whether that place is sellable, and have every system count it or none",
    Kind.OFFSET: "look for a safety stock or channel buffer in the integration; declare it, so that it is no difference",
    Kind.STALE: "the copy is not refreshed: see when its job last ran, and whether an older file overwrote a newer one",
    Kind.PLACES: "see how places are mapped between the two systems, and transfers that only one of them has booked",
    Kind.PLACE_NOT_CARRIED: "declare whether this system should have the place at all",
    Kind.SWAPPED: "two codes are mapped crosswise: correct the cross-reference of each pair",
    Kind.TRUNCATED: "see whether the export is cut off (a row or time limit), and export it again before believing it",
    Kind.CODE_FORMAT: "map the codes, or have spreadsheets and interfaces treat them as text",
    Kind.NEGATIVE: "a sale or pick was booked before its receipt: find the receipt that is missing",
    Kind.REPEATED: "see why a key has several rows: bins and lots add up, a repeated row must not",
    Kind.MISSING: "see whether these items were never created there, or were deactivated",
    Kind.UNEXPLAINED: "no pattern: a lost or doubled event, a manual change, a count not passed on; compare histories",
}


_REMEDY_OF_HIGHER = (
    "a buffer lowers a number: see whether the others take one off, or what this system adds to every item; declare it, "
    "so that it is no difference"
)


def remedy(of: Explanation) -> str:
    """Say what to look at."""
    return _REMEDY_OF_HIGHER if of.kind is Kind.OFFSET and of.offset > 0 else _REMEDIES[of.kind]


def whose(of: Explanation, systems: Sequence[str]) -> str:
    """Name the system whose numbers an explanation points at: of two, the one that is below zero, whichever comes first."""
    if not of.is_of_others:
        return systems[of.system]
    return systems[1 - of.system] if len(systems) == 2 else "the others"


def in_short(of: Explanation, systems: Sequence[str]) -> str:
    """Say in a few words what a single difference is, and whose."""
    return f"{whose(of, systems)}: {of.kind.replace('_', ' ')}"


class Wording:
    """Says explanations of one audit."""

    def __init__(self, systems: Sequence[str], facts: Sequence[Fact], older: Sequence[str]) -> None:
        self._systems, self._facts, self._older = systems, facts, older

    def title(self, of: Explanation) -> str:
        """Say an explanation in one line."""
        system = self._systems[of.system]
        match of.kind:
            case Kind.PACK_FACTOR if of.divides:
                return f"pack factor: {system} counts packs of {of.factor:,}"
            case Kind.PACK_FACTOR:
                return f"pack factor: {system} says {of.factor:,} times what the others say"
            case Kind.DEFINITION:
                return f"definition mismatch: {system} {self._verb(of)} {self._fact(of)}"
            case Kind.PLACE_LEFT_OUT:
                return f"location mapping: {system} {self._verb(of)} the stock at {self._fact(of)}"
            case Kind.OFFSET:
                higher = of.offset > 0
                size = of.offset if higher else -of.offset
                what = "higher" if higher else "lower (a safety stock or buffer?)"
                return f"constant offset: {system} is exactly {size:,} {what}"
            case Kind.STALE:
                return f"stale copy: {system} still says what {self._older[of.export]} said"
            case Kind.PLACES:
                return f"location mapping: {system} has as much, but at other places"
            case Kind.PLACE_NOT_CARRIED:
                return f"place not carried: {system} has nothing at {of.place}"
            case Kind.TRUNCATED:
                return f"truncated export: {system} ends at {of.limit}"
            case Kind.NEGATIVE:
                others = f", where {system} says 0" if of.is_of_others else ""
                verb = "are" if of.is_of_others and len(self._systems) > 2 else "is"
                return f"negative stock: {whose(of, self._systems)} {verb} below zero{others}"
            case Kind.REPEATED:
                return f"duplicate rows: {system} has several rows for a key"
            case Kind.MISSING:
                return f"missing: {system} does not have these keys"
            case Kind.SWAPPED:
                return f"swapped mapping: {system} has pairs of SKUs the wrong way round"
            case _:
                return f"unexplained: {system} differs without a pattern"

    def evidence(self, of: Explanation, keys: int) -> list[str]:
        """Say why an explanation is likely."""
        found = []
        if of.kind is Kind.PLACES:
            found.append(
                f"the differences of {of.hits:,} SKUs cancel out; those of about {of.chance:,} would by chance"
            )
        elif of.hits:
            found.append(f"fits {of.hits:,} differences exactly; about {of.chance:,} would by chance")
        if of.compared and keys * 2 >= of.compared:
            found.append(
                f"that is {percent(keys, of.compared)} of all keys that {self._systems[of.system]} shares"
            )
        if of.kind in (Kind.DEFINITION, Kind.PLACE_LEFT_OUT):
            fact = self._facts[of.fact]
            what = f"what {self._systems[fact.system]} says is {'at ' if fact.place else ''}{fact.name!r}"
            found.append(f"the difference is {what}, on each of these keys")
        if of.kind is Kind.TRUNCATED:
            order = "ascending" if of.sign > 0 else "descending"
            found.append(
                f"its rows are in {order} order of their SKUs, and every key it lacks comes after its last row"
            )
        return found

    def where_missing(self, system: int, places: Mapping[str, int], elsewhere: int) -> list[str]:
        """Say of missing keys whether it is a place or the item that is missing.

        Parameters
        ----------
        places
            Missing keys by place.
        elsewhere
            Of how many of them the system has the item at another place.
        """
        name, keys = self._systems[system], sum(places.values())
        at = next(iter(places), "")
        if elsewhere == keys:
            has = f"{name} has these items elsewhere"
        else:
            has = f"{name} has the items of {elsewhere:,} of the {keys:,} keys elsewhere" if elsewhere else ""
        where = f"all at {at}" if at and len(places) == 1 else ""
        return ["; ".join(filter(None, (where, has)))] if where or has else []

    def _fact(self, of: Explanation) -> str:
        fact = self._facts[of.fact]
        return f"{fact.name!r} ({self._systems[fact.system]})"

    def _verb(self, of: Explanation) -> str:
        return "leaves out" if of.sign < 0 else "counts in"

"""What the files teach of themselves: affixes that one system puts around its codes, and what a repeated row means."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from infra.audit.evidence import FEWEST
from infra.audit.slices import Holdings, Slice, Spelling
from shared.domain.sku_codes import affixes, bare, differences, trimmed

Affixes = tuple[str, str]


@dataclass
class Repeats:
    """Keys of a file with several rows: how many fit another system if summed, and if said once."""

    keys: int = 0
    identical: int = 0
    fits_once: int = 0
    fits_sum: int = 0


class Lesson:
    """Learns from shards, one at a time."""

    def __init__(self) -> None:
        self.repeats: dict[int, Repeats] = {}
        """By system."""
        self._pairs: Counter[tuple[int, Affixes, int, Affixes]] = Counter()

    def note(self, of: Slice) -> None:
        """Look at one shard."""
        self._note_affixes([held.skus for held in of.systems])
        for number, held in enumerate(of.systems):
            self._note_repeats(number, held, of)

    @property
    def once(self) -> set[int]:
        """Systems of which a repeated row is the same thing said again, since so it fits the others more often."""
        return {number for number, repeats in self.repeats.items() if repeats.fits_once > repeats.fits_sum}

    @property
    def spelling(self) -> Spelling:
        """The affixes by which enough codes of two systems become the same."""
        accepted: dict[int, set[Affixes]] = {}
        for (one, of_one, other, of_other), count in self._pairs.items():
            if count >= FEWEST:
                accepted.setdefault(one, set()).add(of_one)
                accepted.setdefault(other, set()).add(of_other)
        return Spelling({number: frozenset(those - {("", "")}) for number, those in accepted.items()})

    def _note_affixes(self, skus: Sequence[set[str]]) -> None:
        """Count pairs of codes that become the same without what one of them, or each, has around it."""
        alone = set().union(*skus) - skus[0].intersection(*skus[1:])
        own = [sorted(held & alone) for held in skus]
        whole = [_by_form((sku, sku) for sku in those) for those in own]
        cores = [_by_form((sku, _core(sku)) for sku in those) for those in own]
        for one, other in combinations(range(len(skus)), 2):
            self._note_added(one, own[one], other, whole[other])
            self._note_added(other, own[other], one, whole[one])
            for core, mine in cores[one].items():
                theirs = cores[other].get(core, [])
                if len(mine) == len(theirs) == 1:
                    these, those = affixes(mine[0]), affixes(theirs[0])
                    if "" not in ("".join(these), "".join(those)) and these != those:
                        self._pairs[one, these, other, those] += 1

    def _note_added(
        self, system: int, codes: Sequence[str], other: int, whole: Mapping[str, list[str]]
    ) -> None:
        for code in codes:
            for prefix, core, suffix in trimmed(code):
                if len(whole.get(bare(core), ())) == 1:
                    self._pairs[system, (prefix, suffix), other, ("", "")] += 1
                    break

    def _note_repeats(self, number: int, held: Holdings, of: Slice) -> None:
        for key, rows in held.repeated.items():
            repeats = self.repeats.setdefault(number, Repeats())
            others = {
                other.quantities[key] for other in of.systems if other is not held and key in other.quantities
            }
            same = len(set(rows)) == 1
            repeats.keys += 1
            repeats.identical += same
            repeats.fits_once += same and rows[0] in others
            repeats.fits_sum += sum(rows) in others


def _core(sku: str) -> str:
    prefix, suffix = affixes(sku)
    return sku[len(prefix) : len(sku) - len(suffix)]


def _by_form(codes: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for sku, core in codes:
        found.setdefault(bare(core), []).append(sku)
    return found


def spelled_how(one: str, other: str) -> str:
    """Say in what two codes of the same item differ."""
    if bare(one) == bare(other):
        return ", ".join(differences(one, other))
    found = []
    for what, mine, theirs in zip(("prefix", "suffix"), affixes(one), affixes(other), strict=True):
        if mine.casefold() != theirs.casefold():
            found.append(f"{what} {_more(mine, theirs, what)!r}")
    return " and ".join(found)


def _more(mine: str, theirs: str, what: str) -> str:
    """Return what the longer of two affixes has more, if it holds the other; else both."""
    short, long = sorted((mine, theirs), key=len)
    if what == "prefix" and long.endswith(short):
        return long[: len(long) - len(short)]
    if what == "suffix" and long.startswith(short):
        return long[len(short) :]
    return f"{mine} / {theirs}"

"""What the files teach of themselves: affixes that one system puts around its codes, and what a repeated row means."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from infra.audit.evidence import FEWEST
from infra.audit.slices import Holdings, Slice, Spelling
from shared.domain.sku_codes import affixes, bare, differences

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
        """Count pairs of codes that are the same but for letters before or after."""
        alone = set().union(*skus) - skus[0].intersection(*skus[1:])
        cores: list[dict[str, list[str]]] = []
        for held in skus:
            by_core: dict[str, list[str]] = {}
            for sku in held & alone:
                prefix, suffix = affixes(sku)
                by_core.setdefault(bare(sku[len(prefix) : len(sku) - len(suffix)]), []).append(sku)
            cores.append(by_core)
        for one, other in combinations(range(len(cores)), 2):
            for core, mine in cores[one].items():
                theirs = cores[other].get(core, [])
                if len(mine) == len(theirs) == 1 and affixes(mine[0]) != affixes(theirs[0]):
                    self._pairs[one, affixes(mine[0]), other, affixes(theirs[0])] += 1

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


def spelled_how(one: str, other: str) -> str:
    """Say in what two codes of the same item differ."""
    these, those = affixes(one), affixes(other)
    if these != those and bare(one) != bare(other):
        found = [
            f"{what} {mine or theirs!r}"
            for what, mine, theirs in (("prefix", these[0], those[0]), ("suffix", these[1], those[1]))
            if mine != theirs
        ]
        return " and ".join(found)
    return ", ".join(differences(one, other))

"""One shard of all files side by side: each stock key's quantity in every system.

Codes that only one system spells so are joined where their spelling alone differs (``sku_codes``), and only where
that is unambiguous: one code in each system. They are compared under the first system's spelling; that they are
spelled differently is itself reported.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TypeVar

from infra.audit.places import Grain
from infra.audit.proof import Role
from infra.audit.reading import PLACE, PRICE, QUANTITY, SIDES, SKU, Export
from infra.audit.written_numbers import Number, Style, read_number, read_price
from shared.domain.sku_codes import bare

KEY_SEPARATOR = "\x1e"
"""Between SKU and place in a stock key; no printable text holds it."""

_REMEMBERED = 200_000
Read = TypeVar("Read")


class _Remembered(dict[str, "Read | None"]):
    """What each written number reads as; there are few different ones, however many the rows."""

    def __init__(self, read: Callable[[str, Style], Read | None], style: Style) -> None:
        super().__init__()
        self._read, self._style = read, style

    def __missing__(self, text: str) -> Read | None:
        if len(self) >= _REMEMBERED:
            self.clear()
        value = self[text] = self._read(text, self._style)
        return value


@dataclass
class Holdings:
    """What one export says in one shard.

    Attributes
    ----------
    quantities
        By stock key.
    skus
        Without their places.
    repeated
        The numbers of keys with several rows.
    sides
        For each side column, its numbers by stock key.
    by_place
        Where places are summed: the quantity at each place, by key.
    spelled
        The key as written, where it is compared under another spelling.
    prices
        By SKU, as written.
    in_order, last_row
        The SKU of each row in the order of the file, and the number of the last row.
    """

    quantities: dict[str, Number] = field(default_factory=dict)
    skus: set[str] = field(default_factory=set)
    repeated: dict[str, list[Number]] = field(default_factory=dict)
    sides: list[dict[str, Number]] = field(default_factory=list)
    by_place: dict[str, dict[str, Number]] = field(default_factory=dict)
    spelled: dict[str, str] = field(default_factory=dict)
    prices: dict[str, Decimal] = field(default_factory=dict)
    in_order: list[str] = field(default_factory=list)
    last_row: int = -1


@dataclass(frozen=True, slots=True)
class Spelling:
    """Affixes (what stands before and after) that are taken off before codes are joined, by export."""

    affixes: Mapping[int, frozenset[tuple[str, str]]] = field(default_factory=dict)

    def core(self, export: int, sku: str) -> str:
        """Return a code without an accepted affix of its export, the longest one."""
        for prefix, suffix in sorted(self.affixes.get(export, ()), key=lambda affix: -len("".join(affix))):
            if len(prefix) + len(suffix) < len(sku) and sku.startswith(prefix) and sku.endswith(suffix):
                return sku[len(prefix) : len(sku) - len(suffix)]
        return sku


@dataclass
class Slice:
    """One shard: the systems in order, then the older exports, and the prices by SKU."""

    systems: list[Holdings]
    earlier: list[Holdings]
    prices: Mapping[str, Decimal]
    ambiguous: int = 0
    """Codes that could be the same item as more than one code of another system."""


class Slices:
    """Loads shards."""

    def __init__(self, exports: Sequence[Export], grain: Grain, shards: int) -> None:
        self._exports, self._grain = exports, grain
        self.count = shards
        self.once: set[int] = set()
        """Exports of which a repeated row is the same thing said again, not more of it."""
        self.spelling = Spelling()
        self._numbers: list[_Remembered[Number]] = [_Remembered(read_number, e.style) for e in exports]
        self._prices: list[_Remembered[Decimal]] = [_Remembered(read_price, e.money_style) for e in exports]

    def load(self, shard: int, note_faults: bool = False) -> Slice:
        """Read one shard of every export."""
        held = [self._holdings(number, shard, note_faults) for number in range(len(self._exports))]
        systems = [one for one, of in zip(held, self._exports, strict=True) if of.role is Role.SYSTEM]
        ambiguous = self._join(held, len(systems))
        prices: dict[str, Decimal] = {}
        for one, of in sorted(
            zip(held, self._exports, strict=True), key=lambda pair: pair[1].role is Role.PRICES
        ):
            prices = {**one.prices, **prices} if of.role is Role.SYSTEM else {**prices, **one.prices}
        earlier = [one for one, of in zip(held, self._exports, strict=True) if of.role is Role.EARLIER]
        return Slice(systems, earlier, prices, ambiguous)

    def _holdings(self, number: int, shard: int, note_faults: bool) -> Holdings:
        export, numbers = self._exports[number], self._numbers[number]
        columns = export.spill.columns(shard)
        held = Holdings()
        if export.layout.price is not None:
            read = map(self._prices[number].__getitem__, columns[PRICE])
            held.prices = {
                sku: price for sku, price in zip(columns[SKU], read, strict=True) if price is not None
            }
        if export.role is Role.PRICES:
            return held
        amounts = list(map(numbers.__getitem__, columns[QUANTITY]))
        if None in amounts:
            columns, amounts = self._readable(export, columns, amounts, note_faults)
        keys = columns[SKU]
        held.skus = set(keys)
        held.in_order, held.last_row = _in_order(keys, columns[-1], len(export.layout.quantities) > 1)
        if export.has_places and export.places is not None:
            names = self._grain.names[number]
            places = map(names.__getitem__, columns[PLACE])
            keys = list(map(KEY_SEPARATOR.join, zip(keys, places, strict=True)))
        self._fill(held, number, keys, [amount for amount in amounts if amount is not None])
        for texts in columns[SIDES:-1]:
            held.sides.append(_summed(keys, [numbers[text] or 0 for text in texts], number in self.once))
        if not self._grain.by_place and export.has_places and export.places is not None:
            _collapse(held)
        return held

    def _readable(
        self, export: Export, columns: list[list[str]], amounts: list[Number | None], note: bool
    ) -> tuple[list[list[str]], list[Number | None]]:
        kept = [at for at, amount in enumerate(amounts) if amount is not None]
        if note:
            for at, amount in enumerate(amounts):
                if amount is None:
                    text = f"{columns[SKU][at]}: {columns[QUANTITY][at]}"
                    export.aside.add(
                        "the quantity is no number in the file's style", int(columns[-1][at]), text
                    )
        return [[column[at] for at in kept] for column in columns], [amounts[at] for at in kept]

    def _fill(self, held: Holdings, number: int, keys: list[str], amounts: list[Number]) -> None:
        held.quantities = dict(zip(keys, amounts, strict=True))
        if len(held.quantities) == len(keys):
            return
        held.repeated = {key: [] for key, times in Counter(keys).items() if times > 1}
        for key, amount in zip(keys, amounts, strict=True):
            if key in held.repeated:
                held.repeated[key].append(amount)
        for key, found in held.repeated.items():
            same = len(set(found)) == 1
            held.quantities[key] = found[0] if same and number in self.once else sum(found)

    def _join(self, held: Sequence[Holdings], systems: int) -> int:
        """Give codes that differ in spelling alone one key; return how many codes could be several others."""
        skus = [one.skus for one in held]
        everyone = set().union(*skus[:systems])
        partial = everyone - skus[0].intersection(*skus[1:systems])
        if not partial:
            return 0
        groups: dict[str, list[tuple[int, str]]] = {}
        for number, found in enumerate(skus):
            for sku in found & partial if number < systems else found - everyone:
                groups.setdefault(bare(self.spelling.core(number, sku)), []).append((number, sku))
        renamed: list[dict[str, str]] = [{} for _ in held]
        ambiguous = 0
        for members in groups.values():
            spellings = {sku for _, sku in members}
            if len(spellings) == 1:
                continue
            if len({number for number, _ in members}) < len(members):
                ambiguous += len(spellings)
                continue
            first = min(members)[1]
            for number, sku in members:
                if sku != first:
                    renamed[number][sku] = first
        for number, new in enumerate(renamed):
            if new:
                _respell(held[number], new, self._grain.places(number) if self._grain.by_place else {""})
        return ambiguous


def _in_order(skus: list[str], rows: Sequence[str], wide: bool) -> tuple[list[str], int]:
    """Return the SKUs in the order of the file, and the last row; a wide file is kept place by place."""
    if not skus:
        return skus, -1
    if not wide:
        return skus, int(rows[-1])
    by_row = sorted({int(row): sku for row, sku in zip(rows, skus, strict=True)}.items())
    return [sku for _, sku in by_row], by_row[-1][0]


def _summed(keys: Sequence[str], amounts: Sequence[Number], once: bool) -> dict[str, Number]:
    found = dict(zip(keys, amounts, strict=True))
    if len(found) == len(keys) or once:
        return found
    found = {}
    for key, amount in zip(keys, amounts, strict=True):
        found[key] = found.get(key, 0) + amount
    return found


def _collapse(held: Holdings) -> None:
    """Sum over places, and keep what lies at each."""
    placed = held.quantities
    held.quantities = _summed([key.partition(KEY_SEPARATOR)[0] for key in placed], [*placed.values()], False)
    for key, amount in placed.items():
        sku, _, place = key.partition(KEY_SEPARATOR)
        held.by_place.setdefault(sku, {})[place] = amount
    held.sides = [
        _summed([key.partition(KEY_SEPARATOR)[0] for key in side], [*side.values()], False)
        for side in held.sides
    ]
    held.repeated = {}


def _respell(held: Holdings, new: Mapping[str, str], places: Iterable[str]) -> None:
    """Move what is under a written SKU to the one it is compared under."""
    for place in places:
        mark = f"{KEY_SEPARATOR}{place}" if place else ""
        for sku, other in new.items():
            written, key = f"{sku}{mark}", f"{other}{mark}"
            if written in held.quantities:
                held.spelled[key] = written
                for numbers in (held.quantities, *held.sides):
                    _move(numbers, written, key)
                _move(held.repeated, written, key)
                _move(held.by_place, written, key)
    for sku, other in new.items():
        _move(held.prices, sku, other)
    held.skus = (held.skus - new.keys()) | set(new.values())
    held.in_order = [new.get(sku, sku) for sku in held.in_order]


def _move(of: dict[str, Read], before: str, after: str) -> None:
    if before in of:
        of[after] = of.pop(before)


def split_key(key: str) -> tuple[str, str]:
    """Return the SKU and the place of a stock key; the place is "" where keys are SKUs."""
    sku, _, place = key.partition(KEY_SEPARATOR)
    return sku, place

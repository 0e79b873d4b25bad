"""Three exports of one truth, with a fault of each kind planted in one of them; it knows nothing of the audit.

Each fault has items of its own, so what was planted is known exactly: the kind, the system, and how many keys. The
noise is what every real export has: single keys that differ by a sale or two, for no reason that shows.

``python -m tests.infra.audit.planted FOLDER [ITEMS [SEED]]`` writes such exports, and says what is planted in them.
"""

from __future__ import annotations

import csv
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

Rows = dict[tuple[str, str], int]

PLACES = ("EAST", "WEST")
RESERVED_SHARE = 0.4


@dataclass
class World:
    """What is true, and what each system says of it.

    Attributes
    ----------
    truth
        On hand by SKU and place.
    says
        For each system what its export will say.
    reserved
        By key; the WMS writes it in a column of its own.
    prices
        In cents, by SKU.
    codes
        For each system, SKUs it spells in its own way.
    repeated
        For each system, keys whose row is written twice.
    planted
        Kind and system of each fault, with the number of keys that show it.
    """

    truth: Rows
    says: dict[str, Rows]
    reserved: Rows
    prices: dict[str, int]
    earlier: Rows
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    repeated: dict[str, list[tuple[str, str]]] = field(default_factory=dict)
    planted: dict[tuple[str, str], int] = field(default_factory=dict)


def world(seed: int, items: int, kinds: tuple[str, ...], *, noise: int = 0, faulty: int = 12) -> World:
    """Make a truth of so many items, and plant each kind on about ``faulty`` of them.

    Parameters
    ----------
    kinds
        Names of ``FAULTS``.
    noise
        Keys that differ by one to three units without a reason.
    """
    chance = random.Random(seed)  # noqa: S311 - a test world, not a secret
    skus = [f"{number:06d}" for number in chance.sample(range(100, 900_000), items)]
    truth = {(sku, place): _stock(chance) for sku in skus for place in PLACES}
    reserved = {
        key: min(on_hand, chance.randint(1, 9))
        for key, on_hand in truth.items()
        if on_hand and chance.random() < RESERVED_SHARE
    }
    earlier = {key: max(0, on_hand + chance.choice((-9, -4, -2, 3, 7, 16))) for key, on_hand in truth.items()}
    made = World(
        truth,
        {system: dict(truth) for system in ("wms", "erp", "shop")},
        reserved,
        {sku: chance.randint(199, 19_999) for sku in skus},
        earlier,
    )
    free = iter(chance.sample(skus, len(skus)))
    for kind in sorted(kinds, key=lambda kind: kind not in WHOLE_SYSTEM):
        FAULTS[kind](made, list(islice(free, faulty)), chance)
    for sku in islice(free, noise):
        system, place = chance.choice(("erp", "shop")), chance.choice(PLACES)
        off = chance.choice((-3, -2, -1, 1, 2, 3))
        if (sku, place) in made.says[system]:  # a row that was cut off stays cut off
            made.says[system][sku, place] = max(0, made.says[system][sku, place] + off)
    return made


def _stock(chance: random.Random) -> int:
    return 0 if chance.random() < 0.1 else int(chance.lognormvariate(3.5, 1.2)) + 1


def _keys(made: World, skus: list[str]) -> Iterator[tuple[str, str]]:
    return ((sku, place) for sku in skus for place in PLACES if made.truth[sku, place])


def _plant(made: World, kind: str, system: str, keys: int) -> None:
    made.planted[kind, system] = keys


def missing(made: World, skus: list[str], chance: random.Random) -> None:
    keys = list(_keys(made, skus))
    for sku in skus:
        for place in PLACES:
            made.says["shop"].pop((sku, place), None)
    _plant(made, "missing", "shop", len(keys))


def pack_factor(made: World, skus: list[str], chance: random.Random) -> None:
    keys = list(_keys(made, skus))
    for key in keys:
        made.truth[key] = packs = 12 * chance.randint(2, 40)
        for rows in made.says.values():
            rows[key] = packs
        made.says["erp"][key] = packs // 12
    _plant(made, "pack_factor", "erp", len(keys))


def sku_code_format(made: World, skus: list[str], chance: random.Random) -> None:
    spelled = {}
    for sku in skus:
        plain = f"00{sku.lstrip('0')}"
        for place in PLACES:
            for rows in (made.truth, *made.says.values()):
                rows[plain, place] = rows.pop((sku, place))
            if (sku, place) in made.reserved:
                made.reserved[plain, place] = made.reserved.pop((sku, place))
        made.prices[plain] = made.prices.pop(sku)
        spelled[plain] = plain.lstrip("0")
    made.codes.setdefault("erp", {}).update(spelled)
    _plant(made, "sku_code_format", "erp", len(skus) * len(PLACES))


def swapped_mapping(made: World, skus: list[str], chance: random.Random) -> None:
    rows = made.says["erp"]
    count = 0
    for one, other in zip(skus[::2], skus[1::2], strict=False):
        for place in PLACES:
            count += 2 * (rows[one, place] != rows[other, place])
            rows[one, place], rows[other, place] = rows[other, place], rows[one, place]
    _plant(made, "swapped_mapping", "erp", count)


def location_mapping(made: World, skus: list[str], chance: random.Random) -> None:
    rows, (east, west) = made.says["erp"], PLACES
    count = 0
    for sku in skus:
        count += 2 * (rows[sku, east] != rows[sku, west])
        rows[sku, east], rows[sku, west] = rows[sku, west], rows[sku, east]
    _plant(made, "location_mapping", "erp", count)


def definition_mismatch(made: World, skus: list[str], chance: random.Random) -> None:
    """The whole shop shows available: not only the SKUs handed in."""
    for key, reserved in made.reserved.items():
        made.says["shop"][key] -= reserved
    _plant(made, "definition_mismatch", "shop", len(made.reserved))


def constant_offset(made: World, skus: list[str], chance: random.Random) -> None:
    """The whole shop keeps a buffer of four back: not only the SKUs handed in."""
    rows = made.says["shop"]
    _plant(made, "constant_offset", "shop", sum(1 for value in rows.values() if value))
    for key, value in rows.items():
        rows[key] = max(0, value - 4)


def stale_copy(made: World, skus: list[str], chance: random.Random) -> None:
    keys = list(_keys(made, skus))
    for key in keys:
        made.says["shop"][key] = made.earlier[key]
    _plant(made, "stale_copy", "shop", sum(made.earlier[key] != made.truth[key] for key in keys))


def truncated_export(made: World, skus: list[str], chance: random.Random) -> None:
    rows = made.says["erp"]
    cut = sorted(rows)[-2 * len(skus) :]
    for key in cut:
        del rows[key]
    _plant(made, "truncated_export", "erp", sum(1 for key in cut if made.truth[key]))


def negative_stock(made: World, skus: list[str], chance: random.Random) -> None:
    keys = [(sku, PLACES[0]) for sku in skus]
    for key in keys:
        for rows in (made.truth, *made.says.values()):
            if key in rows:  # a row that was cut off stays cut off
                rows[key] = 0
        made.reserved.pop(key, None)
        made.says["wms"][key] = -chance.randint(1, 9)
    _plant(made, "negative_stock", "wms", len(keys))


def repeated_rows(made: World, skus: list[str], chance: random.Random) -> None:
    keys = list(_keys(made, skus))
    made.repeated["erp"] = keys
    _plant(made, "repeated_rows", "erp", len(keys))


FAULTS: dict[str, Callable[[World, list[str], random.Random], None]] = {
    function.__name__: function
    for function in (
        missing,
        pack_factor,
        sku_code_format,
        swapped_mapping,
        location_mapping,
        definition_mismatch,
        constant_offset,
        stale_copy,
        truncated_export,
        negative_stock,
        repeated_rows,
    )
}

WHOLE_SYSTEM = ("definition_mismatch", "constant_offset")
"""Faults of every number of a system; they are planted first."""


def write(made: World, folder: Path) -> list[Path]:
    """Write ``wms.csv``, ``erp.csv`` and ``shop.csv`` in three layouts, and beside them prices and an older export."""
    wms = [
        (sku, place, on_hand, made.reserved.get((sku, place), 0))
        for (sku, place), on_hand in sorted(made.says["wms"].items())
    ]
    _write(folder / "wms.csv", ",", ("Item Number", "Warehouse", "On Hand", "Reserved"), wms)
    codes = made.codes.get("erp", {})
    says = [*made.says["erp"].items()]
    says += [(key, made.says["erp"][key]) for key in made.repeated.get("erp", ())]
    erp = [(place, codes.get(sku, sku), value) for (sku, place), value in sorted(says)]
    _write(folder / "erp.csv", ";", ("Plant", "Material", "Quantity"), erp)
    shop: dict[str, dict[str, int]] = {}
    for (sku, place), value in made.says["shop"].items():
        shop.setdefault(sku, {})[place] = value
    wide = [
        (sku, "A fine thing", *(of.get(place, "") for place in PLACES)) for sku, of in sorted(shop.items())
    ]
    _write(folder / "shop.csv", "\t", ("SKU", "Title", *(f"Qty {place}" for place in PLACES)), wide)
    prices = [(sku, f"{cents // 100}.{cents % 100:02d}") for sku, cents in made.prices.items()]
    _write(folder / "prices.csv", ",", ("SKU", "Price"), prices)
    older = [(sku, place, value) for (sku, place), value in made.earlier.items()]
    _write(folder / "yesterday.csv", ",", ("SKU", "Location", "Qty"), older)
    return [folder / f"{system}.csv" for system in ("wms", "erp", "shop")]


def _write(path: Path, delimiter: str, header: tuple[str, ...], rows: Sequence[tuple[object, ...]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(header)
        writer.writerows(rows)


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    items, seed = (
        (int(sys.argv[2]) if len(sys.argv) > 2 else 5000),
        (int(sys.argv[3]) if len(sys.argv) > 3 else 1),
    )
    shown = world(seed, items, tuple(kind for kind in FAULTS if kind != "constant_offset"), noise=60)
    write(shown, target)
    for (fault, where), keys in shown.planted.items():
        sys.stdout.write(f"planted in {where}: {fault}, {keys:,} keys\n")

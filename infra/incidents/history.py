"""What truly happens in two warehouses and a shop, drawn from a seed before anybody hears of it.

Stock never goes below zero: what cannot be shipped is not. A cycle count finds what was lost or gained unseen since
the last one, so its variance is a fact of its own.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random

from infra.incidents.network import EAST, PACKS, SKUS, START, WEST
from shared.domain.stock import StockKey

HOURS = 40
"""How long a history is."""

KEYS = tuple(StockKey(sku, place) for sku in SKUS for place in (EAST, WEST))

RATES = {
    "sale": 0.5,
    "wholesale": 0.3,
    "receipt": 0.12,
    "return": 0.1,
    "adjustment": 0.06,
    "hold": 0.08,
    "transfer": 0.04,
}
"""How often an hour each thing happens at one stock key; sales at the shop's own location only."""

FIRST_COUNT, COUNT_EVERY = 2.0, 14.0
"""Hours until the first cycle count of a stock key at the earliest, and about how far they lie apart."""

ODD_DOCUMENTS = 0.02
"""The share of receipts whose document is written in another way than usual, without harm as a rule."""


@dataclass(frozen=True, slots=True)
class Happening:
    """One thing that happened to one stock key.

    Attributes
    ----------
    type
        As the warehouse's messages name it; ``ordered`` and ``cancelled`` are the shop's.
    amounts
        Signed change of ``on_hand``, ``quality_hold``, ``in_transit`` and ``reserved``.
    document
        The document it stands in: for a shop's order, the order's number.
    units
        The quantity that a message states; of a count, what was counted.
    extra
        What the message says besides.
    """

    at: datetime
    type: str
    key: StockKey
    amounts: dict[str, int]
    document: str
    units: int
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def event_key(self) -> str:
        """The business identity that the documentation of the message formats gives it."""
        if self.type in ("ordered", "cancelled"):
            version = "cancel" if self.type == "cancelled" else written(self.at)
            return f"shopfront/order/{self.document}/{self.document}0/{self.type}/{version}"
        return f"wms/{self.document.replace('/', '%2F')}/1/{self.type}/"

    @property
    def is_of_shop(self) -> bool:
        """Whether the shop knows of it by itself, at once."""
        return self.type in ("ordered", "cancelled")


def written(at: datetime) -> str:
    """Write an instant as messages have it."""
    return at.isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


class Historian:
    """Draws one history."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._number = random.randrange(1000, 9000)
        self._on_hand: defaultdict[StockKey, int] = defaultdict(int)
        self._reserved: defaultdict[StockKey, int] = defaultdict(int)
        self._held: defaultdict[StockKey, int] = defaultdict(int)

    def draw(self) -> list[Happening]:
        """Return everything that happens, in order of time."""
        intents = sorted(self._intents(), key=lambda intent: intent[0])
        found: list[Happening] = []
        while intents:
            at, kind, key, detail = intents.pop(0)
            happened, follow_ups = self._happen(at, kind, key, detail)
            found += happened
            if follow_ups:
                intents = sorted([*intents, *follow_ups], key=lambda intent: intent[0])
        return found

    def _intents(self) -> Iterator[tuple[datetime, str, StockKey, dict[str, object]]]:
        for key in KEYS:
            yield START + timedelta(seconds=self._random.uniform(0, 60)), "opening", key, {}
            for kind, rate in RATES.items():
                if kind in ("sale", "transfer") and key.location != EAST:
                    continue
                for at in self._times(rate):
                    yield at, kind, key, {}
            at = START + timedelta(hours=FIRST_COUNT + self._random.uniform(0, COUNT_EVERY))
            while at < START + timedelta(hours=HOURS):
                yield at, "count", key, {}
                at += timedelta(hours=COUNT_EVERY * self._random.uniform(0.7, 1.3))

    def _times(self, rate: float) -> Iterator[datetime]:
        at = START + timedelta(minutes=2, hours=self._random.expovariate(rate))
        while at < START + timedelta(hours=HOURS):
            yield at
            at += timedelta(hours=self._random.expovariate(rate))

    def _happen(
        self, at: datetime, kind: str, key: StockKey, detail: dict[str, object]
    ) -> tuple[list[Happening], list[tuple[datetime, str, StockKey, dict[str, object]]]]:
        random, pack = self._random, PACKS[key.sku]
        free = self._on_hand[key] - self._reserved[key] - self._held[key]
        match kind:
            case "opening":
                return [self._moved(at, "receipt", key, pack * random.randint(240 // pack, 720 // pack))], []
            case "receipt":
                cases = random.randint(-(-24 // pack), -(-150 // pack))
                units = pack * cases if random.random() < 0.7 else random.randint(10, 120)
                return [self._moved(at, "receipt", key, units)], []
            case "return":
                return [self._moved(at, "return", key, random.randint(1, 4))], []
            case "wholesale":
                units = min(free, random.randint(4, 40))
                return ([self._moved(at, "shipment", key, -units)] if units > 0 else []), []
            case "adjustment":
                units = max(-free, random.choice((-6, -4, -3, -2, -1, 1, 2, 3, 5)))
                return ([self._moved(at, "adjustment", key, units)] if units else []), []
            case "hold":
                return self._hold(at, key, min(free, random.randint(2, 12)))
            case "release":
                units = int(str(detail["units"]))
                self._held[key] -= units
                return [self._told(at, "release", key, {"quality_hold": -units}, units)], []
            case "transfer":
                return self._transfer(at, key, min(free, random.randint(3, 30)))
            case "arrival":
                units = int(str(detail["units"]))
                self._on_hand[key] += units
                amounts = {"on_hand": units, "in_transit": -units}
                return [self._told(at, "transfer_receive", key, amounts, units)], []
            case "sale":
                return self._sale(at, key, min(free, random.randint(1, 4)))
            case "cancelled" | "shipped":
                return [self._end_order(at, kind, key, detail)], []
            case _:
                return self._count(at, key), []

    def _moved(self, at: datetime, type_: str, key: StockKey, units: int) -> Happening:
        self._on_hand[key] += units
        said = units if type_ == "adjustment" else abs(units)
        return self._told(at, type_, key, {"on_hand": units}, said)

    def _told(
        self, at: datetime, type_: str, key: StockKey, amounts: dict[str, int], units: int, **extra: str
    ) -> Happening:
        return Happening(at, type_, key, amounts, self._document(type_), units, extra)

    def _document(self, type_: str) -> str:
        self._number += self._random.randint(1, 5)
        if type_ == "receipt":
            odd = self._random.random() < ODD_DOCUMENTS
            return self.odd_document() if odd else f"45000{self._number}"
        return f"{''.join(word[0] for word in type_.split('_')).upper()}{type_[1].upper()}-{self._number}"

    def odd_document(self) -> str:
        """Write a purchase order's number as one vendor does and nobody else."""
        self._number += 1
        return self._random.choice(
            (
                f"PO-45000{self._number}",
                f"045000{self._number}",
                f"45000{self._number}/2",
                f"po 45000{self._number}",
            )
        )

    def _hold(
        self, at: datetime, key: StockKey, units: int
    ) -> tuple[list[Happening], list[tuple[datetime, str, StockKey, dict[str, object]]]]:
        if units <= 0:
            return [], []
        self._held[key] += units
        until = at + timedelta(hours=self._random.uniform(1, 9))
        held = self._told(at, "hold", key, {"quality_hold": units}, units)
        return [held], [(until, "release", key, {"units": units})]

    def _transfer(
        self, at: datetime, key: StockKey, units: int
    ) -> tuple[list[Happening], list[tuple[datetime, str, StockKey, dict[str, object]]]]:
        if units <= 0:
            return [], []
        self._on_hand[key] -= units
        there = StockKey(key.sku, WEST)
        shipped = self._told(at, "transfer_ship", key, {"on_hand": -units}, units, to_location=WEST)
        arrives = at + timedelta(hours=self._random.uniform(2, 10))
        return [shipped], [(arrives, "arrival", there, {"units": units})]

    def _sale(
        self, at: datetime, key: StockKey, units: int
    ) -> tuple[list[Happening], list[tuple[datetime, str, StockKey, dict[str, object]]]]:
        if units <= 0:
            return [], []
        self._number += 1
        number = str(self._number + 50_000)
        self._reserved[key] += units
        ordered = Happening(at, "ordered", key, {"reserved": units}, number, units)
        ends = at + timedelta(hours=self._random.uniform(0.5, 6))
        how = "cancelled" if self._random.random() < 0.15 else "shipped"
        return [ordered], [(ends, how, key, {"number": number, "units": units})]

    def _end_order(self, at: datetime, how: str, key: StockKey, detail: dict[str, object]) -> Happening:
        number, units = str(detail["number"]), int(str(detail["units"]))
        self._reserved[key] -= units
        if how == "cancelled":
            return Happening(at, "cancelled", key, {"reserved": -units}, number, units)
        self._on_hand[key] -= units
        amounts = {"on_hand": -units, "reserved": -units}
        return self._told(
            at, "shipment", key, amounts, units, order=f"shop/{number}", order_line=f"{number}0"
        )

    def _count(self, at: datetime, key: StockKey) -> list[Happening]:
        unseen = self._random.choice((0, 0, 0, -7, -5, -4, -3, -2, -1, 1, 2, 4))
        counted = max(self._reserved[key] + self._held[key], self._on_hand[key] + unseen)
        variance = counted - self._on_hand[key]
        self._on_hand[key] = counted
        return [self._told(at, "count", key, {"on_hand": variance}, counted)]

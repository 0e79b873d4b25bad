"""What the outside world does in one history, drawn from the seed before anything runs.

Every step stands for itself, so that a failing history can be shortened by leaving steps out. What depends on how
things stand (an order that the shop takes, a shipment of what was reserved) is decided when the step is played.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random

from infra.simulation.network import (
    ALIASES,
    DOCK,
    EAST,
    ERP,
    GHOST,
    HOT,
    KIT,
    MARKET,
    MOVEMENTS,
    OMS,
    SHOP,
    SKUS,
    WEST,
    WMS,
)
from shared.domain.stock import ChannelId, LocationId, Quantity, Sku, SourceId

DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class ReportLine:
    """One line of a webhook of ours: ``code`` is the sender's name of the item."""

    code: str
    location: LocationId
    quantity: Quantity
    extra: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Webhook:
    """A stock report: delivered at each of ``deliveries`` (seconds after ``at``), each under a delivery id."""

    at: float
    source: SourceId
    type: str
    document: str
    occurred: float
    lines: tuple[ReportLine, ...]
    deliveries: tuple[tuple[float, str], ...]
    version: str = ""


@dataclass(frozen=True, slots=True)
class Nonsense:
    """A correctly signed body that means nothing, or one that is not signed by the source."""

    at: float
    source: SourceId
    body: bytes
    forged: bool
    deliveries: tuple[tuple[float, str], ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A file of the snapshot location, announced at each of ``announced``; ``bad_rows`` cannot be read."""

    at: float
    as_of: float
    sequencer: str
    rows: tuple[tuple[Sku, Quantity], ...]
    bad_rows: tuple[str, ...]
    announced: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Sale:
    """An order on the shop. Delays are in seconds after the sale, and after each other; None: it never happens."""

    at: float
    number: int
    sku: Sku
    units: Quantity
    heard_after: tuple[float, ...]
    edited_after: float | None = None
    claimed_after: float | None = None
    cancelled_after: float | None = None
    shipped_after: float | None = None
    shipped: Quantity = 0


@dataclass(frozen=True, slots=True)
class FulfilCall:
    """Somebody says that units of a reservation have left, at each of ``times`` from ``after`` on under the same key.

    Without ``lines`` all is meant that is open.
    """

    after: float
    name: str
    times: tuple[float, ...]
    lines: tuple[tuple[Sku, LocationId | None, Quantity], ...] = ()


@dataclass(frozen=True, slots=True)
class Reservation:
    """A reservation through the API, asked for at each of ``asked`` with the same key; a line may be from anywhere.

    ``undone_after`` is when, after they were told, the shipments for it are undone; ``fulfilled`` is what callers say has
    left of it.
    """

    at: float
    key: str
    channel: ChannelId
    wanted: tuple[tuple[Sku, LocationId | None, Quantity], ...]
    asked: tuple[float, ...]
    lifetime: float | None = None
    released_after: tuple[float, ...] = ()
    shipped_after: float | None = None
    shipped: Quantity = 0
    undone_after: float | None = None
    fulfilled: tuple[FulfilCall, ...] = ()


@dataclass(frozen=True, slots=True)
class SettingAside:
    """Some units are kept for one channel from now on, more or fewer than so far."""

    at: float
    channel: ChannelId
    sku: Sku
    location: LocationId
    units: Quantity


@dataclass(frozen=True, slots=True)
class Meddling:
    """Somebody edits the shop's number by hand."""

    at: float
    sku: Sku
    change: Quantity


@dataclass(frozen=True, slots=True)
class Outage:
    """A channel is down, or only slow, for a while."""

    at: float
    channel: ChannelId
    lasts: float
    throttles: bool


@dataclass(frozen=True, slots=True)
class Level:
    """The shop's own level of an item, as it reports it."""

    at: float
    sku: Sku


@dataclass(frozen=True, slots=True)
class TransferCall:
    """Something that is said of a transfer ``after`` so many seconds, at each of ``times`` under the same name.

    Without ``lines`` all is meant that can be; ``ago`` is how many seconds before it happened, where that is said. What
    begins with ``tell`` a system says in a message; ``misname`` is a message that names a transfer which there is none of.
    """

    after: float
    action: str
    name: str
    times: tuple[float, ...]
    lines: tuple[tuple[Sku, Quantity], ...] = ()
    ago: float | None = None


@dataclass(frozen=True, slots=True)
class Transfer:
    """Somebody requests a transfer under a key, at each of ``asked``; what becomes of it are ``calls``."""

    at: float
    key: str
    origin: LocationId
    destination: LocationId
    lines: tuple[tuple[Sku, Quantity], ...]
    lead_time_h: int | None
    asked: tuple[float, ...]
    calls: tuple[TransferCall, ...]


@dataclass(frozen=True, slots=True)
class LotCall:
    """Somebody recalls a lot, or says on which day it may be sold for the last time, at each of ``times``; or lots are
    swept then. ``days`` is how far that day is from today."""

    at: float
    action: str
    sku: Sku
    lot: str
    times: tuple[float, ...]
    days: int = 0


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator maps codes, retries cases, redrives dead letters, or replays old messages."""

    at: float
    action: str
    pick: int = 0


Step = (
    Webhook
    | Nonsense
    | Snapshot
    | Sale
    | Reservation
    | SettingAside
    | Meddling
    | Outage
    | Level
    | Transfer
    | LotCall
    | Operator
)


@dataclass(slots=True)
class Workload:
    """All steps of a history, and the instants (virtual seconds) at which bursts of work begin and end."""

    steps: list[Step] = field(default_factory=list)
    bursts: list[tuple[float, float]] = field(default_factory=list)


def workload(random: Random) -> Workload:
    """Draw a history: a burst of work, and one or two more, days later, which also tell of the days before."""
    return _Draw(random).history()


def with_second_thoughts(random: Random, drawn: Workload) -> Workload:
    """Return a history in which shipments for some reservations are undone, most of them released meanwhile."""
    for number, step in enumerate(drawn.steps):
        if isinstance(step, Reservation) and step.shipped_after is not None and random.random() < 0.6:
            released = step.shipped_after + 200 * random.random()
            drawn.steps[number] = replace(
                step,
                released_after=(*step.released_after, released),
                undone_after=random.choice((5.0, 900.0)) * random.random(),
            )
    return drawn


class _Draw:
    """Draws steps one after another."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.skus = SKUS[: random.choice((1, 2, 2, 3))]
        self.number = 0
        self.sent: list[Webhook] = []
        self.counts: list[Webhook] = []
        self.files: list[Snapshot] = []

    def history(self) -> Workload:
        drawn = Workload()
        start = 0.0
        for _ in range(self.random.choice((1, 2, 3))):
            lasts = self.random.choice((5.0, 30.0, 180.0))
            steps = self.random.choice((12, 30, 80))
            kinds: dict[Callable[[float], Step], int] = {
                self._movement: 34,
                self._count: 9,
                self._snapshot: 4,
                self._sale: 16,
                self._reservation: 14,
                self._setting_aside: 3,
                self._again: 10,
                self._told: 5,
                self._nonsense: 2,
                self._meddling: 1,
                self._outage: 2,
                self._level: 3,
                self._operator: 8,
            }
            if not drawn.bursts:
                drawn.steps += [self._opening(sku) for sku in self.skus]
            for at in sorted(start + lasts * self.random.random() for _ in range(steps)):
                drawn.steps.append(self.random.choices(list(kinds), list(kinds.values()))[0](at))
            drawn.bursts.append((start, start + lasts))
            start += lasts + self.random.choice((1800.0, DAY, 3 * DAY))
        return drawn

    # ---- pieces -------------------------------------------------------------------------------------------------

    def _name(self) -> str:
        self.number += 1
        return str(self.number)

    def _sku(self) -> Sku:
        return self.random.choice(self.skus)

    def _when(self, at: float) -> float:
        """Return when something reported at ``at`` happened: often just now, sometimes long ago, often at a tie."""
        drawn = self.random.random()
        if drawn < 0.5:
            occurred = at - 2 * self.random.random()
        elif drawn < 0.9:
            occurred = at - 900 * self.random.random()
        elif drawn < 0.99:
            occurred = at - 2 * DAY * self.random.random()
        else:
            occurred = at + 3600
        grain = self.random.choice((1, 1, 15, 60))
        return float(int(occurred // grain) * grain)

    def _deliveries(self, name: str) -> tuple[tuple[float, str], ...]:
        """Return when a message is delivered, and under which ids: retries keep theirs, resends have another."""
        first = self.random.choice((0.0, 0.0, 0.0, 20.0)) * self.random.random()
        found = [(first, f"d{name}")]
        while self.random.random() < 0.3:
            delay = self.random.choice((0.05, 2.0, 60.0, 900.0)) * self.random.random()
            found.append((first + delay, f"d{name}"))
        if self.random.random() < 0.06:
            found.append((first + 600 * self.random.random(), f"d{name}-resent"))
        if self.random.random() < 0.03:
            found.append((first + 3 * DAY * self.random.random(), f"d{name}"))
        return tuple(found)

    def _code(self, sku: Sku, source: SourceId) -> str:
        drawn = self.random.random()
        if source == WMS and drawn < 0.05:
            return next(alias for alias, meant in ALIASES.items() if meant == sku)
        return GHOST if drawn < 0.055 else sku

    # ---- steps --------------------------------------------------------------------------------------------------

    def _opening(self, sku: Sku) -> Webhook:
        line = ReportLine(sku, EAST, self.random.randrange(4, 40) * (3 if sku == HOT else 1))
        name = self._name()
        return Webhook(0, WMS, "count", f"OPEN-{name}", -7200, (line,), ((0.0, f"d{name}"),))

    def _movement(self, at: float) -> Webhook:
        location = self.random.choices((EAST, DOCK, WEST), (7, 1, 3))[0]
        source = MOVEMENTS[location]
        type_ = self.random.choices(
            (
                "receipt",
                "shipment",
                "adjustment",
                "hold",
                "release",
                "damage",
                "return",
                "transfer_ship",
                "pick",
            ),
            (8, 8, 4, 2, 2, 1, 2, 2 if location != WEST else 0, 1),
        )[0]
        if type_ == "transfer_ship" and self.random.random() < 0.5:
            type_ = "transfer_receive"
        name = self._name()
        lines = tuple(
            self._movement_line(type_, source, location) for _ in range(self.random.choice((1, 1, 1, 2, 5)))
        )
        step = Webhook(at, source, type_, f"M-{name}", self._when(at), lines, self._deliveries(name))
        self.sent.append(step)
        return step

    def _movement_line(self, type_: str, source: SourceId, location: LocationId) -> ReportLine:
        sku = self._sku()
        quantity = self.random.randrange(1, 9)
        extra: tuple[tuple[str, str], ...] = ()
        if type_ == "adjustment" and self.random.random() < 0.5:
            quantity = -quantity
        if type_ == "adjustment" and self.random.random() < 0.2:
            extra = (("counter", "damaged"),)
        if type_ == "transfer_ship":
            extra = (("to_location", DOCK if location == EAST else EAST),)
        if type_ == "return":
            extra = (("disposition", self.random.choice(("sellable", "quality_hold", "damaged"))),)
        return ReportLine(self._code(sku, source), location, quantity, extra)

    def _count(self, at: float) -> Webhook:
        if self.counts and self.random.random() < 0.25:
            # The same count document again, corrected: a newer version of the same instant.
            known = self.random.choice(self.counts)
            lines = tuple(
                ReportLine(
                    line.code, line.location, max(0, line.quantity + self.random.randrange(-3, 4)), line.extra
                )
                for line in known.lines
            )
            version, occurred, document = f"{int(known.version or 0) + 1}", known.occurred, known.document
            if self.random.random() < 0.3:
                occurred = self._when(at)  # what was wrong was when it was taken
        else:
            location = self.random.choices((EAST, DOCK), (5, 1))[0]
            counter = self.random.choices(("on_hand", "quality_hold", "damaged"), (8, 1, 1))[0]
            lines = (
                ReportLine(
                    self._code(self._sku(), WMS),
                    location,
                    self.random.randrange(0, 30),
                    (("counter", counter),),
                ),
            )
            version, occurred, document = "1", self._when(at), f"C-{self.number + 1}"
        name = self._name()
        step = Webhook(at, WMS, "count", document, occurred, lines, self._deliveries(name), version)
        self.counts.append(step)
        self.sent.append(step)
        return step

    def _snapshot(self, at: float) -> Snapshot:
        if self.files and self.random.random() < 0.4:
            as_of = self.random.choice(self.files).as_of  # corrected: the same day's file again
        else:
            as_of = float(int((at - self.random.choice((0, 60, 7200)) * self.random.random()) // 1))
        rows = tuple((sku, self.random.randrange(0, 30)) for sku in self.skus if self.random.random() < 0.9)
        bad = ("TEA,west,many", "MUG,west", "") if self.random.random() < 0.3 else ()
        announced = tuple(120 * self.random.random() ** 3 for _ in range(self.random.choice((1, 1, 2, 3))))
        step = Snapshot(at, as_of, f"{self.number:016d}", rows, bad, announced)
        self._name()
        self.files.append(step)
        return step

    def _sale(self, at: float) -> Sale:
        random, units = self.random, self.random.choice((1, 1, 2, 3))

        def perhaps(chance: float, most: float) -> float | None:
            return most * random.random() if random.random() < chance else None

        shipped_after = perhaps(0.45, 600)
        return Sale(
            at,
            1000 + int(self._name()),
            self._sku(),
            units,
            tuple(
                random.choice((1.0, 5.0, 300.0)) * random.random()
                for _ in range(random.choice((1, 1, 1, 2, 3)))
            ),
            edited_after=perhaps(0.15, 200),
            claimed_after=perhaps(0.35, 200),
            cancelled_after=perhaps(0.25, 400),
            shipped_after=shipped_after,
            shipped=random.choice((units, units, 1, units + 1)),
        )

    def _reservation(self, at: float) -> Reservation:
        random = self.random
        channel = random.choices((SHOP, MARKET), (1, 2))[0]
        places = (EAST, None) if channel == SHOP else (EAST, WEST, None)
        wanted = {
            (KIT if random.random() < 0.1 else self._sku(), random.choice(places)): random.choice(
                (1, 1, 2, 3, 6)
            )
            for _ in range(random.choice((1, 1, 2, 3, 5)))
        }
        lines = tuple(
            (sku, place, units * (4 if sku == HOT else 1)) for (sku, place), units in wanted.items()
        )
        shipped_after = 600 * random.random() if random.random() < 0.3 else None
        released = tuple(
            300 * random.random() for _ in range(random.choice((0, 1, 1, 2)) if random.random() < 0.5 else 0)
        )
        asked = tuple(
            random.choice((0.02, 3.0)) * random.random() for _ in range(random.choice((1, 1, 2, 3)))
        )
        lifetime = float(random.randrange(20, 300)) if random.random() < 0.3 else None
        shipped = random.choice((1, 2))
        return Reservation(
            at, f"R-{self._name()}", channel, lines, asked, lifetime, released, shipped_after, shipped
        )

    def _setting_aside(self, at: float) -> SettingAside:
        channel = self.random.choice((SHOP, MARKET, MARKET))
        place = EAST if channel == SHOP else self.random.choice((EAST, WEST))
        return SettingAside(at, channel, self._sku(), place, self.random.choice((0, 1, 3, 3, 8)))

    def _again(self, at: float) -> Step:
        """Something old comes again: the very same message, or the same document saying something else."""
        if not self.sent:
            return self._movement(at)
        known = self.random.choice(self.sent)
        if self.random.random() < 0.25 and known.type != "count":
            lines = tuple(
                ReportLine(line.code, line.location, abs(line.quantity) + 1, line.extra)
                for line in known.lines
            )
            name = self._name()
            return Webhook(
                at, known.source, known.type, known.document, known.occurred, lines, ((0.0, f"d{name}"),)
            )
        delivery = known.deliveries[0][1]
        return Webhook(
            at,
            known.source,
            known.type,
            known.document,
            known.occurred,
            known.lines,
            tuple((30 * self.random.random(), delivery) for _ in range(self.random.choice((1, 2, 4)))),
            known.version,
        )

    def _told(self, at: float) -> Webhook:
        """Somebody without authority says something: the ERP of anything, the WMS and the OMS of the other's place."""
        source, location = self.random.choice(((ERP, EAST), (ERP, WEST), (WMS, WEST), (OMS, EAST)))
        counts = source != OMS and self.random.random() < 0.7
        type_ = "count" if counts else self.random.choice(("receipt", "shipment"))
        line = ReportLine(self._sku(), location, self.random.randrange(1, 30))
        name = self._name()
        return Webhook(
            at,
            source,
            type_,
            f"T-{name}",
            self._when(at),
            (line,),
            self._deliveries(name),
            "1" if counts else "",
        )

    def _nonsense(self, at: float) -> Nonsense:
        body = self.random.choice(
            (
                b"{",
                b"\xff\xfe",
                b'{"type": "stock.receipt", "timestamp": "yesterday", "data": {"document": "X", "lines": [1]}}',
                b'{"type": "stock.levitation", "timestamp": "2026-11-21T08:30:00Z", "data": {}}',
                b"[" * 2000,
                b'{"type": "stock.count", "data": {"document": "N", "lines": []}, "timestamp": 1e999}',
            )
        )
        name = self._name()
        return Nonsense(
            at,
            self.random.choice((WMS, ERP)),
            body + b" " * int(name),
            self.random.random() < 0.3,
            self._deliveries(name),
        )

    def _meddling(self, at: float) -> Meddling:
        return Meddling(at, self._sku(), self.random.choice((-3, -1, 2, 5)))

    def _outage(self, at: float) -> Outage:
        lasts = self.random.choice((30.0, 200.0, 1200.0))
        return Outage(at, self.random.choice((SHOP, MARKET)), lasts, self.random.random() < 0.3)

    def _level(self, at: float) -> Level:
        return Level(at, self._sku())

    def _operator(self, at: float) -> Operator:
        action = self.random.choice(
            ("map", "map", "retry", "redrive", "replay", "replay", "approve", "approve", "approve", "undo")
        )
        return Operator(at, action, self.random.randrange(1_000_000))

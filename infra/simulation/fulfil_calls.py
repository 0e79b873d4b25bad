"""What callers say has left of reservations, in some histories, drawn from a random stream of its own.

They say it of reservations that are made anyway, where the warehouse or the OMS ships, and of others at a kiosk: what moves
there nobody else says, so it is their word that ships. A reservation is one step, with all that is ever said of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random

from infra.simulation.network import EAST, KIOSK, KIT, KIT_PARTS, MARKET, SKUS, WEST, WMS
from infra.simulation.workload import (
    FulfilCall,
    ReportLine,
    Reservation,
    SettingAside,
    Step,
    Webhook,
    Workload,
)
from shared.domain.stock import LocationId, Quantity, Sku

SHARE = 0.125
"""The share of histories in which anybody says so."""

Lines = tuple[tuple[Sku, LocationId | None, Quantity], ...]


def with_fulfilments(random: Random, drawn: Workload) -> Workload:
    """Return a history in which units of reservations are said to have left, or as it is."""
    if random.random() < SHARE:
        drawing = _Draw(random)
        drawn.steps = [drawing.perhaps_fulfilled(step) for step in drawn.steps]
        drawn.steps += drawing.opening()
        for number in range(random.choice((4, 8, 15))):
            begins, ends = random.choice(drawn.bursts)
            drawn.steps += drawing.beside(number, begins + (ends - begins) * random.random())
    return drawn


def has_kiosk(drawn: Workload) -> bool:
    """Whether anything happens at the kiosk."""
    return any(_is_of_kiosk(step) for step in drawn.steps)


def has_till(seed: int) -> bool:
    """Whether what moves at the kiosk of a seed is the market's own to say, and not nobody's."""
    return Random(f"{seed}/till").random() < 0.5  # noqa: S311 - replayed by seed, guards nothing


def _is_of_kiosk(step: Step) -> bool:
    match step:
        case Webhook():
            return any(line.location == KIOSK for line in step.lines)
        case Reservation():
            return any(place == KIOSK for _, place, _ in step.wanted)
        case SettingAside():
            return step.location == KIOSK
        case _:
            return False


@dataclass(slots=True)
class _Draw:
    """Draws one reservation after another."""

    random: Random

    def perhaps_fulfilled(self, step: Step) -> Step:
        """Let units of most reservations be said to have left."""
        if not isinstance(step, Reservation) or self.random.random() < 0.3:
            return step
        return replace(step, fulfilled=self._calls(step.wanted))

    def opening(self) -> Iterator[Step]:
        """Draw the first counts of the kiosk, and units that are set aside there."""
        for number, sku in enumerate(SKUS):
            yield self._count(0.0, -7200.0, sku, self.random.randrange(8, 60), f"K-OPEN-{number}")
        for _ in range(self.random.choice((0, 1, 3))):
            at, units = 30 * self.random.random(), self.random.choice((1, 3, 8))
            yield SettingAside(at, MARKET, self.random.choice(SKUS), KIOSK, units)

    def beside(self, number: int, at: float) -> Iterator[Step]:
        """Draw a reservation of which units are said to have left, and perhaps a count of the kiosk about then."""
        random = self.random
        places = (KIOSK, random.choice((KIOSK, EAST, WEST)))
        wanted = {
            (KIT if random.random() < 0.1 else random.choice(SKUS), place): random.choice((1, 2, 3, 5, 8))
            for place in random.sample(places, random.choice((1, 1, 2)))
        }
        lines = tuple((sku, place, units) for (sku, place), units in wanted.items())
        yield Reservation(
            at,
            f"F-{number}",
            MARKET,
            lines,
            self._times(),
            float(random.randrange(20, 400)) if random.random() < 0.25 else None,
            tuple(400 * random.random() for _ in range(random.choice((0, 0, 1, 2)))),
            400 * random.random() if random.random() < 0.5 else None,
            random.choice((1, 2, 3)),
            300 * random.random() if random.random() < 0.2 else None,
            self._calls(lines),
        )
        if random.random() < 0.4:
            taken = float(int(at + 400 * random.random()))
            said, units = taken + 120 * random.random(), random.randrange(0, 40)
            yield self._count(said, taken, random.choice(SKUS), units, f"K-{number}")

    def _count(self, at: float, taken: float, sku: Sku, units: Quantity, name: str) -> Webhook:
        line = ReportLine(sku, KIOSK, units)
        return Webhook(at, WMS, "count", name, taken, (line,), ((0.0, f"d{name}"),), "1")

    def _calls(self, wanted: Lines) -> tuple[FulfilCall, ...]:
        """Draw who says what: parts and wholes, the same again, two at once, and now and then one key for two."""
        random = self.random
        found: list[FulfilCall] = []
        for number in range(random.choice((1, 1, 2, 3))):
            lines = () if random.random() < 0.35 else self._some(wanted)
            after = 1 + random.choice((5, 60, 400)) * random.random()
            found.append(FulfilCall(after, f"f{number}", self._times(), lines))
            if random.random() < 0.4:  # somebody else, about the same units
                soon = (0.05 * random.random(),)
                found.append(FulfilCall(after, f"g{number}", soon, lines if random.random() < 0.7 else ()))
            if random.random() < 0.1:
                later = (3 * random.random(),)
                found.append(FulfilCall(after, f"f{number}", later, self._some(wanted)))
        return tuple(found)

    def _some(self, wanted: Sequence[tuple[Sku, LocationId | None, Quantity]]) -> Lines:
        """Draw some of what was reserved, of each item once; a kit is fulfilled as what lies in it."""
        random = self.random
        parts: dict[Sku, tuple[LocationId | None, Quantity]] = {}
        for sku, place, units in random.sample(wanted, random.randrange(1, len(wanted) + 1)):
            for part, number in (KIT_PARTS if sku == KIT else {sku: 1}).items():
                most = units * number + (random.random() < 0.1)
                parts[part] = (place if random.random() < 0.5 else None, random.randrange(1, most + 1))
        return tuple((sku, place, units) for sku, (place, units) in parts.items())

    def _times(self) -> tuple[float, ...]:
        """Return when a call is made: once, by two at once, or again after a while, under the same key."""
        random = self.random
        later = (
            random.choice((0.02, 3.0, 300.0)) * random.random() for _ in range(random.choice((0, 0, 1, 2)))
        )
        return (0.0, *later)

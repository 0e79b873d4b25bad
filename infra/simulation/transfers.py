"""Transfers in a history: what people and systems say of them, drawn from a random stream of their own.

The stream is their own so that the rest of a seed's traffic stays what it was, with transfers or without. A transfer is
one step, with all that is ever said of it: a shortened history leaves it out as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from infra.simulation.network import COUNTS, DOCK, EAST, MOVEMENTS, SKUS, WEST, WMS
from infra.simulation.workload import ReportLine, Transfer, TransferCall, Webhook, Workload
from shared.domain.stock import LocationId, Quantity, Sku

SHARE = 0.25
"""The share of histories that have transfers."""

WAYS = ((EAST, WEST), (WEST, EAST), (EAST, DOCK), (DOCK, EAST))

Lines = tuple[tuple[Sku, Quantity], ...]


def with_transfers(random: Random, drawn: Workload) -> Workload:
    """Return a history with transfers beside what it has, or as it is."""
    if random.random() < SHARE:
        drawing = _Draw(random)
        for number in range(random.choice((1, 2, 4))):
            begins, ends = random.choice(drawn.bursts)
            drawn.steps += drawing.transfer(number, begins + (ends - begins) * random.random())
        transfers = [step for step in drawn.steps if isinstance(step, Transfer)]
        drawn.steps += [count for step in transfers for count in drawing.counts_beside(step)]
    return drawn


@dataclass(slots=True)
class _Draw:
    """Draws one transfer after another."""

    random: Random

    def transfer(self, number: int, at: float) -> Sequence[Webhook | Transfer]:
        """Draw a transfer, and as a rule a receipt of units that may go."""
        random = self.random
        origin, destination = random.choice(WAYS)
        skus = random.sample(SKUS, random.choice((1, 1, 2)))
        lines = tuple((sku, random.randrange(2, 12)) for sku in skus)
        step = Transfer(
            at,
            f"TR-{number}",
            origin,
            destination,
            lines,
            random.choice((None, 1, 1, 48)),
            self._times(),
            tuple(self._calls(origin, destination, lines)),
        )
        if random.random() < 0.2:
            return [step]
        stock = tuple(ReportLine(sku, origin, units + 4) for sku, units in lines)
        name, occurred = f"TR-{number}-stock", float(int(at) - 5)
        return [
            Webhook(at - 2, MOVEMENTS[origin], "receipt", name, occurred, stock, ((0.0, f"d{name}"),)),
            step,
        ]

    def counts_beside(self, step: Transfer) -> Iterator[Webhook]:
        """Draw counts taken about when units moved of which it is said only later: to be explained, or undecided."""
        random = self.random
        for call in step.calls:
            place = step.destination if call.action == "receive" else step.origin
            if call.ago is None or COUNTS[place] != WMS or random.random() < 0.3:
                continue
            said = step.at + call.after
            occurred = int(said - call.ago) + random.choice((-2, 0, 2, 10))
            sku, units = random.choice(step.lines)
            line = ReportLine(sku, place, random.randrange(0, units + 8), (("counter", "on_hand"),))
            name, told = f"{step.key}-{call.name}-count", occurred + (said - occurred) * random.random()
            yield Webhook(told, WMS, "count", name, float(occurred), (line,), ((0.0, f"d{name}"),), "1")

    def _calls(self, origin: LocationId, destination: LocationId, lines: Lines) -> list[TransferCall]:
        """Draw what becomes of it: in the right order as a rule, as clocks and couriers go."""
        random = self.random
        found: list[TransferCall] = []

        def say(action: str, after: float, most: float, *, all_of_it: bool, ago: float = 0.3) -> None:
            named = () if all_of_it else self._some(lines)
            back = 120 * random.random() ** 2 if random.random() < ago else None
            when = after + most * random.random()
            found.append(TransferCall(when, action, f"c{len(found)}", self._times(), named, back))
            if action == "receive" and random.random() < 0.3:  # somebody else at the same dock
                found.append(TransferCall(when, action, f"c{len(found)}", (0.02 * random.random(),), named))

        if random.random() < 0.95:
            say("approve", 1, 15, all_of_it=True)
        shipping = "tell_ship" if random.random() < 0.3 else "ship"
        for _ in range(random.choice((1, 1, 2, 3))):
            say(shipping, 10, 120, all_of_it=shipping == "ship" and random.random() < 0.3)
        receiving = "tell_receive" if random.random() < 0.3 else "receive"
        for _ in range(random.choice((0, 1, 2, 2, 3))):
            say(receiving, 40, 300, all_of_it=receiving == "receive" and random.random() < 0.3)
        if random.random() < 0.15:
            say("tell_loss", 20, 300, all_of_it=False)
        if random.random() < 0.15:
            say(random.choice(("tell_ship", "tell_receive")), 5, 900, all_of_it=False)
        for _ in range(random.choice((0, 1, 1, 2))):
            say(random.choice(("close", "close_with_loss", "close_with_loss")), 60, 500, all_of_it=True)
        if random.random() < 0.1:
            say("misname", 5, 300, all_of_it=False)
        return found

    def _some(self, lines: Lines) -> Lines:
        random = self.random
        named = random.sample(lines, random.randrange(1, len(lines) + 1))
        return tuple((sku, random.randrange(1, units // 2 + 2)) for sku, units in named)

    def _times(self) -> tuple[float, ...]:
        """Return when a call is made: by two people at once, or again after a while, under the same key."""
        random = self.random
        later = (
            random.choice((0.02, 3.0, 300.0)) * random.random() for _ in range(random.choice((0, 0, 1, 2)))
        )
        return (0.0, *later)

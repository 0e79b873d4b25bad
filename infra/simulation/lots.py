"""A cellar that keeps lots apart, in some histories: what is said of it, and which lots are recalled or expire.

What lies on a lot is replayed as what lies on a bin (``bins.py``). Drawn from a random stream of its own, like transfers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from random import Random

from infra.simulation.network import CELLAR, SKUS, WMS
from infra.simulation.workload import LotCall, ReportLine, Webhook, Workload

SHARE = 0.12
"""The share of histories that have a cellar."""

LOTS = ("L1", "L2")
LATER = 240.0
"""Seconds for which a burst may go on in the cellar, so that lots are looked at again in the midst of it."""


def with_lots(random: Random, drawn: Workload) -> Workload:
    """Return a history with a cellar beside what it has, or as it is."""
    if random.random() < SHARE:
        drawing = _Draw(random, names_bins=random.random() < 0.5)
        spans = [(begins, ends + random.choice((0, LATER))) for begins, ends in drawn.bursts]

        def when() -> float:
            begins, ends = random.choice(spans)
            return begins + (ends - begins) * random.random()

        drawn.steps += [drawing.report(when(), f"Z{number}") for number in range(random.choice((8, 20, 40)))]
        for number in range(random.choice((2, 4, 8))):
            call = drawing.call(when())
            drawn.steps += [call, *drawing.crowd(call, f"Z-at-{number}")]
    return drawn


@dataclass(slots=True)
class _Draw:
    """Draws one step after another; ``names_bins`` says that lots lie in bins there."""

    random: Random
    names_bins: bool
    counts: list[Webhook] = field(default_factory=list)

    def report(self, at: float, name: str) -> Webhook:
        """Draw what the warehouse says: late, twice, of several lots at once, or a count that corrects another."""
        random = self.random
        kinds = ("receipt", "shipment", "adjustment", "damage", "hold", "release", "count")
        type_ = random.choices(kinds, (8, 4, 2, 1, 1, 1, 5))[0]
        occurred = float(int(at - random.choice((0, 20, 900)) * random.random()))
        deliveries = tuple((60 * random.random() ** 3, f"d{name}") for _ in range(random.choice((1, 1, 2))))
        if type_ == "count" and self.counts and random.random() < 0.2:
            return self._corrected(random.choice(self.counts), at, deliveries)
        lines = tuple(self._line(type_) for _ in range(random.choice((1, 1, 2))))
        version = "1" if type_ == "count" else ""
        step = Webhook(at, WMS, type_, name, occurred, lines, deliveries, version)
        self.counts += [step] if version else []
        return step

    def _corrected(self, known: Webhook, at: float, deliveries: Sequence[tuple[float, str]]) -> Webhook:
        lines = tuple(replace(line, quantity=self.random.randrange(0, 30)) for line in known.lines)
        version = str(int(known.version) + 1)
        return replace(known, at=at, lines=lines, deliveries=tuple(deliveries), version=version)

    def _line(self, type_: str) -> ReportLine:
        random = self.random
        extra: tuple[tuple[str, str], ...] = ()
        if random.random() < 0.85:
            extra += (("lot", random.choice(LOTS)),)
        if self.names_bins and random.random() < 0.6:
            extra += (("bin", random.choice(("A", "B"))),)
        if type_ == "count" and random.random() < 0.15:
            extra += (("counter", random.choice(("quality_hold", "damaged"))),)
        least, most = {"count": (0, 30), "adjustment": (-5, 0), "damage": (1, 4)}.get(type_, (1, 12))
        return ReportLine(random.choice(SKUS[:2]), CELLAR, random.randrange(least, most), extra)

    def call(self, at: float) -> LotCall:
        """Draw what somebody says of a lot, by two at once as well as again later; or an additional sweep."""
        random = self.random
        action = random.choices(("recall", "expiry", "sweep"), (4, 3, 3))[0]
        later = (
            random.choice((0.05, 0.05, 3.0, 300.0)) * random.random()
            for _ in range(random.choice((0, 1, 2, 3)))
        )
        days = random.choice((-1, 0, 0, 1, 400))
        return LotCall(at, action, random.choice(SKUS[:2]), random.choice(LOTS), (0.0, *later), days)

    def crowd(self, call: LotCall, name: str) -> Iterator[Webhook]:
        """Draw what arrives, or leaves, or is counted just while somebody withholds a lot."""
        random = self.random
        for number in range(random.choice((0, 2, 5))):
            type_ = random.choice(("receipt", "receipt", "shipment", "count"))
            line = ReportLine(call.sku, CELLAR, random.randrange(1, 12), (("lot", call.lot),))
            delay = random.choice((0.1, 0.1, 3.0)) * random.random()
            version, document = "1" if type_ == "count" else "", f"{name}-{number}"
            deliveries = ((delay, f"d{document}"),)
            yield Webhook(call.at, WMS, type_, document, float(int(call.at)), (line,), deliveries, version)

"""One seed: a history from its first delivery to its verdict, and the shortest one that still fails.

A history has three parts: the chaos of its bursts; the calm, in which faults stop and everything must come to rest,
with an operator who does what cases ask for; and one more outage, in which the other channel must not notice.
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from traceback import extract_tb

from infra.simulation.auditor import Auditor
from infra.simulation.bins import kept_apart, slot_of, with_bins
from infra.simulation.chaos import Actor, Chaos, Crash
from infra.simulation.fulfil_calls import has_kiosk, has_till, with_fulfilments
from infra.simulation.house import House
from infra.simulation.inspection import inspect, unfinished, wrong_listings
from infra.simulation.lots import with_lots
from infra.simulation.network import EAST, MARKET, SHOP, SKUS, WMS, count_rules, strictness
from infra.simulation.oracle import Oracle
from infra.simulation.scheduler import Scheduler
from infra.simulation.tables import Change
from infra.simulation.transfers import with_transfers
from infra.simulation.verdicts import Invariant, Violation
from infra.simulation.workload import (
    ReportLine,
    Step,
    Transfer,
    Webhook,
    Workload,
    with_second_thoughts,
    workload,
)
from infra.simulation.world import World
from shared.domain.stock import ChannelId, StockKey
from shared.operations.reserve import MOST_LINES
from shared.operations.unbinned_stock import EVERY_MINUTES

START = datetime(2026, 11, 1, 12, tzinfo=UTC)
SWEEP_EVERY_S = 60.0
LONGEST_CALM_S = 4 * 3600.0
"""How long everything may take to come to rest after the last fault; dead letters and patience are part of it."""
EXPLAINED = 0.1
"""The share of histories in which the causes of every drift are looked for too, as in production."""
NOTICED_WITHIN_S = 30.0
"""How soon a healthy channel must show the right number while the other one is down."""


@dataclass(slots=True)
class Verdict:
    """What became of one seed."""

    seed: int
    deliveries: int = 0
    duplicates: int = 0
    records: int = 0
    commits: int = 0
    virtual_s: float = 0
    faults: Counter[str] = field(default_factory=Counter)
    invariant: Invariant | None = None
    broken: str = ""
    units: int = 0
    digest: str = ""
    trace: list[str] = field(default_factory=list)


class History:
    """Plays one workload under the chaos of one seed."""

    def __init__(self, seed: int, drawn: Workload, *, sweeps: bool = True) -> None:
        self.seed = seed
        self.workload = drawn
        self._sweeps = sweeps
        self._random = Random(f"{seed}/chaos")  # noqa: S311 - replayed by seed, guards nothing
        self.scheduler = Scheduler(START)
        self.chaos = Chaos(self.scheduler, self._random)
        strict = strictness(self._random)
        self._apart = kept_apart(drawn)
        self.auditor = Auditor(
            Oracle(count_rules(strict), slot_of), self.scheduler, SKUS, has_kiosk=has_kiosk(drawn)
        )
        self.world = World(self.scheduler, self.chaos, START)
        self._digest = hashlib.blake2b(digest_size=12)
        self._commits = 0
        reads_back = self._random.random() < 0.75
        self.house = House(
            self.scheduler,
            self.chaos,
            lambda registry: self.world.channels(registry, self.auditor, reads_back),
            strict=strict,
            explains=self._random.random() < EXPLAINED,
            most_lines=self._random.choice((1, 2, MOST_LINES)),
            has_transfers=any(isinstance(step, Transfer) for step in drawn.steps),
            apart=self._apart,
            has_kiosk=has_kiosk(drawn),
            has_till=has_kiosk(drawn) and has_till(seed),
        )
        self.world.open(self.house, self.auditor)
        self._listen()

    def _listen(self) -> None:
        house, auditor = self.house, self.auditor
        house.lanes.sent = auditor.hinted
        house.stock.listeners.insert(0, auditor.stock_committed)
        house.inbox_table.listeners.insert(0, auditor.inbox_committed)
        house.cases_table.listeners.append(auditor.cases_committed)
        for table in (house.stock, house.inbox_table, house.cases_table):
            table.listeners.append(self._note)

    def _note(self, changes: Sequence[Change]) -> None:
        self._commits += 1
        keys = " ".join(change.key.pk for change in changes)
        self._digest.update(f"{self.scheduler.us} {keys}\n".encode())

    # ---- playing ------------------------------------------------------------------------------------------------

    def run(self) -> Verdict:
        """Play it all and return the verdict; a broken invariant is part of it."""
        verdict = Verdict(self.seed)
        try:
            self._bursts()
            self._calm("after the chaos")
            inspect(self.house, self.auditor, self._random)
            self._isolation()
        except Violation as violation:
            verdict.invariant, verdict.broken = violation.invariant, violation.what
            verdict.units = abs(violation.units)
        except Exception as error:  # noqa: BLE001 - the edge of the simulation
            # Whatever the code under test lets through is a fault of its own, and replays like any other.
            verdict.invariant, verdict.broken = Invariant.ISOLATED, f"raised {_where(error)}"
        finally:
            self.scheduler.close()
        verdict.deliveries, verdict.duplicates = self.world.deliveries, self.world.duplicates
        verdict.commits, verdict.virtual_s = self._commits, self.scheduler.seconds
        verdict.faults = self.chaos.counted
        verdict.trace = self.auditor.trace
        verdict.digest = self._digest.hexdigest()
        return verdict

    def _bursts(self) -> None:
        self.chaos.active = True
        for step in self.workload.steps:
            self.scheduler.at(step.at, partial(self._play, step))
        last = 0.0
        for begins, ends in self.workload.bursts:
            last = ends + 300
            tick = begins + SWEEP_EVERY_S * self._random.random()
            while self._sweeps and tick < last:
                self.scheduler.at(tick, lambda: self.house.sweep_once(timedelta(seconds=60)))
                self.scheduler.at(tick + 7, self.house.expire_once)
                self.scheduler.at(tick + 11, self.house.sweep_drift_once)
                tick += SWEEP_EVERY_S
        self.scheduler.run(last)

    def _play(self, step: Step) -> None:
        self.auditor.say(f"* {step}")
        self.world.play(step)

    def _calm(self, when: str) -> None:
        """Let everything come to rest, faultlessly."""
        self.chaos.active = False
        for channel in self.house.channels.values():
            channel.broken_until = channel.slowed_until = 0
        # Everything that the bursts still have to say is said, and everything held has come to pass.
        self.scheduler.run(self.scheduler.seconds + 4000)
        deadline, quiet = self.scheduler.seconds + LONGEST_CALM_S, 0
        while quiet < (EVERY_MINUTES + 2 if self._apart else 2):
            self._operate()
            self.scheduler.run(self.scheduler.seconds + SWEEP_EVERY_S)
            left = unfinished(self.house, self.auditor)
            quiet = 0 if left else quiet + 1
            if left and self.scheduler.seconds > deadline:
                raise self._never_rests(when, left)

    def _operate(self) -> None:
        """Do what the schedule and a diligent operator do every minute."""
        if self._sweeps:
            self.scheduler.after(0, lambda: self.house.sweep_once(timedelta(seconds=60)))
            self.scheduler.after(7, self.house.expire_once)
            self.scheduler.after(11, self.house.sweep_drift_once)

        def decide() -> None:
            self.scheduler.actor = Actor("operator", self.scheduler.seconds + 3600)
            try:
                self.world.map_codes()
                self.world.retry_cases()
                self.world.decide_counts()
                self.house.desk.redrive()
            except Crash:
                return
            finally:
                self.scheduler.actor = None

        self.scheduler.after(30, decide)

    def _never_rests(self, when: str, left: dict[str, int]) -> Violation:
        wrong = [
            f"{channel} shows {shown} of {key} instead of {must}"
            for channel, key, shown, must in wrong_listings(self.house, self.auditor)
        ]
        lost = left.get("pending messages", 0)
        invariant = Invariant.NOTHING_LOST if lost else Invariant.NEVER_STALE_OUT
        return Violation(invariant, f"{when} it never comes to rest: {left} {'; '.join(wrong)}", lost)

    def _isolation(self) -> None:
        """One channel is down; the stock changes; the other channel must not notice."""
        down = self._random.choice((SHOP, MARKET))
        self.house.channels[down].broken_until = float("inf")
        before = self.scheduler.seconds
        line = ReportLine(SKUS[0], EAST, 5 + self._random.randrange(20))
        occurred = float(int(before)) + 1
        step = Webhook(before, WMS, "receipt", "LAST", occurred, (line,), ((1.5, "last"),))
        self.scheduler.after(0, lambda: self._play(step))
        self.scheduler.run(before + NOTICED_WITHIN_S)
        self._must_show_the_promise({SHOP: MARKET, MARKET: SHOP}[down], down)
        self._calm("after an outage")
        inspect(self.house, self.auditor, self._random)

    def _must_show_the_promise(self, healthy: ChannelId, down: ChannelId) -> None:
        for channel, key, shown, must in wrong_listings(self.house, self.auditor):
            if channel == healthy and key == StockKey(SKUS[0], EAST):
                raise Violation(
                    Invariant.ISOLATED,
                    f"{down} is down, and {healthy} still shows {shown} of {key} instead of {must} "
                    f"after {NOTICED_WITHIN_S:.0f} s",
                )


def _where(error: Exception) -> str:
    """Name an error with the last places that it came through."""
    frames = [
        f"{frame.name} ({frame.filename.rsplit('/', 1)[-1]}:{frame.lineno})"
        for frame in extract_tb(error.__traceback__)
    ]
    return f"{type(error).__name__}: {error} in {' > '.join(frames[-5:])}"


Plant = Callable[[History], None]
"""Puts a known bug into a history before it runs, to see whether it is caught."""


def play(
    seed: int, *, plant: Plant | None = None, sweeps: bool = True, steps: Workload | None = None
) -> Verdict:
    """Play the history of a seed, or a shortened workload under its chaos."""
    quiet = logging.getLogger("shared")
    level, quiet.level = quiet.level, logging.CRITICAL + 1
    try:
        history = History(seed, steps or drawn(seed), sweeps=sweeps)
        if plant is not None:
            plant(history)
        return history.run()
    finally:
        quiet.setLevel(level)


def drawn(seed: int) -> Workload:
    """Return the whole workload of a seed."""
    usual = workload(Random(f"{seed}/workload"))  # noqa: S311 - replayed by seed, guards nothing
    usual = with_second_thoughts(Random(f"{seed}/second thoughts"), usual)  # noqa: S311 - likewise
    usual = with_transfers(Random(f"{seed}/ways"), usual)  # noqa: S311 - likewise
    usual = with_bins(Random(f"{seed}/bins"), usual)  # noqa: S311 - likewise
    usual = with_fulfilments(Random(f"{seed}/fulfilments"), usual)  # noqa: S311 - likewise
    return with_lots(Random(f"{seed}/lots"), usual)  # noqa: S311 - likewise


def shortest(seed: int, fails: Callable[[Workload], Verdict], budget: int = 300) -> tuple[Workload, Verdict]:
    """Leave out steps while it still fails: halves first, then ever smaller parts. ``budget`` bounds the runs."""
    whole = drawn(seed)
    best, verdict = whole, fails(whole)
    size = max(1, len(whole.steps) // 2)
    while size and budget:
        start, shortened = 0, False
        while start < len(best.steps) and budget:
            budget -= 1
            candidate = Workload([*best.steps[:start], *best.steps[start + size :]], whole.bursts)
            found = fails(candidate)
            if found.invariant is not None:
                best, verdict, shortened = candidate, found, True
            else:
                start += size
        if not shortened or size > 1:
            size //= 2
    return best, verdict

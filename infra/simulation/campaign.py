"""Many seeds, on all cores, and what they came to.

Every seed is played in a fresh process whose string hashes are fixed: the code under test keeps sets, and their order
must be the seed's too. So a seed plays the same, event by event, on any machine and at any place in a campaign.
"""

from __future__ import annotations

import gc
import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count, islice
from multiprocessing import get_context

from infra.simulation.history import Verdict, play, shortest
from infra.simulation.verdicts import Invariant
from infra.simulation.workload import Workload

COLLECTED_EVERY = 20_000
"""Allocations between two looks for garbage: at the usual 700, a tenth of a campaign goes into looking."""

Play = Callable[..., Verdict]
"""Plays a seed, or a shortened workload (``steps``) under its chaos; must be importable by another process."""

MOST_FAILURES = 5
"""Failing seeds after which a campaign ends."""

MOST_REPLACED = 20
"""Times that an ended process is replaced before the campaign gives up: then it is no accident."""

SEEDS_PER_PROCESS = 400
"""Seeds after which a process is replaced, so that memory stays flat over a million deliveries."""


@dataclass(slots=True)
class Tally:
    """What the seeds of a campaign came to; ``lost``, ``doubled`` and ``oversold`` are units.

    ``replaced`` counts processes that somebody ended, whose seeds were played again.
    """

    seeds: int = 0
    deliveries: int = 0
    duplicates: int = 0
    commits: int = 0
    virtual_s: float = 0
    wall_s: float = 0
    replaced: int = 0
    lost: int = 0
    doubled: int = 0
    oversold: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    failures: list[Verdict] = field(default_factory=list)

    def add(self, verdict: Verdict) -> None:
        """Add one seed."""
        self.seeds += 1
        self.deliveries += verdict.deliveries
        self.duplicates += verdict.duplicates
        self.commits += verdict.commits
        self.virtual_s += verdict.virtual_s
        self.faults += verdict.faults
        if verdict.invariant is None:
            return
        self.failures.append(verdict)
        units = max(1, abs(verdict.units))
        match verdict.invariant:
            case Invariant.NEVER_OVER_PROMISED | Invariant.NEVER_STALE_OUT:
                self.oversold += units
            case Invariant.NOTHING_LOST:
                self.lost += units
            case Invariant.ONCE:
                self.doubled += units
            case Invariant.CONSERVED | Invariant.ORDER_DOES_NOT_MATTER if verdict.units < 0:
                self.lost += units
            case Invariant.CONSERVED | Invariant.ORDER_DOES_NOT_MATTER:
                self.doubled += units


def campaign(
    first_seed: int,
    *,
    seeds: int | None = None,
    deliveries: int | None = None,
    processes: int | None = None,
    play: Play = play,
    failures: int = MOST_FAILURES,
    progress: Callable[[Tally], None] = lambda _: None,
) -> Tally:
    """Play seeds from ``first_seed`` on, until enough of them or enough deliveries are done.

    Parameters
    ----------
    seeds, deliveries
        When to stop, whichever comes first; without either, one seed is played.
    processes
        How many to play at once; by default as many as there are cores.
    failures
        Failing seeds after which to stop early.
    progress
        Told of the tally after every seed.
    """
    most = seeds if seeds is not None else (None if deliveries is not None else 1)
    at_once = min(processes or os.cpu_count() or 1, most or 1_000)
    tally, started = Tally(), time.monotonic()
    coming = iter(range(first_seed, first_seed + most) if most is not None else count(first_seed))
    for verdict in _in_order(play, coming, at_once, tally):
        tally.add(verdict)
        tally.wall_s = time.monotonic() - started
        progress(tally)
        if len(tally.failures) >= failures or (deliveries is not None and tally.deliveries >= deliveries):
            break
    return tally


def _in_order(play: Play, coming: Iterator[int], at_once: int, tally: Tally) -> Iterator[Verdict]:
    """Yield the seeds' verdicts in their order, a few being played ahead.

    A process that somebody ends is replaced, and what it was playing is played again: a seed's verdict does not
    depend on when or where it is played.
    """
    waiting: deque[int] = deque()
    while True:
        with workers(at_once) as pool:
            running = deque[Future[Verdict]]()
            try:
                running.extend(pool.submit(play, seed) for seed in waiting)
                while True:
                    ahead = list(islice(coming, 2 * at_once - len(running)))
                    waiting.extend(ahead)
                    running.extend(pool.submit(play, seed) for seed in ahead)
                    if not running:
                        return
                    verdict = running.popleft().result()
                    waiting.popleft()
                    yield verdict
            except BrokenProcessPool:
                tally.replaced += 1
                if tally.replaced > MOST_REPLACED:
                    raise
            finally:
                for future in running:
                    future.cancel()


def shorten(seed: int, *, play: Play = play, budget: int = 300) -> tuple[Workload, Verdict]:
    """Find the shortest workload with which a failing seed still fails; see ``history.shortest``."""
    with workers(1) as pool:
        return pool.submit(_shortest, seed, play, budget).result()


def _shortest(seed: int, play: Play, budget: int) -> tuple[Workload, Verdict]:
    return shortest(seed, lambda steps: play(seed, steps=steps), budget)


def _settle() -> None:
    """What is loaded by now stays: it need not be looked through again and again."""
    gc.freeze()
    gc.set_threshold(COLLECTED_EVERY, 10, 10)


@contextmanager
def workers(processes: int) -> Iterator[ProcessPoolExecutor]:
    """Open a pool of fresh processes with fixed string hashes."""
    before = os.environ.get("PYTHONHASHSEED")
    os.environ["PYTHONHASHSEED"] = "0"
    try:
        with ProcessPoolExecutor(
            processes,
            mp_context=get_context("spawn"),
            max_tasks_per_child=SEEDS_PER_PROCESS,
            initializer=_settle,
        ) as pool:
            yield pool
    finally:
        if before is None:
            os.environ.pop("PYTHONHASHSEED", None)
        else:
            os.environ["PYTHONHASHSEED"] = before

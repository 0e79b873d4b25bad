"""What goes wrong, how often, and how often it has: every fault is drawn from the seed and counted by kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from infra.simulation.scheduler import Scheduler
from shared.store.table import (
    Action,
    Refusal,
    ThrottledError,
    UnknownOutcomeError,
    WriteConflictError,
    WriteRefusedError,
)


class Crash(BaseException):
    """The process is gone: no ``except`` of the code under test may survive it."""


@dataclass(slots=True)
class Actor:
    """One invocation of a function: it is killed when its time is up."""

    name: str
    dies_at: float


@dataclass(frozen=True, slots=True)
class Rates:
    """How often each fault strikes, for each write (or read, or table call); drawn for each seed."""

    crash_before: float
    crash_after: float
    conflict: float
    throttle: float
    lost_not_done: float
    lost_done: float
    read_throttle: float
    slow: float
    stall: float


def rates(random: Random) -> Rates:
    """Draw how hostile a seed is: some are calm, some are terrible, each in its own way."""
    scale = random.choice((0.3, 1.0, 1.0, 2.5))

    def rate(most: float) -> float:
        return scale * most * random.random()

    return Rates(
        crash_before=rate(0.012),
        crash_after=rate(0.012),
        conflict=rate(0.03),
        throttle=rate(0.02),
        lost_not_done=rate(0.02),
        lost_done=rate(0.02),
        read_throttle=rate(0.006),
        slow=rate(0.10),
        stall=rate(0.01),
    )


class Chaos:
    """Decides at every call of a table, a queue or a channel what happens there; quiet unless ``active``.

    It is the ``faults`` hook of the memory tables.
    """

    def __init__(self, scheduler: Scheduler, random: Random) -> None:
        self.scheduler = scheduler
        self.random = random
        self.rates = rates(random)
        self.active = False
        self.counted: Counter[str] = Counter()

    # ---- time passes --------------------------------------------------------------------------------------------

    def step(self) -> None:
        """A call is on its way: others may go on meanwhile; the function may be killed for having taken too long."""
        actor = self.scheduler.actor
        if actor is None:
            return
        self.scheduler.sleep(self._latency())
        if isinstance(actor, Actor) and self.scheduler.seconds > actor.dies_at:
            self.strike("function timed out")
            raise Crash(actor.name)

    def pause(self, _seconds: float) -> None:
        """Back off, as long as the seed says: the code under test draws its own times from no seed."""
        if self.scheduler.actor is not None:
            self.scheduler.sleep(0.005 + 0.3 * self.random.random() ** 3)

    def _latency(self) -> float:
        if not self.active:
            return 0.002
        drawn = self.random.random()
        if drawn < self.rates.stall:
            self.strike("stall")
            return 1 + 20 * self.random.random()
        if drawn < self.rates.stall + self.rates.slow:
            return 0.05 + 0.7 * self.random.random()
        return 0.002 + 0.02 * drawn

    # ---- faults -------------------------------------------------------------------------------------------------

    def strike(self, kind: str) -> None:
        """Count a fault."""
        self.counted[kind] += 1

    def happens(self, chance: float, kind: str) -> bool:
        """Draw whether something goes wrong, and count it if so."""
        if self.active and self.random.random() < chance:
            self.strike(kind)
            return True
        return False

    def reading(self) -> None:
        """A read of a table begins."""
        self.step()
        if self._strikes() and self.happens(self.rates.read_throttle, "read throttled"):
            raise ThrottledError("the simulation throttles a read")

    def before(self, actions: Sequence[Action]) -> None:
        """A write begins: it may be refused, lost, or never come to pass because the process dies."""
        self.step()
        if not self._strikes():
            return
        drawn, at = self.random.random(), self.rates
        if drawn < (bound := at.crash_before):
            self.strike("crash before a write")
            raise Crash("before a write")
        if drawn < (bound := bound + at.conflict):
            self.strike("conflict")
            raise WriteConflictError("the simulation has another transaction in the way")
        if drawn < (bound := bound + at.throttle):
            self.strike("write throttled")
            raise ThrottledError("the simulation throttles a write")
        if drawn < bound + at.lost_not_done:
            self.strike("unknown outcome, not written")
            raise UnknownOutcomeError("the simulation lost the request")

    def after(self, actions: Sequence[Action]) -> None:
        """A write has happened: the answer may be lost, or nobody be left to hear it."""
        if not self._strikes():
            return
        drawn, at = self.random.random(), self.rates
        if drawn < at.crash_after:
            self.strike("crash after a write")
            raise Crash("after a write")
        if drawn < at.crash_after + at.lost_done:
            self.strike("unknown outcome, written")
            raise UnknownOutcomeError("the simulation lost the answer")

    def refused(self, refusal: WriteRefusedError) -> WriteRefusedError:
        """Mix the reasons of a refusal: beside a conflict, DynamoDB may name only some of the failed conditions."""
        refusals: Sequence[Refusal] = refusal.refusals
        if len(refusals) > 1 and self._strikes() and self.happens(0.2, "refusal with mixed reasons"):
            kept = self.random.randrange(1, len(refusals))
            return WriteRefusedError(self.random.sample(list(refusals), kept))
        return refusal

    def _strikes(self) -> bool:
        return self.active and self.scheduler.actor is not None

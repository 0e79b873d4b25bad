"""Virtual time and actors: a discrete-event scheduler in which exactly one actor runs at any moment.

An actor is an ordinary call of ordinary blocking code, on a thread of its own. Whenever it asks a table, a queue or
a channel it sleeps a little virtual time; whoever is due first goes on. Threads hand each other one baton, so there is
no race and no real time: the order depends on the due times alone, and these on the seed.

Why threads and a baton: real interleavings (A reads, B reads, A writes, B reads again, A fails, B goes on) need stacks
that can be left and resumed in any order. Running other actors nested inside a fault hook is simpler, but the one below
on the stack can never go on before the one above has ended, so half of the interleavings of two pushers cannot happen.
A hand-over costs about 6 microseconds and is made only when somebody else really is due first; otherwise the clock
simply moves on.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Callable
from datetime import datetime, timedelta

Job = Callable[[], object]


class Stopped(BaseException):
    """The simulation is over: unwind."""


class _Worker:
    """A thread that runs actors, one after another."""

    __slots__ = ("actor", "baton", "job", "thread")

    def __init__(self) -> None:
        self.baton = threading.Lock()
        self.baton.acquire()
        self.job: Job | None = None
        self.actor: object | None = None
        self.thread: threading.Thread | None = None


class Scheduler:
    """Plays jobs at their virtual times."""

    def __init__(self, start: datetime) -> None:
        self._start = start
        self._us = 0
        self._until = 0
        self._order = 0
        self._due: list[tuple[int, int, _Worker | None, Job | None]] = []
        self._idle: list[_Worker] = []
        self._workers: list[_Worker] = []
        self._running: _Worker | None = None
        self._home = threading.Lock()
        self._home.acquire()
        self._failure: BaseException | None = None
        self._stopping = False

    # ---- time -------------------------------------------------------------------------------------------------

    def now(self) -> datetime:
        """Return the virtual instant."""
        return self._start + timedelta(microseconds=self._us)

    @property
    def seconds(self) -> float:
        """Virtual seconds since the start."""
        return self._us / 1_000_000

    @property
    def us(self) -> int:
        """Virtual microseconds since the start."""
        return self._us

    @property
    def idle(self) -> bool:
        """Whether nothing at all is due any more."""
        return not self._due

    def sleep(self, seconds: float) -> None:
        """Let virtual time pass for the actor that calls; others that are due first go on meanwhile."""
        wake = self._us + int(seconds * 1_000_000)
        if (not self._due or self._due[0][0] > wake) and wake <= self._until:
            self._us = wake
            return
        me = self._running
        if me is None:
            raise RuntimeError("only an actor may sleep")
        self._push(wake, me, None)
        following = self._pop()
        if following is not me:
            self._pass_to(following)
            me.baton.acquire()
            if self._stopping:
                raise Stopped
        self._running = me

    def after(self, seconds: float, job: Job) -> None:
        """Start a job as an actor of its own after some virtual time."""
        self._push(self._us + int(seconds * 1_000_000), None, job)

    def at(self, seconds: float, job: Job) -> None:
        """Start a job at an instant given in virtual seconds since the start, or now if that is past."""
        self._push(max(self._us, int(seconds * 1_000_000)), None, job)

    # ---- the actor that runs ----------------------------------------------------------------------------------

    @property
    def actor(self) -> object | None:
        """What the running job said it is."""
        return None if self._running is None else self._running.actor

    @actor.setter
    def actor(self, actor: object | None) -> None:
        if self._running is not None:
            self._running.actor = actor

    # ---- playing ----------------------------------------------------------------------------------------------

    def run(self, until_s: float) -> None:
        """Play everything that is due until an instant; what an actor raises unexpectedly is raised here."""
        self._until = int(until_s * 1_000_000)
        following = self._pop()
        if following is not None:
            self._pass_to(following)
            self._home.acquire()
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        self._us = max(self._us, self._until)

    def close(self) -> None:
        """Unwind every actor that is still on its way."""
        self._stopping = True
        for worker in self._workers:
            if worker.thread is not None and worker.thread.is_alive():
                worker.baton.release()
                worker.thread.join()

    def _push(self, at: int, worker: _Worker | None, job: Job | None) -> None:
        self._order += 1
        heapq.heappush(self._due, (at, self._order, worker, job))

    def _pop(self) -> _Worker | None:
        """Return whose turn it is, with its job set; None when nothing is due any more before the end."""
        if not self._due or self._due[0][0] > self._until:
            return None
        at, _, worker, job = heapq.heappop(self._due)
        self._us = max(self._us, at)
        if worker is None:
            worker = self._idle.pop() if self._idle else self._hired()
            worker.job = job
        return worker

    def _pass_to(self, worker: _Worker | None) -> None:
        self._running = worker
        (self._home if worker is None else worker.baton).release()

    def _hired(self) -> _Worker:
        worker = _Worker()
        worker.thread = threading.Thread(target=self._work, args=(worker,), daemon=True)
        self._workers.append(worker)
        worker.thread.start()
        return worker

    def _work(self, me: _Worker) -> None:
        me.baton.acquire()
        while not self._stopping:
            self._running = me
            job, me.job, me.actor = me.job, None, None
            try:
                if job is not None:
                    job()
            except Stopped:
                return
            except BaseException as failure:  # noqa: BLE001 - handed to whoever plays
                self._failure = failure
                self._pass_to(None)
                return
            self._idle.append(me)
            following = self._pop()
            if following is not me:
                self._pass_to(following)
                me.baton.acquire()

"""Child processes that outlive the command that started them.

A process id alone says little: after a crash or a reboot it may belong to somebody else. So each pid file also
records when its process was started, and only a process with both is ours: never is a stranger signalled.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.local.state import LocalRuntimeError, StateDirectory, read_json, write_json

STOP_GRACE_SECONDS = 20.0
_PARENT_CHECK_SECONDS = 0.5
_QUIET_PORTS = (15_000, 32_000)


@dataclass(frozen=True, slots=True)
class Child:
    """A process of ours that is alive."""

    name: str
    pid: int


def start_time_of(pid: int) -> str | None:
    """When a process was started, in the system's own terms; ``None`` if there is no such live process."""
    stat = Path(f"/proc/{pid}/stat")
    if stat.exists():
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            return None
        # A killed process is a zombie while its other threads still end, and until then it holds its port.
        has_ended = fields[0] == "X" or (fields[0] == "Z" and int(fields[17]) <= 1)
        return None if has_ended else fields[19]
    listed = subprocess.run(
        ["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return listed.stdout.strip() or None


class Processes:
    """The children of one runtime, by name."""

    def __init__(self, state: StateDirectory, root: Path) -> None:
        self._state = state
        self._root = root

    def find(self, name: str) -> Child | None:
        """The live child of that name; a stale pid file counts as none."""
        noted = read_json(self._pid_file(name))
        pid, started = noted.get("pid"), noted.get("started")
        if not isinstance(pid, int) or started is None or start_time_of(pid) != started:
            return None
        return Child(name, pid)

    def was_noted(self, name: str) -> bool:
        """Whether a child of that name was started and never stopped by us: if dead, it crashed."""
        return self._pid_file(name).exists()

    def spawn(
        self, name: str, module: str, arguments: Sequence[str], environment: Mapping[str, str]
    ) -> Child:
        """Start ``python -m module`` from the checkout, in its own session, output to its log."""
        with open(self._state.logs / f"{name}.log", "ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", module, *arguments],
                cwd=self._root,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                close_fds=True,
            )
        # The pid file is what finds it again; the handle would only warn that it is still running.
        process.returncode = 0
        started = start_time_of(process.pid)
        write_json(self._pid_file(name), {"pid": process.pid, "started": started})
        return Child(name, process.pid)

    def stop(self, name: str, *, grace_seconds: float = STOP_GRACE_SECONDS) -> bool:
        """End a child gently, then by force; whether it had been alive."""
        child = self.find(name)
        if child is not None:
            _signal(child.pid, signal.SIGTERM)
            if not self._gone(name, grace_seconds):
                _signal(child.pid, signal.SIGKILL)
                self._gone(name, grace_seconds)
        self._pid_file(name).unlink(missing_ok=True)
        return child is not None

    def kill(self, name: str) -> None:
        """End a child as a crash would: at once, nothing saved."""
        child = self.find(name)
        if child is not None:
            _signal(child.pid, signal.SIGKILL)
            self._gone(name, STOP_GRACE_SECONDS)

    def await_ready(
        self, name: str, ready: Callable[[], bool], *, within_seconds: float, log_lines: int = 15
    ) -> None:
        """Wait until ``ready`` says so.

        Raises
        ------
        LocalRuntimeError
            If the process ends or the time passes first; carries the end of its log.
        """
        deadline = time.monotonic() + within_seconds
        while time.monotonic() < deadline:
            if ready():
                return
            if self.find(name) is None:
                break
            time.sleep(0.02)
        log = self._state.logs / f"{name}.log"
        last = "\n".join(log.read_text(errors="replace").splitlines()[-log_lines:]) if log.exists() else ""
        raise LocalRuntimeError(f"the {name} did not come up.\n{last}\n", f"Its whole log is {log}.")

    def _pid_file(self, name: str) -> Path:
        return self._state.pids / f"{name}.json"

    def _gone(self, name: str, within_seconds: float) -> bool:
        deadline = time.monotonic() + within_seconds
        while (child := self.find(name)) is not None:
            _reap(child.pid)
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True


def end_with_parent(parent: int) -> None:
    """Run in a child's own thread: end this process when the one that started it has gone."""
    while os.getppid() == parent:
        time.sleep(_PARENT_CHECK_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


def free_port() -> int:
    """A port on 127.0.0.1 that nobody listens on now.

    It lies below the range from which systems take the near end of outgoing connections: a port in there may be
    free at one start of a runtime and some browser's at the next, and a runtime keeps its ports.
    """
    while not port_is_free(port := random.randrange(*_QUIET_PORTS)):  # noqa: S311 - no secret
        continue
    return port


def port_is_free(port: int) -> bool:
    """Whether a server could listen on 127.0.0.1:``port``."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _reap(pid: int) -> None:
    """Collect the exit of a process that we started ourselves; others' are collected by init."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return

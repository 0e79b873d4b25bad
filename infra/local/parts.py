"""The three processes of a local runtime: what starts each, on which port, and when it counts as up.

They are started in an order that the runtime decides; each start does nothing where its process answers already.
"""

from __future__ import annotations

import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable

from infra.local import server
from infra.local.issuer import JWKS_PATH, SigningKey
from infra.local.processes import Processes, free_port, port_is_free
from infra.local.saved_state import SavedState
from infra.local.state import LocalRuntimeError, StateDirectory, read_json, write_json

PREFERRED_PORT = 4566
SERVER, PUMP, ISSUER = "server", "pump", "issuer"
PARTS = (SERVER, PUMP, ISSUER)

Say = Callable[[str], None]


class Parts:
    """The processes of one runtime.

    Parameters
    ----------
    tied
        Whether they end with this process (tests) instead of outliving it (the command line).
    """

    def __init__(self, processes: Processes, state: StateDirectory, say: Say, *, tied: bool) -> None:
        self._processes = processes
        self._state = state
        self._say = say
        self._tied = tied

    def ports(self, wanted: int | None) -> dict[str, int]:
        """Return the ports of server and issuer: chosen once, so that URLs survive a restart."""
        ports = {name: int(port) for name, port in read_json(self._state.settings).items()}
        if not ports:
            first = wanted or (free_port() if self._tied else _first_free(PREFERRED_PORT))
            ports = {SERVER: first, ISSUER: _first_free(first + 1)}
            write_json(self._state.settings, ports)
        return ports

    def start_server(self, port: int, *, keeps_state: bool) -> bool:
        """Start the embedded runtime unless it answers; whether it was started."""
        endpoint = f"http://127.0.0.1:{port}"
        if self._processes.find(SERVER) and answers(endpoint):
            return False
        self._processes.stop(PUMP, grace_seconds=1)
        self._processes.stop(SERVER)
        self.tell_loss()
        self._require_port(port)
        if not (self._state.server / "state").is_dir():
            # Never saved: files that a crashed first run left behind would clash with the new stacks.
            shutil.rmtree(self._state.server, ignore_errors=True)
            shutil.rmtree(self._state.checkpoints, ignore_errors=True)
            self._state.create()
        server.clean_up(self._state)
        self._say(f"starting the embedded AWS runtime on 127.0.0.1:{port}")
        arguments = [str(self._state.root), *self._tie()]
        environment = server.environment(self._state, port, keeps_state=keeps_state)
        self._processes.spawn(SERVER, "infra.local.server", arguments, environment)
        self._processes.await_ready(SERVER, lambda: answers(endpoint), within_seconds=30)
        return True

    def start_issuer(self, port: int) -> None:
        """Start the token issuer unless it answers."""
        url = f"http://127.0.0.1:{port}{JWKS_PATH}"
        if self._processes.find(ISSUER) and _get(url):
            return
        self._processes.stop(ISSUER)
        self._require_port(port)
        SigningKey.of(self._state)
        arguments = [str(self._state.root), str(port), *self._tie()]
        self._processes.spawn(ISSUER, "infra.local.issuer", arguments, _own_environment())
        self._processes.await_ready(ISSUER, lambda: _get(url), within_seconds=15)

    def start_pump(self) -> None:
        """Start the stream pump unless it runs; it goes on from its checkpoints."""
        if self._processes.find(PUMP):
            return
        self._state.pump_status.unlink(missing_ok=True)
        arguments = [str(self._state.root), *self._tie()]
        self._processes.spawn(PUMP, "infra.local.stream_pump", arguments, _own_environment())
        self._processes.await_ready(PUMP, self._state.pump_status.exists, within_seconds=15)

    def tell_loss(self) -> None:
        """Say what is lost if the server, which is not running now, ended without saving."""
        loss = SavedState(self._state).loss()
        if loss is not None:
            self._say(loss)

    def _require_port(self, port: int) -> None:
        if not port_is_free(port):
            raise LocalRuntimeError(
                f"port {port} on 127.0.0.1 is taken by another program, and this runtime's URLs name it.",
                "Stop that program, or start afresh on another port: `onecount down --wipe`, then `onecount up`.",
            )

    def _tie(self) -> list[str]:
        return ["--parent", str(os.getpid())] if self._tied else []


def _first_free(port: int) -> int:
    while not port_is_free(port):
        port += 1
    return port


def answers(endpoint: str) -> bool:
    """Whether an embedded runtime answers at ``endpoint``."""
    return _get(f"{endpoint}/_ministack/health")


_LOOPBACK = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _get(url: str) -> bool:
    try:
        with _LOOPBACK.open(url, timeout=3) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def _own_environment() -> dict[str, str]:
    """For our own processes: the machine's, less AWS settings that are meant for something else."""
    return {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}

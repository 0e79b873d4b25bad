"""The local runtime: the synthesized template, running on this machine.

Three processes beside the command that starts them: the embedded AWS runtime (``server``), the stream pump
(``stream_pump``) and the token issuer (``issuer``). ``up`` and ``down`` keep one for the checkout, its state in
``.onecount/``; ``LocalRuntime.isolated`` gives tests one of their own that ends with them.

    up    start what is not running -> synthesize if sources changed -> deploy if anything changed -> pump
    down  let the pump finish what it has read -> stop pump, server (which saves its state), issuer

The embedded runtime saves its state when it is stopped gently, and only then: what was written since is lost when it
is killed (``saved_state``). ``up`` and ``down`` say so when they find that.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from botocore.exceptions import ClientError

from infra.local.assembly import PLACEHOLDER_ISSUER, Assembly, synthesize
from infra.local.clients import client
from infra.local.declared_network import (
    DEMO_NETWORK,
    RemovalRefusedError,
    refuse_removal,
    remember,
    remembered,
    withdraw_removed,
)
from infra.local.deployment import Deployer
from infra.local.issuer import SigningKey
from infra.local.parts import ISSUER, PARTS, PUMP, SERVER, Parts, Say, answers
from infra.local.processes import Processes
from infra.local.runtime_info import RuntimeInfo, RuntimeStatus
from infra.local.saved_state import SavedState
from infra.local.settling import Settling
from infra.local.state import FOLDER, LocalRuntimeError, StateDirectory, read_json, write_json
from infra.network_file import read_network

_DRAIN_SECONDS = 10.0
_TOKEN_LIFETIME = timedelta(hours=12)

Assemble = Callable[[], Assembly]


def silent(_: str) -> None:
    """For callers that do not want to be told."""


class LocalRuntime:
    """One runtime: started, stopped, and talked to.

    Parameters
    ----------
    root
        The checkout: what ``python -m infra...`` is run from.
    assemble
        Gives the assembly to deploy; called on every start.
    network
        The checked file that ``assemble`` deploys, if that is made from one; it is remembered for the next start.
    tied
        Whether the processes end with this one (tests) instead of outliving it (the command line).
    """

    def __init__(
        self,
        root: Path,
        state: StateDirectory,
        assemble: Assemble,
        *,
        network: Path | None = None,
        tied: bool = False,
        say: Say = silent,
    ) -> None:
        self._root = root
        self._state = state
        self._assemble = assemble
        self._network = network
        self._keeps_state = True
        self._say = say
        self._processes = Processes(state, root)
        self._parts = Parts(self._processes, state, lambda text: self._say(text), tied=tied)
        self._info: RuntimeInfo | None = None
        self._clients: dict[str, Any] = {}

    @classmethod
    def of_checkout(cls, root: Path, *, network: Path | None = None, say: Say = silent) -> LocalRuntime:
        """The runtime that ``onecount up`` keeps; attaches if it runs, starts nothing.

        Parameters
        ----------
        network
            The file that a start deploys; None is the one that was deployed last.
        """
        state = StateDirectory(root / FOLDER)
        declared = (remembered(state, root) if network is None else network).resolve()
        runtime = cls(
            root, state, lambda: synthesize(root, state.assemblies, declared), network=declared, say=say
        )
        runtime._attach()
        return runtime

    @classmethod
    def isolated(
        cls, root: Path, folder: Path, *, network: Path | None = None, assemble: Assemble | None = None
    ) -> LocalRuntime:
        """A runtime of its own for tests: free ports, state in ``folder``, gone when this process is.

        As a context manager it keeps no state, since nothing comes after it, and so ends at once. Synthesized templates are shared with the checkout's cache, since they depend on the sources alone.
        """
        cache = StateDirectory(root / FOLDER).assemblies
        declared = root / DEMO_NETWORK if network is None else network
        make = assemble or (lambda: synthesize(root, cache, declared))
        return cls(root, StateDirectory(folder), make, tied=True)

    def __enter__(self) -> Self:
        self._keeps_state = False
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def tell(self, say: Say) -> None:
        """Have ``say`` told what is being done from now on."""
        self._say = say

    # Life

    def start(self, *, port: int | None = None, may_remove: bool = False) -> RuntimeInfo:
        """Bring everything up to the present sources; does nothing that is done already.

        Parameters
        ----------
        port
            Wanted port of the first start; later starts keep theirs, so that URLs stay true.
        may_remove
            Whether what has been applied here may lose its queues and secrets because the file lacks it.

        Raises
        ------
        RuntimeBusyError
            If another start or stop is under way.
        LocalRuntimeError
            If a port is taken, the app cannot be synthesized, or a stack fails.
        RemovalRefusedError
            If something applied would be removed; what had run goes on as it was.
        """
        with self._state.locked():
            ports = self._parts.ports(port)
            fresh = self._parts.start_server(ports[SERVER], keeps_state=self._keeps_state)
            self._parts.start_issuer(ports[ISSUER])
            assembly = self._assemble()
            known = RuntimeInfo.read(self._state)
            if fresh or known is None or known.digest != assembly.digest:
                self._guard_applied(ports, may_remove)
                self._say("deploying")
                self._remember()
                known = self._redeploy(known, assembly, ports)
            else:
                self._remember()
                self._say("already running, and nothing changed")
            self._parts.start_pump()
            pids = {name: child.pid for name in PARTS if (child := self._processes.find(name))}
            self._info = RuntimeInfo(**{**asdict(known), "pids": pids})
            write_json(self._state.runtime, asdict(self._info))
            return self._info

    def stop(self, *, wipe: bool = False) -> bool:
        """Stop everything, the server gently so that it saves its state; whether anything had been running.

        Parameters
        ----------
        wipe
            Also forget the state: tables, queues, files, checkpoints and the signing key.
        """
        with self._state.locked():
            if self._keeps_state and not wipe and self._processes.find(PUMP):
                self._drain()
            ran = [self._processes.stop(name) for name in (PUMP, SERVER, ISSUER)]
            if self._keeps_state and not wipe and any(ran):
                self._parts.tell_loss()
            self._info = None
            self._clients.clear()
            if wipe:
                self._forget()
            return any(ran)

    def running(self) -> dict[str, int | None]:
        """The process id of each part, ``None`` where it is not running."""
        return {name: child.pid if (child := self._processes.find(name)) else None for name in PARTS}

    def kill_pump(self) -> None:
        """End the pump as a crash would, between any two of its steps; ``start_pump`` resumes."""
        self._processes.kill(PUMP)

    def start_pump(self) -> None:
        """Start the pump again; it goes on from its checkpoints."""
        self._parts.start_pump()

    # Use

    @property
    def info(self) -> RuntimeInfo:
        """What runs.

        Raises
        ------
        LocalRuntimeError
            If it does not run.
        """
        if self._info is None:
            raise LocalRuntimeError("the local runtime is not running.", "Start it with `onecount up`.")
        return self._info

    @property
    def outputs(self) -> dict[str, str]:
        return self.info.outputs

    @property
    def api_url(self) -> str:
        return self.info.api_url

    def webhook_url(self, source: str) -> str:
        return self.info.webhook_url.format(source=source)

    def client(self, service: str) -> Any:
        """A boto3 client of the runtime; one for each service, safe to share between threads."""
        if service not in self._clients:
            self._clients[service] = client(service, self.info.endpoint)
        return self._clients[service]

    def token(
        self, scopes: Iterable[str], subject: str = "local", *, lifetime: timedelta = _TOKEN_LIFETIME
    ) -> str:
        """A bearer token that the API accepts; a negative ``lifetime`` makes an expired one."""
        return SigningKey.of(self._state).mint(self.info.issuer, scopes, subject, lifetime=lifetime)

    def secret(self, kind: str, identifier: str) -> str:
        """The current secret of a source or channel.

        Parameters
        ----------
        kind
            ``source`` or ``channel``.
        """
        try:
            value = self.client("secretsmanager").get_secret_value(SecretId=_secret_name(kind, identifier))
        except ClientError as error:
            raise LocalRuntimeError(
                f"there is no secret {_secret_name(kind, identifier)}.", f"Is the {kind} in the network file?"
            ) from error
        return str(json.loads(value["SecretString"])["current"])

    def set_secret(self, kind: str, identifier: str, value: str) -> None:
        """Make ``value`` the current secret; the one before stays valid as ``previous``."""
        secrets = self.client("secretsmanager")
        name = _secret_name(kind, identifier)
        content = {"current": value, "previous": self.secret(kind, identifier)}
        secrets.put_secret_value(SecretId=name, SecretString=json.dumps(content))

    def pump_status(self) -> dict[str, dict[str, Any]]:
        """What each stream mapping has done, by function name."""
        mappings = read_json(self._state.pump_status).get("mappings", {})
        return {counters["function"]: counters for counters in mappings.values()}

    def settle(self, *, within_seconds: float = 30.0) -> None:
        """Wait until nothing is under way: streams read to the end, queues (not their dead letters) empty.

        Raises
        ------
        LocalRuntimeError
            If something is still under way by then; says what.
        """
        Settling(
            self.info.endpoint,
            self.client("sqs"),
            self.client("lambda"),
            self.pump_status,
            self._state.logs,
        ).wait(within_seconds)

    # Parts

    def _attach(self) -> None:
        info = RuntimeInfo.read(self._state)
        if info is not None and self._processes.find(SERVER) and answers(info.endpoint):
            self._info = info

    def _guard_applied(self, ports: Mapping[str, int], may_remove: bool) -> None:
        """Refuse to take away what is in use, as the runtime itself knows it: a note of it may be gone.

        What may go is taken out of the applied network before its queues and secrets are deleted.
        """
        if self._network is None:
            return
        endpoint, declared = f"http://127.0.0.1:{ports[SERVER]}", read_network(self._network)
        if may_remove:
            for gone in withdraw_removed(endpoint, declared):
                self._say(f"- {gone}: no longer declared; its secret and queues go")
            return
        try:
            refuse_removal(endpoint, declared, self._network)
        except RemovalRefusedError:
            self._parts.start_pump()
            raise

    def _remember(self) -> None:
        if self._network is not None:
            remember(self._state, self._network)

    def _redeploy(
        self, known: RuntimeInfo | None, assembly: Assembly, ports: Mapping[str, int]
    ) -> RuntimeInfo:
        """Deploy; if that fails, what had worked goes on, and the next start deploys whatever it finds."""
        if known is None:
            return self._deploy(assembly, ports)
        write_json(self._state.runtime, {**asdict(known), "digest": ""})
        try:
            return self._deploy(assembly, ports)
        except LocalRuntimeError:
            self._parts.start_pump()
            raise

    def _deploy(self, assembly: Assembly, ports: Mapping[str, int]) -> RuntimeInfo:
        self._processes.stop(PUMP)
        endpoint, issuer = (f"http://127.0.0.1:{ports[name]}" for name in (SERVER, ISSUER))
        started = time.monotonic()
        deployed = Deployer(endpoint).deploy(assembly, {PLACEHOLDER_ISSUER: issuer})
        changed = ", ".join(deployed.changed_stacks) or "all stacks were up to date"
        self._say(f"deployed in {time.monotonic() - started:.1f} s: {changed}")
        for one in deployed.removed:
            self._say(f"  not here: {one.resource} ({one.type}): {one.reason}")
        write_json(self._state.mappings, {"endpoint": endpoint, "mappings": list(deployed.mappings)})
        return RuntimeInfo.of(deployed, endpoint, issuer, assembly.digest)

    def _drain(self) -> None:
        with suppress(LocalRuntimeError):
            if self._info is None:
                self._attach()
            if self._info is not None:
                self.settle(within_seconds=_DRAIN_SECONDS)

    def _forget(self) -> None:
        for place in (self._state.server, self._state.checkpoints, self._state.issuer, self._state.logs):
            shutil.rmtree(place, ignore_errors=True)
        for file in (
            self._state.settings,
            self._state.runtime,
            self._state.mappings,
            self._state.pump_status,
            self._state.network,
        ):
            file.unlink(missing_ok=True)
        shutil.rmtree(self._state.temporary, ignore_errors=True)


def network_of(root: Path) -> Path:
    """The network file that ``onecount up`` deploys unless another is named."""
    return remembered(StateDirectory(root / FOLDER), root)


def up(
    root: Path,
    *,
    network: Path | None = None,
    may_remove: bool = False,
    port: int | None = None,
    say: Say = silent,
) -> RuntimeInfo:
    """``onecount up``: the checkout's runtime, brought to the present sources."""
    runtime = LocalRuntime.of_checkout(root, network=network, say=say)
    return runtime.start(port=port, may_remove=may_remove)


def down(root: Path, *, wipe: bool = False, say: Say = silent) -> bool:
    """``onecount down``: stop it, keep (or forget) its state; whether it had been running."""
    runtime = LocalRuntime.of_checkout(root, say=say)
    ran = runtime.stop(wipe=wipe)
    if wipe:
        state = "all of its state is deleted"
    elif SavedState(runtime._state).exists:
        state = "the next `onecount up` goes on from its saved state"
    else:
        state = "no state is saved here: the next `onecount up` starts empty"
    say(f"stopped; {state}" if ran else f"it was not running; {state}")
    return ran


def status(root: Path) -> RuntimeStatus:
    """What of the checkout's runtime is running."""
    runtime = LocalRuntime.of_checkout(root)
    processes = runtime.running()
    attached = runtime._info
    return RuntimeStatus(processes, attached, runtime.pump_status() if attached else {})


def _secret_name(kind: str, identifier: str) -> str:
    return f"onecount/local/{kind}/{identifier}"

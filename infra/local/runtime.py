"""The local runtime: the synthesized template, running on this machine.

Three processes beside the command that starts them: the embedded AWS runtime (``server``), the stream pump
(``stream_pump``) and the token issuer (``issuer``). ``up`` and ``down`` keep one for the checkout, its state in
``.onecount/``; ``LocalRuntime.isolated`` gives tests one of their own that ends with them.

    up    start what is not running -> synthesize if sources changed -> deploy if anything changed -> pump
    down  let the pump finish what it has read -> stop pump, server (which saves its state), issuer

The embedded runtime saves its state when it is stopped gently, and only then: what was written since the last
``down`` is lost when the machine goes down under it. ``up`` says so when it finds that.
"""

from __future__ import annotations

import json
import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from botocore.exceptions import ClientError

from infra.local import server
from infra.local.assembly import PLACEHOLDER_ISSUER, Assembly, synthesize
from infra.local.clients import client
from infra.local.deployment import Deployed, Deployer
from infra.local.issuer import JWKS_PATH, SigningKey
from infra.local.processes import Processes, free_port, port_is_free
from infra.local.state import FOLDER, LocalRuntimeError, StateDirectory, read_json, write_json

PREFERRED_PORT = 4566
SERVER, PUMP, ISSUER = "server", "pump", "issuer"
PARTS = (SERVER, PUMP, ISSUER)
NETWORK = Path("infra/local/network.yaml")
_PREFIX = "onecount-local-"
_DRAIN_SECONDS = 10.0
_TOKEN_LIFETIME = timedelta(hours=12)

Say = Callable[[str], None]
Assemble = Callable[[], Assembly]


def silent(_: str) -> None:
    """For callers that do not want to be told."""


@dataclass(frozen=True, slots=True)
class RuntimeInfo:
    """What runs, and where to reach it.

    Attributes
    ----------
    api_url
        Base of every ``/v1`` call; plain 127.0.0.1, as curl takes it.
    webhook_url
        With ``{source}`` to be put in.
    tables, queues, functions
        Short name (without the stage's prefix) to the real one.
    removed
        What the embedded runtime lacks: "resource (type): reason".
    """

    endpoint: str
    api_url: str
    webhook_url: str
    bucket: str
    tables: dict[str, str]
    queues: dict[str, str]
    functions: dict[str, str]
    issuer: str
    pids: dict[str, int]
    digest: str
    outputs: dict[str, str] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, state: StateDirectory) -> RuntimeInfo | None:
        """What the last ``up`` noted, whether or not it still runs."""
        noted = read_json(state.runtime)
        if not noted or set(noted) != set(cls.__slots__):
            return None
        return cls(**noted)


class LocalRuntime:
    """One runtime: started, stopped, and talked to.

    Parameters
    ----------
    root
        The checkout: what ``python -m infra...`` is run from.
    assemble
        Gives the assembly to deploy; called on every start.
    tied
        Whether the processes end with this one (tests) instead of outliving it (the command line).
    """

    def __init__(
        self, root: Path, state: StateDirectory, assemble: Assemble, *, tied: bool = False, say: Say = silent
    ) -> None:
        self._root = root
        self._state = state
        self._assemble = assemble
        self._tied = tied
        self._say = say
        self._processes = Processes(state, root)
        self._info: RuntimeInfo | None = None
        self._clients: dict[str, Any] = {}

    @classmethod
    def of_checkout(cls, root: Path, *, network: Path | None = None, say: Say = silent) -> LocalRuntime:
        """The runtime that ``onecount up`` keeps; attaches if it runs, starts nothing."""
        state = StateDirectory(root / FOLDER)
        declared = root / NETWORK if network is None else network
        runtime = cls(root, state, lambda: synthesize(root, state.assemblies, declared), say=say)
        runtime._attach()
        return runtime

    @classmethod
    def isolated(
        cls, root: Path, folder: Path, *, network: Path | None = None, assemble: Assemble | None = None
    ) -> LocalRuntime:
        """A runtime of its own for tests: free ports, state in ``folder``, gone when this process is.

        Synthesized templates are shared with the checkout's cache, since they depend on the sources alone.
        """
        cache = StateDirectory(root / FOLDER).assemblies
        declared = root / NETWORK if network is None else network
        make = assemble or (lambda: synthesize(root, cache, declared))
        return cls(root, StateDirectory(folder), make, tied=True)

    def __enter__(self) -> Self:
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

    def start(self, *, port: int | None = None) -> RuntimeInfo:
        """Bring everything up to the present sources; does nothing that is done already.

        Parameters
        ----------
        port
            Wanted port of the first start; later starts keep theirs, so that URLs stay true.

        Raises
        ------
        RuntimeBusyError
            If another start or stop is under way.
        LocalRuntimeError
            If a port is taken, the app cannot be synthesized, or a stack fails.
        """
        with self._state.locked():
            ports = self._ports(port)
            fresh = self._start_server(ports[SERVER])
            self._start_issuer(ports[ISSUER])
            assembly = self._assemble()
            known = RuntimeInfo.read(self._state)
            if fresh or known is None or known.digest != assembly.digest:
                self._say("deploying")
                known = self._redeploy(known, assembly, ports)
            else:
                self._say("already running, and nothing changed")
            self._start_pump()
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
            if not wipe and self._processes.find(PUMP):
                self._drain()
            ran = [self._processes.stop(name) for name in (PUMP, SERVER, ISSUER)]
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
        self._start_pump()

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
        deadline = time.monotonic() + within_seconds
        queues = self._consumed_queues()
        quiet_since: float | None = None
        calls = -1
        while True:
            now = time.time()
            pump = self.pump_status()
            behind = [
                name for name, one in pump.items() if quiet_since is None or one["caught_up_at"] < quiet_since
            ]
            busy = [queue.rsplit("/", 1)[1] for queue in queues if self._is_busy(queue)]
            made = sum(one["calls"] for one in pump.values())
            if busy or made != calls or quiet_since is None:
                quiet_since, calls = now, made
            elif not behind:
                return
            if time.monotonic() > deadline:
                raise LocalRuntimeError(
                    f"still under way after {within_seconds:.0f} s: streams {sorted(behind)}, queues {busy}.",
                    f"See the logs in {self._state.logs}.",
                )
            time.sleep(0.02)

    # Parts

    def _attach(self) -> None:
        info = RuntimeInfo.read(self._state)
        if info is not None and self._processes.find(SERVER) and answers(info.endpoint):
            self._info = info

    def _ports(self, wanted: int | None) -> dict[str, int]:
        ports = {name: int(port) for name, port in read_json(self._state.settings).items()}
        if not ports:
            first = wanted or (free_port() if self._tied else _first_free(PREFERRED_PORT))
            ports = {SERVER: first, ISSUER: _first_free(first + 1)}
            write_json(self._state.settings, ports)
        return ports

    def _start_server(self, port: int) -> bool:
        """Start the embedded runtime unless it answers; whether it was started."""
        endpoint = f"http://127.0.0.1:{port}"
        if self._processes.find(SERVER) and answers(endpoint):
            return False
        if self._processes.was_noted(SERVER):
            self._say(
                "the runtime had ended without being stopped: what was written since the last `down` is lost"
            )
        self._processes.stop(PUMP, grace_seconds=1)
        self._processes.stop(SERVER)
        self._require_port(port)
        if not (self._state.server / "state").is_dir():
            # Never saved: files that a crashed first run left behind would clash with the new stacks.
            shutil.rmtree(self._state.server, ignore_errors=True)
            shutil.rmtree(self._state.checkpoints, ignore_errors=True)
            self._state.create()
        server.clean_up(self._state)
        self._say(f"starting the embedded AWS runtime on 127.0.0.1:{port}")
        self._processes.spawn(
            SERVER, "infra.local.server", self._tie(), server.environment(self._state, port)
        )
        self._processes.await_ready(SERVER, lambda: answers(endpoint), within_seconds=30)
        return True

    def _start_issuer(self, port: int) -> None:
        url = f"http://127.0.0.1:{port}{JWKS_PATH}"
        if self._processes.find(ISSUER) and _get(url):
            return
        self._processes.stop(ISSUER)
        self._require_port(port)
        SigningKey.of(self._state)
        arguments = [str(self._state.root), str(port), *self._tie()]
        self._processes.spawn(ISSUER, "infra.local.issuer", arguments, _own_environment())
        self._processes.await_ready(ISSUER, lambda: _get(url), within_seconds=15)

    def _start_pump(self) -> None:
        if self._processes.find(PUMP):
            return
        self._state.pump_status.unlink(missing_ok=True)
        arguments = [str(self._state.root), *self._tie()]
        self._processes.spawn(PUMP, "infra.local.stream_pump", arguments, _own_environment())
        self._processes.await_ready(PUMP, self._state.pump_status.exists, within_seconds=15)

    def _require_port(self, port: int) -> None:
        if not port_is_free(port):
            raise LocalRuntimeError(
                f"port {port} on 127.0.0.1 is taken by another program, and this runtime's URLs name it.",
                "Stop that program, or start afresh on another port: `onecount down --wipe`, then `onecount up`.",
            )

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
            self._start_pump()
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
        return _describe(deployed, endpoint, issuer, assembly.digest)

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
        ):
            file.unlink(missing_ok=True)
        shutil.rmtree(self._state.temporary, ignore_errors=True)

    def _tie(self) -> list[str]:
        return ["--parent", str(os.getpid())] if self._tied else []

    def _consumed_queues(self) -> list[str]:
        """URLs of the queues that a function consumes; what lies in any other is nobody's work."""
        mappings = self.client("lambda").get_paginator("list_event_source_mappings").paginate()
        arns = {
            one["EventSourceArn"]
            for page in mappings
            for one in page["EventSourceMappings"]
            if one["State"] == "Enabled" and ":sqs:" in one["EventSourceArn"]
        }
        return [f"{self.info.endpoint}/{server.ACCOUNT}/{arn.rsplit(':', 1)[1]}" for arn in sorted(arns)]

    def _is_busy(self, queue_url: str) -> bool:
        counts = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = self.client("sqs").get_queue_attributes(QueueUrl=queue_url, AttributeNames=counts)[
            "Attributes"
        ]
        return any(int(found[count]) for count in counts)


def up(root: Path, *, network: Path | None = None, port: int | None = None, say: Say = silent) -> RuntimeInfo:
    """``onecount up``: the checkout's runtime, brought to the present sources."""
    return LocalRuntime.of_checkout(root, network=network, say=say).start(port=port)


def down(root: Path, *, wipe: bool = False, say: Say = silent) -> bool:
    """``onecount down``: stop it, keep (or forget) its state; whether it had been running."""
    runtime = LocalRuntime.of_checkout(root, say=say)
    ran = runtime.stop(wipe=wipe)
    kept = "its state is gone" if wipe else "its state is kept"
    say(f"stopped; {kept}" if ran else f"it was not running; {kept}")
    return ran


@dataclass(frozen=True, slots=True)
class RuntimeStatus:
    """What ``onecount status`` tells.

    Attributes
    ----------
    processes
        Each part's process id, ``None`` where it does not run.
    info
        Where to reach it; ``None`` unless it answers.
    """

    processes: dict[str, int | None]
    info: RuntimeInfo | None
    streams: dict[str, dict[str, Any]]

    @property
    def is_up(self) -> bool:
        return self.info is not None and all(pid is not None for pid in self.processes.values())


def status(root: Path) -> RuntimeStatus:
    """What of the checkout's runtime is running."""
    runtime = LocalRuntime.of_checkout(root)
    processes = runtime.running()
    attached = runtime._info
    return RuntimeStatus(processes, attached, runtime.pump_status() if attached else {})


def _describe(deployed: Deployed, endpoint: str, issuer: str, digest: str) -> RuntimeInfo:
    def of_type(kind: str) -> list[tuple[str, str]]:
        return [(logical, physical) for _, logical, found, physical in deployed.resources if found == kind]

    def by_short_name(kind: str) -> dict[str, str]:
        names = [physical.rsplit("/", 1)[-1] for _, physical in of_type(kind)]
        return {name.removeprefix(_PREFIX): name for name in names}

    apis, stages = of_type("AWS::ApiGateway::RestApi"), of_type("AWS::ApiGateway::Stage")
    base = f"{endpoint}/_aws/execute-api/{apis[0][1]}/{stages[0][1]}" if apis and stages else ""
    buckets = of_type("AWS::S3::Bucket")
    drop = [physical for logical, physical in buckets if "drop" in (logical + physical).lower()]
    return RuntimeInfo(
        endpoint=endpoint,
        api_url=base,
        webhook_url=f"{base}/webhooks/{{source}}" if base else "",
        bucket=drop[0] if drop else "",
        tables=_tables(deployed),
        queues=by_short_name("AWS::SQS::Queue"),
        functions=by_short_name("AWS::Lambda::Function"),
        issuer=issuer,
        pids={},
        digest=digest,
        outputs=deployed.outputs,
        removed=[f"{one.resource} ({one.type}): {one.reason}" for one in deployed.removed],
    )


def _tables(deployed: Deployed) -> dict[str, str]:
    """Tables by the name that the template's outputs give them (``StockTable``: stock), else by their own."""
    names = [physical for _, _, kind, physical in deployed.resources if kind == "AWS::DynamoDB::Table"]
    said = {
        value: key.removesuffix("Table").lower()
        for key, value in deployed.outputs.items()
        if key.endswith("Table")
    }
    return {said.get(name, name.removeprefix(_PREFIX)): name for name in names}


def _first_free(port: int) -> int:
    while not port_is_free(port):
        port += 1
    return port


def _secret_name(kind: str, identifier: str) -> str:
    return f"onecount/local/{kind}/{identifier}"


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

"""The life of a runtime: started twice, stopped, crashed, wiped, contended for."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from infra.local.assembly import Assembly
from infra.local.deployment import DeploymentError
from infra.local.processes import Processes, end_with_parent, free_port, start_time_of
from infra.local.runtime import LocalRuntime, down
from infra.local.state import LocalRuntimeError, RuntimeBusyError, StateDirectory, write_json
from tests.infra.local.miniature import CONSUME_STREAM, miniature
from tests.infra.local.test_transports import put_work, seen

ROOT = Path(__file__).resolve().parents[3]


HALF_DEAD = """
import ctypes, threading, time
threading.Thread(target=time.sleep, args=(60,)).start()
print("ready", flush=True)
ctypes.CDLL(None).pthread_exit(None)
"""


def _state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def _await(look: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def state(tmp_path: Path) -> StateDirectory:
    made = StateDirectory(tmp_path / "state")
    made.create()
    return made


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as process:
        yield process
        process.kill()


class TestProcesses:
    def test_a_process_id_that_now_belongs_to_a_stranger_is_neither_found_nor_signalled(
        self, state: StateDirectory, sleeper: subprocess.Popen[bytes]
    ) -> None:
        write_json(state.pids / "server.json", {"pid": sleeper.pid, "started": "another life"})
        processes = Processes(state, ROOT)

        assert processes.find("server") is None
        assert processes.stop("server") is False
        assert sleeper.poll() is None
        assert not processes.was_noted("server")

    def test_a_dead_process_counts_as_none(self, state: StateDirectory) -> None:
        write_json(state.pids / "server.json", {"pid": 2**22 - 1, "started": "1"})

        assert Processes(state, ROOT).find("server") is None

    @pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only Linux tells a process's threads")
    def test_a_process_whose_first_thread_has_ended_lives_until_its_last_one_has(
        self, state: StateDirectory
    ) -> None:
        with subprocess.Popen([sys.executable, "-c", HALF_DEAD], stdout=subprocess.PIPE) as half_dead:  # noqa: S603
            assert half_dead.stdout is not None
            half_dead.stdout.readline()
            _await(lambda: _state_of(half_dead.pid) == "Z")
            noted = {"pid": half_dead.pid, "started": start_time_of(half_dead.pid)}
            write_json(state.pids / "server.json", noted)
            processes = Processes(state, ROOT)

            assert processes.find("server") is not None
            assert processes.stop("server") is True
            assert processes.find("server") is None

    def test_our_own_process_is_found_and_stopped(
        self, state: StateDirectory, sleeper: subprocess.Popen[bytes]
    ) -> None:
        write_json(state.pids / "server.json", {"pid": sleeper.pid, "started": start_time_of(sleeper.pid)})
        processes = Processes(state, ROOT)

        assert processes.stop("server") is True
        assert processes.find("server") is None

    def test_a_child_that_dies_at_birth_is_reported_with_the_end_of_its_log(
        self, state: StateDirectory
    ) -> None:
        processes = Processes(state, ROOT)
        processes.spawn("issuer", "no.such.module", [], dict(os.environ))

        with pytest.raises(LocalRuntimeError, match=r"Error while finding module|No module named"):
            processes.await_ready("issuer", lambda: False, within_seconds=10)

    def test_a_tied_child_ends_when_its_parent_has(self) -> None:
        ended: list[int] = []
        previous = signal.signal(signal.SIGTERM, lambda number, _: ended.append(number))
        try:
            end_with_parent(parent=os.getppid() + 1)
        finally:
            signal.signal(signal.SIGTERM, previous)

        assert ended == [signal.SIGTERM]


def test_two_at_once_are_refused(state: StateDirectory) -> None:
    with state.locked(), pytest.raises(RuntimeBusyError, match=f"process {os.getpid()}"), state.locked():
        pass
    with state.locked():
        pass


def test_a_taken_port_is_named_with_the_way_out(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        runtime = LocalRuntime.isolated(ROOT, tmp_path / "state", assemble=lambda: miniature(tmp_path / "a"))

        _choose(tmp_path / "state", port)

        with pytest.raises(LocalRuntimeError, match=f"port {port} .* taken"):
            runtime.start()

        assert runtime.running() == {"server": None, "pump": None, "issuer": None}


def _choose(folder: Path, port: int) -> None:
    """As if an earlier start had chosen this port."""
    write_json(StateDirectory(folder).settings, {"server": port, "issuer": free_port()})


@pytest.mark.system
def test_state_addresses_and_checkpoints_survive_a_stop_and_a_changed_function_is_deployed(
    tmp_path: Path,
) -> None:
    told: list[str] = []
    code = {"consume_stream": CONSUME_STREAM}
    folder = tmp_path / "state"
    runtime = LocalRuntime.isolated(ROOT, folder, assemble=lambda: miniature(tmp_path / "a", **code))
    runtime.tell(told.append)
    try:
        first = runtime.start()
        put_work(runtime, "kept", "x")
        runtime.settle()
        runtime.client("s3").put_object(Bucket=first.bucket, Key="drop/a.csv", Body=b"sku\n")
        secret, token = runtime.secret("source", "modern-wms"), runtime.token(["viewer"])
        runtime.stop()
        assert runtime.running() == {"server": None, "pump": None, "issuer": None}

        code["consume_stream"] = CONSUME_STREAM.replace('note("stream"', 'note("changed"')
        second = runtime.start()
        put_work(runtime, "kept", "y")
        runtime.settle()

        assert (second.api_url, second.issuer, second.bucket) == (first.api_url, first.issuer, first.bucket)
        assert (
            runtime.client("s3").get_object(Bucket=second.bucket, Key="drop/a.csv")["Body"].read() == b"sku\n"
        )
        assert runtime.secret("source", "modern-wms") == secret
        assert runtime.token(["viewer"]).split(".")[0] == token.split(".")[0]
        assert [item["sk"] for item in seen(runtime, "stream")] == ["kept/x"]
        assert [item["sk"] for item in seen(runtime, "changed")] == ["kept/y"]

        told.clear()
        assert runtime.start() == second
        assert told == ["already running, and nothing changed"]

        os.kill(second.pids["server"], signal.SIGKILL)
        os.kill(second.pids["pump"], signal.SIGKILL)
        third = runtime.start()
        [lost] = [line for line in told if "is lost" in line]
        assert "without saving its state: what was written since 20" in lost
        assert third.api_url == first.api_url
        assert [item["sk"] for item in seen(runtime, "stream")] == ["kept/x"]
        put_work(runtime, "kept", "z")
        runtime.settle()
        assert "kept/z" in [item["sk"] for item in seen(runtime, "changed")]
    finally:
        runtime.stop(wipe=True)
    assert not (folder / "server").exists()
    assert not (folder / "issuer").exists()
    assert runtime.stop() is False


@pytest.mark.system
def test_what_was_not_delivered_when_it_was_stopped_is_delivered_after_the_next_start(tmp_path: Path) -> None:
    runtime = LocalRuntime.isolated(ROOT, tmp_path / "state", assemble=lambda: miniature(tmp_path / "a"))
    try:
        runtime.start()
        put_work(runtime, "order", "delivered")
        runtime.settle()
        runtime.kill_pump()
        put_work(runtime, "order", "unread", blob={"B": b"\x00\xff"})  # type: ignore[dict-item]
        sqs = runtime.client("sqs")
        queue = sqs.get_queue_url(QueueName="onecount-local-dropped")["QueueUrl"]
        sqs.send_message(QueueUrl=queue, MessageBody="kept")
        runtime.stop()

        runtime.start()
        runtime.settle()

        begun = [item["sk"].partition("@")[0] for item in seen(runtime, "begun")]
        assert sorted(begun) == ["order/delivered", "order/unread"]
        sqs = runtime.client("sqs")
        queue = sqs.get_queue_url(QueueName="onecount-local-dropped")["QueueUrl"]
        bodies = [
            one["Body"] for one in sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10)["Messages"]
        ]
        assert "kept" in bodies
    finally:
        runtime.stop(wipe=True)


@pytest.mark.system
def test_a_failed_deployment_says_what_failed_and_stops_nothing_and_the_next_start_mends_it(
    tmp_path: Path,
) -> None:
    told: list[str] = []
    good = miniature(tmp_path / "a")
    wanted = [good]
    runtime = LocalRuntime.isolated(ROOT, tmp_path / "state", assemble=lambda: wanted[0])
    runtime.tell(told.append)
    try:
        runtime.start()
        wanted[0] = _with_an_unknown_type(good)
        with pytest.raises(DeploymentError, match=r"(?s)miniature-core.*(Strange|AWS::No::Such)"):
            runtime.start()
        put_work(runtime, "meanwhile", "x")
        runtime.settle()
        assert [item["sk"] for item in seen(runtime, "stream")] == ["meanwhile/x"]

        told.clear()
        wanted[0] = good
        runtime.start()

        assert "deploying" in told
        assert [item["sk"] for item in seen(runtime, "stream")] == ["meanwhile/x"]
        assert all(runtime.running().values())
    finally:
        runtime.stop(wipe=True)


def _with_an_unknown_type(good: Assembly) -> Assembly:
    doors, core = good.stacks
    resources = {**core.template["Resources"], "Strange": {"Type": "AWS::No::Such", "Properties": {}}}
    broken = replace(core, template={**core.template, "Resources": resources})
    return replace(good, stacks=(doors, broken), digest="broken")


@pytest.mark.system
def test_what_is_said_to_be_lost_is_lost_and_nothing_else_is(tmp_path: Path) -> None:
    told: list[str] = []
    folder = tmp_path / "state"
    runtime = LocalRuntime(
        ROOT, StateDirectory(folder), lambda: miniature(tmp_path / "a"), tied=True, say=told.append
    )
    try:
        first = runtime.start()
        put_work(runtime, "lost", "x")
        os.kill(first.pids["server"], signal.SIGKILL)
        runtime.start()
        assert [line for line in told if "is lost" in line] == [
            "the runtime ended without saving its state, for the first time it ran: all of it is lost"
        ]
        assert seen(runtime, "stream") == []

        told.clear()
        put_work(runtime, "kept", "y")
        runtime.settle()
        _end_as_a_shutdown_of_the_machine_would(runtime)
        runtime.start()
        assert [line for line in told if "is lost" in line] == []
        assert [item["sk"] for item in seen(runtime, "stream")] == ["kept/y"]
        saved = folder / "server" / "state"
        assert {oct(file.stat().st_mode & 0o777) for file in saved.rglob("*.json")} == {"0o600"}
        assert oct((folder / "server").stat().st_mode & 0o777) == "0o700"
    finally:
        runtime.stop(wipe=True)


def _end_as_a_shutdown_of_the_machine_would(runtime: LocalRuntime) -> None:
    pids = [pid for pid in runtime.running().values() if pid is not None]
    for pid in pids:
        os.kill(pid, signal.SIGTERM)
    _await(lambda: not any(runtime.running().values()))


def test_stopping_where_nothing_was_ever_saved_promises_no_state(tmp_path: Path) -> None:
    told: list[str] = []

    assert down(tmp_path, say=told.append) is False

    assert told == ["it was not running; no state is saved here: the next `onecount up` starts empty"]

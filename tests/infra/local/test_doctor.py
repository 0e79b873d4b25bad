"""What the doctor finds: each thing that can be missing, named with a remedy that can be typed."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

from infra.local import doctor
from infra.local.doctor import Finding
from infra.local.parts import PARTS
from infra.local.processes import free_port, start_time_of
from infra.local.state import StateDirectory, write_json

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def state(tmp_path: Path) -> StateDirectory:
    made = StateDirectory(tmp_path / ".onecount")
    made.create()
    return made


@pytest.fixture
def taken() -> Iterator[int]:
    """A port of 127.0.0.1 on which a stranger listens."""
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", 0))
        stranger.listen()
        yield stranger.getsockname()[1]


def missing(findings: list[Finding]) -> list[str]:
    return [finding.what for finding in findings if not finding.ok]


def of_runtime(state: StateDirectory) -> list[Finding]:
    return list(doctor.runtime(state, state.root.parent))


def program(folder: Path, name: str, prints: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{prints}'\n")
    path.chmod(0o755)


def test_this_checkout_has_what_its_tests_run_on() -> None:
    findings = {finding.what: finding for finding in doctor.doctor(ROOT)}

    assert {"Python", "Node", "git", "make", "packages", "state folder", "disk"} <= set(findings)
    assert findings["Python"].ok
    assert findings["packages"].ok, findings["packages"].detail


def test_every_finding_that_is_not_ok_says_what_to_do_and_no_other_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    findings = doctor.doctor(tmp_path)

    assert missing(findings) == ["Node", "git", "make", "packages"]
    assert all(finding.ok is not bool(finding.remedy) for finding in findings)


@pytest.mark.parametrize(
    ("version", "ok"), [((3, 10, 14), False), ((3, 11, 0), True), ((3, 13, 1), True), ((4, 0, 0), True)]
)
def test_python_must_be_3_11_or_newer(version: tuple[int, ...], ok: bool) -> None:
    assert doctor.python(version).ok is ok


@pytest.mark.parametrize(
    ("printed", "ok"), [("v18.20.4", False), ("v20.0.0", True), ("v100.1.0", True), ("nothing", False)]
)
def test_node_must_be_20_or_newer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, printed: str, ok: bool
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    program(tmp_path, "node", printed)

    node = next(finding for finding in doctor.tools() if finding.what == "Node")

    assert (node.ok, node.detail) == (ok, printed)


def test_a_package_of_another_version_and_one_that_is_missing_are_named(tmp_path: Path) -> None:
    pins = tmp_path / "requirements-dev.txt"
    click = metadata.version("click")
    pins.write_text(
        f"click=={click} \\\n    --hash=sha256:00\n    # via us\n"
        "pytest==0.0.1 \\\n    --hash=sha256:00\n"
        "no-such-package==1.0\n"
        "only-elsewhere==1.0 ; sys_platform == 'plan9' \\\n    --hash=sha256:00\n"
    )

    finding = doctor.packages(pins)

    assert not finding.ok
    assert finding.detail == (
        f"pytest {metadata.version('pytest')}, pinned 0.0.1; no-such-package missing, pinned 1.0"
    )
    assert "make setup" in finding.remedy


def test_every_pin_of_the_checkout_is_read() -> None:
    text = (ROOT / "requirements-dev.txt").read_text(encoding="utf-8")
    starts = [line for line in text.splitlines() if line[:1].isalnum()]
    for_this_machine = [line for line in starts if ";" not in line]

    read = dict(doctor.pinned(text))

    assert len(for_this_machine) <= len(read) <= len(starts)
    assert read["ministack"] == metadata.version("ministack")


def test_a_file_where_the_state_should_lie_is_found(tmp_path: Path) -> None:
    (tmp_path / ".onecount").write_text("", encoding="utf-8")

    assert not doctor.state_folder(tmp_path).ok


def test_a_checkout_that_is_not_there_is_found(tmp_path: Path) -> None:
    assert not doctor.state_folder(tmp_path / "gone").ok


def test_a_runtime_that_was_never_started_is_no_fault(tmp_path: Path) -> None:
    assert missing(of_runtime(StateDirectory(tmp_path / ".onecount"))) == []


def test_a_strangers_program_on_the_chosen_port_is_a_fault(state: StateDirectory, taken: int) -> None:
    write_json(state.settings, {"server": taken, "issuer": free_port()})

    assert missing(of_runtime(state)) == ["port"]


def test_every_part_that_has_gone_is_named(state: StateDirectory) -> None:
    write_json(state.settings, {"server": free_port(), "issuer": free_port()})
    write_json(state.pids / "server.json", {"pid": 2**22 + 1, "started": "long ago"})
    own = {"pid": os.getpid(), "started": start_time_of(os.getpid())}
    write_json(state.pids / "pump.json", own)

    assert missing(of_runtime(state)) == ["server", "issuer"]


def test_a_server_that_runs_and_does_not_answer_is_found(state: StateDirectory) -> None:
    own = {"pid": os.getpid(), "started": start_time_of(os.getpid())}
    for part in PARTS:
        write_json(state.pids / f"{part}.json", own)

    assert missing(of_runtime(state)) == ["stacks"]

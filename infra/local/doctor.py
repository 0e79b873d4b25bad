"""``onecount doctor``: what this machine lacks to build, run and test Onecount, each with its remedy.

Nothing is changed and nothing is started. Each check answers one question and is one line; the command exits 1 if
anything is missing. A runtime that is not running is no fault; one that was started and of which a part has gone is.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

from infra.local.clients import client
from infra.local.parts import PARTS, PREFERRED_PORT, answers
from infra.local.processes import Processes, port_is_free
from infra.local.runtime_info import RuntimeInfo
from infra.local.state import FOLDER, StateDirectory, read_json

PYTHON = (3, 11)
NODE = 20
DISK_MEGABYTES = 2_000
STACKS = tuple(f"Onecount-local-{part}" for part in ("Data", "Processing", "Api", "Monitoring"))
_DEPLOYED = ("CREATE_COMPLETE", "UPDATE_COMPLETE")
_SECONDS = 10
_PIN = re.compile(
    r"^(?P<name>[\w.-]+)(?:\[[^]]*])?==(?P<version>[^\s;\\]+)(?:\s*;\s*(?P<marker>[^\\]+?))?\s*\\?$"
)


@dataclass(frozen=True, slots=True)
class Finding:
    """The answer to one check.

    Attributes
    ----------
    what
        What was looked at.
    detail
        What was found.
    remedy
        What to do; empty where all is well.
    """

    what: str
    ok: bool
    detail: str
    remedy: str = ""


def doctor(root: Path) -> list[Finding]:
    """Every finding about the checkout at ``root``, in the order in which to mend them."""
    return [
        python(sys.version_info[:3]),
        *tools(),
        packages(root / "requirements-dev.txt"),
        state_folder(root),
        disk(root),
        *runtime(StateDirectory(root / FOLDER), root),
    ]


def python(version: tuple[int, ...]) -> Finding:
    """Whether the interpreter is new enough."""
    said_version = ".".join(map(str, version))
    if version[:2] >= PYTHON:
        return Finding("Python", True, said_version)
    return Finding(
        "Python",
        False,
        said_version,
        "Install Python 3.11 or newer, then `make clean setup PYTHON=python3.11`.",
    )


def tools() -> Iterator[Finding]:
    """Whether Node, git and make can be run."""
    node = said("node", "--version")
    major = re.match(r"v(\d+)", node)
    if major and int(major[1]) >= NODE:
        yield Finding("Node", True, node)
    else:
        yield Finding(
            "Node", False, node or "not found", f"Install Node {NODE} or newer: the CDK runs on it."
        )
    for tool in ("git", "make"):
        version = said(tool, "--version")
        if version:
            yield Finding(tool, True, version)
        else:
            yield Finding(tool, False, "not found", f"Install {tool} with your system's package manager.")


def said(*command: str) -> str:
    """The first line a program prints; empty if it is not there or fails."""
    if shutil.which(command[0]) is None:
        return ""
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return (ran.stdout.splitlines() or [""])[0].strip()


def packages(pins: Path) -> Finding:
    """Whether this interpreter has exactly the pinned packages."""
    wanted = dict(pinned(pins.read_text(encoding="utf-8"))) if pins.is_file() else {}
    if not wanted:
        return Finding(
            "packages", False, f"{pins.name} is missing or empty", f"Restore it: `git checkout {pins.name}`."
        )
    other = [
        f"{name} {have or 'missing'}, pinned {version}"
        for name, version in wanted.items()
        if (have := _installed(name)) != version
    ]
    if not other:
        return Finding("packages", True, f"all {len(wanted)} pinned packages are installed")
    shown = "; ".join(other[:3]) + (f"; and {len(other) - 3} more" if len(other) > 3 else "")
    return Finding("packages", False, shown, "Install them: `rm -f .venv/.installed && make setup`.")


def pinned(text: str) -> Iterator[tuple[str, str]]:
    """Name and version of every pin of a requirements file that applies to this machine."""
    for line in text.splitlines():
        pin = _PIN.match(line.strip())
        if pin and _applies(pin["marker"]):
            yield pin["name"], pin["version"]


def _applies(marker: str | None) -> bool:
    if marker is None:
        return True
    try:
        from packaging.markers import Marker
    except ImportError:
        return False  # `packaging` is pinned without a marker itself, so that it is missing is found anyway
    return Marker(marker.strip()).evaluate()


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def state_folder(root: Path) -> Finding:
    """Whether the runtime could keep its state."""
    folder = root / FOLDER
    place = folder if folder.exists() else root
    if place.is_dir() and os.access(place, os.W_OK | os.X_OK):
        return Finding("state folder", True, f"{FOLDER} can be written")
    return Finding(
        "state folder", False, f"{place} cannot be written", f"Give this user write access to {place}."
    )


def disk(root: Path) -> Finding:
    """Whether there is room for packages, bundles and state."""
    free = shutil.disk_usage(root).free // 1_000_000
    if free >= DISK_MEGABYTES:
        return Finding("disk", True, f"{free:,} MB free")
    return Finding("disk", False, f"{free:,} MB free", f"Free {DISK_MEGABYTES:,} MB where the checkout lies.")


def runtime(state: StateDirectory, root: Path) -> Iterator[Finding]:
    """Whether the runtime can start; or, where one was started, whether all of it is there."""
    processes = Processes(state, root)
    port = int(read_json(state.settings).get("server", PREFERRED_PORT))
    if not any(processes.was_noted(part) for part in PARTS):
        yield _port(port, chosen=state.settings.exists())
        yield Finding("runtime", True, "not started; `onecount up` starts it")
        return
    for part in PARTS:
        child = processes.find(part)
        if child is None:
            yield Finding(part, False, "was started and has gone", "Start it again: `onecount up`.")
        else:
            yield Finding(part, True, f"running, process {child.pid}")
    info = RuntimeInfo.read(state)
    if processes.find("server") is None:
        yield _port(port, chosen=True)
    elif info is None:
        yield Finding("stacks", False, "not deployed to the end", "Deploy them: `onecount up`.")
    elif not answers(info.endpoint):
        yield Finding(
            "server answers", False, f"{info.endpoint} is silent", "Run `onecount down`, then `onecount up`."
        )
    else:
        yield _stacks(info.endpoint)


def _port(port: int, *, chosen: bool) -> Finding:
    if port_is_free(port):
        return Finding("port", True, f"{port} is free")
    if not chosen:
        return Finding("port", True, f"{port} is taken; `onecount up` will take another one")
    return Finding(
        "port",
        False,
        f"{port} is taken by another program, and this runtime's URLs name it",
        "Stop that program, or start afresh on another port: `onecount down --wipe`, then `onecount up`.",
    )


def _stacks(endpoint: str) -> Finding:
    try:
        described = client("cloudformation", endpoint).describe_stacks()["Stacks"]
    except (BotoCoreError, ClientError) as error:
        return Finding("stacks", False, str(error), "Run `onecount down`, then `onecount up`.")
    found = {stack["StackName"]: stack["StackStatus"] for stack in described}
    wrong = [f"{name}: {found.get(name, 'missing')}" for name in STACKS if found.get(name) not in _DEPLOYED]
    if wrong:
        return Finding("stacks", False, "; ".join(wrong), "Deploy them: `onecount up`.")
    return Finding("stacks", True, f"all {len(STACKS)} deployed at {endpoint}")

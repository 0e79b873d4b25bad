"""The synthesized templates: made once for each state of the sources, read as plain data.

Importing the CDK and synthesizing takes 6-10 s, so an assembly is kept under the hash of everything it is made
from. What differs from one runtime to the next (ports, the issuer's address) is not in it: the app is synthesized
with the placeholder addresses below, and the deployer puts the real ones in.

    python -m infra.local.assembly OUTDIR NETWORK     synthesize the stage `local`
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.local.state import LocalRuntimeError

PLACEHOLDER_ISSUER = "http://issuer.onecount.invalid"
AUDIENCE = "onecount"
KEPT_ASSEMBLIES = 4
_SOURCES = ("functions", "shared", "infra/app.py", "infra/stacks", "infra/building_blocks", "cdk.json")
_PINS = ("requirements.txt", "requirements-dev.txt")


@dataclass(frozen=True, slots=True)
class Asset:
    """A file or folder that a template refers to in the assets bucket."""

    path: Path
    zipped: bool
    bucket: str
    key: str


@dataclass(frozen=True, slots=True)
class Stack:
    """One template, and the names of the stacks whose exports it imports."""

    name: str
    template: dict[str, Any]
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Assembly:
    """What is deployed together. ``digest`` changes when, and only when, something to deploy may have changed."""

    stacks: tuple[Stack, ...]
    assets: tuple[Asset, ...]
    digest: str

    def in_order(self) -> list[Stack]:
        """The stacks, each after those it needs."""
        by_name = {stack.name: stack for stack in self.stacks}
        ordered: dict[str, Stack] = {}

        def place(stack: Stack) -> None:
            for name in stack.needs:
                if name in by_name and name not in ordered:
                    place(by_name[name])
            ordered.setdefault(stack.name, stack)

        for stack in self.stacks:
            place(stack)
        return list(ordered.values())

    @classmethod
    def read(cls, folder: Path, digest: str) -> Assembly:
        """Read a CDK cloud assembly."""
        artifacts: dict[str, Any] = json.loads((folder / "manifest.json").read_text())["artifacts"]
        names = {
            artifact: described["properties"].get("stackName", artifact)
            for artifact, described in artifacts.items()
            if described["type"] == "aws:cloudformation:stack"
        }
        stacks = tuple(
            Stack(
                name,
                json.loads((folder / artifacts[artifact]["properties"]["templateFile"]).read_text()),
                tuple(names[one] for one in artifacts[artifact].get("dependencies", []) if one in names),
            )
            for artifact, name in names.items()
        )
        manifests = [
            described["properties"]["file"]
            for described in artifacts.values()
            if described["type"] == "cdk:asset-manifest"
        ]
        assets = {asset.key: asset for manifest in manifests for asset in _assets_of(folder, manifest)}
        return cls(stacks, tuple(assets.values()), digest)


def _assets_of(folder: Path, manifest: str) -> Iterable[Asset]:
    for described in json.loads((folder / manifest).read_text()).get("files", {}).values():
        path = folder / described["source"]["path"]
        if path.name.endswith(".template.json"):
            continue
        zipped = described["source"]["packaging"] == "zip"
        for destination in described["destinations"].values():
            yield Asset(path, zipped, destination["bucketName"], destination["objectKey"])


def source_digest(root: Path, network: Path) -> str:
    """The hash of every file that a local deployment is made from."""
    digest = hashlib.sha256()
    for path in sorted(_files(root), key=str):
        digest.update(str(path.relative_to(root)).encode() + b"\0")
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    digest.update(hashlib.sha256(network.read_bytes()).digest())
    return digest.hexdigest()[:24]


def _files(root: Path) -> Iterable[Path]:
    for name in (*_SOURCES, *_PINS):
        place = root / name
        if place.is_file():
            yield place
        for path in place.rglob("*") if place.is_dir() else ():
            if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc":
                yield path


def synthesize(root: Path, cache: Path, network: Path) -> Assembly:
    """The assembly of the present sources: from the cache, or made now.

    Raises
    ------
    LocalRuntimeError
        If the network file is missing or the app cannot be synthesized; carries what it said.
    """
    if not network.is_file():
        raise LocalRuntimeError(f"the network file {network} does not exist.", "Name another with --network.")
    digest = source_digest(root, network)
    kept = cache / digest
    if not (kept / "manifest.json").exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix=".making-") as making:
            _run_app(root, Path(making) / "out", network)
            try:
                os.replace(Path(making) / "out", kept)
            except OSError:
                # Another process made the same one meanwhile.
                if not (kept / "manifest.json").exists():
                    raise
        _forget_old(cache, kept)
    os.utime(kept)
    return Assembly.read(kept, digest)


def _run_app(root: Path, outdir: Path, network: Path) -> None:
    made = subprocess.run(
        [sys.executable, "-m", "infra.local.assembly", str(outdir), str(network)],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode != 0:
        said = "\n".join((made.stderr or made.stdout).splitlines()[-25:])
        raise LocalRuntimeError(
            f"the templates could not be synthesized:\n{said}\n",
            "`onecount doctor` checks Node and the packages.",
        )


def _forget_old(cache: Path, keep: Path) -> None:
    made = sorted(
        (path for path in cache.iterdir() if path != keep and not path.name.startswith(".")),
        key=lambda path: path.stat().st_mtime,
    )
    for path in made[: max(0, len(made) - KEPT_ASSEMBLIES + 1)]:
        shutil.rmtree(path, ignore_errors=True)


def main(arguments: Sequence[str]) -> None:
    """Synthesize the stage `local`; in a process of its own, since the CDK is slow to import and starts Node."""
    from infra.app import build_app

    outdir, network = arguments
    build_app(
        stage="local",
        network=Path(network),
        outdir=Path(outdir),
        issuer=PLACEHOLDER_ISSUER,
        audience=AUDIENCE,
        jwks_url=f"{PLACEHOLDER_ISSUER}/.well-known/jwks.json",
    ).synth()


if __name__ == "__main__":
    main(sys.argv[1:])

"""What is in the packages that go to Lambda, built without Docker.

    function asset   functions/__init__.py, functions/<name>/**          and nothing else
    layer asset      python/shared/**, python/<third-party packages>     one for all functions

``/var/task`` (the function) precedes ``/opt/python`` (the layer) on the path, so a stray ``shared/`` in a function's
asset would silently shadow the layer's: a function's asset is copied file by file, never the tree.

Third-party wheels are fetched for Lambda's platform, not this machine's, from the hashed pins of
``requirements.txt``. boto3 is not among them because the Lambda runtime ships it. In stage ``local`` the layer
holds ``shared/`` alone: the embedded runtime runs functions under the project's own ``.venv``, which has the same
pins for the host's platform.

Asset hashes are over sources, pins and recipe, never over pip's output, so an unchanged tree is an unchanged asset.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import jsii
from aws_cdk import AssetHashType, BundlingOptions, DockerImage, ILocalBundling
from aws_cdk import aws_lambda as lambda_

from infra.building_blocks.stage import Stage

ROOT = Path(__file__).resolve().parents[2]
PYTHON_VERSION = "3.13"
# Amazon Linux 2023, Lambda's base for Python 3.13, has glibc 2.34.
PLATFORMS = ("manylinux2014_aarch64", *(f"manylinux_2_{minor}_aarch64" for minor in range(18, 35)))
_NOISE = shutil.ignore_patterns("__pycache__", "*.pyc", "*.pyo", "tests")


class MissingFunctionError(FileNotFoundError):
    """The folder of a function that the stacks deploy is not there."""

    def __init__(self, handler: Path) -> None:
        super().__init__(
            f"{handler} does not exist; write it, or take the function out of the processing stack"
        )


class WheelsError(RuntimeError):
    """pip could not fetch the pinned wheels for Lambda; carries what pip said."""

    def __init__(self, said: str) -> None:
        super().__init__(
            f"requirements.txt: pip found no wheels for Python {PYTHON_VERSION} on arm64: {said.strip()}; "
            "check the network, or run `make lock` and look for a package without such a wheel"
        )


@jsii.implements(ILocalBundling)
class _FunctionBundle:
    """Copies one function's folder."""

    def __init__(self, name: str) -> None:
        self._name = name

    def try_bundle(self, output_dir: str, *_: object, **__: object) -> bool:
        target = Path(output_dir) / "functions"
        target.mkdir()
        shutil.copy2(ROOT / "functions" / "__init__.py", target)
        shutil.copytree(ROOT / "functions" / self._name, target / self._name, ignore=_NOISE)
        return True


@jsii.implements(ILocalBundling)
class _LayerBundle:
    """Copies ``shared/``, and installs the pinned wheels for Lambda's platform beside it."""

    def __init__(self, *, with_dependencies: bool) -> None:
        self._with_dependencies = with_dependencies

    def try_bundle(self, output_dir: str, *_: object, **__: object) -> bool:
        target = Path(output_dir) / "python"
        shutil.copytree(ROOT / "shared", target / "shared", ignore=_NOISE)
        if self._with_dependencies:
            _install_wheels(target)
        return True


def function_code(name: str, *, required: bool) -> lambda_.Code:
    """Return the asset of ``functions/<name>``.

    Parameters
    ----------
    required
        False where bundling is skipped (template tests), so that a template can be made without the code.

    Raises
    ------
    MissingFunctionError
    """
    handler = ROOT / "functions" / name / "handler.py"
    if required and not handler.is_file():
        raise MissingFunctionError(handler.relative_to(ROOT))
    sources = [ROOT / "functions" / "__init__.py", *_files(ROOT / "functions" / name)]
    return _asset(ROOT / "functions", f"function {name}", _FunctionBundle(name), sources)


def layer_code(stage: Stage) -> lambda_.Code:
    """Return the asset of the one layer: our ``shared`` package and what it needs on Lambda."""
    with_dependencies = not stage.is_local
    sources = _files(ROOT / "shared")
    if with_dependencies:
        sources = [ROOT / "requirements.txt", *sources]
    recipe = " ".join(("layer", *_pip_arguments())) if with_dependencies else "layer without dependencies"
    return _asset(ROOT / "shared", recipe, _LayerBundle(with_dependencies=with_dependencies), sources)


def _asset(path: Path, recipe: str, bundle: ILocalBundling, sources: Iterable[Path]) -> lambda_.Code:
    # Assets of one path whose options differ in ``local`` alone collapse into one: ``command`` tells them apart.
    return lambda_.Code.from_asset(
        str(path),
        asset_hash=_hash(recipe, sources),
        asset_hash_type=AssetHashType.CUSTOM,
        bundling=BundlingOptions(
            image=DockerImage.from_registry("onecount/bundled-without-docker"), command=[recipe], local=bundle
        ),
    )


def _files(folder: Path) -> list[Path]:
    ignored = {"__pycache__", "tests"}
    return sorted(
        file
        for file in folder.rglob("*")
        if file.is_file() and not ignored & set(file.relative_to(folder).parts) and file.suffix != ".pyc"
    )


def _hash(recipe: str, sources: Iterable[Path]) -> str:
    digest = hashlib.sha256(recipe.encode())
    for source in sources:
        content = source.read_bytes()
        digest.update(f"\0{source.relative_to(ROOT).as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def _pip_arguments() -> Sequence[str]:
    platforms = [argument for tag in PLATFORMS for argument in ("--platform", tag)]
    return (
        *("--require-hashes", "--no-deps", "--only-binary=:all:", "--no-compile"),
        *("--implementation", "cp", "--python-version", PYTHON_VERSION),
        *platforms,
    )


def _install_wheels(target: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    command = [*pip, *_pip_arguments(), "--target", str(target), "-r", str(ROOT / "requirements.txt")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise WheelsError(done.stderr)
    shutil.rmtree(target / "bin", ignore_errors=True)  # console scripts of this machine's interpreter

"""What goes to Lambda, really built for arm64: every handler, every import it needs, and nothing that shadows."""

from __future__ import annotations

import ast
import io
import json
import struct
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.app import build_app
from infra.building_blocks.bundling import ROOT, MissingFunctionError, function_code
from tests.infra.templates import Templates

SHIPPED_BY_LAMBDA = {"boto3", "botocore", "urllib3"}
OURS = {"functions", "shared"}
ELF_MACHINE_AARCH64 = 183
MAX_ZIPPED_BYTES = 10_000_000


class Bundles:
    """The assets of one synthesized stage: a folder for each function, and the layer's."""

    def __init__(self, folder: Path) -> None:
        templates = Templates.read(folder)
        (manifest,) = folder.glob("Onecount-*-Processing.assets.json")
        sources: dict[str, Path] = {
            id_: folder / asset["source"]["path"]
            for id_, asset in json.loads(manifest.read_text())["files"].items()
        }

        def source(key: str) -> Path:
            return sources[key.removesuffix(".zip")]

        self.functions = {
            name: source(properties["Code"]["S3Key"]) for name, properties in templates.functions().items()
        }
        (layer,) = templates.resources("AWS::Lambda::LayerVersion").values()
        self.layer = source(layer["Content"]["S3Key"])


def bundles(stage: str, network_file: Path, folder: Path) -> Bundles:
    build_app(stage=stage, network=network_file, outdir=folder).synth()
    return Bundles(folder)


@pytest.fixture(scope="module")
def dev_bundles(network_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundles:
    return bundles("dev", network_file, tmp_path_factory.mktemp("bundled-dev"))


@pytest.fixture(scope="module")
def local_bundles(network_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundles:
    return bundles("local", network_file, tmp_path_factory.mktemp("bundled-local"))


def files(folder: Path) -> set[str]:
    return {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}


def third_party_imports(*folders: Path) -> set[str]:
    """Return the packages imported at run time that are neither ours, nor Python's, nor Lambda's."""
    found = set()
    for folder in folders:
        for file in folder.rglob("*.py"):
            found |= {
                name.partition(".")[0] for name in imported(ast.parse(file.read_text(encoding="utf-8")))
            }
    return found - OURS - SHIPPED_BY_LAMBDA - set(sys.stdlib_module_names)


def imported(node: ast.AST) -> Iterator[str]:
    """Yield what is imported below ``node``, but for what only the type checker sees."""
    match node:
        case ast.If(test=ast.Name(id="TYPE_CHECKING"), orelse=otherwise):
            children: list[ast.AST] = list(otherwise)
        case ast.Import(names=names):
            yield from (name.name for name in names)
            return
        case ast.ImportFrom(module=str(module), level=0):
            yield module
            return
        case _:
            children = list(ast.iter_child_nodes(node))
    for child in children:
        yield from imported(child)


def zipped_bytes(folder: Path) -> int:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files(folder)):
            archive.write(folder / name, name)
    return buffer.tell()


def test_every_function_asset_has_its_handler_and_nothing_of_others(dev_bundles: Bundles) -> None:
    for name, folder in dev_bundles.functions.items():
        packed = files(folder)
        assert f"functions/{name}/handler.py" in packed
        assert "functions/__init__.py" in packed
        strangers = {file for file in packed if not file.startswith(f"functions/{name}/")}
        assert strangers == {"functions/__init__.py"}


def test_every_function_has_an_asset_of_its_own(dev_bundles: Bundles) -> None:
    assert len(set(dev_bundles.functions.values())) == len(dev_bundles.functions)


def test_no_function_asset_shadows_the_layer(dev_bundles: Bundles) -> None:
    for folder in dev_bundles.functions.values():
        assert not any("shared" in Path(file).parts for file in files(folder))


def test_the_layer_has_our_whole_shared_package(dev_bundles: Bundles) -> None:
    ours = {
        f"python/shared/{file.relative_to(ROOT / 'shared').as_posix()}"
        for file in (ROOT / "shared").rglob("*.py")
    }
    assert ours <= files(dev_bundles.layer)


def test_the_layer_has_every_package_that_our_code_imports(dev_bundles: Bundles) -> None:
    needed = third_party_imports(ROOT / "shared", ROOT / "functions")
    assert "pydantic" in needed
    packed = {entry.name.partition(".")[0] for entry in (dev_bundles.layer / "python").iterdir()}
    assert needed - packed == set()


def test_compiled_packages_are_for_lambdas_processor_and_python(dev_bundles: Bundles) -> None:
    libraries = sorted(dev_bundles.layer.rglob("*.so"))
    assert libraries
    for library in libraries:
        (machine,) = struct.unpack_from("<H", library.read_bytes()[:20], 18)
        assert machine == ELF_MACHINE_AARCH64, library.name
        if ".cpython-" in library.name:
            assert ".cpython-313-" in library.name


def test_no_asset_carries_leftovers_of_this_machine(dev_bundles: Bundles) -> None:
    for folder in (dev_bundles.layer, *dev_bundles.functions.values()):
        assert not [file for file in files(folder) if "__pycache__" in file or file.endswith(".pyc")]
    assert not (dev_bundles.layer / "python" / "bin").exists()


def test_a_function_with_its_layer_stays_below_ten_megabytes(dev_bundles: Bundles) -> None:
    largest_function = max(zipped_bytes(folder) for folder in dev_bundles.functions.values())
    assert zipped_bytes(dev_bundles.layer) + largest_function < MAX_ZIPPED_BYTES


def test_on_the_local_runtime_the_layer_is_our_package_alone(local_bundles: Bundles) -> None:
    assert {entry.name for entry in (local_bundles.layer / "python").iterdir()} == {"shared"}


def test_a_function_is_the_same_asset_in_every_stage(dev_bundles: Bundles, local_bundles: Bundles) -> None:
    dev, local = dev_bundles.functions, local_bundles.functions
    assert {name: folder.name for name, folder in dev.items()} == {
        name: folder.name for name, folder in local.items()
    }


def test_a_function_without_its_folder_is_named() -> None:
    with pytest.raises(MissingFunctionError, match=r"functions/no_such_function/handler\.py does not exist"):
        function_code("no_such_function", required=True)

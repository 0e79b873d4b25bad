"""Assemblies: read as data, ordered by need, made again when and only when a source changed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from infra.local.assembly import Assembly, Stack, source_digest, synthesize
from infra.local.deployment import DeploymentError, zip_folder
from infra.local.state import LocalRuntimeError


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    write(tmp_path / "functions" / "push" / "handler.py", "def handle(event, context): ...\n")
    write(tmp_path / "infra" / "app.py", "")
    write(tmp_path / "network.yaml", "sources: {}\n")
    return tmp_path


def test_stacks_follow_those_they_need() -> None:
    stacks = (
        Stack("Api", {}, ("Processing",)),
        Stack("Processing", {}, ("Data", "elsewhere")),
        Stack("Data", {}),
    )

    ordered = [stack.name for stack in Assembly(stacks, (), "d").in_order()]

    assert ordered == ["Data", "Processing", "Api"]


def test_a_cloud_assembly_is_read_with_its_order_and_its_assets(tmp_path: Path) -> None:
    write(tmp_path / "Data.template.json", '{"Resources": {}}')
    write(tmp_path / "Api.template.json", '{"Resources": {"R": {"Type": "T"}}}')
    files = {
        "code": {
            "source": {"path": "asset.1", "packaging": "zip"},
            "destinations": {"here": {"bucketName": "bucket", "objectKey": "1.zip"}},
        },
        "template": {
            "source": {"path": "Api.template.json", "packaging": "file"},
            "destinations": {"here": {"bucketName": "bucket", "objectKey": "template.json"}},
        },
    }
    write(tmp_path / "Api.assets.json", json.dumps({"files": files}))
    stack = "aws:cloudformation:stack"
    manifest = {
        "Api": {
            "type": stack,
            "properties": {"templateFile": "Api.template.json"},
            "dependencies": ["Data", "Api.assets"],
        },
        "Data": {
            "type": stack,
            "properties": {"templateFile": "Data.template.json", "stackName": "real-data"},
        },
        "Api.assets": {"type": "cdk:asset-manifest", "properties": {"file": "Api.assets.json"}},
        "Tree": {"type": "cdk:tree", "properties": {"file": "tree.json"}},
    }
    write(tmp_path / "manifest.json", json.dumps({"artifacts": manifest}))

    assembly = Assembly.read(tmp_path, "digest")

    assert [stack.name for stack in assembly.in_order()] == ["real-data", "Api"]
    assert [(asset.key, asset.zipped) for asset in assembly.assets] == [("1.zip", True)]


@pytest.mark.parametrize(
    ("changed", "matters"),
    [
        ("functions/push/handler.py", True),
        ("shared/domain/new.py", True),
        ("infra/stacks/data.py", True),
        ("requirements.txt", True),
        ("network.yaml", True),
        ("infra/local/runtime.py", False),
        ("infra/cli/app.py", False),
        ("tests/test_x.py", False),
        ("functions/push/__pycache__/handler.cpython-311.pyc", False),
    ],
)
def test_the_digest_follows_what_is_deployed_and_nothing_else(
    checkout: Path, changed: str, matters: bool
) -> None:
    before = source_digest(checkout, checkout / "network.yaml")

    write(checkout / changed, "other\n")

    assert (source_digest(checkout, checkout / "network.yaml") != before) is matters


def test_moving_code_to_another_file_changes_the_digest(checkout: Path) -> None:
    before = source_digest(checkout, checkout / "network.yaml")

    (checkout / "functions" / "push" / "handler.py").rename(checkout / "functions" / "push" / "other.py")

    assert source_digest(checkout, checkout / "network.yaml") != before


def test_a_network_file_that_is_not_there_is_named(checkout: Path) -> None:
    with pytest.raises(LocalRuntimeError, match=r"absent\.yaml does not exist"):
        synthesize(checkout, checkout / "cache", checkout / "absent.yaml")


def test_an_app_that_fails_says_why_and_leaves_nothing_behind(checkout: Path) -> None:
    write(checkout / "infra" / "__init__.py", "raise SystemExit('no such construct')\n")

    with pytest.raises(LocalRuntimeError, match="no such construct"):
        synthesize(checkout, checkout / "cache", checkout / "network.yaml")

    assert list((checkout / "cache").iterdir()) == []


class TestZippedCode:
    def test_it_depends_on_the_content_alone(self, tmp_path: Path) -> None:
        for name in ("one", "two"):
            write(tmp_path / name / "b.txt", "b")
            write(tmp_path / name / "python" / "a.py", "A = 1\n")
        write(tmp_path / "two" / "python" / "__pycache__" / "a.cpython-999.pyc", "stale")

        assert zip_folder(tmp_path / "one") == zip_folder(tmp_path / "two")

    def test_code_that_does_not_compile_is_named(self, tmp_path: Path) -> None:
        write(tmp_path / "handler.py", "def handle(:\n")

        with pytest.raises(DeploymentError, match=r"handler\.py is not valid Python"):
            zip_folder(tmp_path)

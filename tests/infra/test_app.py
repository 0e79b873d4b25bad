"""The app refuses what it cannot deploy, and what nobody has looked at."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from aws_cdk import Stack
from aws_cdk import aws_sqs as sqs

from infra.app import NoNetworkError, build_app
from infra.building_blocks.bundling import ROOT
from infra.building_blocks.deployment import ConnectedSystems, NetworkFileError
from infra.building_blocks.stage import UnknownStageError
from tests.infra.templates import Templates


@pytest.mark.parametrize("stage", ["local", "dev", "prod"])
def test_cdk_nag_has_no_finding_that_nobody_acknowledged(
    synthesized: Callable[[str], Path], stage: str
) -> None:
    report = json.loads((synthesized(stage) / "validation-report.json").read_text())
    violations = [violation for plugin in report["pluginReports"] for violation in plugin["violations"]]
    assert violations == []


def test_a_finding_that_nobody_acknowledged_fails_synthesis(network_file: Path, tmp_path: Path) -> None:
    app = build_app(stage="dev", network=network_file, outdir=tmp_path, bundling=False)
    sqs.Queue(Stack(app, "Unseen"), "QueueWithoutDeadLetters")
    with pytest.raises(RuntimeError, match="ValidationFailed"):
        app.synth()
    report = json.loads((tmp_path / "validation-report.json").read_text())
    found = {v["ruleName"] for plugin in report["pluginReports"] for v in plugin["violations"]}
    assert {"AwsSolutions-SQS3", "AwsSolutions-SQS4"} <= found


def test_every_acknowledged_finding_has_a_reason_of_its_own_words(synthesized: Callable[[str], Path]) -> None:
    reasons = []
    for file in synthesized("prod").glob("*.metadata.json"):
        for entries in json.loads(file.read_text()).values():
            reasons += [e["data"] for e in entries if "acknowledge" in e["type"].lower()]
    assert reasons
    assert all(len(json.dumps(reason)) > 60 for reason in reasons)


def test_a_stage_is_named_after_itself_throughout(dev: Templates, prod: Templates) -> None:
    assert all("-prod-" in name for name in prod.queue_names().values())
    assert all("-dev-" in name for name in dev.queue_names().values())


def test_an_issuer_that_context_does_not_name_must_be_named_when_deploying(
    network_file: Path, tmp_path: Path
) -> None:
    build_app(stage="prod", network=network_file, outdir=tmp_path, bundling=False).synth()
    template = Templates.read(tmp_path).stacks["Processing"]
    for name in ("Issuer", "Audience", "JwksUrl"):
        assert "Default" not in template["Parameters"][name]
        assert template["Parameters"][name]["MinLength"] == 1


def test_an_unknown_stage_is_refused(network_file: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownStageError, match="'staging' is not one of local, dev, prod"):
        build_app(stage="staging", network=network_file, outdir=tmp_path, bundling=False)


@pytest.mark.parametrize("stage", ["dev", "prod"])
def test_a_stage_on_aws_is_never_deployed_with_the_demos_network_by_default(
    tmp_path: Path, stage: str
) -> None:
    context = json.loads((ROOT / "cdk.json").read_text())["context"]
    with pytest.raises(NoNetworkError, match=f"stage {stage} .*-c network=<your network.yaml>"):
        build_app(stage=stage, outdir=tmp_path, bundling=False, context=context)


@pytest.mark.parametrize(
    ("context", "said"),
    [
        (["stage=staging"], "error: stage: 'staging' is not one of local, dev, prod"),
        (["stage=prod"], "error: stage prod "),
        (["stage=prod", "network=nowhere.yaml"], "nowhere.yaml: file: it does not exist"),
        (["stage=prod", "network=tests/fixtures/misspelt_network.yaml"], "channels.shop.safty_stock"),
    ],
)
def test_on_the_command_line_a_refusal_is_one_line(tmp_path: Path, context: list[str], said: str) -> None:
    arguments = [part for pair in context for part in ("-c", pair)]
    ran = subprocess.run(  # noqa: S603 - our own app
        [sys.executable, "-m", "infra.app", *arguments],
        cwd=ROOT,
        env={
            **os.environ,
            "CDK_OUTDIR": str(tmp_path),
            "JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": "20",
        },
        capture_output=True,
        text=True,
        check=False,
    )

    assert ran.returncode == 1
    lines = [line for line in ran.stderr.splitlines() if not line.startswith("b'!!")]
    assert len(lines) == 1
    assert said in lines[0]


def test_a_missing_network_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(NetworkFileError, match=r"nowhere\.yaml: file: it does not exist"):
        ConnectedSystems.read(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("sources: [shop]", "sources: it is not a mapping of ids"),
        ("channels: {Shop EU: {}}", "channels.Shop EU: an id names queues and secrets"),
        ("sources: {17: {}}", "sources.17: an id names queues and secrets"),
        ("sources: {shop: {}", "file: it is not readable YAML"),
        ("- shop", "file: it is not a mapping"),
        (
            json.dumps({"channels": {f"channel-number-{n:020}": {} for n in range(30)}}),
            "channels: 30 channels have more queue names than a function's environment",
        ),
    ],
)
def test_a_bad_network_file_is_refused_with_field_and_remedy(
    tmp_path: Path, content: str, complaint: str
) -> None:
    path = tmp_path / "network.yaml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(NetworkFileError) as refused:
        ConnectedSystems.read(path)
    assert complaint in str(refused.value)
    assert ";" in str(refused.value)


def test_a_network_without_channels_needs_none(tmp_path: Path) -> None:
    path = tmp_path / "network.yaml"
    path.write_text("sources: {shop: {}}\nlocations: {}\n", encoding="utf-8")
    assert ConnectedSystems.read(path) == ConnectedSystems(sources=("shop",), channels=())

"""Each function is told what its settings model asks for, and may do that and no more."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from shared.runtime import settings
from tests.infra.templates import Templates

MODELS: dict[str, type[settings.Settings]] = {
    re.sub(r"(?<!^)(?=[A-Z])", "_", model.__name__.removesuffix("Settings")).lower(): model
    for model in settings.Settings.__subclasses__()
}
FUNCTIONS = sorted(MODELS)
INLINE_POLICY_CHARACTERS = 10_240


def environment(templates: Templates, function: str) -> dict[str, Any]:
    variables: dict[str, Any] = templates.functions()[function]["Environment"]["Variables"]
    assert all(name.startswith("ONECOUNT_") for name in variables)
    return {name.removeprefix("ONECOUNT_").lower(): value for name, value in variables.items()}


def test_every_settings_model_has_its_function_and_every_function_its_model(prod: Templates) -> None:
    assert set(prod.functions()) == set(MODELS)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_functions_environment_is_what_its_settings_model_asks_for(prod: Templates, function: str) -> None:
    fields = MODELS[function].model_fields
    told = set(environment(prod, function))
    assert told <= set(fields)
    assert {name for name, field in fields.items() if field.is_required()} <= told


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_functions_settings_can_be_read_from_its_environment(prod: Templates, function: str) -> None:
    variables = prod.functions()[function]["Environment"]["Variables"]
    deployed = {
        n: value if isinstance(value, str) else "known-when-deployed" for n, value in variables.items()
    }
    assert MODELS[function].read(deployed).stage == "prod"


def test_who_collects_and_redrives_failures_knows_every_queue_where_they_end(prod: Templates) -> None:
    names = set(prod.queue_names().values())
    dead = {name for name in names if name.endswith("-dead")}
    for function in ("collect_failures", "inventory_api"):
        assert set(json.loads(environment(prod, function)["dead_letter_queues"])) == dead
    reported = set(json.loads(environment(prod, "collect_failures")["stream_failure_queues"]))
    assert reported == {name for name in names if name.endswith("-failures")}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_runs_on_the_agreed_runtime_traced_from_its_own_folder(
    prod: Templates, function: str
) -> None:
    properties = prod.functions()[function]
    assert properties["Runtime"] == "python3.13"
    assert properties["Architectures"] == ["arm64"]
    assert properties["TracingConfig"] == {"Mode": "Active"}
    assert properties["Handler"] == f"functions.{function}.handler.handle"
    assert properties["FunctionName"] == f"onecount-prod-{function.replace('_', '-')}"
    assert len(properties["Layers"]) == 1


def test_every_log_is_encrypted_and_expires(prod: Templates) -> None:
    groups = prod.resources("AWS::Logs::LogGroup")
    for id_, group in groups.items():
        assert group["RetentionInDays"] > 0
        assert prod.referent(id_.stack, group["KmsKeyId"]) in prod.resources("AWS::KMS::Key")
    own = {prod.referent("Processing", f["LoggingConfig"]["LogGroup"]) for f in prod.functions().values()}
    assert own <= set(groups)
    assert len(own) == len(MODELS)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_no_function_has_a_wildcard_action(prod: Templates, function: str) -> None:
    assert [right.action for right in prod.rights(function) if "*" in right.action] == []


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_roles_rights_fit_into_what_iam_stores_whatever_the_number_of_channels(
    prod: Templates, function: str
) -> None:
    role = prod.referent("Processing", prod.functions()[function]["Role"])
    assert role is not None
    (policy,) = [
        policy["PolicyDocument"]
        for policy in prod.resources("AWS::IAM::Policy").values()
        if {"Ref": role.logical_id} in policy["Roles"]
    ]
    # A template's references are longer than the ARNs that they become, so this is an upper bound.
    assert len(json.dumps(policy, separators=(",", ":"))) < INLINE_POLICY_CHARACTERS
    assert "partner-feed" not in json.dumps(policy)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_only_tracing_is_allowed_on_everything(prod: Templates, function: str) -> None:
    unbounded = {right.action for right in prod.rights(function) if json.loads(right.resource) == "*"}
    assert unbounded == {"xray:PutTelemetryRecords", "xray:PutTraceSegments"}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_reaches_exactly_the_tables_it_is_told_of(prod: Templates, function: str) -> None:
    told = {
        prod.referent("Processing", value)
        for name, value in environment(prod, function).items()
        if name.endswith("_table")
    }
    assert prod.reached(function, "dynamodb") == told


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_reaches_exactly_the_buckets_it_is_told_of(prod: Templates, function: str) -> None:
    told = {name.removesuffix("_bucket") for name in environment(prod, function) if name.endswith("_bucket")}
    objects = [right.resource for right in prod.rights(function) if right.action.startswith("s3:")]
    assert {re.findall(r":s3:::onecount-prod-(\w+)-", resource)[0] for resource in objects} == told


@pytest.mark.parametrize("function", FUNCTIONS)
def test_whoever_touches_encrypted_data_may_use_the_key_only_through_its_store(
    prod: Templates, function: str
) -> None:
    role = prod.referent("Processing", prod.functions()[function]["Role"])
    assert role is not None
    conditions = [
        statement.get("Condition")
        for policy in prod.resources("AWS::IAM::Policy").values()
        if {"Ref": role.logical_id} in policy["Roles"]
        for statement in policy["PolicyDocument"]["Statement"]
        if "kms:" in json.dumps(statement["Action"])
    ]
    services = {
        condition["StringEquals"]["kms:ViaService"]["Fn::Join"][1][0].rstrip(".") for condition in conditions
    }
    touched = {right.action.partition(":")[0] for right in prod.rights(function)} - {"kms", "logs", "xray"}
    if "archive_bucket" not in environment(prod, function):
        touched -= {"s3"}  # the drop bucket has S3's own key
    assert services == touched


def test_only_those_who_speak_for_a_system_read_its_secret(prod: Templates) -> None:
    readers: dict[str, set[str]] = {"source": set(), "channel": set()}
    for function in FUNCTIONS:
        for right in prod.rights(function):
            if right.action == "secretsmanager:GetSecretValue":
                (kind,) = re.findall(r":secret:onecount/prod/(\w+)/\*", right.resource)
                readers[kind].add(function)
    assert readers == {
        "source": {"receive_webhook"},
        "channel": {"push_channel"},
    }


def actions_on_lanes(templates: Templates, function: str) -> set[str]:
    return {right.action for right in templates.rights(function) if "onecount-prod-push-*" in right.resource}


def test_whoever_hints_at_a_change_may_send_to_the_channels_queues(prod: Templates) -> None:
    senders = {function for function in FUNCTIONS if "sqs:SendMessage" in actions_on_lanes(prod, function)}
    assert senders == {"fan_out_changes", "push_channel", "collect_failures", "inventory_api"}


def test_only_operators_calls_may_start_a_native_redrive(prod: Templates) -> None:
    starters = {
        function
        for function in FUNCTIONS
        for right in prod.rights(function)
        if right.action == "sqs:StartMessageMoveTask"
    }
    assert starters == {"inventory_api"}


def test_no_function_reads_a_whole_table(prod: Templates) -> None:
    assert [f for f in FUNCTIONS if any(right.action == "dynamodb:Scan" for right in prod.rights(f))] == []


def test_only_an_operators_call_changes_master_data(prod: Templates) -> None:
    writers = {
        function
        for function in FUNCTIONS
        for right in prod.rights(function)
        if right.action == "dynamodb:PutItem"
        and (reached := prod.referent("Processing", json.loads(right.resource))) is not None
        and reached.logical_id.startswith("registryTable")
    }
    assert writers == {"inventory_api"}

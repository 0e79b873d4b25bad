"""What is taken out of a template for the local runtime: only what is listed, and nothing that hangs in the air."""

from __future__ import annotations

from typing import Any

import pytest
from ministack.services.cloudformation.provisioners import _RESOURCE_HANDLERS

from infra.local.adaptation import NOT_LOCAL, adapt


def template(**resources: dict[str, Any]) -> dict[str, Any]:
    return {"Resources": resources}


@pytest.mark.parametrize("kind", sorted(NOT_LOCAL))
def test_every_listed_type_is_really_unknown_to_the_runtime(kind: str) -> None:
    assert kind not in _RESOURCE_HANDLERS


def test_a_listed_type_goes_with_the_outputs_and_dependencies_that_name_it() -> None:
    given = template(
        Gone={"Type": "AWS::WAFv2::WebACLAssociation", "Properties": {}},
        Kept={"Type": "AWS::SQS::Queue", "DependsOn": ["Gone", "Other"]},
        Alone={"Type": "AWS::SQS::Queue", "DependsOn": "Gone"},
        Other={"Type": "AWS::SQS::Queue"},
    ) | {
        "Outputs": {
            "Named": {"Value": {"Ref": "Gone"}},
            "Joined": {"Value": {"Fn::Join": ["", ["x", {"Fn::GetAtt": ["Gone", "Arn"]}]]}},
            "Kept": {"Value": {"Ref": "Kept"}},
        }
    }

    adapted = adapt(given, {})

    assert set(adapted.template["Resources"]) == {"Kept", "Alone", "Other"}
    assert adapted.template["Resources"]["Kept"]["DependsOn"] == ["Other"]
    assert "DependsOn" not in adapted.template["Resources"]["Alone"]
    assert set(adapted.template["Outputs"]) == {"Kept"}
    assert [(one.resource, one.type) for one in adapted.removed] == [
        ("Gone", "AWS::WAFv2::WebACLAssociation")
    ]
    assert set(given["Resources"]) == {"Gone", "Kept", "Alone", "Other"}


def test_a_type_that_nobody_listed_stays_so_that_the_runtime_refuses_it() -> None:
    adapted = adapt(template(Unknown={"Type": "AWS::Quantum::Computer"}), {})

    assert "Unknown" in adapted.template["Resources"]
    assert adapted.removed == ()


def test_an_alarm_on_metric_math_goes_and_a_plain_one_stays() -> None:
    adapted = adapt(
        template(
            Math={"Type": "AWS::CloudWatch::Alarm", "Properties": {"Metrics": []}},
            Plain={"Type": "AWS::CloudWatch::Alarm", "Properties": {"MetricName": "Errors"}},
        ),
        {},
    )

    assert set(adapted.template["Resources"]) == {"Plain"}


def test_stream_mappings_are_left_to_the_pump_unless_the_template_disables_them() -> None:
    def mapping(**properties: object) -> dict[str, Any]:
        return {"Type": "AWS::Lambda::EventSourceMapping", "Properties": properties}

    adapted = adapt(
        template(
            Stream=mapping(StartingPosition="TRIM_HORIZON"),
            Off=mapping(StartingPosition="TRIM_HORIZON", Enabled=False),
            Queue=mapping(BatchSize=10),
        ),
        {},
    )

    resources = adapted.template["Resources"]
    assert adapted.pumped == ("Stream",)
    assert resources["Stream"]["Properties"]["Enabled"] is False
    assert "Enabled" not in resources["Queue"]["Properties"]


def test_placeholders_become_real_addresses_everywhere() -> None:
    given = template(
        F={
            "Type": "AWS::Lambda::Function",
            "Properties": {"Environment": {"Variables": {"ONECOUNT_JWKS_URL": "http://issuer.invalid/keys"}}},
        }
    )

    adapted = adapt(given, {"http://issuer.invalid": "http://127.0.0.1:5000"})

    variables = adapted.template["Resources"]["F"]["Properties"]["Environment"]["Variables"]
    assert variables == {"ONECOUNT_JWKS_URL": "http://127.0.0.1:5000/keys"}


def test_what_a_generated_secret_excludes_is_spelled_out() -> None:
    adapted = adapt(
        template(
            Secret={
                "Type": "AWS::SecretsManager::Secret",
                "Properties": {
                    "GenerateSecretString": {
                        "ExcludeCharacters": "é",
                        "ExcludeNumbers": True,
                        "ExcludeUppercase": False,
                    }
                },
            }
        ),
        {},
    )

    rules = adapted.template["Resources"]["Secret"]["Properties"]["GenerateSecretString"]
    assert rules["ExcludeCharacters"] == "é0123456789"

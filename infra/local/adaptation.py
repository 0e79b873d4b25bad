"""What the embedded runtime lacks, in one place: how a synthesized template is changed before it is deployed there.

The template on disk stays what goes to AWS. What is changed:

* Resource types that the runtime does not know and that change nothing about the numbers (``NOT_LOCAL``) are taken
  out, with the outputs and dependencies that name them. A type that is neither known nor listed here fails the
  deployment: nothing is dropped silently.
* Alarms on metric math are taken out (the runtime refuses them); alarms on single metrics stay.
* Event source mappings on streams are created disabled: our stream pump runs them (see ``stream_pump``).
* The character classes that a generated secret excludes are spelled out.

What was tried of the rest, on MiniStack 1.5.33, and what it means
------------------------------------------------------------------
==============================================  ==============================================================
SQS mappings: partial batches, filters,          work; a response naming an unknown message counts as success
maximum concurrency, redrive to a DLQ            there (AWS: the whole batch fails); the batching window is ignored
EventBridge ``rate(1 minute)``                   fires, first after a whole minute (60-75 s)
S3 -> SQS by NotificationConfiguration           works, prefix and suffix filters too; the queue's first message is
                                                ``s3:TestEvent``, as on AWS
REST API, REQUEST authorizer, its context        works; results are cached for the authorizer's TTL
binary media types ``*/*``                       the body arrives base64-encoded with ``isBase64Encoded``
``GenerateSecretString``                         generates, but heeds ``ExcludeCharacters`` alone: the other
                                                exclusions are spelled out for it here. ``Ref`` gives the name
concurrent calls                                 one worker process each, kept warm and used again
WAF web ACL                                      is created and filters nothing
==============================================  ==============================================================
"""

from __future__ import annotations

import json
import string
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

NOT_LOCAL: Mapping[str, str] = {
    "AWS::ApplicationAutoScaling::ScalableTarget": "capacity is not modelled",
    "AWS::ApplicationAutoScaling::ScalingPolicy": "capacity is not modelled",
    "AWS::Budgets::Budget": "nothing costs anything here",
    "AWS::CloudTrail::Trail": "no audit trail of API calls",
    "AWS::CloudWatch::AnomalyDetector": "no metrics to learn from",
    "AWS::CloudWatch::CompositeAlarm": "no alarms on alarms",
    "AWS::CodeDeploy::Application": "no gradual deployment",
    "AWS::CodeDeploy::DeploymentGroup": "no gradual deployment",
    "AWS::Events::Archive": "no event archive",
    "AWS::Logs::QueryDefinition": "no saved queries",
    "AWS::SQS::QueueInlinePolicy": "policies are not enforced",
    "AWS::SecretsManager::ResourcePolicy": "policies are not enforced",
    "AWS::SecretsManager::RotationSchedule": "secrets are rotated by hand",
    "AWS::WAFv2::LoggingConfiguration": "the firewall filters nothing here",
    "AWS::WAFv2::WebACLAssociation": "the firewall filters nothing here",
}
"""Types that may be taken out, and what is missed. A test holds that the runtime knows none of them."""

METRIC_MATH = "alarms on metric math are refused"


@dataclass(frozen=True, slots=True)
class Removed:
    """A resource that was taken out, and why that is harmless."""

    resource: str
    type: str
    reason: str


@dataclass(frozen=True, slots=True)
class Adapted:
    """A template as the runtime takes it.

    Attributes
    ----------
    pumped
        Logical ids of the stream mappings that the pump runs.
    """

    template: dict[str, Any]
    removed: tuple[Removed, ...]
    pumped: tuple[str, ...]


def adapt(template: Mapping[str, Any], replacements: Mapping[str, str]) -> Adapted:
    """Change a template as described above, and put real addresses where it has placeholders."""
    text = json.dumps(template)
    for placeholder, real in replacements.items():
        text = text.replace(placeholder, real)
    adapted: dict[str, Any] = json.loads(text)
    resources = adapted.get("Resources", {})
    removed = tuple(_unsupported(resources))
    gone = {one.resource for one in removed}
    for name in gone:
        del resources[name]
    for resource in resources.values():
        _forget_dependencies(resource, gone)
    outputs = adapted.get("Outputs", {})
    for name in [name for name, output in outputs.items() if _names_any(output, gone)]:
        del outputs[name]
    _spell_out_exclusions(resources)
    return Adapted(adapted, removed, tuple(_disable_stream_mappings(resources)))


def _unsupported(resources: Mapping[str, Any]) -> Iterable[Removed]:
    for name, resource in resources.items():
        if resource["Type"] in NOT_LOCAL:
            yield Removed(name, resource["Type"], NOT_LOCAL[resource["Type"]])
        elif resource["Type"] == "AWS::CloudWatch::Alarm" and "Metrics" in resource.get("Properties", {}):
            yield Removed(name, resource["Type"], METRIC_MATH)


def _forget_dependencies(resource: dict[str, Any], gone: set[str]) -> None:
    named = resource.get("DependsOn")
    if named is None:
        return
    kept = [one for one in ([named] if isinstance(named, str) else named) if one not in gone]
    if kept:
        resource["DependsOn"] = kept
    else:
        del resource["DependsOn"]


def _names_any(part: Any, names: set[str]) -> bool:
    if isinstance(part, dict):
        attribute = part.get("Fn::GetAtt")
        target = attribute[0] if isinstance(attribute, list) else str(attribute).partition(".")[0]
        return (
            part.get("Ref") in names
            or target in names
            or any(_names_any(one, names) for one in part.values())
        )
    return isinstance(part, list) and any(_names_any(one, names) for one in part)


def _disable_stream_mappings(resources: Mapping[str, Any]) -> Iterable[str]:
    for name, resource in resources.items():
        properties = resource.get("Properties", {})
        if resource["Type"] != "AWS::Lambda::EventSourceMapping" or "StartingPosition" not in properties:
            continue
        if properties.get("Enabled", True) is True:
            properties["Enabled"] = False
            yield name


_CHARACTER_CLASSES = {
    "ExcludePunctuation": string.punctuation,
    "ExcludeNumbers": string.digits,
    "ExcludeUppercase": string.ascii_uppercase,
    "ExcludeLowercase": string.ascii_lowercase,
}


def _spell_out_exclusions(resources: Mapping[str, Any]) -> None:
    for resource in resources.values():
        rules = resource.get("Properties", {}).get("GenerateSecretString")
        if resource["Type"] == "AWS::SecretsManager::Secret" and rules:
            excluded = "".join(part for name, part in _CHARACTER_CLASSES.items() if rules.get(name) is True)
            if excluded:
                rules["ExcludeCharacters"] = rules.get("ExcludeCharacters", "") + excluded

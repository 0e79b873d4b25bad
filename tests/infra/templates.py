"""Reads synthesized templates as what they mean: who may do what to which resource, across stacks."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

Properties = Mapping[str, Any]


class ResourceId(NamedTuple):
    """A resource by its stack's short name (``Data``) and logical id."""

    stack: str
    logical_id: str


class Right(NamedTuple):
    """One allowed action on one resource; ``resource`` is the statement's own form, as JSON."""

    action: str
    resource: str


@dataclass(frozen=True)
class Templates:
    """The templates of one stage, by their stacks' short names."""

    stacks: Mapping[str, Mapping[str, Any]]

    @classmethod
    def read(cls, folder: Path) -> Templates:
        """Read what was synthesized to ``folder``."""
        files = sorted(folder.glob("Onecount-*.template.json"))
        return cls({file.name.split(".")[0].split("-")[-1]: json.loads(file.read_text()) for file in files})

    def resources(self, type_: str) -> dict[ResourceId, Properties]:
        """Return the properties of every resource of a type."""
        return {id_: resource["Properties"] for id_, resource in self.whole(type_).items()}

    def whole(self, type_: str) -> dict[ResourceId, Mapping[str, Any]]:
        """Return every resource of a type with its policies and metadata."""
        return {
            ResourceId(stack, logical_id): resource
            for stack, template in self.stacks.items()
            for logical_id, resource in template["Resources"].items()
            if resource["Type"] == type_
        }

    def referent(self, stack: str, value: Any) -> ResourceId | None:
        """Return the resource that a Ref, GetAtt or import in ``stack`` is about; None where it is no reference."""
        match value:
            case {"Ref": str(logical_id)} if logical_id in self.stacks[stack]["Resources"]:
                return ResourceId(stack, logical_id)
            case {"Fn::GetAtt": [str(logical_id), str(_)]}:
                return ResourceId(stack, logical_id)
            case {"Fn::ImportValue": str(name)}:
                exporter = name.split(":")[0].split("-")[-1]
                for output in self.stacks[exporter]["Outputs"].values():
                    if output.get("Export", {}).get("Name") == name:
                        return self.referent(exporter, output["Value"])
        return None

    def functions(self) -> dict[str, Properties]:
        """Return every function's properties by the name of its folder."""
        return {
            properties["Handler"].split(".")[1]: properties
            for properties in self.resources("AWS::Lambda::Function").values()
        }

    def rights(self, function: str) -> set[Right]:
        """Return all that the role of a function is allowed."""
        role = self.referent("Processing", self.functions()[function]["Role"])
        assert role is not None
        return {
            Right(action, json.dumps(resource, sort_keys=True))
            for policy in self.resources("AWS::IAM::Policy").values()
            if {"Ref": role.logical_id} in policy["Roles"]
            for statement in policy["PolicyDocument"]["Statement"]
            for action in _as_list(statement["Action"])
            for resource in _as_list(statement["Resource"])
        }

    def reached(self, function: str, service: str) -> set[ResourceId]:
        """Return the resources to which a function has a right of ``service`` (``dynamodb``), streams aside."""
        found = {
            self.referent("Processing", json.loads(right.resource))
            for right in self.rights(function)
            if right.action.startswith(f"{service}:") and "StreamArn" not in right.resource
        }
        return {id_ for id_ in found if id_ is not None}

    def queue_names(self) -> dict[ResourceId, str]:
        """Return every queue's physical name."""
        return {id_: queue["QueueName"] for id_, queue in self.resources("AWS::SQS::Queue").items()}

    def event_sources(self) -> Iterator[tuple[str, ResourceId, Properties]]:
        """Yield each event source mapping: the function's folder, what it reads, its properties."""
        handlers = {
            id_: properties["Handler"].split(".")[1]
            for id_, properties in self.resources("AWS::Lambda::Function").items()
        }
        for id_, mapping in self.resources("AWS::Lambda::EventSourceMapping").items():
            function = self.referent(id_.stack, mapping["FunctionName"])
            source = self.referent(id_.stack, mapping["EventSourceArn"])
            assert function is not None
            assert source is not None
            yield handlers[function], source, mapping


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]

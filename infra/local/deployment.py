"""Deploying an assembly to the local runtime: assets up, stacks by CloudFormation, in the order they need each other.

The same template as on AWS, by the same service; only faster than the CDK's command line, which needs 16 s for its
bootstrap and as long again for each deployment.

Function code is compiled here, once, and goes up with its byte code: a worker unpacks its code into a new folder, and
would otherwise compile the whole layer at every cold start.
"""

from __future__ import annotations

import importlib.util
import io
import json
import os
import py_compile
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError

from infra.local.adaptation import Adapted, Removed, adapt
from infra.local.assembly import Assembly, Asset
from infra.local.clients import client
from infra.local.server import ACCOUNT, REGION
from infra.local.state import LocalRuntimeError

QUALIFIER = "hnb659fds"
ASSETS_BUCKET = f"cdk-{QUALIFIER}-assets-{ACCOUNT}-{REGION}"
_VERSION_PARAMETER = f"/cdk-bootstrap/{QUALIFIER}/version"
_CAPABILITIES = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"]
_STACK_SECONDS = 180.0
_INLINE_TEMPLATE_BYTES = 51_200
_FIXED_TIME = (1980, 1, 1, 0, 0, 0)


class DeploymentError(LocalRuntimeError):
    """A stack did not come up; carries the resources that failed and why."""


@dataclass(frozen=True, slots=True)
class Deployed:
    """What a deployment left behind.

    Attributes
    ----------
    outputs
        The stacks' outputs by name.
    resources
        (stack, logical id, type, physical id) of everything that exists now.
    mappings
        The stream mappings as the API describes them, for the pump.
    """

    outputs: dict[str, str]
    resources: tuple[tuple[str, str, str, str], ...]
    mappings: tuple[dict[str, Any], ...]
    removed: tuple[Removed, ...]
    changed_stacks: tuple[str, ...]


class Deployer:
    """Deploys to the runtime at one endpoint."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._stacks = client("cloudformation", endpoint)
        self._objects = client("s3", endpoint)

    def deploy(self, assembly: Assembly, replacements: Mapping[str, str]) -> Deployed:
        """Bring the runtime to what the assembly says.

        Raises
        ------
        DeploymentError
            If a stack fails; what had worked stays.
        """
        self._bootstrap()
        self._upload(assembly.assets)
        removed: list[Removed] = []
        changed: list[str] = []
        pumped: list[str] = []
        outputs: dict[str, str] = {}
        resources: list[tuple[str, str, str, str]] = []
        for stack in assembly.in_order():
            adapted = adapt(stack.template, replacements)
            removed.extend(adapted.removed)
            if self._bring_up(stack.name, adapted):
                changed.append(stack.name)
            outputs.update(self._outputs(stack.name))
            mine = list(self._resources(stack.name))
            resources.extend(mine)
            pumped.extend(physical for _, logical, _, physical in mine if logical in adapted.pumped)
        return Deployed(
            outputs, tuple(resources), tuple(self._mappings(pumped)), tuple(removed), tuple(changed)
        )

    def _bootstrap(self) -> None:
        client("ssm", self._endpoint).put_parameter(
            Name=_VERSION_PARAMETER, Value="30", Type="String", Overwrite=True
        )
        if ASSETS_BUCKET not in {bucket["Name"] for bucket in self._objects.list_buckets()["Buckets"]}:
            self._objects.create_bucket(Bucket=ASSETS_BUCKET)

    def _upload(self, assets: Iterable[Asset]) -> None:
        present = {
            one["Key"] for one in self._objects.list_objects_v2(Bucket=ASSETS_BUCKET).get("Contents", [])
        }
        missing = [asset for asset in assets if asset.key not in present]
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(self._upload_one, missing))

    def _upload_one(self, asset: Asset) -> None:
        body = _zipped(asset.path) if asset.zipped else asset.path.read_bytes()
        bucket = asset.bucket.replace("${AWS::AccountId}", ACCOUNT).replace("${AWS::Region}", REGION)
        self._objects.put_object(Bucket=bucket, Key=asset.key, Body=body)

    def _bring_up(self, name: str, adapted: Adapted) -> bool:
        """Create or update one stack; whether anything changed."""
        status = self._status(name)
        if status in ("ROLLBACK_COMPLETE", "CREATE_FAILED", "ROLLBACK_FAILED", "DELETE_FAILED"):
            self._stacks.delete_stack(StackName=name)
            self._await(name, gone=True)
            status = None
        request = {"StackName": name, "Capabilities": _CAPABILITIES, **self._template(name, adapted.template)}
        try:
            if status is None:
                self._stacks.create_stack(**request, OnFailure="DO_NOTHING")
            else:
                self._stacks.update_stack(**request)
        except ClientError as error:
            message = error.response["Error"]["Message"]
            if "No updates are to be performed" in message:
                return False
            raise DeploymentError(f"the runtime refuses stack {name}: {message}.", _REMEDY) from error
        self._await(name)
        return True

    def _template(self, name: str, template: Mapping[str, Any]) -> dict[str, str]:
        body = json.dumps(template, separators=(",", ":"))
        if len(body) <= _INLINE_TEMPLATE_BYTES:
            return {"TemplateBody": body}
        key = f"templates/{name}.json"
        self._objects.put_object(Bucket=ASSETS_BUCKET, Key=key, Body=body.encode())
        return {"TemplateURL": f"{self._endpoint}/{ASSETS_BUCKET}/{key}"}

    def _status(self, name: str) -> str | None:
        try:
            stacks = self._stacks.describe_stacks(StackName=name)["Stacks"]
        except ClientError as error:
            if "does not exist" in str(error):
                return None
            raise
        return (
            str(stacks[0]["StackStatus"])
            if stacks and stacks[0]["StackStatus"] != "DELETE_COMPLETE"
            else None
        )

    def _await(self, name: str, *, gone: bool = False) -> None:
        deadline = time.monotonic() + _STACK_SECONDS
        pause = 0.01
        while True:
            status = self._status(name)
            if gone and status is None:
                return
            if status in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
                return
            if status is None or status.endswith(("_FAILED", "ROLLBACK_COMPLETE")):
                raise DeploymentError(
                    f"stack {name} ended as {status}:\n{self._what_failed(name)}\n", _REMEDY
                )
            if time.monotonic() > deadline:
                raise DeploymentError(
                    f"stack {name} is still {status} after {_STACK_SECONDS:.0f} s.", _REMEDY
                )
            time.sleep(pause)
            pause = min(pause * 1.5, 0.25)

    def _what_failed(self, name: str) -> str:
        events = self._stacks.describe_stack_events(StackName=name)["StackEvents"]
        return "\n".join(
            f"  {event['LogicalResourceId']} ({event['ResourceType']}): {event.get('ResourceStatusReason', '')}"
            for event in events
            if event["ResourceStatus"].endswith("_FAILED")
        )

    def _outputs(self, name: str) -> dict[str, str]:
        described = self._stacks.describe_stacks(StackName=name)["Stacks"][0]
        return {output["OutputKey"]: output["OutputValue"] for output in described.get("Outputs", [])}

    def _resources(self, name: str) -> Iterable[tuple[str, str, str, str]]:
        for page in self._stacks.get_paginator("list_stack_resources").paginate(StackName=name):
            for one in page["StackResourceSummaries"]:
                yield name, one["LogicalResourceId"], one["ResourceType"], one.get("PhysicalResourceId", "")

    def _mappings(self, ids: Iterable[str]) -> Iterable[dict[str, Any]]:
        functions = client("lambda", self._endpoint)
        for mapping in ids:
            described = functions.get_event_source_mapping(UUID=mapping)
            described.pop("ResponseMetadata")
            yield json.loads(json.dumps(described, default=str))


_REMEDY = "If the runtime's state is at fault, `onecount down --wipe` clears it."


def _zipped(folder: Path) -> bytes:
    """The folder as a zip; that of a folder that the CDK has named by its content is kept beside it for the next time."""
    if not folder.name.startswith("asset."):
        return zip_folder(folder)
    kept = folder.with_name(f"{folder.name}.{sys.implementation.cache_tag}.zip")
    if not kept.exists():
        fresh = kept.with_name(f"{kept.name}.{os.getpid()}")
        fresh.write_bytes(zip_folder(folder))
        fresh.replace(kept)
    return kept.read_bytes()


def zip_folder(folder: Path) -> bytes:
    """The folder as a zip that depends on its content alone, with byte code for this interpreter beside each module."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_dir() or "__pycache__" in path.parts:
                continue
            name = path.relative_to(folder).as_posix()
            _add(archive, name, path.read_bytes())
            if path.suffix == ".py":
                _add(archive, importlib.util.cache_from_source(name), _compiled(path, name))
    return buffer.getvalue()


def _compiled(path: Path, name: str) -> bytes:
    """Byte code that names the module as it will be found, and is never checked against a file time."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "module.pyc"
        try:
            py_compile.compile(
                str(path),
                cfile=str(target),
                dfile=name,
                doraise=True,
                invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
            )
        except py_compile.PyCompileError as error:
            raise DeploymentError(
                f"{name} is not valid Python: {error.msg}", "Correct it, then deploy again."
            ) from error
        return target.read_bytes()


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name, _FIXED_TIME)
    entry.external_attr = 0o644 << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    archive.writestr(entry, content)

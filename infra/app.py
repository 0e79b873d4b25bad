"""Composition of the stacks: ``python -m infra.app`` writes them to ``cdk.out``.

The CDK's command line runs this module and hands its context over (``cdk.json``, ``-c key=value``); run directly it
takes the same ``-c`` itself. The local runtime and the tests call ``build_app`` in process. However it is called,
cdk-nag's AwsSolutions rules run at synthesis, and a finding that nobody acknowledged fails it.

| context      | meaning                                                                        |
|--------------|--------------------------------------------------------------------------------|
| stage        | ``local``, ``dev`` (the default) or ``prod``                                     |
| network      | path of a network.yaml; its ``sources`` and ``channels`` get infrastructure, and |
|              | those of what it no longer declares go. Only ``local`` has a default: the demo's |
| issuer, audience, jwks_url | the OpenID Connect issuer of the tokens that ``/v1`` accepts       |
| alarm_email  | optional: who is told of alarms, of overdue cases, and each morning what is open |
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from aws_cdk import App, Tags, Validations
from cdk_nag import AwsSolutionsChecks

from infra.building_blocks.bundling import ROOT, MissingFunctionError
from infra.building_blocks.deployment import ConnectedSystems, Deployment, NetworkFileError
from infra.building_blocks.stage import Stage, UnknownStageError
from infra.network_file import NetworkFileError as MisdeclaredError
from infra.network_file import read_network
from infra.stacks.api import ApiStack
from infra.stacks.data import DataStack
from infra.stacks.monitoring import MonitoringStack
from infra.stacks.processing import ProcessingStack

DEFAULT_STAGE = "dev"
LOCAL_NETWORK = "infra/local/network.yaml"

# Only the flags that change something here; what the CDK recommends for new apps.
_FLAGS = {
    "@aws-cdk/aws-apigateway:authorizerChangeDeploymentLogicalId": True,
    "@aws-cdk/aws-apigateway:disableCloudWatchRole": True,
    "@aws-cdk/aws-iam:minimizePolicies": True,
    "@aws-cdk/aws-lambda:recognizeLayerVersion": True,
    "@aws-cdk/aws-s3:serverAccessLogsUseBucketPolicy": True,
    "@aws-cdk/core:checkSecretUsage": True,
    "@aws-cdk/core:defaultCrossStackReferences": "strong",  # plain exports, which the embedded runtime knows too
    "@aws-cdk/core:enablePartitionLiterals": True,
}


class NoNetworkError(ValueError):
    """A stage on AWS was asked for without saying whose network it is."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(
            f"stage {stage.name} needs a network file: without one the queues and secrets of every source and "
            "channel would go; pass -c network=<your network.yaml>"
        )


def build_app(
    *,
    stage: str | None = None,
    network: str | Path | None = None,
    outdir: str | Path | None = None,
    bundling: bool = True,
    issuer: str | None = None,
    audience: str | None = None,
    jwks_url: str | None = None,
    alarm_email: str | None = None,
    context: Mapping[str, str] | None = None,
) -> App:
    """Return the app of one deployment; ``.synth()`` writes it.

    Parameters
    ----------
    stage, network, issuer, audience, jwks_url, alarm_email
        As in the table above; None takes the value from the context. A relative ``network`` counts from the
        repository's root.
    outdir
        Where to write; None is ``cdk.out``, or where the CDK's command line says.
    bundling
        False leaves the functions' code out (assets then point at the sources): for looking at templates.
    context
        Further context, as ``-c`` gives it.

    Raises
    ------
    UnknownStageError, NoNetworkError, NetworkFileError, MisdeclaredError, MissingFunctionError
    """
    settings: dict[str, object] = {**_FLAGS, **(context or {})}
    if not bundling:
        settings["aws:cdk:bundling-stacks"] = []
    app = App(outdir=None if outdir is None else str(outdir), context=settings)

    def chosen(key: str, argument: str | Path | None) -> str | None:
        value = argument if argument is not None else app.node.try_get_context(key)
        return None if value in (None, "") else str(value)

    named = Stage(chosen("stage", stage) or DEFAULT_STAGE)
    file = chosen("network", network) or (LOCAL_NETWORK if named.is_local else None)
    if file is None:
        raise NoNetworkError(named)
    systems = ConnectedSystems.read(ROOT / file)
    read_network(ROOT / file)  # a deployment is no place to learn that the file cannot be applied
    deployment = Deployment(
        stage=named,
        systems=systems,
        issuer=chosen("issuer", issuer),
        audience=chosen("audience", audience),
        jwks_url=chosen("jwks_url", jwks_url),
        alarm_email=chosen("alarm_email", alarm_email),
    )
    _add_stacks(app, deployment)
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    return app


def _add_stacks(app: App, deployment: Deployment) -> None:
    prefix = f"Onecount-{deployment.stage.name}"
    data = DataStack(app, f"{prefix}-Data", deployment=deployment)
    processing = ProcessingStack(app, f"{prefix}-Processing", deployment=deployment, data=data)
    api = ApiStack(app, f"{prefix}-Api", deployment=deployment, data=data, processing=processing)
    MonitoringStack(
        app, f"{prefix}-Monitoring", deployment=deployment, data=data, processing=processing, api=api
    )
    Tags.of(app).add("onecount:stage", deployment.stage.name)


def main() -> None:
    """Synthesize with the context of ``-c key=value`` arguments, or of the CDK's command line."""
    parser = argparse.ArgumentParser(prog="python -m infra.app", description="Synthesizes Onecount's stacks.")
    parser.add_argument("-c", "--context", action="append", default=[], metavar="KEY=VALUE")
    context: dict[str, str] = {}
    for pair in parser.parse_args().context:
        key, separator, value = pair.partition("=")
        if not separator:
            parser.error(f"-c {pair}: there is no '='; write -c {pair}=<value>")
        context[key] = value
    # Without an outdir the CDK would write to a temporary folder, unless its command line has said where.
    try:
        app = build_app(context=context, outdir=os.environ.get("CDK_OUTDIR", ROOT / "cdk.out"))
    except (
        UnknownStageError,
        NoNetworkError,
        NetworkFileError,
        MisdeclaredError,
        MissingFunctionError,
    ) as error:
        sys.exit(f"error: {error}")
    app.synth()


if __name__ == "__main__":
    main()

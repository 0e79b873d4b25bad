"""One Lambda function: ``functions/<name>``, its own role and its own log group, and no right that nobody granted.

The role is made here, without AWS's managed policies, so that everything a function may do stands where it is
granted. Concurrency is not reserved for any function: what must be bounded (calls to a channel) is bounded at the
event source, and reserving would take capacity from an account's other functions.
"""

from __future__ import annotations

from collections.abc import Mapping

from aws_cdk import Duration, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.building_blocks.bundling import function_code
from infra.building_blocks.findings import acknowledge
from infra.building_blocks.stage import Stage
from infra.building_blocks.stage_key import StageKey


class PythonFunction(Construct):
    """The function ``functions/<name>``; give it rights with the ``grant`` methods of what it uses.

    Parameters
    ----------
    environment
        The fields of the function's settings model; the prefix ``ONECOUNT_`` and ``stage`` are added here.
    """

    def __init__(
        self,
        scope: Construct,
        name: str,
        *,
        stage: Stage,
        key: StageKey,
        layer: lambda_.ILayerVersion,
        timeout: Duration,
        memory_mb: int,
        environment: Mapping[str, str],
    ) -> None:
        super().__init__(scope, name)
        self.function_name = stage.named(name)
        self.timeout = timeout
        log_group = logs.LogGroup(
            self,
            "Logs",
            log_group_name=f"/aws/lambda/{self.function_name}",
            retention=stage.log_retention,
            encryption_key=key.key,
            removal_policy=stage.removal_policy,
        )
        self.role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        self.role.add_to_policy(
            iam.PolicyStatement(
                actions=["logs:CreateLogStream", "logs:PutLogEvents"], resources=[log_group.log_group_arn]
            )
        )
        self.function = lambda_.Function(
            self,
            "Function",
            function_name=self.function_name,
            runtime=lambda_.Runtime.PYTHON_3_13,
            architecture=lambda_.Architecture.ARM_64,
            handler=f"functions.{name}.handler.handle",
            code=function_code(name, required=Stack.of(self).bundling_required),
            layers=[layer],
            role=self.role,
            timeout=timeout,
            memory_size=memory_mb,
            tracing=lambda_.Tracing.ACTIVE,
            log_group=log_group,
            environment={
                "ONECOUNT_STAGE": stage.name,
                **{f"ONECOUNT_{field.upper()}": value for field, value in environment.items()},
            },
        )
        acknowledge(
            self.function,
            "L1",
            "Python 3.13 is what the pinned arm64 wheels are built for; runtime and pins move together.",
        )
        acknowledge(
            self.role,
            "IAM5[Resource::*]",
            "xray:PutTraceSegments and PutTelemetryRecords, which active tracing needs, take no resource.",
        )

    @property
    def grant_principal(self) -> iam.IPrincipal:
        """The function's role, to which rights are granted."""
        return self.role

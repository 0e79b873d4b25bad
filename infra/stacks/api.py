"""The two front doors: senders' webhooks and the ``/v1`` API, behind one REST API and its firewall.

| path                      | who may call                                     | answered by       |
|---------------------------|--------------------------------------------------|-------------------|
| ``POST /webhooks/{source}`` | whoever signs as that source (checked by the function) | ``receive_webhook`` |
| ``ANY /v1/{proxy+}``        | whoever bears a token (checked by ``authorize_request``) | ``inventory_api``   |

A REST API and not an HTTP API, because only the former can have a web application firewall. Every media type is
binary here: a signature is over the raw bytes, and API Gateway must not re-encode a single one.

A path reaches the function as it was sent, still percent-encoded (an HTTP API, and the local runtime, decode it); the
query arrives decoded, once, everywhere. What may hold any character, a SKU above all, is therefore asked for in the
query: ``GET /v1/stock?sku=A%2FB``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from aws_cdk import CfnOutput, Duration, RemovalPolicy, Stack
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.building_blocks.deployment import Deployment
from infra.building_blocks.findings import acknowledge
from infra.building_blocks.firewall import Firewall
from infra.building_blocks.problem_responses import answer_with_problems
from infra.building_blocks.python_function import PythonFunction
from infra.stacks.data import DataStack
from infra.stacks.processing import ProcessingStack

# The policy that authorize_request returns depends on the token alone and fits every path under /v1, so it may serve
# the token's next calls too; a token is honoured for at most this long after it has expired. One that is not good is
# denied by such a policy, too, which is answered with 401 (see ``problem_responses``): to ask again costs nothing.
AUTHORIZER_CACHE = Duration.seconds(60)

# Requests a second, sustained and in a burst, within an account's own 10,000 and 5,000.
WEBHOOK_RATE, WEBHOOK_BURST = 2000, 2000
API_RATE, API_BURST = 1000, 1000

# Who and what for each request, without addresses, tokens or bodies.
_ACCESS_LOG: Mapping[str, str] = {
    "request_id": "$context.requestId",
    "trace_id": "$context.xrayTraceId",
    "requested_at": "$context.requestTime",
    "method": "$context.httpMethod",
    "path": "$context.path",
    "route": "$context.resourcePath",
    "status": "$context.status",
    "response_bytes": "$context.responseLength",
    "latency_ms": "$context.responseLatency",
    "integration_latency_ms": "$context.integrationLatency",
    "integration_status": "$context.integration.integrationStatus",
    "authorizer_status": "$context.authorizer.status",
    "firewall_status": "$context.wafResponseCode",
    "error_type": "$context.error.responseType",
}


class ApiStack(Stack):
    """The REST API. ``api_name`` is its name, by which CloudWatch counts its requests."""

    def __init__(
        self,
        scope: Construct,
        id_: str,
        *,
        deployment: Deployment,
        data: DataStack,
        processing: ProcessingStack,
    ) -> None:
        super().__init__(
            scope, id_, description="Onecount: webhook and API doors with firewall and authorizer"
        )
        self._stage = deployment.stage
        self._processing = processing
        self.api_name = self._stage.named("api")
        self._api = self._rest_api(data)
        answer_with_problems(self._api)
        self._webhooks()
        self._v1()
        Firewall(self, "Firewall", stage=self._stage, api=self._api)
        CfnOutput(
            self,
            "WebhookUrl",
            value=self._api.url_for_path("/webhooks"),
            description="Where sources post; append /<source>",
        )
        CfnOutput(self, "ApiUrl", value=self._api.url_for_path("/v1"), description="Base of the HTTP API")

    def _rest_api(self, data: DataStack) -> apigateway.RestApi:
        access_log = logs.LogGroup(
            self,
            "AccessLog",
            log_group_name=f"/{self._stage.named('api-access')}",
            retention=self._stage.log_retention,
            encryption_key=data.key.key,
            removal_policy=self._stage.removal_policy,
        )
        api = apigateway.RestApi(
            self,
            "Api",
            rest_api_name=self.api_name,
            description="Onecount: webhooks in, stock and promises out",
            endpoint_types=[apigateway.EndpointType.REGIONAL],
            binary_media_types=["*/*"],
            cloud_watch_role=True,
            cloud_watch_role_removal_policy=RemovalPolicy.RETAIN,  # one for an account: another API may use it
            deploy_options=apigateway.StageOptions(
                stage_name=self._stage.name,
                access_log_destination=apigateway.LogGroupLogDestination(access_log),
                access_log_format=apigateway.AccessLogFormat.custom(json.dumps(_ACCESS_LOG)),
                logging_level=apigateway.MethodLoggingLevel.ERROR,
                data_trace_enabled=False,  # bodies and tokens stay out of logs
                metrics_enabled=True,
                tracing_enabled=True,
                throttling_rate_limit=API_RATE,
                throttling_burst_limit=API_BURST,
                method_options={
                    "/webhooks/{source}/POST": apigateway.MethodDeploymentOptions(
                        throttling_rate_limit=WEBHOOK_RATE,
                        throttling_burst_limit=WEBHOOK_BURST,
                        logging_level=apigateway.MethodLoggingLevel.ERROR,
                        data_trace_enabled=False,
                        metrics_enabled=True,
                    )
                },
            ),
        )
        acknowledge(
            api,
            "APIG2",
            "A gateway could only refuse what must be stored: a signed body that is malformed becomes a case. The "
            "functions validate every field and answer with a problem that names it.",
        )
        acknowledge(
            api,
            "IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs]",
            "API Gateway's one logging role of an account serves logs of every API in it, which this policy is for.",
        )
        return api

    def _webhooks(self) -> None:
        method = (
            self._api.root.add_resource("webhooks")
            .add_resource("{source}")
            .add_method("POST", self._integration("Receive", self._processing.receive_webhook))
        )
        reason = (
            "Senders authenticate in their own scheme, by a signature over the raw body, which receive_webhook "
            "verifies before anything else; none of them can send our tokens."
        )
        acknowledge(method, "APIG4", reason)
        acknowledge(method, "COG4", reason)

    def _v1(self) -> None:
        authorizer = apigateway.RequestAuthorizer(
            self,
            "BearerToken",
            handler=self._invoked_here("Authorize", self._processing.authorize_request),
            identity_sources=[apigateway.IdentitySource.header("Authorization")],
            results_cache_ttl=AUTHORIZER_CACHE,
        )
        method = (
            self._api.root.add_resource("v1")
            .add_resource("{proxy+}")
            .add_method(
                "ANY",
                self._integration("Answer", self._processing.inventory_api),
                authorizer=authorizer,
                authorization_type=apigateway.AuthorizationType.CUSTOM,
            )
        )
        acknowledge(
            method,
            "COG4",
            "Tokens come from the user's own OpenID Connect issuer, whichever it is; authorize_request verifies them "
            "against its published keys.",
        )

    def _integration(self, id_: str, function: PythonFunction) -> apigateway.LambdaIntegration:
        return apigateway.LambdaIntegration(
            self._invoked_here(id_, function), proxy=True, allow_test_invoke=False
        )

    def _invoked_here(self, id_: str, function: PythonFunction) -> lambda_.IFunction:
        """Refer to a function of the processing stack so that the permission to invoke it is made in this stack.

        Made there, it would name this API, and the two stacks would each need the other first.
        """
        return lambda_.Function.from_function_attributes(
            self, id_, function_arn=function.function.function_arn, same_environment=True
        )

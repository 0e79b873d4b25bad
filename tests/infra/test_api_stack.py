"""Both doors are guarded: tokens on one, the firewall on both, and every refusal is a problem that says what to do."""

from __future__ import annotations

import json

import pytest

from tests.infra.templates import Properties, ResourceId, Templates


def path(templates: Templates, resource: ResourceId) -> str:
    properties = templates.resources("AWS::ApiGateway::Resource")[resource]
    parent = templates.referent("Api", properties["ParentId"])
    above = path(templates, parent) if parent in templates.resources("AWS::ApiGateway::Resource") else ""
    return f"{above}/{properties['PathPart']}"


def methods(templates: Templates) -> dict[str, Properties]:
    found = {}
    for method in templates.resources("AWS::ApiGateway::Method").values():
        resource = templates.referent("Api", method["ResourceId"])
        assert resource is not None
        found[f"{method['HttpMethod']} {path(templates, resource)}"] = method
    return found


def rules(templates: Templates) -> dict[str, Properties]:
    (acl,) = templates.resources("AWS::WAFv2::WebACL").values()
    return {rule["Name"]: rule for rule in acl["Rules"]}


def test_there_are_two_doors(prod: Templates) -> None:
    assert set(methods(prod)) == {"POST /webhooks/{source}", "ANY /v1/{proxy+}"}


def test_every_call_under_v1_is_authorized_by_our_function(prod: Templates) -> None:
    guarded = [method for route, method in methods(prod).items() if "/v1" in route]
    assert guarded
    for method in guarded:
        assert method["AuthorizationType"] == "CUSTOM"
        id_ = prod.referent("Api", method["AuthorizerId"])
        assert id_ is not None
        authorizer = prod.resources("AWS::ApiGateway::Authorizer")[id_]
        assert authorizer["Type"] == "REQUEST"
        assert authorizer["IdentitySource"] == "method.request.header.Authorization"
        assert 0 <= authorizer["AuthorizerResultTtlInSeconds"] <= 60
        assert "authorizerequest" in json.dumps(authorizer["AuthorizerUri"])


@pytest.mark.parametrize(
    ("route", "function"),
    [("POST /webhooks/{source}", "receivewebhook"), ("ANY /v1/{proxy+}", "inventoryapi")],
)
def test_each_door_is_answered_by_its_function(prod: Templates, route: str, function: str) -> None:
    integration = methods(prod)[route]["Integration"]
    assert integration["Type"] == "AWS_PROXY"
    assert function in json.dumps(integration["Uri"])


def test_api_gateway_may_invoke_just_the_three_functions_and_for_this_api_alone(prod: Templates) -> None:
    permissions = [p for id_, p in prod.resources("AWS::Lambda::Permission").items() if id_.stack == "Api"]
    invoked = {prod.referent("Api", permission["FunctionName"]) for permission in permissions}
    names = {prod.resources("AWS::Lambda::Function")[id_]["FunctionName"] for id_ in invoked if id_}
    assert names == {
        "onecount-prod-receive-webhook",
        "onecount-prod-inventory-api",
        "onecount-prod-authorize-request",
    }
    for permission in permissions:
        assert '{"Ref": "ApiF70053CD"}' in json.dumps(permission["SourceArn"])


def test_a_signed_body_arrives_byte_for_byte(prod: Templates) -> None:
    (api,) = prod.resources("AWS::ApiGateway::RestApi").values()
    assert api["BinaryMediaTypes"] == ["*/*"]
    assert api["EndpointConfiguration"] == {"Types": ["REGIONAL"]}


def test_requests_are_throttled_and_logged_without_bodies(prod: Templates) -> None:
    (stage,) = prod.resources("AWS::ApiGateway::Stage").values()
    settings = {setting["ResourcePath"]: setting for setting in stage["MethodSettings"]}
    assert set(settings) == {"/*", "/~1webhooks~1{source}"}
    for setting in settings.values():
        assert setting["DataTraceEnabled"] is False
        assert 0 < setting["ThrottlingRateLimit"] <= 10_000
    log = prod.referent("Api", stage["AccessLogSetting"]["DestinationArn"])
    assert log in prod.resources("AWS::Logs::LogGroup")
    logged = json.loads(stage["AccessLogSetting"]["Format"])
    assert logged["request_id"] == "$context.requestId"
    assert not any("identity" in value or "authorizer.principal" in value for value in logged.values())


def test_the_firewall_stands_in_front_of_the_stage(prod: Templates) -> None:
    (association,) = prod.resources("AWS::WAFv2::WebACLAssociation").values()
    assert prod.referent("Api", association["WebACLArn"]) in prod.resources("AWS::WAFv2::WebACL")
    arn = association["ResourceArn"]["Fn::Join"][1]
    assert "".join(
        part for part in arn if isinstance(part, str)
    ) == "arn:apigateway:::/restapis//stages/".replace("arn:apigateway:::", "arn::apigateway:::")


def test_a_large_or_marked_up_webhook_is_counted_and_never_refused_by_managed_rules(prod: Templates) -> None:
    common = rules(prod)["AWSManagedRulesCommonRuleSet"]["Statement"]["ManagedRuleGroupStatement"]
    counted = {o["Name"] for o in common["RuleActionOverrides"] if o["ActionToUse"] == {"Count": {}}}
    assert counted == {
        "SizeRestrictions_BODY",
        "CrossSiteScripting_BODY",
        "EC2MetaDataSSRF_BODY",
        "GenericLFI_BODY",
        "GenericRFI_BODY",
        "NoUserAgent_HEADER",
    }


def test_what_was_only_counted_is_still_blocked_outside_the_webhooks(prod: Templates) -> None:
    rule = rules(prod)["CommonRulesOutsideWebhooks"]
    assert rule["Action"] == {"Block": {}}
    assert rule["Priority"] > rules(prod)["AWSManagedRulesCommonRuleSet"]["Priority"]
    labelled, elsewhere = rule["Statement"]["AndStatement"]["Statements"]
    labels = {s["LabelMatchStatement"]["Key"] for s in labelled["OrStatement"]["Statements"]}
    assert "awswaf:managed:aws:core-rule-set:CrossSiteScripting_Body" in labels
    paths = elsewhere["NotStatement"]["Statement"]["OrStatement"]["Statements"]
    assert {p["ByteMatchStatement"]["SearchString"] for p in paths} == {"/webhooks/", "/prod/webhooks/"}


def test_known_bad_inputs_and_floods_are_blocked_everywhere(prod: Templates) -> None:
    bad_inputs = rules(prod)["AWSManagedRulesKnownBadInputsRuleSet"]
    assert bad_inputs["OverrideAction"] == {"None": {}}
    assert not bad_inputs["Statement"]["ManagedRuleGroupStatement"].get("RuleActionOverrides")
    for name in ("WebhookRate", "CallRate"):
        assert rules(prod)[name]["Action"] == {"Block": {}}
        assert rules(prod)[name]["Statement"]["RateBasedStatement"]["AggregateKeyType"] == "IP"


@pytest.mark.parametrize(
    ("response", "status"),
    [
        ("UNAUTHORIZED", 401),
        ("ACCESS_DENIED", 401),
        ("WAF_FILTERED", 403),
        ("MISSING_AUTHENTICATION_TOKEN", 404),
        ("REQUEST_TOO_LARGE", 413),
        ("THROTTLED", 429),
        ("DEFAULT_5XX", 500),
        ("INTEGRATION_TIMEOUT", 504),
    ],
)
def test_a_refusal_by_the_gateway_is_a_problem_that_says_what_to_do(
    prod: Templates, response: str, status: int
) -> None:
    (answer,) = [
        r
        for r in prod.resources("AWS::ApiGateway::GatewayResponse").values()
        if r["ResponseType"] == response
    ]
    assert answer["StatusCode"] == str(status)
    assert answer["ResponseParameters"]["gatewayresponse.header.Content-Type"] == "'application/problem+json'"
    problem = json.loads(answer["ResponseTemplates"]["application/json"])
    assert problem["status"] == status
    assert problem["type"].startswith("urn:onecount:problem:")
    assert problem["title"]
    assert problem["detail"]
    assert problem["remedy"]

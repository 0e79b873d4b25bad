"""The web application firewall in front of the API: AWS's managed rules, fitted to signed webhooks.

Webhooks are orders and catalogues: bodies well above 8 KB, full of HTML and links, from senders that may name no
user agent. A refused one is a lost message, and the sender may unsubscribe us. They prove themselves by signature
and are never rendered, so the rules that read bodies only count there; everywhere else what they labelled is blocked
by a rule of ours.

| priority | rule                                                                                       |
|----------|--------------------------------------------------------------------------------------------|
| 0, 1     | requests by address: more than 300,000 (webhooks) or 30,000 (the rest) in five minutes       |
| 2        | AWS common rules, those on bodies counting                                                   |
| 3        | block what those labelled, unless it is a webhook                                            |
| 4        | AWS known bad inputs                                                                         |
"""

from __future__ import annotations

from aws_cdk import ArnFormat, Stack
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_wafv2 as wafv2
from constructs import Construct

from infra.building_blocks.stage import Stage

_ACL = wafv2.CfnWebACL
_FIVE_MINUTES_S = 300
WEBHOOKS_PER_ADDRESS = 300_000
CALLS_PER_ADDRESS = 30_000

# Rule of the common set to the label that it leaves. Body sizes are bounded by the functions themselves, which
# answer 413; a registry upload too is larger than the 8 KB that this set allows.
_COUNTED = {
    "CrossSiteScripting_BODY": "CrossSiteScripting_Body",
    "EC2MetaDataSSRF_BODY": "EC2MetaDataSSRF_Body",
    "GenericLFI_BODY": "GenericLFI_Body",
    "GenericRFI_BODY": "GenericRFI_Body",
    "NoUserAgent_HEADER": "NoUserAgent_Header",
}
_COUNTED_EVERYWHERE = ("SizeRestrictions_BODY",)


class Firewall(Construct):
    """A web ACL associated with the stage of ``api``."""

    def __init__(self, scope: Construct, id_: str, *, stage: Stage, api: apigateway.RestApi) -> None:
        super().__init__(scope, id_)
        self._stage = stage
        acl = wafv2.CfnWebACL(
            self,
            "WebAcl",
            name=stage.named("api"),
            scope="REGIONAL",
            default_action=_ACL.DefaultActionProperty(allow={}),
            visibility_config=self._visibility("all"),
            rules=[
                self._rate_rule(0, "WebhookRate", WEBHOOKS_PER_ADDRESS, self._is_webhook()),
                self._rate_rule(1, "CallRate", CALLS_PER_ADDRESS, _not(self._is_webhook())),
                self._managed_rule(2, "AWSManagedRulesCommonRuleSet", (*_COUNTED, *_COUNTED_EVERYWHERE)),
                self._block_counted_bodies(3),
                self._managed_rule(4, "AWSManagedRulesKnownBadInputsRuleSet"),
            ],
        )
        stage_arn = Stack.of(self).format_arn(
            service="apigateway",
            account="",
            resource="/restapis",
            resource_name=f"{api.rest_api_id}/stages/{api.deployment_stage.stage_name}",
            arn_format=ArnFormat.SLASH_RESOURCE_NAME,
        )
        wafv2.CfnWebACLAssociation(self, "Association", resource_arn=stage_arn, web_acl_arn=acl.attr_arn)

    def _is_webhook(self) -> wafv2.CfnWebACL.StatementProperty:
        """Match the webhooks' path, with the API's stage before it (its own address) or without (a custom domain)."""
        return _any_of([_path_starts_with(f"/{self._stage.name}/webhooks/"), _path_starts_with("/webhooks/")])

    def _rate_rule(
        self, priority: int, name: str, limit: int, scope_down: wafv2.CfnWebACL.StatementProperty
    ) -> wafv2.CfnWebACL.RuleProperty:
        return _ACL.RuleProperty(
            name=name,
            priority=priority,
            action=_ACL.RuleActionProperty(block={}),
            statement=_ACL.StatementProperty(
                rate_based_statement=_ACL.RateBasedStatementProperty(
                    aggregate_key_type="IP",
                    limit=limit,
                    evaluation_window_sec=_FIVE_MINUTES_S,
                    scope_down_statement=scope_down,
                )
            ),
            visibility_config=self._visibility(name),
        )

    def _managed_rule(
        self, priority: int, name: str, counted: tuple[str, ...] = ()
    ) -> wafv2.CfnWebACL.RuleProperty:
        return _ACL.RuleProperty(
            name=name,
            priority=priority,
            override_action=_ACL.OverrideActionProperty(none={}),
            statement=_ACL.StatementProperty(
                managed_rule_group_statement=_ACL.ManagedRuleGroupStatementProperty(
                    vendor_name="AWS",
                    name=name,
                    rule_action_overrides=[
                        _ACL.RuleActionOverrideProperty(
                            name=rule, action_to_use=_ACL.RuleActionProperty(count={})
                        )
                        for rule in counted
                    ],
                )
            ),
            visibility_config=self._visibility(name),
        )

    def _block_counted_bodies(self, priority: int) -> wafv2.CfnWebACL.RuleProperty:
        labelled = [
            _ACL.StatementProperty(
                label_match_statement=_ACL.LabelMatchStatementProperty(
                    scope="LABEL", key=f"awswaf:managed:aws:core-rule-set:{label}"
                )
            )
            for label in _COUNTED.values()
        ]
        name = "CommonRulesOutsideWebhooks"
        return _ACL.RuleProperty(
            name=name,
            priority=priority,
            action=_ACL.RuleActionProperty(block={}),
            statement=_ACL.StatementProperty(
                and_statement=_ACL.AndStatementProperty(
                    statements=[_any_of(labelled), _not(self._is_webhook())]
                )
            ),
            visibility_config=self._visibility(name),
        )

    def _visibility(self, name: str) -> wafv2.CfnWebACL.VisibilityConfigProperty:
        return _ACL.VisibilityConfigProperty(
            cloud_watch_metrics_enabled=True,
            metric_name=self._stage.named("firewall", name),
            # A sample would hold request headers, tokens among them.
            sampled_requests_enabled=False,
        )


def _path_starts_with(prefix: str) -> wafv2.CfnWebACL.StatementProperty:
    return _ACL.StatementProperty(
        byte_match_statement=_ACL.ByteMatchStatementProperty(
            field_to_match=_ACL.FieldToMatchProperty(uri_path={}),
            positional_constraint="STARTS_WITH",
            search_string=prefix,
            text_transformations=[_ACL.TextTransformationProperty(priority=0, type="NONE")],
        )
    )


def _any_of(statements: list[wafv2.CfnWebACL.StatementProperty]) -> wafv2.CfnWebACL.StatementProperty:
    return _ACL.StatementProperty(or_statement=_ACL.OrStatementProperty(statements=statements))


def _not(statement: wafv2.CfnWebACL.StatementProperty) -> wafv2.CfnWebACL.StatementProperty:
    return _ACL.StatementProperty(not_statement=_ACL.NotStatementProperty(statement=statement))

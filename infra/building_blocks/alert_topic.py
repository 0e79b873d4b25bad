"""Where people are told what waits for them: an encrypted topic, TLS only, that anyone of the team may subscribe to."""

from __future__ import annotations

from aws_cdk import CfnOutput
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

from infra.building_blocks.python_function import PythonFunction
from infra.building_blocks.stage import Stage
from infra.building_blocks.stage_key import StageKey


class AlertTopic(Construct):
    """The topic ``onecount-{stage}-alerts``: overdue cases and the morning digest.

    Parameters
    ----------
    email
        Who is subscribed from the first day, if anybody.
    """

    def __init__(self, scope: Construct, id_: str, *, stage: Stage, key: StageKey, email: str | None) -> None:
        super().__init__(scope, id_)
        self._key = key
        self._topic = sns.Topic(
            self, "Topic", topic_name=stage.named("alerts"), master_key=key.key, enforce_ssl=True
        )
        if email:
            self._topic.add_subscription(subscriptions.EmailSubscription(email))
        CfnOutput(
            self, "Arn", value=self._topic.topic_arn, description="Subscribe mail or chat to overdue cases"
        )

    @property
    def arn(self) -> str:
        return self._topic.topic_arn

    def grant_publish(self, function: PythonFunction) -> None:
        """Let ``function`` send to the topic."""
        function.role.add_to_policy(iam.PolicyStatement(actions=["sns:Publish"], resources=[self.arn]))
        self._key.grant_use(function, "sns")

"""Whatever fails for good or falls behind wakes somebody."""

from __future__ import annotations

import json

import pytest

from tests.infra.templates import Properties, Templates


def alarms(templates: Templates, metric: str, dimension: str) -> dict[str, Properties]:
    """Return the alarms on a metric by the value of one dimension."""
    return {
        value["Value"]: alarm
        for alarm in templates.resources("AWS::CloudWatch::Alarm").values()
        if alarm["MetricName"] == metric
        for value in alarm["Dimensions"]
        if value["Name"] == dimension
    }


def function_names(templates: Templates) -> set[str]:
    return {properties["FunctionName"] for properties in templates.functions().values()}


def queues(templates: Templates, *, ending: tuple[str, ...]) -> set[str]:
    return {name for name in templates.queue_names().values() if name.endswith(ending)}


def test_one_message_where_failures_end_raises_an_alarm(prod: Templates) -> None:
    watched = alarms(prod, "ApproximateNumberOfMessagesVisible", "QueueName")
    assert set(watched) == queues(prod, ending=("-dead", "-failures"))
    for alarm in watched.values():
        assert alarm["Threshold"] == 0
        assert alarm["ComparisonOperator"] == "GreaterThanThreshold"
        assert alarm["EvaluationPeriods"] == 1


def test_a_queue_that_is_not_kept_up_with_raises_an_alarm_urgent_lanes_first(prod: Templates) -> None:
    watched = alarms(prod, "ApproximateAgeOfOldestMessage", "QueueName")
    assert set(watched) == set(prod.queue_names().values()) - queues(prod, ending=("-dead", "-failures"))
    limits = {name: alarm["Threshold"] for name, alarm in watched.items()}
    assert limits["onecount-prod-push-shop-urgent"] < limits["onecount-prod-push-shop-bulk"]


def test_a_stream_consumer_that_lags_raises_an_alarm_long_before_records_are_given_up(
    prod: Templates,
) -> None:
    consumers = {f for f, _, mapping in prod.event_sources() if "StartingPosition" in mapping}
    watched = alarms(prod, "IteratorAge", "FunctionName")
    assert set(watched) == {prod.functions()[function]["FunctionName"] for function in consumers}
    for alarm in watched.values():
        assert alarm["Threshold"] <= 6 * 3600 * 1000 / 10


@pytest.mark.parametrize("metric", ["Errors", "Throttles"])
def test_every_functions_errors_and_throttles_raise_an_alarm(prod: Templates, metric: str) -> None:
    assert set(alarms(prod, metric, "FunctionName")) == function_names(prod)


def test_our_own_faults_towards_callers_raise_an_alarm(prod: Templates) -> None:
    (api,) = prod.resources("AWS::ApiGateway::RestApi").values()
    assert set(alarms(prod, "5XXError", "ApiName")) == {api["Name"]}


def test_every_alarm_reaches_the_topic_and_the_topic_reaches_somebody(prod: Templates) -> None:
    ((topic_id, topic),) = prod.resources("AWS::SNS::Topic").items()
    for alarm in prod.resources("AWS::CloudWatch::Alarm").values():
        assert [prod.referent("Monitoring", action) for action in alarm["AlarmActions"]] == [topic_id]
    assert prod.referent("Monitoring", topic["KmsMasterKeyId"]) in prod.resources("AWS::KMS::Key")
    (subscription,) = prod.resources("AWS::SNS::Subscription").values()
    assert subscription["Endpoint"] == "operator@example.com"


def test_the_topic_admits_this_accounts_alarms_over_tls(prod: Templates) -> None:
    (policy,) = prod.resources("AWS::SNS::TopicPolicy").values()
    refusals = [s for s in policy["PolicyDocument"]["Statement"] if s["Effect"] == "Deny"]
    assert [s["Condition"] for s in refusals] == [{"Bool": {"aws:SecureTransport": "false"}}]
    (admission,) = [s for s in policy["PolicyDocument"]["Statement"] if s["Effect"] == "Allow"]
    assert admission["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert admission["Action"] == "sns:Publish"
    assert admission["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}


def test_the_key_lets_alarms_and_file_announcements_through(prod: Templates) -> None:
    (key,) = prod.resources("AWS::KMS::Key").values()
    (admission,) = [
        statement
        for statement in key["KeyPolicy"]["Statement"]
        if "cloudwatch.amazonaws.com" in statement["Principal"].get("Service", [])
    ]
    assert "s3.amazonaws.com" in admission["Principal"]["Service"]
    assert admission["Action"] == ["kms:Decrypt", "kms:GenerateDataKey"]
    assert admission["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}


def test_the_dashboard_shows_every_function_and_every_queue(prod: Templates) -> None:
    (dashboard,) = prod.resources("AWS::CloudWatch::Dashboard").values()
    shown = json.dumps(dashboard["DashboardBody"])
    for name in (*function_names(prod), *prod.queue_names().values()):
        assert f'\\"{name}\\"' in shown

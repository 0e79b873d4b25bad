"""Whatever fails for good or falls behind wakes somebody."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, cast

import pytest

from shared.runtime.metrics import publish_pushes
from tests.infra.templates import Properties, ResourceId, Templates


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


def topic(templates: Templates, stack: str) -> tuple[ResourceId, Mapping[str, Any]]:
    """Return the one topic of a stack."""
    found = templates.resources("AWS::SNS::Topic").items()
    (one,) = [(name, said) for name, said in found if name.stack == stack]
    return one


def policy(templates: Templates, stack: str) -> list[dict[str, Any]]:
    """Return what the policy of a stack's topic states."""
    found = templates.resources("AWS::SNS::TopicPolicy").items()
    (one,) = [said["PolicyDocument"]["Statement"] for name, said in found if name.stack == stack]
    return cast("list[dict[str, Any]]", one)


def test_every_alarm_reaches_the_topic_and_the_topic_reaches_somebody(prod: Templates) -> None:
    topic_id, _ = topic(prod, "Monitoring")
    for alarm in prod.resources("AWS::CloudWatch::Alarm").values():
        assert [prod.referent("Monitoring", action) for action in alarm["AlarmActions"]] == [topic_id]
    for stack in ("Monitoring", "Processing"):
        topic_id, said = topic(prod, stack)
        assert prod.referent(stack, said["KmsMasterKeyId"]) in prod.resources("AWS::KMS::Key")
        subscriptions = prod.resources("AWS::SNS::Subscription").items()
        (endpoint,) = [one["Endpoint"] for name, one in subscriptions if name.stack == stack]
        assert endpoint == "operator@example.com"


def test_the_topics_are_reached_over_tls_only_and_admit_this_accounts_alarms(prod: Templates) -> None:
    for stack in ("Monitoring", "Processing"):
        refusals = [s for s in policy(prod, stack) if s["Effect"] == "Deny"]
        assert [s["Condition"] for s in refusals] == [{"Bool": {"aws:SecureTransport": "false"}}]
    assert [s for s in policy(prod, "Processing") if s["Effect"] == "Allow"] == []
    (admission,) = [s for s in policy(prod, "Monitoring") if s["Effect"] == "Allow"]
    assert admission["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert admission["Action"] == "sns:Publish"
    assert admission["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}


def test_only_who_collects_failures_tells_people_what_is_overdue(prod: Templates) -> None:
    tellers = {
        name: [json.loads(right.resource) for right in prod.rights(name) if right.action == "sns:Publish"]
        for name in prod.functions()
    }
    assert {name for name, topics in tellers.items() if topics} == {"collect_failures"}
    ((resource),) = tellers["collect_failures"]
    assert prod.referent("Processing", resource) == topic(prod, "Processing")[0]


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


def test_the_dashboard_shows_our_own_latencies_by_the_names_that_the_functions_publish(
    prod: Templates, capsys: pytest.CaptureFixture[str]
) -> None:
    publish_pushes("prod", "shop", [timedelta(seconds=1)], 0)
    line = json.loads(capsys.readouterr().out)
    [published] = line["_aws"]["CloudWatchMetrics"]
    assert [line[name] for name in published["Dimensions"][0]] == ["prod", "shop"]
    (dashboard,) = prod.resources("AWS::CloudWatch::Dashboard").values()
    shown = json.dumps(dashboard["DashboardBody"]).replace("\\", "")
    said = f'["{published["Namespace"]}","{published["Metrics"][0]["Name"]}","channel","shop","stage","prod"'
    assert said in shown
    assert '"Onecount","EventToPosting","source","legacy-wms","stage","prod"' in shown

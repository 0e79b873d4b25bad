"""No failure blocks a stream or a queue for long, and none is lost."""

from __future__ import annotations

import json

import pytest

from shared.domain.stock import LocationId, Sku, SourceId, StockKey
from shared.store import layout
from shared.store.table import Key
from tests.infra.templates import Properties, Templates

STREAMS = {
    "apply_messages": (
        "inboxTable",
        [{"eventName": ["INSERT"], "dynamodb": {"NewImage": {"kind": {"S": ["webhook"]}}}}],
    ),
    "reconcile_stock": (
        "stockTable",
        [
            {
                "eventName": ["INSERT", "MODIFY"],
                "dynamodb": {"Keys": {"pk": {"S": [{"prefix": "BAL#"}]}, "sk": {"S": ["-"]}}},
            },
            {
                "eventName": ["INSERT", "MODIFY"],
                "dynamodb": {
                    "Keys": {"pk": {"S": [{"prefix": "PROMISE#"}]}},
                    "NewImage": {"dirty_pk": {"S": [{"exists": True}]}},
                },
            },
            {
                "eventName": ["INSERT", "MODIFY"],
                "dynamodb": {
                    "Keys": {"pk": {"S": [{"prefix": "OBS#"}]}},
                    "NewImage": {"observed_pk": {"S": [{"exists": True}]}},
                },
            },
        ],
    ),
    "fan_out_changes": (
        "stockTable",
        [
            {
                "eventName": ["INSERT", "MODIFY"],
                "dynamodb": {
                    "Keys": {"pk": {"S": [{"prefix": "PROMISE#"}]}},
                    "NewImage": {"dirty_pk": {"S": [{"exists": True}]}},
                },
            }
        ],
    ),
}


def stream_mappings(templates: Templates) -> dict[str, tuple[str, Properties]]:
    return {
        function: (source.logical_id, mapping)
        for function, source, mapping in templates.event_sources()
        if "StartingPosition" in mapping
    }


def queue_mappings(templates: Templates) -> dict[str, tuple[str, Properties]]:
    names = templates.queue_names()
    return {
        names[source]: (function, mapping)
        for function, source, mapping in templates.event_sources()
        if source in names
    }


def test_the_streams_have_exactly_their_consumers(prod: Templates) -> None:
    assert set(stream_mappings(prod)) == set(STREAMS)


def test_no_stream_has_more_than_two_consumers(prod: Templates) -> None:
    sources = [source for source, _ in stream_mappings(prod).values()]
    assert max(sources.count(source) for source in sources) <= 2


@pytest.mark.parametrize("function", STREAMS)
def test_a_stream_consumer_is_woken_by_its_records_alone(prod: Templates, function: str) -> None:
    source, mapping = stream_mappings(prod)[function]
    table, patterns = STREAMS[function]
    assert source.startswith(table)
    assert [json.loads(f["Pattern"]) for f in mapping["FilterCriteria"]["Filters"]] == patterns
    assert mapping["StartingPosition"] == "TRIM_HORIZON"


SHIRT = StockKey(Sku("SHIRT-1"), LocationId("DC1"))


@pytest.mark.parametrize(
    ("function", "key"),
    [
        ("reconcile_stock", layout.balance_key(SHIRT)),
        ("reconcile_stock", layout.promise_key(SHIRT)),
        ("reconcile_stock", layout.observation_key(SHIRT.sku, SHIRT.location, SourceId("erp"), "on_hand")),
        ("fan_out_changes", layout.promise_key(SHIRT)),
    ],
)
def test_the_filters_let_the_keys_through_that_the_store_writes(
    prod: Templates, function: str, key: Key
) -> None:
    _, mapping = stream_mappings(prod)[function]
    rules = [json.loads(f["Pattern"])["dynamodb"]["Keys"] for f in mapping["FilterCriteria"]["Filters"]]
    assert any(key.pk.startswith(rule["pk"]["S"][0]["prefix"]) for rule in rules)


@pytest.mark.parametrize("function", STREAMS)
def test_a_bad_record_is_isolated_given_up_in_time_and_reported(prod: Templates, function: str) -> None:
    _, mapping = stream_mappings(prod)[function]
    assert mapping["BisectBatchOnFunctionError"] is True
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert 0 < mapping["MaximumRetryAttempts"] <= 5
    assert 0 < mapping["MaximumRecordAgeInSeconds"] <= 6 * 3600
    destination = prod.referent("Processing", mapping["DestinationConfig"]["OnFailure"]["Destination"])
    assert destination is not None
    assert prod.queue_names()[destination] == f"onecount-prod-{function.replace('_', '-')}-failures"


def test_messages_are_applied_at_once_and_four_batches_of_a_shard_together(prod: Templates) -> None:
    _, mapping = stream_mappings(prod)["apply_messages"]
    assert mapping["BatchSize"] == 100
    assert mapping["MaximumBatchingWindowInSeconds"] <= 1
    assert mapping["ParallelizationFactor"] == 4


def test_every_queue_that_carries_work_has_dead_letters_of_its_own_kept_two_weeks(prod: Templates) -> None:
    names = prod.queue_names()
    queues = prod.resources("AWS::SQS::Queue")
    for id_, queue in queues.items():
        if queue["QueueName"].endswith(("-dead", "-failures")):
            assert queue["MessageRetentionPeriod"] == 14 * 24 * 3600
            continue
        dead_letters = prod.referent(id_.stack, queue["RedrivePolicy"]["deadLetterTargetArn"])
        assert dead_letters is not None
        assert names[dead_letters] == f"{queue['QueueName']}-dead"
        assert queue["RedrivePolicy"]["maxReceiveCount"] == 5


def test_every_queue_is_encrypted_and_refuses_plain_http(prod: Templates) -> None:
    closed = {
        prod.referent(id_.stack, queue)
        for id_, policy in prod.resources("AWS::SQS::QueuePolicy").items()
        for queue in policy["Queues"]
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Deny"
        and statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    }
    for id_, queue in prod.resources("AWS::SQS::Queue").items():
        assert prod.referent(id_.stack, queue["KmsMasterKeyId"]) in prod.resources("AWS::KMS::Key")
        assert id_ in closed


def test_every_queue_that_carries_work_is_read_by_one_function_which_says_what_failed(
    prod: Templates,
) -> None:
    mappings = queue_mappings(prod)
    work = {name for name in prod.queue_names().values() if not name.endswith(("-dead", "-failures"))}
    assert set(mappings) == work
    for _, mapping in mappings.values():
        assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


def test_a_message_stays_hidden_six_times_as_long_as_its_consumer_may_run(prod: Templates) -> None:
    visibility = {
        queue["QueueName"]: queue["VisibilityTimeout"] for queue in prod.resources("AWS::SQS::Queue").values()
    }
    for queue, (function, _) in queue_mappings(prod).items():
        assert visibility[queue] >= 6 * prod.functions()[function]["Timeout"]


def test_a_file_is_a_whole_invocations_work(prod: Templates) -> None:
    function, mapping = queue_mappings(prod)["onecount-prod-drop"]
    assert function == "ingest_file"
    assert mapping["BatchSize"] == 1
    assert prod.functions()["ingest_file"]["Timeout"] == 900


@pytest.mark.parametrize("channel", ["shop", "partner-feed"])
def test_each_channel_has_an_urgent_and_a_bulk_lane_with_workers_of_their_own(
    prod: Templates, channel: str
) -> None:
    mappings = queue_mappings(prod)
    for lane, batch_size, window in (("urgent", 10, 0), ("bulk", 100, 1)):
        function, mapping = mappings[f"onecount-prod-push-{channel}-{lane}"]
        assert function == "push_channel"
        assert mapping["BatchSize"] == batch_size
        assert mapping["MaximumBatchingWindowInSeconds"] == window
        assert mapping["ScalingConfig"] == {"MaximumConcurrency": 2}


def test_what_runs_each_minute_never_overlaps(prod: Templates) -> None:
    woken = set()
    for rule in prod.resources("AWS::Events::Rule").values():
        assert rule["ScheduleExpression"] == "rate(1 minute)"
        (target,) = rule["Targets"]
        function = prod.referent("Processing", target["Arn"])
        assert function is not None
        properties = prod.resources("AWS::Lambda::Function")[function]
        assert properties["Timeout"] < 60
        woken.add(properties["Handler"].split(".")[1])
    assert woken == {"collect_failures", "expire_reservations", "sweep_drift"}

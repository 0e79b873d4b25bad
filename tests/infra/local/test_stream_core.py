"""The rules of a stream consumer, driven without I/O: a scripted function, a clock that the test moves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.local.stream_core import (
    PAYLOAD_LIMIT_BYTES,
    Batch,
    Discard,
    Failed,
    GivenUp,
    Invoke,
    Lane,
    MappingSettings,
    NotReached,
    Outcome,
    PartlyFailed,
    Progress,
    ShardConsumer,
    StreamRecord,
    Succeeded,
    failure_record,
    judge_answer,
    lane_of,
    readable_shards,
)

FUNCTION = "arn:aws:lambda:us-east-1:000000000000:function:consume"
STREAM = "arn:aws:dynamodb:us-east-1:000000000000:table/work/stream/2026-11-21T00:00:00.000"


def settings(**changes: object) -> MappingSettings:
    plain: dict[str, object] = {"id": "mapping", "function_arn": FUNCTION, "stream_arn": STREAM}
    return MappingSettings(**{**plain, **changes})  # type: ignore[arg-type]


def record(number: int, *, key: str = "k", created_at: float = 0.0, size_bytes: int = 100) -> StreamRecord:
    return StreamRecord(str(number), created_at, key, {"number": number}, size_bytes)


@dataclass
class Function:
    """Runs a lane to its end against a function that answers by rule."""

    answer: Callable[[Batch], Outcome]
    called_with: list[tuple[str, ...]] = field(default_factory=list)
    finished: list[str] = field(default_factory=list)
    given_up: list[Discard] = field(default_factory=list)
    now: float = 0.0

    def run(self, lane: Lane, *, steps: int = 10_000) -> Function:
        for _ in range(steps):
            step = lane.next_step(self.now)
            if step is None:
                wakes = lane.wakes_at(self.now)
                if wakes is None:
                    return self
                self.now = max(wakes, self.now + 0.001)
            elif isinstance(step, Invoke):
                self.called_with.append(step.batch.sequences)
                self.finished += lane.complete(self.answer(step.batch), self.now)
            else:
                self.given_up.append(step)
                self.finished += lane.complete(Succeeded(), self.now)
        raise AssertionError("the lane never came to rest")


def filled(lane: Lane, numbers: range, **fields: object) -> Lane:
    for number in numbers:
        lane.add(record(number, **fields), 0.0)  # type: ignore[arg-type]
    return lane


def raises_on(*poison: str) -> Callable[[Batch], Outcome]:
    return lambda batch: Failed() if set(poison) & set(batch.sequences) else Succeeded()


def reports(*poison: str) -> Callable[[Batch], Outcome]:
    def answer(batch: Batch) -> Outcome:
        failed = [position for position, sequence in enumerate(batch.sequences) if sequence in poison]
        return PartlyFailed(min(failed)) if failed else Succeeded()

    return answer


class TestBatches:
    def test_a_batch_holds_at_most_its_size_and_the_rest_follows(self) -> None:
        function = Function(raises_on()).run(filled(Lane(settings(batch_size=3)), range(7)))

        assert function.called_with == [("0", "1", "2"), ("3", "4", "5"), ("6",)]

    def test_without_a_window_what_is_there_goes_at_once(self) -> None:
        lane = filled(Lane(settings(batch_size=100)), range(2))

        step = lane.next_step(0.0)

        assert isinstance(step, Invoke)
        assert step.batch.sequences == ("0", "1")

    def test_a_window_waits_for_more_until_it_ends_or_the_batch_is_full(self) -> None:
        lane = filled(Lane(settings(batch_size=3, window_seconds=5)), range(2))

        assert lane.next_step(4.9) is None
        assert lane.wakes_at(1.0) == 5.0
        lane.add(record(2), 4.9)
        step = lane.next_step(4.9)

        assert isinstance(step, Invoke)
        assert step.batch.sequences == ("0", "1", "2")

    def test_a_batch_stays_within_the_payload_limit(self) -> None:
        lane = filled(Lane(settings(window_seconds=60)), range(3), size_bytes=PAYLOAD_LIMIT_BYTES // 2)

        function = Function(raises_on()).run(lane)

        assert function.called_with == [("0", "1"), ("2",)]

    def test_one_batch_is_under_way_at_a_time(self) -> None:
        lane = filled(Lane(settings(batch_size=1)), range(2))

        assert lane.next_step(0.0) is not None
        assert lane.next_step(0.0) is None
        assert lane.complete(Succeeded(), 0.0) == ("0",)
        assert lane.next_step(0.0) is not None


class TestRetries:
    def test_a_failing_batch_is_called_once_more_than_its_retries_and_then_given_up_whole(self) -> None:
        function = Function(raises_on("1")).run(filled(Lane(settings(max_retries=3)), range(3)))

        assert function.called_with == [("0", "1", "2")] * 4
        assert [(one.reason, one.batch.sequences, one.batch.calls) for one in function.given_up] == [
            (GivenUp.RETRIES, ("0", "1", "2"), 4)
        ]

    def test_no_retries_means_one_call(self) -> None:
        function = Function(raises_on("0")).run(filled(Lane(settings(max_retries=0)), range(1)))

        assert function.called_with == [("0",)]
        assert len(function.given_up) == 1

    def test_without_a_limit_it_is_retried_until_it_works(self) -> None:
        answers: Iterator[Outcome] = iter((*[Failed()] * 40, Succeeded()))
        function = Function(lambda _: next(answers)).run(filled(Lane(settings()), range(1)))

        assert len(function.called_with) == 41
        assert function.given_up == []

    def test_bisect_isolates_one_poison_record_and_delivers_every_other_once_successfully(self) -> None:
        function = Function(raises_on("5"))
        delivered: list[str] = []
        judge = function.answer

        def remember(batch: Batch) -> Outcome:
            outcome = judge(batch)
            delivered.extend(batch.sequences if isinstance(outcome, Succeeded) else ())
            return outcome

        function.answer = remember
        function.run(filled(Lane(settings(max_retries=2, bisect=True)), range(8)))

        assert delivered == ["0", "1", "2", "3", "4", "6", "7"]
        assert [one.batch.sequences for one in function.given_up] == [("5",)]
        assert function.finished == [str(number) for number in range(8)]

    def test_a_split_does_not_count_towards_the_retries(self) -> None:
        function = Function(raises_on("0")).run(filled(Lane(settings(max_retries=1, bisect=True)), range(4)))

        assert function.called_with[:4] == [("0", "1", "2", "3"), ("0", "1"), ("0",), ("0",)]
        assert function.given_up[0].batch.calls == 4

    def test_throttling_counts_for_nothing(self) -> None:
        answers: Iterator[Outcome] = iter((*[NotReached()] * 20, Failed(), Succeeded()))
        function = Function(lambda _: next(answers)).run(filled(Lane(settings(max_retries=1)), range(1)))

        assert function.given_up == []
        assert function.finished == ["0"]

    def test_retries_wait_longer_and_longer_and_success_resets_the_wait(self) -> None:
        lane = filled(Lane(settings(batch_size=1)), range(2))
        waits: list[float] = []
        for _ in range(3):
            lane.next_step(0.0 if not waits else sum(waits))
            lane.complete(Failed(), sum(waits))
            wakes = lane.wakes_at(sum(waits))
            assert wakes is not None
            waits.append(wakes - sum(waits))

        assert waits == pytest.approx([0.1, 0.2, 0.4])
        assert lane.next_step(sum(waits) - 0.01) is None
        assert lane.next_step(sum(waits)) is not None
        lane.complete(Succeeded(), sum(waits))
        assert lane.next_step(sum(waits)) is not None

    def test_a_failure_that_could_not_be_reported_is_reported_again_before_anything_is_finished(self) -> None:
        lane = filled(Lane(settings(max_retries=0)), range(1))
        lane.next_step(0.0)
        lane.complete(Failed(), 0.0)
        first = lane.next_step(1.0)

        assert isinstance(first, Discard)
        assert lane.complete(NotReached(), 1.0) == ()
        again = lane.next_step(2.0)
        assert isinstance(again, Discard)
        assert lane.complete(Succeeded(), 2.0) == ("0",)


class TestPartialAnswers:
    def test_what_precedes_the_lowest_failure_is_finished_and_the_rest_is_retried(self) -> None:
        lane = filled(Lane(settings(reports_failures=True, max_retries=5)), range(5))
        lane.next_step(0.0)

        assert lane.complete(PartlyFailed(2), 0.0) == ("0", "1")
        step = lane.next_step(1.0)
        assert isinstance(step, Invoke)
        assert step.batch.sequences == ("2", "3", "4")

    def test_with_bisect_only_the_failing_record_is_given_up(self) -> None:
        lane = filled(Lane(settings(reports_failures=True, bisect=True, max_retries=2)), range(10))

        function = Function(reports("3", "7")).run(lane)

        assert [one.batch.sequences for one in function.given_up] == [("3",), ("7",)]
        assert function.finished == [str(number) for number in range(10)]
        assert function.given_up[0].batch.last_error is not None
        assert function.given_up[0].batch.last_error.value is None

    def test_without_bisect_the_rest_of_the_batch_goes_with_it(self) -> None:
        lane = filled(Lane(settings(reports_failures=True, max_retries=1)), range(4))

        function = Function(reports("1")).run(lane)

        assert [one.batch.sequences for one in function.given_up] == [("1", "2", "3")]

    @pytest.mark.parametrize("answer", [None, {}, {"batchItemFailures": []}, {"batchItemFailures": None}])
    def test_nothing_reported_is_success(self, answer: object) -> None:
        batch = Batch((record(1), record(2)))

        assert judge_answer(answer, batch, reports_failures=True) == Succeeded()

    @pytest.mark.parametrize(
        "answer",
        [
            {"batchItemFailures": [{"itemIdentifier": ""}]},
            {"batchItemFailures": [{"itemIdentifier": None}]},
            {"batchItemFailures": [{"item": "1"}]},
            {"batchItemFailures": [{"itemIdentifier": "99"}]},
            {"batchItemFailures": [{"itemIdentifier": "2"}, {"itemIdentifier": "99"}]},
            {"batchItemFailures": ["1"]},
            {"batchItemFailures": "1"},
            {"failures": []},
            "done",
            [],
        ],
    )
    def test_an_answer_that_names_no_record_of_the_batch_fails_it_whole(self, answer: object) -> None:
        batch = Batch((record(1), record(2)))

        assert judge_answer(answer, batch, reports_failures=True) == Failed()

    def test_the_lowest_reported_record_counts(self) -> None:
        batch = Batch((record(1), record(2), record(3)))
        answer = {"batchItemFailures": [{"itemIdentifier": "3"}, {"itemIdentifier": "2"}]}

        assert judge_answer(answer, batch, reports_failures=True) == PartlyFailed(1)

    def test_without_reporting_any_answer_is_success(self) -> None:
        answer = {"batchItemFailures": [{"itemIdentifier": "1"}]}

        assert judge_answer(answer, Batch((record(1),)), reports_failures=False) == Succeeded()


class TestAge:
    def test_records_that_are_too_old_are_given_up_unseen_and_the_younger_go_on(self) -> None:
        lane = Lane(settings(max_age_seconds=60))
        lane.add(record(1, created_at=0), 100)
        lane.add(record(2, created_at=39), 100)
        lane.add(record(3, created_at=90), 100)

        function = Function(raises_on(), now=100.0).run(lane)

        assert [(one.reason, one.batch.sequences, one.batch.calls) for one in function.given_up] == [
            (GivenUp.AGE, ("1", "2"), 0)
        ]
        assert function.called_with == [("3",)]

    def test_a_record_that_grows_too_old_between_retries_is_given_up_for_its_age(self) -> None:
        function = Function(raises_on("1")).run(filled(Lane(settings(max_age_seconds=3)), range(1, 2)))

        assert [one.reason for one in function.given_up] == [GivenUp.AGE]
        assert function.given_up[0].batch.calls == len(function.called_with) > 3


class TestOrder:
    def test_a_key_always_takes_the_same_lane(self) -> None:
        assert {lane_of("sku-1", 10) for _ in range(5)} == {lane_of("sku-1", 10)}
        assert len({lane_of(f"sku-{number}", 10) for number in range(200)}) == 10

    def test_a_key_that_fails_holds_back_its_own_lane_only(self) -> None:
        shard = ShardConsumer("shard", settings(parallelization=10, batch_size=1), Progress())
        stuck, free = "a", next(key for key in "bcdefgh" if lane_of(key, 10) != lane_of("a", 10))
        shard.accept(record(1, key=stuck), 0.0, passes=True)
        shard.accept(record(2, key=free), 0.0, passes=True)
        shard.accept(record(3, key=stuck), 0.0, passes=True)
        blocked, other = shard.lanes[lane_of(stuck, 10)], shard.lanes[lane_of(free, 10)]

        blocked.next_step(0.0)
        blocked.complete(Failed(), 0.0)
        other.next_step(0.0)

        assert other.complete(Succeeded(), 0.0) == ("2",)
        again = blocked.next_step(1.0)
        assert isinstance(again, Invoke)
        assert again.batch.sequences == ("1",)

    @given(
        keys=st.lists(st.sampled_from("abcdef"), min_size=1, max_size=40),
        poison=st.sets(st.integers(0, 39), max_size=4),
        bisect=st.booleans(),
        partial=st.booleans(),
        lanes=st.integers(1, 4),
        batch_size=st.integers(1, 8),
    )
    def test_every_record_is_delivered_or_given_up_and_keys_keep_their_order(
        self,
        keys: list[str],
        poison: set[int],
        bisect: bool,
        partial: bool,
        lanes: int,
        batch_size: int,
    ) -> None:
        declared = settings(parallelization=lanes, batch_size=batch_size, bisect=bisect, max_retries=2)
        shard = ShardConsumer("shard", declared, Progress())
        for number, key in enumerate(keys):
            shard.accept(record(number, key=key), 0.0, passes=True)
        bad = [str(number) for number in poison]
        answer = reports(*bad) if partial else raises_on(*bad)
        runs = [Function(answer).run(lane) for lane in shard.lanes]
        for run in runs:
            shard.progress.finished(run.finished)

        given_up = {sequence for run in runs for one in run.given_up for sequence in one.batch.sequences}
        finished = [sequence for run in runs for sequence in run.finished]
        assert sorted(finished, key=int) == [str(number) for number in range(len(keys))]
        assert shard.progress.checkpoint == str(len(keys) - 1)
        assert {str(number) for number in poison if number < len(keys)} <= given_up
        if bisect:
            assert given_up <= set(bad)
        for key in set(keys):
            mine = [sequence for sequence in finished if keys[int(sequence)] == key]
            assert mine == sorted(mine, key=int)


class TestCheckpoints:
    def test_the_checkpoint_stops_before_the_first_unfinished_record(self) -> None:
        progress = Progress()
        for number in range(1, 5):
            progress.started(str(number))

        assert not progress.finished(["2", "3"])
        assert progress.checkpoint is None
        assert progress.finished(["1"])
        assert progress.checkpoint == "3"
        assert not progress.all_finished
        progress.finished(["4"])
        assert progress.all_finished

    def test_what_was_invoked_but_not_checkpointed_is_delivered_again(self) -> None:
        before = ShardConsumer("shard", settings(batch_size=1), Progress())
        for number in (1, 2):
            before.accept(record(number), 0.0, passes=True)
        before.lanes[0].next_step(0.0)
        before.progress.finished(before.lanes[0].complete(Succeeded(), 0.0))
        before.lanes[0].next_step(0.0)  # invoked, and then the process dies

        after = ShardConsumer("shard", settings(batch_size=1), Progress(before.progress.checkpoint))
        for number in (1, 2):
            after.accept(record(number), 0.0, passes=True)

        step = after.lanes[0].next_step(0.0)
        assert isinstance(step, Invoke)
        assert step.batch.sequences == ("2",)

    def test_filtered_records_are_checkpointed_without_being_sent(self) -> None:
        shard = ShardConsumer("shard", settings(), Progress())
        shard.accept(record(1), 0.0, passes=False)

        assert shard.progress.checkpoint == "1"
        assert shard.waiting == 0

    def test_records_read_twice_are_taken_once(self) -> None:
        shard = ShardConsumer("shard", settings(), Progress())
        for number in (1, 2, 1, 2, 3):
            shard.accept(record(number), 0.0, passes=True)

        assert shard.waiting == 3


class TestShards:
    def test_a_child_waits_until_its_parent_is_read_to_the_end(self) -> None:
        parents = {"old": None, "new": "old", "newest": "new"}

        assert readable_shards(parents, []) == ["old"]
        assert readable_shards(parents, ["old"]) == ["new"]
        assert readable_shards(parents, ["old", "new"]) == ["newest"]

    def test_a_shard_whose_parent_was_trimmed_is_readable(self) -> None:
        assert readable_shards({"orphan": "gone"}, []) == ["orphan"]

    def test_siblings_are_read_side_by_side(self) -> None:
        assert readable_shards({"a": "root", "b": "root", "root": None}, ["root"]) == ["a", "b"]


def test_a_failure_is_described_in_the_form_aws_uses() -> None:
    batch = Batch((record(7), record(9)), failures=3, calls=3)

    told = failure_record(
        settings(),
        "shardId-1",
        Discard(batch, GivenUp.RETRIES),
        request_id="request",
        now="2026-11-21T00:00:10.000Z",
        arrivals=("2026-11-21T00:00:00Z", "2026-11-21T00:00:01Z"),
    )

    assert told == {
        "requestContext": {
            "requestId": "request",
            "functionArn": FUNCTION,
            "condition": "RetryAttemptsExhausted",
            "approximateInvokeCount": 3,
        },
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": None},
        "version": "1.0",
        "timestamp": "2026-11-21T00:00:10.000Z",
        "DDBStreamBatchInfo": {
            "shardId": "shardId-1",
            "startSequenceNumber": "7",
            "endSequenceNumber": "9",
            "approximateArrivalOfFirstRecord": "2026-11-21T00:00:00Z",
            "approximateArrivalOfLastRecord": "2026-11-21T00:00:01Z",
            "batchSize": 2,
            "streamArn": STREAM,
        },
    }


def test_a_mapping_is_read_as_the_api_describes_it() -> None:
    described = {
        "UUID": "id",
        "FunctionArn": FUNCTION,
        "EventSourceArn": STREAM,
        "BatchSize": 25,
        "MaximumBatchingWindowInSeconds": 2,
        "ParallelizationFactor": 4,
        "BisectBatchOnFunctionError": True,
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "MaximumRetryAttempts": 0,
        "MaximumRecordAgeInSeconds": -1,
        "StartingPosition": "LATEST",
        "FilterCriteria": {"Filters": [{"Pattern": '{"eventName":["INSERT"]}'}]},
        "DestinationConfig": {"OnFailure": {"Destination": "arn:aws:sqs:us-east-1:0:failures"}},
    }

    assert MappingSettings.from_api(described) == MappingSettings(
        id="id",
        function_arn=FUNCTION,
        stream_arn=STREAM,
        batch_size=25,
        window_seconds=2.0,
        parallelization=4,
        bisect=True,
        reports_failures=True,
        max_retries=0,
        max_age_seconds=None,
        from_latest=True,
        filters=('{"eventName":["INSERT"]}',),
        on_failure="arn:aws:sqs:us-east-1:0:failures",
    )

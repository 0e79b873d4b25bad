"""The pump against a stream that splits, forgets, throttles and refuses: through its real clients, no time waited."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from infra.local.checkpoints import Checkpoints
from infra.local.event_pattern import UnknownPatternError
from infra.local.stream_core import MappingSettings
from infra.local.stream_pump import MappingPump
from infra.local.stream_reading import SharedStream
from tests.infra.local.stream_service import (
    SHARD_PREFIX,
    RefusedError,
    Shard,
    StreamService,
    number_of,
    sequence_on_wire,
    serving,
)

STREAM = "arn:aws:dynamodb:us-east-1:000000000000:table/work/stream/2026"
FUNCTION = "arn:aws:lambda:us-east-1:000000000000:function:consume"
QUEUE = "arn:aws:sqs:us-east-1:000000000000:failures"


@pytest.fixture
def service() -> Iterator[StreamService]:
    with serving(StreamService()) as made:
        made.shards["s1"] = Shard()
        yield made


@contextmanager
def pumping(service: StreamService, folder: Path, **settings: Any) -> Iterator[MappingPump]:
    declared = MappingSettings("mapping", FUNCTION, STREAM, **settings)
    pump = MappingPump(declared, service.endpoint, Checkpoints(folder / "mapping.json", STREAM))
    stop = threading.Event()
    thread = threading.Thread(target=pump.run, args=(stop,))
    thread.start()
    try:
        yield pump
    finally:
        stop.set()
        thread.join(timeout=10)
        assert not thread.is_alive()


def eventually(look: Callable[[], object], *, within_seconds: float = 10.0) -> None:
    deadline = time.monotonic() + within_seconds
    while not look():
        assert time.monotonic() < deadline, "not seen in time"
        time.sleep(0.005)


def checkpoint(folder: Path) -> dict[str, Any]:
    """The checkpoint file in the test's short names; nothing finished if there is none."""
    path = folder / "mapping.json"
    noted = json.loads(path.read_text()) if path.exists() else {"shards": {}, "closed": []}
    return {
        "shards": {
            shard.removeprefix(SHARD_PREFIX): number_of(one) for shard, one in noted["shards"].items()
        },
        "closed": [shard.removeprefix(SHARD_PREFIX) for shard in noted["closed"]],
    }


def test_a_child_shard_is_read_after_its_parent_has_ended_and_is_done(
    service: StreamService, tmp_path: Path
) -> None:
    release = threading.Event()

    def hold_the_last_of_the_parent(event: dict[str, Any]) -> None:
        if number_of(event["Records"][0]["dynamodb"]["SequenceNumber"]) == 2:
            assert release.wait(10)

    service.function = hold_the_last_of_the_parent
    service.shards |= {"left": Shard(parent="s1"), "right": Shard(parent="s1")}
    for shard, sequence in (("s1", 1), ("s1", 2), ("left", 3), ("right", 4)):
        service.add(shard, sequence)
    service.shards["s1"].closed = True

    with pumping(service, tmp_path, batch_size=1):
        eventually(lambda: service.delivered == [1])
        time.sleep(0.2)
        assert service.delivered == [1]
        release.set()
        eventually(lambda: len(service.delivered) == 4)

    assert service.delivered[:2] == [1, 2]
    assert sorted(service.delivered[2:]) == [3, 4]
    assert checkpoint(tmp_path)["closed"] == ["s1"]


@contextmanager
def pumping_both(service: StreamService, first: Checkpoints, second: Checkpoints) -> Iterator[None]:
    """Two mappings of one stream, reading it together."""
    shared = SharedStream(service.endpoint, STREAM)
    stop = threading.Event()
    pumps = [
        MappingPump(MappingSettings(name, FUNCTION, STREAM), service.endpoint, noted, shared)
        for name, noted in (("first", first), ("second", second))
    ]
    threads = [threading.Thread(target=pump.run, args=(stop,)) for pump in pumps]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(timeout=10)


def test_two_mappings_of_a_stream_each_get_every_record_and_it_is_read_once(
    service: StreamService, tmp_path: Path
) -> None:
    for sequence in range(1, 31):
        service.add("s1", sequence)
    first, second = (Checkpoints(tmp_path / f"{name}.json", STREAM) for name in ("first", "second"))

    with pumping_both(service, first, second):
        eventually(lambda: len(service.delivered) == 60)
        assert service.pages_read == 1
        service.add("s1", 31)
        eventually(lambda: len(service.delivered) == 62)

    assert service.pages_read == 2
    assert sorted(service.delivered) == sorted([*range(1, 32), *range(1, 32)])


def test_a_mapping_whose_checkpoint_is_forgotten_reads_every_record_beside_one_that_is_new(
    service: StreamService, tmp_path: Path
) -> None:
    for sequence in (5, 6, 7):
        service.add("s1", sequence)
    begun, new = (Checkpoints(tmp_path / f"{name}.json", STREAM) for name in ("begun", "new"))
    begun.note(f"{SHARD_PREFIX}s1", sequence_on_wire(3))

    with pumping_both(service, begun, new):
        eventually(lambda: len(service.delivered) == 6)
        service.add("s1", 8)
        eventually(lambda: len(service.delivered) == 8)

    assert sorted(service.delivered) == [5, 5, 6, 6, 7, 7, 8, 8]


def test_a_new_pump_reads_neither_finished_shards_nor_finished_records_again(
    service: StreamService, tmp_path: Path
) -> None:
    service.shards["s2"] = Shard(parent="s1")
    service.shards["s1"].closed = True
    service.add("s1", 1)
    service.add("s2", 2)
    with pumping(service, tmp_path):
        eventually(lambda: service.delivered == [1, 2])

    service.add("s2", 3)
    with pumping(service, tmp_path):
        eventually(lambda: len(service.delivered) == 3)

    assert service.delivered == [1, 2, 3]


def test_an_expired_iterator_is_renewed_where_reading_had_come(
    service: StreamService, tmp_path: Path
) -> None:
    service.add("s1", 1)
    with pumping(service, tmp_path):
        eventually(lambda: service.delivered == [1])
        service.expire_next_read = True
        eventually(lambda: not service.expire_next_read)
        service.add("s1", 2)
        eventually(lambda: service.delivered == [1, 2])


def test_a_checkpoint_that_the_stream_has_forgotten_means_its_oldest_record(
    service: StreamService, tmp_path: Path
) -> None:
    service.add("s1", 1)
    with pumping(service, tmp_path):
        eventually(lambda: service.delivered == [1])
    service.shards["s1"].records.clear()
    service.add("s1", 7)

    with pumping(service, tmp_path):
        eventually(lambda: service.delivered == [1, 7])


def test_checkpoints_of_another_stream_are_not_this_ones(tmp_path: Path) -> None:
    Checkpoints(tmp_path / "mapping.json", "arn:old").note("s1", "5")

    assert Checkpoints(tmp_path / "mapping.json", "arn:old").of("s1") == "5"
    assert Checkpoints(tmp_path / "mapping.json", "arn:new").is_fresh


def test_latest_starts_behind_what_is_there_but_only_the_first_time(
    service: StreamService, tmp_path: Path
) -> None:
    service.add("s1", 1)
    with pumping(service, tmp_path, from_latest=True) as pump:
        eventually(lambda: pump.counters.caught_up_at)
        service.add("s1", 2)
        eventually(lambda: service.delivered == [2])
    service.add("s1", 3)
    with pumping(service, tmp_path, from_latest=True):
        eventually(lambda: service.delivered == [2, 3])


def test_a_throttled_function_is_called_again_and_loses_no_retry(
    service: StreamService, tmp_path: Path
) -> None:
    refusals = iter([True, True, False])

    def throttle_twice(_: dict[str, Any]) -> None:
        if next(refusals):
            raise RefusedError("TooManyRequestsException")

    service.function = throttle_twice
    service.add("s1", 1)

    with pumping(service, tmp_path, max_retries=0, on_failure=QUEUE) as pump:
        eventually(lambda: service.delivered == [1])
        eventually(lambda: pump.counters.calls == 1)

    assert service.messages == []


def test_nothing_is_checkpointed_before_its_failure_is_on_record(
    service: StreamService, tmp_path: Path
) -> None:
    def fail(_: dict[str, Any]) -> None:
        raise RuntimeError("broken")

    service.function = fail
    service.refuse_messages = 3
    service.add("s1", 1)

    with pumping(service, tmp_path, max_retries=0, on_failure=QUEUE) as pump:
        eventually(lambda: service.refuse_messages == 0)
        assert checkpoint(tmp_path)["shards"] == {}
        eventually(lambda: service.messages)
        eventually(lambda: pump.counters.given_up_records == 1)

    assert service.delivered == [1]
    (told,) = service.messages
    assert told["requestContext"] | {"requestId": ""} == {
        "requestId": "",
        "functionArn": FUNCTION,
        "condition": "RetryAttemptsExhausted",
        "approximateInvokeCount": 1,
    }
    assert told["responseContext"]["functionError"] == "Unhandled"
    assert checkpoint(tmp_path)["shards"] == {"s1": 1}


def test_a_slow_key_delays_no_other_key(service: StreamService, tmp_path: Path) -> None:
    release = threading.Event()

    def slow_on_a(event: dict[str, Any]) -> None:
        if event["Records"][0]["dynamodb"]["Keys"]["pk"]["S"] == "a":
            assert release.wait(10)

    service.function = slow_on_a
    service.add("s1", 1, key="a")
    for sequence, key in enumerate("bcdefghijk", start=2):
        service.add("s1", sequence, key=key)

    with pumping(service, tmp_path, parallelization=10, batch_size=1):
        eventually(lambda: len(service.delivered) >= 5)
        assert 1 not in service.delivered
        assert checkpoint(tmp_path)["shards"] == {}
        release.set()
        eventually(lambda: len(service.delivered) == 11)
        eventually(lambda: checkpoint(tmp_path)["shards"] == {"s1": 11})


def test_records_that_the_filter_rejects_move_the_checkpoint_without_a_call(
    service: StreamService, tmp_path: Path
) -> None:
    service.add("s1", 1, event_name="MODIFY")
    service.add("s1", 2)
    service.add("s1", 3, event_name="REMOVE")

    with pumping(service, tmp_path, filters=('{"eventName":["INSERT"]}',)):
        eventually(lambda: checkpoint(tmp_path)["shards"] == {"s1": 3})

    assert service.invoked == [[2]]


def test_a_window_gathers_what_comes_within_it(service: StreamService, tmp_path: Path) -> None:
    with pumping(service, tmp_path, window_seconds=0.4):
        for sequence in range(1, 4):
            service.add("s1", sequence)
            time.sleep(0.05)
        eventually(lambda: service.invoked)

    assert service.invoked == [[1, 2, 3]]


def test_a_service_that_is_away_is_waited_for(tmp_path: Path) -> None:
    service = StreamService()
    service.shards["s1"] = Shard()
    service.add("s1", 1)
    with serving(service), pumping(service, tmp_path) as pump:
        eventually(lambda: service.delivered == [1])
        away, service.shards = service.shards, {}
        eventually(lambda: pump.counters.trouble)
        service.shards = away
        service.add("s1", 2)
        eventually(lambda: service.delivered == [1, 2])


def test_a_filter_that_is_not_understood_stops_the_pump_at_once(
    service: StreamService, tmp_path: Path
) -> None:
    declared = MappingSettings("mapping", FUNCTION, STREAM, filters=('{"a":[{"cidr":"10.0.0.0/8"}]}',))

    with pytest.raises(UnknownPatternError, match="cidr"):
        MappingPump(declared, service.endpoint, Checkpoints(tmp_path / "mapping.json", STREAM))

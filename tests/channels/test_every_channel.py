"""What every channel connector promises, on the real HTTP server."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta

import pytest

from shared.channels.contract import ChannelError, Confirmed, Deferred, Refused, Stale, Unknown
from tests.channels.arrange import Bench, by_listing, listing, offer


def test_a_taken_number_is_confirmed_and_can_be_read_back(bench: Bench) -> None:
    bench.stock(5, 6)

    outcomes = bench.connector.push([offer(0, 12, expected=5), offer(1, 0)])

    assert by_listing(outcomes) == {
        listing(0): Confirmed(listing(0), 12),
        listing(1): Confirmed(listing(1), 0),
    }
    assert bench.levels(2) == [12, 0]
    assert bench.connector.read_back([listing(0), listing(1)]) == {listing(0): 12, listing(1): 0}


def test_what_the_channel_does_not_stock_reads_as_none_not_as_zero(bench: Bench) -> None:
    bench.stock(5)

    assert bench.connector.read_back([listing(0), listing(9)]) == {listing(0): 5, listing(9): None}


def test_a_stale_offer_names_the_number_found_and_the_rest_is_still_written(bench: Bench) -> None:
    bench.stock(5, 6, 7)

    outcomes = bench.connector.push(
        [offer(0, 1, expected=5), offer(1, 1, expected=9), offer(2, 1, expected=7)]
    )

    assert by_listing(outcomes)[listing(1)] == Stale(listing(1), observed=6)
    assert bench.levels(3) == [1, 6, 1]
    assert sum(isinstance(outcome, Confirmed) for outcome in outcomes) == 2


def test_a_refused_offer_has_a_remedy_and_the_rest_is_still_written(bench: Bench) -> None:
    bench.stock(5)

    outcomes = by_listing(bench.connector.push([offer(0, 3), offer(9, 3)]))

    refused = outcomes[listing(9)]
    assert isinstance(refused, Refused)
    assert refused.code in ("INVALID_INVENTORY_ITEM", "unknown_item")
    assert refused.remedy
    assert outcomes[listing(0)] == Confirmed(listing(0), 3)
    assert bench.levels(1) == [3]


def test_two_offers_for_one_place_are_refused_because_neither_can_be_right(bench: Bench) -> None:
    bench.stock(5, 6)
    first, second = offer(0, 3), offer(0, 4)

    outcomes = bench.connector.push([first, offer(1, 2), second])

    assert [type(outcome) for outcome in outcomes].count(Refused) == 2
    assert bench.levels(2) == [5, 2]


def test_a_refused_connection_is_deferred_because_nothing_was_sent(bench: Bench) -> None:
    bench.stock(5)
    bench.fake.refuse_connections()

    (outcome,) = bench.connector.push([offer(0, 3)])

    assert isinstance(outcome, Deferred)
    bench.fake.accept_connections()
    assert bench.connector.push([offer(0, 3)]) == [Confirmed(listing(0), 3)]


def test_a_lost_answer_is_unknown_and_reading_back_finds_the_written_number(bench: Bench) -> None:
    bench.stock(5)
    bench.fail("lost", count=1)

    (outcome,) = bench.connector.push([offer(0, 3)])

    assert isinstance(outcome, Unknown)
    assert bench.connector.read_back([listing(0)]) == {listing(0): 3}


def test_a_late_write_is_unknown_and_lands_after_a_reading_back_that_came_too_early(bench: Bench) -> None:
    bench.stock(5)
    bench.fail("late", count=1, seconds=0.3)

    (outcome,) = bench.connector.push([offer(0, 3, expected=5)])

    assert isinstance(outcome, Unknown)
    assert bench.connector.read_back([listing(0)]) == {listing(0): 5}
    wait_until(lambda: bench.connector.read_back([listing(0)]) == {listing(0): 3})


def test_a_fenced_late_write_does_not_undo_a_newer_number(bench: Bench) -> None:
    bench.stock(5)
    bench.fail("late", count=1, seconds=0.3)
    bench.connector.push([offer(0, 3, expected=5)])

    bench.connector.push([offer(0, 0, expected=5)])

    wait_until(lambda: len(bench.writes()) == 2)
    assert bench.connector.fenced
    assert bench.levels(1) == [0]


def test_the_same_batch_sent_again_takes_effect_once(bench: Bench) -> None:
    bench.stock(5)
    batch = [offer(0, 3, expected=5)]
    bench.fail("lost", count=1)
    bench.connector.push(batch)

    again = bench.connector.push(batch)

    keys = {call.key for call in bench.fake.calls_of(bench.name)}
    assert again == [Confirmed(listing(0), 3)]
    assert len(keys) == 1


def test_a_changed_compare_value_is_another_request(bench: Bench) -> None:
    bench.stock(5)
    first = offer(0, 3, expected=9)
    bench.connector.push([first])

    again = offer(0, 3, expected=5)
    outcome = bench.connector.push([again])

    keys = [call.key for call in bench.fake.calls_of(bench.name) if call.operation == "write"]
    assert outcome == [Confirmed(listing(0), 3)]
    assert len(set(keys)) == 2


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_server_error_is_unknown(bench: Bench, status: int) -> None:
    bench.stock(5)
    bench.fail("status", status=status, count=1)

    (outcome,) = bench.connector.push([offer(0, 3)])

    assert isinstance(outcome, Unknown)


def test_throttling_is_deferred_for_as_long_as_the_channel_asks(bench: Bench) -> None:
    bench.stock(5)
    bench.fail("status", status=429, retry_after="7.5", count=1)

    (outcome,) = bench.connector.push([offer(0, 3)])

    assert isinstance(outcome, Deferred)
    assert outcome.after == timedelta(seconds=7.5)
    assert bench.levels(1) == [5]


@pytest.mark.parametrize("status", [301, 400, 403, 404, 422])
def test_a_refusal_of_the_whole_request_is_refused_with_a_remedy(bench: Bench, status: int) -> None:
    bench.stock(5)
    bench.fail("status", status=status, count=1)

    (outcome,) = bench.connector.push([offer(0, 3)])

    assert isinstance(outcome, Refused)
    assert outcome.remedy


def test_a_slow_answer_is_waited_for_and_a_too_slow_one_is_unknown(bench: Bench) -> None:
    bench.stock(5)
    bench.fail("slow", seconds=0.1, count=1)
    assert bench.connector.push([offer(0, 3)]) == [Confirmed(listing(0), 3)]

    bench.fail("slow", seconds=2.2, count=1)
    (outcome,) = bench.connector.push([offer(0, 4)])

    assert isinstance(outcome, Unknown)


def test_a_wrong_secret_is_refused_as_unauthorized(bench: Bench) -> None:
    bench.stock(5)
    wrong = "whsec_" + "d3Jvbmctd3Jvbmctd3Jvbmctd3Jvbmc="

    (outcome,) = bench.with_secret(wrong).push([offer(0, 3)])

    assert isinstance(outcome, Refused)
    assert outcome.code == "unauthorized"
    assert bench.levels(1) == [5]


def test_a_failed_read_says_when_to_try_again_and_a_forbidden_one_that_it_is_useless(bench: Bench) -> None:
    bench.stock(5)
    bench.fail("down", count=1)
    with pytest.raises(ChannelError) as passing:
        bench.connector.read_back([listing(0)])
    bench.fail("status", status=403, count=1)
    with pytest.raises(ChannelError) as final:
        bench.connector.read_back([listing(0)])

    assert passing.value.retry_after is not None
    assert final.value.retry_after is None


def test_more_offers_than_a_batch_are_sent_in_several(bench: Bench) -> None:
    count = bench.connector.batch_size + 3
    bench.stock(*[5] * count)

    outcomes = bench.connector.push([offer(n, 4, expected=5) for n in range(count)])

    assert len(by_listing(outcomes)) == count
    assert all(isinstance(outcome, Confirmed) for outcome in outcomes)
    assert len(bench.writes()) == 2


def test_nothing_to_push_sends_nothing(bench: Bench) -> None:
    assert list(bench.connector.push([])) == []
    assert bench.fake.calls_of(bench.name) == []


def wait_until(holds: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait for something that happens in the server's own time."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)

"""Dead letters under several hands: looked at and sent again at once, each counted once, none forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import islice
from typing import Any, cast

import pytest

from shared.operations.dead_letters import DeadLetter
from shared.runtime.queues import LOOK_FOR, SqsDeadLetters
from tests.operations.queue_service import QueueService

DEAD, ALIVE = "push-dead", "push"


@pytest.fixture
def service() -> QueueService:
    made = QueueService()
    made.put(DEAD, *(f"letter-{number:02}" for number in range(35)))
    made.put(ALIVE)
    return made


def letters_of(service: QueueService) -> SqsDeadLetters:
    """Return one process's view of the queues."""
    return SqsDeadLetters(cast(Any, service), [DEAD], service.now, service.pause)


def ids(letters: Iterator[DeadLetter]) -> list[str]:
    return [letter.id for letter in letters]


def test_a_look_shows_every_letter_once_and_leaves_it_there(service: QueueService) -> None:
    assert sorted(ids(letters_of(service).peek(DEAD))) == service.bodies(DEAD)
    assert service.visible(DEAD) == service.bodies(DEAD)


def test_two_who_look_at_once_see_everything_between_them(service: QueueService) -> None:
    first, second = letters_of(service).peek(DEAD), letters_of(service).peek(DEAD)
    begun = ids(islice(first, 3))

    seen_by_second = ids(second)
    seen_by_first = begun + ids(first)

    assert set(seen_by_second) & set(begun) == set()
    assert set(seen_by_first) | set(seen_by_second) == set(service.bodies(DEAD))
    assert service.visible(DEAD) == service.bodies(DEAD)


def test_a_look_that_takes_long_holds_no_letter_that_somebody_else_may_have_by_now(
    service: QueueService,
) -> None:
    slow = letters_of(service).peek(DEAD)
    looked = []
    for letter in slow:
        looked.append(letter.id)
        service.pause(1)

    assert len(looked) == len(set(looked))
    assert timedelta(seconds=len(looked)) <= LOOK_FOR + timedelta(seconds=1)
    assert service.visible(DEAD) == service.bodies(DEAD)
    service.pause(60)
    assert set(ids(letters_of(service).peek(DEAD))) == set(service.bodies(DEAD))


def test_redriving_while_somebody_looks_sends_every_letter_once(service: QueueService) -> None:
    look = letters_of(service).peek(DEAD)
    held = ids(islice(look, 1))
    during = letters_of(service).redrive(DEAD, service.now() + timedelta(seconds=3), 10_000, 100)
    ids(look)
    after = letters_of(service).redrive(DEAD, service.now() + timedelta(seconds=3), 10_000, 100)

    assert held
    assert (during, after) == (25, 10)
    assert sorted(service.bodies(ALIVE)) == [f"letter-{number:02}" for number in range(35)]
    assert service.bodies(DEAD) == []


def test_a_letter_that_could_not_be_taken_away_is_not_counted_as_moved(service: QueueService) -> None:
    service.refuse_to_delete = {"letter-03"}

    moved = letters_of(service).redrive(DEAD, service.now() + timedelta(seconds=5), 10_000, 100)

    assert moved == 34
    assert service.bodies(DEAD) == ["letter-03"]


def test_letters_that_could_not_be_sent_are_there_again_at_once(service: QueueService) -> None:
    service.refuse_to_send = {f"letter-{number:02}" for number in range(10, 35)}

    moved = letters_of(service).redrive(DEAD, service.now() + timedelta(seconds=5), 10_000, 100)

    assert moved == 10
    assert service.visible(DEAD) == [f"letter-{number:02}" for number in range(10, 35)]


def test_letters_are_sent_no_faster_than_asked_and_no_more_of_them(service: QueueService) -> None:
    begun = service.now()
    moved = letters_of(service).redrive(DEAD, begun + timedelta(seconds=60), 25, 5)

    assert (moved, len(service.bodies(DEAD))) == (25, 10)
    assert service.now() - begun >= timedelta(seconds=25 / 5)


def test_one_letter_a_second_is_never_ten_at_once(service: QueueService) -> None:
    letters_of(service).redrive(DEAD, service.now() + timedelta(seconds=3), 10_000, 1)

    assert len(service.bodies(DEAD)) == 32


def test_a_slow_redrive_stops_when_its_time_is_over_and_the_next_goes_on(service: QueueService) -> None:
    first = letters_of(service).redrive(DEAD, service.now() + timedelta(seconds=4), 10_000, 5)
    second = letters_of(service).redrive(DEAD, service.now() + timedelta(seconds=60), 10_000, 1_000)

    assert (first, second) == (20, 15)
    assert sorted(service.bodies(ALIVE)) == [f"letter-{number:02}" for number in range(35)]


def test_one_letter_is_sent_and_all_that_were_in_its_way_are_there_at_once(service: QueueService) -> None:
    letters = letters_of(service)
    assert letters.redrive_one(DEAD, "letter-23", service.now() + timedelta(seconds=5)) is True

    assert service.bodies(ALIVE) == ["letter-23"]
    assert len(service.visible(DEAD)) == 34
    assert letters.redrive_one(DEAD, "letter-23", service.now() + timedelta(seconds=5)) is False
    assert len(service.visible(DEAD)) == 34

"""A full snapshot is believed unless it looks cut short or emptied beside the last one of its kind."""

from __future__ import annotations

import pytest

from shared.domain.snapshot_guard import Accepted, Census, Guard, Survey, kind_of_file, suspicions


def accepted(document: str = "d1", **places: tuple[int, int]) -> dict[str, Accepted]:
    return {place: Accepted(Census(*numbers), document) for place, numbers in places.items()}


def survey(faulty: int = 0, **places: tuple[int, int]) -> Survey:
    return Survey({place: Census(*numbers) for place, numbers in places.items()}, faulty)


@pytest.mark.parametrize(
    ("now", "last"),
    [
        (survey(east=(50, 40)), accepted(east=(100, 80))),
        (survey(east=(3, 3)), {}),
        (survey(east=(1, 1)), accepted(east=(19, 19))),
        (survey(east=(100, 9)), accepted(east=(100, 18))),
        (survey(west=(100, 90)), accepted(east=(100, 90))),
        (survey(faulty=7), accepted(east=(100, 80))),
        (Survey(guard=None), accepted(east=(100, 80))),
        (Survey({"east": Census(1, 1)}, guard=None), accepted(east=(100, 80))),
        (Survey({"east": Census(11, 11)}, guard=Guard(fewest_percent=10)), accepted(east=(100, 10))),
    ],
)
def test_what_varies_as_stock_does_is_believed(now: Survey, last: dict[str, Accepted]) -> None:
    assert suspicions(now, last) == []


@pytest.mark.parametrize(
    ("now", "last", "told"),
    [
        (survey(), {}, "no row"),
        (survey(east=(49, 49)), accepted(east=(100, 80)), "49 rows for 'east', where the last file had 100"),
        (survey(east=(100, 39)), accepted(east=(100, 80)), "39 rows above zero for 'east'"),
        (survey(east=(100, 90)), accepted(east=(100, 90), west=(100, 90)), "0 rows for 'west'"),
        (Survey({"east": Census(2, 2)}, guard=Guard(judged_from=5)), accepted(east=(5, 5)), "2 rows"),
    ],
)
def test_what_looks_cut_short_or_emptied_is_not(now: Survey, last: dict[str, Accepted], told: str) -> None:
    [reason] = suspicions(now, last)
    assert told in reason


def test_a_kind_of_file_is_its_name_without_times_and_counters() -> None:
    assert kind_of_file("stock_20261101T0600.csv") == kind_of_file("stock_20261102T0915.csv")
    assert kind_of_file("stock_20261101.csv") != kind_of_file("count_20261101.csv")

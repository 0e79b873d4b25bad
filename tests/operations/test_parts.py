"""Parts of one piece of work: what fails keeps nothing else from being done, and is told."""

from __future__ import annotations

import pytest

from shared.operations.parts import PartsFailedError, each_part


def test_what_fails_is_told_by_name_after_all_others_were_done() -> None:
    done: list[str] = []

    def fail() -> None:
        raise OSError("the queue is not there")

    with pytest.raises(PartsFailedError, match="second"):
        each_part(
            {"first": lambda: done.append("first"), "second": fail, "third": lambda: done.append("third")}
        )
    assert done == ["first", "third"]


def test_where_nothing_fails_each_part_says_what_it_found() -> None:
    assert each_part({"first": lambda: 1, "second": lambda: 0}) == {"first": 1, "second": 0}

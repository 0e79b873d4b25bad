"""A body that is no JSON is told to an operator, not to a Python programmer."""

from __future__ import annotations

import pytest

from shared.sources.reading import UnreadableError, parse_json


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"type": ', "not JSON at line 1, column 10"),
        (b"{'type': 1}", "not JSON at line 1, column 2"),
        (b'{"a": 1,\n "b": }', "not JSON at line 2, column 7"),
        (b'{"a": 1} x', "not JSON at line 1, column 10"),
        (b"", "not JSON at line 1, column 1"),
        (b'{"quantity": ' + b"9" * 5000 + b"}", "a number has more digits than any quantity"),
    ],
)
def test_a_body_that_is_no_json_says_where_it_goes_wrong_and_nothing_of_our_insides(
    body: bytes, reason: str
) -> None:
    with pytest.raises(UnreadableError) as caught:
        parse_json(body)
    assert caught.value.fault.reason == reason

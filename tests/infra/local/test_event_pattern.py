"""Filters of stream mappings: what passes, and that an unknown operator is refused rather than misread."""

from __future__ import annotations

import json
from typing import Any

import pytest

from infra.local.event_pattern import EventPattern, UnknownPatternError


def record(**image: Any) -> dict[str, Any]:
    return {"eventName": "INSERT", "dynamodb": {"Keys": {"pk": {"S": "JRN#A"}}, "NewImage": image}}


@pytest.mark.parametrize(
    ("pattern", "passes"),
    [
        ({"eventName": ["INSERT"]}, True),
        ({"eventName": ["MODIFY", "REMOVE"]}, False),
        ({"eventName": ["MODIFY", "INSERT"]}, True),
        ({"dynamodb": {"Keys": {"pk": {"S": [{"prefix": "JRN#"}]}}}}, True),
        ({"dynamodb": {"Keys": {"pk": {"S": [{"prefix": "BAL#"}]}}}}, False),
        ({"dynamodb": {"Keys": {"pk": {"S": [{"suffix": "#A"}]}}}}, True),
        ({"dynamodb": {"NewImage": {"status": {"S": [{"exists": True}]}}}}, True),
        ({"dynamodb": {"NewImage": {"ttl": {"N": [{"exists": True}]}}}}, False),
        ({"dynamodb": {"OldImage": {"status": {"S": [{"exists": False}]}}}}, True),
        ({"dynamodb": {"NewImage": {"status": {"S": [{"exists": False}]}}}}, False),
        ({"dynamodb": {"NewImage": {"status": {"S": [{"anything-but": ["posted"]}]}}}}, True),
        ({"dynamodb": {"NewImage": {"status": {"S": [{"anything-but": "pending"}]}}}}, False),
        ({"dynamodb": {"NewImage": {"status": {"S": [{"anything-but": {"prefix": "pen"}}]}}}}, False),
        ({"dynamodb": {"NewImage": {"absent": {"S": [{"anything-but": ["posted"]}]}}}}, False),
        ({"dynamodb": {"NewImage": {"status": {"S": [{"equals-ignore-case": "PENDING"}]}}}}, True),
        ({"dynamodb": {"NewImage": {"tags": {"SS": ["blue"]}}}}, True),
        ({"dynamodb": {"NewImage": {"tags": {"SS": ["green"]}}}}, False),
        ({"dynamodb": {"NewImage": {"flag": {"BOOL": [1]}}}}, False),
        ({"dynamodb": {"NewImage": {"flag": {"BOOL": [True]}}}}, True),
        ({"$or": [{"eventName": ["REMOVE"]}, {"dynamodb": {"NewImage": {"n": {"N": ["5"]}}}}]}, True),
        ({"$or": [{"eventName": ["REMOVE"]}, {"eventName": ["MODIFY"]}]}, False),
        ({"eventName": ["INSERT"], "dynamodb": {"NewImage": {"status": {"S": ["posted"]}}}}, False),
    ],
)
def test_a_pattern_passes_what_aws_would_pass(pattern: dict[str, Any], passes: bool) -> None:
    image = record(status={"S": "pending"}, tags={"SS": ["red", "blue"]}, flag={"BOOL": True}, n={"N": "5"})

    assert EventPattern(json.dumps(pattern)).matches(image) is passes


@pytest.mark.parametrize(
    "pattern",
    [
        "not json",
        "[]",
        "{}",
        '{"eventName": "INSERT"}',
        '{"a": [{"numeric": [">", 5]}]}',
        '{"a": [{"prefix": "x", "suffix": "y"}]}',
        '{"a": [{"exists": "yes"}]}',
        '{"$or": {}}',
    ],
)
def test_what_is_not_understood_is_refused(pattern: str) -> None:
    with pytest.raises(UnknownPatternError):
        EventPattern(pattern)

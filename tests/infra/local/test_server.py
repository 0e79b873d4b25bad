"""What we add to the embedded runtime changes how fast it answers and never what."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
EXPRESSIONS = [
    "attribute_not_exists(pk) OR #v = :v",
    "begins_with(sk, :p) AND (NOT #a <> :b)",
    "#a IN (:x, :y) AND size(#b) >= :n",
    "SET #a = if_not_exists(#a, :z) + :q, b.c[0] = :l REMOVE d ADD #n :one",
    "pk = = :v",
    "((pk = :v))",
    "",
]
ASK = """
import json, sys
from infra.local.server import remember_expressions
from ministack.services import dynamodb
if sys.argv[1] == "remembering":
    remember_expressions()
told = []
for text in json.loads(sys.argv[2]) * 2:
    tokens = dynamodb._tokenize(text)
    told.append([tokens[:], dynamodb._condition_syntax_error(text, "ConditionExpression"),
                 dynamodb._condition_syntax_error(text, "FilterExpression")])
    tokens.clear()
print(json.dumps(told))
"""


def told(how: str) -> list[object]:
    command = [sys.executable, "-c", ASK, how, json.dumps(EXPRESSIONS)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S603 - our own
    return list(json.loads(ran.stdout))


@pytest.fixture(scope="module")
def plainly() -> list[object]:
    return told("plainly")


def test_a_remembered_expression_means_what_it_meant(plainly: list[object]) -> None:
    assert told("remembering") == plainly


def test_the_expressions_tried_include_ones_that_are_refused(plainly: list[object]) -> None:
    refused = {str(one) for answer in plainly for one in answer[1:] if one}  # type: ignore[index]

    assert len(refused) >= 2

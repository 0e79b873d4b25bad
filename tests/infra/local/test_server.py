"""What we add to the embedded runtime changes how fast it answers and never what."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from infra.local.server import json_copy, quick_json

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


TABLE = """
import asyncio, json, sys
from infra.local import server
from ministack.services import dynamodb
if sys.argv[1] == "with ours":
    server.remember_expressions(); server.copy_as_json(); server.scan_whole()
told = []

def ask(action, **request):
    headers = {"x-amz-target": "DynamoDB_20120810." + action}
    body = json.dumps({"TableName": "table", **request}).encode()
    status, _, answer = asyncio.run(dynamodb.handle_request("POST", "/", headers, body, {}))
    said = json.loads(answer)
    told.append([action, status, said if action != "CreateTable" else None])
    return said

ask("CreateTable", BillingMode="PAY_PER_REQUEST",
    AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
    KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}])
key = {"pk": {"S": "a"}, "sk": {"S": "1"}}
deep = {"M": {"list": {"L": [{"N": "1"}, {"NULL": True}]}, "bytes": {"B": "AP8="}, "set": {"SS": ["x", "y"]}}}
ask("PutItem", Item={**key, "deep": deep, "n": {"N": "1"}})
ask("TransactWriteItems", TransactItems=[
    {"Update": {"TableName": "table", "Key": key, "UpdateExpression": "SET deep.#l[0] = :two, copied = deep ADD n :one",
                "ExpressionAttributeNames": {"#l": "list"},
                "ExpressionAttributeValues": {":two": {"N": "2"}, ":one": {"N": "1"}}}},
    {"Put": {"TableName": "table", "Item": {"pk": {"S": "b"}, "sk": {"S": "1"}}}}])
ask("TransactWriteItems", TransactItems=[
    {"Update": {"TableName": "table", "Key": key, "UpdateExpression": "SET n = :z",
                "ConditionExpression": "n = :z", "ExpressionAttributeValues": {":z": {"N": "9"}},
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}}])
ask("UpdateItem", Key=key, UpdateExpression="SET copied.#l[1] = :v", ExpressionAttributeNames={"#l": "list"},
    ExpressionAttributeValues={":v": {"S": "only the copy"}}, ReturnValues="ALL_NEW")
for number in range(7):
    ask("PutItem", Item={"pk": {"S": "p%d" % (number % 3)}, "sk": {"S": str(number)}})
start = {}
while True:
    said = ask("Scan", Segment=0, TotalSegments=1, Limit=2, ConsistentRead=True, **start)
    if "LastEvaluatedKey" not in said:
        break
    start = {"ExclusiveStartKey": said["LastEvaluatedKey"]}
for segment in (0, 1):
    ask("Scan", Segment=segment, TotalSegments=2)
ask("Scan", Segment=1, TotalSegments=1)
print(json.dumps(told))
"""


def test_a_table_answers_as_it_did() -> None:
    answers = []
    for how in ("plainly", "with ours"):
        command = [sys.executable, "-c", TABLE, how]
        ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S603
        answers.append(json.loads(ran.stdout))

    assert answers[0] == answers[1]
    statuses = [(action, status) for action, status, _ in answers[0]]
    assert ("TransactWriteItems", 400) in statuses
    assert statuses.count(("Scan", 200)) >= 6


def test_a_copy_shares_nothing_that_can_change() -> None:
    whole = {"L": [{"M": {"a": {"S": "x"}}}, {"SS": {"a", "b"}}], "N": "1", "none": None, "raw": b"\x00"}

    copied = json_copy(whole)

    assert copied == whole
    copied["L"][0]["M"]["a"]["S"] = "y"
    copied["L"][1]["SS"].add("c")
    assert whole["L"] == [{"M": {"a": {"S": "x"}}}, {"SS": {"a", "b"}}]


def test_json_that_is_read_and_written_quickly_is_the_same_json(monkeypatch: pytest.MonkeyPatch) -> None:
    from ministack.core import responses
    from ministack.services import dynamodb, dynamodb_streams

    for module in (responses, dynamodb, dynamodb_streams):
        monkeypatch.setattr(module, "json", json)  # put back afterwards, whatever is set meanwhile
    quick_json()
    values: list[object] = [
        {"S": "\u00e4 \U0001f600 \ud800", "N": "1e400", "B": "AA=="},
        {"n": 2**70, "f": 1.5, "x": [None, True, {"z": 1, "a": 2}]},
    ]
    for value in values:
        assert json.loads(dynamodb.json.dumps(value, ensure_ascii=True)) == value
        assert dynamodb.json.loads(json.dumps(value)) == value
    assert dynamodb.json.dumps({"b": 1, "a": 2}, sort_keys=True) == '{"a": 2, "b": 1}'
    assert dynamodb.json.dumps({"when": Path("x")}, default=str) == '{"when": "x"}'
    with pytest.raises(json.JSONDecodeError):
        dynamodb.json.loads("{")

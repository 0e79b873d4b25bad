"""What each answer of DynamoDB means, also those that a local runtime never gives: conflicts, throttles, silence."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError, ReadTimeoutError

from shared.store.dynamodb import DynamoTable, from_attribute
from shared.store.table import (
    Absent,
    Action,
    Delete,
    Exists,
    Key,
    Put,
    TableError,
    ThrottledError,
    UnknownOutcomeError,
    Update,
    WriteConflictError,
    WriteRefusedError,
)

OLD = {"pk": {"S": "b"}, "sk": {"S": "-"}, "n": {"N": "7"}}
NONE, REFUSED = {"Code": "None"}, {"Code": "ConditionalCheckFailed", "Item": OLD}
CONFLICT, THROTTLED = {"Code": "TransactionConflict"}, {"Code": "ThrottlingError"}
INVALID = {
    "Code": "ValidationError",
    "Message": "An operand in the update expression has an incorrect data type",
}
TWO: list[Action] = [Put(Key("a"), {}), Put(Key("b"), {}, (Absent(),))]
COUNT = Update(Key("a"), add={"n": 1})


def answer(code: str, status: int = 400, **body: Any) -> ClientError:
    response: Any = {
        "Error": {"Code": code, "Message": "so it is"},
        "ResponseMetadata": {"HTTPStatusCode": status},
        **body,
    }
    return ClientError(response, "Operation")


def cancelled(*reasons: Mapping[str, Any]) -> ClientError:
    return answer("TransactionCanceledException", CancellationReasons=list(reasons))


SILENCE = ReadTimeoutError(endpoint_url="http://dynamodb")
UNREACHED = ConnectTimeoutError(endpoint_url="http://dynamodb")
BROKEN = answer("InternalServerError", 500)
IN_PROGRESS = answer("TransactionInProgressException")
SLOW_DOWN = answer("ProvisionedThroughputExceededException")


class ScriptedClient:
    """Stands where boto3's client does: gives the scripted answers in turn and keeps the requests."""

    def __init__(self, *answers: Exception | dict[str, Any]) -> None:
        self._answers = list(answers)
        self.requests: list[tuple[str, dict[str, Any]]] = []

    def __getattr__(self, operation: str) -> Any:
        def call(**request: Any) -> dict[str, Any]:
            self.requests.append((operation, request))
            given = self._answers.pop(0)
            if isinstance(given, Exception):
                raise given
            return given

        return call


def scripted(*answers: Exception | dict[str, Any]) -> tuple[DynamoTable, ScriptedClient]:
    client = ScriptedClient(*answers)
    untyped: Any = client
    return DynamoTable(untyped, "stock", sleep=lambda seconds: None), client


@pytest.mark.parametrize(
    ("reasons", "error"),
    [
        ((CONFLICT, NONE), WriteConflictError),
        ((CONFLICT, CONFLICT), WriteConflictError),
        ((THROTTLED, CONFLICT), ThrottledError),
        ((NONE, INVALID), ValueError),
        ((CONFLICT, INVALID), ValueError),
        ((CONFLICT, REFUSED), WriteRefusedError),
        ((THROTTLED, REFUSED), WriteRefusedError),
        ((NONE, {"Code": "AccessDenied"}), TableError),
    ],
    ids=str,
)
def test_the_reasons_of_a_cancelled_transaction_decide_its_error(
    reasons: tuple[Mapping[str, Any], ...], error: type[Exception]
) -> None:
    table, client = scripted(cancelled(*reasons))
    with pytest.raises(error) as raised:
        table.write(TWO)
    assert raised.type is error
    assert len(client.requests) == 1


def test_a_refusal_beside_a_conflict_names_the_action_that_is_known_to_fail() -> None:
    table, _ = scripted(cancelled(CONFLICT, REFUSED))
    with pytest.raises(WriteRefusedError) as refused:
        table.write(TWO)
    assert [(r.action, r.found) for r in refused.value.refusals] == [(TWO[1], {"pk": "b", "sk": "-", "n": 7})]


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (answer("TransactionConflictException"), WriteConflictError),
        (SLOW_DOWN, ThrottledError),
        (answer("ThrottlingException"), ThrottledError),
        (answer("RequestLimitExceeded"), ThrottledError),
        (UNREACHED, ThrottledError),
        (SILENCE, UnknownOutcomeError),
        (BROKEN, UnknownOutcomeError),
        (answer("ServiceUnavailable", 503), UnknownOutcomeError),
        (answer("ValidationException"), ValueError),
        (answer("AccessDeniedException"), TableError),
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "action", [Put(Key("a"), {}), Delete(Key("a")), Update(Key("a"), set={"n": 1})], ids=str
)
def test_a_single_write_is_sent_once_and_its_fault_has_one_meaning(
    action: Action, fault: Exception, error: type[Exception]
) -> None:
    table, client = scripted(fault)
    with pytest.raises(error) as raised:
        table.write([action])
    assert raised.type is error
    assert len(client.requests) == 1


@pytest.mark.parametrize("lost", [SILENCE, BROKEN, IN_PROGRESS], ids=str)
def test_a_transaction_whose_answer_was_lost_is_repeated_under_the_same_token(lost: Exception) -> None:
    table, client = scripted(lost, SLOW_DOWN, {})
    table.write(TWO)
    assert [operation for operation, _ in client.requests] == ["transact_write_items"] * 3
    assert len({request["ClientRequestToken"] for _, request in client.requests}) == 1


def test_two_writes_never_share_a_token() -> None:
    table, client = scripted({}, {})
    table.write(TWO)
    table.write(TWO)
    assert len({request["ClientRequestToken"] for _, request in client.requests}) == 2


@pytest.mark.parametrize("later", [SILENCE, SLOW_DOWN, cancelled(CONFLICT, NONE), IN_PROGRESS], ids=str)
def test_after_a_lost_answer_only_an_answer_makes_the_outcome_known(later: Exception) -> None:
    table, _ = scripted(SILENCE, later, later)
    with pytest.raises(UnknownOutcomeError):
        table.write(TWO)


def test_a_refusal_after_a_lost_answer_is_certain() -> None:
    table, _ = scripted(SILENCE, cancelled(NONE, REFUSED))
    with pytest.raises(WriteRefusedError):
        table.write(TWO)


@pytest.mark.parametrize(
    "update", [COUNT, Update(Key("a"), append={"l": [1]}, conditions=(Exists(),))], ids=str
)
def test_a_lone_write_that_would_count_twice_goes_with_a_token(update: Update) -> None:
    table, client = scripted(SILENCE, {})
    table.write([update])
    assert [operation for operation, _ in client.requests] == ["transact_write_items"] * 2


def test_reads_go_on_after_faults_that_pass() -> None:
    table, client = scripted(SLOW_DOWN, SILENCE, BROKEN, {"Item": OLD})
    assert table.get(Key("b")) == {"pk": "b", "sk": "-", "n": 7}
    table, client = scripted(cancelled(CONFLICT, NONE), {"Responses": [{}, {"Item": OLD}]})
    assert table.snapshot([Key("a"), Key("b")]) == {Key("b"): {"pk": "b", "sk": "-", "n": 7}}
    assert len(client.requests) == 2


def test_reads_give_up_in_the_end() -> None:
    table, client = scripted(*[SLOW_DOWN] * 6)
    with pytest.raises(ThrottledError):
        table.get(Key("b"))
    assert len(client.requests) == 6


def test_get_many_asks_again_for_what_was_left_over_and_only_for_that() -> None:
    left = {"Keys": [{"pk": {"S": "b"}, "sk": {"S": "-"}}]}
    unread = {"Responses": {}, "UnprocessedKeys": {"stock": left}}
    first = {
        "Responses": {"stock": [{"pk": {"S": "a"}, "sk": {"S": "-"}}]},
        "UnprocessedKeys": {"stock": left},
    }
    table, client = scripted(first, unread, {"Responses": {"stock": [OLD]}, "UnprocessedKeys": {}})
    assert table.get_many([Key("a"), Key("b")]).keys() == {Key("a"), Key("b")}
    assert [request["RequestItems"]["stock"]["Keys"] for _, request in client.requests[1:]] == [
        left["Keys"]
    ] * 2

    table, _ = scripted(*[unread] * 6)
    with pytest.raises(ThrottledError):
        table.get_many([Key("b")])


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ({"N": "1E+3"}, 1000),
        ({"N": "7.0"}, 7),
        ({"B": "AP8="}, b"\x00\xff"),
        ({"B": b"\x00\xff"}, b"\x00\xff"),
    ],
    ids=str,
)
def test_an_attribute_reads_alike_from_a_response_and_from_an_event(
    attribute: dict[str, Any], value: object
) -> None:
    assert from_attribute(attribute) == value


@pytest.mark.parametrize("attribute", [{"N": "1.5"}, {"L": [{"N": "0.1"}]}, {"SS": ["a"]}], ids=str)
def test_an_attribute_that_onecount_never_writes_is_refused(attribute: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"not whole|not written by Onecount"):
        from_attribute(attribute)


def test_importing_the_module_loads_no_part_of_the_aws_client() -> None:
    program = "import sys, shared.store.dynamodb; print([m for m in sys.modules if m.startswith('boto')])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout.strip() == "[]"

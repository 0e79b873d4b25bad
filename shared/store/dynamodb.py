"""The table port over DynamoDB: values to attributes, conditions to expressions, answers to the port's errors.

What each answer of DynamoDB means to the caller:

=====================================================  ==========================================================
a condition failed, also beside conflicts in one       ``WriteRefusedError``. A refusal is knowledge (the item as it
transaction                                            stands comes with it); to try the same again would be vain
``TransactionConflict``                                ``WriteConflictError``
throttled, or no connection could be made              ``ThrottledError``
no answer, or a 5xx                                    ``UnknownOutcomeError``; see below
``TransactionInProgress``                              ``UnknownOutcomeError``: an earlier attempt may yet succeed
the request itself is wrong, or an item too large      ``ValueError``: no retry can help
anything else (access denied, table missing)           ``TableError``
=====================================================  ==========================================================

**Lost answers.** A transaction carries a client token, under which DynamoDB applies it once within ten minutes, so
``write`` itself repeats a transaction whose answer was lost and reports ``UnknownOutcomeError`` only if it never gets
one. Single writes have no token. A lone ``Update`` that adds or appends would count twice when repeated by anyone
(a retrying client included), so it goes as a transaction of one, at twice the write units. Every other single write
is a plain call: repeated, it writes the same again, but **if it is conditional, the second attempt may be refused by
the first one's effect**; a caller that must tell these apart looks at ``Refusal.found``. Build the client with
``client_config()``, which leaves every retry to this module and to its callers. A new ``write`` call has a new token:
after ``UnknownOutcomeError`` the caller may write again only what its own conditions make safe to repeat.

botocore is imported with the first call, never with this module.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from shared.store.attributes import (
    from_attribute,
    image_from_item,
    image_from_key,
    item_from_image,
    key_from_image,
    to_attribute,
)
from shared.store.requests import (
    check_actions,
    check_key,
    check_range,
    check_snapshot,
    parameters,
    query_request,
)
from shared.store.table import (
    Action,
    Check,
    Delete,
    Item,
    Key,
    Put,
    Refusal,
    TableError,
    ThrottledError,
    UnknownOutcomeError,
    Update,
    WriteConflictError,
    WriteRefusedError,
)

if TYPE_CHECKING:
    from botocore.config import Config
    from botocore.exceptions import ClientError
    from types_boto3_dynamodb import DynamoDBClient

__all__ = [
    "DynamoTable",
    "client_config",
    "from_attribute",
    "image_from_item",
    "item_from_image",
    "to_attribute",
]

BATCH_KEYS = 100
"""Keys that one BatchGetItem takes at most."""

_PAUSES_S = (0.02, 0.05, 0.1, 0.2, 0.4)
_THROTTLED = {
    "ProvisionedThroughputExceeded",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "ThrottlingError",
    "ThrottlingException",
}


def client_config(read_timeout_s: float = 3.0, connections: int = 16) -> Config:
    """Return the settings this module expects of its client: short timeouts, and no retries of botocore's own."""
    from botocore.config import Config

    return Config(
        parameter_validation=False,
        connect_timeout=1.0,
        read_timeout=read_timeout_s,
        max_pool_connections=connections,
        retries={"total_max_attempts": 1},
        tcp_keepalive=True,
    )


class DynamoTable:
    """One DynamoDB table (``pk`` and ``sk``; index ``x`` on ``x_pk`` and ``x_sk``, keys only); see the module.

    Parameters
    ----------
    client
        A low-level client made with ``client_config()``; safe to share between threads, as this is.
    sleep
        Waits for some seconds between attempts.
    """

    def __init__(
        self, client: DynamoDBClient, table_name: str, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._client = client
        self._name = table_name
        self._sleep = sleep

    def get(self, key: Key) -> Item | None:
        check_key(key)
        answer = self._read(
            self._client.get_item,
            {"TableName": self._name, "Key": image_from_key(key), "ConsistentRead": True},
        )
        return item_from_image(answer["Item"]) if "Item" in answer else None

    def get_many(self, keys: Sequence[Key]) -> dict[Key, Item]:
        wanted = list(dict.fromkeys(keys))
        found: dict[Key, Item] = {}
        for start in range(0, len(wanted), BATCH_KEYS):
            found.update(self._get_batch(wanted[start : start + BATCH_KEYS]))
        return found

    def _get_batch(self, keys: Sequence[Key]) -> Iterator[tuple[Key, Item]]:
        for key in keys:
            check_key(key)
        pending: list[Any] = [image_from_key(key) for key in keys]
        pauses = iter(_PAUSES_S)
        while pending:
            request = {self._name: {"Keys": pending, "ConsistentRead": True}}
            answer = self._read(self._client.batch_get_item, {"RequestItems": request})
            images = answer["Responses"].get(self._name, [])
            yield from ((key_from_image(image), item_from_image(image)) for image in images)
            pending = list(answer.get("UnprocessedKeys", {}).get(self._name, {}).get("Keys", []))
            if images:
                pauses = iter(_PAUSES_S)  # 16 MB were read, which is progress
            elif pending:
                self._pause(next(pauses, None), ThrottledError(f"{len(pending)} keys stay unread"))

    def snapshot(self, keys: Sequence[Key]) -> dict[Key, Item]:
        wanted = list(dict.fromkeys(keys))
        check_snapshot(wanted)
        if not wanted:
            return {}
        gets = [{"Get": {"TableName": self._name, "Key": image_from_key(key)}} for key in wanted]
        answer = self._read(self._client.transact_get_items, {"TransactItems": gets})
        pairs = zip(wanted, answer["Responses"], strict=True)
        return {key: item_from_image(response["Item"]) for key, response in pairs if "Item" in response}

    def query(
        self,
        pk: str,
        *,
        first: str = "",
        last: str | None = None,
        prefix: str = "",
        descending: bool = False,
        limit: int | None = None,
    ) -> Iterator[Item]:
        check_range(pk, first, last, prefix, limit)
        request = query_request("", pk, first, last, prefix)
        request |= {"ConsistentRead": True, "ScanIndexForward": not descending}
        images = (
            iter(()) if _is_empty(first, last, limit) else self._pages(self._client.query, request, limit)
        )
        return map(item_from_image, images)

    def query_index(
        self,
        index: str,
        pk: str,
        *,
        first: str = "",
        last: str | None = None,
        descending: bool = False,
        limit: int | None = None,
    ) -> Iterator[Key]:
        check_range(pk, first, last, "", limit)
        request = query_request(f"{index}_", pk, first, last, "")
        request |= {"IndexName": index, "ScanIndexForward": not descending}
        images = (
            iter(()) if _is_empty(first, last, limit) else self._pages(self._client.query, request, limit)
        )
        return map(key_from_image, images)

    def scan(self, *, segment: int = 0, segments: int = 1) -> Iterator[Item]:
        request = {"ConsistentRead": True, "Segment": segment, "TotalSegments": segments}
        return map(item_from_image, self._pages(self._client.scan, request, None))

    def write(self, actions: Sequence[Action]) -> None:
        check_actions(actions)
        if not actions:
            return
        if len(actions) > 1 or isinstance(actions[0], Check) or _counts_twice(actions[0]):
            self._transact(actions)
            return
        operations: dict[type[Action], Callable[..., Any]] = {
            Put: self._client.put_item,
            Update: self._client.update_item,
            Delete: self._client.delete_item,
        }
        request = parameters(actions[0]) | {"TableName": self._name}
        self._call(operations[type(actions[0])], request, actions)

    def _transact(self, actions: Sequence[Action]) -> None:
        members = [
            {_MEMBERS[type(action)]: parameters(action) | {"TableName": self._name}} for action in actions
        ]
        request = {"TransactItems": members, "ClientRequestToken": str(uuid4())}
        lost = False
        for pause in (*_PAUSES_S[:2], None):
            try:
                self._call(self._client.transact_write_items, request, actions)
                return
            except (UnknownOutcomeError, WriteConflictError, ThrottledError) as error:
                lost = lost or isinstance(error, UnknownOutcomeError)
                if not lost:
                    raise
                self._pause(
                    pause, UnknownOutcomeError(f"no answer to a transaction of {len(actions)}: {error}")
                )

    def _pages(
        self, operation: Callable[..., Any], request: dict[str, Any], limit: int | None
    ) -> Iterator[Mapping[str, Any]]:
        request = request | {"TableName": self._name}
        left = limit
        while True:
            if left is not None:
                request["Limit"] = left
            answer = self._read(operation, request)
            yield from answer["Items"]
            if left is not None:
                left -= len(answer["Items"])
            if "LastEvaluatedKey" not in answer or left == 0:
                return
            request["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def _read(self, operation: Callable[..., Any], request: Mapping[str, Any]) -> Any:
        """Call, and again a few times after a fault that passes: a read may always be repeated."""
        pauses = iter(_PAUSES_S)
        while True:
            try:
                return self._call(operation, request, ())
            except (ThrottledError, WriteConflictError, UnknownOutcomeError) as error:
                self._pause(next(pauses, None), error)

    def _call(
        self, operation: Callable[..., Any], request: Mapping[str, Any], actions: Sequence[Action]
    ) -> Any:
        from botocore.exceptions import (
            ClientError,
            ConnectTimeoutError,
            EndpointConnectionError,
            HTTPClientError,
        )

        try:
            return operation(**request)
        except ClientError as error:
            raise _meaning(error, actions) from error
        except (ConnectTimeoutError, EndpointConnectionError) as error:
            raise ThrottledError(f"no connection to DynamoDB, nothing was sent: {error}") from error
        except HTTPClientError as error:
            raise UnknownOutcomeError(f"no answer from DynamoDB: {error}") from error

    def _pause(self, longest_s: float | None, otherwise: TableError) -> None:
        """Sleep up to ``longest_s``, spread at random so that rivals part; without more time, give up."""
        if longest_s is None:
            raise otherwise
        self._sleep(longest_s * random.uniform(0.5, 1.0))  # noqa: S311 (no secret)


_MEMBERS: dict[type[Action], str] = {
    Put: "Put",
    Update: "Update",
    Delete: "Delete",
    Check: "ConditionCheck",
}


def _counts_twice(action: Action) -> bool:
    return isinstance(action, Update) and bool(action.add or action.append)


def _is_empty(first: str, last: str | None, limit: int | None) -> bool:
    """Whether a range holds nothing by itself; DynamoDB refuses to be asked such things."""
    return limit == 0 or last == "" or (last is not None and last < first)


def _meaning(error: ClientError, actions: Sequence[Action]) -> TableError | ValueError:
    """Return the port's error for an answer of DynamoDB; the table of the module says which and why."""
    code = error.response["Error"]["Code"]
    message = f"{code}: {error.response['Error'].get('Message', '')}"
    body: Mapping[str, Any] = error.response
    if code == "ConditionalCheckFailedException":
        return WriteRefusedError([_refusal(actions[0], body)])
    if code == "TransactionCanceledException":
        return _meaning_of_reasons(body.get("CancellationReasons", []), actions, message)
    if code == "TransactionConflictException":
        return WriteConflictError(message)
    if code in _THROTTLED:
        return ThrottledError(message)
    if code == "ValidationException":
        return ValueError(message)
    if code == "TransactionInProgressException" or body["ResponseMetadata"]["HTTPStatusCode"] >= 500:
        return UnknownOutcomeError(message)
    return TableError(message)


def _meaning_of_reasons(
    reasons: Iterable[Mapping[str, Any]], actions: Sequence[Action], message: str
) -> TableError | ValueError:
    reasons = list(reasons)
    codes = {reason.get("Code", "None") for reason in reasons} - {"None"}
    if "ConditionalCheckFailed" in codes:
        pairs = zip(actions, reasons, strict=True)
        return WriteRefusedError(
            [_refusal(a, r) for a, r in pairs if r.get("Code") == "ConditionalCheckFailed"]
        )
    if "ValidationError" in codes:
        return ValueError(message + "; " + "; ".join(str(reason.get("Message", "")) for reason in reasons))
    if codes & _THROTTLED:
        return ThrottledError(message)
    if codes == {"TransactionConflict"}:
        return WriteConflictError(message)
    return TableError(message)


def _refusal(action: Action, body: Mapping[str, Any]) -> Refusal:
    image = body.get("Item")
    return Refusal(action, item_from_image(image) if image else None)
